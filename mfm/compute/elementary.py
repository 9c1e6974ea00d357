"""The elementary functions that a model's equations may use, on whatever kind of number arrives.

Here they are torch's. The compiled backend calls the same names with SIMD vectors (`mfm.compute.vector_math`), the GPU's with
tiles (`mfm.compute.triton_math`): a model is written once, and knows none of them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def exp(x: Tensor) -> Tensor:
    """e to the power of x."""
    return torch.exp(x)


def log(x: Tensor) -> Tensor:
    """The natural logarithm of x > 0."""
    return torch.log(x)


def sqrt(x: Tensor) -> Tensor:
    """The square root of x >= 0."""
    return torch.sqrt(x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent of x."""
    return torch.tanh(x)


def phi(x: Tensor, d: float) -> Tensor:
    """Firing rate phi(x; d) = x / (1 - exp(-d x)) in Hz, with phi(0; d) = 1 / d (Deco et al. 2014, eq. 7 and 8)."""
    near_zero = (d * x).abs() < 1e-8
    x_safe = torch.where(near_zero, torch.ones_like(x), x)
    return torch.where(near_zero, 1.0 / d + x / 2, x_safe / -torch.expm1(-d * x_safe))


def phi_slope(x: Tensor, d: float) -> Tensor:
    """Derivative of phi(x; d) with respect to x: from 0 to 1, and 1/2 at x = 0."""
    y = d * x
    near_zero = y.abs() < 1e-3
    safe = torch.where(near_zero, torch.ones_like(y), y).clamp(min=-80.0)
    e = torch.exp(-safe)
    return torch.where(near_zero, 0.5 + y / 6, (1 - e * (1 + safe)) / (1 - e) ** 2)
