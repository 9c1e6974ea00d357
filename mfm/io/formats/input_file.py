"""A file that a person named: whether it is there, what its first bytes are, and its content."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from functools import cached_property
from pathlib import Path

from mfm.errors import InputError, MissingInputError

# Enough for every signature, and for the XML declaration and comments before the first tag of a GIFTI file.
_HEAD_BYTES = 4096
_GZIP = b"\x1f\x8b"


def existing_file(path: str | Path, what: str) -> Path:
    """Return `path` if it is a readable file; raise a MissingInputError otherwise."""
    path = Path(path).expanduser()
    if path.is_symlink() and not path.exists():
        raise MissingInputError(
            f"The {what} file is a link to a file that is not there: {path}",
            cause="a git-annex or DataLad dataset whose content was not fetched",
            fix=f"datalad get {path}",
        )
    if not path.is_file():
        raise MissingInputError(
            f"The {what} file is not there: {path}", fix="check the path; relative paths start at the current folder"
        )
    with open(path, "rb") as handle:
        start = handle.read(200)
    if start.startswith((b"/annex/objects/", b"version https://git-lfs")):
        annex = start.startswith(b"/annex")
        raise MissingInputError(
            f"The content of the {what} file was not fetched: {path}",
            found=f"a pointer of {'git-annex' if annex else 'Git LFS'}",
            fix=f"datalad get {path}" if annex else f"git lfs pull --include={path.name}",
        )
    return path


def file_digest(path: str | Path) -> str:
    """Return the sha256 of a file's content."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


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
        If the file, or its content, is not there.
    """

    def __init__(self, path: str | Path, what: str):
        self.path = existing_file(path, what)
        self.what = what

    @cached_property
    def head(self) -> bytes:
        """The first bytes, decompressed where the file is gzipped; empty where they cannot be."""
        with open(self.path, "rb") as handle:
            head = handle.read(_HEAD_BYTES)
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
        content = self.path.read_bytes()
        if content.startswith(_GZIP):
            try:
                content = gzip.decompress(content)
            except (EOFError, OSError, zlib.error) as error:
                raise InputError(
                    f"The compressed {self.what} file is damaged: {self.path}",
                    found=str(error),
                    cause="a copy or download that was cut off",
                    fix=f"copy it again; gzip -t {self.path} checks it",
                ) from error
        if not content.strip():
            raise InputError(
                f"Cannot read {self.path}.", found="an empty file", cause="a truncated copy, or a download that failed"
            )
        return content
