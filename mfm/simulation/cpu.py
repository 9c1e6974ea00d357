"""The `numba` backend: one fused, compiled time loop in float32, with candidates and realisations as SIMD lanes.

A group of `LANES` simulations shares one connectome and runs as one loop: coupling as a small matrix product for every
channel, noise drawn in registers from a counter-based generator, a step of the model (`mfm.simulation.cpu_step`) and of
hemodynamics. Groups are spread over threads; lanes never mix, so that a result depends on neither batch size nor thread
count. The model is an argument for whose type the loop is compiled (`mfm.simulation.cpu_model`): its equations stand in its own
file; those of hemodynamics in `mfm.models.hemodynamics`, to which tests hold this file.

Normal number ``i = region * n_states + state`` of a step is one of four of the counter (step, i // 4, realisation, 0) of
`mfm.compute.vector_math.philox`, whose key is the seed: words 0 and 1 give normals 0 and 1, words 2 and 3 the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from mfm.compute.compile import kernel
from mfm.compute.vector_math import exp, gaussian_pair, log, philox
from mfm.compute.vectors import LANES, floats, load, store, uints
from mfm.errors import BackendError
from mfm.models.constants import HEMODYNAMIC
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters
from mfm.protocol import Protocol
from mfm.simulation.cpu_model import TypedModel, layout
from mfm.simulation.cpu_step import ROWS, neural_step
from mfm.simulation.work import Work

_f = np.float32
_u = np.uint32

_H = HEMODYNAMIC
_KAPPA, _GAMMA_H, _RATE_H = _f(_H.kappa), _f(_H.gamma), _f(1 / _H.tau)
_SMALL_POWER, _INVERSE_RHO, _LOG_1_RHO = _f(1 / _H.alpha - 3), _f(1 / _H.rho), _f(math.log(1 - _H.rho))
_BOLD_1, _BOLD_2, _BOLD_3 = (_f(100 / _H.rho * _H.V_0 * k) for k in (_H.k_1, _H.k_2, _H.k_3))


@kernel
def _drive_frame(model, state, n_regions):
    """Move the observed state's sum over a hemodynamic step to that over the frame."""
    at = layout(model)
    for region in range(n_regions):
        o = region * at.n_fields * LANES
        total = load(state, o + at.observed_frame * LANES) + load(state, o + at.observed_sum * LANES)
        store(state, o + at.observed_frame * LANES, total)
        store(state, o + at.observed_sum * LANES, floats(_f(0.0)))


@kernel
def _hemodynamic_step(model, state, n_regions, dt, inverse_steps):
    """One Euler step of the Balloon-Windkessel model driven by the mean of the observed state over the step.

    f, v and q are kept as deviations from 1, which float32 resolves fifty times finer than the values themselves.
    """
    at = layout(model)
    Z, F, V, Q = at.hemodynamics, at.hemodynamics + 1, at.hemodynamics + 2, at.hemodynamics + 3
    for region in range(n_regions):
        o = region * at.n_fields * LANES
        total = load(state, o + at.observed_sum * LANES)
        store(state, o + at.observed_frame * LANES, load(state, o + at.observed_frame * LANES) + total)
        store(state, o + at.observed_sum * LANES, floats(_f(0.0)))
        z = load(state, o + Z * LANES)
        f = load(state, o + F * LANES)
        v = load(state, o + V * LANES)
        q = load(state, o + Q * LANES)
        flow = f + _f(1.0)
        volume = v + _f(1.0)
        # volume^(1 / alpha) = volume^3 volume^0.03: the small power's exponential needs three terms (to 1e-7 for 0.3 < v < 3).
        t = log(volume) * _SMALL_POWER
        square = volume * volume * (t * (t * (t * _f(1 / 6) + _f(0.5)) + _f(1.0)) + _f(1.0))
        outflow = square * volume
        extraction = _f(1.0) - exp(_LOG_1_RHO / flow)
        store(state, o + Z * LANES, z + (total * inverse_steps - z * _KAPPA - f * _GAMMA_H) * dt)
        store(state, o + F * LANES, f + z * dt)
        store(state, o + V * LANES, v + (flow - outflow) * (_RATE_H * dt))
        dq = flow * _INVERSE_RHO * extraction - (q + _f(1.0)) * square
        store(state, o + Q * LANES, q + dq * (_RATE_H * dt))


