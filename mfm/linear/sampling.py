"""BOLD drawn from the predicted cross-spectra by Fourier synthesis: no time loop."""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
import torch
from torch import Tensor

from mfm.linear.hemodynamics import transfer
from mfm.linear.modes import SlowSystem
from mfm.linear.network import NetworkSystem
from mfm.linear.system import LinearSystem
from mfm.protocol import Protocol

# Time after which a scan may repeat itself, beyond its length: what wraps around is this far away.
_GAP_S = 120.0

# BOLD has 1e-4 of its power above this frequency (the hemodynamic filter alone, for the fastest network there could be).
_HIGHEST_HZ = 0.5


def standard_noise(n_regions: int, n_lines: int, n_repeats: int, seed: int) -> Tensor:
    """White noise of unit power, complex128, (N, L, R); a line's noise does not depend on how many there are."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((n_lines, n_repeats, n_regions), generator=generator, dtype=torch.complex128)
    return noise.permute(2, 0, 1).contiguous()


def sample_bold(
    system: SlowSystem | LinearSystem | NetworkSystem, activity: Tensor, protocol: Protocol, n_repeats: int, seed: int
) -> Tensor:
    """BOLD (B, R, T, N) in percent around its mean, in the precision of `system`; differentiable in what that holds.

    Parameters
    ----------
    system : SlowSystem, LinearSystem or NetworkSystem
        Of stable candidates.
    activity : tensor, (B, N)
        That of the fixed point, around which hemodynamics are linear.
    protocol : Protocol
    n_repeats, seed : int
        Realisations, and the seed of the noise that all candidates share.
    """
    like = system.operator if isinstance(system, SlowSystem) else system.sigma
    T, tr = protocol.n_frames, protocol.tr_s
    period = scipy.fft.next_fast_len(T + math.ceil(_GAP_S / tr), real=True)
    w = torch.arange(int(_HIGHEST_HZ * period * tr) + 1, dtype=torch.float64) * (2 * math.pi / (period * tr))
    noise = standard_noise(like.shape[1], len(w), n_repeats, seed)
    same_everywhere = bool((activity[0, 0] == activity).all())
    gain = transfer(1j * w, activity[0, 0].item() if same_everywhere else activity[:, :, None].double().cpu())
    # White noise of unit spectral density has |n|^2 = 1 per line of width 1 / (period tr).
    gain = gain * math.sqrt(period / tr)
    gain[..., 0] *= math.sqrt(0.5)  # the other lines stand for two frequencies each, w and -w
    complex_type = torch.promote_types(like.dtype, torch.complex32)
    if same_everywhere:  # the filter may then come first, where all candidates share it
        noise = noise * gain[:, None]
    response = system.resolve(noise.to(like.device, complex_type), w.to(like))
    if not same_everywhere:
        response = response * gain[..., None].to(response)
    series = torch.fft.irfft(_fold(response, period), n=period, dim=2)[:, :, :T]
    return series.permute(0, 3, 2, 1)


def _fold(response: Tensor, period: int) -> Tensor:
    """Lines of the synthesis, (B, N, period // 2 + 1, R): sampling folds every frequency to below the Nyquist frequency.

    Every other fold is mirrored, where amplitudes are conjugate; a line that is its own mirror counts twice.
    """
    n_lines = response.shape[2]
    kept = period // 2 + 1
    own_mirror = torch.ones(kept, dtype=response.real.dtype, device=response.device)
    own_mirror[0] = 2.0
    if period % 2 == 0:
        own_mirror[-1] = 2.0
    if n_lines < kept:
        return torch.nn.functional.pad(response * own_mirror[:n_lines, None], (0, 0, 0, kept - n_lines))
    index = np.arange(n_lines) % period
    mirrored = index > period // 2
    line = torch.as_tensor(np.where(mirrored, period - index, index), device=response.device)
    conjugate = torch.as_tensor(mirrored, device=response.device)[:, None]
    folded = torch.zeros((*response.shape[:2], kept, response.shape[3]), dtype=response.dtype, device=response.device)
    folded = folded.index_add(2, line, torch.where(conjugate, response.conj(), response))
    return folded * own_mirror[:, None]
