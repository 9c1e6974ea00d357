"""The files of a folder, with what can be told of them without opening them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mfm.io.formats.entities import FileName, parse_name, split_extension
from mfm.io.formats.system import utf8_name

#: Folders that never hold what a fit needs, and often very many files.
_PASSED_OVER = frozenset(
    "unprocessed sourcedata rawdata work figures logs log xfms ROIs Native release-notes freesurfer code node_modules "
    "__pycache__".split()
)
_MAX_DEPTH = 12
#: A file of this size or less may be the placeholder that git-annex or git-lfs leaves for content that was not fetched.
_POINTER_BYTES = 1024


@dataclass(frozen=True)
class TreeFile:
    """A file below the inspected folder.

    Parameters
    ----------
    path : Path
    parts : tuple of str
        Path below the inspected folder, beginning with that folder's own name.
    name : FileName
    size : int
        Bytes.
    modified : str
        Time of the last change, UTC, whole seconds, ISO 8601.
    problem : {"", "link", "pointer", "empty", "name", "locked"}
        Why it cannot be read; ``locked`` is a folder that may not be entered.
    """

    path: Path
    parts: tuple[str, ...]
    name: FileName
    size: int
    modified: str
    problem: str = ""

    @property
    def stem(self) -> str:
        """The name without its extension."""
        return split_extension(self.parts[-1])[0]


def time_text(seconds: float) -> str:
    """Seconds since 1970 as text: UTC, whole seconds, ISO 8601."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def walk(root: Path) -> Iterator[TreeFile]:
    """Every file below `root` whose extension is one that could be read, in order of names.

    Links to folders are followed, loops are not; hidden folders and those that never hold data of a fit are passed over.
    """
    yield from _walk(root, (*_enclosing(root), root.name), set(), 0)


def _enclosing(root: Path) -> tuple[str, ...]:
    """Folders above `root` that still tell whose data it holds, where `root` lies within a subject's folder."""
    above: list[str] = []
    name, parents = root.name, list(root.parents)
    while parents and (name in ("func", "dwi", "MNINonLinear", "Results") or name.startswith(("ses-", "rfMRI_"))):
        name = parents.pop(0).name
        above.insert(0, name)
    return tuple(above)


def _walk(folder: Path, parts: tuple[str, ...], seen: set[tuple[int, int]], depth: int) -> Iterator[TreeFile]:
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # what it holds is not known: it must be told
        yield TreeFile(folder, parts, parse_name(folder.name), 0, "", "locked")
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if _is_dir(entry):
            if depth < _MAX_DEPTH and entry.name not in _PASSED_OVER:
                yield from _walk(Path(entry.path), (*parts, entry.name), seen, depth + 1)
        elif split_extension(entry.name)[1]:
            yield _file(Path(entry.path), parts)


def _is_dir(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that lead to one another
        return False


def _file(path: Path, folders: tuple[str, ...]) -> TreeFile:
    parts, name = (*folders, path.name), parse_name(path.name)
    try:
        status = path.stat()
    except OSError:
        return TreeFile(path, parts, name, 0, "", "link")
    problem = ""
    if utf8_name("/".join(parts[1:])) is None:
        problem = "name"
    elif status.st_size == 0:
        problem = "empty"
    elif status.st_size <= _POINTER_BYTES and name.extension != ".json" and _is_pointer(path):
        problem = "pointer"
    return TreeFile(path, parts, name, status.st_size, time_text(status.st_mtime), problem)


def _is_pointer(path: Path) -> bool:
    try:
        with open(path, "rb") as handle:
            head = handle.read(64)
    except OSError:
        return False
    return head.startswith((b"/annex/objects/", b"version https://git-lfs"))
