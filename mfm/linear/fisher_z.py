"""Least squares of FC in Fisher z under linear response: what is left where only FC is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mfm.linear.hemodynamics import resting_filter
from mfm.linear.modes import SlowSystem
from mfm.linear.sampling import sample_bold
from mfm.linear.system import LinearSystem
from mfm.linear.whittle import BAND_HZ, Quadratic, Tangents
from mfm.protocol import Protocol
from mfm.statistics.fc import functional_connectivity, upper_triangle

# Step of the central differences, in units of the parameters.
_STEP = 1e-5

# Scans drawn for the noise of FC, and how many at a time.
_SCANS, _SCANS_AT_A_TIME = 128, 16


@dataclass(frozen=True, eq=False)
class FisherZLikelihood:
    """Half the squared distance of predicted and measured Fisher z, in units of z's sampling variance.

    As a likelihood it takes pairs of regions as independent, each known from twice the bandwidth times the length of the scan
    many samples. They are not: standard errors come from `score_covariance`.

    Parameters
    ----------
    fc : tensor, (N, N)
        Pearson correlations.
    protocol : Protocol
        TR and frames of a scan.
    n_scans : int, default 1
        Scans whose Fisher z were averaged.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from mfm.models.fic_feedback import designed_point
    >>> from mfm.linear.fisher_z import FisherZLikelihood
    >>> from mfm.linear.system import LinearSystem
    >>> from mfm.linear.whittle import Tangents
    >>> sc, protocol = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]]), mfm.Protocol(0.72, 1200)
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [2.0])
    >>> system = LinearSystem.of(p, sc, designed_point(p))
    >>> distance = FisherZLikelihood(mfm.linear_response(p, sc, protocol).fc[0], protocol)
    >>> distance(system, Tangents.zero(0, system), distance.start(system)).value < 1e-12
    True
    """

    fc: Tensor
    protocol: Protocol
    n_scans: int = 1

    @property
    def nuisance(self) -> tuple[str, ...]:
        """None: FC has no unit."""
        return ()

    @property
    def n_samples(self) -> float:
        """Independent samples in the scans: twice the bandwidth of BOLD times their length."""
        return 2 * (BAND_HZ[1] - BAND_HZ[0]) * self.protocol.scan_s * self.n_scans

    def start(self, system: LinearSystem) -> Tensor:
        """Nothing to start from."""
        return system.leak.new_zeros(0)

    def predicted(self, system: LinearSystem) -> Tensor:
        """Fisher z (N (N - 1) / 2,) of one candidate; NaN where it is not stable."""
        slow = SlowSystem.of(system)
        if (slow.modes.rate.real <= 0).any():
            return torch.full_like(upper_triangle(self.fc), math.nan)
        covariance = slow.covariance(self.protocol.scan_s, resting_filter(float(system.activity[0, 0])))[0]
        std = covariance.diagonal().sqrt()
        return torch.arctanh(upper_triangle(covariance / (std[:, None] * std)))

    def derivatives(self, system: LinearSystem, tangents: Tangents) -> Tensor:
        """Of the predicted z, (pairs, P), by central differences along the system's tangents."""
        columns = []
        for k in range(len(tangents.leak)):
            ends = [self.predicted(_moved(system, tangents, k, step)) for step in (_STEP, -_STEP)]
            columns.append((ends[0] - ends[1]) / (2 * _STEP))
        return torch.stack(columns, dim=1) if columns else upper_triangle(self.fc).new_zeros((len(upper_triangle(self.fc)), 0))

    def model(self, system: LinearSystem, tangents: Tangents) -> tuple[Tensor, Tensor]:
        """Predicted z (pairs,) and its derivatives (pairs, P)."""
        return self.predicted(system), self.derivatives(system, tangents)

    def __call__(self, system: LinearSystem, tangents: Tangents, nuisance: Tensor) -> Quadratic:
        """Value, gradient and Gauss-Newton curvature; the value is infinite where the model is not stable."""
        return self.of_model(*self.model(system, tangents), nuisance)

    def of_model(self, z: Tensor, J: Tensor, nuisance: Tensor) -> Quadratic:
        """The same from what `model` gives."""
        error = z - torch.arctanh(upper_triangle(self.fc))
        P = J.shape[1]
        if not torch.isfinite(error).all() or not torch.isfinite(J).all():
            return Quadratic(math.inf, error.new_zeros(P), error.new_zeros((P, P)))
        w = self.n_samples
        return Quadratic(float(0.5 * w * error.square().sum()), w * (J.T @ error), w * (J.T @ J))

    def score_covariance(self, system: LinearSystem, tangents: Tangents, nuisance: Tensor, seed: int = 0) -> Tensor:
        """Covariance (P, P) of the gradient over scans, as the theory samples them (128)."""
        J = self.derivatives(system, tangents)
        slow = SlowSystem.of(system)
        drawn = []
        for part in range(_SCANS // _SCANS_AT_A_TIME):
            with torch.no_grad():
                bold = sample_bold(slow, system.activity, self.protocol, _SCANS_AT_A_TIME, seed * _SCANS + part)[0]
            drawn.append(torch.arctanh(upper_triangle(functional_connectivity(bold))) @ J)
        return self.n_samples**2 / self.n_scans * torch.atleast_2d(torch.cov(torch.cat(drawn).T))


def _moved(system: LinearSystem, tangents: Tangents, k: int, step: float) -> LinearSystem:
    """The system a step along its k-th tangent."""
    fields = {name: getattr(system, name) + step * getattr(tangents, name)[k] for name in Tangents._fields[:6]}
    if tangents.C is not None:
        fields["C"] = system.C + step * tangents.C[k]
    return replace(system, **fields)
