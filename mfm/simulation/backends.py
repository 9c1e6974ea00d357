"""The backends: what each can do, and how it is run.

A backend is a module with two functions:

``obstacle(p)``
    The BackendError that says why it cannot simulate the parameter sets `p`; None where it can.
``run(works, n_threads)``
    BOLD (B, R, T, N) and averages (K, B, R, N) of every `mfm.simulation.work.Work`, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from mfm.errors import BackendError
from mfm.models.parameters import ModelParameters
from mfm.simulation.work import Work

#: Where each backend stands.
_HOMES = {
    "reference": "mfm.simulation.reference",
    "numba": "mfm.simulation.cpu",
    "triton": "mfm.simulation.gpu",
}

# What ``auto`` takes: the first without an obstacle. Not triton, whose kernel was never run on a GPU (docs/gpu.md).
_AUTOMATIC = ("numba", "reference")


def backend_names() -> tuple[str, ...]:
    """The names that ``backend=`` takes."""
    return ("auto", *_HOMES)


def choose_backend(name: str, p: ModelParameters) -> str:
    """Return the backend that `name` stands for; a BackendError says why the named one cannot simulate `p`."""
    if name not in backend_names():
        raise BackendError(f"Unknown backend {name!r}.", expected=" | ".join(backend_names()), found=repr(name))
    if name == "auto":
        return next(each for each in _AUTOMATIC if _backend(each).obstacle(p) is None)
    obstacle = _backend(name).obstacle(p)
    if obstacle is not None:
        raise obstacle
    return name


def run_backend(name: str, works: Sequence[Work], n_threads: int) -> list[tuple[Tensor, Tensor]]:
    """Simulate `works` on one backend."""
    return _backend(name).run(works, n_threads) if works else []


def compute_device(p: ModelParameters, backend: str = "auto") -> torch.device:
    """Where `simulate` computes for `p`: parameters put there keep BOLD, and then FC and FCD, on a GPU that is used."""
    from mfm.compute.machine import gpu_device

    return gpu_device(p.device) if choose_backend(backend, p) == "triton" else p.device


def _backend(name: str) -> ModuleType:
    return import_module(_HOMES[name])
