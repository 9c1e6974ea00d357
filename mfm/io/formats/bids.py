"""What stands beside a scan in BIDS-like folders: sidecars, and lists of frames left out for motion."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfm.errors import InputError
from mfm.io.formats.entities import parse_name
from mfm.io.formats.input_file import existing_file

# Entities that tell how a file was made, not which scan it is of.
_PROCESSING = {"atlas", "seg", "den", "desc", "hemi", "res", "space", "stat"}


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
        """The repetition time, seconds; None where it does not say."""
        value = self.values.get("RepetitionTime")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
            raise InputError(
                f"The RepetitionTime in {self.paths[0]} is no duration.", expected="seconds, as a number", found=repr(value)
            )
        return float(value)


def entities(path: str | Path) -> dict[str, str]:
    """Entities of a BIDS-like file name: ``sub-01_task-rest_bold.nii.gz`` has sub and task."""
    return dict(parse_name(Path(path).name).entities)


def read_sidecar(path: str | Path) -> Sidecar:
    """The JSON files that describe `path`: of the same name, or inherited from above it up to the dataset's folder.

    Raises
    ------
    InputError
        If one of them is not JSON.
    """
    path = Path(path)
    stem = path.name.partition(".")[0]
    found = [beside] if (beside := path.with_name(stem + ".json")).exists() or beside.is_symlink() else []
    own, suffix = entities(path), stem.rpartition("_")[2]
    root = next((folder for folder in path.parents[:5] if (folder / "dataset_description.json").exists()), None)
    for folder in path.parents if root else ():
        inherited = [
            other
            for other in folder.glob(f"*{suffix}.json")
            if other.stem.rpartition("_")[2] == suffix and entities(other).items() <= own.items() and other not in found
        ]
        found += sorted(inherited, key=lambda other: -len(entities(other)))
        if folder == root:
            break
    values: dict[str, Any] = {}
    for one in found:
        values = {**_read_json(one), **values}
    return Sidecar(values, tuple(found))


def _read_json(path: Path) -> dict:
    path = existing_file(path, "sidecar")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
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
