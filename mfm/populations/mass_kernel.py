"""The time loop of neural masses is compiled: the equations of `NeuralMass.drift`, to which a test holds it."""

from __future__ import annotations

import math

import numpy as np

from mfm.compute.compile import kernel
from mfm.populations.closure import LARGEST_CURRENT, LARGEST_DELTA_SHARE, SCALES

# Columns of `types`.
_ETA, _DELTA, _ALPHA, _A, _B, _W_JUMP, _TAU_S, _S_JUMP, _E_R = range(9)

# What no trajectory of use reaches.
_DIVERGED_R, _DIVERGED_V = 100.0, 1000.0


@kernel
def _combine(c, r, V, w, u, q):
    return c[0] + c[1] * r + c[2] * V + c[3] * w + c[4] * u + c[5] * q


@kernel
def _correct(x, kappa, noise, c):
    """Corrections of delta (as a share) and I, and where the memory goes to."""
    r, V, w, m = x[0] / SCALES[0], x[1] / SCALES[1], x[2] / SCALES[2], x[4]
    u = kappa * x[3] / SCALES[3]
    q = noise * x[3] * x[3]
    delta = math.tanh(_combine(c[0], r, V, w, u, q) + c[0, 6] * m)
    current = math.tanh(_combine(c[1], r, V, w, u, q) + c[1, 6] * m)
    return LARGEST_DELTA_SHARE * delta, LARGEST_CURRENT * current, math.tanh(_combine(c[2], r, V, w, u, q))


@kernel
def _drift(x, types, coupling, density, c, corrected, out):
    K = len(x)
    for k in range(K):
        r, V, w, s, m = x[k]
        G = 0.0
        P = 0.0
        for j in range(K):
            g = coupling[k, j] * x[j, 3]
            G += g
            P += g * types[j, _E_R]
        d_delta, d_current, goal = 0.0, 0.0, 0.0
        if corrected:
            d_delta, d_current, goal = _correct(x[k], density[0], density[1], c)
        alpha, a = types[k, _ALPHA], types[k, _A]
        out[k, 0] = types[k, _DELTA] * (1 + d_delta) / math.pi + r * (2 * V - alpha - G)
        out[k, 1] = V * (V - alpha - G) - w + types[k, _ETA] + d_current + P - (math.pi * r) ** 2
        out[k, 2] = a * (types[k, _B] * V - w) + types[k, _W_JUMP] * r
        out[k, 3] = types[k, _S_JUMP] * r - s / types[k, _TAU_S]
        out[k, 4] = a * math.exp(c[2, 6]) * (goal - m)


@kernel
def _ahead(x, slope, dt, out):
    for k in range(len(x)):
        for d in range(5):
            out[k, d] = x[k, d] + dt * slope[k, d]


@kernel
def run_masses(x, types, coupling, density, c, corrected, dt, steps_per_bin, rate, states):
    """Advance `x` in place by RK4; fill `rate` (T, K), means over bins, and `states` (T, K, 5), at their ends.

    NaN from where a state diverges.
    """
    K = len(x)
    y, total = np.empty((K, 5)), np.empty(K)
    k1, k2, k3, k4 = np.empty((K, 5)), np.empty((K, 5)), np.empty((K, 5)), np.empty((K, 5))
    for t in range(len(rate)):
        total[:] = 0.0
        for _ in range(steps_per_bin):
            _drift(x, types, coupling, density, c, corrected, k1)
            _ahead(x, k1, 0.5 * dt, y)
            _drift(y, types, coupling, density, c, corrected, k2)
            _ahead(x, k2, 0.5 * dt, y)
            _drift(y, types, coupling, density, c, corrected, k3)
            _ahead(x, k3, dt, y)
            _drift(y, types, coupling, density, c, corrected, k4)
            for k in range(K):
                total[k] += 0.5 * x[k, 0]
                for d in range(5):
                    x[k, d] += (dt / 6) * (k1[k, d] + 2 * (k2[k, d] + k3[k, d]) + k4[k, d])
                total[k] += 0.5 * x[k, 0]
        for k in range(K):
            rate[t, k] = total[k] / steps_per_bin
            states[t, k] = x[k]
            if not (abs(x[k, 0]) < _DIVERGED_R and abs(x[k, 1]) < _DIVERGED_V):
                rate[t:] = np.nan
                states[t:] = np.nan
                return
