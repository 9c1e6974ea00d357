"""A file that a person named: whether it is there, what its first bytes are, and its content."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from functools import cached_property
from pathlib import Path

from mfm.errors import InputError, MissingInputError
from mfm.io.formats.system import cannot_read, home_expanded, shown

# Enough for every signature, and for the XML declaration and comments before the first tag of a GIFTI file.
_HEAD_BYTES = 4096
_GZIP = b"\x1f\x8b"


def existing_file(path: str | Path, what: str) -> Path:
    """Return `path` if it is a readable file; raise a MissingInputError otherwise."""
    path = home_expanded(path)
    try:
        if path.is_symlink() and not path.exists():
            raise MissingInputError(
                f"The {what} file is a link to a file that is not there: {path}",
                cause="a git-annex or DataLad dataset whose content was not fetched",
                fix=f"datalad get {shown(path)}",
            )
        if not path.is_file():
            raise _no_file(path, what)
        with open(path, "rb") as handle:
            start = handle.read(200)
    except MissingInputError:
        raise
    except OSError as error:
        raise cannot_read(path, what, error) from error
    if start.startswith((b"/annex/objects/", b"version https://git-lfs")):
        annex = start.startswith(b"/annex")
        raise MissingInputError(
            f"The content of the {what} file was not fetched: {path}",
            found=f"a pointer of {'git-annex' if annex else 'Git LFS'}",
            fix=f"datalad get {shown(path)}" if annex else f"git lfs pull --include={shown(path.name)}",
        )
    return path


def _no_file(path: Path, what: str) -> MissingInputError:
    """The error for what is there but is no file, or is not there at all."""
    if path.is_dir():
        return MissingInputError(f"The {what} file is a folder: {path}", expected="a file", fix="name a file in it")
    if path.exists():
        return MissingInputError(
            f"The {what} file is no file on a disk: {path}",
            cause="a pipe or a device, such as <(...) of a shell; it would have to be read more than once",
            fix="write the content to a file first",
        )
    return MissingInputError(
        f"The {what} file is not there: {path}", fix="check the path; relative paths start at the current folder"
    )


def file_digest(path: str | Path) -> str:
    """Return the sha256 of a file's content."""
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise cannot_read(path, "input", error) from error


class InputFile:
    """A file that is there, with its first bytes and its content on demand.

    Parameters
    ----------
    path : path
    what : str
        What it is to the person who named it, for messages: ``search FC``.

    Raises
    ------
    MissingInputError
        If the file, or its content, is not there, or may not be read.
    """

    def __init__(self, path: str | Path, what: str):
        self.path = existing_file(path, what)
        self.what = what

    @cached_property
    def head(self) -> bytes:
        """The first bytes, decompressed where the file is gzipped; empty where they cannot be."""
        try:
            with open(self.path, "rb") as handle:
                head = handle.read(_HEAD_BYTES)
        except OSError as error:
            raise cannot_read(self.path, self.what, error) from error
        if not head.startswith(_GZIP):
            return head
        try:
            return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(head, _HEAD_BYTES)
        except zlib.error:
            return b""

    def content(self) -> bytes:
        """Return all bytes, decompressed where the file is gzipped.

        Raises
        ------
        InputError
            If it is empty, or a compressed file is truncated.
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise cannot_read(self.path, self.what, error) from error
        if content.startswith(_GZIP):
            try:
                content = gzip.decompress(content)
            except (EOFError, OSError, zlib.error) as error:
                raise InputError(
                    f"The compressed {self.what} file is damaged: {self.path}",
                    found=str(error),
                    cause="a copy or download that was cut off",
                    fix=f"copy it again; gzip -t {shown(self.path)} checks it",
                ) from error
        if not content.strip():
            raise InputError(
                f"Cannot read {self.path}.", found="an empty file", cause="a truncated copy, or a download that failed"
            )
        return content
