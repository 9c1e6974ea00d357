"""One step of a model in all regions, on SIMD vectors: coupling, noise, drift, and the sums of which averages are made.

The states that channels carry stand in an array of their own, channel by channel and region by region, all others with a
region's constants and sums (`mfm.simulation.cpu_model.Layout`). Of every function of a model here, what it looks up of the
model is known when it is compiled: tuples of vectors are no more than names for registers then.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from mfm.compute.compile import kernel
from mfm.compute.vector_math import gaussian_pair, philox
from mfm.compute.vectors import LANES, floats, load, pointer, store, uints
from mfm.simulation.cpu_model import decay, drift, layout, specialised, unrolled

_f = np.float32
_u = np.uint32

#: Rows of the connectome that are multiplied together: each load of a carried state serves this many sums.
ROWS = 4


@kernel
def _couple(C, carried, coupling, first, first_sum, n_regions):
    """coupling = C carried for one channel, `ROWS` regions at a time (C packed by `_pack`), from the vectors named on."""
    for block in range(0, n_regions, ROWS):
        a = floats(_f(0.0))
        b = a
        c = a
        d = a
        weight = block * n_regions
        for j in range(n_regions):
            s = load(carried, (first + j) * LANES)
            a = a + s * C[weight]
            b = b + s * C[weight + 1]
            c = c + s * C[weight + 2]
            d = d + s * C[weight + 3]
            weight += ROWS
        at = first_sum + block
        store(coupling, at * LANES, a)
        store(coupling, (at + 1) * LANES, b)
        store(coupling, (at + 2) * LANES, c)
        store(coupling, (at + 3) * LANES, d)


@specialised
def _states(kind):
    """``_states(model, carried, state, region, n_regions)``: those of a region, a tuple of vectors."""
    n_fields = kind.structure.layout.n_fields

    def part(k):
        channel, field = kind.structure.homes[k]
        if channel >= 0:
            return lambda carried, state, region, n_regions: load(carried, (channel * n_regions + region) * LANES)
        return lambda carried, state, region, n_regions: load(state, (region * n_fields + field) * LANES)

    return unrolled(len(kind.structure.homes), part)


@specialised
def _keep_states(kind):
    """``_keep_states(model, carried, state, region, n_regions, x)``: write them back."""
    n_fields = kind.structure.layout.n_fields

    def part(k):
        channel, field = kind.structure.homes[k]
        if channel >= 0:
            return lambda carried, state, region, n_regions, x: store(carried, (channel * n_regions + region) * LANES, x[k])
        return lambda carried, state, region, n_regions, x: store(state, (region * n_fields + field) * LANES, x[k])

    return unrolled(len(kind.structure.homes), part)


@specialised
def _gains(kind):
    """``_gains(model, gains)``: the gain of every channel."""
    return unrolled(kind.structure.layout.n_channels, lambda k: lambda gains: load(gains, k * LANES))


@specialised
def _inputs(kind):
    """``_inputs(model, coupling, gains, region, n_regions)``: what a region receives by every channel."""

    def part(k):
        return lambda coupling, gains, region, n_regions: gains[k] * load(coupling, (k * (n_regions + ROWS) + region) * LANES)

    return unrolled(kind.structure.layout.n_channels, part)


@specialised
def _constants(kind):
    """``_constants(model, state, region)``: the constants of a region."""
    n_fields = kind.structure.layout.n_fields
    return unrolled(
        kind.structure.layout.n_constants, lambda k: lambda state, region: load(state, (region * n_fields + k) * LANES)
    )


@specialised
def _begun(kind):
    """``_begun(model, x, returned, z, amplitude, dt)``: states after an Euler-Maruyama step; of fast ones the step."""

    def part(k):
        if kind.structure.fast[k]:
            return lambda x, returned, z, amplitude, dt: returned[k] * dt + amplitude * z[k]
        return lambda x, returned, z, amplitude, dt: x[k] + returned[k] * dt + amplitude * z[k]

    return unrolled(kind.structure.layout.n_states, part)


@specialised
def _damped(kind):
    """``_damped(model, begun, rates, dt)``: the same by the exponential scheme (`mfm.protocol.Protocol`)."""

    def part(k):
        if not kind.structure.fast[k]:
            return lambda begun, rates, dt: begun[k]
        fast = sum(kind.structure.fast[:k])

        def damped(begun, rates, dt):
            y = rates[fast] * dt
            return begun[k] / (y * (y * _f(1 / 12) + _f(0.5)) + _f(1.0))

        return damped

    return unrolled(kind.structure.layout.n_states, part)


@specialised
def _ended(kind):
    """``_ended(model, x, begun)``: the states after the step."""

    def part(k):
        return (lambda x, begun: x[k] + begun[k]) if kind.structure.fast[k] else (lambda x, begun: begun[k])

    return unrolled(kind.structure.layout.n_states, part)


@specialised
def _add_to_sums(kind):
    """``_add_to_sums(model, state, region, returned, x)``: reported quantities and states, to their sums."""
    n_fields, sums, n_states = kind.structure.layout.n_fields, kind.structure.layout.sums, kind.structure.layout.n_states
    n_reported = kind.structure.n_reported

    def part(k):
        if k < n_reported:

            def add(state, region, returned, x):
                at = (region * n_fields + sums + k) * LANES
                store(state, at, load(state, at) + returned[n_states + k])

        else:

            def add(state, region, returned, x):
                at = (region * n_fields + sums + k) * LANES
                store(state, at, load(state, at) + x[k - n_reported])

        return add

    return unrolled(n_reported + n_states, part)


@kernel
def _step_region(model, region, carried, state, coupling, gains, n_regions, dt, exponential, z):
    """One Euler-Maruyama step of a region, that of fast states by the protocol's scheme."""
    x = _states(model, carried, state, region, n_regions)
    # LLVM orders the terms of a sum, and so what it rounds first, by the order in which their factors are loaded.
    constants = _constants(model, state, region)
    inputs = _inputs(model, coupling, gains, region, n_regions)
    returned = drift(model, x, inputs, constants)
    amplitude = load(state, (region * layout(model).n_fields + layout(model).noise) * LANES)
    begun = _begun(model, x, returned, z, amplitude, dt)
    if exponential:
        begun = _damped(model, begun, decay(model, returned), dt)
    x = _ended(model, x, begun)
    _keep_states(model, carried, state, region, n_regions, x)
    _add_to_sums(model, state, region, returned, x)


