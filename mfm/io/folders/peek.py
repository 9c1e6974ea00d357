"""What a file's first bytes tell: frames, regions, repetition time, orientation. No data are read."""

from __future__ import annotations

import csv
import gzip
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfm.io.folders.tree import TreeFile
from mfm.io.formats.tables import is_number

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Flaw:
    """Why a file cannot be used, and what to do; `absent` where its content was never here."""

    problem: str
    fix: str
    absent: bool = False


@dataclass(frozen=True)
class Peek:
    """What is known of a file without reading its data.

    Parameters
    ----------
    shape : (int, int) or None
        Rows and columns of a table, names not counted; frames and regions of an image.
    orientation : {"frames_by_regions", "regions_by_frames"} or None
        None where nothing in the file tells.
    tr_s : float or None
        Repetition time of the header, seconds.
    flaw : Flaw or None
    """

    shape: tuple[int, int] | None = None
    orientation: str | None = None
    tr_s: float | None = None
    flaw: Flaw | None = None

    @property
    def n_frames(self) -> int | None:
        return self._along("frames_by_regions")

    @property
    def n_regions(self) -> int | None:
        """None for volumes, whose regions are those of the parcellation to come."""
        return self._along("regions_by_frames") or None

    def _along(self, rows_orientation: str) -> int | None:
        if self.shape is None or self.orientation is None:
            return None
        return self.shape[0] if self.orientation == rows_orientation else self.shape[1]


def peek(file: TreeFile) -> Peek:
    """Look at the beginning of a file."""
    flaw = _flaw_of_tree(file)
    if flaw is not None:
        return Peek(flaw=flaw)
    extension = file.name.extension
    readers = {".npy": _npy, ".npz": _npz, ".mat": _mat, ".nii.gz": _volume, ".nii": _volume, ".shape.gii": _gifti}
    try:
        if extension in (".csv", ".tsv", ".txt"):
            return _table(file.path)
        if extension in (".dtseries.nii", ".ptseries.nii", ".dlabel.nii"):
            return _cifti(file)
        reader = readers.get(extension)
        return Peek() if reader is None else reader(file.path)
    except PermissionError:
        return Peek(flaw=Flaw("the file may not be read", "ask its owner for permission to read it", absent=True))
    except (OSError, EOFError, ValueError, zlib.error, KeyError) as error:
        return Peek(flaw=Flaw(f"the file is damaged or of another type ({error})", "fetch or write it anew"))


def _flaw_of_tree(file: TreeFile) -> Flaw | None:
    flaws = {
        "link": Flaw(
            "a link to a file that is not there, as git-annex leaves for content not fetched", "datalad get PATH", absent=True
        ),
        "pointer": Flaw(
            "a git-annex or git-lfs placeholder: its content was not fetched", "datalad get PATH, or git lfs pull", absent=True
        ),
        "empty": Flaw("the file is empty (0 bytes)", "copy or compute it again"),
    }
    return flaws.get(file.problem)


def _table(path: Path) -> Peek:
    """Lines are counted, not parsed; names are told from numbers by the first two lines."""
    head: list[str] = []
    with open(path, "rb") as handle:
        for line in handle:
            if line.strip() and not line.startswith(b"#"):
                head.append(line.decode("utf-8-sig"))
            if len(head) == 2:
                break
        n_lines, end = len(head), b"\n"
        while chunk := handle.read(1 << 20):
            n_lines += chunk.count(b"\n")
            end = chunk
    blank = end[len(end.rstrip()) :].count(b"\n")  # no newline at the end, or more than one
    n_lines += 1 - blank
    if not head:
        return Peek(flaw=Flaw("the table has no rows", "copy or compute it again"))
    first, second = _cells(head[0]), _cells(head[-1])
    has_header = not any(is_number(cell) for cell in (first[1:] or first))
    has_row_names = len(second) > 1 and not is_number(second[0])
    shape = (n_lines - has_header, len(second) - has_row_names)
    if has_header == has_row_names:  # names on both sides are those of a matrix
        return Peek(shape, None)
    return Peek(shape, "frames_by_regions" if has_header else "regions_by_frames")


