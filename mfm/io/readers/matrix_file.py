"""One matrix of a connectome, with the names of its regions, from any file that tools write."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mfm.brain.connectome import check_labels, check_square
from mfm.errors import InputError, InputNote
from mfm.io.formats.arrays import check_byte_order, is_matrix
from mfm.io.formats.containers import choose_matrix
from mfm.io.formats.format import Content, Request
from mfm.io.formats.registry import read_file
from mfm.io.formats.system import home_expanded
from mfm.io.formats.tables import names_of
from mfm.io.readers.finite_entries import check_entries, with_diagonal
from mfm.io.readers.region_names import read_labels
from mfm.io.readers.unassigned import looks_like_a_region, looks_unassigned, one_row_more


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
    """A square matrix as a tool wrote it; names of its rows, what was done to it, and what to tell.

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
    """Read a matrix as its file has it: square, the row of unassigned streamlines left out where asked, and nothing more.

    The kind of file is told by its content. Names in the file come before `labels`, which may be a function. Entries are judged
    by `completed_matrix`, after regions that are to be left out were.

    Raises
    ------
    MissingInputError
        If the file or its content is not there.
    InputError
        If it cannot be read, holds no or several matrices, or a matrix that is not square; or the names do not fit.
    """
    values, own, steps = _values_and_names(path, options, what, "key", _is_square)
    if own is None and options.labels is not None:
        own = read_labels(options.labels)
    elif own is None:
        own = labels() if callable(labels) else labels
    raw = raw_matrix(values, own, options, f"The {what} {path}")
    return replace(raw, steps=(*steps, *raw.steps), path=home_expanded(path))


def read_matrix(path: str | Path, what: str = "matrix") -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Read a matrix (of FC, say) and the names of its regions, if the file has any.

    A triangle is completed to both directions, with an `InputNote`.
    """
    values, names, _ = _values_and_names(path, MatrixOptions(), what, None, _is_square)
    values = values.astype(np.float64)
    if values.shape[0] == values.shape[1]:
        values, side = mirrored(values)
        if side:
            warnings.warn(InputNote(f"The {what} {path} is triangular; it was completed to both directions."), stacklevel=2)
    return values, names


def _is_square(matrix: np.ndarray) -> bool:
    return matrix.shape[0] == matrix.shape[1]


def _values_and_names(
    path: str | Path, options: MatrixOptions, what: str, key_argument: str | None, fits: Callable[[np.ndarray], bool]
) -> tuple[np.ndarray, tuple[str, ...] | None, tuple[str, ...]]:
    """Values and names of the matrix that is meant, and the step that says which one of a file it was."""
    content = read_file(path, what, Request("matrix"))
    if content.row_names or content.column_names:
        return content.arrays[""], names_of(content, content.path), ()
    if content.is_one_array and content.arrays[""].ndim == 2 and min(content.arrays[""].shape) < 2:
        return content.table(), None, ()  # what is wrong with it is its shape, which the caller tells
    measures = _measures_by_atlas(content.arrays)
    if measures and options.key is None:
        array, names, name = _qsirecon_matrix(content, measures, options)
    else:
        name, array = choose_matrix(content.arrays, options.key, content.path, key_argument, fits)
        names = None
    check_byte_order(array, content.path)
    return array, names, () if len(content.arrays) == 1 and name in content.arrays else (f"array {name} of the file",)


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
    """Values, names of regions, and name of the matrix that is meant."""
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
    name = f"atlas_{atlas}_{options.measure}_connectivity"
    return arrays[name], names, name


def _unpacked(labels: np.ndarray) -> list:
    """Text from MATLAB's cell arrays, where every cell is an array of its own."""
    return [cell.item() if isinstance(cell, np.ndarray) and cell.size == 1 else cell for cell in labels.ravel()]


def raw_matrix(values: np.ndarray, names: Sequence[str] | None, options: MatrixOptions, what: str) -> RawMatrix:
    """Check that a matrix is square and has as many names as rows; the row of unassigned streamlines is left out on request."""
    values = check_square(values, what, finite=False)
    names = None if names is None else tuple(str(name) for name in names)
    steps, notes = [], []
    if options.drop_unassigned:
        first = names[0] if names is not None and len(names) == len(values) else None
        if first is not None and looks_like_a_region(first):
            raise InputError(
                f"The first row of {what[0].lower() + what[1:]} is a region.",
                expected="streamlines that could not be assigned, which are asked to be left out",
                found=f"a first row called {first}",
                fix="`drop_unassigned=False`",
            )
        if first is None and not looks_unassigned(values):
            notes.append(
                f"{what}: the first row and column were left out as asked, but look like those of a region: if they are one, "
                "all other rows were shifted by one. `drop_unassigned=False` keeps them."
            )
        values = check_square(values[1:, 1:], what, finite=False)
        names = names[1:] if names is not None and first is not None else names
        steps.append("first row and column (unassigned streamlines) left out")
    elif names is not None and len(names) + 1 == len(values):
        raise one_row_more(what, values, len(names))
    labels = check_labels(names, len(values), what[0].lower() + what[1:])
    if np.issubdtype(values.dtype, np.signedinteger) and (values < 0).any():
        raise InputError(
            f"{what} has negative entries.",
            expected="streamline counts >= 0",
            found=f"{int((values < 0).sum())} negative whole numbers, minimum {values.min():g}, type {values.dtype}",
            cause=f"counts that did not fit into {values.dtype} when the file was saved",
            fix="export the matrix again as float",
        )
    return RawMatrix(values.astype(np.float64), labels, tuple(steps), tuple(notes))


def completed_matrix(raw: RawMatrix, options: MatrixOptions, what: str) -> RawMatrix:
    """Bring a matrix to both directions of each connection, and check that every one of them is a number."""
    steps, notes = list(raw.steps), list(raw.notes)
    values, left_out = with_diagonal(raw.values, 0.0)
    if left_out:
        steps.append(f"diagonal set to zero ({left_out} entries that are not finite)")
    values, side = mirrored(values)
    if side:
        steps.append(f"{side} triangle mirrored")
        notes.append(f"{what} is {side} triangular, as MRtrix writes without -symmetric; it was completed to both directions.")
    check_entries(values, raw.labels, what)
    if not side and options.symmetrise and (values != values.T).any():
        values = (values + values.T) / 2
        steps.append("averaged with its transpose")
    return replace(raw, values=values, steps=tuple(steps), notes=tuple(notes))


def complete_matrix(values: np.ndarray, names: Sequence[str] | None, options: MatrixOptions, what: str) -> RawMatrix:
    """Check a matrix and bring it to both directions of each connection."""
    return completed_matrix(raw_matrix(values, names, options, what), options, what)


def mirrored(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Return a matrix in both directions, and "lower" or "upper" where it was a triangle: the other one zero, or all NaN."""
    below, above = np.tril_indices(len(values), -1), np.triu_indices(len(values), 1)
    for side, held, other in (("lower", below, above), ("upper", above, below)):
        # Two or three entries that are missing are no triangle.
        empty = not values[other].any() or (len(values) > 3 and np.isnan(values[other]).all())
        if empty and values[held].any() and not np.isnan(values[held]).all():
            values = values.copy()
            values[other] = values.T[other]
            return values, side
    return values, ""
