"""Everything that a subject's files hold, each file read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mfm.brain.atlas import DESIKAN_VARIANTS, Atlas
from mfm.brain.connectome import Connectome, check_labels, check_square
from mfm.io.formats.input_file import existing_file, file_digest
from mfm.io.formats.system import home_expanded
from mfm.io.readers.fcd_file import read_vector
from mfm.io.readers.frames import Trim, frame_counts, note_high_fc
from mfm.io.readers.maps import RawMap, read_raw_maps
from mfm.io.readers.matrix_file import RawMatrix, read_matrix, read_raw_matrix
from mfm.io.readers.region_names import read_labels
from mfm.io.readers.timeseries import SeriesOptions, TimeSeries, read_timeseries, region_file
from mfm.io.readers.versions import check_versions
from mfm.io.subject.files import DataFiles, StageFiles
from mfm.io.subject.runs import check_run_lengths
from mfm.subject import STAGES, Source

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class RawVector:
    """The numbers (K,) of a file without names."""

    path: Path
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class RawStage:
    """What the files of one stage hold; `sc` where it has a connectome of its own."""

    fc: RawMatrix
    fcd_cdf: RawVector
    sc: RawMatrix | None = None


@dataclass(frozen=True, eq=False)
class RawInputs:
    """What a subject's files hold, before regions are joined: every part with its path, names and values.

    Parameters
    ----------
    connectome : RawMatrix
        As its file has it, not yet completed. Where a prepared connectome was given in place of a file: its weights, without
        path.
    runs : tuple of TimeSeries
    stages : mapping of stage to RawStage
        Those for which FC and FCD files are given.
    maps : mapping of name to RawMap
    gradient_fc : RawMatrix or None
    labels : tuple of str or None
        Names of the regions, in the order that is wanted.
    sources : tuple of Source
        Every file, with its digest.
    """

    connectome: RawMatrix
    runs: tuple[TimeSeries, ...] = ()
    stages: Mapping[str, RawStage] | None = None
    maps: Mapping[str, RawMap] | None = None
    gradient_fc: RawMatrix | None = None
    labels: tuple[str, ...] | None = None
    sources: tuple[Source, ...] = ()

    def names_by_input(self, paths: bool = False) -> list[tuple[str, tuple[str, ...] | None]]:
        """Return the names that each input gives its regions, or None, by what the input is; the connectome's first.

        With `paths` inputs are called with the path of their file.
        """
        named: list[tuple[str, Path | str | None, tuple[str, ...] | None]] = [
            ("connectome", self.connectome.path, self.connectome.labels)
        ]
        named += [("time series", run.sources[0].path if run.sources else None, run.labels) for run in self.runs]
        for stage, one in (self.stages or {}).items():
            named.append((f"{stage} FC", one.fc.path, one.fc.labels))
            if one.sc is not None:
                named.append((f"{stage} connectome", one.sc.path, one.sc.labels))
        named += [(f"map {name}", one.path, one.labels) for name, one in (self.maps or {}).items()]
        if self.gradient_fc is not None:
            named.append(("FC for the gradient", self.gradient_fc.path, self.gradient_fc.labels))
        return [(f"{what} {path}" if paths and path is not None else what, names) for what, path, names in named]


def read_inputs(
    files: DataFiles, tr_s: float | None, n_frames: int | None, labels: str | Path | None, sc: Connectome | None
) -> RawInputs:
    """Read every file of a subject once, however many inputs name it (arguments as of `load_subject`).

    Raises
    ------
    MissingInputError
        If a file is not there.
    InputError
        If a file cannot be read or used.
    """
    return _Reading(files).inputs(tr_s, n_frames, labels, sc)


class _Reading:
    """One reading of one subject's files; what was read and digested is remembered by path."""

    def __init__(self, files: DataFiles):
        self._files = files
        self._held: dict[tuple, Any] = {}
        self._regions = region_file(files.parcellation, files.label_table)

    def inputs(self, tr_s, n_frames, labels: str | Path | None, sc: Connectome | None) -> RawInputs:
        files = self._files
        connectome = self._connectome(str(files.sc), "connectome") if sc is None else RawMatrix(sc.weights, sc.labels)
        runs = self._runs(tr_s, n_frames, _expected_regions(connectome))
        maps = read_raw_maps(files.maps or {}, self._regions)
        stages = {stage: self._stage(stage) for stage in STAGES if getattr(files, stage) != StageFiles()}
        gradient_fc = None if files.gradient_fc is None else self._fc(files.gradient_fc, "FC for the gradient")
        names = None if labels is None else self._names(labels)
        return RawInputs(connectome, runs, stages, maps, gradient_fc, names, self._sources(labels, runs))

    def _once(self, kind: str, path: str | Path, read: Callable[[], T]) -> T:
        key = (kind, home_expanded(path).absolute())
        if key not in self._held:
            self._held[key] = read()
        return self._held[key]

    def _names(self, source: str | Path) -> tuple[str, ...]:
        return self._once("names", source, lambda: read_labels(source))

    def _digest(self, path: Path) -> str:
        return self._once("digest", path, lambda: file_digest(path))

    def _connectome(self, path: str, what: str) -> RawMatrix:
        options = self._files.sc_file
        names = None if options.labels is None else (lambda: self._names(str(options.labels)))
        return self._once("matrix", path, lambda: read_raw_matrix(path, replace(options, labels=None), names, what))

    def _fc(self, path: str, what: str) -> RawMatrix:
        def read() -> RawMatrix:
            values, names = read_matrix(path, what)
            values = check_square(values, f"The {what} {path}", finite=False)
            return RawMatrix(values, check_labels(names, len(values), f"the {what} {path}"), path=Path(path))

        return self._once("FC", path, read)

    def _runs(self, tr_s: float | None, n_frames: int | None, n_regions: int | None) -> tuple[TimeSeries, ...]:
        """Time series, of runs of `n_frames` where that is given."""
        files = self._files
        per_file = max(1, len(files.run_frames))
        first, last = (frame_counts(getattr(files, name), name) for name in ("drop_frames", "drop_last_frames"))
        trim = Trim(first, last, per_file * len(files.timeseries)) if files.timeseries else Trim()
        options = SeriesOptions(
            regions=self._regions,
            orientation=files.orientation,
            key=files.timeseries_key,
            key_argument="timeseries_key",
            run_frames=tuple(files.run_frames),
            n_regions=n_regions,
            allow_censored=files.allow_censored,
            allow_missing_regions=True,
            allow_other_regions=True,
            observation=files.observation.observation(files.cleaning),
            digest=self._digest,
        )
        check_versions(files.timeseries)
        runs = []
        for k, path in enumerate(files.timeseries):
            cleaning = files.cleaning.for_file(k, len(files.timeseries))
            own = replace(options, cleaning=cleaning, trim=replace(trim, run=k * per_file))
            runs.append(self._once("series", path, partial(read_timeseries, path, own, tr_s)))
            check_run_lengths(runs[-1], path, n_frames)
        return tuple(runs)

    def _stage(self, stage: str) -> RawStage:
        paths: StageFiles = getattr(self._files, stage)
        fc = self._fc(str(paths.fc), f"{stage} FC")
        above = fc.values[np.triu_indices(len(fc.values), 1)]
        note_high_fc(float(above.mean()) if (np.abs(above) <= 1).all() and len(above) > 1 else np.nan, Path(str(paths.fc)))
        cdf = str(existing_file(str(paths.fcd_cdf), f"{stage} fcd_cdf"))
        return RawStage(
            fc,
            self._once("vector", cdf, lambda: RawVector(Path(cdf), read_vector(cdf, "FCD CDF"))),
            None if paths.sc is None else self._connectome(paths.sc, "connectome"),
        )

    def _sources(self, labels: str | Path | None, runs: Sequence[TimeSeries]) -> tuple[Source, ...]:
        files = self._files
        series: list[Source] = []
        for source in (source for run in runs for source in run.sources):
            if source.role == "timeseries" or source not in series:  # a parcellation serves every run
                series.append(source)
        further: list[tuple[str, str | Path | None]] = [(f"map {name}", path) for name, path in (files.maps or {}).items()]
        names = [("labels", labels), ("connectome labels", files.sc_file.labels)]
        further += [("gradient FC", files.gradient_fc), *((role, path) for role, path in names if path not in DESIKAN_VARIANTS)]
        for stage in STAGES:
            further += [(f"{stage} {kind}", getattr(getattr(files, stage), kind)) for kind in ("fc", "fcd_cdf", "sc")]

        def digested(named) -> list[Source]:
            return [Source(r, Path(p).as_posix(), self._digest(existing_file(p, r))) for r, p in named if p is not None]

        return (*digested([("sc", files.sc)]), *series, *digested(further))


def _expected_regions(connectome: RawMatrix) -> int | None:
    """Regions that time series must have; None where rows of the connectome that are no cortex may still drop out."""
    if connectome.labels is None or all(Atlas(connectome.labels).cortical):
        return len(connectome.values)
    return None
