"""The protocol of a fit: search, choose by validation, report by test. Every number reported is simulated."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import mfm
from mfm import FICParameters, MapParameterisation, Scan, SubjectData
from mfm.errors import InputError, MfmfitError
from mfm.subject import STAGES
from optim.config import FitConfig
from optim.objective import Evaluation, SimulationObjective
from optim.search import Generation, SearchState, run_search
from optim.search_space import SearchSpace

# Second word of the seed sequences of the stages after the search (whose sequences have three words).
_STAGE_KEYS = {"search": 11, "validation": 12, "test": 13}


@dataclass(frozen=True)
class StageScore:
    """Simulated cost of the winner in one stage."""

    stage: str
    corr: float
    mean_diff: float
    ks: float
    total: float
    realisations: int
    candidates: int
    in_range: bool
    dt_s: float


@dataclass(frozen=True)
class NoiseCeiling:
    """How well the cost is known.

    Attributes
    ----------
    realisation_mean, realisation_std : float
        Total cost of the winner's single realisations in the test: mean and standard deviation.
    run_to_run : float or None
        Total cost of one recorded run against another (mean over both directions and all pairs), where runs are known.
    """

    realisation_mean: float
    realisation_std: float
    run_to_run: float | None


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted subject.

    Attributes
    ----------
    subject : SubjectData
    config : FitConfig
    parameterisation : MapParameterisation
    coefficients : tensor, (D,)
        In the order of ``parameterisation.names``.
    parameters : FICParameters
        One candidate.
    w_IE, rate_E, S_E, S_I, ei_ratio : tensor, (N,)
        Feedback weights; time averages over the test simulations, and the excitation/inhibition ratio S_E / S_I, averaged
        over realisations.
    stages : tuple of StageScore
    trace : tuple of Generation
    ceiling : NoiseCeiling
    test : Evaluation
        The test simulation: FC and FCD for figures.
    seconds : dict of stage to float
    fingerprint : str
        Digest of data, settings and version.
    """

    subject: SubjectData
    config: FitConfig
    parameterisation: MapParameterisation
    coefficients: Tensor
    parameters: FICParameters
    w_IE: Tensor
    rate_E: Tensor
    S_E: Tensor
    S_I: Tensor
    ei_ratio: Tensor
    stages: tuple[StageScore, ...]
    trace: tuple[Generation, ...]
    ceiling: NoiseCeiling
    test: Evaluation
    seconds: dict[str, float]
    fingerprint: str

    @property
    def in_range(self) -> bool:
        """Whether every r_E stayed in [2.7, 3.3] Hz in validation and test."""
        return all(score.in_range for score in self.stages if score.stage != "search")

    def __repr__(self) -> str:
        scores = ", ".join(f"{score.stage} {score.total:.3f}" for score in self.stages)
        return f"FitResult({self.subject.subject_id}: {scores}, {'within' if self.in_range else 'OUT OF'} range)"


class NoFitError(MfmfitError):
    """No candidate of the whole search kept its firing rates within range."""

    exit_code = 1


def objective_for(scan: Scan, stage: str, config: FitConfig) -> SimulationObjective:
    """How a stage of a fit scores candidates."""
    o = config.objective
    return SimulationObjective(scan, o.protocol(scan, stage), o.n_repeats, o.backend, o.n_threads, stage != "search")


def prepare(subject: SubjectData, config: FitConfig) -> tuple[SearchSpace, dict[str, SimulationObjective]]:
    """What a fit works with, or the InputError that says why it cannot: nothing has been simulated yet."""
    space = SearchSpace(config.model.parameterisation(subject))
    objectives = {stage: objective_for(getattr(subject, stage), stage, config) for stage in STAGES}
    # One candidate, to find out whether bounds and plausibility rules leave any.
    space.draw(1, np.random.default_rng(0))
    return space, objectives


