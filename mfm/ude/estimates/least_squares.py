"""Sums of terms are fitted by multiple-shooting least squares (Bock 1983): coefficients with standard errors.

No observer: this is where a formula is judged. Derivatives are central differences, all directions in one pass as members of an
ensemble, so that a Jacobian costs little more than an integration.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mfm.errors import InputError
from mfm.ude.data.trajectories import Trajectories
from mfm.ude.equations.hybrid import Hybrid
from mfm.ude.equations.residuals import ResidualBasis
from mfm.ude.training.checks import check_fit
from mfm.ude.training.losses import PredictionError
from mfm.ude.training.shooting import Segments

# The gaps are closed step by step: from a weight at which far starts still converge to gaps of a tenth of the noise.
_GAP_WEIGHTS = (1.0, 10.0, 100.0)
_MOST_EVALUATIONS = 40

# Steps of the differences: in coefficients, relative to 1 + their size; in first states, in units of their reach.
_DIFFERENCE = 1e-6


@dataclass(frozen=True, eq=False)
class LeastSquaresFit:
    """This fit holds the coefficients of a formula, fitted to a series without an observer.

    Attributes
    ----------
    model : Hybrid
        With the coefficients found.
    coefficients, errors : array, (P,)
        Of all residuals, one after the other, with standard errors (independent errors, scaled to the misfit found).
    misfit : float
        Root mean square of the prediction errors in units of the noise: 1 where the model explains the data.
    bic : float
        Bayesian information criterion; lower is better, for the same data.
    states : tensor, (K, samples, N, D)
        The trajectory.
    converged : bool
    """

    model: Hybrid
    coefficients: np.ndarray
    errors: np.ndarray
    misfit: float
    bic: float
    states: Tensor
    converged: bool

    @property
    def formula(self) -> str:
        """Write each residual as text, coefficients with standard errors."""
        parts, first = [], 0
        for residual in basis_residuals(self.model):
            n = len(residual.library)
            span = slice(first, first + n)
            text = residual.library.formula(self.coefficients[span].tolist(), self.errors[span].tolist())
            parts.append(f"{residual.target}: {text}")
            first += n
        return "; ".join(parts)


def least_squares(
    model: Hybrid,
    series: Trajectories,
    loss: PredictionError | None = None,
    *,
    path: Tensor | None = None,
    gap_weights: Sequence[float] = _GAP_WEIGHTS,
) -> LeastSquaresFit:
    """Fit the coefficients of `ResidualBasis` residuals, and the segments' first states, by least squares.

    Parameters
    ----------
    model : Hybrid
        All residuals are `ResidualBasis` of one member, whose coefficients are where the search starts.
    series : Trajectories
        One data set.
    loss : PredictionError, optional
        Its segments and scales; its observer is not used.
    path : tensor, (K, T, N, D), optional
        A trajectory from which the first states are taken; default a smoothed one.
    gap_weights : sequence of float
        Weights of the gaps between segments, in turn.

    Returns
    -------
    LeastSquaresFit

    Raises
    ------
    InputError
        If a residual is not a `ResidualBasis`, or model and data do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.ude import Hybrid, NoMechanism, ResidualBasis, Trajectories, least_squares
    >>> noise = 0.01 * np.random.default_rng(0).normal(size=60)
    >>> decay = Trajectories((np.exp(-0.1 * np.arange(60)) + noise)[:, None], 0.1, ["x"])
    >>> model = Hybrid(NoMechanism(("x",)), ResidualBasis("x", ("x",), degree=1))
    >>> least_squares(model, decay).formula
    'x: +0.00418(+-0.002) -1.022(+-0.011) x'
    """
    check_fit(model, series)
    if series.members != 1 or model.members != 1 or len(basis_residuals(model)) != len(model.residuals):
        raise InputError(
            "Least squares needs residuals that are sums of terms, and one data set.",
            expected="ResidualBasis with members=1",
            found=f"{model!r}; {series.members} data sets",
        )
    segments = (loss or PredictionError()).segments(model, series, None if path is None else path[None])
    return _Search(copy.deepcopy(model), segments).run(gap_weights)


def basis_residuals(model: Hybrid) -> list[ResidualBasis]:
    """List the residuals that are sums of terms."""
    return [residual for residual in model.residuals if isinstance(residual, ResidualBasis)]


class _Roll(nn.Module):
    """Predictions and gaps as a function of coefficients and first states, for functional calls."""

    def __init__(self, model: Hybrid, segments: Segments):
        super().__init__()
        self.model, self.segments = model, segments

    def forward(self, offsets: Tensor) -> tuple[Tensor, Tensor]:
        self.segments.offsets = offsets
        rollout = self.segments.roll(self.model)
        return self.segments.misfits(rollout), rollout.gaps


class _Search:
    """The unknowns as one vector: coefficients, then offsets of the first states."""

    def __init__(self, model: Hybrid, segments: Segments):
        self.model, self.segments = model, segments
        del segments.offsets
        self.shape = segments.start.shape[1:]  # M, N, D
        self.n_each = [len(residual.library) for residual in basis_residuals(model)]
        self.P = sum(self.n_each)
        there = segments.weights[0] > 0
        # A sample that ends a segment and starts the next one is one sample.
        there[torch.arange(len(there)) % segments.per_trajectory > 0, 0] = False
        self.rows = there.flatten()

    def run(self, gap_weights: Sequence[float]) -> LeastSquaresFit:
        from scipy.optimize import least_squares as solve

        start = torch.cat([r.coefficients.detach()[0] for r in basis_residuals(self.model)]) if self.P else torch.zeros(0)
        v = np.concatenate([start.double().numpy(), np.zeros(int(np.prod(self.shape)))])
        converged = True
        n_gaps = self.segments.n_trajectories * (self.segments.per_trajectory - 1)
        for weight in gap_weights if n_gaps else (1.0,):
            self._weight = float(np.sqrt(weight))
            self._last: tuple[bytes, np.ndarray, np.ndarray] | None = None
            try:
                found = solve(
                    lambda u: self._evaluate(u)[0],
                    v,
                    jac=lambda u: self._evaluate(u)[1],
                    x_scale="jac",
                    method="trf",
                    max_nfev=_MOST_EVALUATIONS,
                    ftol=1e-8,
                    xtol=1e-8,
                )
            except (ValueError, np.linalg.LinAlgError):  # not finite from where it starts
                converged = False
                break
            v, converged = found.x, found.status > 0
        return self._result(v, converged)

    def _evaluate(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Errors and their Jacobian, kept for the second of the two calls that ask for them."""
        if self._last is None or self._last[0] != v.tobytes():
            self._last = (v.tobytes(), *self._jacobian(v))
        return self._last[1], self._last[2]

    def _jacobian(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        M, N, D = self.shape
        per_start = N * D
        directions = self.P + per_start
        unknowns = torch.from_numpy(v)
        towards = torch.eye(directions, dtype=torch.float64)
        size = _DIFFERENCE * torch.cat([1 + unknowns[: self.P].abs(), torch.ones(per_start, dtype=torch.float64)])
        moves = torch.cat([size[:, None] * towards, -size[:, None] * towards, torch.zeros(1, directions, dtype=torch.float64)])
        c = unknowns[: self.P] + moves[:, : self.P]
        x = unknowns[self.P :].reshape(1, M, N, D) + moves[:, self.P :].reshape(-1, 1, N, D)
        given = {
            f"model.residuals.{k}.coefficients": part for k, part in enumerate(c.split(self.n_each, dim=1)) if part.numel()
        }
        with torch.no_grad():
            errors, gaps = torch.func.functional_call(_Roll(self.model, self.segments), given, (x,))
        if not (torch.isfinite(errors).all() and torch.isfinite(gaps).all()):
            raise ValueError("not finite")
        step = (2 * size).reshape(-1, *[1] * (errors.ndim - 1))
        de = (errors[:directions] - errors[directions:-1]) / step
        dg = (gaps[:directions] - gaps[directions:-1]) / step.reshape(-1, *[1] * (gaps.ndim - 1))
        return self._assemble(errors[-1], de, gaps[-1], dg)

    def _assemble(self, e: Tensor, de: Tensor, g: Tensor, dg: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The vector of errors (data, then gaps) and its Jacobian, from directional derivatives."""
        M, N, D = self.shape
        keep = self.rows.numpy()
        per_start, n_gap_rows = N * D, g.numel()
        J = np.zeros((int(keep.sum()) + n_gap_rows, self.P + M * per_start))
        J[: keep.sum(), : self.P] = de[: self.P].flatten(1).numpy().T[keep]
        data = de[self.P :].reshape(per_start, M, -1).numpy()  # direction, segment, rows of that segment
        rows_of = np.cumsum(np.concatenate([[0], keep.reshape(M, -1).sum(axis=1)]))
        for m in range(M):
            columns = slice(self.P + m * per_start, self.P + (m + 1) * per_start)
            J[rows_of[m] : rows_of[m + 1], columns] = data[:, m][:, keep.reshape(M, -1)[m]].T
        J[keep.sum() :, : self.P] = self._weight * dg[: self.P].flatten(1).numpy().T
        self._assemble_gaps(J[keep.sum() :, self.P :], dg[self.P :].numpy())
        vector = np.concatenate([e.flatten().numpy()[keep], self._weight * g.flatten().numpy()])
        return vector, J

    def _assemble_gaps(self, J: np.ndarray, dg: np.ndarray) -> None:
        """Gap j of a trajectory depends on the first state of segment j, and on that of the next one directly."""
        _, N, D = self.shape
        per_start, per = N * D, self.segments.per_trajectory
        own = np.diag((self.segments.reach / self.segments.tolerance).expand(1, 1, N, D).flatten().numpy())
        for k in range(self.segments.n_trajectories):
            for j in range(per - 1):
                gap, segment = k * (per - 1) + j, k * per + j
                rows = slice(gap * per_start, (gap + 1) * per_start)
                both = dg[:, gap].reshape(per_start, per_start).T
                # All first states move along a direction at once: the next one's own part is minus its unit.
                J[rows, segment * per_start : (segment + 1) * per_start] = self._weight * (both + own)
                J[rows, (segment + 1) * per_start : (segment + 2) * per_start] = -self._weight * own

    def _result(self, v: np.ndarray, converged: bool) -> LeastSquaresFit:
        model, segments = self.model, self.segments
        first = 0
        with torch.no_grad():
            for residual, n in zip(basis_residuals(model), self.n_each, strict=True):
                residual.coefficients.copy_(torch.from_numpy(v[None, first : first + n]))
                first += n
        segments.offsets = torch.from_numpy(v[self.P :]).reshape(1, *self.shape)
        n_data = int(self.rows.sum())
        try:
            vector, J = self._jacobian(v)
            free = self.P + segments.n_trajectories * int(np.prod(self.shape[1:]))
            rss = float((vector[:n_data] ** 2).sum())
            scale = rss / max(n_data - free, 1)
            covariance = np.linalg.pinv(J.T @ J, hermitian=True) * scale
            errors = np.sqrt(np.maximum(covariance.diagonal()[: self.P], 0.0))
            # The gaps' misfit counts: a trajectory in pieces is no explanation.
            bic = n_data * float(np.log((vector**2).sum() / n_data)) + free * float(np.log(n_data))
        except (ValueError, np.linalg.LinAlgError):
            converged, rss, bic, errors = False, float("nan"), float("inf"), np.full(self.P, np.nan)
        if not np.isfinite(bic):
            converged, bic = False, float("inf")
        return LeastSquaresFit(
            model, v[: self.P].copy(), errors, float(np.sqrt(rss / n_data)), bic, segments.path(model)[0], bool(converged)
        )
