"""One search from one start: generations of candidates, their trace and their winners, resumable at every generation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from optim.config.optimizer import OptimizerConfig
from optim.objectives.audited import AuditedObjective
from optim.objectives.audits import AuditLog
from optim.objectives.base import Objective
from optim.objectives.linear import LinearObjective
from optim.search.checkpoint import load_checkpoint, save_checkpoint
from optim.search.cmaes import CMAES, Sampler, implausible_loss
from optim.search.delssome import DELSSOMESearch
from optim.search.gradient import GradientSearch
from optim.search.seeds import noise_keys, stream
from optim.search.space import SearchSpace

# Those that sample around one start; `GradientSearch` descends from several.
SAMPLERS: dict[str, Callable[..., Sampler]] = {"cmaes": CMAES, "delssome": DELSSOMESearch}


@dataclass(frozen=True)
class Generation:
    """One row of the trace, starts and generations from 1. Costs are of the best candidate within range, NaN without one."""

    start: int
    generation: int
    best_total: float
    best_corr: float
    best_mean_diff: float
    best_ks: float
    median_loss: float
    step: float
    share_in_range: float
    n_simulated: int
    seconds: float


@dataclass
class SearchState:
    """All that a search needs to go on: pickled after every generation."""

    start: int
    sampler: Sampler | None = None
    trace: list[Generation] = field(default_factory=list)
    initial_seconds: float = 0.0
    #: Best candidate within range of each generation that had one, in search coordinates.
    winners: list[np.ndarray] = field(default_factory=list)
    restarts: int = 0
    #: Random candidates scored before the search distributions began.
    n_initial: int = 0
    #: Of a search by a surrogate.
    audits: AuditLog = field(default_factory=AuditLog)

    @property
    def n_simulated(self) -> int:
        """Candidates scored so far."""
        return self.n_initial + sum(row.n_simulated for row in self.trace)


def run_search(
    space: SearchSpace,
    objective: Objective,
    optimizer: OptimizerConfig,
    noise: str,
    start: int,
    subject_id: str = "",
    checkpoint: Path | None = None,
    progress: Callable[[Generation], None] | None = None,
) -> SearchState:
    """Search from one start until its generations are spent.

    Parameters
    ----------
    space : SearchSpace
    objective : Objective
    optimizer : OptimizerConfig
    noise : {"shared", "independent"}
    start : int
        Number of the start, from 0; with `optimizer.seed` and the subject it decides every random number.
    subject_id : str
    checkpoint : path, optional
        Written after every generation; where it exists, the search goes on from it, bit-equal.
    progress : callable, optional
        Told of every generation.

    Returns
    -------
    SearchState

    Raises
    ------
    OutputError
        If the checkpoint cannot be read.
    """
    state = load_checkpoint(checkpoint) or SearchState(start)
    if isinstance(objective, AuditedObjective):
        objective.log = state.audits

    def seeds(purpose: str, *index: int) -> np.random.SeedSequence:
        return stream(optimizer.seed, subject_id, purpose, start, *index)

    while len(state.trace) < optimizer.generations:
        generation = len(state.trace)
        if state.sampler is None:
            _begin(state, space, objective, optimizer, noise, seeds)
        assert state.sampler is not None
        began = time.perf_counter()
        u = state.sampler.ask()
        loss, row = _score(u, space, objective, _noise_keys(seeds("search", generation), len(u), noise), state)
        state.sampler.tell(u, loss)
        seconds = time.perf_counter() - began
        state.trace.append(Generation(start + 1, generation + 1, **row, step=state.sampler.step, seconds=seconds))
        if state.sampler.stopped():
            state.sampler = None
            state.restarts += 1
        save_checkpoint(checkpoint, state)
        if progress is not None:
            progress(state.trace[-1])
    return state


def _begin(state: SearchState, space: SearchSpace, objective: Objective, optimizer: OptimizerConfig, noise: str, seeds) -> None:
    """A fresh search distribution around the best of some random candidates, or descents from the best of them."""
    began = time.perf_counter()
    n_starts = optimizer.population if optimizer.name == "gradient" else 1
    draw, keys = seeds("initial", state.restarts).spawn(2)
    u = space.draw(max(n_starts, optimizer.initial_candidates), np.random.default_rng(draw))
    if optimizer.initial_candidates > 1:
        loss, _ = _score(u, space, objective, _noise_keys(keys, len(u), noise), None)
        u = u[loss.argsort(kind="stable")]
        state.n_initial += len(u)
    sample = seeds("sampler", state.restarts)
    if isinstance(objective, LinearObjective) and optimizer.name == "gradient":
        state.sampler = GradientSearch(space, objective, u[:n_starts], sample)
    else:
        state.sampler = SAMPLERS[optimizer.name](space, u[0], optimizer.initial_step, optimizer.population, sample)
    state.initial_seconds += time.perf_counter() - began


def _noise_keys(seeds: np.random.SeedSequence, n: int, noise: str) -> list[int]:
    return noise_keys(seeds, 1) * n if noise == "shared" else noise_keys(seeds, n)


def _score(u, space: SearchSpace, objective: Objective, keys: list[int], state: SearchState | None):
    """Losses of a population, and its row of the trace; the best within range joins `state.winners`."""
    violation = space.violation(u)
    loss = implausible_loss(violation)
    feasible = np.flatnonzero(violation == 0)
    row = dict.fromkeys(("best_total", "best_corr", "best_mean_diff", "best_ks"), float("nan"))
    row |= {"share_in_range": 0.0, "n_simulated": len(feasible), "median_loss": float("nan")}
    if len(feasible):
        p = space.parameterisation.to_parameters(space.to_coefficients(u[feasible]))
        evaluation = objective.evaluate(p, [keys[k] for k in feasible])
        loss[feasible] = evaluation.loss.numpy()
        row["share_in_range"] = float(evaluation.within_range.double().mean()) * len(feasible) / len(u)
        best = int(loss[feasible].argmin())
        if evaluation.within_range[best] and math.isfinite(float(evaluation.cost.total[best])):
            terms = ("total", "corr", "mean_diff", "ks")
            row |= {f"best_{term}": float(getattr(evaluation.cost, term)[best]) for term in terms}
            if state is not None:
                state.winners.append(u[feasible[best]])
    row["median_loss"] = float(np.median(loss))
    return loss, row
