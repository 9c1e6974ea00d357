"""Arrays from text and npy files, as labs keep them: csv, tsv, txt or npy, with or without names."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mfm.errors import InputError, MissingInputError

_MISSING = {"", "n/a", "na", "nan"}


class Table(NamedTuple):
    """Numbers (R, C) and the names of rows and columns where the file has them."""

    values: np.ndarray
    row_names: tuple[str, ...] | None
    column_names: tuple[str, ...] | None


def existing_file(path: str | Path, what: str) -> Path:
    """`path` if it is a readable file; a MissingInputError otherwise."""
    path = Path(path).expanduser()
    if path.is_symlink() and not path.exists():
        raise MissingInputError(
            f"The {what} file is a link to a file that is not there: {path}",
            cause="a git-annex or DataLad dataset whose content was not fetched",
            fix=f"datalad get {path}",
        )
    if not path.is_file():
        raise MissingInputError(
            f"The {what} file is not there: {path}", fix="check the path; relative paths start at the current folder"
        )
    with open(path, "rb") as handle:
        start = handle.read(200)
    if start.startswith((b"/annex/objects/", b"version https://git-lfs")):
        annex = start.startswith(b"/annex")
        raise MissingInputError(
            f"The content of the {what} file was not fetched: {path}",
            found=f"a pointer of {'git-annex' if annex else 'Git LFS'}",
            fix=f"datalad get {path}" if annex else f"git lfs pull --include={path.name}",
        )
    return path


def file_digest(path: str | Path) -> str:
    """sha256 of a file's content."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_table(path: str | Path, what: str = "input") -> Table:
    """Read a csv, tsv, txt (space-separated) or npy file; names are recognised by not being numbers."""
    path = existing_file(path, what)
    if path.suffix == ".npy":
        return Table(_read_npy(path), None, None)
    if path.suffix not in (".csv", ".tsv", ".txt"):
        raise InputError(f"The {what} file has an unknown type: {path.name}", expected=".csv, .tsv, .txt or .npy")
    return table_of(_read_text(path), path)


def table_of(text: str, path: Path) -> Table:
    """The table that the text of a file holds."""
    rows = _split(text)
    if not rows:
        raise InputError(f"{path} is empty.")
    lengths = {len(row) for row in rows}
    if len(lengths) != 1:
        first_bad = next(k for k, row in enumerate(rows) if len(row) != len(rows[0]))
        raise InputError(
            f"The rows of {path} have different lengths.",
            expected=f"{len(rows[0])} columns, as in the first row",
            found=f"{len(rows[first_bad])} columns in row {first_bad + 1}",
            cause="a truncated file, or a separator that is neither comma, tab nor space",
        )
    return _numbers_and_names(rows, path)


def _read_npy(path: Path) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"Cannot read {path}.", found=str(error), cause="a truncated file, or one of objects") from error
    if not isinstance(values, np.ndarray):
        raise InputError(f"{path} is an archive of several arrays.", fix="save the array itself with numpy.save")
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise InputError(f"{path} does not hold a matrix of real numbers.", found=f"shape {values.shape}, type {values.dtype}")
    return values.astype(np.float64)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a UTF-8 text file.", found=str(error)) from error


def _split(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        return []
    delimiter = next((d for d in "\t,;" if d in lines[0]), None)
    if delimiter is None:
        rows = [[cell.strip('"') for cell in line.split()] for line in lines]
        # R's write.table leaves the corner above the row names out.
        if len(rows) > 1 and len(rows[0]) == len(rows[1]) - 1 and not any(is_number(cell) for cell in rows[0]):
            rows[0].insert(0, "")
        return rows
    return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]


def _numbers_and_names(rows: list[list[str]], path: Path) -> Table:
    # A header is a row of names throughout (but for the corner): one odd cell among numbers is an error, not a name.
    # In two columns one name could be that odd cell: there the corner must not be a number either.
    names = rows[0][1:] if len(rows[0]) > 2 else [cell for cell in rows[0] if cell]
    has_header = bool(names) and not any(is_number(cell) for cell in names)
    body = rows[1:] if has_header else rows
    has_row_names = len(body) > 0 and len(body[0]) > 1 and not any(is_number(row[0]) for row in body)
    cells = [row[1:] for row in body] if has_row_names else body
    try:
        values = np.array([[np.nan if cell.lower() in _MISSING else float(cell) for cell in row] for row in cells])
    except ValueError as error:
        raise InputError(f"{path} holds text where numbers are expected.", found=str(error)) from error
    if values.ndim != 2 or values.size == 0:
        raise InputError(f"{path} holds no numbers.")
    if not has_header and len(values) > 1 and values.shape[1] > 2 and _counts_columns(values[0]):
        raise InputError(
            f"The first row of {path} counts the columns.",
            expected="numbers, or a header of region names",
            found=f"{values[0, 0]:g}, {values[0, 1]:g}, ..., {values[0, -1]:g}",
            cause="a table saved with numbered columns, as pandas does",
            fix="save it without header (header=False), or with region names",
        )
    header = tuple(rows[0][1:] if has_row_names else rows[0]) if has_header else None
    return Table(values, tuple(row[0] for row in body) if has_row_names else None, header)


def _counts_columns(row: np.ndarray) -> bool:
    return any(np.array_equal(row, np.arange(len(row)) + first) for first in (0, 1))


def is_number(cell: str) -> bool:
    """Whether a cell holds a number, or stands for a missing one."""
    if cell.lower() in _MISSING:
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def names_of(table: Table, path: str | Path) -> tuple[str, ...] | None:
    """Names of the regions of a square matrix, if rows or columns have any."""
    rows, columns = table.row_names, table.column_names
    if rows and columns and rows != columns:
        raise InputError(f"Rows and columns of {path} have different names.", fix="save the matrix with one order of regions")
    return columns or rows
