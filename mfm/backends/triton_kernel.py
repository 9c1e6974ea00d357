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

from mfm.backends.triton_math import (
    exp2,
    gaussian_pair,
    log2,
    philox,
    reciprocal,
    transfer_function,
    transfer_function_and_slope,
)
from mfm.models.constants import HEMODYNAMIC, NEURAL
from mfm.models.fic_feedback import excitatory_resting_point

_S_STAR = tl.constexpr(excitatory_resting_point()[0])
_D_E, _LEAK_E = tl.constexpr(NEURAL.d_E), tl.constexpr(1 / NEURAL.tau_E)
_A_I, _D_I, _LEAK_I = tl.constexpr(NEURAL.a_I), tl.constexpr(NEURAL.d_I), tl.constexpr(1 / NEURAL.tau_I)
_I_I0 = tl.constexpr(NEURAL.a_I * NEURAL.W_I * NEURAL.I_0 - NEURAL.b_I)
_GAMMA = tl.constexpr(NEURAL.gamma)

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
def _neural_step(e, S_I, coupling, parameters, dt, z_E, z_I, EXPONENTIAL: tl.constexpr, NATIVE: tl.constexpr):
    """One Euler-Maruyama step (`mfm.dynamics.neural_drift`), that of S_I by the protocol's scheme: e, S_I and r_E."""
    constant, from_E, from_I, to_I, amplitude = parameters
    S_E = e + _S_STAR
    r_E = transfer_function(constant + from_E * e + coupling - from_I * S_I, _D_E, NATIVE)
    x_I = to_I * S_E + (_I_I0 - _A_I * S_I)
    if EXPONENTIAL:
        r_I, slope = transfer_function_and_slope(x_I, _D_I, NATIVE)
        y = (slope * _A_I + _LEAK_I) * dt
        share = reciprocal(y * (y * (1 / 12) + 0.5) + 1.0, NATIVE)
        S_I = S_I + ((r_I - S_I * _LEAK_I) * dt + amplitude * z_I) * share
    else:
        r_I = transfer_function(x_I, _D_I, NATIVE)
        S_I = S_I + (r_I - S_I * _LEAK_I) * dt + amplitude * z_I
    e = e + ((1.0 - S_E) * (_GAMMA * r_E) - S_E * _LEAK_E) * dt + amplitude * z_E
    return e, S_I, r_E


