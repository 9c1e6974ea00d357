"""The arrays that the `triton` backend's kernel reads: rows of regions by columns of simulations (lanes), padded.

The regions stand in two halves, the even and the odd ones, each padded to a power of two (`mfm.backends.triton_kernel`).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.models.constants import NEURAL
from mfm.models.fic_feedback import excitatory_resting_point
from mfm.protocol import Protocol

#: Rows of regions in the kernel's parameters, state and totals.
N_PARAMETERS, N_STATE, N_TOTALS = 5, 6, 3


def half_size(n_regions: int) -> int:
    """Rows of each half of the regions: the next power of two, at least 16 for the tensor cores."""
    return max(16, 1 << (math.ceil(n_regions / 2) - 1).bit_length())


def packed_connectome(weights: np.ndarray, device: torch.device) -> Tensor:
    """The connectome, scaled, as high and low parts in half precision, (2, 2 HALF, 2 HALF).

    Sixteen rows hold eight even regions, then their odd neighbours (`mfm.backends.triton_kernel`); columns likewise.
    """
    n_half = half_size(len(weights))
    row = np.arange(2 * n_half)
    region = 16 * (row // 16) + 2 * (row % 8) + (row // 8) % 2
    padded = np.zeros((2 * n_half, 2 * n_half))
    padded[: len(weights), : len(weights)] = weights
    full = torch.from_numpy(padded[np.ix_(region, region)] * connectome_scale(weights)).to(device)
    high = full.half()
    return torch.stack([high, (full - high.double()).half()]).contiguous()


def connectome_scale(weights: np.ndarray) -> float:
    """The power of two by which weights fill the range of half precision."""
    return 2.0 ** (9 - math.frexp(np.abs(weights).max())[1])


def parameter_rows(fields: dict[str, Tensor], sc: Connectome, protocol: Protocol, tile_lanes: int) -> tuple[Tensor, Tensor]:
    """The kernel's parameters (5, 2 HALF, L) and the gain of the coupling (L,), float32.

    The argument of phi is ``constant + from_E e + gain (C e) - from_I S_I``: all that S_E* contributes is in the constant.
    """
    from mfm.backends.triton_kernel import DEVIATION_SCALE

    c = NEURAL
    S_star, _ = excitatory_resting_point()
    strength = torch.as_tensor(sc.weights.sum(axis=1), device=fields["G"].device)
    G = fields["G"][:, None]
    constant = c.a_E * (c.W_E * c.I_0 + fields["I_ext"] + c.J * S_star * (fields["w_EE"] + G * strength)) - c.b_E
    rows = (
        constant,
        c.a_E * c.J * fields["w_EE"],
        c.a_E * fields["w_IE"],
        c.a_I * c.J * fields["w_EI"],
        math.sqrt(protocol.dt_s) * fields["sigma"],
    )
    gain = c.a_E * c.J * fields["G"] / (connectome_scale(sc.weights) * float(DEVIATION_SCALE.value))
    return torch.stack([to_rows(x, tile_lanes) for x in rows]), _pad_lanes(gain, tile_lanes).float()


def initial_rows(S_E: Tensor, S_I: Tensor, tile_lanes: int) -> Tensor:
    """State at the start (6, 2 HALF, L): S_E - S_E*, S_I, and hemodynamics at rest."""
    e = to_rows(S_E - excitatory_resting_point()[0], tile_lanes)
    state = torch.zeros((N_STATE, *e.shape), dtype=torch.float32, device=e.device)
    state[0] = e
    state[1] = to_rows(S_I, tile_lanes)
    return state


def _pad_lanes(x: Tensor, tile_lanes: int) -> Tensor:
    """The last lane repeated until the number of lanes is a multiple of the tile and of 16."""
    multiple = max(16, tile_lanes)
    missing = -len(x) % multiple
    return torch.cat([x, x[-1:].expand(missing, *x.shape[1:])])


def to_rows(x: Tensor, tile_lanes: int) -> Tensor:
    """(lanes, N) as float32 (2 HALF, L): the even regions, then the odd ones, each padded with zeros."""
    x = _pad_lanes(x, tile_lanes)
    n_half = half_size(x.shape[1])
    rows = torch.zeros((len(x), 2 * n_half), dtype=torch.float32, device=x.device)
    rows[:, : x.shape[1]] = x
    return rows.reshape(len(x), n_half, 2).permute(2, 1, 0).reshape(2 * n_half, len(x))


def from_rows(rows: Tensor, n_lanes: int, n_regions: int) -> Tensor:
    """(..., 2 HALF, L) as (..., n_lanes, N)."""
    *fields, size, padded = rows.shape
    x = rows.reshape(*fields, 2, size // 2, padded).movedim(-1, -3).transpose(-1, -2)
    return x.reshape(*fields, padded, size)[..., :n_lanes, :n_regions]


def noise_streams(keys: np.ndarray, realisations: np.ndarray, n_padded: int, device: torch.device) -> Tensor:
    """Noise streams (3, L): low and high words of the keys, and the realisations, as the bits of int32."""
    words = np.stack([keys & np.uint64(0xFFFFFFFF), keys >> np.uint64(32), realisations.astype(np.uint64)])
    words = np.pad(words, ((0, 0), (0, n_padded - len(keys))), mode="edge")
    return torch.from_numpy(words.astype(np.uint32).view(np.int32)).to(device)
