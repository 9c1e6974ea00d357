"""Losses are what a fit minimises: one number per ensemble member, at a share of the training's progress."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from mfm.errors import InputError
from mfm.ude.data.trajectories import Trajectories
from mfm.ude.equations.hybrid import Hybrid
from mfm.ude.training.observers import Innovation, Nudging
from mfm.ude.training.shooting import MultipleShooting, Segments
from mfm.ude.training.smoother import smoothed_states


class TrainingProblem(nn.Module):
    """A training problem is a loss with model and data put in; the unknowns besides the model's are its parameters."""

    def losses(self, model: Hybrid, progress: float) -> Tensor:
        """Compute the loss (E,) of each member, at `progress` in [0, 1] of the training."""
        raise NotImplementedError

    def path(self, model: Hybrid) -> Tensor | None:
        """Return the states (E, K, T, N, D) that the fit passes through, observer off; None where they are the data."""
        return None

    def settled(self, progress: float) -> bool:
        """Tell whether the loss no longer changes with progress, so that its values can be compared."""
        return True


class Loss(Protocol):
    """A loss makes a training problem of a model and its data."""

    def problem(self, model: Hybrid, series: Trajectories, path: Tensor | None = None) -> TrainingProblem:
        """Check that the loss fits model and data, and put them in; training starts from the states `path` (E, K, T, N, D)."""
        ...


@dataclass(frozen=True)
class PredictionError:
    """This loss is the prediction error of noisily observed, deterministic dynamics, with an observer and multiple shooting.

    Half the mean squared error in units of the noise, plus `shooting.continuity` times that of the gaps between segments.

    Parameters
    ----------
    observer : Innovation, Nudging or None
    shooting : MultipleShooting
    state_scale : sequence of float, optional
        About how far each state of the mechanism ranges (standard deviation); matters for states without data. Default 1.
    hidden_start : sequence of float, optional
        Where hidden states are looked for first, one number for each state of the mechanism; default 0.
    missing_size : float, optional
        About how large the missing part is; default the gain of a network, else 1. Segments start from a smoothed trajectory
        in which the missing part is an unknown input of this size (`mfm.ude.training.gradient.gradient.gradient.smoother`).

    Examples
    --------
    >>> from mfm.ude import Innovation, MultipleShooting, PredictionError
    >>> PredictionError(Innovation(0.3), MultipleShooting(samples=20)).observer.gain
    0.3
    """

    observer: Innovation | Nudging | None = field(default_factory=Innovation)
    shooting: MultipleShooting = field(default_factory=MultipleShooting)
    state_scale: Sequence[float] | None = None
    hidden_start: Sequence[float] | None = None
    missing_size: float | None = None

    def problem(self, model: Hybrid, series: Trajectories, path: Tensor | None = None) -> TrainingProblem:
        """Put in model and data, with segments that start on `path` or on the smoothed trajectory."""
        return PredictionErrorProblem(self, self.segments(model, series, path))

    def segments(self, model: Hybrid, series: Trajectories, path: Tensor | None = None) -> Segments:
        """Cut the segments to shoot over, first states on `path` (E, K, T, N, D) or on the smoothed trajectory."""
        n = len(model.mechanism.states)
        scale = self.state_scale if self.state_scale is not None else [1.0] * n
        start = self.hidden_start if self.hidden_start is not None else [0.0] * n
        if len(scale) != n or len(start) != n or min(scale) <= 0:
            raise InputError(
                "state_scale and hidden_start do not fit the model.",
                expected=f"a number for each of {', '.join(model.mechanism.states)}, scales positive",
                found=f"{list(scale)}, {list(start)}",
            )
        if path is None:
            size = self.missing_size or max([getattr(r, "gain", 1.0) for r in model.residuals], default=1.0)
            path = smoothed_states(model, series, size, scale, start)
        return Segments(model, series, self.shooting, path, scale)


class PredictionErrorProblem(TrainingProblem):
    """This problem holds prediction errors over segments; see `PredictionError`."""

    def __init__(self, choice: PredictionError, segments: Segments):
        super().__init__()
        self.choice, self.segments = choice, segments

    def losses(self, model: Hybrid, progress: float) -> Tensor:
        observer = self.choice.observer
        gain = 0.0 if observer is None else observer.at(progress)
        rollout = self.segments.roll(model, observer, gain)
        data = self.segments.misfits(rollout).square().sum(dim=(1, 2, 3, 4)) / self.segments.n_observed
        if rollout.gaps.shape[1] == 0 or self.choice.shooting.continuity == 0:
            return 0.5 * data
        gaps = rollout.gaps.square().mean(dim=(1, 2, 3))
        return 0.5 * (data + self.choice.shooting.continuity * gaps)

    def path(self, model: Hybrid) -> Tensor:
        return self.segments.path(model)

    def settled(self, progress: float) -> bool:
        return self.choice.observer is None or self.choice.observer.at(progress) == 0.0


