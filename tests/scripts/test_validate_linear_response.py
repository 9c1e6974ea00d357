"""The validation of linear response, on a small network: its statistics, and that it runs, resumes and reports."""

import importlib

import numpy as np
import pytest
from repository import SCRIPTS

import mfm


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("simulated_sets"), importlib.import_module("validate_linear_response")


def tiny_case(sets):
    rng = np.random.default_rng(0)
    weights = rng.random((5, 5)) * 0.02
    np.fill_diagonal(weights, 0)
    sc = mfm.Connectome((weights + weights.T) / 2)
    run = rng.normal(size=(100, 5)) + rng.normal(size=(100, 1))
    target = mfm.Target(mfm.functional_connectivity(run), mfm.fcd_cdf(run, 30))
    return sets.Case("tiny", mfm.Scan(target, sc, 2.0, 100), mfm.RegionalMaps.none(5), mfm.Bounds())


def test_reliability_of_a_mean_is_its_share_of_true_variance(scripts):
    rng = np.random.default_rng(1)
    truth, noise = rng.normal(size=20000), 2 * rng.normal(size=(16, 20000))
    found = scripts[1].split_half_reliability(truth + noise, rng)
    assert found == pytest.approx(1 / (1 + 4 / 16), abs=0.01)


def test_mean_of_a_distribution_from_its_cdf(scripts):
    counts = np.histogram([-0.5, 0.25, 0.75], bins=10000, range=(-1, 1))[0]
    assert scripts[1].mean_of(np.cumsum(counts) / 3) == pytest.approx(0.5 / 3, abs=2e-4)


def test_every_prefix_holds_all_margins(scripts):
    sets = scripts[0]
    abscissa = np.concatenate([np.linspace(-9, -5.1, 90), np.linspace(-0.9, -0.1, 10)])
    first = abscissa[sets.interleaved(abscissa, np.random.default_rng(0))[:20]]
    assert (first > -1).sum() >= 6


def test_fc_is_compared_and_resumes(scripts, monkeypatch, tmp_path, capsys):
    sets, validate = scripts
    monkeypatch.setitem(sets.CASES, "tiny", lambda data: tiny_case(sets))
    small = [
        "--work",
        str(tmp_path),
        "--cases",
        "tiny",
        "--sets",
        "6",
        "--repeats",
        "4",
        "--population",
        "6",
        "--generations",
        "3",
    ]
    validate.main(["fc", *small])
    rows = (tmp_path / "fc.tsv").read_text().splitlines()
    assert 2 <= len(rows) <= 7
    assert "| tiny |" in capsys.readouterr().out
    monkeypatch.setattr(sets, "summaries", None)  # nothing is simulated twice
    validate.main(["fc", *small])
    assert (tmp_path / "fc.tsv").read_text().splitlines() == rows


def test_ranks_of_a_run_are_compared(scripts, monkeypatch, tmp_path, capsys):
    sets, validate = scripts
    monkeypatch.setitem(sets.CASES, "tiny", lambda data: tiny_case(sets))
    small = ["--sets", "8", "--repeats", "4", "--population", "6", "--generations", "3"]
    validate.main(["rank", "--work", str(tmp_path), "--cases", "tiny", *small])
    assert "| total |" in capsys.readouterr().out
    assert (tmp_path / "rank-tiny.tsv").exists()
