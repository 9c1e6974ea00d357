"""What the runs of a subject must have in common: their length, where it is said, and their repetition time."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from mfm.errors import ConfigError, InputError, InputNote
from mfm.io.readers.same_scan import ALIKE, VERSION, best_overlap
from mfm.io.readers.timeseries import TimeSeries
from mfm.io.readers.timing import note_run_lengths, plausible_tr


def check_run_lengths(series: TimeSeries, path: str, n_frames: int | None) -> None:
    """Raise an InputError if a file holds runs of another length than the one that is said."""
    lengths_and_left_out = zip(series.run_frames, series.left_out or (0,) * len(series.run_frames), strict=True)
    wrong = [length for length, left_out in lengths_and_left_out if n_frames not in (None, length, length + left_out)]
    if not wrong or n_frames is None:
        return
    joined = len(series.run_frames) == 1 and wrong[0] > n_frames and wrong[0] % n_frames == 0
    n_runs = wrong[0] // n_frames
    lengths = ",".join([str(n_frames)] * n_runs)
    raise InputError(
        f"The time series {path} have another length.",
        expected=f"{n_frames} frames (`n_frames`)",
        found=f"{wrong[0]} frames",
        cause=f"{n_runs} runs joined in one file"
        if joined
        else "frames were dropped by censoring, or the setting is of another scan",
        fix=f"`run_frames=[{lengths}]`, so that FCD windows do not cross joins"
        if joined
        else "leave `n_frames` out, to take each run's own length",
    )


def check_distinct_runs(paths: Sequence[str], runs: Sequence[np.ndarray]) -> None:
    """Raise an InputError if two runs (T, N) hold one scan; an `InputNote` tells of two that are suspiciously alike.

    Runs are compared by their numbers (`best_overlap`). `paths` are their files, each with as many of the runs.
    """
    per_file = len(runs) // len(paths)
    for k, j in combinations(range(len(runs)), 2):
        found = best_overlap(runs[k], runs[j])
        if found is None or found.r < ALIKE:
            continue
        one, other = (f"run {n + 1} ({Path(paths[n // per_file]).name})" for n in (k, j))
        how = f"{one} and {other}: r = {found.r:.3f} between their regions (median) over {found.n_frames} frames"
        how += f", shifted by {abs(found.lag)} frames" if found.lag else ""
        how += ", regions in another order" if found.reordered else ""
        if found.r < VERSION:
            warnings.warn(InputNote(f"Two runs are more alike than resting runs are: {how}. Are they one scan?"), stacklevel=2)
            continue
        kept = [path for n, path in enumerate(paths) if n != j // per_file]
        fix = f"`timeseries={json.dumps(kept)}`: a run cannot test itself" if per_file == 1 else "a run cannot test itself"
        raise InputError(
            "The same time series were given twice.",
            expected="other runs, which correlate at less than 0.3",
            found=how,
            cause="one run in two formats, precisions or orders of regions, or cut anew"
            if found.r > 0.99
            else "versions of one scan: other cleaning, space, resolution or echo",
            fix=f"give each run once, {fix}",
        )


def common_tr(said: float | None, runs: Sequence[TimeSeries], n_frames: int | None = None) -> float:
    """Return the repetition time that is said or that the runs tell.

    An `InputNote` tells of runs, or of the `n_frames` of a scan without runs, that last longer than runs do.

    Raises
    ------
    ConfigError
        If neither does.
    InputError
        If runs have different ones.
    """
    tr_s = said if said is not None else _told_tr(runs)
    for note in note_run_lengths([n for run in runs for n in run.run_frames] or [n_frames or 0], tr_s):
        warnings.warn(InputNote(note), stacklevel=2)
    return tr_s


def _told_tr(runs: Sequence[TimeSeries]) -> float:
    known = [run.tr_s for run in runs if run.tr_s is not None]
    if not known or len(known) < len(runs):
        headers = [run.header for run in runs if run.header.number is not None]
        hints = dict.fromkeys(header.hint for header in headers)
        raise ConfigError(
            "The repetition time was not given.",
            expected="`tr_s` in seconds, unless all time series tell it; no default: a wrong TR is a wrong fit",
            found=f"a header with {', '.join(hints)}" if hints else None,
            fix=_own_tr({header.number for header in headers if header.number is not None}),
        )
    if max(known) - min(known) > 1e-3 * max(known):
        raise InputError(
            "The runs have different repetition times.",
            found=", ".join(f"{tr_s:g} s" for tr_s in known),
            cause="runs of different scans, such as 3 T and 7 T",
            fix="fit them apart",
        )
    return known[0]


def _own_tr(numbers: set[float]) -> str:
    """What to type for the TR, where headers hold these numbers, which need not be seconds."""
    if len(numbers) != 1:
        return "`tr_s=0.72` for HCP Young Adult, for another scan its own"
    seconds = numbers.pop()
    while not plausible_tr(seconds) and seconds > 1:
        seconds /= 1000
    if seconds == 1:
        return "`tr_s=SECONDS`, as the scan's protocol says; `tr_s=1` only if it is 1 s"
    return f"`tr_s={seconds:g}` if the header's number is the TR, else the scan's own"
