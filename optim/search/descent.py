"""Descent from many points at once: BFGS with backtracking, which turns away from walls and instabilities."""

from __future__ import annotations

from typing import Any
from typing import Protocol as TypingProtocol

import numpy as np

# Sufficient decrease (Armijo); and step lengths, as shares of the quasi-Newton step, at which a direction is given up.
_DECREASE = 1e-4
_SHORTEST = 1e-4

# How much of a step is left after one that was not allowed at all, and after one that did not decrease enough.
_AFTER_WALL = 0.3
_AFTER_RISE = (0.1, 0.5)


# What a descent goes on from.
_STATE = (
    *("x", "value", "converged", "n_evaluations"),
    *("_gradient", "_inverse", "_fresh", "_direction", "_share", "_begun"),
)


class Problem(TypingProtocol):
    """What is minimised, at B points of D coordinates at once."""

    def value_and_gradient(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (B,), infinite where a point is not allowed, and gradients (B, D), finite wherever the value is."""
        ...


class BFGS:
    """BFGS from B points, each with its own inverse Hessian; one batch of evaluations per step (Nocedal & Wright 2006, ch. 6).

    Every step tries one point for each start: it is taken if the value falls enough, else the step is shortened. A
    value that is not finite is a wall: no such point is ever taken. Goes on bit-equal from its `state`.

    Parameters
    ----------
    x : array, (B, D)
        Where to begin.
    longest_step : float
        Longest step, in the coordinates' units.

    Attributes
    ----------
    x, value : array, (B, D) and (B,)
        The best points so far.
    converged : array of bool, (B,)
        Whether neither the quasi-Newton nor the steepest direction decreases the value.
    n_evaluations : int
        Points evaluated so far.

    Examples
    --------
    >>> import numpy as np
    >>> from optim.search.descent import BFGS
    >>> class Bowl:
    ...     def value_and_gradient(self, x):
    ...         return ((x - 1) ** 2).sum(axis=1), 2 * (x - 1)
    >>> search = BFGS(np.zeros((3, 2)), longest_step=0.5)
    >>> for _ in range(10):
    ...     search.step(Bowl())
    >>> search.x.round(6).tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """

    def __init__(self, x: np.ndarray, longest_step: float = 0.3):
        self.x = np.array(x, dtype=np.float64)
        B, D = self.x.shape
        self.longest_step = longest_step
        self.value = np.full(B, np.inf)
        self.converged = np.zeros(B, bool)
        self.n_evaluations = 0
        self._gradient = np.zeros((B, D))
        self._inverse = np.tile(np.eye(D), (B, 1, 1))
        self._fresh = np.ones(B, bool)  # whether the inverse Hessian is still the identity
        self._direction = np.zeros((B, D))
        self._share = np.ones(B)
        self._begun = False

    def state(self) -> dict[str, Any]:
        """What `load` needs to go on, in plain types."""
        return {name: np.copy(value) if isinstance(value := getattr(self, name), np.ndarray) else value for name in _STATE}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` of a search from as many points returned."""
        for name in _STATE:
            setattr(self, name, state[name])

    def step(self, problem: Problem) -> None:
        """Evaluate one point for each start that has not converged."""
        if not self._begun:
            self._begin(problem)
            return
        active = np.flatnonzero(~self.converged)
        if not len(active):
            return
        trial = self.x[active] + self._share[active, None] * self._direction[active]
        value, gradient = problem.value_and_gradient(trial)
        self.n_evaluations += len(active)
        for row, k in enumerate(active.tolist()):
            slope = self._direction[k] @ self._gradient[k]
            allowed = np.isfinite(value[row]) and np.isfinite(gradient[row]).all()
            if allowed and value[row] <= self.value[k] + _DECREASE * self._share[k] * slope:
                self._accept(k, trial[row], float(value[row]), gradient[row])
            else:
                self._shorten(k, float(value[row]) if allowed else np.inf, slope)

    def _begin(self, problem: Problem) -> None:
        self.value, self._gradient = (np.array(part) for part in problem.value_and_gradient(self.x))
        self.n_evaluations += len(self.x)
        # A start that is not allowed stays where it is.
        self.converged = ~(np.isfinite(self.value) & np.isfinite(self._gradient).all(axis=1))
        self._begun = True
        for k in np.flatnonzero(~self.converged).tolist():
            self._aim(k)

    def refresh(self) -> None:
        """Forget the values but not the points and their curvature: for a problem that has changed a little."""
        self._begun = False

    def _accept(self, k: int, x: np.ndarray, value: float, gradient: np.ndarray) -> None:
        s, y = x - self.x[k], gradient - self._gradient[k]
        curvature = s @ y
        if curvature > 1e-10 * np.linalg.norm(s) * np.linalg.norm(y):
            H = self._inverse[k]
            if self._fresh[k]:
                H = np.eye(len(s)) * (curvature / (y @ y))
            Hy = H @ y
            # Product form of the update, symmetric by construction.
            H = H + np.outer(s, s) * ((curvature + y @ Hy) / curvature**2) - (np.outer(Hy, s) + np.outer(s, Hy)) / curvature
            self._inverse[k] = H
            self._fresh[k] = False
        self.x[k], self.value[k], self._gradient[k] = x, value, gradient
        self._aim(k)

    def _shorten(self, k: int, value: float, slope: float) -> None:
        share = self._share[k]
        if np.isfinite(value):
            # Minimum of the parabola through what is known of the line.
            ratio = -slope * share / (2 * (value - self.value[k] - slope * share))
            self._share[k] = share * float(np.clip(ratio, *_AFTER_RISE))
        else:
            self._share[k] = share * _AFTER_WALL
        if self._share[k] >= _SHORTEST:
            return
        if self._fresh[k]:
            self.converged[k] = True
        else:
            self._forget(k)
            self._aim(k)

    def _forget(self, k: int) -> None:
        self._inverse[k] = np.eye(self.x.shape[1])
        self._fresh[k] = True

    def _aim(self, k: int) -> None:
        """The next direction: quasi-Newton, or steepest where that does not descend."""
        direction = -self._inverse[k] @ self._gradient[k]
        if direction @ self._gradient[k] >= 0:
            self._forget(k)
            direction = -self._gradient[k]
        length = np.linalg.norm(direction)
        if length == 0:
            self.converged[k] = True
            return
        if self._fresh[k]:
            # The size of the gradient says nothing of the distance.
            direction = direction * (self.longest_step / 3 / length)
        elif length > self.longest_step:
            direction = direction * (self.longest_step / length)
        self._direction[k], self._share[k] = direction, 1.0
