"""Time series of CIFTI and GIFTI files, parcellated, or dense and averaged over the regions of a label file; CIFTI matrices."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mfm.brain.connectome import check_labels
from mfm.errors import ConfigError, InputError
from mfm.io.formats.cifti import READ_ERRORS, open_cifti, open_image, parcellate, read_parcellation, unreadable

# More columns than any parcellation has regions: those of a surface.
_MANY = 5000


def read_cifti_series(
    image, path: Path, parcellation: str | Path | None
) -> tuple[np.ndarray, tuple[str, ...] | None, float | None]:
    """Values (T, N), region names and TR in seconds of an opened ``.ptseries.nii`` or ``.dtseries.nii``.

    Raises
    ------
    ConfigError
        If a dense file comes without parcellation.
    InputError
        If the file holds no time series, its axis is not one of time, or it does not fit the parcellation.
    """
    from nibabel.cifti2 import BrainModelAxis, ParcelsAxis, SeriesAxis

    axes = [image.header.get_axis(k) for k in range(image.ndim)]
    if len(axes) != 2 or not isinstance(axes[0], SeriesAxis) or not isinstance(axes[1], (BrainModelAxis, ParcelsAxis)):
        raise InputError(
            f"{path} is no time series.",
            expected="a .dtseries.nii or .ptseries.nii: series by grayordinates or parcels",
            found=" x ".join(type(axis).__name__.removesuffix("Axis") for axis in axes),
            cause="a map (dscalar), a parcellation (dlabel) or a matrix (dconn, pconn)",
        )
    series, space = axes
    tr_s = _tr(series, path)
    if isinstance(space, ParcelsAxis):
        try:
            values = np.asarray(image.dataobj, dtype=np.float64)
        except READ_ERRORS as error:
            raise unreadable(path, error) from error
        return values, check_labels(list(space.name), len(space), f"the time series {path}"), tr_s
    regions = read_parcellation(_required(parcellation, path))
    return parcellate(image.dataobj, space, regions, str(path)), regions.names, tr_s


def read_cifti_matrix(path: Path, what: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """The matrix (N, N) in a ``.pconn.nii``, as XCP-D writes FC, and the names of its regions.

    Raises
    ------
    InputError
        If the file is not CIFTI-2, damaged, or its axes are not the same parcels.
    """
    from nibabel.cifti2 import ParcelsAxis

    image = open_cifti(path, what)
    axes = [image.header.get_axis(k) for k in range(image.ndim)]
    if len(axes) != 2 or not all(isinstance(axis, ParcelsAxis) for axis in axes) or list(axes[0].name) != list(axes[1].name):
        raise InputError(
            f"The {what} {path} is no matrix of regions by regions.",
            expected="a .pconn.nii: the same parcels twice",
            found=" x ".join(f"{type(axis).__name__.removesuffix('Axis')} ({len(axis)})" for axis in axes),
            cause="a dense matrix (dconn), a time series (dtseries, ptseries) or a map (dscalar, pscalar)",
            fix="give time series as data.timeseries; average a dense matrix over regions with wb_command -cifti-parcellate",
        )
    try:
        values = np.asarray(image.dataobj, dtype=np.float64)
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    return values, check_labels(list(axes[0].name), len(axes[0]), f"the {what} {path}")


def _required(parcellation: str | Path | None, path: Path) -> str | Path:
    if parcellation is None:
        raise ConfigError(
            f"{path} holds grayordinates, not regions.",
            expected="a parcellation to average them over",
            fix="data.parcellation=ATLAS.dlabel.nii (HCP: MNINonLinear/fsaverage_LR32k/SUBJECT.aparc.32k_fs_LR.dlabel.nii)",
        )
    return parcellation


def _tr(series, path: Path) -> float | None:
    if series.unit != "SECOND":
        raise InputError(
            f"The series of {path} is not one of time.", expected="unit SECOND", found=f"unit {series.unit}", cause="a spectrum"
        )
    return float(series.step) if np.isfinite(series.step) and series.step > 0 else None


def read_gifti_series(path: Path, parcellation: str | Path | None) -> tuple[np.ndarray, tuple[str, ...] | None, float | None]:
    """Values (T, N) and region names of a micapipe GIFTI: one array of frames by vertices, left then right; it has no TR.

    Raises
    ------
    ConfigError
        If it holds vertices and no parcellation is given.
    InputError
        If it is laid out otherwise, or does not fit the parcellation.
    """
    image = open_image(path, "time series")
    arrays = [np.asarray(array.data) for array in getattr(image, "darrays", ())]
    if len(arrays) != 1 or arrays[0].ndim != 2:
        several = len(arrays) > 1
        command = "wb_command -cifti-create-dense-timeseries OUT.dtseries.nii"
        raise InputError(
            f"{path} is not a time series as micapipe writes it.",
            expected="one array of frames x vertices, both hemispheres",
            found=f"{len(arrays)} arrays, the first of shape {arrays[0].shape if arrays else ()}",
            cause="a file per hemisphere with one array per frame, as fMRIPrep writes it" if several else None,
            fix=f"{command} -left-metric LEFT.func.gii -right-metric RIGHT.func.gii" if several else None,
        )
    values = arrays[0]
    if parcellation is None and values.shape[1] < _MANY:
        return values.astype(np.float64), None, None
    regions = read_parcellation(_required(parcellation, path))
    return parcellate(values, _surfaces(regions.axis, values.shape[1], path), regions, str(path)), regions.names, None


def _surfaces(axis, n_vertices: int, path: Path):
    """All vertices of both cortices, left then right."""
    from nibabel.cifti2 import BrainModelAxis

    cortices = ("CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT")
    sizes = [axis.nvertices.get(name, 0) for name in cortices]
    if sum(sizes) != n_vertices or 0 in sizes:
        raise InputError(
            f"{path} and the parcellation are in different spaces.",
            expected=f"{' + '.join(map(str, sizes))} vertices, as the parcellation's surfaces have",
            found=f"{n_vertices} vertices",
            cause="another surface (fsaverage5, fsLR-5k), or subcortical columns before the vertices",
            fix="use the file of surf-fsLR-32k with a 32k_fs_LR.dlabel.nii",
        )
    left, right = (BrainModelAxis.from_surface(np.arange(n), n, name) for n, name in zip(sizes, cortices, strict=True))
    return left + right
