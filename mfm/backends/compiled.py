"""The `numba` backend: one fused, compiled time loop in float32, with candidates and realisations as SIMD lanes.

A group of `LANES` simulations shares one connectome and runs as one loop: coupling as a small matrix product, noise drawn
in registers from a counter-based generator (`mfm.backends.vector_math.philox`: key = seed, counter = step, pair of regions,
realisation), neural and hemodynamic step. Groups are spread over threads; lanes never mix, so that a result depends
on neither batch size nor thread count. The equations are those of `mfm.dynamics` and `mfm.models.hemodynamics`, to which tests
hold this file.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mfm.backends.kernel import kernel
from mfm.backends.simd import LANES, float_vector, floats, load, store, uints  # noqa: F401  (float_vector: registration)
from mfm.backends.vector_math import exp, gaussian_pair, log, philox, transfer_function, transfer_slope
from mfm.models.constants import HEMODYNAMIC, NEURAL
from mfm.protocol import Protocol

_f = np.float32
_u = np.uint32

# Rows of the connectome that are multiplied together: each load of S_E serves this many sums.
_ROWS = 4

# What is kept per region, each a vector over lanes; a region's vectors lie together in memory.
_J_W_EE, _J_W_EI, _W_IE, _I_E0, _NOISE, _S_I, _SUM_R, _SUM_S_E, _SUM_S_I, _FRAME_S_E, _Z, _F, _V, _Q, _FIELDS = range(15)

_I_I0 = _f(NEURAL.W_I * NEURAL.I_0)
_A_E, _B_E, _D_E, _LEAK_E = _f(NEURAL.a_E), _f(NEURAL.b_E), _f(NEURAL.d_E), _f(1 / NEURAL.tau_E)
_A_I, _B_I, _D_I, _LEAK_I = _f(NEURAL.a_I), _f(NEURAL.b_I), _f(NEURAL.d_I), _f(1 / NEURAL.tau_I)
_GAMMA = _f(NEURAL.gamma)

_H = HEMODYNAMIC
_KAPPA, _GAMMA_H, _RATE_H = _f(_H.kappa), _f(_H.gamma), _f(1 / _H.tau)
_SMALL_POWER, _INVERSE_RHO, _LOG_1_RHO = _f(1 / _H.alpha - 3), _f(1 / _H.rho), _f(math.log(1 - _H.rho))
_BOLD_1, _BOLD_2, _BOLD_3 = (_f(100 / _H.rho * _H.V_0 * k) for k in (_H.k_1, _H.k_2, _H.k_3))


@kernel
def _couple(C, S_E, coupling, n_regions):
    """coupling = C S_E, for `_ROWS` regions at a time (C packed by `_pack`)."""
    for block in range(0, n_regions, _ROWS):
        a = floats(_f(0.0))
        b = a
        c = a
        d = a
        weight = block * n_regions
        for j in range(n_regions):
            s = load(S_E, j * LANES)
            a = a + s * C[weight]
            b = b + s * C[weight + 1]
            c = c + s * C[weight + 2]
            d = d + s * C[weight + 3]
            weight += _ROWS
        store(coupling, block * LANES, a)
        store(coupling, (block + 1) * LANES, b)
        store(coupling, (block + 2) * LANES, c)
        store(coupling, (block + 3) * LANES, d)


@kernel
def _step_region(region, state, S_E, coupling, G_J, dt, exponential, noise_E, noise_I):
    """One Euler-Maruyama step of a region (`mfm.dynamics.neural_drift`), that of S_I by the protocol's scheme."""
    o = region * _FIELDS * LANES
    s_E = load(S_E, region * LANES)
    s_I = load(state, o + _S_I * LANES)
    I_E = load(state, o + _J_W_EE * LANES) * s_E + G_J * load(coupling, region * LANES) - load(state, o + _W_IE * LANES) * s_I
    I_I = load(state, o + _J_W_EI * LANES) * s_E - s_I
    r_E = transfer_function((I_E + load(state, o + _I_E0 * LANES)) * _A_E - _B_E, _D_E)
    x_I = (I_I + _I_I0) * _A_I - _B_I
    r_I = transfer_function(x_I, _D_I)
    step_I = (r_I - s_I * _LEAK_I) * dt
    amplitude = load(state, o + _NOISE * LANES)
    s_E = s_E + ((_f(1.0) - s_E) * _GAMMA * r_E - s_E * _LEAK_E) * dt + amplitude * noise_E
    step_I = step_I + amplitude * noise_I
    if exponential:
        decay = (transfer_slope(x_I, _D_I) * _A_I + _LEAK_I) * dt
        step_I = step_I / (decay * (decay * _f(1 / 12) + _f(0.5)) + _f(1.0))
    s_I = s_I + step_I
    store(S_E, region * LANES, s_E)
    store(state, o + _S_I * LANES, s_I)
    store(state, o + _SUM_R * LANES, load(state, o + _SUM_R * LANES) + r_E)
    store(state, o + _SUM_S_E * LANES, load(state, o + _SUM_S_E * LANES) + s_E)
    store(state, o + _SUM_S_I * LANES, load(state, o + _SUM_S_I * LANES) + s_I)


