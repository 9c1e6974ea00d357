"""The runs of a subject, as its data settings name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mfm.errors import ConfigError, InputError
from mfm.io.readers.timeseries import TimeSeries, load_timeseries

if TYPE_CHECKING:
    from mfm.io.subject.files import DataFiles


def read_run(files: DataFiles, k: int, tr_s: float | None, n_frames: int | None, n_regions: int | None) -> TimeSeries:
    """The k-th time series file of a subject, of runs of `n_frames` where that is given."""
    path = files.timeseries[k]
    series = load_timeseries(
        path,
        parcellation=files.parcellation,
        orientation=files.orientation,
        tr_s=tr_s,
        cleaning=files.cleaning.for_file(k, len(files.timeseries)),
        allow_censored=files.allow_censored,
        label_table=files.label_table,
        key=files.timeseries_key,
        run_frames=files.run_frames,
        n_regions=n_regions,
        allow_missing_regions=True,
    )
    wrong = [length for length in series.run_frames if n_frames is not None and length != n_frames]
    if wrong and n_frames is not None:
        joined = len(series.run_frames) == 1 and wrong[0] > n_frames and wrong[0] % n_frames == 0
        lengths = ",".join([str(n_frames)] * (wrong[0] // n_frames))
        raise InputError(
            f"The time series {path} have another length.",
            expected=f"{n_frames} frames (acquisition.n_frames)",
            found=f"{wrong[0]} frames",
            cause=f"{wrong[0] // n_frames} runs joined in one file"
            if joined
            else "frames were dropped by censoring, or the setting is of another scan",
            fix=f"data.run_frames=[{lengths}], so that FCD windows do not cross joins"
            if joined
            else "leave acquisition.n_frames out, to take each run's own length",
        )
    return series


def common_tr(said: float | None, runs: Sequence[TimeSeries]) -> float:
    """The repetition time that is said or that the runs tell.

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
            expected="acquisition.tr_s in seconds, unless all time series tell it; no default: a wrong TR is a wrong fit",
            fix="acquisition.tr_s=0.72, or acquisition=hcp_ya for HCP Young Adult",
        )
    if max(known) - min(known) > 1e-3 * max(known):
        raise InputError(
            "The runs have different repetition times.",
            found=", ".join(f"{tr_s:g} s" for tr_s in known),
            cause="runs of different scans, such as 3 T and 7 T",
            fix="fit them apart",
        )
    return known[0]
