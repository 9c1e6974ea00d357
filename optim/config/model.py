"""The model, its bounds and its plausibility rules."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mfm import Bounds, MapParameterisation, Plausibility, SubjectData, upper_triangle
from mfm.errors import ConfigError
from optim.config.checks import check_one_of


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
        validation data choose (`optim.search.regional`): 3N + 1 parameters. The map fit is one of the choices.
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
        check_one_of("model.name", self.name, ("fic",))
        check_one_of("model.bounds", self.bounds, ("group", "subject"))
        for name, sign in (self.w_EI_signs or {}).items():
            check_one_of(f"model.w_EI_signs.{name}", sign, (-1, 1))
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
