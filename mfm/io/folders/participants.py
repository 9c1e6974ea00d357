"""What ``participants.tsv`` of a study tells of its subjects."""

from __future__ import annotations

from pathlib import Path

from mfm.errors import InputError
from mfm.io.folders.findings import SUSPICIOUS, Finding
from mfm.io.formats.text import split_lines, text_lines

#: Columns and values of each subject.
Participants = dict[str, tuple[tuple[str, str], ...]]


def read_participants(folder: Path) -> tuple[Participants, list[Finding]]:
    """Read ``participants.tsv``; where it cannot be read that is a finding, for it tells nothing that a fit needs.

    Raises
    ------
    InputError
        If it is read, but is no list of participants, or lists one twice.
    """
    try:
        return _lines(folder), []
    except OSError as error:
        text = f"participants.tsv cannot be read, and is passed over ({error})"
        return {}, [Finding(SUSPICIOUS, text, "ask its owner for permission")]


def _lines(folder: Path) -> Participants:
    """Return the lines of ``participants.tsv``; ids stay text, with their leading zeros."""
    path = folder / "participants.tsv"
    if not path.is_file():
        return {}
    header, *lines = split_lines(text_lines(path), "\t", path) or [[]]
    if not header or header[0] != "participant_id":
        raise InputError(
            f"{path} is not a list of participants.", expected="participant_id as the first column", found=str(header[:1])
        )
    found: Participants = {}
    for cells in lines:
        if cells and cells[0]:
            participant_id = f"sub-{cells[0].removeprefix('sub-')}"
            if participant_id in found:
                raise InputError(f"{path} lists {participant_id} twice.", fix="remove one of its lines")
            found[participant_id] = tuple(
                (name, value) for name, value in zip(header[1:], cells[1:], strict=False) if value not in ("", "n/a")
            )
    return found
