"""The input formats, and which of them a file is of."""

from __future__ import annotations

import warnings
from pathlib import Path

from mfm.errors import InputError, InputNote, MfmfitError
from mfm.io.formats.arrays import damaged_file
from mfm.io.formats.cifti import CiftiFormat
from mfm.io.formats.format import Content, Format, Request
from mfm.io.formats.gifti import GiftiFormat
from mfm.io.formats.input_file import InputFile
from mfm.io.formats.mat import MatFormat
from mfm.io.formats.npy import NpyFormat
from mfm.io.formats.npz import NpzFormat
from mfm.io.formats.tables import TextTable
from mfm.io.formats.volumes import VolumeFormat

#: Every format that is read; a new one is a line here.
FORMATS: list[Format] = [
    TextTable(),
    NpyFormat(),
    NpzFormat(),
    MatFormat(),
    GiftiFormat(),
    CiftiFormat(),
    VolumeFormat(),
]


def read_file(path: str | Path, what: str, request: Request) -> Content:
    """Read a file of any format.

    Parameters
    ----------
    path : path
    what : str
        What it is to the person who named it, for messages.
    request : Request

    Returns
    -------
    Content

    Raises
    ------
    MissingInputError
        If the file, or its content, is not there.
    InputError
        If it is of no format that is known, or one that cannot hold what is asked for, or is damaged.
    """
    file = InputFile(path, what)
    found = format_of_file(file)
    if request.role not in found.roles:
        raise found.refusal(file, request, suffixes_for(request.role))
    content = _content_of(found, file, request)
    for note in content.notes:
        warnings.warn(InputNote(note), stacklevel=3)
    return content


def _content_of(found: Format, file: InputFile, request: Request) -> Content:
    """Read a file; whatever a decoder raises for damaged content is an error of the file, not of the program."""
    try:
        return found.read(file, request)
    except MfmfitError:
        raise
    except Exception as error:  # decoders raise what they like: LinAlgError, AttributeError, RecursionError, MemoryError, ...
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, not the file's
        raise damaged_file(file.path, error) from error


def format_of_file(file: InputFile) -> Format:
    """Tell the format of a file: by its signature, else by its name, else it is text if it can be."""
    head = file.head
    by_content = [one for one in FORMATS if one.sniff(head)]
    signed = next((one for one in by_content if one.has_signature), None)
    found = signed or format_of_name(file.path.name) or next(iter(by_content), None)
    if found is None:
        raise InputError(
            f"Cannot read {file.path}.",
            expected="csv, tsv, txt, npy, npz, mat (up to version 7) or GIFTI",
            found=f"content that starts with {head[:8]!r}",
            cause="a file of another kind, or a truncated one",
        )
    return found


def format_of_name(name: str) -> Format | None:
    """Tell the format that a file's name promises, gzipped or not; None where it promises none."""
    lower = name.lower()
    for text in (lower, lower.removesuffix(".gz")):
        fitting = [(len(suffix), one) for one in FORMATS for suffix in one.suffixes if text.endswith(suffix)]
        if fitting:
            return max(fitting, key=lambda pair: pair[0])[1]
    return None


def suffixes() -> list[str]:
    """Return the suffixes of all formats, the longest first: of two that fit a name, the first is meant."""
    return sorted((suffix for one in FORMATS for suffix in one.suffixes), key=len, reverse=True)


def regional_suffixes() -> list[str]:
    """Return the suffixes of files that hold regions, and so need no parcellation."""
    return [suffix for one in FORMATS for suffix in one.regional_suffixes]


def suffixes_for(role: str) -> tuple[str, ...]:
    """Return the suffixes of the formats that can be read as `role`."""
    return tuple(suffix for one in FORMATS if role in one.roles for suffix in one.suffixes)
