"""FCD distributions from files: a CDF, or the cumulative counts that published code saves."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np

from mfm.errors import InputError, InputNote
from mfm.io.formats.arrays import check_byte_order
from mfm.io.formats.format import Content, Request
from mfm.io.formats.registry import read_file
from mfm.statistics.target import check_fcd_cdf


def read_fcd_cdf(path: str | Path, n_windows: int | None = None) -> np.ndarray:
    """Read an FCD CDF, (K,), from one column or row of a text file or npy, or the only vector of an npz or mat file.

    Parameters
    ----------
    path : path
    n_windows : int, optional
        Sliding windows of the scan, against whose pairs cumulative counts are checked. A normalised CDF does not tell them.

    Raises
    ------
    InputError
        If it is no distribution, or was counted over another number of windows.

    Warns
    -----
    InputNote
        If it holds cumulative counts, which are normalised.
    """
    return fcd_cdf_of(read_vector(path, "FCD CDF"), path, n_windows)


def read_vector(path: str | Path, what: str) -> np.ndarray:
    """Read one column or row of numbers, (K,)."""
    content = read_file(path, what, Request("vector"))
    values = content.table() if content.is_one_array else _only_vector(content, what)
    if min(values.shape) != 1:
        cause, fix = "several distributions in one file", "give a file with one column"
        if values.shape[0] == values.shape[1]:
            cause, fix = "the FCD matrix, or an FC", "give the CDF of the FCD matrix, or time series in place of both"
        elif values.shape[1] == 2 and (np.diff(values[:, 0]) > 0).all():
            cause, fix = "an index or the edges of the bins beside the CDF", "save the column of the CDF alone (index=False)"
        raise InputError(
            f"{path} is not an {what}.", expected="one column", found=f"{values.shape[1]} columns", cause=cause, fix=fix
        )
    return values.reshape(-1)


def fcd_cdf_of(values: np.ndarray, path: str | Path, n_windows: int | None = None) -> np.ndarray:
    """Check the FCD CDF, (K,), that the vector of a file holds; cumulative counts are normalised (`read_fcd_cdf`)."""
    path = Path(path)
    if len(values) and np.isfinite(values).all() and values[-1] > 1 + 1e-6 and (np.diff(values) >= 0).all():
        if n_windows is not None:
            _check_pairs(values[-1], n_windows, path)
        warnings.warn(
            InputNote(f"{path} holds cumulative counts (last value {values[-1]:g}); they were divided by it."), stacklevel=3
        )
        values = values / values[-1]
    return check_fcd_cdf(values).numpy()


def _only_vector(content: Content, what: str) -> np.ndarray:
    found = {name: array for name, array in content.arrays.items() if array.dtype.kind in "iuf" and array.size > 1}
    vectors = [np.atleast_2d(array) for array in found.values()]
    if len(vectors) != 1 or vectors[0].ndim != 2:
        raise InputError(
            f"{content.path} does not hold one {what}.",
            expected="one vector",
            found=", ".join(f"{name} {array.shape}" for name, array in content.arrays.items()) or "nothing",
            fix="save the CDF that is meant by itself, one value a line",
        )
    check_byte_order(vectors[0], content.path)
    return vectors[0].astype(np.float64)


def _check_pairs(total: float, n_windows: int, path: Path) -> None:
    """Raise if counts are of the pairs of another number of windows; counts summed or averaged over runs pass."""
    pairs = n_windows * (n_windows - 1) // 2
    counted = (1 + math.isqrt(1 + 8 * round(total))) // 2
    if total != counted * (counted - 1) // 2 or total % pairs == 0:
        return
    raise InputError(
        f"{path} was counted over another number of sliding windows than the scan has.",
        expected=f"{n_windows} windows of 60 s, and so {pairs} pairs",
        found=f"{total:g} pairs, those of {counted} windows",
        cause="windows of another length, or a scan of another length",
        fix="compute the FCD again with windows of 60 s, or correct `n_frames` and `tr_s`",
    )
