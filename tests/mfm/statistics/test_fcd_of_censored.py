"""FCD of runs that lost frames."""

import numpy as np
import pytest
import torch

import mfm
from mfm.errors import InputError
from mfm.statistics.soft_fcd import soft_fcd_cdf

T, N, WINDOW, BINS = 300, 6, 40, 500


def run_and_mask(seed=0, share=0.3):
    rng = np.random.default_rng(seed)
    kept = np.repeat(rng.random(T // 10), 10) > share
    return rng.normal(size=(T, N)).cumsum(axis=0) * 0.1 + rng.normal(size=(T, N)), kept


def by_definition(run, kept, step=1):
    """Windows of acquired time, what is missing left out; windows with fewer than half of their frames left out too."""
    windows = []
    for first in range(0, T - WINDOW + 1, step):
        inside = kept[first : first + WINDOW]
        if inside.sum() >= WINDOW / 2:
            windows.append(np.corrcoef(run[first : first + WINDOW][inside].T)[np.triu_indices(N, 1)])
    entries = np.corrcoef(windows)[np.triu_indices(len(windows), 1)]
    return np.cumsum(np.histogram(entries, BINS, (-1, 1))[0]) / len(entries)


@pytest.mark.parametrize("step", [1, 7])
@pytest.mark.parametrize("seed", range(4))
def test_is_the_definition_whatever_the_lost_frames_hold(seed, step):
    run, kept = run_and_mask(seed)
    run[~kept] = np.nan
    expected = by_definition(run, kept, step)
    found = mfm.fcd_cdf(run, window_frames=WINDOW, n_bins=BINS, step_frames=step, kept=kept).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)
    # In single precision an entry at the edge of a bin may fall to its neighbour.
    fast = mfm.fcd_cdf(torch.from_numpy(run).float(), window_frames=WINDOW, n_bins=BINS, step_frames=step, kept=kept).numpy()
    assert np.abs(fast - expected).max() < 3e-4


def test_a_mask_that_keeps_all_changes_no_bit():
    run = torch.from_numpy(run_and_mask()[0]).float()
    whole = mfm.fcd_cdf(run, window_frames=WINDOW, n_bins=BINS)
    assert torch.equal(whole, mfm.fcd_cdf(run, window_frames=WINDOW, n_bins=BINS, kept=np.ones(T, bool)))


def test_the_smooth_distribution_leaves_the_same_frames_out():
    # Blurred by 0.02, compared at 100 points.
    run, kept = run_and_mask(5)
    smooth = soft_fcd_cdf(torch.from_numpy(run), WINDOW, 1, kept).numpy()
    exact = mfm.fcd_cdf(run, window_frames=WINDOW, n_bins=100, kept=kept).numpy()
    assert np.abs(smooth[1:] - (exact[1:] + exact[:-1]) / 2).max() < 0.03
    run[~kept] = 100.0
    assert np.allclose(soft_fcd_cdf(torch.from_numpy(run), WINDOW, 1, kept).numpy(), smooth, atol=1e-5)


def test_refuses_masks_that_leave_too_little():
    run, _ = run_and_mask()
    with pytest.raises(InputError, match=r"(?s)mask of kept frames.*\(300,\)"):
        mfm.fcd_cdf(run, window_frames=WINDOW, kept=np.ones(10, bool))
    kept = np.zeros(T, bool)
    kept[::4] = True
    with pytest.raises(InputError, match=r"(?s)Too few windows.*20 of 40 frames.*75 of 300 frames were kept"):
        mfm.fcd_cdf(run, window_frames=WINDOW, kept=kept)
