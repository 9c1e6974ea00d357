"""What a model declares: everything that simulation, theory, fitting and outputs need to know of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfm.errors import InputError

if TYPE_CHECKING:
    from mfm.models.parameters import ModelParameters


@dataclass(frozen=True)
class State:
    """A state variable of every region.

    Parameters
    ----------
    name : str
        As in the paper's equations.
    description : str
    unit : str, default ""
        Dimensionless by default.
    start : float, default 0.1
        Where the search for a fixed point starts, for models without one in closed form.
    reach : (low, high), default (-inf, inf)
        Where a displaced state may start; beyond it the equations mean nothing.
    fast : bool, default False
        Stepped by the exponential scheme where a protocol asks for it; the model then declares `Model.decay`.
    """

    name: str
    description: str
    unit: str = ""
    start: float = 0.1
    reach: tuple[float, float] = (-math.inf, math.inf)
    fast: bool = False


@dataclass(frozen=True)
class Quantity:
    """A number per region that a model reports: a column of outputs.

    Parameters
    ----------
    name, unit, description : str
    column : str, default the name
        Its heading in tables.
    """

    name: str
    unit: str
    description: str
    column: str = ""

    @property
    def heading(self) -> str:
        return self.column or self.name


@dataclass(frozen=True)
class Admissible:
    """The range in which a reported quantity's average over time must lie in every region.

    Parameters
    ----------
    quantity : str
    low, high : float
        In the quantity's unit, both ends within.
    source : str
    """

    quantity: str
    low: float
    high: float
    source: str = ""


@dataclass(frozen=True)
class Derived:
    """A number per region computed from the averages of a simulation, such as the E/I ratio.

    Parameters
    ----------
    quantity : Quantity
    of : tuple of str
        The averages that `compute` takes, in order: tensors (..., N).
    compute : callable
    caution : str
        What must be said wherever its mean over regions is printed; empty: nothing.
    """

    quantity: Quantity
    of: tuple[str, ...]
    compute: Callable
    caution: str = ""


@dataclass(frozen=True, eq=False)
class Model:
    """A whole-brain model: states of every region, coupled by the connectome, and what is observed of them.

        dx = drift(x, coupling, constants) dt + sigma dW,     coupling_k = gain_k sum_j C_ij x_j,k

    Parameters
    ----------
    name : str
        As in ``model=`` and `mfm.models.get_model`.
    title, source : str
        For people: what it is, and the paper that defines it.
    parameters : type
        The dataclass of its parameter sets, a subclass of `mfm.models.parameters.ModelParameters`.
    states : tuple of State
    carried : tuple of str
        The states that the connectome carries, one for each coupling channel.
    observed : str
        The state that is seen by BOLD.
    hemodynamics : bool, default True
        Whether it is seen through the Balloon-Windkessel model, or directly.
    reported : tuple of Quantity
        What `drift` reports beside the derivatives; averaged over time, as the states are.
    derived : tuple of Derived
        Computed from these averages.
    pack : callable
        ``pack(p) -> (constants, gains)``: what does not change in time, computed once from a complete parameter set: a tuple
        of tensors (B, N), and for each channel the gain (B,) of its coupling.
    drift : callable
        ``drift(x, coupling, constants) -> (dx_1, ..., reported_1, ..., [argument of decay])``. `x`, `coupling` and
        `constants` are tuples; derivatives are per second. Plain arithmetic, `mfm.compute.elementary` and module-level
        numbers only: it is called with tensors, with SIMD vectors and with GPU tiles.
    decay : callable, optional
        ``decay(a) -> rate`` per second, one for each fast state in a tuple (or alone): the local relaxation of the state,
        for the exponential scheme. Its argument is what `drift` returns last.
    complete : callable, optional
        ``complete(p, sc) -> p``: the parameter set with every weight solved that was left open.
    rest : callable, optional
        ``rest(p, sc) -> (x_1, ...)``, each (B, N): the fixed point in closed form; default the state in which the noise-free
        dynamics settle.
    admissible : Admissible, optional
        What makes a simulation count; default any that stays finite.
    subject_ranges : callable, optional
        ``subject_ranges(mean_fc) -> {parameter: (low, high)}``: published bounds that follow a subject's mean FC.

    Raises
    ------
    InputError
        If the declaration contradicts itself.
    """

    name: str
    title: str
    source: str
    parameters: type[ModelParameters]
    states: tuple[State, ...]
    carried: tuple[str, ...]
    observed: str
    pack: Callable
    drift: Callable
    hemodynamics: bool = True
    reported: tuple[Quantity, ...] = ()
    derived: tuple[Derived, ...] = ()
    decay: Callable | None = None
    complete: Callable | None = None
    rest: Callable | None = None
    admissible: Admissible | None = None
    subject_ranges: Callable | None = None

    def __post_init__(self):
        names = self.state_names
        for name in (*self.carried, self.observed):
            if name not in names:
                raise InputError(f"The model {self.name!r} has no state {name!r}.", expected=" | ".join(names))
        if len(set(names)) < len(names) or len(set(self.carried)) < len(self.carried):
            raise InputError(
                f"The model {self.name!r} names a state twice.",
                expected="different names in `states`, and each at most once in `carried`",
                found=", ".join((*names, *self.carried)),
            )
        noises = [parameter.name for parameter in self.parameters.declared() if parameter.noise]
        if len(noises) != 1:
            raise InputError(
                f"The model {self.name!r} does not say which parameter is its noise.",
                expected="one field of its parameters declared by mfm.models.parameters.noise",
                found=", ".join(noises) or "none",
            )
        for parameter in self.parameters.declared():
            if parameter.signs and not parameter.follows_maps:
                raise InputError(
                    f"The parameter {parameter.name!r} of the model {self.name!r} has signs, but follows no maps.",
                    expected="signs only where maps=True",
                )
        if not self.carried:
            raise InputError(f"The model {self.name!r} has no coupling channel.", expected="a state in `carried`")
        if any(state.fast for state in self.states) != (self.decay is not None):
            raise InputError(
                f"The model {self.name!r} does not say how fast its fast states relax.",
                expected="`decay` where a state is fast, and only there",
            )
        if self.admissible and self.admissible.quantity not in self.average_names:
            raise InputError(
                f"The model {self.name!r} reports no {self.admissible.quantity!r}.", expected=" | ".join(self.average_names)
            )

    @property
    def noise(self) -> str:
        """The parameter that holds the amplitude of the noise, the same for every state of a region."""
        return next(parameter.name for parameter in self.parameters.declared() if parameter.noise)

    @property
    def state_names(self) -> tuple[str, ...]:
        return tuple(state.name for state in self.states)

    @property
    def has_linear_response(self) -> bool:
        """Whether theory predicts it (`mfm.linear_response`): what it predicts is seen through hemodynamics."""
        return self.hemodynamics

    @property
    def average_names(self) -> tuple[str, ...]:
        """What a simulation averages over time: the reported quantities, then the states."""
        return (*(quantity.name for quantity in self.reported), *self.state_names)

    def completed(self, p: ModelParameters, sc) -> ModelParameters:
        """`p` with every weight solved that was left open."""
        return p if self.complete is None else self.complete(p, sc)

    def __repr__(self) -> str:
        return f"Model({self.name}: {self.title})"
