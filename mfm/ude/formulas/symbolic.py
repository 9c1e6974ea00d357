"""A learned residual becomes a formula: candidates by sparse regression, judged on the data without an observer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfm.errors import BackendError, InputError
from mfm.ude.data.trajectories import Trajectories
from mfm.ude.equations.hybrid import Hybrid
from mfm.ude.equations.library import CONDITION_LIMIT, Library
from mfm.ude.equations.residuals import Residual, ResidualBasis
from mfm.ude.estimates.least_squares import LeastSquaresFit, least_squares
from mfm.ude.formulas.regression import Blocks, SparseRule, genetic_support, inclusion_frequencies, join_blocks
from mfm.ude.training.gradient import FitStatus, UDEFit
from mfm.ude.training.losses import LatentSDEProblem, PathProblem, PredictionErrorProblem

METHODS = ("stlsq", "genetic")


@dataclass(frozen=True, eq=False)
class Extraction:
    """An extraction says which terms of a library a learned residual consists of.

    Attributes
    ----------
    library : Library
    target : str
    inclusion : array, (P,)
        Share of bootstraps that select each term.
    support : array of bool, (P,)
    coefficients, share : array, (P,)
        Of the regression on the learned residual, and the relative size of each term; 0 off the support. Not a result yet:
        see `refit`.
    nrmse : float
        What the formula leaves of the learned residual, over its standard deviation.
    condition : float
        Condition number of the library's scaled terms on these data.
    """

    library: Library
    target: str
    inclusion: np.ndarray
    support: np.ndarray
    coefficients: np.ndarray
    share: np.ndarray
    nrmse: float
    condition: float

    @property
    def identifiable(self) -> bool:
        """Tell whether the data tell the library's terms apart at all."""
        return self.condition <= CONDITION_LIMIT

    @property
    def terms(self) -> tuple[str, ...]:
        """Name the selected terms."""
        return tuple(name for name, kept in zip(self.library.names, self.support, strict=True) if kept)

    @property
    def formula(self) -> str:
        """Write the selected sum, or why there is none."""
        if not self.identifiable:
            return (
                f"no formula: on these data the library's terms are collinear (condition number {self.condition:.0f}, "
                f"limit {CONDITION_LIMIT:.0f}); fewer variables or a lower degree are needed"
            )
        keep = np.flatnonzero(self.support)
        return self.library.select(keep.tolist()).formula(self.coefficients[keep].tolist())

    def __repr__(self) -> str:
        return f"Extraction({self.target}: {self.formula})"


def extract(
    fit: UDEFit,
    library: Library | None = None,
    *,
    residual: int = 0,
    rule: SparseRule | None = None,
    method: str = "stlsq",
    pooled: bool = False,
) -> tuple[Extraction, ...]:
    """Select library terms for a learned residual, on the states that the fit passes through.

    Parameters
    ----------
    fit : UDEFit
    library : Library, optional
        Of the residual's variables in their own units (maps z-scored); default all monomials of second degree.
    residual : int
        Which of the hybrid's residuals.
    rule : SparseRule, optional
    method : {"stlsq", "genetic"}
        Thresholded least squares with stability selection, or the support of least BIC by genetic search; inclusion
        frequencies are given by both.
    pooled : bool
        One formula from all members together (starts of one data set), instead of one for each.

    Returns
    -------
    tuple of Extraction

    Raises
    ------
    InputError
        If the library is of other variables or has more terms than blocks of data, or no member was trained to the end.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.ude import Adam, Hybrid, MultipleShooting, NoMechanism, PredictionError
    >>> from mfm.ude import ResidualMLP, Trajectories, extract, fit
    >>> wave = Trajectories(np.exp(-0.05 * np.arange(200))[:, None], 0.05, ["x"], noise_std=[0.01])
    >>> model = Hybrid(NoMechanism(("x",)), ResidualMLP("x", ("x",), hidden=(8,)))
    >>> extract(fit(model, wave, PredictionError(None, MultipleShooting(2)), Adam(200)))[0].terms
    ('x',)
    """
    rule = rule or SparseRule()
    if method not in METHODS:
        raise InputError(
            "Unknown method of extraction.", expected=" | ".join(METHODS), found=repr(method), fix="pysr_formula, for PySR"
        )
    learned = fit.model.residuals[residual]
    library = library or Library.polynomial(learned.variables, 2)
    if library.variables != learned.variables:
        raise InputError(
            "The library is not one of the residual's variables.",
            expected=", ".join(learned.variables),
            found=", ".join(library.variables),
        )
    values, target = learned_samples(fit, residual)
    usable = [e for e in range(len(target)) if fit.status[e] != FitStatus.DIVERGED and torch.isfinite(target[e]).all()]
    if not usable:
        raise InputError("No member of the fit was trained to the end: there is nothing to extract.")
    parts = [Blocks.of(library, values[e], target[e], rule.blocks) for e in usable]
    blocks = [join_blocks(parts)] if pooled else parts
    return tuple(select_terms(part, learned.target, rule, method) for part in blocks)


