"""Audits: candidates of a search by a surrogate that are simulated too, and what they correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfm import Cost

# The prior of a prediction's error is a sum: an offset, a trend, and what changes over this distance (root mean square over
# summary features, in standard deviations of the training data), each of variance 1; a share of the difference to the other
# prediction, of variance 0.3 where that is 0.05; and an audit's noise of variance 0.1.
_REACH, _DIFFERENCE, _SHARE, _NOISE = 0.5, 0.05, 0.3, 0.1

# What leaving the range adds to the cost of candidates within that distance, against so many audits that stayed.
_LEFT_COST, _LEFT_REACH, _LEFT_PRIOR = 1.0, 0.25, 0.5

# Simulated costs of few realisations that differ by less may come out in either order with other noise.
_NOISE_OF_COSTS = 0.1

# Audited candidates that a rank correlation needs to be worth anything.
LEAST_AUDITED = 12


def audited_populations(audits: int, generations: int) -> tuple[int, ...]:
    """Choose the populations of a search that are audited.

    The first audit comes early, to see whether predictions hold at all; the others are spread over the second half, where
    errors decide, and the last is that of the last population, for the choice among winners.

    Parameters
    ----------
    audits : int
    generations : int
        Populations of the search; number 0 is the random one before them.

    Examples
    --------
    >>> from optim.objectives.audits import audited_populations
    >>> audited_populations(5, 80)
    (16, 50, 60, 70, 80)
    >>> audited_populations(1, 80)
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


@dataclass(frozen=True, eq=False)
class Place:
    """What the error of B candidates' predicted costs depends on, as coordinates: near places have like errors.

    Attributes
    ----------
    summary : tensor, (B, H)
        `surrogate.bundle.Prediction.place`.
    difference : tensor of float64, (B,)
        KS by linear response (sampled FCD) minus KS by the surrogate: two predictions that err in different ways.
    """

    summary: Tensor
    difference: Tensor

    def __getitem__(self, index) -> Place:
        return Place(self.summary[index], self.difference[index])

    @classmethod
    def joined(cls, places: Sequence[Place]) -> Place:
        """The candidates of all `places`, in order."""
        return cls(torch.cat([x.summary for x in places]), torch.cat([x.difference for x in places]))


@dataclass
class Correction:
    """The errors that audits found in predictions of cost against one scan, and what they let expect of other candidates.

    Attributes
    ----------
    places : list of Place
        Where the candidates of each audit lie.
    errors : list of tensors
        Simulated minus predicted terms of their costs, (n, number of terms), before any correction; NaN for those that
        left the range.

    Examples
    --------
    >>> import torch
    >>> from mfm import Cost
    >>> from optim.objectives.audits import Correction, Place
    >>> audited = Place(torch.eye(4), torch.zeros(4).double())
    >>> correction = Correction([audited], [torch.tensor([[0.0, 0.0, 0.1]] * 4).double()])
    >>> nothing = torch.zeros(4).double()
    >>> [round(ks, 2) for ks in correction.corrected(Cost(nothing, nothing, nothing), audited).ks.tolist()]
    [0.1, 0.1, 0.1, 0.1]
    """

    places: list[Place] = field(default_factory=list)
    errors: list[Tensor] = field(default_factory=list)

    def add(self, place: Place, errors: Tensor) -> None:
        """What one audit found; candidates without a place (not stable on this scan's connectome) say nothing."""
        known = place.summary.isfinite().all(dim=1)
        self.places.append(place[known])
        self.errors.append(errors[known])

    def as_plain(self) -> dict[str, Any]:
        """The correction in arrays, for a checkpoint."""
        places = [{"summary": place.summary.numpy(), "difference": place.difference.numpy()} for place in self.places]
        return {"places": places, "errors": [errors.numpy() for errors in self.errors]}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Correction:
        """The correction of which `plain` was kept."""
        places = [Place(*(torch.from_numpy(place[name]) for name in ("summary", "difference"))) for place in plain["places"]]
        return cls(places, [torch.from_numpy(errors) for errors in plain["errors"]])

    def corrected(self, cost: Cost, place: Place) -> Cost:
        """Costs of candidates at `place` plus the errors to be expected there.

        Errors are taken as Gaussian processes over the places; their mean given the audits is added. Where audits nearby left
        the range, the FCD term rises by the share that did.
        """
        if not self.places:
            return cost
        audited, errors = Place.joined(self.places), torch.cat(self.errors)
        stayed = ~errors.isnan().any(dim=1)
        near = torch.exp(-_squared_distance(place.summary, audited.summary) / (2 * _LEFT_REACH**2))
        added = torch.zeros((len(near), len(Cost.TERMS)), dtype=errors.dtype)
        added[:, list(Cost.TERMS).index("ks")] = _LEFT_COST * near[:, ~stayed].sum(dim=1) / (near.sum(dim=1) + _LEFT_PRIOR)
        if stayed.any():
            known = audited[stayed]
            covariance = _covariance(known, known)
            covariance += _NOISE * torch.eye(len(covariance), dtype=covariance.dtype)
            added += _covariance(place, known) @ torch.linalg.solve(covariance, errors[stayed])
        return Cost.from_stacked(cost.stacked() + added)


