"""All 6 N states of the model linearised by automatic differentiation: the slow, obvious reference of linear response."""

import numpy as np
import torch
from fic_equations import neural_drift
from scipy.linalg import expm, solve_continuous_lyapunov

import mfm
from mfm.models.constants import HEMODYNAMIC
from mfm.models.hemodynamics import HemodynamicState, bold_signal, hemodynamic_drift


def state_space(p, sc):
    """A (6 N, 6 N), noise power Q (6 N, 6 N) and observation J (N, 6 N): dx = A x dt + dW, BOLD = J x."""
    n = sc.n_regions
    w_IE, rest = mfm.feedback_weights(p, sc), mfm.resting_state(p.w_EI)
    C = torch.tensor(sc.weights)
    I_ext = 0.0 if p.I_ext is None else p.I_ext[0]

    def drift(x):
        S_E, S_I, z, f, v, q = x.reshape(6, n)
        dS_E, dS_I, _ = neural_drift(S_E, S_I, C @ S_E, p.w_EE[0], p.w_EI[0], w_IE[0], p.G[0], I_ext)
        return torch.cat([dS_E, dS_I, *hemodynamic_drift(HemodynamicState(z, f, v, q), S_E)])

    # The hemodynamic fixed point by its definition: z = 0, f from dz, v from dv, q from dq.
    c = HEMODYNAMIC
    f = 1 + rest.S_E / c.gamma
    v = f**c.alpha
    q = f / c.rho * (1 - (1 - c.rho) ** (1 / f)) / v ** (1 / c.alpha - 1)
    values = [rest.S_E, rest.S_I[0], 0.0, f, v, q]
    point = torch.cat([torch.ones(n, dtype=torch.float64) * value for value in values])
    assert drift(point).abs().max() < 1e-10
    A = torch.func.jacrev(drift)(point).numpy()
    Q = np.zeros((6 * n, 6 * n))
    Q[: 2 * n, : 2 * n] = np.diag(np.tile(p.sigma[0].numpy() ** 2, 2))
    state = HemodynamicState(*point.reshape(6, n)[2:])
    J = torch.func.jacrev(lambda x: bold_signal(HemodynamicState(*x.reshape(4, n))))(torch.cat(list(state))).numpy()
    return A, Q, np.hstack([np.zeros((n, 2 * n)), J])


def scan_covariance(A, Q, J, scan_s):
    """Covariance of J x over a scan, its mean taken away: the integral of the autocovariance over all pairs of times."""
    P = solve_continuous_lyapunov(A, -Q)
    inverse = np.linalg.inv(A)
    F = -(inverse + inverse @ inverse @ (expm(A * scan_s) - np.eye(len(A))) / -scan_s) / scan_s
    P = P - F @ P - P @ F.T
    return J @ P @ J.T
