"""What stands beside a scan in BIDS-like folders: sidecars, and lists of frames left out for motion."""

from __future__ import annotations

import glob
import json
import math
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from mfm.errors import InputError
from mfm.io.formats.entities import parse_name, split_extension
from mfm.io.formats.input_file import existing_file

# Entities that tell how a file was made, not which scan it is of.
_PROCESSING = {"atlas", "seg", "den", "desc", "echo", "hemi", "part", "res", "space", "stat"}


@dataclass(frozen=True)
class Sidecar:
    """JSON metadata of a file.

    Attributes
    ----------
    values : dict
        As in the file; of several (BIDS inheritance), the nearest one's.
    paths : tuple of path
        The files, nearest first; empty where there is none.
    """

    values: dict[str, Any] = field(default_factory=dict)
    paths: tuple[Path, ...] = ()

    @property
    def tr_s(self) -> float | None:
        """The repetition time, seconds: RepetitionTime, or the equal steps of VolumeTiming; None where it does not say."""
        value = self.values.get("RepetitionTime")
        if value is None:
            return self._step_of_volumes()
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
            raise InputError(
                f"The RepetitionTime in {self.paths[0]} is no duration.", expected="seconds, as a number", found=repr(value)
            )
        return float(value)

    def _step_of_volumes(self) -> float | None:
        """The step of VolumeTiming, which BIDS has instead of RepetitionTime where volumes are not acquired back to back."""
        times = self.values.get("VolumeTiming")
        if times is None:
            return None
        numbers = isinstance(times, list) and all(isinstance(t, (int, float)) and not isinstance(t, bool) for t in times)
        steps = [later - t for t, later in pairwise(times)] if numbers else []
        if not steps or not min(steps) > 0 or not math.isfinite(max(steps)):
            raise InputError(
                f"The VolumeTiming in {self.paths[0]} is no list of times.",
                expected="seconds that increase",
                found=str(times)[:80],
            )
        if max(steps) - min(steps) > 1e-2 * max(steps):
            raise InputError(
                f"The volumes that {self.paths[0]} describes have no one repetition time.",
                expected="equal steps from volume to volume: FCD compares windows of 60 s, and the simulated BOLD has one TR",
                found=f"VolumeTiming with steps from {min(steps):g} to {max(steps):g} s",
                cause="sparse or interleaved acquisition, or volumes that were taken out",
                fix="resample the series to equal steps, and give their RepetitionTime",
            )
        return float(f"{(times[-1] - times[0]) / len(steps):.6g}")


def entities(path: str | Path) -> dict[str, str]:
    """Entities of a BIDS-like file name: ``sub-01_task-rest_bold.nii.gz`` has sub and task."""
    return dict(parse_name(Path(path).name).entities)


def read_sidecar(path: str | Path) -> Sidecar:
    """The JSON files that describe `path`: of the same name, or inherited from above it up to the dataset's folder.

    By BIDS's inheritance principle a file applies to all below it whose suffix it has and whose entities include its own; the
    nearest comes first, and of one folder the one with more entities. The dataset's folder is the one that holds
    ``dataset_description.json``, or else the ``sub-<id>`` folder of the file.

    Raises
    ------
    InputError
        If one of them is not JSON, or two of one folder apply alike and differ.
    """
    path = Path(path)
    stems = dict.fromkeys((split_extension(path.name)[0], path.name.partition(".")[0]))
    beside = [path.with_name(f"{stem}.json") for stem in stems if stem]
    found = [file for file in beside if file.exists() or file.is_symlink()][:1]
    own, suffix = entities(path), path.name.partition(".")[0].rpartition("_")[2]
    read: dict[Path, dict[str, Any]] = {file: _read_json(file) for file in found}
    for folder in _levels(path):
        inherited = [
            other
            for other in folder.glob(f"*{glob.escape(suffix)}.json")
            if other.stem.rpartition("_")[2] == suffix and entities(other).items() <= own.items()
        ]
        inherited = [other for other in inherited if not any(_same_place(other, file) for file in found)]
        inherited.sort(key=lambda other: (-len(entities(other)), other.name))
        read |= {other: _read_json(other) for other in inherited}
        if not any("RepetitionTime" in read[nearer] for nearer in found):
            _check_alike(inherited, read, path)
        found += inherited
    values: dict[str, Any] = {}
    for one in found:
        values = {**read[one], **values}
    return Sidecar(values, tuple(found))


def _levels(path: Path) -> list[Path]:
    """Folders from that of `path` up to the dataset's; only the first where nothing tells of a dataset."""
    parents = list(path.absolute().parents)[:6]
    root = next((k for k, folder in enumerate(parents) if (folder / "dataset_description.json").exists()), None)
    if root is None:
        root = next((k + 1 for k, folder in enumerate(parents[:-1]) if folder.name.startswith("sub-")), None)
    return [] if root is None else parents[: root + 1]


def _same_place(one: Path, other: Path) -> bool:
    return one.absolute() == other.absolute()


def _check_alike(files: list[Path], read: dict[Path, dict[str, Any]], path: Path) -> None:
    """Raise an InputError if two sidecars of one folder and as many entities tell different repetition times."""
    for one, other in pairwise(files):
        told = [read[file].get("RepetitionTime") for file in (one, other)]
        if len(entities(one)) == len(entities(other)) and None not in told and told[0] != told[1]:
            raise InputError(
                f"Two sidecars describe {path}, and tell different repetition times.",
                expected="at most one that applies at each level of folders (BIDS's inheritance principle)",
                found=f"{one.name}: {told[0]}, {other.name}: {told[1]}",
                fix="say which is right in a sidecar beside the scan",
            )


def _whole(digits: str) -> int | float:
    """Return a whole number; one beyond any quantity as a float, which may be infinite: integers of Python never are."""
    return int(digits) if len(digits) < 20 else float(digits)


def _read_json(path: Path) -> dict:
    path = existing_file(path, "sidecar")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The sidecar {path} is not JSON.", found=str(error)) from error
    if not isinstance(content, dict):
        raise InputError(f"The sidecar {path} holds no keys.", expected="a JSON object", found=type(content).__name__)
    return content


def file_of_same_scan(path: str | Path, pattern: str) -> Path | None:
    """The file beside `path` that fits `pattern` and is of the same scan: of the same entities, but for those of processing."""
    path = Path(path)
    scan = _scan(path)
    same = [other for other in sorted(path.parent.glob(pattern)) if scan and _scan(other) == scan]
    return same[0] if same else None


def _scan(path: Path) -> dict[str, str]:
    return {key: value for key, value in entities(path).items() if key not in _PROCESSING}
