"""The predicted cost of a scan with gradients, and the walls within which a descent must stay."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

import mfm
from mfm import Cost, LinearResponse, MapParameterisation, Scan, upper_triangle
from mfm.basin.return_rate import return_rate
from mfm.models.parameters import ModelParameters
from mfm.statistics.soft_fcd import soft_cdf_of_target, soft_fcd_cdf, soft_kolmogorov_smirnov

# Rounding of the kink of |mean difference|, far below what a scan tells.
_KINK = 2e-3

# FCD windows overlap by this share: more of them cost time and tell nothing new.
_WINDOW_STEPS = 8


@dataclass(frozen=True, eq=False)
class SmoothCost:
    """The terms of `mfm.cost` by linear response, with gradients.

    FC is that of `mfm.linear_response`, exactly. The FCD distribution is that of BOLD sampled from the predicted spectra with
    always the same noise, its histogram counted by smooth steps, its largest distance softened
    (`mfm.statistics.soft_fcd`). Neither FC nor FCD changes when all sigma are multiplied by one number: linear theory
    does not know how large noise is.

    Parameters
    ----------
    scan : Scan
    protocol : Protocol
        TR and frames; its step enters the predicted excursions of S_E.
    n_samples : int, default 3
        Sampled series per candidate; 0 leaves the FCD term out.
    seed : int, default 0
        Noise of the samples.
    margin : float, default 10
        Displacement of S_E in `return_rate`, in its predicted standard deviations; that of `LinearObjective`.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from optim.objectives.smooth_cost import SmoothCost
    >>> run = np.random.default_rng(0).normal(size=(100, 3))
    >>> sc = mfm.Connectome(0.02 * (1 - np.eye(3)))
    >>> scan = mfm.subject_from_runs("sub-01", [run, run], sc, tr_s=2.0).search
    >>> cost = SmoothCost(scan, mfm.Protocol(2.0, 100, dt_s=0.005))
    >>> p = mfm.FICParameters(np.full((1, 3), 3.0), np.full((1, 3), 2.5), np.full((1, 3), 0.005), [2.0])
    >>> cost(p).shape, cost.return_rate(p).item() > 0
    (torch.Size([1]), True)
    """

    scan: Scan
    protocol: mfm.Protocol
    n_samples: int = 3
    seed: int = 0
    margin: float = 10.0

    @cached_property
    def _target_cdf(self) -> Tensor:
        return soft_cdf_of_target(self.scan.target.fcd_cdf)

    @cached_property
    def _target_fc(self) -> Tensor:
        return upper_triangle(self.scan.target.fc)

    def response(self, p: ModelParameters) -> LinearResponse:
        """What linear response predicts: all that is known of a candidate follows from one such solution."""
        return mfm.linear_response(p, self.scan.sc, self.protocol, observation=self.scan.observation)

    def terms(self, lin: LinearResponse) -> Cost:
        """The terms, each (B,), differentiable in the parameters; infinite where the fixed point is not stable.

        Terms that were added to the cost have no smooth form here, and are 0: the validation data choose by all of them.
        """
        stable = torch.nonzero(lin.stable)[:, 0]
        found = torch.full((3, len(lin.stable)), float("inf"), dtype=torch.float64)
        if len(stable):
            # Only those: the gradient of a NaN is NaN even where it is masked.
            lin = lin[stable]
            fc = upper_triangle(lin.fc).double()
            x, y = fc - fc.mean(dim=1, keepdim=True), self._target_fc - self._target_fc.mean()
            corr = 1 - (x @ y) / (x.norm(dim=1) * y.norm())
            difference = fc.mean(dim=1) - self._target_fc.mean()
            mean_diff = (difference**2 + _KINK**2).sqrt()
            ks = self._ks(lin) if self.n_samples else torch.zeros_like(corr)
            found = found.index_copy(1, stable, torch.stack([corr, mean_diff, ks]))
        smooth = dict(zip(("corr", "mean_diff", "ks"), found, strict=True))
        return Cost(**{name: smooth.get(name, torch.zeros_like(found[0])) for name in Cost.TERMS})

    def __call__(self, p: ModelParameters) -> Tensor:
        """Total cost (B,), differentiable in the parameters; infinite where the 3 Hz state is not stable."""
        return self.terms(self.response(p)).total

    def _ks(self, lin: LinearResponse) -> Tensor:
        window = self.protocol.window_frames
        bold = lin.sample_bold(self.n_samples, self.seed, torch.float32)
        kept = self.scan.observation.frames_kept(self.protocol.n_frames)
        cdf = soft_fcd_cdf(bold, window, max(1, window // _WINDOW_STEPS), kept)
        return soft_kolmogorov_smirnov(cdf.mean(dim=1), self._target_cdf).double()

    def return_rate(self, p: ModelParameters, lin: LinearResponse | None = None) -> Tensor:
        """How fast a noise-free state returns after the observed state was raised by `margin` standard deviations everywhere.

        Parameters
        ----------
        p : ModelParameters
        lin : LinearResponse, optional
            `response` of `p`, where it is known already.

        Returns
        -------
        tensor, (B,)
            Mean rate, per second, at which the root mean square deviation of S_E shrinks over 2 s of Euler steps of 2 ms:
            above 0 it returns, below it goes away; NaN where the fixed point is not stable. Differentiable for a given
            displacement, unlike the gate of `LinearObjective`. Of models other than FIC the rate of the slowest mode.
        """
        lin = self.response(p) if lin is None else lin
        return return_rate(p, self.scan.sc, self.margin * lin.activity_std.detach(), lin.abscissa)


def room(parameterisation: MapParameterisation, values: dict[str, Tensor]) -> Tensor:
    """How far candidates are from every wall of bounds and plausibility: (B, W), positive inside.

    Parameters
    ----------
    parameterisation : MapParameterisation
        Its bounds and plausibility rules.
    values : dict of parameter to tensor, (B, N) or (B,)

    Returns
    -------
    tensor, (B, W)
        Distances from the bounds in units of their width; correlations of parameters with maps, signed so that they must be
        positive; and standard deviations over their least value, minus 1. Differentiable.
    """
    walls = []
    for name, value in values.items():
        value = value.reshape(len(value), -1)
        low, high = getattr(parameterisation.bounds, name)
        walls += [(value - low) / (high - low), (high - value) / (high - low)]
    rules, maps = parameterisation.plausibility, parameterisation.maps
    for parameter, of_maps in (rules.signs or {}).items():
        deviation = values[parameter] - values[parameter].mean(dim=1, keepdim=True)
        for name, sign in of_maps.items():
            if name in maps.names:
                m = torch.tensor(maps.values[maps.names.index(name)], dtype=deviation.dtype)
                m = m - m.mean()
                walls.append((sign * (deviation @ m) / (deviation.norm(dim=1) * m.norm()).clamp(min=1e-12))[:, None])
    for parameter, least in rules.min_std.items():
        if least > 0 and maps.names:
            walls.append((values[parameter].std(dim=1) / least - 1)[:, None])
    return torch.cat(walls, dim=1)
