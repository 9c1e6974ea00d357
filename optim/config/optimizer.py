"""How the parameters are searched: one class of settings for each optimizer, with those that it uses and no others."""

from __future__ import annotations

from dataclasses import dataclass

from mfm.errors import ConfigError
from optim.config.checks import check_at_least, check_choice


@dataclass(frozen=True)
class OptimizerConfig:
    """What every optimizer needs. A fit takes one of its kinds: `CMAESConfig`, `DelssomeConfig` or `GradientConfig`.

    Parameters
    ----------
    population, generations : int
        Candidates of a generation, and how many generations there are.
    starts : int
        Independent searches; all of their winners meet in validation.
    initial_candidates : int
        Plausible random candidates scored before a search, which starts from the best; 0 starts from a random one.
    seed : int
        Decides, with the subject's id, every random number of the fit.
    """

    population: int = 100
    generations: int = 100
    starts: int = 1
    initial_candidates: int = 200
    seed: int = 1

    def __post_init__(self):
        check_at_least("optimizer.population", self.population, 4)
        check_at_least("optimizer.generations", self.generations, 1)
        check_at_least("optimizer.starts", self.starts, 1)
        check_at_least("optimizer.initial_candidates", self.initial_candidates, 0)
        check_at_least("optimizer.seed", self.seed, 0)


@dataclass(frozen=True)
class CMAESConfig(OptimizerConfig):
    """CMA-ES (`optim.search.cmaes`); further settings as in `OptimizerConfig`.

    Parameters
    ----------
    name : "cmaes"
    initial_step : float
        Initial standard deviation, as a share of the parameters' ranges.
    """

    name: str = "cmaes"
    initial_step: float = 0.2

    def __post_init__(self):
        super().__post_init__()
        check_choice("optimizer.name", self.name, "cmaes", OPTIMIZERS)
        _check_step(self.initial_step)


@dataclass(frozen=True)
class DelssomeConfig(OptimizerConfig):
    """The published variant of CMA-ES, for comparison (`optim.search.delssome`), with its five starts from random candidates.

    Further settings as in `OptimizerConfig`.

    Parameters
    ----------
    name : "delssome"
    initial_step : float
        Initial standard deviation, as a share of the parameters' ranges.
    """

    starts: int = 5
    initial_candidates: int = 0
    name: str = "delssome"
    initial_step: float = 0.2

    def __post_init__(self):
        super().__post_init__()
        check_choice("optimizer.name", self.name, "delssome", OPTIMIZERS)
        _check_step(self.initial_step)


@dataclass(frozen=True)
class GradientConfig(OptimizerConfig):
    """BFGS on the cost predicted by linear response (`optim.search.gradient`); further settings as in `OptimizerConfig`.

    Parameters
    ----------
    name : "gradient"
    population, generations : int
        Descents at once, and how often they are scored: every four steps.
    """

    population: int = 8
    generations: int = 40
    name: str = "gradient"

    def __post_init__(self):
        super().__post_init__()
        check_choice("optimizer.name", self.name, "gradient", OPTIMIZERS)


#: The kinds of optimizer, by ``optimizer.name``.
OPTIMIZERS: dict[str, type[OptimizerConfig]] = {"cmaes": CMAESConfig, "delssome": DelssomeConfig, "gradient": GradientConfig}


def _check_step(initial_step: float) -> None:
    if not 0 < initial_step <= 1:
        raise ConfigError("optimizer.initial_step must lie in (0, 1].", found=str(initial_step))
