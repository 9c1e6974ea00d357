"""From a manifest's rows to the files of a subject's fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mfm.errors import ConfigError, InputError
from mfm.io.folders.manifest import ManifestRow
from mfm.io.subject.files import DataFiles, StageFiles


@dataclass(frozen=True)
class SubjectFiles:
    """The files of a subject, and what was found of its scans.

    Parameters
    ----------
    files : DataFiles
        What was not found is left at its default.
    tr_s : float or None
        Repetition time, seconds; None where nothing tells it.
    atlas : str or None
    """

    files: DataFiles
    tr_s: float | None
    atlas: str | None


def rows_of(rows: Iterable[ManifestRow], subject: str | None, session: str | None = None) -> tuple[ManifestRow, ...]:
    """The rows of one subject.

    Parameters
    ----------
    rows : iterable of ManifestRow
    subject : str or None
        With or without ``sub-``; None for the only one.
    session : str, optional
        One of its sessions, or ``all``.

    Raises
    ------
    ConfigError
        If there is no such subject or session, or several and none was named.
    """
    rows = tuple(rows)
    ids = list(dict.fromkeys(row.participant_id for row in rows))
    listed = ", ".join(ids[:6]) + (f", ... ({len(ids)} in all)" if len(ids) > 6 else "")
    if subject is None:
        if len(ids) != 1:
            raise ConfigError("The subject is not said.", found=listed or "none", fix=f'`subject="{ids[0] if ids else "ID"}"`')
        subject = ids[0]
    own = tuple(row for row in rows if row.participant_id == f"sub-{subject.removeprefix('sub-')}")
    if not own:
        raise ConfigError(f"There is no subject {subject}.", expected=f"one of {listed or 'none'}", fix='`subject="ID"`')
    if session == "all":
        return own
    sessions = list(dict.fromkeys(row.session for row in own if row.session))
    if session is not None:
        kept = tuple(row for row in own if row.session == session.removeprefix("ses-"))
        if not kept:
            raise ConfigError(
                f"{subject} has no session {session}.", expected=", ".join(sessions) or "none", fix="leave `session` out"
            )
        return kept
    if len(sessions) > 1:
        raise ConfigError(
            f"{subject} has several sessions.",
            found=", ".join(sessions),
            fix=f'`session="{sessions[0]}"`, or `session="all"` to take them as runs of one subject',
        )
    return own


def subject_files(rows: Sequence[ManifestRow]) -> SubjectFiles:
    """The files that the rows of one subject name.

    Raises
    ------
    InputError
        If its runs differ in TR, orientation or atlas, or time series and FC are mixed.
    """
    subject = rows[0].participant_id
    for name, what in (("tr_s", "repetition time"), *((name, name) for name in ("orientation", "atlas", "parcellation"))):
        values = list(dict.fromkeys(getattr(row, name) for row in rows))
        if len(values) > 1:
            raise InputError(
                f"The runs of {subject} differ in their {what}.",
                expected="runs that one fit can take together",
                found=" and ".join(map(str, values)),
                fix='take those that agree: remove rows of the manifest, or `timeseries=["RUN1","RUN2"]`',
            )
    series = [row.timeseries for row in rows if row.timeseries is not None]
    if series and len(series) < len(rows):
        raise InputError(
            f"{subject} has both time series and FC.", expected="one kind", fix="remove the other kind's rows of the manifest"
        )
    first = rows[0]
    stages: dict[str, Any] = {}
    for row in rows:
        if row.fc is not None and row.fcd_cdf is not None:
            stage = row.stage or "search"
            if stage in stages:
                raise InputError(f"{subject} has two FC files for {stage}.", fix="tell them apart by the column stage")
            stages[stage] = StageFiles(str(row.fc.path), str(row.fcd_cdf.path))
    sc = None if first.sc is None else str(first.sc.path)
    files = DataFiles(
        subject=subject,
        sc=sc,
        timeseries=[str(stamp.path) for stamp in series],
        orientation=first.orientation,
        parcellation=None if first.parcellation is None else str(first.parcellation.path),
        **stages,
    )
    return SubjectFiles(files, first.tr_s, first.atlas)
