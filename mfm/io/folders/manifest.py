"""Manifests: what a fit needs to know of every subject of a study, as one table that a person can read, edit and keep."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mfm.errors import InputError, MissingInputError
from mfm.io.formats.system import cannot_read, home_expanded, utf8_name
from mfm.io.formats.text import split_lines, text_lines
from mfm.io.formats.write import write_tsv
from mfm.io.readers.timeseries import ORIENTATIONS
from mfm.subject import STAGES

_FILES = ("timeseries", "fc", "fcd_cdf", "sc", "parcellation")
_PARTICIPANT = "participants."
_MISSING = "n/a"


#: Files up to this size are digested whole; of larger ones so many blocks, evenly spread from the first byte to the last.
_WHOLE_BYTES, _BLOCKS, _BLOCK_BYTES = 16 << 20, 64, 64 << 10


def content_digest(path: Path) -> str:
    """Digest of a file's content: sha256 of all of it up to 16 MiB, else of 64 blocks of 64 KiB, the first and the last too.

    Series of a gigabyte are thus compared in a moment. A copy has the same digest, whatever its time; what was computed anew
    differs all over.
    """
    digest = hashlib.sha256()
    size = path.stat().st_size
    with open(path, "rb") as handle:
        if size <= _WHOLE_BYTES:
            return hashlib.file_digest(handle, "sha256").hexdigest()[:16]
        for k in range(_BLOCKS):
            handle.seek((size - _BLOCK_BYTES) * k // (_BLOCKS - 1))
            digest.update(handle.read(_BLOCK_BYTES))
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class FileStamp:
    """A file as it was when it was found.

    Parameters
    ----------
    path : Path
        Absolute.
    size : int
        Bytes.
    modified : str
        Time of its last change: UTC, whole seconds, ISO 8601.
    digest : str, optional
        Of its content (`content_digest`), as a manifest has it: a file of another time, such as a copy, may be the same.
    """

    path: Path
    size: int
    modified: str
    digest: str | None = None

    def with_digest(self) -> FileStamp:
        """The stamp with the digest of the file as it is; without one where the file is not there."""
        try:
            return replace(self, digest=content_digest(self.path))
        except OSError:
            return self

    def check(self) -> None:
        """Raise unless the file is still there and its content still the same.

        Raises
        ------
        MissingInputError
            If it is gone.
        InputError
            If it has another size or content; of a manifest without digests, another size or time.
        """
        from mfm.io.folders.tree import time_text

        again = "write the manifest anew: mfmfit inspect FOLDER --write manifest.tsv"
        try:
            status = self.path.stat()
            found = (status.st_size, time_text(status.st_mtime))
            same = found[0] == self.size and (
                found[1] == self.modified if self.digest is None else content_digest(self.path) == self.digest
            )
        except FileNotFoundError as error:
            raise MissingInputError(
                f"A file of the manifest is gone: {self.path}",
                cause="data that were moved or removed, or the manifest was moved without them",
                fix=again,
            ) from error
        except OSError as error:
            raise cannot_read(self.path, "manifest's", error) from error
        if not same:
            raise InputError(
                f"A file of the manifest has changed: {self.path}",
                expected=f"{self.size} bytes of {self.modified}" + (f", digest {self.digest}" if self.digest else ""),
                found=f"{found[0]} bytes of {found[1]}" + (", another content" if self.digest else ""),
                fix=again,
            )


@dataclass(frozen=True)
class ManifestRow:
    """One run of one subject (or one stage's FC and FCD), with everything that belongs to it.

    The table has a column for each field, in this order, and after each file a column ``<file>_stamp`` with its size, time and
    digest (``641453@2026-11-21T11:42:03Z@9f86d081884c7d65``). Paths are POSIX and relative to the manifest; ``n/a`` is missing.
    Columns of ``participants.tsv`` follow, as ``participants.<column>``.

    Parameters
    ----------
    participant_id : str
        With its ``sub-``, as in BIDS.
    session : str or None
    run : str or None
        Which run of the session; unique for a subject together with session and stage.
    stage : {"search", "validation", "test"} or None
        For FC and FCD files: what they serve for. Runs of time series are shared out by the fit.
    layout : str
        What the folder was recognised as.
    atlas : str or None
    timeseries, fc, fcd_cdf, sc, parcellation : FileStamp or None
        Either a time series, or FC with FCD CDF. The connectome is the same in all rows of a subject.
    orientation : {"frames_by_regions", "regions_by_frames"} or None
        None where nothing in the file tells.
    tr_s : float or None
        Repetition time, seconds.
    n_frames, n_regions : int or None
    participant : tuple of (column, value)
        The subject's line of ``participants.tsv``.

    Raises
    ------
    InputError
        If a value cannot be, or the row has neither a time series nor FC with FCD CDF.
    """

    participant_id: str
    session: str | None
    run: str | None
    stage: str | None
    layout: str
    atlas: str | None
    timeseries: FileStamp | None
    fc: FileStamp | None
    fcd_cdf: FileStamp | None
    sc: FileStamp | None
    parcellation: FileStamp | None
    orientation: str | None
    tr_s: float | None
    n_frames: int | None
    n_regions: int | None
    participant: tuple[tuple[str, str], ...] = ()

    def __post_init__(self):
        if not re.fullmatch(r"sub-[A-Za-z0-9][A-Za-z0-9._-]*", self.participant_id):
            raise InputError("A participant_id cannot be part of a file name.", expected="sub-<id>", found=self.participant_id)
        for name, allowed in (("stage", STAGES), ("orientation", ORIENTATIONS)):
            if (value := getattr(self, name)) not in (None, *allowed):
                raise InputError(f"The {name} of {self.participant_id} is unknown.", expected=" | ".join(allowed), found=value)
        if self.tr_s is not None and not 0 < self.tr_s <= 20:
            raise InputError(
                f"The repetition time of {self.participant_id} is implausible.",
                expected="seconds, usually 0.5 to 3",
                found=f"tr_s = {self.tr_s:g}",
                cause="milliseconds",
            )
        if (self.timeseries is None) == (self.fc is None) or (self.fc is None) != (self.fcd_cdf is None):
            raise InputError(
                f"A row of {self.participant_id} does not hold a run.",
                expected="a time series, or FC together with FCD CDF",
                found=", ".join(name for name in ("timeseries", "fc", "fcd_cdf") if getattr(self, name)) or "none of them",
            )

    @property
    def key(self) -> tuple[str | None, ...]:
        return self.participant_id, self.session, self.run, self.stage

    def check_files(self) -> None:
        """Raise unless every file of the row is as it was (`FileStamp.check`)."""
        for name in _FILES:
            if (stamp := getattr(self, name)) is not None:
                stamp.check()


def _columns() -> tuple[str, ...]:
    plain = [name for name in ManifestRow.__dataclass_fields__ if name != "participant"]
    return tuple(column for name in plain for column in ((name, f"{name}_stamp") if name in _FILES else (name,)))


COLUMNS = _columns()


def write_manifest(path: str | Path, rows: Sequence[ManifestRow]) -> Path:
    """Write a manifest, whole or not at all.

    Raises
    ------
    InputError
        If a run stands there twice.
    OutputError
        If it cannot be written.
    """
    path = home_expanded(path)
    folder = path.absolute().parent.resolve()
    _check_unique(rows, path)
    extra = list(dict.fromkeys(name for row in rows for name, _ in row.participant))
    lines = []
    digested: dict[FileStamp, FileStamp] = {}
    for row in rows:
        cells: list = []
        for name in ManifestRow.__dataclass_fields__:
            value = getattr(row, name)
            if name in _FILES:
                cells += (None, None) if value is None else (_relative(value.path, folder), _stamp_text(value, digested))
            elif name != "participant":
                cells.append(value)
        of_participant = dict(row.participant)
        lines.append(cells + [of_participant.get(name) for name in extra])
    return write_tsv(path, [*COLUMNS, *(_PARTICIPANT + name for name in extra)], lines)


def _stamp_text(stamp: FileStamp, digested: dict[FileStamp, FileStamp]) -> str:
    """Size, time and digest; a file that many rows name is read once."""
    if stamp not in digested:
        digested[stamp] = stamp if stamp.digest else stamp.with_digest()
    known = digested[stamp]
    return "@".join(str(part) for part in (known.size, known.modified, known.digest) if part is not None)


def _relative(path: Path, folder: Path) -> str:
    try:
        text = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        text = path.as_posix()
    named = utf8_name(text)
    if named is None or text != " ".join(text.split()) or not named.isprintable():
        raise InputError(
            f"A path cannot stand in a table: {path}",
            cause="tabs, line ends, double spaces, or a name that is not UTF-8",
            fix="rename it",
        )
    return text


def read_manifest(path: str | Path) -> tuple[ManifestRow, ...]:
    """Read and check a manifest; whether its files are still there is `ManifestRow.check_files`'s to tell.

    Raises
    ------
    MissingInputError
        If there is no such file.
    InputError
        If columns are missing or unknown, a value cannot be, or a run stands there twice.
    """
    from mfm.io.formats.tables import existing_file

    path = existing_file(path, "manifest")
    folder = path.absolute().parent.resolve()
    try:
        read = text_lines(path)
    except OSError as error:
        raise cannot_read(path, "manifest", error) from error
    header, *lines = split_lines(read, "\t", path, quoted=False) or [[]]
    missing = [name for name in COLUMNS if name not in header]
    unknown = [name for name in header if name not in COLUMNS and not name.startswith(_PARTICIPANT)]
    if missing or unknown or len(set(header)) < len(header):
        raise InputError(
            f"The columns of the manifest {path} are not those of a manifest.",
            expected=f"{', '.join(COLUMNS)}, and any that begin with {_PARTICIPANT}",
            found=f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}",
            cause="another table, one saved with commas, or a manifest of another version",
            fix="mfmfit inspect FOLDER --write manifest.tsv",
        )
    rows = []
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(header):
            raise InputError(
                f"Line {number} of the manifest {path} has another number of cells.",
                expected=f"{len(header)}",
                found=f"{len(cells)}",
            )
        try:
            rows.append(_row(dict(zip(header, cells, strict=True)), folder))
        except InputError as error:
            raise InputError(f"Line {number} of the manifest {path}: {error}") from error
    if not rows:
        raise InputError(f"The manifest {path} has no rows.")
    _check_unique(rows, path)
    return tuple(rows)


def _row(cells: dict[str, str], folder: Path) -> ManifestRow:
    def text(name: str) -> str | None:
        return None if cells[name] in (_MISSING, "") else cells[name]

    def stamp(name: str) -> FileStamp | None:
        if (where := text(name)) is None:
            return None
        size, _, rest = (text(f"{name}_stamp") or "").partition("@")
        modified, _, digest = rest.partition("@")
        if not size.isdecimal() or not modified:
            raise InputError(
                f"{name}_stamp is not a size and a time.",
                expected="641453@2026-11-21T11:42:03Z@DIGEST",
                found=cells[f"{name}_stamp"],
            )
        return FileStamp(Path(os.path.normpath(folder / where)), int(size), modified, digest or None)

    def number(name: str, kind: type):
        if (value := text(name)) is None:
            return None
        try:
            parsed = kind(value)
        except ValueError as error:
            raise InputError(f"{name} is not a number.", found=value) from error
        if not math.isfinite(parsed) or parsed <= 0:
            raise InputError(f"{name} is not a positive number.", found=value)
        return parsed

    extra = tuple((name.removeprefix(_PARTICIPANT), cells[name]) for name in cells if name.startswith(_PARTICIPANT))
    return ManifestRow(
        participant_id=cells["participant_id"],
        session=text("session"),
        run=text("run"),
        stage=text("stage"),
        layout=cells["layout"],
        atlas=text("atlas"),
        **{name: stamp(name) for name in _FILES},
        orientation=text("orientation"),
        tr_s=number("tr_s", float),
        n_frames=number("n_frames", int),
        n_regions=number("n_regions", int),
        participant=tuple((name, value) for name, value in extra if value != _MISSING),
    )


def _check_unique(rows: Sequence[ManifestRow], path: Path) -> None:
    seen: set[tuple] = set()
    connectomes: dict[str, FileStamp | None] = {}
    for row in rows:
        if row.key in seen:
            raise InputError(
                f"The manifest {path} holds a run of a subject twice.",
                expected="one row for each participant, session, run and stage",
                found=" ".join(part for part in row.key if part),
                fix="remove one of the rows",
            )
        seen.add(row.key)
        first = connectomes.setdefault(row.participant_id, row.sc)
        if first != row.sc:
            raise InputError(
                f"The rows of {row.participant_id} in the manifest {path} name different connectomes.",
                found=" and ".join(str(sc and sc.path) for sc in (first, row.sc)),
                fix="name the same one in all of its rows",
            )
