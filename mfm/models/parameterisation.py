"""Parameters as linear functions of regional maps, the bounds that they keep, and what is asked of them beyond."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mfm.brain.maps import RegionalMaps
from mfm.checks import as_float_tensor
from mfm.errors import InputError
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters
from mfm.models.registry import get_model

# Two maps that contradict the signs asked of a parameter by more than this correlation leave less than one direction in six.
_FLIPPED = 0.3


class Bounds:
    """Ranges that the parameters of a model must keep in a search.

    Parameters
    ----------
    model : str or Model, default "fic"
    **ranges : (low, high)
        By the parameter's name; the others keep the model's own (FIC: Zhang et al. 2024; fits to HCP groups).

    Raises
    ------
    InputError
        Unless 0 <= low < high, both finite, for parameters of the model. Where the model's own range begins below 0, low may
        be negative too.

    Examples
    --------
    >>> import mfm
    >>> mfm.Bounds(G=(0.0, 2.0)).G, mfm.Bounds.for_subject(mean_fc=0.5).w_EI, mfm.Bounds("pmfm").w
    ((0.0, 2.0), (3.5, 5.0), (0.0, 1.0))
    """

    def __init__(self, model: str | Model = "fic", **ranges):
        self.model = get_model(model) if isinstance(model, str) else model
        own = {parameter.name: parameter.bounds for parameter in self.model.parameters.searched() if parameter.bounds}
        for name in ranges:
            if name not in own:
                raise InputError(
                    f"The model {self.model.name!r} has no parameter {name!r} to search for.", expected=" | ".join(own)
                )
        self._ranges = {name: _range(name, ranges.get(name, default), default) for name, default in own.items()}

    def __getattr__(self, name: str) -> tuple[float, float]:
        ranges = self.__dict__.get("_ranges", {})
        if name not in ranges:
            raise AttributeError(f"no bounds of {name!r}; there are those of {', '.join(ranges)}")
        return ranges[name]

    def as_dict(self) -> dict[str, tuple[float, float]]:
        """The ranges by the parameters' names."""
        return dict(self._ranges)

    def __eq__(self, other) -> bool:
        return isinstance(other, Bounds) and (self.model.name, self._ranges) == (other.model.name, other._ranges)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Bounds({', '.join([repr(self.model.name), *(f'{name}={value}' for name, value in self._ranges.items())])})"

    @classmethod
    def for_subject(cls, mean_fc: float, model: str | Model = "fic") -> Bounds:
        """Bounds for one subject's fit, with ranges set from the subject's mean FC (FIC: that of w_EI, Zeng et al. 2026)."""
        found = get_model(model) if isinstance(model, str) else model
        if found.subject_ranges is None:
            raise InputError(f"The model {found.name!r} has no bounds that follow a subject's mean FC.")
        return cls(found, **found.subject_ranges(mean_fc))


def _range(name: str, value, own: tuple[float, float]) -> tuple[float, float]:
    try:
        if isinstance(value, str):
            raise TypeError
        low, high = (float(bound) for bound in value)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    least = -np.inf if own[0] < 0 else 0.0
    if not (least <= low < high < np.inf) or not np.isfinite(low):
        expected = "low < high, finite" if own[0] < 0 else "0 <= low < high, finite"
        raise InputError(f"The bounds of {name} are not a range.", expected=expected, found=repr(value))
    return low, high


