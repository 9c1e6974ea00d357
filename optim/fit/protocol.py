"""The protocol of a fit: search, choose by validation, report by test. Every number reported is simulated."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mfm
from mfm import SubjectData
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters
from optim.config.fit import FitConfig
from optim.config.objective import SimulationObjectiveConfig
from optim.fit.choice import Choice, choose, free_regions, prediction_record, shortlist
from optim.fit.identifiability import identifiability
from optim.fit.pace import Announce, Pace
from optim.fit.result import FitResult, NoFitError, NoiseCeiling
from optim.fit.stages import REPEATS, Stages
from optim.objectives.audits import AuditLog
from optim.objectives.base import Evaluation
from optim.search.checkpoint import Checkpoint
from optim.search.regional import PenaltyPoint
from optim.search.run import Generation, SearchState, run_search


def fit_subject(
    subject: SubjectData,
    config: FitConfig,
    work: str | Path | None = None,
    progress: Callable[[Generation], None] | None = None,
    report: Callable[[str], None] | None = None,
    announce: Announce | None = None,
) -> FitResult:
    """Fit one subject (or group) by simulation.

    Search on ``subject.search`` from every start; score the best candidate of every generation on ``subject.validation``;
    test the best of those on ``subject.test`` at the fine time step (Zhang et al. 2024). With ``model.regional`` the best is
    first freed from the maps, as far as that lowers its cost on ``subject.validation`` (`optim.search.regional`).

    Parameters
    ----------
    subject : SubjectData
    config : FitConfig
    work : path, optional
        Folder for checkpoints; an interrupted fit goes on from them, bit-equal.
    progress : callable, optional
        Called with every generation.
    report : callable, optional
        Called with a line about every audit of a search by a surrogate.
    announce : callable, optional
        Called when a stage begins (`optim.fit.pace`): its name, and the seconds that it will take, None where nothing tells.

    Returns
    -------
    FitResult

    Raises
    ------
    InputError
        Before work starts, if the settings do not suit the data.
    OutputError
        If a checkpoint cannot be read or written, or another fit left it in `work`.
    NoFitError
        If no candidate stayed within range.

    Examples
    --------
    A fit of noise, far too small for use; a fit with the default settings takes minutes:

    >>> import mfm, numpy as np
    >>> from optim import CMAESConfig, FitConfig, SimulationObjectiveConfig, fit_subject
    >>> runs = np.random.default_rng(0).normal(size=(2, 60, 3))
    >>> subject = mfm.subject_from_runs("sub-01", runs, mfm.Connectome(0.02 * (1 - np.eye(3))), tr_s=2.0)
    >>> objective = SimulationObjectiveConfig(n_repeats=1, dt_test_s=0.005, burn_in_s=0.0, warm_up_s=0.0)
    >>> config = FitConfig(objective=objective, optimizer=CMAESConfig(population=20, generations=1, initial_candidates=20))
    >>> [score.stage for score in fit_subject(subject, config).stages]
    ['search', 'validation', 'test']
    """
    return fit_prepared(Stages.prepare(subject, config), work, progress, report, announce)


def fit_prepared(
    stages: Stages,
    work: str | Path | None = None,
    progress: Callable[[Generation], None] | None = None,
    report: Callable[[str], None] | None = None,
    announce: Announce | None = None,
) -> FitResult:
    """Fit one subject as `fit_subject` does, where its stages are at hand (`Stages.prepare`)."""
    pace = Pace(announce)
    with pace.stage("search"):
        states = _searched(stages, work, progress, report)
    pace.seconds["search"] = sum(state.initial_seconds + sum(row.seconds for row in state.trace) for state in states)
    n_searched = sum(state.n_simulated for state in states)
    if isinstance(stages.config.objective, SimulationObjectiveConfig):
        pace.learn(stages.steps("search", n_searched), pace.seconds["search"])
    winners, audits = _winners(states, stages.space.parameterisation.model), AuditLog.joined([state.audits for state in states])
    map_fit, choice, penalty, predicted = _chosen(winners, audits, stages, work, pace)
    winner, coefficients = choice.parameters, choice.coefficients
    with pace.stage("identifiability"):
        known = identifiability(stages.space, coefficients, stages.subject.search, stages.objective("search").protocol, winner)
    steps = sum(stages.steps(stage, 1 + REPEATS) for stage in ("search", "test"))
    with pace.stage("test", steps):
        rescored, repeated = stages.repeated("search", winner), stages.repeated("test", winner)
        prediction = None
        if predicted is not None:
            of_maps = rescored if map_fit is choice else _rescored(map_fit.parameters, stages)
            prediction = prediction_record(predicted, of_maps, map_fit, audits)
        bold = stages.test_bold(winner) if stages.config.output.timeseries else None
    return FitResult(
        **_of_the_model(winner, repeated[[0]], stages),
        coefficients=torch.from_numpy(coefficients),
        stages=(
            stages.score("search", rescored, n_searched, _spread(rescored)),
            choice.validation,
            stages.score("test", repeated[[0]], 1, _spread(repeated)),
        ),
        trace=tuple(row for state in states for row in state.trace),
        ceiling=noise_ceiling(repeated, stages.subject),
        identifiability=known,
        penalty=penalty,
        prediction=prediction,
        bold=bold,
        seconds=pace.seconds,
    )


def _chosen(
    winners: np.ndarray, audits: AuditLog, stages: Stages, work: str | Path | None, pace: Pace
) -> tuple[Choice, Choice, tuple[PenaltyPoint, ...], Evaluation | None]:
    """The map fit, what the validation data choose, the penalty path, and what a surrogate predicted of the winners."""
    predicted = None
    if stages.surrogate is not None:
        winners, predicted = shortlist(winners, stages, audits)
    regional = stages.config.model.regional
    with pace.stage("validation", stages.steps("validation", len(winners) + (0 if regional else 1 + REPEATS))):
        map_fit = choose(winners, stages)
        if not regional:
            error = _spread(stages.repeated("validation", map_fit.parameters))
            map_fit = replace(map_fit, validation=replace(map_fit.validation, total_se=error))
    if not regional:
        return map_fit, map_fit, (), predicted
    with pace.stage("regional"):
        choice, penalty = free_regions(map_fit, stages, Checkpoint.within(work, "regional", stages.fingerprint, stages.facts))
    return map_fit, choice, penalty, predicted


def _spread(repeated: Evaluation) -> float:
    """Standard deviation of a stage's total over its repetitions with other noise: the standard error of its figure."""
    return float(repeated.cost.total[1:].std())


