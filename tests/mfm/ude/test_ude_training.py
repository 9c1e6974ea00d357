"""Training: recovery, observers that leave, independence of members, interruption, divergence, and what is refused."""

import numpy as np
import pytest
import torch
from known_series import decay_series, four_regions, ou_series

from mfm.errors import InputError, InputNote
from mfm.ude import (
    Adam,
    FitStatus,
    GainSchedule,
    Hybrid,
    Innovation,
    LatentSDE,
    Library,
    MultipleShooting,
    NoMechanism,
    Nudging,
    PathLikelihood,
    PredictionError,
    ResidualBasis,
    ResidualMLP,
    Roessler,
    Training,
    Trajectories,
    curriculum,
    fit,
    fit_stages,
)


def linear(members: int = 1) -> Hybrid:
    return Hybrid(NoMechanism(("x",)), ResidualBasis("x", ("x",), library=Library.of(("x",), ["x"]), members=members))


@pytest.mark.parametrize("observer", [None, Innovation(0.3), Nudging(2.0)])
def test_rate_of_decay_is_found_with_any_observer(observer):
    found = fit(linear(), decay_series(), PredictionError(observer, MultipleShooting(10)), Adam(80, step=0.05))
    assert found.model.residuals[0].coefficients.item() == pytest.approx(-1.0, abs=0.03)
    assert found.loss.item() < 1.0
    assert found.status.tolist() == [FitStatus.OK]


def test_observers_end_before_the_training_does():
    for observer in (Innovation(0.5), Nudging(3.0)):
        assert observer.at(0.0) == observer.gain
        assert observer.at(observer.schedule.end) == 0.0
    with pytest.raises(InputError, match="has seen the data it is judged by"):
        GainSchedule(hold=0.5, end=1.0)


def test_the_reported_loss_knows_no_observer():
    """A fit stopped while its observer is on is scored with the gain at 0: by hand the same."""
    loss = PredictionError(Innovation(0.9), MultipleShooting(None))
    training = Training(linear(), decay_series(), loss, Adam(100))
    for _ in range(10):
        training.step()
    found = training.result()
    segments = found.problem.segments
    with torch.no_grad():
        run = found.model.free_run(segments.states, 0.1, 79)[0, 0, :, 0, 0]
    by_hand = 0.5 * ((run - found.series.values[0, 0, :, 0, 0]) / 0.01).square().sum() / 79
    assert found.loss.item() == pytest.approx(by_hand.item(), rel=1e-10)


def test_innovation_scores_what_was_predicted_before_the_correction():
    """With gain 1 every sample is predicted from the one before it: no mechanism predicts no change."""
    series = decay_series(noise=0.001)
    model = Hybrid(NoMechanism(("x",)))
    segments = PredictionError(Innovation(1.0), MultipleShooting(None)).segments(model, series)
    rollout = segments.roll(model, Innovation(1.0), 1.0)
    y = series.values[0, 0, :, 0, 0]
    share = float(segments.gain_share)
    assert share > 0.99
    assert torch.allclose(rollout.predicted[0, 0, :, 0, 0], y[:-1], atol=0.01)


def test_a_channel_of_mostly_noise_does_not_correct():
    noisy = np.random.default_rng(0).normal(size=(200, 1))
    both = np.concatenate([decay_series(200).values[0, 0, :, 0].numpy(), noisy], axis=1)
    series = Trajectories(both, 0.1, ["x", "y"], noise_std=[0.01, 1.0])
    segments = PredictionError().segments(Hybrid(NoMechanism(("x", "y"))), series)
    assert segments.gain_share[0, 0, 0, 1] == 0
    assert segments.gain_share[0, 0, 0, 0] > 0.9


def test_members_do_not_depend_on_each_other():
    series = [decay_series(seed=s).values for s in range(2)]
    both = Trajectories(torch.cat(series), 0.1, ["x"], noise_std=[0.01])
    loss, adam = PredictionError(Innovation(), MultipleShooting(10)), Adam(40, step=0.05)
    together = fit(linear(2), both, loss, adam)
    alone = fit(linear(), Trajectories(series[1], 0.1, ["x"], noise_std=[0.01]), loss, adam)
    assert torch.allclose(together.model.residuals[0].coefficients[1], alone.model.residuals[0].coefficients[0], rtol=1e-12)


