"""What a model reports, averaged over the time of a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mfm.models.model import Model


@dataclass(frozen=True, eq=False)
class Averages:
    """Time averages of what a model reports and of its states, for B candidates, R realisations, N regions.

    Parameters
    ----------
    model : Model
    values : tensor, (K, B, R, N)
        In the order of ``model.average_names``. Each is an attribute too, (B, R, N): ``rate_E`` (Hz), ``S_E`` and ``S_I`` of
        FIC. So is what the model derives from them, the mean over realisations, (B, N): ``ei_ratio`` of FIC.
    """

    model: Model
    values: Tensor

    def __getattr__(self, name: str) -> Tensor:
        model = self.__dict__.get("model")
        if model is None or name.startswith("__"):
            raise AttributeError(name)
        names = model.average_names
        if name in names:
            return self.values[names.index(name)]
        for derived in model.derived:
            if name == derived.quantity.name:
                return derived.compute(*(getattr(self, of) for of in derived.of)).mean(dim=-2)
        reported = ", ".join((*names, *(derived.quantity.name for derived in model.derived)))
        raise AttributeError(f"The model {model.name!r} has no {name!r}; it reports {reported}.")

    def inside(self) -> Tensor:
        """(B, R) bool: whether every region is within what the model declares admissible; always, where it declares none."""
        admissible = self.model.admissible
        if admissible is None:
            return torch.ones(self.values.shape[1:3], dtype=torch.bool, device=self.values.device)
        value = getattr(self, admissible.quantity)
        return ((value >= admissible.low) & (value <= admissible.high)).all(dim=-1)

    def excess(self) -> Tensor:
        """(B,) mean over regions and realisations of how far what must be admissible lies outside; NaN counts as far."""
        admissible = self.model.admissible
        if admissible is None:
            return torch.zeros(self.values.shape[1], dtype=self.values.dtype, device=self.values.device)
        value = torch.nan_to_num(getattr(self, admissible.quantity), nan=1e3)
        return torch.maximum(admissible.low - value, value - admissible.high).clamp(min=0).mean(dim=(1, 2))

    def __getitem__(self, index) -> Averages:
        """Those of the candidates selected by `index`."""
        return Averages(self.model, self.values[:, index])

    def to(self, where) -> Averages:
        """The same on another device, or in another floating type."""
        return Averages(self.model, self.values.to(where))

    @classmethod
    def concatenate(cls, parts: Sequence[Averages]) -> Averages:
        """The candidates of all parts, in order."""
        return cls(parts[0].model, torch.cat([part.values for part in parts], dim=1))
