"""Scoring of candidates by a trained surrogate, audited by simulation while it searches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from scipy.stats import spearmanr
from torch import Tensor

import mfm
from mfm import Cost, FICParameters, Scan
from mfm.constants import RATE_RANGE_HZ
from mfm.errors import ConfigError, InputNote
from optim.config import GATES
from optim.objective import Evaluation, SimulationObjective
from surrogate.bundle import Surrogate

# Probability of staying in range in all realisations, below which a candidate counts as out of range.
_LEAST_PROBABILITY = 0.5

_TERMS = ("corr", "mean_diff", "ks")

# Audits correct predictions within that distance (root mean square over summary features, in standard deviations of the
# training data), against so many audits of no error. Chosen, not tuned.
_REACH, _PRIOR = 0.25, 0.5

# What leaving the range counts as an error of the FCD term.
_LEFT_ERROR = 1.0

# Audited candidates that a rank correlation needs to be worth anything.
_LEAST_AUDITED = 12


@dataclass(frozen=True)
class Audit:
    """A candidate of a search that was simulated too.

    Attributes
    ----------
    call : int
        Which population it was of, from 0.
    predicted, simulated : float
        Total cost; NaN where simulation left the range.
    """

    call: int
    predicted: float
    simulated: float

    @property
    def stayed(self) -> bool:
        """Whether simulation stayed within range."""
        return self.simulated == self.simulated


@dataclass
class AuditLog:
    """What audits of a search have shown so far; a search keeps it with its checkpoint.

    Attributes
    ----------
    calls : int
        Populations scored.
    simulated : int
        Candidates simulated, by audits and since they failed.
    audits : list of Audit
    given_up : bool
        Whether populations are simulated from now on.
    places, errors : list of tensors
        Where the audited candidates lie, and simulated minus predicted terms of their costs, before any correction.
    """

    calls: int = 0
    simulated: int = 0
    audits: list[Audit] = field(default_factory=list)
    given_up: bool = False
    places: list[Tensor] = field(default_factory=list)
    errors: list[Tensor] = field(default_factory=list)

    @property
    def rank_correlation(self) -> float:
        """Spearman's, of predicted and simulated cost over all audits that stayed in range; NaN for too few."""
        pairs = [(audit.predicted, audit.simulated) for audit in self.audits if audit.stayed]
        return float(spearmanr(*zip(*pairs, strict=True)).statistic) if len(pairs) >= _LEAST_AUDITED else float("nan")

    def corrected(self, cost: Cost, place: Tensor) -> Cost:
        """Costs plus what audits nearby were wrong by: their mean, weighted by distance, and drawn to 0 far from any."""
        if not self.places:
            return cost
        distance = (place[:, None] - torch.stack(self.places)).square().mean(dim=2)
        weight = torch.exp(-distance / (2 * _REACH**2)).double()
        error = weight @ torch.stack(self.errors) / (weight.sum(dim=1, keepdim=True) + _PRIOR)
        return Cost(*(getattr(cost, term) + error[:, k] for k, term in enumerate(_TERMS)))

    def offset(self, last: int) -> float:
        """Mean of simulated minus predicted cost over the last audits; 0 before there are any."""
        found = [a.simulated - a.predicted for a in self.audits[-last:] if a.stayed]
        return sum(found) / len(found) if found else 0.0


@dataclass(frozen=True, eq=False)
class SurrogateObjective:
    """Score candidates by a surrogate: no simulation at all.

    Parameters
    ----------
    scan : Scan
    protocol : Protocol
        Of the simulations that are predicted.
    surrogate : Surrogate
    gate : {"classifier", "rate", "none"}
        What decides that a candidate is within range: a probability of at least one half that all `n_repeats` realisations
        stay, the predicted mean rates, or nothing but linear stability.
    n_repeats : int, default 3
        Realisations whose average is predicted: the fewer, the lower the correlation of its FC with the target.

    Examples
    --------
    >>> import mfm, numpy as np, surrogate
    >>> from optim import SurrogateObjective
    >>> run = np.random.default_rng(0).normal(size=(400, 3))
    >>> sc = mfm.Connectome([[0, 0.02, 0.01], [0.02, 0, 0.005], [0.01, 0.005, 0]])
    >>> scan = mfm.subject_from_runs("sub-01", [run], sc, tr_s=2.0).search
    >>> p = mfm.FICParameters(np.full(3, 3.0), np.full(3, 2.5), np.full(3, 0.002), [0.5])
    >>> protocol = mfm.Protocol(scan.tr_s, scan.n_frames, dt_s=0.005, scheme="exponential")
    >>> objective = SurrogateObjective(scan, protocol, surrogate.untrained(), gate="none")
    >>> objective.evaluate(p, seed=0).cost.total.shape
    torch.Size([1])
    """

    scan: Scan
    protocol: mfm.Protocol
    surrogate: Surrogate
    gate: str = "classifier"
    n_repeats: int = 3

    def __post_init__(self):
        if self.gate not in GATES:
            raise ConfigError("The gate of a surrogate is unknown.", expected=" | ".join(GATES), found=repr(self.gate))
        self.surrogate.check_protocol(self.protocol)

    def check_scan(self) -> None:
        """Tell (`InputNote`) what of the scan and its connectome lies outside of what the surrogate was trained on."""
        if outside := self.surrogate.outside(None, self.scan.sc, self.protocol):
            warnings.warn(
                InputNote(
                    "The surrogate was not trained for this scan: " + "; ".join(outside) + ". Audits will show how it does; "
                    "objective=linear needs no training."
                ),
                stacklevel=2,
            )

    def evaluate(self, p: FICParameters, seed: int | Sequence[int]) -> Evaluation:
        """Score B candidates; a surrogate has no noise, so that the seed does not matter."""
        return self.evaluate_at(p)[0]

    def evaluate_at(self, p: FICParameters, log: AuditLog | None = None) -> tuple[Evaluation, Tensor]:
        """Score B candidates, corrected by the audits of `log`; and where they lie (``Prediction.place``)."""
        target = self.scan.target
        found = self.surrogate.predict_unchecked(p, self.scan.sc, self.protocol, n_bins=len(target.fcd_cdf))
        within = found.stable
        if self.gate == "classifier":
            within = within & (found.p_within_range**self.n_repeats >= _LEAST_PROBABILITY)
        elif self.gate == "rate":
            within = within & mfm.within_range(found.rate_E)
        fc = found.fc.double().masked_fill(~within[:, None, None], float("nan"))
        cdf = found.fcd_cdf.double().masked_fill(~within[:, None], float("nan"))
        cost = mfm.attenuated(mfm.cost(fc, cdf, target), fc, found.fc_sampling_variance, self.n_repeats)
        if log is not None:
            cost = log.corrected(cost, found.place)
        B, N = p.w_EE.shape
        # Out of range by as much as the classifier is sure of it: a slope for the search.
        excess = (1 - found.p_within_range.double())[:, None].expand(B, N)
        rate = torch.where(within[:, None], found.rate_E.double(), RATE_RANGE_HZ[1] + excess)
        return Evaluation.predicted(p, cost, within, rate[:, None], fc, cdf), found.place


