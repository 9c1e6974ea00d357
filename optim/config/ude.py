"""Every setting of `mfmfit ude`: what a name means stands here, what it is set to stands in ``conf/ude/``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mfm.errors import ConfigError
from optim.config.checks import check_entity, check_one_of

RESIDUALS = ("mlp", "basis", "edge")
LOSSES = ("prediction_error", "path", "latent_sde")
OBSERVERS = ("innovation", "nudging", "none")
EXTRACTIONS = ("stlsq", "genetic", "none")


@dataclass(frozen=True)
class SeriesConfig:
    """The time series.

    Parameters
    ----------
    name : str
        Of the output folder.
    files : list of paths
        One table per trajectory of a system of one unit: a column per observed state, named so, and perhaps ``time``.
    channels : mapping of state to list of paths, optional
        For many units instead: per observed state one table (samples x units) for each trajectory.
    dt : float, optional
        Sampling interval, in `time_unit`; told by a ``time`` column where there is one.
    time_unit : str, optional
        Of `dt`, must be the mechanism's ("s" for the FIC model, "1" for equations without units); default: it is.
    noise_std : list of float, optional
        Measurement noise of each channel; default: estimated.
    """

    name: str = "series"
    files: list[str] = field(default_factory=list)
    channels: dict[str, list[str]] | None = None
    dt: float | None = None
    time_unit: str | None = None
    noise_std: list[float] | None = None

    def __post_init__(self):
        check_entity("data.name", self.name)


@dataclass(frozen=True)
class MechanismConfig:
    """What is known.

    Parameters
    ----------
    name : str
        ``fic``, ``none`` (a neural ODE), ``roessler``, ``circuit``, or ``module:object``: a `mfm.ude.Mechanism` of yours, or
        what makes one when called, in a Python module that can be imported or lies in the current folder.
    states : list of str
        Of a model without mechanism.
    parameters, G, sc, sc_transform : optional
        Of the FIC model: a fit's ``regional.tsv`` (or any table with w_EE, w_EI and sigma), coupling, connectome.
    maps : mapping of name to path, optional
        Regional maps that residuals may use.
    mode, scheme, substeps, in_solver
        As for `mfm.ude.Hybrid`.
    """

    name: str = "none"
    states: list[str] = field(default_factory=list)
    parameters: str | None = None
    G: float | None = None
    sc: str | None = None
    sc_transform: str = "log"
    maps: dict[str, str] | None = None
    mode: str = "parallel"
    scheme: str = "rk4"
    substeps: int = 1
    in_solver: bool = False


@dataclass(frozen=True)
class ResidualConfig:
    """What is learned: see `mfm.ude.ResidualMLP`, `ResidualBasis` and `ResidualEdge`.

    Parameters
    ----------
    kind : {"mlp", "basis", "edge"}
    target, inputs, maps
        Where it enters, and the states and maps that it depends on (of an edge correction: one input, the source).
    hidden, gain : of a network
    degree, terms : of a basis
        All monomials up to a degree, or those named, such as ``x z``.
    rank : of an edge correction
    origin, scale : list of float, optional
        Inputs enter as (input - origin) / scale; default of a network: mean and spread of the data, of a basis: 0 and 1.
    bound, centre : optional
    """

    kind: str = "mlp"
    target: str = ""
    inputs: list[str] = field(default_factory=list)
    maps: list[str] = field(default_factory=list)
    hidden: list[int] = field(default_factory=lambda: [16, 16])
    gain: float = 1.0
    degree: int = 2
    terms: list[str] | None = None
    rank: int = 1
    origin: list[float] | None = None
    scale: list[float] | None = None
    bound: float | None = None
    centre: str | None = None

    def __post_init__(self):
        check_one_of("residual.kind", self.kind, RESIDUALS)
        if not self.target:
            raise ConfigError("residual.target is not given.", fix="residual.target=STATE, a current or a parameter")


@dataclass(frozen=True)
class LossConfig:
    """What is minimised: `mfm.ude.PredictionError` (observer, shooting), `PathLikelihood`, `LatentSDE`.

    Parameters
    ----------
    observer : {"innovation", "nudging", "none"}
    gain, hold, end : float
        Of the observer and its schedule; it ends before the training does.
    segment : int, optional
        Intervals per segment; null is single shooting. With ``training.curriculum`` the last stage's length is 10.
    continuity, state_scale, hidden_start, missing_size, sigma, samples
        As in the classes.
    """

    name: str = "prediction_error"
    observer: str = "innovation"
    gain: float = 0.3
    hold: float = 0.5
    end: float = 0.85
    segment: int | None = 10
    continuity: float = 1.0
    state_scale: list[float] | None = None
    hidden_start: list[float] | None = None
    missing_size: float | None = None
    sigma: list[float] | None = None
    samples: int = 4

    def __post_init__(self):
        check_one_of("loss.name", self.name, LOSSES)
        check_one_of("loss.observer", self.observer, OBSERVERS)


@dataclass(frozen=True)
class TrainingConfig:
    """How it is minimised: Adam, from several starts at once; with `curriculum`, over segments of 1, 5, 5 and 10 intervals."""

    iterations: int = 1600
    step: float = 0.02
    weight_decay: float = 0.0
    curriculum: bool = True
    starts: int = 5
    seed: int = 0


@dataclass(frozen=True)
class ExtractionConfig:
    """The formula: `mfm.ude.extract` with its rule, and `refit`."""

    method: str = "stlsq"
    degree: int = 2
    terms: list[str] | None = None
    share: float = 0.15
    t: float = 3.0
    inclusion: float = 0.6
    refit: bool = True

    def __post_init__(self):
        check_one_of("extraction.method", self.method, EXTRACTIONS)


@dataclass(frozen=True)
class SplitConfig:
    """Shares of the samples that are trained on and chosen by; the rest is reported on. `horizon`: samples that forecasts are
    scored over, null all (chaotic systems are predicted for a few Lyapunov times only)."""

    train: float = 0.6
    validation: float = 0.2
    horizon: int | None = None


@dataclass(frozen=True)
class UDEOutputConfig:
    """Where results go, whether figures are drawn, and whether another fit there is replaced."""

    folder: str = "outputs"
    figures: bool = True
    overwrite: bool = False


@dataclass(frozen=True)
class UDEConfig:
    """Everything that decides a fit of missing dynamics. `second` is the other residual of ``model.mode=parallel_series``.

    Examples
    --------
    >>> from optim.config.ude import ResidualConfig, UDEConfig
    >>> UDEConfig(residual=ResidualConfig(target="z", inputs=["x", "z"])).training.starts
    5
    """

    residual: ResidualConfig
    data: SeriesConfig = field(default_factory=SeriesConfig)
    model: MechanismConfig = field(default_factory=MechanismConfig)
    second: ResidualConfig | None = None
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    extraction: ExtractionConfig = field(default_factory=ExtractionConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    output: UDEOutputConfig = field(default_factory=UDEOutputConfig)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the numbers: all but the output."""
        settings = asdict(self)
        del settings["output"]
        return settings
