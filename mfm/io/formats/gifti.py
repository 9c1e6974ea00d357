"""GIFTI files: matrices inside, and time series of both cortices, as micapipe writes them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mfm.errors import InputError
from mfm.io.formats.arrays import decode
from mfm.io.formats.cifti import required_regions
from mfm.io.formats.format import Content, Flaw, Format, Peek, Request
from mfm.io.formats.images import open_image
from mfm.io.formats.input_file import InputFile
from mfm.io.formats.parcellation import parcellate, parcellation_of

# More columns than any parcellation has regions: those of a surface.
_MANY = 5000
# Attributes of the first array stand within this much of the file.
_CHUNK = 1 << 16


class GiftiFormat(Format):
    """GIFTI, as micapipe uses it for arrays of any kind."""

    title = "GIFTI"
    suffixes = (".shape.gii", ".func.gii", ".gii")
    roles = frozenset(("timeseries", "matrix"))

    @property
    def regional_suffixes(self) -> tuple[str, ...]:
        return ()

    def sniff(self, head: bytes) -> bool:
        return b"<GIFTI" in head

    def peek(self, path: Path) -> Peek:
        """Take the dimensions of the first array; a series has more vertices than frames."""
        with open(path, "rb") as handle:
            head = handle.read(_CHUNK)
        sizes = dict(re.findall(rb'(Dim[01])="(\d+)"', head))
        if b"<GIFTI" not in head:
            return Peek(flaw=Flaw("not a GIFTI file", "fetch it anew"))
        if b"Dim1" not in sizes:
            return Peek()
        rows, columns = int(sizes[b"Dim0"]), int(sizes[b"Dim1"])
        if rows == columns:
            return Peek((rows, columns))
        return Peek((rows, columns), "frames_by_regions" if columns > rows else "regions_by_frames")

    def read(self, file: InputFile, request: Request) -> Content:
        if request.role == "timeseries":
            return _read_series(file, request)
        return Content(file.path, decode(_arrays, file.content(), file.path))


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    from nibabel.gifti import GiftiImage

    data = [np.asarray(array.data) for array in GiftiImage.from_bytes(content).darrays]
    return {"": data[0]} if len(data) == 1 else {f"darrays[{k}]": array for k, array in enumerate(data)}


def _read_series(file: InputFile, request: Request) -> Content:
    """Read one array of frames by vertices, left then right, or of frames by regions; it has no TR."""
    path = file.path
    image = open_image(path, file.what)
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
    values, names = arrays[0], None
    if request.regions is None and values.shape[1] < _MANY:
        values = values.astype(np.float64)
    else:
        regions = required_regions(request.regions, path).read_once(parcellation_of)
        values = parcellate(values, _surfaces(regions.axis, values.shape[1], path), regions, str(path))
        names = regions.names
    return Content(path, {"": values}, None, names, "frames_by_regions")


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
