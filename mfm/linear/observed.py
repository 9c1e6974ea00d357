"""What an observation does to spectra: the filter of a scan, its white noise and its global signal, in theory."""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy.signal
import scipy.special
import torch
from torch import Tensor

from mfm.linear.hemodynamics import RestingFilter, resting_filter
from mfm.observation import Observation, butterworth

# A filter that is run forwards and backwards has double poles: two filters whose cut-offs differ by this share stand for them,
# which changes the response by the square of it.
_SPLIT = 1e-3

# Quadrature nodes on each piece of the frequency axis around the edges of a filter.
_NODES = 10


def power_gain(observation: Observation, tr_s: float, w: np.ndarray) -> np.ndarray:
    """The filter's gain of power at angular frequencies `w` (rad/s), which sampling at the TR makes periodic."""
    if not observation.is_filtered:
        return np.ones_like(w)
    if observation.filter == "butterworth":
        _, response = scipy.signal.sosfreqz(butterworth(observation, tr_s), worN=(w * tr_s) % (2 * np.pi))
        return np.abs(response) ** (4 if observation.zero_phase else 2)
    period = 2 * np.pi / tr_s
    folded = np.abs((w + period / 2) % period - period / 2)
    cut_hz = observation.high_pass_hz or 0.0
    if observation.filter == "cosine":
        return (folded > 2 * np.pi * cut_hz).astype(float)
    sigma_s = 0.5 / cut_hz
    return (1 - np.exp(-0.5 * (folded * sigma_s) ** 2)) ** 2


def line_response(observation: Observation, tr_s: float, period: int) -> np.ndarray:
    """The filter's response (period // 2 + 1,) at the lines of a real Fourier transform over `period` frames."""
    w = 2 * np.pi * np.arange(period // 2 + 1) / (period * tr_s)
    if observation.filter == "butterworth" and not observation.zero_phase:
        return scipy.signal.sosfreqz(butterworth(observation, tr_s), worN=w * tr_s)[1]
    return np.sqrt(power_gain(observation, tr_s, w)) + 0j


def left_by_detrending(degree: int, scan_s: float, w: np.ndarray) -> np.ndarray:
    """Share of the power at `w` (rad/s) that stays in a scan of which a polynomial was removed; degree 0 is its mean.

    A polynomial of degree k takes ``(2 k + 1) j_k(w T / 2)^2`` away, with j_k the spherical Bessel functions: the power of a
    sinusoid in the Legendre polynomials.
    """
    x = np.abs(w) * scan_s / 2
    return 1 - sum((2 * k + 1) * scipy.special.spherical_jn(k, x) ** 2 for k in range(degree + 1))


def white_share(observation: Observation, tr_s: float, scan_s: float) -> float:
    """Variance of white noise that a filter and detrending leave, as a share."""
    n = max(2, round(scan_s / tr_s))
    w = 2 * np.pi * (np.arange(n // 2) + 0.5) / (n * tr_s)
    return float((power_gain(observation, tr_s, w) * left_by_detrending(observation.detrend, scan_s, w)).mean())


@cache
def quadrature(observation: Observation, tr_s: float, scan_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (rad/s) and weights of the integral over all frequencies / 2 pi of what an observation leaves of a spectrum."""
    lobe = 2 * np.pi / scan_s
    edges = [2 * np.pi * f for f in (observation.high_pass_hz, observation.low_pass_hz) if f is not None]
    inner = {lobe / 8, lobe, 2 * lobe, 4 * lobe, 8 * lobe}
    inner |= {edge * factor for edge in edges for factor in (0.25, 0.5, 0.8, 1.0, 1.25, 2.0)}
    inner |= {0.1, 0.3, 1.0}
    ends = np.array([0.0, *sorted(x for x in inner if x < 3.0), 3.0])
    x, weight = np.polynomial.legendre.leggauss(_NODES)
    width = np.diff(ends)[:, None]
    low, low_weight = (ends[:-1, None] + width * (x + 1) / 2).ravel(), (width * weight / 2).ravel()
    tail = np.tan(np.arctan(3.0) + (np.pi / 2 - np.arctan(3.0)) * (x + 1) / 2)
    tail_weight = (np.pi / 2 - np.arctan(3.0)) * weight / 2 * (1 + tail**2)
    w, measure = np.append(low, tail), np.append(low_weight, tail_weight)
    gain = power_gain(observation, tr_s, w) * left_by_detrending(observation.detrend, scan_s, w)
    # Beyond 3 rad/s BOLD has little power and varies little over a period of the sampled filter, whose mean stands for it.
    period = 2 * np.pi / tr_s * (np.arange(512) + 0.5) / 512
    gain[len(low) :] = power_gain(observation, tr_s, period).mean()
    return w, measure * gain / np.pi


def has_poles(observation: Observation) -> bool:
    """Whether the filter can stand beside hemodynamics in closed form: Butterworth's, with no more than the mean removed."""
    no_trend = observation.detrend == 0 or observation.high_pass_hz is not None
    return no_trend and (not observation.is_filtered or observation.filter == "butterworth")


@cache
def observed_filter(observation: Observation, activity: float) -> RestingFilter:
    """Hemodynamics at `activity` followed by the observation's Butterworth filter, by the poles of both.

    The filter is the analogue one of the same cut-offs; that of a scan differs from it towards the Nyquist frequency, where
    BOLD has little power (``tests/mfm/linear/test_observed.py`` states how much FC changes).
    """
    hemodynamics = resting_filter(activity)
    if not observation.is_filtered:
        return hemodynamics
    poles, zeros, gain = list(hemodynamics.pole.numpy()), 0, 1.0
    for factor in (1 + _SPLIT / 2, 1 - _SPLIT / 2) if observation.zero_phase else (1.0,):
        low, high = (None if f is None else 2 * np.pi * f * factor for f in (observation.high_pass_hz, observation.low_pass_hz))
        kind = "lowpass" if low is None else "highpass" if high is None else "bandpass"
        cut = (low, high) if kind == "bandpass" else high if low is None else low
        z, p, k = scipy.signal.butter(observation.filter_order, cut, kind, analog=True, output="zpk")
        poles += list(-p)
        zeros, gain = zeros + len(z), gain * k
    pole = np.array(poles, dtype=np.complex128)
    numerator = hemodynamics.numerator(-pole) * gain * (-pole) ** zeros
    others = pole[None, :] - pole[:, None] + np.eye(len(pole))
    residue = numerator / others.prod(axis=1)
    # H at s = +p: the weights of the autocovariance.
    response = (residue[None, :] / (pole[:, None] + pole[None, :])).sum(axis=1)
    at_zero = 0.0 if zeros else hemodynamics.at_zero
    return RestingFilter(torch.from_numpy(pole), torch.from_numpy(residue * response), at_zero)


def without_global_signal(covariance: Tensor) -> Tensor:
    """Covariance (..., N, N) of series from which their mean over regions was regressed: C - C 1 1' C / (1' C 1)."""
    with_signal = covariance.sum(dim=-1)
    return covariance - with_signal[..., :, None] * with_signal[..., None, :] / with_signal.sum(dim=-1)[..., None, None]
