"""The validation recipe: splits, free runs, placebo, agreement of starts; and what the data can tell beforehand."""

import numpy as np
import pytest
import torch
from known_series import decay_series, ou_series

import mfm
from mfm.errors import InputError
from mfm.ude import (
    Adam,
    Hybrid,
    Innovation,
    Library,
    MultipleShooting,
    NoMechanism,
    PathLikelihood,
    PredictionError,
    ResidualBasis,
    Trajectories,
    ensemble_agreement,
    fit,
    free_run_beyond,
    one_step_score,
    placebo,
    split_by_time,
    wasserstein,
)
from mfm.ude.estimates.detectability import detectability
from mfm.ude.formulas.path_regression import path_regression
from mfm.ude.judging.placebo import Placebo


def linear(members: int = 1, degree: int | None = None) -> Hybrid:
    library = Library.of(("x",), ["x"]) if degree is None else Library.polynomial(("x",), degree)
    return Hybrid(NoMechanism(("x",)), ResidualBasis("x", ("x",), library=library, members=members))


def test_parts_follow_each_other_and_share_nothing():
    series = decay_series(100)
    parts = split_by_time(series, 0.5, 0.25)
    pieces = [parts.train, parts.validation, parts.test]
    assert [p.n_samples for p in pieces] == [50, 25, 25]
    assert torch.equal(torch.cat([p.values for p in pieces], dim=2), series.values)
    with pytest.raises(InputError, match="at least 4 samples in each"):
        split_by_time(decay_series(12), 0.9, 0.05)


def test_free_run_sees_nothing_of_the_data_it_is_compared_with():
    whole = decay_series(90)
    found = fit(linear(), whole.window(0, 60), PredictionError(Innovation(0.5), MultipleShooting(10)), Adam(120, step=0.05))
    held_out = whole.window(60, 90)
    run = free_run_beyond(found, held_out)
    other = Trajectories(held_out.values + 100, 0.1, ["x"], noise_std=[0.01])
    assert np.array_equal(run.predicted, free_run_beyond(found, other).predicted)
    assert run.misfit[0] < 2 < run.baseline
    assert run.bounded.all()
    # The first predicted sample is one step after the last one that was trained on.
    with torch.no_grad():
        end = found.problem.path(found.model)[:, :, -1]
        assert run.predicted[0, 0, 0, 0, 0] == pytest.approx(found.model.advance(end, 0.1).item())


def test_a_run_that_leaves_the_numbers_scores_infinity():
    found = fit(linear(), decay_series(40), PredictionError(None, MultipleShooting(10)), Adam(2))
    with torch.no_grad():
        found.model.residuals[0].coefficients.fill_(1e6)
    run = free_run_beyond(found, decay_series(40))
    assert np.isinf(run.misfit[0])
    assert not run.bounded[0]
    assert wasserstein(np.array([[np.nan], [1.0]]), np.array([[0.0], [1.0]])) == float("inf")


def test_free_runs_need_a_trajectory():
    found = fit(linear(), ou_series(300), PathLikelihood(), Adam(2))
    with pytest.raises(InputError, match="one_step_score"):
        free_run_beyond(found, ou_series(300))


def test_one_step_score_prefers_the_true_model():
    series = ou_series(4000, seed=3)
    true = linear()
    with torch.no_grad():
        true.residuals[0].coefficients.fill_(-2.0)
    assert one_step_score(true, series) > one_step_score(Hybrid(NoMechanism(("x",))), series)


def test_placebo_rate_of_path_regression_is_small():
    """Nothing is missing: 30 walks. The rule's rate is below 5 %; 5 or more of 30 would be had by chance in 1 % of cases."""

    def learn(series):
        found, _ = path_regression(Hybrid(NoMechanism(("x",))), series, ResidualBasis("x", ("x",), degree=1))
        return bool(found.support.any()), float(np.abs(found.coefficients).max())

    def simulate(seed):
        walk = 0.1 * np.random.default_rng(seed).normal(size=(1, 1, 200, 5, 1)).cumsum(axis=2)
        return Trajectories(walk, 1.0, ["x"], noise_std=[1e-6])

    result = placebo(simulate, learn, n=30, seed=50)
    assert result.found.sum() < 5
    assert result.p_value(1e9) == pytest.approx(1 / 31)


def test_p_value_counts_the_fit_itself():
    assert Placebo(np.array([False] * 4), np.array([1.0, 2.0, 3.0, 4.0])).p_value(2.5) == pytest.approx(3 / 5)


def test_five_starts_agree_where_the_data_tell():
    found = fit(linear(5, 2), decay_series(), PredictionError(None, MultipleShooting(10)), Adam(80, step=0.05))
    agreement = ensemble_agreement(found)
    assert agreement.members == 5
    assert agreement.relative < 0.5
    with pytest.raises(InputError, match="at least 5 members"):
        ensemble_agreement(fit(linear(2), decay_series(), PredictionError(None, MultipleShooting(10)), Adam(2)))


def test_fisher_information_of_a_rate_is_that_of_theory():
    """Ornstein-Uhlenbeck: the least variance of the rate over a time T is 2 rate / T; 5 % by the path's own variance."""
    model = linear()
    with torch.no_grad():
        model.residuals[0].coefficients.fill_(-2.0)
    report = detectability(model, ou_series(40000), prior_scale=[2.0])
    assert report.standard_error[0] == pytest.approx((2 * 2.0 / 400) ** 0.5, rel=0.15)
    assert report.detectable[0] == pytest.approx(2.8 * report.standard_error[0])
    assert report.refused == ()
    report.require()


def test_terms_that_the_data_cannot_tell_are_refused():
    report = detectability(linear(), ou_series(100), prior_scale=[0.1])
    assert report.refused == ("x: x",)
    with pytest.raises(InputError, match="cannot tell all terms"):
        report.require()
    with pytest.raises(InputError, match="1 numbers"):
        detectability(linear(), ou_series(100), prior_scale=[1.0, 1.0])


def test_a_term_that_is_never_seen_has_no_bound():
    """Two maps that are the same up to sign stand in for each other."""
    values = np.random.default_rng(0).normal(size=(1, 200, 2, 1))
    series = Trajectories(values, 0.1, ["x"], noise_std=[1e-6])
    maps = mfm.RegionalMaps([[1.0, -1.0], [-2.0, 2.0]], ("a", "b"))
    both = ResidualBasis("x", (), maps=maps, library=Library.of(("a", "b"), ["a", "b"]))
    report = detectability(Hybrid(NoMechanism(("x",)), both), series)
    assert np.isinf(report.standard_error).all()
    with pytest.raises(InputError, match="stand in for each other: x: a and x: b"):
        report.require()
