"""The FCD histogram of one run, compiled: float32 products of windows, counted as they are made."""

from __future__ import annotations

import numpy as np

from mfm.compute.compile import kernel
from mfm.compute.vectors import LANES, float_vector, floats, load, square_root, store  # noqa: F401  (float_vector: registration)

_f = np.float32

# Pairs of regions multiplied at a time: two tiles of this many pairs and LANES windows stay in the first-level cache.
_PAIRS = 128

# A variance below this share of the largest sum of squares so far has lost more than half of float64's digits.
_LOST = 1e-8

# Rows of a tile computed together: each load of the right-hand windows serves this many sums. In two registers each they are as
# many chains as two multiply-adds per cycle need, and half of AVX2's registers: eight rows would be spilled at every step.
_ROWS = 4


def fcd_counts(
    run: np.ndarray, window_frames: int, n_bins: int, step_frames: int = 1, kept: np.ndarray | None = None, least: int = 3
) -> np.ndarray | None:
    """Histogram counts on [-1, 1] of the FCD matrix's upper triangle.

    Parameters
    ----------
    run : array of float32, (T, N)
    kept : array of bool, (T,), optional
        Frames that count; windows with fewer than `least` of them are left out.

    Returns
    -------
    array of int64, (n_bins,), or None where float64 must judge: a region that is not finite, constant in some window, or
    so much larger elsewhere (a spike) that running sums lose its variance in that window.
    """
    kept = np.ones(len(run), bool) if kept is None else kept
    if not np.isfinite(run[kept]).all() or _constant_in_a_window(run, window_frames):
        return None
    n_regions = run.shape[1]
    sizes = window_sizes(kept, window_frames, step_frames, least)
    n_windows = int((sizes > 0).sum())
    n_pairs = n_regions * (n_regions - 1) // 2
    panels = np.zeros(-(-n_windows // LANES) * n_pairs * LANES, np.float32)
    # Frames that do not count are zero: they add nothing to sums and products.
    x = np.where(kept[:, None], run.astype(np.float64), 0.0)
    x = np.where(kept[:, None], x - x.sum(axis=0) / kept.sum(), 0.0)
    if not _window_patterns(x, window_frames, step_frames, sizes, n_windows, panels):
        return None
    counts = np.zeros(n_bins, np.int64)
    _count_products(panels, n_windows, n_pairs, counts)
    return counts


def window_sizes(kept: np.ndarray, window_frames: int, step_frames: int, least: int) -> np.ndarray:
    """Frames that count in every window; 0 for windows that are left out, because they have fewer than `least`."""
    counted = np.concatenate([[0], np.cumsum(kept)])
    sizes = (counted[window_frames:] - counted[:-window_frames])[::step_frames]
    return np.where(sizes >= least, sizes, 0)


def _constant_in_a_window(run: np.ndarray, window_frames: int) -> bool:
    """Whether some region repeats one value for a whole window."""
    changes = np.zeros((len(run), run.shape[1]), np.int32)
    np.cumsum(run[1:] != run[:-1], axis=0, out=changes[1:])
    return bool((changes[window_frames - 1 :] == changes[: len(run) - window_frames + 1]).any())


@kernel
def _move_window(new, old, sums, products):
    """Let the sums over a window take in the frame `new` and let go of the frame `old` (float64: no drift to speak of)."""
    n_regions = len(sums)
    for j in range(n_regions):
        sums[j] += new[j] - old[j]
    for i in range(n_regions):
        row = products[i]
        a = new[i]
        b = old[i]
        for j in range(n_regions):
            row[j] += a * new[j] - b * old[j]


@kernel
def _window_patterns(x, window, step, sizes, n_windows, panels):
    """FC of each window as a centred vector of unit length; a panel holds LANES windows, pair by pair, window innermost.

    `x` is (T, N), float64 and centred; `sizes` the frames that count in each window, 0 where it is left out. The
    correlations are made in float64: where a region varies little within a window, float32 sums would cost digits. False
    where even float64 running sums do.
    """
    n_frames, n_regions = x.shape
    w = -1
    sums = np.zeros(n_regions)
    products = np.zeros((n_regions, n_regions))
    inverse = np.empty(n_regions)
    nothing = np.zeros(n_regions)
    largest = np.zeros(n_regions)
    for t in range(n_frames):
        _move_window(x[t], x[t - window] if t >= window else nothing, sums, products)
        for i in range(n_regions):
            largest[i] = max(largest[i], products[i, i])
        if t < window - 1 or (t - window + 1) % step != 0:
            continue
        size = sizes[(t - window + 1) // step]
        if size == 0:
            continue
        w += 1
        for i in range(n_regions):
            variance = products[i, i] - sums[i] * sums[i] / size
            if not variance > _LOST * largest[i]:
                return False
            inverse[i] = 1.0 / np.sqrt(variance)
        k = (w // LANES) * (n_regions * (n_regions - 1) // 2) * LANES + w % LANES
        for i in range(n_regions):
            row = products[i]
            mean_i = sums[i] / size
            inverse_i = inverse[i]
            for j in range(i + 1, n_regions):
                panels[k] = _f((row[j] - mean_i * sums[j]) * inverse_i * inverse[j])
                k += LANES
        if w % LANES == LANES - 1 or w == n_windows - 1:
            _centre_and_scale(panels, w // LANES, n_regions * (n_regions - 1) // 2)
    return True


@kernel
def _centre_and_scale(panels, panel, n_pairs):
    """Mean 0 and length 1 over the pairs, for each window of a panel; sums of `_PAIRS` are added up, to round less."""
    first = panel * n_pairs * LANES
    last = first + n_pairs * LANES
    total = floats(_f(0.0))
    for start in range(first, last, _PAIRS * LANES):
        part = floats(_f(0.0))
        for k in range(start, min(start + _PAIRS * LANES, last), LANES):
            part = part + load(panels, k)
        total = total + part
    centre = total * _f(1.0 / n_pairs)
    square = floats(_f(0.0))
    for start in range(first, last, _PAIRS * LANES):
        part = floats(_f(0.0))
        for k in range(start, min(start + _PAIRS * LANES, last), LANES):
            deviation = load(panels, k) - centre
            store(panels, k, deviation)
            part = part + deviation * deviation
        square = square + part
    scale = _f(1.0) / square_root(square)
    for k in range(first, last, LANES):
        store(panels, k, load(panels, k) * scale)


@kernel
def _add_products(panels, left, right, n_pairs, tile, offset):
    """Add to `_ROWS` rows of the tile the products over some pairs, summed apart first: fewer roundings."""
    a = floats(_f(0.0))
    b = a
    c = a
    d = a
    for k in range(n_pairs):
        y = load(panels, right + k * LANES)
        at = np.uintp(left + k * LANES)  # unsigned: no index from the end
        a = a + y * panels[at]
        b = b + y * panels[at + np.uintp(1)]
        c = c + y * panels[at + np.uintp(2)]
        d = d + y * panels[at + np.uintp(3)]
    store(tile, offset, load(tile, offset) + a)
    store(tile, offset + LANES, load(tile, offset + LANES) + b)
    store(tile, offset + 2 * LANES, load(tile, offset + 2 * LANES) + c)
    store(tile, offset + 3 * LANES, load(tile, offset + 3 * LANES) + d)


@kernel
def _count_products(panels, n_windows, n_pairs, counts):
    """Count the inner products of all pairs of different windows, tile of LANES x LANES windows by tile."""
    n_bins = len(counts)
    n_panels = (n_windows + LANES - 1) // LANES
    panel_size = n_pairs * LANES
    tile = np.empty(LANES * LANES, np.float32)
    for column in range(n_panels):
        for row in range(column + 1):
            tile[:] = _f(0.0)
            for first in range(0, n_pairs, _PAIRS):
                last = min(first + _PAIRS, n_pairs)
                for r in range(0, LANES, _ROWS):
                    _add_products(
                        panels,
                        row * panel_size + first * LANES + r,
                        column * panel_size + first * LANES,
                        last - first,
                        tile,
                        r * LANES,
                    )
            for r in range(LANES):
                for lane in range(LANES):
                    if row * LANES + r < column * LANES + lane < n_windows:
                        k = int((np.float64(tile[r * LANES + lane]) + 1.0) * (0.5 * n_bins))
                        counts[max(0, min(k, n_bins - 1))] += 1
