"""The coupling of a step on the GPU: the connectome times the deviations of the carried states, on tensor cores.

What a carried state is kept as is e = x - reference, and only e is multiplied by the connectome: the reference is one number
per lane, and what C makes of it is ``base strength``, with the strength of a region its row sum of C, from float64. Both
factors are split into two half-precision numbers (value = high + low, 22 bits) and all four products go to the tensor cores
with float32 sums: the relative error of a product is below 2^-21, and e is a fraction of x. A deviation of 64 or more does not
fit in half precision: the simulation counts as diverged. Connectomes of more than 128 regions do not fit in shared memory;
they are streamed from the second-level cache at every step.
"""

from __future__ import annotations

import triton
import triton.language as tl

from mfm.simulation.gpu_arrays import DEVIATION_SCALE

_SCALE = tl.constexpr(DEVIATION_SCALE)


@triton.jit
def _half_precision(e_0, e_1, HALF: tl.constexpr, LANES: tl.constexpr):
    """e as (2 HALF, 2 LANES) in half precision: the high parts of all lanes, then the low parts; together 22 bits."""
    e_0 = e_0 * _SCALE
    e_1 = e_1 * _SCALE
    high_0 = e_0.to(tl.float16)
    high_1 = e_1.to(tl.float16)
    low_0 = (e_0 - high_0.to(tl.float32)).to(tl.float16)
    low_1 = (e_1 - high_1.to(tl.float32)).to(tl.float16)
    x = tl.join(tl.join(high_0, high_1), tl.join(low_0, low_1)).reshape(HALF // 8, 8, LANES, 2, 2)
    return x.permute(0, 3, 1, 4, 2).reshape(2 * HALF, 2 * LANES)


@triton.jit
def _sum_parts(x, HALF: tl.constexpr, LANES: tl.constexpr):
    """Products with the high and with the low parts of e added up, as even and odd regions."""
    x = x.reshape(HALF // 8, 2, 8, 2, LANES).permute(0, 2, 4, 1, 3)
    of_high, of_low = tl.split(x.reshape(HALF, LANES, 2, 2))
    return tl.split(of_high + of_low)


@triton.jit
def _stream_product(weights, scratch, e, n_regions, HALF: tl.constexpr, LANES: tl.constexpr, DEPTH: tl.constexpr):
    """C e for a connectome that is read anew at every step; e goes through global memory, which a program has to itself."""
    SIZE: tl.constexpr = 2 * HALF
    row = tl.arange(0, SIZE)
    column = tl.arange(0, 2 * LANES)
    tl.store(scratch + row[:, None] * (2 * LANES) + column[None, :], e)
    tl.debug_barrier()
    sums = tl.zeros((SIZE, 2 * LANES), tl.float32)
    # Rows and columns of padding are not read: they would be a third of the traffic at 400 regions.
    n_rows = (n_regions + 15) // 16 * 16
    used = (row < n_rows)[:, None]
    for first in range(0, n_rows, DEPTH):
        k = first + tl.arange(0, DEPTH)
        part = tl.load(scratch + k[:, None] * (2 * LANES) + column[None, :])
        block = weights + row[:, None] * SIZE + k[None, :]
        sums = tl.dot(tl.load(block, mask=used, other=0.0), part, sums)
        sums = tl.dot(tl.load(block + SIZE * SIZE, mask=used, other=0.0), part, sums)
    return sums


@triton.jit
def couplings(
    x_0,
    x_1,
    weights,
    high,
    low,
    scratch,
    of_lane,
    strength_0,
    strength_1,
    n_regions,
    step,
    MODEL: tl.constexpr,
    HALF: tl.constexpr,
    LANES: tl.constexpr,
    RESIDENT: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """The coupling of the even and of the odd regions, by channel."""
    CARRIED: tl.constexpr = MODEL.shape.carried
    N_CHANNELS: tl.constexpr = MODEL.shape.n_channels
    coupling_0 = ()
    coupling_1 = ()
    for c in tl.static_range(N_CHANNELS):
        e = _half_precision(x_0[CARRIED[c]], x_1[CARRIED[c]], HALF, LANES)
        if RESIDENT:
            sums = tl.dot(low, e, tl.dot(high, e))
        else:
            # Two copies in turns: one barrier per product is enough.
            copy = scratch + (step % 2 * N_CHANNELS + c) * (4 * HALF * LANES)
            sums = _stream_product(weights, copy, e, n_regions, HALF, LANES, DEPTH)
        sums_0, sums_1 = _sum_parts(sums, HALF, LANES)
        gain = of_lane[3 * c]
        base = of_lane[3 * c + 1]
        coupling_0 += (tl.fma(base, strength_0, gain * sums_0),)
        coupling_1 += (tl.fma(base, strength_1, gain * sums_1),)
    return coupling_0, coupling_1
