"""Trajectories are cut by time into what is trained on, chosen by, and reported on."""

from __future__ import annotations

from dataclasses import dataclass

from mfm.errors import InputError
from mfm.ude.data.trajectories import Trajectories


@dataclass(frozen=True, eq=False)
class TimeSplit:
    """A time split holds three parts of a series: one to train on, one to choose by, one to report on."""

    train: Trajectories
    validation: Trajectories
    test: Trajectories


def split_by_time(series: Trajectories, train: float = 0.6, validation: float = 0.2) -> TimeSplit:
    """Cut a series in the order train, validation, test; nothing of a later part reaches an earlier one.

    Parameters
    ----------
    series : Trajectories
    train, validation : float
        Shares of the samples; the rest is the test.

    Raises
    ------
    InputError
        If a part has fewer than 4 samples.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.ude import Trajectories, split_by_time
    >>> parts = split_by_time(Trajectories(np.sin(0.1 * np.arange(100))[:, None], 0.1, ["x"], noise_std=[0.01]))
    >>> parts.train.n_samples, parts.validation.n_samples, parts.test.n_samples
    (60, 20, 20)
    """
    T = series.n_samples
    a, b = round(train * T), round((train + validation) * T)
    if not (a >= 4 and a + 4 <= b and b + 4 <= T):
        raise InputError(
            "The series cannot be split by time.",
            expected="at least 4 samples in each of train, validation and test",
            found=f"{T} samples, shares {train:g} and {validation:g}",
        )
    return TimeSplit(series.window(0, a), series.window(a, b), series.window(b, T))
