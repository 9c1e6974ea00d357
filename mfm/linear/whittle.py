"""Whittle's likelihood of BOLD under linear response: all second-order information of a scan, lags and amplitudes included.

At the Fourier frequencies of a scan the transforms d_k of the series are, for scans long against the model's memory,
independent complex Gaussian vectors with the cross-spectral density S(f_k) as covariance (Whittle 1953; Brillinger 1981):

    - log L = sum_k n_k (log det S_k + tr(S_k^-1 P_k)),    P_k the mean of d d* over n_k neighbouring frequencies

S is that of linear response, scaled, plus white measurement noise: ``exp(log_scale) S_lin + exp(log_noise) 1``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mfm.checks import as_float_tensor
from mfm.errors import InputError
from mfm.linear.hemodynamics import transfer
from mfm.linear.system import LinearSystem
from mfm.protocol import check_timing

#: Hz. Below it scanners drift, above it BOLD holds little of the neural signal.
BAND_HZ = (0.008, 0.09)

#: How the amplitudes of regions are taken: one unknown scale, or one in each region.
AMPLITUDES = ("global", "regional")

# BOLD has 1e-4 of its power above this frequency: aliases from there are left out.
_HIGHEST_HZ = 0.5


@dataclass(frozen=True, eq=False)
class Periodogram:
    """Cross-periodograms of one scan, averaged over neighbouring Fourier frequencies.

    Attributes
    ----------
    frequencies_hz : tensor, (K,)
        Means of the frequencies that were averaged.
    matrices : complex tensor, (K, N, N)
        In the data's unit squared per Hz, two-sided.
    counts : tensor, (K,)
        Frequencies in each average; 0 Hz and the Nyquist frequency count half, because their transforms are real.
    tr_s : float

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.linear.whittle import periodogram
    >>> found = periodogram(np.random.default_rng(0).normal(size=(200, 3)), tr_s=2.0, n_bins=4)
    >>> found.matrices.shape, int(found.counts.sum())
    (torch.Size([4, 3, 3]), 33)
    """

    frequencies_hz: Tensor
    matrices: Tensor
    counts: Tensor
    tr_s: float

    @property
    def n_regions(self) -> int:
        return self.matrices.shape[1]

    @property
    def power(self) -> Tensor:
        """(N,) mean spectral density of each region over the band."""
        diagonal = self.matrices.diagonal(dim1=1, dim2=2).real
        return (self.counts[:, None] * diagonal).sum(dim=0) / self.counts.sum()


def periodogram(bold, tr_s: float, band_hz: tuple[float, float] = BAND_HZ, n_bins: int | None = 16) -> Periodogram:
    """Cross-periodograms of a scan in a band.

    Parameters
    ----------
    bold : array or tensor, (T, N)
        In any unit. The mean plays no part unless the band holds 0 Hz.
    tr_s : float
    band_hz : (low, high), default (0.008, 0.09)
        Both ends within.
    n_bins : int, optional
        Averages over runs of neighbouring frequencies, at most this many; None keeps every frequency by itself. Over a bin
        the model's spectrum is taken as constant.

    Raises
    ------
    InputError
        If the series are not finite (T, N), or the band holds fewer than two Fourier frequencies.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.linear.whittle import periodogram
    >>> periodogram(np.random.default_rng(0).normal(size=(200, 3)), tr_s=2.0, n_bins=None).counts.unique().tolist()
    [1.0]
    """
    check_timing(tr_s)
    bold = as_float_tensor(bold, "bold").double()
    if bold.ndim != 2 or not torch.isfinite(bold).all():
        raise InputError("The series are not those of one scan.", expected="finite (T, N)", found=str(tuple(bold.shape)))
    T = len(bold)
    k = torch.arange(T // 2 + 1)
    f = k / (T * tr_s)
    inside = torch.nonzero((f >= band_hz[0] - 1e-12) & (f <= band_hz[1] + 1e-12))[:, 0]
    if len(inside) < 2:
        raise InputError(
            "The band holds fewer than two frequencies of the scan.",
            expected=f"0 <= low < high <= {0.5 / tr_s:g} Hz, wide against {1 / (T * tr_s):.2g} Hz",
            found=f"{band_hz[0]:g} to {band_hz[1]:g} Hz",
        )
    d = torch.fft.rfft(bold, dim=0)[inside] * math.sqrt(tr_s / T)
    single = d[:, :, None] * d[:, None, :].conj()
    real = (inside == 0) | (2 * inside == T)
    weight = torch.where(real, 0.5, 1.0).double()
    parts = torch.arange(len(inside)).tensor_split(min(len(inside), n_bins or len(inside)))
    counts = torch.stack([weight[part].sum() for part in parts])
    averaged = torch.stack([(weight[part, None, None] * single[part]).sum(dim=0) for part in parts]) / counts[:, None, None]
    frequencies = torch.stack([(weight[part] * f[inside][part]).sum() for part in parts]) / counts
    return Periodogram(frequencies, averaged, counts, tr_s)


def pooled(scans: Sequence[Periodogram], regional: bool = False) -> Periodogram:
    """One periodogram of several scans of the same length and TR: its likelihood is the product of theirs.

    Parameters
    ----------
    scans : sequence of Periodogram
        At the same frequencies.
    regional : bool
        Divide each by the power of its regions first, where amplitudes tell nothing and may differ between scans.

    Raises
    ------
    InputError
        If their frequencies or regions differ.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.linear.whittle import periodogram, pooled
    >>> scans = [periodogram(np.random.default_rng(k).normal(size=(200, 3)), tr_s=2.0, n_bins=4) for k in range(2)]
    >>> int(pooled(scans).counts.sum())
    66
    """
    first = scans[0]
    for other in scans[1:]:
        if other.matrices.shape != first.matrices.shape or not torch.equal(other.frequencies_hz, first.frequencies_hz):
            raise InputError("Scans of different length or TR cannot be pooled.", expected="the same frequencies and regions")
    matrices = [scan.matrices / (scan.power[:, None] * scan.power).sqrt() if regional else scan.matrices for scan in scans]
    return Periodogram(first.frequencies_hz, torch.stack(matrices).mean(dim=0), len(scans) * first.counts, first.tr_s)


class Tangents(NamedTuple):
    """Derivatives of one candidate's `LinearSystem` with respect to P parameters: (P, N), that of C (P, N, N) or None."""

    leak: Tensor
    inhibition: Tensor
    drive: Tensor
    relax: Tensor
    sigma: Tensor
    g: Tensor
    C: Tensor | None = None

    @classmethod
    def zero(cls, n: int, like: LinearSystem) -> Tangents:
        """Of `n` parameters that change nothing yet."""
        leak, inhibition, drive, relax, sigma, g = torch.zeros((6, n, like.leak.shape[1]), dtype=like.leak.dtype)
        return cls(leak, inhibition, drive, relax, sigma, g)

    def joined(self, other: Tangents) -> Tangents:
        """Those of the parameters of both, in order."""
        leak, inhibition, drive, relax, sigma, g = (torch.cat(pair) for pair in zip(self[:6], other[:6], strict=True))
        C = None
        if self.C is not None or other.C is not None:
            zero = [x.leak.new_zeros((*x.leak.shape, x.leak.shape[1])) if x.C is None else x.C for x in (self, other)]
            C = torch.cat(zero)
        return Tangents(leak, inhibition, drive, relax, sigma, g, C)


