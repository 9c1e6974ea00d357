"""The FCD distribution with gradients: the same windows and correlations, counted by a smooth step instead of a histogram."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mfm.checks import as_float_tensor
from mfm.statistics.fcd import least_frames

# Points at which smooth CDFs are compared, and the width of the step that counts an FCD entry: the spread of one realisation's
# CDF against another's is about 0.1, so that a width of 0.02 blurs nothing that is known.
_POINTS = 100
_WIDTH = 0.02

# Softness of the largest distance, in units of the CDF.
_SOFTNESS = 0.02


def soft_fcd_cdf(bold: Tensor, window_frames: int, step_frames: int = 10, kept: np.ndarray | None = None) -> Tensor:
    """CDF of the FCD matrix at 100 points of [-1, 1], differentiable in BOLD.

    Parameters
    ----------
    bold : tensor, (..., T, N)
        Each leading index is one run.
    window_frames : int, default 83
    step_frames : int, default 10
        Frames from one window to the next.
    kept : array of bool, (T,), optional
        As in `mfm.fcd_cdf`.

    Returns
    -------
    tensor of float32, (..., 100)
        The CDF of `mfm.fcd_cdf` convolved with a logistic density of scale 0.02.

    Examples
    --------
    >>> import torch
    >>> from mfm.statistics.soft_fcd import soft_fcd_cdf
    >>> cdf = soft_fcd_cdf(torch.randn(2, 200, 5), window_frames=50)
    >>> cdf.shape, bool((cdf.diff() >= 0).all())
    (torch.Size([2, 100]), True)
    """
    runs = bold.reshape(-1, *bold.shape[-2:]).float()
    return torch.stack([_one_run(run, window_frames, step_frames, kept) for run in runs]).reshape(*bold.shape[:-2], _POINTS)


def soft_cdf_of_target(fcd_cdf) -> Tensor:
    """A CDF on equal bins of [-1, 1], (K,), blurred as `soft_fcd_cdf` blurs: float32, (100,)."""
    cdf = as_float_tensor(fcd_cdf, "FCD CDF").double()
    share = torch.diff(cdf, prepend=cdf.new_zeros(1))
    centre = (torch.arange(len(cdf), dtype=torch.float64) + 0.5) * (2 / len(cdf)) - 1
    return (torch.sigmoid((_points()[:, None].double() - centre) / _WIDTH) @ share).float()


def soft_kolmogorov_smirnov(cdf: Tensor, other: Tensor) -> Tensor:
    """Largest distance of CDFs (..., K) and (K,), softened: a mean in which distances near the largest weigh most.

    Below the true maximum by less than 0.02, and differentiable everywhere.
    """
    distance = ((cdf - other) ** 2 + 1e-8).sqrt()
    return (distance * torch.softmax(distance / _SOFTNESS, dim=-1)).sum(dim=-1)


def _points() -> Tensor:
    return (torch.arange(_POINTS) + 0.5) * (2 / _POINTS) - 1


def _one_run(run: Tensor, window_frames: int, step_frames: int, kept: np.ndarray | None) -> Tensor:
    windows = run.unfold(0, window_frames, step_frames)  # (W, N, w)
    if kept is None or kept.all():
        windows = windows - windows.mean(dim=-1, keepdim=True)
    else:
        masks = torch.from_numpy(kept).unfold(0, window_frames, step_frames)  # (W, w)
        full = masks.sum(dim=1) >= least_frames(window_frames)
        windows, counts = windows[full], masks[full][:, None].to(run)
        windows = (windows - (windows * counts).sum(dim=-1, keepdim=True) / counts.sum(dim=-1, keepdim=True)) * counts
    windows = windows / windows.norm(dim=-1, keepdim=True)
    i, j = torch.triu_indices(run.shape[1], run.shape[1], offset=1)
    fc = torch.bmm(windows, windows.mT).flatten(1)[:, i * run.shape[1] + j]
    fc = fc - fc.mean(dim=1, keepdim=True)
    fc = fc / fc.norm(dim=1, keepdim=True)
    W = len(fc)
    i, j = torch.triu_indices(W, W, offset=1)
    entries = (fc @ fc.mT).flatten()[i * W + j]
    return torch.sigmoid((_points()[:, None] - entries) / _WIDTH).mean(dim=1)