@dataclass(frozen=True)
class Plausibility:
    """What is asked of regional parameters beyond their bounds.

    Parameters
    ----------
    signs : mapping of parameter to (mapping of map name to +1 or -1), optional
        Sign that a parameter's correlation with a map over regions must have; default the model's own (FIC: w_EI negative
        with myelin, positive with gradient; Zhang et al. 2024). Maps that a fit does not use are passed over.
    min_std : mapping of parameter to float
        Least standard deviation over regions, such as 0.3 of w_EI (Zeng et al. 2026); none by default.

    Raises
    ------
    InputError
        If a sign is neither +1 nor -1, or a standard deviation is negative or not finite.

    Examples
    --------
    >>> import mfm
    >>> mfm.Plausibility(signs={"w_EI": {"thickness": -1}}, min_std={"w_EI": 0.3}).signs
    {'w_EI': {'thickness': -1}}
    """

    signs: Mapping[str, Mapping[str, int]] | None = None
    min_std: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self):
        for parameter, of_maps in (self.signs or {}).items():
            for name, sign in of_maps.items():
                if sign not in (-1, 1):
                    raise InputError(
                        f"The sign of {parameter}'s correlation with {name!r} is none.", expected="+1 or -1", found=repr(sign)
                    )
        for parameter, value in self.min_std.items():
            if not 0 <= value < np.inf:
                raise InputError(f"The least standard deviation of {parameter} must not be negative.", found=repr(value))

    def checked(self, model: Model) -> Plausibility:
        """With the model's own signs where none were given; an InputError names a parameter that no map can shape."""
        searched = model.parameters.searched()
        shaped = [parameter.name for parameter in searched if parameter.follows_maps]
        for name in (*(self.signs or {}), *self.min_std):
            if name not in shaped:
                alike = name in [parameter.name for parameter in searched]
                raise InputError(
                    f"The model {model.name!r} has no parameter {name!r} that differs between regions.",
                    expected=" | ".join(shaped),
                    found=f"{name} is the same in every region" if alike else f"no {name} at all",
                )
        own = {parameter.name: dict(parameter.signs) for parameter in searched if parameter.signs}
        return Plausibility(own if self.signs is None else self.signs, self.min_std)


