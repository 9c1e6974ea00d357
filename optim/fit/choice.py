"""Which of the winners the validation data choose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mfm.models.parameters import ModelParameters
from optim.config.objective import SurrogateObjectiveConfig
from optim.fit.result import PredictionRecord
from optim.fit.stages import Stages
from optim.objectives.audits import AuditLog
from optim.objectives.base import Evaluation
from optim.objectives.smooth_cost import SmoothCost
from optim.search.checkpoint import Checkpoint
from optim.search.regional import PenaltyPoint, penalty_path


@dataclass(frozen=True, eq=False)
class Choice:
    """The candidate that the validation data chose.

    Attributes
    ----------
    u, coefficients : array, (D,)
        Search coordinates, and what they stand for.
    parameters : ModelParameters
    validation : Evaluation
        Its simulated score.
    index : int
        Its place among all candidates that were simulated.
    losses : tensor
        Theirs.
    """

    u: np.ndarray
    coefficients: np.ndarray
    parameters: ModelParameters
    validation: Evaluation
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
    return Choice(winners[best], coefficients[best], candidates[best], validation[[best]], best, validation.loss)


def free_regions(
    map_fit: Choice, stages: Stages, checkpoint: Checkpoint | None = None
) -> tuple[Choice, tuple[PenaltyPoint, ...]]:
    """Free the regions of the map fit from the maps, as far as the validation data agree (`optim.search.regional`).

    Returns
    -------
    Choice
        The best on the validation data of the map fit and the regional fits along the penalty path.
    tuple of PenaltyPoint
        That path.
    """
    theory, key = stages.theory(), stages.keys("search")[0]
    smooth = SmoothCost(theory.scan, theory.protocol, seed=key % 2**63)
    path = penalty_path(smooth, stages.space, theory, map_fit.u, key, checkpoint=checkpoint)
    # With the noise that the winners saw: the map fit comes out as it did among them.
    validation = stages.objective("validation").evaluate(path.parameters, stages.keys("validation")[0])
    best = int(validation.loss.argmin())
    choice = Choice(map_fit.u, path.coefficients[best], path.parameters[best], validation[[best]], best, validation.loss)
    return choice, path.table(validation, best)


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
