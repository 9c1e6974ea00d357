"""Host side of the `triton` backend: what the GPU can do, the arrays that the kernel reads, and its launches.

In Triton's interpreter (``TRITON_INTERPRET=1``) the same code runs on CPU tensors, thousands of times slower: for tests.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfm.connectome import Connectome
from mfm.constants import NEURAL
from mfm.errors import BackendError
from mfm.feedback import excitatory_resting_point
from mfm.parameters import FICParameters
from mfm.protocol import Protocol

#: Most regions that the kernel takes.
MAX_REGIONS = 512

#: Earlier versions of Triton multiply no narrow matrices, or were never tried.
OLDEST_TRITON = (3, 7)

# Regions up to which the connectome stays in shared memory.
_RESIDENT_REGIONS = 128

# A launch is about this long (seconds x region-steps per second of a large GPU): an interrupt is answered between launches.
_REGION_STEPS_PER_LAUNCH = 3e10
_STEPS_PER_LAUNCH = 1_000_000

# Share of the free memory that is planned with; the rest is for fragmentation and the caller.
_MEMORY_SHARE = 0.9

_N_PARAMETERS, _N_STATE, _N_TOTALS = 5, 6, 3


@dataclass(frozen=True)
class Tile:
    """How the kernel's work is cut: simulations and warps per program, pipeline depth, register limit per thread."""

    lanes: int
    warps: int
    stages: int = 2
    max_registers: int | None = None


class _Launch(NamedTuple):
    """Loop counts of one kernel launch; `hemodynamics` is off in the warm-up, `frame` negative where no BOLD is written."""

    n_outer: int
    n_blocks: int
    substeps: int
    frame: int
    hemodynamics: bool

    @property
    def n_steps(self) -> int:
        return self.n_outer * self.n_blocks * self.substeps


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


