"""FC and FCD of BOLD that lies on a GPU, computed there."""

from __future__ import annotations

import torch
from torch import Tensor

from mfm.compute.machine import free_memory, interpreting, on
from mfm.errors import BackendError

# Windows and region pairs in a tile of products, and regions in a tile of correlations.
_WINDOW_TILE, _PAIR_DEPTH, _REGION_TILE, _FRAME_DEPTH = 128, 64, 64, 32

# Share of the free memory that the windows' patterns may take.
_MEMORY_SHARE = 0.5

# The most runs in one launch: a grid's first dimension has room, temporary results need not.
_RUNS = 1024


def fcd_cdf_on_device(
    runs: Tensor, window_frames: int, n_bins: int, step_frames: int, pattern_bytes: int | None = None
) -> Tensor:
    """CDF of the FCD matrix of each run (R, T, N), float64, (R, n_bins); all NaN for a run that has no FCD.

    Runs are taken together as far as `pattern_bytes` (default half of the free memory) hold their windows' patterns; where
    one run alone does not fit, pairs of blocks of its windows are. Counts are whole numbers: the result depends on neither.
    """
    R, T, N = runs.shape
    n_windows = (T - window_frames) // step_frames + 1
    n_pairs = N * (N - 1) // 2
    budget = pattern_bytes or (int(_MEMORY_SHARE * free_memory(runs.device)) if runs.is_cuda else 2**28)
    # Correlations in float32, and the same split into halves of half precision.
    bytes_per_window = 4 * n_pairs + 4 * _padded(n_pairs) + 16 * (-(-N // _REGION_TILE)) ** 2
    together = min(_RUNS, budget // (bytes_per_window * n_windows))
    block = n_windows if together else min(n_windows, budget // (2 * bytes_per_window))
    if block < min(n_windows, _WINDOW_TILE) and pattern_bytes is None:
        raise BackendError(
            "The GPU has too little free memory for functional connectivity dynamics.",
            expected=f"{2 * _WINDOW_TILE * bytes_per_window / _MEMORY_SHARE / 2**30:.2f} GiB for {N} regions",
            found=f"{budget / _MEMORY_SHARE / 2**30:.2f} GiB free",
            fix="free the GPU's memory, or give bold.cpu()",
        )
    counts = torch.zeros((R, n_bins), dtype=torch.int32, device=runs.device)
    valid = torch.ones(R, dtype=torch.bool, device=runs.device)
    with on(runs.device):
        for first in range(0, R, max(1, together)):
            part = slice(first, first + max(1, together))
            x = runs[part].float().contiguous()
            for a in range(0, n_windows, block):
                left, finite = _patterns(x, window_frames, step_frames, a, min(block, n_windows - a))
                valid[part] &= finite
                for b in range(a, n_windows, block):
                    right = left if b == a else _patterns(x, window_frames, step_frames, b, min(block, n_windows - b))[0]
                    _count(left, a, right, b, counts[part])
    cdf = counts.cumsum(dim=1, dtype=torch.float64)
    return (cdf / cdf[:, -1:]).masked_fill(~valid[:, None], float("nan"))


def _window_tile(device: torch.device) -> int:
    if interpreting():
        return 16
    # Three stages of four tiles are 192 KB of shared memory (B200 has as much, but Triton wants 240 KB there).
    return _WINDOW_TILE if torch.cuda.get_device_capability(device)[0] == 9 else 64


def _padded(n_pairs: int) -> int:
    return -(-n_pairs // _PAIR_DEPTH) * _PAIR_DEPTH


def _patterns(x: Tensor, window: int, step: int, first: int, n_windows: int) -> tuple[Tensor, Tensor]:
    """FC of some windows as centred unit vectors, split (2, R, W, P padded), and whether all of a run's are finite (R,)."""
    from mfm.statistics.fcd_triton import split_patterns, window_correlations

    R, T, N = x.shape
    n_pairs = N * (N - 1) // 2
    tile = 16 if interpreting() else _REGION_TILE
    n_tiles = -(-N // tile)
    patterns = torch.empty((R, n_windows, n_pairs), dtype=torch.float32, device=x.device)
    moments = torch.zeros((R, n_windows, n_tiles, n_tiles, 2), dtype=torch.float64, device=x.device)
    window_correlations[(R * n_windows, n_tiles, n_tiles)](
        x, patterns, moments, N, T, n_windows, n_pairs, first, window, step, DEPTH=_FRAME_DEPTH, TILE=tile, num_warps=4
    )
    total, square = moments.sum(dim=(2, 3)).unbind(dim=-1)
    mean = total / n_pairs
    scaling = torch.stack([mean, (square - total * mean).rsqrt()], dim=-1).float()
    split = torch.empty((2, R, n_windows, _padded(n_pairs)), dtype=torch.float16, device=x.device)
    split_patterns[(R * n_windows,)](
        patterns, scaling, split, R * n_windows, n_pairs, _padded(n_pairs), BLOCK=1024, num_warps=4
    )
    return split, torch.isfinite(scaling).all(dim=-1).all(dim=-1)


def _count(left: Tensor, a: int, right: Tensor, b: int, counts: Tensor) -> None:
    """Add the products of left windows (from number a) and later right ones (from b) to the histograms."""
    from mfm.statistics.fcd_triton import count_products

    _, R, n_left, n_padded = left.shape
    n_right = right.shape[2]
    tile = _window_tile(left.device)
    grid = (R, -(-n_left // tile), -(-n_right // tile))
    count_products[grid](
        left, right, counts, R * n_left, R * n_right, n_left, n_right, a, b, n_padded, counts.shape[1],
        DEPTH=_PAIR_DEPTH, TILE=tile, num_warps=4 if tile < 128 else 8, num_stages=2 if tile < 128 else 3,
    )  # fmt: skip