def _searched(stages: Stages, work, progress, report) -> list[SearchState]:
    """What the searches from all starts came to."""
    optimizer, subject_id = stages.config.optimizer, stages.subject.subject_id
    return [
        run_search(
            stages.space,
            stages.search_objective(report),
            optimizer,
            stages.noise,
            start,
            subject_id,
            Checkpoint.within(work, f"search-{start}", stages.fingerprint, stages.facts),
            progress,
        )
        for start in range(optimizer.starts)
    ]


def _winners(states: list[SearchState], model: Model) -> np.ndarray:
    """Search coordinates (W, D) of the best candidate of every generation that had one within range."""
    winners = np.array([u for state in states for u in state.winners])
    if not len(winners):
        raise NoFitError(
            f"No candidate kept every region within range{_range_of(model)}.",
            found=f"0 of {sum(state.n_simulated for state in states)} simulated candidates",
            cause="a connectome that was not log-transformed, or too few generations",
            fix="check data.sc_transform; raise optimizer.generations or optimizer.initial_candidates",
        )
    return winners


def _range_of(model: Model) -> str:
    a = model.admissible
    if a is None:
        return ""
    units = {quantity.name: quantity.unit for quantity in model.reported} | {state.name: state.unit for state in model.states}
    return f": {a.quantity} from {a.low:g} to {a.high:g} {units[a.quantity]}".rstrip()


def _rescored(p: ModelParameters, stages: Stages) -> Evaluation:
    """One candidate on the search's data, with other noise than the search's."""
    return stages.objective("search").evaluate(p, stages.keys("rescore"))


def _of_the_model(winner: ModelParameters, test: Evaluation, stages: Stages) -> dict[str, Any]:
    """The fields of a result that tell of the fitted model and what it was fitted to."""
    return {
        "subject": stages.subject,
        "config": stages.config,
        "setup_notes": stages.notes,
        "fingerprint": stages.fingerprint,
        "noise_seeds": {purpose: stages.keys(purpose)[0] for purpose in ("rescore", "validation", "test")},
        "parameterisation": stages.space.parameterisation,
        "parameters": winner,
        "completed": stages.space.parameterisation.model.completed(winner, stages.subject.test.sc),
        "test": test,
    }


def noise_ceiling(repeated: Evaluation, subject: SubjectData) -> NoiseCeiling:
    """How well the cost is known, from the test (the first candidate) and its repetitions with other noise."""
    total, single = repeated.cost.total[1:], repeated.realisation_cost.total.flatten()
    pairs = [(a, b) for a, b in itertools.combinations(subject.runs, 2) if len(a.fcd_cdf) == len(b.fcd_cdf)]
    between = [float(mfm.cost(a.fc, a.fcd_cdf, b).total) for a, b in pairs]
    return NoiseCeiling(
        float(total.mean()),
        float(total.std()),
        float(single.mean()),
        float(single.std()),
        float(np.mean(between)) if between else None,
    )
