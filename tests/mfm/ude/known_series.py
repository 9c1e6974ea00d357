"""Small systems with known answers, and series of them."""

from functools import cache

import numpy as np

import mfm
from mfm.ude import FICMechanism, Trajectories


@cache
def four_regions() -> FICMechanism:
    """The FIC model at its working point."""
    weights = np.random.default_rng(0).random((4, 4))
    weights = 0.02 * (weights + weights.T) / 2
    np.fill_diagonal(weights, 0)
    p = mfm.FICParameters(np.full((1, 4), 3.0), np.full((1, 4), 2.5), np.full((1, 4), 0.01), [1.0])
    return FICMechanism(p, mfm.Connectome(weights))


@cache
def one_map() -> mfm.RegionalMaps:
    return mfm.RegionalMaps([[-1.5, 0.2, 0.4, 0.9]], ("h",))


def decay_series(n: int = 80, noise: float = 0.01, seed: int = 0, dt: float = 0.1) -> Trajectories:
    """``dx/dt = -x`` from 1, observed with noise."""
    draw = noise * np.random.default_rng(seed).normal(size=n)
    return Trajectories((np.exp(-dt * np.arange(n)) + draw)[:, None], dt, ["x"], noise_std=[noise])


def ou_series(n: int, rate: float = 2.0, sigma: float = 0.5, dt: float = 0.01, seed: int = 0, units: int = 1) -> Trajectories:
    """``dx = -rate x dt + sigma dW`` by Euler-Maruyama, without measurement noise."""
    draw = np.random.default_rng(seed).normal(size=(n, units)) * sigma * dt**0.5
    x = np.zeros((n, units))
    for k in range(n - 1):
        x[k + 1] = x[k] - rate * dt * x[k] + draw[k]
    return Trajectories(x[None, :, :, None], dt, ["x"], noise_std=[1e-9])
