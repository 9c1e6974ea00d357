"""What a long work needs to go on from where it stopped, kept whole or not at all, in plain types that other programs read.

A checkpoint is one safetensors file: its arrays, and in its metadata the JSON of everything else, in which an array stands as
``{"$array": number}``. One file, so that numbers and arrays are never of two different moments.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mfm.errors import OutputError
from mfm.io import write_atomic

_FORMAT, _VERSION = "mfmfit checkpoint", "1"
#: Of what differs so many are named.
_NAMED = 8


@dataclass(frozen=True)
class Checkpoint:
    """A file that one part of one work is kept in, while it lasts.

    Parameters
    ----------
    path : Path
    belongs_to : str
        Fingerprint of the work: data, settings and versions. What another work left at `path` is refused, since going on from
        it would mix the two.
    facts : mapping of name to text, optional
        What the fingerprint is of (`optim.fit.fingerprint.fit_facts`): kept too, so that a refusal can name what differs.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from optim.search.checkpoint import Checkpoint
    >>> checkpoint = Checkpoint(Path(tempfile.mkdtemp()) / "part.safetensors", belongs_to="fingerprint")
    >>> checkpoint.load() is None
    True
    >>> checkpoint.save({"step": 3, "points": [np.zeros(2)]})
    >>> checkpoint.load()
    {'step': 3, 'points': [array([0., 0.])]}
    """

    path: Path
    belongs_to: str
    facts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def within(
        cls, folder: str | Path | None, name: str, belongs_to: str, facts: Mapping[str, str] | None = None
    ) -> Checkpoint | None:
        """The checkpoint ``<folder>/<name>.safetensors``, or None where there is no folder to keep anything in."""
        return None if folder is None else cls(Path(folder) / f"{name}.safetensors", belongs_to, facts or {})

    def save(self, state: Any) -> None:
        """Replace what is kept by `state`.

        Parameters
        ----------
        state : dicts with string keys, lists, tuples, numbers, strings, None, numpy arrays
            Nested as need be; tuples come back as lists.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        arrays: dict[str, np.ndarray] = {}
        content = json.dumps(_to_plain(state, arrays), allow_nan=False)
        metadata = {"format": _FORMAT, "version": _VERSION, "belongs_to": self.belongs_to, "content": content}
        metadata["facts"] = json.dumps(dict(self.facts))
        try:
            write_atomic(self.path, lambda temporary: save_file(arrays, temporary, metadata))
        except OutputError:
            raise
        except (OSError, SafetensorError) as error:
            raise OutputError(f"The checkpoint {self.path} cannot be written.", found=str(error)) from error

    def load(self) -> Any:
        """The state that is kept, or None where there is none.

        Raises
        ------
        OutputError
            If the file cannot be read, or another work left it.
        """
        if not self.path.exists():
            return None
        again = f"delete {self.path}: that part starts anew"
        try:
            with safe_open(self.path, framework="numpy") as file:
                metadata = file.metadata() or {}
                if (metadata.get("format"), metadata.get("version")) != (_FORMAT, _VERSION):
                    raise ValueError(f"no {_FORMAT} of version {_VERSION}")
                whose, facts = metadata["belongs_to"], json.loads(metadata.get("facts", "{}"))
                state = _from_plain(json.loads(metadata["content"]), file.get_tensor)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise OutputError(f"The checkpoint {self.path} cannot be read.", found=repr(error), fix=again) from error
        if whose != self.belongs_to:
            raise OutputError(
                f"The checkpoint {self.path} is of other data, settings or version.",
                expected=f"fingerprint {self.belongs_to[:12]}",
                found=f"fingerprint {whose[:12]}" + differences(facts, self.facts),
                cause="another fit was interrupted in this folder",
                fix=f"another folder, or {again}",
            )
        return state


def differences(there: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return what differs between the facts of two works, as the end of a sentence; empty where one has none.

    Examples
    --------
    >>> from optim.search.checkpoint import differences
    >>> differences({"optimizer.seed": "1", "map myelin": "a" * 64}, {"optimizer.seed": "2", "map myelin": "b" * 64})
    '; other: map myelin (another content), optimizer.seed (1 there, 2 now)'
    """
    if not there or not now:
        return ""
    names = sorted(name for name in there.keys() | now.keys() if there.get(name) != now.get(name))
    shown = [f"{name} ({_difference(there.get(name), now.get(name))})" for name in names[:_NAMED]]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"; other: {', '.join(shown)}{more}" if names else ""


def _difference(there: str | None, now: str | None) -> str:
    if there is not None and now is not None and len(there) == len(now) == 64:
        return "another content"
    texts = ["none" if one is None else "a content" if len(one) == 64 else one for one in (there, now)]
    return f"{texts[0]} there, {texts[1]} now"


def _to_plain(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """`value` as JSON knows it; its arrays are put into `arrays`."""
    if isinstance(value, np.ndarray):
        name = str(len(arrays))
        arrays[name] = np.array(value, order="C")
        return {"$array": name}
    if isinstance(value, dict):
        if not all(isinstance(key, str) and not key.startswith("$") for key in value):
            raise TypeError("keys of a checkpoint are strings without a dollar sign")
        return {key: _to_plain(one, arrays) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(one, arrays) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"$number": str(value)}  # JSON has none of these
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint holds plain types only, not {type(value).__name__}")


def _from_plain(value: Any, array) -> Any:
    if isinstance(value, dict):
        if "$array" in value:
            return array(value["$array"])
        if "$number" in value:
            return float(value["$number"])
        return {key: _from_plain(one, array) for key, one in value.items()}
    return [_from_plain(one, array) for one in value] if isinstance(value, list) else value
