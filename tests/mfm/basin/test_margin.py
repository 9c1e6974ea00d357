"""The basin margin against what it says: return below it, escape above it."""

import numpy as np
import pytest
import small
import torch

import mfm

N = 6
SC = small.network(N)


def test_states_return_below_the_margin_and_escape_above():
    p, sc = small.alike(N, np.linspace(4.84, 4.98, 15), sigma=0.01, G=2.5), SC
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
    p, sc = small.alike(N, np.linspace(2.0, 9.0, 15), sigma=0.01, G=2.5), SC
    margin = mfm.basin_margin(p, sc)
    assert (margin.diff() <= 1e-9).all()
    assert (margin[~mfm.linear_response(p, sc, mfm.Protocol(0.72, 200)).stable] == 0).all()


def test_margin_is_in_units_of_the_noise():
    p = small.alike(N, [4.88], sigma=0.01, G=2.5)
    louder = mfm.FICParameters(p.w_EE, p.w_EI, p.sigma * 2, p.G)
    found = [mfm.basin_margin(q, SC).item() for q in (p, louder)]
    assert found[0] / found[1] == pytest.approx(2.0, rel=0.06)
    # Noise-free dynamics themselves do not know of it.
    quiet, loud = (mfm.rates_after_displacement(q, SC, 0.1) for q in (p, louder))
    assert torch.equal(quiet, loud)


def test_displacement_may_differ_between_candidates_and_regions():
    p = small.alike(N, [3.0, 4.0], sigma=0.01, G=2.5)
    one = mfm.rates_after_displacement(p, SC, 0.05)
    each = mfm.rates_after_displacement(p, SC, torch.full((2,), 0.05))
    assert torch.equal(one, each)
    assert torch.equal(one, mfm.rates_after_displacement(p, SC, np.full((2, N), 0.05)))
    several = mfm.rates_after_displacement(p, SC, torch.tensor([0.05, -0.02])[:, None].expand(2, 2, N))
    assert torch.equal(one, several[:, 0])
    assert torch.equal(mfm.rates_after_displacement(p, SC, -0.02), several[:, 1])
    with pytest.raises(mfm.errors.InputError, match="wrong shape"):
        mfm.rates_after_displacement(p, SC, torch.zeros(3))
