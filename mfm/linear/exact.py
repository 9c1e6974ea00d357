"""The linear system solved frequency by frequency: exact for any connectome and any fixed point."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from mfm.linear.hemodynamics import transfer
from mfm.linear.system import LinearSystem

# Nodes of the frequency quadrature, and the frequency (rad/s) around which they gather: FC is converged to 1e-6 at 32.
_NODES = 32
_CENTRE_RAD_S = 0.5

# Matrices (candidates x frequencies) that are inverted at a time: bounds memory, not the result.
_MATRICES = 2048


@cache
def _quadrature(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (rad/s) and weights of the integral over frequencies from 0: Gauss-Legendre in the angle of w = c tan(angle)."""
    x, weight = np.polynomial.legendre.leggauss(n)
    angle = np.pi / 4 * (x + 1)
    return _CENTRE_RAD_S * np.tan(angle), weight * np.pi / 4 * _CENTRE_RAD_S / np.cos(angle) ** 2


def cross_spectrum(system: LinearSystem, w: Tensor) -> Tensor:
    """Cross-spectral density of BOLD at angular frequencies `w` (W,), rad/s: complex, (B, W, N, N), percent squared times s."""
    A, power = system.operator(w)
    X = torch.linalg.inv(A) * transfer(1j * w[:, None], system.S_E[:, None])[..., None]
    return (X * power[:, :, None, :]) @ X.mH


def covariance(system: LinearSystem, duration_s: float) -> Tensor:
    """Expected covariance of BOLD over a scan, its own mean removed: (B, N, N), percent squared."""
    nodes, weights = _quadrature(_NODES)
    # The mean of a scan takes power out of a band around 0 much narrower than any feature of the spectrum: S(0) / duration.
    w = torch.tensor(np.append(nodes, 0.0)).to(system.leak)
    measure = torch.tensor(np.append(weights / np.pi, -1 / duration_s)).to(system.leak)
    size = max(1, _MATRICES // len(w))
    starts = range(0, len(system.leak), size)
    return torch.cat([_integral(system[slice(k, k + size)], w, measure) for k in starts])


def _integral(system: LinearSystem, w: Tensor, measure: Tensor) -> Tensor:
    return torch.einsum("w,bwij->bij", measure, cross_spectrum(system, w).real)


def abscissa(system: LinearSystem) -> Tensor:
    """Largest real part of the Jacobian's eigenvalues, (B,), per second."""
    with torch.no_grad():
        return torch.linalg.eigvals(system.jacobian()).real.amax(dim=1)
