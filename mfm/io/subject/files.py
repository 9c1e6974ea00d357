"""Which files hold a subject's data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mfm.errors import InputError
from mfm.io.readers.cleaning import Cleaning
from mfm.io.readers.frames import frame_counts
from mfm.io.readers.matrix_file import MatrixOptions
from mfm.observation import Observation

# Order of the Butterworth filter of `nilearn.signal.clean`.
_NILEARN_ORDER = 5


@dataclass(frozen=True)
class StageFiles:
    """FC and FCD CDF files of one stage, with a connectome of its own where that differs from the subject's.

    Parameters
    ----------
    fc : path, optional
        Matrix of Pearson correlations (N, N).
    fcd_cdf : path, optional
        CDF of the FCD matrix on equal bins of [-1, 1].
    sc : path, optional
        Connectome of this stage only.
    """

    fc: str | None = None
    fcd_cdf: str | None = None
    sc: str | None = None


@dataclass(frozen=True)
class ObservationSettings:
    """What was done to recorded data before they came here: `mfm.Observation`, but for the frames that were lost.

    Parameters
    ----------
    high_pass_hz, low_pass_hz, filter, filter_order, zero_phase, detrend, global_signal, noise_share
        As in `mfm.Observation`.
    """

    high_pass_hz: float | None = None
    low_pass_hz: float | None = None
    filter: str = "butterworth"
    filter_order: int = 2
    zero_phase: bool = True
    detrend: int = 0
    global_signal: str = "kept"
    noise_share: float = 0.0

    def observation(self, cleaning: Cleaning) -> Observation:
        """What simulated scans go through: what is said here or, of data that are cleaned here, what that does.

        Raises
        ------
        InputError
            If a setting is out of range, or filters are told here and applied by `cleaning` too.
        """
        told = Observation(**asdict(self))
        cleaned = Observation(
            high_pass_hz=cleaning.high_pass_hz,
            low_pass_hz=cleaning.low_pass_hz,
            filter_order=_NILEARN_ORDER,
            detrend=int(cleaning.detrend),
            global_signal="regressed" if "global_signal" in cleaning.strategy else "kept",
            noise_share=self.noise_share,
        )
        if told.is_filtered and cleaned.is_filtered:
            raise InputError(
                "The data were filtered before they came here, and are filtered here again.",
                found=f"{told!r}, and a filter of `cleaning`",
                fix="leave one of them out",
            )
        base = cleaned if cleaned.is_filtered else told
        regressed = "regressed" in (told.global_signal, cleaned.global_signal)
        return replace(base, detrend=max(told.detrend, cleaned.detrend), global_signal="regressed" if regressed else "kept")


@dataclass(frozen=True)
class DataFiles:
    """Where a subject's data are.

    Parameters
    ----------
    subject : str
        Id, kept as text.
    sc : path
        Structural connectome.
    sc_transform : {"log", "log1p", "log1p_relative", "none"}
        Of streamline counts: ``log`` of non-zero entries; ``log1p_relative`` of normalised ones;
        ``none`` for a matrix that is logged already.
    sc_scale_max : float or None
        The largest weight after scaling.
    sc_scale_mean : float, optional
        In place of the maximum (`load_connectome`).
    sc_file : MatrixOptions
        Which matrix of the connectome's file is meant, and names of its rows.
    timeseries : list of path
        One file per run, of any kind that `load_timeseries` reads; or give `search` (and `validation`, `test`) instead.
    timeseries_key : str, optional
        Which array of npz or mat files.
    orientation : {"frames_by_regions", "regions_by_frames"}, optional
        How text and array files are laid out; by default told by region names, else by the connectome's number of regions.
    run_frames : list of int
        Frames of each run, where files join several.
    drop_frames, drop_last_frames : int or list of int
        Frames to leave out at the beginning of each run, before magnetisation is in its steady state, and at its end: a
        number for all runs, or one for each.
    parcellation : path, optional
        ``.dlabel.nii`` for dense series, an image of labels for volumes. Fitted values are also written as CIFTI for it.
    label_table : path, optional
        Names of the values of an image of labels.
    cleaning : Cleaning
        Nuisance regression and filters; by default none.
    observation : ObservationSettings
        What was done to the data before they came here, which is then done to simulated scans too; filters of `cleaning` are
        known without it.
    allow_censored : bool
        Accept runs whose frames were deleted or interpolated for motion, or are no signal (`load_timeseries`).
    exclude_regions : list of str
        Regions that are left out of every input before it is checked, such as those that a scan does not cover: by name or,
        where no input has names, by number, counted from 1.
    split : {"by_run", "pooled"}
        Whether the stages of a fit get different runs or each all of them (`subject_from_runs`).
    search, validation, test : StageFiles
        FC and FCD CDF; validation defaults to search, test to validation.
    maps : mapping of name to path, optional
        Default: none, which makes every parameter the same in all regions.
    gradient_fc : path, optional
        A group's FC, of which the map ``gradient`` is computed (`mfm.fc_gradient`), its sign set against the map ``myelin``.
    maps_zscore : bool
        Give every map mean 0 and standard deviation 1.
    """

    subject: str = "sub-01"
    sc: str | None = None
    sc_transform: str = "log"
    sc_scale_max: float | None = 0.02
    sc_scale_mean: float | None = None
    sc_file: MatrixOptions = field(default_factory=MatrixOptions)
    timeseries: list[str] = field(default_factory=list)
    timeseries_key: str | None = None
    orientation: str | None = None
    run_frames: list[int] = field(default_factory=list)
    drop_frames: Any = 0  # OmegaConf has no union of a number and a list
    drop_last_frames: Any = 0
    parcellation: str | None = None
    label_table: str | None = None
    cleaning: Cleaning = field(default_factory=Cleaning)
    observation: ObservationSettings = field(default_factory=ObservationSettings)
    allow_censored: bool = False
    exclude_regions: list[str] = field(default_factory=list)
    split: str = "by_run"
    search: StageFiles = field(default_factory=StageFiles)
    validation: StageFiles = field(default_factory=StageFiles)
    test: StageFiles = field(default_factory=StageFiles)
    maps: dict[str, str] | None = None
    gradient_fc: str | None = None
    maps_zscore: bool = False

    def __post_init__(self):
        for name in ("drop_frames", "drop_last_frames"):
            frame_counts(getattr(self, name), name)
