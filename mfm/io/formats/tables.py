"""Tables of numbers in text files, as labs keep them: csv, tsv or txt, with or without names."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mfm.errors import InputError, InputNote
from mfm.io.formats.format import Content, Flaw, Format, Peek, Request, as_table
from mfm.io.formats.input_file import InputFile, existing_file, file_digest
from mfm.io.formats.npy import array_of_npy
from mfm.io.formats.spelled_numbers import Numbers, is_missing, is_number, looks_halved, may_be_halved, numbers_of, whole_number
from mfm.io.formats.table_cells import SEPARATORS, Lines, RaggedError, cells_of, rows_without_gaps, table_lines
from mfm.io.formats.table_layout import SAMPLE_ROWS, TIME_WORDS, TableLayout, counts_or_steps, layout_of, steps_equally
from mfm.io.formats.text import begins_as_text, decode_text, lines_of

__all__ = ["Table", "TextTable", "existing_file", "file_digest", "is_number", "names_of", "parse_table", "read_table"]

_ONE_COLUMN = ""


class Table(NamedTuple):
    """Numbers (R, C) and the names of rows and columns where the file has them."""

    values: np.ndarray
    row_names: tuple[str, ...] | None
    column_names: tuple[str, ...] | None


class TextTable(Format):
    """Numbers separated by commas, semicolons, tabs, bars or spaces, with or without names."""

    title = "text"
    suffixes = (".csv", ".tsv", ".txt")
    has_signature = False

    def sniff(self, head: bytes) -> bool:
        return begins_as_text(head)

    def peek(self, path: Path) -> Peek:
        """Read the first rows as `read` does, and count the others."""
        try:
            text, _ = decode_text(InputFile(path, "table").content(), path)
            lines = table_lines(lines_of(text), path)
            begin = [k for k, line in enumerate(lines.lines) if line.strip() or "\t" in line][: SAMPLE_ROWS + 1]
            kept = slice(0, begin[-1] + 1 if begin else 0)
            try:
                reading = _reading(replace(lines, lines=lines.lines[kept], numbers=lines.numbers[kept]), path)
            except InputError:
                reading = _reading(lines, path)  # a later row may decide between two readings
            rows = rows_without_gaps(lines, reading.separator, path)
        except InputError as error:
            return Peek(flaw=_flaw(error))
        table, _ = _without_time(reading.table, path)
        shape = (len(rows.lines) - reading.layout.first_row, table.values.shape[1])
        if (table.column_names is None) == (table.row_names is None):  # names on both sides are those of a matrix
            return Peek(shape, None)
        return Peek(shape, "frames_by_regions" if table.column_names else "regions_by_frames")

    def read(self, file: InputFile, request: Request) -> Content:
        table, notes = parse_table(file.content(), file.path)
        if request.role == "timeseries":
            table, more = _without_time(table, file.path)
            notes += more
        return Content(file.path, {"": table.values}, table.row_names, table.column_names, notes=notes)


def read_table(path: str | Path, what: str = "input") -> Table:
    """Read a csv, tsv, txt (separated by spaces) or npy file; names are told from numbers.

    Raises
    ------
    MissingInputError
        If it is not there.
    InputError
        If it is no table, or one that can be read in two ways.

    Warns
    -----
    InputNote
        For what was accepted but should be known.
    """
    file = InputFile(path, what)
    suffix = file.path.suffix.lower()
    if suffix == ".npy":
        return Table(as_table(array_of_npy(file.path.read_bytes(), file.path), file.path), None, None)
    if suffix not in TextTable.suffixes:
        raise InputError(f"The {what} file has an unknown type: {file.path.name}", expected=".csv, .tsv, .txt or .npy")
    table, notes = parse_table(file.content(), file.path)
    for note in notes:
        warnings.warn(InputNote(note), stacklevel=2)
    return table


def parse_table(content: bytes, path: Path) -> tuple[Table, tuple[str, ...]]:
    """Return the table that the bytes of a file hold, and what was accepted but should be known of it.

    Raises
    ------
    InputError
        If it is no table, or one that can be read in two ways.
    """
    text, notes = decode_text(content, path)
    reading = _reading(table_lines(lines_of(text), path), path)
    return reading.table, (*notes, *reading.notes)


@dataclass(frozen=True, eq=False)
class _Reading:
    """A table as one separator splits it."""

    separator: str
    table: Table
    layout: TableLayout
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (*(self.table.row_names or ()), *(self.table.column_names or ()))

    def equals(self, other: _Reading) -> bool:
        """Whether both separators give the same table."""
        same_names = self.table[1:] == other.table[1:]
        return same_names and np.array_equal(self.table.values, other.table.values, equal_nan=True)

    def __str__(self) -> str:
        rows, columns = self.table.values.shape
        example = f", the first row {', '.join(f'{x:g}' for x in self.table.values[0, :3])}{', ...' if columns > 3 else ''}"
        named = f", names such as {self.names[-1]!r}" if self.names else ""
        return f"separated by {SEPARATORS[self.separator]}: {rows} x {columns} numbers{example}{named}"


def _reading(lines: Lines, path: Path) -> _Reading:
    """Take the separator that gives lines of one length, and numbers; two that do so differently are refused."""
    if not any(line.strip() for line in lines.lines):
        raise InputError(f"{path} is empty.")
    present = [mark for mark in SEPARATORS if any(mark in line.strip() for line in lines.lines)]
    if lines.separator in present:
        present = [lines.separator]
    found: list[_Reading] = []
    failed: dict[str, InputError] = {}
    for separator in present:
        if separator == " " and any(one.separator == "\t" and not _spaced(one.names) for one in found):
            continue  # spaces beside tabs are no separators
        try:
            found.append(_read_with(separator, lines, path))
        except InputError as error:
            failed[separator] = error
    found = _without_rivals(found)
    if len(found) > 1:
        raise InputError(
            f"{path} can be read in two ways.",
            expected="one separator that gives lines of one length and numbers",
            found="; or ".join(map(str, found)),
            cause="decimal commas, or separators inside of names",
            fix="save it with tabs, decimal points, and names in quotation marks",
        )
    if found:
        return found[0]
    first = next(line for line in lines.lines if line.strip()).strip()
    regular = [mark for mark, error in failed.items() if not isinstance(error, RaggedError)]
    if not regular and not any(mark in first for mark in "\t;|") and not ("," in first and not is_number(first)):
        try:
            return _read_with(_ONE_COLUMN, lines, path)
        except InputError as error:
            failed[_ONE_COLUMN] = error
    firmest = sorted(failed, key=lambda mark: (mark not in regular, "\t;|, ".index(mark) if mark else 9))
    raise failed[next((mark for mark in firmest if mark in first), firmest[0])]


def _spaced(names: Sequence[str]) -> bool:
    return any(" " in name for name in names)


def _without_rivals(found: list[_Reading]) -> list[_Reading]:
    """Leave out readings that equal an earlier one, or whose names hold the separator of another or repeat."""
    kept: list[_Reading] = []
    for one in found:
        others = [other for other in found if other is not one]
        firmer = [other for other in others if other.separator in "\t;|"]
        in_names = any(other.separator in name for other in firmer for name in one.names)
        repeats = len(set(one.table.row_names or ())) < len(one.table.row_names or ())
        if not (others and (in_names or repeats)) and not any(one.equals(other) for other in kept):
            kept.append(one)
    return kept or found[:1]


def _read_with(separator: str, lines: Lines, path: Path) -> _Reading:
    rows = rows_without_gaps(lines, separator, path)
    if separator == _ONE_COLUMN:
        grid = np.array([[line.strip().strip('"').strip()] for line in rows.lines], dtype=object)
    else:
        grid = cells_of(rows, separator, path)
        if grid.shape[1] < 2:
            raise RaggedError(f"{path} has one column.")
    layout = layout_of(grid, [_comment_cells(one, separator, path) for one in lines.comments], path)
    body = grid[layout.first_row :]
    row_names = _row_names(body, layout, rows.numbers[layout.first_row :], path)
    cells = body[:, layout.first_column : layout.end_column]
    if cells.size == 0:
        raise InputError(f"{path} holds no numbers.")
    if not all(cell == "" for cell in body[:, layout.end_column :].ravel()):
        raise RaggedError(f"The rows of {path} have different lengths.", cause="cells behind the last column that has a name")
    numbers = numbers_of(cells)
    if numbers.values is None:
        raise _refusal(numbers, grid, layout, rows.numbers, path)
    if layout.column_names is None and looks_halved(cells, separator):
        raise _two_readings_of_pairs(cells, separator, path)
    notes = (*rows.notes, *layout.notes, *((f"{path}: {numbers.note}.",) if numbers.note else ()))
    if layout.column_names is None and may_be_halved(cells, separator):
        notes += (
            f"{path} was read as {cells.shape[1]} columns of whole numbers, not as {cells.shape[1] // 2} with decimal commas.",
        )
    return _Reading(separator, Table(numbers.values, row_names, layout.column_names), layout, notes)


def _comment_cells(comment: str, separator: str, path: Path) -> list[list[str]]:
    """Split a comment as the table is split, then by the other separators."""
    versions = []
    for mark in dict.fromkeys((separator, *SEPARATORS)):
        if mark and mark in comment:
            try:
                versions.append(cells_of(Lines([comment], [1]), mark, path)[0].tolist())
            except InputError:
                continue  # a sentence with one quotation mark
    return versions


def _row_names(body: np.ndarray, layout: TableLayout, numbers: list[int], path: Path) -> tuple[str, ...] | None:
    """Return the names in the first column; raise an InputError where below its beginning it is of another kind."""
    if layout.counted and not counts_or_steps(column := body[:, 0].tolist()):
        raise InputError(
            f"The first column of {path} counts rows at its beginning, but not to its end.",
            expected="an index or times in equal steps, or data",
            found=f"{column[0]}, {column[1]}, ..., {column[-1]}",
            cause="several runs in one file, or frames that were taken out",
            fix="save each run as a file of its own, with every frame, and without index",
        )
    if not layout.rows_named:
        return None
    names = body[:, layout.first_column - 1].tolist()
    wrong = is_number if layout.rows_named == "names" else (lambda cell: np.isnan(whole_number(cell)))
    if (odd := next((k for k, cell in enumerate(names) if wrong(cell)), None)) is not None:
        raise InputError(
            f"The first column of {path} holds names in some rows, numbers in others.",
            found=f"{names[odd]!r} in line {numbers[odd]}",
            cause="a row without name",
        )
    return tuple(names) if layout.rows_named == "names" else tuple(str(int(whole_number(name))) for name in names)


def _refusal(numbers: Numbers, grid: np.ndarray, layout: TableLayout, lines: list[int], path: Path) -> InputError:
    if numbers.readings:
        return InputError(
            f"The numbers of {path} can be read in two ways.",
            expected="decimal points, and no marks between thousands",
            found="; or ".join(numbers.readings),
            cause="a spreadsheet that marks thousands, as German and English Excel do",
            fix="save it with plain numbers: 1875, or 1.875000 with more or fewer than three digits behind the point",
        )
    assert numbers.text is not None
    row, column = numbers.text[0] + layout.first_row, numbers.text[1] + layout.first_column
    cell = grid[row, column]
    return InputError(
        f"{path} holds text where numbers are expected.",
        expected="numbers, or n/a",
        found=f"{cell!r} in line {lines[row]}, column {column + 1}",
        cause=_why_text(grid, row, column),
    )


def _why_text(grid: np.ndarray, row: int, column: int) -> str | None:
    cell: str = grid[row, column]
    if row and (grid[row] == grid[0]).all():
        return "a header that stands in the table twice: several tables were joined"
    if cell.startswith("#"):
        return "an error of a spreadsheet's formula"
    digits = cell.translate(str.maketrans("", "", "'\u2019 \u00a0\u202f\u2009_,."))
    if digits.lstrip("+-").isdigit() and not is_number(cell):
        return "marks between thousands, or a number with two decimal marks"
    if not is_missing(cell) and all(not is_number(other) for other in grid[row:, column]) and len(grid) > row + 1:
        return "a column of text (a second column of names, subject, condition) beside the numbers"
    if all(not is_number(other) for other in grid[row, 1:]):
        return "a second header line (units, or names on several levels)"
    return None


def _two_readings_of_pairs(cells: np.ndarray, separator: str, path: Path) -> InputError:
    a, b = cells[0, -2:]
    mark, joined = ("decimal commas", f"{a}.{b}") if separator == "," else ("spaces between thousands", f"{a}{b}")
    whole = f"{cells.shape[1]} columns of whole numbers (..., {a}, {b})"
    return InputError(
        f"{path} can be read in two ways.",
        expected="one separator that is no mark within numbers as well",
        found=f"{whole}; or fewer, with {mark} (..., {joined})",
        cause=f"{mark} in a table that is separated by {SEPARATORS[separator]}s",
        fix="save it with decimal points, or separated by tabs or semicolons; whole numbers with a header of names",
    )


def _without_time(table: Table, path: Path) -> tuple[Table, tuple[str, ...]]:
    """Leave out a first column that is called time and rises in equal steps; UDEs need it, FC does not."""
    names = table.column_names
    if not names or len(names) < 2 or names[0].lower() not in TIME_WORDS or not steps_equally(table.values[:, 0]):
        return table, ()
    note = f"The column {names[0]!r} of {path} rises in equal steps: it was taken as the time, not as a region."
    return Table(table.values[:, 1:], table.row_names, names[1:]), (note,)


def _flaw(error: InputError) -> Flaw:
    problem, *rest = str(error).split("\n")
    parts = dict(line.strip().split(": ", 1) for line in rest if ": " in line)
    found = f" (found: {parts['found']})" if "found" in parts else ""
    return Flaw(problem.rstrip(".") + found, parts.get("fix", "correct the table, or copy it again"))


def names_of(table: Table | Content, path: str | Path) -> tuple[str, ...] | None:
    """Return the names of the regions of a square matrix, if rows or columns have any."""
    rows, columns = table.row_names, table.column_names
    if rows and columns and rows != columns:
        raise InputError(f"Rows and columns of {path} have different names.", fix="save the matrix with one order of regions")
    return columns or rows