@dataclass(frozen=True, eq=False)
class MapParameterisation:
    """Regional parameters as an intercept plus a linear combination of maps, and one value of what the whole brain shares.

    Coefficients stand in the order of the model's searched parameters (regional, whole brain, noise); for FIC
    ``w_EE, w_EE:map1, ..., w_EI, w_EI:map1, ..., G, sigma, sigma:map1, ...``, with two maps the 10 of Zhang et al. 2024.

    Parameters
    ----------
    maps : RegionalMaps
    bounds : Bounds, default ``Bounds()``
        They tell the model too.
    plausibility : Plausibility, default ``Plausibility()``

    Raises
    ------
    InputError
        If two maps that a parameter must follow with opposite signs clearly correlate positively: a flipped sign; if
        plausibility is asked of a parameter that the model does not have.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> maps = mfm.RegionalMaps(np.random.default_rng(0).normal(size=(2, 68)), ("a", "b"))
    >>> mfm.MapParameterisation(maps).names[:4]
    ('w_EE', 'w_EE:a', 'w_EE:b', 'w_EI')
    """

    maps: RegionalMaps
    bounds: Bounds = field(default_factory=Bounds)
    plausibility: Plausibility = field(default_factory=Plausibility)

    def __post_init__(self):
        object.__setattr__(self, "plausibility", self.plausibility.checked(self.model))
        for parameter, of_maps in (self.plausibility.signs or {}).items():
            self._refuse_flipped(parameter, [(name, sign) for name, sign in of_maps.items() if name in self.maps.names])

    def _refuse_flipped(self, parameter: str, signs: list[tuple[str, int]]) -> None:
        for k, (name, sign) in enumerate(signs):
            for other, other_sign in signs[k + 1 :]:
                r = np.corrcoef(self._map(name), self._map(other))[0, 1]
                if r * sign * other_sign < -_FLIPPED:
                    raise InputError(
                        f"The maps {name!r} and {other!r} make most candidates implausible.",
                        expected=f"a correlation of {'+' if sign * other_sign > 0 else '-'} sign, because {parameter} must "
                        f"correlate {'positively' if sign > 0 else 'negatively'} with {name} and "
                        f"{'positively' if other_sign > 0 else 'negatively'} with {other}",
                        found=f"r = {r:+.2f}",
                        cause=f"the sign of a gradient is arbitrary, and that of {other!r} is flipped",
                        fix=f"multiply the map {other!r} by -1, or switch the rule off: `signs={{}}`",
                    )

    def _map(self, name: str) -> np.ndarray:
        return self.maps.values[self.maps.names.index(name)]

    @property
    def model(self) -> Model:
        return self.bounds.model

    @property
    def regional_names(self) -> tuple[str, ...]:
        """The parameters that have a value for each region."""
        return tuple(parameter.name for parameter in self.model.parameters.searched() if parameter.regional)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients, in order."""
        found: list[str] = []
        for parameter in self.model.parameters.searched():
            found.append(parameter.name)
            if parameter.maps:
                found += [f"{parameter.name}:{name}" for name in self.maps.names]
        return tuple(found)

    @property
    def n_coefficients(self) -> int:
        return len(self.names)

    def slices(self) -> dict[str, slice]:
        """Where each parameter's coefficients are: the intercept, then one for each map that it follows."""
        found, first = {}, 0
        for parameter in self.model.parameters.searched():
            last = first + 1 + (len(self.maps.names) if parameter.maps else 0)
            found[parameter.name] = slice(first, last)
            first = last
        return found

    def values(self, coefficients) -> dict[str, Tensor]:
        """Parameters by name, (B, N) where regional and (B,) otherwise, without any check of their range."""
        coefficients = self._checked(coefficients)
        basis = torch.as_tensor(np.vstack([np.ones(self.maps.n_regions), self.maps.values]), dtype=coefficients.dtype)
        found = {}
        for parameter in self.model.parameters.searched():
            own = coefficients[:, self.slices()[parameter.name]]
            found[parameter.name] = own @ basis[: own.shape[1]] if parameter.regional else own[:, 0]
        return found

    def to_parameters(self, coefficients) -> ModelParameters:
        """Parameter sets for coefficients (B, D) or (D,)."""
        return self.model.parameters(**self.values(coefficients))

    def violation(self, coefficients) -> Tensor:
        """How far candidates are from their bounds and from plausibility: (B,), 0 where they keep both.

        Sum over parameters of the largest excess over the bounds in units of their width, plus the shortfall of each
        plausibility rule (correlations that are not of the right sign, standard deviation over its least value).
        """
        values = self.values(coefficients)
        first = next(iter(values.values()))
        total = first.new_zeros(len(first))
        for name, value in values.items():
            low, high = getattr(self.bounds, name)
            value = value.reshape(len(value), -1)
            total = total + torch.maximum(low - value, value - high).amax(dim=1).clamp(min=0) / (high - low)
        for parameter, of_maps in (self.plausibility.signs or {}).items():
            total = self._with_wrong_signs(total, parameter, values[parameter], of_maps)
        for parameter, least in self.plausibility.min_std.items():
            if least > 0 and self.maps.names:
                total = total + (1 - values[parameter].std(dim=1) / least).clamp(min=0)
        return total

    def _with_wrong_signs(self, total: Tensor, parameter: str, value: Tensor, of_maps: Mapping[str, int]) -> Tensor:
        deviation = value - value.mean(dim=1, keepdim=True)
        # The same value everywhere correlates with nothing, which is no sign at all; round-off would give it one.
        spread = deviation.norm(dim=1)
        round_off = 10 * torch.finfo(value.dtype).eps * self.maps.n_regions**0.5
        flat = spread <= max(1e-9, round_off) * getattr(self.bounds, parameter)[1]
        spread = torch.where(flat, torch.ones_like(spread), spread)
        for name, sign in of_maps.items():
            if name in self.maps.names:
                m = torch.as_tensor(self._map(name) - self._map(name).mean(), dtype=value.dtype)
                r = (sign * (deviation @ m) / (spread * m.norm())).masked_fill(flat, 0.0)
                total = total + torch.where(r > 0, torch.zeros_like(r), 1e-6 - r)
        return total

    def _checked(self, coefficients) -> Tensor:
        coefficients = as_float_tensor(coefficients, "coefficients")
        coefficients = coefficients[None] if coefficients.ndim == 1 else coefficients
        if coefficients.ndim != 2 or coefficients.shape[1] != self.n_coefficients:
            raise InputError(
                "Wrong number of coefficients.",
                expected=f"(B, {self.n_coefficients}): {', '.join(self.names)}",
                found=str(tuple(coefficients.shape)),
            )
        return coefficients
