"""Numbers as people and programs spell them: decimal points and commas, grouped thousands, and words for what is missing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

#: Spellings of a missing value, in lower case: those of BIDS, pandas, R, MATLAB, SPSS, SQL and Excel.
MISSING = frozenset(
    ["", *"n/a na nan +nan -nan none null <na> nat - -- . .. ? #n/a #na 1.#ind -1.#ind 1.#qnan -1.#qnan".split(), "#n/a n/a"]
)
_EXPONENT = r"(?:[eE][+-]?\d+)?"
_INFINITE = r"[+-]?(?:inf|infinity)"


@dataclass(frozen=True)
class Spelling:
    """One way to spell numbers.

    Parameters
    ----------
    decimal, thousands : str
        The marks; `thousands` is empty where digits are not grouped.
    """

    decimal: str
    thousands: str = ""

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        point = re.escape(self.decimal)
        if not self.thousands:
            text = rf"[+-]?(?:\d+{point}?\d*|{point}\d+){_EXPONENT}|{_INFINITE}"
        else:
            group = re.escape(self.thousands)
            text = rf"[+-]?(?:[1-9]\d{{0,2}}(?:{group}\d{{3}})+|0|[1-9]\d{{0,2}})(?:{point}\d*)?"
        return re.compile(text, re.ASCII | re.IGNORECASE)

    def spells(self, cell: str) -> bool:
        """Whether a cell is a number in this spelling."""
        return self._pattern.fullmatch(cell) is not None

    def number(self, cell: str) -> float:
        """Return the number that a cell spells."""
        plain = cell.replace(self.thousands, "") if self.thousands else cell
        return float(plain.replace(self.decimal, "."))

    def __str__(self) -> str:
        names = {".": "points", ",": "commas"}
        return f"{names[self.thousands]} between thousands" if self.thousands else f"decimal {names[self.decimal]}"


POINT, COMMA = Spelling("."), Spelling(",")
_GROUPED = {POINT: Spelling(",", "."), COMMA: Spelling(".", ",")}


def is_missing(cell: str) -> bool:
    """Whether a cell stands for a missing value."""
    return cell.lower() in MISSING


def is_number(cell: str) -> bool:
    """Whether a cell holds a number in any spelling, or stands for a missing one."""
    return is_missing(cell) or POINT.spells(cell) or any(one.spells(cell) for one in (COMMA, *_GROUPED.values()))


def whole_number(cell: str) -> float:
    """Return the whole number >= 0 that a cell spells (``3``, ``3.0``); NaN for anything else."""
    found = re.fullmatch(r"\+?(\d{1,15})(?:[.,]0*)?", cell, re.ASCII)
    return float(found.group(1)) if found else float("nan")


@dataclass(frozen=True, eq=False)
class Numbers:
    """Numbers of the same shape as their cells, or, where these have two readings or none, what stands against them.

    Parameters
    ----------
    values : array of float64 or None
    note : str
        Where another reading differs by a factor of 1000 throughout.
    readings : tuple of str
        Two readings between which nothing decides.
    text : (int, int) or None
        Row and column of the first cell that is no number.
    """

    values: np.ndarray | None
    note: str = ""
    readings: tuple[str, ...] = ()
    text: tuple[int, int] | None = None


def numbers_of(cells: np.ndarray) -> Numbers:
    """Read cells (R, C) of text as numbers, all in one spelling; missing ones are NaN."""
    flat = cells.ravel().tolist()
    given = [cell for cell in flat if not is_missing(cell)]
    plain = POINT if all(map(POINT.spells, given)) else COMMA if all(map(COMMA.spells, given)) else None
    if plain is None:
        grouped = next((one for one in _GROUPED.values() if all(map(one.spells, given))), None)
        if grouped is None:
            k = _first_odd(flat)
            return Numbers(None, text=(k // cells.shape[1], k % cells.shape[1]))
        example = next(cell for cell in given if grouped.thousands in cell)
        return Numbers(_values(flat, grouped, cells.shape), f"{grouped}: {example} was read as {grouped.number(example):.15g}")
    other = _GROUPED[plain]
    marked = [cell for cell in given if plain.decimal in cell]
    if not marked or not all(map(other.spells, given)):
        return Numbers(_values(flat, plain, cells.shape))
    example = marked[0]
    readings = tuple(f"{one}: {example} is {one.number(example):.15g}" for one in (plain, other))
    if len(marked) < len(given):
        return Numbers(None, readings=readings)
    said = f"every number has three digits behind its mark: {example} was read as {plain.number(example):g}"
    return Numbers(_values(flat, plain, cells.shape), f"{said}, not as {other.number(example):.15g}")


def _values(flat: Sequence[str], spelling: Spelling, shape: tuple[int, ...]) -> np.ndarray:
    # `float` rounds as IEEE 754 says, so that what was written with enough digits comes back equal.
    if spelling == POINT:
        try:
            return np.array(list(map(float, flat)), dtype=np.float64).reshape(shape)
        except ValueError:
            pass  # missing values that are not spelled nan
    numbers = (float("nan") if is_missing(cell) else spelling.number(cell) for cell in flat)
    return np.fromiter(numbers, np.float64, len(flat)).reshape(shape)


def _first_odd(flat: Sequence[str]) -> int:
    """Position of the first cell that is no number in any spelling, else of the first that is none in the first one's."""
    odd = next((k for k, cell in enumerate(flat) if not is_number(cell)), None)
    if odd is not None:
        return odd
    told = [k for k, cell in enumerate(flat) if not is_missing(cell)]
    first = next((flat[k] for k in told if ("." in flat[k]) != ("," in flat[k])), flat[told[0]])
    fits = (POINT, _GROUPED[COMMA]) if "." in first else (COMMA, _GROUPED[POINT])
    return next((k for k in told if not any(one.spells(flat[k]) for one in fits)), told[0])


