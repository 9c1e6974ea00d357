"""The noise-free return to 3 Hz and its derivatives, compiled: Euler steps forwards, and their adjoint backwards.

The same equations as `mfm.models.fic`; hundreds of steps of small tensors would spend their time in overhead.
"""

from __future__ import annotations

import math
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.compute.compile import kernel
from mfm.models.constants import NEURAL
from mfm.models.fic import FIC, FICParameters
from mfm.models.fic_feedback import feedback_weights, resting_state
from mfm.models.parameters import ModelParameters

_c = NEURAL
_DRIVE_E, _DRIVE_I, _J, _GAMMA, _TAU_E, _TAU_I = _c.W_E * _c.I_0, _c.W_I * _c.I_0, _c.J, _c.gamma, _c.tau_E, _c.tau_I
_A_E, _B_E, _D_E, _A_I, _B_I, _D_I = _c.a_E, _c.b_E, _c.d_E, _c.a_I, _c.b_I, _c.d_I

# Model time after which a displaced state must be on its way back: of 604 random candidates (demo subject) that were back after
# 12 s all had come nearer after 2 s, and of 13 that were stable but not back, 10 had not.
_RETURN_S = 2.0

# Its Euler step, whatever that of a protocol: the inhibitory gate relaxes at up to 715 per second, so that a step beyond
# 2.8 ms, such as the 6 ms of a search, makes it oscillate, which looks like a second state.
_STEP_S = 0.002

# Deviations below this count as this: the state is back.
_BACK = 1e-12


@singledispatch
def return_rate(p: ModelParameters, sc: Connectome, displacement: Tensor, abscissa: Tensor) -> Tensor:
    """Rate per second, (B,), at which a noise-free state returns to the fixed point after the observed state was raised.

    Parameters
    ----------
    p : ModelParameters
    sc : Connectome
    displacement : tensor, (B, N)
        Held fixed by the derivatives; NaN where there is no stable fixed point.
    abscissa : tensor, (B,)
        That of linear response, per second: all that is known of models without a rate of their own.

    Returns
    -------
    tensor, (B,)
        Above 0 the state returns. Of FIC the mean rate at which the root mean square deviation of S_E shrinks over 2 s.
    """
    return -abscissa


@return_rate.register
def _(p: FICParameters, sc: Connectome, displacement: Tensor, abscissa: Tensor) -> Tensor:
    rest, w_IE = resting_state(p.w_EI), feedback_weights(p, sc)
    C = torch.tensor(sc.weights, dtype=p.w_EE.dtype)
    displacement = displacement.clamp(max=FIC.states[0].reach[1] - rest.S_E)
    return ReturnRate.apply(p.w_EE, p.w_EI, w_IE, rest.S_I, p.G, C, rest.S_E, displacement, _STEP_S, round(_RETURN_S / _STEP_S))


class ReturnRate(torch.autograd.Function):
    """Rate (B,) at which the deviation of S_E from `rest` shrinks; see `return_rate`.

    Inputs are w_EE, w_EI, w_IE and the first S_I, each (B, N), G (B,), the connectome (N, N), S_E at rest (a number), the
    displacement (B, N), held fixed by the derivatives, and numbers again: the step in seconds, and how many. NaN where a state
    is lost altogether, or the displacement is not known.
    """

    @staticmethod
    def forward(ctx, w_EE, w_EI, w_IE, S_I, G, C, rest, displacement, dt, n_steps) -> Tensor:
        arrays = [tensor.detach().double().contiguous().numpy() for tensor in (w_EE, w_EI, w_IE, S_I, G, C, displacement)]
        rate, gradients, of_G = _return_rates(*arrays, rest, dt, n_steps)
        ctx.save_for_backward(torch.from_numpy(gradients), torch.from_numpy(of_G))
        return torch.from_numpy(rate)

    @staticmethod
    def backward(ctx, *outer: Tensor):
        gradients, of_G = ctx.saved_tensors
        each = gradients * outer[0][:, None]
        return *each.unbind(dim=0), of_G * outer[0], None, None, None, None, None