@triton.jit
def _hemodynamic_step(hemodynamics, drive, dt, NATIVE: tl.constexpr):
    """One Euler step of the Balloon-Windkessel model; f, v and q are deviations from 1, which float32 resolves better."""
    z, f, v, q = hemodynamics
    flow = f + 1.0
    volume = v + 1.0
    # volume^(1 / alpha) = volume^3 volume^0.03: the small power's exponential needs three terms.
    t = log2(volume, NATIVE) * _SMALL_POWER
    square = volume * volume * (t * (t * (t * (1 / 6) + 0.5) + 1.0) + 1.0)
    extraction = 1.0 - exp2(reciprocal(flow, NATIVE) * _LOG2_1_RHO, NATIVE)
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
def _add_totals(totals, stride, sums):
    """Add the sums of a frame to the float64 totals."""
    for k in tl.static_range(3):
        tl.store(totals + k * stride, tl.load(totals + k * stride) + sums[k].to(tl.float64))


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
    parameters,
    lane_parameters,
    streams,
    state,
    totals,
    bold,
    scratch,
    stride_lanes,
    HALF: tl.constexpr,
    LANES: tl.constexpr,
    RESIDENT: tl.constexpr,
    DEPTH: tl.constexpr,
    EVERY_STEP: tl.constexpr,
    EXPONENTIAL: tl.constexpr,
    NATIVE: tl.constexpr,
):
    """Advance `LANES` simulations by n_outer x n_blocks x substeps neural steps; see `mfm.backends.gpu` for the arrays.

    A block is a hemodynamic step of `substeps` neural ones (one where `EVERY_STEP`). After every n_blocks of them the sums are
    added to the totals if `is_averaged`, and BOLD is written if ``first_frame >= 0``.
    """
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
    p_0 = (
        tl.load(parameters + at_0),
        tl.load(parameters + stride + at_0),
        tl.load(parameters + 2 * stride + at_0),
        tl.load(parameters + 3 * stride + at_0),
        tl.load(parameters + 4 * stride + at_0),
    )
    p_1 = (
        tl.load(parameters + at_1),
        tl.load(parameters + stride + at_1),
        tl.load(parameters + 2 * stride + at_1),
        tl.load(parameters + 3 * stride + at_1),
        tl.load(parameters + 4 * stride + at_1),
    )
    gain = tl.load(lane_parameters + lanes)[None, :]
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
        scratch += program.to(tl.int64) * (8 * HALF * LANES)

    e_0 = tl.load(state + at_0)
    e_1 = tl.load(state + at_1)
    S_I_0 = tl.load(state + stride + at_0)
    S_I_1 = tl.load(state + stride + at_1)
    h_0 = (
        tl.load(state + 2 * stride + at_0),
        tl.load(state + 3 * stride + at_0),
        tl.load(state + 4 * stride + at_0),
        tl.load(state + 5 * stride + at_0),
    )
    h_1 = (
        tl.load(state + 2 * stride + at_1),
        tl.load(state + 3 * stride + at_1),
        tl.load(state + 4 * stride + at_1),
        tl.load(state + 5 * stride + at_1),
    )
    zero = tl.zeros((HALF, LANES), tl.float32)
    for outer in range(n_outer):
        sum_r_0 = zero
        sum_r_1 = zero
        sum_e_0 = zero
        sum_e_1 = zero
        sum_I_0 = zero
        sum_I_1 = zero
        for _block in range(n_blocks):
            drive_0 = zero
            drive_1 = zero
            for _substep in range(1 if EVERY_STEP else substeps):
                e = _half_precision(e_0, e_1, HALF, LANES)
                if RESIDENT:
                    sums = tl.dot(low, e, tl.dot(high, e))
                else:
                    # Two copies in turns: one barrier per step is enough.
                    copy = scratch + (step % 2) * (4 * HALF * LANES)
                    sums = _stream_product(weights, copy, e, n_regions, HALF, LANES, DEPTH)
                sums_0, sums_1 = _sum_parts(sums, HALF, LANES)
                # Zero, but not to the pass that lays tensors out over threads: noise gets the layout of the state.
                tie = (e_0.to(tl.uint32, bitcast=True) >> 31) >> 1
                w0, w1, w2, w3 = philox(tie + step.to(tl.uint32), tie + pair_word, tie + realisation, key_low, key_high)
                z_E, z_I = gaussian_pair(w0, w1, NATIVE)
                e_0, S_I_0, r_E = _neural_step(e_0, S_I_0, gain * sums_0, p_0, dt_0, z_E, z_I, EXPONENTIAL, NATIVE)
                sum_r_0 += r_E
                sum_I_0 += S_I_0
                drive_0 += e_0
                z_E, z_I = gaussian_pair(w2, w3, NATIVE)
                e_1, S_I_1, r_E = _neural_step(e_1, S_I_1, gain * sums_1, p_1, dt_1, z_E, z_I, EXPONENTIAL, NATIVE)
                sum_r_1 += r_E
                sum_I_1 += S_I_1
                drive_1 += e_1
                step += 1
            sum_e_0 += drive_0
            sum_e_1 += drive_1
            h_0 = _hemodynamic_step(h_0, drive_0 * inverse_substeps + _S_STAR, hemo_dt_0, NATIVE)
            h_1 = _hemodynamic_step(h_1, drive_1 * inverse_substeps + _S_STAR, hemo_dt_1, NATIVE)
        if is_averaged != 0:
            _add_totals(totals + at_0, stride, (sum_r_0, sum_e_0, sum_I_0))
            _add_totals(totals + at_1, stride, (sum_r_1, sum_e_1, sum_I_1))
        if first_frame >= 0:
            frame = (of_program.to(tl.int64)[None, :] * n_frames + first_frame + outer) * n_regions + 2 * pair[:, None]
            kept = lanes[None, :] < end_lane
            tl.store(bold + frame, _bold(h_0), mask=exists_0 & kept)
            tl.store(bold + frame + 1, _bold(h_1), mask=exists_1 & kept)
    tl.store(state + at_0, e_0)
    tl.store(state + at_1, e_1)
    tl.store(state + stride + at_0, S_I_0)
    tl.store(state + stride + at_1, S_I_1)
    for k in tl.static_range(4):
        tl.store(state + (2 + k) * stride + at_0, h_0[k])
        tl.store(state + (2 + k) * stride + at_1, h_1[k])
