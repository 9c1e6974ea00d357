"""A chosen run with what its header, its sidecar and its neighbours tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mfm.errors import InputError
from mfm.io.folders.findings import BROKEN, SUSPICIOUS, Finding
from mfm.io.folders.peek import Peek, peek
from mfm.io.folders.recognise import Candidate
from mfm.io.folders.select import Choices, path_below_root
from mfm.io.formats.bids import Sidecar, read_sidecar
from mfm.io.formats.system import shown
from mfm.io.readers.censoring import find_censoring, removes_global_signal
from mfm.io.readers.timing import plausible_tr, same_tr
from mfm.protocol import FCD_WINDOW_S, check_timing


@dataclass(frozen=True)
class Run:
    """A run that a fit takes, and what is known of it."""

    candidate: Candidate
    orientation: str | None
    tr_s: float | None
    n_frames: int | None
    n_regions: int | None
    shape: tuple[int, int] | None


def inspect_run(candidate: Candidate, versions: Sequence[Candidate], choices: Choices) -> tuple[Run | None, list[Finding]]:
    """Peek at a run; None where it is broken. `versions` are the subject's other files, whose headers may know the TR."""
    looked = peek(candidate.file)
    at = path_below_root(candidate)
    if looked.flaw is not None:
        fix = looked.flaw.fix.replace("PATH", shown(candidate.file.path))
        return None, [Finding(BROKEN, looked.flaw.problem, fix, where=at, absent=looked.flaw.absent)]
    said: list[Finding] = []
    try:
        sidecar = read_sidecar(candidate.file.path)
    except InputError as error:
        sidecar = Sidecar()
        said.append(Finding(SUSPICIOUS, str(error).splitlines()[0], "correct the sidecar"))
    tr_s, tr_said = _repetition_time(candidate, looked, sidecar, versions, choices)
    said += tr_said
    orientation = looked.orientation
    if orientation is None and looked.shape is not None:
        orientation = choices.orientation
        if orientation is None:
            text = f"a table of {looked.shape[0]} x {looked.shape[1]} without region names: orientation not known"
            said.append(Finding(SUSPICIOUS, text, "--orientation frames_by_regions (or regions_by_frames)"))
    known = Peek(looked.shape, orientation)
    run = Run(candidate, orientation, tr_s, known.n_frames, known.n_regions, looked.shape)
    said += _frames_left_out(run, sidecar)
    if (gsr := removes_global_signal(candidate.file.path, sidecar)) is not None:
        said.append(Finding(SUSPICIOUS, f"global signal regressed out ({gsr}): it takes much of the dynamics along"))
    said = [*(replace(finding, about="reading") for finding in said), *_length(run)]
    if candidate.layout == "fMRIPrep":
        text = "not denoised: fMRIPrep's series hold motion and drift"
        said.append(Finding(SUSPICIOUS, text, '`cleaning=Cleaning(strategy=["motion","wm_csf","high_pass"])` at the fit'))
    elif "not cleaned" in candidate.version:
        said.append(Finding(SUSPICIOUS, "not denoised: HCP's series without ICA-FIX", "fetch the hp2000_clean files"))
    return run, [replace(finding, where=finding.where or at) for finding in said]


def _repetition_time(
    candidate: Candidate, looked: Peek, sidecar: Sidecar, versions: Sequence[Candidate], choices: Choices
) -> tuple[float | None, list[Finding]]:
    """The repetition time in seconds that header and sidecar agree on, else the one that was said."""
    said: list[Finding] = []
    try:
        told = sidecar.tr_s
        if told is not None:
            check_timing(told)
    except InputError as error:
        told, value = None, sidecar.values.get("RepetitionTime")
        text = str(error).splitlines()[0] if value is None else f"the sidecar's RepetitionTime is {value}, not seconds"
        said.append(Finding(SUSPICIOUS, text, "correct the sidecar"))
    header = looked.tr_s if looked.tr_s is not None or told is not None else _tr_of_versions(candidate, versions)
    if header is not None and not plausible_tr(header):
        said.append(
            Finding(SUSPICIOUS, f"the header's TR is {header:g} s, of another unit", "correct the header, or --tr SECONDS")
        )
        header = None
    if header is not None and told is not None and not same_tr(header, told):
        text = f"TR {header:g} s in the header, {told:g} s in the sidecar"
        return choices.tr_s, [*said, Finding(SUSPICIOUS, text, "correct one, or --tr SECONDS")]
    known = header if told is None else told
    if known is None:
        if choices.tr_s is None:
            hint = f" (header: {looked.untold.hint})" if looked.untold.hint else ""
            said.append(Finding(SUSPICIOUS, f"TR not known{hint}", "--tr SECONDS"))
        return choices.tr_s, said
    if choices.tr_s is not None and not same_tr(known, choices.tr_s):
        said.append(Finding(SUSPICIOUS, f"TR {known:g} s in the file, not {choices.tr_s:g} s", "the file's is taken"))
    # Headers hold it as float32.
    return float(f"{known:.6g}"), said


def _tr_of_versions(candidate: Candidate, versions: Sequence[Candidate]) -> float | None:
    """The TR in the header of the same run's CIFTI file, where the chosen file is a table."""
    for other in versions:
        same = (other.session, other.run) == (candidate.session, candidate.run) and other.file is not candidate.file
        if same and other.file.name.extension.endswith("series.nii") and (tr_s := peek(other.file).tr_s) is not None:
            return tr_s
    return None


def _frames_left_out(run: Run, sidecar: Sidecar) -> list[Finding]:
    if run.n_frames is None:
        return []
    try:
        censoring = find_censoring(run.candidate.file.path, sidecar, run.n_frames)
    except InputError as error:
        return [Finding(SUSPICIOUS, f"the list of outliers cannot be read: {str(error).splitlines()[0]}")]
    if not censoring:
        return []
    done = "cut out" if censoring.kind == "deleted" else "interpolated"
    at = f"{path_below_root(run.candidate)}: {censoring}"
    fix = "run XCP-D with --output-type interpolated, or `allow_censored=True` at the fit"
    return [
        Finding(SUSPICIOUS, f"censored: frames were {done}, so that FCD windows are not of 60 measured seconds", fix, where=at)
    ]


def _length(run: Run) -> list[Finding]:
    if run.n_frames is None or run.tr_s is None:
        return []
    seconds = run.n_frames * run.tr_s
    if seconds < 2 * FCD_WINDOW_S:
        return [Finding(SUSPICIOUS, "too short for FCD: less than two windows of 60 s", "leave the run out")]
    if seconds < 300:
        return [Finding(SUSPICIOUS, "shorter than 5 minutes: the FCD of so few windows says little")]
    return []


def compare_runs(runs: Sequence[Run]) -> list[Finding]:
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
