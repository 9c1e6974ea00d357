"""One matrix of a connectome, with the names of its regions, from any file that tools write."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfm.brain.connectome import check_labels, check_square
from mfm.errors import InputError, InputNote
from mfm.io.formats.containers import check_byte_order, choose_array, is_binary, is_matrix, read_arrays, read_content
from mfm.io.formats.dense import read_cifti_matrix
from mfm.io.formats.tables import names_of, table_of
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
    """A square matrix as a tool wrote it, triangles completed; names of its rows, what was done to it, and what to tell."""

    values: np.ndarray
    labels: tuple[str, ...] | None
    steps: tuple[str, ...]
    notes: tuple[str, ...]


def read_raw_matrix(
    path: str | Path, options: MatrixOptions, labels: tuple[str, ...] | None = None, what: str = "connectome"
) -> RawMatrix:
    """Read a matrix; the kind of file is told by its content. Names in the file come before `labels`.

    Raises
    ------
    MissingInputError
        If the file or its content is not there.
    InputError
        If it cannot be read, holds no or several matrices, or a matrix that is not square and finite; or the names do not fit.
    """
    values, own = _content(path, options, what)
    if own is None:
        own = labels if options.labels is None else read_labels(options.labels)
    return complete(values, own, options, f"The {what} {path}")


def read_matrix(path: str | Path, what: str = "matrix") -> tuple[np.ndarray, tuple[str, ...] | None]:
    """A matrix (of FC, say) and the names of its regions, if the file has any; a triangle is completed, with an `InputNote`."""
    values, names = _content(path, MatrixOptions(), what)
    values = values.astype(np.float64)
    if values.shape[0] == values.shape[1] and np.tril(values, -1).any() != np.triu(values, 1).any():
        values = values + values.T - np.diag(np.diag(values))
        warnings.warn(InputNote(f"The {what} {path} is triangular; it was completed to both directions."), stacklevel=2)
    return values, names


def _content(path: str | Path, options: MatrixOptions, what: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
    path = Path(path).expanduser()
    content = read_content(path, what)
    if path.name.endswith(".nii"):
        return read_cifti_matrix(path, what)
    return _binary(content, path, options, what) if is_binary(content) else _text(content, path, what)


def _text(content: bytes, path: Path, what: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
    try:
        table = table_of(content.decode("utf-8-sig"), path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a UTF-8 text file.", found=str(error)) from error
    return table.values, names_of(table, path)


def _binary(content: bytes, path: Path, options: MatrixOptions, what: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
    arrays = read_arrays(content, path)
    found = _qsirecon(arrays)
    names = None
    if found and options.key is None:
        array, names = _qsirecon_matrix(arrays, found, path, options)
    else:
        array = choose_array(arrays, options.key, path, "data.sc_file.key")
    check_byte_order(array, path)
    return array, names


def _qsirecon(arrays: dict[str, np.ndarray]) -> dict[str, tuple[str, ...]]:
    """Measures by atlas in the arrays of a QSIRecon file, whose names are ``atlas_<atlas>_<measure>_connectivity``."""
    ends = "_region_labels"
    atlases = [name[len("atlas_") : -len(ends)] for name in arrays if name.startswith("atlas_") and name.endswith(ends)]
    found = {}
    for atlas in atlases:
        start, end = f"atlas_{atlas}_", "_connectivity"
        names = [name for name in arrays if name.startswith(start) and name.endswith(end) and is_matrix(arrays[name])]
        found[atlas] = tuple(name[len(start) : -len(end)] for name in names)
    return found


def _qsirecon_matrix(arrays, found: dict[str, tuple[str, ...]], path: Path, options: MatrixOptions):
    atlas = next(iter(found)) if options.atlas is None and len(found) == 1 else options.atlas
    if atlas not in found:
        raise InputError(
            f"{path} holds connectomes of {len(found)} atlases."
            if atlas is None
            else f"{path} holds no connectome of atlas {atlas!r}.",
            expected=" | ".join(found),
            fix=f"atlas={next(iter(found))} (data.sc_file.atlas)",
        )
    if options.measure not in found[atlas]:
        measures = found[atlas]
        counts = next((name for name in measures if "count" in name), measures[0] if measures else "")
        raise InputError(
            f"{path} holds {len(measures)} measures for atlas {atlas}; which one is the connectome is for you to say."
            if options.measure is None
            else f"{path} holds no measure {options.measure!r} for atlas {atlas}.",
            expected=" | ".join(measures),
            fix=f"measure={counts} (data.sc_file.measure)",
        )
    names = tuple(str(cell).strip() for cell in np.ravel(_unpacked(arrays[f"atlas_{atlas}_region_labels"])))
    return arrays[f"atlas_{atlas}_{options.measure}_connectivity"], names


def _unpacked(labels: np.ndarray) -> list:
    """Text from MATLAB's cell arrays, where every cell is an array of its own."""
    return [cell.item() if isinstance(cell, np.ndarray) and cell.size == 1 else cell for cell in labels.ravel()]


def complete(values: np.ndarray, names: Sequence[str] | None, options: MatrixOptions, what: str) -> RawMatrix:
    """Check a matrix and bring it to both directions of each connection."""
    values = check_square(values, what)
    kind, values = values.dtype, values.astype(np.float64)
    steps, notes = [], []
    if options.drop_unassigned:
        values = check_square(values[1:, 1:], what)
        names = names[1:] if names is not None and len(names) == len(values) + 1 else names
        steps.append("first row and column (unassigned streamlines) left out")
    elif names is not None and len(names) + 1 == len(values):
        raise unassigned(what, len(names), len(values))
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


def unassigned(what: str, n_regions: int, n_rows: int) -> InputError:
    """The error for a matrix with one row more than there are regions."""
    return InputError(
        f"{what} has one row more than there are regions.",
        expected=f"{n_regions} rows",
        found=f"{n_rows}",
        cause="MRtrix tck2connectome -keep_unassigned: its first row and column count streamlines without a region",
        fix="drop_unassigned=True (data.sc_file.drop_unassigned=true) leaves that row and column out",
    )
