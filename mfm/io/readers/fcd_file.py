"""FCD distributions from files: a CDF, or the cumulative counts that published code saves."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np

from mfm.errors import InputError, InputNote
from mfm.io.formats.containers import check_byte_order, read_arrays, read_content
from mfm.io.formats.tables import existing_file, read_table
from mfm.statistics.target import check_fcd_cdf


def read_fcd_cdf(path: str | Path, n_windows: int | None = None) -> np.ndarray:
    """FCD CDF, (K,), from one column or row of a text file or npy, or the only vector of an npz or mat file.

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
    path = existing_file(path, "FCD CDF")
    values = _only_vector(path) if path.suffix in (".npz", ".mat") else read_table(path, "FCD CDF").values
    if min(values.shape) != 1:
        raise InputError(f"{path} is not an FCD CDF.", expected="one column", found=f"{values.shape[1]} columns")
    values = values.reshape(-1)
    if len(values) and np.isfinite(values).all() and values[-1] > 1 + 1e-6 and (np.diff(values) >= 0).all():
        if n_windows is not None:
            _check_pairs(values[-1], n_windows, path)
        warnings.warn(
            InputNote(f"{path} holds cumulative counts (last value {values[-1]:g}); they were divided by it."), stacklevel=2
        )
        values = values / values[-1]
    return check_fcd_cdf(values).numpy()


def _only_vector(path: Path) -> np.ndarray:
    arrays = read_arrays(read_content(path, "FCD CDF"), path)
    vectors = [np.atleast_2d(array) for array in arrays.values() if array.dtype.kind in "iuf" and array.size > 1]
    if len(vectors) != 1 or vectors[0].ndim != 2:
        raise InputError(
            f"{path} does not hold one FCD CDF.",
            expected="one vector",
            found=", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing",
            fix="save the CDF that is meant by itself, one value a line",
        )
    check_byte_order(vectors[0], path)
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
        fix="compute the FCD again with windows of 60 s, or correct acquisition.n_frames and acquisition.tr_s",
    )
