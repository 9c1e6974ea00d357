"""Measures tell rate, rhythm and synchrony of a population, for networks and neural masses alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mfm.errors import InputError
from mfm.populations.network import TIME_UNIT_S

# A rhythm is called one when so much of the variance of s lies within two bins of the peak of its spectrum.
_RHYTHMIC = 0.3
_PEAK_BINS = 2


@dataclass(frozen=True)
class Estimate:
    """An estimate is a mean over realisations and its standard error, NaN where there is one realisation only."""

    mean: float
    error: float

    def __format__(self, spec: str) -> str:
        if math.isnan(self.mean):
            return "none"
        return f"{self.mean:{spec}}" if math.isnan(self.error) else f"{self.mean:{spec}} +- {self.error:{spec}}"


@dataclass(frozen=True)
class PopulationMeasures:
    """Population measures are what is compared between a network and its neural mass.

    Attributes
    ----------
    rate_hz : Estimate
    frequency_hz : Estimate
        Of the peak in the spectrum of s; NaN where there is no rhythm: where less than 30 % of the variance is at the peak
        in more than half of the realisations.
    std_s : Estimate
        Standard deviation of the mean synaptic activation over time.
    kuramoto : Estimate
        Time average of the modulus of the order parameter.
    bin_hz : float
        Resolution of the spectrum, before interpolation.
    """

    rate_hz: Estimate
    frequency_hz: Estimate
    std_s: Estimate
    kuramoto: Estimate
    bin_hz: float


def measure(series, population: int = 0, discard: float = 200.0) -> PopulationMeasures:
    """Compute the measures of one population.

    Parameters
    ----------
    series : Activity or MassSeries
    population : int
    discard : float
        Time that is left out at the start, in the neurons' unit.

    Raises
    ------
    InputError
        If fewer than 100 bins are left.

    Examples
    --------
    >>> from mfm.populations import Network, NeuralMass, measure
    >>> found = measure(NeuralMass(Network.excitatory(1000, 1.0)).predict(1200.0))
    >>> f"{found.rate_hz:.1f} Hz, rhythm at {found.frequency_hz:.2f} Hz"
    '35.0 Hz, rhythm at 2.87 Hz'
    """
    keep = series.time > discard
    if keep.sum() < 100:
        raise InputError(
            "Too little is left to measure.",
            expected="100 bins after the start",
            found=f"{keep.sum()} after discarding {discard:g} of {series.time[-1]:g}",
            fix="a longer duration",
        )
    rate, s, order = (x[None] if x.ndim == 2 else x for x in (series.rate_hz, series.s, series.order))
    rate, s, order = rate[:, keep, population], s[:, keep, population], np.abs(order[:, keep, population])
    bin_s = float(series.time[1] - series.time[0]) * TIME_UNIT_S
    found = np.array([dominant_frequency(x, bin_s) for x in s])
    rhythmic = found[~np.isnan(found)]
    return PopulationMeasures(
        _estimate(rate.mean(axis=1)),
        _estimate(rhythmic) if 2 * len(rhythmic) > len(found) else Estimate(math.nan, math.nan),
        _estimate(s.std(axis=1)),
        _estimate(order.mean(axis=1)),
        1 / (s.shape[1] * bin_s),
    )


def dominant_frequency(x: np.ndarray, bin_s: float) -> float:
    """Find the frequency in Hz of the spectrum's peak, interpolated between bins; NaN where the series has no rhythm.

    Hann window; parabola through the logarithms of the three largest neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.populations import dominant_frequency
    >>> t = 0.01 * np.arange(500)
    >>> round(dominant_frequency(np.sin(2 * np.pi * 3.33 * t), 0.01), 2)
    3.33
    >>> dominant_frequency(np.random.default_rng(0).normal(size=500), 0.01)
    nan
    """
    x = x - x.mean()
    if not np.isfinite(x).all() or x.std() < 1e-6:
        return math.nan
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    k = int(power[1:-1].argmax()) + 1
    if power[max(k - _PEAK_BINS, 0) : k + _PEAK_BINS + 1].sum() < _RHYTHMIC * power.sum():
        return math.nan
    left, top, right = np.log(power[k - 1 : k + 2] + 1e-300)
    shift = 0.5 * (left - right) / (left - 2 * top + right)
    return float((k + shift) / (len(x) * bin_s))


def _estimate(values: np.ndarray) -> Estimate:
    n = len(values)
    return Estimate(float(values.mean()), float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan)
