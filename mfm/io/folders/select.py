"""Which of a subject's files a fit takes: one session, one atlas, one version of each run, never a join beside its parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mfm.io.folders.findings import CHOOSE, NOTE, SUSPICIOUS, Finding
from mfm.io.folders.recognise import Candidate
from mfm.io.formats.entities import RUN_ENTITIES
from mfm.io.readers.versions import NO_MAGNITUDE
from mfm.protocol import check_timing

# Of the same series in several formats the first is taken; a format that is not listed comes last.
_BY_EXTENSION = (".tsv", ".ptseries.nii", ".csv", ".npy", ".txt", ".npz", ".mat", ".dtseries.nii", ".nii.gz", ".shape.gii")


_SEVERAL_FILES = "the same run in several files"


@dataclass(frozen=True)
class Choices:
    """What a person chose where a folder holds several things.

    Parameters
    ----------
    atlas : str, optional
        Parcellation, as in file names.
    session : str, optional
        One session, or ``all``: the runs of all sessions, as runs of one subject.
    task : str, default "rest"
    sc : str, optional
        A file, the connectome of everyone; or a pattern (``*SIFT2*``) that picks one of each subject's own.
    tr_s : float, optional
        Repetition time in seconds, for files that do not tell.
    orientation : {"frames_by_regions", "regions_by_frames"}, optional
        For tables that do not tell.
    """

    atlas: str | None = None
    session: str | None = None
    task: str = "rest"
    sc: str | None = None
    tr_s: float | None = None
    orientation: str | None = None

    def __post_init__(self):
        if self.tr_s is not None:
            check_timing(self.tr_s)


def choose_runs(candidates: Sequence[Candidate], choices: Choices) -> tuple[list[Candidate], list[Finding]]:
    """One file for each run of a subject; none where a person has to choose first."""
    findings: list[Finding] = []
    for step in (_magnitude, _of_task, _of_session, _of_layout, _without_joins, _of_atlas):
        candidates, said = step(candidates, choices)
        findings += said
    runs: dict[tuple, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        runs[candidate.session or "", candidate.run].append(candidate)
    chosen: list[Candidate] = []
    for versions in runs.values():
        best, said = _best_version(versions)
        chosen += best
        findings += said
    if any(finding.kind == CHOOSE for finding in findings):
        return [], list(dict.fromkeys(findings))
    return sorted(chosen, key=lambda c: (c.session or "", c.run)), list(dict.fromkeys(findings))


Step = tuple[Sequence[Candidate], list[Finding]]


def _magnitude(candidates: Sequence[Candidate], choices: Choices) -> Step:
    """Without phase and other parts of complex images, which are no BOLD."""
    kept = [c for c in candidates if c.file.name.get("part") not in NO_MAGNITUDE]
    if len(kept) == len(candidates):
        return candidates, []
    others = sorted({f"part-{c.file.name.get('part')}" for c in candidates if c not in kept})
    return kept, [Finding(NOTE, f"passed over: {', '.join(others)}, which is no magnitude of BOLD")]


def _task(candidate: Candidate) -> str | None:
    if candidate.layout == "HCP":
        return "rest" if candidate.run.startswith("rfMRI") else candidate.run.split("_")[1]
    return candidate.file.name.get("task")


def _of_task(candidates: Sequence[Candidate], choices: Choices) -> Step:
    kept = [c for c in candidates if (_task(c) or choices.task).lower() == choices.task.lower()]
    others = sorted({str(_task(c)) for c in candidates if c not in kept})
    said = [Finding(NOTE, f"passed over: task {', '.join(others)}", "--task NAME for another task")] if others else []
    return kept, said


def _of_session(candidates: Sequence[Candidate], choices: Choices) -> Step:
    sessions = sorted({c.session for c in candidates if c.session})
    if choices.session is not None and choices.session != "all":
        wanted = choices.session.removeprefix("ses-")
        if wanted in sessions or not candidates:
            return [c for c in candidates if c.session in (None, wanted)], []
        return [], [Finding(CHOOSE, f"no session {wanted}, but {', '.join(sessions) or 'none named'}", "--session NAME")]
    if len(sessions) > 1 and choices.session is None:
        text = f"several sessions: {', '.join(sessions)}"
        return [], [Finding(CHOOSE, text, f"--session {sessions[0]}, or --session all to take them as runs of one subject")]
    return candidates, []


def _of_layout(candidates: Sequence[Candidate], choices: Choices) -> Step:
    """Outputs of several programs hold the same scans: only one program's are taken."""
    by_layout: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_layout[candidate.layout].append(candidate)
    if len(by_layout) < 2:
        return candidates, []
    ranks = {layout: min((*c.rank, 0)[:2] for c in own) for layout, own in by_layout.items()}
    first = sorted(layout for layout, rank in ranks.items() if rank == min(ranks.values()))
    if len(first) > 1:
        return [], [Finding(CHOOSE, f"series of several kinds: {', '.join(first)}", "inspect the folder of one of them")]
    taken = first[0]
    others = ", ".join(sorted(set(ranks) - {taken}))
    return by_layout[taken], [Finding(NOTE, f"{taken} series taken rather than {others}", "inspect that folder to take it")]


