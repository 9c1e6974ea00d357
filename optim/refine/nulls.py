"""Nulls hold nothing to find: scans of the mechanism alone, and maps that keep but their spatial autocorrelation."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from mfm import Protocol, RegionalMaps
from mfm.checks import listed
from mfm.errors import InputError
from mfm.linear.modes import SlowSystem
from mfm.linear.sampling import sample_bold
from mfm.linear.system import LinearSystem

# Regions that no weight ties to others have no place in a map's autocorrelation.
_LEAST_WEIGHT = 1e-12


def moran_surrogates(maps: RegionalMaps, weights: np.ndarray, n: int, seed: int = 0) -> list[RegionalMaps]:
    """Draw random maps with the autocorrelation of given ones: Moran spectral randomisation (Wagner & Dray 2015, singletons).

    A map is a sum of eigenvectors of the centred weights, each of which is an autocorrelation; the signs of its parts are drawn
    anew, the same for all maps. Mean, variance, Moran's I and the correlations between maps are kept exactly.

    Parameters
    ----------
    maps : RegionalMaps
    weights : array, (N, N)
        How close regions are: a connectome, or the inverse of distances. Taken as symmetric, without its diagonal.
    n : int
    seed : int

    Raises
    ------
    InputError
        If a region is tied to no other.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from optim.refine.nulls import moran_surrogates
    >>> rng = np.random.default_rng(0)
    >>> maps = mfm.RegionalMaps(rng.normal(size=(1, 20)), ("a",))
    >>> null = moran_surrogates(maps, rng.random((20, 20)), 1)[0]
    >>> bool(np.allclose([null.values.mean(), null.values.std()], [maps.values.mean(), maps.values.std()]))
    True
    """
    W = (weights + weights.T) / 2
    np.fill_diagonal(W, 0.0)
    alone = np.flatnonzero(W.sum(axis=1) <= _LEAST_WEIGHT)
    if len(alone):
        raise InputError(
            "Regions are tied to no other, so that maps have no autocorrelation there.",
            found=f"regions {listed(alone, maps.labels)}",
        )
    N = len(W)
    centring = np.eye(N) - 1 / N
    _, vectors = np.linalg.eigh(centring @ W @ centring)
    # One eigenvector is the constant, with value zero: the one that centring annihilates.
    constant = int(np.argmax(np.abs(vectors.sum(axis=0))))
    vectors = np.delete(vectors, constant, axis=1)
    mean = maps.values.mean(axis=1, keepdims=True)
    parts = (maps.values - mean) @ vectors
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1.0, 1.0], size=(n, 1, N - 1))
    return [RegionalMaps(mean + (parts * sign) @ vectors.T, maps.names, maps.labels) for sign in signs]


def moran_i(values: np.ndarray, weights: np.ndarray) -> float:
    """Compute Moran's I of a map (N,): its autocorrelation under the weights, taken as symmetric, without their diagonal."""
    W = (weights + weights.T) / 2
    np.fill_diagonal(W, 0.0)
    z = values - values.mean()
    return float(len(z) / W.sum() * (z @ W @ z) / (z @ z))


def mechanism_scan(system: LinearSystem, protocol: Protocol, scale: float, noise: float, seed: int, n_scans: int = 2) -> Tensor:
    """Draw BOLD (n_scans, T, N) of a linearised model by Fourier synthesis of its spectra, with white measurement noise.

    Parameters
    ----------
    system : LinearSystem
        One stable candidate.
    protocol : Protocol
        TR and frames.
    scale, noise : float
        Of the spectral density, and the density of the noise per Hz.
    seed : int
    n_scans : int
    """
    with torch.no_grad():
        bold = sample_bold(SlowSystem.of(system), system.activity, protocol, n_scans, seed)[0]
    generator = torch.Generator().manual_seed(seed + 0x5EED)
    white = torch.randn(bold.shape, generator=generator, dtype=torch.float64)
    return math.sqrt(scale) * bold + math.sqrt(noise / protocol.tr_s) * white
