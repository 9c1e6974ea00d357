"""The search."""

from __future__ import annotations

from dataclasses import dataclass

from mfm.errors import ConfigError
from optim.config.checks import _at_least, _one_of

OPTIMIZERS = ("cmaes", "delssome", "gradient")


@dataclass(frozen=True)
class OptimizerConfig:
    """The search.

    Parameters
    ----------
    name : {"cmaes", "delssome", "gradient"}
        CMA-ES; the published variant of it for comparison; or BFGS on the predicted cost (`optim.search.gradient`), which needs
        objective=linear.
    population, generations : int
        For ``gradient``: descents at once, and how often they are scored (every four steps).
    starts : int
        Independent searches; all of their winners meet in validation.
    initial_candidates : int
        Plausible random candidates scored before a search, which starts from the best; 0 starts from a random one.
    initial_step : float
        Initial standard deviation, as a share of the parameters' ranges; not used by ``gradient``.
    seed : int
    """

    name: str = "cmaes"
    population: int = 100
    generations: int = 100
    starts: int = 1
    initial_candidates: int = 200
    initial_step: float = 0.2
    seed: int = 1

    def __post_init__(self):
        _one_of("optimizer.name", self.name, OPTIMIZERS)
        _at_least("optimizer.population", self.population, 4)
        _at_least("optimizer.generations", self.generations, 1)
        _at_least("optimizer.starts", self.starts, 1)
        _at_least("optimizer.initial_candidates", self.initial_candidates, 0)
        _at_least("optimizer.seed", self.seed, 0)
        if not 0 < self.initial_step <= 1:
            raise ConfigError("optimizer.initial_step must lie in (0, 1].", found=str(self.initial_step))