@kernel
def _write_bold(model, state, n_regions, frame):
    at = layout(model)
    for region in range(n_regions):
        o = region * at.n_fields * LANES
        v = load(state, o + (at.hemodynamics + 2) * LANES)
        q = load(state, o + (at.hemodynamics + 3) * LANES)
        signal = (v - q) / (v + _f(1.0)) * _BOLD_2 - q * _BOLD_1 - v * _BOLD_3
        store(frame, region * LANES, signal)


@kernel
def _write_observed(model, carried, state, n_regions, frame):
    """The observed state itself, of models without hemodynamics."""
    at = layout(model)
    for region in range(n_regions):
        if at.observed_channel >= 0:
            x = load(carried, (at.observed_channel * n_regions + region) * LANES)
        else:
            x = load(state, (region * at.n_fields + at.observed_field) * LANES)
        store(frame, region * LANES, x)


@kernel
def _flush_sums(model, state, totals, n_regions):
    """Add the sums of this frame to the float64 totals, and start them anew."""
    at = layout(model)
    for region in range(n_regions):
        o = region * at.n_fields * LANES
        for k in range(at.n_averages):
            source = at.observed_frame if k == at.observed_average else at.sums + k
            for lane in range(LANES):
                totals[k, region, lane] += state[o + source * LANES + lane]
                state[o + source * LANES + lane] = _f(0.0)
        for lane in range(LANES):
            state[o + at.observed_sum * LANES + lane] = _f(0.0)