@dataclass(frozen=True)
class PathLikelihood:
    """This loss is the one-step error of fully observed stochastic dynamics (Euler-Maruyama), weighted by process noise.

    Negative log-likelihood of the path per sample, up to a constant: all steps at once, no integration.

    Parameters
    ----------
    sigma : sequence of float, optional
        Process noise of each state, per square root of time; default: estimated for each state and unit with the rest.

    Notes
    -----
    Measurement noise of standard deviation s acts like process noise of ``s sqrt(2 / dt)`` and biases what is learned: for
    series with measurement noise use `PredictionError` or `LatentSDE`.

    Examples
    --------
    >>> from mfm.ude import PathLikelihood
    >>> PathLikelihood(sigma=[0.01, 0.01]).sigma
    [0.01, 0.01]
    """

    sigma: Sequence[float] | None = None

    def problem(self, model: Hybrid, series: Trajectories, path: Tensor | None = None) -> TrainingProblem:
        """Put in model and data; an InputError unless every state is observed."""
        missing = [name for name in model.mechanism.states if name not in series.names]
        if missing:
            raise InputError(
                "The path likelihood needs every state.",
                expected=", ".join(model.mechanism.states),
                found=f"no channel for {', '.join(missing)}",
                fix="PredictionError or LatentSDE, which have hidden states",
            )
        return PathProblem(self, model, series)


class PathProblem(TrainingProblem):
    """This problem compares increments of the data with the model's drift; see `PathLikelihood`.

    Attributes
    ----------
    x, slope : tensor, (E, S, N, D)
        States, and their rate of change to the next sample, of all steps.
    there : tensor, (E, S, N, 1)
        1 where both ends of a step are there, else 0.
    covariates : tensor, (E or 1, S, N or 1, U), or None
    """

    def __init__(self, choice: PathLikelihood, model: Hybrid, series: Trajectories):
        super().__init__()
        order = [series.names.index(name) for name in model.mechanism.states]
        values = series.values[..., order]
        E, _, T, N, D = values.shape
        # One trajectory after the other: (E, K (T - 1), N, D); a step counts where all states of a unit are there.
        self.x = values[:, :, :-1].reshape(E, -1, N, D)
        self.slope = (values.diff(dim=2) / series.dt).reshape(E, -1, N, D)
        there = torch.isfinite(self.slope) & torch.isfinite(self.x).all(dim=(2, 3), keepdim=True)
        self.there = there.all(dim=-1, keepdim=True).double()
        self.x, self.slope = self.x.nan_to_num(), self.slope.nan_to_num()
        self.n = self.there.sum(dim=1, keepdim=True)
        if (self.n < 2).any():
            raise InputError(
                "There are no two complete samples in a row.", expected="a path without a gap at every second sample"
            )
        self.dt = series.dt
        self.covariates = None
        if series.covariates is not None:
            self.covariates = series.covariates.repeat_interleave(T - 1, dim=1)
        self.sigma = None
        if choice.sigma is not None:
            self.sigma = torch.as_tensor(choice.sigma, dtype=torch.float64)
            if self.sigma.shape[-1] != D or not (self.sigma > 0).all():
                raise InputError("sigma must be positive, one number per state.", found=str(choice.sigma))

    def losses(self, model: Hybrid, progress: float) -> Tensor:
        errors = self.there * (self.slope - model.drift(self.x, self.covariates))
        variance = errors.square().sum(dim=1, keepdim=True) / self.n * self.dt
        if self.sigma is None:
            return 0.5 * variance.clamp(min=1e-300).log().mean(dim=(1, 2, 3))
        return 0.5 * (variance / self.sigma**2).mean(dim=(1, 2, 3))


