"""The `triton` backend's kernel: the whole simulation of a tile of candidates, noise and hemodynamics included, in one loop.

A program owns `LANES` simulations (candidates x realisations) of one subject, and all regions. What differs between subjects -
connectome, timing, length - stands in a table with a row for each program, so that one launch simulates many. The regions are
kept as two halves, the even and the odd ones, each padded to `HALF` = a power of two: one Philox call makes the four normals of
a pair of regions, an even and its odd neighbour, and both halves then have the same layout of threads. State stays in registers
between the first and the last step of a launch; global memory sees BOLD once per TR and the state once per launch.

**Models.** The equations are a compile-time constant (`mfm.simulation.gpu_model`), and with them how many constants, states,
channels of coupling and averages there are: tuples of tiles, unrolled. A state that the connectome carries is kept as its
deviation from a reference (`mfm.simulation.gpu_coupling`).

**What should limit it** (FIC, counted in machine code for compute capability 9.0, not measured). A row, region or padding,
takes about 150 instructions of a thread per step, 9 of them special functions, hemodynamics at every step included; 68 regions
are 128 rows. A GPU of 132 multiprocessors, each issuing 128 lanes at 1.75 GHz, would need 0.009 ns per region-step if it issued
at every cycle. Parameters that do not fit in registers are read again from local memory at every step; nothing is written
there. Instruction issue is the limit up to 128 regions, the second-level cache beyond.
"""

from __future__ import annotations

import triton
import triton.language as tl

from mfm.simulation.gpu_coupling import couplings
from mfm.simulation.gpu_step import bold_signal, hemodynamic_step, neural_step, normals, observed


@triton.jit
def _load_rows(rows, stride, at, COUNT: tl.constexpr):
    """`COUNT` rows as a tuple of tiles."""
    tiles = ()
    for k in tl.static_range(COUNT):
        tiles += (tl.load(rows + k * stride + at),)
    return tiles


@triton.jit
def _store_rows(rows, stride, tiles, FIRST: tl.constexpr, COUNT: tl.constexpr):
    for k in tl.static_range(COUNT):
        tl.store(rows + (FIRST + k) * stride, tiles[k])


@triton.jit
def _repeated(x, COUNT: tl.constexpr):
    tiles = ()
    for _ in tl.static_range(COUNT):
        tiles += (x,)
    return tiles


@triton.jit
def _add_to_sums(sums, reported, x, MODEL: tl.constexpr):
    """The sums of a frame after one more step; that of the observed state grows by blocks (`_add_drive`)."""
    N_REPORTED: tl.constexpr = MODEL.shape.n_reported
    N_STATES: tl.constexpr = MODEL.shape.n_states
    added = ()
    for k in tl.static_range(N_REPORTED):
        added += (sums[k] + reported[k],)
    for k in tl.static_range(N_STATES):
        before = sums[N_REPORTED + k]
        added += (before if k == MODEL.shape.observed else before + x[k],)
    return added


@triton.jit
def _add_drive(sums, drive, MODEL: tl.constexpr):
    """The sums of a frame after one more block: `drive` is the sum over the block of the observed state."""
    N_AVERAGES: tl.constexpr = MODEL.shape.n_averages
    added = ()
    for k in tl.static_range(N_AVERAGES):
        added += (sums[k] + drive if k == MODEL.shape.n_reported + MODEL.shape.observed else sums[k],)
    return added


@triton.jit
def _add_totals(totals, stride, sums, COUNT: tl.constexpr):
    """Add the sums of a frame to the float64 totals."""
    for k in tl.static_range(COUNT):
        tl.store(totals + k * stride, tl.load(totals + k * stride) + sums[k].to(tl.float64))


#: Columns of the table of programs: whole numbers, then durations (`mfm.simulation.gpu` fills them).
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
    """Advance `LANES` simulations by n_outer x n_blocks x substeps neural steps; see `mfm.simulation.gpu` for the arrays.

    `MODEL` is of `mfm.simulation.gpu_model`. A block is a hemodynamic step of `substeps` neural ones (one where `EVERY_STEP`).
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
                coupling_0, coupling_1 = couplings(
                    x_0, x_1, weights, high, low, scratch, of_lane, strength_0, strength_1, n_regions, step,
                    MODEL, HALF, LANES, RESIDENT, DEPTH,
                )  # fmt: skip
                # Zero, but not to the pass that lays tensors out over threads: noise gets the layout of the state.
                tie = (x_0[0].to(tl.uint32, bitcast=True) >> 31) >> 1
                z = normals(tie + step.to(tl.uint32), tie + pair_word, tie + realisation, key_low, key_high, MODEL)
                x_0, reported_0 = neural_step(
                    x_0, coupling_0, constants_0, amplitude_0, of_lane, dt_0, z[:N_STATES], MODEL, EXPONENTIAL
                )
                sums_0 = _add_to_sums(sums_0, reported_0, x_0, MODEL)
                drive_0 += x_0[OBSERVED]
                x_1, reported_1 = neural_step(
                    x_1, coupling_1, constants_1, amplitude_1, of_lane, dt_1, z[N_STATES:], MODEL, EXPONENTIAL
                )
                sums_1 = _add_to_sums(sums_1, reported_1, x_1, MODEL)
                drive_1 += x_1[OBSERVED]
                step += 1
            sums_0 = _add_drive(sums_0, drive_0, MODEL)
            sums_1 = _add_drive(sums_1, drive_1, MODEL)
            if HEMODYNAMICS:
                seen_0 = observed(drive_0 * inverse_substeps, of_lane, MODEL)
                seen_1 = observed(drive_1 * inverse_substeps, of_lane, MODEL)
                h_0 = hemodynamic_step(h_0, seen_0, hemo_dt_0)
                h_1 = hemodynamic_step(h_1, seen_1, hemo_dt_1)
        if is_averaged != 0:
            _add_totals(totals + at_0, stride, sums_0, N_AVERAGES)
            _add_totals(totals + at_1, stride, sums_1, N_AVERAGES)
        if first_frame >= 0:
            frame = (of_program.to(tl.int64)[None, :] * n_frames + first_frame + outer) * n_regions + 2 * pair[:, None]
            kept = lanes[None, :] < end_lane
            if HEMODYNAMICS:
                seen_0 = bold_signal(h_0)
                seen_1 = bold_signal(h_1)
            else:
                seen_0 = observed(x_0[OBSERVED], of_lane, MODEL)
                seen_1 = observed(x_1[OBSERVED], of_lane, MODEL)
            tl.store(bold + frame, seen_0, mask=exists_0 & kept)
            tl.store(bold + frame + 1, seen_1, mask=exists_1 & kept)
    _store_rows(state + at_0, stride, x_0, 0, N_STATES)
    _store_rows(state + at_1, stride, x_1, 0, N_STATES)
    _store_rows(state + at_0, stride, h_0, N_STATES, MODEL.shape.n_kept - N_STATES)
    _store_rows(state + at_1, stride, h_1, N_STATES, MODEL.shape.n_kept - N_STATES)