@kernel
def _simulate_group(model, C, carried, state, coupling, gains, streams, timing, dt, exponential, bold, totals, cancel):
    """Simulate one group of lanes; `bold` (T, N * LANES) and `totals` (K, N, LANES) are filled in place.

    `carried` and `state` are as `_group_state` makes them, `coupling` is room for what all channels bring.
    `timing` holds the warm-up steps, neural steps per hemodynamic step, hemodynamic steps in the burn-in and in a TR.
    A set `cancel[0]` ends the loop at the next frame.
    """
    n_regions = totals.shape[1]
    warm_up, substeps, burn_in, per_frame = timing
    hemo_dt = _f(dt * substeps)
    inverse_steps = _f(1.0 / substeps)
    step = 0
    for _ in range(warm_up):
        neural_step(model, step, C, carried, state, coupling, gains, streams, n_regions, _f(dt), exponential)
        step += 1
    _flush_sums(model, state, totals, n_regions)
    totals[:] = 0.0
    frame = -((burn_in + per_frame - 1) // per_frame)
    remaining = burn_in
    while frame < len(bold):
        blocks = per_frame if frame >= 0 else min(per_frame, remaining)
        for _ in range(blocks):
            for _ in range(substeps):
                neural_step(model, step, C, carried, state, coupling, gains, streams, n_regions, _f(dt), exponential)
                step += 1
            if layout(model).is_seen_by_bold:
                _hemodynamic_step(model, state, n_regions, hemo_dt, inverse_steps)
            else:
                _drive_frame(model, state, n_regions)
        _flush_sums(model, state, totals, n_regions)
        if frame < 0:
            remaining -= blocks
        elif layout(model).is_seen_by_bold:
            _write_bold(model, state, n_regions, bold[frame])
        else:
            _write_observed(model, carried, state, n_regions, bold[frame])
        frame += 1
        if cancel[0]:
            return


def _pack(weights: np.ndarray) -> np.ndarray:
    """The connectome in blocks of `ROWS` rows, each block column by column, padded with zero rows."""
    n = len(weights)
    padded = np.zeros((-(-n // ROWS) * ROWS, n), np.float32)
    padded[:n] = weights
    return np.ascontiguousarray(padded.reshape(-1, ROWS, n).transpose(0, 2, 1)).reshape(-1)


def obstacle(p: ModelParameters) -> BackendError | None:
    """Why this backend cannot simulate `p`: it has no gradients."""
    if not p.requires_grad:
        return None
    return BackendError("The numba backend has no gradients.", fix='`backend="reference"`, or detach the parameters')


def run(works: Sequence[Work], n_threads: int) -> list[tuple[Tensor, Tensor]]:
    """Simulate one work after the other, each on all threads."""
    return [_simulate(work, n_threads) for work in works]


def _simulate(work: Work, n_threads: int) -> tuple[Tensor, Tensor]:
    model, B, R, N = work.model, work.p.n_candidates, work.n_repeats, work.p.n_regions
    p = work.p.detach().to("cpu").to(torch.float64)

    def lanes(value: Tensor) -> np.ndarray:
        return np.repeat(value.numpy(), R, axis=0)

    constants, gains = model.pack(p)
    bold, means = simulate_lanes(
        model,
        [lanes(value) for value in constants],
        [lanes(value) for value in gains],
        lanes(getattr(p, model.noise)),
        [x.detach().cpu().double().numpy().reshape(B * R, N) for x in work.initial],
        work.sc.weights,
        work.protocol,
        np.repeat(work.keys, R),
        np.tile(np.arange(R, dtype=np.uint32), B),
        n_threads,
    )
    return torch.from_numpy(bold).reshape(B, R, -1, N), torch.from_numpy(means).reshape(-1, B, R, N)


def simulate_lanes(
    model: Model,
    constants: Sequence[np.ndarray],
    gains: Sequence[np.ndarray],
    amplitude: np.ndarray,
    initial: Sequence[np.ndarray],
    weights: np.ndarray,
    protocol: Protocol,
    keys: np.ndarray,
    realisations: np.ndarray,
    n_threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate M lanes that share one connectome.

    Parameters
    ----------
    model : Model
    constants : sequence of array, (M, N)
        As the model's `pack` gives them, float64.
    gains : sequence of array, (M,)
        One for each coupling channel.
    amplitude : array, (M, N)
        Of the noise, per square root of a second.
    initial : sequence of array, (M, N)
        The state at the start, one array for each state variable.
    weights : array, (N, N)
    protocol : Protocol
    keys : array of uint64, (M,)
        Key of each lane's noise.
    realisations : array of uint32, (M,)
        Number of each lane's noise realisation.
    n_threads : int

    Returns
    -------
    bold : array of float32, (M, T, N)
        Percent; the observed state itself where the model is seen without hemodynamics.
    means : array of float64, (K, M, N)
        Time averages after the warm-up, in the order of `Model.average_names`.
    """
    M, N = amplitude.shape
    typed = TypedModel(model, len(constants))
    at = typed.structure.layout
    C = _pack(weights)
    bold = np.empty((M, protocol.n_frames, N), np.float32)
    means = np.empty((at.n_averages, M, N))
    timing = (
        protocol.warm_up_steps,
        protocol.steps_per_hemodynamic_step,
        protocol.burn_in_steps // protocol.steps_per_hemodynamic_step,
        protocol.steps_per_tr // protocol.steps_per_hemodynamic_step,
    )
    exponential = protocol.scheme == "exponential"
    averaged_steps = protocol.n_steps - protocol.warm_up_steps
    fields = (*constants, math.sqrt(protocol.dt_s) * amplitude)
    cancel = np.zeros(1, np.uint8)

    def run(first: int) -> None:
        if cancel[0]:
            return
        # Lanes beyond the last simulation repeat it: every group is full, so that every lane takes the same path.
        lanes = np.minimum(np.arange(first, first + LANES), M - 1)
        used = min(LANES, M - first)
        carried, state = _group_state(typed, [x[lanes] for x in fields], [x[lanes] for x in initial])
        coupling = _aligned(at.n_channels * (N + ROWS) * LANES)
        gain = np.stack([x[lanes] for x in gains]).astype(np.float32).reshape(-1)
        streams = _streams(keys[lanes], realisations[lanes])
        series = np.empty((protocol.n_frames, N * LANES), np.float32)
        totals = np.zeros((at.n_averages, N, LANES))
        arrays = C, carried, state, coupling, gain, streams
        _simulate_group(typed, *arrays, timing, protocol.dt_s, exponential, series, totals, cancel)
        bold[first : first + used] = series.reshape(-1, N, LANES)[:, :, :used].transpose(2, 0, 1)
        means[:, first : first + used] = totals[:, :, :used].transpose(0, 2, 1) / averaged_steps

    with ThreadPoolExecutor(max_workers=n_threads) as pool:
        try:
            for _ in pool.map(run, range(0, M, LANES)):
                pass
        except BaseException:
            cancel[0] = 1
            raise
    return bold, means


def _group_state(typed: TypedModel, fields: list[np.ndarray], initial: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What a group's loop keeps: the carried states, and of every region its constants, noise amplitude and all else."""
    at, N = typed.structure.layout, fields[0].shape[1]
    flat_carried, flat_state = _aligned(at.n_channels * N * LANES), _aligned(N * at.n_fields * LANES)
    carried, state = flat_carried.reshape(at.n_channels, N, LANES), flat_state.reshape(N, at.n_fields, LANES)
    for k, values in enumerate(fields):
        state[:, k] = values.T
    for (channel, field), values in zip(typed.structure.homes, initial, strict=True):
        if channel >= 0:
            carried[channel] = values.T
        else:
            state[:, field] = values.T
    return flat_carried, flat_state


def _aligned(size: int) -> np.ndarray:
    """Zeros in float32 that begin with a cache line, so that no vector lies across two."""
    line = 64
    room = np.zeros(size + line // 4, np.float32)
    first = -room.ctypes.data % line // 4
    return room[first : first + size]


def _streams(keys: np.ndarray, realisations: np.ndarray) -> np.ndarray:
    """The noise streams of a group: low and high words of the keys, and the realisations, LANES each."""
    low, high = keys & np.uint64(0xFFFFFFFF), keys >> np.uint64(32)
    return np.concatenate([low.astype(np.uint32), high.astype(np.uint32), realisations.astype(np.uint32)])


@kernel
def _fill_normals(first_step, streams, out):
    """All four normals of every counter: `out` is (steps, counters, 4, LANES)."""
    key_low = load(streams, 0)
    key_high = load(streams, LANES)
    realisation = load(streams, 2 * LANES)
    n_counters = out.shape[1]
    flat = out.reshape(-1)
    for step in range(len(out)):
        for counter in range(n_counters):
            w0, w1, w2, w3 = philox(
                uints(_u(first_step + step)), uints(_u(counter)), realisation, uints(_u(0)), key_low, key_high
            )
            z0, z1 = gaussian_pair(w0, w1)
            z2, z3 = gaussian_pair(w2, w3)
            o = (step * n_counters + counter) * 4 * LANES
            store(flat, o, z0)
            store(flat, o + LANES, z1)
            store(flat, o + 2 * LANES, z2)
            store(flat, o + 3 * LANES, z3)


def standard_normals(
    keys: np.ndarray, realisations: np.ndarray, first_step: int, n_steps: int, n_regions: int, n_states: int
) -> np.ndarray:
    """The noise of M lanes for some steps, as every backend uses it: float32, (n_steps, M, N, n_states)."""
    M, used_normals = len(keys), n_regions * n_states
    noise = np.empty((n_steps, M, used_normals), np.float32)
    block = np.empty((n_steps, -(-used_normals // 4), 4, LANES), np.float32)
    for first in range(0, M, LANES):
        lanes = np.minimum(np.arange(first, first + LANES), M - 1)
        used = min(LANES, M - first)
        _fill_normals(first_step, _streams(keys[lanes], realisations[lanes]), block)
        noise[:, first : first + used] = block.reshape(n_steps, -1, LANES)[:, :used_normals, :used].transpose(0, 2, 1)
    return noise.reshape(n_steps, M, n_regions, n_states)
