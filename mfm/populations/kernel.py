"""The time loop of one network is compiled.

Within a step the input to a neuron is held, and ``v' = v^2 - beta v + c`` is then solved exactly: its flow is a Möbius map
of v, which passes through infinity without harm. Far out, ``u = -1 / v`` runs at unit speed, so that spike times within the
step, and the jump from peak to reset (its negative), are shifts of u. A step is therefore stable at any v, where explicit
Euler would explode at the reset (dt v^2 = 400 at dt = 0.01).
"""

from __future__ import annotations

import math

import numpy as np

from mfm.compute.compile import kernel

# Columns of `types`. The peak is kept as 1 / v_peak.
_ALPHA, _A, _B, _W_JUMP, _TAU_S, _S_JUMP, _E_R, _U_PEAK = range(8)

# Closest to infinity that a potential is kept, as 1 / v.
_SMALLEST = 1e-9


@kernel
def advance(v, beta, c, dt, u_peak):
    """Take one step of ``v' = v^2 - beta v + c``: new v, mean of v over the step, time since a spike (-1: none)."""
    h = 0.5 * beta
    x = (h * h - c) * dt * dt
    # cosh sqrt(x) and sinh sqrt(x) / sqrt(x): the step is small enough for five terms (checked at the door).
    even = 1.0 + x * (1 / 2 + x * (1 / 24 + x * (1 / 720 + x * (1 / 40320))))
    odd = dt * (1.0 + x * (1 / 6 + x * (1 / 120 + x * (1 / 5040 + x * (1 / 362880)))))
    top = v * (even - h * odd) + c * odd
    bottom = even + (h - v) * odd
    if bottom <= top * u_peak:  # v_new = top / bottom is above the peak, or beyond infinity
        since = u_peak - bottom / top
        end = max(since + u_peak, _SMALLEST)
        return -1.0 / end, h - math.log(top * end) / dt, since
    y = bottom - 1.0
    if abs(y) < 0.03:  # nearly always, and many times faster than a logarithm
        mean = h - y * (1.0 - y * (1 / 2 - y * (1 / 3 - y * (1 / 4 - y * (1 / 5))))) / dt
    else:
        mean = h - math.log(bottom) / dt
    return top / bottom, mean, -1.0


@kernel
def _move(k, v, w, eta, S, span, types, conductance, half, shared, dt, spiking, since, n_spikes, counts):
    """One step of population k. Spikes are appended to `spiking` and `since`; returns how many these now hold."""
    lo, hi = span
    alpha, b, w_jump, u_peak = types[k, _ALPHA], types[k, _B], types[k, _W_JUMP], types[k, _U_PEAK]
    relax = -math.expm1(-types[k, _A] * dt)
    before = n_spikes
    mean_v = 0.0
    for i in range(lo, hi):
        beta = alpha
        c = eta[i] - w[i]
        for j in range(S.shape[1]):
            # At the middle of the step.
            g = conductance[k, j] * S[i, j] * half[j]
            beta += g
            c += g * types[j, _E_R]
            S[i, j] *= half[j] * half[j]
        v[i], mean, elapsed = advance(v[i], beta, c, dt, u_peak)
        spiked = elapsed >= 0
        if spiked:
            spiking[n_spikes] = i
            since[n_spikes] = elapsed
            n_spikes += 1
            counts[i] += 1
        if shared:
            mean_v += mean
        else:
            w[i] += relax * (b * mean - w[i]) + (w_jump if spiked else 0.0)
    if shared:
        w[lo:hi] += relax * (b * mean_v / (hi - lo) - w[lo]) + w_jump * (n_spikes - before) / (hi - lo)
    return n_spikes


@kernel
def _deliver(S, s, spiking, since, n_spikes, starts, types, weight, first, targets):
    """Spikes reach their targets, and the mean synapse of their population, decayed since they were fired."""
    pre = 0
    for q in range(n_spikes):
        i = spiking[q]
        while i >= starts[pre + 1]:
            pre += 1
        left = math.exp(-since[q] / types[pre, _TAU_S])
        s[pre] += types[pre, _S_JUMP] * left / (starts[pre + 1] - starts[pre])
        post = 0
        kick = weight[0, pre] * left
        for m in range(first[i], first[i + 1]):
            target = targets[m]
            while target >= starts[post + 1]:
                post += 1
                kick = weight[post, pre] * left
            S[target, pre] += kick


@kernel
def _record(t, v, w, s, starts, v_median, w_mean, s_mean, order):
    for k in range(len(s)):
        lo, hi = starts[k], starts[k + 1]
        v_median[t, k] = np.median(v[lo:hi])
        w_mean[t, k] = w[lo:hi].mean()
        s_mean[t, k] = s[k]
        z = 0.0j
        for i in range(lo, hi):
            z += (1 + 1j * v[i]) / (1 - 1j * v[i])
        order[t, k] = z / (hi - lo)


@kernel
def run_network(
    v, w, eta, S, s, starts, types, conductance, weight, first, targets, shared, dt, steps_per_bin,
    rate, v_median, w_mean, s_mean, order, counts, cancel,
):  # fmt: skip
    """Advance the state (v, w (N,), S (N, K) by target and source, s (K,)) in place and fill the records, (bins, K) each.

    `starts` (K + 1,) is where each population begins, `types` (K, 8) its constants. A set `cancel[0]` ends the loop at the
    next bin.
    """
    N, K = S.shape
    spiking = np.empty(N, np.int64)
    since = np.empty(N)
    half = np.exp(-0.5 * dt / types[:, _TAU_S])
    for t in range(len(rate)):
        for _ in range(steps_per_bin):
            n_spikes = 0
            for k in range(K):
                span = (starts[k], starts[k + 1])
                now = _move(k, v, w, eta, S, span, types, conductance, half, shared, dt, spiking, since, n_spikes, counts)
                rate[t, k] += now - n_spikes
                n_spikes = now
            s *= half * half
            # After all neurons have moved: their order does not matter.
            _deliver(S, s, spiking, since, n_spikes, starts, types, weight, first, targets)
        for k in range(K):
            rate[t, k] /= (starts[k + 1] - starts[k]) * steps_per_bin * dt
        _record(t, v, w, s, starts, v_median, w_mean, s_mean, order)
        if cancel[0]:
            return
