"""Which rows and columns of a table hold names, ids or a count, and which hold data.

Decisions rest on the first rows (`SAMPLE_ROWS`), so that a look at a file's beginning tells what reading all of it would.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mfm.errors import InputError
from mfm.io.formats.spelled_numbers import COMMA, POINT, is_missing, is_number, whole_number

SAMPLE_ROWS = 200
# What the first cell of a header is called, in lower case: of a column that counts, and of one that tells regions.
_INDEX_WORDS = frozenset(("", "#", "index", "idx", "unnamed: 0", "frame", "frames", "row", "volume", "volumes"))
_REGION_WORDS = frozenset("region regions roi rois label labels name names id ids node nodes parcel parcels area areas".split())
#: What a first column of times is called, in lower case.
TIME_WORDS = frozenset(("time", "t", "time_s", "time (s)", "seconds"))
# Words that tell a sentence in a comment from names.
_SENTENCE = frozenset("a an and as at by for from in is made of on the this to was were with written".split())
# Chance that numbers of the data are whole, all of them, in a line of a header's length.
_DECISIVE = 1e-5
_FEW, _MANY = 6, 8
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_STEP_TOLERANCE = 0.02


@dataclass(frozen=True)
class TableLayout:
    """Where the data of a table stand, and the names around them.

    Parameters
    ----------
    first_row, first_column, end_column : int
        Of the data.
    column_names : tuple of str or None
        Of the columns with data.
    rows_named : {"", "names", "ids"}
        What the column before the data holds, where it names rows.
    counted : bool
        Whether the first column counts rows, or tells their time in equal steps.
    notes : tuple of str
    """

    first_row: int
    first_column: int
    end_column: int
    column_names: tuple[str, ...] | None
    rows_named: str = ""
    counted: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Header:
    """Cells of a header, one for each column; `names` False where they only count; `row` whether it is the first row."""

    cells: tuple[str, ...]
    names: bool
    row: bool
    notes: tuple[str, ...] = ()


def layout_of(grid: np.ndarray, comments: Sequence[Sequence[Sequence[str]]], path: Path) -> TableLayout:
    """Tell names from data in the cells (R, C) of a table.

    Parameters
    ----------
    grid : array of str, (R, C)
    comments : sequence of sequence of sequence of str
        The cells of each comment line above the table, the last first; as many versions as there are separators.
    path : path
        For messages.

    Raises
    ------
    InputError
        If a first row or column can be read as data and as a header.
    """
    sample = grid[: SAMPLE_ROWS + 1]
    end, notes = _end_column(sample, path)
    sample = sample[:, :end]
    named = end > 1 and len(sample) > 1 and not any(map(is_number, sample[1:, 0]))
    header = _header(sample, named, path)
    if header is None or not header.row:
        doubts = () if header is None else header.notes
        if (in_comments := _header_in_comments(sample, comments, named, path)) is not None:
            header = replace(in_comments, notes=(*in_comments.notes, *doubts))
    body = sample[1:] if header is not None and header.row else sample
    notes += header.notes if header is not None else ()
    rows_named, counted = "", False
    more: tuple[str, ...] = ()
    if end > 1 and not any(map(is_number, body[:, 0])) and len(body):
        rows_named = "names"
    elif end > 1 and len(body) > 1:
        rows_named, counted, more = _first_column(body, header, path)
    first_column = int(bool(rows_named) or counted)
    if counted and end > 2 and not any(map(is_number, body[:, 1])):
        rows_named, first_column = "names", 2  # an index and names, as in the tables of a fit
    columns = None if header is None or not header.names else header.cells[first_column:]
    return TableLayout(int(header is not None and header.row), first_column, end, columns, rows_named, counted, (*notes, *more))


def _end_column(sample: np.ndarray, path: Path) -> tuple[int, tuple[str, ...]]:
    """Leave out columns at the end that have neither name nor data: each line ends in separators."""
    end = sample.shape[1]
    while end > 1 and all(cell == "" for cell in sample[:, end - 1]):
        end -= 1
    if end == sample.shape[1] or (len(sample) > 1 and not any(is_number(cell) for cell in sample[0, 1:end])):
        return end, ()  # a header without a name for them proves it
    note = f"Every line of {path} ends in a separator: it was taken as the end of the line, not as a column without data."
    return end, (note,)


def _header(sample: np.ndarray, named: bool, path: Path) -> _Header | None:
    """The first row, if it is one of names (throughout, but for the corner: one odd cell is an error) or of ids."""
    first, body = sample[0].tolist(), sample[1:]
    corner, width = first[0], len(first)
    names = first[1:] if width > 2 or (named and width == 2) else [cell for cell in first if cell]
    if not names:
        return None
    if not any(map(is_number, names)):
        corner_is_number = is_number(corner) and corner != "" and width > 2
        return None if corner_is_number and not named else _Header(tuple(first), True, True)
    if not len(body):
        return None
    if width == 1:
        return _numbered_column(corner, body[:, 0].tolist(), path)
    ids = [whole_number(cell) for cell in names]
    distinct = not np.isnan(ids).any() and len(set(ids)) == len(ids)
    if named or not is_number(corner) or corner == "":
        known = corner.lower() in _INDEX_WORDS | _REGION_WORDS | TIME_WORDS
        if not distinct or not known or not (named or _counts_or_tells(body[:, 0].tolist())):
            return None
        counts = _counts(ids)
        if not counts:
            _refuse_unordered(ids, "first row", path)
        return _Header((corner, *map(_spelled, ids)), not counts, True)
    beside = int(width > 2 and len(body) >= _FEW and counts_or_steps(body[:, 0].tolist()))  # an index tells nothing of data
    kind = _Line(first[beside:], body[:, beside:], "row", path).kind()
    listed = _listed(first[beside:])
    if kind in ("data", "doubt"):
        return _Header((), False, False, (_doubt("row", listed, path),)) if kind == "doubt" else None
    what = "numbers its columns" if kind == "index" else "holds whole numbers"
    taken = "a header without names" if kind == "index" else "a header of region ids"
    note = f"The first row of {path} {what} ({listed}): it was taken as {taken}, not as data."
    return _Header(tuple(map(_spelled, ids)) if len(ids) == width else tuple(first), kind == "ids", True, (note,))


def _numbered_column(first: str, cells: list[str], path: Path) -> _Header | None:
    """Tell the 0 that pandas writes above a column without name: of decimals it is the only one without point."""
    given = [cell for cell in cells if not is_missing(cell)]
    if first != "0" or len(given) < 3 or any(_WHOLE.fullmatch(cell) for cell in given):
        return None
    note = f"The first line of {path} (0) was taken as the number of its column, as pandas writes it, not as data."
    return _Header((first,), False, True, (note,))


def _header_in_comments(sample: np.ndarray, comments, named: bool, path: Path) -> _Header | None:
    """Names in a comment above the table, as `numpy.savetxt` writes them: one for each column."""
    width = sample.shape[1]
    if width < 2:
        return None
    beside = named or (len(sample) >= _FEW and _counts_or_tells(sample[:, 0].tolist()))  # a first column that has no name
    for versions in comments:
        for cells in versions:
            cells = ["", *cells] if len(cells) == width - 1 and beside else list(cells)
            while len(cells) > width and cells[-1] == "":
                cells.pop()
            names = cells[1:] if width > 2 else cells
            if _SENTENCE & {word.lower() for name in names for word in name.split()}:
                continue
            if len(cells) != width or len(set(names)) < len(names) or any(name.endswith((":", ".")) for name in names):
                continue
            ids = [whole_number(name) for name in names]
            are_ids = not np.isnan(ids).any() and len(ids) > 1
            if (are_ids and not _counts(ids)) or not any(map(is_number, names)):
                if are_ids:
                    _refuse_unordered(ids, "comment", path)
                note = f"The columns of {path} are named as in its comment: {_listed([cell for cell in cells if cell])}."
                return _Header(tuple(cells), True, False, (note,))
    return None


def _first_column(body: np.ndarray, header: _Header | None, path: Path) -> tuple[str, bool, tuple[str, ...]]:
    """What a first column of numbers is: (names of rows, whether it counts them, notes)."""
    column = body[:, 0].tolist()
    name = header.cells[0].lower() if header is not None and header.cells else None
    if name and is_number(name):
        name = None
    whole = [whole_number(cell) for cell in column]
    distinct = not np.isnan(whole).any() and len(set(whole)) == len(whole)
    if name is not None and name not in _INDEX_WORDS | _REGION_WORDS:
        return "", False, ()
    if name in _INDEX_WORDS and distinct and steps_equally(whole):
        return "", True, ()
    beside = header.cells[1:] if header is not None and header.cells else ()
    if name == "" and distinct and (len(column) == len(beside) or beside == tuple(map(_spelled, whole))):
        return "ids", False, ()  # of a matrix
    if name in _REGION_WORDS:
        if not distinct:
            return "", False, ()
        if not _counts(whole):
            _refuse_unordered(whole, "first column", path)
        return ("", True, ()) if _counts(whole) else ("ids", False, ())
    kind = _Line(column, body[:, 1:].T, "column", path).kind()
    if kind in ("data", "doubt"):
        return "", False, (_doubt("column", _listed(column), path),) if kind == "doubt" else ()
    taken = {"index": "an index", "time": "an index or the time", "ids": "ids of the rows"}[kind]
    note = f"The first column of {path} ({_listed(column)}) was taken as {taken}, not as data."
    return ("ids", False, (note,)) if kind == "ids" else ("", True, (note,))


def counts_or_steps(column: Sequence[str]) -> bool:
    """Whether a column of cells rises in equal steps, as a count or the time does."""
    return steps_equally(_floats(column))


def _counts_or_tells(column: Sequence[str]) -> bool:
    numbers = [whole_number(cell) for cell in column]
    return (not np.isnan(numbers).any() and len(set(numbers)) == len(numbers)) or counts_or_steps(column)


@dataclass(frozen=True)
class _Line:
    """A first row or column (n,) of numbers, and the rest of the table (m, n) along it.

    It is no data if it is of whole numbers, each once, where data are not; or counts; or lies far off.
    """

    cells: Sequence[str]
    rest: np.ndarray
    side: str
    path: Path

    def kind(self) -> str:
        """Return "data", "index", "ids", "time", or "doubt" for data that may be ids; an InputError where nothing decides."""
        n = len(self.cells)
        square, square_without = len(self.rest) + 1 == n, len(self.rest) == n
        whole = np.array([whole_number(cell) for cell in self.cells])
        square = square and self._is_symmetric()  # a matrix may begin in any way
        if self.side == "column" and n >= _MANY and not square and steps_equally(_floats(self.cells)):
            return "index" if _counts(whole) else "time"
        if n < 2 or np.isnan(whole).any() or len(set(whole.tolist())) < n:
            return "data"
        others = [cell for cell in self.rest.ravel().tolist() if not is_missing(cell)]
        # Of numbers that are spelled without point, others spelled so count; else those of whole value.
        alike = [_WHOLE.fullmatch(cell) is not None for cell in others]
        if not all(map(_WHOLE.fullmatch, self.cells)):
            alike = [not np.isnan(whole_number(cell.lstrip("-"))) for cell in others]
        share = (sum(alike) + 1) / (len(others) + 2)
        if share**n < _DECISIVE:
            if not _counts(whole):
                _refuse_unordered(whole, f"first {self.side}", self.path)
            return "index" if _counts(whole) else "ids"
        return self._kind_among_whole_numbers(whole, square, square_without, n > 2 or share < 0.5)

    def _kind_among_whole_numbers(self, whole: np.ndarray, square: bool, square_without: bool, enough: bool) -> str:
        n, is_row = len(whole), self.side == "row"
        certain = square_without or self._is_far_off(whole)
        rises = bool((np.diff(whole) > 0).all())
        if square and is_row and rises and whole[0] == 0 and n >= _FEW - 1:
            pass  # a row and a column of ids around a corner of 0, or a matrix that begins like one
        elif _counts(whole) and n > (2 if is_row else _FEW - 2):
            if square and n < _FEW:
                return "data"
            if certain or (n >= _MANY and not square):
                return "index"
        elif n < (3 if is_row else _MANY) or not rises:
            return "data"
        elif not (is_row and enough) or not (certain or (n >= _MANY - 1 and not square)):
            return "data" if square else "doubt"
        elif certain and n >= _MANY - 1:
            return "ids"
        numbers = "a header, or data" if is_row else "an index, or data"
        raise InputError(
            f"The first {self.side} of {self.path} counts the columns."
            if is_row and _counts(whole)
            else f"The first {self.side} of {self.path} may be a header of ids or data."
            if is_row
            else f"The first column of {self.path} may be an index or data.",
            expected="numbers, with names of regions or without",
            found=f"{_listed(self.cells)}, which can be read in two ways: {numbers}",
            cause=f"a table saved with numbered {'columns' if is_row else 'rows'}, as pandas does",
            fix="save it without header and index (header=False, index=False), or with region names",
        )

    def _is_symmetric(self) -> bool:
        table = np.array([_floats(row) for row in (list(self.cells), *self.rest.tolist())])
        return np.array_equal(table, table.T, equal_nan=True)

    def _is_far_off(self, whole: np.ndarray) -> bool:
        """Whether all of the line is farther from the rest than the rest is wide."""
        rest = np.array([_floats(row) for row in self.rest.tolist()])
        known = np.isfinite(rest).any(axis=0)
        if not known.any():
            return False
        low, high = np.nanmin(rest[:, known], axis=0), np.nanmax(rest[:, known], axis=0)
        span, line = high - low, whole[known]
        return bool(((line < low - span) | (line > high + span)).all() and (span > 0).any())


def _floats(cells: Sequence[str]) -> list[float]:
    return [one.number(c) if (one := POINT if POINT.spells(c) else COMMA).spells(c) else float("nan") for c in cells]


def _counts(numbers: Sequence[float] | np.ndarray) -> bool:
    """Whether numbers count from 0 or 1."""
    return any(np.array_equal(numbers, np.arange(len(numbers)) + first) for first in (0, 1))


def steps_equally(numbers: Sequence[float] | np.ndarray) -> bool:
    """Whether numbers rise in equal steps, but for rounding."""
    if len(numbers) < 2 or not np.isfinite(numbers).all():
        return False
    steps = np.diff(np.asarray(numbers, dtype=np.float64))
    step = float(np.median(steps))
    return step > 0 and bool((np.abs(steps - step) <= _STEP_TOLERANCE * step).all())


def _refuse_unordered(ids: Sequence[float] | np.ndarray, where: str, path: Path) -> None:
    """Raise an InputError for numbers that are 0 or 1 to N in another order: places or names, nothing tells."""
    n = len(ids)
    if n < 3 or not any(np.array_equal(np.sort(ids), np.arange(n) + first) for first in (0, 1)):
        return
    raise InputError(
        f"The {where} of {path} holds the numbers of its regions, but not in order.",
        expected="names, ids, or numbers in order",
        found=f"{_listed([_spelled(one) for one in ids])}: the order of the file, or numbers by which to sort it",
        cause="numbers that were sorted as text (1, 10, 11, 2, ...), or regions in another order than the atlas's",
        fix="save it with region names, or in the order of the numbers",
    )


def _doubt(side: str, listed: str, path: Path) -> str:
    return (
        f"The first {side} of {path} ({listed}) was taken as data. If it holds ids of regions, the file was misread: save it "
        "with names."
    )


def _spelled(number: float) -> str:
    return str(int(number))


def _listed(cells: Sequence[str]) -> str:
    return ", ".join(cells) if len(cells) < 4 else f"{cells[0]}, {cells[1]}, ..., {cells[-1]}"
