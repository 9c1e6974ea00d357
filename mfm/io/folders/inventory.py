"""What a folder holds of every subject, ready to be listed, written as a manifest, or fitted."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from mfm.errors import InputError, MfmfitError, MissingInputError
from mfm.io.folders.findings import BROKEN, CHOOSE, MISSING, NOTE, SUSPICIOUS, Finding
from mfm.io.folders.manifest import FileStamp, ManifestRow
from mfm.io.folders.participants import read_participants
from mfm.io.folders.peek import peek
from mfm.io.folders.recognise import CONNECTOME, FC, FCD_CDF, PARCELLATION, TIMESERIES, Candidate, folder_subject, recognise
from mfm.io.folders.runs import Run, compare_runs, inspect_run
from mfm.io.folders.select import Choices, choose_runs, of_atlas, path_below_root
from mfm.io.folders.tree import TreeFile, time_text, walk
from mfm.io.formats.system import cannot_read, home_expanded, shown
from mfm.subject import STAGES


@dataclass(frozen=True)
class FoundSubject:
    """A subject of a folder.

    Parameters
    ----------
    participant_id : str
        With its ``sub-``.
    rows : tuple of ManifestRow
        Its runs; none where there is nothing to fit, or a person has to choose first.
    sc : FileStamp or None
        Its connectome: its own, or the group's.
    """

    participant_id: str
    rows: tuple[ManifestRow, ...]
    sc: FileStamp | None


@dataclass(frozen=True)
class Inventory:
    """What was found in a folder.

    Parameters
    ----------
    root : Path
    subjects : tuple of FoundSubject
        In order of their ids.
    findings : tuple of Finding
        The most serious first.
    """

    root: Path
    subjects: tuple[FoundSubject, ...]
    findings: tuple[Finding, ...]

    @property
    def rows(self) -> tuple[ManifestRow, ...]:
        """Rows of a manifest: every run that a fit could take."""
        return tuple(row for subject in self.subjects for row in subject.rows)

    def of(self, participant_id: str) -> tuple[Finding, ...]:
        """What was found of one subject, or of all."""
        return tuple(finding for finding in self.findings if finding.subject in (None, participant_id))


def inspect_folder(folder: str | Path, choices: Choices | None = None) -> Inventory:
    """Find the subjects of a folder and their runs, connectomes and statistics, by names and headers only.

    Recognised are HCP (Young Adult of 2017 and 2025, 7 T, Lifespan), XCP-D, fMRIPrep, micapipe, QSIRecon, connectoflow, and
    tables as labs name them: a connectome with ``SC`` or ``connectome`` in its name, series with ``timeseries``, ``bold``,
    ``rest`` or ``run-1``, statistics as ``train_FC`` with ``train_FCD_CDF``, where folder or name hold the subject's id.

    Parameters
    ----------
    folder : path
    choices : Choices, optional

    Returns
    -------
    Inventory

    Raises
    ------
    MissingInputError
        If there is no such folder, or nothing in it is recognised.
    InputError
        If it is a file.

    Examples
    --------
    >>> import numpy as np, pathlib, tempfile
    >>> from mfm.io import inspect_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     own = pathlib.Path(folder, "sub-01")
    ...     own.mkdir()
    ...     np.savetxt(own / "SC.csv", np.ones((3, 3)), delimiter=",")
    ...     np.savetxt(own / "run-1_timeseries.tsv", np.zeros((400, 3)), delimiter="\\t", header="a\\tb\\tc", comments="")
    ...     found = inspect_folder(folder)
    >>> [(row.participant_id, row.n_frames, row.n_regions) for row in found.rows]
    [('sub-01', 400, 3)]
    >>> [finding.text for finding in found.findings]
    ['TR not known']
    """
    choices = choices or Choices()
    root = _existing_folder(folder)
    files = list(walk(root))
    candidates = [candidate for file in files if (candidate := recognise(file)) is not None]
    if not candidates:
        raise MissingInputError(
            f"Nothing in {root} looks like data of a fit.",
            expected="HCP, XCP-D, fMRIPrep, micapipe or QSIRecon folders, or tables named like SC.csv and run-1_timeseries.tsv",
            found=f"{len(files)} files of readable types",
            fix='inspect the folder above or below, or name the files at the fit: `sc="FILE"` `timeseries=["FILE"]`',
        )
    return _Inspection(root, candidates, choices, [file for file in files if file.problem == "locked"]).inventory()


def _existing_folder(folder: str | Path) -> Path:
    root = home_expanded(folder)
    try:
        if not root.exists():
            raise MissingInputError(
                f"The folder is not there: {root}", fix="check the path; relative paths start at the current folder"
            )
        if not root.is_dir():
            raise InputError(f"{root} is a file.", expected="a folder")
        os.scandir(root).close()
    except MfmfitError:
        raise
    except OSError as error:
        raise cannot_read(root, "folder of data; the", error) from error
    return root.resolve()


class _Inspection:
    """One look at one folder; findings gather in `_findings`."""

    def __init__(self, root: Path, candidates: Sequence[Candidate], choices: Choices, locked: Sequence[TreeFile] = ()):
        self._root, self._choices = root, choices
        self._findings = [
            Finding(BROKEN, flaw.problem, flaw.fix, where="/".join(folder.parts[1:]), absent=True)
            for folder in locked
            if (flaw := peek(folder).flaw) is not None
        ]
        self._subjects, group = _by_subject(candidates)
        self._group_sc = [c for c in group if c.kind == CONNECTOME]
        self._group_parcellations = [c for c in group if c.kind == PARCELLATION]
        self._participants, said = read_participants(root)
        self._findings += said

    def inventory(self) -> Inventory:
        found = [self._subject(name, self._subjects[name]) for name in sorted(self._subjects)]
        self._compare_subjects(found)
        self._compare_participants({subject.participant_id for subject in found})
        order = (BROKEN, MISSING, CHOOSE, SUSPICIOUS, NOTE)
        findings = sorted(dict.fromkeys(self._findings), key=lambda f: order.index(f.kind))
        return Inventory(self._root, tuple(found), tuple(findings))

    def _subject(self, name: str, candidates: Sequence[Candidate]) -> FoundSubject:
        participant_id = f"sub-{name}"
        said = [
            Finding(SUSPICIOUS, "files with this id lie in a folder with another", where=f"sub-{other}")
            for other in {folder_subject(c.file) for c in candidates} - {None, name}
        ]
        series = [c for c in candidates if c.kind == TIMESERIES]
        chosen, chosen_said = choose_runs(series, self._choices)
        said += chosen_said
        runs = []
        for candidate in chosen:
            run, run_said = _inspected(candidate, series, self._choices)
            said += run_said
            runs += [run] if run is not None else []
        said += compare_runs(runs)
        pairs, pairs_said = ([], []) if series else _pairs(candidates)
        said += pairs_said
        sc, sc_said = self._connectome(candidates, runs, pairs)
        said += [replace(finding, about="connectome") for finding in sc_said]
        parcellation, parcellation_said = self._parcellation(candidates, runs)
        said += [replace(finding, about="parcellation") for finding in parcellation_said]
        rows = self._rows(participant_id, runs, pairs, sc, parcellation, said)
        if not rows and not any(finding.kind in (BROKEN, CHOOSE) and finding.about == "runs" for finding in said):
            said.append(Finding(MISSING, "no time series, nor FC with FCD CDF"))
        self._findings += [replace(finding, subject=participant_id) for finding in said]
        return FoundSubject(participant_id, rows, sc)

    def _rows(self, participant_id, runs, pairs, sc, parcellation, said) -> tuple[ManifestRow, ...]:
        common = {"participant_id": participant_id, "sc": sc, "participant": self._participants.get(participant_id, ())}
        try:
            return tuple(
                ManifestRow(
                    session=run.candidate.session,
                    run=run.candidate.run or None,
                    stage=None,
                    layout=run.candidate.layout,
                    atlas=run.candidate.atlas or (parcellation and self._choices.atlas),
                    timeseries=_stamp(run.candidate),
                    fc=None,
                    fcd_cdf=None,
                    parcellation=parcellation,
                    orientation=run.orientation,
                    tr_s=run.tr_s,
                    n_frames=run.n_frames,
                    n_regions=run.n_regions if run.candidate.parcellated else None,
                    **common,
                )
                for run in runs
            ) or tuple(
                ManifestRow(
                    session=fc.session,
                    run=None,
                    stage=fc.stage,
                    layout=fc.layout,
                    atlas=fc.atlas,
                    timeseries=None,
                    fc=_stamp(fc),
                    fcd_cdf=_stamp(cdf),
                    parcellation=None,
                    orientation=None,
                    tr_s=self._choices.tr_s,
                    n_frames=None,
                    n_regions=size,
                    **common,
                )
                for fc, cdf, size in pairs
            )
        except InputError as error:  # an id that cannot be a file name
            said.append(Finding(BROKEN, str(error).splitlines()[0], "rename the folder or the files"))
            return ()

    def _connectome(self, candidates, runs: Sequence[Run], pairs) -> tuple[FileStamp | None, list[Finding]]:
        """The subject's own connectome, else the group's; the person's choice before both."""
        wanted = self._choices.sc
        if wanted is not None and home_expanded(wanted).is_file():
            path = home_expanded(wanted).resolve()
            status = path.stat()
            return FileStamp(path, status.st_size, time_text(status.st_mtime)), []
        own = [c for c in candidates if c.kind == CONNECTOME]
        found: Sequence[Candidate] = own or self._group_sc
        if wanted is not None:
            own, group = (
                [c for c in some if fnmatch(path_below_root(c), wanted) or fnmatch(c.file.parts[-1], wanted)]
                for some in (own, self._group_sc)
            )
            found = own or group
        atlas = next((run.candidate.atlas for run in runs if run.candidate.atlas), self._choices.atlas)
        if len({c.atlas for c in found if c.atlas}) > 1:
            found, said = of_atlas(found, replace(self._choices, atlas=atlas), "connectomes")
            if said:
                return None, said
        if not found:
            return None, [Finding(MISSING, "no connectome", "--sc FILE")]
        if len(found) > 1:
            names = ", ".join(sorted({c.file.parts[-1] if own else path_below_root(c) for c in found})[:4])
            text = f"several {'connectomes' if own else 'group connectomes'}: {names}"
            return None, [Finding(CHOOSE, text, "--sc FILE, or --sc PATTERN such as '*SIFT2*'")]
        sc, said = self._checked_connectome(found[0], runs, pairs)
        if not own:
            said.append(Finding(NOTE, f"no connectome of its own: the group's serves, {path_below_root(found[0])}"))
        return sc, said

    def _checked_connectome(self, candidate: Candidate, runs: Sequence[Run], pairs) -> tuple[FileStamp | None, list[Finding]]:
        looked, at, said = peek(candidate.file), path_below_root(candidate), []
        if looked.flaw is not None:
            fix = looked.flaw.fix.replace("PATH", shown(candidate.file.path))
            return None, [Finding(BROKEN, f"connectome: {looked.flaw.problem}", fix, where=at, absent=looked.flaw.absent)]
        if looked.shape is not None and looked.shape[0] != looked.shape[1]:
            said.append(Finding(SUSPICIOUS, f"connectome of {looked.shape[0]} x {looked.shape[1]}: not square", where=at))
        elif looked.shape is not None:
            parcellated = {run.n_regions for run in runs if run.candidate.parcellated} | {size for _, _, size in pairs}
            for n_regions in sorted(n for n in parcellated if n not in (None, looked.shape[0])):
                text = f"connectome of {looked.shape[0]} regions, data of {n_regions}"
                said.append(Finding(SUSPICIOUS, text, "use one parcellation, in one of its versions", where=at))
        return _stamp(candidate), said

    def _parcellation(self, candidates, runs: Sequence[Run]) -> tuple[FileStamp | None, list[Finding]]:
        """A dlabel file for dense series: the one of the chosen atlas, or the only one."""
        if not any(run.candidate.file.name.extension == ".dtseries.nii" for run in runs):
            return None, []
        found = [c for c in candidates if c.kind == PARCELLATION] + self._group_parcellations
        fix = '`parcellation="FILE"` at the fit'
        wanted = (self._choices.atlas or "").lower()
        matching = [c for c in found if len(found) == 1 or (c.atlas or "").lower() == wanted]
        if len(matching) != 1:
            names = ", ".join(sorted({str(c.atlas) for c in found}))
            text = f"dense series, several parcellations: {names}" if found else "dense series without a parcellation"
            return None, [Finding(SUSPICIOUS, text, f"--atlas NAME, or {fix}" if found else fix)]
        looked, at = peek(matching[0].file), path_below_root(matching[0])
        if looked.flaw is not None:
            flaw = looked.flaw
            return None, [Finding(BROKEN, f"parcellation: {flaw.problem}", fix, where=at, absent=flaw.absent)]
        return _stamp(matching[0]), []

    def _compare_subjects(self, found: Sequence[FoundSubject]) -> None:
        """Subjects that differ from most others in what should be the same for all."""
        quantities: tuple[tuple[str, Callable[[ManifestRow], object]], ...] = (
            ("TR", lambda row: row.tr_s and f"{row.tr_s:g} s"),
            ("frames", lambda row: row.n_frames),
            ("regions", lambda row: row.n_regions),
        )
        for name, value in quantities:
            of_subject = {s.participant_id: frozenset(v for row in s.rows if (v := value(row)) is not None) for s in found}
            counts = Counter(values for values in of_subject.values() if values)
            if len(counts) < 2:
                continue
            usual, number = counts.most_common(1)[0]
            for participant_id, values in of_subject.items():
                if values and values != usual and number > 1:
                    text = f"{name}: {_listed(values)}, where most subjects have {_listed(usual)}"
                    self._findings.append(Finding(SUSPICIOUS, text, subject=participant_id))

    def _compare_participants(self, found: set[str]) -> None:
        if self._participants:
            for participant_id in sorted(set(self._participants) - found):
                self._findings.append(Finding(MISSING, "listed in participants.tsv, but no files", subject=participant_id))
            for participant_id in sorted(found - set(self._participants)):
                self._findings.append(Finding(SUSPICIOUS, "not listed in participants.tsv", subject=participant_id))


