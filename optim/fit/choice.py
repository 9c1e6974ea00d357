"""Which of the winners the validation data choose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from mfm.models.parameters import ModelParameters
from optim.config.objective import SurrogateObjectiveConfig
from optim.fit.result import PredictionRecord, StageScore
from optim.fit.stages import Stages
from optim.objectives.audits import AuditLog
from optim.objectives.base import Evaluation
from optim.objectives.smooth_cost import SmoothCost
from optim.search.checkpoint import Checkpoint
from optim.search.regional import PenaltyPath, PenaltyPoint, Validated, penalty_path

#: Noises that judge the penalty path. On the demo subject one of them moves a cost by 0.08, and the points of the path differ
#: by 0.03: under one noise the map fit was the best in 61 % of 72 noises, and one of four strengths in the others; the rule of
#: `Validated.chosen` takes the map fit in 97 % of draws of 16 of these noises.
PATH_NOISES = 16


@dataclass(frozen=True, eq=False)
class Choice:
    """The candidate that the validation data chose.

    Attributes
    ----------
    u, coefficients : array, (D,)
        Search coordinates, and what they stand for.
    parameters : ModelParameters
    validation : StageScore
        Its simulated score.
    index : int
        Its place among all candidates that were simulated.
    losses : tensor
        Theirs.
    """

    u: np.ndarray
    coefficients: np.ndarray
    parameters: ModelParameters
    validation: StageScore
    index: int
    losses: Tensor


def shortlist(winners: np.ndarray, stages: Stages, audits: AuditLog) -> tuple[np.ndarray, Evaluation]:
    """Pick the winners of the lowest predicted cost against the validation data, the best first.

    Where audits found that predictions fail, that is all of them.

    Parameters
    ----------
    winners : array, (W, D)
        In search coordinates.
    stages : Stages
        Of a search by a surrogate.
    audits : AuditLog
        Of the whole search; corrects the predictions.

    Returns
    -------
    array, (K, D)
    Evaluation
        What is predicted of those against the search's data.
    """
    o = stages.config.objective
    assert isinstance(o, SurrogateObjectiveConfig)
    winners = np.unique(winners, axis=0)
    candidates = stages.space.parameterisation.to_parameters(stages.space.to_coefficients(winners))
    kept = None if audits.given_up else o.validated
    chosen, _ = stages.prediction("validation").evaluate_at(candidates, audits.choice)
    order = chosen.loss.argsort(stable=True)[:kept].tolist()
    predicted, _ = stages.prediction("search").evaluate_at(candidates[order], audits.search)
    return winners[order], predicted


def choose(winners: np.ndarray, stages: Stages) -> Choice:
    """Simulate the winners (W, D) on the validation data, and take the one of the lowest loss."""
    coefficients = stages.space.to_coefficients(winners)
    candidates = stages.space.parameterisation.to_parameters(coefficients)
    validation = stages.objective("validation").evaluate(candidates, stages.keys("validation")[0])
    best = int(validation.loss.argmin())
    score = stages.score("validation", validation[[best]], len(winners))
    return Choice(winners[best], coefficients[best], candidates[best], score, best, validation.loss)


def free_regions(
    map_fit: Choice, stages: Stages, checkpoint: Checkpoint | None = None
) -> tuple[Choice, tuple[PenaltyPoint, ...]]:
    """Free the regions of the map fit from the maps, as far as the validation data agree (`optim.search.regional`).

    Returns
    -------
    Choice
        Of the map fit and the regional fits along the penalty path the one of the strongest penalty whose cost on the
        validation data is within one standard error of the lowest (`Validated.chosen`), over `PATH_NOISES` noises.
    tuple of PenaltyPoint
        That path.
    """
    theory, key = stages.theory(), stages.keys("search")[0]
    smooth = SmoothCost(theory.scan, theory.protocol, seed=key % 2**63)
    path = penalty_path(smooth, stages.space, theory, map_fit.u, key, checkpoint=checkpoint)
    validated = _validated(path, stages)
    table, k = path.table(validated), validated.chosen
    n_repeats = map_fit.validation.realisations * len(validated.cost.total)
    score = replace(
        map_fit.validation,
        cost=table[k].cost,
        realisations=n_repeats,
        candidates=map_fit.validation.candidates + len(table) - 1,
        in_range=table[k].in_range,
        total_se=table[k].total_se,
    )
    losses = validated.cost.total.mean(dim=0)
    return Choice(map_fit.u, path.coefficients[k], path.parameters[k], score, k, losses), table


def _validated(path: PenaltyPath, stages: Stages) -> Validated:
    """The path's points on the validation data, under noises that the choice of the map fit has not seen."""
    keys, n = stages.keys("validation", 1 + PATH_NOISES)[1:], len(path.strengths)
    every = stages.objective("validation").evaluate(
        path.parameters[list(range(n)) * len(keys)], [key for key in keys for _ in range(n)]
    )
    return Validated(every.cost.map(lambda term: term.reshape(-1, n)), every.within_range.reshape(-1, n))


def prediction_record(predicted: Evaluation, simulated: Evaluation, chosen: Choice, audits: AuditLog) -> PredictionRecord:
    """Say how a surrogate did, from what it `predicted` of all validated winners and the chosen one's `simulated` score."""
    return PredictionRecord(
        predicted.cost.at(chosen.index),
        simulated_total=float(simulated.cost.total[0]),
        regret=float(chosen.losses[0] - chosen.losses[chosen.index]),
        rank_correlation=audits.rank_correlation,
        offset=audits.offset(len(audits.audits)),
        given_up=audits.given_up,
        simulated=audits.simulated,
        audits=tuple(audits.audits),
    )
