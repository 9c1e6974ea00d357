"""What a long work needs to go on from where it stopped, kept whole or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from mfm.errors import OutputError
from mfm.io import write_atomic


def save_checkpoint(path: Path | None, state: Any) -> None:
    """Write `state` to `path`, if there is one."""
    if path is not None:
        write_atomic(path, lambda temporary: temporary.write_bytes(pickle.dumps(state)))


def load_checkpoint(path: Path | None) -> Any:
    """The state kept at `path`, or None where there is none; an OutputError if it cannot be read."""
    if path is None or not path.exists():
        return None
    try:
        return pickle.loads(path.read_bytes())
    except Exception as error:
        raise OutputError(
            f"The checkpoint {path} cannot be read.", found=repr(error), fix=f"delete {path}: that part starts anew"
        ) from error
