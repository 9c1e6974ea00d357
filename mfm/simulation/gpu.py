"""Host side of the `triton` backend: what the GPU can do, how work is cut for it, and the kernel's launches.

In Triton's interpreter (``TRITON_INTERPRET=1``) the same code runs on CPU tensors, thousands of times slower: for tests.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, zip_longest
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfm.compute.machine import MAX_REGIONS, free_memory, gpu_device, on, why_not
from mfm.errors import BackendError
from mfm.models.parameters import ModelParameters
from mfm.protocol import Protocol
from mfm.simulation.gpu_arrays import (
    Shape,
    from_rows,
    half_size,
    initial_rows,
    lane_rows,
    noise_streams,
    packed_connectome,
    packed_strength,
    parameter_rows,
    references_of,
    shape_of,
)
from mfm.simulation.work import Work

# Regions up to which the connectome stays in shared memory.
_RESIDENT_REGIONS = 128

# A launch is about this long (seconds x region-steps per second of a large GPU): an interrupt is answered between launches.
_REGION_STEPS_PER_LAUNCH = 3e10
_STEPS_PER_LAUNCH = 1_000_000

# Share of the free memory that is planned with; the rest is for fragmentation and the caller.
_MEMORY_SHARE = 0.9


@dataclass(frozen=True)
class Tile:
    """How the kernel's work is cut: simulations and warps per program, pipeline depth, register limit per thread."""

    lanes: int
    warps: int
    stages: int = 2
    max_registers: int | None = None


class _Launch(NamedTuple):
    """Loop counts of one kernel launch; `frame` is negative where no BOLD is written, `hemodynamics` off in the warm-up, which
    no average counts. In the order of the kernel's table."""

    n_outer: int
    n_blocks: int
    substeps: int
    frame: int
    hemodynamics: bool

    @property
    def n_steps(self) -> int:
        return self.n_outer * self.n_blocks * self.substeps


#: What a subject does in launches that only others need.
_NOTHING = _Launch(0, 0, 1, -1, False)


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


class _Part(NamedTuple):
    """Some simulations of a work, and where in the group's BOLD the first of them begins."""

    work: Work
    member: int
    first: int
    last: int
    bold: int

    @property
    def n_lanes(self) -> int:
        return self.last - self.first

    @property
    def bold_size(self) -> int:
        return self.n_lanes * self.work.bold_size


def obstacle(p: ModelParameters) -> BackendError | None:
    """Why this backend cannot simulate `p`: no GPU, too many regions, or gradients."""
    if found := why_not(p.n_regions):
        return BackendError(
            "The triton backend cannot be used here.",
            expected=f"a CUDA GPU, torch built for it with triton, and at most {MAX_REGIONS} regions",
            found=found,
            fix='`backend="numba"` computes the same on the processor',
        )
    if p.requires_grad:
        return BackendError("The triton backend has no gradients.", fix='backend="reference", or detach the parameters')
    return None


def run(works: Sequence[Work], n_threads: int) -> list[tuple[Tensor, Tensor]]:
    """Simulate all works in as few launches as they allow."""
    return simulate_on_gpu(works)


def simulate_on_gpu(works: Sequence[Work], tile: Tile | None = None) -> list[tuple[Tensor, Tensor]]:
    """Of every work BOLD (B, R, T, N), float32, and the model's averages (K, B, R, N), float64, where its p is.

    Works of one model and of similar size share launches, each with its own connectome, timing and length, and the memory of
    their BOLD.

    Raises
    ------
    BackendError
        If the GPU has no room for the results, or for a single tile.
    """
    alike: dict[tuple, list[int]] = {}
    for k, work in enumerate(works):
        alike.setdefault((work.model, half_size(work.p.n_regions), work.protocol.scheme, work.p.device), []).append(k)
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for members in alike.values():
        found.update(zip(members, _simulate_alike([works[k] for k in members], tile), strict=True))
    return [found[k] for k in range(len(works))]


