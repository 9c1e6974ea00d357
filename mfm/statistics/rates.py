"""What is said of firing rates and gating variables averaged over time."""

from __future__ import annotations

from torch import Tensor

from mfm.models.constants import RATE_RANGE_HZ


def ei_ratio(S_E: Tensor, S_I: Tensor) -> Tensor:
    """Excitation/inhibition ratio: time-averaged S_E / time-averaged S_I, mean over realisations (Zhang et al. 2024).

    Parameters
    ----------
    S_E, S_I : tensor, (..., R, N)
        Averages over time of R realisations.

    Returns
    -------
    tensor, (..., N)
        Dimensionless.

    Examples
    --------
    >>> import mfm, torch
    >>> mfm.ei_ratio(torch.tensor([[0.2, 0.3], [0.4, 0.3]]), torch.tensor([[0.1, 0.1], [0.1, 0.1]])).tolist()
    [3.0, 3.0]
    """
    return (S_E / S_I).mean(dim=-2)


def within_range(rate_E: Tensor, band_hz: tuple[float, float] = RATE_RANGE_HZ) -> Tensor:
    """Whether every region's time-averaged rate lies in a band (Zhang et al. 2024).

    Parameters
    ----------
    rate_E : tensor, (..., N)
        Time-averaged r_E, Hz.
    band_hz : (low, high), default (2.7, 3.3)
        Hz, both ends within.

    Returns
    -------
    tensor of bool, (...)
        False where a rate is NaN.

    Examples
    --------
    >>> import mfm, torch
    >>> mfm.within_range(torch.tensor([[3.0, 2.9], [3.0, 8.0], [3.0, float("nan")]])).tolist()
    [True, False, False]
    """
    return ((rate_E >= band_hz[0]) & (rate_E <= band_hz[1])).all(dim=-1)
