"""A subject of what was read: scans and maps in one order of regions."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from mfm.brain.atlas import order_by_name
from mfm.brain.connectome import Connectome
from mfm.brain.fc_gradient import fc_gradient
from mfm.brain.maps import RegionalMaps
from mfm.checks import listed
from mfm.errors import ConfigError, InputError, InputNote
from mfm.io.readers.connectomes import Weighting, connectome_of, with_warnings
from mfm.io.readers.fcd_file import fcd_cdf_of
from mfm.io.readers.finite_entries import check_entries, exclusion, with_diagonal
from mfm.io.readers.maps import map_in_order
from mfm.io.readers.matrix_file import RawMatrix, completed_matrix
from mfm.io.subject.files import DataFiles
from mfm.io.subject.names import matrix_in_order
from mfm.io.subject.read import RawInputs, RawStage
from mfm.io.subject.runs import check_distinct_runs
from mfm.protocol import fcd_window_frames
from mfm.statistics.target import Target
from mfm.subject import STAGES, Scan, SubjectData, subject_from_runs
from mfm.timeseries_checks import check_timeseries


def assemble(
    files: DataFiles,
    raw: RawInputs,
    names: tuple[str, ...] | None,
    tr_s: float,
    n_frames: int | None,
    sc: Connectome | None,
) -> SubjectData:
    """Return the subject of what was read, with all inputs in the order of `names`.

    Raises
    ------
    ConfigError
        If FC and FCD are given without the number of frames.
    InputError
        If the inputs do not fit each other.
    """
    sc = _weighted(files, raw.connectome, names) if sc is None else _aligned(_without_excluded(files, sc, raw), names)
    maps = _maps(files, raw, sc.n_regions, names)
    if raw.runs:
        return _from_timeseries(files, raw, sc, maps, names, tr_s)
    return _from_statistics(files, raw, sc, maps, names, tr_s, n_frames)


def _weighted(files: DataFiles, raw: RawMatrix, names: tuple[str, ...] | None) -> Connectome:
    weighting = Weighting(files.sc_transform, files.sc_scale_max, files.sc_scale_mean)
    labels_argument, what = 'sc_file=MatrixOptions(labels="{}")', f"The connectome {raw.path}"
    return with_warnings(*connectome_of(completed_matrix(raw, files.sc_file, what), weighting, names, what, labels_argument))


def _without_excluded(files: DataFiles, sc: Connectome, raw: RawInputs) -> Connectome:
    """A prepared connectome of the regions that are left, scaled again."""
    if len(raw.connectome.values) == sc.n_regions:
        return sc
    weights, scaled = Weighting("none", files.sc_scale_max, files.sc_scale_mean).scale(raw.connectome.values)
    return Connectome(weights, raw.connectome.labels, (*sc.steps, *raw.connectome.steps, *scaled))


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


def _maps(files: DataFiles, raw: RawInputs, n_regions: int, names: tuple[str, ...] | None) -> RegionalMaps:
    values = {name: map_in_order(one, n_regions, names) for name, one in (raw.maps or {}).items()}
    steps: tuple[str, ...] = ()
    if raw.gradient_fc is not None:
        path = raw.gradient_fc.path
        values["gradient"] = fc_gradient(_fc_in_order(raw.gradient_fc, names, f"the FC {path}"), values.get("myelin"))
        sign = "its sign against myelin" if "myelin" in values else "its sign arbitrary"
        steps = (f"gradient: first diffusion component of the FC {Path(str(path)).as_posix()}, {sign}",)
    if not values:
        return RegionalMaps.none(n_regions, names)
    for name, value in values.items():
        if len(value) != n_regions:
            raise InputError(f"The map {name!r} has another number of regions.", expected=f"{n_regions}", found=f"{len(value)}")
        _check_map(name, value, names)
    maps = RegionalMaps(np.stack(list(values.values())), tuple(values), names, steps)
    return maps.zscored() if files.maps_zscore else maps


def _check_map(name: str, value: np.ndarray, names: tuple[str, ...] | None) -> None:
    bad = np.flatnonzero(~np.isfinite(value))
    if not len(bad):
        return
    if len(bad) > len(value) / 2:
        cause, fix = "a map that was not computed, or a column of text", "compute or export the map again"
    else:
        cause = "regions that the map was not measured in"
        fix = f"leave them out of every input: {exclusion(bad.tolist(), names)}; or fill them in the map"
    raise InputError(
        f"The map {name!r} is not finite.",
        expected="a number for every region",
        found=f"{len(bad)} of {len(value)} without: {listed(bad, names)}",
        cause=cause,
        fix=fix,
    )


def _from_timeseries(files: DataFiles, raw: RawInputs, sc, maps, names, tr_s) -> SubjectData:
    series = []
    for path, run in zip(files.timeseries, raw.runs, strict=True):
        values = run.values
        if run.labels and names:
            values = values[:, order_by_name(run.labels, names, f"the time series {path}")]
        if values.shape[1] == sc.n_regions:  # else subject_from_runs tells
            check_timeseries(values, names, str(path), fcd_window_frames(tr_s))
        series += np.split(values, np.cumsum(run.run_frames)[:-1])
    check_distinct_runs(files.timeseries, series)
    observation = files.observation.observation(files.cleaning)
    return subject_from_runs(files.subject, series, sc, tr_s, maps, names, raw.sources, files.split, observation)


def _from_statistics(files: DataFiles, raw: RawInputs, sc, maps, names, tr_s, n_frames) -> SubjectData:
    if n_frames is None:
        raise ConfigError(
            "FC and FCD files do not tell how long the scan was.",
            fix="`n_frames=1200`, or whatever the scan's number of frames is",
        )
    scans: dict[str, Scan] = {}
    notes = []
    stages = raw.stages or {}
    for stage, previous in zip(STAGES, (None, *STAGES), strict=False):
        if stage in stages:
            scans[stage] = _scan(files, stages[stage], stage, sc, names, tr_s, n_frames)
        elif previous is not None:
            scans[stage] = scans[previous]
            notes.append(f"No {stage} data: the {previous} data serve for it, so that the {stage} is not independent.")
    search, validation, test = (scans[stage] for stage in STAGES)
    labels = names or sc.default_labels
    return SubjectData(str(files.subject), search, validation, test, maps, labels, sources=raw.sources, notes=tuple(notes))


def _fc_in_order(raw: RawMatrix, names: tuple[str, ...] | None, what: str) -> np.ndarray:
    """An FC in the order of `names`, with a diagonal of numbers."""
    fc = matrix_in_order(raw, names, what)
    if fc.ndim != 2 or fc.shape[0] != fc.shape[1]:
        return fc  # told where it is used
    fc, n_set = with_diagonal(fc, 1.0)
    if n_set:
        told_of = (
            f"The diagonal of {what} is not finite; it was set to 1, as of correlations. Of Fisher z, save tanh(z) instead."
        )
        warnings.warn(InputNote(told_of), stacklevel=2)
    check_entries(fc, names if names and len(names) == len(fc) else None, f"{what[0].upper()}{what[1:]}")
    return fc


def _scan(files: DataFiles, raw: RawStage, stage: str, sc: Connectome, names, tr_s: float, n_frames: int) -> Scan:
    fc = _fc_in_order(raw.fc, names, f"the {stage} FC")
    n_windows = max(n_frames - fcd_window_frames(tr_s) + 1, 2)
    cdf = torch.from_numpy(fcd_cdf_of(raw.fcd_cdf.values, raw.fcd_cdf.path, n_windows))
    target = Target(torch.from_numpy(fc), cdf, names if len(fc) == sc.n_regions else None)
    if raw.sc is not None:
        sc = _weighted(files, raw.sc, names)
    observation = files.observation.observation(files.cleaning)
    observation.check_scan(tr_s, n_frames)
    return Scan(target, sc, tr_s, n_frames, Path(str(raw.fc.path)).as_posix(), observation=observation)
