"""A tunable fit is the fitted model as a function of a few numbers, around what the fit found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mfm import FICParameters, MapParameterisation
from mfm.errors import InputError
from optim.search.space import SearchSpace


@dataclass(frozen=True, eq=False)
class TunableFit:
    """A tunable fit may move along some directions: coefficients ``theta = optimum + t basis``, t = 0 at the fit.

    Attributes
    ----------
    parameterisation : MapParameterisation
    optimum : tensor, (D,)
        Coefficients of the maps.
    deviation : dict of parameter to tensor, (1, N)
        What the fit's regions have beyond the maps (`optim.search.regional`); held as it is.
    basis : tensor, (K, D)
        A priori each t is standard normal.
    """

    parameterisation: MapParameterisation
    optimum: Tensor
    deviation: dict[str, Tensor]
    basis: Tensor

    @classmethod
    def of(
        cls, parameterisation: MapParameterisation, coefficients, parameters: FICParameters | None = None, anchor: float = 0.05
    ) -> TunableFit:
        """Make it from a fit's coefficients; `anchor` is the search coordinates' standard deviation as share of the ranges."""
        optimum = torch.as_tensor(coefficients, dtype=torch.float64).reshape(-1)
        regional = {
            name: value for name, value in parameterisation.values(optimum).items() if name in parameterisation.regional_names
        }
        deviation = {name: torch.zeros_like(value) for name, value in regional.items()}
        if parameters is not None:
            deviation = {name: getattr(parameters, name).double() - value for name, value in regional.items()}
        space = SearchSpace(parameterisation)
        origin = space.to_coefficients(np.zeros((1, space.n_dimensions)))
        basis = anchor * torch.from_numpy(space.to_coefficients(np.eye(space.n_dimensions)) - origin)
        return cls(parameterisation, optimum, deviation, basis)

    @property
    def n_directions(self) -> int:
        """Count the directions K."""
        return len(self.basis)

    def along(self, directions: Tensor) -> TunableFit:
        """Keep combinations (K, K') of the present directions only."""
        return replace(self, basis=directions.T @ self.basis)

    def frozen(self) -> TunableFit:
        """Keep no direction: the fit as it is."""
        return replace(self, basis=self.basis[:0])

    def values(self, t: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return regional parameters (B, N) by name and G (B,) at `t` (B, K)."""
        values = self.parameterisation.values(self.optimum + t @ self.basis)
        return {name: values[name] + deviation for name, deviation in self.deviation.items()}, values["G"]

    def parameters(self, t: Tensor) -> FICParameters | None:
        """Return candidates at `t` (B, K), or None where noise or coupling would be negative."""
        regional, G = self.values(t)
        try:
            return FICParameters(**regional, G=G)
        except InputError:
            return None
