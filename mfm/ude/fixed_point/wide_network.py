"""A network with one wide hidden layer prefers some smooth functions of regional maps a priori; this file computes them.

``f(h) = sum_u v_u erf(w_u . h + b_u)`` with independent Gaussian weights is, for many hidden units, a Gaussian process
(Neal 1996) whose covariance is the arcsine kernel (Williams 1997). Over the N regions of one brain it is a sum of orthogonal
shapes, each with its own standard deviation (Karhunen-Loeve): first about a straight line along each map, then bends.
Coefficients of the shapes are the network, without starts and local optima, and data can be asked whether they know each.
"""

from __future__ import annotations

import numpy as np

from mfm.brain.maps import RegionalMaps
from mfm.errors import InputError

#: Shapes that are kept: with one map they hold 99.9 % of the variance a priori, with three 93 %.
N_SHAPES = 6


def arcsine_kernel(z: np.ndarray) -> np.ndarray:
    """Compute the covariance (N, N) of a wide erf network's output at inputs `z` (D, N); weights and bias have unit variance.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.ude.fixed_point.wide_network import arcsine_kernel
    >>> round(float(arcsine_kernel(np.zeros((1, 1)))[0, 0]), 6)
    0.464559
    """
    inputs = np.vstack([np.ones(z.shape[1]), z])
    products = 2 * inputs.T @ inputs
    size = np.sqrt(1 + np.diagonal(products))
    return 2 / np.pi * np.arcsin(products / (size[:, None] * size))


def network_shapes(maps: RegionalMaps, beside: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Compute the shapes that a wide network of maps is made of, and how large each is a priori.

    Parameters
    ----------
    maps : RegionalMaps
        Inputs of the network; they are z-scored.
    beside : array, (M, N), optional
        Patterns that the network leaves to others: its shapes are orthogonal to them.

    Returns
    -------
    shapes : array, (6, N)
        Mean 0, standard deviation 1 and uncorrelated over the regions; the likely ones first.
    scales : array, (6,)
        Their standard deviations a priori, as shares of that of the network's output.

    Raises
    ------
    InputError
        If there are too few regions.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from mfm.ude.fixed_point.wide_network import network_shapes
    >>> h = np.linspace(-1, 1, 30)
    >>> shapes, scales = network_shapes(mfm.RegionalMaps([h], ("h",)))
    >>> round(abs(float(np.corrcoef(shapes[0], np.tanh(2 * h))[0, 1])), 3), bool((np.diff(scales) < 0).all())
    (0.999, True)
    """
    N = maps.n_regions
    others = np.vstack([np.ones((1, N)), np.zeros((0, N)) if beside is None else beside])
    if N - len(others) < N_SHAPES:
        raise InputError(
            "There are too few regions for a network of maps.",
            expected=f"at least {N_SHAPES + len(others)}, with {len(others) - 1} terms beside it",
            found=str(N),
        )
    basis, _ = np.linalg.qr(others.T)
    free = np.eye(N) - basis @ basis.T
    variances, vectors = np.linalg.eigh(free @ arcsine_kernel(maps.zscored().values) @ free)
    vectors = vectors[:, ::-1][:, :N_SHAPES]
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(N_SHAPES)])
    variances = variances[::-1].clip(min=1e-12)
    return np.sqrt(N) * vectors.T, np.sqrt(variances[:N_SHAPES] / variances.sum())
