"""FCD distributions are stored and predicted at few points, dense where distributions are steep."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

# Spacing of the points by range of the correlation. Simulated FCD lies mostly between 0 and 0.99; the stiffer the dynamics, the
# nearer to 1 and the narrower.
_SPACING = ((-1.0, -0.4, 0.05), (-0.4, 0.8, 0.01), (0.8, 0.96, 0.002), (0.96, 1.0, 0.001))


@cache
def grid_points() -> np.ndarray:
    """Return the correlations at which a CDF is held, ascending; the last is 1.

    Linear interpolation between them is within 0.005 of recorded and simulated FCD distributions
    (``tests/surrogate/test_fcd_grid.py``).
    """
    parts = [np.arange(low + step, high + step / 2, step) for low, high, step in _SPACING]
    points = np.concatenate(parts).round(6)
    points.setflags(write=False)
    return points


def to_grid(cdf) -> np.ndarray:
    """Take CDFs (..., K) on equal bins of [-1, 1], as `mfm.fcd_cdf` gives them, to the points of the grid (..., P).

    Examples
    --------
    >>> import mfm, torch
    >>> from surrogate.fcd_grid import grid_points, to_grid
    >>> to_grid(mfm.fcd_cdf(torch.randn(200, 5), window_frames=50)).shape == grid_points().shape
    True
    """
    cdf = np.asarray(cdf, dtype=np.float64)
    n_bins = cdf.shape[-1]
    # Entry k is the distribution function at the bin's upper edge.
    position = (grid_points() + 1) * n_bins / 2 - 1
    low = np.clip(np.floor(position).astype(int), -1, n_bins - 2)
    share = position - low
    padded = np.concatenate([np.zeros((*cdf.shape[:-1], 1)), cdf], axis=-1)
    return padded[..., low + 1] * (1 - share) + padded[..., low + 2] * share


def from_grid(values: Tensor, n_bins: int) -> Tensor:
    """Interpolate CDFs (..., P) at the points of the grid linearly on `n_bins` equal bins of [-1, 1]: (..., n_bins).

    Examples
    --------
    >>> import torch
    >>> from surrogate.fcd_grid import from_grid, grid_points
    >>> uniform = torch.as_tensor((grid_points() + 1) / 2)
    >>> from_grid(uniform, 4).tolist()
    [0.25, 0.5, 0.75, 1.0]
    """
    index, share = _interpolation(n_bins)
    padded = torch.nn.functional.pad(values, (1, 0))
    weight = share.to(values)
    return torch.lerp(padded[..., index], padded[..., index + 1], weight)


@cache
def _interpolation(n_bins: int) -> tuple[Tensor, Tensor]:
    points = np.concatenate([[-1.0], grid_points()])
    edges = -1 + 2 * (np.arange(n_bins) + 1) / n_bins
    index = np.clip(np.searchsorted(points, edges, side="left") - 1, 0, len(points) - 2)
    share = (edges - points[index]) / (points[index + 1] - points[index])
    return torch.from_numpy(index), torch.from_numpy(share)
