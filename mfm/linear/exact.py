"""The linear system solved frequency by frequency: exact for any connectome and any fixed point."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from mfm.linear.hemodynamics import transfer
from mfm.linear.network import NetworkSystem
from mfm.linear.observed import quadrature
from mfm.linear.system import LinearSystem
from mfm.observation import Observation

System = LinearSystem | NetworkSystem

# The scan's mean takes ``sinc^2`` out of the spectrum: that many of its lobes one by one, then the lobes' average.
_LOBES = 5

# Quadrature nodes in a lobe, from there to the slowest feature of hemodynamics, and around hemodynamics (rad/s).
_NODES = (7, 24, 32)
_SLOW_RAD_S, _CENTRE_RAD_S = 0.1, 0.5

# Matrices (candidates x frequencies) that are inverted at a time: bounds memory, not the result.
_MATRICES = 2048


@cache
def _quadrature(duration_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (rad/s) and weights of the integral over all frequencies / 2 pi of what a scan's mean leaves of a spectrum."""
    lobe = 2 * np.pi / duration_s
    # A mode that outlasts the scan leaves a dip near 0.
    ends = lobe * np.array([0, 1 / 8, *range(1, _LOBES + 1)])
    x, weight = _gauss(_NODES[0])
    width = np.diff(ends)[:, None]
    low, low_weight = (ends[:-1, None] + width * x).ravel(), (width * weight).ravel()
    first = max(_SLOW_RAD_S, ends[-1])
    x, weight = _gauss(_NODES[1])
    slow = ends[-1] * (first / ends[-1]) ** x
    slow_weight = weight * np.log(first / ends[-1]) * slow
    x, weight = _gauss(_NODES[2])
    fast = first + _CENTRE_RAD_S * np.tan(np.pi / 2 * x)
    fast_weight = weight * np.pi / 2 * _CENTRE_RAD_S / np.cos(np.pi / 2 * x) ** 2
    high = np.append(slow, fast)
    left = 1 - np.sinc(low / lobe) ** 2, 1 - 2 / (high * duration_s) ** 2
    return np.append(low, high), np.append(low_weight * left[0], np.append(slow_weight, fast_weight) * left[1]) / np.pi


def _gauss(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    x, weight = np.polynomial.legendre.leggauss(n)
    return (x + 1) / 2, weight / 2


def cross_spectrum(system: System, w: Tensor) -> Tensor:
    """Cross-spectral density of BOLD at angular frequencies `w` (W,), rad/s: complex, (B, W, N, N), percent squared times s."""
    gain = transfer(1j * w[:, None], system.activity[:, None])
    return gain[..., :, None] * system.neural_spectrum(w) * gain[..., None, :].conj()


def covariance(system: System, duration_s: float, observation: Observation | None = None, tr_s: float = 1.0) -> Tensor:
    """Expected covariance of BOLD over a scan, its own mean removed: (B, N, N), percent squared.

    What `observation` did along time, at a TR of `tr_s`, is done to it.
    """
    w, measure = (torch.tensor(x).to(system.sigma) for x in scan_quadrature(duration_s, observation, tr_s))
    size = max(1, _MATRICES // len(w))
    starts = range(0, len(system.sigma), size)
    return torch.cat([_integral(system[slice(k, k + size)], w, measure) for k in starts])


def scan_quadrature(duration_s: float, observation: Observation | None, tr_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (rad/s) and weights of the integral over all frequencies / 2 pi of what a scan keeps of a spectrum."""
    if observation is None or not (observation.is_filtered or observation.detrend):
        return _quadrature(duration_s)
    return quadrature(observation, tr_s, duration_s)


def _integral(system: System, w: Tensor, measure: Tensor) -> Tensor:
    return torch.einsum("w,bwij->bij", measure, cross_spectrum(system, w).real)


def abscissa(system: System) -> Tensor:
    """Largest real part of the Jacobian's eigenvalues, (B,), per second."""
    with torch.no_grad():
        return torch.linalg.eigvals(system.jacobian()).real.amax(dim=1)


def activity_std(system: System) -> Tensor:
    """Standard deviation of the observed state, (B, N), for small steps: from the Lyapunov equation, by eigenvectors."""
    with torch.no_grad():
        jacobian = system.jacobian()
        rate, vectors = torch.linalg.eig(jacobian)
        inverse = torch.linalg.inv(vectors)
        copies = jacobian.shape[1] // system.sigma.shape[1]
        power = (system.sigma**2).repeat(1, copies)
        noise = (inverse * power[:, None, :]) @ inverse.mH
        covariance = vectors @ (noise / -(rate[:, :, None] + rate.conj()[:, None, :])) @ vectors.mH
        N = system.sigma.shape[1]
        first = getattr(system, "observed", 0) * N
        return covariance.diagonal(dim1=1, dim2=2).real[:, first : first + N].clamp(min=0).sqrt()
