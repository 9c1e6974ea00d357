"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from mfm.errors import MfmfitError
from mfm.io.formats.system import cannot_write

# Read once: the only way to read it is to set it, for the whole process.
_UMASK = os.umask(0o022)
os.umask(_UMASK)


#: Of a temporary name: the final name may be as long as the file system allows, and the temporary one must fit too.
_STEM_SHOWN = 20


def write_atomic(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Have `write` fill a temporary file beside `path`, then rename it: a reader sees the old file or the new one.

    Raises
    ------
    OutputError
        If the operating system does not let it be written: rights, quota, a full disk, a name that is too long.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem[:_STEM_SHOWN]}-", suffix=path.suffix[:_STEM_SHOWN]
        )
    except OSError as error:
        raise cannot_write(path, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        # mkstemp makes private files; results are as readable as the user's other files.
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(path)
    except MfmfitError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def write_json(path: str | Path, content: dict) -> Path:
    """`content` as JSON; NaN and infinity become null, which every reader understands."""
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return write_atomic(path, lambda temporary: temporary.write_bytes(_utf8(text)))


def write_npy(path: str | Path, array: np.ndarray) -> Path:
    """An array as npy."""

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as handle:
            np.save(handle, array)

    return write_atomic(path, write)


def write_tsv(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence]) -> Path:
    """A table with a header row; what is not finite, and None, are written as ``n/a``."""
    lines = ["\t".join(_cell(column) for column in columns)]
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"{len(row)} cells for {len(columns)} columns")
        lines.append("\t".join(_cell(value) for value in row))
    text = "\n".join(lines) + "\n"
    return write_atomic(path, lambda temporary: temporary.write_bytes(_utf8(text)))


def _utf8(text: str) -> bytes:
    """`text` in UTF-8; a byte of a file name that is none is escaped, as JSON does it: Python reads the very name back."""
    content = text.encode("utf-8", "surrogateescape")  # names in an ASCII locale are UTF-8 all the same
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return text.encode("utf-8", "backslashreplace")
    return content


def _cell(value) -> str:
    if hasattr(value, "item"):
        value = value.item()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "n/a"
    if isinstance(value, float):
        return f"{value:.10g}"
    return " ".join(str(value).split())


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
