"""Regional time series from any file that holds them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mfm.brain.atlas import Atlas
from mfm.brain.connectome import check_labels
from mfm.errors import InputError, InputNote
from mfm.io.formats.arrays import check_byte_order
from mfm.io.formats.bids import read_sidecar
from mfm.io.formats.containers import choose_matrix
from mfm.io.formats.format import RegionFile, Request
from mfm.io.formats.header_time import HeaderTime
from mfm.io.formats.input_file import existing_file, file_digest
from mfm.io.formats.registry import read_file
from mfm.io.formats.volumes import table_beside
from mfm.io.readers.censoring import Censoring, check_censoring, find_censoring, note_processing
from mfm.io.readers.cleaning import Cleaning, clean_timeseries
from mfm.io.readers.frames import Trim, check_recorded, check_steady, frame_counts
from mfm.io.readers.timing import agreed_tr, run_lengths
from mfm.io.readers.versions import check_magnitude
from mfm.observation import Observation
from mfm.protocol import check_timing
from mfm.subject import Source
from mfm.timeseries_checks import check_timeseries

ORIENTATIONS = ("frames_by_regions", "regions_by_frames")
# float32 BOLD read in the wrong byte order spreads over all magnitudes that float32 has.
_LARGEST, _SMALLEST = 1e20, 1e-20


@dataclass(frozen=True, eq=False)
class TimeSeries:
    """Regional time series of a file, with what is known of them.

    Attributes
    ----------
    values : array of float64, (T, N)
        Frames by regions.
    labels : tuple of str, or None
        Region names, where file or parcellation has them.
    tr_s : float or None
        Repetition time, seconds: as said and as the files say, which agree.
    run_frames : tuple of int
        Frames of each run, without those that were left out: (T,) unless said otherwise.
    censoring : Censoring
        Frames that were deleted or interpolated for motion.
    notes : tuple of str
        What was accepted but should be known.
    header : HeaderTime
        What the file's header tells of the TR.
    left_out : tuple of int
        Frames of each run that were left out at its ends, as asked.
    sources : tuple of Source
        Every file that was read, with its digest: series, parcellation, sidecars, confounds.
    """

    values: np.ndarray
    labels: tuple[str, ...] | None
    tr_s: float | None
    run_frames: tuple[int, ...]
    censoring: Censoring = field(default_factory=Censoring)
    notes: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    header: HeaderTime = HeaderTime()
    left_out: tuple[int, ...] = ()

    @property
    def n_frames(self) -> int:
        return self.values.shape[0]

    @property
    def n_regions(self) -> int:
        return self.values.shape[1]

    @property
    def runs(self) -> list[np.ndarray]:
        """The values of each run, (T_k, N)."""
        return np.split(self.values, np.cumsum(self.run_frames)[:-1])

    def __repr__(self) -> str:
        tr = "TR not known" if self.tr_s is None else f"TR {self.tr_s:g} s"
        named = "named" if self.labels else "unnamed"
        lines = [f"TimeSeries: {self.n_frames} frames x {self.n_regions} {named} regions, {tr}, censoring: {self.censoring}"]
        return "\n".join([*lines, *(f"  {s.role}: {s.path}" for s in self.sources), *(f"  note: {n}" for n in self.notes)])


@dataclass(frozen=True, eq=False)
class _Content:
    """What a file holds: values (T, N), names of regions, and what its header tells of the TR."""

    values: np.ndarray
    labels: tuple[str, ...] | None = None
    time: HeaderTime = HeaderTime()


def load_timeseries(
    path: str | Path,
    *,
    parcellation: str | Path | None = None,
    orientation: str | None = None,
    tr_s: float | None = None,
    cleaning: Cleaning | None = None,
    allow_censored: bool = False,
    label_table: str | Path | None = None,
    key: str | None = None,
    run_frames: Sequence[int] = (),
    drop_frames: int | Sequence[int] = 0,
    drop_last_frames: int | Sequence[int] = 0,
    n_regions: int | None = None,
    allow_missing_regions: bool = False,
) -> TimeSeries:
    """Read the regional time series of a run.

    Parameters
    ----------
    path : path
        With `parcellation`: ``.dtseries.nii``, a micapipe ``timeseries_clean.shape.gii``, or a 4-D NIfTI. Without:
        ``.ptseries.nii``, csv, tsv (XCP-D's among them), txt, npy, npz or mat.
    parcellation : path, optional
        ``.dlabel.nii`` for dense files; an image of labels for volumes, whose names are in `label_table` or a tsv beside it.
    orientation : {"frames_by_regions", "regions_by_frames"}, optional
        How a text or array file is laid out. By default told by region names in the file, else by `n_regions`.
    tr_s : float, optional
        Repetition time in seconds; checked against header and sidecar, which tell it where it is not given.
    cleaning : Cleaning, optional
        Default: none.
    allow_censored : bool, default False
        Accept a run whose frames were deleted or interpolated for motion, or are no signal: zero or alike in all regions, far
        out, copies of others. FCD windows then do not last what they should.
    label_table : path, optional
        Names of the values of an image of labels.
    key : str, optional
        Which array of an npz or mat file.
    run_frames : sequence of int, optional
        Frames of each run, where the file joins several; FCD windows never cross a join.
    drop_frames, drop_last_frames : int or sequence of int, default 0
        Frames to leave out at the beginning of each run (before magnetisation is in its steady state) and at its end: a
        number, or one for each run in the file.
    n_regions : int, optional
        Regions to expect, as in the connectome; named columns that are no cortex may come on top.
    allow_missing_regions : bool, default False
        Return regions without data as they are, instead of an error that names them.

    Returns
    -------
    TimeSeries

    Raises
    ------
    MissingInputError
        If a file is not there, or its content was not fetched.
    ConfigError
        If a setting is missing or does not suit the file.
    InputError
        If a file cannot be read or used: its message says why.

    Warns
    -----
    InputNote
        For what was accepted but should be known; also in the result's ``notes``.

    Examples
    --------
    >>> import mfm, numpy as np, pathlib, tempfile
    >>> from mfm.io import load_timeseries
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "sub-01_task-rest_timeseries.tsv")
    ...     path.write_text("lh-cuneus\\trh-cuneus\\n1.5\\t2.5\\n0.5\\t3.5\\n2.0\\t1.0\\n")
    ...     path.with_suffix(".json").write_text('{"RepetitionTime": 0.8}')
    ...     series = load_timeseries(path)
    44
    23
    >>> series.values.shape, series.labels, series.tr_s
    ((3, 2), ('lh-cuneus', 'rh-cuneus'), 0.8)
    """
    options = SeriesOptions(
        regions=region_file(parcellation, label_table),
        orientation=orientation,
        key=key,
        run_frames=tuple(run_frames),
        trim=Trim(
            frame_counts(drop_frames, "drop_frames"),
            frame_counts(drop_last_frames, "drop_last_frames"),
            max(1, len(run_frames)),
        ),
        n_regions=n_regions,
        cleaning=cleaning,
        allow_censored=allow_censored,
        allow_missing_regions=allow_missing_regions,
    )
    return read_timeseries(path, options, tr_s)


@dataclass(frozen=True, eq=False)
class SeriesOptions:
    """How a file of time series is to be read: the arguments of `load_timeseries`.

    Parameters
    ----------
    regions : RegionFile, optional
        Parcellation and label table; shared by all runs of a subject, so that it is read once.
    key_argument : str
        What the argument `key` is called where it was given, for messages.
    trim : Trim
        `drop_frames` and `drop_last_frames`, and which of a subject's runs the file holds.
    observation : Observation
        What is known to have been done to the data, and needs no note.
    allow_other_regions : bool
        Return series of another number of regions than `n_regions`, which the caller judges, as it knows the other inputs.
    digest : callable
        sha256 of a file; one that remembers digests every file once.
    """

    regions: RegionFile | None = None
    orientation: str | None = None
    key: str | None = None
    key_argument: str = "key"
    run_frames: tuple[int, ...] = ()
    trim: Trim = Trim()
    n_regions: int | None = None
    cleaning: Cleaning | None = None
    allow_censored: bool = False
    allow_missing_regions: bool = False
    allow_other_regions: bool = False
    observation: Observation = Observation()
    digest: Callable[[Path], str] = file_digest

    def __post_init__(self):
        if self.orientation not in (None, *ORIENTATIONS):
            raise InputError(f"Unknown orientation {self.orientation!r}.", expected=" | ".join(ORIENTATIONS))


def region_file(parcellation: str | Path | None, label_table: str | Path | None) -> RegionFile | None:
    """Return a parcellation with its label table: the one that is given, or the tsv beside it."""
    if parcellation is None:
        return None
    if label_table is None and str(parcellation).endswith((".nii", ".nii.gz")):
        label_table = table_beside(parcellation)
    return RegionFile(parcellation, label_table)


def read_timeseries(path: str | Path, options: SeriesOptions, tr_s: float | None = None) -> TimeSeries:
    """Read the regional time series of a run, as `load_timeseries` does."""
    if tr_s is not None:
        check_timing(tr_s)
    path = existing_file(path, "time series")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputNote)
        content = _read(path, options)
        sidecar = read_sidecar(path)
        check_magnitude(path, sidecar)
        tr_s = agreed_tr(tr_s, content.time, sidecar, path)
        lengths = run_lengths(path, options.run_frames, len(content.values))
        censoring = find_censoring(path, sidecar, len(content.values))
        check_censoring(censoring, path, options.allow_censored)
        note_processing(path, sidecar, options.observation)
        _check_plausible(content.values, path)
        spans = options.trim.spans(lengths, path)
        check_recorded(content.values, spans, options.trim, path, options.allow_censored)
        confounds: tuple[Path, ...] = ()
        if options.cleaning is not None and options.cleaning.active:
            parts, confounds = clean_timeseries(content.values, path, tr_s, options.cleaning, spans)
        else:
            parts = [content.values[span] for span in spans]
        left_out = tuple(length - (span.stop - span.start) for length, span in zip(lengths, spans, strict=True))
        values, lengths = np.concatenate(parts), tuple(map(len, parts))
        check_steady(values, lengths, spans, options.trim, path, options.allow_censored)
    for w in caught:
        warnings.warn(w.message, w.category, stacklevel=3)
    if not options.allow_missing_regions:
        check_timeseries(values, content.labels, str(path))
    values = np.array(values, dtype=np.float64, order="C")
    values.setflags(write=False)
    notes = dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, InputNote))
    regions = options.regions or RegionFile("")
    further: list[tuple[str, str | Path | None]] = [("parcellation", regions.path or None), ("label table", regions.table)]
    further += [("outliers", censoring.file)]
    further += [("sidecar", file) for file in sidecar.paths] + [("confounds", file) for file in confounds]
    sources = tuple(_source(role, file, options) for role, file in [("timeseries", path), *further] if file is not None)
    return TimeSeries(values, content.labels, tr_s, lengths, censoring, tuple(notes), sources, content.time, left_out)


def _source(role: str, path: str | Path, options: SeriesOptions) -> Source:
    path = existing_file(path, role)
    return Source(role, path.as_posix(), options.digest(path))


def _read(path: Path, options: SeriesOptions) -> _Content:
    content = read_file(path, "time series", Request("timeseries", regions=options.regions))
    if content.orientation is not None:
        labels = content.column_names if content.orientation == ORIENTATIONS[0] else content.row_names
        values = content.arrays[""]
        return _Content(values if content.orientation == ORIENTATIONS[0] else values.T, labels, content.time)
    if content.is_one_array:
        values = content.table()
    else:
        _, array = choose_matrix(content.arrays, options.key, path, options.key_argument)
        check_byte_order(array, path)
        values = array.astype(np.float64)
    _check_not_fc(values, path)
    names = (content.row_names, content.column_names)
    values, labels = _oriented(values, *names, options.orientation, options.n_regions, path)
    if not options.allow_other_regions:
        _check_regions(values, labels, options, path)
    return _Content(values, labels, content.time)


def _oriented(values, row_names, column_names, orientation, n_regions, path) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Values as (T, N), and the names of regions."""
    if orientation is None:
        orientation = _orientation(values, row_names, column_names, n_regions, path)
    names = column_names
    if orientation == "regions_by_frames":
        values, names = values.T, row_names
    if names is not None and any(not name for name in names):
        raise InputError(
            f"A column of {path} has no name.",
            expected="a name for every region",
            found=f"{len(names)} columns, without a name: number {names.index('') + 1}",
            cause="an index column, as pandas writes it",
            fix="save it with index=False",
        )
    return values, check_labels(names, values.shape[1], f"the time series {path}")


