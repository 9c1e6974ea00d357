"""Cells of a text table: its lines, comments and gaps, and how each separator splits it."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mfm.errors import InputError

#: Separators by what they are called; runs of spaces and tabs are one.
SEPARATORS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "vertical bar", " ": "space"}
# Ends every line, and so tells how long it is: pandas fills up short lines. Text has no such character (`decode_text`).
_END = "\x1f"
_COMMENTS = ("#", "%")
# What spreadsheets write into cells without a value, in English and other languages: no comment.
_FORMULA_ERROR = re.compile(r"#(N/?A|NV|[A-Z\u00c0-\u00dc0-9/]+[!?])(?![A-Za-z])")


@dataclass(frozen=True)
class Lines:
    """The lines of a text table.

    Parameters
    ----------
    lines : list of str
        Without comments.
    numbers : list of int
        Where they stand in the file, from 1.
    comments : list of str
        Those above the table, without their mark, the last first.
    separator : str
        As Excel's line ``sep=;`` says; empty where there is none.
    notes : tuple of str
    """

    lines: list[str]
    numbers: list[int]
    comments: list[str] = field(default_factory=list)
    separator: str = ""
    notes: tuple[str, ...] = ()


def table_lines(lines: list[str], path: Path) -> Lines:
    """Part the lines of a file into those of the table and comments."""
    kept: list[str] = []
    numbers: list[int] = []
    comments: list[str] = []
    inside = 0
    separator = ""
    for number, line in enumerate(lines, start=1):
        start = line.lstrip()
        if start.startswith(_COMMENTS) and not _FORMULA_ERROR.match(start):
            if kept and any(one.strip() for one in kept):
                inside = number
            else:
                comments.append(start.lstrip("#% \t"))
        elif not separator and not comments and number == 1 and (said := re.fullmatch(r'"?sep=(.)"?', line)):
            separator = said.group(1)
        else:
            kept.append(line)
            numbers.append(number)
    notes: tuple[str, ...] = ()
    if inside and any(line.strip() for line, number in zip(kept, numbers, strict=True) if number > inside):
        notes = (f"{path} has comments among its rows, which were left out (the last in line {inside}).",)
    return Lines(kept, numbers, comments[::-1], separator, notes)


def rows_without_gaps(table: Lines, separator: str, path: Path) -> Lines:
    """Leave out empty lines above and below the table; lines of nothing but separators are rows.

    Raises
    ------
    InputError
        If there are empty lines in between, but for tables with one between any two rows.
    """
    given = [bool(line.strip()) or (separator == "\t" and "\t" in line) for line in table.lines]
    where = np.flatnonzero(given)
    gaps = np.diff(where)
    notes = table.notes
    if len(gaps) and (gaps > 1).any():
        if len(gaps) < 2 or not (gaps == gaps[0]).all():
            at = where[int(np.argmax(gaps > 1))] + 1
            raise InputError(
                f"{path} has empty lines among its rows.",
                expected="rows without gaps",
                found=f"an empty line {table.numbers[at]}, which can be read in two ways: a row without data, or nothing",
                cause="a frame that is missing, or several tables in one file",
                fix="delete the line if nothing is missing; else write n/a into its cells",
            )
        notes = (*notes, f"{path} has an empty line after every row; they were left out.")
    return Lines([table.lines[k] for k in where], [table.numbers[k] for k in where], table.comments, separator, notes)


class RaggedError(InputError):
    """Lines of different lengths."""


def cells_of(rows: Lines, separator: str, path: Path) -> np.ndarray:
    """Split rows into cells (R, C) of text without blanks around them; a header without corner, as of R, gets an empty one.

    Raises
    ------
    RaggedError
        If they are not of one length.
    InputError
        If quotation marks are not closed.
    """
    if not rows.lines:
        raise InputError(f"{path} is empty.")
    try:
        cells = _split(rows.lines, rows.numbers, separator, path)
    except RaggedError:
        first, second = (
            _split(rows.lines[k : k + 1], rows.numbers[k:], separator, path) for k in (0, min(1, len(rows.lines) - 1))
        )
        of_other_separator = first.shape[1] == 1 and any(mark in first[0, 0] for mark in SEPARATORS)
        if first.shape[1] != second.shape[1] - 1 or of_other_separator:
            raise
        rest = _split(rows.lines[1:], rows.numbers[1:], separator, path)
        # R's write.table leaves the corner above row names out; others end lines, but not the header, in a separator.
        ends_in_separator = all(cell == "" for cell in rest[:, -1])
        cells = np.concatenate([np.insert(first, first.shape[1] if ends_in_separator else 0, "", axis=1), rest])
    if separator == " " and any(cell[:1] in (",", ";") or cell[-1:] in (",", ";") for cell in cells.ravel() if cell):
        raise RaggedError(f"{path} is not separated by spaces alone.", found="commas or semicolons beside spaces")
    return cells


def _split(lines: list[str], numbers: list[int], separator: str, path: Path) -> np.ndarray:
    import pandas as pd

    text = "\n".join(f"{line.strip(' ') if separator != chr(9) else line}{separator}{_END}" for line in lines)
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=r"\s+" if separator == " " else separator,
            header=None,
            dtype=object,
            na_filter=False,
            skip_blank_lines=False,
            skipinitialspace=True,
            index_col=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if found is None:
            raise _not_closed(path, str(error)) from error
        expected, line, saw = map(int, found.groups())
        raise _ragged(path, expected - 1, saw - 1, numbers[line - 1]) from error
    cells = table.to_numpy()
    if len(cells) != len(lines):
        raise _not_closed(path, f"{len(lines)} lines, but {len(cells)} rows")
    ends = cells[:, -1] == _END
    if not ends.all():
        short = int(np.argmin(ends))
        where = np.flatnonzero(cells[short] == _END)
        if not len(where):
            raise _not_closed(path, f"line {numbers[short]}: {lines[short][:60]}")
        raise _ragged(path, cells.shape[1] - 1, int(where[0]), numbers[short])
    return np.frompyfunc(str.strip, 1, 1)(cells[:, :-1])


def _not_closed(path: Path, found: str) -> InputError:
    return InputError(
        f"{path} has a quotation mark that is not closed in its line.",
        expected='marks in pairs, within one line: "lh area"',
        found=found,
        cause="a damaged file, or a line break inside of a cell",
    )


def _ragged(path: Path, expected: int, found: int, line: int) -> RaggedError:
    halved = found == 2 * expected or found == 2 * expected - 1
    return RaggedError(
        f"The rows of {path} have different lengths.",
        expected=f"{expected} columns, as in the rows before",
        found=f"{found} columns in line {line}",
        cause="decimal commas in a table that is separated by commas"
        if halved
        else "a truncated file, missing cells, or a separator that is neither comma, semicolon, tab nor space",
    )
