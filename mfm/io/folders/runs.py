"""A chosen run with what its header, its sidecar and its neighbours tell."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mfm.io.folders.entities import FileName
from mfm.io.folders.findings import BROKEN, SUSPICIOUS, Finding
from mfm.io.folders.peek import Peek, peek
from mfm.io.folders.recognise import Candidate
from mfm.io.folders.select import Choices, where
from mfm.io.folders.tree import TreeFile, file_at
from mfm.protocol import FCD_WINDOW_S

#: Two statements of one repetition time may differ by their rounding.
TR_TOLERANCE_S = 5e-4
TR_UNKNOWN = "TR not known"


@dataclass(frozen=True)
class Run:
    """A run that a fit takes, and what is known of it."""

    candidate: Candidate
    orientation: str | None
    tr_s: float | None
    n_frames: int | None
    n_regions: int | None
    shape: tuple[int, int] | None


class Neighbours:
    """Sidecars (JSON) and lists of censored frames among the files of a folder."""

    def __init__(self, root: Path, files: Iterable[TreeFile]):
        self._top = dataset_of(root)
        self._sidecars: dict[Path, list[TreeFile]] = defaultdict(list)
        self._outliers: dict[tuple, TreeFile] = {}
        for file in (*files, *_json_above(root, self._top)):
            if file.name.extension == ".json":
                self._sidecars[file.path.parent].append(file)
            elif file.name.suffix == "outliers" and file.name.extension == ".tsv":
                self._outliers[_scan_of(file.name)] = file

    def metadata(self, file: TreeFile) -> dict:
        """What the file's own sidecar says, completed by those of the folders above (the inheritance principle of BIDS)."""
        found: dict = {}
        for folder in file.path.parents:
            for sidecar in self._sidecars.get(folder, ()):
                if _is_sidecar(sidecar, file):
                    found = {**_read_json(sidecar.path), **found}
            if folder == self._top:
                break
        return found

    def censored(self, file: TreeFile) -> tuple[int, int] | None:
        """Frames of the scan, and how many of them XCP-D found to be outliers; None where it left no list."""
        outliers = self._outliers.get(_scan_of(file.name))
        if outliers is None or outliers.problem:
            return None
        lines = outliers.path.read_text(encoding="utf-8").split("\n")[1:]
        marks = [line.split("\t")[0].strip() for line in lines if line.strip()]
        return len(marks), sum(mark in ("1", "1.0") for mark in marks)


def dataset_of(root: Path) -> Path:
    """The BIDS dataset that a folder lies in; the folder itself where it lies in none."""
    return next((above for above in (root, *root.parents[:5]) if (above / "dataset_description.json").exists()), root)


def _json_above(root: Path, top: Path) -> list[TreeFile]:
    above = [folder for folder in root.parents if folder == top or top in folder.parents]
    return [file_at(path) for folder in above for path in sorted(folder.glob("*.json"))]


def _scan_of(name: FileName) -> tuple:
    return name.get("sub"), name.get("ses"), name.run


def _is_sidecar(sidecar: TreeFile, file: TreeFile) -> bool:
    if sidecar.path.parent == file.path.parent and sidecar.stem == file.stem:
        return True
    suffixes = {file.name.suffix, "bold"}
    return sidecar.name.suffix in suffixes and sidecar.name.entities <= file.name.entities


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def look_at(
    candidate: Candidate, versions: Sequence[Candidate], neighbours: Neighbours, choices: Choices
) -> tuple[Run | None, list[Finding]]:
    """Peek at a run; None where it is broken. `versions` are the subject's other files, whose headers may know the TR."""
    looked = peek(candidate.file)
    at = where(candidate)
    if looked.flaw is not None:
        fix = looked.flaw.fix.replace("PATH", str(candidate.file.path))
        return None, [Finding(BROKEN, looked.flaw.problem, fix, where=at, absent=looked.flaw.absent)]
    metadata = neighbours.metadata(candidate.file)
    tr_s, said = _repetition_time(candidate, looked, metadata, versions, choices)
    orientation = looked.orientation
    if orientation is None and looked.shape is not None:
        orientation = choices.orientation
        if orientation is None:
            said.append(
                Finding(
                    SUSPICIOUS,
                    f"a table of {looked.shape[0]} x {looked.shape[1]} without region names: orientation not known",
                    "--orientation frames_by_regions (or regions_by_frames)",
                    where=at,
                )
            )
    known = Peek(looked.shape, orientation)
    run = Run(candidate, orientation, tr_s, known.n_frames, known.n_regions, looked.shape)
    said += _censoring(run, neighbours) + _regression(metadata) + _length(run)
    if candidate.layout == "fMRIPrep":
        said.append(Finding(SUSPICIOUS, "not denoised: fMRIPrep's series hold motion and drift", "regress the confounds out"))
    elif "not cleaned" in candidate.version:
        said.append(Finding(SUSPICIOUS, "not denoised: HCP's series without ICA-FIX", "fetch the hp2000_clean files"))
    return run, [finding if finding.where else _at(finding, at) for finding in said]


