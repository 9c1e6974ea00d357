"""A model as a typed argument of compiled kernels: one loop is written, and numba specialises it for every model.

numba compiles a kernel once for each type of its arguments. Here every model has a type (`ModelType`): in a kernel,
``drift(model, ...)`` is that model's own function, and ``layout(model)`` its numbers, known when the kernel is compiled.
The functions of `mfm.compute.elementary` that drift calls are those of `mfm.compute.vector_math` there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import NamedTuple

import numpy as np
from numba import njit
from numba.core import types
from numba.core.dispatcher import Dispatcher
from numba.extending import NativeValue, models, overload, register_model, unbox

from mfm.compute import elementary, vector_math
from mfm.compute import vectors as simd
from mfm.compute.vectors import float_vector
from mfm.errors import InputError
from mfm.models.model import Model

# The models that types stand for: a type itself holds strings and numbers only, so that caches of any process can read it.
_MODELS: dict[str, Model] = {}


class Layout(NamedTuple):
    """A model's numbers, and where its vectors stand among those of a region (in vectors; see `mfm.simulation.cpu`).

    A region holds constants, noise amplitude, the states that no channel carries, the sums of all averages, the observed
    state's sum over a frame, and the hemodynamic state. `block` is how many regions share the words of whole counters.
    """

    n_states: int
    n_channels: int
    n_constants: int
    block: int
    n_averages: int
    observed_average: int
    observed_channel: int
    observed_field: int
    is_seen_by_bold: bool
    noise: int
    sums: int
    observed_sum: int
    observed_frame: int
    hemodynamics: int
    n_fields: int


class Structure(NamedTuple):
    """What of a model's declaration shapes its kernels; `homes` says where each state stands.

    A home is (channel, -1) for a state that is carried and (-1, field) for another.
    """

    homes: tuple[tuple[int, int], ...]
    fast: tuple[bool, ...]
    n_reported: int
    layout: Layout


def structure_of(model: Model, n_constants: int) -> Structure:
    """The structure of a model whose `pack` gives `n_constants` constants."""
    names, n_reported = model.state_names, len(model.reported)
    noise = n_constants
    kept = [name for name in names if name not in model.carried]
    homes = tuple(
        (model.carried.index(name), -1) if name in model.carried else (-1, noise + 1 + kept.index(name)) for name in names
    )
    observed = names.index(model.observed)
    n_averages = n_reported + len(names)
    sums = noise + 1 + len(kept)
    frame = sums + n_averages
    layout = Layout(
        n_states=len(names),
        n_channels=len(model.carried),
        n_constants=n_constants,
        block=4 // math.gcd(len(names), 4),
        n_averages=n_averages,
        observed_average=n_reported + observed,
        observed_channel=homes[observed][0],
        observed_field=homes[observed][1],
        is_seen_by_bold=model.hemodynamics,
        noise=noise,
        sums=sums,
        observed_sum=sums + n_reported + observed,
        observed_frame=frame,
        hemodynamics=frame + 1,
        n_fields=frame + 5,
    )
    return Structure(homes, tuple(state.fast for state in model.states), n_reported, layout)


class ModelType(types.Type):
    """The numba type of a model: what it is called, what its functions compute, and its structure.

    Parameters
    ----------
    name, digest : str
        `digest` is that of `digest_of`: a model whose equations were edited is another type, and finds no cached kernel.
    structure : Structure
    """

    def __init__(self, name: str, digest: str, structure: Structure):
        self.digest = digest
        self.structure = structure
        super().__init__(f"model[{name}, {digest}, {hashlib.sha256(repr(structure).encode()).hexdigest()[:16]}]")

    @property
    def model(self) -> Model:
        return _MODELS[self.digest]


class TypedModel:
    """A model as a value that kernels take.

    Parameters
    ----------
    model : Model
    n_constants : int
        How many constants its `pack` gives.
    """

    def __init__(self, model: Model, n_constants: int):
        digest = digest_of(model)
        _MODELS[digest] = model
        self._numba_type_ = ModelType(model.name, digest, structure_of(model, n_constants))

    @property
    def structure(self) -> Structure:
        return self._numba_type_.structure


register_model(ModelType)(models.OpaqueModel)


@unbox(ModelType)
def _unbox_model(typ, obj, c):
    return NativeValue(c.context.get_dummy_value())


def digest_of(model: Model) -> str:
    """A digest of what a model's `drift` and `decay` compute: bytecode, names, constants and the values of globals.

    Raises
    ------
    InputError
        If they use something whose value cannot be told from it.
    """
    told = []
    for function in (model.drift, model.decay):
        told += [] if function is None else _told(function, model, frozenset())
    return hashlib.sha256(repr(told).encode()).hexdigest()[:32]


def _told(function: Callable, model: Model, within: frozenset) -> list:
    """Everything that the value of a function depends on, as plain values."""
    if function in within:
        return ["recursion"]
    within = within | {function}
    # What the function finds outside of itself: globals, and variables of a function around it.
    outside = dict(zip(function.__code__.co_freevars, (cell.cell_contents for cell in function.__closure__ or ()), strict=True))
    codes = list(_codes(function.__code__))
    names = sorted({name for code in codes for name in code.co_names})
    outside |= {name: function.__globals__[name] for name in names if name in function.__globals__}
    told: list = [function.__defaults__]
    for code in codes:
        constants = [constant for constant in code.co_consts if not isinstance(constant, CodeType)]
        told.append((code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, repr(constants)))
    told += [(name, _told_value(value, names, model, within)) for name, value in outside.items()]
    return told


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of functions within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _told_value(value, names: list[str], model: Model, within: frozenset):
    if isinstance(value, Dispatcher):
        value = value.py_func
    if isinstance(value, ModuleType):
        used = [name for name in names if hasattr(value, name)]
        return [value.__name__, *((name, _told_value(getattr(value, name), names, model, within)) for name in used)]
    if getattr(value, "__module__", None) == elementary.__name__:
        return value.__name__
    if isinstance(value, FunctionType):
        return _told(value, model, within)
    if isinstance(value, (bool, int, float, str, np.number, type(None))):
        return repr(value)
    if isinstance(value, tuple):
        return [_told_value(entry, names, model, within) for entry in value]
    raise InputError(
        f"The equations of the model {model.name!r} use something that cannot be compiled.",
        expected="arithmetic, the functions of mfm.compute.elementary, and numbers",
        found=f"{getattr(value, '__name__', type(value).__name__)} in drift or decay",
    )


def inlined(function: Callable):
    """A compiled function that becomes part of its caller, whatever LLVM thinks of its size."""
    if isinstance(function, Dispatcher):
        return function
    return njit(function, error_model="numpy", forceinline=True)


def compilable(function: FunctionType) -> FunctionType:
    """`function` of a model with the helper functions that it calls compiled too; elementary functions are overloaded."""
    helpers = {
        name: inlined(compilable(value))
        for name in function.__code__.co_names
        if isinstance(value := function.__globals__.get(name), FunctionType) and value.__module__ != elementary.__name__
    }
    if not helpers:
        return function
    names = {**function.__globals__, **helpers}
    return FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)


def unrolled(n: int, part: Callable[[int], Callable]):
    """A compiled function of the same arguments as ``part(k)`` that gives the tuple of its values for k = 0, ..., n - 1."""
    joined = inlined(lambda *args: ())
    for k in range(n):
        joined = _joined(joined, inlined(part(k)))
    return joined


def _joined(before, last):
    return inlined(lambda *args: (*before(*args), last(*args)))


def specialised(build: Callable[[ModelType], Callable]):
    """A function for kernels, of a model and further arguments: ``build(model type)`` gives what it does with those.

    What `build` looks up of the model are constants of the compiled code.
    """

    def function(model, *args):
        raise NotImplementedError("for compiled functions only")

    @overload(function, jit_options={"forceinline": True, "error_model": "numpy"})
    def choose(model, *args):
        if isinstance(model, ModelType):
            built = inlined(build(model))
            return lambda model, *args: built(*args)

    return function


@specialised
def layout(kind):
    """``layout(model)``: its `Layout`."""
    numbers = kind.structure.layout
    return lambda: numbers


@specialised
def drift(kind):
    """``drift(model, x, coupling, constants)``: as the model declares it."""
    return compilable(kind.model.drift)


@specialised
def decay(kind):
    """``decay(model, returned)``: how fast each fast state relaxes, per second, as a tuple; from what drift returned."""
    if kind.model.decay is None:
        return lambda returned: ()
    rates = inlined(compilable(kind.model.decay))
    return lambda returned: as_tuple(rates(returned[-1]))


def as_tuple(value):
    """`value` in a tuple, unless it is one."""
    return value if isinstance(value, tuple) else (value,)


@overload(as_tuple, inline="always")
def _as_tuple(value):
    if isinstance(value, types.BaseTuple):
        return lambda value: value
    return lambda value: (value,)


def _elementary(name: str, function) -> None:
    """Let compiled equations call `mfm.compute.elementary`'s function `name` with a vector."""

    @overload(getattr(elementary, name), inline="always")
    def choose(x):
        if x is float_vector:
            return lambda x: function(x)


def _transfer(name: str, function) -> None:
    """The same for a function of a vector and a constant."""

    @overload(getattr(elementary, name), inline="always")
    def choose(x, d):
        if x is float_vector:
            return lambda x, d: function(x, np.float32(d))


for _name, _function in (
    ("exp", vector_math.exp),
    ("log", vector_math.log),
    ("sqrt", simd.square_root),
    ("tanh", vector_math.tanh),
):
    _elementary(_name, _function)
_transfer("phi", vector_math.transfer_function)
_transfer("phi_slope", vector_math.transfer_slope)
