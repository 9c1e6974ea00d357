import numpy as np
import torch

import mfm
from surrogate.fcd_grid import from_grid, grid_points, to_grid


def noisy_oscillation(n_regions: int, strength: float, seed: int) -> torch.Tensor:
    """Series that share one slow, waxing and waning signal: FCD from narrow around 0 to narrow near 1."""
    rng = np.random.default_rng(seed)
    slow = np.convolve(rng.normal(size=1400), np.hanning(60), "valid")[:1200]
    shared = rng.normal(size=1200) * (1 + slow / slow.std()) * strength
    return torch.from_numpy(shared[:, None] * rng.normal(size=n_regions) + rng.normal(size=(1200, n_regions)))


def test_the_grid_holds_distributions_of_all_kinds_to_half_a_percent():
    for strength in (0.2, 1.0, 3.0):
        cdf = mfm.fcd_cdf(noisy_oscillation(20, strength, 0).float(), 83)
        assert mfm.kolmogorov_smirnov(from_grid(torch.from_numpy(to_grid(cdf)), len(cdf)), cdf) < 0.005


def test_values_on_the_grid_are_the_distribution_function_itself():
    cdf = mfm.fcd_cdf(noisy_oscillation(8, 1.0, 1), 83, n_bins=10000)
    edges = np.round((grid_points() + 1) * 5000).astype(int) - 1
    np.testing.assert_allclose(to_grid(cdf), cdf.numpy()[edges], atol=1e-6)


def test_an_interpolated_distribution_rises_from_0_to_1_on_any_bins():
    values = torch.rand(3, len(grid_points()), dtype=torch.float64).cumsum(dim=1)
    values = values / values[:, -1:]
    for n_bins in (7, 100, 10000):
        cdf = from_grid(values, n_bins)
        assert (cdf.diff(dim=1) >= -1e-12).all()
        assert (cdf >= 0).all()
        torch.testing.assert_close(cdf[:, -1], torch.ones(3, dtype=torch.float64))
