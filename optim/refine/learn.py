"""A refinement runs from its Fisher report to its verdict; "no evidence for a residual" is an answer like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mfm.linear import exact
from mfm.ude import LinearResidual
from optim.refine.information import best_directions, fisher_report
from optim.refine.nulls import moran_surrogates
from optim.refine.placebos import Polish, polish
from optim.refine.placebos import placebos as simulated_placebos
from optim.refine.problem import RefinementProblem
from optim.refine.scoring import Optimum
from optim.refine.task import Task
from optim.refine.tunable_fit import TunableFit
from optim.refine.verdict import Comparison, Refinement, ResidualTerm, reasons_against
from optim.search.checkpoint import Checkpoint

# Bootstrap over frequencies of the held-out gain.
_RESAMPLES = 2000

# Optima of several starts within this many nats and prior standard deviations are one.
_SAME_NATS, _SAME_SHARE = 0.1, 0.1


@dataclass(frozen=True, eq=False)
class _Judged:
    """A learned model on the held-out scan."""

    name: str
    problem: RefinementProblem
    optimum: Optimum
    terms: Tensor
    fc_r: float


class Refiner:
    """A refiner takes the steps of one refinement; `refine` takes them all, in order."""

    def __init__(self, task: Task):
        self.task = task
        self.held_out = task.likelihood(task.held_out, None), task.likelihood(task.held_out, task.config.bins)
        self.frozen = task.fitted.frozen()

    def judge(self, name: str, problem: RefinementProblem, start: Tensor | None = None, with_fc: bool = False) -> _Judged:
        """Learn from the training scans, score on the held-out one."""
        optimum = problem.minimise(start)
        system = problem.system(optimum.x)
        assert system is not None
        terms = self.task.held_out_terms(system, *self.held_out)
        return _Judged(name, problem, optimum, terms, self.task.fc_correlation(system) if with_fc else float("nan"))

    def mechanism(self, with_fc: bool = False) -> _Judged:
        """Judge the fit as it is, without a residual."""
        return self.judge("mechanism", self.task.problem(self.frozen, None), with_fc=with_fc)

    def hybrid(self, residual: LinearResidual, with_fc: bool = False) -> _Judged:
        """Judge the fit, held as it is, with a residual."""
        return self.judge("residual", self.task.problem(self.frozen, residual), with_fc=with_fc)

    def gain(self, residual: LinearResidual, base: _Judged | None = None) -> float:
        """Return the held-out gain of a residual over the mechanism, in nats."""
        base = self.mechanism() if base is None else base
        return float((base.terms - self.hybrid(residual).terms).sum())


def compare_models(a: _Judged, b: _Judged, seed: int) -> Comparison:
    """Compare two models on the held-out scan: the gain of `a` over `b` with its interval."""
    difference = (b.terms - a.terms).numpy()
    low = high = float("nan")
    if len(difference) > 1:
        drawn = np.random.default_rng(seed).integers(len(difference), size=(_RESAMPLES, len(difference)))
        low, high = np.quantile(difference[drawn].sum(axis=1), [0.025, 0.975]).tolist()
    return Comparison(a.name, b.name, float(difference.sum()), low, high, a.fc_r, b.fc_r)


def refine(task: Task, checkpoint: Checkpoint | None = None, report: Callable[[str], None] | None = None) -> Refinement:
    """Ask the data of one person for a residual, and judge the answer.

    Parameters
    ----------
    task : Task
    checkpoint : Checkpoint, optional
        Placebos and permuted maps that are done are kept there, and not repeated.
    report : callable, optional
        Told a line of every step.

    Returns
    -------
    Refinement
    """
    say = report or (lambda text: None)
    c = task.config
    whole, terms = fisher_report(task)
    for term in terms:
        fate = "refused" if term.refused else "learned"
        known = f"standard error {term.error:.3g} ({term.error_frozen:.3g} with the fit held)"
        say(f"{term.name}: {known}, prior {term.prior_std:.3g}: {fate}")
    keep = [k for k, term in enumerate(terms) if not term.refused]
    if not keep:
        return _nothing(task, terms)
    residual = whole.select(keep)
    refiner = Refiner(task)
    base = refiner.mechanism(with_fc=True)
    learned = refiner.hybrid(residual, with_fc=True)
    comparisons = [compare_models(learned, base, c.seed)]
    free, agreement = None, float("nan")
    if task.fitted.n_directions:
        tuned, again, free, agreement = _retuned(task, refiner, residual, learned, len(keep))
        comparisons += [
            compare_models(learned, tuned, c.seed),
            compare_models(free, again, c.seed),
            compare_models(tuned, base, c.seed),
        ]
    for one in comparisons:
        say(f"held out, {one.model} against {one.against}: {one.gain:+.2f} nats [{one.low:.2f}, {one.high:.2f}]")
    gain = comparisons[0].gain
    placebos, spins = _null_gains(task, keep, refiner, base, checkpoint, say)
    judged = _learned_terms(terms, keep, learned, free, task.problem(refiner.frozen, residual, task.held_out))
    polished, x = None, learned.optimum.x.clone()
    if c.polish:
        polished = polish(task, learned.problem, x, c.polish, 1000 * c.seed + 1)
        x[: len(keep)] = polished.coefficients
        for k, name in enumerate(residual.names):
            bias = f"{float(polished.bias[k]):+.2g} +- {float(polished.bias_error[k]):.2g}"
            say(f"{name}: {float(learned.optimum.x[k]):.3g} by theory, {float(x[k]):.3g} polished (bias of theory {bias})")
        judged = _polished_terms(judged, keep, polished)
    in_range = float("nan") if polished is None else polished.in_range
    reasons = reasons_against(task, comparisons, _p(gain, placebos), _p(gain, spins), in_range)
    p, sc = learned.problem.parameters(x)
    system = learned.problem.system(x)
    assert system is not None
    return Refinement(
        terms=judged,
        comparisons=tuple(comparisons),
        placebo_gains=placebos,
        spin_gains=spins,
        placebo_p=_p(gain, placebos),
        spin_p=_p(gain, spins),
        agreement=agreement,
        reasons=reasons,
        in_range=in_range,
        parameters=p,
        sc=sc,
        slopes=residual.slopes(x).numpy(),
        edges=residual.correction(x[: len(keep)]).numpy() if len(residual.edges) else np.zeros_like(task.sc.weights),
        abscissa_limited=float(exact.abscissa(system)) > learned.problem.abscissa_limit,
        bound_limited=bool(residual.slopes(x).abs().max() > 0.97 * residual.bound),
        converged=learned.optimum.converged and (free is None or free.optimum.converged),
    )


def _retuned(task: Task, refiner: Refiner, residual: LinearResidual, learned: _Judged, n: int):
    """The mechanism with as many parameters as the residual; with all of its own; and those with the residual, many starts."""
    everything = task.problem(task.fitted, None)
    few: TunableFit = task.fitted.along(best_directions(everything, n))
    tuned = refiner.judge("re-tuned mechanism", task.problem(few, None), with_fc=True)
    again = refiner.judge("free mechanism", everything, with_fc=True)
    both = task.problem(task.fitted, residual)
    t = again.optimum.x[: task.fitted.n_directions]
    warm = torch.cat([torch.zeros(residual.n_terms, dtype=torch.float64), t, again.optimum.x[len(t) :]])
    generator = torch.Generator().manual_seed(task.config.seed)
    best, ends = refiner.judge("residual and free mechanism", both, warm, with_fc=True), []
    for _ in range(task.config.starts - 1):
        away = torch.randn(both.n_model, generator=generator, dtype=torch.float64)
        away[: both.n_terms] *= task.prior_std(residual)
        end = both.minimise(_inside(both, warm, away))
        ends.append(end)
    for end in ends:
        if end.at.value < best.optimum.at.value - _SAME_NATS:
            best = refiner.judge(best.name, both, end.x, with_fc=True)
    prior = task.prior_std(residual)
    same = [
        bool(((end.x - best.optimum.x)[: both.n_terms].abs() < _SAME_SHARE * prior).all())
        and abs(end.at.value - best.optimum.at.value) < _SAME_NATS
        for end in ends
    ]
    return tuned, again, best, (1 + sum(same)) / (1 + len(same))


def _inside(problem: RefinementProblem, start: Tensor, away: Tensor) -> Tensor:
    """A start displaced as far as the walls allow."""
    share = 0.5
    while share > 1e-3:
        x = start.clone()
        x[: len(away)] += share * away
        if np.isfinite(problem(x).value):
            return x
        share /= 2
    return start


def _null_gains(
    task: Task, keep: list[int], refiner: Refiner, base: _Judged, checkpoint: Checkpoint | None, say: Callable[[str], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Held-out gains where there is nothing to find; those that a checkpoint holds are not computed again."""
    done: dict[str, list[float]] = (checkpoint.load() if checkpoint else None) or {"placebos": [], "spins": []}
    c = task.config
    if len(done["placebos"]) < c.placebos:
        for k, empty in enumerate(simulated_placebos(task, c.placebos, 1000 * c.seed)):
            if k < len(done["placebos"]):
                continue
            done["placebos"].append(Refiner(empty).gain(empty.residual().select(keep)))
            if checkpoint is not None:
                checkpoint.save(done)
            say(f"placebo {k + 1}/{c.placebos}: {done['placebos'][-1]:+.2f} nats")
    if c.spins:
        for k, maps in enumerate(moran_surrogates(task.maps, task.sc.weights, c.spins, c.seed)):
            if k < len(done["spins"]):
                continue
            done["spins"].append(refiner.gain(task.residual(maps).select(keep), base))
            if k % 10 == 9 or k + 1 == c.spins:
                if checkpoint is not None:
                    checkpoint.save(done)
                say(f"permuted maps {k + 1}/{c.spins}: best {max(done['spins']):+.2f} nats")
    return np.array(done["placebos"]), np.array(done["spins"])


