"""How well one scan's FC determines the coefficients of the maps."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import mfm
from mfm import LinearStatus, Scan, upper_triangle
from mfm.errors import InputError
from mfm.models.parameters import ModelParameters
from optim.search.space import SearchSpace

# Step of the central differences, in units of the prior's standard deviations; halved where a neighbour is not stable.
_STEP = 1e-4
_HALVINGS = 6

# Singular values of the derivatives below this share of the largest are those of directions that FC does not know.
_SINGULAR = 1e-6

# Coefficients with more than this share of such a direction have no standard error.
_NULL_SHARE = 1e-3

# Scans drawn from the theory: standard errors are known to 6 %. Drawn in parts, to bound memory.
_SCANS = 128
_SCANS_AT_A_TIME = 16

# Candidates from which the prior is known: fewer where plausible ones are rare.
_PRIOR_DRAWS = (2000, 500)
_FEWEST_PRIOR_DRAWS = 100
_WEAKEST = 3


@dataclass(frozen=True)
class Combination:
    """A direction in the coefficients.

    Attributes
    ----------
    share_of_prior : float
        Standard deviation along it after the scan over that before: 1 where FC tells nothing.
    loadings : tuple of float, (D,)
        In units of each coefficient's prior standard deviation, of length 1.
    """

    share_of_prior: float
    loadings: tuple[float, ...]

    def in_words(self, names: tuple[str, ...]) -> str:
        """The coefficients that make up most of it, such as ``"+0.81 sigma -0.55 sigma:myelin"``."""
        order = np.argsort(-np.abs(self.loadings), kind="stable")
        kept = [k for k in order if abs(self.loadings[k]) >= 0.2]
        return " ".join(f"{self.loadings[k]:+.2f} {names[k]}" for k in kept)


@dataclass(frozen=True, eq=False)
class Identifiability:
    """What `identifiability` found, for D coefficients.

    Attributes
    ----------
    names : tuple of str
    value, standard_error, prior_std, posterior_std : array, (D,)
        In the coefficients' units. ``standard_error`` is that of FC alone: infinite where FC leaves the coefficient open, NaN
        where nothing is known; ``posterior_std`` that of FC and prior together.
    weakest : tuple of Combination
        The three that FC determines least, the weakest first.
    reason : str
        Why nothing is known; empty where it is.
    n_scans : int
        Scans drawn for the noise of FC.
    """

    names: tuple[str, ...]
    value: np.ndarray
    standard_error: np.ndarray
    prior_std: np.ndarray
    posterior_std: np.ndarray
    weakest: tuple[Combination, ...]
    reason: str
    n_scans: int

    @property
    def share_of_prior(self) -> np.ndarray:
        """``posterior_std / prior_std``, (D,): 1 where the scan's FC tells nothing that was not known before."""
        return self.posterior_std / self.prior_std