def _cells(line: str) -> list[str]:
    delimiter = next((d for d in "\t,;" if d in line), None)
    if delimiter is None:
        return [cell.strip('"') for cell in line.split()]
    return [cell.strip() for cell in next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter))]


def _matrix_shape(shape: tuple[int, ...]) -> tuple[int, int] | None:
    return (shape[0], shape[1]) if len(shape) == 2 else None


def _npy(path: Path) -> Peek:
    return Peek(_matrix_shape(np.load(path, mmap_mode="r", allow_pickle=False).shape))


def _npz(path: Path) -> Peek:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        shapes = []
        for member in archive.namelist():
            with archive.open(member) as handle:
                version = np.lib.format.read_magic(handle)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shapes.append(_matrix_shape(read(handle)[0]))
    return Peek(_only_matrix(shapes))


def _mat(path: Path) -> Peek:
    from scipy.io import whosmat

    with open(path, "rb") as handle:
        if handle.read(10) == b"MATLAB 7.3":
            return Peek()  # HDF5: its reader tells more
    return Peek(_only_matrix([_matrix_shape(shape) for _, shape, _ in whosmat(path)]))


def _only_matrix(shapes: list) -> tuple[int, int] | None:
    matrices = [shape for shape in shapes if shape is not None and min(shape) > 1]
    return matrices[0] if len(matrices) == 1 else None


def _volume(path: Path) -> Peek:
    opener = gzip.open if path.name.endswith(".gz") else open
    with opener(path, "rb") as handle:
        block = handle.read(540)
    header = _nifti_header(block)
    if isinstance(header, Flaw):
        return Peek(flaw=header)
    shape = header.get_data_shape()
    if len(shape) != 4 or shape[3] < 2:
        return Peek(flaw=Flaw(f"not a series of volumes, but of shape {shape}", "give the 4-D image"))
    unit = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}.get(header.get_xyzt_units()[1])
    step = float(header.get_zooms()[3])
    n_bytes = int(header["vox_offset"]) + int(np.prod(shape, dtype=np.int64)) * int(header["bitpix"]) // 8
    tr_s = step * unit if unit and step > 0 else None
    return Peek((shape[3], 0), "frames_by_regions", tr_s, _truncation(path, n_bytes))


def _nifti_header(block: bytes):
    import nibabel

    for kind, size in ((nibabel.Nifti2Header, 540), (nibabel.Nifti1Header, 348)):
        if any(int.from_bytes(block[:4], order) == size for order in ("little", "big")):
            return kind(block[:size], check=False)
    return Flaw("not a NIfTI file: the first bytes are those of another format, or of another byte order", "fetch it anew")


def _truncation(path: Path, expected: int) -> Flaw | None:
    """A file shorter than its header says; of a compressed one the last four bytes hold the length, modulo 2^32."""
    found = os.path.getsize(path)
    if path.name.endswith(".gz"):
        with open(path, "rb") as handle:
            handle.seek(-4, os.SEEK_END)
            found = int.from_bytes(handle.read(4), "little")
        if found == expected % 2**32:
            return None
        return Flaw("the compressed file is truncated: its end does not hold the length that its header tells", "fetch it anew")
    if found >= expected:
        return None
    return Flaw(f"the file is truncated: {found} bytes, where its header tells {expected}", "fetch it anew")


def _cifti(file: TreeFile) -> Peek:
    """Dimensions from the NIfTI-2 header, the step of the series from the first bytes of the XML.

    nibabel would parse the whole XML, which lists every vertex: a second per file.
    """
    with open(file.path, "rb") as handle:
        header = _nifti_header(handle.read(540))
        if isinstance(header, Flaw):
            return Peek(flaw=header)
        if int(header["sizeof_hdr"]) != 540:
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
    flaw = _truncation(file.path, data_at + n_rows * n_columns * int(header["bitpix"]) // 8)
    return Peek((n_rows, n_columns), "frames_by_regions", _series_step(xml), flaw)


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


def _gifti(path: Path) -> Peek:
    """Dimensions of the first array; a series has more vertices than frames."""
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
