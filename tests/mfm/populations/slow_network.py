"""A network of Izhikevich neurons as one would write it down: an obvious and slow reference."""

from __future__ import annotations

import numpy as np


def simulate(types, sizes, conductance, weight, adjacency, v, eta, dt, steps, shared=False, substeps=20):
    """Spike times (a list per neuron), v, w, S (N, K) after `steps` steps in which inputs are held.

    On the circle ``v = tan(theta / 2)`` the equation ``v' = v^2 - beta v + c`` is smooth; Euler-free RK4 in steps of
    ``dt / substeps`` there. `adjacency` (N, N) post by pre.
    """
    K, N = len(types), sum(sizes)
    population = np.repeat(np.arange(K), sizes)

    def of(name):
        return np.array([getattr(t, name) for t in types])

    own = {name: of(name)[population] for name in ("alpha", "a", "b", "w_jump", "v_peak")}
    theta = 2 * np.arctan(v)
    w, S = np.zeros(N), np.zeros((N, K))
    spikes = [[] for _ in range(N)]
    h = dt / substeps
    for step in range(steps):
        g = conductance[population] * S * np.exp(-0.5 * dt / of("tau_s"))
        beta = own["alpha"] + g.sum(axis=1)
        c = eta - w + (g * of("e_r")).sum(axis=1)

        def field(x, beta=beta, c=c):
            return (1 - np.cos(x)) - beta * np.sin(x) + c * (1 + np.cos(x))

        fired, mean_v = np.full(N, np.nan), np.zeros(N)
        for k in range(substeps):
            k1 = field(theta)
            k2 = field(theta + 0.5 * h * k1)
            k3 = field(theta + 0.5 * h * k2)
            k4 = field(theta + h * k3)
            moved = theta + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            mean_v += np.tan(theta / 2) / substeps
            top = 2 * np.arctan(own["v_peak"])
            over = moved >= top
            # The rest of the substep goes on from the reset: on the circle both ends are one short jump apart.
            part = (top - theta) / (moved - theta)
            fired[over] = ((k + part) * h)[over]
            theta = np.where(over, -top + (moved - top), moved)
        now = np.flatnonzero(~np.isnan(fired))
        jump = own["w_jump"] * ~np.isnan(fired)
        relax = 1 - np.exp(-own["a"] * dt)
        if shared:
            for p in range(K):
                mine = population == p
                w[mine] += relax[mine] * (own["b"][mine] * mean_v[mine].mean() - w[mine]) + jump[mine].mean()
        else:
            w = w + relax * (own["b"] * mean_v - w) + jump
        S = S * np.exp(-dt / of("tau_s"))
        for j in now:
            spikes[j].append(step * dt + fired[j])
            left = np.exp(-(dt - fired[j]) / types[population[j]].tau_s)
            for i in np.flatnonzero(adjacency[:, j]):
                S[i, population[j]] += weight[population[i], population[j]] * left
    return spikes, np.tan(theta / 2), w, S
