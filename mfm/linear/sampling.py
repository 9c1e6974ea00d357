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
from mfm.linear.observed import line_response
from mfm.linear.system import LinearSystem
from mfm.observation import Observation
from mfm.protocol import Protocol

# Time after which a scan may repeat itself, beyond its length: what wraps around is this far away.
_GAP_S = 120.0

# Added to a seed, it makes the seed of the measurement noise.
_OTHER_NOISE = 0x632BE59BD9B4E019

# BOLD has 1e-4 of its power above this frequency (the hemodynamic filter alone, for the fastest network there could be).
_HIGHEST_HZ = 0.5


def standard_noise(n_regions: int, n_lines: int, n_repeats: int, seed: int) -> Tensor:
    """White noise of unit power, complex128, (N, L, R); a line's noise does not depend on how many there are."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((n_lines, n_repeats, n_regions), generator=generator, dtype=torch.complex128)
    return noise.permute(2, 0, 1).contiguous()


def sample_bold(
    system: SlowSystem | LinearSystem | NetworkSystem,
    activity: Tensor,
    protocol: Protocol,
    n_repeats: int,
    seed: int,
    observation: Observation | None = None,
    noise_std: Tensor | None = None,
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
    observation : Observation, optional
        Done to the series: its filter, which is exact here, and the global signal.
    noise_std : tensor, (B, N), optional
        Standard deviation of measurement noise, percent, before the filter.
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
    lines = _fold(response, period)
    if noise_std is not None:
        lines = lines + noise_std[:, :, None, None] * _white_lines(like.shape[1], period, n_repeats, seed).to(lines)
    if observation is not None and observation.is_filtered:
        lines = lines * torch.from_numpy(line_response(observation, tr, period)).to(lines)[:, None]
    series = torch.fft.irfft(lines, n=period, dim=2)[:, :, :T].permute(0, 3, 2, 1)
    if observation is None or observation.global_signal == "kept":
        return series
    return Observation(global_signal="regressed", kept=observation.kept).apply(series, tr)


def _white_lines(n_regions: int, period: int, n_repeats: int, seed: int) -> Tensor:
    """The lines of white noise of unit variance, (N, period // 2 + 1, R); another noise than the dynamics'."""
    generator = torch.Generator().manual_seed((seed + _OTHER_NOISE) % 2**63)
    noise = torch.randn((n_repeats, n_regions, period), generator=generator, dtype=torch.float64)
    return torch.fft.rfft(noise, dim=2).permute(1, 2, 0)


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
