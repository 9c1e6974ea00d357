"""npy files of numpy: one array without names."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from mfm.errors import InputError
from mfm.io.formats.arrays import decode
from mfm.io.formats.format import Content, Format, Peek, Request
from mfm.io.formats.input_file import InputFile


class NpyFormat(Format):
    """An array as `numpy.save` writes it."""

    title = "npy"
    suffixes = (".npy",)

    def sniff(self, head: bytes) -> bool:
        return head.startswith(b"\x93NUMPY")

    def peek(self, path: Path) -> Peek:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        return Peek((shape[0], shape[1]) if len(shape) == 2 else None)

    def read(self, file: InputFile, request: Request) -> Content:
        return Content(file.path, {"": array_of_npy(file.content(), file.path)})


def array_of_npy(content: bytes, path: Path) -> np.ndarray:
    """Return the array that the bytes of an npy file hold."""
    array = decode(lambda held: np.load(io.BytesIO(held), allow_pickle=False), content, path)
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path} is an archive of several arrays.", fix="save the array itself with numpy.save")
    return array
