"""The model, its bounds and its plausibility rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mfm import Bounds, MapParameterisation, Plausibility, SubjectData, upper_triangle
from mfm.errors import ConfigError
from mfm.models.model import Model
from mfm.models.registry import get_model, model_names
from optim.config.checks import check_one_of


@dataclass(frozen=True)
class ModelConfig:
    """The model, its bounds and its plausibility rules.

    Parameters
    ----------
    name : str
        A model of `mfm.models.registry`: ``fic``, ``pmfm``, or one that was added (docs/extending.md).
    bounds : {"group", "subject"}
        ``group``: the model's own, the same for everybody. ``subject``: published ranges that follow the subject's mean FC,
        where the model has them (FIC: that of w_EI; Zeng et al. 2026). What follows from w_EI, E/I first of all, then
        follows mean FC by construction, and people must not be compared by it: a note of the result says so.
    ranges : mapping of parameter to [low, high]
        Override a range, such as ``model.ranges.w_EI=[1,4]``; null keeps the model's own.
    signs : mapping of parameter to (mapping of map name to +1 or -1), optional
        Sign that a parameter's correlation with a map must have; default the model's own (FIC: w_EI negative with myelin,
        positive with gradient; Zhang et al. 2024). ``{}`` switches the rule off.
    min_std : mapping of parameter to float
        Least standard deviation over regions (0.3 of w_EI for a subject's fit in Zeng et al. 2026); 0 switches it off.
    regional : bool
        After the search, free the regional parameters in every region, pulled to the maps by a penalty whose strength the
        validation data choose (`optim.search.regional`). The map fit is one of the choices.
    """

    name: str = "fic"
    bounds: str = "group"
    ranges: dict[str, Any] = field(default_factory=dict)
    signs: dict[str, dict[str, int]] | None = None
    min_std: dict[str, float] = field(default_factory=dict)
    regional: bool = False

    def __post_init__(self):
        check_one_of("model.name", self.name, model_names())
        check_one_of("model.bounds", self.bounds, ("group", "subject"))
        for name, value in self.ranges.items():
            self._check_parameter(f"model.ranges.{name}", name)
            is_pair = isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(x, int | float) for x in value)
            if value is not None and not is_pair:
                raise ConfigError(f"model.ranges.{name} is not a range.", expected="[low, high]", found=str(value))
        for parameter, signs in (self.signs or {}).items():
            self._check_parameter(f"model.signs.{parameter}", parameter, follows_maps=True)
            for name, sign in signs.items():
                check_one_of(f"model.signs.{parameter}.{name}", sign, (-1, 1))
        for name in self.min_std:
            self._check_parameter(f"model.min_std.{name}", name, follows_maps=True)
        if self.bounds == "subject" and self.model.subject_ranges is None:
            raise ConfigError(
                f"The model {self.name!r} has no published bounds that follow a subject's mean FC.", fix="model.bounds=group"
            )
        # A rule that is switched off and a range that is the model's own are the same setting as none.
        object.__setattr__(self, "ranges", {name: value for name, value in self.ranges.items() if value is not None})
        object.__setattr__(self, "min_std", {name: value for name, value in self.min_std.items() if value != 0})

    def _check_parameter(self, setting: str, name: str, follows_maps: bool = False) -> None:
        """A ConfigError unless `name` is a parameter that a search of the model has, or one that its maps shape."""
        searched = self.model.parameters.searched()
        known = [each.name for each in searched if each.follows_maps or not follows_maps]
        if name in known:
            return
        if name in [each.name for each in searched]:
            raise ConfigError(
                f"{setting} does not apply: {name} of the model {self.name!r} is the same in every region.",
                expected=" | ".join(known),
                found=name,
            )
        others = [other for other in model_names() if name in [each.name for each in get_model(other).parameters.searched()]]
        raise ConfigError(
            f"{setting}: the model {self.name!r} has no such parameter.",
            expected=" | ".join(known),
            found=name + (f", a parameter of {', '.join(others)}" if others else ""),
            cause="model.name was changed alone, or a setting is left of another model" if others else None,
            fix=f"model={self.name} takes the settings of that model" if others else None,
        )

    @property
    def model(self) -> Model:
        """What the model declares."""
        return get_model(self.name)

    def parameterisation(self, subject: SubjectData) -> MapParameterisation:
        """Coefficients of the subject's maps, with the bounds and rules of this configuration."""
        bounds = Bounds(self.model)
        if self.bounds == "subject":
            bounds = Bounds.for_subject(mean_fc_of(subject), self.model)
        own = {name: tuple(value) for name, value in self.ranges.items()}
        rules = Plausibility(self.signs, self.min_std)
        return MapParameterisation(subject.maps, Bounds(self.model, **{**bounds.as_dict(), **own}), rules)

    def notes(self, subject: SubjectData) -> tuple[str, ...]:
        """What a reader of the result must know of these settings: that ranges were set by the data that are fitted."""
        if self.bounds != "subject":
            return ()
        mean_fc = mean_fc_of(subject)
        assert self.model.subject_ranges is not None
        follow = {name: pair for name, pair in self.model.subject_ranges(mean_fc).items() if name not in self.ranges}
        if not follow:
            return ()
        ranges = "; ".join(f"{name} from {low:.3g} to {high:.3g}" for name, (low, high) in follow.items())
        derived = ", ".join(one.quantity.description.partition(",")[0] for one in self.model.derived)
        return (
            f'The range of {", ".join(follow)} was set by the subject\'s own mean FC of {mean_fc:.3f} (`bounds="subject"`, as '
            f"published): {ranges}. Do not compare people by {', '.join(follow)}{f' or {derived}' if derived else ''}: "
            'differences in mean FC are in them by construction. `bounds="group"` gives everybody one range.',
        )


def mean_fc_of(subject: SubjectData) -> float:
    """Mean FC of the scan that is searched on."""
    return float(upper_triangle(subject.search.target.fc).mean())