@kernel
def _rate_and_slope(current, a, b, d):
    """phi(a I - b; d) and its derivative with respect to I."""
    x = a * current - b
    y = d * x
    if abs(y) < 1e-6:
        return 1.0 / d + 0.5 * x, 0.5 * a
    value = x / -math.expm1(-y)
    return value, a * value / x * (1.0 - d * (value - x))


@kernel
def _currents(S_E, S_I, coupling, w_EE, w_EI, w_IE, G):
    I_E = _DRIVE_E + _J * w_EE * S_E + _J * G * coupling - w_IE * S_I
    return I_E, _DRIVE_I + _J * w_EI * S_E - S_I


@kernel
def _return_rates(w_EE, w_EI, w_IE, S_I_first, G, C, displacement, rest, dt, n_steps):
    """Rates (B,); gradients (4, B, N) with respect to w_EE, w_EI, w_IE and the first S_I; and (B,) with respect to G."""
    B, N = w_EE.shape
    rates = np.empty(B)
    gradients = np.zeros((4, B, N))
    of_G = np.zeros(B)
    S_E = np.empty((n_steps + 1, N))
    S_I = np.empty((n_steps + 1, N))
    coupling = np.empty((n_steps, N))
    for b in range(B):
        first = math.sqrt(np.mean(displacement[b] ** 2))
        if not math.isfinite(first):
            rates[b] = np.nan
            continue
        S_E[0] = rest + displacement[b]
        S_I[0] = S_I_first[b]
        for t in range(n_steps):
            coupling[t] = C @ S_E[t]
            for i in range(N):
                I_E, I_I = _currents(S_E[t, i], S_I[t, i], coupling[t, i], w_EE[b, i], w_EI[b, i], w_IE[b, i], G[b])
                r_E, _ = _rate_and_slope(I_E, _A_E, _B_E, _D_E)
                r_I, _ = _rate_and_slope(I_I, _A_I, _B_I, _D_I)
                S_E[t + 1, i] = S_E[t, i] + dt * (-S_E[t, i] / _TAU_E + (1.0 - S_E[t, i]) * _GAMMA * r_E)
                S_I[t + 1, i] = S_I[t, i] + dt * (-S_I[t, i] / _TAU_I + r_I)
        square = np.mean((S_E[n_steps] - rest) ** 2)
        duration = n_steps * dt
        rates[b] = math.log(max(first, _BACK) / math.sqrt(max(square, _BACK**2))) / duration
        if not (_BACK**2 < square < np.inf):
            continue
        # d rate / d S_E of the last state, then step by step backwards.
        adjoint_E = -(S_E[n_steps] - rest) / (N * square * duration)
        adjoint_I = np.zeros(N)
        through_E = np.empty(N)
        for t in range(n_steps - 1, -1, -1):
            for i in range(N):
                E, inhibition = S_E[t, i], S_I[t, i]
                I_E, I_I = _currents(E, inhibition, coupling[t, i], w_EE[b, i], w_EI[b, i], w_IE[b, i], G[b])
                r_E, slope_E = _rate_and_slope(I_E, _A_E, _B_E, _D_E)
                _, slope_I = _rate_and_slope(I_I, _A_I, _B_I, _D_I)
                of_I_E = adjoint_E[i] * dt * (1.0 - E) * _GAMMA * slope_E
                of_I_I = adjoint_I[i] * dt * slope_I
                gradients[0, b, i] += of_I_E * _J * E
                gradients[1, b, i] += of_I_I * _J * E
                gradients[2, b, i] -= of_I_E * inhibition
                of_G[b] += of_I_E * _J * coupling[t, i]
                adjoint_E[i] = adjoint_E[i] * (1.0 - dt * (1.0 / _TAU_E + _GAMMA * r_E))
                adjoint_E[i] += of_I_E * _J * w_EE[b, i] + of_I_I * _J * w_EI[b, i]
                adjoint_I[i] = adjoint_I[i] * (1.0 - dt / _TAU_I) - of_I_E * w_IE[b, i] - of_I_I
                through_E[i] = of_I_E * _J * G[b]
            adjoint_E += through_E @ C
        gradients[3, b] = adjoint_I
    return rates, gradients, of_G