def _p(gain: float, null: np.ndarray) -> float:
    return (1 + int((null >= gain).sum())) / (1 + len(null)) if len(null) else float("nan")


def _learned_terms(
    terms: tuple[ResidualTerm, ...],
    keep: list[int],
    learned: _Judged,
    free: _Judged | None,
    again: RefinementProblem,
) -> tuple[ResidualTerm, ...]:
    held, retest = learned.optimum, again.minimise()
    found = list(terms)
    held_error, retest_error = learned.problem.posterior_errors(held.x), again.posterior_errors(retest.x)
    free_error = None if free is None else free.problem.posterior_errors(free.optimum.x)
    for k, position in enumerate(keep):
        difference = float(held.x[k] - retest.x[k])
        found[position] = replace(
            found[position],
            value=float(held.x[k]),
            value_error=float(held_error[k]),
            value_free=float("nan") if free is None else float(free.optimum.x[k]),
            value_free_error=float("nan") if free_error is None else float(free_error[k]),
            retest=float(retest.x[k]),
            retest_error=float(retest_error[k]),
            retest_z=difference / float((held_error[k] ** 2 + retest_error[k] ** 2).sqrt()),
        )
    return tuple(found)


def _polished_terms(terms: tuple[ResidualTerm, ...], keep: list[int], polished: Polish) -> tuple[ResidualTerm, ...]:
    found = list(terms)
    for k, position in enumerate(keep):
        found[position] = replace(
            found[position],
            polished=float(polished.coefficients[k]),
            bias=float(polished.bias[k]),
            bias_error=float(polished.bias_error[k]),
            spread=float(polished.spread[k]),
        )
    return tuple(found)


def _nothing(task: Task, terms: tuple[ResidualTerm, ...]) -> Refinement:
    problem = task.problem(task.fitted.frozen(), None)
    p, sc = problem.parameters(problem.start)
    none = np.zeros(0)
    return Refinement(
        terms=terms,
        comparisons=(),
        placebo_gains=none,
        spin_gains=none,
        placebo_p=float("nan"),
        spin_p=float("nan"),
        agreement=float("nan"),
        reasons=("the data cannot tell any of its terms",),
        in_range=float("nan"),
        parameters=p,
        sc=sc,
        slopes=np.zeros(sc.n_regions),
        edges=np.zeros_like(sc.weights),
        abscissa_limited=False,
        bound_limited=False,
        converged=True,
    )
