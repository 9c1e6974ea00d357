"""Search space, samplers, and the search around them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import mfm
from mfm.errors import InputError, OutputError
from mfm.models.fic import FIC
from optim.config import CMAESConfig
from optim.objectives.base import IMPLAUSIBLE_LOSS, OUT_OF_RANGE_LOSS, Evaluation
from optim.objectives.simulation import SimulationObjective
from optim.search.checkpoint import Checkpoint
from optim.search.cmaes import CMAES, ask_feasible, check_finite, implausible_loss
from optim.search.delssome import DELSSOMESearch
from optim.search.run import run_search
from optim.search.seeds import noise_keys, stream
from optim.search.space import SearchSpace

SAMPLERS = {"cmaes": CMAES, "delssome": DELSSOMESearch}


@pytest.fixture(scope="module")
def space(subject):
    return SearchSpace(mfm.MapParameterisation(subject.maps))


def test_coordinates_are_means_and_slopes_in_units_of_the_range(space):
    u = np.array([[0.5, 0.0, 0.0, 0.2, 0.4, 0.0, 1.0, 0.0, 0.0, 0.0]])
    values = space.parameterisation.values(space.to_coefficients(u))
    assert torch.allclose(values["w_EE"], torch.full((1, 8), 5.5, dtype=torch.float64))
    assert values["w_EI"].mean() == pytest.approx(1.0)
    assert values["w_EI"].std(correction=0) == pytest.approx(0.4 * 5 * 0.25)
    assert values["G"] == pytest.approx(3.0)


def test_draws_are_plausible_and_cover_the_range(space):
    u = space.draw(400, np.random.default_rng(3))
    assert (space.violation(u) == 0).all()
    for k in (0, 3, 6, 7):
        assert u[:, k].min() < 0.1
        assert u[:, k].max() > 0.9


def test_impossible_rules_are_an_error(subject):
    rules = mfm.Plausibility(min_std={"w_EI": 50.0})
    with pytest.raises(InputError, match=r"Hardly any candidate(.|\n)*min_std"):
        SearchSpace(mfm.MapParameterisation(subject.maps, plausibility=rules)).draw(1, np.random.default_rng(0))


def sampler(name, space, seed=0, start=0.5):
    return SAMPLERS[name](space, np.full(10, start) * [1, 0, 0, 1, 0.1, 0, 1, 1, 0, 0], 0.1, 20, np.random.SeedSequence(seed))


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_find_a_minimum(name, space):
    goal = np.array([0.3, 0.1, 0.0, 0.6, -0.2, 0.3, 0.8, 0.4, 0.0, 0.1])
    search = sampler(name, space)
    for _ in range(80):
        u = search.ask()
        search.tell(u, 0.1 + ((u - goal) ** 2).sum(axis=1))
    assert np.abs(u.mean(axis=0) - goal).max() < 0.02


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_go_on_bit_equal_from_their_state(name, space, tmp_path):
    def steps(search, n):
        seen = []
        for _ in range(n):
            u = search.ask()
            search.tell(u, (u**2).sum(axis=1) + 0.1)
            seen.append(u)
        return np.array(seen)

    one = sampler(name, space)
    steps(one, 3)
    checkpoint = Checkpoint(tmp_path / "sampler.safetensors", "fit")
    checkpoint.save(one.state())
    other = sampler(name, space)
    other.load(checkpoint.load())
    assert np.array_equal(steps(one, 4), steps(other, 4))


def test_a_search_that_comes_out_otherwise_does_not_go_on(space):
    one, other = sampler("cmaes", space), sampler("cmaes", space)
    u = one.ask()
    one.tell(u, (u**2).sum(axis=1))
    with pytest.raises(OutputError, match=r"cannot go on from its checkpoint(.|\n)*another machine"):
        other.load({**one.state(), "last": u + 1e-12})


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_use_no_global_random_numbers(name, space):
    def asked():
        search = sampler(name, space)
        u = search.ask()
        search.tell(u, (u**2).sum(axis=1))
        return search.ask()

    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = asked()
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(first, asked())


@pytest.mark.parametrize("name", SAMPLERS)
def test_nan_never_reaches_a_sampler(name, space):
    search = sampler(name, space)
    u = search.ask()
    with pytest.raises(FloatingPointError):
        search.tell(u, np.full(len(u), np.nan))
    assert check_finite([1.0, 2.0]).tolist() == [1.0, 2.0]


def test_the_published_search_recombines_the_best_ten_by_inverse_cost(space):
    search = DELSSOMESearch(space, np.full(10, 0.5) * [1, 0, 0, 1, 0.1, 0, 1, 1, 0, 0], 0.1, 100, np.random.SeedSequence(0))
    u = search.ask()
    assert (space.violation(u) == 0).all()
    loss = 0.5 + np.random.default_rng(1).random(100)
    search.tell(u, loss)
    best = np.argsort(loss)[:10]
    weights = (1 / loss[best]) / (1 / loss[best]).sum()
    assert np.allclose(search.mean, weights @ u[best])


def test_rejection_keeps_the_distribution_inside_the_feasible_region(space):
    def draws(seed):
        rng = np.random.default_rng(seed)
        return lambda: rng.normal(0.5, 0.3, size=(50, 10)) * [1, 0.2, 0.2, 1, 0.2, 0.2, 1, 1, 0.1, 0.1]

    found = np.concatenate([ask_feasible(draws(k), space) for k in range(60)])
    everything = np.concatenate([draws(1000 + k)() for k in range(1200)])
    kept = everything[space.violation(everything) == 0]
    # 3000 found against some thousand plain rejections: z scores of the 10 means and standard deviations.
    n, m = len(found), len(kept)
    std = kept.std(axis=0)
    assert (np.abs(found.mean(axis=0) - kept.mean(axis=0)) < 4.5 * std * np.sqrt(1 / n + 1 / m)).all()
    assert (np.abs(found.std(axis=0) - std) < 4.5 * std * np.sqrt(0.5 / n + 0.5 / m)).all()


def test_rejection_keeps_feasible_candidates_and_orders_the_rest(space):
    rng = np.random.default_rng(0)
    u = ask_feasible(lambda: rng.normal(0.5, 0.5, size=(30, 10)) * [1, 0.2, 0.2, 1, 0.2, 0.2, 1, 1, 0.1, 0.1], space)
    assert (space.violation(u) == 0).all()
    hopeless = ask_feasible(lambda: rng.normal(9.0, 0.1, size=(30, 10)), space)
    loss = implausible_loss(space.violation(hopeless))
    assert (loss > IMPLAUSIBLE_LOSS).all()
    assert np.isfinite(loss).all()


@pytest.fixture(scope="module")
def objective(subject):
    protocol = mfm.Protocol(2.0, 80, 0.005, burn_in_s=8, warm_up_s=2)
    return SimulationObjective(subject.search, protocol, n_repeats=2)


OPTIMIZER = CMAESConfig(population=8, generations=4, initial_candidates=12)


def rows(state):
    return [replace(row, seconds=0.0) for row in state.trace]


@pytest.mark.parametrize("noise", ["shared", "independent"])
def test_a_resumed_search_equals_an_uninterrupted_one(space, objective, tmp_path, noise):
    whole = run_search(space, objective, OPTIMIZER, noise, start=0)
    checkpoint = Checkpoint(tmp_path / "search.safetensors", "fit")
    run_search(space, objective, replace(OPTIMIZER, generations=2), noise, 0, checkpoint=checkpoint)
    resumed = run_search(space, objective, OPTIMIZER, noise, 0, checkpoint=checkpoint)
    assert str(rows(whole)) == str(rows(resumed))
    assert np.array_equal(np.array(whole.winners), np.array(resumed.winners))


def test_starts_and_subjects_differ_and_repeat(space, objective):
    def best(start, subject):
        state = run_search(space, objective, replace(OPTIMIZER, generations=2), "shared", start, subject)
        return [(row.best_total, row.median_loss) for row in state.trace]

    assert best(0, "a") == best(0, "a")
    assert best(0, "a") != best(1, "a")
    assert best(0, "a") != best(0, "b")


def test_every_purpose_has_noise_of_its_own():
    keys = [
        noise_keys(stream(seed, subject, purpose, *index), 2)
        for seed in (0, 1, 2**32 + 1, 5)
        for subject in ("100307", "100408")
        for purpose in ("initial", "sampler", "search", "rescore", "validation", "test")
        for index in ((), (0,), (1,), (0, 0), (11, 0), (13, 0), (0, 13))
    ]
    assert len({key for pair in keys for key in pair}) == 2 * len(keys)


def test_an_unreadable_checkpoint_says_what_to_do(space, objective, tmp_path):
    checkpoint = Checkpoint(tmp_path / "search.safetensors", "fit")
    checkpoint.path.write_bytes(b"not a checkpoint")
    with pytest.raises(OutputError, match=r"cannot be read(.|\n)*delete"):
        run_search(space, objective, OPTIMIZER, "shared", 0, checkpoint=checkpoint)


def test_a_converged_search_starts_anew(space, objective):
    class Converged(CMAES):
        def stopped(self):
            return "tolx"

    from optim.search import run as search

    original = search.SAMPLERS["cmaes"]
    search.SAMPLERS["cmaes"] = Converged
    try:
        state = run_search(space, objective, OPTIMIZER, "shared", start=0)
    finally:
        search.SAMPLERS["cmaes"] = original
    assert state.restarts == 4
    assert len(state.trace) == 4
    assert state.n_simulated >= 4 * 12


def test_evaluation_of_a_candidate_does_not_depend_on_its_company(space, objective, monkeypatch):
    p = space.parameterisation.to_parameters(space.to_coefficients(space.draw(9, np.random.default_rng(0))))
    together = objective.evaluate(p, 5)
    monkeypatch.setattr("optim.objectives.simulation._BOLD_BYTES", 1)
    apart = objective.evaluate(p, 5)
    assert torch.equal(together.loss, apart.loss)
    assert torch.equal(torch.nan_to_num(together.fc), torch.nan_to_num(apart.fc))


def test_realisations_are_averaged_as_matrices_and_distributions(subject, space, objective):
    p = space.parameterisation.to_parameters([[3.3, 0.0, 0.0, 2.6, -0.3, 0.05, 2.5, 0.005, 0.0, 0.0]])
    e = objective.evaluate(p, 5)
    bold = mfm.simulate(p, subject.search.sc, objective.protocol, 2, seed=5).bold[0]
    fc, cdf = mfm.functional_connectivity(bold).mean(dim=0), mfm.fcd_cdf(bold, 30).mean(dim=0)
    assert torch.equal(e.cost.total, mfm.cost(fc, cdf, subject.search.target).total)
    one = mfm.cost(mfm.functional_connectivity(bold[1]), mfm.fcd_cdf(bold[1], 30), subject.search.target)
    assert torch.equal(e.realisation_cost.total[0, 1:], one.total)


def test_losses_order_fit_before_range_before_divergence():
    nan = torch.tensor([float("nan")] * 4)
    terms = [torch.tensor([worst, 0.1, float("nan"), float("nan")]) for worst in (2.0, 2.0, 1.0)]
    cost = mfm.Cost(*terms)
    rate = torch.full((4, 1, 3), 3.0)
    rate[2], rate[3] = 6.0, float("nan")
    in_range = torch.tensor([True, True, False, False])
    averages = mfm.Averages(FIC, torch.stack([rate, rate, rate]))
    e = Evaluation(cost, in_range, torch.zeros(4, 1), averages, nan, nan, cost)
    assert e.loss[1] < e.loss[0] < OUT_OF_RANGE_LOSS < e.loss[2] < e.loss[3]
    assert torch.isfinite(e.loss).all()
