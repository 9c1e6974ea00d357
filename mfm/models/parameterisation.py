"""Regional parameters as linear functions of maps, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mfm.brain.maps import RegionalMaps
from mfm.checks import as_float_tensor
from mfm.errors import InputError
from mfm.models.fic import FICParameters

REGIONAL_PARAMETERS = ("w_EE", "w_EI", "sigma")


# Two maps that contradict the signs asked of w_EI by more than this correlation leave less than one direction in six.
_FLIPPED = 0.3


@dataclass(frozen=True)
class Bounds:
    """Ranges that regional parameters and G must keep (Zhang et al. 2024; fits to HCP groups).

    Parameters
    ----------
    w_EE, w_EI, G : (low, high), default (1, 10), (0, 5) and (0, 3)
        Dimensionless.
    sigma : (low, high), default (0.0005, 0.01)
        In units of the gating variables per square root of a second.

    Raises
    ------
    InputError
        Unless 0 <= low < high, both finite.

    Examples
    --------
    >>> import mfm
    >>> mfm.Bounds(G=(0.0, 2.0)).G, mfm.Bounds.for_subject(mean_fc=0.5).w_EI
    ((0.0, 2.0), (3.5, 5.0))
    """

    w_EE: tuple[float, float] = (1.0, 10.0)
    w_EI: tuple[float, float] = (0.0, 5.0)
    sigma: tuple[float, float] = (0.0005, 0.01)
    G: tuple[float, float] = (0.0, 3.0)

    def __post_init__(self):
        for name in (*REGIONAL_PARAMETERS, "G"):
            try:
                if isinstance(getattr(self, name), str):
                    raise TypeError
                low, high = (float(bound) for bound in getattr(self, name))
            except (TypeError, ValueError):
                low, high = np.nan, np.nan
            if not (0 <= low < high < np.inf):
                found = repr(getattr(self, name))
                raise InputError(f"The bounds of {name} are not a range.", expected="0 <= low < high, finite", found=found)
            object.__setattr__(self, name, (low, high))

    @classmethod
    def for_subject(cls, mean_fc: float) -> Bounds:
        """Bounds for one subject's fit, with w_EI's range set from the subject's mean FC (Zeng et al. 2026)."""
        high = float(np.clip(11 * mean_fc, 3.2, 5.0))
        return cls(w_EI=(float(np.clip(2 * high - 6, 0.0, 3.5)), high))


@dataclass(frozen=True)
class Plausibility:
    """What is asked of w_EI beyond its bounds (Zhang et al. 2024; Zeng et al. 2026).

    Parameters
    ----------
    w_EI_signs : tuple of (map name, +1 or -1)
        Sign of the correlation of w_EI with a map over regions; default negative with myelin, positive with gradient. Maps
        that a fit does not use are passed over.
    w_EI_min_std : float, default 0
        Least standard deviation of w_EI over regions; 0 switches the rule off.

    Raises
    ------
    InputError
        If a sign is neither +1 nor -1, or the standard deviation is negative or not finite.

    Examples
    --------
    >>> import mfm
    >>> mfm.Plausibility(w_EI_signs=(("thickness", -1),), w_EI_min_std=0.3).w_EI_signs
    (('thickness', -1),)
    """

    w_EI_signs: tuple[tuple[str, int], ...] = (("myelin", -1), ("gradient", +1))
    w_EI_min_std: float = 0.0

    def __post_init__(self):
        for name, sign in self.w_EI_signs:
            if sign not in (-1, 1):
                raise InputError(
                    f"The sign of w_EI's correlation with {name!r} is none.", expected="+1 or -1", found=repr(sign)
                )
        if not 0 <= self.w_EI_min_std < np.inf:
            raise InputError("w_EI_min_std must not be negative.", found=repr(self.w_EI_min_std))