def _simulate_alike(works: list[Work], tile: Tile | None) -> list[tuple[Tensor, Tensor]]:
    home = works[0].p.device
    device = gpu_device(home)
    stays = home == device
    shape = shape_of(works[0].model, works[0].p)
    tile = tile or choose_tile(max(w.p.n_regions for w in works), sum(w.n_lanes for w in works), device)
    chunks = _chunks(works, shape, tile, device, stays)
    bold = torch.empty(sum(w.n_lanes * w.bold_size for w in works), dtype=torch.float32, device=home)
    means = [torch.empty((shape.n_averages, w.n_lanes, w.p.n_regions), dtype=torch.float64, device=home) for w in works]
    for parts in chunks:
        sizes = [part.bold_size for part in parts]
        target = bold if stays else torch.empty(sum(sizes), dtype=torch.float32, device=device)
        starts = [part.bold for part in parts] if stays else list(accumulate(sizes[:-1], initial=0))
        with on(device):
            averages = _run(parts, shape, target, starts, tile)
        for part, average, start, size in zip(parts, averages, starts, sizes, strict=True):
            means[part.member][:, part.first : part.last] = average.to(home)
            if not stays:
                bold[part.bold : part.bold + size] = target[start : start + size].to(home)
    series = bold.split([w.n_lanes * w.bold_size for w in works])
    return [
        (x.reshape(w.p.n_candidates, w.n_repeats, -1, w.p.n_regions), m.reshape(len(m), w.p.n_candidates, w.n_repeats, -1))
        for w, x, m in zip(works, series, means, strict=True)
    ]


