"""What the operating system says of a file, as errors of the tree: a file that cannot be read or written is never a bug."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path

from mfm.errors import InputError, MissingInputError, OutputError

#: Likely cause and what to do, by the number that the operating system gives: of reading, and of writing.
_READING: dict[int, tuple[str, str]] = {
    errno.EACCES: (
        "you may not read it, or may not enter a folder above it",
        "ask its owner; ls -ld {path} tells whose it is",
    ),
    errno.ENAMETOOLONG: ("several names in one, or text instead of a path", "check the quotes and brackets around the path"),
    errno.ELOOP: ("links that lead to one another", "replace the link by the file"),
    errno.EIO: ("a disk or network file system that fails", "copy the file to another disk"),
    errno.ESTALE: ("a network file system that was mounted anew", "try again"),
}
_WRITING: dict[int, tuple[str, str]] = {
    errno.EACCES: ("you may not write there", "a folder of your own, or ask its owner"),
    errno.EROFS: ("a file system that is mounted for reading only, as in a container", "a folder that can be written"),
    errno.ENOSPC: ("the disk is full", "free some space; the same command then goes on"),
    errno.EDQUOT: ("your quota is used up", "free some space, or another disk; the same command then goes on"),
    errno.ENAMETOOLONG: ("the name of a folder, a subject or an atlas is too long", "shorter names"),
    errno.ENOTDIR: ("a file is where a folder should be", "choose another output folder"),
    errno.EFBIG: ("a limit on the size of files (ulimit -f)", "ulimit -f unlimited"),
}
_READING[errno.EPERM], _WRITING[errno.EPERM] = _READING[errno.EACCES], _WRITING[errno.EACCES]


def home_expanded(path: str | Path) -> Path:
    """Return `path` with ``~`` as the home folder; where there is no such home, ``~name`` is a name like any other."""
    return Path(os.path.expanduser(path))


def utf8_name(name: str) -> str | None:
    """Return a file's name as its UTF-8 reads, whatever the locale; None where its bytes are no UTF-8."""
    try:
        return os.fsencode(name).decode("utf-8")
    except UnicodeError:
        return None


def shown(path: str | Path) -> str:
    """Return a path as a shell takes it, for commands in messages."""
    return shlex.quote(str(path))


def cannot_read(path: str | Path, what: str, error: OSError) -> InputError:
    """Return the error for a file that the operating system does not give: missing, if it may be there but not for us."""
    number = error.errno or 0
    cause, fix = _READING.get(number, ("", ""))
    kind = InputError if number in (errno.EIO, errno.EINVAL) else MissingInputError
    return kind(
        f"The {what} file cannot be read: {path}",
        found=_said(path, error),
        cause=cause or None,
        fix=fix.format(path=shown(path)) or None,
    )


def _said(path: str | Path, error: OSError) -> str:
    """What the system said, and of which file where that is another one than `path`."""
    other = error.filename not in (None, str(path)) and error.strerror
    return f"{error.strerror}: {error.filename}" if other else error.strerror or str(error)


def cannot_write(path: str | Path, error: OSError) -> OutputError:
    """Return the error for a file or folder that cannot be written."""
    cause, fix = _WRITING.get(error.errno or 0, ("", "choose another output folder"))
    return OutputError(f"Cannot write {path}.", found=_said(path, error), cause=cause or None, fix=fix)
