"""Versions of one scan, by their names: formats, resolutions, echoes, parts, reconstructions, spaces, ways of cleaning."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mfm.errors import InputError
from mfm.io.formats.bids import Sidecar
from mfm.io.formats.entities import VERSION_ENTITIES, parse_name, split_extension

#: Parts of a complex image that are no magnitude.
NO_MAGNITUDE = ("phase", "real", "imag")
_IMAGE_TYPES = {"P", "PHASE", "REAL", "IMAGINARY"}
_HCP_RUN = re.compile(r"([rt]fMRI_\w+?)_Atlas")


def check_magnitude(path: Path, sidecar: Sidecar) -> None:
    """Raise an InputError if name or sidecar tell of the phase of an image, or of a part of a complex one."""
    name, found = parse_name(path.name), ""
    if name.get("part") in NO_MAGNITUDE or name.suffix.lower() == "phase":
        found = f"the name {path.name}"
    kinds = sidecar.values.get("ImageType")
    if isinstance(kinds, list) and _IMAGE_TYPES & {str(kind).upper() for kind in kinds}:
        found = found or f"ImageType {', '.join(map(str, kinds))} in its sidecar"
    if str(sidecar.values.get("Units", "")).lower() in ("rad", "radian", "radians"):
        found = found or f"Units {sidecar.values['Units']} in its sidecar"
    if found:
        raise InputError(
            f"{path} holds no magnitude of BOLD.",
            expected="magnitude images (part-mag)",
            found=found,
            cause="the phase of a complex acquisition, which does not follow blood oxygenation as the magnitude does",
            fix="give the file of the magnitude",
        )


def check_versions(paths: Sequence[str]) -> None:
    """Raise an InputError if the names of two files tell that they are versions of one scan."""
    scans: dict[tuple, list[str]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        scans[_scan(Path(path))].append(path)
    several = next((same for same in scans.values() if len({Path(path).name for path in same}) > 1), None)
    if several is None:
        return
    kept = [path for path in dict.fromkeys(paths) if path not in several[1:]]
    raise InputError(
        "Files are versions of one scan.",
        expected="one file for each run: a run cannot test itself",
        found=f"{', '.join(Path(path).name for path in several)}, which differ in {_difference(several)}",
        cause="other formats, resolutions, echoes, parts, reconstructions, spaces or ways of cleaning of the same frames",
        fix=f"choose one of them, such as `timeseries={json.dumps(kept)}`; name others by their run (run-1, run-2)",
    )


def _scan(path: Path) -> tuple:
    """What tells scans apart: entities and words of the name that are of no version, and the folder."""
    path = path.absolute()
    if (hcp := _HCP_RUN.match(path.name)) is not None:
        return "HCP", hcp[1], path.parent
    name = parse_name(path.name)
    scan = frozenset(item for item in name.entities if item[0] not in VERSION_ENTITIES)
    if name.get("sub") is None or name.get("task") is None:
        return scan, name.words, path.parent
    # In derivatives of several programs the same scan lies in folders that are alike from the subject's on.
    parts = path.parent.parts
    own = [k for k, part in enumerate(parts) if part.startswith("sub-")]
    return scan, parts[own[-1] :] if own else path.parent


def _difference(paths: Sequence[str]) -> str:
    names = [parse_name(Path(path).name) for path in paths]
    differ = [key for key in VERSION_ENTITIES if len({name.get(key) for name in names}) > 1]
    if differ:
        return " and ".join(f"{key}-" for key in differ)
    return "their format" if len({split_extension(Path(path).name)[0] for path in paths}) == 1 else "their processing"
