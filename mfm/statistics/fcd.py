"""Functional connectivity dynamics: how alike the FC of any two moments is, as a distribution."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from mfm.compute.machine import available_cores, why_not
from mfm.errors import InputError
from mfm.protocol import FCD_WINDOW_S, check_timing, fcd_window_frames
from mfm.statistics.device import fcd_cdf_on_device
from mfm.statistics.fc import as_bold

# Windows whose correlations with all others are held at a time, in the float64 path.
_ROWS_AT_A_TIME = 128


def fcd_cdf(
    bold,
    window_frames: int | None = None,
    n_bins: int = 10000,
    n_threads: int | None = None,
    step_frames: int = 1,
    *,
    tr_s: float | None = None,
    kept: np.ndarray | None = None,
) -> Tensor:
    """Cumulative distribution of the FCD matrix.

    FC in windows of ``window_frames``, one every ``step_frames``; Pearson correlation between the upper triangles of any two
    windows; the upper triangle of that matrix as a histogram of ``n_bins`` on [-1, 1], cumulated and divided by its total
    (Hansen et al. 2015; Kong et al. 2021; Zhang et al. 2024).

    Parameters
    ----------
    bold : array or tensor, (..., T, N)
        Each leading index is one run; windows never cross runs. T must cover two windows.
    window_frames : int
        Length of a window in frames, where `tr_s` does not tell it; see `Protocol.window_frames`.
    n_bins : int, default 10000
    n_threads : int, optional
        Threads over runs; default the cores this process may use.
    step_frames : int, default 1
        Frames from one window to the next. Neighbouring windows are nearly alike: 5 changes the CDF by less than 0.005 at
        1200 frames, and takes a fifth of the time.
    tr_s : float
        Repetition time in seconds, for windows of 60 s. Either this or `window_frames` must be given: windows of a fixed number
        of frames last otherwise at another TR, and the distribution with them.
    kept : array of bool, (T,), optional
        Frames that count; the others, lost to motion, may hold anything. A window spans ``window_frames`` of acquired time,
        and is left out where fewer than half of its frames count.

    Returns
    -------
    tensor of float64, (..., n_bins)
        All NaN for a run in which a region is not finite, or constant in some window.

    Raises
    ------
    InputError
        If the length of the windows is not told, or twice; the run is shorter than two windows, there are fewer than three
        regions, or ``window_frames``, ``n_bins`` or ``step_frames`` is out of range.

    Notes
    -----
    float64 input is computed in float64, and its counts are those of `numpy.histogram`. float32 input (what the numba backend
    returns) goes through a compiled kernel in float32, whose CDF differs by less than 1e-5 (at 1200 frames;
    by a count or two in a short run). Memory is one run's
    windows (10 MB at 1200 frames and 68 regions in float32) per thread, whatever the batch. float32 input on a GPU stays
    there, as does the result: tensor cores on split factors, the same error, as many runs at a time as half of the free memory
    holds.

    Examples
    --------
    >>> import mfm, torch
    >>> mfm.fcd_cdf(torch.randn(200, 5), tr_s=2.0)[-1].item()
    1.0
    """
    bold = as_bold(bold).detach()
    T, N = bold.shape[-2:]
    window_frames = _window(window_frames, tr_s)
    if not isinstance(window_frames, int) or window_frames < 3:
        raise InputError("window_frames must be a whole number of at least 3.", found=repr(window_frames))
    if not isinstance(n_bins, int) or n_bins < 1:
        raise InputError("n_bins must be a positive whole number.", found=repr(n_bins))
    if not isinstance(step_frames, int) or not 1 <= step_frames <= window_frames:
        raise InputError("step_frames must be a whole number from 1 to window_frames.", found=repr(step_frames))
    if 2 * window_frames > T:
        raise InputError(
            "The run is too short for functional connectivity dynamics.",
            expected=f"at least two windows, {2 * window_frames} frames",
            found=f"{T} frames",
            cause="a short scan, or regions x time instead of time x regions",
            fix="use longer runs, or transpose the array",
        )
    if N < 3:
        raise InputError("FCD needs at least three regions.", found=f"{N} regions")
    kept = None if kept is None else _checked_mask(kept, T, window_frames, step_frames)
    if bold.is_cuda and bold.dtype == torch.float32 and kept is None and why_not() is None:
        on_device = fcd_cdf_on_device(bold.reshape(-1, T, N), window_frames, n_bins, step_frames)
        return on_device.reshape(*bold.shape[:-2], n_bins)
    device, bold = bold.device, bold.cpu()
    runs = bold.reshape(-1, T, N).numpy()
    one_run = _cdf_float32 if bold.dtype == torch.float32 else _cdf_float64
    cdf = np.empty((len(runs), n_bins))
    with ThreadPoolExecutor(max_workers=n_threads or available_cores()) as pool:
        for k, result in enumerate(pool.map(lambda run: one_run(run, window_frames, n_bins, step_frames, kept), runs)):
            cdf[k] = result
    return torch.from_numpy(cdf).reshape(*bold.shape[:-2], n_bins).to(device)


def _window(window_frames: int | None, tr_s: float | None) -> int:
    """Frames of a window, which one of the two tells."""
    if window_frames is None and tr_s is None:
        raise InputError(
            "How long the windows of functional connectivity dynamics last is not told.",
            expected=f"the repetition time, for windows of {FCD_WINDOW_S:g} s, or a number of frames",
            found="neither `tr_s` nor `window_frames`",
            fix="`tr_s=0.72` with your repetition time in seconds, or `window_frames=protocol.window_frames`",
        )
    if window_frames is not None and tr_s is not None:
        raise InputError(
            "The length of the windows is told twice.",
            expected="`tr_s` or `window_frames`",
            found=f"tr_s = {tr_s!r} and window_frames = {window_frames!r}",
        )
    if tr_s is None:
        assert window_frames is not None
        return window_frames
    check_timing(tr_s)
    return fcd_window_frames(tr_s)


def least_frames(window_frames: int) -> int:
    """Frames that a window must have to count: half of it."""
    return max(3, math.ceil(window_frames / 2))


def _checked_mask(kept, n_frames: int, window_frames: int, step_frames: int) -> np.ndarray | None:
    """The mask, or None where it keeps every frame."""
    kept = np.asarray(kept, dtype=bool)
    if kept.shape != (n_frames,):
        raise InputError("The mask of kept frames is not that of the run.", expected=f"({n_frames},)", found=str(kept.shape))
    if kept.all():
        return None
    sizes = np.lib.stride_tricks.sliding_window_view(kept, window_frames)[::step_frames].sum(axis=1)
    full = sizes >= least_frames(window_frames)
    if full.sum() < 2:
        raise InputError(
            "Too few windows have frames enough for functional connectivity dynamics.",
            expected=f"at least two windows with {least_frames(window_frames)} of {window_frames} frames",
            found=f"{int(full.sum())} windows; {int(kept.sum())} of {n_frames} frames were kept",
        )
    return kept


def _cdf_float64(
    run: np.ndarray, window_frames: int, n_bins: int, step_frames: int, kept: np.ndarray | None = None
) -> np.ndarray:
    """The definition, in float64."""
    if not np.isfinite(run if kept is None else run[kept]).all():
        return np.full(n_bins, np.nan)
    x = np.lib.stride_tricks.sliding_window_view(run.astype(np.float64), window_frames, axis=0)[::step_frames]  # (W, N, w)
    i, j = np.triu_indices(run.shape[1], k=1)
    windows = np.empty((len(x), len(i)))
    counted = np.ones(len(run), bool) if kept is None else kept
    masks = np.lib.stride_tricks.sliding_window_view(counted, window_frames)[::step_frames]
    used = masks.sum(axis=1) >= (0 if kept is None else least_frames(window_frames))
    windows = windows[: used.sum()]
    for w, (window, mask) in enumerate(zip(x[used], masks[used], strict=True)):
        window = window[:, mask]
        deviation = window - window.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(deviation, axis=1, keepdims=True)
        if (norm <= 1e-12 * np.abs(window).max(axis=1, keepdims=True)).any():
            return np.full(n_bins, np.nan)
        deviation /= norm
        windows[w] = (deviation @ deviation.T)[i, j]
    windows -= windows.mean(axis=1, keepdims=True)
    windows /= np.linalg.norm(windows, axis=1, keepdims=True)
    counts = np.zeros(n_bins, np.int64)
    for first in range(0, len(windows), _ROWS_AT_A_TIME):
        block = windows[first : first + _ROWS_AT_A_TIME] @ windows[first:].T
        rows, columns = np.triu_indices(len(block), k=1, m=block.shape[1])
        counts += np.histogram(block[rows, columns].clip(-1, 1), bins=n_bins, range=(-1, 1))[0]
    cdf = np.cumsum(counts)
    return cdf / cdf[-1]


def _cdf_float32(
    run: np.ndarray, window_frames: int, n_bins: int, step_frames: int, kept: np.ndarray | None = None
) -> np.ndarray:
    from mfm.statistics.fcd_kernel import fcd_counts

    counts = fcd_counts(run, window_frames, n_bins, step_frames, kept, least_frames(window_frames))
    if counts is None:
        return _cdf_float64(run, window_frames, n_bins, step_frames, kept)
    cdf = np.cumsum(counts)
    return cdf / cdf[-1]
