"""From what was read to a subject: regions joined by name, scans and maps in one order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mfm.brain.atlas import order_by_name
from mfm.brain.connectome import Connectome
from mfm.brain.fc_gradient import fc_gradient
from mfm.brain.maps import RegionalMaps
from mfm.errors import ConfigError, InputError
from mfm.io.readers.connectomes import Preparation, prepare, told
from mfm.io.readers.fcd_file import read_fcd_cdf
from mfm.io.readers.maps import RawMap, in_order
from mfm.io.readers.matrix_file import RawMatrix, read_matrix, read_raw_matrix
from mfm.io.subject.files import DataFiles, StageFiles
from mfm.protocol import fcd_window_frames
from mfm.statistics.target import Target
from mfm.subject import STAGES, Scan, SubjectData, check_timeseries, subject_from_runs


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
