"""A subject's data, validated and in one container."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mfm.brain.connectome import Connectome, check_labels
from mfm.brain.maps import RegionalMaps
from mfm.checks import as_float_tensor
from mfm.errors import InputError
from mfm.observation import Observation
from mfm.protocol import check_timing, fcd_window_frames
from mfm.statistics.fc import fisher_mean, functional_connectivity, upper_triangle
from mfm.statistics.fcd import fcd_cdf
from mfm.statistics.target import Target
from mfm.timeseries_checks import check_timeseries

STAGES = ("search", "validation", "test")
SPLITS = ("by_run", "pooled")


def bare_id(subject_id: str) -> str:
    """A subject's id without BIDS's ``sub-``: ``016`` and ``sub-016`` are one person, whose folder and noise are the same.

    Examples
    --------
    >>> from mfm.subject import bare_id
    >>> bare_id("sub-016"), bare_id("016")
    ('016', '016')
    """
    return subject_id.removeprefix("sub-")


@dataclass(frozen=True, eq=False)
class Scan:
    """What one stage of a fit is scored against.

    Parameters
    ----------
    target : Target
        FC and FCD of the recorded scan.
    sc : Connectome
    tr_s : float
        Repetition time, seconds.
    n_frames : int
        Frames of the recorded scan, and so of the simulated one.
    source : str, default ""
        What it is, for people.
    bold : tensor of float64, (T, N), optional
        The recorded series, where there is one behind the target; nothing but `optim.refine` needs it.
    observation : Observation, default nothing
        What was done to the recording; the simulated scan goes through the same. ``n_frames`` counts every acquired frame.

    Raises
    ------
    InputError
        If target and connectome differ in their regions, the timing is not that of a scan, or the scan is shorter than two
        FCD windows of 60 s.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> run = np.random.default_rng(0).normal(size=(100, 3))
    >>> target = mfm.Target(mfm.functional_connectivity(run), mfm.fcd_cdf(run, window_frames=30))
    >>> mfm.Scan(target, mfm.Connectome(0.02 * (1 - np.eye(3))), tr_s=2.0, n_frames=100).target.n_regions
    3
    """

    target: Target
    sc: Connectome
    tr_s: float
    n_frames: int
    source: str = ""
    bold: torch.Tensor | None = None
    observation: Observation = Observation()

    def __post_init__(self):
        check_timing(self.tr_s, self.n_frames)
        self.observation.check_scan(self.tr_s, self.n_frames)
        if self.bold is not None and tuple(self.bold.shape) != (self.n_frames, self.target.n_regions):
            raise InputError(
                "The series is not that of the scan.",
                expected=f"{self.n_frames} frames of {self.target.n_regions} regions",
                found=str(tuple(self.bold.shape)),
            )
        if self.target.n_regions != self.sc.n_regions:
            raise InputError(
                "FC and connectome have different numbers of regions.",
                expected=f"{self.sc.n_regions}, as in the connectome",
                found=f"{self.target.n_regions} in FC",
                cause="different parcellations, or subcortical regions in one of them",
            )
        if self.target.labels and self.sc.labels and self.target.labels != self.sc.labels:
            raise InputError(
                "FC and connectome name their regions differently, or in another order.",
                found=f"{', '.join(self.target.labels[:3])}, ... and {', '.join(self.sc.labels[:3])}, ...",
                fix="reorder one of them by name",
            )
        window = fcd_window_frames(self.tr_s)
        if self.n_frames < 2 * window:
            raise InputError(
                "The scan is too short for functional connectivity dynamics.",
                expected=f"at least two windows of 60 s: {2 * window} frames at TR {self.tr_s:g} s",
                found=f"{self.n_frames} frames",
                cause="a TR in other units, or regions x time instead of time x regions",
            )


@dataclass(frozen=True)
class Source:
    """A file that went into a subject's data."""

    role: str
    path: str
    sha256: str


