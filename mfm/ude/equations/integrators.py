"""Integrators take fixed steps in torch, differentiable one by one, for states of any leading dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mfm.errors import InputError

Field = Callable[[Tensor], Tensor]

#: Deterministic schemes, and their order of convergence.
SCHEMES = {"euler": 1, "heun": 2, "semi_implicit": 2, "rk4": 4}

_ROS2 = 1 - 1 / math.sqrt(2)


def euler_step(field: Field, x: Tensor, dt: float) -> Tensor:
    """Take a step by Euler's method; with noise added by the caller it is Euler-Maruyama."""
    return x + dt * field(x)


def heun_step(field: Field, x: Tensor, dt: float) -> Tensor:
    """Take a step by Heun's method, of second order."""
    k1 = field(x)
    return x + (0.5 * dt) * (k1 + field(x + dt * k1))


def rk4_step(field: Field, x: Tensor, dt: float) -> Tensor:
    """Take a step by the classical Runge-Kutta method, of fourth order."""
    k1 = field(x)
    k2 = field(x + (0.5 * dt) * k1)
    k3 = field(x + (0.5 * dt) * k2)
    k4 = field(x + dt * k3)
    return x + (dt / 6) * (k1 + 2 * (k2 + k3) + k4)


def semi_implicit_step(field: Field, x: Tensor, dt: float, relaxation: Tensor) -> Tensor:
    """Take a step by ROS2 (Verwer et al. 1999, SIAM J Sci Comput 20:1456), implicit in a diagonal only.

    `relaxation` holds non-negative decay rates, one per state: an approximation of minus the diagonal of the Jacobian. The
    method is of second order whatever they are, and stable for steps beyond ``2 / rate`` where they are about right.
    """
    damping = 1 / (1 + (_ROS2 * dt) * relaxation)
    k1 = damping * field(x)
    k2 = damping * (field(x + dt * k1) - 2 * k1)
    return x + dt * (1.5 * k1 + 0.5 * k2)


def scheme_step(
    scheme: str, field: Field, x: Tensor, dt: float, relaxation: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Take a step of a named scheme; ``semi_implicit`` needs `relaxation`, a function of the state."""
    if scheme == "rk4":
        return rk4_step(field, x, dt)
    if scheme == "heun":
        return heun_step(field, x, dt)
    if scheme == "euler":
        return euler_step(field, x, dt)
    if scheme == "semi_implicit":
        if relaxation is None:
            raise InputError(
                "The semi-implicit scheme needs to know which states are stiff.",
                found="a mechanism without `relaxation`",
                fix="give the mechanism a method relaxation(x) that returns decay rates, or take another scheme",
            )
        return semi_implicit_step(field, x, dt, relaxation(x))
    raise InputError("Unknown integration scheme.", expected=" | ".join(SCHEMES), found=repr(scheme))


def integrate(
    advance: Callable[[Tensor, int], Tensor], x: Tensor, n_samples: int, checkpoint_every: int | None = None
) -> Tensor:
    """Iterate ``x = advance(x, k)`` for k = 0 ... n_samples - 1 and keep every state.

    Parameters
    ----------
    advance : callable
        From one sample to the next: any number of steps, noise or corrections; differentiable.
    x : tensor, (E, M, N, D)
        State at the first sample.
    n_samples : int
        States to compute.
    checkpoint_every : int, optional
        Keep only every so-many-th state for the gradient, and compute the others again in the backward pass: memory falls
        to its square root at best, and the forward work is done twice. The gradient is the same.

    Returns
    -------
    tensor, (E, M, n_samples + 1, N, D)
        With the first state.

    Examples
    --------
    >>> import torch
    >>> from mfm.ude import integrate, rk4_step
    >>> x = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    >>> path = integrate(lambda x, k: rk4_step(lambda y: -y, x, 0.1), x, 10)
    >>> path.shape, round(float(path[0, 0, -1]), 5)
    (torch.Size([1, 1, 11, 1, 1]), 0.36788)
    """

    def run(x: Tensor, first: int, last: int) -> Tensor:
        path = []
        for k in range(first, last):
            x = advance(x, k)
            path.append(x)
        return torch.stack(path, dim=2)

    if checkpoint_every is None:
        return torch.cat([x.unsqueeze(2), run(x, 0, n_samples)], dim=2)
    pieces = [x.unsqueeze(2)]
    for first in range(0, n_samples, checkpoint_every):
        last = min(first + checkpoint_every, n_samples)
        pieces.append(checkpoint(run, pieces[-1][:, :, -1], first, last, use_reentrant=False))
    return torch.cat(pieces, dim=2)
