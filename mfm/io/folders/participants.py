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
    path = folder / "participants.tsv"
    if not path.is_file():
        return {}, []
    try:
        rows = split_lines(text_lines(path), "\t", path)
    except (OSError, InputError) as error:
        text = f"participants.tsv cannot be read, and is passed over ({str(error).splitlines()[0]})"
        return {}, [Finding(SUSPICIOUS, text, "save it anew: tabs between columns, UTF-8")]
    return _participants(rows, path), []


def _participants(rows: list[list[str]], path: Path) -> Participants:
    """What the rows tell of each subject; ids stay text, with their leading zeros."""
    header, *lines = rows or [[]]
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
