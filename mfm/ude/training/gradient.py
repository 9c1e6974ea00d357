"""Gradient training moves all ensemble members at once, each on its own."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from mfm.errors import InputError
from mfm.ude.data.trajectories import Trajectories
from mfm.ude.equations.hybrid import Hybrid
from mfm.ude.training.checks import check_fit
from mfm.ude.training.losses import Loss, TrainingProblem

# How often a member may leave the finite numbers, and go on from its best state, before it is stopped.
_MOST_RESTARTS = 3


class FitStatus(IntEnum):
    """A fit's status says what became of a member's training.

    Attributes
    ----------
    OK, RECOVERED, DIVERGED
        0: trained to the end; 1: left the finite numbers at least once, and went on from its best state with half the step;
        2: was stopped after doing so too often, its best state kept.

    Examples
    --------
    >>> from mfm.ude import FitStatus
    >>> FitStatus(1).name
    'RECOVERED'
    """

    OK = 0
    RECOVERED = 1
    DIVERGED = 2


@dataclass(frozen=True)
class Adam:
    """These are the settings of a training by Adam with a one-cycle step size.

    Parameters
    ----------
    iterations : int
    step : float
        Largest step size; reached after `warm_up` of the iterations, then lowered by a cosine to a thousandth.
    warm_up : float
    clip : float
        Largest norm of a member's gradient.
    weight_decay : float
        Pull of the model's parameters towards 0, per unit of step size (decoupled, as in AdamW).

    Examples
    --------
    >>> from mfm.ude import Adam
    >>> Adam(1000).step
    0.02
    """

    iterations: int = 2000
    step: float = 2e-2
    warm_up: float = 0.1
    clip: float = 5.0
    weight_decay: float = 0.0

    def __post_init__(self):
        if self.iterations < 1 or not self.step > 0 or not 0 <= self.warm_up < 1 or not self.clip > 0 or self.weight_decay < 0:
            raise InputError("The settings of the training cannot be used.", found=repr(self))

    def step_at(self, progress: float) -> float:
        """Return the step size at a share of the training."""
        if progress < self.warm_up:
            return self.step * (0.04 + 0.96 * progress / self.warm_up)
        share = (progress - self.warm_up) / (1 - self.warm_up)
        return self.step * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * share)))


@dataclass(frozen=True)
class TrainingProgress:
    """Progress says how far a training is: iterations done of all, the members' losses, the seconds it took so far."""

    iteration: int
    iterations: int
    losses: np.ndarray
    seconds: float


@dataclass(frozen=True, eq=False)
class UDEFit:
    """A fit holds a trained hybrid, the trajectory that it passes through, and how the training went.

    Attributes
    ----------
    model : Hybrid
        With the best parameters of each member.
    problem : TrainingProblem
        With the best first states (or controls) of each member.
    series : Trajectories
    loss : tensor, (E,)
        At the best state, the observer off.
    trace : array, (iterations, E)
        Loss at each iteration; while the observer's gain falls, values are not comparable.
    status : tensor of int, (E,)
        `FitStatus`.
    seconds : float
    """

    model: Hybrid
    problem: TrainingProblem
    series: Trajectories
    loss: Tensor
    trace: np.ndarray
    status: Tensor
    seconds: float

    def __repr__(self) -> str:
        counts = ", ".join(f"{int((self.status == s).sum())} {s.name}" for s in FitStatus if (self.status == s).any())
        return f"UDEFit({self.model!r}, loss {float(self.loss.median()):.4g}, {counts})"


