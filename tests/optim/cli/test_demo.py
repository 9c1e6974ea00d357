"""The embedded demo subject: plausible anatomy, known truth, and a fit that comes as close as the noise allows."""

import numpy as np
import pytest
import torch

import mfm
from mfm.demo import demo_subject
from optim.cli.recovery import compare_with_truth, demo_config
from optim.fit.protocol import fit_subject
from optim.fit.stages import Stages


@pytest.fixture(scope="module")
def demo():
    return demo_subject()


def test_anatomy_is_plausible(demo):
    sc = demo.subject.search.sc
    assert sc.n_regions == 68
    assert len(set(demo.subject.labels)) == 68
    assert np.array_equal(sc.weights, sc.weights.T)
    assert sc.weights.max() == pytest.approx(0.02)
    assert 0.25 < (sc.weights > 0).mean() < 0.35
    left, right = slice(0, 34), slice(34, 68)
    within = sc.weights[left, left].sum() + sc.weights[right, right].sum()
    assert within > 2 * 2 * sc.weights[left, right].sum()
    counts = np.expm1(sc.weights[sc.weights > 0] / 0.02 * np.log1p(2e4))
    assert counts.max() > 20 * np.median(counts)
    assert np.corrcoef(demo.subject.maps.values)[0, 1] == pytest.approx(-0.6)


def test_scans_are_realistic_and_repeatable(demo):
    mean_fc = [float(mfm.upper_triangle(run.fc).mean()) for run in demo.subject.runs]
    assert all(0.1 < mean < 0.5 for mean in mean_fc)
    assert torch.equal(demo_subject().subject.search.target.fc, demo.subject.search.target.fc)
    assert not torch.equal(demo_subject(seed=1).subject.search.target.fc, demo.subject.search.target.fc)


def test_truth_is_within_range_in_simulation(demo):
    parameterisation = mfm.MapParameterisation(demo.subject.maps)
    assert float(parameterisation.violation(demo.coefficients)) == 0
    p = parameterisation.to_parameters(demo.coefficients)
    protocol = mfm.Protocol(tr_s=0.72, n_frames=600, hemo_dt_s=0.03)
    assert mfm.simulate(p, demo.subject.search.sc, protocol, 16, seed=77).within_range.all()


@pytest.mark.slow
def test_the_demo_fit_is_as_good_as_the_truth(demo):
    config = demo_config()
    result = fit_subject(demo.subject, config)
    assert result.in_range
    truth = result.parameterisation.to_parameters(demo.coefficients)
    stages = Stages(demo.subject, config)
    keys, objective = stages.keys("test", 10), stages.objective("test")
    at_truth = objective.evaluate(truth[[0] * 10], keys).cost.total
    # Means over ten repetitions of three realisations each; three standard errors of their difference.
    error = (float(at_truth.var() / 10) + result.ceiling.test_std**2 / 9) ** 0.5
    assert result.ceiling.test_mean <= float(at_truth.mean()) + 3 * error
    assert float(torch.corrcoef(torch.stack([demo.ei_ratio, result.ei_ratio]))[0, 1]) > 0.6
    assert "regional E/I ratio" in compare_with_truth(result, demo)
