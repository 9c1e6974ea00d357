"""Arrays by name from the binary files that tools write: npy, npz, mat and GIFTI, told apart by content."""

from __future__ import annotations

import binascii
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.parsers.expat import ExpatError

import numpy as np

from mfm.errors import InputError
from mfm.io.formats.tables import existing_file

_HDF5 = b"\x89HDF"


def read_content(path: str | Path, what: str) -> bytes:
    """The bytes of a file, decompressed where it is gzipped.

    Raises
    ------
    MissingInputError
        If the file, or its content, is not there.
    InputError
        If it is empty, or a compressed file is truncated.
    """
    path = existing_file(path, what)
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(
                f"The compressed {what} file is damaged: {path}",
                found=str(error),
                cause="a copy or download that was cut off",
                fix=f"copy it again; gzip -t {path} checks it",
            ) from error
    if not content.strip():
        raise InputError(f"Cannot read {path}.", found="an empty file", cause="a truncated copy, or a download that failed")
    return content


def is_binary(content: bytes) -> bool:
    """Whether content is not text."""
    return b"\0" in content[:4096] or content.startswith((b"\x93NUMPY", b"PK\x03\x04", _HDF5)) or _is_gifti(content)


def _is_gifti(content: bytes) -> bool:
    return b"<GIFTI" in content[:2000]


def read_arrays(content: bytes, path: Path) -> dict[str, np.ndarray]:
    """The arrays in a binary file by their names; files with one unnamed array give it the name ``""``.

    Raises
    ------
    InputError
        If the content is of no kind that is known, damaged, or a MATLAB file of version 7.3.
    """
    head = content[:600]
    if head.startswith(b"\x93NUMPY"):
        return {"": _guarded(_npy, content, path)}
    if head.startswith(b"PK\x03\x04"):
        return _guarded(_npz, content, path)
    if head.startswith((_HDF5, b"MATLAB 7.3")) or _HDF5 in head[512:]:
        raise InputError(
            f"{path} is {'a MATLAB 7.3 file' if head.startswith(b'MATLAB') else 'an HDF5 file, as MATLAB writes with -v7.3'}.",
            expected="a MATLAB file of version 7 or earlier",
            fix="in MATLAB: save('FILE.mat', 'NAME', '-v7')",
        )
    if _is_gifti(content):
        return _guarded(_gifti, content, path)
    if head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c", b"\x1c\x02\0\0", b"\0\0\x02\x1c"):
        raise InputError(
            f"{path} is a NIfTI or CIFTI image.",
            expected="a matrix: csv, tsv, txt, npy, npz, mat or GIFTI",
            fix="wb_command -cifti-convert -to-text FILE.nii FILE.txt",
        )
    if head.startswith(b"MATLAB 5.0") or path.name.removesuffix(".gz").endswith(".mat"):
        return _guarded(_mat, content, path)
    raise InputError(
        f"Cannot read {path}.",
        expected="csv, tsv, txt, npy, npz, mat (up to version 7) or GIFTI",
        found=f"content that starts with {head[:8]!r}",
        cause="a file of another kind, or a truncated one",
    )


def _guarded(read: Callable, content: bytes, path: Path):
    """`read`, with what decoders raise for damaged content as one InputError."""
    failures = (ValueError, OSError, EOFError, KeyError, TypeError, IndexError, NotImplementedError)
    try:
        return read(content)
    except (*failures, ExpatError, binascii.Error, zlib.error, zipfile.BadZipFile, AssertionError) as error:
        raise InputError(
            f"Cannot read {path}.",
            found=str(error) or type(error).__name__,
            cause="a truncated file, or one that holds objects rather than numbers",
            fix="copy or export it again",
        ) from error


def _npy(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content), allow_pickle=False)


def _npz(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _mat(content: bytes) -> dict[str, np.ndarray]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError
    from scipy.sparse import issparse

    try:
        found = loadmat(io.BytesIO(content))
    except MatReadError as error:
        raise ValueError(str(error)) from error
    return {
        name: value.toarray() if issparse(value) else np.asarray(value) for name, value in found.items() if name[:2] != "__"
    }


def _gifti(content: bytes) -> dict[str, np.ndarray]:
    from nibabel.gifti import GiftiImage

    data = [np.asarray(array.data) for array in GiftiImage.from_bytes(content).darrays]
    return {"": data[0]} if len(data) == 1 else {f"darrays[{k}]": array for k, array in enumerate(data)}


def choose_array(arrays: dict[str, np.ndarray], key: str | None, path: Path, setting: str) -> np.ndarray:
    """The array `key`, or the only matrix of real numbers where no key is given.

    Raises
    ------
    InputError
        If there is no such matrix, or several and no key; the message lists what there is. `setting` is what to type.
    """
    matrices = [name for name, array in arrays.items() if is_matrix(array)]
    if key is None:
        if len(matrices) != 1:
            raise InputError(
                f"{path} holds {'several matrices' if matrices else 'no matrix'}.",
                expected="one, or the name of the one that is meant",
                found=", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing",
                fix=f"{setting}={matrices[0]}" if matrices else None,
            )
        return arrays[matrices[0]]
    if key not in matrices:
        found = f"{key!r} of shape {arrays[key].shape}" if key in arrays else f"the names {', '.join(arrays)}"
        fix = f"{setting}={matrices[0]}" if matrices else None
        raise InputError(f"{path} has no matrix of real numbers named {key!r}.", found=found, fix=fix)
    return arrays[key]


def is_matrix(array: np.ndarray) -> bool:
    """Whether an array is a matrix of real numbers; MATLAB's scalars and vectors are none."""
    numbers = np.issubdtype(array.dtype, np.number) or array.dtype == bool
    return array.ndim == 2 and numbers and not np.iscomplexobj(array) and min(array.shape) > 1


def check_byte_order(array: np.ndarray, path: Path) -> None:
    """Raise an InputError if numbers are absurd as they are and ordinary with their bytes swapped."""
    kind = array.dtype
    values, swapped = array.astype(np.float64), array.byteswap().astype(np.float64)
    if _is_absurd(values, kind) and not _is_absurd(swapped, kind):
        raise InputError(
            f"The numbers in {path} are of the other byte order.",
            expected="numbers of ordinary size",
            found=f"values such as {values[values != 0][0]:g}, which with swapped bytes are {swapped[values != 0][0]:g}",
            cause="a raw file from a machine of other byte order, whose header does not say so",
            fix="save it again as text, or with array.byteswap()",
        )


def _is_absurd(values: np.ndarray, kind: np.dtype) -> bool:
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    if np.issubdtype(kind, np.integer):
        # Small whole numbers have their zero bytes at one end: swapped, every one is a multiple of 2 to the upper bits.
        return size.size > 0 and kind.itemsize > 1 and bool((size % 256 ** (kind.itemsize // 2) == 0).all())
    return (size.size > 0 and bool((size.max() > 1e30) | (size.min() < 1e-30))) or not np.isfinite(values).all()
