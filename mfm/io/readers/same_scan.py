"""Whether two runs are one scan: by their numbers, whatever their format, precision, scaling, order of regions or shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Corresponding regions of two resting runs correlate at less than 0.2 (median over regions); of one scan after two ways of
# cleaning, at more than the first.
VERSION, ALIKE = 0.7, 0.45
# Where the order of regions is not known each finds the best of all others, which by chance is rarely so good.
_ANY_ORDER = 0.97
# Fewer common frames correlate by chance.
_LEAST_FRAMES, _LEAST_SHARE = 60, 0.2


@dataclass(frozen=True)
class Overlap:
    """How two runs correspond.

    Parameters
    ----------
    r : float
        Correlation of corresponding regions, median over regions.
    lag : int
        Frame k of the second is frame k + lag of the first.
    n_frames : int
        Frames that both hold.
    reordered : bool
        Whether regions correspond in another order.
    """

    r: float
    lag: int
    n_frames: int
    reordered: bool = False


def best_overlap(one: np.ndarray, other: np.ndarray) -> Overlap | None:
    """Return how two runs (T, N) and (T', N) correspond best; None where they have too few frames or regions to tell.

    Runs are compared without shift, and at the shifts at which regions, their mean, or their RMS correlate best.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.io.readers.same_scan import best_overlap
    >>> run = np.random.default_rng(0).normal(size=(300, 8))
    >>> found = best_overlap(run, 1000 + 3 * run[20:, ::-1].astype("float32"))
    >>> round(found.r, 6), found.lag, found.n_frames, found.reordered
    (1.0, 20, 280, True)
    """
    good = _varies(one) & _varies(other)
    a, b = _standard(one[:, good]), _standard(other[:, good])
    least = max(_LEAST_FRAMES, int(_LEAST_SHARE * min(len(a), len(b))))
    if min(len(a), len(b)) < least or good.sum() < 2:
        return None
    lags = {0} if min(len(a), len(b)) >= least else set()
    lags |= {_best_lag(x, y, least) for x, y in ((a, b), (_mean(a), _mean(b)), (_rms(a), _rms(b)))}
    found = [_at(a, b, lag) for lag in sorted(lags, key=abs)]
    return max(found, key=lambda overlap: overlap.r)


def _varies(x: np.ndarray) -> np.ndarray:
    finite = np.isfinite(x).all(axis=0)
    return finite & (np.where(finite, x, 0).max(axis=0) > np.where(finite, x, 0).min(axis=0))


def _standard(x: np.ndarray) -> np.ndarray:
    x = x - x.mean(axis=0)
    x = x / np.maximum(np.abs(x).max(axis=0), np.finfo(float).tiny)
    return x / np.maximum(x.std(axis=0), np.finfo(float).tiny)


def _mean(x: np.ndarray) -> np.ndarray:
    return _standard(x.mean(axis=1, keepdims=True))


def _rms(x: np.ndarray) -> np.ndarray:
    return _standard(np.sqrt((x**2).mean(axis=1, keepdims=True)))


def _best_lag(a: np.ndarray, b: np.ndarray, least: int) -> int:
    """The lag at which columns correlate best on average, of those at which `least` frames overlap."""
    from scipy.signal import correlate

    lags = np.arange(-len(b) + 1, len(a))
    n = np.minimum(len(a), len(b) + lags) - np.maximum(0, lags)
    products = correlate(a, b, mode="full", method="fft") if a.shape[1] == 1 else _summed(a, b)
    r = np.where(n >= least, np.ravel(products)[: len(lags)] / np.maximum(n, 1) / a.shape[1], -np.inf)
    return int(lags[np.argmax(r)])


def _summed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross-correlation (T + T' - 1,), summed over columns."""
    size = len(a) + len(b) - 1
    spectrum = (np.fft.rfft(a, size, axis=0) * np.fft.rfft(b[::-1], size, axis=0)).sum(axis=1)
    return np.fft.irfft(spectrum, size)


def _at(a: np.ndarray, b: np.ndarray, lag: int) -> Overlap:
    start, stop = max(0, lag), min(len(a), len(b) + lag)
    x, y = _standard(a[start:stop]), _standard(b[start - lag : stop - lag])
    r = x.T @ y / len(x)
    in_order, any_order = float(np.median(np.diag(r))), float(np.median(r.max(axis=0)))
    if any_order > max(_ANY_ORDER, in_order + 0.01):
        return Overlap(any_order, lag, len(x), reordered=True)
    return Overlap(in_order, lag, len(x))