@dataclass(eq=False)
class AuditedObjective:
    """An objective whose predictions are checked by simulation every few populations, and given up where they fail.

    Of every `every`-th population the best candidate and `candidates - 1` others, spread over the ranks of those predicted
    within range, are simulated with the population's noise. Where the rank correlation over all audits falls below
    `least_rank`, or more than half of the last ones leave the range, every later population is simulated.

    What audits find wrong corrects the predictions nearby from then on (`AuditLog.corrected`): a search drifts to where a
    prediction is too good, and comes back from there.

    Parameters
    ----------
    predicted : SurrogateObjective
    simulated : SimulationObjective
    every, candidates : int
    least_rank : float
    report : callable, optional
        Told a line of every audit.
    log : AuditLog
        Goes on from here.
    """

    predicted: SurrogateObjective
    simulated: SimulationObjective
    every: int = 8
    candidates: int = 6
    least_rank: float = 0.6
    report: Callable[[str], None] | None = None
    log: AuditLog = field(default_factory=AuditLog)

    def evaluate(self, p: FICParameters, seed: int | Sequence[int]) -> Evaluation:
        """Score B candidates, by prediction as long as that holds."""
        call, self.log.calls = self.log.calls, self.log.calls + 1
        if self.log.given_up:
            return self._simulate(p, seed)
        evaluation, place = self.predicted.evaluate_at(p, self.log)
        if call % self.every == 0:
            self._audit(p, seed, evaluation, place, call)
            if self.log.given_up:
                return self._simulate(p, seed)
        return evaluation

    def _simulate(self, p: FICParameters, seed: int | Sequence[int]) -> Evaluation:
        self.log.simulated += p.n_candidates
        return self.simulated.evaluate(p, seed)

    def _audit(self, p: FICParameters, seed: int | Sequence[int], evaluation: Evaluation, place: Tensor, call: int) -> None:
        inside = torch.nonzero(evaluation.within_range)[:, 0]
        if not len(inside):
            return
        order = inside[evaluation.cost.total[inside].argsort(stable=True)]
        chosen = order[torch.linspace(0, len(order) - 1, min(self.candidates, len(order))).round().long()]
        seeds = seed if isinstance(seed, int) else [seed[k] for k in chosen.tolist()]
        truth = self._simulate(p[chosen], seeds)
        log = self.log
        # The surrogate's own error: what was corrected already must not count twice.
        raw = self.predicted.evaluate_at(p[chosen])[0].cost
        error = torch.stack([getattr(truth.cost, term) - getattr(raw, term) for term in _TERMS], dim=1)
        left_range = torch.tensor([0.0, 0.0, _LEFT_ERROR], dtype=error.dtype)
        log.errors += list(torch.where(truth.within_range[:, None], error, left_range))
        log.places += list(place[chosen])
        for k, true, ok in zip(chosen.tolist(), truth.cost.total.tolist(), truth.within_range.tolist(), strict=True):
            log.audits.append(Audit(call, float(evaluation.cost.total[k]), true if ok else float("nan")))
        last = log.audits[-max(_LEAST_AUDITED, 3 * self.candidates) :]
        left = sum(not audit.stayed for audit in last)
        log.given_up = log.rank_correlation < self.least_rank or (len(last) >= _LEAST_AUDITED and 2 * left > len(last))
        if self.report is not None:
            self.report(
                f"audit of population {call}: simulated minus predicted cost {log.offset(3 * self.candidates):+.3f}, rank "
                f"correlation {log.rank_correlation:.2f}, {left} of the last {len(last)} out of range"
                + ("; from now on all candidates are simulated" if log.given_up else "")
            )
