"""Regional values as CIFTI-2, for Connectome Workbench: parcellated, and on the cortex's vertices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfm.brain.atlas import Atlas, order_by_name
from mfm.errors import InputError
from mfm.io.formats.images import open_cifti
from mfm.io.formats.parcellation import read_parcellation
from mfm.io.formats.write import write_atomic

_INTENT = {".pscalar.nii": (3008, "ConnParcelScalr"), ".dscalar.nii": (3006, "ConnDenseScalar")}


@dataclass(frozen=True, eq=False)
class CiftiSpace:
    """Where regions are: for `write_scalars`.

    Attributes
    ----------
    labels : tuple of str
        Names of the N regions.
    parcels : nibabel.cifti2.ParcelsAxis
        Grayordinates of each region.
    grayordinates : nibabel.cifti2.BrainModelAxis or None
        All that are in a region; None where a parcellated file told of the regions.
    region : int array or None
        Position of each grayordinate's region in `labels`.
    """

    labels: tuple[str, ...]
    parcels: Any
    grayordinates: Any = None
    region: np.ndarray | None = None


def cifti_space(template: str | Path, labels: Sequence[str]) -> CiftiSpace:
    """Where the regions `labels` are, by name in any spelling, according to a ``.dlabel.nii`` or any parcellated CIFTI file.

    Raises
    ------
    InputError
        If the template cannot be read, holds no parcels, or lacks a region.
    """
    from nibabel.cifti2 import LabelAxis, ParcelsAxis

    image = open_cifti(template, "parcellation")
    axes = [image.header.get_axis(k) for k in range(image.ndim)]
    if isinstance(axes[0], LabelAxis):
        parcellation = read_parcellation(template)
        order = _positions(parcellation.names, labels, template)
        position = np.full(len(parcellation.names) + 1, -1)  # the last is that of the background, -1
        position[order] = np.arange(len(order))
        region = position[parcellation.region]
        parts = [(name, parcellation.axis[region == k]) for k, name in enumerate(labels)]
        inside = region >= 0
        return CiftiSpace(tuple(labels), ParcelsAxis.from_brain_models(parts), parcellation.axis[inside], region[inside])
    parcels = next((axis for axis in axes if isinstance(axis, ParcelsAxis)), None)
    if parcels is None:
        raise InputError(f"{template} has no regions.", expected="a .dlabel.nii or a .ptseries.nii")
    return CiftiSpace(tuple(labels), parcels[np.array(_positions(tuple(parcels.name), labels, template))])


def _positions(names: Sequence[str], labels: Sequence[str], template: str | Path) -> list[int]:
    """Where the regions stand in the template, whatever its spelling; it may hold more."""
    names = [str(name) for name in names]
    wanted = set(Atlas(tuple(labels)).keys)
    held = [k for k, key in enumerate(Atlas(tuple(names)).keys) if key in wanted]
    if len(held) < len(wanted):
        held = list(range(len(names)))  # the join tells what is missing
    return [held[k] for k in order_by_name([names[k] for k in held], labels, str(template))]


def write_scalars(stem: str | Path, names: Sequence[str], values: np.ndarray, space: CiftiSpace) -> list[Path]:
    """Maps as ``<stem>.pscalar.nii`` and, where vertices are known, ``<stem>.dscalar.nii``, with intents that Workbench knows.

    Parameters
    ----------
    stem : path
        Without suffix.
    names : sequence of str
        Of the M maps.
    values : array, (M, N)
    space : CiftiSpace
        The dense file holds the grayordinates of its regions and no others.

    Returns
    -------
    list of path
        The files that were written.
    """
    from nibabel.cifti2 import ScalarAxis

    maps = ScalarAxis(list(names))
    written = [_write(f"{stem}.pscalar.nii", values, maps, space.parcels)]
    if space.grayordinates is not None:
        written.append(_write(f"{stem}.dscalar.nii", values[:, space.region], maps, space.grayordinates))
    return written


def _write(path: str, values: np.ndarray, maps, space) -> Path:
    from nibabel.cifti2 import Cifti2Image

    image = Cifti2Image(np.asarray(values, dtype=np.float32), (maps, space))
    image.update_headers()
    code, name = next(intent for suffix, intent in _INTENT.items() if path.endswith(suffix))
    image.nifti_header["intent_code"] = code
    image.nifti_header["intent_name"] = name
    return write_atomic(path, image.to_filename)
