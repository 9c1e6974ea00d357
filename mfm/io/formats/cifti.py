"""CIFTI-2 files: series, maps and matrices of regions, and series and maps of grayordinates, averaged over regions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from mfm.brain.connectome import check_labels
from mfm.errors import ConfigError, InputError
from mfm.io.formats.format import Content, Flaw, Format, Peek, RegionFile, Request
from mfm.io.formats.header_time import HeaderTime, header_time
from mfm.io.formats.images import NIFTI_2_BYTES, READ_ERRORS, is_cifti, open_cifti, parse_nifti_header, truncation, unreadable
from mfm.io.formats.input_file import InputFile
from mfm.io.formats.parcellation import parcellate, parcellation_of

# Of the XML that is read at a time while peeking.
_CHUNK = 1 << 16
_HCP_7T = re.compile(r"[rt]fMRI_\w*7T_\w*Atlas")


class CiftiFormat(Format):
    """CIFTI-2, as Workbench and HCP write it."""

    title = "CIFTI"
    suffixes = (".dtseries.nii", ".ptseries.nii", ".dlabel.nii", ".dscalar.nii", ".pscalar.nii", ".pconn.nii")
    roles = frozenset(("timeseries", "matrix", "map"))

    @property
    def regional_suffixes(self) -> tuple[str, ...]:
        return (".ptseries.nii",)

    def sniff(self, head: bytes) -> bool:
        return is_cifti(head)

    def peek(self, path: Path) -> Peek:
        """Take dimensions from the NIfTI-2 header, the step of the series from the first bytes of the XML.

        nibabel would parse the whole XML, which lists every vertex: a second per file.
        """
        with open(path, "rb") as handle:
            header = parse_nifti_header(handle.read(NIFTI_2_BYTES))
            if isinstance(header, Flaw):
                return Peek(flaw=header)
            if int(header["sizeof_hdr"]) != NIFTI_2_BYTES:
                return Peek(flaw=Flaw("not a CIFTI file: a NIfTI-1 header", "give the file that Workbench or HCP wrote"))
            data_at = int(header["vox_offset"])
            xml = _xml_until_series(handle, data_at)
        if (version := _cifti_version(xml)) is None:
            return Peek(
                flaw=Flaw("not a CIFTI file: its header does not describe one", "give the file that Workbench or HCP wrote")
            )
        if version == b"1":
            convert = "wb_command -file-convert -cifti-version-convert PATH 2 NEW"
            return Peek(flaw=Flaw("CIFTI-1, which current software does not read", convert))
        n_rows, n_columns = int(header["dim"][5]), int(header["dim"][6])
        flaw = truncation(path, data_at + n_rows * n_columns * int(header["bitpix"]) // 8)
        step = _series_step(xml)
        time = HeaderTime() if step is None else _header_time(step, path)
        return Peek((n_rows, n_columns), "frames_by_regions", time.tr_s, flaw, time)

    def read(self, file: InputFile, request: Request) -> Content:
        read = {"timeseries": _read_series, "matrix": _read_matrix, "map": _read_maps}[request.role]
        image = open_cifti(file.path, file.what)
        return read(image, [image.header.get_axis(k) for k in range(image.ndim)], file, request)


def _xml_until_series(handle, end: int) -> bytes:
    xml = b""
    while handle.tell() < end and (chunk := handle.read(min(_CHUNK, end - handle.tell()))):
        xml += chunk
        if _series_step(xml) is not None or _cifti_version(xml) == b"1":
            break
    return xml


def _cifti_version(xml: bytes) -> bytes | None:
    found = re.search(rb"<CIFTI[^>]*Version=\"(\d+)", xml)
    return None if found is None else found[1]


def _series_step(xml: bytes) -> float | None:
    for tag in re.findall(rb"<MatrixIndicesMap[^>]*>", xml):
        if b"CIFTI_INDEX_TYPE_SERIES" in tag:
            values = dict(re.findall(rb'(SeriesStep|SeriesExponent|SeriesUnit)="([^"]*)"', tag))
            if values.get(b"SeriesUnit") == b"SECOND" and b"SeriesStep" in values:
                return float(values[b"SeriesStep"]) * 10.0 ** int(values.get(b"SeriesExponent", b"0"))
    return None


def _header_time(step: float, path: Path) -> HeaderTime:
    """Return what a step of seconds tells; Workbench writes 1 s where it is not told, but HCP's 7 T scans do last 1 s."""
    return header_time(step, "SECOND", is_known=_HCP_7T.search(path.name) is not None)


def _kinds(axes) -> list[str]:
    return [type(axis).__name__.removesuffix("Axis") for axis in axes]


