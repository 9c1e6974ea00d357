"""Tables of numbers in text files, as labs keep them: csv, tsv or txt, with or without names."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mfm.errors import InputError
from mfm.io.formats.format import Content, Flaw, Format, Peek, Request, as_table
from mfm.io.formats.input_file import InputFile, existing_file, file_digest
from mfm.io.formats.npy import array_of_npy

__all__ = ["Table", "TextTable", "existing_file", "file_digest", "is_number", "names_of", "read_table", "table_of", "text_of"]

_MISSING = {"", "n/a", "na", "nan"}


class Table(NamedTuple):
    """Numbers (R, C) and the names of rows and columns where the file has them."""

    values: np.ndarray
    row_names: tuple[str, ...] | None
    column_names: tuple[str, ...] | None


class TextTable(Format):
    """Comma-, semicolon-, tab- or space-separated numbers, with or without names."""

    title = "text"
    suffixes = (".csv", ".tsv", ".txt")
    has_signature = False

    def sniff(self, head: bytes) -> bool:
        return b"\0" not in head

    def peek(self, path: Path) -> Peek:
        """Count lines without parsing them; the first two tell names from numbers."""
        head: list[str] = []
        with open(path, "rb") as handle:
            for line in handle:
                if line.strip() and not line.startswith(b"#"):
                    head.append(line.decode("utf-8-sig"))
                if len(head) == 2:
                    break
            n_lines, end = len(head), b"\n"
            while chunk := handle.read(1 << 20):
                n_lines += chunk.count(b"\n")
                end = chunk
        blank = end[len(end.rstrip()) :].count(b"\n")  # no newline at the end, or more than one
        n_lines += 1 - blank
        if not head:
            return Peek(flaw=Flaw("the table has no rows", "copy or compute it again"))
        first, second = _cells(head[0]), _cells(head[-1])
        has_header = not any(is_number(cell) for cell in (first[1:] or first))
        has_row_names = len(second) > 1 and not is_number(second[0])
        shape = (n_lines - has_header, len(second) - has_row_names)
        if has_header == has_row_names:  # names on both sides are those of a matrix
            return Peek(shape, None)
        return Peek(shape, "frames_by_regions" if has_header else "regions_by_frames")

    def read(self, file: InputFile, request: Request) -> Content:
        table = table_of(text_of(file.content(), file.path), file.path)
        return Content(file.path, {"": table.values}, table.row_names, table.column_names)


def _cells(line: str) -> list[str]:
    delimiter = next((d for d in "\t,;" if d in line), None)
    if delimiter is None:
        return [cell.strip('"') for cell in line.split()]
    return [cell.strip() for cell in next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter))]


def read_table(path: str | Path, what: str = "input") -> Table:
    """Read a csv, tsv, txt (space-separated) or npy file; names are recognised by not being numbers."""
    path = existing_file(path, what)
    if path.suffix == ".npy":
        return Table(as_table(array_of_npy(path.read_bytes(), path), path), None, None)
    if path.suffix not in TextTable.suffixes:
        raise InputError(f"The {what} file has an unknown type: {path.name}", expected=".csv, .tsv, .txt or .npy")
    return table_of(text_of(path.read_bytes(), path), path)


def text_of(content: bytes, path: Path) -> str:
    """Return the text of UTF-8 bytes, without a byte order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a UTF-8 text file.", found=str(error)) from error


def table_of(text: str, path: Path) -> Table:
    """Parse the table that the text of a file holds."""
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


def names_of(table: Table | Content, path: str | Path) -> tuple[str, ...] | None:
    """Return the names of the regions of a square matrix, if rows or columns have any."""
    rows, columns = table.row_names, table.column_names
    if rows and columns and rows != columns:
        raise InputError(f"Rows and columns of {path} have different names.", fix="save the matrix with one order of regions")
    return columns or rows
