"""How kernels are compiled and cached."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

from numba import config, njit

from mfm.errors import BackendError

_ROOT = Path(__file__).parents[1]


def kernel(function):
    """Compile `function` without the interpreter lock, cached on disk wherever a folder for that can be written.

    numba compares a cached kernel with its own file only. In a checkout that was updated, or edited, one could be run that
    knows another layout of its arrays than the code around it: what is older than any code that may be inside it is deleted.
    (Files of an installed package are all of one age.) A kernel stays a function of its own where a caller's parts are inlined
    by force.

    Raises
    ------
    BackendError
        If compilation is switched off.
    """
    if getattr(config, "DISABLE_JIT", False):
        raise BackendError(
            "Nothing can be compiled.",
            found="NUMBA_DISABLE_JIT in the environment",
            fix="unset NUMBA_DISABLE_JIT, and start anew",
        )
    _drop_stale(Path(function.__code__.co_filename).parent)
    try:
        return njit(function, nogil=True, error_model="numpy", cache=True, forceinline=False)
    except RuntimeError:  # no writable folder, as in a read-only container
        return njit(function, nogil=True, error_model="numpy", forceinline=False)


@cache
def _drop_stale(folder: Path) -> None:
    with suppress(OSError):  # a folder that cannot be read or written holds no cache of ours
        sources = [*folder.glob("*.py")]
        for name in ("basin", "compute", "models", "populations", "simulation", "statistics"):
            sources += (_ROOT / name).glob("*.py")
        newest = max(source.stat().st_mtime for source in sources)
        for cached in folder.glob("__pycache__/*.nb[ic]"):
            if cached.stat().st_mtime < newest:
                cached.unlink(missing_ok=True)
