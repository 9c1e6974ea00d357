"""One step of a tile of simulations on the GPU: its noise, the model's states, and the hemodynamics that see them."""

from __future__ import annotations

import math

import triton
import triton.language as tl

from mfm.compute.triton_math import exp2, gaussian_pair, log2, philox, reciprocal
from mfm.models.constants import HEMODYNAMIC

_H = HEMODYNAMIC
_KAPPA, _GAMMA_H, _RATE_H = tl.constexpr(_H.kappa), tl.constexpr(_H.gamma), tl.constexpr(1 / _H.tau)
_SMALL_POWER = tl.constexpr((1 / _H.alpha - 3) * math.log(2))
_INVERSE_RHO, _LOG2_1_RHO = tl.constexpr(1 / _H.rho), tl.constexpr(math.log2(1 - _H.rho))
_BOLD_1, _BOLD_2, _BOLD_3 = (tl.constexpr(100 / _H.rho * _H.V_0 * k) for k in (_H.k_1, _H.k_2, _H.k_3))


@triton.jit
def normals(step, pair, realisation, key_low, key_high, MODEL: tl.constexpr):
    """The noise of a step: 2 M normals for each pair of regions, those of the even region, then of the odd one (M states).

    Normals are numbered region by region, four to a Philox counter; Box and Muller make two at a time, M times for a pair of
    regions. Where M is odd, every second pair of regions begins in the middle of a counter.
    """
    M: tl.constexpr = MODEL.shape.n_states
    first = pair * (M // 2) if M % 2 == 0 else (pair * M) >> 1
    words = ()
    for k in tl.static_range((M + 1) // 2):
        w0, w1, w2, w3 = philox(step, first + k, realisation, key_low, key_high)
        words += ((w0, w1), (w2, w3))
    z = ()
    if M % 2 == 0:
        for m in tl.static_range(M):
            a, b = gaussian_pair(words[m][0], words[m][1])
            z += (a, b)
    else:
        is_odd = (pair & 1) == 1
        for m in tl.static_range(M):
            w0 = tl.where(is_odd, words[m + 1][0], words[m][0])
            w1 = tl.where(is_odd, words[m + 1][1], words[m][1])
            a, b = gaussian_pair(w0, w1)
            z += (a, b)
    return z


@triton.jit
def observed(x, of_lane, MODEL: tl.constexpr):
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
        full += (x[k] if CHANNELS[k] < 0 else x[k] + of_lane[3 * CHANNELS[k] + 2],)
    return full


@triton.jit
def neural_step(x, coupling, constants, amplitude, of_lane, dt, z, MODEL: tl.constexpr, EXPONENTIAL: tl.constexpr):
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
            # The Pade approximant of (1 - e^-y) / y (`mfm.protocol.Protocol`).
            shares += (reciprocal(y * (y * (1 / 12) + 0.5) + 1.0),)
    stepped = ()
    for k in tl.static_range(N_STATES):
        if EXPONENTIAL and RATES[k] >= 0:
            stepped += (x[k] + (found[k] * dt + amplitude * z[k]) * shares[RATES[k]],)
        else:
            stepped += (x[k] + found[k] * dt + amplitude * z[k],)
    reported = ()
    for k in tl.static_range(N_REPORTED):
        reported += (found[N_STATES + k],)
    return stepped, reported


@triton.jit
def hemodynamic_step(hemodynamics, drive, dt):
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
def bold_signal(hemodynamics):
    _z, _f, v, q = hemodynamics
    return (v - q) / (v + 1.0) * _BOLD_2 - q * _BOLD_1 - v * _BOLD_3
