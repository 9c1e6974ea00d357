"""Features are what a network is told of a candidate: parameters and linear response, a token for every region."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

import mfm
from mfm import FICParameters, LinearResponse, Protocol
from mfm.basin.barrier import escape_barriers
from mfm.models.fic_feedback import feedback_weights

TOKEN_FEATURES = (
    "w_EE w_EI log_sigma w_IE log_coupling strength log_std_S_E log_std_BOLD mean_fc std_fc participation log_local_margin"
).split()
GLOBAL_FEATURES = (
    "G log_n_regions log_tr log_scan log_exposure log_window_share log_abscissa log_rate_2 log_rate_3 log_slow_time "
    "mean_fc std_fc skew_fc log_spread_fc log_noise_fc log_shared_fc "
    "log_mode_up log_mode_down log_common_up log_common_down log_barrier_up log_barrier_down log_barrier_common_up "
    "log_barrier_common_down log_least_local log_second_local log_largest_std"
).split()

#: The model whose candidates these features describe.
MODEL = "fic"

# Recipe of the features: part of a trained surrogate's identity.
RECIPE = "fic-tokens/1: " + " ".join(TOKEN_FEATURES) + " | " + " ".join(GLOBAL_FEATURES)

_LARGEST_FC = 0.999


@dataclass(frozen=True, eq=False)
class Features:
    """Features describe B stable candidates on one connectome of N regions.

    Attributes
    ----------
    tokens : tensor of float32, (B, N, F)
        `TOKEN_FEATURES`.
    summary : tensor of float32, (B, H)
        `GLOBAL_FEATURES`.
    fc : tensor of float32, (B, N, N)
        Of linear response.
    sc : tensor of float32, (N, N)
        The connectome over its maximum.
    """

    tokens: Tensor
    summary: Tensor
    fc: Tensor
    sc: Tensor

    def __getitem__(self, index) -> Features:
        return Features(self.tokens[index], self.summary[index], self.fc[index], self.sc)

    def to(self, device) -> Features:
        """Move all tensors to a device."""
        return Features(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def features(p: FICParameters, sc: mfm.Connectome, lin: LinearResponse) -> Features:
    """Compute the features of stable candidates.

    Parameters
    ----------
    p : FICParameters
        B candidates whose 3 Hz state is stable.
    sc : Connectome
    lin : LinearResponse
        Of these, under the protocol of the scan that is predicted.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from surrogate.features import features
    >>> sc = mfm.Connectome(0.02 * (1 - np.eye(3)))
    >>> p = mfm.FICParameters(np.full((2, 3), 3.0), np.full((2, 3), 2.5), np.full((2, 3), 0.005), [1.0, 2.0])
    >>> found = features(p, sc, mfm.linear_response(p, sc, mfm.Protocol(0.72, 100)))
    >>> found.tokens.shape, found.summary.shape
    (torch.Size([2, 3, 12]), torch.Size([2, 27]))
    """
    with torch.no_grad():
        B, N = p.w_EE.shape
        std = lin.activity_std
        modes = lin.slow_modes
        escape = escape_barriers(p, sc, lin, std)
        fc = lin.fc.float()
        off_diagonal = fc - torch.eye(N)
        mean_fc = off_diagonal.sum(dim=2) / (N - 1)
        std_fc = (off_diagonal.square().sum(dim=2) / (N - 1) - mean_fc**2).clamp(min=0).sqrt()
        strength = torch.as_tensor(sc.weights.sum(axis=1), dtype=p.w_EE.dtype)
        variance = lin.bold_covariance.diagonal(dim1=1, dim2=2)
        share = (modes.direction * modes.projection).abs()
        tokens = [
            p.w_EE,
            p.w_EI,
            _log(p.sigma),
            feedback_weights(p, sc).clamp(-5, 60),
            _log(p.G[:, None] * strength),
            (strength / strength.mean()).expand(B, N),
            _log(std),
            _log(variance) / 2,
            mean_fc,
            std_fc,
            share / share.amax(dim=1, keepdim=True),
            _log(escape.local_margin),
        ]
        summary = _summary(p, lin, fc, std, modes.rate, escape)
        weights = torch.as_tensor(sc.weights / sc.weights.max(), dtype=torch.float32)
    return Features(torch.stack([x.float() for x in tokens], dim=2), summary, fc, weights)


def _summary(p: FICParameters, lin: LinearResponse, fc: Tensor, std: Tensor, rate: Tensor, escape) -> Tensor:
    B, N = p.w_EE.shape
    protocol = lin.protocol
    edges = N * (N - 1) / 2
    upper = fc.triu(diagonal=1)
    first, second, third = (upper.pow(k).sum(dim=(1, 2)) / edges for k in (1, 2, 3))
    spread = (second - first**2).clamp(min=1e-9)
    skew = (third - 3 * first * second + 2 * first**3) / spread**1.5
    # Sampling variance of a window's correlations, but for the number of independent samples in a window.
    fourth = upper.pow(4).sum(dim=(1, 2)) / edges
    slow_time = (1 / rate).square().sum(dim=1) / (1 / rate).sum(dim=1)
    local = escape.local_margin.topk(2, dim=1, largest=False).values
    columns = [
        p.G,
        *(torch.full((B,), float(value)).log() for value in (N, protocol.tr_s, protocol.scan_s, exposure_s(protocol))),
        torch.full((B,), protocol.window_frames / protocol.n_frames).log(),
        _log(-lin.abscissa),
        *(_log(rate[:, min(k, N - 1)]) for k in (1, 2)),
        _log(slow_time),
        first,
        spread.sqrt(),
        skew.clamp(-5, 5),
        _log(spread),
        _log(1 - 2 * second + fourth),
        _log(second),
        *_log(escape.margin).unbind(dim=1),
        *_log(escape.barrier).unbind(dim=1),
        *_log(local).unbind(dim=1),
        _log(std.amax(dim=1)),
    ]
    return torch.stack([column.float() for column in columns], dim=1)


def exposure_s(protocol: Protocol) -> float:
    """Return the simulated time in which noise may find another state."""
    return protocol.warm_up_s + protocol.burn_in_s + protocol.scan_s


def fisher_z(fc: Tensor) -> Tensor:
    """Take Fisher z of correlations, kept finite where they are 1."""
    return torch.atanh(fc.clamp(-_LARGEST_FC, _LARGEST_FC))


def _log(x: Tensor) -> Tensor:
    return x.clamp(min=1e-6).log()
