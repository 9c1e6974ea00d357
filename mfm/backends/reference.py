"""The `reference` backend: the equations step by step in torch, float64 by default, differentiable."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.dynamics import inhibitory_step_share, neural_drift
from mfm.models.fic import FICParameters
from mfm.models.hemodynamics import HemodynamicState, bold_signal, hemodynamic_drift
from mfm.protocol import Protocol

# Steps whose noise is drawn together; bounds the memory of the noise, not the result.
_NOISE_CHUNK_STEPS = 256


class Trajectory(NamedTuple):
    """BOLD (B, R, T, N) and the time averages after warm-up (B, R, N)."""

    bold: Tensor
    rate_E: Tensor
    S_E: Tensor
    S_I: Tensor


def simulate_reference(
    p: FICParameters,
    w_IE: Tensor,
    sc: Connectome,
    protocol: Protocol,
    initial: tuple[Tensor, Tensor],
    keys: np.ndarray,
    n_repeats: int,
) -> Trajectory:
    """Euler-Maruyama (S_I by the protocol's scheme) from `initial` (S_E, S_I), each (B, R, N); else as `mfm.simulate`."""
    S_E, S_I = initial
    C = torch.tensor(sc.weights, dtype=S_E.dtype, device=S_E.device)
    w_EE, w_EI, w_IE, sigma = (weight[:, None, :] for weight in (p.w_EE, p.w_EI, w_IE, p.sigma))
    G = p.G[:, None, None]
    I_ext = 0.0 if p.I_ext is None else p.I_ext[:, None, :]
    dt = protocol.dt_s
    noise = _noise(keys, n_repeats, protocol, S_E) if (p.sigma > 0).any() else None

    substeps = protocol.steps_per_hemodynamic_step
    first_frame_step = protocol.warm_up_steps + protocol.burn_in_steps
    hemodynamics = HemodynamicState.at_rest(S_E)
    drive = torch.zeros_like(S_E)
    sum_r_E, sum_S_E, sum_S_I = (torch.zeros_like(S_E) for _ in range(3))
    frames = []
    for step in range(protocol.n_steps):
        dS_E, dS_I, r_E = neural_drift(S_E, S_I, S_E @ C.T, w_EE, w_EI, w_IE, G, I_ext)
        share = inhibitory_step_share(S_E, S_I, w_EI, dt) if protocol.scheme == "exponential" else 1.0
        S_E = S_E + dt * dS_E
        S_I = S_I + share * (dt * dS_I)
        if noise is not None:
            z = next(noise)
            S_E = S_E + math.sqrt(dt) * sigma * z[..., 0]
            S_I = S_I + share * (math.sqrt(dt) * sigma * z[..., 1])
        if step < protocol.warm_up_steps:
            continue
        sum_r_E = sum_r_E + r_E
        sum_S_E = sum_S_E + S_E
        sum_S_I = sum_S_I + S_I
        drive = drive + S_E / substeps
        elapsed = step + 1 - protocol.warm_up_steps
        if elapsed % substeps == 0:
            slopes = hemodynamic_drift(hemodynamics, drive)
            hemodynamics = HemodynamicState(
                *(x + protocol.hemodynamic_dt_s * dx for x, dx in zip(hemodynamics, slopes, strict=True))
            )
            drive = torch.zeros_like(S_E)
        recorded = step + 1 - first_frame_step
        if recorded > 0 and recorded % protocol.steps_per_tr == 0:
            frames.append(bold_signal(hemodynamics))
    steps = protocol.n_steps - protocol.warm_up_steps
    return Trajectory(torch.stack(frames, dim=2), sum_r_E / steps, sum_S_E / steps, sum_S_I / steps)


def _noise(keys: np.ndarray, n_repeats: int, protocol: Protocol, like: Tensor):
    """Standard normals (B, R, N, 2) of one step after the other, the same that the compiled backend draws."""
    from mfm.backends.compiled import standard_normals

    B, R, N = like.shape
    lane_keys = np.repeat(keys, R)
    realisations = np.tile(np.arange(n_repeats, dtype=np.uint32), B)
    for first in range(0, protocol.n_steps, _NOISE_CHUNK_STEPS):
        n_steps = min(_NOISE_CHUNK_STEPS, protocol.n_steps - first)
        chunk = torch.from_numpy(standard_normals(lane_keys, realisations, first, n_steps, N))
        yield from chunk.to(like.device, like.dtype).reshape(n_steps, B, R, N, 2)