def spectra(system: LinearSystem, tangents: Tangents, w: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-spectra (K, N, N) of BOLD of one candidate at `w` (K,), rad/s, and their derivatives (P, K, N, N).

    With ``S = |H|^2 X p X*`` and ``X = (D - g C)^-1``: ``dS = |H|^2 X dp X* - (X d(D - g C) S + its conjugate transpose)``.
    """
    leak, inhibition, drive, relax, sigma, g = (getattr(system, name)[0] for name in Tangents._fields[:6])
    lagged = 1j * w[:, None] + relax
    distance = lagged.abs() ** 2
    D = 1j * w[:, None] + leak + inhibition * drive / lagged
    X = torch.linalg.inv(torch.diag_embed(D) - g[:, None] * system.C)
    gain = transfer(1j * w, system.activity[0, 0]).abs()
    X = X * gain[:, None, None]
    power = sigma**2 * (1 + inhibition**2 / distance)
    S = (X * power[:, None, :]) @ X.mH
    found = []
    X_plain = X / gain[:, None, None]
    for p in range(len(tangents.leak)):
        d_leak, d_inhibition, d_drive, d_relax, d_sigma, d_g = (x[p] for x in tangents[:6])
        dD = d_leak + (d_inhibition * drive + inhibition * d_drive) / lagged - inhibition * drive * d_relax / lagged**2
        change = X_plain * dD[:, None, :]
        dK = d_g[:, None] * system.C if d_g.any() else None
        if tangents.C is not None and tangents.C[p].any():
            dK = g[:, None] * tangents.C[p] + (0 if dK is None else dK)
        if dK is not None:
            change = change - X_plain @ dK.to(X.dtype)
        half = change @ S
        dS = -(half + half.mH)
        d_power = (
            2 * sigma * d_sigma * (1 + inhibition**2 / distance)
            + sigma**2 * 2 * inhibition * d_inhibition / distance
            - sigma**2 * inhibition**2 * 2 * relax * d_relax / distance**2
        )
        if d_power.any():
            dS = dS + (X * d_power[:, None, :]) @ X.mH
        found.append(dS)
    return S, torch.stack(found) if found else S.new_zeros((0, *S.shape))


class Quadratic(NamedTuple):
    """A negative log-likelihood, its gradient (P,) and its expected curvature, the Fisher information (P, P)."""

    value: float
    gradient: Tensor
    information: Tensor


@dataclass(frozen=True, eq=False)
class WhittleLikelihood:
    """The negative log-likelihood of a scan as a function of a linear system, a scale and measurement noise.

    Parameters
    ----------
    data : Periodogram
    amplitude : {"global", "regional"}
        ``global``: one unknown scale for all regions. ``regional``: amplitudes of regions tell nothing (series were z-scored,
        or gains differ): data and model are both divided by each region's power in the band.
    noise : bool
        Whether there is white measurement noise of the same unknown power in all regions.
    aliases : int, optional
        Folds of the spectrum at multiples of the sampling rate on either side; default those that reach below 0.5 Hz.

    Notes
    -----
    The last parameters are ``log_scale`` (with ``global``) and ``log_noise`` (with noise), in the data's unit squared per Hz.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from mfm.models.fic_feedback import designed_point
    >>> from mfm.linear.system import LinearSystem
    >>> from mfm.linear.whittle import Tangents, WhittleLikelihood, periodogram
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [2.0])
    >>> bold = mfm.linear_response(p, sc, mfm.Protocol(0.72, 1200)).sample_bold()[0, 0]
    >>> system = LinearSystem.of(p, sc, designed_point(p))
    >>> whittle = WhittleLikelihood(periodogram(bold, 0.72), noise=False)
    >>> found = whittle(system, Tangents.zero(0, system), whittle.start(system))
    >>> abs(found.gradient.item()) < 4 * found.information.item() ** 0.5
    True
    """

    data: Periodogram
    amplitude: str = "global"
    noise: bool = True
    aliases: int | None = None

    def __post_init__(self):
        if self.amplitude not in AMPLITUDES:
            raise InputError("Unknown treatment of amplitudes.", expected=" | ".join(AMPLITUDES), found=repr(self.amplitude))

    @property
    def nuisance(self) -> tuple[str, ...]:
        """Names of the parameters that come with the data."""
        return ("log_scale",) * (self.amplitude == "global") + ("log_noise",) * self.noise

    @property
    def frequencies(self) -> Tensor:
        """Angular frequencies (folds, K): those of the data first, then their aliases."""
        rate = 1 / self.data.tr_s
        if self.aliases is None:
            folds = 1 if rate - float(self.data.frequencies_hz.max()) < _HIGHEST_HZ else 0
        else:
            folds = self.aliases
        shifts = [0.0, *(sign * m * rate for m in range(1, folds + 1) for sign in (1, -1))]
        return 2 * math.pi * torch.stack([self.data.frequencies_hz + shift for shift in shifts])

    def start(self, system: LinearSystem) -> Tensor:
        """Nuisance parameters to start from: the data's power, a tenth of it noise."""
        S, _ = self.model(system, Tangents.zero(0, system))
        counts = self.data.counts
        of_model = (counts[:, None] * S.diagonal(dim1=1, dim2=2).real).sum(dim=0) / counts.sum()
        if self.amplitude == "regional":
            return torch.log(0.1 * of_model.mean())[None] if self.noise else of_model.new_zeros(0)
        scale = (self.data.power / of_model).mean()
        found = [torch.log(0.9 * scale if self.noise else scale)]
        return torch.stack(found + [torch.log(0.1 * self.data.power.mean())] * self.noise)

    def model(self, system: LinearSystem, tangents: Tangents) -> tuple[Tensor, Tensor]:
        """Spectra (K, N, N) of linear response as sampling folds them, and their derivatives (P, K, N, N)."""
        folds = self.frequencies
        S, dS = spectra(system, tangents, folds[0])
        for w in folds[1:]:
            more, d_more = spectra(system, tangents, w)
            S, dS = S + more, dS + d_more
        return S, dS

    def covariances(self, S: Tensor, dS: Tensor, nuisance: Tensor) -> tuple[Tensor, Tensor]:
        """Covariances (K, N, N) of the transforms for spectra (`model`), and derivatives: P parameters, then the nuisance."""
        values = dict(zip(self.nuisance, nuisance, strict=True))
        if "log_scale" in values:
            S, dS = torch.exp(values["log_scale"]) * S, torch.exp(values["log_scale"]) * dS
            dS = torch.cat([dS, S[None]])
        if "log_noise" in values:
            noise = torch.exp(values["log_noise"]) * torch.eye(S.shape[1], dtype=S.dtype)
            S = S + noise
            dS = torch.cat([dS, noise.expand(1, *S.shape)])
        if self.amplitude == "regional":
            S, dS = self._normalised(S, dS)
        return S, dS

    def _normalised(self, S: Tensor, dS: Tensor) -> tuple[Tensor, Tensor]:
        share = self.data.counts / self.data.counts.sum()
        power = torch.einsum("k,kii->i", share.to(S.dtype), S).real
        d_log = torch.einsum("k,pkii->pi", share.to(S.dtype), dS).real / power
        size = (power[:, None] * power).sqrt()
        S = S / size
        return S, dS / size - 0.5 * (d_log[:, None, :, None] + d_log[:, None, None, :]) * S

    def _observed(self) -> Tensor:
        if self.amplitude == "global":
            return self.data.matrices
        power = self.data.power
        return self.data.matrices / (power[:, None] * power).sqrt()

    def __call__(self, system: LinearSystem, tangents: Tangents, nuisance: Tensor) -> Quadratic:
        """Value, gradient and Fisher information for P parameters and the nuisance; infinite where there is no covariance."""
        return self.of_model(*self.model(system, tangents), nuisance)

    def of_model(self, S: Tensor, dS: Tensor, nuisance: Tensor) -> Quadratic:
        """The same from spectra and derivatives that are known already."""
        S, dS = self.covariances(S, dS, nuisance)
        chol, failed = torch.linalg.cholesky_ex(S)
        n = self.data.counts
        if failed.any() or not torch.isfinite(S.abs()).all():
            P = len(dS)
            return Quadratic(math.inf, n.new_zeros(P), n.new_zeros((P, P)))
        inverse = torch.cholesky_inverse(chol)
        fit = inverse @ self._observed()
        log_det = 2 * chol.diagonal(dim1=1, dim2=2).real.log().sum(dim=1)
        value = (n * (log_det + fit.diagonal(dim1=1, dim2=2).real.sum(dim=1))).sum()
        G = inverse @ dS
        error = (n[:, None, None] * (torch.eye(S.shape[1], dtype=S.dtype) - fit)).mT.reshape(-1)
        gradient = (G.flatten(1) @ error).real
        weighted = (n[:, None, None] * G.mT).flatten(1)
        information = (G.flatten(1) @ weighted.T).real
        return Quadratic(float(value), gradient, 0.5 * (information + information.T))

    def score_covariance(self, system: LinearSystem, tangents: Tangents, nuisance: Tensor, seed: int = 0) -> Tensor:
        """Covariance of the gradient over scans: the information, which a likelihood's gradient has."""
        return self(system, tangents, nuisance).information

    def by_frequency(self, system: LinearSystem, nuisance: Tensor) -> Tensor:
        """The terms of the negative log-likelihood, (K,), whose sum it is."""
        S, _ = self.covariances(*self.model(system, Tangents.zero(0, system)), nuisance)
        fit = torch.linalg.solve(S, self._observed()).diagonal(dim1=1, dim2=2).real.sum(dim=1)
        return self.data.counts * (torch.linalg.slogdet(S).logabsdet + fit)