@dataclass(frozen=True)
class LatentSDE:
    """This loss is an evidence lower bound for stochastic dynamics that are observed with noise or in part.

    The posterior path follows the model's drift plus a control that is linear in each state, free at every sample, with the
    model's noise (Archambeau et al. 2007; Li et al. 2020, without an encoder): by Girsanov its divergence from the prior is
    half the integral of the squared control, in units of sigma. Series are cut into segments as for shooting, whose gaps are
    penalised. The bound is tight for linear dynamics and small steps (``substeps`` of the hybrid).

    Parameters
    ----------
    sigma : sequence of float
        Process noise of each state, per square root of time; positive.
    samples : int
        Noise realisations per evaluation.
    shooting : MultipleShooting
    state_scale, hidden_start : sequence of float, optional
        As for `PredictionError`.
    seed : int

    Examples
    --------
    >>> from mfm.ude import LatentSDE
    >>> LatentSDE(sigma=[0.1]).samples
    4
    """

    sigma: Sequence[float]
    samples: int = 4
    shooting: MultipleShooting = field(default_factory=MultipleShooting)
    state_scale: Sequence[float] | None = None
    hidden_start: Sequence[float] | None = None
    seed: int = 0

    def problem(self, model: Hybrid, series: Trajectories, path: Tensor | None = None) -> TrainingProblem:
        """Put in model and data, with segments that start on `path` or on the smoothed trajectory."""
        sigma = torch.as_tensor(self.sigma, dtype=torch.float64)
        if sigma.shape != (len(model.mechanism.states),) or not (sigma > 0).all():
            raise InputError("sigma must be positive, one number per state.", found=str(self.sigma))
        like = PredictionError(None, self.shooting, self.state_scale, self.hidden_start)
        return LatentSDEProblem(self, sigma, like.segments(model, series, path))


class LatentSDEProblem(TrainingProblem):
    """This problem holds the controls of the posterior path and its spread; see `LatentSDE`."""

    def __init__(self, choice: LatentSDE, sigma: Tensor, segments: Segments):
        super().__init__()
        self.choice, self.sigma, self.segments = choice, sigma, segments
        E, M, _, N, D = segments.values.shape
        self.controls = nn.Parameter(torch.zeros(E, M, segments.length, N, D, dtype=torch.float64))
        # How the control answers to where the path is, relative to the data: without it the posterior is as wide as the prior.
        self.feedback = nn.Parameter(torch.zeros_like(self.controls))
        # Spread of a segment's first state under the posterior.
        self.log_spread = nn.Parameter(torch.full((E, M, N, D), -2.0, dtype=torch.float64))
        self._generator = torch.Generator().manual_seed(choice.seed)

    def losses(self, model: Hybrid, progress: float) -> Tensor:
        return -self.elbo(model) / self.segments.n_observed

    def path(self, model: Hybrid) -> Tensor:
        return self.segments.path(model)

    def elbo(self, model: Hybrid) -> Tensor:
        """Compute a lower bound (E,) of the log evidence of the data, in nats, minus the penalty of the gaps."""
        bounds = [self._one(model) for _ in range(self.choice.samples)]
        return torch.stack(bounds).mean(dim=0)

    def _one(self, model: Hybrid) -> Tensor:
        s, h = self.segments, self.segments.dt / model.substeps
        # The same draw for every member: none depends on the size of the ensemble.
        draw = torch.randn(
            (s.length * model.substeps + 1, *s.offsets.shape[1:]), generator=self._generator, dtype=torch.float64
        )
        start = s.states + s.tolerance * self.log_spread.exp() * draw[0]
        x, path, divergence = start, [], torch.zeros(1, dtype=torch.float64)
        for k in range(s.length):
            for j in range(model.substeps):
                control = self.controls[:, :, k] + self.feedback[:, :, k] * (x - s.values[:, :, k])
                divergence = divergence + 0.5 * h * control.square().sum(dim=(1, 2, 3))
                drift = model.drift(x, s.covariates) + self.sigma * control
                x = x + h * drift + math.sqrt(h) * self.sigma * draw[1 + k * model.substeps + j]
            path.append(x)
        predicted = torch.stack([start, *path], dim=2)
        errors = s.weights * (predicted - s.values)
        counted = s.weights > 0
        constant = torch.where(counted, (s.weights.clamp(min=1e-300) / math.sqrt(2 * math.pi)).log(), torch.zeros_like(errors))
        log_likelihood = (constant - 0.5 * errors.square()).sum(dim=(1, 2, 3, 4))
        gaps = s.gaps_between(s.states, path[-1]).square().sum(dim=(1, 2, 3))
        entropy = self.log_spread.sum(dim=(1, 2, 3))
        return log_likelihood - divergence + entropy - 0.5 * self.choice.shooting.continuity * gaps
