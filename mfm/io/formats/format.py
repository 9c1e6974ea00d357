"""What an input format declares: its suffixes, its signature, and how its files are peeked at and read.

A new format is one subclass of `Format` in a file of this folder, and one line in `mfm.io.formats.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from mfm.errors import InputError
from mfm.io.formats.header_time import HeaderTime
from mfm.io.formats.input_file import InputFile

#: What a reader wants of a file. ``vector``: one column of numbers, such as an FCD CDF.
Role = Literal["timeseries", "matrix", "map", "vector"]
_EVERY_ROLE: frozenset[Role] = frozenset(("timeseries", "matrix", "map", "vector"))
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class RegionFile:
    """The file over whose regions vertices or voxels are averaged; it is read once, for however many files it serves.

    Parameters
    ----------
    path : path
        A ``.dlabel.nii`` for grayordinates, an image of labels for voxels.
    table : path, optional
        Names of the values of an image of labels.
    """

    path: str | Path
    table: str | Path | None = None
    _read: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def read_once(self, read: Callable[[RegionFile], T]) -> T:
        """Return what `read` makes of this file, which it is asked for only the first time."""
        if read not in self._read:
            self._read[read] = read(self)
        return self._read[read]


@dataclass(frozen=True, eq=False)
class Request:
    """What a reader asks a format for.

    Parameters
    ----------
    role : {"timeseries", "matrix", "map", "vector"}
    names : tuple of str
        Maps that are wanted of a file with several.
    regions : RegionFile, optional
        What vertices or voxels are averaged over.
    """

    role: Role
    names: tuple[str, ...] = ()
    regions: RegionFile | None = None


@dataclass(frozen=True, eq=False)
class Content:
    """What a file holds, as numbers and names.

    Parameters
    ----------
    path : path
        Where it is from.
    arrays : mapping of name to array
        A file with one array that has no name calls it ``""``.
    row_names, column_names : tuple of str, optional
        Of the one array without a name.
    orientation : {"frames_by_regions", "regions_by_frames"}, optional
        Where the format tells which side of a time series is time.
    tr_s : float, optional
        Repetition time in the header, seconds.
    notes : tuple of str
        What was accepted but should be known; `mfm.io.formats.registry.read_file` warns of it.
    untold : HeaderTime
        Where the header holds a time that is no statement of the repetition time: that.
    """

    path: Path
    arrays: Mapping[str, np.ndarray]
    row_names: tuple[str, ...] | None = None
    column_names: tuple[str, ...] | None = None
    orientation: str | None = None
    tr_s: float | None = None
    notes: tuple[str, ...] = ()
    untold: HeaderTime = HeaderTime()

    @property
    def time(self) -> HeaderTime:
        """What the header tells of the repetition time."""
        return self.untold if self.tr_s is None else HeaderTime(self.tr_s)

    @property
    def is_one_array(self) -> bool:
        """Whether the file holds one array without a name."""
        return list(self.arrays) == [""]

    def table(self) -> np.ndarray:
        """Return the one array as a table of float64; a vector becomes a column.

        Raises
        ------
        InputError
            If it is no table of real numbers.
        """
        return as_table(self.arrays[""], self.path)


def as_table(values: np.ndarray, path: Path) -> np.ndarray:
    """Return an array as a table (R, C) of float64; a vector becomes a column. InputError for what is no such table."""
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise InputError(f"{path} does not hold a matrix of real numbers.", found=f"shape {values.shape}, type {values.dtype}")
    return values.astype(np.float64)


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
    untold : HeaderTime
        As of `Content`.
    """

    shape: tuple[int, int] | None = None
    orientation: str | None = None
    tr_s: float | None = None
    flaw: Flaw | None = None
    untold: HeaderTime = HeaderTime()

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


class Format(ABC):
    """One input format.

    Attributes
    ----------
    title : str
        What its files are called in messages, after "a file that is".
    suffixes : tuple of str
        Ends of names, in lower case, with the leading dot; a double suffix is one (``.nii.gz``).
    regional_suffixes : tuple of str
        Those of files with one value per region, which labs name as they like (``SC.csv``); default: all.
    roles : frozenset of {"timeseries", "matrix", "map", "vector"}
        What its files can be read as; default: everything.
    has_signature : bool
        Whether the first bytes prove the format. Text has none: it is what has no other signature and no NUL.
    """

    title: str
    suffixes: tuple[str, ...]
    roles: frozenset[Role] = _EVERY_ROLE
    has_signature: bool = True

    @property
    def regional_suffixes(self) -> tuple[str, ...]:
        return self.suffixes

    @abstractmethod
    def sniff(self, head: bytes) -> bool:
        """Whether a file that begins with `head`, decompressed, is of this format."""

    @abstractmethod
    def peek(self, path: Path) -> Peek:
        """Tell shape, orientation and timing from the beginning of a file, without reading its data.

        What goes wrong may be raised as it comes (OSError, ValueError, ...): the folder's inspection tells it as a flaw.
        """

    @abstractmethod
    def read(self, file: InputFile, request: Request) -> Content:
        """Read what is asked for; everything that is wrong with the file is an InputError."""

    def refusal(self, file: InputFile, request: Request, readable: tuple[str, ...]) -> InputError:
        """Return the error for a role that files of this format cannot have; `readable` are suffixes that can."""
        return InputError(
            f"The {file.what} file has an unknown type: {file.path.name}",
            expected=f"{', '.join(readable[:-1])} or {readable[-1]}",
        )
