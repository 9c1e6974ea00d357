"""Learning a closure from networks of some densities, by least squares on free-running trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize

from mfm.errors import InputError
from mfm.populations.closure import Closure, family_mask
from mfm.populations.network import Network
from mfm.populations.neural_mass import MassSeries, NeuralMass
from mfm.populations.simulate import Activity, MacroState

# Rates and activations are compared as means over so many bins: spikes of single bins are few.
_BINS_COMPARED = 10

# Fits first see the beginning of the trajectories, and go on from there: a phase that is off by half a period has no gradient.
_HORIZONS = (100, 200, 400, 800)

# A weak pull to 0, so that what the data do not determine stays small.
_RIDGE = 3e-3

# Where a fit starts: a narrower distribution and more current, as adaptation has it.
_START_DELTA, _START_CURRENT, _START_MEMORY = -0.7, 0.25, (-0.3, 0.2)


@dataclass(frozen=True, eq=False)
class Observation:
    """A network, and what it did from `initial` on.

    Parameters
    ----------
    network : Network
        Of one population.
    activity : Activity
        Its realisations are averaged.
    initial : MacroState
    """

    network: Network
    activity: Activity
    initial: MacroState = MacroState()

    def __post_init__(self):
        if len(self.activity.time) < 2 * _HORIZONS[0]:
            raise InputError(
                "The activity is too short to learn from.",
                expected=f"at least {2 * _HORIZONS[0]} bins",
                found=str(len(self.activity.time)),
            )

    @property
    def noise(self) -> tuple[float, float]:
        """Relative Monte Carlo errors of the mean rate and activation: what no model can do better than. NaN for one realisation."""
        return tuple(_noise(x[:, :, 0]) for x in (self.activity.rate, self.activity.s))  # type: ignore[return-value]

    def errors(self, closure: Closure) -> tuple[float, float]:
        """Relative errors of r(t) and s(t) that a closure leaves: root mean square over that of the network.

        They count from the start of the run; the network's noise is in them.
        """
        misfit = self.misfit(closure, len(self.activity.time))
        half = len(misfit) // 2
        return float(np.linalg.norm(misfit[:half])), float(np.linalg.norm(misfit[half:]))

    def predict(self, closure: Closure, bins: int | None = None) -> MassSeries:
        """The neural mass with this closure, run freely from the start."""
        bin = self.activity.bin
        bins = len(self.activity.time) if bins is None else bins
        mass = NeuralMass(self.network, closure)
        return mass.predict(bins * bin, dt=bin / max(1, round(bin / 0.25)), bin=bin, initial=self.initial)

    def misfit(self, closure: Closure, bins: int) -> np.ndarray:
        """Relative deviations of r, then of s, over the first `bins`; each half has the norm that `errors` returns."""
        series = self.predict(closure, bins)
        parts = []
        for predicted, seen in ((series.rate, self.activity.rate), (series.s, self.activity.s)):
            target = _coarse(seen[:, :bins, 0].mean(axis=0))
            difference = np.nan_to_num(_coarse(predicted[:, 0]) - target, nan=1.0)
            parts.append(difference / np.linalg.norm(target))
        return np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class ClosureFit:
    """A learned closure.

    Attributes
    ----------
    closure : Closure
    error : float
        Root mean square of the relative errors over the networks it was trained on.
    precision : array, (3, 7)
        Inverse variances of the coefficients up to a factor, others refitted: how sharply the error rises when one is moved.
    """

    closure: Closure
    error: float
    precision: np.ndarray


def fit_closure(
    observations: Sequence[Observation], family: str = "memory", *, start: Closure | None = None, mask: np.ndarray | None = None
) -> ClosureFit:
    """Learn a closure so that neural masses, run freely from the start, follow the networks' r(t) and s(t).

    Parameters
    ----------
    observations : sequence of Observation
        Networks of several densities (or sizes).
    family : {"width", "linear", "memory"}
        Which corrections are allowed, see `family_mask`.
    start : Closure, optional
        Go on from here over the whole length, instead of growing from the beginning.
    mask : array of bool, (3, 7), optional
        Coefficients that may differ from 0, instead of those of the family.

    Raises
    ------
    InputError
        If there is nothing to learn from, or fewer values than coefficients.

    Notes
    -----
    Levenberg-Marquardt with derivatives by differences: a trajectory takes milliseconds, and there are some twenty coefficients.
    """
    mask = family_mask(family) if mask is None else np.asarray(mask, bool)
    if not observations:
        raise InputError("A closure needs networks to learn from.", found="no observations")
    values = sum(2 * (len(o.activity.time) // _BINS_COMPARED) for o in observations)
    if values < mask.sum():
        raise InputError("Fewer values than coefficients.", expected=f"at least {mask.sum()}", found=str(values))
    coefficients = (_start(mask) if start is None else start.coefficients) * mask
    longest = max(len(o.activity.time) for o in observations)
    horizons = [h for h in _HORIZONS if h < longest and start is None] + [longest]

    def closure(free: np.ndarray) -> Closure:
        filled = np.zeros(mask.shape)
        filled[mask] = free
        return Closure(filled)

    for horizon in horizons:

        def misfit(free: np.ndarray, horizon: int = horizon) -> np.ndarray:
            now = closure(free)
            parts = [o.misfit(now, min(horizon, len(o.activity.time))) for o in observations]
            return np.concatenate([*parts, _RIDGE * free])

        found = scipy.optimize.least_squares(misfit, coefficients[mask], x_scale=0.3, max_nfev=60, diff_step=1e-4)
        coefficients = closure(found.x).coefficients
    best = Closure(coefficients)
    precision = np.zeros(mask.shape)
    precision[mask] = 1 / np.diag(np.linalg.inv(found.jac.T @ found.jac))
    return ClosureFit(best, _error(observations, best), precision)


def sparsify(observations: Sequence[Observation], fit: ClosureFit, tolerance: float = 0.1) -> list[ClosureFit]:
    """Remove terms one by one, refitting the others, as long as the error stays within `tolerance` of the full closure's.

    The term goes whose removal the curvature says to cost least (Wald's statistic). Returned are all fits, the full one first, the
    sparsest last.
    """
    path = [fit]
    while True:
        coefficients = path[-1].closure.coefficients
        present = coefficients != 0
        if present.sum() <= 1:
            return path
        cost = np.where(present, coefficients**2 * path[-1].precision, np.inf)
        mask = present.copy()
        mask[np.unravel_index(cost.argmin(), cost.shape)] = False
        smaller = fit_closure(observations, start=path[-1].closure, mask=mask)
        if smaller.error > (1 + tolerance) * fit.error:
            return path
        path.append(smaller)


def _error(observations: Sequence[Observation], closure: Closure) -> float:
    return float(np.sqrt(np.mean([np.square(o.errors(closure)) for o in observations])))


def _start(mask: np.ndarray) -> np.ndarray:
    start = np.zeros(mask.shape)
    start[0, 0], start[1, 0] = _START_DELTA, _START_CURRENT
    start[0, 6], start[2, 0] = _START_MEMORY
    return start * mask


def _coarse(x: np.ndarray) -> np.ndarray:
    return x[: len(x) // _BINS_COMPARED * _BINS_COMPARED].reshape(-1, _BINS_COMPARED).mean(axis=1)


def _noise(x: np.ndarray) -> float:
    if len(x) < 2:
        return float("nan")
    coarse = np.stack([_coarse(row) for row in x])
    return float(np.sqrt((coarse.var(axis=0, ddof=1) / len(x)).mean() / np.square(coarse.mean(axis=0)).mean()))
