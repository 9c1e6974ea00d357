"""Smooth cost, descent and gradient search."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from config_choices import chosen
from fic_equations import neural_drift

import mfm
from mfm.errors import ConfigError
from mfm.statistics.soft_fcd import soft_cdf_of_target, soft_fcd_cdf, soft_kolmogorov_smirnov
from optim.config import FitConfig, GradientConfig, LinearObjectiveConfig
from optim.fit.protocol import fit_subject
from optim.objectives.linear import LinearObjective
from optim.objectives.smooth_cost import SmoothCost, room
from optim.search.descent import BFGS
from optim.search.gradient import GradientSearch, MapProblem, walled_value
from optim.search.space import SearchSpace

PROTOCOL = mfm.Protocol(2.0, 80, 0.005, burn_in_s=8, warm_up_s=2)


@pytest.fixture(scope="module")
def smooth(subject):
    return SmoothCost(subject.search, PROTOCOL, n_samples=2, seed=4)


@pytest.fixture(scope="module")
def inside(space, smooth):
    """Search coordinates of four candidates inside of every wall, and one outside."""
    u = space.draw(60, np.random.default_rng(0))
    value, _ = MapProblem(smooth, space).value_and_gradient(u)
    finite = np.flatnonzero(np.isfinite(value))
    return u[[*finite[:4], np.flatnonzero(~np.isfinite(value))[0]]]


def parameters(space, u):
    return space.parameterisation.to_parameters(space.to_coefficients(u))


def test_soft_fcd_is_near_the_histogram():
    bold = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 400, 10)).cumsum(axis=1))
    exact, target = mfm.fcd_cdf(bold, 50), mfm.fcd_cdf(bold[0] + 0.3 * bold[1], 50)
    soft = soft_fcd_cdf(bold, 50, step_frames=1)
    assert (soft_cdf_of_target(exact[0]) - soft[0]).abs().max() < 0.005
    found = soft_kolmogorov_smirnov(soft, soft_cdf_of_target(target))
    assert torch.allclose(found.double(), mfm.kolmogorov_smirnov(exact, target), atol=0.04)


def test_smooth_terms_are_near_those_of_the_objective(subject, space, smooth, inside):
    p = parameters(space, inside[:4])
    found = smooth.terms(smooth.response(p))
    expected = LinearObjective(subject.search, PROTOCOL, n_samples=2, window_step=1).evaluate(p, 4).cost
    keep = torch.isfinite(expected.total)
    assert keep.any()
    assert torch.allclose(found.corr[keep], expected.corr[keep], atol=1e-9)
    assert torch.allclose(found.mean_diff[keep], expected.mean_diff[keep], atol=2.1e-3)
    assert torch.allclose(found.ks[keep], expected.ks[keep], atol=0.1)


class PreciseCost(SmoothCost):
    """For differences: float32 samples would drown them, and the gate's derivatives take its displacement as given."""

    def _ks(self, lin):
        bold = lin.sample_bold(self.n_samples, self.seed)
        window = self.protocol.window_frames
        cdf = soft_fcd_cdf(bold, window, max(1, window // 8))
        return soft_kolmogorov_smirnov(cdf.mean(dim=1), self._target_cdf).double()

    def return_rate(self, p, lin=None):
        return torch.ones_like(p.G)


@pytest.mark.parametrize("n_samples", [0, 2])
def test_gradient_against_finite_differences(subject, space, inside, n_samples):
    problem = MapProblem(PreciseCost(subject.search, PROTOCOL, n_samples, seed=4), space)
    u = inside[:1]
    _, gradient = problem.value_and_gradient(u)
    step = 1e-6 if n_samples == 0 else 5e-4
    moved = u + step * np.concatenate([np.eye(10), -np.eye(10)])
    value, _ = problem.value_and_gradient(moved)
    expected = (value[:10] - value[10:]) / (2 * step)
    scale = np.abs(gradient).max()
    assert np.abs(gradient[0] - expected).max() < (1e-5 if n_samples == 0 else 0.02) * scale


@pytest.mark.parametrize("margin", [10.0, 1000.0])
def test_return_rate_and_its_gradient_are_those_of_the_equations(subject, space, inside, margin):
    p = parameters(space, inside[:4])
    leaves = [value.clone().requires_grad_() for value in (p.w_EE, p.w_EI, p.G)]
    sc, dt, n_steps = subject.search.sc, 0.002, 1000

    def candidates():
        return mfm.FICParameters(leaves[0], leaves[1], p.sigma, leaves[2])

    rest, w_IE = mfm.resting_state(leaves[1]), mfm.feedback_weights(candidates(), sc)
    first = (rest.S_E + margin * mfm.linear_response(p, sc, PROTOCOL).activity_std).clamp(max=0.8)
    assert (first == 0.8).any() == (margin == 1000.0)
    S_E, S_I = first, rest.S_I
    for _ in range(n_steps):
        dS_E, dS_I, _ = neural_drift(S_E, S_I, S_E @ torch.tensor(sc.weights).T, leaves[0], leaves[1], w_IE, leaves[2][:, None])
        S_E, S_I = S_E + dt * dS_E, S_I + dt * dS_I
    deviations = [((x - rest.S_E) ** 2).mean(dim=1).sqrt() for x in (first, S_E)]
    expected = torch.log(deviations[0] / deviations[1]) / (n_steps * dt)
    found = SmoothCost(subject.search, PROTOCOL, margin=margin).return_rate(candidates())
    assert torch.allclose(found, expected, atol=1e-8)
    for a, b in zip(torch.autograd.grad(found.sum(), leaves), torch.autograd.grad(expected.sum(), leaves), strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-8)


def test_the_step_of_the_protocol_does_not_change_the_return(subject, space, inside):
    """But for the excursions, which a coarse step makes a little larger."""
    p = parameters(space, inside[:4])
    fine, coarse = (SmoothCost(subject.search, mfm.Protocol(2.0, 80, dt_s)).return_rate(p) for dt_s in (0.0005, 0.005))
    assert torch.allclose(fine, coarse, atol=0.05)


def test_a_lost_state_does_not_return(smooth):
    p = mfm.FICParameters(np.full((1, 8), 10.0), np.full((1, 8), 0.1), np.full((1, 8), 0.005), [3.0])
    assert not smooth.return_rate(p).item() > 0


def test_candidates_that_are_not_stable_do_not_touch_the_others(smooth, space, inside):
    p, lost = parameters(space, inside[:1]), mfm.FICParameters(*(np.full((1, 8), x) for x in (10.0, 0.1, 0.005)), [3.0])
    leaves = [torch.cat([getattr(x, name) for x in (p, lost)]).requires_grad_() for name in ("w_EE", "w_EI", "sigma", "G")]
    both = mfm.FICParameters(*leaves)
    lin = smooth.response(both)
    assert lin.stable.tolist() == [True, False]
    rate, value = smooth.return_rate(both, lin), smooth(both)
    assert torch.isnan(rate).tolist() == torch.isinf(value).tolist() == [False, True]
    for gradient in torch.autograd.grad((value + rate)[0], leaves, allow_unused=True):
        assert torch.isfinite(gradient).all()


def test_walls_are_infinite_and_leave_the_others_alone(space, smooth, inside):
    problem = MapProblem(smooth, space)
    value, gradient = problem.value_and_gradient(inside)
    assert np.isinf(value[4])
    assert np.isfinite(value[:4]).all()
    assert np.isfinite(gradient).all()
    alone, _ = problem.value_and_gradient(inside[2:3])
    assert value[2] == pytest.approx(alone[0], abs=1e-6)


def test_room_agrees_with_violation(space):
    u = np.random.default_rng(1).normal(0.5, 0.4, size=(200, 10)) * [1, 0.2, 0.2, 1, 0.2, 0.2, 1, 1, 0.1, 0.1]
    values = space.parameterisation.values(space.to_coefficients(u))
    inside = (room(space.parameterisation, values) > 0).all(dim=1).numpy()
    assert np.array_equal(inside, space.violation(u) == 0)
    assert inside.any()


def test_smallest_standard_deviation_is_a_wall(subject):
    rules = mfm.Plausibility(min_std={"w_EI": 0.3})
    space = SearchSpace(mfm.MapParameterisation(subject.maps, plausibility=rules))
    u = np.random.default_rng(1).normal(0.5, 0.3, size=(200, 10)) * [1, 0.2, 0.2, 1, 0.2, 0.2, 1, 1, 0.1, 0.1]
    values = space.parameterisation.values(space.to_coefficients(u))
    inside = (room(space.parameterisation, values) > 0).all(dim=1).numpy()
    assert np.array_equal(inside, space.violation(u) == 0)


class Rosenbrock:
    """With a wall, beyond which there is nothing."""

    def value_and_gradient(self, x):
        a, b = x[:, 0], x[:, 1]
        value = (1 - a) ** 2 + 100 * (b - a**2) ** 2
        gradient = np.stack([-2 * (1 - a) - 400 * a * (b - a**2), 200 * (b - a**2)], axis=1)
        return np.where(a > 1.2, np.inf, value), np.where(a[:, None] > 1.2, np.nan, gradient)


def test_bfgs_descends_beside_a_wall_and_resumes_bit_equal():
    starts = np.array([[-1.2, 1.0], [0.5, 0.5], [1.19, -1.0], [2.0, 2.0]])
    whole = BFGS(starts)
    resumed = BFGS(starts)
    for k in range(200):
        whole.step(Rosenbrock())
        resumed.step(Rosenbrock())
        if k == 20:
            kept, resumed = resumed.state(), BFGS(starts)
            resumed.load(kept)
    assert np.abs(whole.x[:3] - 1).max() < 1e-4
    assert whole.converged[3]  # it began beyond the wall, and stays there unused
    assert not np.isfinite(whole.value[3])
    assert np.array_equal(whole.x, resumed.x)


def test_bfgs_never_rises():
    search = BFGS(np.array([[-1.2, 1.0], [0.0, 3.0]]))
    values = []
    for _ in range(60):
        search.step(Rosenbrock())
        values.append(search.value.copy())
    assert (np.diff(values, axis=0) <= 0).all()


def test_the_search_lowers_the_cost_and_stays_plausible(subject, space, smooth):
    objective = LinearObjective(subject.search, PROTOCOL, n_samples=1)
    u = space.draw(120, np.random.default_rng(0))
    starts = u[objective.evaluate(parameters(space, u), 1).loss.argsort()[:4].numpy()]
    search = GradientSearch(space, objective, starts, np.random.SeedSequence(0))
    before = objective.evaluate(parameters(space, starts), 9)
    for _ in range(4):
        found = search.ask()
        assert np.isfinite(found).all()
        assert (space.violation(found) == 0).all()
    after = objective.evaluate(parameters(space, found), 9)
    assert float(after.loss.min()) < float(before.loss.min()) - 0.05
    assert search.step >= 0


def test_a_fit_by_gradients_reports_simulation_only_and_resumes(subject, config, tmp_path):
    config = replace(
        config,
        objective=chosen(config.objective, LinearObjectiveConfig),
        optimizer=chosen(config.optimizer, GradientConfig, population=4, generations=2),
    )
    whole = fit_subject(subject, config)
    assert [score.realisations for score in whole.stages] == [2, 2, 2]
    assert all(np.isfinite(row.best_total) for row in whole.trace)

    def stop(row):
        if row.generation == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_subject(subject, config, tmp_path, stop)
    resumed = fit_subject(subject, config, tmp_path)
    assert torch.equal(whole.coefficients, resumed.coefficients)


def test_simulation_has_no_gradient():
    with pytest.raises(ConfigError, match=r"Only linear response gives a search a gradient(.|\n)*objective=linear"):
        FitConfig(optimizer=GradientConfig())
    assert FitConfig(objective=LinearObjectiveConfig(), optimizer=GradientConfig()).model.name == "fic"


def test_scaling_the_noise_changes_nothing_that_theory_knows(space, smooth, inside):
    p = parameters(space, inside[:1])
    louder = mfm.FICParameters(p.w_EE, p.w_EI, 1.3 * p.sigma, p.G)
    assert smooth(p).item() == pytest.approx(smooth(louder).item(), abs=1e-4)


def test_walled_value_of_nobody_inside(space, smooth, inside):
    values = space.parameterisation.values(space.to_coefficients(inside[4:]))
    assert torch.isinf(walled_value(smooth, space, values)).all()
