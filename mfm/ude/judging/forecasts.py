"""Forecasts judge a hybrid by free runs against held-out data, never with an observer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfm.errors import InputError
from mfm.ude.data.trajectories import Trajectories
from mfm.ude.equations.hybrid import Hybrid
from mfm.ude.training.gradient import UDEFit
from mfm.ude.training.losses import PathLikelihood, PathProblem
from mfm.ude.training.shooting import LOW_SIGNAL_TO_NOISE


def nrmse(found: Tensor, truth: Tensor) -> Tensor:
    """Compute the root mean square error over the truth's standard deviation, over the last dimension; shapes broadcast.

    Examples
    --------
    >>> import torch
    >>> from mfm.ude import nrmse
    >>> nrmse(torch.zeros(4), torch.tensor([1.0, -1.0, 1.0, -1.0])).item()
    1.0
    """
    return (found - truth).square().mean(dim=-1).sqrt() / truth.std(dim=-1, correction=0)


def valid_time(model: Hybrid, truth: Tensor, dt: float, *, tolerance: float = 0.4) -> Tensor:
    """Measure how long free runs stay near the truth.

    Parameters
    ----------
    model : Hybrid
    truth : tensor, (M, T, N, D)
        Trajectories, from whose first states the model runs freely.
    dt : float
    tolerance : float
        In standard deviations of the truth, root mean square over units and states.

    Returns
    -------
    tensor, (E, M)
        Time until the error first exceeds the tolerance; ``T dt`` where it does not.

    Examples
    --------
    >>> import torch
    >>> from mfm.ude import Hybrid, NoMechanism, valid_time
    >>> ramp = torch.arange(11, dtype=torch.float64).reshape(1, 11, 1, 1)
    >>> valid_time(Hybrid(NoMechanism(("x",))), ramp, 1.0).tolist()
    [[2.0]]
    """
    n = truth.shape[1] - 1
    with torch.no_grad():
        run = model.free_run(truth[None, :, 0].expand(model.members, -1, -1, -1), dt, n)
    spread = truth.flatten(0, 1).std(dim=0, correction=0)
    error = ((run - truth) / spread).square().mean(dim=(-1, -2)).sqrt()
    # A run that left the finite numbers has left the truth too.
    beyond = ~(error <= tolerance)
    first = torch.where(beyond.any(dim=2), beyond.double().argmax(dim=2), n)
    return first * dt


def wasserstein(found: np.ndarray, truth: np.ndarray) -> float:
    """Measure the distance of distributions (T, D) in standard deviations of the truth, mean over columns; or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.ude import wasserstein
    >>> round(wasserstein(np.array([[1.0], [3.0]]), np.array([[0.0], [2.0]])), 3)
    1.0
    """
    from scipy.stats import wasserstein_distance

    if not np.isfinite(found).all():
        return float("inf")
    return float(np.mean([wasserstein_distance(f, t) / t.std() for f, t in zip(found.T, truth.T, strict=True)]))


@dataclass(frozen=True, eq=False)
class FreeRun:
    """A free run goes on beyond the training data, without an observer.

    Attributes
    ----------
    times : array, (T,)
        From the end of the training data.
    predicted : array, (E, K, T, N, C)
        Observed states, without an observer.
    misfit : array, (E,)
        Root mean square error over held-out samples within `horizon`, in units of the noise; infinite where a run diverged.
    baseline : float
        The same for the training data's mean: a prediction that knows nothing.
    horizon : int
        Samples that are scored.
    bounded : array of bool, (E,)
        The run stays finite and within ten ranges of the training data.
    """

    times: np.ndarray
    predicted: np.ndarray
    misfit: np.ndarray
    baseline: float
    horizon: int
    bounded: np.ndarray


def free_run_beyond(found: UDEFit, held_out: Trajectories, horizon: int | None = None) -> FreeRun:
    """Run on from the last state of the training data, and compare with the data that follow.

    Parameters
    ----------
    found : UDEFit
        With a trajectory: `PredictionError` or `LatentSDE`.
    held_out : Trajectories
        Directly after the training data; not used but for comparison.
    horizon : int, optional
        Samples that are scored (chaotic systems are predicted for a few Lyapunov times only); default all.

    Returns
    -------
    FreeRun

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.ude import *
    >>> decay = Trajectories(np.exp(-0.1 * np.arange(90))[:, None], 0.1, ["x"], noise_std=[0.01])
    >>> model = Hybrid(NoMechanism(("x",)), ResidualBasis("x", ("x",), degree=1))
    >>> found = fit(model, decay.window(0, 60), PredictionError(shooting=MultipleShooting(5)), Adam(150))
    >>> free_run_beyond(found, decay.window(60, 90)).misfit.item() < 1
    True
    """
    path = found.problem.path(found.model)
    if path is None:
        raise InputError(
            "A path likelihood has no trajectory to run on from.", fix="one_step_score compares predictions instead"
        )
    return forecast(found.model, path[:, :, -1], found.series, held_out, horizon)


def forecast(
    model: Hybrid, state: Tensor, trained: Trajectories, held_out: Trajectories, horizon: int | None = None
) -> FreeRun:
    """Run freely from `state` (E, K, N, D), one step before `held_out`; otherwise as `free_run_beyond`.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from mfm.ude import Hybrid, NoMechanism, Trajectories, forecast
    >>> flat = Trajectories(np.ones((9, 1)), 1.0, ["x"], noise_std=[0.1])
    >>> run = forecast(Hybrid(NoMechanism(("x",))), torch.ones(1, 1, 1, 1, dtype=torch.float64), flat, flat)
    >>> run.misfit.item()
    0.0
    """
    T = held_out.n_samples
    horizon = T if horizon is None else min(horizon, T)
    states = [model.mechanism.states.index(name) for name in held_out.names]
    with torch.no_grad():
        run = model.free_run(state, held_out.dt, T, held_out.covariates)[:, :, 1:, :, states]
    noise = held_out.noise_std[:, None, None, None, :]
    there = held_out.observed[:, :, :horizon]
    n = there.sum(dim=(1, 2, 3, 4))

    def misfit(prediction: Tensor) -> Tensor:
        error = torch.where(there, (prediction - held_out.values[:, :, :horizon]) / noise, 0.0)
        return (error.square().sum(dim=(1, 2, 3, 4)) / n).sqrt()

    mean = trained.values.nanmean(dim=(1, 2, 3), keepdim=True)
    low, high = (getattr(trained.values.nan_to_num(), name)(dim=(1, 2, 3), keepdim=True) for name in ("amin", "amax"))
    inside = ((run - mean).abs() <= 10 * (high - low)).all(dim=(1, 2, 3, 4)) & torch.isfinite(run).all(dim=(1, 2, 3, 4))
    score = misfit(run[:, :, :horizon]).nan_to_num(nan=float("inf"), posinf=float("inf"))
    times = held_out.dt * np.arange(1, T + 1)
    baseline = float(misfit(mean.expand_as(run[:, :, :horizon])).mean())
    return FreeRun(times, run.numpy(), score.numpy(), baseline, horizon, inside.numpy())


def carried_through(model: Hybrid, state: Tensor, series: Trajectories, gain: float = 0.3) -> Tensor:
    """Carry `state` (E, K, N, D), one step before `series`, to its last sample by causal innovation.

    For a forecast that starts later than the training data end: the state knows what was observed before, and nothing after.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from mfm.ude import Hybrid, NoMechanism, Trajectories, carried_through
    >>> flat = Trajectories(np.ones((40, 1)) + 0.1 * np.arange(40)[:, None], 1.0, ["x"], noise_std=[0.1])
    >>> start = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    >>> carried_through(Hybrid(NoMechanism(("x",))), start, flat, gain=1.0).item() > 4.8
    True
    """
    states = model.mechanism.states
    known = [states.index(name) for name in series.names]
    snr = series.signal_to_noise
    share = torch.where(snr > LOW_SIGNAL_TO_NOISE, gain * snr / (1 + snr), 0.0)[:, None, None, :]
    x = state
    with torch.no_grad():
        for k in range(series.n_samples):
            x = model.advance(x, series.dt, series.covariates).clone()
            y = series.values[:, :, k]
            x[..., known] += torch.where(torch.isfinite(y), share * (y - x[..., known]), 0.0)
    return x


def one_step_score(model: Hybrid, series: Trajectories) -> Tensor:
    """Score fully observed stochastic data: mean log-likelihood per increment (E,), up to a constant; higher is better.

    The process noise is that of the mechanism alone on the same data, so that models are compared by their drift only.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.ude import Hybrid, NoMechanism, Trajectories, one_step_score
    >>> series = Trajectories(np.random.default_rng(0).normal(size=(50, 1)), 0.1, ["x"], noise_std=[1e-6])
    >>> one_step_score(Hybrid(NoMechanism(("x",))), series).shape
    torch.Size([1])
    """
    problem = PathProblem(PathLikelihood(), model, series)
    bare = Hybrid(model.mechanism, (), covariates=model.covariates)
    with torch.no_grad():
        reference = problem.there * (problem.slope - bare.drift(problem.x, problem.covariates))
        variance = reference.square().sum(dim=1, keepdim=True) / problem.n
        errors = problem.there * (problem.slope - model.drift(problem.x, problem.covariates))
        return -0.5 * (errors.square() / variance).sum(dim=(1, 2, 3)) / problem.there.expand_as(errors).sum(dim=(1, 2, 3))