def _check_regions(values: np.ndarray, names: tuple[str, ...] | None, options: SeriesOptions, path: Path) -> None:
    # Named columns that are no cortex drop out when they are joined by name.
    n_cortical = values.shape[1] if names is None else sum(Atlas(names).cortical)
    if options.n_regions is None or options.n_regions in (values.shape[1], n_cortical):
        return
    transposed = values.shape[0] == options.n_regions
    orientation = options.orientation or "frames_by_regions"
    other = ORIENTATIONS[1 - ORIENTATIONS.index(orientation)]
    raise InputError(
        f"The time series {path} do not have the connectome's regions.",
        expected=f"frames x {options.n_regions} regions",
        found=f"{values.shape[0]} frames x {values.shape[1]} regions, read as {orientation}",
        cause="regions x time instead of time x regions" if transposed else "another parcellation, or an index column",
        fix=f'`orientation="{other}"`' if transposed else "use time series and connectome of the same regions",
    )


def _orientation(values, row_names, column_names, n_regions, path) -> str:
    if (row_names is None) != (column_names is None):
        return "frames_by_regions" if column_names is not None else "regions_by_frames"
    rows, columns = values.shape
    if n_regions is not None and columns == n_regions != rows:
        return "frames_by_regions"
    if n_regions is not None and rows == n_regions != columns:
        note = f"{path} was read as regions x frames, because it has {rows} rows, as many as the connectome has regions."
        warnings.warn(InputNote(note), stacklevel=2)
        return "regions_by_frames"
    if n_regions is not None and rows != columns:
        return "frames_by_regions"  # of another parcellation, which is told
    raise InputError(
        f"It cannot be told which side of {path} is time.",
        expected="region names on one side, or to be told" if n_regions is None else "as many frames as regions is ambiguous",
        found=f"{rows} x {columns} values, {'names on both sides' if row_names else 'no names'}",
        fix='`orientation="frames_by_regions"`, or `orientation="regions_by_frames"`',
    )


def _check_not_fc(values: np.ndarray, path: Path) -> None:
    rows, columns = values.shape
    if rows != columns or not np.allclose(values, values.T, equal_nan=True):
        return
    diagonal = np.diag(values)
    if np.allclose(diagonal, diagonal[0], equal_nan=True) or not np.isfinite(diagonal).any():
        raise InputError(
            f"{path} is no time series.",
            expected="frames x regions",
            found=f"a symmetric {rows} x {rows} matrix with the same value all along the diagonal",
            cause="an FC matrix or a connectome",
            fix='give it together with its FCD: `search=StageFiles(fc="FILE", fcd_cdf="FILE")`',
        )


def _check_plausible(values: np.ndarray, path: Path) -> None:
    if len(values) < 2:
        raise InputError(f"{path} is no time series.", expected="frames x regions", found=f"{len(values)} frame")
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    if len(size) and (size.max() > _LARGEST or np.median(size) < _SMALLEST):
        raise InputError(
            f"The values of {path} are implausible.",
            expected="BOLD, in any unit",
            found=f"magnitudes from {size.min():.1g} to {size.max():.1g}",
            cause="bytes read in the wrong order (a file written on another kind of machine), or a damaged file",
            fix="convert the file anew",
        )
