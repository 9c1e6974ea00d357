"""What a scan is fitted to: empirical FC and FCD distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mfm.brain.connectome import check_labels, check_square
from mfm.checks import as_float_tensor
from mfm.errors import InputError


@dataclass(frozen=True, eq=False)
class Target:
    """Empirical FC and FCD distribution.

    Parameters
    ----------
    fc : array or tensor, (N, N)
        Pearson correlations, symmetric, diagonal 1.
    fcd_cdf : array or tensor, (K,)
        CDF of the FCD matrix on K equal bins of [-1, 1]; non-decreasing, ending in 1.
    labels : sequence of str, optional
        Names of the regions.

    Raises
    ------
    InputError
        If FC is not a correlation matrix (NaN, outside [-1, 1], Fisher z, asymmetric), or the CDF decreases (a histogram)
        or does not end in 1 (counts; `mfm.io.read_fcd_cdf` normalises those).

    Examples
    --------
    >>> import mfm, torch
    >>> run = torch.randn(300, 10)
    >>> mfm.Target(mfm.functional_connectivity(run), mfm.fcd_cdf(run, tr_s=0.72)).n_regions
    10
    """

    fc: Tensor
    fcd_cdf: Tensor
    labels: Sequence[str] | None = None

    def __post_init__(self):
        fc = as_float_tensor(self.fc, "FC").detach().cpu().double().clone()
        if fc.ndim == 2 and len(fc) == fc.shape[1]:
            _check_correlations(fc)
        check_square(fc.numpy(), "FC")
        if (fc - fc.mT).abs().max() > 1e-5:
            raise InputError(
                "FC is not symmetric.",
                found=f"FC[i, j] and FC[j, i] differ by up to {(fc - fc.mT).abs().max():.3g}",
                cause="only one triangle was saved, or rows and columns are in different orders",
                fix="save the full symmetric matrix",
            )
        object.__setattr__(self, "fc", fc)
        object.__setattr__(self, "fcd_cdf", check_fcd_cdf(self.fcd_cdf))
        object.__setattr__(self, "labels", check_labels(self.labels, len(fc), "FC"))

    @property
    def n_regions(self) -> int:
        return len(self.fc)


def _check_correlations(fc: Tensor) -> None:
    """Raise an InputError if a square matrix holds something other than correlations; NaN is not judged here."""
    diagonal, tolerance = fc.diagonal(), 1e-6
    one = (diagonal - 1).abs() <= tolerance
    if torch.isnan(fc).any() or (one.all() and (fc.abs() <= 1 + tolerance).all()):
        return
    fisher_z = (torch.isinf(diagonal) | (diagonal > 1.5) | (diagonal == 0)).all() or (fc.abs() > 1 + tolerance).any()
    raise InputError(
        "FC is not a matrix of correlations.",
        expected="values in [-1, 1] and ones on the diagonal",
        found=f"values in [{fc.min():.3g}, {fc.max():.3g}], diagonal from {diagonal.min():.3g} to {diagonal.max():.3g}",
        cause="FC was saved as Fisher z" if fisher_z else "a covariance matrix, or a diagonal that was overwritten",
        fix="save tanh(z), with ones on the diagonal" if fisher_z else "save correlations, with ones on the diagonal",
    )


def check_fcd_cdf(cdf) -> Tensor:
    """The FCD CDF as float64 (K,), or an InputError that says why it is none."""
    cdf = as_float_tensor(cdf, "FCD CDF").detach().cpu().double().reshape(-1).clone()
    if not torch.isfinite(cdf).all() or len(cdf) < 2:
        raise InputError("The FCD CDF has entries that are not finite, or fewer than two.", found=f"{len(cdf)} entries")
    if cdf[0] < 0:
        raise InputError("The FCD CDF has negative entries.", found=f"first value {cdf[0]:g}", expected="values from 0 to 1")
    if (cdf.diff() < -1e-9).any():
        raise InputError(
            "The FCD CDF decreases.",
            expected="a cumulative distribution: non-decreasing from 0 to 1",
            found=f"{int((cdf.diff() < 0).sum())} decreasing steps",
            cause="a histogram or a density was given",
            fix="give numpy.cumsum(histogram) / numpy.sum(histogram)",
        )
    if abs(cdf[-1].item() - 1) > 1e-6:
        raise InputError(
            "The FCD CDF does not end in 1.",
            found=f"last value {cdf[-1]:g}",
            cause="cumulative counts" if cdf[-1] > 1 else "a truncated distribution",
            fix="divide by the last value (mfm.io.read_fcd_cdf does)",
        )
    return cdf
