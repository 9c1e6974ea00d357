"""A model's equations for Triton: the very functions that the model declares, their names bound to Triton's.

`drift` and `decay` are plain Python over names: elementary functions and numbers of the model's module. A copy of the function
with other globals - elementary functions on GPU tiles, numbers as compile-time constants - is what Triton compiles; nothing is
written twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from numbers import Real
from types import FunctionType

import triton
import triton.language as tl

from mfm.compute import elementary, triton_math
from mfm.errors import BackendError
from mfm.models.model import Model
from mfm.simulation.gpu_arrays import Shape

_ELEMENTARY = {
    function: getattr(triton_math, name)
    for name, function in vars(elementary).items()
    if getattr(function, "__module__", None) == elementary.__name__ and hasattr(triton_math, name)
}


@dataclass(frozen=True, eq=False, repr=False)
class Equations:
    """A model as the kernel takes it, a compile-time constant.

    Parameters
    ----------
    name : str
    shape : Shape
    drift, decay : Triton functions
        As `mfm.models.model.Model` has them; `decay` is None where no state is fast.
    """

    name: str
    shape: Shape
    drift: triton.runtime.jit.KernelInterface
    decay: triton.runtime.jit.KernelInterface | None

    @property
    def cache_key(self) -> str:
        """What makes a compiled kernel another one; Triton asks for it."""
        keys = [function.cache_key for function in (self.drift, self.decay) if function is not None]
        return hashlib.sha256(repr((keys, self.shape)).encode()).hexdigest()

    def __repr__(self) -> str:
        # Part of the names of compiled functions, and of the key under which Triton keeps them in memory.
        return f"{self.name}_{self.cache_key[:16]}"


@cache
def equations_of(model: Model, shape: Shape) -> Equations:
    """The equations of `model`, made once.

    Raises
    ------
    BackendError
        If they call something that has no counterpart in Triton.
    """
    decay = None if model.decay is None else _rebound(model.decay, model.name)
    return Equations(model.name, shape, _rebound(model.drift, model.name), decay)


def elementary_of(function: FunctionType):
    """A function of `mfm.compute.elementary` for Triton."""
    return _ELEMENTARY[function]


@cache
def _rebound(function: FunctionType, model_name: str):
    """`function` for Triton: the same code, what it names replaced."""
    # Triton's interpreter wants `tl` to be seen by every function.
    names = {"tl": tl}
    for name in function.__code__.co_names:
        if name in function.__globals__:
            names[name] = _counterpart(function.__globals__[name], name, model_name)
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return triton.jit(copy)


def _counterpart(value, name: str, model_name: str):
    if isinstance(value, Real):
        return tl.constexpr(value if isinstance(value, int) else float(value))
    if isinstance(value, FunctionType):
        return _ELEMENTARY[value] if value in _ELEMENTARY else _rebound(value, model_name)
    raise BackendError(
        f"The equations of the model {model_name!r} use {name!r}, which the GPU does not know.",
        expected="numbers, functions of such equations, and " + ", ".join(function.__name__ for function in _ELEMENTARY),
        found=type(value).__name__,
    )
