"""Every setting of a fit, as dataclasses: what a name means stands here, what it is set to stands in ``conf/``."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mfm import Bounds, MapParameterisation, Plausibility, Protocol, Scan, SubjectData, upper_triangle
from mfm.errors import ConfigError
from mfm.io import DataFiles
from mfm.protocol import SCHEMES, coarse_hemodynamic_dt, nearest_dt
from mfm.subject import STAGES
from optim.refine.config import RefineConfig

OPTIMIZERS = ("cmaes", "delssome", "gradient")
NOISE = ("shared", "independent")
SEARCHES = ("simulation", "linear", "surrogate")
GATES = ("classifier", "rate", "none")
_DATA_PATHS = (
    *("folder", "manifest", "session", "sc", "timeseries", "parcellation", "label_table"),
    *(*STAGES, "maps", "gradient_fc"),
)


@dataclass(frozen=True)
class ModelConfig:
    """The model, its bounds and its plausibility rules.

    Parameters
    ----------
    name : {"fic"}
    bounds : {"group", "subject"}
        ``group``: w_EI in [0, 5]; ``subject``: w_EI's range from the subject's mean FC (Zeng et al. 2026).
    w_EE, w_EI, sigma, G : [low, high], optional
        Override a range.
    w_EI_signs : mapping of map name to +1 or -1, optional
        Sign that w_EI's correlation with a map must have; default: negative with myelin, positive with gradient (Zhang et al.
        2024). ``{}`` switches the rule off.
    w_EI_min_std : float
        Least standard deviation of w_EI over regions (0.3 for a subject's fit in Zeng et al. 2026); 0 switches it off.
    regional : bool
        After the search, free w_EE, w_EI and sigma of every region, pulled to the maps by a penalty whose strength the
        validation data choose (`optim.regional`): 3N + 1 parameters. The map fit is one of the choices.
    """

    name: str = "fic"
    bounds: str = "group"
    w_EE: list[float] | None = None
    w_EI: list[float] | None = None
    sigma: list[float] | None = None
    G: list[float] | None = None
    w_EI_signs: dict[str, int] | None = None
    w_EI_min_std: float = 0.0
    regional: bool = False

    def __post_init__(self):
        _one_of("model.name", self.name, ("fic",))
        _one_of("model.bounds", self.bounds, ("group", "subject"))
        for name, sign in (self.w_EI_signs or {}).items():
            _one_of(f"model.w_EI_signs.{name}", sign, (-1, 1))
        for name in ("w_EE", "w_EI", "sigma", "G"):
            value = getattr(self, name)
            if value is not None and len(value) != 2:
                raise ConfigError(f"model.{name} is not a range.", expected="[low, high]", found=str(value))

    def parameterisation(self, subject: SubjectData) -> MapParameterisation:
        """Coefficients of the subject's maps, with the bounds and rules of this configuration."""
        mean_fc = float(upper_triangle(subject.search.target.fc).mean())
        bounds = Bounds.for_subject(mean_fc) if self.bounds == "subject" else Bounds()
        own = {name: tuple(v) for name in ("w_EE", "w_EI", "sigma", "G") if (v := getattr(self, name)) is not None}
        published = Plausibility().w_EI_signs
        signs = published if self.w_EI_signs is None else tuple(self.w_EI_signs.items())
        rules = Plausibility(signs, self.w_EI_min_std)
        return MapParameterisation(subject.maps, Bounds(**{**asdict(bounds), **own}), rules)


@dataclass(frozen=True)
class AtlasConfig:
    """The parcellation: a name for output files, and a file of region names."""

    name: str = "unnamed"
    labels: str | None = None

    def __post_init__(self):
        check_entity("atlas.name", self.name)


@dataclass(frozen=True)
class AcquisitionConfig:
    """The scan: repetition time in seconds, and frames. Neither has a default: a wrong TR is a wrong fit.

    ``n_frames`` may be left out for time series, whose length is read from them.
    """

    tr_s: float | None = None
    n_frames: int | None = None


@dataclass(frozen=True)
class ObjectiveConfig:
    """How candidates are simulated and scored.

    Parameters
    ----------
    search : {"simulation", "linear", "surrogate"}
        What scores candidates in the search: simulation, linear response gated by a displaced start (`LinearObjective`), or a
        trained surrogate with audits (`AuditedObjective`). Validation and test are always simulated.
    surrogate : str
        Name of a shipped surrogate, or the folder of one; for ``search="surrogate"``, as the following.
    gate : {"classifier", "rate", "none"}
        What decides that a candidate is within range (`SurrogateObjective`).
    audits, audit_candidates : int
        Of so many populations of a search (`optim.audits.populations`) so many candidates are simulated too.
    least_rank : float
        Rank correlation of predicted and simulated cost (`AuditLog.rank_correlation`) below which the rest of a search is
        simulated.
    validated : int, optional
        Winners that are simulated on the validation data: those of the lowest predicted cost. Default all.
    backend : {"auto", "reference", "numba", "triton"}
    n_repeats : int
        Noise realisations per candidate in search, validation and test.
    noise : {"shared", "independent"}
        ``shared``: the candidates of a generation see the same noise, a new one every generation.
    dt_search_s, dt_validation_s, dt_test_s : float, optional
        Neural steps in seconds; null is the valid step nearest to 6 ms (search, validation) or 0.5 ms (test).
    burn_in_s, warm_up_s : float
    hemo_dt_s : float, optional
        Hemodynamic step; null is the coarsest valid one up to 0.03 s.
    scheme : {"exponential", "euler"}
        How S_I is stepped (`mfm.Protocol`). Published fits use Euler steps, which at 6 ms shift firing rates and reject
        parameters that are within range at small steps.
    n_threads : int, optional
        Default: the cores this process may use. Results do not depend on it.
    """

    search: str = "simulation"
    surrogate: str = "fic"
    gate: str = "classifier"
    audits: int = 4
    audit_candidates: int = 14
    least_rank: float = 0.6
    validated: int | None = None
    backend: str = "auto"
    n_repeats: int = 3
    noise: str = "shared"
    dt_search_s: float | None = None
    dt_validation_s: float | None = None
    dt_test_s: float | None = None
    burn_in_s: float = 144.0
    warm_up_s: float = 30.0
    hemo_dt_s: float | None = None
    scheme: str = "exponential"
    n_threads: int | None = None

    def __post_init__(self):
        _one_of("objective.scheme", self.scheme, SCHEMES)
        _one_of("objective.backend", self.backend, ("auto", "reference", "numba", "triton"))
        _one_of("objective.noise", self.noise, NOISE)
        _one_of("objective.search", self.search, SEARCHES)
        _one_of("objective.gate", self.gate, GATES)
        _at_least("objective.audits", self.audits, 0)
        _at_least("objective.audit_candidates", self.audit_candidates, 2)
        if not -1 <= self.least_rank <= 1:
            raise ConfigError("objective.least_rank is not a correlation.", expected="-1 to 1", found=str(self.least_rank))
        if self.validated is not None:
            _at_least("objective.validated", self.validated, 1)
            if self.search != "surrogate":
                raise ConfigError(
                    "objective.validated picks winners by a surrogate's prediction.",
                    found=f"objective.search={self.search}",
                    fix="objective=surrogate, or leave objective.validated out",
                )
        _at_least("objective.n_repeats", self.n_repeats, 1)
        if self.n_threads is not None:
            _at_least("objective.n_threads", self.n_threads, 1)

    def protocol(self, scan: Scan, stage: str) -> Protocol:
        """Timing of a stage's simulations; an invalid step is an error, never adjusted."""
        dt_s = getattr(self, f"dt_{stage}_s")
        if dt_s is None:
            dt_s = nearest_dt(scan.tr_s, 0.0005 if stage == "test" else 0.006)
        # Validates the step before the hemodynamic one is derived from it.
        plain = Protocol(scan.tr_s, scan.n_frames, dt_s, self.burn_in_s, self.warm_up_s, scheme=self.scheme)
        hemo_dt_s = coarse_hemodynamic_dt(plain.tr_s, dt_s) if self.hemo_dt_s is None else self.hemo_dt_s
        return replace(plain, hemo_dt_s=hemo_dt_s)


@dataclass(frozen=True)
class OptimizerConfig:
    """The search.

    Parameters
    ----------
    name : {"cmaes", "delssome", "gradient"}
        CMA-ES; the published variant of it for comparison; or BFGS on the predicted cost (`optim.gradient`), which needs
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


@dataclass(frozen=True)
class DataConfig(DataFiles):
    """The subject's files: each by name, or found in a folder or a manifest (`optim.locate`), where names given override.

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
    folder : str
    figures : bool
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

    Parameters
    ----------
    model : ModelConfig
    atlas : AtlasConfig
    acquisition : AcquisitionConfig
    objective : ObjectiveConfig
    optimizer : OptimizerConfig
    data : DataConfig
    refine : RefineConfig
        Of ``mfmfit refine``, and of the stage of that name if ``refine.run`` is set; it does not change the fit.
    output : OutputConfig

    Raises
    ------
    ConfigError
        If ``data.subject`` cannot be part of a file name, or a gradient search is asked of simulations; each group checks
        its own values likewise.

    Examples
    --------
    >>> from optim import FitConfig
    >>> from optim.config import OptimizerConfig
    >>> FitConfig(optimizer=OptimizerConfig(generations=50)).optimizer.population
    100
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    atlas: AtlasConfig = field(default_factory=AtlasConfig)
    acquisition: AcquisitionConfig = field(default_factory=AcquisitionConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    data: DataConfig = field(default_factory=DataConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    def __post_init__(self):
        check_entity("data.subject", self.data.subject)
        if self.optimizer.name == "gradient" and self.objective.search != "linear":
            raise ConfigError(
                "Simulation gives a search no gradient.",
                expected="optimizer=gradient together with objective=linear",
                found=f"optimizer.name=gradient, objective.search={self.objective.search}",
                fix="objective=linear (validation and test stay simulated), or optimizer=cmaes",
            )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the numbers: all but output, refinement, threads and paths, whose content counts instead."""
        settings = asdict(self)
        del settings["output"], settings["refine"]
        for name in ("n_threads", "surrogate"):
            del settings["objective"][name]
        for name in _DATA_PATHS:
            del settings["data"][name]
        del settings["data"]["sc_file"]["labels"], settings["data"]["cleaning"]["confounds"]
        settings["atlas"] = {"name": settings["atlas"]["name"]}
        return settings


def check_entity(name: str, value: str) -> None:
    """Raise a ConfigError unless `value` can stand in a file name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ConfigError(
            f"{name} cannot be part of a file name.", expected="letters, digits, '.', '_', '-'", found=repr(value)
        )


def _one_of(name: str, value, allowed: tuple) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} has an unknown value.", expected=" | ".join(map(str, allowed)), found=repr(value))


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{name} is too small.", expected=f"at least {least}", found=str(value))
