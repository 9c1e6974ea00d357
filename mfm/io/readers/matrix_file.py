"""One matrix of a connectome, with the names of its regions, from any file that tools write."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mfm.brain.connectome import check_labels, check_square
from mfm.errors import InputError, InputNote
from mfm.io.formats.arrays import check_byte_order, choose_array, is_matrix
from mfm.io.formats.format import Content, Request
from mfm.io.formats.registry import read_file
from mfm.io.formats.system import home_expanded
from mfm.io.formats.tables import names_of
from mfm.io.readers.region_names import read_labels


@dataclass(frozen=True)
class MatrixOptions:
    """Which matrix of a file is meant, and what it holds.

    Parameters
    ----------
    labels : path or list name, optional
        Names of the rows, for files that hold none: a file, or a built-in list (`mfm.io.read_labels`).
    key : str, optional
        Name of the array in an npz or mat file that holds several.
    atlas, measure : str, optional
        Atlas and measure in a QSIRecon ``_connectivity.mat``.
    drop_unassigned : bool, default False
        Leave out the first row and column: streamlines that ``tck2connectome -keep_unassigned`` could not assign.
    symmetrise : bool, default False
        Average the matrix with its transpose. A triangular matrix is always completed.
    """

    labels: str | None = None
    key: str | None = None
    atlas: str | None = None
    measure: str | None = None
    drop_unassigned: bool = False
    symmetrise: bool = False


@dataclass(frozen=True, eq=False)
class RawMatrix:
    """A square matrix as a tool wrote it, triangles completed; names of its rows, what was done to it, and what to tell.

    `path` is None for a matrix that was in memory.
    """

    values: np.ndarray
    labels: tuple[str, ...] | None
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    path: Path | None = None


def read_raw_matrix(
    path: str | Path,
    options: MatrixOptions,
    labels: tuple[str, ...] | Callable[[], tuple[str, ...] | None] | None = None,
    what: str = "connectome",
) -> RawMatrix:
    """Read a matrix; the kind of file is told by its content. Names in the file come before `labels`, which may be a function.

    Raises
    ------
    MissingInputError
        If the file or its content is not there.
    InputError
        If it cannot be read, holds no or several matrices, or a matrix that is not square and finite; or the names do not fit.
    """
    values, own = _values_and_names(path, options, what)
    if own is None and options.labels is not None:
        own = read_labels(options.labels)
    elif own is None:
        own = labels() if callable(labels) else labels
    return replace(complete_matrix(values, own, options, f"The {what} {path}"), path=home_expanded(path))


def read_matrix(path: str | Path, what: str = "matrix") -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Read a matrix (of FC, say) and the names of its regions, if the file has any.

    A triangle is completed to both directions, with an `InputNote`.
    """
    values, names = _values_and_names(path, MatrixOptions(), what)
    values = values.astype(np.float64)
    if values.shape[0] == values.shape[1] and np.tril(values, -1).any() != np.triu(values, 1).any():
        values = values + values.T - np.diag(np.diag(values))
        warnings.warn(InputNote(f"The {what} {path} is triangular; it was completed to both directions."), stacklevel=2)
    return values, names


