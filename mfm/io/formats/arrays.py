"""Arrays of binary files: decoding, what counts as a matrix, and whether bytes are in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from mfm.errors import InputError, MfmfitError

T = TypeVar("T")


def decode(read: Callable[[bytes], T], content: bytes, path: Path) -> T:
    """Return what `read` makes of `content`; what decoders raise for damaged content becomes one InputError."""
    try:
        return read(content)
    except MfmfitError:
        raise
    except Exception as error:  # decoders raise what they like, of `SyntaxError` to `MemoryError`
        raise damaged_file(path, error) from error


def damaged_file(path: Path, error: Exception) -> InputError:
    """Return the error for a file in which a decoder failed."""
    said = " ".join(str(error).split())[:300]
    much = isinstance(error, MemoryError)
    return InputError(
        f"Cannot read {path}.",
        found=f"{type(error).__name__}: {said}"
        if said and not isinstance(error, (ValueError, OSError))
        else said or type(error).__name__,
        cause="a damaged header that tells of more data than there are, or more data than memory"
        if much
        else "a truncated file, or one of objects rather than numbers",
        fix="copy or export it again",
    )


def is_matrix(array: np.ndarray) -> bool:
    """Whether an array is a matrix of real numbers; MATLAB's scalars and vectors are none."""
    numbers = np.issubdtype(array.dtype, np.number) or array.dtype == bool
    return array.ndim == 2 and numbers and not np.iscomplexobj(array) and min(array.shape) > 1


def shape_of_only_matrix(shapes: list[tuple[int, ...]]) -> tuple[int, int] | None:
    """Return the shape of the only matrix among arrays of these shapes; None where there is none, or several."""
    matrices = [(shape[0], shape[1]) for shape in shapes if len(shape) == 2 and min(shape) > 1]
    return matrices[0] if len(matrices) == 1 else None


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
