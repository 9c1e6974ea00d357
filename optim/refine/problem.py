"""The refinement's objective is a scan's misfit as a function of residual, fit and nuisance, with priors and guard rails."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol as TypingProtocol

import torch
from torch import Tensor

from mfm import Connectome, FICParameters
from mfm.linear import exact, modes
from mfm.linear.modes import SlowSystem
from mfm.linear.system import LinearSystem
from mfm.linear.whittle import Quadratic, Tangents
from mfm.models.fic_feedback import FixedPoint, designed_point
from mfm.ude import LinearResidual
from optim.refine.scoring import Optimum, fisher_scoring
from optim.refine.tunable_fit import TunableFit

# Step of the differences of the linear system along the mechanism's directions.
_STEP = 1e-5

#: A refined model may not be closer to the instability than this (per second), nor than the fit if that is closer.
LEAST_STABLE_PER_S = -0.4

# Weight of the squared excess of the abscissa over that limit: 0.03 per second cost nine nats.
_ABSCISSA_WEIGHT = 1e4

# Penalty on slopes beyond 97 % of the bound, by the square of the excess as a share of it; none passes the bound.
_SOFT_BOUND, _BOUND_WEIGHT = 0.97, 1e5

# The slow system's abscissa is within this of the exact one, per second.
_NEAR_LIMIT = 0.1

# A priori the logarithm of the noise's power has this standard deviation around its start: it keeps a noise that the data do
# not show from running off to nothing.
_LOG_NOISE_STD = 3.0


class Likelihood(TypingProtocol):
    """A likelihood scores a linearised model by scans: `mfm.linear.whittle.WhittleLikelihood`, `FisherZLikelihood`."""

    @property
    def nuisance(self) -> tuple[str, ...]: ...

    def start(self, system: LinearSystem) -> Tensor: ...

    def model(self, system: LinearSystem, tangents: Tangents) -> tuple[Tensor, Tensor]: ...

    def of_model(self, predicted: Tensor, derivatives: Tensor, nuisance: Tensor) -> Quadratic: ...

    def __call__(self, system: LinearSystem, tangents: Tangents, nuisance: Tensor) -> Quadratic: ...

    def score_covariance(self, system: LinearSystem, tangents: Tangents, nuisance: Tensor, seed: int = 0) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class RefinementProblem:
    """This problem is the negative log-posterior of ``x = (residual's coefficients, fit's t, nuisance)``.

    Attributes
    ----------
    fitted : TunableFit
    residual : LinearResidual or None
    sc : Connectome
    likelihood : Likelihood
        Of the scan that is learned from.
    prior_std : tensor, (terms,)
        Of the coefficients.
    """

    fitted: TunableFit
    residual: LinearResidual | None
    sc: Connectome
    likelihood: Likelihood
    prior_std: Tensor

    @property
    def n_terms(self) -> int:
        """Count the residual's coefficients."""
        return 0 if self.residual is None else self.residual.n_terms

    @property
    def n_model(self) -> int:
        """Count the parameters without the nuisance."""
        return self.n_terms + self.fitted.n_directions

    @cached_property
    def start(self) -> Tensor:
        """Return the fit itself as x, with nuisance parameters to match."""
        return torch.cat([torch.zeros(self.n_model, dtype=torch.float64), self.likelihood.start(self._fixed[0])])

    @cached_property
    def abscissa_limit(self) -> float:
        """Return the abscissa, per second, beyond which stability is penalised."""
        return max(LEAST_STABLE_PER_S, float(exact.abscissa(self._fixed[0])))

    @cached_property
    def precision(self) -> Tensor:
        """Return the precisions (P,) of the Gaussian priors."""
        noise = [_LOG_NOISE_STD**-2 if name == "log_noise" else 0.0 for name in self.likelihood.nuisance]
        terms = self.prior_std[: self.n_terms] ** -2
        anchors = torch.ones(self.fitted.n_directions, dtype=torch.float64)
        return torch.cat([terms, anchors, torch.tensor(noise, dtype=torch.float64)])

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Split x into coefficients, fit's t, nuisance."""
        return x[: self.n_terms], x[self.n_terms : self.n_model], x[self.n_model :]

    def parameters(self, x: Tensor) -> tuple[FICParameters, Connectome]:
        """Return the refined model at `x`, ready to be simulated."""
        c, t, _ = self.split(x)
        p = self.fitted.parameters(t[None])
        assert p is not None
        return (p, self.sc) if self.residual is None else self.residual.apply(p, self.sc, c)

    @cached_property
    def _fixed(self) -> tuple[LinearSystem, FixedPoint]:
        """The linearised fit."""
        p = self.fitted.parameters(torch.zeros((1, self.fitted.n_directions), dtype=torch.float64))
        assert p is not None
        return self._linearised(p)

    def _linearised(self, p: FICParameters) -> tuple[LinearSystem, FixedPoint]:
        point = designed_point(p)
        return LinearSystem.of(p, self.sc, point), point

    def _mechanism_at(self, t: Tensor) -> tuple[LinearSystem, FixedPoint] | None:
        if not len(t):
            return self._fixed
        p = self.fitted.parameters(t[None])
        return None if p is None else self._linearised(p)

    def system(self, x: Tensor) -> LinearSystem | None:
        """Linearise the equations at `x` without nuisance; None where a wall stands."""
        c, t, _ = self.split(x)
        base = self._mechanism_at(t)
        if base is None or (self.residual is not None and self._beyond_bound(c)[0].max() > 1 - _SOFT_BOUND):
            return None
        return base[0] if self.residual is None else self.residual.added_to(*base, c)

    def _beyond_bound(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """How far the slopes of regions are above 97 % of the bound, as shares of it, and their derivatives (N, terms)."""
        assert self.residual is not None
        slopes, bound = self.residual.slopes(c), self.residual.bound
        patterns = torch.cat([self.residual.patterns.T, slopes.new_zeros((len(slopes), len(self.residual.edges)))], dim=1)
        excess = slopes.abs() / bound - _SOFT_BOUND
        return excess, torch.where(excess > 0, slopes.sign() / bound, 0.0)[:, None] * patterns

    def tangents(self, x: Tensor, system: LinearSystem) -> Tangents:
        """Differentiate the system by coefficients and t."""
        c, t, _ = self.split(x)
        K = len(t)
        found = Tangents.zero(0, system)
        if self.residual is not None:
            base = self._mechanism_at(t)
            assert base is not None
            found = self.residual.tangents(*base)
        if not K:
            return found
        steps = _STEP * torch.eye(K, dtype=torch.float64)
        p = self.fitted.parameters(torch.cat([t + steps, t - steps]))
        if p is None:  # a wall within the step
            return found.joined(Tangents.zero(K, system))
        both, points = self._linearised(p)
        if self.residual is not None:
            both = self.residual.added_to(both, points, c)
        leak, inhibition, drive, relax, sigma, g = (
            (getattr(both, name)[:K] - getattr(both, name)[K:]) / (2 * _STEP) for name in Tangents._fields[:6]
        )
        return found.joined(Tangents(leak, inhibition, drive, relax, sigma, g))

    def __call__(self, x: Tensor) -> Quadratic:
        system = self.system(x)
        abscissa = math.inf if system is None else _nearly_abscissa(system)
        if system is None or not abscissa < 0:
            return Quadratic(math.inf, x.new_zeros(len(x)), x.new_zeros((len(x), len(x))))
        tangents = self.tangents(x, system)
        found = self.likelihood(system, tangents, x[self.n_model :])
        away = x - self.start
        total = Quadratic(
            found.value + float(0.5 * (self.precision * away.square()).sum()),
            found.gradient + self.precision * away,
            found.information + torch.diag(self.precision),
        )
        for excess, slope, weight in self._excesses(x, system, tangents, abscissa):
            slope = torch.cat([slope, slope.new_zeros((len(slope), len(x) - slope.shape[1]))], dim=1)
            total = Quadratic(
                total.value + weight * float(excess.square().sum()),
                total.gradient + 2 * weight * (excess @ slope),
                total.information + 2 * weight * (slope.T @ slope),
            )
        return total

    def _excesses(self, x: Tensor, system: LinearSystem, tangents: Tangents, nearly: float):
        """What is penalised by its square: excesses (E,), their derivatives (E, <= P) and weights."""
        if self.residual is not None:
            excess, slope = self._beyond_bound(x[: self.n_terms])
            if (excess > 0).any():
                yield excess.clamp(min=0), slope, _BOUND_WEIGHT
        if nearly <= self.abscissa_limit - _NEAR_LIMIT:
            return
        abscissa, slope = _abscissa(system, tangents)
        if abscissa > self.abscissa_limit:
            yield slope.new_tensor([abscissa - self.abscissa_limit]), slope[None], _ABSCISSA_WEIGHT

    def posterior_errors(self, x: Tensor) -> Tensor:
        """Compute errors (P,) at an optimum by likelihood and priors; guard rails, which tell nothing, do not count."""
        return torch.linalg.inv(self._curvature(x)).diagonal().sqrt()

    def power(self, x: Tensor) -> tuple[float, float]:
        """Return scale of the spectral density and density of measurement noise at `x`; 1 and 0 where data tell neither."""
        values = dict(zip(self.likelihood.nuisance, self.split(x)[2].exp().tolist(), strict=True))
        return values.get("log_scale", 1.0), values.get("log_noise", 0.0)

    def expected(self, x: Tensor) -> Tensor:
        """Compute where optima of scans of the model at `x` lie on average: priors draw them towards the fit."""
        return x - torch.linalg.solve(self._curvature(x), self.precision * (x - self.start))

    def _curvature(self, x: Tensor) -> Tensor:
        """(P, P) of likelihood and priors, without the guard rails."""
        system = self.system(x)
        assert system is not None
        information = self.likelihood(system, self.tangents(x, system), x[self.n_model :]).information
        return information + torch.diag(self.precision)

    def minimise(self, start: Tensor | None = None) -> Optimum:
        """Find the optimum from `start`, default the fit."""
        return fisher_scoring(self, self.start if start is None else start)


def _nearly_abscissa(system: LinearSystem) -> float:
    """The abscissa by the slow system, ten times as fast."""
    with torch.no_grad():
        return float(modes.slowest_abscissa(system, SlowSystem.of(system)))


def _abscissa(system: LinearSystem, tangents: Tangents) -> tuple[float, Tensor]:
    """The abscissa and its derivatives (P,), from its left and right eigenvector."""
    J = system.jacobian()[0]
    values, right = torch.linalg.eig(J)
    k = int(values.real.argmax())
    left = torch.linalg.inv(right)[k]
    n = system.leak.shape[1]
    r_E, r_I, l_E, l_I = right[:n, k], right[n:, k], left[:n], left[n:]
    change_E = tangents.g * (system.C.to(r_E.dtype) @ r_E) - tangents.leak * r_E - tangents.inhibition * r_I
    if tangents.C is not None:
        change_E = change_E + system.g[0] * (tangents.C.to(r_E.dtype) @ r_E)
    change_I = tangents.drive * r_E - tangents.relax * r_I
    return float(values[k].real), (change_E @ l_E + change_I @ l_I).real


def fit_nuisance(likelihood: Likelihood, system: LinearSystem) -> Tensor:
    """Fit the nuisance parameters of a scan to a model that is given."""
    if not likelihood.nuisance:
        return likelihood.start(system)
    predicted = likelihood.model(system, Tangents.zero(0, system))
    start = likelihood.start(system)
    precision = torch.tensor(
        [_LOG_NOISE_STD**-2 if n == "log_noise" else 0.0 for n in likelihood.nuisance], dtype=torch.float64
    )

    def problem(x: Tensor) -> Quadratic:
        value, gradient, information = likelihood.of_model(*predicted, x)
        away = x - start
        penalty = float(0.5 * (precision * away.square()).sum())
        return Quadratic(value + penalty, gradient + precision * away, information + torch.diag(precision))

    return fisher_scoring(problem, start).x
