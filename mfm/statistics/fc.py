"""Static functional connectivity."""

from __future__ import annotations

import torch
from torch import Tensor

from mfm.checks import as_float_tensor
from mfm.errors import InputError

# Runs in one product on a GPU.
_RUNS_ON_GPU = 32


def functional_connectivity(bold) -> Tensor:
    """Pearson correlation of the regions' time series.

    Parameters
    ----------
    bold : array or tensor, (..., T, N)
        Each leading index is one run; runs are never joined.

    Returns
    -------
    tensor of float64, (..., N, N)
        NaN in the rows and columns of a constant or non-finite region. Differentiable.

    Raises
    ------
    InputError
        If there are fewer than two frames or two regions, or `bold` is not real-valued.

    Examples
    --------
    >>> import mfm, torch
    >>> mfm.functional_connectivity(torch.randn(3, 100, 5)).shape
    torch.Size([3, 5, 5])
    """
    bold = as_bold(bold)
    flat = bold.reshape(-1, *bold.shape[-2:])
    # A fixed number of runs at a time: a batched product rounds differently in batches of different size.
    at_a_time = _RUNS_ON_GPU if bold.is_cuda else 1
    fc = torch.cat([_correlation_of(flat[k : k + at_a_time], at_a_time) for k in range(0, len(flat), at_a_time)])
    return fc.reshape(*bold.shape[:-2], bold.shape[-1], bold.shape[-1])


def as_bold(bold) -> Tensor:
    """`bold` as a floating tensor of at least two frames and two regions."""
    bold = as_float_tensor(bold, "bold")
    if bold.ndim < 2 or bold.shape[-2] < 2 or bold.shape[-1] < 2:
        raise InputError(
            "BOLD has the wrong shape.",
            expected="(..., T, N): frames by regions, at least two of each",
            found=str(tuple(bold.shape)),
        )
    return bold


def upper_triangle(matrix: Tensor) -> Tensor:
    """The strict upper triangle of matrices, row by row.

    Parameters
    ----------
    matrix : tensor, (..., N, N)

    Returns
    -------
    tensor, (..., N (N - 1) / 2)

    Examples
    --------
    >>> import mfm, torch
    >>> mfm.upper_triangle(torch.arange(9).reshape(3, 3)).tolist()
    [1, 2, 5]
    """
    rows, columns = matrix.shape[-2:]
    i, j = torch.triu_indices(rows, columns, offset=1, device=matrix.device)
    return matrix[..., i, j]


def fisher_mean(fc, dim: int = 0) -> Tensor:
    """Mean of correlations as Fisher z over one dimension: tanh(mean(arctanh(r))).

    Correlations of +-1 (the diagonal) are kept just inside the open interval and returned as +-1 where all of them are.

    Parameters
    ----------
    fc : array or tensor
        Correlations of any shape, for example (R, N, N).
    dim : int, default 0
        The dimension that is averaged, for example that of runs.

    Returns
    -------
    tensor
        The shape of `fc` without dimension `dim`.

    Raises
    ------
    InputError
        If `fc` is not real-valued.

    Examples
    --------
    >>> import mfm
    >>> mfm.fisher_mean([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.8], [0.8, 1.0]]]).round(decimals=6).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    fc = as_float_tensor(fc, "FC")
    largest = 1 - torch.finfo(fc.dtype).eps
    mean = torch.tanh(torch.arctanh(fc.clamp(-largest, largest)).mean(dim=dim))
    exact = (fc.abs() >= largest).all(dim=dim)
    return torch.where(exact, fc.mean(dim=dim).sign(), mean)


def _correlation_of(runs: Tensor, at_a_time: int) -> Tensor:
    """FC of up to `at_a_time` runs, in a batch of exactly that many."""
    missing = at_a_time - len(runs)
    padded = torch.cat([runs, runs[-1:].expand(missing, -1, -1)]) if missing else runs
    return _correlation(padded.double())[: len(runs)]


def _correlation(x: Tensor) -> Tensor:
    # A constant region has no correlation; its mean's round-off would give it one.
    constant = (x.amax(dim=-2, keepdim=True) == x.amin(dim=-2, keepdim=True)).detach()
    x = (x - x.mean(dim=-2, keepdim=True)).masked_fill(constant, float("nan"))
    # The largest deviation first, so that squares neither overflow nor vanish whatever the unit.
    x = x / x.abs().amax(dim=-2, keepdim=True)
    x = x / x.norm(dim=-2, keepdim=True)
    return x.mT @ x


def square_matrix(upper: Tensor) -> Tensor:
    """Symmetric matrices with ones on the diagonal from their upper triangles (..., P)."""
    n = round((1 + (1 + 8 * upper.shape[-1]) ** 0.5) / 2)
    matrix = torch.eye(n, dtype=upper.dtype).expand(*upper.shape[:-1], n, n).clone()
    i, j = torch.triu_indices(n, n, offset=1)
    matrix[..., i, j] = upper
    matrix[..., j, i] = upper
    return matrix
