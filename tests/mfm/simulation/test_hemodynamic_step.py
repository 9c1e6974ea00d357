"""What a coarser hemodynamic step changes, with the same noise: the figures that `Protocol` states."""

import pytest
import torch

import mfm
from mfm.demo import demo_subject


@pytest.fixture(scope="module")
def statistics():
    demo = demo_subject()
    p = mfm.MapParameterisation(demo.subject.maps).to_parameters(demo.coefficients)
    found = []
    for hemo_dt_s in (None, 0.03):
        sim = mfm.simulate(p, demo.subject.search.sc, mfm.Protocol(0.72, 1200, hemo_dt_s=hemo_dt_s), 4, seed=3)
        found.append((mfm.functional_connectivity(sim.bold[0]), mfm.fcd_cdf(sim.bold[0], tr_s=0.72), sim.rate_E))
    return found


def test_change_is_small_beside_noise(statistics):
    (fc, cdf, rate), (coarse_fc, coarse_cdf, coarse_rate) = statistics
    change = mfm.upper_triangle(coarse_fc - fc).abs()
    assert change.max() < 0.006
    assert change.mean() < 0.002
    assert mfm.upper_triangle(fc[0] - fc[1]).abs().mean() > 10 * change.mean()
    ks = (coarse_cdf - cdf).abs().amax(dim=-1)
    assert ks.max() < 0.004
    assert (cdf[0] - cdf[1]).abs().max() > 10 * ks.max()
    assert torch.equal(rate, coarse_rate)
