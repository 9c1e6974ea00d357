"""The equations of the model linearised around a fixed point."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.models.constants import NEURAL
from mfm.models.fic import FICParameters
from mfm.models.fic_feedback import FixedPoint, feedback_weights, rate_and_slope


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """The linearised neural equations of B candidates over N regions.

        dS_E = (-leak S_E - inhibition S_I + g C S_E) dt + sigma dW_E
        dS_I = (drive S_E - relax S_I) dt                + sigma dW_I

    Attributes
    ----------
    leak, inhibition, drive, relax, sigma, g : tensor, (B, N)
        All but sigma per second; g multiplies the connectome's rows.
    C : tensor, (N, N)
    S_E : tensor, (B, N)
        The fixed point, around which hemodynamics are linearised too.
    """

    leak: Tensor
    inhibition: Tensor
    drive: Tensor
    relax: Tensor
    sigma: Tensor
    g: Tensor
    C: Tensor
    S_E: Tensor

    @classmethod
    def of(cls, p: FICParameters, sc: Connectome, point: FixedPoint) -> LinearSystem:
        """Linearise candidates `p` around `point`."""
        c = NEURAL
        rate_E, slope_E = rate_and_slope(point.I_E, c.a_E, c.b_E, c.d_E)
        _, slope_I = rate_and_slope(point.I_I, c.a_I, c.b_I, c.d_I)
        gain = (1 - point.S_E) * c.gamma * slope_E
        return cls(
            leak=1 / c.tau_E + c.gamma * rate_E - gain * c.J * p.w_EE,
            inhibition=gain * feedback_weights(p, sc),
            drive=slope_I * c.J * p.w_EI,
            relax=1 / c.tau_I + slope_I,
            sigma=p.sigma,
            g=gain * c.J * p.G[:, None],
            C=torch.as_tensor(sc.weights.copy(), dtype=p.w_EE.dtype, device=p.w_EE.device),
            S_E=point.S_E,
        )

    def __getitem__(self, index) -> LinearSystem:
        return LinearSystem(**{f.name: self.C if f.name == "C" else getattr(self, f.name)[index] for f in fields(self)})

    @cached_property
    def is_symmetric(self) -> bool:
        """Whether g C is its own transpose: a symmetric connectome, and the same gain in every region."""
        return bool(torch.equal(self.C, self.C.T) and (self.g == self.g[:, :1]).all())

    def jacobian(self) -> Tensor:
        """(B, 2 N, 2 N) for the state (S_E, S_I), per second."""
        upper = torch.cat(
            [self.g[:, :, None] * self.C - torch.diag_embed(self.leak), -torch.diag_embed(self.inhibition)], dim=2
        )
        lower = torch.cat([torch.diag_embed(self.drive), -torch.diag_embed(self.relax)], dim=2)
        return torch.cat([upper, lower], dim=1)

    def operator(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """S_I eliminated, at angular frequencies `w` (W,) in rad/s.

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