def _step_block(model, words, normals, region, counter, stream, arrays, gains, n_regions, dt, exponential):
    """Step regions from `region` on that share the words of whole counters; `words` and `normals` are left of the last one."""
    raise NotImplementedError("for compiled functions only")


@overload(_step_block, jit_options={"forceinline": True, "error_model": "numpy"})
def _choose(model, words, normals, region, counter, stream, arrays, gains, n_regions, dt, exponential):
    n_states = model.structure.layout.n_states
    if len(normals) < n_states and not len(words):

        def draw(model, words, normals, region, counter, stream, arrays, gains, n_regions, dt, exponential):
            step, realisation, key_low, key_high = stream
            drawn = philox(step, uints(_u(counter)), realisation, uints(_u(0)), key_low, key_high)
            _step_block(model, drawn, normals, region, counter + 1, stream, arrays, gains, n_regions, dt, exponential)

        return draw
    if len(normals) < n_states:

        def transform(model, words, normals, region, counter, stream, arrays, gains, n_regions, dt, exponential):
            z = normals + gaussian_pair(words[0], words[1])
            _step_block(model, words[2:], z, region, counter, stream, arrays, gains, n_regions, dt, exponential)

        return transform
    if len(normals) == n_states and not len(words):

        def finish(model, words, normals, region, counter, stream, arrays, gains, n_regions, dt, exponential):
            carried, state, coupling = arrays
            _step_region(model, region, carried, state, coupling, gains, n_regions, dt, exponential, normals)

        return finish

    def proceed(model, words, normals, region, counter, stream, arrays, gains, n_regions, dt, exponential):
        carried, state, coupling = arrays
        _step_region(model, region, carried, state, coupling, gains, n_regions, dt, exponential, normals[:n_states])
        if region + 1 < n_regions:
            left = normals[n_states:]
            _step_block(model, words, left, region + 1, counter, stream, arrays, gains, n_regions, dt, exponential)

    return proceed


@kernel
def neural_step(model, step, C, carried, state, coupling, gains, streams, n_regions, dt, exponential):
    """One step of all regions."""
    for channel in range(layout(model).n_channels):
        _couple(C, carried, coupling, channel * n_regions, channel * (n_regions + ROWS), n_regions)
    stream = uints(_u(step)), load(streams, 2 * LANES), load(streams, 0), load(streams, LANES)
    arrays = pointer(carried), pointer(state), pointer(coupling)
    g = _gains(model, gains)
    for region in range(0, n_regions, layout(model).block):
        counter = region * layout(model).n_states // 4
        _step_block(model, (), (), region, counter, stream, arrays, g, n_regions, dt, exponential)
