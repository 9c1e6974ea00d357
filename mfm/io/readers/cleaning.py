"""Nuisance regression and filtering of regional time series, by nilearn."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mfm.errors import ConfigError, InputError, InputNote
from mfm.io.formats.bids import file_of_same_scan
from mfm.io.formats.input_file import existing_file
from mfm.io.formats.tables import read_table

STRATEGIES = ("motion", "high_pass", "wm_csf", "global_signal", "compcor", "ica_aroma")
_MODELS = ("basic", "power2", "derivatives", "full")
_GLOBAL_SIGNAL_NOTE = "the global signal was regressed out, which takes away much of FC's level and of its dynamics"


@dataclass(frozen=True)
class Cleaning:
    """What is done to regional time series before statistics. By default nothing: data are taken as already cleaned.

    Parameters
    ----------
    strategy : list of {"motion", "high_pass", "wm_csf", "global_signal", "compcor", "ica_aroma"}
        Confounds of fMRIPrep, found beside the scan (`nilearn.interfaces.fmriprep.load_confounds`). Frames are never scrubbed:
        sliding windows need all of them.
    motion, wm_csf, global_signal : {"basic", "power2", "derivatives", "full"}
        The signals alone, with their squares, with their derivatives, or with both.
    n_compcor : int, optional
        Components of anatomical CompCor; null takes all.
    confounds : list of path
        Instead of a strategy: tables of confounds with a header, one per time series file.
    columns : list of str
        Of these tables; default all.
    low_pass_hz, high_pass_hz : float, optional
        Cut-offs of a Butterworth filter (order 5, forwards and backwards).
    detrend : bool
        Remove linear trends.
    standardize : bool
        Bring every region to unit variance; FC and FCD do not change.

    Raises
    ------
    ConfigError
        If a choice is unknown, both a strategy and confounds are given, or the band is empty.

    Examples
    --------
    >>> from mfm.io import Cleaning
    >>> Cleaning(strategy=["motion", "wm_csf"], high_pass_hz=0.008).active, Cleaning().active
    (True, False)
    """

    strategy: list[str] = field(default_factory=list)
    motion: str = "full"
    wm_csf: str = "basic"
    global_signal: str = "basic"
    n_compcor: int | None = None
    confounds: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    low_pass_hz: float | None = None
    high_pass_hz: float | None = None
    detrend: bool = False
    standardize: bool = False

    def __post_init__(self):
        for name in self.strategy:
            if name not in STRATEGIES:
                raise ConfigError(
                    "`strategy` has an unknown entry.",
                    expected=" | ".join(STRATEGIES),
                    found=repr(name),
                    cause="scrubbing deletes frames, over which sliding windows cannot run" if name == "scrub" else None,
                )
        for name in ("motion", "wm_csf", "global_signal"):
            if getattr(self, name) not in _MODELS:
                raise ConfigError(
                    f"`{name}` has an unknown value.", expected=" | ".join(_MODELS), found=repr(getattr(self, name))
                )
        if self.strategy and self.confounds:
            raise ConfigError("`cleaning` has both a strategy and tables of confounds.", fix="give one of the two")
        if self.columns and not self.confounds:
            raise ConfigError("`columns` are of no table.", fix='`confounds=["CONFOUNDS.tsv"]`')
        low, high = self.high_pass_hz, self.low_pass_hz
        for name, value in (("low_pass_hz", high), ("high_pass_hz", low)):
            if value is not None and not value > 0:
                raise ConfigError(f"`{name}` must be positive.", found=repr(value))
        if low is not None and high is not None and low >= high:
            raise ConfigError(
                "The band that cleaning leaves is empty.", found=f"high_pass_hz = {low:g} is not below low_pass_hz = {high:g}"
            )

    @property
    def active(self) -> bool:
        """Whether anything is done at all."""
        return self != replace(Cleaning(), motion=self.motion, wm_csf=self.wm_csf, global_signal=self.global_signal)

    def for_file(self, k: int, n_files: int) -> Cleaning:
        """The same, with the table of confounds of the k-th of `n_files` time series files."""
        if self.confounds and len(self.confounds) != n_files:
            raise ConfigError(
                "Time series and tables of confounds are not as many.",
                expected=f"{n_files} tables, one per time series",
                found=f"{len(self.confounds)}",
            )
        return replace(self, confounds=self.confounds[k : k + 1])


def clean_timeseries(
    values: np.ndarray, path: Path, tr_s: float | None, cleaning: Cleaning, spans: Sequence[slice]
) -> tuple[list[np.ndarray], tuple[Path, ...]]:
    """Clean (T, N) run by run; regions without data stay as they are. `spans` are the frames of each run.

    Returns
    -------
    runs : list of array, (T', N)
        Shorter than their spans where fMRIPrep marks the first frames as not in steady state.
    files : tuple of path
        The confound tables that were read.

    Raises
    ------
    ConfigError
        If filters are asked for and the TR is not known.
    InputError
        If confounds cannot be found or read, have other frames or columns, or a cut-off is above the Nyquist frequency.

    Warns
    -----
    InputNote
        If the global signal is regressed out, or first frames are dropped.
    """
    from nilearn import signal

    _check_filter(cleaning, tr_s)
    confounds, kept, files = _confounds(path, cleaning, len(values))
    if kept.start and len(spans) > 1:
        raise InputError(f"{path} joins several runs, but its confounds mark frames as not in steady state.")
    used = np.concatenate([values[span] for span in spans])
    good = np.isfinite(used).all(axis=0) & (used.max(axis=0) > used.min(axis=0))
    runs = []
    for span in spans:
        run = slice(max(span.start, kept.start), span.stop)
        part = values[run].copy()
        part[:, good] = signal.clean(
            values[run][:, good],
            confounds=None if confounds is None else confounds[run],
            detrend=cleaning.detrend,
            standardize="zscore_sample" if cleaning.standardize else None,
            low_pass=cleaning.low_pass_hz,
            high_pass=cleaning.high_pass_hz,
            filter="butterworth" if cleaning.low_pass_hz or cleaning.high_pass_hz else False,
            t_r=tr_s,
        )
        runs.append(part)
    return runs, files


def _check_filter(cleaning: Cleaning, tr_s: float | None) -> None:
    cut_offs = [hz for hz in (cleaning.low_pass_hz, cleaning.high_pass_hz) if hz is not None]
    if not cut_offs:
        return
    if tr_s is None:
        raise ConfigError("A filter needs the repetition time.", fix="`tr_s=0.72`, or whatever it is, in seconds")
    if max(cut_offs) >= 0.5 / tr_s:
        raise InputError(
            "A filter's cut-off is above what the scan can hold.",
            expected=f"below {0.5 / tr_s:g} Hz at TR {tr_s:g} s",
            found=f"{max(cut_offs):g} Hz",
        )


def _confounds(path: Path, cleaning: Cleaning, n_frames: int) -> tuple[np.ndarray | None, slice, tuple[Path, ...]]:
    """Confounds (T, C), the frames that are kept, and the files they are from."""
    if cleaning.strategy:
        table, kept, file = _from_fmriprep(path, cleaning, n_frames)
    elif cleaning.confounds:
        table, file = _from_table(cleaning)
        kept = slice(0, n_frames)
    else:
        return None, slice(0, n_frames), ()
    if len(table) != n_frames:
        raise InputError(
            f"The confounds {file} are not those of {path}.",
            expected=f"{n_frames} rows, one per frame",
            found=f"{len(table)}",
            cause="confounds of another run, or frames dropped from one of the two",
        )
    return table, kept, (file,)


def _from_table(cleaning: Cleaning) -> tuple[np.ndarray, Path]:
    file = existing_file(cleaning.confounds[0], "confounds")
    values, _, names = read_table(file, "confounds")
    if names is None:
        raise InputError(f"The confounds {file} have no header.", expected="a name for every column")
    missing = [name for name in cleaning.columns if name not in names]
    if missing:
        raise InputError(
            f"The confounds {file} lack columns.", expected=", ".join(cleaning.columns), found=", ".join(names[:20])
        )
    chosen = cleaning.columns or list(names)
    if any(re.search(r"global_?signal|gsr", name, re.IGNORECASE) for name in chosen):
        warnings.warn(InputNote(f"{file}: {_GLOBAL_SIGNAL_NOTE}."), stacklevel=3)
    values = values[:, [names.index(name) for name in chosen]]
    # Derivatives have no first value.
    values[0] = np.where(np.isnan(values[0]), values[1] if len(values) > 1 else 0.0, values[0])
    if not np.isfinite(values).all():
        bad = [chosen[k] for k in np.flatnonzero(~np.isfinite(values).all(axis=0))]
        raise InputError(f"Confounds of {file} are missing in some frames.", found=", ".join(bad[:8]), fix="leave them out")
    return values, file


def _from_fmriprep(path: Path, cleaning: Cleaning, n_frames: int) -> tuple[np.ndarray, slice, Path]:
    from nilearn.interfaces.fmriprep import load_confounds

    file = file_of_same_scan(path, "*_desc-confounds_timeseries.tsv") or file_of_same_scan(
        path, "*_desc-confounds_regressors.tsv"
    )
    if file is None:
        raise InputError(
            f"There are no confounds of fMRIPrep beside {path}.",
            expected="a file *_desc-confounds_timeseries.tsv of the same subject, session, task and run",
            fix='`cleaning=Cleaning(confounds=["CONFOUNDS.tsv"])`, one per time series',
        )
    try:
        table, mask = load_confounds(
            str(path),
            strategy=tuple(cleaning.strategy),
            motion=cleaning.motion,
            wm_csf=cleaning.wm_csf,
            global_signal=cleaning.global_signal,
            n_compcor="all" if cleaning.n_compcor is None else cleaning.n_compcor,
        )
    except (ValueError, OSError, KeyError) as error:
        raise InputError(f"The confounds {file} do not give what the strategy asks for.", found=str(error)) from error
    if table is None or table.shape[1] == 0:
        asked = ", ".join(cleaning.strategy)
        raise InputError(f"The confounds {file} do not give what the strategy asks for.", found=f"no column of {asked}")
    if "global_signal" in cleaning.strategy:
        warnings.warn(InputNote(f"{path}: {_GLOBAL_SIGNAL_NOTE}."), stacklevel=3)
    kept = slice(0, n_frames)
    if mask is not None:
        kept = slice(int(mask[0]), int(mask[-1]) + 1)
        if kept.stop != n_frames or len(mask) != kept.stop - kept.start:
            raise InputError(
                f"The confounds {file} leave out frames in the middle of the run.", found=f"{len(mask)} of {n_frames}"
            )
        note = f"{path}: the first {kept.start} frames, marked as not in steady state, were dropped."
        warnings.warn(InputNote(note), stacklevel=3)
    return table.to_numpy(dtype=np.float64), kept, file
