"""mat files of MATLAB, up to version 7: arrays by name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from mfm.errors import InputError
from mfm.io.formats.arrays import decode, shape_of_only_matrix
from mfm.io.formats.containers import dense
from mfm.io.formats.format import Content, Format, Peek, Request
from mfm.io.formats.input_file import InputFile
from mfm.io.formats.mat_elements import check_elements

_HDF5 = b"\x89HDF"
_MATLAB_7_3 = b"MATLAB 7.3"


class MatFormat(Format):
    """Arrays as MATLAB's ``save`` writes them; of version 4, which has no signature, the name tells."""

    title = "mat"
    suffixes = (".mat",)
    roles = frozenset(("timeseries", "matrix", "vector"))

    def sniff(self, head: bytes) -> bool:
        return head.startswith(b"MATLAB 5.0") or _is_hdf5(head)

    def peek(self, path: Path) -> Peek:
        from scipy.io import whosmat

        with open(path, "rb") as handle:
            if handle.read(len(_MATLAB_7_3)) == _MATLAB_7_3:
                return Peek()  # HDF5: `read` tells more
        return Peek(shape_of_only_matrix([shape for _, shape, _ in whosmat(path)]))

    def read(self, file: InputFile, request: Request) -> Content:
        content = file.content()
        if _is_hdf5(content):
            kind = "a MATLAB 7.3 file" if content.startswith(b"MATLAB") else "an HDF5 file, as MATLAB writes with -v7.3"
            raise InputError(
                f"{file.path} is {kind}.",
                expected="a MATLAB file of version 7 or earlier",
                fix="in MATLAB: save('FILE.mat', 'NAME', '-v7')",
            )
        return Content(file.path, decode(_arrays, content, file.path))


def _is_hdf5(head: bytes) -> bool:
    return head.startswith((_HDF5, _MATLAB_7_3)) or _HDF5 in head[512:600]


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError
    from scipy.sparse import issparse

    if content.startswith(b"MATLAB 5.0"):
        check_elements(content)
    else:
        _check_level_4(content)
    try:
        found = loadmat(io.BytesIO(content))
    except MatReadError as error:
        raise ValueError(str(error)) from error
    return {name: dense(value) if issparse(value) else np.asarray(value) for name, value in found.items() if name[:2] != "__"}


def _check_level_4(content: bytes) -> None:
    """Raise a ValueError if the matrices of a level 4 file are not as large as their headers tell."""
    at = 0
    order = "<" if content[:4] and int.from_bytes(content[:4], "little") < 5000 else ">"
    while at < len(content):
        if len(content) < at + 20:
            raise ValueError("a header that is cut off")
        code, rows, columns, imaginary, name = np.frombuffer(content[at : at + 20], f"{order}i4").tolist()
        size = {0: 8, 1: 4, 2: 4, 3: 2, 4: 2, 5: 1}.get(code % 100 // 10)
        if not 0 <= code < 5000 or size is None or min(rows, columns) < 0 or imaginary not in (0, 1) or not 0 < name < 1000:
            raise ValueError("a header that is none of MATLAB")
        at += 20 + name + rows * columns * size * (1 + imaginary)
        if at > len(content):
            raise ValueError(f"a matrix of {rows} x {columns} in {len(content)} bytes")