def test_an_interrupted_training_goes_on_bit_for_bit():
    def training() -> Training:
        return Training(linear(2), decay_series(), PredictionError(Innovation(), MultipleShooting(20)), Adam(30))

    whole, first, second = training(), training(), training()
    while not whole.done:
        whole.step()
    for _ in range(11):
        first.step()
    second.load(first.state())
    while not second.done:
        second.step()
    a, b = whole.result(), second.result()
    assert torch.equal(a.model.residuals[0].coefficients, b.model.residuals[0].coefficients)
    assert np.array_equal(a.trace, b.trace)


def test_stages_go_on_when_interrupted_between_and_within():
    stages = curriculum(PredictionError(), lengths=(1, 5), iterations=(12, 12), steps=(0.02, 0.01))
    whole = fit_stages(linear(), decay_series(), stages)
    kept: list = []

    class Stop(Exception):
        pass

    def stop(number, progress, states):
        if number == 1 and progress.iteration == 5:
            kept.extend(states())
            raise Stop

    with pytest.raises(Stop):
        fit_stages(linear(), decay_series(), stages, on_progress=stop)
    resumed = fit_stages(linear(), decay_series(), stages, resume=kept)
    assert torch.equal(whole.model.residuals[0].coefficients, resumed.model.residuals[0].coefficients)
    assert torch.equal(whole.problem.segments.offsets, resumed.problem.segments.offsets)


def test_a_member_that_diverges_keeps_its_best_state_and_says_so():
    """``dx/dt = k x^3`` leaves the finite numbers as soon as a step makes k large enough."""
    cubic = ResidualBasis("x", ("x",), library=Library.of(("x",), ["x^3"]), members=2)
    series = Trajectories(np.full((40, 1), 3.0), 1.0, ["x"], noise_std=[0.1])
    training = Training(
        Hybrid(NoMechanism(("x",)), cubic), series, PredictionError(None, MultipleShooting(20)), Adam(60, step=0.01)
    )
    for _ in range(4):
        training.step()
    for _ in range(4):  # every restart is driven out again
        training.model.residuals[0].coefficients.data[1] = 1e6
        training.step()
    while not training.done:
        training.step()
    found = training.result()
    assert found.status.tolist() == [FitStatus.OK, FitStatus.DIVERGED]
    assert torch.isfinite(found.loss).all()
    assert torch.isfinite(found.model.residuals[0].coefficients).all()
    assert "1 OK, 1 DIVERGED" in repr(found)


def test_a_member_that_recovers_is_told_from_one_that_was_never_lost():
    training = Training(linear(), decay_series(), PredictionError(None, MultipleShooting(20)), Adam(40, step=0.05))
    training.step()
    with torch.no_grad():
        training.model.residuals[0].coefficients.fill_(1e200)
    while not training.done:
        training.step()
    found = training.result()
    assert found.status.tolist() == [FitStatus.RECOVERED]
    assert torch.isfinite(found.loss).all()


def test_path_likelihood_is_the_regression_of_the_increments():
    series = ou_series(4000)
    found = fit(linear(), series, PathLikelihood(sigma=[0.5]), Adam(300, step=0.1))
    x = series.values[0, 0, :, 0, 0]
    regression = float((x[:-1] * x.diff()).sum() / x[:-1].square().sum() / series.dt)
    assert found.model.residuals[0].coefficients.item() == pytest.approx(regression, rel=1e-3)


