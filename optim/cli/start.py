"""The start of the command line: nothing may stand in the place of a package that it needs.

The console script begins in ``_mfmfit.py``, which looks at `optim` itself; with ``python -m optim.cli`` Python has found it.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path

#: Packages that `optim` stands on, and what else it needs: a person's own module may be called as one of them.
_OURS = ("mfm", "surrogate")
_NEEDED = (
    "torch",
    "numba",
    "numpy",
    "scipy",
    "cma",
    "safetensors",
    "hydra",
    "omegaconf",
    "nibabel",
    "nilearn",
    "pandas",
    "tqdm",
)


def start() -> int:
    """Run the command line, unless something shadows a package that it needs; returns the exit code."""
    if (problem := shadowed()) is not None:
        if sys.stderr is not None:
            print(problem, file=sys.stderr)
        return 70
    from optim.cli.main import main

    return main()


def shadowed() -> str | None:
    """Return what stands in place of a package that is needed, as a message; None where nothing does."""
    home = Path(__file__).resolve().parents[2]
    for name in _OURS:
        spec = PathFinder.find_spec(name)
        found = None if spec is None else spec.origin
        ours = home / name / "__init__.py"
        if found is None or Path(found).resolve() != ours:
            return _message(name, f"the package {name} of mfmfit", found, str(ours))
    for name in _NEEDED:
        spec = None if name in sys.modules else PathFinder.find_spec(name)
        if spec is not None and spec.origin is not None and spec.submodule_search_locations is None:
            return _message(name, f"the package {name}", spec.origin, f"a package called {name}")
    return None


def _message(name: str, what: str, found: str | None, expected: str) -> str:
    return (
        f"error: {what[0].upper()}{what[1:]} cannot be imported.\n"
        f"  expected: {expected}\n"
        f"  found: {found or 'a folder without __init__.py, or nothing'}\n"
        f"  likely cause: a file of yours is called as the package, and lies on Python's path\n"
        f"  fix: rename it, or start mfmfit in another folder and with another PYTHONPATH"
    )
