"""The structural connectome as it enters the equations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mfm.checks import listed
from mfm.errors import InputError


@dataclass(frozen=True, eq=False)
class Connectome:
    """Structural connectivity C, with ``C[i, j]`` the weight of region j's output onto region i.

    Parameters
    ----------
    weights : array, (N, N)
        Finite and, unless `signed`, non-negative; already transformed and scaled; see `load_connectome` for raw counts.
    labels : sequence of str, optional
        Names of the N regions, each once.
    steps : tuple of str, optional
        What was done to the matrix that a file or a tool gave, in order; for people and for records.
    signed : bool, default False
        Whether weights below zero are meant, as where a correction was learned; from a file they are a mistake.

    Raises
    ------
    InputError
        If the matrix is not square, holds NaN, infinite or negative entries, connects nothing, or the labels do not fit.

    Examples
    --------
    >>> import mfm
    >>> mfm.Connectome([[0.0, 0.02], [0.02, 0.0]], labels=["lh-a", "rh-a"]).n_regions
    2
    """

    weights: np.ndarray
    labels: tuple[str, ...] | None = None
    steps: tuple[str, ...] = ()
    signed: bool = False

    def __post_init__(self):
        weights = check_square(self.weights, "The connectome")
        # A frozen private copy: inputs are never shared with, or changed by, the caller. What is already frozen, as the
        # weights of another connectome, is shared: a cohort holds its one connectome once.
        if not _is_frozen(weights):
            weights = np.array(weights, dtype=np.float64, order="C")
        if (weights < 0).any() and not self.signed:
            raise InputError(
                "The connectome has negative entries.",
                expected="weights >= 0",
                found=f"{int((weights < 0).sum())} negative entries, minimum {weights.min():g}",
                cause="logarithm of values below 1, or a matrix that is already logged or z-scored",
                fix='give raw counts with transform="log1p", or shift the matrix yourself',
            )
        if not (np.abs(weights)[~np.eye(len(weights), dtype=bool)] > 0).any():
            raise InputError("The connectome connects no two regions.", cause="all off-diagonal entries are zero")
        weights.setflags(write=False)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "labels", check_labels(self.labels, len(weights), "the connectome"))
        object.__setattr__(self, "steps", tuple(self.steps))

    @property
    def n_regions(self) -> int:
        return self.weights.shape[0]

    @property
    def default_labels(self) -> tuple[str, ...]:
        """The region names, or numbered ones where there are none."""
        return self.labels or self.numbered(self.n_regions)

    @staticmethod
    def numbered(n_regions: int) -> tuple[str, ...]:
        """Names of regions that have none."""
        return tuple(f"region-{k + 1:03d}" for k in range(n_regions))

    @property
    def density(self) -> float:
        """Share of the pairs of regions, either direction by itself, that are connected."""
        return float((self.weights[~np.eye(self.n_regions, dtype=bool)] != 0).mean())

    def __repr__(self) -> str:
        named = "named" if self.labels else "unnamed"
        return f"Connectome({self.n_regions} {named} regions, density {self.density:.2f}, maximum {self.weights.max():g})"


def _is_frozen(array: np.ndarray) -> bool:
    plain = type(array) is np.ndarray and array.dtype == np.float64 and array.flags.c_contiguous
    return plain and array.base is None and not array.flags.writeable


def check_square(matrix, what: str, finite: bool = True) -> np.ndarray:
    """`matrix` as an array, if it is a (finite) square matrix of at least two regions; an InputError otherwise."""
    try:
        matrix = np.asarray(matrix)
    except ValueError as error:
        raise InputError(f"{what} is not a matrix.", found=str(error), cause="rows of different lengths") from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        off_by_one = matrix.ndim == 2 and abs(matrix.shape[0] - matrix.shape[1]) == 1
        raise InputError(
            f"{what} is not a square matrix.",
            expected="N rows and N columns, N >= 2",
            found=f"shape {tuple(matrix.shape)}",
            cause="a header row or a column of names in the file" if off_by_one else "a time series or a vector was given",
        )
    if not (np.issubdtype(matrix.dtype, np.number) or matrix.dtype == bool) or np.iscomplexobj(matrix):
        raise InputError(f"{what} is not real-valued.", found=f"type {matrix.dtype}")
    if finite and not np.isfinite(matrix).all():
        rows = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
        raise InputError(
            f"{what} has entries that are not finite.",
            expected="finite numbers",
            found=f"{int((~np.isfinite(matrix)).sum())} NaN or infinite entries, in rows {listed(rows)}",
            cause="regions without data, a diagonal that was set to NaN, or the logarithm of zero",
            fix="leave regions without data out of every input, and put numbers in place of the rest",
        )
    return matrix


def check_labels(labels: Sequence[str] | None, n_regions: int, what: str) -> tuple[str, ...] | None:
    """The region names as a tuple, if there is one for each region and none twice."""
    if labels is None:
        return None
    labels = tuple(str(label) for label in labels)
    if len(labels) != n_regions:
        raise InputError(
            f"The region names do not fit {what}.",
            expected=f"{n_regions} names",
            found=f"{len(labels)}: {', '.join(labels[:3])}, ...",
            cause="names of another parcellation, a heading among them, or rows that were left out",
            fix="give one name for every row, in the order of the rows",
        )
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise InputError(
            f"Region names of {what} are not unique.",
            found=", ".join(repeated[:5]),
            cause="names without their hemisphere, a column of networks in place of names, or a region that was written twice",
            fix="give every region a name of its own, such as lh-NAME and rh-NAME",
        )
    return labels