def test_elbo_stays_below_the_evidence_and_approaches_it():
    """Ornstein-Uhlenbeck with noise: the evidence (flat prior of the first state) is that of a Gaussian."""
    n, dt, sigma, noise, substeps = 4, 0.1, 0.5, 0.2, 5
    fine, h = substeps * (n - 1) + 1, dt / substeps
    A = 1 - h
    paths = np.array([[A ** (i - j) if 0 < j <= i else 0.0 for j in range(1, fine)] for i in range(fine)])[::substeps]
    first = (A ** np.arange(fine))[::substeps]
    rng = np.random.default_rng(0)
    y = sigma * h**0.5 * paths @ rng.normal(size=fine - 1) + noise * rng.normal(size=n)
    wide = 1e6
    covariance = sigma**2 * h * paths @ paths.T + noise**2 * np.eye(n) + wide * np.outer(first, first)
    _, logdet = np.linalg.slogdet(2 * np.pi * covariance)
    evidence = -0.5 * (logdet + y @ np.linalg.solve(covariance, y)) + 0.5 * np.log(2 * np.pi * wide)

    model = Hybrid(
        NoMechanism(("x",)),
        ResidualBasis("x", ("x",), library=Library.of(("x",), ["x"]), coefficients=[-1.0]),
        scheme="euler",
        substeps=substeps,
    )
    model.residuals[0].coefficients.requires_grad_(False)
    series = Trajectories(y[:, None], dt, ["x"], noise_std=[noise])
    loss = LatentSDE([sigma], samples=2, shooting=MultipleShooting(None))
    problem = loss.problem(model, series)
    constant = 0.5 * np.log(2 * np.pi * np.e) + float(problem.segments.tolerance.log())

    def bound() -> tuple[float, float]:
        with torch.no_grad():
            draws = torch.stack([problem.elbo(model) for _ in range(80)]) + constant
        return float(draws.mean()), float(draws.std()) / 80**0.5

    start, _ = bound()
    optimizer = torch.optim.Adam(problem.parameters(), lr=0.05)
    for _ in range(120):
        optimizer.zero_grad()
        problem.losses(model, 0.0).sum().backward()
        optimizer.step()
    end, error = bound()
    assert end > start
    assert evidence - 0.5 < end < evidence + 3 * error


@pytest.mark.parametrize(
    ("model", "series", "message"),
    [
        (linear(), Trajectories(np.zeros((9, 1)), 1.0, ["q"], noise_std=[1.0]), "has no state q"),
        (linear(), Trajectories(np.zeros((9, 1)), 1.0, ["x"], "ms", [1.0]), "different units of time"),
        (linear(3), Trajectories(np.zeros((2, 1, 9, 1, 1)), 1.0, ["x"], noise_std=[1.0]), "numbers of ensemble members"),
        (
            Hybrid(NoMechanism(("x",)), ResidualMLP("x", ("x",))),
            Trajectories(np.zeros((30, 1)), 1.0, ["x"], noise_std=[1.0]),
            "fewer samples than parameters",
        ),
    ],
)
def test_model_and_data_that_do_not_fit(model, series, message):
    with pytest.raises(InputError, match=message):
        fit(model, series, PredictionError(), Adam(1))


def test_milliseconds_given_as_seconds_are_noted():
    fic = four_regions()
    wander = 0.02 * np.cumsum(np.random.default_rng(0).normal(size=(1, 400, 4, 2)), axis=1) / 20 + fic.rest.numpy()
    edge = ResidualBasis("I_E", ("S_E",), degree=1)
    with pytest.warns(InputNote, match=r"times as fast as the mechanism: is dt = 1e-06"):
        fit(Hybrid(fic, edge), Trajectories(wander, 1e-6, ["S_E", "S_I"], "s", [1e-9, 1e-9]), PathLikelihood(), Adam(1))


def test_path_likelihood_needs_every_state():
    series = Trajectories(np.zeros((400, 1)), 0.1, ["x"], noise_std=[1.0])
    with pytest.raises(InputError, match="no channel for y, z"):
        fit(Hybrid(Roessler(), ResidualBasis("z", ("z",))), series, PathLikelihood(), Adam(1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam(0), "cannot be used"),
        (lambda: MultipleShooting(0), "at least one interval"),
        (lambda: MultipleShooting(5, continuity=-1.0), "must not be negative"),
        (lambda: Innovation(1.5), "0 to 1"),
        (lambda: Nudging(-1.0), "must not be negative"),
        (lambda: PredictionError(state_scale=[1.0, 2.0]).segments(linear(), decay_series()), "do not fit the model"),
        (lambda: LatentSDE([0.0]).problem(linear(), decay_series()), "sigma must be positive"),
        (lambda: PathLikelihood(sigma=[-1.0]).problem(linear(), decay_series()), "sigma must be positive"),
    ],
)
def test_settings_that_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
