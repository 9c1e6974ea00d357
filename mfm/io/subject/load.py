"""A subject's data from its files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mfm.brain.atlas import DESIKAN_VARIANTS, Atlas, shared_regions
from mfm.brain.connectome import Connectome
from mfm.errors import ConfigError, InputNote
from mfm.io.formats.tables import existing_file, file_digest
from mfm.io.readers.maps import RawMap, read_raw_map
from mfm.io.readers.matrix_file import RawMatrix, read_matrix, read_raw_matrix
from mfm.io.readers.region_names import read_labels
from mfm.io.readers.timeseries import TimeSeries
from mfm.io.subject.assemble import _aligned, _from_statistics, _from_timeseries, _maps, _prepared
from mfm.io.subject.files import DataFiles, StageFiles
from mfm.io.subject.notes import _joined_by_position, _short, _unlike_connectome
from mfm.io.subject.runs import common_tr, read_run
from mfm.protocol import check_timing
from mfm.subject import STAGES, Source, SubjectData


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
