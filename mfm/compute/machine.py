"""The machine: its cores, and the GPU that kernels may use."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec

import torch

#: Most regions that the kernel takes.
MAX_REGIONS = 512

#: Earlier versions of Triton multiply no narrow matrices, or were never tried.
OLDEST_TRITON = (3, 7)


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def interpreting() -> bool:
    """Whether Triton kernels run in its interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def why_not(n_regions: int = 2) -> str | None:
    """What keeps this machine, or this number of regions, from the `triton` backend; None where nothing does."""
    if find_spec("triton") is None:
        return "the package triton is not installed (it comes with torch for CUDA on Linux)"
    if n_regions > MAX_REGIONS:
        return f"{n_regions} regions; the kernel takes at most {MAX_REGIONS}"
    if interpreting():
        return None
    if not torch.cuda.is_available():
        build = "a CPU build" if torch.version.cuda is None else f"built for CUDA {torch.version.cuda}"
        return f"torch sees no CUDA GPU (torch {torch.__version__}, {build})"
    capability = torch.cuda.get_device_capability()
    if capability < (8, 0):
        return f"the GPU has compute capability {capability[0]}.{capability[1]}; 8.0 (A100, RTX 30) or later is needed"
    return _triton_obstacle()


@cache
def _triton_obstacle() -> str | None:
    """What keeps the installed Triton from launching kernels; asked once, for this builds its launcher."""
    import triton

    if tuple(int(part) for part in triton.__version__.split(".")[:2]) < OLDEST_TRITON:
        return (
            f"triton {triton.__version__}; {OLDEST_TRITON[0]}.{OLDEST_TRITON[1]} or later is needed (it comes with torch 2.13)"
        )
    try:
        triton.runtime.driver.active.get_current_device()
    except Exception as error:  # of many kinds: the reason is what the user needs
        reason = str(error).strip().partition("\n")[0]
        return f"Triton cannot start ({reason}); it needs a C compiler (gcc or clang) and Python's headers, once"
    return None


def on(device: torch.device) -> AbstractContextManager:
    """Kernels launched within go to `device`: Triton takes torch's current GPU, not that of its arguments."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def gpu_device(like: torch.device) -> torch.device:
    """Where to compute for tensors on `like`: there if it is a GPU, else on the current one."""
    if interpreting():
        return torch.device("cpu")
    return like if like.type == "cuda" else torch.device("cuda", torch.cuda.current_device())


def free_memory(device: torch.device) -> int:
    """Bytes that torch can still allocate on a GPU: free ones and those it has reserved but does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
