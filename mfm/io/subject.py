"""A subject's data from its files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from mfm.atlas import DESIKAN_VARIANTS, Atlas, order_by_name, shared_regions
from mfm.connectome import Connectome
from mfm.errors import ConfigError, InputError, InputNote
from mfm.gradient import fc_gradient
from mfm.io.cleaning import Cleaning
from mfm.io.connectomes import Preparation, prepare, told
from mfm.io.fcd_file import read_fcd_cdf
from mfm.io.maps import RawMap, in_order, read_raw_map
from mfm.io.matrix_file import MatrixOptions, RawMatrix, read_matrix, read_raw_matrix
from mfm.io.region_names import read_labels
from mfm.io.runs import common_tr, read_run
from mfm.io.tables import existing_file, file_digest
from mfm.io.timeseries import TimeSeries
from mfm.maps import RegionalMaps
from mfm.protocol import FCD_WINDOW_S, check_timing, fcd_window_frames
from mfm.statistics.cost import Target
from mfm.subject import STAGES, Scan, Source, SubjectData, check_timeseries, subject_from_runs

# An FC whose Spearman correlation with the connectome is below the first is told of, where there are regions enough to say so.
_LEAST_AGREEMENT, _LEAST_REGIONS_TO_COMPARE = 0.1, 20


@dataclass(frozen=True)
class StageFiles:
    """FC and FCD CDF files of one stage, with a connectome of its own where that differs from the subject's."""

    fc: str | None = None
    fcd_cdf: str | None = None
    sc: str | None = None


