"""What a user reads of regions is their name, or their place counted from 1; and one number per quantity."""

import numpy as np
import pytest

import mfm
from mfm.errors import InputError


def test_messages_name_regions_or_count_from_one():
    values = np.arange(4.0)[None].copy()
    values[0, 2] = np.nan
    with pytest.raises(InputError, match=r"in regions 3 \(counted from 1\)"):
        mfm.RegionalMaps(values, ("myelin",))
    with pytest.raises(InputError, match=r"in regions c\."):
        mfm.RegionalMaps(values, ("myelin",), ("a", "b", "c", "d"))
    weights = np.ones((4, 4))
    weights[0, 1] = weights[1, 0] = np.nan
    with pytest.raises(InputError, match=r"in rows 1, 2 \(counted from 1\)"):
        mfm.Connectome(weights)
    fc = np.eye(4)
    fc[:3, :3] = 0.5
    np.fill_diagonal(fc, 1)
    with pytest.raises(InputError, match=r"regions 1, 2, 3, 4 \(counted from 1\)"):
        mfm.fc_gradient(fc)


def test_a_connectome_has_one_density():
    weights = np.zeros((4, 4))
    weights[0, 1] = weights[1, 0] = weights[2, 3] = weights[3, 2] = 0.02
    sc = mfm.Connectome(weights)
    assert sc.density == pytest.approx(4 / 12)
    runs = np.random.default_rng(0).normal(size=(2, 60, 4))
    subject = mfm.subject_from_runs("a", runs, sc, tr_s=2.0)
    assert "density 0.33" in repr(sc)
    assert "density 0.33" in repr(subject)
