"""BOLD drawn from the predicted spectra as `mfm.LinearResponse.sample_bold` draws it, with gradients.

A Fourier line of the state is X(w) = (i w - J)^-1 sigma n(w). Its derivative needs the adjoint resolvent only, and the
eigendecomposition that gave the sample gives that too: a gradient costs about as much as two samples, whatever the number of
parameters.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mfm.connectome import Connectome
from mfm.linear import _NEGLIGIBLE_POWER, _System, hemodynamic_gain
from mfm.parameters import FICParameters
from mfm.protocol import Protocol


class _Lines(NamedTuple):
    """Fourier lines that carry power, each (K,): frequency (rad/s), BOLD per S_E, place in the synthesis, whether folded."""

    w: Tensor
    gain: Tensor
    place: Tensor
    folded: Tensor


class Synthesis:
    """Draws BOLD with the cross-spectra that linear response predicts, always with the same noise: smooth in the parameters.

    Parameters
    ----------
    sc : Connectome
    protocol : Protocol
        TR and frames.
    n_repeats : int, default 1
    seed : int, default 0
        The noise is that of `mfm.LinearResponse.sample_bold` with this seed.
    dtype : torch.dtype, default torch.float32
        Of the products; eigendecompositions are made in float64. float32 moves BOLD by 1e-5 of its standard deviation.
    neglected_power : float, default 1e-4
        Lines at which BOLD's response to S_E has less than this share of its largest power are left out: BOLD moves by less
        than 1 % of its standard deviation, for a third of the time.

    Examples
    --------
    >>> import mfm, torch
    >>> from mfm.synthesis import Synthesis
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> w_EE = torch.full((1, 2), 3.0, dtype=torch.float64, requires_grad=True)
    >>> p = mfm.FICParameters(w_EE, torch.full((1, 2), 2.5), torch.full((1, 2), 0.005), [2.0])
    >>> bold = Synthesis(sc, mfm.Protocol(tr_s=0.72, n_frames=100), n_repeats=3).bold(p)
    >>> bold.var().backward()
    >>> bold.shape, w_EE.grad.shape
    (torch.Size([1, 3, 100, 2]), torch.Size([1, 2]))
    """

    def __init__(
        self,
        sc: Connectome,
        protocol: Protocol,
        n_repeats: int = 1,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        neglected_power: float = 1e-4,
    ):
        self.sc, self.protocol, self.n_repeats, self.seed = sc, protocol, n_repeats, seed
        self.dtype, self.neglected_power = dtype, neglected_power
        N = sc.n_regions
        lines = _lines(protocol)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn((2 * N, len(lines.w) * n_repeats), generator=generator, dtype=torch.complex128)
        strong = lines.gain.abs() ** 2 > neglected_power * (lines.gain.abs() ** 2).max()
        self._lines = _Lines(*(column[strong] for column in lines))
        kept = noise.reshape(2 * N, -1, n_repeats)[:, strong]
        self._noise = kept.reshape(2 * N, -1).to(torch.complex64 if dtype == torch.float32 else torch.complex128)

    def __reduce__(self):
        return Synthesis, (self.sc, self.protocol, self.n_repeats, self.seed, self.dtype, self.neglected_power)

    def bold(self, p: FICParameters) -> Tensor:
        """Series of B candidates, differentiable in their parameters.

        Parameters
        ----------
        p : FICParameters
            Candidates whose 3 Hz state is stable; of others the samples mean nothing (`mfm.linear_response` tells which are).

        Returns
        -------
        tensor, (B, R, T, N)
            Percent signal change around its mean.

        Raises
        ------
        InputError
            If `p` and the connectome have different numbers of regions.
        """
        system = _System.of(p, self.sc)
        jacobian, sigma = system.jacobian().double(), system.sigma.double().repeat(1, 2)
        iw = 1j * self._lines.w
        states = [_Resolvent.apply(J, s, self._noise, iw) for J, s in zip(jacobian, sigma, strict=True)]
        shape = (p.n_regions, len(iw), self.n_repeats)
        return torch.stack([_series(state.reshape(shape), self._lines, self.protocol) for state in states])


class _Resolvent(torch.autograd.Function):
    """First half of X = (iw - J)^-1 diag(sigma) n, (N, K R), from J (2N, 2N), sigma (2N,), n (2N, K R) and iw (K,)."""

    @staticmethod
    def forward(ctx, jacobian: Tensor, sigma: Tensor, noise: Tensor, iw: Tensor) -> Tensor:
        values, vectors = torch.linalg.eig(jacobian)
        inverse = torch.linalg.inv(vectors)
        spread = (1 / (iw - values[:, None])).to(noise.dtype)
        modes = _filter((inverse * sigma).to(noise.dtype) @ noise, spread)
        vectors, inverse = vectors.to(noise.dtype), inverse.to(noise.dtype)
        ctx.save_for_backward(vectors, inverse, spread, modes, noise)
        return vectors[: len(sigma) // 2] @ modes

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        vectors, inverse, spread, modes, noise = ctx.saved_tensors
        half = len(vectors) // 2
        # With R = V s V^-1, the adjoint R^H = V^-H conj(s) V^H; J enters as R dJ X, and X = V modes.
        adjoint = _filter(vectors[:half].mH @ gradients[0], spread.conj())
        of_jacobian = inverse.mH @ (adjoint @ modes.mH) @ vectors.mH
        of_sigma = (inverse.mH @ adjoint * noise.conj()).real.sum(dim=1)
        return of_jacobian.real.double(), of_sigma.double(), None, None


def _filter(modes: Tensor, spread: Tensor) -> Tensor:
    """Modes (M, K R) times the response of each mode at each line (M, K)."""
    return (modes.reshape(*spread.shape, -1) * spread[:, :, None]).reshape(len(spread), -1)


def _lines(protocol: Protocol) -> _Lines:
    T, tr = protocol.n_frames, protocol.tr_s
    # Twice the scan: what wraps around is a scan away.
    positive = torch.arange(1, T, dtype=torch.float64) * (2 * math.pi / (2 * T * tr))
    # Sampling folds the band above the Nyquist frequency onto the one below, mirrored: its parts are conjugate.
    w = torch.cat([positive, 2 * math.pi / tr - positive])
    gain = hemodynamic_gain(w)
    kept = torch.nonzero(gain.abs() ** 2 > _NEGLIGIBLE_POWER * (gain.abs() ** 2).max())[:, 0]
    folded = kept >= T - 1
    return _Lines(w[kept], gain[kept], torch.where(folded, kept - (T - 1), kept) + 1, folded)


def _series(state: Tensor, lines: _Lines, protocol: Protocol) -> Tensor:
    """BOLD (R, T, N) from the lines of S_E (N, K, R)."""
    N, _, R = state.shape
    T = protocol.n_frames
    X = state * lines.gain[:, None].to(state.dtype)
    X = torch.where(lines.folded[:, None], X.conj(), X)
    amplitude = torch.zeros((N, T + 1, R), dtype=X.dtype).index_add(1, lines.place, X)
    # White noise of unit spectral density has |Z|^2 = 1 per line of width 1 / (period tr).
    period = 2 * T
    series = torch.fft.irfft(amplitude * math.sqrt(period / protocol.tr_s), n=period, dim=1)[:, :T]
    return series.permute(2, 1, 0)
