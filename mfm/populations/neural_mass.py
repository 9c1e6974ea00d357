"""The next-generation neural mass: what a large network of Izhikevich neurons does on average."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Protocol

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from mfm.errors import InputError
from mfm.populations.network import Network
from mfm.populations.simulate import MacroState


_OF_TYPES = ("eta", "delta", "alpha", "a", "b", "w_jump", "tau_s", "s_jump", "e_r")


@dataclass(frozen=True)
class _Constants:
    """Tensors: g kappa (K, K), and one value per population of everything in `_OF_TYPES`."""

    coupling: Tensor
    eta: Tensor
    delta: Tensor
    alpha: Tensor
    a: Tensor
    b: Tensor
    w_jump: Tensor
    tau_s: Tensor
    s_jump: Tensor
    e_r: Tensor

    def to(self, x: Tensor) -> _Constants:
        if self.eta.dtype == x.dtype and self.eta.device == x.device:
            return self
        return _Constants(*(getattr(self, item.name).to(x) for item in fields(self)))


class Inputs(Protocol):
    """What reaches the equations from outside: see `mfm.ude.mechanism.Inputs`."""

    def added(self, name: str) -> Tensor | float: ...


@dataclass(frozen=True)
class NothingAdded:
    """Neither drive nor residual."""

    def added(self, name: str) -> Tensor | float:
        return 0.0


@dataclass(frozen=True, eq=False)
class NeuralMass:
    """Mean field of K connected populations (Montbrio et al. 2015, Phys Rev X 5:021028; with adaptation Chen & Campbell 2022).

        r' = Delta / pi + 2 r V - (alpha + G) r
        V' = V^2 - alpha V - w + eta + I + sum_j g_j kappa_j s_j (e_j - V) - (pi r)^2
        w' = a (b V - w) + w_jump r,     s' = -s / tau_s + s_jump r,     G = sum_j g_j kappa_j s_j

    Exact for infinitely many neurons that all share the population's w and the same input, with the peak at infinity. With a w of its own in each
    neuron, fast neurons adapt more than slow ones, which these equations leave out.

    Parameters
    ----------
    network : Network
        Its types, conductances and kappa are used; sizes are not.

    Attributes
    ----------
    states, currents, parameters, time_unit
        As a mechanism of `mfm.ude` declares them: residuals may add to a state's derivative, to the current I, or to the
        half width ``delta`` of the currents.

    Examples
    --------
    >>> from mfm.populations import NeuralMass, Network
    >>> NeuralMass(Network.excitatory(1000, 0.2)).fixed_point().round(4)
    array([[0.0217, 0.1784, 0.0521, 0.0694]])
    """

    network: Network
    states: tuple[str, ...] = field(default=("r", "V", "w", "s"), init=False)
    currents: tuple[str, ...] = field(default=("I",), init=False)
    parameters: tuple[str, ...] = field(default=("delta", "w_jump"), init=False)
    time_unit: str = field(default="1.54 ms", init=False)

    def drift(self, x: Tensor, inputs: Inputs) -> Tensor:
        """dx/dt for states `x` (..., K, 4)."""
        c = self._constants.to(x)
        r, V, w, s = x.unbind(-1)
        G = s @ c.coupling.T
        P = (c.e_r * s) @ c.coupling.T
        delta = c.delta + inputs.added("delta")
        dr = delta / math.pi + r * (2 * V - c.alpha - G)
        dV = V * (V - c.alpha - G) - w + c.eta + inputs.added("I") + P - (math.pi * r) ** 2
        dw = c.a * (c.b * V - w) + (c.w_jump + inputs.added("w_jump")) * r
        ds = c.s_jump * r - s / c.tau_s
        return torch.stack([dr, dV, dw, ds], dim=-1)

    @cached_property
    def _constants(self) -> _Constants:
        types = self.network.types
        of_types = [torch.tensor([getattr(t, name) for t in types], dtype=torch.float64) for name in _OF_TYPES]
        return _Constants(torch.from_numpy(self.network.conductance * self.network.kappa), *of_types)

    def start(self, initial: MacroState | None = None) -> Tensor:
        """(K, 4) where `mfm.populations.simulate_network` starts."""
        return torch.from_numpy((initial or MacroState()).columns(len(self.network.types)))

    def fixed_point(self, tolerance: float = 1e-12) -> np.ndarray:
        """A state (K, 4) at which nothing changes, stable or not, nearest to the default start.

        Raises
        ------
        InputError
            If Newton's method finds none with positive rates.
        """

        def residual(y):
            return self.drift(torch.from_numpy(y.reshape(-1, 4)), NothingAdded()).numpy().ravel()

        start = self.start().numpy().ravel()
        found = scipy.optimize.root(residual, start, tol=tolerance, method="lm")
        state = found.x.reshape(-1, 4)
        if np.abs(residual(found.x)).max() > 1e-8 or (state[:, 0] < 0).any():
            raise InputError("No fixed point was found.", found=str(self.network.types), cause="silent populations: delta = 0")
        return state
