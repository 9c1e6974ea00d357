"""npz files of numpy: arrays by name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from mfm.io.formats.arrays import decode, shape_of_only_matrix
from mfm.io.formats.containers import dense
from mfm.io.formats.format import Content, Format, Peek, Request
from mfm.io.formats.input_file import InputFile


class NpzFormat(Format):
    """Arrays as `numpy.savez` writes them, or one sparse matrix as `scipy.sparse.save_npz` does."""

    title = "npz"
    suffixes = (".npz",)
    roles = frozenset(("timeseries", "matrix", "vector"))

    def sniff(self, head: bytes) -> bool:
        return head.startswith(b"PK\x03\x04")

    def peek(self, path: Path) -> Peek:
        import zipfile

        shapes = []
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                with archive.open(member) as handle:
                    version = np.lib.format.read_magic(handle)
                    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                    shapes.append(read(handle)[0])
        return Peek(shape_of_only_matrix(shapes))

    def read(self, file: InputFile, request: Request) -> Content:
        return Content(file.path, decode(_arrays, file.content(), file.path))


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        if {"format", "shape", "data"} <= set(archive.files):
            from scipy.sparse import load_npz

            return {"": dense(load_npz(io.BytesIO(content)))}
        found = {name: archive[name] for name in archive.files}
    return {name: array for name, array in found.items() if isinstance(array, np.ndarray)}  # others are files of any kind
