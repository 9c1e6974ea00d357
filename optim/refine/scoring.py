"""Fisher scoring is Newton's method with the expected curvature, damped by how well it foretells a decrease (Nielsen 1999)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mfm.linear.whittle import Quadratic

# Predicted decrease, in nats, at which an optimum is reached.
_CONVERGED = 1e-5
_MOST_EVALUATIONS = 100
_DAMPING, _MOST_DAMPING = 1e-3, 1e10


@dataclass(frozen=True, eq=False)
class Optimum:
    """An optimum is where scoring ended.

    Attributes
    ----------
    x : tensor, (P,)
    at : Quadratic
        Penalised value, gradient and curvature there.
    converged : bool
        Whether an undamped step could lower the value by less than 1e-5.
    evaluations : int
    """

    x: Tensor
    at: Quadratic
    converged: bool
    evaluations: int


def fisher_scoring(problem: Callable[[Tensor], Quadratic], start: Tensor) -> Optimum:
    """Minimise a negative log-posterior from `start`, whose value must be finite; an infinite value is a wall.

    Examples
    --------
    >>> import torch
    >>> from mfm.linear.whittle import Quadratic
    >>> from optim.refine.scoring import fisher_scoring
    >>> def bowl(x):
    ...     return Quadratic(float(((x - 1) ** 2).sum()), 2 * (x - 1), 2 * torch.eye(2, dtype=x.dtype))
    >>> fisher_scoring(bowl, torch.zeros(2, dtype=torch.float64)).x.round(decimals=2).tolist()
    [1.0, 1.0]
    """
    x, at, damping, growth, evaluations = start, problem(start), _DAMPING, 2.0, 1
    if not len(x) or not math.isfinite(at.value):
        return Optimum(x, at, not len(x), evaluations)
    while evaluations < _MOST_EVALUATIONS:
        scale = torch.diag(at.information.diagonal().clamp(min=1e-12))
        newton = -torch.linalg.solve(at.information + 1e-12 * scale, at.gradient)
        if -0.5 * float(at.gradient @ newton) < _CONVERGED:
            return Optimum(x, at, True, evaluations)
        step = -torch.linalg.solve(at.information + damping * scale, at.gradient)
        predicted = float(-(at.gradient @ step + 0.5 * step @ at.information @ step))
        trial = problem(x + step)
        evaluations += 1
        gain = (at.value - trial.value) / predicted
        if gain > 1e-4:
            x, at, growth = x + step, trial, 2.0
            damping = max(1e-9, damping * max(1 / 3, 1 - (2 * min(gain, 1.0) - 1) ** 3))
        else:
            damping, growth = damping * growth, 2 * growth
            if damping > _MOST_DAMPING:
                break
    return Optimum(x, at, False, evaluations)
