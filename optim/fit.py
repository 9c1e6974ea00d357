"""The protocol of a fit: search, choose by validation, report by test. Every number reported is simulated."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import mfm
from mfm import FICParameters, MapParameterisation, Scan, SubjectData
from mfm.errors import MfmfitError
from mfm.subject import STAGES
from optim.audits import Audit, AuditLog, populations
from optim.config import FitConfig
from optim.identifiability import Identifiability, identifiability
from optim.linear_objective import LinearObjective
from optim.objective import Evaluation, Objective, SimulationObjective
from optim.regional import PenaltyPoint, penalty_path
from optim.search import Generation, run_search
from optim.search_space import SearchSpace
from optim.seeds import noise_keys, stream
from optim.smooth_cost import SmoothCost
from optim.surrogate_objective import AuditedObjective, SurrogateObjective
from surrogate.bundle import load_pretrained

# The test is repeated this often, to know how far its figure would move with other noise. With the test's own
# realisations these fill one group of SIMD lanes, so that they cost next to nothing.
_CEILING_REPEATS = 9


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
    test_mean, test_std : float
        Mean and standard deviation of the test's total cost, each time with as many realisations as the test, over
        nine repetitions with other noise.
    single_mean, single_std : float
        Likewise for the cost of single realisations.
    run_to_run : float or None
        Total cost of one recorded run against another (mean over pairs), where there are two or more.
    """

    test_mean: float
    test_std: float
    single_mean: float
    single_std: float
    run_to_run: float | None


@dataclass(frozen=True)
class PredictionRecord:
    """How the surrogate of a search did.

    Attributes
    ----------
    corr, mean_diff, ks, total : float
        Predicted cost, corrected by audits, of the winner against the search's data; of the map fit, before regions were freed.
    simulated_total : float
        Its simulated cost against the same data, with other noise than the search's.
    regret : float
        Validation cost of the winner predicted to be the best there, minus that of the winner that validation chose.
    rank_correlation, offset : float
        Of the audits: of predicted and simulated cost (`AuditLog.rank_correlation`), and the mean of simulated minus predicted.
    given_up : bool
        Whether audits failed, and the rest of a search was simulated.
    simulated : int
        Candidates that audits and fallback simulated.
    audits : tuple of Audit
    """

    corr: float
    mean_diff: float
    ks: float
    total: float
    simulated_total: float
    regret: float
    rank_correlation: float
    offset: float
    given_up: bool
    simulated: int
    audits: tuple[Audit, ...]


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted subject.

    Attributes
    ----------
    subject : SubjectData
    config : FitConfig
    parameterisation : MapParameterisation
    coefficients : tensor, (D,)
        In the order of ``parameterisation.names``; slopes are per unit of the map. Where the regional fit was chosen, its
        linear part, from which regions deviate.
    parameters : FICParameters
        One candidate.
    w_IE, rate_E, S_E, S_I, ei_ratio : tensor, (N,)
        Feedback weights; time averages over the test simulations (r_E in Hz), and the excitation/inhibition ratio S_E / S_I,
        averaged over realisations.
    stages : tuple of StageScore
        Of search, validation and test.
    trace : tuple of Generation
        Of every start, in order.
    ceiling : NoiseCeiling
    identifiability : Identifiability
        What the FC of one scan such as the search's tells of the coefficients.
    penalty : tuple of PenaltyPoint
        The path of the regional fit, the map fit first; empty without ``model.regional``.
    prediction : PredictionRecord or None
        Of a search by a surrogate.
    test : Evaluation
        The test simulation: FC and FCD for figures.
    seconds : dict of stage to float
    fingerprint : str
        Digest of data, settings and version.

    Examples
    --------
    A fit of noise, far too small for use; `fit_subject` has the same:

    >>> import mfm, numpy as np
    >>> from optim import FitConfig, fit_subject
    >>> from optim.config import ObjectiveConfig, OptimizerConfig
    >>> runs = np.random.default_rng(0).normal(size=(2, 60, 3))
    >>> subject = mfm.subject_from_runs("sub-01", runs, mfm.Connectome(0.02 * (1 - np.eye(3))), tr_s=2.0)
    >>> objective = ObjectiveConfig(n_repeats=1, dt_test_s=0.005, burn_in_s=0.0, warm_up_s=0.0)
    >>> config = FitConfig(objective=objective, optimizer=OptimizerConfig(population=20, generations=1, initial_candidates=20))
    >>> result = fit_subject(subject, config)
    >>> result.coefficients.shape, result.ei_ratio.shape
    (torch.Size([4]), torch.Size([3]))
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
    identifiability: Identifiability
    penalty: tuple[PenaltyPoint, ...]
    prediction: PredictionRecord | None
    test: Evaluation
    seconds: dict[str, float]
    fingerprint: str

    @property
    def in_range(self) -> bool:
        """Whether every r_E stayed in [2.7, 3.3] Hz in validation and test."""
        return all(score.in_range for score in self.stages if score.stage != "search")

    @property
    def penalty_strength(self) -> float:
        """Strength of the penalty that the validation data chose: infinite for the map fit."""
        return next((point.strength for point in self.penalty if point.chosen), float("inf"))

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
    if config.objective.search == "surrogate":
        surrogate_objective(subject.search, config).check_scan()
    space = SearchSpace(config.model.parameterisation(subject))
    objectives = {stage: objective_for(getattr(subject, stage), stage, config) for stage in STAGES}
    # To find out whether bounds and plausibility rules leave enough candidates.
    space.draw(max(1, config.optimizer.initial_candidates), np.random.default_rng(0))
    return space, objectives


