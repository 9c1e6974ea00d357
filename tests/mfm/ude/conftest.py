"""Fixtures of the UDE tests."""

import numpy as np
import pytest

import mfm
from mfm.ude import FICMechanism


@pytest.fixture(scope="session")
def fic() -> FICMechanism:
    """Four regions at their working point."""
    weights = np.random.default_rng(0).random((4, 4))
    weights = 0.02 * (weights + weights.T) / 2
    np.fill_diagonal(weights, 0)
    p = mfm.FICParameters(np.full((1, 4), 3.0), np.full((1, 4), 2.5), np.full((1, 4), 0.01), [1.0])
    return FICMechanism(p, mfm.Connectome(weights))


@pytest.fixture(scope="session")
def maps() -> mfm.RegionalMaps:
    return mfm.RegionalMaps([[-1.5, 0.2, 0.4, 0.9]], ("h",))
