"""Audits: candidates of a search by a surrogate that are simulated too, and what they correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from scipy.stats import spearmanr
from torch import Tensor

from mfm import Cost

TERMS = ("corr", "mean_diff", "ks")

# The prior of a prediction's error: an offset, a trend, and what changes over this distance (root mean square over summary
# features, in standard deviations of the training data), each of equal variance; and an audit's noise against that.
_REACH, _NOISE = 0.5, 0.1

# What leaving the range adds to the cost of candidates within that distance, against so many audits that stayed.
_LEFT_COST, _LEFT_REACH, _LEFT_PRIOR = 1.0, 0.25, 0.5

# Audited candidates that a rank correlation needs to be worth anything.
LEAST_AUDITED = 12


def populations(audits: int, generations: int) -> tuple[int, ...]:
    """Which populations of a search to audit.

    The first audit comes early, to see whether predictions hold at all; the others are spread over the second half, where errors
    decide, and the last is that of the last population, for the choice among winners.

    Parameters
    ----------
    audits : int
    generations : int
        Populations of the search; number 0 is the random one before them.

    Examples
    --------
    >>> from optim.audits import populations
    >>> populations(5, 80)
    (16, 50, 60, 70, 80)
    >>> populations(1, 80)
    (80,)
    """
    later = audits - 1
    shares = [0.2, *(0.5 + 0.5 * k / later for k in range(1, later + 1))] if later > 0 else [1.0] * audits
    return tuple(sorted({max(1, round(share * generations)) for share in shares}))


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
    noise : int or None
        Seed of the noise that all audits share, so that they differ by their parameters alone.
    places, errors : list of tensors
        Where the audited candidates lie, (H,), and simulated minus predicted terms of their costs, (3,), before any
        correction; NaN for those that left the range.

    Examples
    --------
    >>> import torch
    >>> from mfm import Cost
    >>> from optim.audits import AuditLog
    >>> wrong = torch.tensor([0.0, 0.0, 0.1]).double()
    >>> log = AuditLog(places=list(torch.eye(4)), errors=[wrong] * 4)
    >>> nothing = torch.zeros(1).double()
    >>> round(log.corrected(Cost(nothing, nothing, nothing), torch.eye(4)[:1]).ks.item(), 2)
    0.1
    """

    calls: int = 0
    simulated: int = 0
    audits: list[Audit] = field(default_factory=list)
    given_up: bool = False
    noise: int | None = None
    places: list[Tensor] = field(default_factory=list)
    errors: list[Tensor] = field(default_factory=list)

    @classmethod
    def joined(cls, logs: Sequence[AuditLog]) -> AuditLog:
        """What several searches of one scan have shown."""
        found = cls(simulated=sum(log.simulated for log in logs), given_up=any(log.given_up for log in logs))
        for log in logs:
            found.audits += log.audits
            found.places += log.places
            found.errors += log.errors
        return found

    @property
    def rank_correlation(self) -> float:
        """Spearman's, of predicted and simulated cost over all audits that stayed in range; NaN for too few."""
        pairs = [(audit.predicted, audit.simulated) for audit in self.audits if audit.stayed]
        return float(spearmanr(*zip(*pairs, strict=True)).statistic) if len(pairs) >= LEAST_AUDITED else float("nan")

    def offset(self, last: int) -> float:
        """Mean of simulated minus predicted cost over the last audits; 0 before there are any."""
        found = [a.simulated - a.predicted for a in self.audits[-last:] if a.stayed]
        return sum(found) / len(found) if found else 0.0

    def corrected(self, cost: Cost, place: Tensor) -> Cost:
        """Costs of candidates at `place` (B, H) plus the errors to be expected there.

        Errors are taken as Gaussian processes over the places; their mean given the audits is added. Where audits nearby left
        the range, the FCD term rises by the share that did.
        """
        if not self.places:
            return cost
        places, errors = torch.stack(self.places), torch.stack(self.errors)
        stayed = ~errors.isnan().any(dim=1)
        near = torch.exp(-_squared_distance(place, places) / (2 * _LEFT_REACH**2))
        added = torch.zeros((len(place), len(TERMS)), dtype=errors.dtype)
        added[:, TERMS.index("ks")] = _LEFT_COST * near[:, ~stayed].sum(dim=1) / (near.sum(dim=1) + _LEFT_PRIOR)
        if stayed.any():
            known = places[stayed]
            covariance = _covariance(known, known) + _NOISE * torch.eye(len(known), dtype=torch.float64)
            added += _covariance(place, known) @ torch.linalg.solve(covariance, errors[stayed])
        return Cost(*(getattr(cost, term) + added[:, k] for k, term in enumerate(TERMS)))


def _covariance(a: Tensor, b: Tensor) -> Tensor:
    """Prior covariance of an error at places (A, H) with that at places (B, H)."""
    trend = 1 + a.double() @ b.double().mT / a.shape[1]
    return trend + torch.exp(-_squared_distance(a, b) / (2 * _REACH**2))


def _squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean square over features, (A, B)."""
    return (a[:, None].double() - b.double()).square().mean(dim=2)
