"""The cost of a simulated scan against what it is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mfm.brain.connectome import check_labels, check_square
from mfm.checks import as_float_tensor
from mfm.errors import InputError
from mfm.statistics.fc import upper_triangle


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
    >>> mfm.Target(mfm.functional_connectivity(run), mfm.fcd_cdf(run)).n_regions
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


@dataclass(frozen=True, eq=False)
class Cost:
    """Terms of the cost, each (B,); NaN where a candidate's statistics are.

    Attributes
    ----------
    corr : tensor, (B,)
        1 - Pearson correlation of the upper triangles of simulated and empirical FC.
    mean_diff : tensor, (B,)
        ``|mean FC_sim - mean FC_emp|`` over the upper triangles (called L1 in the papers' tables).
    ks : tensor, (B,)
        Kolmogorov-Smirnov distance of the FCD distributions.

    Examples
    --------
    >>> import mfm, torch
    >>> mfm.Cost(corr=torch.tensor([0.5]), mean_diff=torch.tensor([0.25]), ks=torch.tensor([0.125])).total.item()
    0.875
    """

    corr: Tensor
    mean_diff: Tensor
    ks: Tensor

    @property
    def total(self) -> Tensor:
        """The sum of the three terms (Zhang et al. 2024)."""
        return self.corr + self.mean_diff + self.ks


def cost(fc, fcd_cdf, target: Target) -> Cost:
    """Cost of simulated statistics against a target (Zhang et al. 2024).

    Parameters
    ----------
    fc : array or tensor, (B, N, N) or (N, N)
    fcd_cdf : array or tensor, (B, K) or (K,)
    target : Target

    Returns
    -------
    Cost
        Terms of shape (B,).

    Raises
    ------
    InputError
        If FC has other regions than the target, the FCD CDFs other bins, or FC and FCD different numbers of candidates.

    Examples
    --------
    >>> import mfm, torch
    >>> run = torch.randn(300, 10)
    >>> fc, cdf = mfm.functional_connectivity(run), mfm.fcd_cdf(run)
    >>> abs(mfm.cost(fc, cdf, mfm.Target(fc, cdf)).total.item()) < 1e-9
    True
    """
    fc = as_float_tensor(fc, "FC").double()
    fc = fc[None] if fc.ndim == 2 else fc
    cdf = as_float_tensor(fcd_cdf, "FCD CDF").double()
    cdf = cdf[None] if cdf.ndim == 1 else cdf
    N = target.n_regions
    if fc.ndim != 3 or fc.shape[1:] != (N, N):
        raise InputError(
            "Simulated and empirical FC do not fit.", expected=f"(B, {N}, {N}), as the target", found=str(tuple(fc.shape))
        )
    if cdf.ndim != 2 or len(cdf) != len(fc):
        raise InputError(
            "FC and FCD are of different candidates.", expected=f"({len(fc)}, K) FCD CDFs", found=str(tuple(cdf.shape))
        )
    simulated = upper_triangle(fc)
    empirical = upper_triangle(target.fc.to(fc.device))
    # Row by row: sums over a batch round differently in batches of different size.
    mean_simulated = torch.stack([row.mean() for row in simulated])
    x = simulated - mean_simulated[:, None]
    y = empirical - empirical.mean()
    # A constant FC correlates with nothing; round-off would let it.
    constant = (x.abs().amax(dim=-1) <= 1e-14) | (y.abs().amax() <= 1e-14)
    r = torch.stack([(row @ y) / (row.norm() * y.norm()) for row in x]).masked_fill(constant, float("nan"))
    return Cost(1 - r, (mean_simulated - empirical.mean()).abs(), kolmogorov_smirnov(cdf, target.fcd_cdf))


def attenuated(cost: Cost, fc: Tensor, variance: Tensor, n_repeats: int) -> Cost:
    """The cost that the mean FC of `n_repeats` scans will have: sampling noise lowers its correlation with any target.

    Parameters
    ----------
    cost : Cost
        Of the expected FC, (B,).
    fc : tensor, (B, N, N)
        The expected FC.
    variance : tensor, (B,)
        `LinearResponse.fc_sampling_variance`: of a correlation, from one scan to the next.
    n_repeats : int

    Returns
    -------
    Cost
        Its ``corr`` is ``1 - r sqrt(v / (v + variance / n_repeats))``, v the variance of FC over pairs of regions.

    Examples
    --------
    >>> import mfm, torch
    >>> fc = torch.tensor([[[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]]])
    >>> cost = mfm.Cost(torch.tensor([0.5]), torch.tensor([0.0]), torch.tensor([0.1]))
    >>> round(float(mfm.attenuated(cost, fc, torch.tensor([0.04]), 1).corr), 3)
    0.646
    """
    spread = upper_triangle(fc).var(dim=1)
    share = (spread / (spread + variance.to(spread) / n_repeats)).sqrt()
    return Cost(1 - (1 - cost.corr) * share, cost.mean_diff, cost.ks)


def kolmogorov_smirnov(cdf, other) -> Tensor:
    """Kolmogorov-Smirnov distance: the largest distance of CDFs on the same bins.

    Parameters
    ----------
    cdf : array or tensor, (..., K)
    other : array or tensor, (K,)

    Returns
    -------
    tensor, (...)
        From 0 to 1; NaN where `cdf` holds NaN.

    Raises
    ------
    InputError
        If the numbers of bins differ.

    Examples
    --------
    >>> import mfm
    >>> mfm.kolmogorov_smirnov([[0.0, 0.5, 1.0], [0.25, 0.75, 1.0]], [0.0, 0.25, 1.0]).tolist()
    [0.25, 0.5]
    """
    cdf, other = as_float_tensor(cdf, "FCD CDF"), as_float_tensor(other, "FCD CDF")
    if cdf.shape[-1] != other.shape[-1]:
        raise InputError(
            "FCD distributions on different bins cannot be compared.",
            expected=f"{other.shape[-1]} bins, as in the target",
            found=f"{cdf.shape[-1]}",
            fix=f"compute the simulated FCD with n_bins={other.shape[-1]}",
        )
    return (cdf - other.to(cdf.device)).abs().amax(dim=-1)
