"""These systems have a known answer, on which learning of missing dynamics is measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from torch import Tensor

from mfm.ude.equations.mechanism import Inputs


@cache
def _matrix(rows: tuple[tuple[float, ...], ...], dtype: torch.dtype) -> Tensor:
    return torch.tensor(rows, dtype=dtype)


@dataclass(frozen=True)
class Roessler:
    """This mechanism is Rössler's oscillator (1976, Phys Lett A 57:397) without ``x z - c z`` of dz/dt, which is to be learned.

        dx/dt = -y - z,   dy/dt = x + a y,   dz/dt = b + [x z - c z]

    Parameters
    ----------
    a, b, c : float
        0.2, 0.2 and 5.7: chaotic, largest Lyapunov exponent 0.0714.

    Examples
    --------
    >>> from mfm.ude import Roessler
    >>> Roessler().unknown, Roessler().states
    ('z', ('x', 'y', 'z'))
    """

    a: float = 0.2
    b: float = 0.2
    c: float = 5.7
    states: tuple[str, ...] = field(default=("x", "y", "z"), init=False)
    currents: tuple[str, ...] = field(default=(), init=False)
    parameters: tuple[str, ...] = field(default=("b",), init=False)
    time_unit: str = field(default="1", init=False)
    unknown: str = field(default="z", init=False)
    lyapunov: float = field(default=0.0714, init=False)
    initial: tuple[float, ...] = field(default=(1.0, 1.0, 0.0), init=False)

    def drift(self, x: Tensor, inputs: Inputs) -> Tensor:
        """Compute the known part of dx/dt (..., 3)."""
        linear = _matrix(((0.0, -1.0, -1.0), (1.0, self.a, 0.0), (0.0, 0.0, 0.0)), x.dtype)
        constant = _matrix(((0.0, 0.0, self.b),), x.dtype)
        drift = x @ linear.T + constant
        if "b" in inputs.names:
            drift = drift + torch.as_tensor(inputs.added("b"))[..., None] * _matrix(((0.0, 0.0, 1.0),), x.dtype)
        return drift

    def truth(self, x: Tensor) -> Tensor:
        """Compute the missing part at states `x` (..., 3)."""
        return x[..., 0] * x[..., 2] - self.c * x[..., 2]

    @property
    def coefficients(self) -> dict[str, float]:
        """Return the missing part as a formula: coefficients by term."""
        return {"z": -self.c, "x z": 1.0}


@dataclass(frozen=True)
class MemristiveCircuit:
    """This mechanism is a chaotic circuit (after Petržela 2023, Mathematics 11:2213) whose polynomial in dx/dt is learned.

        dx/dt = -y + [alpha (z/Y)^3 + beta z/Y],   dy/dt = (x - M z/Y) / (1 - M^2),   dz/dt = (M x - z/Y) / (1 - M^2)

    Parameters
    ----------
    M, Y, alpha, beta : float
        0.49, 3.3, -10 and 15: chaotic, largest Lyapunov exponent about 0.037.

    Notes
    -----
    The equations are those of a restatement of that paper; this is not the Petržela-Polak system.

    Examples
    --------
    >>> from mfm.ude import MemristiveCircuit
    >>> sorted(MemristiveCircuit().coefficients)
    ['z', 'z^3']
    """

    M: float = 0.49
    Y: float = 3.3
    alpha: float = -10.0
    beta: float = 15.0
    states: tuple[str, ...] = field(default=("x", "y", "z"), init=False)
    currents: tuple[str, ...] = field(default=(), init=False)
    parameters: tuple[str, ...] = field(default=(), init=False)
    time_unit: str = field(default="1", init=False)
    unknown: str = field(default="x", init=False)
    lyapunov: float = field(default=0.037, init=False)
    initial: tuple[float, ...] = field(default=(0.1, 0.0, 0.1), init=False)

    def drift(self, x: Tensor, inputs: Inputs) -> Tensor:
        """Compute the known part of dx/dt (..., 3)."""
        d = 1 - self.M**2
        rows = ((0.0, -1.0, 0.0), (1 / d, 0.0, -self.M / self.Y / d), (self.M / d, 0.0, -1 / self.Y / d))
        return x @ _matrix(rows, x.dtype).T

    def truth(self, x: Tensor) -> Tensor:
        """Compute the missing part at states `x` (..., 3)."""
        u = x[..., 2] / self.Y
        return self.alpha * u**3 + self.beta * u

    @property
    def coefficients(self) -> dict[str, float]:
        """Return the missing part as a formula: coefficients by term."""
        return {"z": self.beta / self.Y, "z^3": self.alpha / self.Y**3}


def attractor(system: Roessler | MemristiveCircuit, n_samples: int, dt: float, skip: float = 200.0) -> np.ndarray:
    """Solve the whole system, known and missing part, from when it has settled on its attractor; no noise.

    Parameters
    ----------
    system : Roessler or MemristiveCircuit
    n_samples : int
    dt : float
        Time between samples.
    skip : float
        Time left out at the start.

    Returns
    -------
    array, (n_samples, 3)
        Solved to a relative tolerance of 1e-10 (DOP853).

    Examples
    --------
    >>> from mfm.ude import Roessler, attractor
    >>> attractor(Roessler(), 10, 0.1, skip=5.0).shape
    (10, 3)
    """
    from scipy.integrate import solve_ivp

    unit = np.eye(3)[system.states.index(system.unknown)]

    def whole(t, x):
        state = torch.from_numpy(x[None])
        return (system.drift(state, Inputs()) + system.truth(state)[:, None] * torch.from_numpy(unit))[0].numpy()

    times = skip + dt * np.arange(n_samples)
    solution = solve_ivp(whole, (0.0, times[-1]), system.initial, method="DOP853", t_eval=times, rtol=1e-10, atol=1e-10)
    return solution.y.T