@dataclass(frozen=True)
class DataFiles:
    """Where a subject's data are.

    Parameters
    ----------
    subject : str
        Id, kept as text.
    sc : path
        Structural connectome.
    sc_transform : {"log", "log1p", "none"}
    sc_scale_max : float or None
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
    parcellation : path, optional
        ``.dlabel.nii`` for dense series, an image of labels for volumes. Fitted values are also written as CIFTI for it.
    label_table : path, optional
        Names of the values of an image of labels.
    cleaning : Cleaning
        Nuisance regression and filters; by default none.
    allow_censored : bool
        Accept runs whose frames were deleted or interpolated for motion.
    exclude_regions : list of str
        Regions that are left out of every input, such as those that a scan does not cover.
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
    parcellation: str | None = None
    label_table: str | None = None
    cleaning: Cleaning = field(default_factory=Cleaning)
    allow_censored: bool = False
    exclude_regions: list[str] = field(default_factory=list)
    split: str = "by_run"
    search: StageFiles = field(default_factory=StageFiles)
    validation: StageFiles = field(default_factory=StageFiles)
    test: StageFiles = field(default_factory=StageFiles)
    maps: dict[str, str] | None = None
    gradient_fc: str | None = None
    maps_zscore: bool = False


def load_subject(
    files: DataFiles,
    tr_s: float | None = None,
    n_frames: int | None = None,
    labels: str | Path | None = None,
    *,
    sc: Connectome | None = None,
) -> SubjectData:
    """Read and validate everything that `files` names.

    Parameters
    ----------
    files : DataFiles
    tr_s : float, optional
        Repetition time of the scans, seconds. May be left out where the time series tell it, and is checked against them.
    n_frames : int, optional
        Frames of a scan: required with FC and FCD files; with time series, checked against them where given.
    labels : path or list name, optional
        Region names (`read_labels`); inputs that hold names are brought to their order.
    sc : Connectome, optional
        In place of ``files.sc``: one for a whole cohort, read once and shared by all its members.

    Returns
    -------
    SubjectData

    Raises
    ------
    ConfigError
        If settings are missing or contradict each other.
    MissingInputError
        If a file is not there.
    InputError
        If a file cannot be read or used, or the inputs do not fit each other.

    Warns
    -----
    InputNote
        For what was accepted but should be known; also in the result's ``notes``.

    Examples
    --------
    >>> import mfm, numpy as np, tempfile
    >>> from mfm.io import DataFiles
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sc, run = f"{folder}/sc.csv", f"{folder}/run.npy"
    ...     np.savetxt(sc, 100 * (1 - np.eye(3)), delimiter=",")
    ...     np.save(run, np.random.default_rng(0).normal(size=(120, 3)))
    ...     subject = mfm.load_subject(DataFiles(subject="sub-01", sc=sc, timeseries=[run]), tr_s=2.0)
    >>> subject.n_regions, subject.search.n_frames
    (3, 60)
    """
    _check_settings(files, sc)
    check_timing(1.0 if tr_s is None else tr_s, 1 if n_frames is None else n_frames)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputNote)
        raw = read_raw_matrix(str(files.sc), files.sc_file) if sc is None else RawMatrix(sc.weights, sc.labels, (), ())
        n_rows = len(raw.values)
        n_expected = n_rows if raw.labels is None or all(Atlas(raw.labels).cortical) else None  # else rows may drop out
        runs = [read_run(files, k, tr_s, n_frames, n_expected) for k in range(len(files.timeseries))]
        tr_s = common_tr(tr_s, runs)
        raw_maps = {name: read_raw_map(path, name, files.parcellation) for name, path in (files.maps or {}).items()}
        named = _names_by_input(files, raw.labels, runs, raw_maps)
        names = _region_names(labels, named)
        if raw.labels is None and labels is None and names and len(names) != n_rows and not any(run.labels for run in runs):
            names = None  # the FC or map that brought them does not fit, and will be told so
        sc = _prepared(files, raw, names, files.sc) if sc is None else _aligned(sc, names)
        maps = _maps(files, raw_maps, sc.n_regions, names)
        if runs:
            subject = _from_timeseries(files, runs, sc, maps, names, tr_s, _sources(files, labels, runs))
        else:
            subject = _from_statistics(files, sc, maps, names, tr_s, n_frames, _sources(files, labels))
    notes = dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, InputNote))
    for w in caught:
        warnings.warn(w.message, w.category, stacklevel=2)
    positions = _joined_by_position(named) if labels is None else ()
    search = subject.search
    return replace(subject, notes=(*subject.notes, *positions, *_unlike_connectome(search), *_short(search), *notes))


def _check_settings(files: DataFiles, sc: Connectome | None) -> None:
    """Raise a ConfigError for settings that are missing or contradict each other."""
    if files.gradient_fc is not None and "gradient" in (files.maps or {}):
        raise ConfigError(
            "The map 'gradient' is given, and asked to be computed.", fix="leave out data.maps.gradient or data.gradient_fc"
        )
    if files.sc is None and sc is None:
        raise ConfigError("No structural connectome was given.", fix="data.sc=PATH")
    given = [stage for stage in STAGES if getattr(files, stage) != StageFiles()]
    if bool(files.timeseries) == bool(given):
        raise ConfigError(
            "A subject needs either time series or FC and FCD files.",
            found=f"time series and {', '.join(given)} files" if given else "neither",
            fix="data.timeseries=[RUN1,RUN2] or data.search.fc=FILE data.search.fcd_cdf=FILE",
        )
    if given and files.exclude_regions:
        raise ConfigError(
            "Regions cannot be left out of an FCD that was computed with them.", fix="give time series, or an FCD without them"
        )
    for stage in given or ():
        stage_files: StageFiles = getattr(files, stage)
        if stage_files.fc is None or stage_files.fcd_cdf is None:
            raise ConfigError(f"The {stage} data need both FC and FCD.", fix=f"data.{stage}.fc=FILE data.{stage}.fcd_cdf=FILE")
    if given and "search" not in given:
        raise ConfigError("There are no data to search on.", fix="data.search.fc=FILE data.search.fcd_cdf=FILE")


def _names_by_input(files: DataFiles, own: tuple[str, ...] | None, runs: Sequence[TimeSeries], maps: dict[str, RawMap]):
    """The names that each input gives its regions, or None: pairs, the connectome's (`own`) first."""
    named = [("connectome", own), *(("time series", run.labels) for run in runs)]
    for stage in STAGES:
        paths: StageFiles = getattr(files, stage)
        if paths.fc is not None:
            named.append((f"{stage} FC", read_matrix(paths.fc, f"{stage} FC")[1]))
        if paths.sc is not None:
            named.append((f"{stage} connectome", read_raw_matrix(paths.sc, files.sc_file).labels))
    named += [(f"map {name}", one.labels) for name, one in maps.items()]
    if files.gradient_fc is not None:
        named.append(("FC for the gradient", read_matrix(files.gradient_fc, "FC for the gradient")[1]))
    return named


def _region_names(labels: str | Path | None, named) -> tuple[str, ...] | None:
    """The order of regions that every named input is brought to: of `labels`, or of the first input that has names.

    Its rows that are no cortex drop out where another input does not have them. Inputs without names are taken to be in
    that order.
    """
    if labels is not None:
        return read_labels(labels)
    given = [names for _, names in named if names]
    return shared_regions(given[0], given[1:]) if given else None


