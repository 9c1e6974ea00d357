"""The `triton` backend's kernel: the whole simulation of a tile of candidates, noise and hemodynamics included, in one loop.

A program owns `LANES` simulations (candidates x realisations) of one subject, and all regions. What differs between subjects -
connectome, timing, length - stands in a table with a row for each program, so that one launch simulates many. The regions are
kept as two halves, the even and the odd ones, each padded to `HALF` = a power of two: one Philox call makes the four normals of
a pair of regions, an even and its odd neighbour, and both halves then have the same layout of threads. State stays in registers
between the first and the last step of a launch; global memory sees BOLD once per TR and the state once per launch.

**Coupling.** The state is e = S_E - S_E*, the deviation from the fixed point, and only e is multiplied by the connectome; what
C does to S_E* is part of a constant current, computed in float64. Both factors are split into two half-precision numbers
(value = high + low, 22 bits) and all four products go to the tensor cores with float32 sums: the relative error of a product
is below 2^-21, and e is about a tenth of S_E. Connectomes of more than 128 regions do not fit in shared memory; they are
streamed from the second-level cache at every step.

**What should limit it** (counted in machine code for compute capability 9.0, not measured). A row, region or padding, takes
about 145 instructions of a thread per step, 9 of them special functions, hemodynamics at every step included; 68 regions are
128 rows. A GPU of 132 multiprocessors, each issuing 128 lanes at 1.75 GHz, would need 0.009 ns per region-step if it issued
at every cycle. Parameters that do not fit in registers are read again from local memory at every step; nothing is written
there. Instruction issue is the limit up to 128 regions, the second-level cache beyond.
"""

from __future__ import annotations

import math

import triton
import triton.language as tl

from mfm.backends.triton_math import exp2, gaussian_pair, log2, philox, reciprocal
from mfm.constants import HEMODYNAMIC

_H = HEMODYNAMIC
_KAPPA, _GAMMA_H, _RATE_H = tl.constexpr(_H.kappa), tl.constexpr(_H.gamma), tl.constexpr(1 / _H.tau)
_SMALL_POWER = tl.constexpr((1 / _H.alpha - 3) * math.log(2))
_INVERSE_RHO, _LOG2_1_RHO = tl.constexpr(1 / _H.rho), tl.constexpr(math.log2(1 - _H.rho))
_BOLD_1, _BOLD_2, _BOLD_3 = (tl.constexpr(100 / _H.rho * _H.V_0 * k) for k in (_H.k_1, _H.k_2, _H.k_3))

#: e is multiplied by this before it becomes half precision, so that its low part stays in the normal range.
DEVIATION_SCALE = tl.constexpr(1024.0)


