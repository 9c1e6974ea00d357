"""What the runs of a subject must have in common: their length, where it is said, and their repetition time."""

from __future__ import annotations

from collections.abc import Sequence

from mfm.errors import ConfigError, InputError
from mfm.io.readers.timeseries import TimeSeries


def check_run_lengths(series: TimeSeries, path: str, n_frames: int | None) -> None:
    """Raise an InputError if a file holds runs of another length than the one that is said."""
    wrong = [length for length in series.run_frames if n_frames is not None and length != n_frames]
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


def common_tr(said: float | None, runs: Sequence[TimeSeries]) -> float:
    """Return the repetition time that is said or that the runs tell.

    Raises
    ------
    ConfigError
        If neither does.
    InputError
        If runs have different ones.
    """
    if said is not None:
        return said
    known = [run.tr_s for run in runs if run.tr_s is not None]
    if not known or len(known) < len(runs):
        raise ConfigError(
            "The repetition time was not given.",
            expected="`tr_s` in seconds, unless all time series tell it; no default: a wrong TR is a wrong fit",
            fix="`tr_s=0.72` for HCP Young Adult, for another scan its own",
        )
    if max(known) - min(known) > 1e-3 * max(known):
        raise InputError(
            "The runs have different repetition times.",
            found=", ".join(f"{tr_s:g} s" for tr_s in known),
            cause="runs of different scans, such as 3 T and 7 T",
            fix="fit them apart",
        )
    return known[0]
