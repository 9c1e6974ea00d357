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
    p, sc = candidates(np.linspace(2.0, 8.0, 13)), network()
    margin = mfm.basin_margin(p, sc)
    inside = (margin > 0.01) & (margin < 0.39)
    assert inside.any()
    assert torch.isfinite(margin).all()
    below = mfm.within_range(mfm.rates_after_displacement(p[inside], sc, margin[inside] - 0.005))
    above = mfm.within_range(mfm.rates_after_displacement(p[inside], sc, margin[inside] + 0.01))
    assert below.all()
    assert not above.any()


def test_margin_shrinks_with_excitation_to_zero_where_unstable():
    p, sc = candidates(np.linspace(2.0, 9.0, 15)), network()
    margin = mfm.basin_margin(p, sc)
    assert (margin.diff() <= 1e-9).all()
    # Within the bisection's resolution of 1 % of 0.4.
    assert (margin[~mfm.linear_response(p, sc, mfm.Protocol(0.72, 200)).stable] < 0.005).all()


def test_noise_plays_no_part():
    p = candidates([3.0])
    louder = mfm.FICParameters(p.w_EE, p.w_EI, p.sigma * 100, p.G)
    assert torch.equal(mfm.rates_after_displacement(p, network(), 0.1), mfm.rates_after_displacement(louder, network(), 0.1))


def test_largest_displacement_is_checked():
    with pytest.raises(mfm.errors.InputError, match="below 1"):
        mfm.basin_margin(candidates([3.0]), network(), largest=0.9)
