"""Observers let data correct the state while a model is trained (prediction-error method), and are off before it is judged."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mfm.errors import InputError


@dataclass(frozen=True)
class GainSchedule:
    """A schedule says how the gain falls to 0 over training: held, then lowered geometrically to a hundredth, then 0.

    Parameters
    ----------
    hold : float
        Share of the training at full gain.
    end : float
        Share after which the gain is 0. It must be below 1, so that every fit ends without an observer.

    Examples
    --------
    >>> from mfm.ude import GainSchedule
    >>> schedule = GainSchedule(hold=0.5, end=0.9)
    >>> schedule(0.2), round(schedule(0.7), 3), schedule(0.95)
    (1.0, 0.1, 0.0)
    """

    hold: float = 0.5
    end: float = 0.85

    def __post_init__(self):
        if not 0 <= self.hold < self.end < 1:
            raise InputError(
                "The gain must be 0 at the end of the training.",
                expected="0 <= hold < end < 1",
                found=f"hold = {self.hold}, end = {self.end}",
                cause="a fit that ends with its observer on has seen the data it is judged by",
            )

    def __call__(self, progress: float) -> float:
        """Factor of the gain at a share `progress` of the training."""
        if progress >= self.end:
            return 0.0
        return math.exp(math.log(0.01) * max(0.0, progress - self.hold) / (self.end - self.hold))


@dataclass(frozen=True)
class Innovation:
    """This observer is causal: it predicts a sample, compares, then moves the state towards the sample by a share `gain`.

    The prediction that is scored is the one before the correction. A channel's gain is ``gain * s / (1 + s)`` with s its
    signal-to-noise ratio of variances, and 0 below 1: a channel that is mostly noise is treated as hidden.

    Parameters
    ----------
    gain : float
        In [0, 1]; dimensionless.
    schedule : GainSchedule

    Examples
    --------
    >>> from mfm.ude import Innovation
    >>> Innovation(gain=0.3).at(0.0), Innovation().at(1.0)
    (0.3, 0.0)
    """

    gain: float = 0.3
    schedule: GainSchedule = field(default_factory=GainSchedule)

    def __post_init__(self):
        if not 0 <= self.gain <= 1:
            raise InputError("The gain of an innovation is a share.", expected="0 to 1", found=repr(self.gain))

    def at(self, progress: float) -> float:
        """Return the gain at a share `progress` of the training."""
        return self.gain * self.schedule(progress)


@dataclass(frozen=True)
class Nudging:
    """This observer adds ``K (y(t) - x)`` to the drift, the data interpolated linearly; not causal: it sees the next sample.

    Parameters
    ----------
    gain : float
        K, per unit of time.
    schedule : GainSchedule

    Examples
    --------
    >>> from mfm.ude import Nudging
    >>> Nudging(gain=2.0).at(0.0)
    2.0
    """

    gain: float = 2.0
    schedule: GainSchedule = field(default_factory=GainSchedule)

    def __post_init__(self):
        if not (math.isfinite(self.gain) and self.gain >= 0):
            raise InputError("The gain of nudging must not be negative.", found=repr(self.gain))

    def at(self, progress: float) -> float:
        """Return the gain at a share `progress` of the training."""
        return self.gain * self.schedule(progress)


Observer = Innovation | Nudging
