"""Scoring of candidates: parameters in, `Evaluation` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol as TypingProtocol

import torch
from torch import Tensor

import mfm
from mfm import Cost, FICParameters, Scan, SimStatus
from mfm.constants import RATE_RANGE_HZ
from mfm.feedback import resting_state
from mfm.simulation import compute_device

#: Losses of candidates that cannot be chosen: out of range (plus how far), and never simulated (plus how implausible). Both
#: lie above the largest possible cost, 2 + 2 + 1.
OUT_OF_RANGE_LOSS = 6.0
IMPLAUSIBLE_LOSS = 20.0

# BOLD that is held at a time; more candidates are simulated in turns, with the same results.
_BOLD_BYTES = 384 * 2**20


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What is known of B candidates, in R realisations, over N regions.

    Attributes
    ----------
    cost : Cost
        Terms (B,) of the realisation-averaged FC and FCD; NaN for candidates that were not scored.
    within_range : tensor of bool, (B,)
        Whether every region's mean rate lies in [2.7, 3.3] Hz in every realisation.
    status : tensor of int, (B, R)
        `mfm.SimStatus`.
    rate_E, S_E, S_I : tensor, (B, R, N)
        Time averages of r_E (Hz) and of the gating variables (dimensionless).
    fc : tensor, (B, N, N)
    fcd_cdf : tensor, (B, K)
        FC and FCD CDF, mean over realisations; NaN for candidates that were not scored.
    realisation_cost : Cost
        The same terms for each realisation by itself, (B, R).

    Examples
    --------
    >>> import mfm, torch
    >>> from optim import Evaluation
    >>> rate_E = torch.tensor([[[3.0, 3.1, 2.9]], [[3.0, 3.1, 9.0]]])
    >>> S = torch.full((2, 1, 3), 0.16)
    >>> fc, cdf = torch.eye(3).repeat(2, 1, 1), torch.ones(2, 10)
    >>> each = torch.full((2, 1), 0.25)
    >>> cost, single = mfm.Cost(each[:, 0], each[:, 0], each[:, 0]), mfm.Cost(each, each, each)
    >>> inside = mfm.within_range(rate_E).all(dim=1)
    >>> e = Evaluation(cost, inside, torch.tensor([[0], [2]]), rate_E, S, S, fc, cdf, realisation_cost=single)
    >>> e.loss[0].item(), e.loss[1].item() > 6
    (0.75, True)
    """

    cost: Cost
    within_range: Tensor
    status: Tensor
    rate_E: Tensor
    S_E: Tensor
    S_I: Tensor
    fc: Tensor
    fcd_cdf: Tensor
    realisation_cost: Cost

    @property
    def loss(self) -> Tensor:
        """What a search minimises: (B,), finite. Total cost within range; beyond it, 6 plus the mean excess of the rates."""
        low, high = RATE_RANGE_HZ
        rate = torch.nan_to_num(self.rate_E, nan=1e3)
        excess = torch.maximum(low - rate, rate - high).clamp(min=0).mean(dim=(1, 2)).log1p()
        loss = torch.where(self.within_range, self.cost.total, OUT_OF_RANGE_LOSS + excess.clamp(max=10.0))
        return torch.where(torch.isfinite(loss), loss, torch.full_like(loss, OUT_OF_RANGE_LOSS + 10.0))

    def __getitem__(self, index: list[int]) -> Evaluation:
        """The candidates selected by `index`."""

        def pick(value):
            if isinstance(value, Cost):
                return Cost(*(getattr(value, term)[index] for term in ("corr", "mean_diff", "ks")))
            return value[index]

        return Evaluation(**{f.name: pick(getattr(self, f.name)) for f in fields(self)})

    @classmethod
    def predicted(
        cls, p: FICParameters, cost: Cost, within_range: Tensor, rate_E: Tensor, fc: Tensor, fcd_cdf: Tensor
    ) -> Evaluation:
        """Of candidates that were not simulated: gating variables are those of the 3 Hz state, and nothing diverged.

        `within_range` counts where the cost is finite; `rate_E` is (B, R, N).
        """
        rest = resting_state(p.w_EI)
        B, N = p.w_EI.shape
        return cls(
            cost=cost,
            within_range=within_range & torch.isfinite(cost.total),
            status=torch.zeros((B, 1), dtype=torch.int64),
            rate_E=rate_E,
            S_E=torch.full((B, 1, N), rest.S_E, dtype=torch.float64),
            S_I=rest.S_I[:, None],
            fc=fc,
            fcd_cdf=fcd_cdf,
            realisation_cost=Cost(*(getattr(cost, term)[:, None] for term in ("corr", "mean_diff", "ks"))),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Evaluation]) -> Evaluation:
        """The candidates of all parts, in order."""

        def join(values):
            if isinstance(values[0], Cost):
                return Cost(*(torch.cat([getattr(v, term) for v in values]) for term in ("corr", "mean_diff", "ks")))
            return torch.cat(values)

        return cls(**{f.name: join([getattr(part, f.name) for part in parts]) for f in fields(cls)})


