"""A mechanism is what is known of a system; this file says what it must offer so that a residual can be joined to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True)
class Inputs:
    """Inputs reach a mechanism from outside, by name: residuals added to its currents and parameters, and covariates.

    Parameters
    ----------
    names : tuple of str
    values : tuple of tensor, each broadcastable to (E, M, N)

    Examples
    --------
    >>> import torch
    >>> from mfm.ude import Inputs
    >>> Inputs(("I_E",), (torch.ones(1),)).added("I_E"), Inputs().added("I_E")
    (tensor([1.]), 0.0)
    """

    names: tuple[str, ...] = ()
    values: tuple[Tensor, ...] = ()

    def added(self, name: str) -> Tensor | float:
        """Sum everything that was given for `name`; 0.0 where nothing was."""
        total: Tensor | float = 0.0
        for other, value in zip(self.names, self.values, strict=True):
            if other == name:
                total = value + total
        return total

    def covariate(self, name: str, default: float) -> Tensor | float:
        """Return the covariate `name`, or `default` where the data have none of that name."""
        return self.added(name) if name in self.names else default


@runtime_checkable
class Mechanism(Protocol):
    """A mechanism is known equations ``dx/dt = f(x)`` of N units (regions, populations; 1 for a plain system).

    Attributes
    ----------
    states : tuple of str
        Names of the D state variables of a unit. A residual may add to the derivative of each (parallel).
    currents, parameters : tuple of str
        Quantities inside the equations to which a residual may be added: input currents (parallel) and parameters (series).
        The mechanism adds ``inputs.added(name)`` to each.
    time_unit : str
        Unit of time of the derivatives, compared with that of the data.
    """

    @property
    def states(self) -> tuple[str, ...]: ...

    @property
    def currents(self) -> tuple[str, ...]: ...

    @property
    def parameters(self) -> tuple[str, ...]: ...

    @property
    def time_unit(self) -> str: ...

    def drift(self, x: Tensor, inputs: Inputs) -> Tensor:
        """Compute dx/dt for states `x` (E, M, N, D): E ensemble members, M segments or trajectories at once."""
        ...


@dataclass(frozen=True)
class NoMechanism:
    """This mechanism knows nothing: ``dx/dt = 0``, so that one residual per state makes a plain neural ODE.

    Examples
    --------
    >>> from mfm.ude import NoMechanism
    >>> NoMechanism(("x", "y")).states
    ('x', 'y')
    """

    states: tuple[str, ...]
    time_unit: str = "1"
    currents: tuple[str, ...] = field(default=(), init=False)
    parameters: tuple[str, ...] = field(default=(), init=False)

    def drift(self, x: Tensor, inputs: Inputs) -> Tensor:
        """Return zeros like `x`."""
        return torch.zeros_like(x)
