"""CMA-ES by pycma's ask and tell, with random numbers of its own, no files, and implausible candidates drawn anew."""

from __future__ import annotations

import sys
import warnings
from types import ModuleType
from typing import Any
from typing import Protocol as TypingProtocol

import numpy as np

from mfm.errors import OutputError
from optim.objectives.base import IMPLAUSIBLE_LOSS
from optim.search.space import SearchSpace

# How many times the population is drawn anew before infeasible candidates are let in (unsimulated, with a graded loss).
_MAX_REDRAWS = 100


class Sampler(TypingProtocol):
    """A search distribution.

    One that was made with the same arguments and then given another's `state` by `load` goes on bit-equal to that one.
    """

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

    def state(self) -> dict[str, Any]:
        """What `load` needs, in plain types (`optim.search.checkpoint`)."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned; for a search that has done nothing yet."""
        ...


class _PrivateNormal:
    """`numpy.random.randn` on a generator of its own: pycma's default shares numpy's global state between searches."""

    def __init__(self, seed_sequence: np.random.SeedSequence):
        self.generator = np.random.default_rng(seed_sequence)

    def __call__(self, *shape: int):
        return self.generator.standard_normal(shape or None)


def imported_cma() -> ModuleType:
    """The package cma, imported late and without matplotlib.pyplot, which it would load and no search needs.

    That import takes a second, and fails where the environment asks for a backend that is not there, as in a notebook's cells.
    """
    if "cma" in sys.modules:
        return sys.modules["cma"]
    before = sys.modules.get("matplotlib")
    sys.modules["matplotlib"] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Could not import matplotlib")
            import cma
    finally:
        del sys.modules["matplotlib"]
        if before is not None:
            sys.modules["matplotlib"] = before
    return cma


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
        cma = imported_cma()
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
        self._losses: list[np.ndarray] = []
        self._last = np.zeros((0, len(start)))

    def ask(self) -> np.ndarray:
        return ask_feasible(lambda: np.array(self._es.ask()), self.space)

    def tell(self, u: np.ndarray, loss: np.ndarray) -> None:
        loss = check_finite(loss)
        self._es.tell(list(u), loss.tolist())
        self._losses.append(loss)
        self._last = np.array(u)

    def stopped(self) -> str:
        return ", ".join(self._es.stop())

    # pycma's own state is some forty attributes of nested objects, others in every version. What it was told decides them all,
    # and telling it again costs milliseconds per generation, since nothing is simulated: so the losses are what is kept.
    def state(self) -> dict[str, Any]:
        return {"losses": np.array(self._losses), "last": self._last}

    def load(self, state: dict[str, Any]) -> None:
        for loss in state["losses"]:
            self.tell(self.ask(), loss)
            self.stopped()  # as a search does: pycma's stopping rules remember when they were asked
        if not np.array_equal(self._last, state["last"]):
            raise OutputError(
                "A search by CMA-ES cannot go on from its checkpoint.",
                expected="the candidates that it asked for before",
                found=f"candidates that differ by up to {np.abs(self._last - state['last']).max():.3g}",
                cause="another machine or version of a library, which rounds otherwise",
                fix="go on where the fit began, or delete the checkpoint: the search starts anew",
            )

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
