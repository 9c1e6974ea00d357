"""Structural connectomes from files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from mfm.connectome import Connectome, check_square
from mfm.errors import InputError, InputNote
from mfm.io.tables import read_matrix

TRANSFORMS = ("log", "log1p", "none")


def load_connectome(
    path: str | Path, transform: str = "log", scale_max: float | None = 0.02, labels: tuple[str, ...] | None = None
) -> Connectome:
    """Read a connectome and bring it to the form in which it enters the equations.

    Parameters
    ----------
    path : path
        Square matrix of streamline counts or weights: csv, tsv, txt or npy, with or without region names.
    transform : {"log", "log1p", "none"}
        ``log`` of the non-zero entries (zeros stay zero; counts below 1 are an error), ``log1p`` of all, or nothing. Raw counts
        span five orders of magnitude; without the logarithm no parameters give a realistic FC.
    scale_max : float or None, default 0.02
        The matrix is divided so that this is its maximum (Zhang et al. 2024); None leaves it.
    labels : tuple of str, optional
        Region names, for files that hold none.

    Returns
    -------
    Connectome
        With a zero diagonal.

    Raises
    ------
    MissingInputError
        If the file is not there.
    InputError
        If the file cannot be read, the matrix is not square and finite, has negative entries, connects nothing or is
        triangular; if ``log`` meets weights below 1 or a binary matrix; or if an argument or the region names do not fit.

    Warns
    -----
    InputNote
        If entries of 1 vanish under ``log``.

    Examples
    --------
    >>> import mfm, numpy as np, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "sc.csv")
    ...     np.savetxt(path, [[0, 1000, 100], [1000, 0, 10], [100, 10, 0]], delimiter=",")
    ...     mfm.load_connectome(path).weights[0].round(4).tolist()
    [0.0, 0.02, 0.0133]
    """
    values, names = read_matrix(path, "connectome")
    return transform_connectome(values, transform, scale_max, labels if names is None else names, what=f"The connectome {path}")


def transform_connectome(
    counts: np.ndarray,
    transform: str = "log",
    scale_max: float | None = 0.02,
    labels: tuple[str, ...] | None = None,
    what: str = "The connectome",
) -> Connectome:
    """`load_connectome` for a matrix in memory."""
    if transform not in TRANSFORMS:
        raise InputError(f"Unknown connectome transform {transform!r}.", expected=" | ".join(TRANSFORMS))
    if scale_max is not None and not scale_max > 0:
        raise InputError("scale_max must be positive.", found=repr(scale_max))
    weights = np.array(check_square(counts, what), dtype=np.float64)
    np.fill_diagonal(weights, 0.0)
    _check_triangles(weights, what)
    if (weights < 0).any():
        raise InputError(
            f"{what} has negative entries.",
            expected="streamline counts or weights >= 0",
            found=f"{int((weights < 0).sum())} negative entries, minimum {weights.min():g}",
            cause="a matrix that is already logged or z-scored, or a correlation matrix",
            fix='undo the logarithm (exp), or clip and use transform="none"',
        )
    if transform == "log1p":
        weights = np.log1p(weights)
    elif transform == "log":
        positive = weights > 0
        if (weights[positive] < 1).any():
            raise InputError(
                f"{what} has weights below 1, whose logarithm is negative.",
                found=f"{int((weights[positive] < 1).sum())} entries, minimum {weights[positive].min():g}",
                cause="mean counts, normalised weights, or a matrix that is already logged",
                fix='transform="log1p" for counts, transform="none" for a matrix that is already logged',
            )
        if weights.max() == 1:
            raise InputError(
                f"{what} holds nothing but zeros and ones, whose logarithm is 0.",
                cause="a binary connectome",
                fix='transform="none"',
            )
        if (ones := int((weights == 1).sum())) > 0:
            warnings.warn(
                InputNote(f'{what}: {ones} entries of 1 vanish under transform="log"; transform="log1p" keeps them.'),
                stacklevel=3,
            )
        weights[positive] = np.log(weights[positive])
    if scale_max is not None and weights.max() > 0:
        weights *= scale_max / weights.max()
    return Connectome(weights, labels)


def _check_triangles(weights: np.ndarray, what: str) -> None:
    if not weights.any():
        raise InputError(f"{what} connects no two regions.", cause="all off-diagonal entries are zero")
    lower, upper = np.tril(weights, -1).any(), np.triu(weights, 1).any()
    if lower != upper:
        raise InputError(
            f"{what} is triangular.",
            expected="both directions of each connection",
            found=f"only the {'lower' if lower else 'upper'} triangle",
            cause="MRtrix tck2connectome without -symmetric",
            fix="save matrix + matrix.T",
        )