def _run(parts: list[_Part], shape: Shape, bold: Tensor, starts: list[int], tile: Tile) -> list[Tensor]:
    """All launches of a chunk: fills `bold` from `starts` on; returns by part the model's averages (K, lanes, N)."""
    from mfm.simulation.gpu_kernel import simulate_kernel
    from mfm.simulation.gpu_model import equations_of

    device, model = bold.device, parts[0].work.model
    arrays = [_arrays_of(part, shape, tile.lanes, device) for part in parts]
    weights = torch.stack([packed_connectome(part.work.sc.weights, device) for part in parts])
    strengths = torch.stack([packed_strength(part.work.sc.weights, device) for part in parts])
    parameters, of_lanes, state, streams = (torch.cat(x, dim=-1) for x in zip(*arrays, strict=True))
    n_padded, n_half = of_lanes.shape[1], half_size(parts[0].work.p.n_regions)
    first_lanes = list(accumulate((one[1].shape[1] for one in arrays[:-1]), initial=0))
    resident = n_half <= half_size(_RESIDENT_REGIONS)
    totals = torch.zeros((shape.n_averages, 2 * n_half, n_padded), dtype=torch.float64, device=device)
    n_programs = sum(-(-part.n_lanes // tile.lanes) for part in parts)
    scratch_size = 16 if resident else n_programs * 8 * n_half * tile.lanes * shape.n_channels
    scratch = torch.empty(scratch_size, dtype=torch.float16, device=device)
    protocols = [part.work.protocol for part in parts]
    n_lanes = sum(part.n_lanes for part in parts)
    limit = int(max(1, min(_STEPS_PER_LAUNCH, _REGION_STEPS_PER_LAUNCH / (n_lanes * 2 * n_half))))
    options = {"num_warps": tile.warps, "num_stages": tile.stages, "enable_fp_fusion": True}
    if tile.max_registers is not None:
        options["maxnreg"] = tile.max_registers
    of, fixed = _table(parts, first_lanes, starts, tile.lanes)
    steps = [0] * len(parts)
    for launches in zip_longest(*(_launches(protocol, limit) for protocol in protocols), fillvalue=_NOTHING):
        loops = np.array([(step, *launch) for step, launch in zip(steps, launches, strict=True)])
        times = np.array([
            (protocol.dt_s, protocol.hemodynamic_dt_s if launch.hemodynamics else 0.0, 1 / launch.substeps)
            for protocol, launch in zip(protocols, launches, strict=True)
        ])  # fmt: skip
        plan = np.column_stack([fixed, loops[of]])
        steps = [step + launch.n_steps for step, launch in zip(steps, launches, strict=True)]
        simulate_kernel[(n_programs,)](
            torch.tensor(plan, dtype=torch.int64, device=device), torch.tensor(times[of], dtype=torch.float32, device=device),
            weights, strengths, parameters, of_lanes, streams, state, totals, bold, scratch, n_padded,
            MODEL=equations_of(model, shape), HALF=n_half, LANES=tile.lanes, RESIDENT=resident, DEPTH=32,
            EVERY_STEP=all(protocol.steps_per_hemodynamic_step == 1 for protocol in protocols),
            EXPONENTIAL=protocols[0].scheme == "exponential" and model.decay is not None, **options,
        )  # fmt: skip
        if bold.is_cuda:
            torch.cuda.synchronize(device)
    averages = []
    for part, first, protocol in zip(parts, first_lanes, protocols, strict=True):
        rows = totals[..., first : first + part.n_lanes] / (protocol.n_steps - protocol.warm_up_steps)
        average = from_rows(rows, part.n_lanes, part.work.p.n_regions)
        for k, channel in enumerate(shape.channels):
            if channel >= 0:
                reference = of_lanes[3 * channel + 2, first : first + part.n_lanes]
                average[shape.n_reported + k] += reference.double()[:, None]
        averages.append(average)
    return averages


def _table(parts: list[_Part], first_lanes: list[int], starts: list[int], tile_lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Of every program its part, and the columns of the kernel's table that all launches share: PLAN up to n_frames."""
    of, rows = [], []
    for k, (part, first, start) in enumerate(zip(parts, first_lanes, starts, strict=True)):
        lanes = np.arange(0, part.n_lanes, tile_lanes)
        of.append(np.full_like(lanes, k))
        columns = np.broadcast_arrays(
            k,
            first + lanes,
            first + part.n_lanes,
            start + lanes * part.work.bold_size,
            part.work.p.n_regions,
            part.work.protocol.n_frames,
        )
        rows.append(np.column_stack(columns))
    return np.concatenate(of), np.concatenate(rows)


def _arrays_of(part: _Part, shape: Shape, tile_lanes: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Parameters, numbers of each lane, initial state and noise streams of a part, in columns."""
    work, model, lanes = part.work, part.work.model, np.arange(part.first, part.last)
    of = torch.from_numpy(lanes // work.n_repeats).to(work.p.device)
    p = work.p[of].detach().to(device).to(torch.float64)
    constants, gains = model.pack(p)
    parameters = parameter_rows(constants, math.sqrt(work.protocol.dt_s) * getattr(p, model.noise), tile_lanes)
    initial = tuple(x.detach().reshape(work.n_lanes, -1)[part.first : part.last].to(device).double() for x in work.initial)
    rest = initial if model.rest is None else tuple(x[of].to(device) for x in model.rest(work.p.detach(), work.sc))
    references = references_of(rest, shape.carried)
    of_lanes = lane_rows(gains, references, work.sc.weights, tile_lanes)
    realisations = (lanes % work.n_repeats).astype(np.uint32)
    streams = noise_streams(work.keys[lanes // work.n_repeats], realisations, of_lanes.shape[1], device)
    return parameters, of_lanes, initial_rows(initial, references, shape, tile_lanes), streams


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


def _chunks(works: list[Work], shape: Shape, tile: Tile, device: torch.device, stays: bool) -> list[list[_Part]]:
    """What is simulated at a time, as memory allows; `stays` where all results are kept on the GPU."""
    starts = list(accumulate((w.n_lanes * w.bold_size for w in works[:-1]), initial=0))
    if device.type != "cuda":
        return [[_Part(w, k, 0, w.n_lanes, start) for k, (w, start) in enumerate(zip(works, starts, strict=True))]]
    n_lanes = sum(w.n_lanes for w in works)
    free, multiple = _MEMORY_SHARE * free_memory(device), max(16, tile.lanes)
    result_bytes = [4 * w.bold_size + 8 * shape.n_averages * w.p.n_regions for w in works]
    size = 2 * half_size(works[0].p.n_regions)
    # Kernel arrays, and twice as much again in float64 while they are made; copies of streamed deviations.
    work_bytes = size * (12 * (shape.n_parameters + shape.n_kept) + 8 * shape.n_averages + 8 * shape.n_channels)
    needed = sum(w.n_lanes * each for w, each in zip(works, result_bytes, strict=True)) if stays else 0
    chunks: list[list[_Part]] = [[]]
    left = free - needed
    for k, (work, start) in enumerate(zip(works, starts, strict=True)):
        lane_bytes = work_bytes + (0 if stays else result_bytes[k])
        connectome_bytes = 4 * size**2
        first = 0
        while first < work.n_lanes:
            fit = int((left - connectome_bytes) // lane_bytes) // multiple * multiple
            if fit < multiple and not chunks[-1]:
                least = needed + connectome_bytes + multiple * lane_bytes
                raise BackendError(
                    "The GPU has too little free memory.",
                    expected=f"{least / 2**30:.2f} GiB for {n_lanes} simulations of {work.protocol.n_frames} frames",
                    found=f"{free_memory(device) / 2**30:.2f} GiB free on {torch.cuda.get_device_name(device)}",
                    cause="BOLD of all candidates is kept on the GPU" if stays else "another program uses the GPU",
                    fix="simulate fewer candidates at a time, or give parameters on the CPU: results then move there in parts"
                    if stays
                    else "free the GPU's memory, or backend='numba'",
                )
            if fit < multiple:
                chunks.append([])
                left = free - needed
                continue
            last = min(first + fit, work.n_lanes)
            chunks[-1].append(_Part(work, k, first, last, start + first * work.bold_size))
            left -= connectome_bytes + -(-(last - first) // multiple) * multiple * lane_bytes
            first = last
    return chunks