def _inspected(candidate: Candidate, series: Sequence[Candidate], choices: Choices) -> tuple[Run | None, list[Finding]]:
    """`inspect_run`, of which no failure stops the inspection of the others."""
    try:
        return inspect_run(candidate, series, choices)
    except (MfmfitError, OSError, ValueError) as error:
        text = f"what lies beside the file cannot be read ({str(error).splitlines()[0]})"
        return None, [Finding(BROKEN, text, "fetch or write it anew", where=path_below_root(candidate))]


def _listed(values: frozenset) -> str:
    return " and ".join(sorted(map(str, values)))


def _by_subject(candidates: Sequence[Candidate]) -> tuple[dict[str, list[Candidate]], list[Candidate]]:
    """Candidates of each subject, and those of a group.

    A folder that is not named as a subject's is one only if it holds data to fit; its connectome is else the group's.
    """
    subjects: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        subjects[candidate.subject or ""].append(candidate)
    group = []
    for name, own in list(subjects.items()):
        kinds = {c.kind for c in own}
        firm = any(c.firm for c in own)
        holds_data = TIMESERIES in kinds or {FC, FCD_CDF} <= kinds
        if not name or (not firm and not holds_data):
            group += subjects.pop(name)
        elif not firm and name.lower().startswith(("group", "average", "template")):
            group += own
    return subjects, group


