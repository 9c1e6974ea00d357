"""Parameter sets of a model, a batch at a time: one typed dataclass per model, checked alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfm.checks import as_float_tensor
from mfm.errors import InputError


@dataclass(frozen=True)
class Parameter:
    """What a model says of one of its parameters.

    Parameters
    ----------
    name : str
        As in the paper's equations.
    description : str
    unit : str
        Empty where it is dimensionless.
    regional : bool
        One value per region, or one for the whole brain.
    bounds : (low, high) or None
        The range that searches keep by default; None for what is not searched: it may be left out of a parameter set.
    maps : bool
        Whether it follows regional maps by default; else it is the same in every region.
    signs : tuple of (map name, +1 or -1)
        Sign that its correlation with a map over regions must have to be plausible.
    may_be_negative : bool
    noise : bool
        The amplitude of the noise: of every state, and never negative.
    solved : bool
        Left out, it is solved so that the model has a fixed point in closed form (`mfm.models.model.Model.complete`).
    """

    name: str
    description: str
    unit: str
    regional: bool
    bounds: tuple[float, float] | None
    maps: bool
    signs: tuple[tuple[str, int], ...]
    may_be_negative: bool
    noise: bool
    solved: bool

    @property
    def is_searched(self) -> bool:
        return self.bounds is not None

    @property
    def follows_maps(self) -> bool:
        """Whether regional maps shape it in a search."""
        return self.regional and self.maps and self.is_searched


def regional(
    description: str,
    bounds: tuple[float, float],
    unit: str = "",
    maps: bool = True,
    signs: Sequence[tuple[str, int]] = (),
    may_be_negative: bool = False,
) -> Any:
    """Declare a field of a parameter class with one value per region, (B, N) or (N,)."""
    return _declared(description, unit, bounds=bounds, maps=maps, signs=tuple(signs), may_be_negative=may_be_negative)


def noise(
    description: str, bounds: tuple[float, float], unit: str = "state per square root of a second", maps: bool = True
) -> Any:
    """Declare the regional field that holds the amplitude of the noise."""
    return _declared(description, unit, bounds=bounds, maps=maps, noise=True)


def whole_brain(description: str, bounds: tuple[float, float], unit: str = "", may_be_negative: bool = False) -> Any:
    """Declare a field of a parameter class with one value for the whole brain, (B,) or a number."""
    return _declared(description, unit, regional=False, bounds=bounds, may_be_negative=may_be_negative)


def optional(description: str, unit: str = "", solved: bool = False) -> Any:
    """Declare a regional field that may be left out (None): it is absent then, or solved. It is never searched."""
    return _declared(description, unit, may_be_negative=True, solved=solved, default=None)


def _declared(
    description: str,
    unit: str,
    regional: bool = True,
    bounds: tuple[float, float] | None = None,
    maps: bool = False,
    signs: tuple = (),
    may_be_negative: bool = False,
    noise: bool = False,
    solved: bool = False,
    **default,
) -> Any:
    told = (description, unit, regional, bounds, maps, signs, may_be_negative, noise, solved)
    return field(metadata={"parameter": told}, **default)


class ModelParameters:
    """B parameter sets over N regions; each model's own dataclass names them (`FICParameters`, ...).

    Raises
    ------
    InputError
        If shapes disagree, a value is not finite, or one is negative that must not be.
    """

    def __post_init__(self):
        given = {parameter.name: getattr(self, parameter.name) for parameter in self.declared()}
        for parameter in self.declared():
            if given[parameter.name] is None and parameter.is_searched:
                raise InputError(f"{parameter.name} was not given.", expected="numbers")
        tensors = {name: as_float_tensor(value, name) for name, value in given.items() if value is not None}
        dtype = max((value.dtype for value in tensors.values()), key=lambda kind: torch.finfo(kind).bits)
        # Private copies: what was checked stays what it is.
        tensors = {name: value.to(dtype).clone() for name, value in tensors.items()}
        tensors = self._in_shape(tensors)
        for parameter in self.declared():
            value = tensors.get(parameter.name)
            if value is None:
                continue
            if not torch.isfinite(value).all():
                raise InputError(f"{parameter.name} holds values that are not finite.", expected="finite numbers")
            if not parameter.may_be_negative and (value < 0).any():
                raise InputError(f"{parameter.name} must not be negative.", found=f"minimum {value.min().item():g}")
            object.__setattr__(self, parameter.name, value)

    def _in_shape(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Regional parameters as (B, N), those of the whole brain as (B,)."""
        of_brain = [p.name for p in self.declared() if not p.regional and p.name in tensors]
        for name in of_brain:
            if tensors[name].ndim > 1:
                raise InputError(
                    f"{name} has the wrong shape.", expected="(B,) or one number", found=str(tuple(tensors[name].shape))
                )
            tensors[name] = tensors[name].reshape(-1)
        counts = {name: len(tensors[name]) for name in of_brain} or {
            name: len(value) if value.ndim == 2 else 1 for name, value in tensors.items()
        }
        first = next(iter(counts))
        n_candidates = counts[first]
        for name, value in tensors.items():
            if name in of_brain:
                if len(value) != n_candidates:
                    raise InputError(f"{name} and {first} have different lengths.", found=f"{len(value)} and {n_candidates}")
                continue
            value = value[None, :].expand(n_candidates, -1) if value.ndim == 1 else value
            if value.ndim != 2 or value.shape[0] != n_candidates:
                raise InputError(
                    f"{name} and {first} do not describe the same candidates.",
                    expected=f"{name} of shape (B, N) with B = {n_candidates}, the length of {first}",
                    found=f"{name} of shape {tuple(value.shape)}",
                    fix="pass one row per candidate, or one row of N regions for all of them",
                )
            tensors[name] = value
        n_regions = {name: value.shape[1] for name, value in tensors.items() if name not in of_brain}
        if len(set(n_regions.values())) != 1:
            raise InputError("The regional parameters have different numbers of regions.", found=str(n_regions))
        return tensors

    @classmethod
    @cache
    def declared(cls) -> tuple[Parameter, ...]:
        """What the model says of its parameters, in the order of its paper."""
        of_class = fields(cls)  # type: ignore[arg-type]  # subclasses are dataclasses
        return tuple(Parameter(f.name, *f.metadata["parameter"]) for f in of_class if "parameter" in f.metadata)

    @classmethod
    @cache
    def searched(cls) -> tuple[Parameter, ...]:
        """The parameters that a fit looks for: regional ones, those of the whole brain, then the noise."""
        found = [parameter for parameter in cls.declared() if parameter.is_searched]
        return tuple(sorted(found, key=lambda parameter: (parameter.noise, not parameter.regional)))

    @property
    def is_solved(self) -> bool:
        """Whether nothing was given of what the model solves (`Parameter.solved`): its fixed point is then in closed form."""
        return all(getattr(self, parameter.name) is None for parameter in self.declared() if parameter.solved)

    def noise_free(self):
        """The same candidates without noise, and with nothing given of what the model solves."""
        quiet = {p.name: torch.zeros_like(getattr(self, p.name)) for p in self.declared() if p.noise}
        kept = {p.name: None for p in self.declared() if p.solved}
        return type(self)(**{**self._given, **kept, **quiet})

    @property
    def _given(self) -> dict[str, Tensor]:
        values = {parameter.name: getattr(self, parameter.name) for parameter in self.declared()}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def _regional(self) -> Tensor:
        return next(value for value in self._given.values() if value.ndim == 2)

    @property
    def n_candidates(self) -> int:
        return self._regional.shape[0]

    @property
    def n_regions(self) -> int:
        return self._regional.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        return self._regional.dtype

    @property
    def device(self) -> torch.device:
        return self._regional.device

    @property
    def requires_grad(self) -> bool:
        return any(tensor.requires_grad for tensor in self._given.values())

    def __getitem__(self, index):
        """The candidates selected by `index` (an int keeps the batch dimension)."""
        if isinstance(index, (int, np.integer)):
            index = [int(index)]
        return type(self)(**{name: value[index] for name, value in self._given.items()})

    def to(self, where):
        """The same candidates on another device, for example ``"cuda"``, or in another floating type."""
        return type(self)(**{name: value.to(where) for name, value in self._given.items()})

    def detach(self):
        """The same candidates without gradients."""
        return type(self)(**{name: value.detach() for name, value in self._given.items()})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_candidates} candidates, {self.n_regions} regions)"
