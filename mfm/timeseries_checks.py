"""Frames and regions of time series that are no signal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfm.errors import InputError


def check_timeseries(values: np.ndarray, names: Sequence[str] | None, what: str, window_frames: int | None = None) -> None:
    """Raise an InputError that names frames of (T, N) without numbers, or regions that are constant or not finite.

    With `window_frames`, also regions that are constant for a whole window: their FC in it is not defined.
    """
    bad = ~np.isfinite(values)
    whole = bad.all(axis=0)
    if not whole.all():
        _check_frames(bad[:, ~whole], what)
    _check_regions(bad, values, names, what)
    if window_frames is not None:
        _check_windows(values, names, what, window_frames)


def _check_frames(bad: np.ndarray, what: str) -> None:
    """Raise if there are frames in which most regions have no number."""
    frames = np.flatnonzero(bad.mean(axis=1) > 0.5)
    if not len(frames):
        return
    at_an_end = np.array_equal(frames, np.arange(len(frames))) or frames[0] == len(bad) - len(frames)
    raise InputError(
        f"Frames of {what} are not finite.",
        expected="a number for every region in every frame",
        found=f"{len(frames)} of {len(bad)} frames without: {spans(frames)} (counted from 1)",
        cause="frames that were not recorded, or that a tool blanked before steady state"
        if at_an_end and len(frames) < 0.2 * len(bad)
        else "frames that were censored for motion and filled with NaN (xcpEngine, XCP-D, AFNI)",
        fix="cut those frames off the file"
        if at_an_end
        else "give the run as it was before censoring: FCD compares windows of 60 s, which must be of one piece",
    )


def _check_regions(bad: np.ndarray, values: np.ndarray, names: Sequence[str] | None, what: str) -> None:
    found: tuple[tuple[str, np.ndarray], ...] = (
        ("not finite", np.asarray(bad.any(axis=0))),
        ("constant", np.asarray(np.ptp(np.nan_to_num(values), axis=0) == 0)),
    )
    for problem, regions in found:
        if regions.all():
            raise InputError(
                f"Regions of {what} are {problem}.",
                found=_named(regions, names),
                cause="a file that was written before it was filled, a wrong mask, or another quantity than BOLD",
                fix="extract the time series again",
            )
        if regions.any():
            partly = problem == "not finite" and not np.logical_and(bad.all(axis=0), regions).any()
            raise InputError(
                f"Regions of {what} are {problem}.",
                found=_named(regions, names),
                cause=f"regions whose voxels have no data in some frames: {spans(np.flatnonzero(bad.any(axis=1)))}"
                if partly
                else "regions outside the field of view, or dropped for low coverage",
                fix=f"remove them from time series, connectome and maps alike: {_exclusion(regions, names)}",
            )


def _check_windows(values: np.ndarray, names: Sequence[str] | None, what: str, window_frames: int) -> None:
    """Raise for regions that do not change for a whole window of FCD."""
    position = np.arange(1, len(values))[:, None]
    changes = np.where(np.diff(values, axis=0) != 0, position, 0)
    since = position - np.maximum.accumulate(changes, axis=0) + 1  # frames that have the value of this one
    regions = since.max(axis=0, initial=0) >= window_frames
    if not regions.any():
        return
    first = int(np.flatnonzero(regions)[0])
    last = int(since[:, first].argmax()) + 1
    start = last - int(since[:, first].max()) + 1
    raise InputError(
        f"Regions of {what} do not change for a whole window of FCD, in which their FC is not defined.",
        expected=f"changing values in every window of 60 s ({window_frames} frames)",
        found=f"{_named(regions, names)}; the first has the value {values[last, first]:g} in frames {start + 1} to {last + 1}",
        cause="frames or regions that were blanked or filled with zeros in a part of the run",
        fix=f"remove them from time series, connectome and maps alike: {_exclusion(regions, names)}"
        if regions.mean() < 0.5
        else "give a run without the blank part",
    )


def _named(regions: np.ndarray, names: Sequence[str] | None) -> str:
    chosen = [names[k] if names else f"region {k + 1}" for k in np.flatnonzero(regions).tolist()]
    return f"{len(chosen)} of {len(regions)}: {', '.join(chosen[:6])}"


def _exclusion(regions: np.ndarray, names: Sequence[str] | None) -> str:
    quoted = [f'"{names[k] if names else k + 1}"' for k in np.flatnonzero(regions).tolist()]
    return f"`exclude_regions=[{','.join(quoted)}]`"


def spans(positions: Sequence[int] | np.ndarray, most: int = 6) -> str:
    """Positions, counted from 0, as spans counted from 1.

    Examples
    --------
    >>> from mfm.timeseries_checks import spans
    >>> spans([0, 1, 2, 7])
    '1 to 3, 8'
    """
    found: list[list[int]] = []
    for k in positions:
        if found and k == found[-1][1] + 1:
            found[-1][1] = int(k)
        else:
            found.append([int(k), int(k)])
    told = [f"{first + 1}" if first == last else f"{first + 1} to {last + 1}" for first, last in found]
    return ", ".join(told[:most]) + (", ..." if len(told) > most else "")
