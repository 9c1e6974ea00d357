"""The objectives of a fit's stages, and the seeds of their noise."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

import mfm
from mfm import Scan, SubjectData
from optim.config.fit import FitConfig
from optim.fit.result import NoiseCeiling, StageScore
from optim.objectives.audited import AuditedObjective
from optim.objectives.audits import populations
from optim.objectives.base import Evaluation, Objective
from optim.objectives.linear import LinearObjective
from optim.objectives.simulation import SimulationObjective
from optim.objectives.surrogate import SurrogateObjective
from optim.search.seeds import noise_keys, stream
from surrogate.bundle import load_pretrained

# The test is repeated this often, to know how far its figure would move with other noise. With the test's own
# realisations these fill one group of SIMD lanes, so that they cost next to nothing.
_CEILING_REPEATS = 9


def objective_for(scan: Scan, stage: str, config: FitConfig) -> SimulationObjective:
    """How a stage of a fit scores candidates."""
    o = config.objective
    return SimulationObjective(scan, o.protocol(scan, stage), o.n_repeats, o.backend, o.n_threads, stage != "search")


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


def stage_keys(subject: SubjectData, config: FitConfig, purpose: str, n: int = 1) -> list[int]:
    """Seeds of the noise of a stage: "rescore", "validation", "test", or "search" for the theory of the regional fit."""
    return noise_keys(stream(config.optimizer.seed, subject.subject_id, purpose), n)


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
