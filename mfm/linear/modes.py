"""The linear system solved once for all frequencies, by the slow modes of the network.

At the frequencies of BOLD (below about 1 Hz) a fast second state, such as the inhibitory gate of the FIC model, which relaxes
at 200 to 300 per second, follows the first with a short lag, so that D(w) = iw + leak + inhibition drive / (iw + relax) is a
straight line in iw:

    D(w) = iw mass + stiffness + O(w^2),   mass = 1 - inhibition drive / relax^2,   stiffness = leak + inhibition drive / relax

One eigendecomposition of the N x N matrix mass^-1/2 (stiffness - g C) mass^-1/2 then gives every frequency at once. Where the
activity at the fixed point is the same in every region, as at the 3 Hz state of the FIC model, so is the hemodynamic filter,
and integrals over frequency have closed forms in the filter's poles, derivatives included.

The error of the straight line is of order (w / relax)^2: FC differs from `mfm.linear.exact` by 1e-8 in the median and
by 2e-5 in the worst of candidates that cover the bounds (``tests/mfm/linear/test_modes.py``).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mfm.linear.hemodynamics import RestingFilter
from mfm.linear.system import LinearSystem

# The two states are told apart by their speed while the mass is near 1; it is above 0.8 within the bounds of FIC fits.
_LEAST_MASS = 0.5

# The straight line errs by (w / relax)^2: 1e-4 at 0.1 Hz for a second state that relaxes as slowly as this, per second.
_LEAST_RELAX = 60.0


class Modes(NamedTuple):
    """Eigenmodes of the slow system in the scaled coordinates ``y = x / scale``: ``operator = vectors diag(rate) inverse``.

    ``rate`` (B, N), per second, and ``vectors``, ``inverse`` (B, N, N) are real for a symmetric connectome, whose
    rates ascend. None of them carries gradients.
    """

    rate: Tensor
    vectors: Tensor
    inverse: Tensor


class SlowSystem(NamedTuple):
    """``dy/dt = -operator y + noise``, with ``x = scale y``: operator (B, N, N), scale and noise power (B, N)."""

    operator: Tensor
    scale: Tensor
    power: Tensor
    modes: Modes
    relax: Tensor

    @classmethod
    def of(cls, system: LinearSystem) -> SlowSystem:
        """The straight line through the system's response at BOLD's frequencies, and its modes."""
        feedback = system.inhibition * system.drive / system.relax
        mass, stiffness = 1 - feedback / system.relax, system.leak + feedback
        power = system.sigma**2 * (1 + (system.inhibition / system.relax) ** 2)
        scale = mass.clamp(min=_LEAST_MASS).rsqrt()
        coupling = (system.g * scale)[:, :, None] * system.C * scale[:, None, :]
        operator = torch.diag_embed(stiffness * scale**2) - coupling
        with torch.no_grad():
            if system.is_symmetric:
                rate, vectors = torch.linalg.eigh(operator)
                modes = Modes(rate, vectors, vectors.mT)
            else:
                rate, vectors = torch.linalg.eig(operator)
                modes = Modes(rate, vectors, torch.linalg.inv(vectors))
        return cls(operator, scale, power * scale**2, modes, system.relax)

    @property
    def is_slow(self) -> bool:
        """Whether the second state is faster than the first in every candidate, as the straight line requires."""
        return bool((self.scale**2 < 1 / _LEAST_MASS).all() and (self.relax > _LEAST_RELAX).all())

    def take(self, index: Tensor) -> SlowSystem:
        """The candidates selected by `index`."""
        modes = Modes(*(x[index] for x in self.modes))
        return SlowSystem(self.operator[index], self.scale[index], self.power[index], modes, self.relax[index])

    def to(self, dtype: torch.dtype) -> SlowSystem:
        """In the precision of float32 or float64."""
        modes = (x.to(torch.promote_types(dtype, torch.complex32) if x.is_complex() else dtype) for x in self.modes)
        operator, scale, power, relax = (x.to(dtype) for x in (self.operator, self.scale, self.power, self.relax))
        return SlowSystem(operator, scale, power, Modes(*modes), relax)

    def covariance(self, duration_s: float, seen_through: RestingFilter) -> Tensor:
        """Covariance of BOLD over a scan of `duration_s`, its mean removed: (B, N, N), percent squared.

        `seen_through` is the filter of every region: hemodynamics, and what a scan was filtered by.
        """
        covariance = _FilteredCovariance.apply(self.operator, self.power, duration_s, seen_through, *self.modes)
        return self.scale[:, :, None] * covariance * self.scale[:, None, :]

    def resolve(self, noise: Tensor, w: Tensor) -> Tensor:
        """The first state at angular frequencies `w` (L,), rad/s, for white noise of unit density (N, L, R): (B, N, L, R)."""
        driven = self.power.sqrt()[:, :, None, None] * noise
        response = _Resolvent.apply(self.operator, driven, w, *self.modes)
        return self.scale[:, :, None, None] * response


def slowest_abscissa(system: LinearSystem, slow: SlowSystem) -> Tensor:
    """Largest real part of the Jacobian's eigenvalues, (B,), per second.

    Newton's method for the eigenvalue s of ``s + leak + inhibition drive / (s + relax) - g C`` nearest to zero, with the slow
    system's mode: its error is of second order in the mode's.
    """
    with torch.no_grad():
        modes = slow.modes
        first = modes.rate.real.argmin(dim=1)
        row = torch.arange(len(first), device=first.device)
        right = slow.scale * modes.vectors[row, :, first]
        left = slow.scale * modes.inverse[row, first]
        s = -modes.rate[row, first]
        coupled = (left * system.g * (right @ system.C.T.to(right.dtype))).sum(dim=1)
        for _ in range(4):
            lagged = s[:, None] + system.relax
            product = left * right
            feedback = system.inhibition * system.drive / lagged
            value = (product * (s[:, None] + system.leak + feedback)).sum(dim=1) - coupled
            s = s - value / (product * (1 - feedback / lagged)).sum(dim=1)
        return s.real


def _conj_sum(rate: Tensor) -> Tensor:
    """rate_i + conj(rate_j), (B, N, N)."""
    return rate[:, :, None] + rate.conj()[:, None, :]


def _pair_kernel(rate: Tensor, duration_s: float, seen_through: RestingFilter) -> Tensor:
    """Covariance over a scan of BOLD of two modes that the same white noise drives, (B, N, N): the integral of
    ``|H|^2 / ((iw + rate_i)(iw + rate_j)*)`` over all frequencies / 2 pi, without the scan's mean."""
    transform = seen_through.laplace(rate, duration_s)
    return _conj_sum(transform) / _conj_sum(rate)


