"""A surrogate's predictions, corrected by simulations along the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import torch

from mfm import FICParameters
from optim.objectives.audits import LEAST_AUDITED, Audit, AuditLog
from optim.objectives.base import Evaluation
from optim.objectives.simulation import SimulationObjective
from optim.objectives.surrogate import SurrogateObjective


@dataclass(eq=False)
class AuditedObjective:
    """An objective whose predictions are checked by simulation now and then, and given up where they fail.

    Of the populations `at` (counted from 0: the random ones that a search starts from count too) the best candidate and
    `candidates - 1` others, spread over the ranks of those predicted within range, are simulated, always with the same noise.
    Where the rank correlation over all audits falls below `least_rank`, or more than half of the last ones leave the range,
    every later population is simulated.

    What audits find wrong corrects predictions from then on (`optim.objectives.audits.Correction`): a search drifts to where a
    prediction is too good, and comes back from there.

    Parameters
    ----------
    predicted : SurrogateObjective
    simulated : SimulationObjective
    at : collection of int
        See `optim.objectives.audits.audited_populations`.
    choosing : SurrogateObjective, optional
        Predictions against the data that winners will be chosen by: audits correct them too.
    candidates : int
    least_rank : float
    report : callable, optional
        Called with a line about every audit.
    log : AuditLog
        Goes on from here.
    """

    predicted: SurrogateObjective
    simulated: SimulationObjective
    at: Collection[int]
    choosing: SurrogateObjective | None = None
    candidates: int = 14
    least_rank: float = 0.6
    report: Callable[[str], None] | None = None
    log: AuditLog = field(default_factory=AuditLog)

    def evaluate(self, p: FICParameters, seed: int | Sequence[int]) -> Evaluation:
        """Score B candidates, by prediction as long as that holds."""
        call, self.log.calls = self.log.calls, self.log.calls + 1
        if self.log.given_up:
            return self._simulate(p, seed)
        evaluation, _ = self.predicted.evaluate_at(p, self.log.search)
        if call in self.at:
            self._audit(p, seed, evaluation, call)
            if self.log.given_up:
                return self._simulate(p, seed)
        return evaluation

    def _simulate(self, p: FICParameters, seed: int | Sequence[int]) -> Evaluation:
        self.log.simulated += p.n_candidates
        return self.simulated.evaluate(p, seed)

    def _audit(self, p: FICParameters, seed: int | Sequence[int], evaluation: Evaluation, call: int) -> None:
        inside = torch.nonzero(evaluation.within_range)[:, 0]
        if not len(inside):
            return
        order = inside[evaluation.cost.total[inside].argsort(stable=True)]
        chosen = order[torch.linspace(0, len(order) - 1, min(self.candidates, len(order))).round().long()]
        log = self.log
        if log.noise is None:
            log.noise = seed if isinstance(seed, int) else seed[0]
        truth = self._simulate(p[chosen], log.noise)
        log.search.add(*self.predicted.errors(p[chosen], truth))
        if self.choosing is not None:
            log.choice.add(*self.choosing.errors(p[chosen], truth))
        for k, true, ok in zip(chosen.tolist(), truth.cost.total.tolist(), truth.within_range.tolist(), strict=True):
            log.audits.append(Audit(call, float(evaluation.cost.total[k]), true if ok else float("nan")))
        last = log.audits[-max(LEAST_AUDITED, 3 * self.candidates) :]
        left = sum(not audit.stayed for audit in last)
        log.given_up = log.rank_correlation < self.least_rank or (len(last) >= LEAST_AUDITED and 2 * left > len(last))
        if self.report is not None:
            self.report(
                f"audit of population {call}: simulated minus predicted cost {log.offset(3 * self.candidates):+.3f}, rank "
                f"correlation {log.rank_correlation:.2f}, {left} of the last {len(last)} out of range"
                + ("; from now on all candidates are simulated" if log.given_up else "")
            )
