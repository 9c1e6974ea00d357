"""The verdict of a refinement is made of its terms, of comparisons on the held-out scan, and of what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfm import Connectome, FICParameters
from optim.refine.task import Task


@dataclass(frozen=True)
class ResidualTerm:
    """A residual's term is one of its coefficients, with what the scans can tell and did tell of it.

    Attributes
    ----------
    name : str
    error_frozen, error : float
        Standard error that scans such as those learned from give, before learning: with the fit held, and with the fit free
        around its optimum.
    prior_std : float
    refused : bool
        Whether `error` is above half of `prior_std`, so that the term was not learned.
    value, value_error : float
        Learned with the fit held; NaN where refused.
    value_free, value_free_error : float
        Learned with the fit free.
    polished : float
        `value` without the error that linear theory makes in it, found by simulation; NaN where it was not asked for.
    bias, bias_error : float
        That error, and its own Monte Carlo error.
    spread : float
        Standard deviation of the estimates over simulated scans: the standard error without theory.
    retest, retest_error, retest_z : float
        Learned from the held-out scan instead, and the difference over its standard error.
    """

    name: str
    error_frozen: float
    error: float
    prior_std: float
    refused: bool
    value: float = float("nan")
    value_error: float = float("nan")
    value_free: float = float("nan")
    value_free_error: float = float("nan")
    polished: float = float("nan")
    bias: float = float("nan")
    bias_error: float = float("nan")
    spread: float = float("nan")
    retest: float = float("nan")
    retest_error: float = float("nan")
    retest_z: float = float("nan")


@dataclass(frozen=True)
class Comparison:
    """A comparison sets two models against each other on the held-out scan.

    Attributes
    ----------
    model, against : str
    gain : float
        Log-likelihood of the first minus that of the second, nats (FC only: half the difference of squared misfits).
    low, high : float
        95 % interval by bootstrap over frequencies; NaN for FC.
    fc_r, fc_r_against : float
        Correlation of each model's FC with that of the scan.
    """

    model: str
    against: str
    gain: float
    low: float
    high: float
    fc_r: float
    fc_r_against: float

    @property
    def is_better(self) -> bool:
        """Tell whether the interval, or where there is none the gain, is above zero."""
        return (self.gain if np.isnan(self.low) else self.low) > 0


@dataclass(frozen=True, eq=False)
class Refinement:
    """A refinement is what came out: terms, comparisons, nulls, and the refined model.

    Attributes
    ----------
    terms : tuple of ResidualTerm
    comparisons : tuple of Comparison
        Empty where every term was refused.
    placebo_gains, spin_gains : array
        Held-out gain over the mechanism in scans without a residual, and with other maps.
    placebo_p, spin_p : float
        Share of these, and of the one that is tested, with at least its gain; NaN where none was asked for.
    agreement : float
        Share of starts that ended where the best did.
    reasons : tuple of str
        What speaks against a residual; empty is evidence for one.
    in_range : float
        Share of the scans simulated for the polish in which all regions kept their rates; NaN where there were none.
    parameters, sc : FICParameters and Connectome
        The refined model, fit held, coefficients polished: it simulates like any other. The fit's own where nothing was
        learned.
    slopes : array, (N,)
        Per second.
    edges : array, (N, N)
        Added to the connectome.
    abscissa_limited, bound_limited : bool
        Whether the residual ended at the limit of stability, or at its bound.
    converged : bool
    """

    terms: tuple[ResidualTerm, ...]
    comparisons: tuple[Comparison, ...]
    placebo_gains: np.ndarray
    spin_gains: np.ndarray
    placebo_p: float
    spin_p: float
    agreement: float
    reasons: tuple[str, ...]
    in_range: float
    parameters: FICParameters
    sc: Connectome
    slopes: np.ndarray
    edges: np.ndarray
    abscissa_limited: bool
    bound_limited: bool
    converged: bool

    @property
    def is_supported(self) -> bool:
        """Tell whether nothing speaks against a residual."""
        return not self.reasons

    @property
    def verdict(self) -> str:
        """Say the verdict in words."""
        if self.is_supported:
            return "evidence for a residual"
        return "no evidence for a residual: " + "; ".join(self.reasons)


def reasons_against(
    task: Task, comparisons: list[Comparison], placebo_p: float, spin_p: float, in_range: float
) -> tuple[str, ...]:
    """List what speaks against a residual; an empty list is evidence for one."""
    against = [f"held out, it does not beat the {one.against}" for one in comparisons[:3] if not one.is_better]
    for name, p in (("placebos", placebo_p), ("permuted maps", spin_p)):
        if np.isnan(p):
            against.append(f"not compared with {name}")
        elif p > task.config.level:
            against.append(f"{name} do as well (p = {p:.3f})")
    if in_range < 0.5:
        against.append("simulated, it does not hold 3 Hz")
    return tuple(against)
