"""The neural equations of the FIC model (Deco et al. 2014; Zhang et al. 2024) written a second time, as an oracle for tests."""

from __future__ import annotations

from torch import Tensor

from mfm.compute.elementary import phi as transfer_function
from mfm.compute.elementary import phi_slope as transfer_slope
from mfm.models.constants import NEURAL


def excitatory_rate(I_E: Tensor) -> Tensor:
    """r_E in Hz for an input current `I_E` in nA."""
    return transfer_function(NEURAL.a_E * I_E - NEURAL.b_E, NEURAL.d_E)


def inhibitory_rate(I_I: Tensor) -> Tensor:
    """r_I in Hz for an input current `I_I` in nA."""
    return transfer_function(NEURAL.a_I * I_I - NEURAL.b_I, NEURAL.d_I)


def input_currents(
    S_E: Tensor,
    S_I: Tensor,
    coupling: Tensor,
    w_EE: Tensor,
    w_EI: Tensor,
    w_IE: Tensor,
    G: Tensor,
    I_ext: Tensor | float = 0.0,
) -> tuple[Tensor, Tensor]:
    """I_E and I_I in nA (Zhang et al. 2024); arguments as for `neural_drift`."""
    c = NEURAL
    I_E = c.W_E * c.I_0 + I_ext + c.J * w_EE * S_E + G * c.J * coupling - w_IE * S_I
    I_I = c.W_I * c.I_0 + c.J * w_EI * S_E - S_I
    return I_E, I_I


def neural_drift(
    S_E: Tensor,
    S_I: Tensor,
    coupling: Tensor,
    w_EE: Tensor,
    w_EI: Tensor,
    w_IE: Tensor,
    G: Tensor,
    I_ext: Tensor | float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Deterministic part of the dynamics.

    Parameters
    ----------
    S_E, S_I : tensor, (..., N)
        Gating variables.
    coupling : tensor, (..., N)
        ``sum_j C[i, j] S_E[j]``.
    w_EE, w_EI, w_IE : tensor, broadcastable to (..., N)
    G : tensor, broadcastable to (..., N)
    I_ext : tensor, broadcastable to (..., N), or 0
        External current into the excitatory population, nA.

    Returns
    -------
    dS_E, dS_I : tensor, (..., N)
        Time derivatives, per second.
    r_E : tensor, (..., N)
        Excitatory firing rate, Hz.
    """
    I_E, I_I = input_currents(S_E, S_I, coupling, w_EE, w_EI, w_IE, G, I_ext)
    return gating_drift(S_E, S_I, I_E, I_I)


def gating_drift(S_E: Tensor, S_I: Tensor, I_E: Tensor, I_I: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """dS_E, dS_I (per second) and r_E (Hz) at given input currents (nA)."""
    c = NEURAL
    r_E = excitatory_rate(I_E)
    dS_E = -S_E / c.tau_E + (1 - S_E) * c.gamma * r_E
    dS_I = -S_I / c.tau_I + inhibitory_rate(I_I)
    return dS_E, dS_I, r_E


def inhibitory_step_share(S_E: Tensor, S_I: Tensor, w_EI: Tensor, dt_s: float) -> Tensor:
    """Share of an Euler step of S_I that the exponential scheme takes: (1 - e^(-y)) / y, with y = dt (1 / tau_I + dr_I/dI_I).

    As the Pade approximant 1 / (1 + y / 2 + y^2 / 12), which is within 1 % up to y = 2 and decays like the exponential's
    step beyond (Hochbruck & Ostermann 2010, exponential Rosenbrock-Euler method, for the diagonal of the Jacobian).
    """
    c = NEURAL
    I_I = c.W_I * c.I_0 + c.J * w_EI * S_E - S_I
    y = dt_s * (1 / c.tau_I + c.a_I * transfer_slope(c.a_I * I_I - c.b_I, c.d_I))
    return 1 / (1 + y * (0.5 + y / 12))