class Training:
    """A training goes a step at a time; `state` and `load` let it be interrupted.

    Parameters
    ----------
    model : Hybrid
        Not changed.
    series : Trajectories
    loss : Loss
    optimizer : Adam
    start : UDEFit, optional
        As for `fit`.
    """

    def __init__(self, model: Hybrid, series: Trajectories, loss: Loss, optimizer: Adam, start: UDEFit | None = None):
        check_fit(model, series)
        self.model, self.series, self.optimizer = copy.deepcopy(model), series, optimizer
        path = None
        if start is not None:
            self.model.load_state_dict(start.model.state_dict())
            path = start.problem.path(start.model)
        self.problem = loss.problem(self.model, series, path)
        learned, free = list(self.model.parameters()), list(self.problem.parameters())
        self._learned = len(learned)
        self._parameters = learned + free
        E = self.problem.losses(self.model, 0.0).shape[0]
        if any(p.shape[0] != E for p in self._parameters):
            raise InputError(
                "Model and data have different numbers of ensemble members.",
                expected=f"a residual with members={E}, one for each data set",
                found=f"members={self.model.members}",
            )
        self.iteration, self.seconds = 0, 0.0
        self._moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self._parameters]
        self._best = [p.detach().clone() for p in self._parameters]
        self._best_loss = torch.full((E,), math.inf, dtype=torch.float64)
        self._factor = torch.ones(E, dtype=torch.float64)
        self._age = torch.zeros(E, dtype=torch.float64)
        self._restarts = torch.zeros(E, dtype=torch.int64)
        self._was_settled = False
        self._trace: list[np.ndarray] = []

    @property
    def done(self) -> bool:
        """Tell whether all iterations are done."""
        return self.iteration >= self.optimizer.iterations

    @property
    def progress(self) -> TrainingProgress:
        """Report how far the training is."""
        last = self._trace[-1] if self._trace else np.full(len(self._factor), np.nan)
        return TrainingProgress(self.iteration, self.optimizer.iterations, last, self.seconds)

    def step(self) -> None:
        """Do one iteration."""
        began = time.perf_counter()
        share = self.iteration / self.optimizer.iterations
        for p in self._parameters:
            p.grad = None
        losses = self.problem.losses(self.model, share)
        finite = torch.isfinite(losses.detach())
        if finite.any():
            losses[finite].sum().backward()
        self._note(losses.detach(), finite, share)
        norm = torch.stack([_per_member(p.grad, p) for p in self._parameters]).sum(dim=0).sqrt()
        alive = (self._restarts <= _MOST_RESTARTS) & finite & torch.isfinite(norm)
        self._restore(~(finite & torch.isfinite(norm)) & (self._restarts <= _MOST_RESTARTS))
        self._update(self.optimizer.step_at(share), norm, alive)
        self.iteration += 1
        self.seconds += time.perf_counter() - began

    def _note(self, losses: Tensor, finite: Tensor, share: float) -> None:
        """Keep the trace and the best state: the best loss once the loss has settled, until then the latest finite one."""
        self._trace.append(losses.numpy().copy())
        settled = self.problem.settled(share)
        if settled and not self._was_settled:
            self._best_loss = torch.full_like(self._best_loss, math.inf)
        self._was_settled = settled
        better = finite & (losses < self._best_loss) if settled else finite & (self.iteration % 20 == 0)
        if better.any():
            self._best_loss = torch.where(better, losses, self._best_loss)
            for best, p in zip(self._best, self._parameters, strict=True):
                best[better] = p.detach()[better]

    def _restore(self, members: Tensor) -> None:
        """Set members that left the finite numbers back to their best state, with half the step."""
        if not members.any():
            return
        self._restarts += members
        self._factor = torch.where(members, self._factor / 2, self._factor)
        self._age = torch.where(members, torch.zeros_like(self._age), self._age)
        with torch.no_grad():
            for p, best, (m, v) in zip(self._parameters, self._best, self._moments, strict=True):
                p[members], m[members], v[members] = best[members], 0.0, 0.0

    def _update(self, size: float, norm: Tensor, alive: Tensor) -> None:
        """Adam's step of the members that are alive, each with its own clipping and its own age."""
        self._age = self._age + alive
        age = self._age.clamp(min=1)
        scale = (self.optimizer.clip / norm.clamp(min=1e-300)).clamp(max=1.0)
        rate = torch.where(alive, size * self._factor, torch.zeros_like(self._factor))
        with torch.no_grad():
            for k, (p, (m, v)) in enumerate(zip(self._parameters, self._moments, strict=True)):
                if p.grad is None:
                    continue
                shape = (-1,) + (1,) * (p.ndim - 1)
                on = alive.reshape(shape)
                g = torch.where(on, p.grad * scale.reshape(shape), torch.zeros_like(p))
                m.copy_(torch.where(on, 0.9 * m + 0.1 * g, m))
                v.copy_(torch.where(on, 0.999 * v + 0.001 * g * g, v))
                step = (m / (1 - 0.9**age).reshape(shape)) / ((v / (1 - 0.999**age).reshape(shape)).sqrt() + 1e-8)
                if k < self._learned and self.optimizer.weight_decay:
                    step = step + self.optimizer.weight_decay * p
                p.sub_(rate.reshape(shape) * step)

    def result(self) -> UDEFit:
        """Return the fit so far, at the best state of each member."""
        model, problem = copy.deepcopy((self.model, self.problem))
        with torch.no_grad():
            for p, best in zip([*model.parameters(), *problem.parameters()], self._best, strict=True):
                p.copy_(best)
            loss = problem.losses(model, 1.0)
        status = torch.zeros_like(self._restarts)
        status[self._restarts > 0] = int(FitStatus.RECOVERED)
        status[self._restarts > _MOST_RESTARTS] = int(FitStatus.DIVERGED)
        return UDEFit(model, problem, self.series, loss, np.array(self._trace), status, self.seconds)

    def state(self) -> dict:
        """Return everything needed to go on, in plain arrays and numbers."""
        return {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "parameters": [p.detach().numpy().copy() for p in self._parameters],
            "moments": [(m.numpy().copy(), v.numpy().copy()) for m, v in self._moments],
            "best": [p.numpy().copy() for p in self._best],
            "members": [t.numpy().copy() for t in (self._best_loss, self._factor, self._age, self._restarts)],
            "settled": self._was_settled,
            "trace": [row.copy() for row in self._trace],
        }

    def load(self, state: dict) -> None:
        """Go on from what `state` returned."""
        self.iteration, self.seconds, self._was_settled = state["iteration"], state["seconds"], state["settled"]
        self._trace = list(state["trace"])
        with torch.no_grad():
            for p, value in zip(self._parameters, state["parameters"], strict=True):
                p.copy_(torch.from_numpy(value))
        self._best = [torch.from_numpy(value.copy()) for value in state["best"]]
        self._moments = [(torch.from_numpy(m.copy()), torch.from_numpy(v.copy())) for m, v in state["moments"]]
        self._best_loss, self._factor, self._age, self._restarts = (torch.from_numpy(t.copy()) for t in state["members"])


