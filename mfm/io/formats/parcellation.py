"""Averaging grayordinates over the regions of a dense label file.

Grayordinates are matched by brain structure and by vertex or voxel, never by row: files of one space differ in which of
them they hold (91 282 in dense series, 59 412 in maps, 64 984 in parcellations).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfm.brain.connectome import check_labels
from mfm.errors import InputError, InputNote
from mfm.io.formats.format import RegionFile
from mfm.io.formats.images import READ_ERRORS, open_cifti, unreadable
from mfm.io.formats.system import home_expanded

# Grayordinates read at a time: 80 MB at 1200 frames.
_CHUNK = 8192
# A region that has data in less than this part of its grayordinates has none; as XCP-D does by default.
LEAST_COVERAGE = 0.5
NOTED_COVERAGE = 0.8
# Labels that are no region: what is left of the cortex after hemisphere prefixes are taken off.
_BACKGROUND = re.compile(
    r"(\?+|background|unknown|medial[ _.-]?wall|freesurfer_defined_medial_wall|corpus[ _.-]?callosum)", re.IGNORECASE
)
_HEMISPHERE = re.compile(r"^(ctx[-_])?((lh|rh|l|r|left|right)[-_. ])?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Parcellation:
    """The regions of a dense label file.

    Attributes
    ----------
    path : path
    names : tuple of str
        Of the N regions, in the order of their keys; ``???``, unknown, medial wall and
        corpus callosum are none.
    axis : nibabel.cifti2.BrainModelAxis
        Its V grayordinates.
    region : int array, (V,)
        Position of each grayordinate's region in `names`; -1 for the background.
    """

    path: Path
    names: tuple[str, ...]
    axis: Any
    region: np.ndarray


def read_parcellation(path: str | Path) -> Parcellation:
    """Read the regions of a ``.dlabel.nii`` file.

    Raises
    ------
    InputError
        If the file is no dense label file, its values have no label, two labels share a name, or no region is left.

    Warns
    -----
    InputNote
        If the file holds several maps, of which the first is taken; or labels that are no region were left out.
    """
    from nibabel.cifti2 import BrainModelAxis, LabelAxis

    path = home_expanded(path)
    image = open_cifti(path, "parcellation")
    axes = [image.header.get_axis(k) for k in range(image.ndim)]
    if len(axes) != 2 or not isinstance(axes[0], LabelAxis) or not isinstance(axes[1], BrainModelAxis):
        raise InputError(
            f"{path} is not a parcellation.",
            expected="a dense label file (.dlabel.nii)",
            found=" x ".join(type(axis).__name__ for axis in axes),
            fix="wb_command -cifti-label-import turns a .dscalar.nii of keys into one",
        )
    labels, axis = axes
    if len(labels) > 1:
        chosen = f"The first, {str(labels.name[0])!r}, is used."
        warnings.warn(InputNote(f"{path} holds {len(labels)} parcellations. {chosen}"), stacklevel=2)
    table = {key: name for key, (name, _) in labels.label[0].items()}
    try:
        keys = np.asarray(image.dataobj[0, :])
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    used = np.unique(keys[np.isfinite(keys)])
    unknown = [key for key in used if key != int(key) or (int(key) not in table and key != 0)]
    if unknown or not np.isfinite(keys).all():
        raise InputError(
            f"The values of {path} have no label.",
            expected=f"the {len(table)} keys of its label table",
            found=f"{', '.join(f'{key:g}' for key in unknown[:6]) or 'NaN'}",
            cause="a label table of another parcellation",
        )
    regions = [key for key in sorted(table) if key in used and not _is_background(key, table[key])]
    named = [table[key] for key in used.astype(int) if key in table and key not in regions and key != 0]
    if named:
        warnings.warn(InputNote(f"{path}: {', '.join(named)} left out, being no regions."), stacklevel=2)
    if not regions:
        raise InputError(f"{path} has no region.", found=f"labels {', '.join(list(table.values())[:6]) or 'none'}")
    position = np.full(int(used.max()) + 1, -1)
    position[regions] = np.arange(len(regions))
    names = check_labels([table[key] for key in regions], len(regions), f"the parcellation {path}")
    return Parcellation(path, names or (), axis, position[keys.astype(int)])


def parcellation_of(regions: RegionFile) -> Parcellation:
    """Return the regions of a dense label file, for `RegionFile.read_once`."""
    return read_parcellation(regions.path)


def _is_background(key: int, name: str) -> bool:
    return key == 0 or name.strip() == "" or bool(_BACKGROUND.fullmatch(_HEMISPHERE.sub("", name.strip())))


def parcellate(data, axis, parcellation: Parcellation, what: str) -> np.ndarray:
    """Mean of dense data over the grayordinates of each region.

    Parameters
    ----------
    data : array or array proxy, (T, V)
        Series or maps; read in pieces.
    axis : nibabel.cifti2.BrainModelAxis
        Its V grayordinates.
    parcellation : Parcellation
    what : str
        The file, for messages.

    Returns
    -------
    array of float64, (T, N)
        NaN for a region with data in less than half of its grayordinates. A grayordinate has none where it is missing, not
        finite, or (in a series) the same in every frame.

    Raises
    ------
    InputError
        If the two are in different spaces, or the file cannot be read.

    Warns
    -----
    InputNote
        If regions lack more than a fifth of their grayordinates.
    """
    from scipy.sparse import csr_array

    region = region_of_grayordinates(parcellation, axis, what)
    n_frames, n_regions = data.shape[0], len(parcellation.names)
    total, count = np.zeros((n_regions, n_frames)), np.zeros(n_regions)
    for first in range(0, len(axis), _CHUNK):
        block_region = region[first : first + _CHUNK]
        if (block_region < 0).all():
            continue
        try:
            # A grayordinate's frames lie together on disk: columns are read in one piece.
            block = np.asarray(data[:, first : first + len(block_region)], dtype=np.float64).T
        except READ_ERRORS as error:
            raise unreadable(Path(what), error) from error
        has_data = np.isfinite(block).all(axis=1)
        if n_frames > 1:
            has_data &= block.max(axis=1) > block.min(axis=1)
        rows = np.flatnonzero(has_data & (block_region >= 0))
        belongs = csr_array((np.ones(len(rows)), (block_region[rows], np.arange(len(rows)))), shape=(n_regions, len(rows)))
        total += belongs @ (block if len(rows) == len(block) else block[rows])
        count += np.bincount(block_region[rows], minlength=n_regions)
    size = np.bincount(parcellation.region[parcellation.region >= 0], minlength=n_regions)
    coverage = count / size
    _note_coverage(coverage, parcellation, what)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count[:, None]
    mean[coverage < LEAST_COVERAGE] = np.nan
    return np.ascontiguousarray(mean.T)


def _note_coverage(coverage: np.ndarray, parcellation: Parcellation, what: str) -> None:
    low = np.flatnonzero(coverage < NOTED_COVERAGE)
    if len(low):
        regions = ", ".join(f"{parcellation.names[k]} {coverage[k]:.0%}" for k in low[:6])
        more = f" and {len(low) - 6} more" if len(low) > 6 else ""
        warnings.warn(
            InputNote(f"{what} covers few grayordinates of {regions}{more}; below {LEAST_COVERAGE:.0%} a region has no data."),
            stacklevel=3,
        )


def region_of_grayordinates(parcellation: Parcellation, axis, what: str) -> np.ndarray:
    """Region of each grayordinate of `axis`, (V,): -1 where the parcellation does not have it."""
    region = np.full(len(axis), -1)
    parcels = {name: (where, part) for name, where, part in _structures(parcellation.axis)}
    for name, where, part in _structures(axis):
        if name not in parcels:
            continue
        own_where, own = parcels[name]
        places = _places(part, own, name, parcellation.path, what)
        own_places = _places(own, part, name, parcellation.path, what)
        table = np.full(max(places.max(), own_places.max()) + 1, -1)
        table[own_places] = parcellation.region[own_where]
        region[where] = table[places]
    if (region < 0).all():
        raise InputError(
            f"{what} and the parcellation {parcellation.path} have no grayordinate in common.",
            expected=f"structures {', '.join(_short(name) for name in parcels)}",
            found=f"structures {', '.join(_short(name) for name, _, _ in _structures(axis))}",
            cause="one of the two holds another part of the brain",
        )
    return region


def _structures(axis) -> Iterator[tuple[str, np.ndarray, Any]]:
    """Name, positions and part of each brain structure of an axis; one that stands in several pieces is put together."""
    for name in dict.fromkeys(axis.name):
        where = np.flatnonzero(axis.name == name)
        yield str(name), where, axis[where]


def _places(part, other, name: str, path: Path, what: str) -> np.ndarray:
    """One number per grayordinate of a structure: its vertex, or its voxel's position in the volume."""
    if part.volume_mask.all() != other.volume_mask.all():
        raise _another_space(name, path, what, "both as surface or both as volume", "one of each")
    if part.volume_mask.all():
        if part.volume_shape != other.volume_shape or not np.allclose(part.affine, other.affine, atol=1e-3):
            raise _another_space(name, path, what, f"voxel grid {part.volume_shape}", f"voxel grid {other.volume_shape}")
        return np.ravel_multi_index(tuple(part.voxel.T), part.volume_shape)
    mine, theirs = part.nvertices[name], other.nvertices[name]
    if mine != theirs:
        raise _another_space(name, path, what, f"a surface of {mine} vertices", f"one of {theirs}")
    return part.vertex


def _another_space(name: str, path: Path, what: str, expected: str, found: str) -> InputError:
    return InputError(
        f"{what} and the parcellation {path} are in different spaces.",
        expected=f"{_short(name)}: {expected}",
        found=found,
        cause="fs_LR surfaces come with 32k, 59k and 164k vertices, fsaverage with others; HCP files here are 32k",
        fix="use the parcellation of the series' space (HCP: MNINonLinear/fsaverage_LR32k), or wb_command -label-resample",
    )


def _short(structure: str) -> str:
    return structure.removeprefix("CIFTI_STRUCTURE_")
