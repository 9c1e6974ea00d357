"""One search from one start: generations of candidates, their trace and their winners, resumable at every generation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mfm import CostValues
from mfm.errors import ConfigError
from optim.config.optimizer import CMAESConfig, DelssomeConfig, GradientConfig, OptimizerConfig
from optim.objectives.audited import AuditedObjective
from optim.objectives.audits import AuditLog
from optim.objectives.base import Objective
from optim.objectives.linear import LinearObjective
from optim.objectives.rows import cost_columns
from optim.search.checkpoint import Checkpoint
from optim.search.cmaes import CMAES, Sampler, implausible_loss
from optim.search.delssome import DELSSOMESearch
from optim.search.gradient import GradientSearch
from optim.search.seeds import noise_keys, stream
from optim.search.space import SearchSpace

# Those that sample around one start; `GradientSearch` descends from several.
SAMPLERS: dict[str, Callable[..., Sampler]] = {"cmaes": CMAES, "delssome": DELSSOMESearch}


@dataclass(frozen=True)
class Generation:
    """One row of the trace, starts and generations from 1; `best` is the cost of the best candidate within range, or NaN."""

    start: int
    generation: int
    best: CostValues = field(metadata=cost_columns("best_", total_first=True))
    median_loss: float
    step: float
    share_in_range: float
    n_simulated: int
    seconds: float

    @property
    def best_total(self) -> float:
        """Total cost of the best candidate."""
        return self.best.total


@dataclass
class SearchState:
    """Everything that a search needs to go on."""

    start: int
    sampler: Sampler | None = None
    #: Search coordinates (P, D) that the sampler began at.
    origin: np.ndarray | None = None
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

    def as_plain(self) -> dict[str, Any]:
        """The state in plain types, for a checkpoint."""
        return {
            **vars(self),
            "sampler": None if self.sampler is None else self.sampler.state(),
            "trace": [{**vars(row), "best": dict(row.best.terms)} for row in self.trace],
            "audits": self.audits.as_plain(),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any], make_sampler: Callable[[SearchState], Sampler]) -> SearchState:
        """The state of which `plain` was kept; `make_sampler` makes the sampler that it had in the beginning."""
        trace = [Generation(**{**row, "best": CostValues(row["best"])}) for row in plain["trace"]]
        state = cls(**{**plain, "sampler": None, "trace": trace, "audits": AuditLog.from_plain(plain["audits"])})
        if plain["sampler"] is not None:
            state.sampler = make_sampler(state)
            state.sampler.load(plain["sampler"])
        return state


def run_search(
    space: SearchSpace,
    objective: Objective,
    optimizer: OptimizerConfig,
    noise: str,
    start: int,
    subject_id: str = "",
    checkpoint: Checkpoint | None = None,
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
    checkpoint : Checkpoint, optional
        Saved after every generation; where there is one, the search goes on from it, bit-equal.
    progress : callable, optional
        Called with every generation.

    Returns
    -------
    SearchState

    Raises
    ------
    OutputError
        If the checkpoint cannot be read, or is of another fit.
    """

    def seeds(purpose: str, *index: int) -> np.random.SeedSequence:
        return stream(optimizer.seed, subject_id, purpose, start, *index)

    def sampler(state: SearchState) -> Sampler:
        return _sampler(optimizer, space, objective, state.origin, seeds("sampler", state.restarts))

    kept = None if checkpoint is None else checkpoint.load()
    state = SearchState(start) if kept is None else SearchState.from_plain(kept, sampler)
    if isinstance(objective, AuditedObjective):
        objective.log = state.audits
    while len(state.trace) < optimizer.generations:
        generation = len(state.trace)
        if state.sampler is None:
            state.origin = _origin(state, space, objective, optimizer, noise, seeds("initial", state.restarts))
            state.sampler = sampler(state)
        began = time.perf_counter()
        u = state.sampler.ask()
        loss, row = _score(u, space, objective, _noise_keys(seeds("search", generation), len(u), noise), state)
        state.sampler.tell(u, loss)
        seconds = time.perf_counter() - began
        state.trace.append(Generation(start + 1, generation + 1, **row, step=state.sampler.step, seconds=seconds))
        if state.sampler.stopped():
            state.sampler = None
            state.restarts += 1
        if checkpoint is not None:
            checkpoint.save(state.as_plain())
        if progress is not None:
            progress(state.trace[-1])
    return state


def _origin(state: SearchState, space: SearchSpace, objective: Objective, optimizer: OptimizerConfig, noise: str, seeds):
    """Search coordinates (P, D) to begin at: the best of some random candidates, one per descent or one for a distribution."""
    began = time.perf_counter()
    n_starts = optimizer.population if isinstance(optimizer, GradientConfig) else 1
    draw, keys = seeds.spawn(2)
    u = space.draw(max(n_starts, optimizer.initial_candidates), np.random.default_rng(draw))
    if optimizer.initial_candidates > 1:
        loss, _ = _score(u, space, objective, _noise_keys(keys, len(u), noise), None)
        u = u[loss.argsort(kind="stable")]
        state.n_initial += len(u)
    state.initial_seconds += time.perf_counter() - began
    return u[:n_starts]


def _sampler(
    optimizer: OptimizerConfig, space: SearchSpace, objective: Objective, origin, seeds: np.random.SeedSequence
) -> Sampler:
    """Descents from the rows of `origin`, or a fresh search distribution around its only one."""
    if isinstance(optimizer, GradientConfig) and isinstance(objective, LinearObjective):
        return GradientSearch(space, objective, origin, seeds)
    if isinstance(optimizer, CMAESConfig | DelssomeConfig):
        return SAMPLERS[optimizer.name](space, origin[0], optimizer.initial_step, optimizer.population, seeds)
    raise ConfigError(
        "Only linear response gives a search a gradient.",
        expected="CMAESConfig or DelssomeConfig, or GradientConfig with a LinearObjective",
        found=f"{type(optimizer).__name__} with {type(objective).__name__}",
    )


def _noise_keys(seeds: np.random.SeedSequence, n: int, noise: str) -> list[int]:
    return noise_keys(seeds, 1) * n if noise == "shared" else noise_keys(seeds, n)


def _score(u, space: SearchSpace, objective: Objective, keys: list[int], state: SearchState | None):
    """Score a population: its losses, and its row of the trace. The best within range joins `state.winners`."""
    violation = space.violation(u)
    loss = implausible_loss(violation)
    feasible = np.flatnonzero(violation == 0)
    row: dict[str, Any] = {"best": CostValues.unknown(), "share_in_range": 0.0, "n_simulated": len(feasible)}
    if len(feasible):
        p = space.parameterisation.to_parameters(space.to_coefficients(u[feasible]))
        evaluation = objective.evaluate(p, [keys[k] for k in feasible])
        loss[feasible] = evaluation.loss.numpy()
        row["share_in_range"] = float(evaluation.within_range.double().mean()) * len(feasible) / len(u)
        best = int(loss[feasible].argmin())
        if evaluation.within_range[best] and math.isfinite(float(evaluation.cost.total[best])):
            row["best"] = evaluation.cost.at(best)
            if state is not None:
                state.winners.append(u[feasible[best]])
    row["median_loss"] = float(np.median(loss))
    return loss, row