def _without_joins(candidates: Sequence[Candidate], choices: Choices) -> Step:
    """A sliding window must not cross the join of two runs, so that single runs are taken where there are any."""
    marked = [replace(c, joined=c.joined or _joins(c, candidates)) for c in candidates]
    joined = [c for c in marked if c.joined]
    if not joined:
        return marked, []
    singles = [c for c in marked if not c.joined]
    if singles:
        return singles, [Finding(NOTE, "single runs taken rather than their concatenation", where=path_below_root(joined[0]))]
    return marked, [
        Finding(
            SUSPICIOUS,
            "concatenated: FCD windows would cross from run to run",
            "fetch the single runs, or `run_frames=[1200,1200,1200,1200]` at the fit",
            where=path_below_root(joined[0]),
        )
    ]


def _joins(candidate: Candidate, candidates: Iterable[Candidate]) -> bool:
    """Whether a BIDS file without ``run-`` lies beside files that differ from it by theirs, as XCP-D's combined runs do."""
    name = candidate.file.name
    if name.get("sub") is None or name.get("run") is not None:
        return False

    def rest(other: Candidate) -> list[tuple[str, str]]:
        return sorted(item for item in other.file.name.entities if item[0] in RUN_ENTITIES and item[0] not in ("run", "dir"))

    return any(
        other.file.name.get("run") is not None and other.session == candidate.session and rest(other) == rest(candidate)
        for other in candidates
    )


def _of_atlas(candidates: Sequence[Candidate], choices: Choices) -> Step:
    parcellated = [c for c in candidates if c.parcellated]
    if not parcellated:
        return candidates, []
    return of_atlas(parcellated, choices, "time series")


def of_atlas(candidates: Sequence[Candidate], choices: Choices, what: str) -> Step:
    """Those of one atlas: the chosen one, or the only one."""
    atlases = sorted({c.atlas for c in candidates if c.atlas})
    wanted = (choices.atlas or "").lower()
    matching = [c for c in candidates if c.atlas and c.atlas.lower() == wanted]
    if matching:
        return matching, []
    if len(atlases) > 1:
        none = f" (none is called {choices.atlas})" if choices.atlas else ""
        return [], [Finding(CHOOSE, f"{what} of several atlases{none}: {', '.join(atlases)}", f"--atlas {atlases[0]}")]
    if atlases and choices.atlas:
        text = f"{what} of atlas {atlases[0]}, not {choices.atlas}"
        return candidates, [Finding(SUSPICIOUS, text, "check that they are the same")]
    return candidates, []


def _best_version(versions: Sequence[Candidate]) -> Step:
    """The most processed version of a run; two files of the same version are for a person to choose from."""
    first = min(c.rank for c in versions)
    best = [c for c in versions if c.rank == first]
    said = []
    if len(best) < len(versions):
        others = sorted({c.version for c in versions if c.rank != first and c.version != best[0].version})
        if others:
            said.append(Finding(NOTE, f"{best[0].version or 'the best'} taken rather than {', '.join(others)}"))
    places = {c.file.path.parent / c.file.stem for c in best}
    if len(places) > 1:
        places_text = ", ".join(sorted(path_below_root(c) for c in best)[:3])
        versions_text = sorted({c.version for c in best})
        text = f"the same run in several versions: {', '.join(versions_text)}" if len(versions_text) > 1 else _SEVERAL_FILES
        fix = 'keep one, inspect its folder alone, or `timeseries=["FILE"]` at the fit'
        return [], [*said, Finding(CHOOSE, text, fix, where=places_text)]
    # The same content in several formats: what is readable without tools first, and what is there before what is not.
    best.sort(key=lambda c: (bool(c.file.problem), _preference(c.file.name.extension)))
    if len(best) > 1:
        others_text = ", ".join(c.file.name.extension for c in best[1:])
        said.append(
            Finding(NOTE, f"the same series in several formats: {best[0].file.name.extension} taken, not {others_text}")
        )
    return best[:1], said


def _preference(extension: str) -> int:
    return _BY_EXTENSION.index(extension) if extension in _BY_EXTENSION else len(_BY_EXTENSION)


def path_below_root(candidate: Candidate) -> str:
    """Return the path of a file below the inspected folder."""
    return "/".join(candidate.file.parts[1:]) or candidate.file.parts[0]
