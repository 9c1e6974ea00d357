"""The published search: CMA-ES as used by pFIC and DELSSOME, for comparison.

Zhang et al. 2024 and Zeng et al. 2026 recombine the best 10 of 100 with weights proportional to 1 / cost, and sample by
rejection. It differs from standard CMA-ES (Hansen 2016) in the weights and in having no active update. For science, prefer
`optim.search.cmaes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optim.search.cmaes import ask_feasible, check_finite
from optim.search.space import SearchSpace

_PARENTS = 10

# What a search goes on from, beside its random numbers.
_STATE = ("mean", "scale", "covariance", "path_step", "path_covariance", "generation")


class DELSSOMESearch:
    """Rank-mu CMA-ES with weights proportional to 1 / loss over the best 10.

    Parameters
    ----------
    space : SearchSpace
    start : array, (D,)
    step : float
    population : int
        The publications' is 100.
    seed_sequence : numpy.random.SeedSequence
    """

    def __init__(
        self, space: SearchSpace, start: np.ndarray, step: float, population: int, seed_sequence: np.random.SeedSequence
    ):
        self.space = space
        self.population = population
        self.rng = np.random.default_rng(seed_sequence)
        self.mean = np.array(start, dtype=np.float64)
        self.scale = step
        D = len(self.mean)
        self.covariance = np.eye(D)
        self.path_step = np.zeros(D)
        self.path_covariance = np.zeros(D)
        self.generation = 0

    def ask(self) -> np.ndarray:
        values, axes = self._eigen()
        draw = lambda: (  # noqa: E731
            self.mean + self.scale * (self.rng.standard_normal((self.population, len(self.mean))) * np.sqrt(values)) @ axes.T
        )
        return ask_feasible(draw, self.space)

    def tell(self, u: np.ndarray, loss: np.ndarray) -> None:
        loss = check_finite(loss)
        best = np.argsort(loss, kind="stable")[: min(_PARENTS, len(loss))]
        weights = 1 / np.maximum(loss[best], 1e-12)
        weights /= weights.sum()
        self._update(u[best], weights)

    def stopped(self) -> str:
        return "tolx" if self.scale * np.sqrt(self.covariance.diagonal().max()) < 1e-4 else ""

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _STATE} | {"generator": self.rng.bit_generator.state}

    def load(self, state: dict[str, Any]) -> None:
        for name in _STATE:
            setattr(self, name, state[name])
        self.rng.bit_generator.state = state["generator"]

    @property
    def step(self) -> float:
        return float(self.scale * np.sqrt(self.covariance.diagonal()).mean())

    def _eigen(self) -> tuple[np.ndarray, np.ndarray]:
        values, axes = np.linalg.eigh(self.covariance)
        return np.maximum(values, 1e-20), axes

    def _update(self, parents: np.ndarray, weights: np.ndarray) -> None:
        """Hansen's update of mean, paths, covariance and step (arXiv:1604.00772, without negative weights)."""
        D = len(self.mean)
        mu_eff = 1 / (weights**2).sum()
        c_step = (mu_eff + 2) / (D + mu_eff + 5)
        damping = 1 + 2 * max(0.0, np.sqrt((mu_eff - 1) / (D + 1)) - 1) + c_step
        c_path = (4 + mu_eff / D) / (D + 4 + 2 * mu_eff / D)
        c_one = 2 / ((D + 1.3) ** 2 + mu_eff)
        c_mu = min(1 - c_one, 2 * (mu_eff - 2 + 1 / mu_eff) / ((D + 2) ** 2 + mu_eff))
        expected_norm = np.sqrt(D) * (1 - 1 / (4 * D) + 1 / (21 * D**2))

        values, axes = self._eigen()
        steps = (parents - self.mean) / self.scale
        move = weights @ steps
        self.mean = self.mean + self.scale * move
        whitened = axes @ ((axes.T @ move) / np.sqrt(values))
        self.path_step = (1 - c_step) * self.path_step + np.sqrt(c_step * (2 - c_step) * mu_eff) * whitened
        self.generation += 1
        path_norm = np.linalg.norm(self.path_step)
        # From generation 1 on: at 0 the expectation below is 0, and the published code divides by it.
        correction = np.sqrt(1 - (1 - c_step) ** (2 * self.generation))
        moving = path_norm / correction < (1.4 + 2 / (D + 1)) * expected_norm
        self.path_covariance = (1 - c_path) * self.path_covariance + moving * np.sqrt(c_path * (2 - c_path) * mu_eff) * move
        rank_mu = (weights[:, None] * steps).T @ steps
        lost = (1 - moving) * c_path * (2 - c_path)
        self.covariance = (
            (1 - c_one - c_mu + c_one * lost) * self.covariance
            + c_one * np.outer(self.path_covariance, self.path_covariance)
            + c_mu * rank_mu
        )
        self.scale *= float(np.exp(c_step / damping * (path_norm / expected_norm - 1)))