class Objective(TypingProtocol):
    """Anything that scores candidates.

    Examples
    --------
    >>> from optim import Objective
    >>> class Recorded:  # an objective around another one, which keeps the G of every candidate
    ...     def __init__(self, objective: Objective):
    ...         self.objective, self.G = objective, []
    ...
    ...     def evaluate(self, p, seed):
    ...         self.G += p.G.tolist()
    ...         return self.objective.evaluate(p, seed)
    """

    def evaluate(self, p: FICParameters, seed: int | Sequence[int]) -> Evaluation:
        """Score B candidates; `seed` as in `mfm.simulate`. Never raises for what a candidate's dynamics do.

        Parameters
        ----------
        p : FICParameters
        seed : int or sequence of B ints

        Returns
        -------
        Evaluation
        """
        ...


@dataclass(frozen=True, eq=False)
class SimulationObjective:
    """Score candidates by simulating them.

    Parameters
    ----------
    scan : Scan
        Target, connectome and timing.
    protocol : Protocol
        Of the simulation; TR and frames are the scan's.
    n_repeats : int, default 3
        Noise realisations per candidate, whose FC matrices and FCD distributions are averaged.
    backend : {"auto", "reference", "numba", "triton"}
        As in `mfm.simulate`.
    n_threads : int, optional
        Default: the cores this process may use.
    score_out_of_range : bool, default False
        Whether FC and FCD are also computed for candidates that leave the range.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from optim import SimulationObjective
    >>> run = np.random.default_rng(0).normal(size=(120, 3))
    >>> scan = mfm.subject_from_runs("sub-01", [run], mfm.Connectome(0.02 * (1 - np.eye(3))), tr_s=2.0).search
    >>> protocol = mfm.Protocol(scan.tr_s, scan.n_frames, dt_s=0.005, burn_in_s=0.0, warm_up_s=0.0)
    >>> p = mfm.FICParameters(np.full(3, 3.0), np.full(3, 2.5), np.full(3, 0.002), [1.0])
    >>> evaluation = SimulationObjective(scan, protocol, n_repeats=2).evaluate(p, seed=0)
    >>> evaluation.within_range.tolist(), evaluation.realisation_cost.total.shape
    ([True], torch.Size([1, 2]))
    """

    scan: Scan
    protocol: mfm.Protocol
    n_repeats: int = 3
    backend: str = "auto"
    n_threads: int | None = None
    score_out_of_range: bool = False

    def evaluate(self, p: FICParameters, seed: int | Sequence[int]) -> Evaluation:
        """Score B candidates (see `Objective.evaluate`); an InputError if they have other regions than the scan."""
        seeds = [seed] * p.n_candidates if isinstance(seed, int) else list(seed)
        bytes_each = self.n_repeats * self.protocol.n_frames * p.n_regions * 4
        size = max(1, _BOLD_BYTES // bytes_each)
        starts = range(0, p.n_candidates, size)
        return Evaluation.concatenate([self._evaluate(p[k : k + size], seeds[k : k + size]) for k in starts])

    def _evaluate(self, p: FICParameters, seeds: list[int]) -> Evaluation:
        # On a GPU, BOLD stays where FC and FCD are made of it.
        p = p.to(compute_device(p, self.backend))
        with torch.no_grad():
            sim = mfm.simulate(
                p, self.scan.sc, self.protocol, self.n_repeats, seeds, backend=self.backend, n_threads=self.n_threads
            )
        scored = (sim.status != SimStatus.DIVERGED).all(dim=1)
        if not self.score_out_of_range:
            scored = scored & sim.within_range
        B, R, _, N = sim.bold.shape
        n_bins = len(self.scan.target.fcd_cdf)
        fc = torch.full((B, R, N, N), float("nan"), dtype=torch.float64)
        cdf = torch.full((B, R, n_bins), float("nan"), dtype=torch.float64)
        if scored.any():
            bold = sim.bold[scored]
            fc[scored.cpu()] = mfm.functional_connectivity(bold).cpu()
            cdf[scored.cpu()] = mfm.fcd_cdf(bold, self.protocol.window_frames, n_bins, self.n_threads).cpu()
        target = self.scan.target
        each = mfm.cost(fc.reshape(B * R, N, N), cdf.reshape(B * R, n_bins), target)
        mean_fc, mean_cdf = fc.mean(dim=1), cdf.mean(dim=1)
        return Evaluation(
            cost=mfm.cost(mean_fc, mean_cdf, target),
            within_range=sim.within_range.cpu(),
            status=sim.status.cpu(),
            rate_E=sim.rate_E.cpu(),
            S_E=sim.S_E.cpu(),
            S_I=sim.S_I.cpu(),
            fc=mean_fc,
            fcd_cdf=mean_cdf,
            realisation_cost=Cost(*(getattr(each, term).reshape(B, R) for term in ("corr", "mean_diff", "ks"))),
        )
