"""The equations of a network linearised around a fixed point."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.linear.local import LocalBlock, connectome_tensor
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters
from mfm.models.registry import model_of


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """The linearised equations of B candidates over N regions whose response to the network is one number per frequency.

        dx = (-leak x - inhibition y + g C x) dt + sigma dW
        dy = (drive x - relax y) dt              + sigma dW

    x is the state that the connectome carries and that is observed (S_E of the FIC model), y a second one where the model has
    it (S_I); models of one state have no inhibition.

    Attributes
    ----------
    leak, inhibition, drive, relax, sigma, g : tensor, (B, N)
        All but sigma per second; g multiplies the connectome's rows.
    C : tensor, (N, N)
    activity : tensor, (B, N)
        x at the fixed point, around which hemodynamics are linearised too.
    """

    leak: Tensor
    inhibition: Tensor
    drive: Tensor
    relax: Tensor
    sigma: Tensor
    g: Tensor
    C: Tensor
    activity: Tensor

    @staticmethod
    def holds(model: Model) -> bool:
        """Whether `model` has such a response: at most two states, one of them observed and the only one carried."""
        return len(model.states) <= 2 and model.carried == (model.observed,) and model.hemodynamics

    @classmethod
    def of(cls, p: ModelParameters, sc: Connectome, point: tuple[Tensor, ...]) -> LinearSystem:
        """Linearise candidates `p` around `point`, whose first entries are the model's states, (B, N)."""
        model = model_of(p)
        x = tuple(point)[: len(model.states)]
        complete = model.completed(p, sc)
        return cls.from_block(model, LocalBlock.of(model, complete, sc, x), getattr(complete, model.noise), sc, x)

    @classmethod
    def from_block(cls, model: Model, block: LocalBlock, sigma: Tensor, sc: Connectome, x: tuple[Tensor, ...]) -> LinearSystem:
        """The system of a model for which `holds` is true."""
        carried = model.state_names.index(model.observed)
        other = 1 - carried if len(x) == 2 else None
        none = torch.zeros_like(x[0])
        return cls(
            leak=-block.local[carried][carried],
            inhibition=none if other is None else -block.local[carried][other],
            drive=none if other is None else block.local[other][carried],
            relax=none + 1.0 if other is None else -block.local[other][other],
            sigma=sigma,
            g=block.into[carried][0],
            C=connectome_tensor(sc, sigma),
            activity=x[carried],
        )

    def __getitem__(self, index) -> LinearSystem:
        return LinearSystem(**{f.name: self.C if f.name == "C" else getattr(self, f.name)[index] for f in fields(self)})

    @cached_property
    def is_symmetric(self) -> bool:
        """Whether g C is its own transpose: a symmetric connectome, and the same gain in every region but for rounding."""
        rounding = 64 * torch.finfo(self.g.dtype).eps
        alike = ((self.g - self.g[:, :1]).abs() <= rounding * self.g[:, :1].abs()).all()
        return bool(torch.equal(self.C, self.C.T) and alike)

    def jacobian(self) -> Tensor:
        """(B, 2 N, 2 N) for the states (x, y), per second."""
        upper = torch.cat(
            [self.g[:, :, None] * self.C - torch.diag_embed(self.leak), -torch.diag_embed(self.inhibition)], dim=2
        )
        lower = torch.cat([torch.diag_embed(self.drive), -torch.diag_embed(self.relax)], dim=2)
        return torch.cat([upper, lower], dim=1)

    def operator(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """The second state eliminated, at angular frequencies `w` (W,) in rad/s.

        Returns
        -------
        operator : complex tensor, (B, W, N, N)
            D(w) - g C, with D = iw + leak + inhibition drive / (iw + relax).
        power : tensor, (B, W, N)
            Spectral density of the noise that drives it.
        """
        iw = 1j * w[:, None]
        response = iw + self.relax[:, None]
        D = iw + self.leak[:, None] + (self.inhibition * self.drive)[:, None] / response
        A = torch.diag_embed(D) - (self.g[:, :, None] * self.C)[:, None]
        power = self.sigma[:, None] ** 2 * (1 + (self.inhibition[:, None] / response.abs()) ** 2)
        return A, power

    def neural_spectrum(self, w: Tensor) -> Tensor:
        """Cross-spectral density of x at angular frequencies `w` (W,), rad/s: complex, (B, W, N, N)."""
        A, power = self.operator(w)
        X = torch.linalg.inv(A)
        return (X * power[:, :, None, :]) @ X.mH

    def resolve(self, noise: Tensor, w: Tensor) -> Tensor:
        """x at angular frequencies `w` (L,), rad/s, for white noise of unit density `noise` (N, L, R): (B, N, L, R)."""
        A, power = self.operator(w)
        driven = power.sqrt()[..., None] * noise.permute(1, 0, 2)
        return torch.linalg.solve(A, driven.to(A.dtype)).transpose(1, 2)