def identifiability(
    space: SearchSpace,
    coefficients,
    scan: Scan,
    protocol: mfm.Protocol,
    parameters: ModelParameters | None = None,
    seed: int = 0,
) -> Identifiability:
    """Standard errors of the coefficients from the information in one scan's FC, by linear response.

    Parameters
    ----------
    space : SearchSpace
        Its plausible random candidates are the prior.
    coefficients : array or tensor, (D,)
    scan : Scan
        Its connectome.
    protocol : Protocol
        TR and frames of the scan.
    parameters : ModelParameters, optional
        One candidate, where regions deviate from the maps (`optim.search.regional`); deviations from
        them, and ratios of the noise, are held fixed.
    seed : int, default 0
        Of the scans drawn for the noise of FC.

    Returns
    -------
    Identifiability
        With a ``reason`` and NaN instead of numbers where the fixed point is not stable, or the model has no linear response. A
        singular information is no error.

    Raises
    ------
    InputError
        If coefficients, maps and connectome do not fit, or plausible candidates are too rare to know the prior.

    Notes
    -----
    Information of the least squares estimate from Fisher z of FC's upper triangle (Godambe 1960; White 1982): covariance
    ``(J' J)^-1 J' C J (J' J)^-1`` with J the derivatives of the predicted z (central differences of `mfm.linear_response`) and
    C the covariance of z between scans, as the theory samples it (128 scans). It holds the correlations between pairs of
    regions, which a formula with T_eff for every pair by itself leaves out.

    It is a lower bound: the theory has to be right, and the optimum to be found; and the fit's cost (1 - r and the mean
    difference) weighs the same z otherwise. A weighted estimate could do better, and the FCD may add information. In
    the linear theory FC does not change when every sigma is multiplied by one number: that direction is never
    determined, and coefficients of sigma have no standard error of their own.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from optim.fit.identifiability import identifiability
    >>> from optim.search.space import SearchSpace
    >>> runs = np.random.default_rng(0).normal(size=(2, 60, 4))
    >>> subject = mfm.subject_from_runs("sub-01", runs, mfm.Connectome(0.02 * (1 - np.eye(4))), tr_s=2.0)
    >>> space = SearchSpace(mfm.MapParameterisation(subject.maps))
    >>> found = identifiability(space, [3.0, 2.5, 1.0, 0.005], subject.search, mfm.Protocol(2.0, 60, dt_s=0.005))
    >>> found.names, bool(np.isinf(found.standard_error[3]))
    (('w_EE', 'w_EI', 'G', 'sigma'), True)
    """
    theta = torch.as_tensor(np.asarray(coefficients), dtype=torch.float64).reshape(1, -1)
    offset = _offset(space, theta, parameters)
    prior = _prior(space)
    prior_std = np.sqrt(prior.diagonal())
    scale = np.linalg.cholesky(prior + 1e-12 * np.diag(prior.diagonal()))
    names = space.parameterisation.names

    def nothing(reason: str) -> Identifiability:
        unknown = np.full(len(prior_std), np.nan)
        return Identifiability(names, theta[0].numpy(), unknown, prior_std, unknown, (), reason, 0)

    model = space.parameterisation.model
    if not model.has_linear_response:
        return nothing("the model has no linear response: it is observed directly")
    p = model.parameters(**_values(space, theta, offset))
    lin = mfm.linear_response(p, scan.sc, protocol, observation=scan.observation)
    if lin.status[0] != LinearStatus.OK:
        return nothing("the fixed point is not linearly stable: the theory says nothing of FC there")
    J = _derivatives(space, theta, offset, scan, protocol, torch.from_numpy(scale))
    if J is None:
        return nothing("the fixed point loses its stability in the closest neighbourhood")
    U, s, Vt = np.linalg.svd(J, full_matrices=False)
    known = s > _SINGULAR * max(s[0], 1e-300)
    noise = _projected_noise(lin, U[:, known], seed)
    # In whitened coordinates: covariance of the estimate in the directions that FC knows, none in the others.
    estimate = noise / np.outer(s[known], s[known])
    V = Vt[known].T
    open_share = 1 - (V**2).sum(axis=1)
    raw = scale @ V
    standard_error = np.sqrt((raw @ estimate * raw).sum(axis=1))
    standard_error[_undetermined(scale, Vt, known)] = np.inf
    posterior = np.linalg.inv(V @ np.linalg.pinv(estimate, hermitian=True) @ V.T + np.eye(len(open_share)))
    values, vectors = np.linalg.eigh(posterior)
    weakest = tuple(
        Combination(float(np.sqrt(values[-k])), _loadings(scale @ vectors[:, -k] / prior_std))
        for k in range(1, min(_WEAKEST, len(values)) + 1)
    )
    posterior_std = np.sqrt((scale @ posterior * scale).sum(axis=1))
    return Identifiability(names, theta[0].numpy(), standard_error, prior_std, posterior_std, weakest, "", _SCANS)