def select_terms(blocks: Blocks, target: str, rule: SparseRule, method: str) -> Extraction:
    """Apply a rule to normal equations: the terms that it keeps, with their coefficients."""
    inclusion = inclusion_frequencies(blocks, rule)
    support = inclusion >= rule.inclusion if method == "stlsq" else genetic_support(blocks, rule.seed)
    solution = blocks.solve(np.flatnonzero(support))
    spread = np.sqrt(max(blocks.square.sum() / blocks.count.sum(), 1e-300))
    return Extraction(
        blocks.library,
        target,
        inclusion,
        support,
        solution.coefficients,
        solution.share,
        float(np.sqrt(solution.rss / solution.n) / spread),
        blocks.condition(),
    )


def learned_samples(fit: UDEFit, residual: int = 0) -> tuple[Tensor, Tensor]:
    """Sample a learned residual at the states of the fit, its observer off: variables (E, S, V) and values (E, S).

    Variables are in their own units, maps z-scored; samples follow each other trajectory by trajectory, in time.
    """
    learned, problem = fit.model.residuals[residual], fit.problem
    with torch.no_grad():
        if isinstance(problem, (PredictionErrorProblem, LatentSDEProblem)):
            path = problem.segments.path(fit.model)
            x, u = path.flatten(1, 2), fit.series.covariates
            u = None if u is None else u.repeat_interleave(path.shape[2], dim=1)
        else:
            assert isinstance(problem, PathProblem)
            x, u = problem.x.expand(max(len(problem.x), fit.model.members), -1, -1, -1), problem.covariates
        g = fit.model.residual_values(x, u)[residual]
        names = (*fit.model.mechanism.states, *fit.model.covariates)
        known = x if u is None else torch.cat([x, u.expand(*x.shape[:-1], -1)], dim=-1)
        values = known[..., [names.index(name) for name in learned.inputs]]
        if learned.maps is not None:
            values = torch.cat([values, learned.maps.expand(*values.shape[:2], *learned.maps.shape)], dim=-1)
    return values.flatten(1, 2), g.flatten(1)


@dataclass(frozen=True, eq=False)
class Refit:
    """A refit is a formula fitted to the data again: the result of an extraction.

    Attributes
    ----------
    library : Library
        Its terms only.
    found : LeastSquaresFit
        Coefficients and standard errors, without an observer, at half the step.
    candidates : tuple of (terms, BIC)
        Every formula that was fitted.
    """

    library: Library
    found: LeastSquaresFit
    candidates: tuple[tuple[tuple[str, ...], float], ...]

    @property
    def terms(self) -> tuple[str, ...]:
        """Name the terms of the formula."""
        return self.library.names

    def __repr__(self) -> str:
        return f"Refit({self.found.formula}; misfit {self.found.misfit:.3f})"


def refit(
    fit: UDEFit,
    extraction: Extraction,
    *,
    member: int = 0,
    residual: int = 0,
    compete: bool = True,
    on_progress: Callable[[str], None] | None = None,
) -> Refit:
    """Fit the extracted formula to the data, from where the extraction ended: no observer, half the step, standard errors.

    Parameters
    ----------
    fit : UDEFit
        With a `PredictionError` loss.
    extraction : Extraction
        Of `member`.
    member, residual : int
    compete : bool
        Also fit the formula with each of its terms left out and with the next most frequent term added, and go on from the
        best by BIC on the data until none is better: the data correct what a biased network suggests.
    on_progress : callable, optional
        Told of each formula that is fitted.

    Returns
    -------
    Refit

    Raises
    ------
    InputError
        If the library is collinear on these data (see `Extraction.formula`), or nothing was selected.

    Examples
    --------
    See ``scripts/bench_ude_roessler.py``.
    """
    if not extraction.identifiable:
        raise InputError("There is no formula to refit.", found=extraction.formula)
    if not extraction.support.any() and not compete:
        raise InputError("There is no formula to refit.", found="no term was selected")
    if not isinstance(fit.problem, PredictionErrorProblem):
        raise InputError(
            "A refit needs segments.", expected="a fit with PredictionError", fix="path_regression, for path likelihoods"
        )
    search = _Competition(fit, extraction, member, residual, on_progress)
    current = tuple(np.flatnonzero(extraction.support).tolist())
    search.fitted(current, extraction.coefficients)
    while compete:
        rivals = [tuple(k for k in current if k != out) for out in current]
        order = np.argsort(-extraction.inclusion, kind="stable")
        rivals += [tuple(sorted((*current, int(k)))) for k in [k for k in order if k not in current][:1]]
        for rival in rivals:
            search.fitted(rival)
        best = search.best()
        if best == current:
            break
        current = best
    keep = list(current)
    return Refit(extraction.library.select(keep), search.known[current], search.candidates())


