"""The 3N + 1 fit and its penalty path."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from config_choices import chosen

import mfm
from mfm.errors import OutputError
from optim.cli.fit import fit_and_write
from optim.config import LinearObjectiveConfig
from optim.fit.choice import PATH_NOISES
from optim.objectives.linear import LinearObjective
from optim.objectives.smooth_cost import SmoothCost
from optim.report.folder import FitFolder
from optim.search.checkpoint import Checkpoint
from optim.search.gradient import MapProblem
from optim.search.regional import RegionalProblem, penalty_path

PROTOCOL = mfm.Protocol(2.0, 80, 0.005, burn_in_s=8, warm_up_s=2)


@pytest.fixture(scope="module")
def smooth(subject):
    return SmoothCost(subject.search, PROTOCOL, n_samples=1, seed=4)


@pytest.fixture(scope="module")
def inside(space, smooth):
    u = space.draw(60, np.random.default_rng(0))
    value, _ = MapProblem(smooth, space).value_and_gradient(u)
    return u[value.argmin()]


@pytest.fixture(scope="module")
def path(subject, space, smooth, inside):
    predictor = LinearObjective(subject.search, PROTOCOL)
    return penalty_path(smooth, space, predictor, inside, seed=5, strengths=(10.0, 1.0, 0.0), steps=6)


def test_without_deviation_it_is_the_map_fit(space, smooth, inside):
    value, gradient = RegionalProblem(smooth, space, 3.0).value_and_gradient(RegionalProblem(smooth, space, 3.0).start(inside))
    expected, of_maps = MapProblem(smooth, space).value_and_gradient(inside[None])
    assert value[0] == pytest.approx(expected[0], abs=1e-9)
    assert np.allclose(gradient[0, :10], of_maps[0], atol=1e-6)


def test_penalty_is_the_mean_square_deviation(space, smooth, inside):
    x = RegionalProblem(smooth, space, 0.0).start(inside)
    x[0, 10:] = np.random.default_rng(0).normal(size=24) * 1e-3
    free, _ = RegionalProblem(smooth, space, 0.0).value_and_gradient(x)
    held, _ = RegionalProblem(smooth, space, 7.0).value_and_gradient(x)
    problem = RegionalProblem(smooth, space, 7.0)
    z = problem.deviation(torch.from_numpy(x))
    assert held[0] - free[0] == pytest.approx(7 * float((z**2).mean()), rel=1e-6)
    regional = problem.values(torch.from_numpy(x))
    linear = MapProblem(smooth, space).values(torch.from_numpy(x[:, :10]))
    assert torch.allclose(regional["w_EE"] - linear["w_EE"], 9.0 * z[:, 0])


class UngatedCost(SmoothCost):
    """For differences: the gate's derivatives take its displacement as given."""

    def return_rate(self, p, lin=None):
        return torch.ones_like(p.G)


def test_gradient_against_finite_differences(subject, space, inside):
    problem = RegionalProblem(UngatedCost(subject.search, PROTOCOL, n_samples=0), space, 2.0)
    x = problem.start(inside)
    x[0, 10:] = np.random.default_rng(0).normal(size=24) * 1e-3
    value, gradient = problem.value_and_gradient(x)
    assert np.isfinite(value).all()
    directions = np.random.default_rng(1).normal(size=(5, x.shape[1]))
    step = 1e-6
    plus, _ = problem.value_and_gradient(x + step * directions)
    minus, _ = problem.value_and_gradient(x - step * directions)
    assert np.allclose((plus - minus) / (2 * step), directions @ gradient[0], rtol=1e-4, atol=1e-6)


def test_what_is_minimised_falls_as_the_penalty_weakens(smooth, path):
    assert path.strengths == (float("inf"), 10.0, 1.0, 0.0)
    assert path.deviations[0] == 0
    with torch.no_grad():
        predicted = smooth(path.parameters).numpy()
    assert (np.diff(predicted) <= 1e-3).all()
    assert predicted[-1] < predicted[0] - 0.02
    assert (np.diff(path.deviations) >= -1e-4).all()


def test_every_point_keeps_bounds_and_signs(space, path):
    p = path.parameters
    for name in ("w_EE", "w_EI", "sigma", "G"):
        low, high = getattr(space.parameterisation.bounds, name)
        assert ((getattr(p, name) >= low) & (getattr(p, name) <= high)).all()
    r = np.corrcoef(np.vstack([p.w_EI.numpy(), space.parameterisation.maps.values]))
    assert (r[: len(p.G), -2] < 0).all()
    assert (r[: len(p.G), -1] > 0).all()


def test_an_interrupted_path_goes_on(subject, space, smooth, inside, path, tmp_path):
    predictor = LinearObjective(subject.search, PROTOCOL)
    checkpoint = Checkpoint(tmp_path / "regional.safetensors", "fit")
    penalty_path(smooth, space, predictor, inside, 5, (10.0,), 6, checkpoint)
    resumed = penalty_path(smooth, space, predictor, inside, 5, (10.0, 1.0, 0.0), 6, checkpoint)
    assert np.array_equal(resumed.coordinates, path.coordinates)
    with pytest.raises(OutputError, match="of other data, settings or version"):
        penalty_path(smooth, space, predictor, inside, 5, (10.0,), 6, replace(checkpoint, belongs_to="another"))
    checkpoint.path.write_bytes(b"not a checkpoint")
    with pytest.raises(OutputError, match=r"cannot be read(.|\n)*delete"):
        penalty_path(smooth, space, predictor, inside, 5, (10.0,), 6, checkpoint)


def test_a_regional_fit_and_its_files(subject, config, monkeypatch):
    monkeypatch.setattr(penalty_path, "__defaults__", ((10.0, 0.0), 4, None))
    config = replace(
        config,
        model=replace(config.model, regional=True),
        objective=chosen(config.objective, LinearObjectiveConfig),
    )
    result = fit_and_write(subject, config)
    folder = FitFolder(config)
    with open(folder.file("penalty.tsv"), newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert [row["strength"] for row in rows] == ["inf", "10", "0"]
    taken = [row for row in rows if row["chosen"] == "True"]
    assert len(taken) == 1
    validation = result.stages[1]
    assert float(taken[0]["total"]) == pytest.approx(validation.total)
    # The strongest penalty within one standard error of the best, which is on the path.
    assert float(taken[0]["excess"]) <= float(taken[0]["excess_se"])
    assert min(float(row["excess"]) for row in rows if row["in_range"] == "True") == pytest.approx(0.0, abs=1e-12)
    assert validation.realisations == PATH_NOISES * config.objective.n_repeats
    assert validation.total_se == pytest.approx(float(taken[0]["total_se"]))
    with open(folder.file("regional.tsv"), newline="", encoding="utf-8") as handle:
        regional = list(csv.DictReader(handle, delimiter="\t"))
    assert float(regional[2]["w_EI"]) == pytest.approx(float(result.parameters.w_EI[0, 2]))
    record = json.loads(folder.file("regional.json").read_text())
    strength = record["penalty_strength"]
    assert (strength is None) == (taken[0]["strength"] == "inf")
    assert record["config"]["model"]["regional"] is True
    assert ("deviation" in record["regional_values"]) == (strength is not None)


def test_a_map_fit_has_no_path(subject, config):
    config = replace(config, objective=chosen(config.objective, LinearObjectiveConfig))
    result = fit_and_write(subject, config)
    assert result.penalty == ()
    assert result.penalty_strength == float("inf")
    assert not FitFolder(config).file("penalty.tsv").exists()