@dataclass
class AuditLog:
    """The audits of a search so far, and what follows from them; it is part of the search's checkpoint.

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
    search, choice : Correction
        Of predictions against the data that are searched on, and those that winners are chosen by.
    """

    calls: int = 0
    simulated: int = 0
    audits: list[Audit] = field(default_factory=list)
    given_up: bool = False
    noise: int | None = None
    search: Correction = field(default_factory=Correction)
    choice: Correction = field(default_factory=Correction)

    @classmethod
    def joined(cls, logs: Sequence[AuditLog]) -> AuditLog:
        """What several searches of one scan have shown."""
        found = cls(simulated=sum(log.simulated for log in logs), given_up=any(log.given_up for log in logs))
        for log in logs:
            found.audits += log.audits
            for name in ("search", "choice"):
                ours, theirs = getattr(found, name), getattr(log, name)
                ours.places += theirs.places
                ours.errors += theirs.errors
        return found

    def as_plain(self) -> dict[str, Any]:
        """The log in plain types, for a checkpoint."""
        plain = {"audits": [asdict(audit) for audit in self.audits]}
        plain |= {name: getattr(self, name).as_plain() for name in ("search", "choice")}
        return {**vars(self), **plain}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> AuditLog:
        """The log of which `plain` was kept."""
        audits = [Audit(**audit) for audit in plain["audits"]]
        corrections = {name: Correction.from_plain(plain[name]) for name in ("search", "choice")}
        return cls(**{**plain, **corrections, "audits": audits})

    @property
    def rank_correlation(self) -> float:
        """Kendall's tau of predicted and simulated cost over pairs of audits that differ by more than noise; NaN for too few.

        Late in a search all candidates cost the same up to noise: their order says nothing about predictions.
        """
        pairs = [(audit.predicted, audit.simulated) for audit in self.audits if audit.stayed]
        if len(pairs) < LEAST_AUDITED:
            return float("nan")
        predicted, simulated = (np.subtract.outer(x, x) for x in np.transpose(pairs))
        told_apart = simulated > _NOISE_OF_COSTS
        return float(np.sign(predicted[told_apart]).mean()) if told_apart.sum() >= LEAST_AUDITED else float("nan")

    def offset(self, last: int) -> float:
        """Mean of simulated minus predicted cost over the last audits; 0 before there are any."""
        found = [a.simulated - a.predicted for a in self.audits[-last:] if a.stayed]
        return sum(found) / len(found) if found else 0.0


def _covariance(a: Place, b: Place) -> Tensor:
    """Prior covariance of an error at A places with that at B places."""
    trend = 1 + a.summary.double() @ b.summary.double().mT / a.summary.shape[1]
    local = torch.exp(-_squared_distance(a.summary, b.summary) / (2 * _REACH**2))
    return trend + local + _SHARE * torch.outer(a.difference, b.difference) / _DIFFERENCE**2


def _squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean square over features, (A, B)."""
    return (a[:, None].double() - b.double()).square().mean(dim=2)
