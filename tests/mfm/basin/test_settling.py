"""Where noise-free dynamics come to rest, and linear response around it."""

from dataclasses import replace

import numpy as np
import pytest
import small
import torch

import mfm
from mfm.basin.settling import _drift
from mfm.models.fic_feedback import point_at

N = 6
SC = small.network(N)
PROTOCOL = mfm.Protocol(tr_s=0.72, n_frames=300, burn_in_s=30, warm_up_s=10)


def test_beyond_the_instability_two_states_are_told_and_the_upper_one_given():
    found = mfm.fixed_point(small.alike(N, [2.0, 7.0]), SC)
    assert found.status.tolist() == [mfm.FixedPointStatus.DESIGNED, mfm.FixedPointStatus.SEVERAL]
    assert found.point.rate_E[0].numpy() == pytest.approx(3.0)
    assert (found.point.rate_E[1] > 5).all()


def test_states_are_at_rest_and_stable():
    p, sc = small.alike(N, np.linspace(2, 9, 8)), SC
    found = mfm.fixed_point(p, sc)
    complete = replace(p, w_IE=mfm.feedback_weights(p, sc))
    assert _drift(complete, sc, found.point.S_E, found.point.S_I).abs().max() < 1e-8
    assert mfm.linear_response(p, sc, PROTOCOL, at=found.point).stable.all()
    current = point_at(complete, sc, found.point.S_E, found.point.S_I)
    assert torch.allclose(current.rate_E, found.point.rate_E)


def test_several_states_are_told_and_the_designed_one_given():
    margins = np.linspace(4.0, 6.0, 21)
    p, sc = small.alike(N, margins), SC
    found = mfm.fixed_point(p, sc)
    several = found.status == mfm.FixedPointStatus.SEVERAL
    assert several.any()
    stable = mfm.linear_response(p, sc, PROTOCOL).stable
    both = several & stable
    assert both.any()
    assert torch.allclose(found.point.rate_E[both], torch.tensor(3.0).double())


def test_linear_response_predicts_fc_around_another_state():
    # 64 simulations of 300 frames with small noise, started at the state: 4.5 standard errors beside a bias of 1 %.
    rng = np.random.default_rng(2)
    p, sc = replace(small.alike(N, 7.0, sigma=0.0015), w_EI=2.5 + 0.2 * rng.normal(size=(1, N))), SC
    point = mfm.fixed_point(p, sc).point
    protocol = mfm.Protocol(tr_s=0.72, n_frames=300, dt_s=0.001, burn_in_s=30, warm_up_s=3)
    sim = mfm.simulate(p, sc, protocol, 64, seed=3, initial=(point.S_E, point.S_I))
    simulated = mfm.upper_triangle(mfm.functional_connectivity(sim.bold[0]))
    assert (sim.rate_E[0].mean(dim=0) - point.rate_E[0]).abs().max() < 0.1
    predicted = mfm.upper_triangle(mfm.linear_response(p, sc, protocol, at=point).fc)[0]
    error = simulated.std(dim=0) / 64**0.5
    assert ((simulated.mean(dim=0) - predicted).abs() < 4.5 * error + 0.01).all()


def test_given_feedback_weights_have_a_response_at_the_state_they_make():
    # The setting of Deco et al. 2014 without feedback inhibition control: w_IE = 1.
    p = replace(small.alike(N, 1.4, w_EI=1.0), w_IE=np.ones((1, N)))
    with pytest.raises(mfm.errors.InputError, match="w_IE was given"):
        mfm.linear_response(p, SC, PROTOCOL)
    found = mfm.fixed_point(p, SC)
    assert found.status.tolist() == [mfm.FixedPointStatus.OTHER]
    assert mfm.linear_response(p, SC, PROTOCOL, at=found.point).stable.all()
    with pytest.raises(mfm.errors.InputError, match="modes"):
        mfm.linear_response(p, SC, PROTOCOL, at=found.point, method="modes")


def test_a_candidate_without_a_state_has_a_status_and_no_number():
    p, sc = small.alike(N, [2.0, 2.0]), SC
    point = mfm.fixed_point(p, sc).point
    lost = mfm.FixedPoint(*(torch.stack([x[0], torch.full((N,), float("nan"))]) for x in point))
    found = mfm.linear_response(p, sc, PROTOCOL, at=lost)
    assert found.stable.tolist() == [True, False]
    assert torch.isfinite(found.fc[0]).all()
    assert torch.isnan(found.fc[1]).all()
