"""Frames of a run that are left out as asked, and frames that are no signal."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from mfm.errors import ConfigError, InputError, InputNote
from mfm.timeseries_checks import spans

# Recordings stay below 3.3 times the median of the RMS over regions, and within 5.1 robust standard deviations of the regional
# mean (20 runs of HCP of 1200 frames, three parcellations); neighbours of a frame far out belong to it from the lower bound on.
_FAR_RMS, _FAR_MEAN = 7.0, 8.0
_NEAR_RMS, _NEAR_MEAN = 3.5, 3.5
# Frames that change FC by more, on average over all pairs or over those of one region, decide it; a run with them is refused.
_LARGEST_CHANGE, _LARGEST_CHANGE_OF_REGION = 0.1, 0.3
# With few regions whole frames are zero or alike by chance, where numbers are rounded.
_ENOUGH_REGIONS, _LONG_BLOCK = 8, 5
_ENOUGH_FRAMES = 40
_REPEATED = 1e-6
# A window of 60 s has more frames; one without any signal has no FC.
_SHORTEST_WINDOW = 15
#: Recordings have a mean FC of 0.16 to 0.61.
HIGH_MEAN_FC = 0.9


def frame_counts(value: Any, name: str) -> tuple[int, ...]:
    """Return frames to leave out as a tuple: of one number where one holds for all runs.

    Raises
    ------
    ConfigError
        If they are no whole numbers from 0.
    """
    counts = (value,) if isinstance(value, Integral) else value
    whole = isinstance(counts, Sequence) and not isinstance(counts, str)
    if not whole or not all(isinstance(n, Integral) and not isinstance(n, bool) and int(n) >= 0 for n in counts):
        raise ConfigError(
            f"`{name}` is no number of frames.", expected="a whole number from 0, or one for each run", found=repr(value)
        )
    return tuple(int(n) for n in counts)


@dataclass(frozen=True)
class Trim:
    """Frames that are left out at the beginning and end of each run.

    Parameters
    ----------
    first, last : tuple of int
        One number for all runs, or one for each.
    n_runs : int
        Runs of the subject, over all its files.
    run : int
        Which of them is the first of the file that is read.
    """

    first: tuple[int, ...] = (0,)
    last: tuple[int, ...] = (0,)
    n_runs: int = 1
    run: int = 0

    def __post_init__(self):
        for name, counts in (("drop_frames", self.first), ("drop_last_frames", self.last)):
            if len(counts) not in (1, self.n_runs):
                raise ConfigError(
                    f"`{name}` does not fit the runs.",
                    expected=f"a whole number, or one for each of {self.n_runs} runs",
                    found=f"{len(counts)} numbers",
                )

    def of(self, run: int) -> tuple[int, int]:
        """Frames left out at the beginning and at the end of the `run`-th run of the file."""
        first, last = (counts[0 if len(counts) == 1 else self.run + run] for counts in (self.first, self.last))
        return first, last

    def spans(self, lengths: Sequence[int], path: Path) -> tuple[slice, ...]:
        """What is kept of each run of a file, as frames of the file."""
        spans, start = [], 0
        for run, length in enumerate(lengths):
            first, last = self.of(run)
            if first + last and length - first - last < 2:
                raise ConfigError(
                    f"Nothing is left of {path}.",
                    expected=f"fewer than {length} frames to leave out",
                    found=f"{first} at its beginning and {last} at its end",
                    fix="smaller `drop_frames` and `drop_last_frames`",
                )
            spans.append(slice(start + first, start + length - last))
            start += length
        return tuple(spans)

    def advice(self, run: int, first: int, last: int) -> str:
        """What to type so that `first` and `last` more frames of the `run`-th run of the file are left out."""
        said = []
        for name, counts, more in (("drop_frames", self.first, first), ("drop_last_frames", self.last, last)):
            every = list(counts) * (self.n_runs if len(counts) == 1 else 1)
            every[self.run + run] += more
            if any(every):
                said.append(f"{name}={every[0] if len(set(every)) == 1 else every}".replace(" ", ""))
        return "`" + ", ".join(said) + "`"


@dataclass(frozen=True, eq=False)
class _Bad:
    """Frames (indices of a run), why they are no signal, and whether FC can be computed with them at all."""

    frames: np.ndarray
    why: str
    cause: str


def check_recorded(values: np.ndarray, spans: Sequence[slice], trim: Trim, path: Path, allowed: bool) -> None:
    """Raise an InputError if frames of (T, N) hold no numbers, are zero or alike in all regions, or repeat others.

    Where that is `allowed`, an `InputNote` tells of all but the first.
    """
    for run, span in enumerate(spans):
        for bad in _unrecorded(values[span]):
            problem = f"Frames of {path} are no signal."
            _tell(problem, bad, len(values[span]), span.start, (trim, run), allowed and "numbers" not in bad.why)


def check_steady(
    values: np.ndarray, lengths: Sequence[int], spans: Sequence[slice], trim: Trim, path: Path, allowed: bool
) -> None:
    """Raise an InputError if frames of (T, N) lie so far out that they decide FC; an `InputNote` tells of those that do not.

    `lengths` are of the runs in `values`, `spans` tell where they are in the file. A mean FC that no recording has is noted.
    """
    start = 0
    for run, length in enumerate(lengths):
        part, at = values[start : start + length], spans[run].stop - length
        start += length
        x = _usable(part)
        frames, zs = _far_out(x)
        if len(frames):
            decides = _decides(x, frames)
            largest = f"far out over regions (up to {zs:.0f} times the usual size)"
            problem = f"Frames of {path} {'decide its FC' if decides else 'lie far out'}."
            bad = _Bad(frames, largest, _why_far(frames, length))
            _tell(problem, bad, length, at, (trim, run), allowed or not decides)
            if decides and not allowed:
                continue
        note_high_fc(_mean_fc(x), path)


def note_high_fc(mean_fc: float, path: Path) -> None:
    """Warn of a mean FC that no recording has."""
    if mean_fc > HIGH_MEAN_FC:
        note = (
            f"The mean FC of {path} is {mean_fc:.3f}, where recordings have 0.1 to 0.6: a signal that all regions share, such "
            "as drift (`cleaning=Cleaning(detrend=True)`, `cleaning=Cleaning(high_pass_hz=0.008)`), the join of two runs "
            "(`run_frames=[T1,T2]`), or one region's series in all columns."
        )
        warnings.warn(InputNote(note), stacklevel=4)


def _tell(problem: str, bad: _Bad, n_frames: int, start: int, place: tuple[Trim, int], note_only: bool) -> None:
    found = f"frame{'' if len(bad.frames) == 1 else 's'} {spans(bad.frames + start)}: {bad.why}"
    trim, run = place
    first, last = _longest_stretch(bad.frames, n_frames)
    kept = n_frames - first - last
    fix = f"{trim.advice(run, first, last)} leaves them out"
    if kept < 0.8 * n_frames:
        other = "repair those frames, or give another run"
        if _longest_block(bad.frames) < _SHORTEST_WINDOW and "numbers" not in bad.why:
            other = "repair those frames, give another run, or take it as it is (`allow_censored=True`)"
        fix = other if kept < 0.25 * n_frames else f"{other}; {trim.advice(run, first, last)} keeps the longest stretch without"
    if note_only:
        warnings.warn(InputNote(f"{problem[:-1]}: {found}; {fix}."), stacklevel=4)
        return
    raise InputError(problem, expected="BOLD in every frame", found=found, cause=bad.cause, fix=fix)


def _longest_block(frames: np.ndarray) -> int:
    return max(map(len, np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)))


def _longest_stretch(frames: np.ndarray, n_frames: int) -> tuple[int, int]:
    """How many frames to leave out at both ends so that none of `frames` is left, and as many others as possible are."""
    edges = np.concatenate([[-1], frames, [n_frames]])
    k = int(np.argmax(np.diff(edges)))
    return int(edges[k]) + 1, n_frames - int(edges[k + 1])


def _usable(values: np.ndarray) -> np.ndarray:
    """The regions (T, M) that vary and are finite."""
    good = np.isfinite(values).all(axis=0)
    return values[:, good & (np.nan_to_num(values).max(axis=0) > np.nan_to_num(values).min(axis=0))]


def _unrecorded(values: np.ndarray) -> list[_Bad]:
    finite = np.isfinite(values)
    missing = np.flatnonzero((~finite[:, finite.any(axis=0)]).mean(axis=1) > 0.5)
    if len(missing):
        return [_Bad(missing, "no numbers", "frames that were taken out for motion, or were not recorded")]
    x = _usable(values)
    if x.shape[1] < 2:
        return []
    found = []
    zero = _blocks((x == 0).all(axis=1), x.shape[1])
    if len(zero):
        found.append(
            _Bad(zero, "zero in all regions", "a scan that was cut short and filled up, or frames set to zero for motion")
        )
    alike = np.ptp(x, axis=1) <= 1e-9 * np.abs(x).max(axis=1)
    alike[zero] = False
    if len(alike := _blocks(alike, x.shape[1])):
        found.append(_Bad(alike, "one value in all regions", "frames that were filled in with a number"))
    if found:
        return found
    size = np.median(np.abs(x - np.median(x, axis=0)), axis=0)  # which a spike does not enlarge
    same = (np.abs(np.diff(x, axis=0)) <= _REPEATED * size).all(axis=1)
    # The first of alike frames too: what fills a run up is no frame of it.
    repeated = _blocks(np.concatenate([[False], same]) | np.concatenate([same, [False]]), x.shape[1])
    if len(repeated):
        return [
            _Bad(
                repeated, "alike from frame to frame", "a scan that was cut short and filled up, or frames replaced for motion"
            )
        ]
    return _copied(x)


def _blocks(bad: np.ndarray, n_regions: int) -> np.ndarray:
    """Indices of frames that are bad; with few regions, of those in long blocks only."""
    frames = np.flatnonzero(bad)
    if n_regions >= _ENOUGH_REGIONS or not len(frames):
        return frames
    blocks = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    return np.concatenate([np.empty(0, int), *(block for block in blocks if len(block) >= _LONG_BLOCK)]).astype(int)


def _copied(x: np.ndarray) -> list[_Bad]:
    """Frames that stand in the run twice, far from each other: a run that was appended to itself."""
    if x.shape[1] < _ENOUGH_REGIONS:
        return []
    _, first, inverse = np.unique(x, axis=0, return_index=True, return_inverse=True)
    lag = np.arange(len(x)) - first[inverse.reshape(-1)]
    frames = np.flatnonzero(lag > 0)
    if len(frames) < max(10, 0.02 * len(x)):
        return []
    originals = spans(np.unique(frames - lag[frames]))
    return [_Bad(frames, f"copies of frames {originals}", "a run that was joined to itself, or a padded one")]


def _far_out(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Frames of (T, N) far out over regions, and how many times larger than usual they are."""
    if len(x) < _ENOUGH_FRAMES or x.shape[1] < 2:
        return np.empty(0, int), 0.0
    deviation = x - np.median(x, axis=0)
    spread = np.median(np.abs(deviation), axis=0)
    z = deviation[:, spread > 0] / spread[spread > 0]
    if z.shape[1] < 2:
        return np.empty(0, int), 0.0
    largest = np.abs(z).max(axis=1, keepdims=True)  # first, so that squares do not overflow
    rms = largest[:, 0] * np.sqrt(np.mean((z / np.where(largest > 0, largest, 1)) ** 2, axis=1))
    mean = z.mean(axis=1)
    mean = np.abs(mean - np.median(mean))
    usual_rms, usual_mean = np.median(rms), 1.4826 * np.median(mean)
    scale = 1.0 if x.shape[1] >= _ENOUGH_REGIONS else 1.5
    far = (rms > scale * _FAR_RMS * usual_rms) | (mean > scale * _FAR_MEAN * usual_mean)
    near = (rms > scale * _NEAR_RMS * usual_rms) | (mean > scale * _NEAR_MEAN * usual_mean)
    # Whole blocks of near frames that hold a far one: magnetisation falls to its steady state over several frames.
    block = np.cumsum(np.diff(near.astype(int), prepend=0) == 1) * near
    frames = np.flatnonzero(near & np.isin(block, block[far]))
    return frames, float(np.max(rms[frames] / usual_rms)) if len(frames) else 0.0


