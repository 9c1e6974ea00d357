"""The files of a fit, found in a folder or a manifest; what the configuration names itself comes first."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace

from mfm.errors import ConfigError, InputError, InputNote, MfmfitError, MissingInputError
from mfm.io import Choices, DataFiles, ManifestRow, SubjectFiles, inspect_folder, read_manifest, rows_of, subject_files
from mfm.io.folders import Finding
from mfm.io.folders.findings import BROKEN, CHOOSE, MISSING
from mfm.io.readers.timing import same_tr
from mfm.subject import bare_id
from optim.config.fit import AtlasConfig, DataConfig, FitConfig

#: The subject that is the only one found; without a folder or a manifest it is called `_DEFAULT_ID`.
AUTO = "auto"
_DEFAULT_ID = "sub-01"
_SETTLED_BY = (("connectome", "sc"), ("runs", "timeseries"), ("parcellation", "parcellation"))
_SERIES = ("timeseries", "search", "validation", "test")
#: How what `mfmfit inspect` understands is said to a fit.
_AS_SETTINGS = (
    ("--tr ", "acquisition.tr_s="),
    ("--atlas ", "atlas.name="),
    ("--session ", "data.session="),
    ("--sc FILE, or --sc PATTERN such as '*SIFT2*'", "data.sc=FILE"),
    ("--sc ", "data.sc="),
    ("--orientation ", "data.orientation="),
)


@dataclass(frozen=True)
class Located:
    """A configuration that names every file, and what should be known of how they were found."""

    config: FitConfig
    notes: tuple[str, ...] = ()


def locate(config: FitConfig) -> Located:
    """Complete a configuration by what ``data.folder`` or ``data.manifest`` holds of its subject.

    Settings that were given are kept: files, maps and transforms override what was found. Repetition time and
    orientation are facts, of which two must agree.

    Raises
    ------
    ConfigError
        If both are given, the subject or the session is not said, something has to be chosen, or a setting contradicts a file.
    MissingInputError, InputError
        If what was found is not there, broken, or has changed since the manifest was written.

    Warns
    -----
    InputNote
        For what is suspicious; also in the result's ``notes``.
    """
    data = config.data
    if data.folder is None and data.manifest is None:
        subject = _DEFAULT_ID if data.subject == AUTO else data.subject
        return Located(replace(config, data=replace(data, subject=subject)))
    if data.folder is not None and data.manifest is not None:
        raise ConfigError("Both a folder and a manifest are given.", expected="one of them", fix="data.folder=null")
    named = None if data.subject == AUTO else data.subject
    notes: tuple[str, ...] = ()
    if data.manifest is not None:
        rows = rows_of(read_manifest(data.manifest), named, data.session)
        for row in rows:
            row.check_files()
    else:
        rows, notes = _in_folder(config, named)
    for note in notes:
        warnings.warn(InputNote(note), stacklevel=2)
    return Located(_completed(config, subject_files(rows)), notes)


def _settings_given(data: DataConfig) -> frozenset[str]:
    """Names of the settings that differ from their default; time series and statistics exclude each other."""
    default = DataFiles()
    given = {field.name for field in fields(DataFiles) if getattr(data, field.name) != getattr(default, field.name)}
    return frozenset(given | set(_SERIES) if given & set(_SERIES) else given)


def _in_folder(config: FitConfig, subject: str | None) -> tuple[tuple[ManifestRow, ...], tuple[str, ...]]:
    data, given = config.data, _settings_given(config.data)
    atlas = None if config.atlas.name == AtlasConfig().name else config.atlas.name
    inventory = inspect_folder(str(data.folder), Choices(atlas=atlas, session=data.session))
    ids = [found.participant_id for found in inventory.subjects]
    if subject is None and len(ids) == 1:
        subject = ids[0]
    if subject is not None and (wanted := f"sub-{bare_id(subject)}") in ids:
        # What is given need not be found.
        settled = {"reading"} | {about for about, name in _SETTLED_BY if name in given}
        own = [finding for finding in inventory.of(wanted) if finding.about not in settled]
        serious = [finding for finding in own if finding.kind in (BROKEN, MISSING, CHOOSE)]
        if serious:
            raise _refusal(sorted(serious, key=lambda finding: finding.about != "runs"), wanted)
        notes = tuple(_as_note(finding) for finding in own)
    else:
        notes = ()
    rows = rows_of(inventory.rows, subject, "all" if data.session is None else data.session)
    return rows, notes


def _as_note(finding: Finding) -> str:
    at = f" [{finding.where}]" if finding.where else ""
    return f"{finding.text[0].upper()}{finding.text[1:]}{at}"


def _refusal(findings: list[Finding], subject: str) -> MfmfitError:
    first = findings[0]
    kind = ConfigError if first.kind == CHOOSE else MissingInputError if first.kind == MISSING or first.absent else InputError
    fix = first.fix
    for option, setting in _AS_SETTINGS:
        fix = fix.replace(option, setting)
    more = f"; {len(findings) - 1} more: see mfmfit inspect" if len(findings) > 1 else ""
    return kind(f"{subject} cannot be fitted from its folder: {first.text}.", found=(first.where + more).strip("; "), fix=fix)


def _completed(config: FitConfig, found: SubjectFiles) -> FitConfig:
    data, given = config.data, _settings_given(config.data)
    if data.orientation is not None and found.files.orientation not in (None, data.orientation):
        raise ConfigError(
            "The orientation contradicts the region names in the file.",
            expected=f"{found.files.orientation}, by the file's names",
            found=f"data.orientation={data.orientation}",
            fix="leave data.orientation out",
        )
    tr_s = config.acquisition.tr_s
    if tr_s is not None and found.tr_s is not None and not same_tr(tr_s, found.tr_s):
        raise ConfigError(
            "The repetition time contradicts the files.",
            expected=f"{found.tr_s:g} s, by header, sidecar or manifest",
            found=f"acquisition.tr_s={tr_s:g}",
            cause="a setting of another scan, or a header that was not filled in",
            fix="leave acquisition.tr_s out, or correct the file",
        )
    completed = {
        field.name: getattr(found.files, field.name)
        for field in fields(DataFiles)
        if field.name not in given and getattr(found.files, field.name) != getattr(DataFiles(), field.name)
    }
    data = replace(data, **{**completed, "subject": found.files.subject})
    acquisition = replace(config.acquisition, tr_s=found.tr_s if tr_s is None else tr_s)
    atlas = config.atlas
    if atlas.name == AtlasConfig().name and found.atlas is not None:
        atlas = replace(atlas, name="".join(c for c in found.atlas if c.isalnum() or c in "._-").lstrip("._-") or atlas.name)
    return replace(config, data=data, acquisition=acquisition, atlas=atlas)
