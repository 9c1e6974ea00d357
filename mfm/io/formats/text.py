"""Text from bytes: which encoding they are in, and where lines end."""

from __future__ import annotations

import codecs
import csv
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from mfm.errors import InputError, InputNote

# UTF-32 before UTF-16: the mark of one begins with that of the other.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Not `str.splitlines`, which also splits at characters that stand inside of lines (form feeds, and byte 0x85 of Latin-1).
_LINE_END = re.compile(r"\r\n|\r|\n")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_END_OF_FILE_OF_DOS = "\x1a"


def begins_as_text(head: bytes) -> bool:
    """Whether a file that begins with `head` may be text: it has a byte order mark, or no NUL."""
    return head.startswith(tuple(mark for mark, _ in _MARKS)) or b"\0" not in head


def decode_text(content: bytes, path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the text of bytes in UTF-8, UTF-16, UTF-32 or Windows-1252, without byte order mark, and notes on it.

    Raises
    ------
    InputError
        If they are no text.
    """
    encoding = _encoding(content)
    notes: tuple[str, ...] = ()
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise _no_text(path, str(error)) from error
        text, notes = _western(content, path, error)
    text = text.rstrip(_END_OF_FILE_OF_DOS)
    if (control := _CONTROL.search(text)) is not None:
        raise _no_text(path, f"the character {control.group()!r}")
    return text, notes


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, whether they end as in Unix, in Windows or on an old Macintosh."""
    return _LINE_END.split(text)


def text_lines(path: str | Path) -> list[str]:
    """Return the lines of a text file, and warn of what should be known of its encoding (`decode_text`)."""
    path = Path(path)
    text, notes = decode_text(path.read_bytes(), path)
    for note in notes:
        warnings.warn(InputNote(note), stacklevel=3)
    lines = lines_of(text)
    return lines[: -1 if lines[-1] == "" else None]


def split_lines(lines: Sequence[str], separator: str, path: Path, quoted: bool = True) -> list[list[str]]:
    """Split lines of text at a separator; InputError where that cannot be done (a cell of more than 131072 characters)."""
    try:
        return list(csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE))
    except csv.Error as error:
        raise InputError(f"{path} is no table.", found=str(error), cause="a damaged file, or one of another kind") from error


def _encoding(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding
    # Without a mark: in UTF-16 every other byte of digits and separators is NUL.
    even, odd = content[:4096:2], content[1:4096:2]
    if len(content) % 2 == 0 and content:
        if 2 * odd.count(0) > len(odd) and not even.count(0):
            return "utf-16-le"
        if 2 * even.count(0) > len(even) and not odd.count(0):
            return "utf-16-be"
    return "utf-8"


def _western(content: bytes, path: Path, error: UnicodeDecodeError) -> tuple[str, tuple[str, ...]]:
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        raise _no_text(path, str(error)) from error
    word = re.search(r'[^\s,;"]*[^\x00-\x7f][^\s,;"]*', text)
    example = f", such as {word.group()[:40]!r}" if word else ""
    note = (
        f"{path} is not UTF-8: it was read as Latin-1 (Windows-1252){example}. If that is spelled wrongly, its encoding is "
        "another one: save it as UTF-8."
    )
    return text, (note,)


def _no_text(path: Path, found: str) -> InputError:
    return InputError(
        f"{path} is not a UTF-8 text file.",
        expected="text in UTF-8, UTF-16 or Latin-1",
        found=found,
        cause="a file of another kind, a damaged one, or one in a rare encoding",
        fix="save it as text in UTF-8",
    )