def _why_far(frames: np.ndarray, n_frames: int) -> str:
    if frames[0] == 0 and frames[-1] < 0.1 * n_frames:
        return "frames before magnetisation is in its steady state"
    if frames[-1] == n_frames - 1 and frames[0] > 0.9 * n_frames:
        return "a scan that was cut short and filled up"
    return "motion, a spike of the scanner, or frames that were filled in"


def _decides(x: np.ndarray, frames: np.ndarray) -> bool:
    """Whether FC is another without `frames`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        change = np.abs(np.corrcoef(_bounded(x).T) - np.corrcoef(_bounded(np.delete(x, frames, axis=0)).T))
    off = change[~np.eye(len(change), dtype=bool)].reshape(len(change), -1)
    return bool(
        not np.isfinite(off).all() or off.mean() > _LARGEST_CHANGE or off.mean(axis=1).max() > _LARGEST_CHANGE_OF_REGION
    )


def _bounded(x: np.ndarray) -> np.ndarray:
    x = x - x.mean(axis=0)
    return x / np.maximum(np.abs(x).max(axis=0), np.finfo(float).tiny)


def _mean_fc(x: np.ndarray) -> float:
    """Mean FC of (T, N); NaN where fewer regions vary than say anything."""
    if x.shape[1] < _ENOUGH_REGIONS or len(x) < _ENOUGH_FRAMES:
        return float("nan")
    fc = np.corrcoef(_bounded(x).T)
    return float((fc.sum() - len(fc)) / (len(fc) * (len(fc) - 1)))