def _prior(space: SearchSpace) -> np.ndarray:
    """Covariance (D, D) of the coefficients of plausible random candidates."""
    for n in _PRIOR_DRAWS:
        with suppress(InputError):
            return _covariance(space, n)
    return _covariance(space, _FEWEST_PRIOR_DRAWS)


def _covariance(space: SearchSpace, n: int) -> np.ndarray:
    u = space.draw(n, np.random.default_rng(0))
    return np.atleast_2d(np.cov(space.to_coefficients(u), rowvar=False))


def _undetermined(scale: np.ndarray, Vt: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Coefficients (D,) that some direction unknown to FC moves."""
    moved = scale @ Vt[~known].T
    return (moved**2).sum(axis=1) > _NULL_SHARE**2 * (scale**2).sum(axis=1)


def _loadings(direction: np.ndarray) -> tuple[float, ...]:
    """A direction, of length 1, whose largest entry is positive: its sign means nothing."""
    direction = direction / np.linalg.norm(direction)
    return tuple((direction * np.sign(direction[np.abs(direction).argmax()])).tolist())


def _offset(space: SearchSpace, theta: Tensor, parameters: ModelParameters | None) -> dict[str, Tensor]:
    """Deviations (1, N) from the maps: differences, but ratios of the noise, whose common scale FC does not know."""
    parameterisation = space.parameterisation
    of_maps = {name: value for name, value in parameterisation.values(theta).items() if name in parameterisation.regional_names}
    noise = parameterisation.model.noise
    if parameters is None:
        return {name: torch.full_like(value, float(name == noise)) for name, value in of_maps.items()}
    found = {name: getattr(parameters, name).double() for name in of_maps}
    return {name: found[name] / of_maps[name] if name == noise else found[name] - of_maps[name] for name in found}


def _values(space: SearchSpace, theta: Tensor, offset: dict[str, Tensor]) -> dict[str, Tensor]:
    values = space.parameterisation.values(theta)
    for name, own in offset.items():
        values[name] = values[name] * own if name == space.parameterisation.model.noise else values[name] + own
    return values


def _parameters(space: SearchSpace, theta: Tensor, offset: dict[str, Tensor]) -> ModelParameters | None:
    """Candidates at coefficients (B, D), or None where one is none: a negative noise or coupling."""
    try:
        return space.parameterisation.model.parameters(**_values(space, theta, offset))
    except InputError:
        return None


def _derivatives(
    space: SearchSpace, theta: Tensor, offset: dict[str, Tensor], scan: Scan, protocol: mfm.Protocol, scale: Tensor
) -> np.ndarray | None:
    """Derivatives of Fisher z (P, D) along the columns of `scale`, or None where a neighbour is never stable."""
    step = _STEP
    for _ in range(_HALVINGS):
        moved = torch.cat([theta + step * scale.T, theta - step * scale.T])
        p = _parameters(space, moved, offset)
        if p is not None:
            with torch.no_grad():
                lin = mfm.linear_response(p, scan.sc, protocol, observation=scan.observation)
            if lin.stable.all():
                plus, minus = torch.arctanh(upper_triangle(lin.fc)).chunk(2)
                return ((plus - minus) / (2 * step)).T.numpy()
        step /= 2
    return None


def _projected_noise(lin: mfm.LinearResponse, U: np.ndarray, seed: int) -> np.ndarray:
    """Covariance (K, K) of the projections of Fisher z on the columns of `U` (P, K), between scans drawn from the theory."""
    projections = []
    for part in range(_SCANS // _SCANS_AT_A_TIME):
        with torch.no_grad():
            bold = lin.sample_bold(_SCANS_AT_A_TIME, (seed + part * 0x9E3779B97F4A7C15) % 2**63)[0]
        kept = lin.observation.frames_kept(lin.protocol.n_frames)
        projections.append(torch.arctanh(upper_triangle(mfm.functional_connectivity(bold[:, kept]))).numpy() @ U)
    return np.atleast_2d(np.cov(np.concatenate(projections), rowvar=False))
