"""The protocol of a fit: search, choose by validation, report by test. Every number reported is simulated."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import mfm
from mfm import SubjectData
from mfm.subject import STAGES
from optim.config.fit import FitConfig
from optim.fit.choice import _choose, _free_regions, _prediction_record, _shortlist
from optim.fit.fingerprint import fingerprint
from optim.fit.identifiability import identifiability
from optim.fit.result import FitResult, NoFitError
from optim.fit.stages import (
    _CEILING_REPEATS,
    _noise_ceiling,
    objective_for,
    search_objective,
    stage_keys,
    stage_score,
    surrogate_objective,
)
from optim.objectives.audits import AuditLog
from optim.objectives.simulation import SimulationObjective
from optim.search.regional import PenaltyPoint
from optim.search.run import Generation, run_search
from optim.search.space import SearchSpace


def prepare(subject: SubjectData, config: FitConfig) -> tuple[SearchSpace, dict[str, SimulationObjective]]:
    """What a fit works with, or the InputError that says why it cannot: nothing has been simulated yet."""
    if config.objective.search == "surrogate":
        surrogate_objective(subject.search, config).check_scan()
    space = SearchSpace(config.model.parameterisation(subject))
    objectives = {stage: objective_for(getattr(subject, stage), stage, config) for stage in STAGES}
    # To find out whether bounds and plausibility rules leave enough candidates.
    space.draw(max(1, config.optimizer.initial_candidates), np.random.default_rng(0))
    return space, objectives


def fit_subject(
    subject: SubjectData,
    config: FitConfig,
    work: str | Path | None = None,
    progress: Callable[[Generation], None] | None = None,
    report: Callable[[str], None] | None = None,
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
        Told of every generation.
    report : callable, optional
        Told a line of every audit of a search by a surrogate.

    Returns
    -------
    FitResult

    Raises
    ------
    InputError
        Before work starts, if the settings do not suit the data.
    OutputError
        If a checkpoint cannot be read or written.
    NoFitError
        If no candidate stayed within range.

    Examples
    --------
    A fit of noise, far too small for use; a fit with the default settings takes minutes:

    >>> import mfm, numpy as np
    >>> from optim import FitConfig, fit_subject
    >>> from optim.config.fit import ObjectiveConfig, OptimizerConfig
    >>> runs = np.random.default_rng(0).normal(size=(2, 60, 3))
    >>> subject = mfm.subject_from_runs("sub-01", runs, mfm.Connectome(0.02 * (1 - np.eye(3))), tr_s=2.0)
    >>> objective = ObjectiveConfig(n_repeats=1, dt_test_s=0.005, burn_in_s=0.0, warm_up_s=0.0)
    >>> config = FitConfig(objective=objective, optimizer=OptimizerConfig(population=20, generations=1, initial_candidates=20))
    >>> [score.stage for score in fit_subject(subject, config).stages]
    ['search', 'validation', 'test']
    """
    space, objectives = prepare(subject, config)
    states = [
        run_search(
            space,
            search_objective(subject, config, report),
            config.optimizer,
            config.objective.noise,
            start,
            subject.subject_id,
            None if work is None else Path(work) / f"search-{start}.pkl",
            progress,
        )
        for start in range(config.optimizer.starts)
    ]
    seconds = {"search": sum(state.initial_seconds + sum(row.seconds for row in state.trace) for state in states)}
    n_searched = sum(state.n_simulated for state in states)
    winners = np.array([u for state in states for u in state.winners])
    audits = AuditLog.joined([state.audits for state in states])
    if not len(winners):
        raise NoFitError(
            "No candidate kept every region's firing rate within [2.7, 3.3] Hz.",
            found=f"0 of {n_searched} simulated candidates",
            cause="a connectome that was not log-transformed, or too few generations",
            fix="check data.sc_transform; raise optimizer.generations or optimizer.initial_candidates",
        )

    began = time.perf_counter()
    predicted = None
    if config.objective.search == "surrogate":
        winners, predicted = _shortlist(winners, space, subject, config, audits)
    choice = _choose(winners, space, objectives["validation"], stage_keys(subject, config, "validation")[0])
    seconds["validation"] = time.perf_counter() - began
    n_validated = len(winners)
    map_fit = choice
    penalty: tuple[PenaltyPoint, ...] = ()
    if config.model.regional:
        began = time.perf_counter()
        choice, penalty = _free_regions(choice, space, objectives["validation"], subject, config, work)
        n_validated += len(penalty) - 1
        seconds["regional"] = time.perf_counter() - began

    began = time.perf_counter()
    winner, coefficients = choice.parameters, choice.coefficients
    known = identifiability(space, coefficients, subject.search, objectives["search"].protocol, winner)
    seconds["identifiability"] = time.perf_counter() - began

    began = time.perf_counter()
    rescored = objectives["search"].evaluate(winner, stage_keys(subject, config, "rescore"))
    prediction = None
    if predicted is not None:
        simulated = rescored
        if map_fit is not choice:
            simulated = objectives["search"].evaluate(map_fit.parameters, stage_keys(subject, config, "rescore"))
        prediction = _prediction_record(predicted, simulated, map_fit, audits)
    keys = stage_keys(subject, config, "test", 1 + _CEILING_REPEATS)
    repeated = objectives["test"].evaluate(winner[[0] * len(keys)], keys)
    test = repeated[[0]]
    seconds["test"] = time.perf_counter() - began
    return FitResult(
        subject=subject,
        config=config,
        parameterisation=space.parameterisation,
        coefficients=torch.from_numpy(coefficients),
        parameters=winner,
        w_IE=mfm.feedback_weights(winner, subject.test.sc)[0],
        rate_E=test.rate_E[0].mean(dim=0),
        S_E=test.S_E[0].mean(dim=0),
        S_I=test.S_I[0].mean(dim=0),
        ei_ratio=mfm.ei_ratio(test.S_E, test.S_I)[0],
        stages=(
            stage_score("search", rescored, 0, n_searched, objectives["search"]),
            stage_score("validation", choice.validation, 0, n_validated, objectives["validation"]),
            stage_score("test", test, 0, 1, objectives["test"]),
        ),
        trace=tuple(row for state in states for row in state.trace),
        ceiling=_noise_ceiling(repeated, subject),
        identifiability=known,
        penalty=penalty,
        prediction=prediction,
        test=test,
        seconds=seconds,
        fingerprint=fingerprint(subject, config),
    )