def search_objective(subject: SubjectData, config: FitConfig, report: Callable[[str], None] | None = None) -> Objective:
    """What scores the candidates of the search; `report` is told of audits."""
    o, scan = config.objective, subject.search
    protocol, simulated = o.protocol(scan, "search"), objective_for(scan, "search", config)
    if o.search == "linear":
        return LinearObjective(scan, protocol, n_repeats=o.n_repeats, n_threads=o.n_threads)
    if o.search == "surrogate":
        predicted = surrogate_objective(scan, config)
        if not o.audits:
            return predicted
        at = populations(o.audits, config.optimizer.generations)
        # What was simulated is judged against the validation data too, if those count alike.
        alike = len(subject.validation.target.fcd_cdf) == len(scan.target.fcd_cdf)
        choosing = surrogate_objective(subject.validation, config) if alike else None
        return AuditedObjective(predicted, simulated, at, choosing, o.audit_candidates, o.least_rank, report)
    return simulated


def surrogate_objective(scan: Scan, config: FitConfig) -> SurrogateObjective:
    """Predictions for a scan, under the timing of the search's simulations."""
    protocol = config.objective.protocol(scan, "search")
    return SurrogateObjective(
        scan, protocol, load_pretrained(config.objective.surrogate), config.objective.gate, config.objective.n_repeats
    )


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
    first freed from the maps, as far as that lowers its cost on ``subject.validation`` (`optim.regional`).

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
    >>> from optim.config import ObjectiveConfig, OptimizerConfig
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


def _shortlist(
    winners: np.ndarray, space: SearchSpace, subject: SubjectData, config: FitConfig, audits: AuditLog
) -> tuple[np.ndarray, Evaluation]:
    """The winners of the lowest predicted cost against the validation data, the best first, and what is predicted of them
    against the search's; both corrected by all audits. All of them where audits found that predictions fail.
    """
    winners = np.unique(winners, axis=0)
    candidates = space.parameterisation.to_parameters(space.to_coefficients(winners))
    kept = None if audits.given_up else config.objective.validated
    search, choice = (surrogate_objective(scan, config) for scan in (subject.search, subject.validation))
    chosen, _ = choice.evaluate_at(candidates, audits.choice)
    order = chosen.loss.argsort(stable=True)[:kept].tolist()
    predicted, _ = search.evaluate_at(candidates[order], audits.search)
    return winners[order], predicted


