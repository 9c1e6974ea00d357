"""Feedback inhibition control: the inhibitory weights that hold every region at 3 Hz, and the fixed point they create."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.compute.elementary import phi, phi_slope
from mfm.models.constants import NEURAL
from mfm.models.fic import FICParameters, currents, gating, inhibitory_rate, pack
from mfm.models.registry import check_same_regions

_NEWTON_STEPS = 60


class RestingState(NamedTuple):
    """The designed fixed point of the FIC model: S_E (scalar, the same everywhere), I_E (scalar), S_I and I_I (B, N).

    Gating variables S are dimensionless, currents I in nA.
    """

    S_E: float
    I_E: float
    S_I: Tensor
    I_I: Tensor


class FixedPoint(NamedTuple):
    """A state at which noise-free dynamics rest: gating variables, input currents (nA) and r_E (Hz), each (B, N).

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.zeros((1, 2)), [2.0])
    >>> mfm.fixed_point(p, sc).point._fields
    ('S_E', 'S_I', 'I_E', 'I_I', 'rate_E')
    """

    S_E: Tensor
    S_I: Tensor
    I_E: Tensor
    I_I: Tensor
    rate_E: Tensor


@cache
def excitatory_resting_point() -> tuple[float, float]:
    """S_E* and I_E* (nA) at the target rate of 3 Hz.

    S_E* = x / (1 + x) with x = tau_E gamma r_E*; I_E* solves phi(I_E*) = r_E* by Newton's method (phi is convex and
    increasing, so that Newton from the right of the root descends monotonically).
    """
    c = NEURAL
    x = c.tau_E * c.gamma * c.target_rate_hz
    current = torch.tensor(0.45, dtype=torch.float64)
    for _ in range(_NEWTON_STEPS):
        rate, slope = rate_and_slope(current, c.a_E, c.b_E, c.d_E)
        current = current - (rate - c.target_rate_hz) / slope
    return x / (1 + x), current.item()


def resting_state(w_EI: Tensor) -> RestingState:
    """The fixed point at 3 Hz, by Newton's method on the whole batch.

    I_I* is the root of ``W_I I_0 + J w_EI S_E* - tau_I r_I(I_I) - I_I``, which decreases and is concave in I_I: Newton's
    method converges from any start after one step. The last step is differentiable with respect to `w_EI` (implicit
    function theorem).

    Parameters
    ----------
    w_EI : tensor, (B, N)
        Excitatory-to-inhibitory weights, dimensionless.

    Returns
    -------
    RestingState
        ``S_E`` and ``I_E`` (nA), numbers that are the same in every region; ``S_I`` and ``I_I`` (nA), tensors (B, N).

    Examples
    --------
    >>> import mfm, torch
    >>> rest = mfm.resting_state(torch.full((1, 2), 2.5, dtype=torch.float64))
    >>> round(rest.S_E, 3), rest.S_I.shape
    (0.161, torch.Size([1, 2]))
    """
    c = NEURAL
    S_E, I_E = excitatory_resting_point()
    drive = c.W_I * c.I_0 + c.J * S_E * w_EI
    with torch.no_grad():
        # From the right of the root: S_I is positive, so that the drive alone bounds I_I from above.
        current = drive.detach().clone()
        for _ in range(_NEWTON_STEPS):
            rate, slope = rate_and_slope(current, c.a_I, c.b_I, c.d_I)
            update = (drive - c.tau_I * rate - current) / (1 + c.tau_I * slope)
            current = current + update
            if update.abs().max() <= 1e-15:
                break
        _, slope = rate_and_slope(current, c.a_I, c.b_I, c.d_I)
    current = current + (drive - c.tau_I * inhibitory_rate(current) - current) / (1 + c.tau_I * slope)
    return RestingState(S_E, I_E, c.tau_I * inhibitory_rate(current), current)


def designed_point(p: FICParameters) -> FixedPoint:
    """The fixed point that feedback inhibition creates: 3 Hz in every region (of FICParameters without ``w_IE``)."""
    rest = resting_state(p.w_EI)
    like = torch.ones_like(p.w_EI)
    return FixedPoint(rest.S_E * like, rest.S_I, rest.I_E * like, rest.I_I, NEURAL.target_rate_hz * like)


def point_at(p: FICParameters, sc: Connectome, S_E: Tensor, S_I: Tensor) -> FixedPoint:
    """Input currents and rates of complete parameter sets (``w_IE`` given) at a state, (B, N)."""
    constants, (gain,) = pack(p)
    C = torch.as_tensor(sc.weights.copy(), dtype=S_E.dtype, device=S_E.device)
    x, coupling = (S_E, S_I), (gain[:, None] * (S_E @ C.T),)
    I_E, I_I = currents(x, coupling, constants)
    return FixedPoint(S_E, S_I, I_E, I_I, gating(x, I_E, I_I)[2])


def feedback_weights(p: FICParameters, sc: Connectome) -> Tensor:
    """Inhibitory feedback weights w_IE for which every region rests at 3 Hz.

    ``w_IE = (W_E I_0 + I_ext + J S_E* (w_EE + G sum_j C_ij) - I_E*) / S_I*`` (Deco et al. 2014; closed form as in Demirtas
    et al. 2019). The fixed point may be unstable, and noise may leave it: whether rates stay in range is known from simulation.

    Parameters
    ----------
    p : FICParameters
        B candidates over N regions.
    sc : Connectome
        N regions.

    Returns
    -------
    tensor, (B, N)
        Dimensionless; differentiable in the parameters. ``p.w_IE`` itself where that is given.

    Raises
    ------
    InputError
        If `p` and `sc` have different numbers of regions.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.zeros((1, 2)), [1.0])
    >>> mfm.feedback_weights(p, mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])).shape
    torch.Size([1, 2])
    """
    check_same_regions(p, sc)
    if p.w_IE is not None:
        return p.w_IE
    c = NEURAL
    rest = resting_state(p.w_EI)
    strength = torch.as_tensor(sc.weights.sum(axis=1), dtype=p.w_EE.dtype, device=p.w_EE.device)
    excitation = c.W_E * c.I_0 + c.J * rest.S_E * (p.w_EE + p.G[:, None] * strength)
    if p.I_ext is not None:
        excitation = excitation + p.I_ext
    return (excitation - rest.I_E) / rest.S_I


def rate_and_slope(current: Tensor, a: float, b: float, d: float) -> tuple[Tensor, Tensor]:
    """A firing rate phi(a I - b; d) and its derivative with respect to the current I, in closed form."""
    x = a * current - b
    return phi(x, d), a * phi_slope(x, d)


def rate_curvature(current: Tensor, a: float, b: float, d: float) -> tuple[Tensor, Tensor]:
    """First and second derivative of a firing rate phi(a I - b; d) with respect to the current I."""
    x = a * current - b
    # With e = exp(-d x): phi'' = d e (d x (1 + e) / (1 - e) - 2) / (1 - e)^2, and d / 6 at x = 0.
    near_zero = (d * x).abs() < 1e-3
    y = torch.where(near_zero, torch.ones_like(x), d * x)
    e = torch.exp(-y)
    second = d * e * (y * (1 + e) / (1 - e) - 2) / (1 - e) ** 2
    return a * phi_slope(x, d), a**2 * torch.where(near_zero, torch.full_like(x, d / 6), second)
