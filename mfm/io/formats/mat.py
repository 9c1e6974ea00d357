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

    try:
        found = loadmat(io.BytesIO(content))
    except MatReadError as error:
        raise ValueError(str(error)) from error
    return {name: dense(value) if issparse(value) else np.asarray(value) for name, value in found.items() if name[:2] != "__"}
