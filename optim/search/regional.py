"""The regional fit: the parameters of every region free (FIC: 3N + 1), pulled towards linear functions of the maps.

    cost(maps(coefficients) + width * z, G) + strength * mean(z ** 2)

The coefficients stay free: what is penalised is only what the maps cannot express. With endless strength this is the map
fit; the strength is chosen by simulation on data that the search has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mfm import Cost, CostValues
from mfm.models.parameters import ModelParameters
from optim.objectives.base import Evaluation, Objective
from optim.objectives.rows import cost_columns
from optim.objectives.smooth_cost import SmoothCost
from optim.search.checkpoint import Checkpoint
from optim.search.descent import BFGS
from optim.search.gradient import MapProblem, value_and_gradient, walled_value
from optim.search.space import SearchSpace

#: Penalty strengths, from nearly rigid to none. At 1, regions that deviate by 10 % of a parameter's range cost 0.01.
STRENGTHS = (300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.0)

# BFGS steps at each strength, from where the last one ended.
_STEPS = 30

# Longest step: root mean square change of the deviations, as a share of the parameters' ranges.
_LONGEST_STEP = 0.05


@dataclass(frozen=True)
class PenaltyPoint:
    """One strength of the penalty path.

    Attributes
    ----------
    strength : float
        Infinite for the map fit.
    deviation : float
        Root mean square of z: deviation from the maps, as a share of the parameters' ranges.
    predicted : CostValues
        By linear response, against the search data; NaN where it predicts nothing or the gate is not passed.
    cost : CostValues
        Simulated, against the validation data: the mean over noises, which all points share.
    total_se : float
        Standard error of its total.
    excess, excess_se : float
        By how much the total is above that of the best point, and the standard error of that difference, noise by noise.
    in_range : bool
        Whether every region stayed within what the model wants admissible in every simulation.
    chosen : bool
        The strongest penalty whose excess is no larger than its standard error.
    """

    strength: float
    deviation: float
    predicted: CostValues = field(metadata=cost_columns("predicted_"))
    cost: CostValues = field(metadata=cost_columns())
    total_se: float
    excess: float
    excess_se: float
    in_range: bool
    chosen: bool


@dataclass(frozen=True, eq=False)
class Validated:
    """The points of a path, simulated on the validation data under several noises that all of them share.

    Attributes
    ----------
    cost : Cost
        Terms (K, L), for K noises and L points, the strongest penalty first.
    within_range : tensor of bool, (K, L)
    """

    cost: Cost
    within_range: Tensor

    @property
    def total(self) -> np.ndarray:
        return self.cost.total.double().numpy()

    @property
    def best(self) -> int:
        """The point of the lowest mean cost, of those that stayed within range most often."""
        allowed = self._allowed
        return int(allowed[self.total[:, allowed].mean(axis=0).argmin()])

    @property
    def chosen(self) -> int:
        """The strongest penalty whose cost is within one standard error of the best (Breiman et al. 1984).

        One noise moves a cost by more than the points differ, so that the best under one noise is chance. The error is that of
        the difference to the best, noise by noise.
        """
        excess, error = self.excess()
        return next(int(k) for k in self._allowed if k == self.best or excess[k] <= error[k])

    def excess(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard error (L,) of how much the total is above the best point's."""
        difference = self.total - self.total[:, [self.best]]
        return difference.mean(axis=0), _standard_error(difference)

    def mean_cost(self, k: int) -> CostValues:
        """The cost of point `k`, mean over noises."""
        return self.cost.map(lambda term: term.mean(dim=0)).at(k)

    def total_se(self) -> np.ndarray:
        """Standard error (L,) of the mean total."""
        return _standard_error(self.total)

    @property
    def _allowed(self) -> np.ndarray:
        """Places of the points that stayed within range most often, and whose cost is known."""
        often = self.within_range.sum(dim=0).numpy() - 1000 * ~np.isfinite(self.total).all(axis=0)
        return np.flatnonzero(often == often.max())


def _standard_error(values: np.ndarray) -> np.ndarray:
    """Of the mean over the first axis; NaN where that is one value."""
    if len(values) < 2:
        return np.full(values.shape[1], np.nan)
    return values.std(axis=0, ddof=1) / np.sqrt(len(values))


