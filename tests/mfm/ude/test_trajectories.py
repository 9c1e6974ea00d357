"""Time series at the door: shapes, gaps, irregular times, noise."""

import numpy as np
import pytest
import torch
from known_series import decay_series

from mfm.errors import InputError
from mfm.ude import (
    Adam,
    Hybrid,
    MultipleShooting,
    NoMechanism,
    PredictionError,
    ResidualBasis,
    Trajectories,
    estimate_noise,
    fit,
)
from mfm.ude.training.losses import PathLikelihood

WAVE = np.sin(0.1 * np.arange(50))[:, None]


def test_missing_samples_have_no_weight():
    """A sample that is not there, and one that is there with any value and no weight, give the same fit."""
    series = decay_series()
    gaps = series.values.clone()
    gaps[0, 0, [3, 10, 11, 12, 40]] = torch.nan
    model = Hybrid(NoMechanism(("x",)), ResidualBasis("x", ("x",), degree=1))
    loss = PredictionError(None, MultipleShooting(10))
    with_gaps = Trajectories(gaps, series.dt, ["x"], noise_std=[0.01])
    problem = loss.problem(model, with_gaps)
    assert int((problem.segments.weights > 0).sum()) < int((loss.problem(model, series).segments.weights > 0).sum())
    found = fit(model, with_gaps, loss, Adam(300, step=0.05))
    assert found.model.residuals[0].coefficients[0, 1].item() == pytest.approx(-1.0, abs=0.05)


def test_path_likelihood_uses_complete_steps_only():
    values = np.random.default_rng(0).normal(size=(30, 1))
    values[[5, 6]] = np.nan
    series = Trajectories(values, 0.1, ["x"], noise_std=[1e-6])
    problem = PathLikelihood().problem(Hybrid(NoMechanism(("x",))), series)
    assert int(problem.n) == 29 - 3


def test_irregular_times_on_a_grid_become_gaps():
    t = np.array([0.0, 0.1, 0.2, 0.5, 0.6, 0.9])
    series = Trajectories.from_times(t, np.arange(6.0)[:, None], ["x"], noise_std=[1.0])
    assert series.n_samples == 10
    assert series.dt == pytest.approx(0.1)
    assert series.values[0, 0, [0, 5, 9], 0, 0].tolist() == [0.0, 3.0, 5.0]
    assert int(series.observed.sum()) == 6


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, 1, 2.3, 3.3, 4.3], "do not lie on a regular grid"),
        ([0, 1, 1, 2, 3], "do not increase"),
        ([0, 1, 2, 0, 1], "runs were joined"),
        ([0, 1, 2], "do not fit"),
    ],
)
def test_times_that_cannot_be_used(times, message):
    with pytest.raises(InputError, match=message):
        Trajectories.from_times(times, np.zeros((5, 1)), ["x"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((WAVE[:, 0], 0.1, ["x"]), "unknown shape"),
        ((np.zeros((5, 6, 7)), 0.1, ["x"]), "samples of one channel those of N units"),
        ((WAVE, 0.1, ["x", "y"]), "1 different names"),
        ((WAVE, 0.1, "x"), "1 different names"),
        ((WAVE, 0.0, ["x"]), "sampling interval must be positive"),
        ((WAVE[:3], 0.1, ["x"]), "too short"),
        ((np.where(WAVE > 0.9, np.inf, WAVE), 0.1, ["x"]), "infinite values"),
        ((np.full((20, 1), np.nan), 0.1, ["x"]), "leave the channel out"),
        ((np.where(np.arange(50)[:, None] % 2, WAVE, np.nan), 0.1, ["x"]), "no four samples in a row"),
        ((WAVE, 0.1, ["x"], "1", [0.0]), "noise_std must be positive"),
        ((WAVE, 0.1, ["x"], "1", [0.1, 0.1]), "does not fit the channels"),
        ((WAVE, 0.1, ["x"], "1", [0.1], np.zeros((2, 1, 1))), "covariates do not fit"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Trajectories(*arguments)


@pytest.mark.parametrize("std", [0.01, 0.3, 3.0])
def test_noise_is_estimated_at_any_signal_to_noise_ratio(std):
    """4000 samples: the estimate's own standard error is about 3 %."""
    signal = np.sin(0.05 * np.arange(4000)) + 10 * np.exp(-0.5 * ((np.arange(4000) % 500 - 250) / 20) ** 2)
    noisy = signal + std * np.random.default_rng(1).normal(size=4000)
    assert float(estimate_noise(torch.from_numpy(noisy)[None, None, :, None, None])) == pytest.approx(std, rel=0.12)


def test_inputs_are_not_changed():
    values = WAVE.copy()
    Trajectories(values, 0.1, ["x"]).values.zero_()
    assert np.array_equal(values, WAVE)
