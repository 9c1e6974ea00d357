"""Series of small systems with known answers."""

import numpy as np

from mfm.ude import TimeSeries


def decay_series(n: int = 80, noise: float = 0.01, seed: int = 0, dt: float = 0.1) -> TimeSeries:
    """``dx/dt = -x`` from 1, observed with noise."""
    draw = noise * np.random.default_rng(seed).normal(size=n)
    return TimeSeries((np.exp(-dt * np.arange(n)) + draw)[:, None], dt, ["x"], noise_std=[noise])


def ou_series(n: int, rate: float = 2.0, sigma: float = 0.5, dt: float = 0.01, seed: int = 0, units: int = 1) -> TimeSeries:
    """``dx = -rate x dt + sigma dW`` by Euler-Maruyama, without measurement noise."""
    draw = np.random.default_rng(seed).normal(size=(n, units)) * sigma * dt**0.5
    x = np.zeros((n, units))
    for k in range(n - 1):
        x[k + 1] = x[k] - rate * dt * x[k] + draw[k]
    return TimeSeries(x[None, :, :, None], dt, ["x"], noise_std=[1e-9])
