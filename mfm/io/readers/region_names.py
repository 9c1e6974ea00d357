"""Names of regions from the files that tools keep them in."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from mfm.brain.atlas import DESIKAN_VARIANTS
from mfm.errors import InputError, InputNote
from mfm.io.formats.input_file import InputFile
from mfm.io.formats.registry import FORMATS
from mfm.io.formats.system import home_expanded
from mfm.io.formats.text import decode_text, lines_of, split_lines

_NAME_COLUMNS = ("label", "labels", "name", "names", "region", "regions", "label_name", "roi_name", "region_name", "node")


def read_labels(source: str | Path) -> tuple[str, ...]:
    """Read names of regions, in order.

    Parameters
    ----------
    source : path or {"DK68", "DK70", "DK70-unknown", "DK71", "DK72", "DK82"}
        A file with one name a line; one csv row (ENIGMA); a table with a column ``label``, ``name`` or ``region`` (atlas tsv of
        BIDS, look-up tables of micapipe); or a FreeSurfer colour table (index, name, colour). Or a list that is built in: the
        rows of the Desikan-Killiany atlas as tools export them (`mfm.Atlas.desikan`).

    Returns
    -------
    tuple of str

    Raises
    ------
    MissingInputError
        If the file is not there.
    InputError
        If it is no text or holds no names.
    """
    if str(source) in DESIKAN_VARIANTS and not Path(source).exists():
        return DESIKAN_VARIANTS[str(source)]
    path = home_expanded(source)
    file = InputFile(path, "region names")
    if any(one.has_signature and one.sniff(file.head) for one in FORMATS):
        raise InputError(f"{path} is not a UTF-8 text file.", found="binary content", cause="a file of another kind")
    text, notes = decode_text(file.content(), path)
    for note in notes:
        warnings.warn(InputNote(note), stacklevel=2)
    lines = [line.strip() for line in lines_of(text) if line.strip() and not line.startswith("#")]
    if not lines:
        raise InputError(f"{path} holds no region names.")
    delimiter = next((d for d in "\t,;" if all(d in line for line in lines)), None)
    if delimiter is not None:
        rows = [[cell.strip() for cell in row] for row in split_lines(lines, delimiter, path)]
        return tuple(name for name in rows[0] if name) if len(rows) == 1 else _column(rows, path)
    cells = [line.split() for line in lines]
    if all(len(row) >= 5 and row[0].isdigit() and row[2].isdigit() for row in cells):
        return tuple(row[1] for row in cells)
    return tuple(line.strip('"') for line in lines)


def _column(rows: list[list[str]], path: Path) -> tuple[str, ...]:
    header = [cell.lower() for cell in rows[0]]
    where = next((header.index(name) for name in _NAME_COLUMNS if name in header), None)
    if where is None:
        raise InputError(
            f"{path} has no column of region names.",
            expected=f"a column called {', '.join(_NAME_COLUMNS[:5])}, ..., or one name a line",
            found=f"columns {', '.join(rows[0][:8])}",
        )
    names = [row[where] if len(row) > where else "" for row in rows[1:]]
    # micapipe's table of what is below the cortex leaves the parcels of the cerebellum without names.
    number = header.index("mics") if "mics" in header else None
    return tuple(
        name or (f"cerebellum-{row[number]}" if number is not None else f"unnamed-{k + 1}")
        for k, (name, row) in enumerate(zip(names, rows[1:], strict=True))
    )


def region_names(labels: Sequence[str] | str | Path | None) -> tuple[str, ...] | None:
    """Return the names as given, or those of the file or list that is named."""
    if labels is None:
        return None
    return read_labels(labels) if isinstance(labels, (str, Path)) else tuple(str(label) for label in labels)