def _joined_by_position(named) -> tuple[str, ...]:
    """The note that names inputs without region names."""
    without = dict.fromkeys(what for what, names in named if not names)
    if not without:
        return ()
    if all(names is None for _, names in named):
        return ("No input names its regions: all are taken to be in one order.",)
    source = next(what for what, names in named if names)
    return (f"Without region names, and so taken in the order of the {source}: {', '.join(without)}.",)


def _unlike_connectome(scan: Scan) -> tuple[str, ...]:
    """The note that tells of an FC that does not follow the connectome, as rows in different orders make it.

    Over pairs of regions the two have Spearman correlations of 0.15 to 0.5 in recordings of people and groups, of 0.04 to 0.06
    where one is in Schaefer's order of 7 networks and the other in that of 17, and of less than 0.1 in most random orders.
    """
    if scan.sc.n_regions < _LEAST_REGIONS_TO_COMPARE:
        return ()
    from scipy.stats import spearmanr

    above = np.triu_indices(scan.sc.n_regions, 1)
    r = float(spearmanr((scan.sc.weights + scan.sc.weights.T)[above], scan.target.fc.numpy()[above]).statistic)
    if not r < _LEAST_AGREEMENT:
        return ()
    return (
        f"FC hardly follows the connectome (Spearman r = {r:.2f} over pairs of regions; recordings have 0.15 to 0.5): are "
        "their regions in one order? Give files with region names, or name the rows of those without "
        "(data.sc_file.labels=FILE, atlas.labels=FILE).",
    )


def _short(scan: Scan) -> tuple[str, ...]:
    """The note that tells of a scan in which most windows overlap."""
    seconds = scan.n_frames * scan.tr_s
    if seconds >= 5 * FCD_WINDOW_S:
        return ()
    return (f"Search data of {seconds:.0f} s, shorter than 5 minutes: the FCD of so few windows says little.",)


def _prepared(files: DataFiles, raw: RawMatrix, names: tuple[str, ...] | None, path) -> Connectome:
    preparation = Preparation(files.sc_transform, files.sc_scale_max, files.sc_scale_mean)
    return told(*prepare(raw, preparation, names, f"The connectome {path}"))


def _aligned(sc: Connectome, names: tuple[str, ...] | None) -> Connectome:
    """A connectome in the order of `names`: itself where it is so already, and always its weights where only names differ."""
    if names is None or sc.labels == names:
        return sc
    order = list(range(sc.n_regions)) if sc.labels is None else order_by_name(sc.labels, names, "the connectome")
    if len(order) != sc.n_regions or len(names) != sc.n_regions:
        raise InputError(
            "The connectome has another number of regions than the other inputs.",
            expected=f"{len(names)}",
            found=f"{sc.n_regions}",
            cause="rows that are no cortex, which must be left out before a connectome is scaled",
            fix="mfm.load_connectome(path, regions=NAMES)",
        )
    if order == list(range(sc.n_regions)):
        return Connectome(sc.weights, names, sc.steps)
    return Connectome(sc.weights[np.ix_(order, order)], names, (*sc.steps, "regions ordered by name"))


def _maps(files: DataFiles, raw: dict[str, RawMap], n_regions: int, names: tuple[str, ...] | None) -> RegionalMaps:
    values = {name: in_order(one, n_regions, names) for name, one in raw.items()}
    steps: tuple[str, ...] = ()
    if files.gradient_fc is not None:
        fc, own = read_matrix(files.gradient_fc, "FC for the gradient")
        if own and names:
            order = order_by_name(own, names, f"the FC {files.gradient_fc}")
            fc = fc[np.ix_(order, order)]
        values["gradient"] = fc_gradient(fc, values.get("myelin"))
        sign = "its sign against myelin" if "myelin" in values else "its sign arbitrary"
        steps = (f"gradient: first diffusion component of the FC {Path(files.gradient_fc).as_posix()}, {sign}",)
    if not values:
        return RegionalMaps.none(n_regions, names)
    for name, value in values.items():
        if len(value) != n_regions:
            raise InputError(f"The map {name!r} has another number of regions.", expected=f"{n_regions}", found=f"{len(value)}")
    maps = RegionalMaps(np.stack(list(values.values())), tuple(values), names, steps)
    return maps.zscored() if files.maps_zscore else maps