def _values_and_names(path: str | Path, options: MatrixOptions, what: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
    content = read_file(path, what, Request("matrix"))
    if content.row_names or content.column_names:
        return content.arrays[""], names_of(content, content.path)
    if content.is_one_array and content.arrays[""].ndim == 2 and min(content.arrays[""].shape) < 2:
        return content.table(), None  # what is wrong with it is its shape, which the caller tells
    measures = _measures_by_atlas(content.arrays)
    if measures and options.key is None:
        array, names = _qsirecon_matrix(content, measures, options)
    else:
        array, names = choose_array(content.arrays, options.key, content.path, "key"), None
    check_byte_order(array, content.path)
    return array, names


def _measures_by_atlas(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[str, ...]]:
    """Measures by atlas in the arrays of a QSIRecon file, whose names are ``atlas_<atlas>_<measure>_connectivity``."""
    ends = "_region_labels"
    atlases = [name[len("atlas_") : -len(ends)] for name in arrays if name.startswith("atlas_") and name.endswith(ends)]
    found = {}
    for atlas in atlases:
        start, end = f"atlas_{atlas}_", "_connectivity"
        names = [name for name in arrays if name.startswith(start) and name.endswith(end) and is_matrix(arrays[name])]
        found[atlas] = tuple(name[len(start) : -len(end)] for name in names)
    return found


def _qsirecon_matrix(content: Content, found: dict[str, tuple[str, ...]], options: MatrixOptions):
    arrays, path = content.arrays, content.path
    atlas = next(iter(found)) if options.atlas is None and len(found) == 1 else options.atlas
    if atlas not in found:
        raise InputError(
            f"{path} holds connectomes of {len(found)} atlases."
            if atlas is None
            else f"{path} holds no connectome of atlas {atlas!r}.",
            expected=" | ".join(found),
            fix=f'`atlas="{next(iter(found))}"`',
        )
    if options.measure not in found[atlas]:
        measures = found[atlas]
        counts = next((name for name in measures if "count" in name), measures[0] if measures else "")
        raise InputError(
            f"{path} holds {len(measures)} measures for atlas {atlas}; which one is the connectome is for you to say."
            if options.measure is None
            else f"{path} holds no measure {options.measure!r} for atlas {atlas}.",
            expected=" | ".join(measures),
            fix=f'`measure="{counts}"`',
        )
    names = tuple(str(cell).strip() for cell in np.ravel(_unpacked(arrays[f"atlas_{atlas}_region_labels"])))
    return arrays[f"atlas_{atlas}_{options.measure}_connectivity"], names


def _unpacked(labels: np.ndarray) -> list:
    """Text from MATLAB's cell arrays, where every cell is an array of its own."""
    return [cell.item() if isinstance(cell, np.ndarray) and cell.size == 1 else cell for cell in labels.ravel()]


def complete_matrix(values: np.ndarray, names: Sequence[str] | None, options: MatrixOptions, what: str) -> RawMatrix:
    """Check a matrix and bring it to both directions of each connection."""
    values = check_square(values, what)
    kind, values = values.dtype, values.astype(np.float64)
    steps, notes = [], []
    if options.drop_unassigned:
        values = check_square(values[1:, 1:], what)
        names = names[1:] if names is not None and len(names) == len(values) + 1 else names
        steps.append("first row and column (unassigned streamlines) left out")
    elif names is not None and len(names) + 1 == len(values):
        raise unassigned_row(what, len(names), len(values))
    labels = check_labels(names, len(values), what[0].lower() + what[1:])
    if np.issubdtype(kind, np.signedinteger) and (values < 0).any():
        raise InputError(
            f"{what} has negative entries.",
            expected="streamline counts >= 0",
            found=f"{int((values < 0).sum())} negative whole numbers, minimum {values.min():g}, type {kind}",
            cause=f"counts that did not fit into {kind} when the file was saved",
            fix="export the matrix again as float",
        )
    lower, upper = np.tril(values, -1).any(), np.triu(values, 1).any()
    if lower != upper:
        side = "lower" if lower else "upper"
        values = values + values.T - np.diag(np.diag(values))
        steps.append(f"{side} triangle mirrored")
        notes.append(f"{what} is {side} triangular, as MRtrix writes without -symmetric; it was completed to both directions.")
    elif options.symmetrise and (values != values.T).any():
        values = (values + values.T) / 2
        steps.append("averaged with its transpose")
    return RawMatrix(values, labels, tuple(steps), tuple(notes))


def unassigned_row(what: str, n_regions: int, n_rows: int) -> InputError:
    """Return the error for a matrix with one row more than there are regions."""
    return InputError(
        f"{what} has one row more than there are regions.",
        expected=f"{n_regions} rows",
        found=f"{n_rows}",
        cause="MRtrix tck2connectome -keep_unassigned: its first row and column count streamlines without a region",
        fix="`drop_unassigned=True` leaves that row and column out",
    )
