"""FC and FCD against obvious, slow computations."""

import numpy as np
import pytest
import torch

import mfm


def smooth_noise(T=300, N=12, seed=0):
    """Correlated, slow series, like BOLD: an autoregression with a shared component."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((T, N)) + 0.7 * rng.standard_normal((T, 1))
    for t in range(1, T):
        x[t] += 0.9 * x[t - 1]
    return x


def fcd_counts(run, window, n_bins):
    """The definition, word for word."""
    upper = np.triu_indices(run.shape[1], k=1)
    patterns = np.stack([np.corrcoef(run[w : w + window].T)[upper] for w in range(len(run) - window + 1)])
    fcd = np.corrcoef(patterns)
    return np.histogram(fcd[np.triu_indices(len(fcd), k=1)], bins=n_bins, range=(-1, 1))[0]


@pytest.mark.parametrize(("T", "N", "window"), [(300, 12, 83), (170, 5, 30), (166, 3, 83), (129, 40, 20)])
def test_fcd_counts_are_those_of_numpy(T, N, window):
    run = smooth_noise(T, N)
    counts = fcd_counts(run, window, 10000)
    found = mfm.fcd_cdf(run, window).numpy()
    assert np.array_equal(np.rint(np.diff(found, prepend=0) * counts.sum()), counts)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_float32_fcd_is_within_1e_5(seed, offset):
    run = torch.as_tensor(smooth_noise(1200, 30, seed) * 30 + offset, dtype=torch.float32)
    assert (mfm.fcd_cdf(run, 83) - mfm.fcd_cdf(run.double(), 83)).abs().max() < 1e-5


def test_fcd_on_few_bins():
    run = smooth_noise()
    counts = fcd_counts(run, 50, 7)
    for dtype in (torch.float64, torch.float32):
        found = mfm.fcd_cdf(torch.as_tensor(run, dtype=dtype), 50, n_bins=7)
        assert torch.allclose(found, torch.as_tensor(np.cumsum(counts) / counts.sum()), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_runs_are_never_joined(dtype):
    runs = torch.stack([torch.as_tensor(smooth_noise(seed=s), dtype=dtype) for s in range(5)]).reshape(5, 1, 300, 12)
    together = mfm.fcd_cdf(runs, 83, n_threads=2)
    assert together.shape == (5, 1, 10000)
    for k in range(5):
        assert torch.equal(together[k, 0], mfm.fcd_cdf(runs[k, 0], 83, n_threads=1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_region_without_signal_gives_nan_for_its_run_only(dtype):
    runs = torch.stack([torch.as_tensor(smooth_noise(seed=s), dtype=dtype) for s in range(4)])
    runs[1, 100:190, 3] = 0.7
    runs[2, 5, 0] = float("nan")
    cdf = mfm.fcd_cdf(runs, 83)
    assert torch.isnan(cdf).all(dim=1).tolist() == [False, True, True, False]
    assert not torch.isnan(cdf[[0, 3]]).any()


@pytest.mark.parametrize("spike", [1e4, 1e8, 1e12])
def test_a_spike_costs_no_accuracy(spike):
    run = smooth_noise(400, 8)
    run[150, 3] = spike
    single = torch.as_tensor(run, dtype=torch.float32)
    one_count = 2 / (318 * 317)
    assert (mfm.fcd_cdf(single, 83) - mfm.fcd_cdf(single.double(), 83)).abs().max() < 1.5 * one_count


def test_fc_does_not_depend_on_the_batch():
    runs = torch.stack([torch.as_tensor(smooth_noise(200, 68, s), dtype=torch.float32) for s in range(20)])
    together = mfm.functional_connectivity(runs)
    assert all(torch.equal(together[k], mfm.functional_connectivity(runs[k])) for k in range(20))


def test_fcd_is_scale_and_shift_free():
    run = smooth_noise()
    scale = np.linspace(0.1, 50, 12)
    assert (mfm.fcd_cdf(run, 83) - mfm.fcd_cdf(run * scale + 5, 83)).abs().max() < 1e-5


def test_short_runs_are_refused():
    with pytest.raises(mfm.errors.InputError, match=r"166 frames(.|\n)*165 frames(.|\n)*regions x time"):
        mfm.fcd_cdf(smooth_noise(165), 83)
    with pytest.raises(mfm.errors.InputError, match="three regions"):
        mfm.fcd_cdf(smooth_noise(200, 2), 83)
    with pytest.raises(mfm.errors.InputError, match="window_frames"):
        mfm.fcd_cdf(smooth_noise(), window_frames=2)
    with pytest.raises(mfm.errors.InputError, match="n_bins"):
        mfm.fcd_cdf(smooth_noise(), 83, n_bins=0)


def test_fc_is_pearson_correlation():
    runs = np.stack([smooth_noise(seed=s) for s in range(20)]).reshape(4, 5, 300, 12)
    fc = mfm.functional_connectivity(runs)
    assert fc.dtype == torch.float64
    for a in range(4):
        for b in range(5):
            assert np.abs(fc[a, b].numpy() - np.corrcoef(runs[a, b].T)).max() < 1e-13


def test_fc_of_a_constant_region_is_nan_in_its_row_and_column():
    run = smooth_noise()
    run[:, 2] = 3.3
    bad = torch.isnan(mfm.functional_connectivity(run))
    assert bad[2].all()
    assert bad[:, 2].all()
    assert bad.sum() == 2 * 12 - 1


def test_fc_has_gradients():
    run = torch.as_tensor(smooth_noise(20, 3), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mfm.upper_triangle(mfm.functional_connectivity(x)), run)


def test_a_vector_is_no_bold():
    with pytest.raises(mfm.errors.InputError, match="frames by regions"):
        mfm.functional_connectivity(np.zeros(10))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fcd_of_every_third_window(dtype):
    run = smooth_noise(200, 6)
    upper = np.triu_indices(6, k=1)
    patterns = np.stack([np.corrcoef(run[w : w + 40].T)[upper] for w in range(0, 161, 3)])
    fcd = np.corrcoef(patterns)[np.triu_indices(len(patterns), k=1)]
    expected = np.cumsum(np.histogram(fcd, bins=10000, range=(-1, 1))[0]) / len(fcd)
    found = mfm.fcd_cdf(torch.as_tensor(run, dtype=dtype), 40, step_frames=3).numpy()
    assert np.abs(found - expected).max() < 1.5 / len(fcd)
    with pytest.raises(mfm.errors.InputError, match="step_frames"):
        mfm.fcd_cdf(run, 40, step_frames=0)