@dataclass(frozen=True, eq=False)
class MapParameterisation:
    """w_EE, w_EI and sigma as an intercept plus a linear combination of maps, and one G.

    Coefficients are ordered ``w_EE, w_EE:map1, ..., w_EI, w_EI:map1, ..., G, sigma, sigma:map1, ...``; with two maps these are
    the 10 coefficients of Zhang et al. 2024.

    Parameters
    ----------
    maps : RegionalMaps
    bounds : Bounds, default ``Bounds()``
    plausibility : Plausibility, default ``Plausibility()``

    Raises
    ------
    InputError
        If two maps that w_EI must follow with opposite signs clearly correlate positively: a flipped sign.

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
        signs = [(name, sign) for name, sign in self.plausibility.w_EI_signs if name in self.maps.names]
        for k, (name, sign) in enumerate(signs):
            for other, other_sign in signs[k + 1 :]:
                r = np.corrcoef(self._map(name), self._map(other))[0, 1]
                if r * sign * other_sign < -_FLIPPED:
                    raise InputError(
                        f"The maps {name!r} and {other!r} make most candidates implausible.",
                        expected=f"a correlation of {'+' if sign * other_sign > 0 else '-'} sign, because w_EI must "
                        f"correlate {'positively' if sign > 0 else 'negatively'} with {name} and "
                        f"{'positively' if other_sign > 0 else 'negatively'} with {other}",
                        found=f"r = {r:+.2f}",
                        cause=f"the sign of a gradient is arbitrary, and that of {other!r} is flipped",
                        fix=f"multiply the map {other!r} by -1, or switch the rule off: `w_EI_signs={{}}`",
                    )

    def _map(self, name: str) -> np.ndarray:
        return self.maps.values[self.maps.names.index(name)]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients, in order."""

        def block(parameter: str) -> list[str]:
            return [parameter, *(f"{parameter}:{name}" for name in self.maps.names)]

        return (*block("w_EE"), *block("w_EI"), "G", *block("sigma"))

    @property
    def n_coefficients(self) -> int:
        return len(self.names)

    def slices(self) -> dict[str, slice]:
        """Where each parameter's coefficients are."""
        m = len(self.maps.names) + 1
        return {
            "w_EE": slice(0, m),
            "w_EI": slice(m, 2 * m),
            "G": slice(2 * m, 2 * m + 1),
            "sigma": slice(2 * m + 1, 3 * m + 1),
        }

    def regional(self, coefficients) -> tuple[dict[str, Tensor], Tensor]:
        """Regional parameters (B, N) by name, and G (B,), without any check of their range."""
        coefficients = self._checked(coefficients)
        where = self.slices()
        basis = torch.as_tensor(np.vstack([np.ones(self.maps.n_regions), self.maps.values]), dtype=coefficients.dtype)
        return {name: coefficients[:, where[name]] @ basis for name in REGIONAL_PARAMETERS}, coefficients[:, where["G"]][:, 0]

    def to_parameters(self, coefficients) -> FICParameters:
        """Parameter sets for coefficients (B, D) or (D,)."""
        regional, G = self.regional(coefficients)
        return FICParameters(G=G, **regional)

    def violation(self, coefficients) -> Tensor:
        """How far candidates are from their bounds and from plausibility: (B,), 0 where they keep both.

        Sum over parameters of the largest excess over the bounds in units of their width, plus the shortfall of each
        plausibility rule (correlations that are not of the right sign, standard deviation over its least value).
        """
        regional, G = self.regional(coefficients)
        total = torch.zeros_like(G)
        for name, value in (*regional.items(), ("G", G[:, None])):
            low, high = getattr(self.bounds, name)
            total = total + torch.maximum(low - value, value - high).amax(dim=1).clamp(min=0) / (high - low)
        w_EI = regional["w_EI"] - regional["w_EI"].mean(dim=1, keepdim=True)
        # The same w_EI everywhere correlates with nothing, which is no sign at all; round-off would give it one.
        spread = w_EI.norm(dim=1)
        round_off = 10 * torch.finfo(w_EI.dtype).eps * self.maps.n_regions**0.5
        flat = spread <= max(1e-9, round_off) * self.bounds.w_EI[1]
        spread = torch.where(flat, torch.ones_like(spread), spread)
        for name, sign in self.plausibility.w_EI_signs:
            if name in self.maps.names:
                m = torch.as_tensor(self._map(name) - self._map(name).mean(), dtype=w_EI.dtype)
                r = (sign * (w_EI @ m) / (spread * m.norm())).masked_fill(flat, 0.0)
                total = total + torch.where(r > 0, torch.zeros_like(r), 1e-6 - r)
        if self.plausibility.w_EI_min_std > 0 and self.maps.names:
            std = regional["w_EI"].std(dim=1)
            total = total + (1 - std / self.plausibility.w_EI_min_std).clamp(min=0)
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
