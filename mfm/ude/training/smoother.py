"""Smoothing says where hidden and noisy states may have been before anything is learned.

The missing part is an unknown input meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mfm.ude.data.trajectories import Trajectories
from mfm.ude.equations.hybrid import Hybrid

# States whose equations are known follow them to this share of their scale at every sample.
_MODEL_TOLERANCE = 0.01
_MOST_ITERATIONS = 20
_DIFFERENCE = 1e-6


def smoothed_states(
    model: Hybrid, series: Trajectories, missing_size: float, state_scale: Sequence[float], hidden_start: Sequence[float]
) -> Tensor:
    """Find states at every sample that fit the data and the known equations, the missing part free at every sample.

    The maximum a posteriori trajectory of ``x[k+1] = step(x[k]) + error`` (weak-constraint smoothing; Gauss-Newton on the
    whole trajectory, which for linear equations is the Rauch-Tung-Striebel smoother). The error is small in states whose
    equations are known, and as large as the missing part in those that a residual acts on.

    Parameters
    ----------
    model : Hybrid
    series : Trajectories
    missing_size : float
        About how large the missing part is, in units of the residual's target.
    state_scale, hidden_start : sequence of float
        About how far each state ranges, and where hidden ones are looked for first.

    Returns
    -------
    tensor, (E, K, T, N, D)
    """
    E, K = max(series.members, model.members), series.values.shape[1]
    paths = []
    for e in range(E):
        member = min(e, series.members - 1)
        paths.append(
            torch.stack([_one(model, series, e, member, k, missing_size, state_scale, hidden_start) for k in range(K)])
        )
    return torch.stack(paths)


def _one(
    model: Hybrid,
    series: Trajectories,
    e: int,
    member: int,
    k: int,
    missing_size: float,
    state_scale: Sequence[float],
    hidden_start: Sequence[float],
) -> Tensor:
    """The trajectory of one data set (T, N, D)."""
    states = model.mechanism.states
    y = series.values[member, k]
    T, N, _ = y.shape
    D = len(states)
    known = [states.index(name) for name in series.names]
    scale = torch.as_tensor(state_scale, dtype=torch.float64)
    x = torch.as_tensor(hidden_start, dtype=torch.float64).expand(T, N, D).clone()
    weight = torch.zeros(T, N, D, dtype=torch.float64)
    weight[..., known] = torch.isfinite(y) / series.noise_std[member]
    data = torch.zeros(T, N, D, dtype=torch.float64)
    data[..., known] = y.nan_to_num()
    for channel, state in enumerate(known):
        if series.signal_to_noise[member, channel] > 1:
            x[..., state] = _interpolated(y[..., channel])
    covariates = (
        None if series.covariates is None else series.covariates[min(member, len(series.covariates) - 1), k][None, None]
    )
    tolerance = _MODEL_TOLERANCE * scale + missing_size * series.dt * _reached(model, x, covariates)
    return _gauss_newton(model, x, data, weight, tolerance, series.dt, covariates)


def _reached(model: Hybrid, x: Tensor, covariates: Tensor | None) -> Tensor:
    """How far the residuals' targets move each state's derivative, (D,): its largest change when each is raised by 1."""
    from mfm.ude.equations.mechanism import Inputs

    mechanism = model.mechanism
    moved = torch.zeros(len(mechanism.states), dtype=torch.float64)
    at = x[:1][None]
    given = tuple((name, covariates[..., j]) for j, name in enumerate(model.covariates)) if covariates is not None else ()
    names, values = tuple(n for n, _ in given), tuple(v for _, v in given)
    with torch.no_grad():
        for residual in model.residuals:
            if residual.target in mechanism.states:
                moved[mechanism.states.index(residual.target)] += 1
                continue
            raised = Inputs((*names, residual.target), (*values, torch.ones(1, dtype=torch.float64)))
            change = mechanism.drift(at, raised) - mechanism.drift(at, Inputs(names, values))
            moved += change.abs().amax(dim=(0, 1, 2))
    return moved


def _gauss_newton(
    model: Hybrid, x: Tensor, data: Tensor, weight: Tensor, tolerance: Tensor, dt: float, covariates: Tensor | None
) -> Tensor:
    """Minimise the data's and the equations' misfit over the whole trajectory, halving steps that do not lower it."""
    from scipy.sparse import bmat, coo_matrix, diags
    from scipy.sparse.linalg import spsolve

    T, N, D = x.shape
    n = N * D
    scale = (1 / tolerance).expand(N, D).reshape(-1).numpy()
    w = weight.reshape(-1).numpy()

    def misfit(state: Tensor) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        ahead, jacobian = _step_and_jacobian(model, state[:-1], _DIFFERENCE * tolerance.max(), dt, covariates)
        observed = w * (state - data).reshape(-1).numpy()
        dynamic = ((state[1:] - ahead).reshape(T - 1, n).numpy() * scale).reshape(-1)
        return float(observed @ observed + dynamic @ dynamic), observed, dynamic, jacobian

    cost, observed, dynamic, jacobian = misfit(x)
    for _ in range(_MOST_ITERATIONS):
        rows = np.arange((T - 1) * n).reshape(T - 1, n)
        block = -(jacobian * scale[:, None])
        shape = ((T - 1) * n, T * n)
        before = coo_matrix(
            (block.reshape(-1), (np.repeat(rows, n, axis=1).reshape(-1), np.tile(rows, (1, n)).reshape(-1))), shape=shape
        )
        after = coo_matrix((np.tile(scale, T - 1), (rows.reshape(-1), rows.reshape(-1) + n)), shape=shape)
        J = bmat([[diags(w)], [before + after]]).tocsc()
        normal = (J.T @ J + 1e-10 * diags(np.ones(T * n))).tocsc()
        delta = torch.from_numpy(spsolve(normal, -(J.T @ np.concatenate([observed, dynamic])))).reshape(T, N, D)
        for _ in range(8):
            trial = x + delta
            new = misfit(trial)
            if np.isfinite(new[0]) and new[0] < cost:
                break
            delta = delta / 2
        else:
            return x
        gained = cost - new[0]
        x, (cost, observed, dynamic, jacobian) = trial, new
        if gained < 1e-4 * cost:
            break
    return x


def _step_and_jacobian(
    model: Hybrid, x: Tensor, size: Tensor, dt: float, covariates: Tensor | None
) -> tuple[Tensor, np.ndarray]:
    """The known equations a sample ahead of `x` (T, N, D), and their Jacobians (T, N D, N D) by differences of `size`."""
    T, N, D = x.shape
    n = N * D
    known = Hybrid(model.mechanism, (), covariates=model.covariates, scheme=model.scheme, substeps=model.substeps)
    moves = size * torch.eye(n, dtype=torch.float64).reshape(n, 1, N, D)
    with torch.no_grad():
        ahead = known.advance(torch.cat([x + moves, x - moves, x[None]]), dt, covariates)
    jacobian = (ahead[:n] - ahead[n:-1]) / (2 * size)
    return ahead[-1], jacobian.reshape(n, T, n).permute(1, 2, 0).numpy()


def _interpolated(y: Tensor) -> Tensor:
    """Gaps of (T, N) filled linearly, the ends with the nearest sample."""
    filled = y.clone()
    positions = np.arange(len(y))
    for unit in range(y.shape[1]):
        there = torch.isfinite(y[:, unit]).numpy()
        if not there.all():
            filled[:, unit] = torch.from_numpy(np.interp(positions, positions[there], y[there, unit].numpy()))
    return filled