def fit(
    model: Hybrid,
    series: Trajectories,
    loss: Loss,
    optimizer: Adam | None = None,
    start: UDEFit | None = None,
    on_progress: Callable[[TrainingProgress], None] | None = None,
) -> UDEFit:
    """Train a hybrid on trajectories.

    Parameters
    ----------
    model : Hybrid
        Not changed. Members of its residuals are fitted independently: to one data set each, or all to the same one.
    series : Trajectories
    loss : PredictionError, PathLikelihood or LatentSDE
    optimizer : Adam, optional
    start : UDEFit, optional
        A fit of the same model to the same data, whose parameters and trajectory are gone on from: short segments first,
        which are quick, then longer ones.
    on_progress : callable, optional
        Called after each iteration.

    Returns
    -------
    UDEFit

    Raises
    ------
    InputError
        If model and data do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.ude import Adam, Hybrid, MultipleShooting, NoMechanism, PredictionError, ResidualBasis, Trajectories, fit
    >>> decay = Trajectories(np.exp(-0.1 * np.arange(60))[:, None], 0.1, ["x"], noise_std=[0.01])
    >>> model = Hybrid(NoMechanism(("x",)), ResidualBasis("x", ("x",), degree=1))
    >>> found = fit(model, decay, PredictionError(shooting=MultipleShooting(5)), Adam(200, step=0.05))
    >>> [round(c, 2) for c in found.model.residuals[0].coefficients[0].tolist()]
    [0.0, -1.0]
    """
    training = Training(model, series, loss, optimizer or Adam(), start)
    while not training.done:
        training.step()
        if on_progress is not None:
            on_progress(training.progress)
    return training.result()


def _per_member(gradient: Tensor | None, like: Tensor) -> Tensor:
    """Squared norm of a gradient, (E,); 0 where a parameter was not used."""
    if gradient is None:
        return torch.zeros(like.shape[0], dtype=torch.float64)
    return gradient.square().flatten(1).sum(dim=1)
