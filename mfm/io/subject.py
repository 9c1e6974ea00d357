"""A subject's data from its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from mfm.connectome import Connectome
from mfm.errors import ConfigError, InputError
from mfm.io.connectomes import load_connectome
from mfm.io.tables import (
    existing_file,
    file_digest,
    order_by_name,
    read_fcd_cdf,
    read_labels,
    read_map,
    read_matrix,
    read_timeseries,
)
from mfm.maps import RegionalMaps
from mfm.statistics.cost import Target
from mfm.subject import STAGES, Scan, Source, SubjectData, subject_from_runs


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
    timeseries : list of path
        One file per run; or give `search` (and `validation`, `test`) instead.
    orientation : {"frames_by_regions", "regions_by_frames"}
    search, validation, test : StageFiles
        FC and FCD CDF; validation defaults to search, test to validation.
    maps : mapping of name to path, optional
        Default: none, which makes every parameter the same in all regions.
    """

    subject: str = "sub-01"
    sc: str | None = None
    sc_transform: str = "log"
    sc_scale_max: float | None = 0.02
    timeseries: list[str] = field(default_factory=list)
    orientation: str = "frames_by_regions"
    search: StageFiles = field(default_factory=StageFiles)
    validation: StageFiles = field(default_factory=StageFiles)
    test: StageFiles = field(default_factory=StageFiles)
    maps: dict[str, str] | None = None


def load_subject(files: DataFiles, tr_s: float, n_frames: int | None = None, labels: str | Path | None = None) -> SubjectData:
    """Read and validate everything that `files` names.

    Parameters
    ----------
    files : DataFiles
    tr_s : float
        Repetition time of the scans, seconds.
    n_frames : int, optional
        Frames of a scan: required with FC and FCD files; with time series, checked against them where given.
    labels : path, optional
        Region names, one a line; inputs that hold names are brought to their order.

    Raises
    ------
    InputError, MissingInputError
        Before any work starts, with what was expected, what was found, the likely cause and what to type.
    """
    if files.sc is None:
        raise ConfigError("No structural connectome was given.", fix="data.sc=PATH")
    if bool(files.timeseries) == bool(files.search.fc):
        raise ConfigError(
            "A subject needs either time series or FC and FCD files.",
            found="both" if files.timeseries else "neither",
            fix="data.timeseries=[RUN1,RUN2] or data.search.fc=FILE data.search.fcd_cdf=FILE",
        )
    names = read_labels(labels) if labels else None
    sc = _connectome(files, files.sc, names)
    names = names or sc.labels
    maps = _maps(files, sc.n_regions, names)
    sources = _sources(files, labels)
    read = _from_timeseries if files.timeseries else _from_statistics
    return read(files, sc, maps, names, tr_s, n_frames, sources)


def _connectome(files: DataFiles, path: str, labels: tuple[str, ...] | None) -> Connectome:
    sc = load_connectome(path, files.sc_transform, files.sc_scale_max, labels)
    if labels and sc.labels and sc.labels != labels:
        order = order_by_name(sc.labels, labels, f"the connectome {path}")
        return Connectome(sc.weights[np.ix_(order, order)], labels)
    return sc


def _maps(files: DataFiles, n_regions: int, labels: tuple[str, ...] | None) -> RegionalMaps:
    if not files.maps:
        return RegionalMaps.none(n_regions, labels)
    return RegionalMaps(
        np.stack([read_map(path, n_regions, labels) for path in files.maps.values()]), tuple(files.maps), labels
    )


def _from_timeseries(files, sc, maps, labels, tr_s, n_frames, sources) -> SubjectData:
    runs = []
    for path in files.timeseries:
        values, names = read_timeseries(path, files.orientation, sc.n_regions)
        if names and labels:
            values = values[:, order_by_name(names, labels, f"the time series {path}")]
        elif names:
            labels = names
        if n_frames is not None and len(values) != n_frames:
            raise InputError(
                f"The time series {path} have another length.",
                expected=f"{n_frames} frames (acquisition.n_frames)",
                found=f"{len(values)} frames",
                cause="frames were dropped by censoring, or the setting is of another scan",
                fix="leave acquisition.n_frames out, to take each run's own length",
            )
        runs.append(values)
    return subject_from_runs(files.subject, runs, sc, tr_s, maps, labels, sources)


def _from_statistics(files, sc, maps, labels, tr_s, n_frames, sources) -> SubjectData:
    if n_frames is None:
        raise ConfigError(
            "FC and FCD files do not tell how long the scan was.",
            fix="acquisition.n_frames=1200, or whatever the scan's number of frames is",
        )
    scans: dict[str, Scan] = {}
    notes = []
    previous = None
    for stage in STAGES:
        stage_files = getattr(files, stage)
        if stage_files.fc is None and previous is not None:
            scans[stage] = scans[previous]
            notes.append(f"No {stage} data: the {previous} data serve for it, so that the {stage} is not independent.")
        else:
            scans[stage] = _scan(files, stage, sc, labels, tr_s, n_frames)
        previous = stage
    names = labels or next((s.target.labels for s in scans.values() if s.target.labels), None) or sc.default_labels
    search, validation, test = (scans[stage] for stage in STAGES)
    return SubjectData(files.subject, search, validation, test, maps, tuple(names), sources=sources, notes=tuple(notes))


def _scan(files: DataFiles, stage: str, sc: Connectome, labels, tr_s: float, n_frames: int) -> Scan:
    stage_files: StageFiles = getattr(files, stage)
    if stage_files.fcd_cdf is None or stage_files.fc is None:
        raise ConfigError(f"The {stage} data need both FC and FCD.", fix=f"data.{stage}.fc=FILE data.{stage}.fcd_cdf=FILE")
    fc, names = read_matrix(stage_files.fc, f"{stage} FC")
    if names and labels and len(names) == len(labels):
        order = order_by_name(names, labels, f"the {stage} FC")
        fc, names = fc[np.ix_(order, order)], labels
    cdf = torch.from_numpy(read_fcd_cdf(stage_files.fcd_cdf))
    target = Target(torch.from_numpy(fc), cdf, names or labels if len(fc) == sc.n_regions else names)
    own_sc = _connectome(files, stage_files.sc, labels) if stage_files.sc else sc
    return Scan(target, own_sc, tr_s, n_frames, Path(stage_files.fc).as_posix())


def _sources(files: DataFiles, labels: str | Path | None) -> tuple[Source, ...]:
    named: list[tuple[str, str | Path | None]] = [("sc", files.sc), *(("timeseries", path) for path in files.timeseries)]
    named += [(f"map {name}", path) for name, path in (files.maps or {}).items()] + [("labels", labels)]
    for stage in STAGES:
        stage_files = getattr(files, stage)
        named += [(f"{stage} {kind}", getattr(stage_files, kind)) for kind in ("fc", "fcd_cdf", "sc")]
    return tuple(
        Source(role, Path(path).as_posix(), file_digest(existing_file(path, role))) for role, path in named if path is not None
    )
