"""Every setting of a fit, as dataclasses: what a name means stands here, what it is set to stands in ``conf/``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mfm.errors import ConfigError
from mfm.io import DataFiles
from mfm.subject import STAGES, bare_id
from optim.config.checks import check_entity
from optim.config.model import ModelConfig
from optim.config.objective import OBJECTIVES, LinearObjectiveConfig, ObjectiveConfig, SimulationObjectiveConfig
from optim.config.optimizer import OPTIMIZERS, CMAESConfig, GradientConfig, OptimizerConfig
from optim.config.refine import RefineConfig, check_refinable

_DATA_PATHS = (
    *("folder", "manifest", "session", "sc", "timeseries", "parcellation", "label_table"),
    *(*STAGES, "maps", "gradient_fc"),
)


@dataclass(frozen=True)
class AtlasConfig:
    """The parcellation.

    Parameters
    ----------
    name : str
        For the names of output files.
    labels : path or list name, optional
        A file of region names, one a line, or a built-in list such as ``DK68``.
    """

    name: str = "unnamed"
    labels: str | None = None

    def __post_init__(self):
        check_entity("atlas.name", self.name)


@dataclass(frozen=True)
class AcquisitionConfig:
    """The scan: repetition time in seconds, and frames. Neither has a default: a wrong TR is a wrong fit.

    Parameters
    ----------
    tr_s : float, optional
        Repetition time, seconds; may be left out where header or sidecar of the time series tell it.
    n_frames : int, optional
        May be left out for time series, whose length is read from them.
    """

    tr_s: float | None = None
    n_frames: int | None = None


@dataclass(frozen=True)
class DataConfig(DataFiles):
    """The subject's files: each by name, or found in a folder or a manifest (`optim.fit.locate`), where names given override.

    Parameters
    ----------
    folder : path, optional
        A subject's folder, or one of several subjects of whom ``subject`` names one (``auto``: the only one).
    manifest : path, optional
        Table written by ``mfmfit inspect``.
    session : str, optional
        Where a subject has several; ``all`` takes their runs as runs of one subject.
    """

    folder: str | None = None
    manifest: str | None = None
    session: str | None = None


@dataclass(frozen=True)
class OutputConfig:
    """What is written, and where.

    Parameters
    ----------
    folder : path
        Every subject has a folder in it: ``<output.folder>/sub-<id>/``.
    figures : bool
        Also figures, as PNG files.
    timeseries : bool
        Also the simulated BOLD of the test, as npy.
    overwrite : bool
        Fit anew where a fit is already there, and replace its files when the new ones are ready.
    """

    folder: str = "outputs"
    figures: bool = True
    timeseries: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class FitConfig:
    """Everything that decides a fit. An unknown or mistyped setting is an error.

    ``FitConfig()`` and ``mfmfit fit`` without settings are one and the same (a test holds them to it), for a person as for a
    group: ranges of the model, no setting that follows the fitted data. What is published otherwise is asked for by
    ``experiment=published`` (a group), ``published_subject`` (a person; its range of w_EI follows mean FC) or ``subject``
    (a person, with one range for all).

    Parameters
    ----------
    model : ModelConfig
    atlas : AtlasConfig
    acquisition : AcquisitionConfig
    objective : SimulationObjectiveConfig, LinearObjectiveConfig or SurrogateObjectiveConfig
    optimizer : CMAESConfig, DelssomeConfig or GradientConfig
    data : DataConfig
    refine : RefineConfig
        Of ``mfmfit refine``, and of the stage of that name if ``refine.run`` is set; it does not change the fit.
    output : OutputConfig

    Raises
    ------
    ConfigError
        If ``data.subject`` cannot be part of a file name, the objective or the optimizer is none of those above, a gradient
        search is asked of anything but linear response, or theory or refinement of a model that has none; each group checks
        its own values likewise.

    Examples
    --------
    >>> from optim import CMAESConfig, FitConfig, LinearObjectiveConfig
    >>> FitConfig(objective=LinearObjectiveConfig(), optimizer=CMAESConfig(generations=50)).optimizer.population
    100
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    atlas: AtlasConfig = field(default_factory=AtlasConfig)
    acquisition: AcquisitionConfig = field(default_factory=AcquisitionConfig)
    objective: ObjectiveConfig = field(default_factory=SimulationObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=CMAESConfig)
    data: DataConfig = field(default_factory=DataConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    def __post_init__(self):
        check_entity("data.subject", self.data.subject)
        for name, kinds in (("objective", OBJECTIVES), ("optimizer", OPTIMIZERS)):
            if type(getattr(self, name)) not in kinds.values():
                raise ConfigError(
                    f"{name} is none of the choices.",
                    expected=" | ".join(kind.__name__ for kind in kinds.values()),
                    found=type(getattr(self, name)).__name__,
                )
        if isinstance(self.optimizer, GradientConfig) and not isinstance(self.objective, LinearObjectiveConfig):
            raise ConfigError(
                "Only linear response gives a search a gradient.",
                expected="optimizer=gradient together with objective=linear",
                found=f"optimizer=gradient with {type(self.objective).__name__}",
                fix="objective=linear (validation and test stay simulated), or optimizer=cmaes",
            )

        self._check_what_the_model_has()

    def _check_what_the_model_has(self) -> None:
        """A ConfigError where theory or refinement is asked of a model that has none."""
        model = self.model.model
        asks_theory = [
            *(["objective=linear"] if isinstance(self.objective, LinearObjectiveConfig) else []),
            *(["model.regional=true"] if self.model.regional else []),
        ]
        if asks_theory and not model.has_linear_response:
            raise ConfigError(
                f"There is no linear response of the model {model.name!r}, which {' and '.join(asks_theory)} needs.",
                expected="a model that is observed through hemodynamics",
                found=f"{model.observed} is observed directly",
                fix="objective=simulation model.regional=false",
            )
        if self.refine.run:
            check_refinable(model.name)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the numbers: all but output, refinement, threads and paths, whose content counts instead."""
        settings = asdict(self)
        del settings["output"], settings["refine"]
        for name in ("n_threads", "surrogate"):
            settings["objective"].pop(name, None)
        for name in _DATA_PATHS:
            del settings["data"][name]
        del settings["data"]["sc_file"]["labels"], settings["data"]["cleaning"]["confounds"]
        settings["data"]["subject"] = bare_id(settings["data"]["subject"])
        settings["atlas"] = {"name": settings["atlas"]["name"]}
        return settings
