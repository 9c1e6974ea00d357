"""What is looked at before work starts: variables of the environment, the backend, the output folder, what draws figures."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from mfm.errors import BackendError, OutputError
from mfm.io.formats.system import cannot_write

#: Endings of the files of a fit; the longest decides whether names fit.
_LONGEST_SUFFIX = "identifiability.tsv"
_LEAST_FREE_BYTES = 50 << 20


def check_environment(note: Callable[[str], None]) -> None:
    """Look at variables that decide how numba compiles; `note` is called with a line about each that makes a difference.

    Raises
    ------
    BackendError
        If compilation is switched off.
    """
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise BackendError(
            "Nothing can be compiled.",
            found=f"NUMBA_DISABLE_JIT={os.environ['NUMBA_DISABLE_JIT']} in the environment",
            cause="a setting for debugging, in a profile or a container",
            fix="unset NUMBA_DISABLE_JIT",
        )
    folder = os.environ.get("NUMBA_CACHE_DIR")
    if folder and not _may_write(Path(folder)):
        note(f"note: NUMBA_CACHE_DIR={folder} cannot be written; kernels may be compiled anew at every start (20 s)")
    for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT"):
        if value := os.environ.get(name):
            note(f"note: {name}={value} decides how kernels are compiled; unset it if they are slow or the process crashes")


def check_backend(stages) -> str:
    """Return the backend that a fit's simulations will take.

    Raises
    ------
    BackendError
        If the one that was asked for cannot simulate here.
    """
    from mfm.simulation.backends import choose_backend

    return choose_backend(stages.config.objective.backend, _some_candidate(stages))


def _some_candidate(stages):
    import numpy as np

    u = stages.space.draw(1, np.random.default_rng(0))
    return stages.space.parameterisation.to_parameters(stages.space.to_coefficients(u))


def check_folder(folder) -> str:
    """Return where a fit (`FitFolder`) will be written; nothing is written that stays.

    Raises
    ------
    OutputError
        If it cannot be written, or its files would have names that are too long.
    BusyError
        If another job works on it.
    """
    from optim.report.lock import check_free

    path = Path(os.path.abspath(folder.path))
    try:
        parent = next(one for one in (path, *path.parents) if one.exists())
        if not parent.is_dir():
            raise OutputError(f"{parent} is not a folder.", fix="choose another output.folder")
        with tempfile.TemporaryFile(dir=parent):
            pass
        longest = os.pathconf(parent, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    except OutputError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error
    names = [*path.parts[1:], f"{folder.stem}_{_LONGEST_SUFFIX}"]
    for name in names:
        if len(os.fsencode(name)) > longest:
            raise OutputError(
                f"A name in the output folder would be too long: {name}",
                expected=f"at most {longest} bytes",
                found=f"{len(os.fsencode(name))}",
                fix="a shorter data.subject, atlas.name or output.folder",
            )
    check_free(folder.path)
    free = shutil.disk_usage(parent).free
    low = f"; only {free >> 20} MiB are free there" if free < _LEAST_FREE_BYTES else ""
    return f"the output folder can be written, and no other job works on it: {folder.path}{low}"


def check_all(stages, folder) -> list[str]:
    """Return a line about each thing that a fit needs besides its data, which is looked at by using it.

    Raises
    ------
    BackendError, OutputError, BusyError
        As `check_backend` and `check_folder`.
    """
    return [_simulated(stages), check_folder(folder), _search_imported(stages), *_figures_drawn(stages)]


def _simulated(stages) -> str:
    """A simulation of a few frames, by the backend of the fit."""
    from dataclasses import replace

    import mfm

    p, name = _some_candidate(stages), check_backend(stages)
    objective = stages.objective("search")
    protocol = replace(objective.protocol, n_frames=2, burn_in_s=0.0, warm_up_s=0.0)
    try:
        mfm.simulate(p, stages.subject.search.sc, protocol, backend=name, n_threads=objective.n_threads)
    except BackendError:
        raise
    except Exception as error:  # of compilers and drivers, of every kind
        raise BackendError(
            f"The {name} backend cannot simulate here.",
            found=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}",
            fix='another backend, such as `backend="reference"`',
        ) from error
    return f"backend {name} simulates"


def _search_imported(stages) -> str:
    from optim.search.cmaes import imported_cma

    name = getattr(stages.config.optimizer, "name", "")
    if name in ("cmaes", "delssome"):
        return f"optimizer {name}: cma {imported_cma().__version__}"
    return f"optimizer {name}"


def _figures_drawn(stages) -> list[str]:
    """An empty figure, in memory: fonts and matplotlib's own settings are at work."""
    if not stages.config.output.figures:
        return []
    from io import BytesIO

    from optim.report.drawing import drawn

    def draw() -> bool:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(1, 1))
        figure.suptitle("r")
        figure.savefig(BytesIO(), format="png")
        return True

    return ["figures can be drawn"] if drawn(draw) else ["figures cannot be drawn here (output.figures=false is without)"]


def _may_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
