"""NIfTI and CIFTI images: opening them by nibabel, and what their first bytes tell without it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from mfm.errors import InputError
from mfm.io.formats.format import Flaw
from mfm.io.formats.input_file import existing_file

#: What nibabel raises while it reads a damaged file: errors of its own, of zlib and expat, AttributeError, MemoryError, ...
READ_ERRORS = (Exception,)
# No deflated file holds more than this many times its bytes.
_BEST_COMPRESSION = 1032
#: Bytes of the two headers; each header begins with this number, in the file's byte order.
NIFTI_1_BYTES, NIFTI_2_BYTES = 348, 540


def open_image(path: str | Path, what: str) -> Any:
    """Open a nibabel image, whose data are not read yet; an InputError says what is wrong with the file."""
    import nibabel

    path = existing_file(path, what)
    try:
        image = nibabel.load(path)
    except READ_ERRORS as error:
        if "CIFTI-2" in str(error):
            raise InputError(
                f"{path} is a CIFTI-1 file.",
                expected="CIFTI-2",
                cause="a file of the first HCP releases (before 2014), or of old software",
                fix=f"wb_command -file-convert -cifti-version-convert {path} 2 {_beside(path, 'cifti2')}",
            ) from error
        raise unreadable(path, error) from error
    _check_size(image, path)
    return image


def open_cifti(path: str | Path, what: str) -> Any:
    """Open an image that must be CIFTI-2, as `open_image` does."""
    image = open_image(path, what)
    if not hasattr(image.header, "get_axis"):
        raise InputError(
            f"The {what} file {path} is not CIFTI.",
            expected="a CIFTI-2 file",
            found=f"{type(image).__name__}, shape {image.shape}",
            cause="a volume or surface file under another name, or a compressed file: CIFTI is never gzipped",
            fix=f"gunzip {path}" if Path(path).suffix == ".gz" else None,
        )
    return image


def unreadable(path: Path, error: Exception) -> InputError:
    """Return the error for a file in which a decoder failed."""
    return InputError(
        f"Cannot read {path}.",
        found=str(error) or type(error).__name__,
        cause="a truncated or damaged file, such as an interrupted download",
        fix="compare its size and checksum with the original, and fetch it again",
    )


def _beside(path: Path, insert: str) -> str:
    stem, dot, suffix = path.name.partition(".")
    return str(path.with_name(f"{stem}_{insert}{dot}{suffix}"))


def _check_size(image, path: Path) -> None:
    """Raise an InputError if the file ends before its data do: reading parts of it would not tell."""
    proxy: Any = getattr(image, "dataobj", None)
    if not hasattr(proxy, "offset"):
        return
    expected = proxy.offset + math.prod(map(int, proxy.shape)) * proxy.dtype.itemsize
    if path.stat().st_size * (_BEST_COMPRESSION if path.suffix == ".gz" else 1) < expected:
        raise InputError(
            f"{path} ends too early.",
            expected=f"{expected} bytes for {' x '.join(map(str, proxy.shape))} values",
            found=f"{path.stat().st_size} bytes",
            cause="an interrupted copy or download",
            fix="fetch the file again",
        )


def nifti_version(head: bytes) -> tuple[int, str] | None:
    """Version (1 or 2) and byte order of a NIfTI header; None for other bytes."""
    for version, size in ((2, NIFTI_2_BYTES), (1, NIFTI_1_BYTES)):
        for order in ("little", "big"):
            if int.from_bytes(head[:4], order) == size:
                return version, order
    return None


def is_cifti(head: bytes) -> bool:
    """Whether a header is that of CIFTI: NIfTI-2 with an intent code of its own."""
    found = nifti_version(head)
    if found is None or found[0] != 2:
        return False
    return 3000 <= int.from_bytes(head[504:508], found[1]) < 3100  # type: ignore[arg-type]


def parse_nifti_header(block: bytes):
    """Return the header as nibabel has it, or the `Flaw` of bytes that are none."""
    import nibabel

    found = nifti_version(block)
    if found is None:
        return Flaw("not a NIfTI file: the first bytes are those of another format, or of another byte order", "fetch it anew")
    if found[0] == 2:
        return nibabel.Nifti2Header(block[:NIFTI_2_BYTES], check=False)
    return nibabel.Nifti1Header(block[:NIFTI_1_BYTES], check=False)


def truncation(path: Path, expected: int) -> Flaw | None:
    """Return the flaw of a file shorter than its header says.

    Of a compressed one the last four bytes hold the length, modulo 2^32.
    """
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