def fit_subject(
    subject: SubjectData,
    config: FitConfig,
    work: str | Path | None = None,
    progress: Callable[[Generation], None] | None = None,
) -> FitResult:
    """Fit one subject (or group) by simulation.

    Search on ``subject.search`` from every start; score the best candidate of every generation on ``subject.validation``;
    test the best of those on ``subject.test`` at the fine time step (Zhang et al. 2024).

    Parameters
    ----------
    subject : SubjectData
    config : FitConfig
    work : path, optional
        Folder for checkpoints; an interrupted fit goes on from them, bit-equal.
    progress : callable, optional
        Told of every generation.

    Returns
    -------
    FitResult

    Raises
    ------
    InputError
        Before work starts, if the settings do not suit the data.
    NoFitError
        If no candidate stayed within range.
    """
    space, objectives = prepare(subject, config)
    parameterisation = space.parameterisation
    seconds: dict[str, float] = {}

    began = time.perf_counter()
    states = [_search(start, space, objectives["search"], config, work, progress) for start in range(config.optimizer.starts)]
    seconds["search"] = time.perf_counter() - began
    winners = np.array([u for state in states for u in state.winners])
    if not len(winners):
        raise NoFitError(
            "No candidate kept every region's firing rate within [2.7, 3.3] Hz.",
            found=f"0 of {sum(state.n_simulated for state in states)} simulated candidates",
            cause="a connectome that was not log-transformed, or too few generations",
            fix="check data.sc_transform; raise optimizer.generations or optimizer.initial_candidates",
        )

    began = time.perf_counter()
    coefficients = space.to_coefficients(winners)
    candidates = parameterisation.to_parameters(coefficients)
    validation = objectives["validation"].evaluate(candidates, _seed(config, "validation"))
    best = int(validation.loss.argmin())
    seconds["validation"] = time.perf_counter() - began

    winner = candidates[best]
    again = objectives["search"].evaluate(winner, _seed(config, "search"))
    began = time.perf_counter()
    test = objectives["test"].evaluate(winner, _seed(config, "test"))
    seconds["test"] = time.perf_counter() - began
    n_searched = sum(state.n_simulated for state in states)
    return FitResult(
        subject=subject,
        config=config,
        parameterisation=parameterisation,
        coefficients=torch.from_numpy(coefficients[best]),
        parameters=winner,
        w_IE=mfm.feedback_weights(winner, subject.test.sc)[0],
        rate_E=test.rate_E[0].mean(dim=0),
        S_E=test.S_E[0].mean(dim=0),
        S_I=test.S_I[0].mean(dim=0),
        ei_ratio=(test.S_E[0] / test.S_I[0]).mean(dim=0),
        stages=(
            _stage_score("search", again, 0, n_searched, objectives["search"]),
            _stage_score("validation", validation, best, len(winners), objectives["validation"]),
            _stage_score("test", test, 0, 1, objectives["test"]),
        ),
        trace=tuple(row for state in states for row in state.trace),
        ceiling=_noise_ceiling(test, subject),
        test=test,
        seconds=seconds,
        fingerprint=fingerprint(subject, config),
    )


def fingerprint(subject: SubjectData, config: FitConfig) -> str:
    """sha256 of the data, the settings that decide the numbers, and the version."""
    digest = hashlib.sha256()
    digest.update(json.dumps([mfm.__version__, subject.subject_id, config.deciding()], sort_keys=True).encode())
    for stage in STAGES:
        scan: Scan = getattr(subject, stage)
        digest.update(json.dumps([scan.tr_s, scan.n_frames]).encode())
        for array in (scan.sc.weights, scan.target.fc.numpy(), scan.target.fcd_cdf.numpy()):
            digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(json.dumps([subject.maps.names, list(subject.labels)]).encode())
    digest.update(subject.maps.values.tobytes())
    return digest.hexdigest()


def _search(start: int, space, objective, config: FitConfig, work, progress) -> SearchState:
    checkpoint = None if work is None else Path(work) / f"search-{start}.pkl"
    return run_search(space, objective, config.optimizer, config.objective.noise, start, checkpoint, progress)


def _seed(config: FitConfig, stage: str) -> int:
    """The noise of a stage after the search: new to every candidate, the same for all of them."""
    return int(np.random.SeedSequence([config.optimizer.seed, _STAGE_KEYS[stage]]).generate_state(1, np.uint64)[0])


def _stage_score(stage: str, e: Evaluation, k: int, candidates: int, objective: SimulationObjective) -> StageScore:
    terms = {term: float(getattr(e.cost, term)[k]) for term in ("corr", "mean_diff", "ks", "total")}
    in_range = bool(e.within_range[k])
    return StageScore(
        stage, **terms, realisations=objective.n_repeats, candidates=candidates, in_range=in_range, dt_s=objective.protocol.dt_s
    )


def _noise_ceiling(test: Evaluation, subject: SubjectData) -> NoiseCeiling:
    single = test.realisation_cost.total[0]
    std = float(single.std()) if len(single) > 1 else float("nan")
    pairs = [(a, b) for k, a in enumerate(subject.runs) for m, b in enumerate(subject.runs) if k != m]
    between = [float(mfm.cost(a.fc, a.fcd_cdf, b).total) for a, b in pairs if len(a.fcd_cdf) == len(b.fcd_cdf)]
    return NoiseCeiling(float(single.mean()), std, float(np.mean(between)) if between else None)


def check_config(config: FitConfig) -> None:
    """Raise an InputError for a setting that has no default and was not given."""
    if config.acquisition.tr_s is None:
        raise InputError(
            "The repetition time was not given.",
            expected="acquisition.tr_s in seconds; it has no default, because a wrong TR is a wrong fit",
            fix="acquisition.tr_s=0.72, or acquisition=hcp_ya for HCP Young Adult",
        )
