"""Terms of a state's derivative are regressed on fully observed stochastic paths, with no network in between."""

from __future__ import annotations

import numpy as np
import torch

from mfm.errors import InputError
from mfm.ude.data.trajectories import Trajectories
from mfm.ude.equations.hybrid import Hybrid
from mfm.ude.equations.residuals import ResidualBasis
from mfm.ude.formulas.regression import Blocks, SparseRule
from mfm.ude.formulas.symbolic import Extraction, select_terms
from mfm.ude.training.losses import PathLikelihood, PathProblem


def path_blocks(model: Hybrid, series: Trajectories, terms: ResidualBasis, n_blocks: int) -> Blocks:
    """Build normal equations of the path likelihood for terms of a state's derivative: a regression of the increments.

    Blocks are contiguous in time, each with all units; `model` and `terms` as for `path_regression`.
    """
    states = model.mechanism.states
    if terms.target not in states:
        raise InputError(
            "A path regression learns the derivative of a state.", expected=" | ".join(states), found=f"target {terms.target!r}"
        )
    with torch.no_grad():
        problem = PathProblem(PathLikelihood(), model, series)
        k = states.index(terms.target)
        error = (problem.slope - model.drift(problem.x, problem.covariates))[0, ..., k]
        there = problem.there[0, ..., 0]
        # Each unit counts by its own process noise.
        variance = (there * error.square()).sum(dim=0) / there.sum(dim=0)
        names = (*states, *model.covariates)
        known = problem.x
        if problem.covariates is not None:
            known = torch.cat([known, problem.covariates.expand(*known.shape[:-1], -1)], dim=-1)
        values = terms.features(known[..., [names.index(name) for name in terms.inputs]])[0]
    weights = (there / variance).flatten()
    return Blocks.of(terms.library, values.flatten(0, 1), error.flatten(), n_blocks, weights)


def path_regression(
    model: Hybrid, series: Trajectories, terms: ResidualBasis, rule: SparseRule | None = None
) -> tuple[Extraction, np.ndarray]:
    """Select and fit terms of a state's derivative by the path likelihood: no network in between, one linear regression.

    Parameters
    ----------
    model : Hybrid
        What is known; the terms explain what it leaves.
    series : Trajectories
        One data set with every state.
    terms : ResidualBasis
        Target, inputs, maps and library; its coefficients are not used.
    rule : SparseRule, optional
        Default: 60 blocks, and no term below three standard errors.

    Returns
    -------
    Extraction
        Its coefficients are maximum-likelihood estimates: no refit is needed.
    errors : array, (P,)
        Standard errors; NaN off the support.

    Raises
    ------
    InputError
        If a state is not observed, the target is none, or the library has more terms than blocks.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.ude import Hybrid, NoMechanism, ResidualBasis, Trajectories, path_regression
    >>> x, noise = np.zeros(20000), 0.1 * np.random.default_rng(0).normal(size=20000)
    >>> for k in range(19999):
    ...     x[k + 1] = x[k] - 0.01 * x[k] + noise[k]
    >>> series = Trajectories(x[:, None], 0.01, ["x"], noise_std=[1e-6])
    >>> found, _ = path_regression(Hybrid(NoMechanism(("x",))), series, ResidualBasis("x", ("x",), degree=3))
    >>> found.terms
    ('x',)
    """
    rule = rule or SparseRule(share=0.0, blocks=60)
    blocks = path_blocks(model, series, terms, rule.blocks)
    found = select_terms(blocks, terms.target, rule, "stlsq")
    return found, blocks.solve(np.flatnonzero(found.support)).errors
