"""Settings of a refinement: what a name means stands here, what it is set to stands in ``conf/refine``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mfm.errors import ConfigError
from mfm.linear.whittle import AMPLITUDES

#: Models whose fixed point refinement can move: its residual changes the equations of feedback inhibition.
REFINABLE = ("fic",)
LOSSES = ("auto", "whittle", "fc")
LEARN_FROM = ("all", "search")


@dataclass(frozen=True)
class RefineConfig:
    """What is asked of the data, and how the answer is judged.

    Parameters
    ----------
    run : bool
        As a stage of ``mfmfit fit``: refine when the fit is written.
    maps : mapping of name to path, optional
        Maps that the fit did not have, for terms and edges.
    terms : list of str, optional
        Products of maps and x, the deviation of S_E from its fixed point, such as ``"thickness x"`` (`mfm.ude.LinearResidual`);
        default each of `maps` by x or, where there are none, each of the fit's maps; none where there is a `network`.
    network : list of str
        Maps of which the slope may be any smooth function (`mfm.ude.fixed_point.wide_network`): six shapes,
        each learned where the scan can tell it.
    edges : list of str
        Maps h whose pattern ``h_i h_j`` may be added to the connectome, at most three.
    learn_from : {"all", "search"}
        ``all``: the scan of the fit's search and, where it is another one of the same length and TR, that of its validation.
    loss : {"auto", "whittle", "fc"}
        Whittle's likelihood of the spectra, or Fisher z of FC; ``auto``: the former where time series are known.
    band : [low, high]
        Hz, of the spectra.
    bins : int
        Averages over neighbouring frequencies in the band while learning; held-out data are scored at every frequency.
    amplitude : {"global", "regional"}
        ``global``: regions' amplitudes count, but for one unknown scale. ``regional``: they do not, as for z-scored series.
    noise : bool
        Unknown white measurement noise, the same in all regions.
    prior : float
        Standard deviation of slopes a priori, per standard deviation of a map, as a share of the leak of 11.9 per second.
    edge_prior : float
        Of edges' coefficients, in units of the connectome's root mean square.
    bound : float
        Largest slope in any region, as a share of the leak.
    anchor : float
        Standard deviation a priori of the fit's coefficients when they are tuned again, as a share of their ranges.
    starts : int
        Starts of the last stage, in which residual and fit are tuned together.
    placebos : int
        Refinements of data in which nothing is missing: simulated scans of the fit.
    spins : int
        Refinements with maps that keep their spatial autocorrelation only.
    polish : int
        Scans simulated from what was learned, by which the error of linear theory in the coefficients is taken off; 0: none.
    level : float
        Significance.
    seed : int
        Decides every random number of the refinement.
    figures : bool
        Also a figure, as a PNG file.
    """

    run: bool = False
    maps: dict[str, str] | None = None
    terms: list[str] | None = None
    network: list[str] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)
    learn_from: str = "all"
    loss: str = "auto"
    band: list[float] = field(default_factory=lambda: [0.008, 0.09])
    bins: int = 16
    amplitude: str = "regional"
    noise: bool = True
    prior: float = 0.1
    edge_prior: float = 0.2
    bound: float = 0.25
    anchor: float = 0.05
    starts: int = 5
    placebos: int = 20
    spins: int = 99
    polish: int = 20
    level: float = 0.05
    seed: int = 1
    figures: bool = True

    def __post_init__(self):
        for name, allowed in (("loss", LOSSES), ("amplitude", AMPLITUDES), ("learn_from", LEARN_FROM)):
            if (value := getattr(self, name)) not in allowed:
                raise ConfigError(f"{name} has an unknown value.", expected=" | ".join(allowed), found=repr(value))
        if len(self.band) != 2 or not 0 <= self.band[0] < self.band[1]:
            raise ConfigError("band is not a range of frequencies.", expected="[low, high] in Hz", found=str(self.band))
        for name in ("prior", "edge_prior", "bound", "anchor", "level"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in (0, 1].", found=repr(getattr(self, name)))
        for name, least in (("bins", 2), ("starts", 1), ("placebos", 0), ("spins", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is too small.", expected=f"at least {least}", found=str(getattr(self, name)))
        if self.polish == 1 or self.polish < 0:
            raise ConfigError("polish cannot be used.", expected="2 scans or more, or 0", found=str(self.polish))
        for name in ("placebos", "spins"):
            if 0 < getattr(self, name) < 1 / self.level - 1:
                raise ConfigError(
                    f"{name} cannot reach the level.",
                    expected=f"at least {round(1 / self.level) - 1}, for p = {self.level:g}, or 0",
                    found=str(getattr(self, name)),
                )

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the numbers; the content of maps counts instead of their paths."""
        settings = asdict(self)
        for name in ("run", "figures", "maps"):
            del settings[name]
        return settings


def check_refinable(model: str) -> None:
    """Raise a ConfigError unless fits of the model called `model` can be refined."""
    if model not in REFINABLE:
        raise ConfigError(
            f"Fits of the model {model!r} cannot be refined.",
            expected=f"a fit of the model {' | '.join(REFINABLE)}",
            found=model,
            cause="refinement learns a residual of the equations of that model, and knows no others",
        )
