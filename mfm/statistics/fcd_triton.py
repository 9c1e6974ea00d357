"""FCD on the GPU: correlations of windows, and the histogram of their products, as two Triton kernels.

Products are made by tensor cores from factors split into two half-precision numbers (value = high + low, 22 bits; three of the
four products, float32 sums): the error of a correlation is below 1e-6, as in the compiled kernel for processors. Nothing of the
size windows x windows is ever stored: a tile of products is counted as soon as it is made.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Factors are at most 1; scaled, their low parts stay in the normal range of half precision.
_SCALE, _UNSCALE = tl.constexpr(256.0), tl.constexpr(1.0 / 65536.0)


@triton.jit
def _split(x):
    """x = high + low in half precision, to 22 bits."""
    x = x * _SCALE
    high = x.to(tl.float16)
    return high, (x - high.to(tl.float32)).to(tl.float16)


@triton.jit
def _moments(x, first, frames, regions, n_regions, n_frames, window, DEPTH: tl.constexpr, TILE: tl.constexpr):
    """Mean of each region over a window, less its first frame's value, and 1 / the norm of its deviation."""
    inside = (regions < n_regions)[:, None]
    total = tl.zeros((TILE,), tl.float32)
    for start in range(0, window, DEPTH):
        t = start + frames
        y = tl.load(x + t[None, :] * n_regions + regions[:, None], mask=inside & (t < window)[None, :], other=0.0)
        total += tl.sum(tl.where((t < window)[None, :], y - first[:, None], 0.0), axis=1)
    mean = total / window
    square = tl.zeros((TILE,), tl.float32)
    for start in range(0, window, DEPTH):
        t = start + frames
        y = tl.load(x + t[None, :] * n_regions + regions[:, None], mask=inside & (t < window)[None, :], other=0.0)
        deviation = tl.where((t < window)[None, :], y - first[:, None] - mean[:, None], 0.0)
        square += tl.sum(deviation * deviation, axis=1)
    # A constant region has no correlation: 1 / 0 makes the window, and so the run, NaN.
    return mean, 1.0 / tl.sqrt(square)