@dataclass(frozen=True, eq=False)
class SubjectData:
    """Everything a fit needs to know of one subject (or group).

    Parameters
    ----------
    subject_id : str
    search, validation, test : Scan
        What candidates are searched on, chosen on, and reported on.
    maps : RegionalMaps
    labels : tuple of str
        Names of the N regions.
    runs : tuple of Target
        Statistics of each recorded run, where runs are known; two or more give the run-to-run cost.
    sources : tuple of Source
        Files that the data were read from, with their digests.
    notes : tuple of str
        What a reader of the results should know of the data.

    Raises
    ------
    InputError
        If scans, maps and labels do not have the same regions in the same order.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> run = np.random.default_rng(0).normal(size=(100, 3))
    >>> target = mfm.Target(mfm.functional_connectivity(run), mfm.fcd_cdf(run, window_frames=30))
    >>> scan = mfm.Scan(target, mfm.Connectome(0.02 * (1 - np.eye(3))), tr_s=2.0, n_frames=100)
    >>> mfm.SubjectData("sub-01", scan, scan, scan, mfm.RegionalMaps.none(3), ("a", "b", "c")).n_regions
    3
    """

    subject_id: str
    search: Scan
    validation: Scan
    test: Scan
    maps: RegionalMaps
    labels: tuple[str, ...]
    runs: tuple[Target, ...] = ()
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        n_regions = self.search.sc.n_regions
        for name, found in (
            *((f"{stage} connectome", getattr(self, stage).sc.n_regions) for stage in STAGES),
            ("maps", self.maps.n_regions),
            ("region names", len(self.labels)),
        ):
            if found != n_regions:
                raise InputError(f"The {name} have another number of regions.", expected=f"{n_regions}", found=f"{found}")
        named: list[tuple[str, Sequence[str] | None]] = [("maps", self.maps.labels)]
        for stage in STAGES:
            scan: Scan = getattr(self, stage)
            named += [(f"{stage} connectome", scan.sc.labels), (f"{stage} FC", scan.target.labels)]
        for name, labels in named:
            if labels and tuple(labels) != tuple(self.labels):
                raise InputError(
                    f"The {name} have other regions than the subject, or in another order.",
                    expected=f"{', '.join(self.labels[:3])}, ...",
                    found=f"{', '.join(labels[:3])}, ...",
                    fix="reorder by name; mfm.load_subject does",
                )

    @property
    def n_regions(self) -> int:
        return self.search.sc.n_regions

    def __repr__(self) -> str:
        lines = [f"SubjectData {self.subject_id}: {self.n_regions} regions, maps: {', '.join(self.maps.names) or 'none'}"]
        for stage in STAGES:
            scan = getattr(self, stage)
            lines.append(
                f"  {stage}: {scan.source or 'scan'}, {scan.n_frames} frames, TR {scan.tr_s:g} s, "
                f"mean FC {_mean_fc(scan.target):.3f}"
            )
        weights = self.search.sc.weights
        lines.append(
            f"  connectome: density {self.search.sc.density:.2f}, maximum {weights.max():g}, "
            f"{'symmetric' if np.allclose(weights, weights.T) else 'not symmetric'}"
            + ("" if all(getattr(self, stage).sc is self.search.sc for stage in STAGES) else "; other stages have their own")
        )
        if self.runs:
            lines.append(f"  runs: {len(self.runs)}, mean FC {', '.join(f'{_mean_fc(run):.3f}' for run in self.runs)}")
        lines += [f"  {source.role}: {source.path} ({source.sha256[:12]})" for source in self.sources]
        lines += [
            f"  {what}: {step}" for what, owner in (("connectome", self.search.sc), ("maps", self.maps)) for step in owner.steps
        ]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def _mean_fc(target: Target) -> float:
    return float(upper_triangle(target.fc).mean())