def _from_timeseries(files, runs, sc, maps, names, tr_s, sources) -> SubjectData:
    digests = [source.sha256 for source in sources if source.role == "timeseries"]
    if len(set(digests)) < len(digests):
        raise InputError("The same time series were given twice.", fix="give each run once: a run cannot test itself")
    kept = _kept_regions(files.exclude_regions, names or sc.default_labels)
    series = []
    for path, run in zip(files.timeseries, runs, strict=True):
        values = run.values
        if run.labels and names:
            values = values[:, order_by_name(run.labels, names, f"the time series {path}")]
        if values.shape[1] == sc.n_regions:  # else subject_from_runs tells
            values = values[:, kept]
            check_timeseries(values, [(names or sc.default_labels)[k] for k in kept], str(path))
        series += np.split(values, np.cumsum(run.run_frames)[:-1])
    if files.exclude_regions:
        sc, maps, names = _without(sc, maps, names, kept, Preparation("none", files.sc_scale_max, files.sc_scale_mean))
    return subject_from_runs(files.subject, series, sc, tr_s, maps, names, sources, files.split)


def _kept_regions(excluded: Sequence[str], names: tuple[str, ...]) -> list[int]:
    unknown = [name for name in excluded if name not in names]
    if unknown:
        raise ConfigError(
            "data.exclude_regions names regions that are not there.",
            expected=f"some of {', '.join(names[:6])}, ...",
            found=", ".join(unknown),
        )
    return [k for k, name in enumerate(names) if name not in excluded]


def _without(sc: Connectome, maps: RegionalMaps, names, kept: list[int], preparation: Preparation):
    """Connectome, maps and names of the regions that are kept; the connectome scaled again."""
    labels = tuple((names or sc.default_labels)[k] for k in kept)
    weights, scaled = preparation.scale(sc.weights[np.ix_(kept, kept)])
    steps = (*sc.steps, f"{sc.n_regions - len(kept)} regions left out as asked", *scaled)
    return Connectome(weights, labels, steps), RegionalMaps(maps.values[:, kept], maps.names, labels, maps.steps), labels


def _from_statistics(files, sc, maps, names, tr_s, n_frames, sources) -> SubjectData:
    if n_frames is None:
        raise ConfigError(
            "FC and FCD files do not tell how long the scan was.",
            fix="acquisition.n_frames=1200, or whatever the scan's number of frames is",
        )
    scans: dict[str, Scan] = {}
    notes = []
    for stage, previous in zip(STAGES, (None, *STAGES), strict=False):
        if previous is not None and getattr(files, stage) == StageFiles():
            scans[stage] = scans[previous]
            notes.append(f"No {stage} data: the {previous} data serve for it, so that the {stage} is not independent.")
        else:
            scans[stage] = _scan(files, stage, sc, names, tr_s, n_frames)
    search, validation, test = (scans[stage] for stage in STAGES)
    labels = names or sc.default_labels
    return SubjectData(str(files.subject), search, validation, test, maps, labels, sources=sources, notes=tuple(notes))


def _scan(files: DataFiles, stage: str, sc: Connectome, names, tr_s: float, n_frames: int) -> Scan:
    stage_files: StageFiles = getattr(files, stage)
    fc, own = read_matrix(str(stage_files.fc), f"{stage} FC")
    if own and names:
        order = order_by_name(own, names, f"the {stage} FC")
        fc = fc[np.ix_(order, order)]
    n_windows = max(n_frames - fcd_window_frames(tr_s) + 1, 2)
    cdf = torch.from_numpy(read_fcd_cdf(str(stage_files.fcd_cdf), n_windows))
    target = Target(torch.from_numpy(fc), cdf, names if len(fc) == sc.n_regions else None)
    if stage_files.sc is not None:
        sc = _prepared(files, read_raw_matrix(stage_files.sc, files.sc_file), names, stage_files.sc)
    return Scan(target, sc, tr_s, n_frames, Path(str(stage_files.fc)).as_posix())


def _sources(files: DataFiles, labels: str | Path | None, runs: Sequence[TimeSeries] = ()) -> tuple[Source, ...]:
    named: list[tuple[str, str | Path | None]] = [("sc", files.sc)]
    series: list[Source] = []
    for source in (source for run in runs for source in run.sources):
        if source.role == "timeseries" or source not in series:  # a parcellation is read for every run
            series.append(source)
    maps: list[tuple[str, str | Path | None]] = [(f"map {name}", path) for name, path in (files.maps or {}).items()]
    names = [("labels", labels), ("connectome labels", files.sc_file.labels)]
    maps += [("gradient FC", files.gradient_fc), *((role, path) for role, path in names if path not in DESIKAN_VARIANTS)]
    for stage in STAGES:
        stage_files = getattr(files, stage)
        maps += [(f"{stage} {kind}", getattr(stage_files, kind)) for kind in ("fc", "fcd_cdf", "sc")]

    def digested(named) -> list[Source]:
        return [Source(role, Path(p).as_posix(), file_digest(existing_file(p, role))) for role, p in named if p is not None]

    return (*digested(named), *series, *digested(maps))
