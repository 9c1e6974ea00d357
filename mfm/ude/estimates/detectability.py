"""Detectability says before learning what data can tell of a residual: standard errors by Fisher information."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch

from mfm.errors import InputError
from mfm.ude.data.trajectories import Trajectories
from mfm.ude.equations.hybrid import Hybrid
from mfm.ude.equations.library import CONDITION_LIMIT
from mfm.ude.estimates.least_squares import basis_residuals
from mfm.ude.estimates.path_fit import drift_jacobian
from mfm.ude.training.checks import check_fit
from mfm.ude.training.losses import PathLikelihood, PathProblem

#: A term is refused if its standard error exceeds this share of what is thought plausible for it.
REFUSED_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Detectability:
    """A report of detectability holds the least errors (Cramér-Rao) that any estimate of a hybrid's terms can have.

    Attributes
    ----------
    names : tuple of str
        ``target: term``.
    standard_error : array, (P,)
        Least standard error that any unbiased estimate can have; infinite where the data do not tell.
    detectable : array, (P,)
        Least coefficient that is found in 80 % of data sets at 5 % (2.8 standard errors).
    prior_scale : array, (P,)
    condition : float
        Condition number of the scaled derivatives: above `CONDITION_LIMIT` terms stand in for each other.
    correlation : array, (P, P)
        Of the estimates.
    """

    names: tuple[str, ...]
    standard_error: np.ndarray
    detectable: np.ndarray
    prior_scale: np.ndarray
    condition: float
    correlation: np.ndarray

    @property
    def refused(self) -> tuple[str, ...]:
        """Name the terms whose standard error is above half of their prior scale."""
        beyond = ~(self.standard_error <= REFUSED_SHARE * self.prior_scale)
        return tuple(name for name, out in zip(self.names, beyond, strict=True) if out)

    def require(self) -> None:
        """Raise an InputError unless the data can tell all terms."""
        if self.refused or self.condition > CONDITION_LIMIT:
            pairs = np.argwhere(np.triu(np.abs(self.correlation), 1) > 0.95)
            alike = "; ".join(f"{self.names[a]} and {self.names[b]}" for a, b in pairs[:3])
            raise InputError(
                "The data cannot tell all terms of the residual.",
                expected=f"standard errors below {REFUSED_SHARE:.0%} of the prior scale, "
                f"condition number below {CONDITION_LIMIT:g}",
                found=f"refused: {', '.join(self.refused) or 'none'}; condition number {self.condition:.3g}",
                cause=f"terms that stand in for each other: {alike}" if alike else "too little data, or too much noise",
                fix="fewer terms, centred maps, or more data",
            )


def detectability(model: Hybrid, series: Trajectories, prior_scale=None) -> Detectability:
    """Compute which terms fully observed stochastic series can tell, by Fisher information at the model's coefficients.

    Parameters
    ----------
    model : Hybrid
        With `ResidualBasis` residuals of one member.
    series : Trajectories
        One data set with every state: recorded, or simulated as planned.
    prior_scale : sequence of float, optional
        How large each coefficient may plausibly be; default infinite: nothing is refused but what is not determined at all.

    Returns
    -------
    Detectability

    Raises
    ------
    InputError
        If a residual has no coefficients to tell, or a state is not observed.

    Notes
    -----
    For noisily observed, deterministic dynamics `least_squares` gives standard errors with the fit.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.ude import Hybrid, NoMechanism, ResidualBasis, Trajectories, detectability
    >>> walk = np.cumsum(0.1 * np.random.default_rng(0).normal(size=1000))
    >>> model = Hybrid(NoMechanism(("x",)), ResidualBasis("x", ("x",), degree=1))
    >>> detectability(model, Trajectories(walk[:, None], 1.0, ["x"], noise_std=[1e-6]), prior_scale=[1.0, 1.0]).refused
    ()
    """
    model = copy.deepcopy(model)
    check_fit(model, series)
    terms = basis_residuals(model)
    if model.members != 1 or series.members != 1 or len(terms) != len(model.residuals) or not terms:
        raise InputError("Detectability is that of terms.", expected="ResidualBasis with members=1", found=repr(model))
    problem = PathLikelihood().problem(model, series)
    assert isinstance(problem, PathProblem)
    names = [f"{residual.target}: {name}" for residual in terms for name in residual.library.names]
    with torch.no_grad():
        errors = problem.there * (problem.slope - model.drift(problem.x, problem.covariates))
        variance = errors.square().sum(dim=1, keepdim=True) / problem.n
        c = torch.cat([residual.coefficients[0] for residual in terms])
        J = drift_jacobian(model, terms, problem, c, problem.there / variance.sqrt()).numpy()
    length = np.linalg.norm(J, axis=0)
    scaled = J / np.maximum(length, 1e-300)
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    told = values > 1e-12 * values[-1]
    covariance = (vectors[:, told] / values[told]) @ vectors[:, told].T
    std = np.sqrt(covariance.diagonal())
    # What lies in a direction that the data do not see at all is not bounded.
    unseen = (vectors[:, ~told] ** 2).sum(axis=1) > 1e-8
    error = np.where(unseen | (length == 0), np.inf, std / np.maximum(length, 1e-300))
    scale = np.full(len(names), np.inf) if prior_scale is None else np.asarray(prior_scale, dtype=float)
    if scale.shape != error.shape:
        raise InputError("prior_scale does not fit the terms.", expected=f"{len(names)} numbers", found=str(scale.shape))
    condition = float(np.sqrt(values[-1] / max(values[0], 1e-300)))
    correlation = covariance / np.maximum(np.outer(std, std), 1e-300)
    return Detectability(tuple(names), error, 2.8 * error, scale, condition, correlation)