def subject_from_runs(
    subject_id: str,
    runs: Sequence[np.ndarray],
    sc: Connectome,
    tr_s: float,
    maps: RegionalMaps | None = None,
    labels: Sequence[str] | None = None,
    sources: Sequence[Source] = (),
    split: str = "by_run",
    observation: Observation | Sequence[Observation] | None = None,
) -> SubjectData:
    """A subject from the time series of its runs. Statistics are those of each run (or half) by itself; runs are never joined.

    Parameters
    ----------
    subject_id : str
    runs : sequence of array, (T, N)
        BOLD in any unit; T may differ between runs.
    sc : Connectome
    tr_s : float
        Seconds.
    maps : RegionalMaps, optional
        Default: none.
    labels : sequence of str, optional
        Region names; default those of the connectome or the maps, else numbers.
    sources : sequence of Source, optional
        Files that the data were read from.
    split : {"by_run", "pooled"}
        ``by_run`` shares the runs out over the stages of a fit. Three or more: the first is searched on, the second chosen on,
        the third reported on. Two: the second serves for both validation and test. One: its first half is searched on, its
        second half serves for both. ``pooled``: every stage has all runs, FC averaged as Fisher z and FCD CDFs averaged;
        simulated scans last as long as the runs do on average.
    observation : Observation or a sequence of them, optional
        What was done to the runs before they came here, one for all or one for each; the simulated scans go through the same.
        With a mask of kept frames a run holds every acquired frame, those that were lost with any value.

    Returns
    -------
    SubjectData

    Raises
    ------
    InputError
        If there is no run, inputs differ in their regions, a region is constant or not finite, or a run (of a single one, its
        half) is shorter than two FCD windows of 60 s.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> runs = np.random.default_rng(0).normal(size=(2, 100, 3))
    >>> subject = mfm.subject_from_runs("sub-01", runs, mfm.Connectome(0.02 * (1 - np.eye(3))), tr_s=2.0)
    >>> subject.search.source, subject.validation.source, subject.test.source
    ('run 1', 'run 2', 'run 2')
    """
    check_timing(tr_s)
    if split not in SPLITS:
        raise InputError(f"Unknown split {split!r}.", expected=" | ".join(SPLITS))
    series = [as_float_tensor(run, f"run {k + 1}").double().numpy() for k, run in enumerate(runs)]
    if not series:
        raise InputError("A subject needs at least one run.")
    given = labels if labels is not None else sc.labels or (maps.labels if maps is not None else None)
    names = check_labels(given, sc.n_regions, "the connectome") or sc.default_labels
    for k, run in enumerate(series):
        if run.ndim != 2 or run.shape[1] != sc.n_regions:
            raise InputError(
                f"Run {k + 1} does not have the connectome's regions.",
                expected=f"frames x {sc.n_regions} regions",
                found=f"shape {run.shape}",
                cause="regions x time instead of time x regions, or another parcellation",
            )
    observation = observation or Observation()
    observed = [observation] * len(series) if isinstance(observation, Observation) else list(observation)
    if len(observed) != len(series):
        raise InputError("There is not an observation for each run.", expected=f"{len(series)}", found=f"{len(observed)}")
    parts = [(f"run {k + 1}", run, seen) for k, (run, seen) in enumerate(zip(series, observed, strict=True))]
    if split == "by_run" and len(parts) == 1:
        _, run, seen = parts[0]
        half = len(run) // 2
        first, second = seen.part(0, half), seen.part(half, 2 * half)
        parts = [("run 1, first half", run[:half], first), ("run 1, second half", run[half : 2 * half], second)]
    scans = [_scan_of_run(source, run, sc, tr_s, names, seen) for source, run, seen in parts]
    statistics = tuple(scan.target for scan in scans) if len(series) > 1 else ()
    if split == "pooled":
        stages, note = (_pooled(scans),) * 3, "All runs serve for search, validation and test. The test is not independent."
    else:
        stages, note = (scans[0], scans[1], scans[2] if len(scans) > 2 else scans[1]), _by_run_note(len(series))
    return SubjectData(
        str(subject_id),
        *stages,
        maps=RegionalMaps.none(sc.n_regions) if maps is None else maps,
        labels=names,
        runs=statistics,
        sources=tuple(sources),
        notes=(note,) if note else (),
    )


def _by_run_note(n_runs: int) -> str:
    if n_runs == 1:
        return "One run: its halves serve for search, and for validation and test. The test is not independent."
    if n_runs == 2:
        return "Two runs: the second serves for validation and test. The test is not independent of the choice."
    return f"Of {n_runs} runs the first three are used; the others only tell how runs differ." if n_runs > 3 else ""


def _scan_of_run(
    source: str, run: np.ndarray, sc: Connectome, tr_s: float, names: tuple[str, ...], observation: Observation
) -> Scan:
    window = fcd_window_frames(tr_s)
    if run.shape[0] < 2 * window:
        raise InputError(
            f"{source[0].upper()}{source[1:]} is too short for functional connectivity dynamics.",
            expected=f"at least two windows of 60 s: {2 * window} frames at TR {tr_s:g} s",
            found=f"{run.shape[0]} frames",
            cause="a short scan, a wrong TR, or regions x time instead of time x regions",
        )
    observation.check_scan(tr_s, len(run))
    kept = observation.frames_kept(len(run))
    check_timeseries(run[kept], names, source, window if kept.all() else None)
    bold = torch.as_tensor(run, dtype=torch.float64)
    target = Target(functional_connectivity(bold[kept]), fcd_cdf(bold, window, kept=kept), names)
    return Scan(target, sc, tr_s, len(run), source, bold, observation)


def _pooled(scans: Sequence[Scan]) -> Scan:
    """One scan that stands for all: Fisher mean of FC, mean of the FCD CDFs, mean length."""
    if len(scans) == 1:
        return scans[0]
    fc = fisher_mean(torch.stack([scan.target.fc for scan in scans]))
    cdf = torch.stack([scan.target.fcd_cdf for scan in scans]).mean(dim=0)
    n_frames = round(sum(scan.n_frames for scan in scans) / len(scans))
    first = scans[0]
    # Each run lost other frames; a simulated scan that stands for all loses none.
    seen = {replace(scan.observation, kept=None) for scan in scans}
    if len(seen) > 1:
        raise InputError("Runs that went through different things cannot be pooled.", found=" and ".join(map(repr, seen)))
    target = Target(fc, cdf, first.target.labels)
    return Scan(target, first.sc, first.tr_s, n_frames, f"runs 1 to {len(scans)}, pooled", observation=seen.pop())
