"""The basin margin against what it says: return below it, escape above it."""

import numpy as np
import pytest
import torch

import mfm

N = 6


def network():
    weights = np.random.default_rng(0).random((N, N)) * 0.02
    np.fill_diagonal(weights, 0)
    return mfm.Connectome(weights)


def candidates(w_EE):
    B = len(w_EE)
    return mfm.FICParameters(np.outer(w_EE, np.ones(N)), np.full((B, N), 2.5), np.full((B, N), 0.01), np.full(B, 2.5))


def test_states_return_below_the_margin_and_escape_above():
    p, sc = candidates(np.linspace(4.84, 4.98, 15)), network()
    margin = mfm.basin_margin(p, sc)
    std = mfm.linear_response(p, sc, mfm.Protocol(0.06, 1)).activity_std
    inside = (margin > 0.5) & (margin < 100)
    assert inside.sum() > 3
    assert torch.isfinite(margin).all()
    displacement = (margin[:, None] * std)[inside]

    def returns(share):
        both = torch.stack([share * displacement, -share * displacement], dim=1)
        return mfm.within_range(mfm.rates_after_displacement(p[inside], sc, both)).all(dim=1)

    assert returns(0.95).all()
    assert not returns(1.05).any()


def test_margin_shrinks_with_excitation_to_zero_where_unstable():
    p, sc = candidates(np.linspace(2.0, 9.0, 15)), network()
    margin = mfm.basin_margin(p, sc)
    assert (margin.diff() <= 1e-9).all()
    assert (margin[~mfm.linear_response(p, sc, mfm.Protocol(0.72, 200)).stable] == 0).all()


def test_margin_is_in_units_of_the_noise():
    p = candidates([4.88])
    louder = mfm.FICParameters(p.w_EE, p.w_EI, p.sigma * 2, p.G)
    found = [mfm.basin_margin(q, network()).item() for q in (p, louder)]
    assert found[0] / found[1] == pytest.approx(2.0, rel=0.06)
    # Noise-free dynamics themselves do not know of it.
    quiet, loud = (mfm.rates_after_displacement(q, network(), 0.1) for q in (p, louder))
    assert torch.equal(quiet, loud)


def test_displacement_may_differ_between_candidates_and_regions():
    p = candidates([3.0, 4.0])
    one = mfm.rates_after_displacement(p, network(), 0.05)
    each = mfm.rates_after_displacement(p, network(), torch.full((2,), 0.05))
    assert torch.equal(one, each)
    assert torch.equal(one, mfm.rates_after_displacement(p, network(), np.full((2, N), 0.05)))
    several = mfm.rates_after_displacement(p, network(), torch.tensor([0.05, -0.02])[:, None].expand(2, 2, N))
    assert torch.equal(one, several[:, 0])
    assert torch.equal(mfm.rates_after_displacement(p, network(), -0.02), several[:, 1])
    with pytest.raises(mfm.errors.InputError, match="wrong shape"):
        mfm.rates_after_displacement(p, network(), torch.zeros(3))
