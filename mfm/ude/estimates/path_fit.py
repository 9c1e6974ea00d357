"""Sums of terms are fitted to fully observed stochastic paths by maximum likelihood (Gauss-Newton), with standard errors."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfm.errors import InputError
from mfm.ude.data.trajectories import Trajectories
from mfm.ude.equations.hybrid import Hybrid
from mfm.ude.equations.residuals import ResidualBasis
from mfm.ude.estimates.least_squares import basis_residuals
from mfm.ude.training.checks import check_fit
from mfm.ude.training.losses import PathLikelihood, PathProblem

_DIFFERENCE = 1e-6
_MOST_ITERATIONS = 30


@dataclass(frozen=True, eq=False)
class PathFit:
    """A path fit holds coefficients of all residuals in turn, standard errors, and `condition` of the scaled derivatives."""

    model: Hybrid
    coefficients: np.ndarray
    errors: np.ndarray
    condition: float
    converged: bool


def path_fit(model: Hybrid, series: Trajectories) -> PathFit:
    """Fit `ResidualBasis` residuals, wherever they enter the equations, by the path likelihood.

    Terms in a current or a parameter act through the mechanism's nonlinearity; process noise is estimated for each state and
    unit.

    Parameters
    ----------
    model : Hybrid
        All residuals are `ResidualBasis` of one member; the search starts from their coefficients. Not changed.
    series : Trajectories
        One data set with every state.

    Returns
    -------
    PathFit

    Raises
    ------
    InputError
        If a residual is not a sum of terms, or a state is not observed.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.ude import Hybrid, NoMechanism, ResidualBasis, Trajectories, path_fit
    >>> walk = np.cumsum(np.random.default_rng(0).normal(size=1000))
    >>> found = path_fit(
    ...     Hybrid(NoMechanism(("x",)), ResidualBasis("x", ("x",), degree=1)),
    ...     Trajectories(walk[:, None], 1.0, ["x"], noise_std=[1e-6]),
    ... )
    >>> bool((np.abs(found.coefficients) < 4 * found.errors).all())
    True
    """
    check_fit(model, series)
    model = copy.deepcopy(model)
    terms = basis_residuals(model)
    if model.members != 1 or series.members != 1 or len(terms) != len(model.residuals) or not terms:
        raise InputError(
            "Only sums of terms are fitted to paths in this way.", expected="ResidualBasis with members=1", found=repr(model)
        )
    problem = PathProblem(PathLikelihood(), model, series)
    with torch.no_grad():
        c = torch.cat([residual.coefficients[0] for residual in terms])
        best = _score(model, terms, problem, c)
        converged = False
        for _ in range(_MOST_ITERATIONS):
            errors, weights = _errors(model, terms, problem, c)
            J = drift_jacobian(model, terms, problem, c, weights)
            update = torch.linalg.lstsq(J, (weights * errors).flatten()).solution
            for _ in range(10):
                score = _score(model, terms, problem, c + update)
                if score < best:
                    break
                update = update / 2
            else:
                converged = True
                break
            c, gained, best = c + update, best - score, score
            if gained < 1e-10 * abs(best):
                converged = True
                break
        set_coefficients(terms, c)
        _, weights = _errors(model, terms, problem, c)
        J = drift_jacobian(model, terms, problem, c, weights)
    length = J.norm(dim=0).clamp(min=1e-300)
    gram = (J / length).T @ (J / length)
    covariance = torch.linalg.pinv(gram, hermitian=True) / torch.outer(length, length)
    values = torch.linalg.eigvalsh(gram)
    condition = float((values[-1] / values[0].clamp(min=1e-300)).sqrt())
    return PathFit(model, c.numpy().copy(), covariance.diagonal().sqrt().numpy(), condition, converged)


def set_coefficients(terms: list[ResidualBasis], c: Tensor) -> None:
    """Write the coefficients (P,) into the residuals, one after the other."""
    first = 0
    for residual in terms:
        n = len(residual.library)
        residual.coefficients[0] = c[first : first + n]
        first += n


def drift_jacobian(model: Hybrid, terms: list[ResidualBasis], problem: PathProblem, c: Tensor, weights: Tensor) -> Tensor:
    """Differentiate the weighted drift by the coefficients, (S N D, P), by central differences."""
    columns = []
    for k in range(len(c)):
        size = _DIFFERENCE * (1 + abs(float(c[k])))
        move = torch.zeros_like(c)
        move[k] = size
        drifts = []
        for moved in (c + move, c - move):
            set_coefficients(terms, moved)
            drifts.append(model.drift(problem.x, problem.covariates))
        columns.append((weights * (drifts[0] - drifts[1]) / (2 * size)).flatten())
    set_coefficients(terms, c)
    return torch.stack(columns, dim=1)


def _errors(model: Hybrid, terms: list[ResidualBasis], problem: PathProblem, c: Tensor) -> tuple[Tensor, Tensor]:
    """What the drift leaves of the increments, and the weights that make it of unit variance."""
    set_coefficients(terms, c)
    errors = problem.there * (problem.slope - model.drift(problem.x, problem.covariates))
    variance = errors.square().sum(dim=1, keepdim=True) / problem.n
    return errors, problem.there / variance.sqrt()


def _score(model: Hybrid, terms: list[ResidualBasis], problem: PathProblem, c: Tensor) -> float:
    set_coefficients(terms, c)
    score = float(problem.losses(model, 1.0))
    return score if np.isfinite(score) else float("inf")
