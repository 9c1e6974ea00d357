"""Whether the elements of a MATLAB file fit into each other, before scipy, which trusts them, reads it.

Damaged lengths let scipy read beyond its memory, which ends the program without a message. Format: "MAT-File Format" of
MathWorks, level 5.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

_MATRIX, _COMPRESSED = 14, 15
# Bytes of a number, by the type of an element: int8 to uint32, single, double, int64, uint64, and UTF-8 to UTF-32.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _FIRST_NUMERIC, _LAST_NUMERIC = 1, 2, 3, 4, 5, 6, 15
_HEADER_BYTES, _DEEPEST = 128, 20
_COMPLEX = 0x800
# An element that unpacks to more is no matrix of regions.
_LARGEST = 1 << 31


def check_elements(content: bytes) -> None:
    """Raise a ValueError if the elements of a level 5 file are not within each other, or not of a size that they tell."""
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise ValueError("its header does not tell the order of bytes")
    at = _HEADER_BYTES
    while at < len(content):
        kind, size = _tag(content, at, order)
        data, at = _part(content, at + 8, size), at + 8 + size
        if kind == _COMPRESSED:
            unpacking = zlib.decompressobj()
            unpacked = unpacking.decompress(data, _LARGEST)
            if not unpacking.eof:
                raise ValueError("a compressed element does not end")
            kind, size = _tag(unpacked, 0, order)
            data = _part(unpacked, 8, size)
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} where an array is expected")
        _check_array(data, order, 0)


def _tag(content: bytes, at: int, order: str) -> tuple[int, int]:
    kind, size = np.frombuffer(_part(content, at, 8), f"{order}u4").tolist()
    return kind, size


def _part(content: bytes, at: int, size: int) -> bytes:
    if at + size > len(content):
        raise ValueError(f"an element of {size} bytes where {max(0, len(content) - at)} are left")
    return content[at : at + size]


class _Elements:
    """Elements within an array, one after another."""

    def __init__(self, content: bytes, order: str):
        self._content, self._order, self._at = content, order, 0

    def next(self) -> tuple[int, bytes]:
        kind, size = _tag(self._content, self._at, self._order)
        if kind >> 16:  # a small element: its size stands beside its type, its data in the tag
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
            data = self._content[self._at + 4 : self._at + 4 + size]
            self._at += 8
            return kind, data
        data = _part(self._content, self._at + 8, size)
        self._at += 8 + size + (0 if kind == _MATRIX else -size % 8)
        return kind, data

    def numbers(self, kinds: tuple[int, ...] = tuple(_SIZES)) -> tuple[bytes, int]:
        """Return the data of the next element, and how many numbers it holds."""
        kind, data = self.next()
        if kind not in kinds or len(data) % _SIZES[kind]:
            raise ValueError(f"an element of type {kind} and {len(data)} bytes")
        return data, len(data) // _SIZES[kind]

    def arrays(self, n: int, depth: int) -> None:
        """Check `n` arrays; empty ones may have no content."""
        for _ in range(n):
            kind, data = self.next()
            if kind != _MATRIX:
                raise ValueError(f"an element of type {kind} where an array is expected")
            if data:
                _check_array(data, self._order, depth)


def _check_array(content: bytes, order: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("arrays within arrays within arrays")
    elements = _Elements(content, order)
    flags = np.frombuffer(_part(elements.numbers((6,))[0], 0, 8), f"{order}u4").tolist()
    kind, is_complex = flags[0] & 0xFF, bool(flags[0] & _COMPLEX)
    if kind == 17:
        return  # an object of MATLAB, which has no dimensions; scipy passes it over
    shape = np.frombuffer(elements.numbers((5,))[0], f"{order}i4").tolist()
    if not shape or min(shape) < 0 or (math.prod(shape) > _LARGEST and kind != _SPARSE):
        raise ValueError(f"an array of shape {tuple(shape)}")
    elements.numbers((1, 2, 16))
    n = math.prod(shape)
    if kind in (_STRUCT, _OBJECT):
        if kind == _OBJECT:
            elements.numbers((1, 2, 16))
        length = int(np.frombuffer(_part(elements.numbers((5,))[0], 0, 4), f"{order}i4")[0])
        names = elements.numbers((1, 2, 16))[1]
        if length < 1 or names % length:
            raise ValueError(f"names of {names} letters in fields of {length}")
        elements.arrays(n * (names // length), depth + 1)
    elif kind == _CELL:
        elements.arrays(n, depth + 1)
    elif kind == _SPARSE:
        _check_sparse(elements, shape, order, is_complex)
    elif kind == _CHAR:
        elements.numbers()
    elif _FIRST_NUMERIC <= kind <= _LAST_NUMERIC:
        for _ in range(1 + is_complex):
            if (found := elements.numbers()[1]) != n:
                raise ValueError(f"{found} numbers for an array of shape {tuple(shape)}")
    else:
        raise ValueError(f"an array of class {kind}")


def _check_sparse(elements: _Elements, shape: list[int], order: str, is_complex: bool) -> None:
    rows = np.frombuffer(elements.numbers((5, 6))[0], f"{order}i4")
    starts = np.frombuffer(elements.numbers((5, 6))[0], f"{order}i4")
    values = min(elements.numbers()[1] for _ in range(1 + is_complex))
    fits = len(shape) == 2 and len(starts) == shape[1] + 1 and starts[0] == 0 and (np.diff(starts) >= 0).all()
    if (
        not fits
        or starts[-1] > min(len(rows), values)
        or not ((rows[: starts[-1]] >= 0) & (rows[: starts[-1]] < shape[0])).all()
    ):
        raise ValueError("a sparse matrix whose indices do not fit its shape")
