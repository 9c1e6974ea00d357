"""The arrays that the `triton` backend's kernel reads: rows of regions by columns of simulations (lanes), padded.

The regions stand in two halves, the even and the odd ones, each padded to a power of two (`mfm.simulation.gpu_kernel`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from mfm.models.model import Model
    from mfm.models.parameters import ModelParameters

#: Deviations are multiplied by this before they become half precision, so that their low part stays in the normal range.
DEVIATION_SCALE = 1024.0

# z, f, v and q of the Balloon-Windkessel model.
_N_HEMODYNAMIC = 4


class Shape(NamedTuple):
    """What of a model shapes the kernel and its arrays.

    Parameters
    ----------
    n_constants, n_states, n_reported : int
        Numbers per region that the model packs, steps and reports.
    carried : tuple of int
        The state that each channel of the coupling carries.
    observed : int
        The state that is seen.
    fast : tuple of int
        The states of the exponential scheme.
    one_rate : bool
        Whether the model's `decay` is a number, not a tuple.
    hemodynamics : bool
    """

    n_constants: int
    n_states: int
    n_reported: int
    carried: tuple[int, ...]
    observed: int
    fast: tuple[int, ...]
    one_rate: bool
    hemodynamics: bool

    @property
    def channels(self) -> tuple[int, ...]:
        """Of every state the channel that carries it (the first of several), or -1."""
        return tuple(self.carried.index(k) if k in self.carried else -1 for k in range(self.n_states))

    @property
    def rates(self) -> tuple[int, ...]:
        """Of every state its place among the fast ones, or -1."""
        return tuple(self.fast.index(k) if k in self.fast else -1 for k in range(self.n_states))

    @property
    def n_fast(self) -> int:
        return len(self.fast)

    @property
    def n_channels(self) -> int:
        return len(self.carried)

    @property
    def n_parameters(self) -> int:
        """Rows of parameters: the constants and the amplitude of the noise."""
        return self.n_constants + 1

    @property
    def n_kept(self) -> int:
        """Rows of state between launches: that of the model, then of the hemodynamics."""
        return self.n_states + (_N_HEMODYNAMIC if self.hemodynamics else 0)

    @property
    def n_averages(self) -> int:
        """Rows of totals: the reported quantities, then the states."""
        return self.n_reported + self.n_states


def shape_of(model: Model, p: ModelParameters) -> Shape:
    """The shape of `model`, whose complete parameter set `p` tells how many constants it packs."""
    constants, _ = model.pack(p[0])
    names = model.state_names
    fast = tuple(k for k, state in enumerate(model.states) if state.fast)
    one_rate = False
    if model.decay is not None:
        x = tuple(torch.full_like(constants[0], state.start) for state in model.states)
        found = model.drift(x, tuple(torch.zeros_like(x[0]) for _ in model.carried), constants)
        one_rate = not isinstance(model.decay(found[-1]), tuple)
    return Shape(
        len(constants),
        len(names),
        len(model.reported),
        tuple(names.index(name) for name in model.carried),
        names.index(model.observed),
        fast,
        one_rate,
        model.hemodynamics,
    )


def half_size(n_regions: int) -> int:
    """Rows of each half of the regions: the next power of two, at least 16 for the tensor cores."""
    return max(16, 1 << (math.ceil(n_regions / 2) - 1).bit_length())


def packed_connectome(weights: np.ndarray, device: torch.device) -> Tensor:
    """The connectome, scaled, as high and low parts in half precision, (2, 2 HALF, 2 HALF).

    Sixteen rows hold eight even regions, then their odd neighbours (`mfm.simulation.gpu_coupling`); columns likewise.
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


def parameter_rows(constants: tuple[Tensor, ...], amplitude: Tensor, tile_lanes: int) -> Tensor:
    """The kernel's parameters (n_constants + 1, 2 HALF, L): what the model packed, then the amplitude of a step's noise."""
    rows = [to_rows(x.expand_as(amplitude), tile_lanes, repeat_last=True) for x in constants]
    return torch.stack([*rows, to_rows(amplitude, tile_lanes)])


def lane_rows(gains: tuple[Tensor, ...], references: tuple[Tensor, ...], weights: np.ndarray, tile_lanes: int) -> Tensor:
    """What the kernel reads once per lane, (3 channels, L), float32: of each channel gain, base and reference.

    The coupling of a region is ``gain (C e) + base strength``, where ``e = x - reference`` is what the connectome multiplies,
    and the strength is the region's row sum of C.
    """
    scale = connectome_scale(weights) * DEVIATION_SCALE
    rows = [row for gain, x in zip(gains, references, strict=True) for row in (gain / scale, gain * x, x)]
    return torch.stack([_pad_lanes(row, tile_lanes).float() for row in rows])


def packed_strength(weights: np.ndarray, device: torch.device) -> Tensor:
    """Row sums of the connectome, (2 HALF,), float32: the even regions, then the odd ones."""
    return to_rows(torch.as_tensor(weights.sum(axis=1), device=device)[None], 1)[:, 0].contiguous()


def references_of(rest: tuple[Tensor, ...], carried: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Of each channel the mean over regions of the state that it carries, (L,), rounded to float32, as the kernel knows it."""
    return tuple(rest[k].double().mean(dim=-1).float().double() for k in carried)


def initial_rows(x: tuple[Tensor, ...], references: tuple[Tensor, ...], shape: Shape, tile_lanes: int) -> Tensor:
    """State at the start (n_kept, 2 HALF, L): carried states as deviations from their reference, hemodynamics at rest."""
    deviations = [y if c < 0 else y - references[c][:, None] for y, c in zip(x, shape.channels, strict=True)]
    rows = torch.stack([to_rows(y, tile_lanes, repeat_last=True) for y in deviations])
    return torch.cat([rows, rows.new_zeros((shape.n_kept - shape.n_states, *rows.shape[1:]))])


def _pad_lanes(x: Tensor, tile_lanes: int) -> Tensor:
    """The last lane repeated until the number of lanes is a multiple of the tile and of 16."""
    multiple = max(16, tile_lanes)
    missing = -len(x) % multiple
    return torch.cat([x, x[-1:].expand(missing, *x.shape[1:])])


def to_rows(x: Tensor, tile_lanes: int, repeat_last: bool = False) -> Tensor:
    """(lanes, N) as float32 (2 HALF, L): the even regions, then the odd ones, each padded with zeros or with the last region.

    Padding that repeats a region is where its equations can be computed: a model may divide by a constant.
    """
    x = _pad_lanes(x, tile_lanes)
    n_half = half_size(x.shape[1])
    rows = torch.zeros((len(x), 2 * n_half), dtype=torch.float32, device=x.device)
    rows[:, : x.shape[1]] = x
    if repeat_last:
        rows[:, x.shape[1] :] = x[:, -1:]
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
