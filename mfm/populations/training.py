"""A closure is learned from networks of some densities, by least squares on free-running trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.optimize

from mfm.errors import InputError
from mfm.populations.closure import ALL_TERMS, FORMULA_TERMS, Closure, term_mask
from mfm.populations.network import Network
from mfm.populations.neural_mass import MassSeries, NeuralMass
from mfm.populations.simulate import Activity, MacroState

# Rates and activations are compared as means over so many bins: spikes of single bins are few.
_BINS_COMPARED = 10

# Fits first see the beginning of the trajectories, and go on from there: a phase that is off by half a period has no gradient.
_HORIZONS = (100, 200, 400, 800)

# A weak pull to 0, so that what the data do not determine stays small.
_RIDGE = 3e-3

# Where a fit starts: a narrower distribution and more current, as adaptation has it, and a memory of it.
_START = {"delta: 1": -0.7, "I: 1": 0.25, "delta: m": -0.3, "m: 1": 0.2}


@dataclass(frozen=True, eq=False)
class ObservedNetwork:
    """An observed network is a network, and what it did from `initial` on.

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
    initial: MacroState = field(default_factory=MacroState)

    def __post_init__(self):
        if len(self.activity.time) < 2 * _HORIZONS[0]:
            raise InputError(
                "The activity is too short to learn from.",
                expected=f"at least {2 * _HORIZONS[0]} bins",
                found=str(len(self.activity.time)),
            )
        if self.activity.rate.shape[2] != 1:
            raise InputError(
                "A closure is learned from networks of one population.", found=f"{self.activity.rate.shape[2]} populations"
            )

    @property
    def noise(self) -> tuple[float, float]:
        """Return Monte Carlo errors of mean rate and activation, relative; no model comes below. NaN for one realisation."""
        return _noise(self.activity.rate[:, :, 0]), _noise(self.activity.s[:, :, 0])

    def errors(self, closure: Closure) -> tuple[float, float]:
        """Compute errors of r(t) and s(t) that a closure leaves: root mean square over that of the network.

        They count from the start of the run; the network's noise is in them.
        """
        misfit = self.misfit(closure, len(self.activity.time))
        half = len(misfit) // 2
        return float(np.linalg.norm(misfit[:half])), float(np.linalg.norm(misfit[half:]))

    def predict(self, closure: Closure, bins: int | None = None) -> MassSeries:
        """Run the neural mass with this closure freely from the start."""
        bin = self.activity.bin
        bins = len(self.activity.time) if bins is None else bins
        mass = NeuralMass(self.network, closure)
        return mass.predict(bins * bin, dt=bin / max(1, round(2 * bin)), bin=bin, initial=self.initial)

    def misfit(self, closure: Closure, bins: int) -> np.ndarray:
        """Compute deviations of r, then of s, over the first `bins`; each half has the norm that `errors` returns."""
        series = self.predict(closure, bins)
        parts = []
        for predicted, seen in ((series.rate, self.activity.rate), (series.s, self.activity.s)):
            target = _coarse(seen[:, :bins, 0].mean(axis=0))
            difference = np.nan_to_num(_coarse(predicted[:, 0]) - target, nan=1.0)
            parts.append(difference / np.linalg.norm(target))
        return np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class ClosureFit:
    """A closure fit is a learned closure.

    Attributes
    ----------
    closure : Closure
    terms : tuple of str
        What was fitted in it.
    error : float
        Root mean square of the relative errors that it leaves in the networks it was trained on.
    """

    closure: Closure
    terms: tuple[str, ...]
    error: float


def fit_closure(
    observations: Sequence[ObservedNetwork], terms: Sequence[str] = ALL_TERMS, *, start: Closure | None = None
) -> ClosureFit:
    """Learn a closure so that neural masses, run freely from the start, follow the networks' r(t) and s(t).

    Parameters
    ----------
    observations : sequence of ObservedNetwork
        Networks of several densities (or sizes).
    terms : sequence of str
        Which terms may differ from 0; default all.
    start : Closure, optional
        Go on from here over the whole length, instead of growing from the beginning. What it holds besides `terms` stays.

    Raises
    ------
    InputError
        If there is nothing to learn from, or a term is unknown.

    Notes
    -----
    Levenberg-Marquardt with derivatives by differences: a trajectory takes milliseconds, and there are some twenty
    coefficients.
    """
    mask = term_mask(terms)
    if not observations:
        raise InputError("A closure needs networks to learn from.", found="no observations")
    usual = np.array([_START.get(term, 0.0) for term in ALL_TERMS]).reshape(mask.shape)
    first = usual * mask if start is None else start.coefficients
    free = first[mask]
    longest = max(len(o.activity.time) for o in observations)
    horizons = [h for h in _HORIZONS if h < longest and start is None] + [longest]

    def closure(free: np.ndarray) -> Closure:
        filled = first.copy()
        filled[mask] = free
        return Closure(filled)

    for horizon in horizons:

        def misfit(free: np.ndarray, horizon: int = horizon) -> np.ndarray:
            now = closure(free)
            parts = [o.misfit(now, min(horizon, len(o.activity.time))) for o in observations]
            return np.concatenate([*parts, _RIDGE * free])

        free = scipy.optimize.least_squares(misfit, free, x_scale=0.3, max_nfev=60, diff_step=1e-4, ftol=1e-6).x
    best = closure(free)
    return ClosureFit(best, tuple(terms), closure_error(observations, best))


def extract_closure(
    observations: Sequence[ObservedNetwork],
    terms: Sequence[str] = FORMULA_TERMS,
    *,
    base: Closure | None = None,
    gain: float = 1 / 3,
    most: int = 5,
) -> list[ClosureFit]:
    """Choose terms one by one, the one that lowers the error most first, all chosen ones refitted each time.

    Parameters
    ----------
    observations : sequence of ObservedNetwork
    terms : sequence of str
        The library.
    base : Closure, optional
        What is known already; it stays as it is but for terms that are chosen. Default: the neural mass alone.
    gain : float
        The path ends where the best of the next terms lowers the error by less than this share.
    most : int
        Largest number of terms.

    Returns
    -------
    list of ClosureFit
        `base` first, the formula last.

    Raises
    ------
    InputError
        As for `fit_closure`.
    """
    base = base or Closure.none()
    path = [ClosureFit(base, (), closure_error(observations, base))]
    while len(path) <= min(most, len(terms)):
        last = path[-1]
        tried = [fit_closure(observations, (*last.terms, term), start=last.closure) for term in terms if term not in last.terms]
        best = min(tried, key=lambda fit: fit.error)
        if best.error > (1 - gain) * last.error:
            break
        path.append(best)
    return path


def closure_error(observations: Sequence[ObservedNetwork], closure: Closure) -> float:
    """Compute the relative error that a closure leaves: root mean square over networks, and over rate and activation."""
    return float(np.sqrt(np.mean([np.square(o.errors(closure)) for o in observations])))


def _coarse(x: np.ndarray) -> np.ndarray:
    return x[: len(x) // _BINS_COMPARED * _BINS_COMPARED].reshape(-1, _BINS_COMPARED).mean(axis=1)


def _noise(x: np.ndarray) -> float:
    if len(x) < 2:
        return float("nan")
    coarse = np.stack([_coarse(row) for row in x])
    return float(np.sqrt((coarse.var(axis=0, ddof=1) / len(x)).mean() / np.square(coarse.mean(axis=0)).mean()))
