"""Balloon-Windkessel hemodynamics (Friston et al. 2003), once and readable, in torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mfm.models.constants import HEMODYNAMIC


class HemodynamicState(NamedTuple):
    """Vasodilatory signal z, and blood flow f, volume v and deoxyhaemoglobin q relative to rest."""

    z: Tensor
    f: Tensor
    v: Tensor
    q: Tensor

    @classmethod
    def at_rest(cls, like: Tensor) -> HemodynamicState:
        """z = 0 and f = v = q = 1 in the shape of `like`."""
        one = torch.ones_like(like)
        return cls(torch.zeros_like(like), one, one.clone(), one.clone())


def hemodynamic_drift(state: HemodynamicState, drive: Tensor) -> HemodynamicState:
    """Time derivatives of the hemodynamic state under the synaptic activity `drive` (S_E), per second."""
    c = HEMODYNAMIC
    z, f, v, q = state
    extraction = 1 - (1 - c.rho) ** (1 / f)
    return HemodynamicState(
        z=drive - c.kappa * z - c.gamma * (f - 1),
        f=z,
        v=(f - v ** (1 / c.alpha)) / c.tau,
        q=(f / c.rho * extraction - q * v ** (1 / c.alpha - 1)) / c.tau,
    )


def bold_signal(state: HemodynamicState) -> Tensor:
    """BOLD signal change in percent."""
    c = HEMODYNAMIC
    _, _, v, q = state
    return 100 / c.rho * c.V_0 * (c.k_1 * (1 - q) + c.k_2 * (1 - q / v) + c.k_3 * (1 - v))