def _growing_replaced(rate: Tensor) -> Tensor:
    """Rates with a stand-in where a mode grows: such candidates have no covariance, but must not spoil others' gradients."""
    return torch.where(rate.real > 0, rate, torch.ones_like(rate))


class _FilteredCovariance(torch.autograd.Function):
    """Covariance over a scan: ``V (noise * _pair_kernel) V*`` in the modes' coordinates, with noise ``V^-1 diag(power) V^-*``.

    Products of three resolvents, which its derivative needs, integrate to closed forms too: with
    ``1 / ((a + iw)(b - iw)) = (1 / (a + iw) + 1 / (b - iw)) / (a + b)`` every integral is one of `_pair_kernel` or a divided
    difference of the filter's Laplace transform.
    """

    @staticmethod
    def forward(operator, power, duration_s, seen_through, rate, vectors, inverse):
        noise = (inverse * power[:, None, :]) @ inverse.mH
        weight = _pair_kernel(_growing_replaced(rate), duration_s, seen_through)
        return (vectors @ (noise * weight) @ vectors.mH).real

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, power, ctx.duration_s, ctx.seen_through, rate, vectors, inverse = inputs
        saved = (power, _growing_replaced(rate), vectors, inverse)
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*saved)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        power, rate, vectors, inverse = ctx.saved_tensors
        pair = _pair_kernel(rate, ctx.duration_s, ctx.seen_through).mT
        noise = (inverse * power[:, None, :]) @ inverse.mH
        L = vectors.mH @ (0.5 * (grad + grad.mT)).to(vectors.dtype) @ vectors
        Z = noise / _conj_sum(rate)
        G = ctx.seen_through.divided_difference(rate[:, :, None], rate[:, None, :], ctx.duration_s)
        M = (Z @ L) * G + Z @ (pair * L)
        grad_operator = -2 * (vectors @ M @ inverse).real.mT
        grad_power = ((inverse.mH @ (L * pair)) * inverse.mT).sum(dim=2).real
        return grad_operator, grad_power, None, None, None, None, None

    @staticmethod
    def jvp(ctx, d_operator, d_power, *_):
        power, rate, vectors, inverse = ctx.saved_tensors
        pair = _pair_kernel(rate, ctx.duration_s, ctx.seen_through)
        change = torch.zeros_like(vectors)
        if d_power is not None:
            change = change + ((inverse * d_power[:, None, :]) @ inverse.mH) * pair
        if d_operator is not None:
            noise = (inverse * power[:, None, :]) @ inverse.mH
            D = inverse @ d_operator.to(vectors.dtype) @ vectors
            G = ctx.seen_through.divided_difference(rate[:, :, None], rate[:, None, :], ctx.duration_s)
            half = ((D * G) @ noise + D @ (pair * noise)) / _conj_sum(rate)
            change = change - half - half.mH
        return (vectors @ change @ vectors.mH).real


class _Resolvent(torch.autograd.Function):
    """``(iw + operator)^-1 noise`` for `noise` (B, N, L, R) at frequencies `w` (L,)."""

    @staticmethod
    def forward(ctx, operator, noise, w, rate, vectors, inverse):
        response = _apply_resolvent(noise, 1j * w, rate, vectors, inverse)
        ctx.save_for_backward(response, w, rate, vectors, inverse)
        return response

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        response, w, rate, vectors, inverse = ctx.saved_tensors
        adjoint = _apply_resolvent(grad, -1j * w, rate.conj(), inverse.mH, vectors.mH)
        grad_operator = -torch.einsum("bilr,bjlr->bij", adjoint.conj(), response).real
        return grad_operator, adjoint, None, None, None, None


def _apply_resolvent(x: Tensor, iw: Tensor, rate: Tensor, vectors: Tensor, inverse: Tensor) -> Tensor:
    modal = _multiply(inverse, x) / (iw + rate[:, :, None])[..., None]
    return _multiply(vectors, modal)


def _multiply(matrix: Tensor, x: Tensor) -> Tensor:
    """Matrices (B, N, N), real or complex, times complex vectors (B, N, L, R)."""
    shape = x.shape
    if matrix.is_complex():
        return (matrix @ x.reshape(*shape[:2], -1)).reshape(shape)
    # Real and imaginary parts as columns: half the work of a complex product.
    columns = torch.view_as_real(x).reshape(*shape[:2], -1)
    return torch.view_as_complex((matrix @ columns).reshape(*shape, 2))
