"""Balloon-Windkessel hemodynamics as a linear filter around a constant activity."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from mfm.models.constants import HEMODYNAMIC


def transfer(s: Tensor, activity: Tensor | float) -> Tensor:
    """Laplace transform of BOLD's (percent) response to an impulse of activity, at complex `s` (per second).

    Parameters
    ----------
    s, activity : tensor
        Broadcast together; `activity` (S_E of the FIC model) is constant: around it the hemodynamics are linearised.

    Returns
    -------
    complex tensor
        At ``s = 1j * w`` the gain at the angular frequency w.
    """
    c = HEMODYNAMIC
    f = 1 + activity / c.gamma
    extraction = 1 - (1 - c.rho) ** (1 / f)
    v = f**c.alpha
    q = v * extraction / c.rho
    extraction_slope = (1 - c.rho) ** (1 / f) * math.log(1 - c.rho) / f**2
    df = 1 / (s**2 + c.kappa * s + c.gamma)
    dv = df / (s * c.tau + v ** (1 / c.alpha - 1) / c.alpha)
    inflow = (extraction + f * extraction_slope) / c.rho * df
    dq = (inflow - q * (1 / c.alpha - 1) * v ** (1 / c.alpha - 2) * dv) / (s * c.tau + v ** (1 / c.alpha - 1))
    return 100 / c.rho * c.V_0 * (-c.k_1 * dq - c.k_2 * (dq / v - q * dv / v**2) - c.k_3 * dv)


# Closer than this, relative to their size, a divided difference is the slope half-way.
_NEAR = 1e-4

# Below this the triangle's transform is taken by its series, of so many terms.
_SHORT, _TERMS = 0.1, 8


class RestingFilter(NamedTuple):
    """The filter at one activity, the same in every region, by its poles.

    The autocovariance of BOLD under white activity is ``sum_p weight_p exp(-pole_p |t|)``. A scan of T seconds loses its mean,
    which takes the triangle ``at_zero^2 / T (1 - |t| / T)`` away: slow activity, unlike the filter, may outlast the scan.
    """

    pole: Tensor
    weight: Tensor
    #: Response to a constant.
    at_zero: float
    #: H(s) prod_p (s + p) = first + slope s.
    first: complex = 0.0
    slope: complex = 0.0

    def numerator(self, s):
        """H(s) times ``prod_p (s + p)``."""
        return self.first + self.slope * s

    def laplace(self, rate: Tensor, scan_s: float) -> Tensor:
        """Laplace transform of the autocovariance over a scan, at rates per second whose real part is positive."""
        poles = (self._weight(rate) / (self._pole(rate) + rate[..., None])).sum(dim=-1)
        return self._real_for_real(rate, poles) - self._mean_share(_triangle(rate * scan_s))

    def divided_difference(self, a: Tensor, b: Tensor, scan_s: float) -> Tensor:
        """``(laplace(b) - laplace(a)) / (a - b)`` without cancellation."""
        pole = self._pole(a)
        poles = (self._weight(a) / ((pole + a[..., None]) * (pole + b[..., None]))).sum(dim=-1)
        return self._real_for_real(a, poles) - self._mean_share(scan_s * _triangle_difference(a * scan_s, b * scan_s))

    def _mean_share(self, triangle: Tensor) -> Tensor | float:
        return self.at_zero**2 * triangle if self.at_zero else 0.0

    def _pole(self, like: Tensor) -> Tensor:
        # In double precision: weights of a filter that ran twice nearly cancel.
        return self.pole.to(like.device)

    def _weight(self, like: Tensor) -> Tensor:
        return self.weight.to(like.device)

    @staticmethod
    def _real_for_real(rate: Tensor, value: Tensor) -> Tensor:
        return value.to(_complex(rate)) if rate.is_complex() else value.real.to(rate.dtype)


def _triangle(x: Tensor) -> Tensor:
    """``(x - 1 + exp(-x)) / x^2``, the Laplace transform of the triangle ``1 - t`` on [0, 1], where Re x > 0."""
    series = sum((-1) ** k / math.factorial(k + 2) * x**k for k in range(_TERMS))
    return torch.where(x.abs() < _SHORT, series, (x - 1 + torch.exp(-x)) / x**2)


def _triangle_slope(x: Tensor) -> Tensor:
    series = sum((-1) ** k * k / math.factorial(k + 2) * x ** (k - 1) for k in range(1, _TERMS))
    return torch.where(x.abs() < _SHORT, series, (2 - x - (x + 2) * torch.exp(-x)) / x**3)


def _triangle_difference(x: Tensor, y: Tensor) -> Tensor:
    """``(_triangle(y) - _triangle(x)) / (x - y)``."""
    near = (x - y).abs() <= _NEAR * (x + y).abs()
    distance = torch.where(near, torch.ones_like(x * y), x - y)
    return torch.where(near, -_triangle_slope((x + y) / 2), (_triangle(y) - _triangle(x)) / distance)


def _complex(like: Tensor) -> torch.dtype:
    return like.dtype if like.is_complex() else torch.promote_types(like.dtype, torch.complex32)


@cache
def resting_filter(activity: float) -> RestingFilter:
    """The filter at `activity`: H(s) = sum_p r_p / (s + p), and |H|^2 has the weights r_p H(p)."""
    c = HEMODYNAMIC
    v = (1 + activity / c.gamma) ** c.alpha
    stiffness = v ** (1 / c.alpha - 1)
    ring = math.sqrt(c.gamma - c.kappa**2 / 4)
    pole = torch.tensor(
        [c.kappa / 2 + 1j * ring, c.kappa / 2 - 1j * ring, stiffness / (c.alpha * c.tau), stiffness / c.tau],
        dtype=torch.complex128,
    )
    # H(s) prod_p (s + p) is a polynomial of degree one: two values give it everywhere, also at the poles.
    s = torch.tensor([0.0, 1.0], dtype=torch.complex128)
    numerator = transfer(s, activity) * (s[:, None] + pole).prod(dim=1)
    others = pole[None, :] - pole[:, None] + torch.eye(4)
    residue = (numerator[0] - pole * (numerator[1] - numerator[0])) / others.prod(dim=1)
    first, slope = complex(numerator[0]), complex(numerator[1] - numerator[0])
    return RestingFilter(pole, residue * transfer(pole, activity), float(transfer(s[0], activity).real), first, slope)