def _values(data: Any, path: Path) -> np.ndarray:
    try:
        return np.asarray(data, dtype=np.float64)
    except READ_ERRORS as error:
        raise unreadable(path, error) from error


def _read_series(image, axes, file: InputFile, request: Request) -> Content:
    from nibabel.cifti2 import BrainModelAxis, ParcelsAxis, SeriesAxis

    path = file.path
    if len(axes) != 2 or not isinstance(axes[0], SeriesAxis) or not isinstance(axes[1], (BrainModelAxis, ParcelsAxis)):
        raise InputError(
            f"{path} is no time series.",
            expected="a .dtseries.nii or .ptseries.nii: series by grayordinates or parcels",
            found=" x ".join(_kinds(axes)),
            cause="a map (dscalar), a parcellation (dlabel) or a matrix (dconn, pconn)",
        )
    series, space = axes
    if series.unit != "SECOND":
        raise InputError(
            f"The series of {path} is not one of time.", expected="unit SECOND", found=f"unit {series.unit}", cause="a spectrum"
        )
    if isinstance(space, ParcelsAxis):
        values = _values(image.dataobj, path)
        names = check_labels(list(space.name), len(space), f"the time series {path}")
    else:
        regions = required_regions(request.regions, path).read_once(parcellation_of)
        values, names = parcellate(image.dataobj, space, regions, str(path)), regions.names
    time = _header_time(float(series.step), path)
    return Content(path, {"": values}, None, names, "frames_by_regions", time.tr_s, untold=time)


def required_regions(
    regions: RegionFile | None, path: Path, expected: str = "a parcellation to average them over"
) -> RegionFile:
    """Return `regions`; a ConfigError says that a file of grayordinates needs them."""
    if regions is None:
        raise ConfigError(
            f"{path} holds grayordinates, not regions.",
            expected=expected,
            fix='`parcellation="ATLAS.dlabel.nii"` (HCP: MNINonLinear/fsaverage_LR32k/SUBJECT.aparc.32k_fs_LR.dlabel.nii)',
        )
    return regions


def _read_matrix(image, axes, file: InputFile, request: Request) -> Content:
    """Read a ``.pconn.nii``, as XCP-D writes FC: the same parcels twice."""
    from nibabel.cifti2 import ParcelsAxis

    if len(axes) != 2 or not all(isinstance(axis, ParcelsAxis) for axis in axes) or list(axes[0].name) != list(axes[1].name):
        raise InputError(
            f"The {file.what} {file.path} is no matrix of regions by regions.",
            expected="a .pconn.nii: the same parcels twice",
            found=" x ".join(f"{kind} ({len(axis)})" for kind, axis in zip(_kinds(axes), axes, strict=True)),
            cause="a dense matrix (dconn), a time series (dtseries, ptseries) or a map (dscalar, pscalar)",
            fix="give time series as `timeseries`; average a dense matrix over regions with wb_command -cifti-parcellate",
        )
    names = check_labels(list(axes[0].name), len(axes[0]), f"the {file.what} {file.path}")
    return Content(file.path, {"": _values(image.dataobj, file.path)}, names, names)


def _read_maps(image, axes, file: InputFile, request: Request) -> Content:
    """Read the maps that are asked for by name; of a file with one map, that one, whatever its name."""
    from nibabel.cifti2 import BrainModelAxis, ParcelsAxis, ScalarAxis

    path = file.path
    if len(axes) != 2 or not isinstance(axes[0], ScalarAxis) or not isinstance(axes[1], (BrainModelAxis, ParcelsAxis)):
        raise InputError(
            f"{path} is not a map.",
            expected="a .dscalar.nii or .pscalar.nii: scalars by grayordinates or parcels",
            found=" x ".join(_kinds(axes)),
            cause="a time series (dtseries), a parcellation (dlabel) or a matrix",
        )
    own = [str(one) for one in axes[0].name]
    regions = None
    if isinstance(axes[1], BrainModelAxis):
        regions = required_regions(request.regions, path, "the parcellation that the time series were averaged over")
    arrays, names = {}, tuple(str(one) for one in axes[1].name)
    for name in request.names or ("",):
        if len(own) > 1 and name not in own:
            raise InputError(
                f"{path} holds {len(own)} maps, none of which is called {name!r}.",
                expected="a file of one map, or a map called as in it",
                found=", ".join(own[:8]),
            )
        row = slice(own.index(name), own.index(name) + 1) if name in own else slice(0, 1)
        if regions is None:
            arrays[name] = _values(image.dataobj[row], path)[0]
        else:
            parcellation = regions.read_once(parcellation_of)
            arrays[name], names = parcellate(image.dataobj[row], axes[1], parcellation, str(path))[0], parcellation.names
    return Content(path, arrays, None, names)
