"""Scoring of candidates: parameters in, `Evaluation` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol as TypingProtocol

import torch
from torch import Tensor

from mfm import Averages, Cost
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters

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
        Whether every region stays within what the model declares admissible, in every realisation (FIC: a mean rate of 2.7
        to 3.3 Hz).
    status : tensor of int, (B, R)
        `mfm.SimStatus`.
    averages : Averages
        Time averages of what the model reports and of its states; each is an attribute too, (B, R, N): ``rate_E`` (Hz), ``S_E``
        and ``S_I`` of FIC.
    fc : tensor, (B, N, N)
    fcd_cdf : tensor, (B, K)
        FC and FCD CDF, mean over realisations; NaN for candidates that were not scored.
    realisation_cost : Cost
        The same terms for each realisation by itself, (B, R).

    Examples
    --------
    >>> import mfm, torch
    >>> from mfm.models.registry import get_model
    >>> from optim import Evaluation
    >>> rate_E = torch.tensor([[[3.0, 3.1, 2.9]], [[3.0, 3.1, 9.0]]])
    >>> S = torch.full((2, 1, 3), 0.16)
    >>> fc, cdf = torch.eye(3).repeat(2, 1, 1), torch.ones(2, 10)
    >>> each = torch.full((2, 1), 0.25)
    >>> cost, single = mfm.Cost(each[:, 0], each[:, 0], each[:, 0]), mfm.Cost(each, each, each)
    >>> averages = mfm.Averages(get_model("fic"), torch.stack([rate_E, S, S]))
    >>> e = Evaluation(cost, averages.inside()[:, 0], torch.tensor([[0], [2]]), averages, fc, cdf, realisation_cost=single)
    >>> e.loss[0].item(), e.loss[1].item() > 6
    (0.75, True)
    """

    cost: Cost
    within_range: Tensor
    status: Tensor
    averages: Averages
    fc: Tensor
    fcd_cdf: Tensor
    realisation_cost: Cost

    @property
    def loss(self) -> Tensor:
        """What a search minimises: (B,), finite. Total cost within range; beyond it, 6 plus the mean excess of what the model
        wants admissible (FIC: the rates)."""
        excess = self.averages.excess().log1p()
        loss = torch.where(self.within_range, self.cost.total, OUT_OF_RANGE_LOSS + excess.clamp(max=10.0))
        return torch.where(torch.isfinite(loss), loss, torch.full_like(loss, OUT_OF_RANGE_LOSS + 10.0))

    def __getattr__(self, name: str) -> Tensor:
        if name.startswith("__") or "averages" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.averages, name)

    def __getitem__(self, index: list[int]) -> Evaluation:
        """The candidates selected by `index`."""
        return Evaluation(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @classmethod
    def predicted(
        cls, model: Model, states: Sequence[Tensor], reported: Tensor, cost: Cost, within_range: Tensor, fc: Tensor, fcd: Tensor
    ) -> Evaluation:
        """Of candidates that were not simulated: `states` are those of the fixed point, (B, N), and nothing diverged.

        `reported` (B, R, N) is what the model wants admissible, or the first of its averages where it wants nothing;
        `within_range` counts where the cost is finite.
        """
        told = model.average_names[0] if model.admissible is None else model.admissible.quantity
        values = {quantity.name: torch.full(reported.shape, float("nan"), dtype=torch.float64) for quantity in model.reported}
        values |= {name: x.double()[:, None].expand(reported.shape) for name, x in zip(model.state_names, states, strict=True)}
        values[told] = reported.double()
        return cls(
            cost=cost,
            within_range=within_range & torch.isfinite(cost.total),
            status=torch.zeros((len(reported), 1), dtype=torch.int64),
            averages=Averages(model, torch.stack([values[name] for name in model.average_names])),
            fc=fc,
            fcd_cdf=fcd,
            realisation_cost=cost[:, None],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Evaluation]) -> Evaluation:
        """The candidates of all parts, in order."""

        def join(values):
            return torch.cat(values) if isinstance(values[0], Tensor) else type(values[0]).concatenate(values)

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

    def evaluate(self, p: ModelParameters, seed: int | Sequence[int]) -> Evaluation:
        """Score B candidates; `seed` as in `mfm.simulate`. Never raises for what a candidate's dynamics do.

        Parameters
        ----------
        p : ModelParameters
        seed : int or sequence of B ints

        Returns
        -------
        Evaluation
        """
        ...
