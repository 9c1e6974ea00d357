"""Information says what a scan can tell of a residual before it is learned."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mfm.ude import LinearResidual
from mfm.ude.estimates.detectability import REFUSED_SHARE
from optim.refine.problem import RefinementProblem, fit_nuisance
from optim.refine.task import Task
from optim.refine.verdict import ResidualTerm


def standard_errors(problem: RefinementProblem) -> Tensor:
    """Compute errors (terms,) that scans such as the problem's give the coefficients at the fit, without their own prior.

    What the mechanism's directions and the nuisance take away is taken away: with the information H, those directions' prior
    in it, and the covariance V of the gradient, the covariance of the estimate is ``H^-1 V H^-1`` (White 1982).
    """
    free = replace(problem, prior_std=torch.full_like(problem.prior_std, torch.inf))
    system = free.system(free.start)
    assert system is not None
    tangents = free.tangents(free.start, system)
    nuisance = fit_nuisance(free.likelihood, system)
    H = free.likelihood(system, tangents, nuisance).information + torch.diag(free.precision)
    V = free.likelihood.score_covariance(system, tangents, nuisance) + torch.diag(free.precision)
    scale = H.diagonal().clamp(min=1e-300).rsqrt()
    inverse = torch.linalg.pinv(H * scale[:, None] * scale, hermitian=True, rtol=1e-12) * scale[:, None] * scale
    return (inverse @ V @ inverse).diagonal()[: free.n_terms].sqrt()


def best_directions(problem: RefinementProblem, n: int) -> Tensor:
    """Find the `n` directions (K, n) of the fit that the scans know best, nuisance taken away."""
    found = problem(problem.start).information
    K = problem.fitted.n_directions
    a, b, c = found[:K, :K], found[:K, K:], found[K:, K:]
    _, vectors = torch.linalg.eigh(a - b @ torch.linalg.pinv(c, hermitian=True) @ b.T)
    return vectors[:, -min(n, K) :]


def fisher_report(task: Task) -> tuple[LinearResidual, tuple[ResidualTerm, ...]]:
    """Report the residual that was asked for, and what the scans can tell of its terms, before anything is learned."""
    residual = task.residual()
    prior = task.prior_std(residual)
    frozen = standard_errors(task.problem(task.fitted.frozen(), residual))
    error = standard_errors(task.problem(task.fitted, residual)) if task.fitted.n_directions else frozen
    return residual, tuple(
        ResidualTerm(
            name, float(frozen[k]), float(error[k]), float(prior[k]), not float(error[k]) <= REFUSED_SHARE * float(prior[k])
        )
        for k, name in enumerate(residual.names)
    )
