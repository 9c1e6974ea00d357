"""Which of the winners the validation data choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from mfm import FICParameters, SubjectData
from optim.config.fit import FitConfig
from optim.fit.result import PredictionRecord
from optim.fit.stages import stage_keys, surrogate_objective
from optim.objectives.audits import AuditLog
from optim.objectives.base import Evaluation
from optim.objectives.linear import LinearObjective
from optim.objectives.simulation import SimulationObjective
from optim.objectives.smooth_cost import SmoothCost
from optim.search.regional import PenaltyPoint, penalty_path
from optim.search.space import SearchSpace


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
