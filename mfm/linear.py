"""Linear response: the statistics of BOLD around the 3 Hz fixed point, without integrating the model.

For weak noise the deviations of S_E and S_I from the fixed point follow a linear stochastic equation, and BOLD follows S_E
through a linear filter. S_I enters only its own region, so that it is eliminated exactly at every frequency: what remains is
one complex N x N system per frequency instead of a time loop.

    (D(w) - g C) S_E(w) = n(w),    D diagonal,  g = (1 - S_E*) gamma phi_E'(I_E*) G J
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
import torch
from torch import Tensor

from mfm.connectome import Connectome
from mfm.constants import HEMODYNAMIC, NEURAL
from mfm.errors import InputError
from mfm.feedback import check_same_regions, feedback_weights, rate_and_slope, resting_state
from mfm.parameters import FICParameters
from mfm.protocol import Protocol

# Nodes of the frequency quadrature, and the frequency (rad/s) around which they gather: FC is converged to 1e-6 at 32.
_NODES = 32
_CENTRE_RAD_S = 0.5

# Matrices (candidates x frequencies) that are inverted at a time: bounds memory, not the result.
_MATRICES = 2048

# Frequencies whose BOLD power is below this share of the largest are left out of sampled series.
_NEGLIGIBLE_POWER = 1e-7


class LinearStatus(IntEnum):
    """What the theory can say of a candidate.

    Attributes
    ----------
    OK, UNSTABLE
        0: the 3 Hz fixed point is stable; 1: it is not, and all statistics are NaN.

    Examples
    --------
    >>> import mfm
    >>> mfm.LinearStatus(1).name
    'UNSTABLE'
    """

    OK = 0
    #: The 3 Hz fixed point is not stable: there is nothing to expand around, and all statistics are NaN.
    UNSTABLE = 1


@dataclass(frozen=True, eq=False)
class LinearResponse:
    """What linear response predicts for B candidates over N regions.

    Attributes
    ----------
    fc : tensor, (B, N, N)
        Pearson correlation of BOLD over a scan of the protocol's length (its mean removed); NaN where not stable.
    bold_covariance : tensor, (B, N, N)
        Covariance of BOLD, percent squared, likewise.
    abscissa : tensor, (B,)
        Largest real part of the Jacobian's eigenvalues, per second: negative is stable, and near zero the theory fails.
    status : tensor of int, (B,)
        `LinearStatus`.
    protocol : Protocol

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [2.0])
    >>> lin = mfm.linear_response(p, sc, mfm.Protocol(tr_s=0.72, n_frames=100))
    >>> lin.fc.shape, lin.sample_bold(n_repeats=3).shape
    (torch.Size([1, 2, 2]), torch.Size([1, 3, 100, 2]))
    """

    fc: Tensor
    bold_covariance: Tensor
    abscissa: Tensor
    status: Tensor
    protocol: Protocol
    _system: _System

    @property
    def stable(self) -> Tensor:
        """(B,) bool: whether the 3 Hz fixed point is linearly stable."""
        return self.status == LinearStatus.OK

    def sample_bold(self, n_repeats: int = 1, seed: int = 0) -> Tensor:
        """BOLD with exactly the predicted cross-spectra, by Fourier synthesis instead of a time loop.

        Parameters
        ----------
        n_repeats : int
        seed : int
            The same seed gives every candidate the same noise, so that statistics are smooth in the parameters.

        Returns
        -------
        tensor, (B, R, T, N)
            Percent signal change around its mean; NaN where not stable. Not differentiable.
        """
        return _sample_bold(self._system, self.stable, self.protocol, n_repeats, seed)


def linear_response(p: FICParameters, sc: Connectome, protocol: Protocol) -> LinearResponse:
    """Predict FC and BOLD statistics of the FIC model from its linearisation at the 3 Hz fixed point.

    Parameters
    ----------
    p : FICParameters
        B candidates over N regions, with feedback inhibition (``w_IE`` not given).
    sc : Connectome
    protocol : Protocol
        TR and frames; the integration step plays no part (the theory is that of dt -> 0).

    Returns
    -------
    LinearResponse
        Differentiable in the parameters (``fc``, ``bold_covariance``).

    Raises
    ------
    InputError
        If regions do not fit, or ``w_IE`` was given.

    Notes
    -----
    Exact for small noise. It fails near the instability (``abscissa`` towards 0), where fluctuations feel the curvature of the
    transfer function, and it knows nothing of other attractors that noise may reach: simulate what is chosen by it. The
    sampling bias of Pearson correlation over a finite scan, of order (1 - r^2) r / (2 T_eff), is left out.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [2.0])
    >>> lin = mfm.linear_response(p, sc, mfm.Protocol(tr_s=0.72, n_frames=1200))
    >>> lin.stable.tolist(), 0 < lin.fc[0, 0, 1] < 1
    ([True], tensor(True))
    """
    check_same_regions(p, sc)
    if p.w_IE is not None:
        raise InputError("Linear response expands around the 3 Hz state of feedback inhibition.", found="w_IE was given")
    system = _System.of(p, sc)
    abscissa = system.abscissa()
    status = torch.where(abscissa < 0, int(LinearStatus.OK), int(LinearStatus.UNSTABLE))
    covariance = _bold_covariance(system, protocol)
    covariance = covariance.masked_fill((status != LinearStatus.OK)[:, None, None], float("nan"))
    std = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    return LinearResponse(covariance / (std[:, :, None] * std[:, None, :]), covariance, abscissa, status, protocol, system)


@dataclass(frozen=True, eq=False)
class _System:
    """The linearised neural equations of B candidates: all tensors (B, N) but the coupling g (B,) and C (N, N).

    dS_E = -leak S_E - k w_IE S_I + g C S_E + sigma dW_E,   dS_I = drive S_E - relax S_I + sigma dW_I
    """

    leak: Tensor
    inhibition: Tensor
    drive: Tensor
    relax: Tensor
    sigma: Tensor
    g: Tensor
    C: Tensor

    @classmethod
    def of(cls, p: FICParameters, sc: Connectome) -> _System:
        c = NEURAL
        rest = resting_state(p.w_EI)
        I_E = torch.as_tensor(rest.I_E, dtype=p.w_EE.dtype)
        _, slope_E = rate_and_slope(I_E, c.a_E, c.b_E, c.d_E)
        _, slope_I = rate_and_slope(rest.I_I, c.a_I, c.b_I, c.d_I)
        gain = (1 - rest.S_E) * c.gamma * slope_E
        return cls(
            leak=1 / c.tau_E + c.gamma * c.target_rate_hz - gain * c.J * p.w_EE,
            inhibition=gain * feedback_weights(p, sc),
            drive=slope_I * c.J * p.w_EI,
            relax=1 / c.tau_I + slope_I,
            sigma=p.sigma,
            g=gain * p.G * c.J,
            C=torch.tensor(sc.weights, dtype=p.w_EE.dtype),
        )

    def jacobian(self) -> Tensor:
        """(B, 2 N, 2 N) for the state (S_E, S_I)."""
        upper = torch.cat(
            [self.g[:, None, None] * self.C - torch.diag_embed(self.leak), -torch.diag_embed(self.inhibition)], dim=2
        )
        lower = torch.cat([torch.diag_embed(self.drive), -torch.diag_embed(self.relax)], dim=2)
        return torch.cat([upper, lower], dim=1)

    def abscissa(self) -> Tensor:
        """Largest real part of the Jacobian's eigenvalues, (B,), per second."""
        with torch.no_grad():
            return torch.linalg.eigvals(self.jacobian()).real.amax(dim=1)

    def operator(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """D(w) - g C, complex (B, W, N, N), and the power of the noise that drives it, (B, W, N), at `w` (W,) rad/s."""
        iw = 1j * w[:, None]
        response = iw + self.relax[:, None]
        D = iw + self.leak[:, None] + (self.inhibition * self.drive)[:, None] / response
        A = torch.diag_embed(D) - (self.g[:, None, None] * self.C)[:, None]
        power = self.sigma[:, None] ** 2 * (1 + (self.inhibition[:, None] / response.abs()) ** 2)
        return A, power

    def __getitem__(self, index) -> _System:
        rows = {name: getattr(self, name)[index] for name in ("leak", "inhibition", "drive", "relax", "sigma", "g")}
        return _System(**rows, C=self.C)


def hemodynamic_gain(w: Tensor) -> Tensor:
    """Response of BOLD (percent) to S_E at angular frequency `w` (rad/s), complex, around S_E* (the same in every region)."""
    c = HEMODYNAMIC
    S_E = resting_state(torch.zeros(1, 1, dtype=torch.float64)).S_E
    f = 1 + S_E / c.gamma
    extraction = 1 - (1 - c.rho) ** (1 / f)
    v = f**c.alpha
    q = v * extraction / c.rho
    extraction_slope = (1 - c.rho) ** (1 / f) * math.log(1 - c.rho) / f**2
    iw = 1j * w
    df = 1 / (iw**2 + c.kappa * iw + c.gamma)
    dv = df / (iw * c.tau + v ** (1 / c.alpha - 1) / c.alpha)
    inflow = (extraction + f * extraction_slope) / c.rho * df
    dq = (inflow - q * (1 / c.alpha - 1) * v ** (1 / c.alpha - 2) * dv) / (iw * c.tau + v ** (1 / c.alpha - 1))
    return 100 / c.rho * c.V_0 * (-c.k_1 * dq - c.k_2 * (dq / v - q * dv / v**2) - c.k_3 * dv)


@cache
def _quadrature(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (rad/s) and weights of the integral over frequencies from 0: Gauss-Legendre in the angle of w = c tan(angle)."""
    x, weight = np.polynomial.legendre.leggauss(n)
    angle = np.pi / 4 * (x + 1)
    return _CENTRE_RAD_S * np.tan(angle), weight * np.pi / 4 * _CENTRE_RAD_S / np.cos(angle) ** 2


def _bold_covariance(system: _System, protocol: Protocol) -> Tensor:
    """Expected covariance of BOLD over a scan, its own mean removed: (B, N, N)."""
    nodes, weights = _quadrature(_NODES)
    # The mean of a scan takes power out of a band around 0 much narrower than any feature of the spectrum: S(0) / duration.
    w = torch.tensor(np.append(nodes, 0.0))
    measure = torch.tensor(np.append(weights / np.pi, -1 / protocol.scan_s))
    measure = (measure * hemodynamic_gain(w).abs() ** 2).to(system.leak.dtype)
    w = w.to(system.leak.dtype)
    size = max(1, _MATRICES // len(w))
    parts = []
    for first in range(0, len(system.leak), size):
        A, power = system[slice(first, first + size)].operator(w)
        X = torch.linalg.inv(A)
        scaled = X * (power * measure[:, None])[:, :, None, :]
        parts.append(torch.einsum("bwik,bwjk->bij", scaled, X.conj()).real)
    return torch.cat(parts)


def _sample_bold(system: _System, stable: Tensor, protocol: Protocol, n_repeats: int, seed: int) -> Tensor:
    B, N, T = len(system.leak), system.leak.shape[1], protocol.n_frames
    period = 2 * T  # what wraps around is a scan away
    tr = protocol.tr_s
    positive = torch.arange(1, T, dtype=torch.float64) * (2 * math.pi / (period * tr))
    # Sampling folds the band above the Nyquist frequency onto the one below, mirrored: its parts are conjugate.
    folded = 2 * math.pi / tr - positive
    w = torch.cat([positive, folded])
    gain = hemodynamic_gain(w)
    kept = torch.nonzero(gain.abs() ** 2 > _NEGLIGIBLE_POWER * (gain.abs() ** 2).max())[:, 0]
    w, gain = w[kept], gain[kept]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((2 * N, len(kept) * n_repeats), generator=generator, dtype=torch.complex128)
    # Lines of the synthesis that a frequency contributes to; folded ones count from the Nyquist frequency down.
    mirrored = kept >= T - 1
    line = torch.where(mirrored, kept - (T - 1), kept) + 1
    bold = torch.full((B, n_repeats, T, N), float("nan"), dtype=torch.float64)
    with torch.no_grad():
        for b in torch.nonzero(stable)[:, 0].tolist():
            # One eigendecomposition serves all frequencies: (iw - J)^-1 = V (iw - lambda)^-1 V^-1.
            values, vectors = torch.linalg.eig(system[[b]].jacobian()[0].double())
            sigma = system.sigma[b].double().repeat(2).to(torch.complex128)
            modes = torch.linalg.solve(vectors, torch.diag(sigma)) @ noise
            filtered = modes.reshape(2 * N, -1, n_repeats) * (gain / (1j * w - values[:, None]))[:, :, None]
            X = (vectors[:N] @ filtered.reshape(2 * N, -1)).reshape(N, -1, n_repeats)
            amplitude = torch.zeros((N, T + 1, n_repeats), dtype=torch.complex128)
            amplitude.index_add_(1, line, torch.where(mirrored[:, None], X.conj(), X))
            # White noise of unit spectral density has |Z|^2 = 1 per line of width 1 / (period tr).
            series = torch.fft.irfft(amplitude / math.sqrt(period * tr) * period, n=period, dim=1)[:, :T]
            bold[b] = series.permute(2, 1, 0)
    return bold