@triton.jit
def _half_precision(e_0, e_1, HALF: tl.constexpr, LANES: tl.constexpr):
    """e as (2 HALF, 2 LANES) in half precision: the high parts of all lanes, then the low parts; together 22 bits."""
    e_0 = e_0 * DEVIATION_SCALE
    e_1 = e_1 * DEVIATION_SCALE
    high_0 = e_0.to(tl.float16)
    high_1 = e_1.to(tl.float16)
    low_0 = (e_0 - high_0.to(tl.float32)).to(tl.float16)
    low_1 = (e_1 - high_1.to(tl.float32)).to(tl.float16)
    x = tl.join(tl.join(high_0, high_1), tl.join(low_0, low_1)).reshape(HALF // 8, 8, LANES, 2, 2)
    return x.permute(0, 3, 1, 4, 2).reshape(2 * HALF, 2 * LANES)


@triton.jit
def _sum_parts(x, HALF: tl.constexpr, LANES: tl.constexpr):
    """Products with the high and with the low parts of e added up, as even and odd regions."""
    x = x.reshape(HALF // 8, 2, 8, 2, LANES).permute(0, 2, 4, 1, 3)
    of_high, of_low = tl.split(x.reshape(HALF, LANES, 2, 2))
    return tl.split(of_high + of_low)


@triton.jit
def _stream_product(weights, scratch, e, n_regions, HALF: tl.constexpr, LANES: tl.constexpr, DEPTH: tl.constexpr):
    """C e for a connectome that is read anew at every step; e goes through global memory, which a program has to itself."""
    SIZE: tl.constexpr = 2 * HALF
    row = tl.arange(0, SIZE)
    column = tl.arange(0, 2 * LANES)
    tl.store(scratch + row[:, None] * (2 * LANES) + column[None, :], e)
    tl.debug_barrier()
    sums = tl.zeros((SIZE, 2 * LANES), tl.float32)
    # Rows and columns of padding are not read: they would be a third of the traffic at 400 regions.
    n_rows = (n_regions + 15) // 16 * 16
    used = (row < n_rows)[:, None]
    for first in range(0, n_rows, DEPTH):
        k = first + tl.arange(0, DEPTH)
        part = tl.load(scratch + k[:, None] * (2 * LANES) + column[None, :])
        block = weights + row[:, None] * SIZE + k[None, :]
        sums = tl.dot(tl.load(block, mask=used, other=0.0), part, sums)
        sums = tl.dot(tl.load(block + SIZE * SIZE, mask=used, other=0.0), part, sums)
    return sums


@triton.jit
def _load_rows(rows, stride, at, COUNT: tl.constexpr):
    """`COUNT` rows as a tuple of tiles."""
    tiles = ()
    for k in tl.static_range(COUNT):
        tiles = tiles + (tl.load(rows + k * stride + at),)
    return tiles


@triton.jit
def _repeated(x, COUNT: tl.constexpr):
    tiles = ()
    for _ in tl.static_range(COUNT):
        tiles = tiles + (x,)
    return tiles


@triton.jit
def _normals(step, pair, realisation, key_low, key_high, MODEL: tl.constexpr):
    """The noise of a step: 2 M normals for each pair of regions, those of the even region, then of the odd one (M states).

    Normals are numbered region by region, four to a Philox counter; Box and Muller make two at a time, M times for a pair of
    regions. Where M is odd, every second pair of regions begins in the middle of a counter.
    """
    M: tl.constexpr = MODEL.shape.n_states
    first = pair * (M // 2) if M % 2 == 0 else (pair * M) >> 1
    words = ()
    for k in tl.static_range((M + 1) // 2):
        w0, w1, w2, w3 = philox(step, first + k, realisation, key_low, key_high)
        words = words + ((w0, w1), (w2, w3))
    z = ()
    if M % 2 == 0:
        for m in tl.static_range(M):
            a, b = gaussian_pair(words[m][0], words[m][1])
            z = z + (a, b)
    else:
        is_odd = (pair & 1) == 1
        for m in tl.static_range(M):
            w0 = tl.where(is_odd, words[m + 1][0], words[m][0])
            w1 = tl.where(is_odd, words[m + 1][1], words[m][1])
            a, b = gaussian_pair(w0, w1)
            z = z + (a, b)
    return z


@triton.jit
def _observed(x, of_lane, MODEL: tl.constexpr):
    """The observed state itself, if what is kept is its deviation."""
    CHANNELS: tl.constexpr = MODEL.shape.channels
    if CHANNELS[MODEL.shape.observed] < 0:
        return x
    else:
        return x + of_lane[3 * CHANNELS[MODEL.shape.observed] + 2]


@triton.jit
def _with_reference(x, of_lane, MODEL: tl.constexpr):
    """The states themselves, of those kept as deviations too."""
    CHANNELS: tl.constexpr = MODEL.shape.channels
    N_STATES: tl.constexpr = MODEL.shape.n_states
    full = ()
    for k in tl.static_range(N_STATES):
        if CHANNELS[k] < 0:
            full = full + (x[k],)
        else:
            full = full + (x[k] + of_lane[3 * CHANNELS[k] + 2],)
    return full


@triton.jit
def _neural_step(x, coupling, constants, amplitude, of_lane, dt, z, MODEL: tl.constexpr, EXPONENTIAL: tl.constexpr):
    """One Euler-Maruyama step, that of fast states by the protocol's scheme: the states, then what the model reports."""
    N_STATES: tl.constexpr = MODEL.shape.n_states
    N_REPORTED: tl.constexpr = MODEL.shape.n_reported
    N_FAST: tl.constexpr = MODEL.shape.n_fast
    RATES: tl.constexpr = MODEL.shape.rates
    found = MODEL.drift(_with_reference(x, of_lane, MODEL), coupling, constants)
    shares = ()
    if EXPONENTIAL:
        rates = MODEL.decay(found[N_STATES + N_REPORTED])
        for k in tl.static_range(N_FAST):
            y = (rates if MODEL.shape.one_rate else rates[k]) * dt
            # The Pade approximant of (1 - e^-y) / y (`mfm.dynamics.inhibitory_step_share`).
            shares = shares + (reciprocal(y * (y * (1 / 12) + 0.5) + 1.0),)
    stepped = ()
    for k in tl.static_range(N_STATES):
        if EXPONENTIAL and RATES[k] >= 0:
            stepped = stepped + (x[k] + (found[k] * dt + amplitude * z[k]) * shares[RATES[k]],)
        else:
            stepped = stepped + (x[k] + found[k] * dt + amplitude * z[k],)
    reported = ()
    for k in tl.static_range(N_REPORTED):
        reported = reported + (found[N_STATES + k],)
    return stepped, reported


@triton.jit
def _hemodynamic_step(hemodynamics, drive, dt):
    """One Euler step of the Balloon-Windkessel model; f, v and q are deviations from 1, which float32 resolves better."""
    z, f, v, q = hemodynamics
    flow = f + 1.0
    volume = v + 1.0
    # volume^(1 / alpha) = volume^3 volume^0.03: the small power's exponential needs three terms.
    t = log2(volume) * _SMALL_POWER
    square = volume * volume * (t * (t * (t * (1 / 6) + 0.5) + 1.0) + 1.0)
    extraction = 1.0 - exp2(reciprocal(flow) * _LOG2_1_RHO)
    dq = flow * _INVERSE_RHO * extraction - (q + 1.0) * square
    rate = _RATE_H * dt
    return (
        z + (drive - z * _KAPPA - f * _GAMMA_H) * dt,
        f + z * dt,
        v + (flow - square * volume) * rate,
        q + dq * rate,
    )


@triton.jit
def _bold(hemodynamics):
    _z, _f, v, q = hemodynamics
    return (v - q) / (v + 1.0) * _BOLD_2 - q * _BOLD_1 - v * _BOLD_3


@triton.jit
def _couplings(x_0, x_1, weights, high, low, scratch, of_lane, strength_0, strength_1, n_regions, step,
               MODEL: tl.constexpr, HALF: tl.constexpr, LANES: tl.constexpr, RESIDENT: tl.constexpr, DEPTH: tl.constexpr):  # fmt: skip
    """The coupling of the even and of the odd regions, by channel."""
    CARRIED: tl.constexpr = MODEL.shape.carried
    N_CHANNELS: tl.constexpr = MODEL.shape.n_channels
    coupling_0 = ()
    coupling_1 = ()
    for c in tl.static_range(N_CHANNELS):
        e = _half_precision(x_0[CARRIED[c]], x_1[CARRIED[c]], HALF, LANES)
        if RESIDENT:
            sums = tl.dot(low, e, tl.dot(high, e))
        else:
            # Two copies in turns: one barrier per product is enough.
            copy = scratch + (step % 2 * N_CHANNELS + c) * (4 * HALF * LANES)
            sums = _stream_product(weights, copy, e, n_regions, HALF, LANES, DEPTH)
        sums_0, sums_1 = _sum_parts(sums, HALF, LANES)
        gain = of_lane[3 * c]
        base = of_lane[3 * c + 1]
        coupling_0 = coupling_0 + (tl.fma(base, strength_0, gain * sums_0),)
        coupling_1 = coupling_1 + (tl.fma(base, strength_1, gain * sums_1),)
    return coupling_0, coupling_1


@triton.jit
def _part(tiles, FIRST: tl.constexpr, END: tl.constexpr):
    """Some of a tuple of tiles."""
    part = ()
    for k in tl.static_range(FIRST, END):
        part = part + (tiles[k],)
    return part


@triton.jit
def _add_to_sums(sums, reported, x, MODEL: tl.constexpr):
    """The sums of a frame after one more step; that of the observed state grows by blocks (`_add_drive`)."""
    N_REPORTED: tl.constexpr = MODEL.shape.n_reported
    N_STATES: tl.constexpr = MODEL.shape.n_states
    added = ()
    for k in tl.static_range(N_REPORTED):
        added = added + (sums[k] + reported[k],)
    for k in tl.static_range(N_STATES):
        if k == MODEL.shape.observed:
            added = added + (sums[N_REPORTED + k],)
        else:
            added = added + (sums[N_REPORTED + k] + x[k],)
    return added


@triton.jit
def _add_drive(sums, drive, MODEL: tl.constexpr):
    """The sums of a frame after one more block: `drive` is the sum over the block of the observed state."""
    N_AVERAGES: tl.constexpr = MODEL.shape.n_averages
    added = ()
    for k in tl.static_range(N_AVERAGES):
        if k == MODEL.shape.n_reported + MODEL.shape.observed:
            added = added + (sums[k] + drive,)
        else:
            added = added + (sums[k],)
    return added


@triton.jit
def _add_totals(totals, stride, sums, COUNT: tl.constexpr):
    """Add the sums of a frame to the float64 totals."""
    for k in tl.static_range(COUNT):
        tl.store(totals + k * stride, tl.load(totals + k * stride) + sums[k].to(tl.float64))


@triton.jit
def _store_rows(rows, stride, tiles, FIRST: tl.constexpr, COUNT: tl.constexpr):
    for k in tl.static_range(COUNT):
        tl.store(rows + (FIRST + k) * stride, tiles[k])


#: Columns of the table of programs: whole numbers, then durations (`mfm.backends.gpu` fills them).
PLAN = (
    "subject", "first_lane", "end_lane", "bold", "n_regions", "n_frames", "first_step", "n_outer", "n_blocks", "substeps",
    "first_frame", "is_averaged",
)  # fmt: skip
TIMES = ("dt", "hemo_dt", "inverse_substeps")
_N_PLAN, _N_TIMES = tl.constexpr(len(PLAN)), tl.constexpr(len(TIMES))


@triton.jit
def simulate_kernel(
    plan,
    times,
    weights,
    strengths,
    parameters,
    lane_parameters,
    streams,
    state,
    totals,
    bold,
    scratch,
    stride_lanes,
    MODEL: tl.constexpr,
    HALF: tl.constexpr,
    LANES: tl.constexpr,
    RESIDENT: tl.constexpr,
    DEPTH: tl.constexpr,
    EVERY_STEP: tl.constexpr,
    EXPONENTIAL: tl.constexpr,
):
    """Advance `LANES` simulations by n_outer x n_blocks x substeps neural steps; see `mfm.backends.gpu` for the arrays.

    `MODEL` is of `mfm.backends.triton_model`. A block is a hemodynamic step of `substeps` neural ones (one where `EVERY_STEP`).
    After every n_blocks of them the sums are added to the totals if `is_averaged`, and BOLD is written if ``first_frame >= 0``.
    """
    N_CONSTANTS: tl.constexpr = MODEL.shape.n_constants
    N_STATES: tl.constexpr = MODEL.shape.n_states
    N_AVERAGES: tl.constexpr = MODEL.shape.n_averages
    OBSERVED: tl.constexpr = MODEL.shape.observed
    HEMODYNAMICS: tl.constexpr = MODEL.shape.hemodynamics

    program = tl.program_id(0)
    plan += program * _N_PLAN
    subject = tl.load(plan)
    first_lane = tl.load(plan + 1).to(tl.int32)
    end_lane = tl.load(plan + 2).to(tl.int32)
    bold += tl.load(plan + 3)
    n_regions = tl.load(plan + 4).to(tl.int32)
    n_frames = tl.load(plan + 5)
    step = tl.load(plan + 6).to(tl.int32)
    n_outer = tl.load(plan + 7).to(tl.int32)
    n_blocks = tl.load(plan + 8).to(tl.int32)
    substeps = tl.load(plan + 9).to(tl.int32)
    first_frame = tl.load(plan + 10).to(tl.int32)
    is_averaged = tl.load(plan + 11).to(tl.int32)
    times += program * _N_TIMES
    dt = tl.load(times)
    hemo_dt = tl.load(times + 1)
    inverse_substeps = tl.load(times + 2)

    of_program = tl.arange(0, LANES)
    lanes = first_lane + of_program
    pair = tl.arange(0, HALF)
    # Rows beyond the last region never move: their steps have length 0.
    exists_0 = (2 * pair < n_regions)[:, None]
    exists_1 = (2 * pair + 1 < n_regions)[:, None]
    dt_0 = tl.where(exists_0, dt, 0.0)
    dt_1 = tl.where(exists_1, dt, 0.0)
    hemo_dt_0 = tl.where(exists_0, hemo_dt, 0.0)
    hemo_dt_1 = tl.where(exists_1, hemo_dt, 0.0)

    stride = 2 * HALF * stride_lanes.to(tl.int64)
    at_0 = pair.to(tl.int64)[:, None] * stride_lanes + lanes[None, :]
    at_1 = at_0 + HALF * stride_lanes.to(tl.int64)
    constants_0 = _load_rows(parameters, stride, at_0, N_CONSTANTS)
    constants_1 = _load_rows(parameters, stride, at_1, N_CONSTANTS)
    amplitude_0 = tl.load(parameters + N_CONSTANTS * stride + at_0)
    amplitude_1 = tl.load(parameters + N_CONSTANTS * stride + at_1)
    of_lane = _load_rows(lane_parameters, stride_lanes, lanes[None, :], 3 * MODEL.shape.n_channels)
    strengths += subject * (2 * HALF)
    strength_0 = tl.load(strengths + pair)[:, None]
    strength_1 = tl.load(strengths + HALF + pair)[:, None]
    key_low = tl.load(streams + lanes)[None, :].to(tl.uint32, bitcast=True)
    key_high = tl.load(streams + stride_lanes + lanes)[None, :].to(tl.uint32, bitcast=True)
    realisation = tl.load(streams + 2 * stride_lanes + lanes)[None, :].to(tl.uint32, bitcast=True)
    zero_words = tl.zeros((HALF, LANES), tl.uint32)
    pair_word = zero_words + pair.to(tl.uint32)[:, None]
    realisation = zero_words + realisation

    weights += subject * (8 * HALF * HALF)
    size_index = tl.arange(0, 2 * HALF)
    block = weights + size_index[:, None] * (2 * HALF) + size_index[None, :]
    if RESIDENT:
        high = tl.load(block)
        low = tl.load(block + 4 * HALF * HALF)
    else:
        high = 0
        low = 0
        scratch += program.to(tl.int64) * (8 * HALF * LANES * MODEL.shape.n_channels)

    x_0 = _load_rows(state, stride, at_0, N_STATES)
    x_1 = _load_rows(state, stride, at_1, N_STATES)
    h_0 = _load_rows(state + N_STATES * stride, stride, at_0, MODEL.shape.n_kept - N_STATES)
    h_1 = _load_rows(state + N_STATES * stride, stride, at_1, MODEL.shape.n_kept - N_STATES)
    zero = tl.zeros((HALF, LANES), tl.float32)
    for outer in range(n_outer):
        sums_0 = _repeated(zero, N_AVERAGES)
        sums_1 = _repeated(zero, N_AVERAGES)
        for _block in range(n_blocks):
            drive_0 = zero
            drive_1 = zero
            for _substep in range(1 if EVERY_STEP else substeps):
                coupling_0, coupling_1 = _couplings(
                    x_0, x_1, weights, high, low, scratch, of_lane, strength_0, strength_1, n_regions, step,
                    MODEL, HALF, LANES, RESIDENT, DEPTH,
                )  # fmt: skip
                # Zero, but not to the pass that lays tensors out over threads: noise gets the layout of the state.
                tie = (x_0[0].to(tl.uint32, bitcast=True) >> 31) >> 1
                z = _normals(tie + step.to(tl.uint32), tie + pair_word, tie + realisation, key_low, key_high, MODEL)
                z_0 = _part(z, 0, N_STATES)
                z_1 = _part(z, N_STATES, 2 * N_STATES)
                x_0, reported_0 = _neural_step(
                    x_0, coupling_0, constants_0, amplitude_0, of_lane, dt_0, z_0, MODEL, EXPONENTIAL
                )
                sums_0 = _add_to_sums(sums_0, reported_0, x_0, MODEL)
                drive_0 += x_0[OBSERVED]
                x_1, reported_1 = _neural_step(
                    x_1, coupling_1, constants_1, amplitude_1, of_lane, dt_1, z_1, MODEL, EXPONENTIAL
                )
                sums_1 = _add_to_sums(sums_1, reported_1, x_1, MODEL)
                drive_1 += x_1[OBSERVED]
                step += 1
            sums_0 = _add_drive(sums_0, drive_0, MODEL)
            sums_1 = _add_drive(sums_1, drive_1, MODEL)
            if HEMODYNAMICS:
                seen_0 = _observed(drive_0 * inverse_substeps, of_lane, MODEL)
                seen_1 = _observed(drive_1 * inverse_substeps, of_lane, MODEL)
                h_0 = _hemodynamic_step(h_0, seen_0, hemo_dt_0)
                h_1 = _hemodynamic_step(h_1, seen_1, hemo_dt_1)
        if is_averaged != 0:
            _add_totals(totals + at_0, stride, sums_0, N_AVERAGES)
            _add_totals(totals + at_1, stride, sums_1, N_AVERAGES)
        if first_frame >= 0:
            frame = (of_program.to(tl.int64)[None, :] * n_frames + first_frame + outer) * n_regions + 2 * pair[:, None]
            kept = lanes[None, :] < end_lane
            if HEMODYNAMICS:
                seen_0 = _bold(h_0)
                seen_1 = _bold(h_1)
            else:
                seen_0 = _observed(x_0[OBSERVED], of_lane, MODEL)
                seen_1 = _observed(x_1[OBSERVED], of_lane, MODEL)
            tl.store(bold + frame, seen_0, mask=exists_0 & kept)
            tl.store(bold + frame + 1, seen_1, mask=exists_1 & kept)
    _store_rows(state + at_0, stride, x_0, 0, N_STATES)
    _store_rows(state + at_1, stride, x_1, 0, N_STATES)
    _store_rows(state + at_0, stride, h_0, N_STATES, MODEL.shape.n_kept - N_STATES)
    _store_rows(state + at_1, stride, h_1, N_STATES, MODEL.shape.n_kept - N_STATES)