def _at(finding: Finding, at: str) -> Finding:
    return Finding(finding.kind, finding.text, finding.fix, where=at)


def _repetition_time(
    candidate: Candidate, looked: Peek, metadata: dict, versions: Sequence[Candidate], choices: Choices
) -> tuple[float | None, list[Finding]]:
    header, sidecar, said = looked.tr_s, metadata.get("RepetitionTime"), []
    if not isinstance(sidecar, (int, float)) or isinstance(sidecar, bool) or not 0 < sidecar <= 20:
        if sidecar is not None:
            said.append(Finding(SUSPICIOUS, f"the sidecar's RepetitionTime is {sidecar}, not seconds", "correct the sidecar"))
        sidecar = None
    if header is None and sidecar is None:
        for other in versions:
            same = (other.session, other.run) == (candidate.session, candidate.run) and other.file is not candidate.file
            if same and other.file.name.extension.endswith("series.nii") and not other.file.problem:
                header = peek(other.file).tr_s
    known = header if sidecar is None else float(sidecar)
    if header is not None and sidecar is not None and abs(header - sidecar) > TR_TOLERANCE_S:
        text = f"TR {header:g} s in the header, {sidecar:g} s in the sidecar"
        return choices.tr_s, [*said, Finding(SUSPICIOUS, text, "correct one, or --tr SECONDS")]
    if known is None:
        if choices.tr_s is None:
            said.append(Finding(SUSPICIOUS, TR_UNKNOWN, "--tr SECONDS"))
        return choices.tr_s, said
    if choices.tr_s is not None and abs(known - choices.tr_s) > TR_TOLERANCE_S:
        said.append(Finding(SUSPICIOUS, f"TR {known:g} s in the file, not {choices.tr_s:g} s", "the file's is taken"))
    # Headers hold it as float32.
    return float(f"{known:.6g}"), said


def _censoring(run: Run, neighbours: Neighbours) -> list[Finding]:
    if run.candidate.layout != "XCP-D" or (counted := neighbours.censored(run.candidate.file)) is None:
        return []
    n_scanned, n_outliers = counted
    at = f"{where(run.candidate)} ({n_outliers} of {n_scanned} frames)"
    if run.n_frames is not None and run.n_frames < n_scanned:
        text = "censored: frames were cut out, so that FCD windows are not of 60 s"
        return [Finding(SUSPICIOUS, text, "run XCP-D with --output-type interpolated", where=at)]
    if n_outliers:
        return [Finding(SUSPICIOUS, "interpolated: some frames were not measured but filled in", where=at)]
    return []


def _regression(metadata: dict) -> list[Finding]:
    strategy = str(metadata.get("NuisanceParameters", ""))
    if any(word in strategy.lower() for word in ("gsr", "27p", "36p")):
        return [Finding(SUSPICIOUS, f"global signal regressed out ({strategy}): it takes much of the dynamics along")]
    return []


def _length(run: Run) -> list[Finding]:
    if run.n_frames is None or run.tr_s is None:
        return []
    seconds = run.n_frames * run.tr_s
    if seconds < 2 * FCD_WINDOW_S:
        return [Finding(SUSPICIOUS, "too short for FCD: less than two windows of 60 s", "leave the run out")]
    if seconds < 300:
        return [Finding(SUSPICIOUS, "shorter than 5 minutes: the FCD of so few windows says little")]
    return []


def compare(runs: Sequence[Run]) -> list[Finding]:
    """What differs between the runs of one subject and should not."""
    said = []
    for text, values in (
        ("runs differ in TR", {f"{run.tr_s:g} s" for run in runs if run.tr_s is not None}),
        ("runs differ in length", {f"{run.n_frames} frames" for run in runs if run.n_frames is not None}),
        ("runs differ in their regions", {f"{run.n_regions}" for run in runs if run.n_regions is not None}),
        ("runs differ in their processing", {run.candidate.version for run in runs}),
    ):
        if len(values) > 1:
            said.append(Finding(SUSPICIOUS, f"{text}: {', '.join(sorted(values))}"))
    return said
