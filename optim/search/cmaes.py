"""CMA-ES by pycma's ask and tell, kept from what surprises in it: shared random numbers, NaN, files, infeasible samples."""

from __future__ import annotations

from typing import Protocol as TypingProtocol

import numpy as np

from optim.objectives.base import IMPLAUSIBLE_LOSS
from optim.search.space import SearchSpace

# How many times the population is drawn anew before infeasible candidates are let in (unsimulated, with a graded loss).
_MAX_REDRAWS = 100


class Sampler(TypingProtocol):
    """A search distribution. Implementations pickle, and go on bit-equal from a pickle."""

    @property
    def step(self) -> float:
        """Mean standard deviation of the distribution over the search coordinates."""
        ...

    def ask(self) -> np.ndarray:
        """Candidates (P, D) in search coordinates, plausible wherever the distribution allows."""
        ...

    def tell(self, u: np.ndarray, loss: np.ndarray) -> None:
        """Losses (P,) of what `ask` returned; must be finite."""
        ...

    def stopped(self) -> str:
        """Why the distribution has converged, or an empty string."""
        ...


class _PrivateNormal:
    """`numpy.random.randn` on a generator of its own: pycma's default shares numpy's global state between searches."""

    def __init__(self, seed_sequence: np.random.SeedSequence):
        self.generator = np.random.default_rng(seed_sequence)

    def __call__(self, *shape: int):
        return self.generator.standard_normal(shape or None)


class CMAES:
    """pycma's CMA-ES from `start`, with rejection of implausible candidates inside the search distribution.

    Parameters
    ----------
    space : SearchSpace
    start : array, (D,)
    step : float
        Initial standard deviation, in search coordinates.
    population : int
    seed_sequence : numpy.random.SeedSequence
    """

    def __init__(
        self, space: SearchSpace, start: np.ndarray, step: float, population: int, seed_sequence: np.random.SeedSequence
    ):
        import cma  # late: it brings matplotlib.pyplot along

        self.space = space
        options = {
            "popsize": population,
            "seed": np.nan,  # leave numpy's global generator alone
            "randn": _PrivateNormal(seed_sequence),
            "verbose": -9,
            "verb_log": 0,
            "verb_disp": 0,
            "tolfun": 1e-4,  # costs of simulations are not known better
            "tolx": 1e-4,
        }
        self._es = cma.CMAEvolutionStrategy(np.asarray(start, dtype=np.float64), step, options)

    def ask(self) -> np.ndarray:
        return ask_feasible(lambda: np.array(self._es.ask()), self.space)

    def tell(self, u: np.ndarray, loss: np.ndarray) -> None:
        self._es.tell(list(u), check_finite(loss).tolist())

    def stopped(self) -> str:
        return ", ".join(self._es.stop())

    @property
    def step(self) -> float:
        return float(np.mean(self._es.stds))


def ask_feasible(draw, space: SearchSpace) -> np.ndarray:
    """A population of feasible candidates by rejection; the least violating ones fill up where feasible ones are too rare.

    Rejection keeps the shape of the search distribution inside the feasible region; neither clipping nor a penalty on
    simulated candidates does.
    """
    u = draw()
    population = len(u)
    violation = space.violation(u)
    for _ in range(_MAX_REDRAWS):
        if (violation[:population] == 0).all():
            break
        more = draw()
        u = np.concatenate([u, more])
        violation = np.concatenate([violation, space.violation(more)])
        # Stable: feasible candidates stay in the order of their draws, so that the first drawn are the first taken.
        keep = np.argsort(violation, kind="stable")[:population]
        u, violation = u[keep], violation[keep]
    return u


def implausible_loss(violation: np.ndarray) -> np.ndarray:
    """The loss of candidates that are not simulated: above all others, and falling towards the feasible region."""
    return IMPLAUSIBLE_LOSS + np.minimum(violation, 100.0)


def check_finite(loss: np.ndarray) -> np.ndarray:
    """`loss`, which must hold no NaN: pycma would sort it anywhere without a word."""
    loss = np.asarray(loss, dtype=np.float64)
    if not np.isfinite(loss).all():
        raise FloatingPointError("a loss that is not finite reached the search")
    return loss
