import numpy as np
import torch

from surrogate.calibration import Calibration, expected_calibration_error, fit_calibration
from surrogate.evaluation import area_under_curve, classifier_accuracy


def test_an_overconfident_classifier_is_brought_down():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20000) * 2
    stayed = rng.uniform(size=20000) < 1 / (1 + np.exp(-truth))
    logit = torch.from_numpy(3 * truth + 1)
    before = expected_calibration_error(Calibration().probability(logit).numpy(), stayed)
    fitted = fit_calibration(logit, torch.from_numpy(stayed.astype(float)))
    after = expected_calibration_error(fitted.probability(logit).numpy(), stayed)
    assert before > 0.05
    # The standard error of a bin of 1000 or more is at most 0.016, its mean over ten below 0.01.
    assert after < 0.015


def test_figures_of_a_perfect_and_of_a_useless_classifier():
    share = np.array([1.0, 1.0, 0.0, 0.25])
    perfect = classifier_accuracy(np.array([1.0, 0.9, 0.0, 0.3]), share, np.full(4, 2), np.zeros(4))
    assert (perfect.auc, perfect.balanced_accuracy, perfect.stayed) == (1.0, 1.0, 2)
    assert area_under_curve(np.array([True, False]), np.array([0.5, 0.5])) == 0.5
    assert np.isnan(area_under_curve(np.array([True, True]), np.array([0.5, 0.5])))
