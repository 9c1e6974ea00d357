"""Balloon-Windkessel hemodynamics as a linear filter around a constant S_E."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from mfm.constants import HEMODYNAMIC
from mfm.feedback import excitatory_resting_point


def transfer(s: Tensor, S_E: Tensor | float) -> Tensor:
    """Laplace transform of BOLD's (percent) response to an impulse of S_E, at complex `s` (per second).

    Parameters
    ----------
    s, S_E : tensor
        Broadcast together; `S_E` is the constant activity around which the hemodynamics are linearised.

    Returns
    -------
    complex tensor
        At ``s = 1j * w`` the gain at the angular frequency w.
    """
    c = HEMODYNAMIC
    f = 1 + S_E / c.gamma
    extraction = 1 - (1 - c.rho) ** (1 / f)
    v = f**c.alpha
    q = v * extraction / c.rho
    extraction_slope = (1 - c.rho) ** (1 / f) * math.log(1 - c.rho) / f**2
    df = 1 / (s**2 + c.kappa * s + c.gamma)
    dv = df / (s * c.tau + v ** (1 / c.alpha - 1) / c.alpha)
    inflow = (extraction + f * extraction_slope) / c.rho * df
    dq = (inflow - q * (1 / c.alpha - 1) * v ** (1 / c.alpha - 2) * dv) / (s * c.tau + v ** (1 / c.alpha - 1))
    return 100 / c.rho * c.V_0 * (-c.k_1 * dq - c.k_2 * (dq / v - q * dv / v**2) - c.k_3 * dv)


class RestingFilter(NamedTuple):
    """The filter at the 3 Hz state, the same in every region, by its poles.

    The autocovariance of BOLD under white S_E is ``sum_p weight_p exp(-pole_p |t|)``.
    """

    pole: Tensor
    weight: Tensor
    #: Response to a constant.
    at_zero: float

    def laplace(self, rate: Tensor) -> Tensor:
        """Laplace transform of the autocovariance, ``sum_p weight_p / (pole_p + rate)``, at rates per second."""
        return self._real_for_real(rate, (self._weight(rate) / (self._pole(rate) + rate[..., None])).sum(dim=-1))

    def divided_difference(self, a: Tensor, b: Tensor) -> Tensor:
        """``(laplace(b) - laplace(a)) / (a - b)`` without cancellation."""
        pole = self._pole(a)
        return self._real_for_real(a, (self._weight(a) / ((pole + a[..., None]) * (pole + b[..., None]))).sum(dim=-1))

    def _pole(self, like: Tensor) -> Tensor:
        return self.pole.to(like.device, _complex(like))

    def _weight(self, like: Tensor) -> Tensor:
        return self.weight.to(like.device, _complex(like))

    @staticmethod
    def _real_for_real(rate: Tensor, value: Tensor) -> Tensor:
        return value if rate.is_complex() else value.real


def _complex(like: Tensor) -> torch.dtype:
    return like.dtype if like.is_complex() else torch.promote_types(like.dtype, torch.complex32)


@cache
def resting_filter() -> RestingFilter:
    """The filter of the 3 Hz state: H(s) = sum_p r_p / (s + p), and |H|^2 has the weights r_p H(p)."""
    c = HEMODYNAMIC
    S_E, _ = excitatory_resting_point()
    v = (1 + S_E / c.gamma) ** c.alpha
    stiffness = v ** (1 / c.alpha - 1)
    ring = math.sqrt(c.gamma - c.kappa**2 / 4)
    pole = torch.tensor(
        [c.kappa / 2 + 1j * ring, c.kappa / 2 - 1j * ring, stiffness / (c.alpha * c.tau), stiffness / c.tau],
        dtype=torch.complex128,
    )
    # H(s) prod_p (s + p) is a polynomial of degree one: two values give it everywhere, also at the poles.
    s = torch.tensor([0.0, 1.0], dtype=torch.complex128)
    numerator = transfer(s, S_E) * (s[:, None] + pole).prod(dim=1)
    others = pole[None, :] - pole[:, None] + torch.eye(4)
    residue = (numerator[0] - pole * (numerator[1] - numerator[0])) / others.prod(dim=1)
    return RestingFilter(pole, residue * transfer(pole, S_E), float(transfer(s[0], S_E).real))