def _prediction_record(predicted: Evaluation, simulated: Evaluation, chosen: _Choice, audits: AuditLog) -> PredictionRecord:
    """`predicted` of all validated winners; `simulated` of the chosen one."""
    terms = {term: float(getattr(predicted.cost, term)[chosen.index]) for term in ("corr", "mean_diff", "ks", "total")}
    return PredictionRecord(
        **terms,
        simulated_total=float(simulated.cost.total[0]),
        regret=float(chosen.losses[0] - chosen.losses[chosen.index]),
        rank_correlation=audits.rank_correlation,
        offset=audits.offset(len(audits.audits)),
        given_up=audits.given_up,
        simulated=audits.simulated,
        audits=tuple(audits.audits),
    )


@dataclass(frozen=True, eq=False)
class _Choice:
    """The candidate that the validation data chose: search coordinates and coefficients (D,), its simulated score, its
    place among all that were simulated, and their losses."""

    u: np.ndarray
    coefficients: np.ndarray
    parameters: FICParameters
    validation: Evaluation
    index: int
    losses: Tensor


def _choose(winners: np.ndarray, space: SearchSpace, objective: SimulationObjective, key: int) -> _Choice:
    coefficients = space.to_coefficients(winners)
    candidates = space.parameterisation.to_parameters(coefficients)
    validation = objective.evaluate(candidates, key)
    best = int(validation.loss.argmin())
    return _Choice(winners[best], coefficients[best], candidates[best], validation[[best]], best, validation.loss)


def _free_regions(
    chosen: _Choice, space: SearchSpace, objective: SimulationObjective, subject: SubjectData, config: FitConfig, work
) -> tuple[_Choice, tuple[PenaltyPoint, ...]]:
    """The best on validation of the map fit and the regional fits along the penalty path; and that path."""
    o = config.objective
    protocol = o.protocol(subject.search, "search")
    key = stage_keys(subject, config, "search")[0]
    path = penalty_path(
        SmoothCost(subject.search, protocol, seed=key % 2**63),
        space,
        LinearObjective(subject.search, protocol, n_repeats=o.n_repeats, n_threads=o.n_threads),
        chosen.u,
        key,
        checkpoint=None if work is None else Path(work) / "regional.pkl",
    )
    # With the noise that the winners saw: the map fit comes out as it did among them.
    validation = objective.evaluate(path.parameters, stage_keys(subject, config, "validation")[0])
    best = int(validation.loss.argmin())
    choice = _Choice(chosen.u, path.coefficients[best], path.parameters[best], validation[[best]], best, validation.loss)
    return choice, path.table(validation, best)


def stage_keys(subject: SubjectData, config: FitConfig, purpose: str, n: int = 1) -> list[int]:
    """Seeds of the noise of a stage: "rescore", "validation", "test", or "search" for the theory of the regional fit."""
    return noise_keys(stream(config.optimizer.seed, subject.subject_id, purpose), n)


def fingerprint(subject: SubjectData, config: FitConfig) -> str:
    """sha256 of the data, the settings that decide the numbers, and the versions of what computes them."""
    digest = hashlib.sha256()
    versions = [mfm.__version__, *(version(name) for name in ("numba", "numpy", "torch", "cma"))]
    digest.update(json.dumps([versions, subject.subject_id, config.deciding()], sort_keys=True).encode())
    if config.objective.search == "surrogate":
        digest.update(load_pretrained(config.objective.surrogate).digest.encode())
    for stage in STAGES:
        scan: Scan = getattr(subject, stage)
        digest.update(json.dumps([scan.tr_s, scan.n_frames]).encode())
        for array in (scan.sc.weights, scan.target.fc.numpy(), scan.target.fcd_cdf.numpy()):
            digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(json.dumps([subject.maps.names, list(subject.labels)]).encode())
    digest.update(subject.maps.values.tobytes())
    return digest.hexdigest()


def stage_score(stage: str, e: Evaluation, k: int, candidates: int, objective: SimulationObjective) -> StageScore:
    """The score of candidate `k`, the best of so many `candidates`."""
    terms = {term: float(getattr(e.cost, term)[k]) for term in ("corr", "mean_diff", "ks", "total")}
    in_range = bool(e.within_range[k])
    return StageScore(
        stage, **terms, realisations=objective.n_repeats, candidates=candidates, in_range=in_range, dt_s=objective.protocol.dt_s
    )


def _noise_ceiling(repeated: Evaluation, subject: SubjectData) -> NoiseCeiling:
    """From the test (first) and its repetitions with other noise."""
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