@triton.jit(do_not_specialize=["n_windows", "step", "window", "first_window"])
def window_correlations(
    bold, patterns, moments, n_regions, n_frames, n_windows, n_pairs, first_window, window, step,
    DEPTH: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Correlations of one tile of region pairs in one window of one run, packed as the upper triangle row by row.

    ``patterns`` (runs, n_windows, n_pairs) float32; ``moments`` (runs, n_windows, tiles, 2) float64: sum and sum of squares.
    """
    program = tl.program_id(0).to(tl.int64)
    w = program % n_windows
    run = program // n_windows
    row, column = tl.program_id(1), tl.program_id(2)
    n_tiles = tl.num_programs(1)
    if row > column:
        return
    x = bold + (run * n_frames + (first_window + w) * step) * n_regions
    frames = tl.arange(0, DEPTH)
    i = row * TILE + tl.arange(0, TILE)
    j = column * TILE + tl.arange(0, TILE)
    first_i = tl.load(x + i, mask=i < n_regions, other=0.0)
    first_j = tl.load(x + j, mask=j < n_regions, other=0.0)
    mean_i, inverse_i = _moments(x, first_i, frames, i, n_regions, n_frames, window, DEPTH, TILE)
    mean_j, inverse_j = _moments(x, first_j, frames, j, n_regions, n_frames, window, DEPTH, TILE)
    sums = tl.zeros((TILE, TILE), tl.float32)
    for start in range(0, window, DEPTH):
        t = start + frames
        inside = (t < window)[None, :]
        a = tl.load(x + t[None, :] * n_regions + i[:, None], mask=inside & (i < n_regions)[:, None], other=0.0)
        b = tl.load(x + t[None, :] * n_regions + j[:, None], mask=inside & (j < n_regions)[:, None], other=0.0)
        a = tl.where(inside, (a - first_i[:, None] - mean_i[:, None]) * inverse_i[:, None], 0.0)
        b = tl.where(inside, (b - first_j[:, None] - mean_j[:, None]) * inverse_j[:, None], 0.0)
        a_high, a_low = _split(a)
        b_high, b_low = _split(b)
        sums = tl.dot(a_high, tl.trans(b_high), sums)
        sums = tl.dot(a_high, tl.trans(b_low), sums)
        sums = tl.dot(a_low, tl.trans(b_high), sums)
    r = sums * _UNSCALE
    kept = (i[:, None] < j[None, :]) & (j < n_regions)[None, :]
    position = i[:, None] * n_regions - i[:, None] * (i[:, None] + 1) // 2 + j[None, :] - i[:, None] - 1
    tl.store(patterns + (run * n_windows + w) * n_pairs + position, r, mask=kept)
    r = tl.where(kept, r, 0.0).to(tl.float64)
    place = moments + (((run * n_windows + w) * n_tiles + row) * n_tiles + column) * 2
    tl.store(place, tl.sum(r))
    tl.store(place + 1, tl.sum(r * r))


@triton.jit
def split_patterns(patterns, scaling, split, n_rows, n_pairs, n_padded, BLOCK: tl.constexpr):
    """Windows as centred unit vectors, in high and low parts: ``split`` (2, n_rows, n_padded), zero beyond n_pairs."""
    row = tl.program_id(0).to(tl.int64)
    mean = tl.load(scaling + row * 2)
    scale = tl.load(scaling + row * 2 + 1)
    for first in range(0, n_padded, BLOCK):
        k = first + tl.arange(0, BLOCK)
        inside = k < n_pairs
        r = tl.load(patterns + row * n_pairs + k, mask=inside, other=0.0)
        high, low = _split(tl.where(inside, (r - mean) * scale, 0.0))
        tl.store(split + row * n_padded + k, high, mask=k < n_padded)
        tl.store(split + (n_rows.to(tl.int64) + row) * n_padded + k, low, mask=k < n_padded)


@triton.jit(do_not_specialize=["n_left", "n_right", "first_left", "first_right", "n_bins"])
def count_products(
    left, right, counts, left_rows, right_rows, n_left, n_right, first_left, first_right, n_padded, n_bins,
    DEPTH: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Count the products of a tile of left windows and a tile of right ones, of one run, where left comes before right.

    ``left`` (2, left_rows = runs x n_left, n_padded) as `split_patterns` made it, likewise ``right``; ``counts``
    (runs, n_bins).
    """
    run = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * TILE + tl.arange(0, TILE)
    j = tl.program_id(2) * TILE + tl.arange(0, TILE)
    if first_left + tl.program_id(1) * TILE >= first_right + tl.program_id(2) * TILE + TILE:
        return
    k = tl.arange(0, DEPTH)
    # Windows beyond the last repeat it, and are not counted.
    at_i = left + (run * n_left + tl.minimum(i, n_left - 1))[:, None] * n_padded + k[None, :]
    at_j = right + (run * n_right + tl.minimum(j, n_right - 1))[None, :] * n_padded + k[:, None]
    low_i = left_rows.to(tl.int64) * n_padded
    low_j = right_rows.to(tl.int64) * n_padded
    sums = tl.zeros((TILE, TILE), tl.float32)
    for start in range(0, n_padded, DEPTH):
        a = tl.load(at_i + start)
        b = tl.load(at_j + start)
        sums = tl.dot(a, b, sums)
        sums = tl.dot(a, tl.load(at_j + low_j + start), sums)
        sums = tl.dot(tl.load(at_i + low_i + start), b, sums)
    r = sums * _UNSCALE
    bin = ((r.to(tl.float64) + 1.0) * (0.5 * n_bins)).to(tl.int32)
    bin = tl.minimum(tl.maximum(bin, 0), n_bins - 1)
    before = (first_left + i)[:, None] < (first_right + j)[None, :]
    kept = before & (i < n_left)[:, None] & (j < n_right)[None, :]
    tl.atomic_add(counts + run * n_bins + bin, 1, mask=kept, sem="relaxed")