def _pairs(candidates: Sequence[Candidate]) -> tuple[list[tuple[Candidate, Candidate, int | None]], list[Finding]]:
    """FC with the FCD CDF of the same stage; files that name no stage serve for the search."""
    by_stage: dict[str, dict[str, list[Candidate]]] = {stage: {FC: [], FCD_CDF: []} for stage in STAGES}
    for candidate in candidates:
        if candidate.kind in (FC, FCD_CDF):
            by_stage[candidate.stage or "search"][candidate.kind].append(replace(candidate, stage=candidate.stage or "search"))
    pairs, said = [], []
    for stage, files in by_stage.items():
        fc, cdf = files[FC], files[FCD_CDF]
        if not fc and not cdf:
            continue
        if len(fc) > 1 or len(cdf) > 1:
            said.append(
                Finding(
                    CHOOSE,
                    f"several FC or FCD CDF files for {stage}",
                    '`search=StageFiles(fc="FILE", fcd_cdf="FILE")` at the fit',
                )
            )
        elif not fc or not cdf:
            said.append(Finding(MISSING, f"{stage}: {'FCD CDF without FC' if cdf else 'FC without FCD CDF'}"))
        else:
            looked = [peek(fc[0].file), peek(cdf[0].file)]
            flaws = [(c, p.flaw) for c, p in zip((fc[0], cdf[0]), looked, strict=True) if p.flaw is not None]
            for candidate, flaw in flaws:
                said.append(Finding(BROKEN, flaw.problem, flaw.fix, where=path_below_root(candidate), absent=flaw.absent))
            if not flaws:
                shape = looked[0].shape
                pairs.append((fc[0], cdf[0], shape[1] if shape else None))
    return ([] if any(finding.kind == CHOOSE for finding in said) else pairs), said


def _stamp(candidate: Candidate) -> FileStamp:
    return FileStamp(candidate.file.path, candidate.file.size, candidate.file.modified)