def looks_halved(cells: np.ndarray, separator: str) -> bool:
    """Whether whole numbers (R, C) look like the halves of numbers that were split at a mark of theirs.

    Separated by commas: the second of each pair holds the digits behind a decimal comma, which begin with zeros, are more than
    those before it, equally many throughout, or of other lengths column by column. Two columns of whole numbers may be either.
    Separated by spaces: two columns, the second of three digits throughout.
    """
    if separator == " ":
        pairs = cells.shape[1] == 2 and len(cells) > 2
        return pairs and all(re.fullmatch(r"[+-]?[1-9]\d{0,2} \d{3}", f"{a} {b}", re.ASCII) for a, b in cells.tolist())
    if separator != ",":
        return False
    whole = re.compile(r"[+-]?\d+", re.ASCII).fullmatch
    padded = re.compile(r"0\d+", re.ASCII).fullmatch
    flat = cells.ravel().tolist()
    maybe = any(cell[:1] == "0" and cell.isdecimal() and len(cell) > 1 for cell in flat)
    if maybe and any(padded(b) and whole(a) for row in cells.tolist() for a, b in itertools.pairwise(row)):
        return True
    if not all(whole(cell) or is_missing(cell) for cell in flat):
        return False
    cells = cells[[all(map(whole, row)) for row in cells.tolist()]]
    if cells.shape[1] % 2 or not len(cells):
        return False
    before, behind = cells[:, ::2].ravel().tolist(), cells[:, 1::2].ravel().tolist()
    if not all(cell.isdigit() for cell in behind):
        return False
    if any(re.fullmatch(r"[+-]0+", cell) for cell in before):
        return True
    digits = [(len(a.lstrip("+-")), len(b)) for a, b in zip(before, behind, strict=True)]
    lengths = {b for _, b in digits}
    outnumbered = all(a < b for a, b in digits)
    alike = len(lengths) == 1 and min(lengths) > 1 and {a for a, _ in digits} != lengths
    lengthy = np.array([[len(cell.lstrip("+-")) for cell in row] for row in cells.tolist()]).mean(axis=0)
    apart = lengthy[::2].min() > lengthy[1::2].max() + 0.5 or lengthy[1::2].min() > lengthy[::2].max() + 0.5
    return (len(digits) >= 6 and (outnumbered or alike or apart)) or (cells.shape[1] == 2 and len(cells) > 2)


def may_be_halved(cells: np.ndarray, separator: str) -> bool:
    """Whether numbers (R, C) between commas could be halves of others, though nothing shows it: whole, C even, no matrix."""
    if separator != "," or cells.shape[1] % 2 or cells.shape[1] == len(cells) or len(cells) < 3:
        return False
    return all(one.isdecimal() or is_missing(one) or one[1:].isdecimal() for one in cells.ravel().tolist())
