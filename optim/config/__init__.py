"""Every setting, one dataclass per choice: what a name means stands here, what it is set to stands in ``conf/``.

A setting stands only in the classes of choices that use it; given to another one, it is an error.
"""

from optim.config.fit import AcquisitionConfig, AtlasConfig, DataConfig, FitConfig, OutputConfig
from optim.config.model import ModelConfig
from optim.config.objective import (
    LinearObjectiveConfig,
    ObjectiveConfig,
    SimulationObjectiveConfig,
    SurrogateObjectiveConfig,
)
from optim.config.optimizer import CMAESConfig, DelssomeConfig, GradientConfig, OptimizerConfig
from optim.config.refine import RefineConfig

__all__ = [
    "AcquisitionConfig",
    "AtlasConfig",
    "CMAESConfig",
    "DataConfig",
    "DelssomeConfig",
    "FitConfig",
    "GradientConfig",
    "LinearObjectiveConfig",
    "ModelConfig",
    "ObjectiveConfig",
    "OptimizerConfig",
    "OutputConfig",
    "RefineConfig",
    "SimulationObjectiveConfig",
    "SurrogateObjectiveConfig",
]
