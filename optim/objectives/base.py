"""Scoring of candidates: parameters in, `Evaluation` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol as TypingProtocol

import torch
from torch import Tensor

from mfm import Cost, FICParameters
from mfm.models.constants import RATE_RANGE_HZ
from mfm.models.fic_feedback import resting_state

#: Losses of candidates that cannot be chosen: out of range (plus how far), and never simulated (plus how implausible). Both
#: lie above the largest possible cost, 2 + 2 + 1.
OUT_OF_RANGE_LOSS = 6.0
IMPLAUSIBLE_LOSS = 20.0


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
        return Evaluation(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

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
            realisation_cost=cost[:, None],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Evaluation]) -> Evaluation:
        """The candidates of all parts, in order."""

        def join(values):
            return Cost.concatenate(values) if isinstance(values[0], Cost) else torch.cat(values)

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
