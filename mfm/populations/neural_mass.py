"""The next-generation neural mass predicts what a large network of Izhikevich neurons does on average."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from mfm.errors import InputError
from mfm.populations import mass_kernel
from mfm.populations.closure import LARGEST_CURRENT, LARGEST_DELTA_SHARE, SCALES, Closure, density_inputs
from mfm.populations.network import TIME_UNIT_S, Network
from mfm.populations.simulate import MacroState, whole_ratio
from mfm.ude.equations.mechanism import Inputs

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


@dataclass(frozen=True, eq=False)
class MassSeries:
    """A mass series is a trajectory of neural masses: T bins, K populations; times in the neurons' unit.

    Attributes
    ----------
    time : array, (T,)
        Ends of the bins.
    rate : array, (T, K)
        Mean of r over a bin. NaN, as everything else, from where the equations diverge.
    r, V, w, s, m : array, (T, K)
        At the end of a bin.
    """

    time: np.ndarray
    rate: np.ndarray
    r: np.ndarray
    V: np.ndarray
    w: np.ndarray
    s: np.ndarray
    m: np.ndarray

    @property
    def rate_hz(self) -> np.ndarray:
        """Return the rate (T, K) in spikes per second and neuron."""
        return self.rate / TIME_UNIT_S

    @property
    def order(self) -> np.ndarray:
        """Compute the Kuramoto order (T, K) of a Lorentzian of centre V, half width pi r (Montbrio et al. 2015, eq. 15)."""
        W = math.pi * self.r - 1j * self.V
        with np.errstate(invalid="ignore"):  # where the equations diverged
            return (1 - W) / (1 + W)


@dataclass(frozen=True, eq=False)
class NeuralMass:
    """This is the mean field of K populations (Montbrio et al. 2015, Phys Rev X 5:021028; adaptation: Chen & Campbell 2022).

        r' = delta / pi + 2 r V - (alpha + G) r
        V' = V^2 - alpha V - w + eta + I + sum_j g_j kappa_j s_j (e_j - V) - (pi r)^2
        w' = a (b V - w) + w_jump r,     s' = -s / tau_s + s_jump r,     G = sum_j g_j kappa_j s_j

    Exact for infinitely many neurons that share their population's w and input, with the peak at infinity. Where each
    neuron has a w of its own, fast neurons adapt more than slow ones, and where connections are random, neurons have
    unequal inputs: both are left out, and a `Closure` stands for them.

    Parameters
    ----------
    network : Network
        Its types, conductances and kappa are used; sizes only by a closure.
    closure : Closure, optional

    Attributes
    ----------
    states, currents, parameters, time_unit
        As a mechanism of a universal differential equation declares them: residuals may add to a state's derivative, to the
        current I, or to the parameters ``delta`` and ``w_jump``.

    Examples
    --------
    >>> from mfm.populations import NeuralMass, Network
    >>> mass = NeuralMass(Network.excitatory(1000, 0.2))
    >>> mass.fixed_point().round(4)
    array([[0.0217, 0.1723, 0.0521, 0.0693]])
    >>> mass.predict(500.0).rate[-1].round(4)
    array([0.0217])
    """

    network: Network
    closure: Closure | None = None
    currents: tuple[str, ...] = field(default=("I",), init=False)
    parameters: tuple[str, ...] = field(default=("delta", "w_jump"), init=False)
    time_unit: str = field(default="1.54 ms", init=False)

    def __post_init__(self):
        if self.closure is not None:
            density_inputs(self.network)

    @property
    def states(self) -> tuple[str, ...]:
        """Name the states: r, V, w, s, and with a closure its memory m."""
        return ("r", "V", "w", "s") if self.closure is None else ("r", "V", "w", "s", "m")

    def drift(self, x: Tensor, inputs: Inputs | None = None) -> Tensor:
        """Compute dx/dt for states `x` (..., K, D) in the order of `states`; differentiable."""
        inputs = inputs or Inputs()
        c = self._constants.to(x)
        r, V, w, s = x.unbind(-1)[:4]
        G = s @ c.coupling.T
        P = (c.e_r * s) @ c.coupling.T
        delta, current = c.delta, c.eta
        if self.closure is not None:
            d_delta, d_current, dm = self._corrections(x, c)
            delta, current = delta * (1 + d_delta), current + d_current
        dr = (delta + inputs.added("delta")) / math.pi + r * (2 * V - c.alpha - G)
        dV = V * (V - c.alpha - G) - w + current + inputs.added("I") + P - (math.pi * r) ** 2
        dw = c.a * (c.b * V - w) + (c.w_jump + inputs.added("w_jump")) * r
        ds = c.s_jump * r - s / c.tau_s
        derivatives = (dr, dV, dw, ds) if self.closure is None else (dr, dV, dw, ds, dm)
        return torch.stack(derivatives, dim=-1)

    def _corrections(self, x: Tensor, constants: _Constants) -> tuple[Tensor, Tensor, Tensor]:
        """Corrections of delta (a share of it) and of I, and dm/dt."""
        assert self.closure is not None
        kappa, noise = density_inputs(self.network)
        r, V, w, s, m = x.unbind(-1)
        scaled = (r / SCALES[0], V / SCALES[1], w / SCALES[2], kappa * s / SCALES[3], noise * s * s)
        f = torch.stack([torch.ones_like(r), *scaled], dim=-1)
        c = torch.from_numpy(self.closure.coefficients).to(x)
        delta, current, goal = (f @ c[:, :6].T).unbind(-1)
        dm = constants.a * torch.exp(c[2, 6]) * (torch.tanh(goal) - m)
        return (
            LARGEST_DELTA_SHARE * torch.tanh(delta + c[0, 6] * m),
            LARGEST_CURRENT * torch.tanh(current + c[1, 6] * m),
            dm,
        )

    @cached_property
    def _constants(self) -> _Constants:
        of_types = (torch.tensor([getattr(t, name) for t in self.network.types], dtype=torch.float64) for name in _OF_TYPES)
        return _Constants(torch.from_numpy(self.network.conductance * self.network.kappa), *of_types)

    def start(self, initial: MacroState | None = None) -> Tensor:
        """Return where `simulate_network` starts, (K, D), with an empty memory."""
        state = (initial or MacroState()).columns(len(self.network.types))
        memory = np.zeros((len(state), len(self.states) - 4))
        return torch.from_numpy(np.hstack([state, memory]))

    def predict(
        self,
        duration: float,
        *,
        dt: float = 0.25,
        bin: float = 1.0,
        initial: MacroState | None = None,
    ) -> MassSeries:
        """Integrate by RK4, compiled; arguments as for `simulate_network`.

        Raises
        ------
        InputError
            If times or start do not fit.
        """
        steps, bins = whole_ratio(bin, dt, "bin", "dt"), whole_ratio(duration, bin, "duration", "bin")
        K = len(self.network.types)
        types = np.array([[getattr(t, name) for name in _OF_TYPES] for t in self.network.types])
        x = np.zeros((K, 5))
        x[:, :4] = self.start(initial).numpy()[:, :4]
        corrected = self.closure is not None
        density = np.array(density_inputs(self.network) if corrected else (0.0, 0.0))
        coefficients = (self.closure or Closure.none()).coefficients
        coupling = self.network.conductance * self.network.kappa
        rate, states = np.empty((bins, K)), np.empty((bins, K, 5))
        mass_kernel.run_masses(x, types, coupling, density, coefficients, corrected, dt, steps, rate, states)
        return MassSeries(bin * np.arange(1, bins + 1), rate, *np.moveaxis(states, -1, 0))

    def fixed_point(self, initial: MacroState | None = None) -> np.ndarray:
        """Find a state (K, D) at which nothing changes, stable or not, by Levenberg-Marquardt from `initial`.

        Raises
        ------
        InputError
            If it finds none with positive rates.
        """

        def change(y):
            return self.drift(torch.from_numpy(y.reshape(-1, len(self.states)))).numpy().ravel()

        found = scipy.optimize.root(change, self.start(initial).numpy().ravel(), tol=1e-12, method="lm")
        state = found.x.reshape(-1, len(self.states))
        if np.abs(change(found.x)).max() > 1e-8 or (state[:, 0] < 0).any():
            raise InputError(
                "No fixed point was found.", found=str(self.network.types), fix="start closer: initial=MacroState(...)"
            )
        return state

    def abscissa(self, state: np.ndarray) -> float:
        """Compute the largest real part of the Jacobian's eigenvalues at `state` (K, D): negative where it is stable."""
        x = torch.from_numpy(np.asarray(state, float))
        J = torch.autograd.functional.jacobian(lambda y: self.drift(y), x).reshape(x.numel(), x.numel())
        return float(torch.linalg.eigvals(J).real.max())