class _Competition:
    """Formulas fitted to one data set, each once."""

    def __init__(self, fit: UDEFit, extraction: Extraction, member: int, residual: int, on_progress=None):
        self.fit, self.library, self.residual, self.on_progress = fit, extraction.library, residual, on_progress
        series = fit.series
        own = min(member, series.members - 1)
        covariates = None if series.covariates is None else series.covariates[min(own, len(series.covariates) - 1)]
        self.series = Trajectories(
            series.values[own : own + 1],
            series.dt,
            series.names,
            series.time_unit,
            series.noise_std[own],
            covariates,
        )
        assert isinstance(fit.problem, PredictionErrorProblem)
        self.choice = fit.problem.choice
        self.path = fit.problem.segments.path(fit.model)[member]
        values, target = learned_samples(fit, residual)
        self.blocks = Blocks.of(self.library, values[member], target[member], len(self.library) + 1)
        self.member = member
        self.known: dict[tuple[int, ...], LeastSquaresFit] = {}

    def fitted(self, support: tuple[int, ...], coefficients: np.ndarray | None = None) -> None:
        """Fit the formula with the terms `support`, from the regression on the learned residual."""
        if support in self.known:
            return
        start = self.blocks.solve(support).coefficients if coefficients is None else coefficients
        if self.on_progress is not None:
            self.on_progress(" + ".join(self.library.select(support).names) or "0")
        model = self._model(support, start[list(support)])
        self.known[support] = least_squares(model, self.series, self.choice, path=self.path)

    def _model(self, support: tuple[int, ...], coefficients: np.ndarray) -> Hybrid:
        fit, learned = self.fit, self.fit.model.residuals[self.residual]
        formula = ResidualBasis(
            learned.target,
            learned.inputs,
            library=self.library.select(support),
            coefficients=coefficients.tolist(),
            centre=learned.centre,
        )
        formula.maps, formula.map_names = learned.maps, learned.map_names
        others = [single_member(r, self.member) for r in fit.model.residuals]
        others[self.residual] = formula
        m = fit.model
        return Hybrid(m.mechanism, others, m.mode, covariates=m.covariates, scheme=m.scheme, substeps=2 * m.substeps)

    def best(self) -> tuple[int, ...]:
        return min(self.known, key=lambda support: (self.known[support].bic, len(support)))

    def candidates(self) -> tuple[tuple[tuple[str, ...], float], ...]:
        found = [(self.library.select(support).names, fitted.bic) for support, fitted in self.known.items()]
        return tuple(sorted(found, key=lambda item: item[1]))


def single_member(residual: Residual, member: int) -> Residual:
    """Take one member of a residual, as a residual of one."""
    single = copy.deepcopy(residual)
    single.members = 1
    for module in single.modules():
        for name, p in list(module.named_parameters(recurse=False)):
            module._parameters[name] = torch.nn.Parameter(p.detach()[member : member + 1].clone())
    return single


def pysr_formula(fit: UDEFit, residual: int = 0, member: int = 0, **options) -> str:
    """Search a free-form formula with PySR (an optional package that needs Julia), on the states of the fit.

    Parameters
    ----------
    fit : UDEFit
    residual, member : int
    options
        Arguments of ``pysr.PySRRegressor``.

    Returns
    -------
    str
        PySR's choice. Its constants have no standard errors; fit the terms it finds with a `Library` of them.

    Raises
    ------
    BackendError
        If PySR is not installed.

    Examples
    --------
    >>> from mfm.ude import pysr_formula
    >>> pysr_formula.__name__
    'pysr_formula'
    """
    try:
        from pysr import PySRRegressor
    except ImportError as error:
        raise BackendError("PySR is not installed.", fix="pip install 'mfmfit[pysr]'", found=str(error)) from error
    values, target = learned_samples(fit, residual)
    search = PySRRegressor(**{"deterministic": True, "parallelism": "serial", "random_state": 0, "progress": False, **options})
    search.fit(values[member].numpy(), target[member].numpy(), variable_names=list(fit.model.residuals[residual].variables))
    return str(search.sympy())
