"""The benchmark of refinements: that its sections run, and that its truth is what it says."""

import importlib
import sys

import pytest
import torch
from repository import SCRIPTS

from mfm.linear.fisher_z import FisherZLikelihood
from mfm.protocol import Protocol
from optim.refine.problem import RefinementProblem


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("bench_refine")


def test_fit_and_truth_correlate_as_it_says(script):
    fit, sc, maps = script.mechanism()
    none = torch.zeros(0)
    base = RefinementProblem(fit.frozen(), None, sc, None, none).system(none)
    z = FisherZLikelihood(torch.eye(sc.n_regions, dtype=torch.float64), Protocol(0.72, 1200))
    for amplitude, r in ((3.0, 0.981), (1.2, 0.997)):
        truth, slope = script.truth_of(fit, sc, maps.values[0], amplitude)
        assert slope.mean().abs() < 1e-12
        found = torch.corrcoef(torch.tanh(torch.stack([z.predicted(base), z.predicted(truth)])))[0, 1].item()
        assert found == pytest.approx(r, abs=6e-4)
        assert script.nrmse(slope, slope) == 0
        assert script.nrmse(torch.zeros_like(slope), slope) == pytest.approx(1)


def test_placebos_run(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench_refine.py", "placebo", "--n", "2", "--spins", "2", "--loss", "fc"])
    script.main()
    assert capsys.readouterr().out.startswith("fc, 1200 samples, 2 placebos: refused beforehand 0; claimed")