def choose_tile(n_regions: int, n_lanes: int, device: torch.device) -> Tile:
    """The tile for `n_lanes` simulations: as many lanes in a program as still leave two programs per multiprocessor."""
    n_half = half_size(n_regions)
    n_processors = 0 if device.type == "cpu" else torch.cuda.get_device_properties(device).multi_processor_count
    lanes = 8
    while lanes > 1 and n_lanes < 2 * lanes * n_processors:
        lanes //= 2
    if n_regions > _RESIDENT_REGIONS:
        # Each program streams the connectome once per step, however few lanes it has.
        return Tile(max(lanes, 4), warps=max(8, n_half // 16))
    if lanes == 1:
        return Tile(1, warps=8 if n_half == 64 else 4)
    return Tile(lanes, warps=4, max_registers=168 if lanes == 8 and n_half == 64 else None)


def half_size(n_regions: int) -> int:
    """Rows of each half of the regions: the next power of two, at least 16 for the tensor cores."""
    return max(16, 1 << (math.ceil(n_regions / 2) - 1).bit_length())


def simulate_on_gpu(
    p: FICParameters,
    w_IE: Tensor,
    sc: Connectome,
    protocol: Protocol,
    initial: tuple[Tensor, Tensor],
    keys: np.ndarray,
    n_repeats: int,
    tile: Tile | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """BOLD (B, R, T, N), float32, and the averages of r_E, S_E and S_I (B, R, N), float64, on the device of `p`.

    Raises
    ------
    BackendError
        If the GPU has no room for the result, or for a single tile.
    """
    B, R, N, T = p.n_candidates, n_repeats, p.n_regions, protocol.n_frames
    home = p.w_EE.device
    device = gpu_device(home)
    M = B * R
    tile = tile or choose_tile(N, M, device)
    chunk = _chunk_lanes(M, N, T, tile, device, stays=home == device)
    bold = torch.empty((M, T, N), dtype=torch.float32, device=home)
    means = torch.empty((_N_TOTALS, M, N), dtype=torch.float64, device=home)
    weights, scale = packed_connectome(sc.weights, device)
    candidate = torch.arange(M, device=home) // R
    realisations = np.tile(np.arange(R, dtype=np.uint32), B)
    lane_keys = np.repeat(keys, R)
    S_E, S_I = (x.detach().reshape(M, N) for x in initial)
    for first in range(0, M, chunk):
        lanes = slice(first, min(first + chunk, M))
        of = candidate[lanes]
        fields = {name: getattr(p, name).detach()[of].to(device).double() for name in ("w_EE", "w_EI", "sigma", "G")}
        fields["w_IE"] = w_IE.detach()[of].to(device).double()
        I_ext = torch.zeros_like(p.w_EE) if p.I_ext is None else p.I_ext
        fields["I_ext"] = I_ext.detach()[of].to(device).double()
        parameters, gain = _parameter_rows(fields, sc, protocol, scale, tile.lanes)
        state = _initial_rows(S_E[lanes].to(device).double(), S_I[lanes].to(device).double(), tile.lanes)
        streams = _streams(lane_keys[lanes], realisations[lanes], gain.shape[0], device)
        part = bold[lanes] if home == device else torch.empty((len(of), T, N), dtype=torch.float32, device=device)
        with on(device):
            totals = _run(weights, parameters, gain, streams, state, part, N, protocol, tile)
        if part.data_ptr() != bold[lanes].data_ptr():
            bold[lanes] = part.to(home)
        n_averaged = protocol.n_steps - protocol.warm_up_steps
        average = _from_rows(totals, len(of), N) / n_averaged
        average[1] += excitatory_resting_point()[0]
        means[:, lanes] = average.to(home)
    return bold.reshape(B, R, T, N), *means.reshape(_N_TOTALS, B, R, N)


def packed_connectome(weights: np.ndarray, device: torch.device) -> tuple[Tensor, float]:
    """The connectome as high and low parts in half precision, (2, 2 HALF, 2 HALF), and the power of two it was scaled by.

    Sixteen rows hold eight even regions, then their odd neighbours (`mfm.backends.triton_kernel`); columns likewise.
    """
    n_half = half_size(len(weights))
    row = np.arange(2 * n_half)
    region = 16 * (row // 16) + 2 * (row % 8) + (row // 8) % 2
    padded = np.zeros((2 * n_half, 2 * n_half))
    padded[: len(weights), : len(weights)] = weights
    scale = 2.0 ** (9 - math.frexp(np.abs(weights).max())[1])
    full = torch.from_numpy(padded[np.ix_(region, region)] * scale).to(device)
    high = full.half()
    return torch.stack([high, (full - high.double()).half()]).contiguous(), scale


def _parameter_rows(fields: dict[str, Tensor], sc, protocol: Protocol, scale: float, tile_lanes: int):
    """The kernel's parameters (5, 2 HALF, L) and the gain of the coupling (L,), float32.

    The argument of phi is ``constant + from_E e + gain (C e) - from_I S_I``: all that S_E* contributes is in the constant.
    """
    from mfm.backends.triton_kernel import DEVIATION_SCALE

    c = NEURAL
    S_star, _ = excitatory_resting_point()
    strength = torch.as_tensor(sc.weights.sum(axis=1), device=fields["G"].device)
    G = fields["G"][:, None]
    constant = c.a_E * (c.W_E * c.I_0 + fields["I_ext"] + c.J * S_star * (fields["w_EE"] + G * strength)) - c.b_E
    rows = (
        constant,
        c.a_E * c.J * fields["w_EE"],
        c.a_E * fields["w_IE"],
        c.a_I * c.J * fields["w_EI"],
        math.sqrt(protocol.dt_s) * fields["sigma"],
    )
    gain = c.a_E * c.J * fields["G"] / (scale * float(DEVIATION_SCALE.value))
    return torch.stack([_to_rows(x, tile_lanes) for x in rows]), _pad_lanes(gain, tile_lanes).float()


def _initial_rows(S_E: Tensor, S_I: Tensor, tile_lanes: int) -> Tensor:
    """State at the start (6, 2 HALF, L): S_E - S_E*, S_I, and hemodynamics at rest."""
    e = _to_rows(S_E - excitatory_resting_point()[0], tile_lanes)
    state = torch.zeros((_N_STATE, *e.shape), dtype=torch.float32, device=e.device)
    state[0] = e
    state[1] = _to_rows(S_I, tile_lanes)
    return state


def _pad_lanes(x: Tensor, tile_lanes: int) -> Tensor:
    """The last lane repeated until the number of lanes is a multiple of the tile and of 16."""
    multiple = max(16, tile_lanes)
    missing = -len(x) % multiple
    return torch.cat([x, x[-1:].expand(missing, *x.shape[1:])])


def _to_rows(x: Tensor, tile_lanes: int) -> Tensor:
    """(lanes, N) as float32 (2 HALF, L): the even regions, then the odd ones, each padded with zeros."""
    x = _pad_lanes(x, tile_lanes)
    n_half = half_size(x.shape[1])
    rows = torch.zeros((len(x), 2 * n_half), dtype=torch.float32, device=x.device)
    rows[:, : x.shape[1]] = x
    return rows.reshape(len(x), n_half, 2).permute(2, 1, 0).reshape(2 * n_half, len(x))


def _from_rows(rows: Tensor, n_lanes: int, n_regions: int) -> Tensor:
    """(..., 2 HALF, L) as (..., n_lanes, N)."""
    *fields, size, padded = rows.shape
    x = rows.reshape(*fields, 2, size // 2, padded).movedim(-1, -3).transpose(-1, -2)
    return x.reshape(*fields, padded, size)[..., :n_lanes, :n_regions]


def _streams(keys: np.ndarray, realisations: np.ndarray, n_padded: int, device: torch.device) -> Tensor:
    """Noise streams (3, L): low and high words of the keys, and the realisations, as the bits of int32."""
    words = np.stack([keys & np.uint64(0xFFFFFFFF), keys >> np.uint64(32), realisations.astype(np.uint64)])
    words = np.pad(words, ((0, 0), (0, n_padded - len(keys))), mode="edge")
    return torch.from_numpy(words.astype(np.uint32).view(np.int32)).to(device)


def _run(weights, parameters, gain, streams, state, bold, n_regions, protocol: Protocol, tile: Tile) -> Tensor:
    """All launches of one chunk of lanes; fills `bold` and returns the totals of r_E, S_E - S_E* and S_I, (3, 2 HALF, L)."""
    from mfm.backends.triton_kernel import simulate_kernel

    n_padded = gain.shape[0]
    n_half = half_size(n_regions)
    n_programs = -(-len(bold) // tile.lanes)
    resident = n_regions <= _RESIDENT_REGIONS
    totals = torch.zeros((_N_TOTALS, 2 * n_half, n_padded), dtype=torch.float64, device=bold.device)
    scratch = torch.empty(16 if resident else n_programs * 8 * n_half * tile.lanes, dtype=torch.float16, device=bold.device)
    substeps = protocol.steps_per_hemodynamic_step
    limit = int(max(1, min(_STEPS_PER_LAUNCH, _REGION_STEPS_PER_LAUNCH / (len(bold) * 2 * n_half))))
    options = {"num_warps": tile.warps, "num_stages": tile.stages, "enable_fp_fusion": True}
    if tile.max_registers is not None:
        options["maxnreg"] = tile.max_registers
    step = 0
    for launch in _launches(protocol, limit):
        simulate_kernel[(n_programs,)](
            weights, parameters, gain, streams, state, totals, bold, scratch,
            len(bold), n_padded, n_regions, bold.shape[1],
            step, launch.n_outer, launch.n_blocks, launch.substeps, launch.frame,
            protocol.dt_s, protocol.hemodynamic_dt_s if launch.hemodynamics else 0.0, 1.0 / launch.substeps,
            HALF=n_half, LANES=tile.lanes, RESIDENT=resident, DEPTH=32, EVERY_STEP=substeps == 1,
            EXPONENTIAL=protocol.scheme == "exponential", NATIVE=not interpreting(), **options,
        )  # fmt: skip
        step += launch.n_steps
        if not launch.hemodynamics:
            totals.zero_()
        if bold.is_cuda:
            torch.cuda.synchronize(bold.device)
    return totals


def _launches(protocol: Protocol, limit: int) -> Iterator[_Launch]:
    """The launches of a simulation: warm-up, burn-in, frames; of at most `limit` neural steps where a frame allows it."""
    substeps = protocol.steps_per_hemodynamic_step
    per_frame = protocol.steps_per_tr // substeps
    blocks, rest = divmod(protocol.warm_up_steps, substeps)
    for first in range(0, blocks, max(1, limit // substeps)):
        yield _Launch(1, min(max(1, limit // substeps), blocks - first), substeps, -1, False)
    if rest:
        yield _Launch(1, 1, rest, -1, False)
    outer = max(1, limit // protocol.steps_per_tr)
    frames, rest = divmod(protocol.burn_in_steps // substeps, per_frame)
    for first in range(0, frames, outer):
        yield _Launch(min(outer, frames - first), per_frame, substeps, -1, True)
    if rest:
        yield _Launch(1, rest, substeps, -1, True)
    for first in range(0, protocol.n_frames, outer):
        yield _Launch(min(outer, protocol.n_frames - first), per_frame, substeps, first, True)


def _chunk_lanes(n_lanes: int, n_regions: int, n_frames: int, tile: Tile, device: torch.device, stays: bool) -> int:
    """Lanes simulated at a time, as memory allows; `stays` where the whole result is kept on the GPU."""
    if device.type != "cuda":
        return n_lanes
    free = _MEMORY_SHARE * free_memory(device)
    size = 2 * half_size(n_regions)
    result_bytes = 4 * n_regions * n_frames + 8 * _N_TOTALS * n_regions
    # Kernel arrays, and twice as much again in float64 while they are made.
    work_bytes = size * (4 * (_N_PARAMETERS + _N_STATE) + 8 * _N_TOTALS + 16 + 8 * 8)
    needed = n_lanes * result_bytes if stays else 0
    lane_bytes = work_bytes + (0 if stays else result_bytes)
    multiple = max(16, tile.lanes)
    chunk = int((free - needed) // lane_bytes) // multiple * multiple
    if chunk < multiple:
        raise BackendError(
            "The GPU has too little free memory.",
            expected=f"{(needed + multiple * lane_bytes) / 2**30:.2f} GiB for {n_lanes} simulations of {n_frames} frames",
            found=f"{free_memory(device) / 2**30:.2f} GiB free on {torch.cuda.get_device_name(device)}",
            cause="BOLD of all candidates is kept on the GPU" if stays else "another program uses the GPU",
            fix="simulate fewer candidates at a time, or give parameters on the CPU: results then move there in parts"
            if stays
            else "free the GPU's memory, or backend='numba'",
        )
    return min(chunk, n_lanes)


def free_memory(device: torch.device) -> int:
    """Bytes that torch can still allocate on a GPU: free ones and those it has reserved but does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
