"""How far noise moves the states, and how far it thereby shifts their means: what the linear theory itself leaves out."""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.linear.modes import SlowSystem
from mfm.linear.system import LinearSystem
from mfm.models.constants import NEURAL
from mfm.models.fic import FICParameters
from mfm.models.fic_feedback import point_at, rate_curvature
from mfm.models.parameters import ModelParameters
from mfm.protocol import Protocol

# Where an Euler step makes the inhibitory gate oscillate, its own saturation bounds it; the linear theory is kept finite.
_LEAST_DAMPING = 0.1


def gating_covariance(slow: SlowSystem, dt_s: float) -> Tensor:
    """Covariance of the observed state, (B, N, N), as Euler-Maruyama steps of `dt_s` make it (exact for the slow system)."""
    rate, vectors, inverse = slow.modes
    noise = (inverse * slow.power[:, None, :]) @ inverse.mH
    a, b = rate[:, :, None], rate.conj()[:, None, :]
    covariance = (vectors @ (noise / (a + b - dt_s * a * b)) @ vectors.mH).real
    return slow.scale[:, :, None] * covariance * slow.scale[:, None, :]


def fast_variance(system: LinearSystem, protocol: Protocol) -> Tensor:
    """Variance of the second state's own noise, (B, N), as the protocol's steps make it.

    It is sigma^2 / (2 relax) where they are small.

    At 6 ms, where relax dt is between 1 and 2, Euler steps make it several times larger, and beyond 2 without bound;
    those of the exponential scheme make it 20 % smaller.
    """
    y = system.relax * protocol.dt_s
    share = 1 / (1 + y * (0.5 + y / 12)) if protocol.scheme == "exponential" else torch.ones_like(y)
    return share * system.sigma**2 / (system.relax * (2 - share * y).clamp(min=_LEAST_DAMPING))


@singledispatch
def mean_reported(
    p: ModelParameters, at_rest: Tensor, sc: Connectome, x: tuple[Tensor, ...], system, slow: SlowSystem, protocol: Protocol
) -> Tensor:
    """Mean of what a model reports first, (B, N): its value `at_rest`, the state x, unless more is known of the model.

    `p` are complete parameter sets (`mfm.models.model.Model.completed`).
    """
    return at_rest


@mean_reported.register
def _(
    p: FICParameters, at_rest: Tensor, sc: Connectome, x: tuple[Tensor, ...], system, slow: SlowSystem, protocol: Protocol
) -> Tensor:
    """Mean r_E in Hz to second order in the noise, (B, N), from the curvature of the transfer functions.

    With s = S_E - S_E* and i = I_E - I_E*, the mean of the equations of motion is

        (leak + inhibition drive / relax - g C) <s> = b_E - inhibition b_I / relax
        b_E = gamma ((1 - S_E*) phi_E'' <i_E^2> / 2 - phi_E' <s i_E>),    b_I = phi_I'' <i_I^2> / 2

    and the mean rate follows from <S_E> / tau_E = gamma <(1 - S_E) r_E>. Second moments are those of the slow system, with
    the fast part of S_I (`fast_variance`) on top.
    """
    c = NEURAL
    S_E, _, I_E, I_I, _ = point_at(p, sc, *x)
    moments = gating_covariance(slow, protocol.dt_s)
    slope_E, curvature_E = rate_curvature(I_E, c.a_E, c.b_E, c.d_E)
    _, curvature_I = rate_curvature(I_I, c.a_I, c.b_I, c.d_I)
    gain = (1 - S_E) * c.gamma * slope_E
    follows = system.drive / system.relax
    own = torch.diag_embed(gain * c.J * p.w_EE - system.inhibition * follows)
    current = (system.g[:, :, None] * system.C + own) / gain[..., None]
    fast = fast_variance(system, protocol)
    s_i = (current * moments).sum(dim=2)
    i_E2 = ((current @ moments) * current).sum(dim=2) + (system.inhibition / gain) ** 2 * fast
    i_I2 = (c.J * p.w_EI - follows) ** 2 * moments.diagonal(dim1=1, dim2=2) + fast
    b_E = c.gamma * ((1 - S_E) * curvature_E * i_E2 / 2 - slope_E * s_i)
    b_I = curvature_I * i_I2 / 2
    static = torch.diag_embed(system.leak + system.inhibition * follows) - system.g[:, :, None] * system.C
    s = torch.linalg.solve(static, (b_E - system.inhibition * b_I / system.relax)[..., None])[..., 0]
    shift = (s * (1 / c.tau_E + c.gamma * at_rest) / c.gamma + slope_E * s_i) / (1 - S_E)
    return at_rest + shift