class RegionalProblem(MapProblem):
    """Predicted cost plus penalty as a function of (u, z), D + K N coordinates; an `optim.search.descent.Problem`.

    Parameters
    ----------
    smooth : SmoothCost
    space : SearchSpace
    strength : float
        Of the penalty: the mean over regions and parameters of the squared deviation, as a share of the parameter's range.
    """

    def __init__(self, smooth: SmoothCost, space: SearchSpace, strength: float):
        super().__init__(smooth, space)
        self.strength = strength
        self.n_map = space.n_dimensions
        self.names = space.parameterisation.regional_names
        self.n_free = len(self.names) * space.parameterisation.maps.n_regions
        self.scale = float(np.sqrt(self.n_free))

    def start(self, u: np.ndarray) -> np.ndarray:
        """Coordinates (1, D + K N) of the map fit at search coordinates `u` (D,)."""
        return np.concatenate([u, np.zeros(self.n_free)])[None]

    def values(self, u: Tensor) -> dict[str, Tensor]:
        values = super().values(u[:, : self.n_map])
        for name, z in zip(self.names, self.deviation(u).unbind(dim=1), strict=True):
            low, high = getattr(self.space.parameterisation.bounds, name)
            values[name] = values[name] + (high - low) * z
        return values

    def deviation(self, x: Tensor) -> Tensor:
        """z, (B, K, N): coordinates are scaled so that a step of length 1 is a root mean square deviation of 1."""
        return x[:, self.n_map :].reshape(len(x), len(self.names), -1) * self.scale

    def value_and_gradient(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x_ = torch.tensor(x, requires_grad=True)
        value = walled_value(self.smooth, self.space, self.values(x_), self.barrier)
        value = value + self.strength * (self.deviation(x_) ** 2).mean(dim=(1, 2))
        return value_and_gradient(value, x_)


@dataclass(frozen=True, eq=False)
class PenaltyPath:
    """Candidates along the path of penalty strengths; the first is the map fit.

    Attributes
    ----------
    strengths : tuple of float
        From infinite downwards.
    coordinates : array, (L, D + K N)
        Search coordinates of the maps' coefficients, then scaled deviations.
    coefficients : array, (L, D)
    deviations : array, (L,)
        Root mean square, as a share of the parameters' ranges.
    parameters : ModelParameters
        L candidates.
    predicted : Evaluation
        By the theory, on the search data.
    """

    strengths: tuple[float, ...]
    coordinates: np.ndarray
    coefficients: np.ndarray
    deviations: np.ndarray
    parameters: ModelParameters
    predicted: Evaluation

    def table(self, validated: Validated) -> tuple[PenaltyPoint, ...]:
        """The path with its simulated validation."""
        (excess, excess_se), total_se = validated.excess(), validated.total_se()
        return tuple(
            PenaltyPoint(
                strength,
                float(self.deviations[k]),
                self.predicted.cost.at(k),
                validated.mean_cost(k),
                total_se=float(total_se[k]),
                excess=float(excess[k]),
                excess_se=float(excess_se[k]),
                in_range=bool(validated.within_range[:, k].all()),
                chosen=k == validated.chosen,
            )
            for k, strength in enumerate(self.strengths)
        )


def penalty_path(
    smooth: SmoothCost,
    space: SearchSpace,
    predictor: Objective,
    u: np.ndarray,
    seed: int,
    strengths: tuple[float, ...] = STRENGTHS,
    steps: int = _STEPS,
    checkpoint: Checkpoint | None = None,
) -> PenaltyPath:
    """Free the regions step by step, from the map fit on.

    Parameters
    ----------
    smooth : SmoothCost
        What is minimised, within the walls of `optim.search.gradient.walled_value`.
    space : SearchSpace
    predictor : Objective
        Predicts the cost of each point: `LinearObjective` on the search data.
    u : array, (D,)
        Search coordinates of the map fit.
    seed : int
        Noise of the predictor.
    strengths : tuple of float, default `STRENGTHS`
        Finite, falling; each starts where the one before it ended.
    steps : int, default 30
        BFGS steps at each strength.
    checkpoint : Checkpoint, optional
        Saved after every strength; where there is one, the path goes on from it.

    Returns
    -------
    PenaltyPath
        The map fit and one candidate per strength.

    Raises
    ------
    OutputError
        If the checkpoint cannot be read, or is of another fit.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from optim.objectives.linear import LinearObjective
    >>> from optim.search.regional import penalty_path
    >>> from optim.search.space import SearchSpace
    >>> from optim.objectives.smooth_cost import SmoothCost
    >>> runs = np.random.default_rng(0).normal(size=(2, 60, 3))
    >>> subject = mfm.subject_from_runs("sub-01", runs, mfm.Connectome(0.02 * (1 - np.eye(3))), tr_s=2.0)
    >>> space = SearchSpace(mfm.MapParameterisation(subject.maps))
    >>> protocol = mfm.Protocol(2.0, 60, dt_s=0.005)
    >>> smooth = SmoothCost(subject.search, protocol, n_samples=1)
    >>> predictor = LinearObjective(subject.search, protocol)
    >>> path = penalty_path(smooth, space, predictor, np.array([0.3, 0.5, 0.5, 0.5]), seed=0, strengths=(1.0, 0.0), steps=3)
    >>> path.strengths, path.parameters.w_EE.shape, path.deviations[0].item()
    ((inf, 1.0, 0.0), torch.Size([3, 3]), 0.0)
    """
    problem = RegionalProblem(smooth, space, 0.0)
    points = (None if checkpoint is None else checkpoint.load()) or [problem.start(u)]
    for strength in strengths[len(points) - 1 :]:
        problem = RegionalProblem(smooth, space, strength)
        descent = BFGS(points[-1], _LONGEST_STEP)
        for _ in range(1 + steps):
            descent.step(problem)
        points.append(descent.x.copy())
        if checkpoint is not None:
            checkpoint.save(points)
    x = np.concatenate(points)
    parameters = space.parameterisation.model.parameters(**problem.values(torch.from_numpy(x)))
    return PenaltyPath(
        strengths=(float("inf"), *strengths),
        coordinates=x,
        coefficients=space.to_coefficients(x[:, : space.n_dimensions]),
        deviations=(problem.deviation(torch.from_numpy(x)) ** 2).mean(dim=(1, 2)).sqrt().numpy(),
        parameters=parameters,
        predicted=predictor.evaluate(parameters, seed),
    )
