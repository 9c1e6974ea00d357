"""Gradient search on the coefficients of the maps: BFGS on the predicted cost, from several starts at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from optim.objectives.linear import LinearObjective
from optim.objectives.smooth_cost import SmoothCost, room
from optim.search.descent import BFGS
from optim.search.space import SearchSpace

# Weights of the logarithmic barriers: far from the walls first, where a descent moves freely, then nearer; the last moves a
# cost by less than it is known.
_BARRIERS = (0.03, 0.01, 0.003, 0.001)
_GENERATIONS_PER_BARRIER = 5

# Slowest return to 3 Hz that a descent may come to, per second. Random candidates that pass the gate of `LinearObjective`
# return faster than 0.14 (demo subject), and the best ones lie near the instability, where all is slow; the gate judges them.
_SLOWEST_RETURN = 0.1

# BFGS steps between two generations, each of which is scored with other noise and may give a winner.
_STEPS_PER_GENERATION = 4


def walled_value(smooth: SmoothCost, space: SearchSpace, values: dict[str, Tensor], barrier: float = _BARRIERS[-1]) -> Tensor:
    """Predicted cost plus barriers, (B,): infinite outside of bounds, plausibility, stability and the basin.

    ``cost - barrier * (log room, mean over regions + log(return rate - 0.1))``, as interior-point methods do. The return rate
    (`SmoothCost.return_rate`) stands for the gate of `LinearObjective`, which has no gradient and judges what becomes a winner.
    """
    walls = room(space.parameterisation, values)
    value = torch.full_like(walls[:, 0], float("inf"))
    inside = torch.nonzero((walls > 0).all(dim=1))[:, 0]
    if not len(inside):
        return value
    p = space.parameterisation.model.parameters(**{name: each[inside] for name, each in values.items()})
    lin = smooth.response(p)
    excess = smooth.return_rate(p, lin) - _SLOWEST_RETURN
    kept = torch.nonzero(excess > 0)[:, 0]  # a NaN is not
    if not len(kept):
        return value
    room_left = walls[inside][kept].log().sum(dim=1) / p.n_regions + excess[kept].log()
    total = smooth.terms(lin[kept]).total - barrier * room_left
    return value.index_copy(0, inside[kept], total)


class MapProblem:
    """`walled_value` as a function of the search coordinates of the map coefficients; an `optim.search.descent.Problem`."""

    def __init__(self, smooth: SmoothCost, space: SearchSpace, barrier: float = _BARRIERS[-1]):
        self.smooth, self.space, self.barrier = smooth, space, barrier
        origin = space.to_coefficients(np.zeros((1, space.n_dimensions)))
        self._origin = torch.from_numpy(origin)
        self._basis = torch.from_numpy(space.to_coefficients(np.eye(space.n_dimensions)) - origin)

    def values(self, u: Tensor) -> dict[str, Tensor]:
        """Parameters by name, (B, N) or (B,), at search coordinates (B, D), differentiable."""
        return self.space.parameterisation.values(self._origin + u @ self._basis)

    def value_and_gradient(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = torch.tensor(x, requires_grad=True)
        return value_and_gradient(walled_value(self.smooth, self.space, self.values(u), self.barrier), u)


def value_and_gradient(value: Tensor, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Values (B,) and gradients (B, D) of candidates that do not depend on each other, as arrays."""
    finite = torch.isfinite(value)
    if finite.any() and value.requires_grad:
        (gradient,) = torch.autograd.grad(value[finite].sum(), x)
    else:
        gradient = torch.zeros_like(x)
    return value.detach().numpy(), gradient.numpy()


class GradientSearch:
    """The gradient search as a sampler of `optim.search.run`: each generation is where its starts have come to.

    Between two generations every start makes four BFGS steps on the predicted cost (`SmoothCost`), in the interior of
    bounds, plausibility rules and the basin of the 3 Hz state (`walled_value`); the barriers that keep it there weaken every
    five generations. A generation is scored as any other, by `LinearObjective` with noise of its own, and its best joins
    the winners, which are simulated.

    Parameters
    ----------
    space : SearchSpace
    objective : LinearObjective
        What the search is scored by; its scan and protocol are those of the gradients.
    starts : array, (P, D)
        Search coordinates to start from.
    seed_sequence : numpy.random.SeedSequence
        Of the noise of the sampled BOLD.
    """

    def __init__(
        self, space: SearchSpace, objective: LinearObjective, starts: np.ndarray, seed_sequence: np.random.SeedSequence
    ):
        seed = int(seed_sequence.generate_state(1)[0])
        smooth = SmoothCost(objective.scan, objective.protocol, objective.n_samples, seed, objective.margin)
        self._problem = MapProblem(smooth, space, _BARRIERS[0])
        self._generation = 0
        self._descent = BFGS(starts)
        self._before = self._descent.x.copy()

    def ask(self) -> np.ndarray:
        self._before = self._descent.x.copy()
        weight = _BARRIERS[min(self._generation // _GENERATIONS_PER_BARRIER, len(_BARRIERS) - 1)]
        if weight != self._problem.barrier:
            self._problem.barrier = weight
            self._descent.refresh()
        self._generation += 1
        for _ in range(_STEPS_PER_GENERATION):
            self._descent.step(self._problem)
        return self._descent.x.copy()

    def tell(self, u: np.ndarray, loss: np.ndarray) -> None:
        """Nothing to learn: the descent has its own values."""

    def stopped(self) -> str:
        done = self._descent.converged.all() and self._problem.barrier == _BARRIERS[-1]
        return "no start descends any further" if done else ""

    def state(self) -> dict[str, Any]:
        return {
            "generation": self._generation,
            "barrier": self._problem.barrier,
            "before": self._before,
            "descent": self._descent.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self._generation, self._problem.barrier, self._before = state["generation"], state["barrier"], state["before"]
        self._descent.load(state["descent"])

    @property
    def step(self) -> float:
        """Root mean square move of a coordinate since the last generation."""
        return float(np.sqrt(np.mean((self._descent.x - self._before) ** 2)))