@kernel
def _neural_step(step, C, state, S_E, coupling, G_J, streams, n_regions, dt, exponential):
    """One Euler-Maruyama step of all regions; four normals of a counter serve a pair of regions."""
    _couple(C, S_E, coupling, n_regions)
    key_low = load(streams, 0)
    key_high = load(streams, LANES)
    realisation = load(streams, 2 * LANES)
    g = load(G_J, 0)
    for pair in range((n_regions + 1) // 2):
        w0, w1, w2, w3 = philox(uints(_u(step)), uints(_u(pair)), realisation, uints(_u(0)), key_low, key_high)
        z_E, z_I = gaussian_pair(w0, w1)
        _step_region(2 * pair, state, S_E, coupling, g, dt, exponential, z_E, z_I)
        if 2 * pair + 1 < n_regions:
            z_E, z_I = gaussian_pair(w2, w3)
            _step_region(2 * pair + 1, state, S_E, coupling, g, dt, exponential, z_E, z_I)


@kernel
def _hemodynamic_step(state, n_regions, dt, inverse_steps):
    """One Euler step of the Balloon-Windkessel model driven by the mean of S_E over the step.

    f, v and q are kept as deviations from 1, which float32 resolves fifty times finer than the values themselves.
    """
    for region in range(n_regions):
        o = region * _FIELDS * LANES
        sum_S_E = load(state, o + _SUM_S_E * LANES)
        store(state, o + _FRAME_S_E * LANES, load(state, o + _FRAME_S_E * LANES) + sum_S_E)
        store(state, o + _SUM_S_E * LANES, floats(_f(0.0)))
        z = load(state, o + _Z * LANES)
        f = load(state, o + _F * LANES)
        v = load(state, o + _V * LANES)
        q = load(state, o + _Q * LANES)
        flow = f + _f(1.0)
        volume = v + _f(1.0)
        # volume^(1 / alpha) = volume^3 volume^0.03: the small power's exponential needs three terms (to 1e-7 for 0.3 < v < 3).
        t = log(volume) * _SMALL_POWER
        square = volume * volume * (t * (t * (t * _f(1 / 6) + _f(0.5)) + _f(1.0)) + _f(1.0))
        outflow = square * volume
        extraction = _f(1.0) - exp(_LOG_1_RHO / flow)
        store(state, o + _Z * LANES, z + (sum_S_E * inverse_steps - z * _KAPPA - f * _GAMMA_H) * dt)
        store(state, o + _F * LANES, f + z * dt)
        store(state, o + _V * LANES, v + (flow - outflow) * (_RATE_H * dt))
        dq = flow * _INVERSE_RHO * extraction - (q + _f(1.0)) * square
        store(state, o + _Q * LANES, q + dq * (_RATE_H * dt))


@kernel
def _write_bold(state, n_regions, frame):
    for region in range(n_regions):
        o = region * _FIELDS * LANES
        v = load(state, o + _V * LANES)
        q = load(state, o + _Q * LANES)
        signal = (v - q) / (v + _f(1.0)) * _BOLD_2 - q * _BOLD_1 - v * _BOLD_3
        store(frame, region * LANES, signal)


@kernel
def _flush_sums(state, totals, n_regions):
    """Add the sums of this frame to the float64 totals (r_E, S_E, S_I), and start them anew."""
    for region in range(n_regions):
        o = region * _FIELDS * LANES
        for lane in range(LANES):
            totals[0, region, lane] += state[o + _SUM_R * LANES + lane]
            totals[1, region, lane] += state[o + _FRAME_S_E * LANES + lane]
            totals[2, region, lane] += state[o + _SUM_S_I * LANES + lane]
            state[o + _SUM_R * LANES + lane] = _f(0.0)
            state[o + _SUM_S_E * LANES + lane] = _f(0.0)
            state[o + _FRAME_S_E * LANES + lane] = _f(0.0)
            state[o + _SUM_S_I * LANES + lane] = _f(0.0)


@kernel
def _simulate_group(C, state, S_E, G_J, streams, timing, dt, exponential, bold, totals, cancel):
    """Simulate one group of lanes; `bold` (T, N * LANES) and `totals` (3, N, LANES) are filled in place.

    `timing` holds the warm-up steps, neural steps per hemodynamic step, hemodynamic steps in the burn-in and in a TR.
    A set `cancel[0]` ends the loop at the next frame.
    """
    n_regions = len(S_E) // LANES
    warm_up, substeps, burn_in, per_frame = timing
    hemo_dt = _f(dt * substeps)
    inverse_steps = _f(1.0 / substeps)
    coupling = np.empty((n_regions + _ROWS) * LANES, np.float32)
    step = 0
    for _ in range(warm_up):
        _neural_step(step, C, state, S_E, coupling, G_J, streams, n_regions, _f(dt), exponential)
        step += 1
    _flush_sums(state, totals, n_regions)
    totals[:] = 0.0
    frame = -((burn_in + per_frame - 1) // per_frame)
    remaining = burn_in
    while frame < len(bold):
        blocks = per_frame if frame >= 0 else min(per_frame, remaining)
        for _ in range(blocks):
            for _ in range(substeps):
                _neural_step(step, C, state, S_E, coupling, G_J, streams, n_regions, _f(dt), exponential)
                step += 1
            _hemodynamic_step(state, n_regions, hemo_dt, inverse_steps)
        _flush_sums(state, totals, n_regions)
        if frame >= 0:
            _write_bold(state, n_regions, bold[frame])
        else:
            remaining -= blocks
        frame += 1
        if cancel[0]:
            return


def _pack(weights: np.ndarray) -> np.ndarray:
    """The connectome in blocks of `_ROWS` rows, each block column by column, padded with zero rows."""
    n = len(weights)
    padded = np.zeros((-(-n // _ROWS) * _ROWS, n), np.float32)
    padded[:n] = weights
    return np.ascontiguousarray(padded.reshape(-1, _ROWS, n).transpose(0, 2, 1)).reshape(-1)


def simulate_lanes(
    parameters: dict[str, np.ndarray],
    weights: np.ndarray,
    protocol: Protocol,
    keys: np.ndarray,
    realisations: np.ndarray,
    n_threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate M lanes that share one connectome.

    Parameters
    ----------
    parameters : dict of array, (M, N)
        ``w_EE, w_EI, w_IE, I_ext, sigma, S_E, S_I`` (the last two the initial state) and ``G`` (M,), float64.
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
    means : array of float64, (3, M, N)
        Time averages of r_E, S_E and S_I after the warm-up.
    """
    M, N = parameters["w_EE"].shape
    C = _pack(weights)
    bold = np.empty((M, protocol.n_frames, N), np.float32)
    means = np.empty((3, M, N))
    timing = (
        protocol.warm_up_steps,
        protocol.steps_per_hemodynamic_step,
        protocol.burn_in_steps // protocol.steps_per_hemodynamic_step,
        protocol.steps_per_tr // protocol.steps_per_hemodynamic_step,
    )
    exponential = protocol.scheme == "exponential"
    averaged_steps = protocol.n_steps - protocol.warm_up_steps
    cancel = np.zeros(1, np.uint8)

    def run(first: int) -> None:
        if cancel[0]:
            return
        # Lanes beyond the last simulation repeat it: every group is full, so that every lane takes the same path.
        lanes = np.minimum(np.arange(first, first + LANES), M - 1)
        used = min(LANES, M - first)
        state, S_E, G_J, streams = _group_state(parameters, lanes, protocol.dt_s, keys, realisations)
        group_bold = np.empty((protocol.n_frames, N * LANES), np.float32)
        totals = np.zeros((3, N, LANES))
        _simulate_group(C, state, S_E, G_J, streams, timing, protocol.dt_s, exponential, group_bold, totals, cancel)
        bold[first : first + used] = group_bold.reshape(-1, N, LANES)[:, :, :used].transpose(2, 0, 1)
        means[:, first : first + used] = totals[:, :, :used].transpose(0, 2, 1) / averaged_steps

    with ThreadPoolExecutor(max_workers=n_threads) as pool:
        try:
            for _ in pool.map(run, range(0, M, LANES)):
                pass
        except BaseException:
            cancel[0] = 1
            raise
    return bold, means


def _group_state(parameters, lanes, dt_s, keys, realisations):
    """The arrays of one group: per-region state, S_E, G J, and the noise streams (key low, key high, realisation)."""
    N = parameters["w_EE"].shape[1]
    J = NEURAL.J
    state = np.zeros((N, _FIELDS, LANES), np.float32)
    state[:, _J_W_EE] = (J * parameters["w_EE"][lanes]).T
    state[:, _J_W_EI] = (J * parameters["w_EI"][lanes]).T
    state[:, _W_IE] = parameters["w_IE"][lanes].T
    state[:, _I_E0] = (NEURAL.W_E * NEURAL.I_0 + parameters["I_ext"][lanes]).T
    state[:, _NOISE] = (math.sqrt(dt_s) * parameters["sigma"][lanes]).T
    state[:, _S_I] = parameters["S_I"][lanes].T
    S_E = np.ascontiguousarray(parameters["S_E"][lanes].T, dtype=np.float32).reshape(-1)
    G_J = (J * parameters["G"][lanes]).astype(np.float32)
    return state.reshape(-1), S_E, G_J, _streams(keys[lanes], realisations[lanes])


def _streams(keys: np.ndarray, realisations: np.ndarray) -> np.ndarray:
    """The noise streams of a group: low and high words of the keys, and the realisations, LANES each."""
    low, high = keys & np.uint64(0xFFFFFFFF), keys >> np.uint64(32)
    return np.concatenate([low.astype(np.uint32), high.astype(np.uint32), realisations.astype(np.uint32)])


@kernel
def _fill_normals(first_step, streams, out):
    n_steps, n_regions = out.shape[0], out.shape[1]
    key_low = load(streams, 0)
    key_high = load(streams, LANES)
    realisation = load(streams, 2 * LANES)
    flat = out.reshape(-1)
    for step in range(n_steps):
        for pair in range((n_regions + 1) // 2):
            w0, w1, w2, w3 = philox(uints(_u(first_step + step)), uints(_u(pair)), realisation, uints(_u(0)), key_low, key_high)
            z_E, z_I = gaussian_pair(w0, w1)
            o = (step * n_regions + 2 * pair) * 2 * LANES
            store(flat, o, z_E)
            store(flat, o + LANES, z_I)
            if 2 * pair + 1 < n_regions:
                z_E, z_I = gaussian_pair(w2, w3)
                store(flat, o + 2 * LANES, z_E)
                store(flat, o + 3 * LANES, z_I)


def standard_normals(keys: np.ndarray, realisations: np.ndarray, first_step: int, n_steps: int, n_regions: int) -> np.ndarray:
    """The noise of M lanes for some steps, as every backend uses it: float32, (n_steps, M, N, 2), the last axis (E, I)."""
    M = len(keys)
    noise = np.empty((n_steps, M, n_regions, 2), np.float32)
    for first in range(0, M, LANES):
        lanes = np.minimum(np.arange(first, first + LANES), M - 1)
        used = min(LANES, M - first)
        streams = _streams(keys[lanes], realisations[lanes])
        block = np.empty((n_steps, n_regions, 2, LANES), np.float32)
        _fill_normals(first_step, streams, block)
        noise[:, first : first + used] = block[..., :used].transpose(0, 3, 1, 2)
    return noise
