"""The analysis of a series trains from several starts, chooses by validation, reports on the test, extracts and refits."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

import mfm
from mfm.errors import InputError
from mfm.io.formats.tables import existing_file, file_digest
from mfm.ude import (
    Extraction,
    FitStatus,
    FreeRun,
    Hybrid,
    ResidualBasis,
    SparseRule,
    TimeSplit,
    TrainingProgress,
    Trajectories,
    UDEFit,
    carried_through,
    ensemble_agreement,
    extract,
    fit_stages,
    forecast,
    one_step_score,
    refit,
    split_by_time,
)
from mfm.ude.estimates.least_squares import basis_residuals, least_squares
from mfm.ude.estimates.path_fit import path_fit
from mfm.ude.formulas.symbolic import learned_samples, single_member
from mfm.ude.training.losses import PredictionErrorProblem
from optim.config.ude import UDEConfig
from optim.search.checkpoint import Checkpoint
from optim.ude.inputs import UDEInputs, asks_for_formula, files_of, formula_library, read_ude_inputs

_SECONDS_BETWEEN_CHECKPOINTS = 30.0


@dataclass(frozen=True)
class UDEScore:
    """A score says how well a model does on held-out data without an observer: lower is better.

    Attributes
    ----------
    model : str
        ``start 1`` and so on, ``formula``, ``mechanism`` alone, or ``mean`` of the training data.
    status : str
    train : float
        Loss of the training.
    validation, test : float
        Of a trajectory: root mean square error of a free run, in units of the noise. Of a path likelihood: minus the mean
        log-likelihood of an increment.
    bounded : bool
        Free runs stay within ten ranges of the training data.
    chosen : bool
    """

    model: str
    status: str
    train: float
    validation: float
    test: float
    bounded: bool
    chosen: bool = False


@dataclass(frozen=True)
class FormulaTerm:
    """A formula's term was extracted from a network; errors and coefficients are the refit's where there is one."""

    target: str
    term: str
    coefficient: float
    standard_error: float
    extracted: float
    inclusion: float


@dataclass(frozen=True, eq=False)
class UDEResult:
    """A result is what `mfmfit ude` found.

    Attributes
    ----------
    config : UDEConfig
    split : TimeSplit
    found : UDEFit
    best : int
        The start that was chosen by validation.
    scores : tuple of UDEScore
    terms : tuple of FormulaTerm
    formula : str
        Or why there is none.
    formula_model : Hybrid or None
        With the refitted coefficients.
    extraction : Extraction or None
    forecasts : tuple of FreeRun
        Over validation and test data, all starts; empty for a path likelihood.
    agreement : float
        Spread of what the starts learned, over the spread of its mean; NaN for fewer than five.
    fingerprint : str
    seconds : float
    """

    config: UDEConfig
    split: TimeSplit
    found: UDEFit
    best: int
    scores: tuple[UDEScore, ...]
    terms: tuple[FormulaTerm, ...]
    formula: str
    formula_model: Hybrid | None
    extraction: Extraction | None
    forecasts: tuple[FreeRun, ...]
    agreement: float
    fingerprint: str
    seconds: float


def ude_fingerprint(config: UDEConfig) -> str:
    """Digest (sha256) the files, the settings that decide the numbers, and the versions of what computes them."""
    versions = [mfm.__version__, *(version(name) for name in ("numpy", "scipy", "torch"))]
    files = [file_digest(existing_file(file, "input")) for file in files_of(config)]
    return hashlib.sha256(json.dumps([versions, config.deciding(), files], sort_keys=True).encode()).hexdigest()


def fit_ude(
    config: UDEConfig, work: Path | None = None, on_progress: Callable[[int, int, TrainingProgress], None] | None = None
) -> UDEResult:
    """Run the whole analysis; checkpoints are kept in the folder `work`, from which the same call goes on.

    `on_progress` is called with the stage's number, the number of stages, and its `TrainingProgress`.
    """
    problem = read_ude_inputs(config)
    split = split_by_time(problem.series, config.split.train, config.split.validation)
    found = _trained(problem, split, config, work, on_progress)
    forecasts = _forecasts(found.model, _ends(found), split, config.split.horizon)
    validation, test = (_values(found.model, part, run) for part, run in zip(_held_out(split), forecasts, strict=True))
    usable = np.where((found.status != int(FitStatus.DIVERGED)).numpy() & np.isfinite(validation), validation, np.inf)
    if not np.isfinite(usable).any():
        raise InputError(
            "No start was trained to an end from which it can predict.",
            found=f"{found!r}; validation scores {validation.round(2).tolist()}",
            cause="steps too large, segments too long, or scales far from those of the data",
            fix="a smaller training.step, a smaller loss.segment, loss.state_scale, or residual.gain",
        )
    best = int(usable.argmin())
    bounded = _bounded(forecasts, len(validation))
    scores = [
        UDEScore(f"start {k + 1}", FitStatus(int(found.status[k])).name, float(found.loss[k]), float(validation[k]),
              float(test[k]), bool(bounded[k]), k == best)
        for k in range(len(validation))
    ]  # fmt: skip
    extraction, terms, formula, model, states = _formula(found, best, config)
    if model is not None:
        scores.append(_other("formula", model, states, split, config))
    end = _ends(found)
    scores.append(_other("mechanism", _alone(found.model), None if end is None else end[best : best + 1], split, config))
    if forecasts[0] is not None and forecasts[1] is not None:
        scores.append(UDEScore("mean", "OK", np.nan, forecasts[0].baseline, forecasts[1].baseline, True))
    agreement = ensemble_agreement(found).relative if sum(np.isfinite(usable)) >= 5 else float("nan")
    shown = tuple(run for run in forecasts if run is not None)
    return UDEResult(
        config, split, found, best, tuple(scores), terms, formula, model, extraction, shown, agreement,
        ude_fingerprint(config), found.seconds,
    )  # fmt: skip


def _trained(problem: UDEInputs, split: TimeSplit, config: UDEConfig, work: Path | None, on_progress) -> UDEFit:
    """Trained in stages, from the last checkpoint on."""
    checkpoint = Checkpoint.within(work, "training", ude_fingerprint(config))
    kept = time.monotonic()
    latest: Callable[[], list[dict]] | None = None

    def progress(number: int, state: TrainingProgress, states: Callable[[], list[dict]]) -> None:
        nonlocal kept, latest
        latest = states
        if checkpoint is not None and time.monotonic() - kept > _SECONDS_BETWEEN_CHECKPOINTS:
            checkpoint.save(states())
            kept = time.monotonic()
        if on_progress is not None:
            on_progress(number, len(problem.stages), state)

    resumed = (checkpoint.load() if checkpoint else None) or ()
    try:
        return fit_stages(problem.model, split.train, problem.stages, progress, resumed)
    except KeyboardInterrupt:
        if checkpoint is not None and latest is not None:
            checkpoint.save(latest())
        raise


def _ends(found: UDEFit):
    """Last states of the training data (E, K, N, D), None where they are the data."""
    path = found.problem.path(found.model)
    return None if path is None else path[:, :, -1]


def _alone(model: Hybrid) -> Hybrid:
    return Hybrid(model.mechanism, (), scheme=model.scheme, substeps=model.substeps)


def _forecasts(model: Hybrid, end, split: TimeSplit, horizon: int | None) -> tuple[FreeRun | None, FreeRun | None]:
    """Free runs over validation and test; what lies before the test may correct where it starts."""
    if end is None:
        return None, None
    later = carried_through(model, end, split.validation)
    return (
        forecast(model, end, split.train, split.validation, horizon),
        forecast(model, later, split.train, split.test, horizon),
    )


def _values(model: Hybrid, part, run: FreeRun | None) -> np.ndarray:
    return -one_step_score(model, part).numpy() if run is None else run.misfit


def _bounded(forecasts, n: int) -> np.ndarray:
    return np.ones(n, dtype=bool) if forecasts[0] is None else forecasts[0].bounded & forecasts[1].bounded


def _other(name: str, model: Hybrid, end, split: TimeSplit, config: UDEConfig) -> UDEScore:
    """Score of a model with one member, from its own last state."""
    runs = _forecasts(model, end, split, config.split.horizon)
    validation, test = (float(_values(model, part, run)[0]) for part, run in zip(_held_out(split), runs, strict=True))
    return UDEScore(name, "OK", float("nan"), validation, test, bool(_bounded(runs, 1)[0]))


def _held_out(split: TimeSplit) -> tuple[Trajectories, Trajectories]:
    return split.validation, split.test


def _formula(found: UDEFit, best: int, config: UDEConfig):
    """Extraction, terms, formula as text, the refitted model and its last state (1, K, N, D)."""
    model = found.model
    if all(isinstance(r, ResidualBasis) for r in model.residuals):
        return _of_bases(found, best, config)
    choice = config.extraction
    learned = model.residuals[0]
    if not asks_for_formula(config):
        return None, (), "none asked for, or more than one network: their parts cannot be told apart one by one", None, None
    library = formula_library(config, learned.variables)
    rule = SparseRule(choice.share, choice.t, choice.inclusion)
    # The members that `extract` gives a formula for, in its order.
    values = learned_samples(found)[1]
    usable = [e for e in range(model.members) if found.status[e] != FitStatus.DIVERGED and torch.isfinite(values[e]).all()]
    one = extract(found, library, rule=rule, method=choice.method)[usable.index(best)]
    kept = np.flatnonzero(one.support)
    if not one.identifiable or not len(kept):
        return one, (), one.formula if not one.identifiable else "no term is selected", None, None
    if not choice.refit:
        terms = [
            FormulaTerm(one.target, one.library.names[k], np.nan, np.nan, one.coefficients[k], one.inclusion[k]) for k in kept
        ]
        return one, tuple(terms), f"{one.target}: {one.formula} (not refitted: no result yet)", None, None
    if config.loss.name == "prediction_error":
        final = refit(found, one, member=best)
        fitted, state = final.found, final.found.states[None, :, -1]
        names, coefficients, errors, refitted = final.terms, fitted.coefficients, fitted.errors, fitted.model
    elif config.loss.name == "path":
        start = ResidualBasis(
            learned.target, learned.inputs, library=one.library.select(kept.tolist()),
            coefficients=one.coefficients[kept].tolist(), centre=learned.centre, bound=learned.bound,
        )  # fmt: skip
        start.maps, start.map_names = learned.maps, learned.map_names
        m = model
        path = path_fit(Hybrid(m.mechanism, start, m.mode, scheme=m.scheme, substeps=m.substeps), found.series)
        names, coefficients, errors, refitted, state = one.terms, path.coefficients, path.errors, path.model, None
    else:
        return one, (), f"{one.target}: {one.formula} (not refitted: a latent SDE has no refit)", None, None
    position = one.library.names.index
    rows = tuple(
        FormulaTerm(
            one.target, name, float(c), float(e), float(one.coefficients[position(name)]), float(one.inclusion[position(name)])
        )
        for name, c, e in zip(names, coefficients, errors, strict=True)
    )
    return one, rows, _text(rows), refitted, state


def _of_bases(found: UDEFit, best: int, config: UDEConfig):
    """Sums of terms are formulas already: fitted again for standard errors, without observer."""
    m = found.model
    single = Hybrid(
        m.mechanism, [single_member(r, best) for r in m.residuals], m.mode, scheme=m.scheme, substeps=m.substeps,
        in_solver=m.in_solver,
    )  # fmt: skip
    extracted = torch.cat([r.coefficients.detach()[0] for r in basis_residuals(single)]).tolist()
    state, errors, coefficients = None, np.full(len(extracted), np.nan), np.array(extracted)
    if isinstance(found.problem, PredictionErrorProblem):
        fitted = least_squares(single, found.series, found.problem.choice, path=found.problem.path(m)[best])
        single, coefficients, errors, state = fitted.model, fitted.coefficients, fitted.errors, fitted.states[None, :, -1]
    elif config.loss.name == "path":
        path_found = path_fit(single, found.series)
        single, coefficients, errors = path_found.model, path_found.coefficients, path_found.errors
    names = [(r.target, name) for r in basis_residuals(single) for name in r.library.names]
    rows = tuple(
        FormulaTerm(target, name, float(c), float(e), x, 1.0)
        for (target, name), c, e, x in zip(names, coefficients, errors, extracted, strict=True)
    )
    if config.loss.name == "latent_sde":
        return None, rows, _text(rows), None, None
    return None, rows, _text(rows), single, state


def _text(rows: tuple[FormulaTerm, ...]) -> str:
    parts = []
    for target in dict.fromkeys(row.target for row in rows):
        own = [row for row in rows if row.target == target]
        terms = " ".join(f"{r.coefficient:+.4g}(+-{r.standard_error:.2g}){'' if r.term == '1' else ' ' + r.term}" for r in own)
        parts.append(f"{target}: {terms}")
    return "; ".join(parts)
