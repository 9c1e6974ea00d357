"""A drug or a lesion is seen when feedback inhibition is kept, and rates that leave the range are reported."""

import json
import warnings

import numpy as np
import pytest

import mfm
from mfm.errors import InputError, InputNote
from mfm.io import write_tsv
from optim.cli.main import main
from optim.report.simulation import simulate_to_folder

N = 6


def parameters(w_EI=2.5):
    weights = np.random.default_rng(1).random((N, N)) * 0.02
    np.fill_diagonal(weights, 0)
    weights = weights + weights.T
    sc = mfm.Connectome(0.02 * weights / weights.max())
    p = mfm.FICParameters(np.full(N, 3.0), np.full(N, w_EI), np.full(N, 0.002), [1.5])
    return p, sc


def write_inputs(folder, w_EE=3.0, solved=True):
    p, sc = parameters()
    w_IE = mfm.models.fic_feedback.feedback_weights(p, sc)[0] if solved else None
    columns = [np.full(N, w_EE), np.full(N, 2.5), *([w_IE.numpy()] if solved else []), np.full(N, 0.002)]
    names = ["w_EE", "w_EI", *(["w_IE"] if solved else []), "sigma"]
    rows = [(f"r{k}", *(float(c[k]) for c in columns)) for k in range(N)]
    write_tsv(folder / "drug.tsv", ["region", *names], rows)
    np.savetxt(folder / "SC.csv", sc.weights, delimiter=",")
    return folder / "drug.tsv", str(folder / "SC.csv")


def simulated(folder, table, sc, **more):
    timing = {"tr_s": 2.0, "n_frames": 20, "sc_transform": "none", "G": 1.5}
    simulate_to_folder(table, folder / "sim", sc=sc, **timing, **more)
    rates = np.loadtxt(folder / "sim/regional.tsv", skiprows=1, usecols=2)
    return rates, json.loads((folder / "sim/simulation.json").read_text(encoding="utf-8"))


def test_homeostasis_hides_a_drug_and_kept_feedback_shows_it(tmp_path):
    table, sc = write_inputs(tmp_path, w_EE=3.6)
    hidden, record = simulated(tmp_path, table, sc)
    assert np.abs(hidden - 3).max() < 0.3
    assert (record["status"], record["within_range"], record["notes"]) == (["OK"], True, [])
    with pytest.warns(InputNote, match=r"leave 2.7 to 3.3 Hz \(.* Hz\), with the feedback .* given: r0"):
        shown, record = simulated(tmp_path, table, sc, keep_feedback=True)
    assert shown.max() > 3.3
    assert record["status"] == ["OUT_OF_RANGE"]
    assert record["within_range"] is False
    assert record["feedback"] == "from the table"
    assert "leave 2.7 to 3.3 Hz" in record["notes"][0]


def test_the_same_parameters_with_kept_feedback_are_the_same_simulation(tmp_path):
    table, sc = write_inputs(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputNote)
        kept, _ = simulated(tmp_path, table, sc, keep_feedback=True)
        solved, _ = simulated(tmp_path, table, sc)
    np.testing.assert_allclose(kept, solved, rtol=1e-3)


def test_feedback_that_is_not_in_the_table_cannot_be_kept(tmp_path):
    table, sc = write_inputs(tmp_path, solved=False)
    with pytest.raises(InputError, match=r"(?s)w_IE.*no column w_IE"):
        simulated(tmp_path, table, sc, keep_feedback=True)


def test_the_option_of_the_command_line(tmp_path, capsys):
    table, sc = write_inputs(tmp_path, w_EE=3.6)
    arguments = ["simulate", "--parameters", str(table), "--sc", sc, "--sc-transform", "none", "--G", "1.5"]
    arguments += ["--tr", "2", "--frames", "20", "--out", str(tmp_path / "sim"), "--keep-feedback"]
    assert main(arguments) == 0
    assert "note: " in (err := capsys.readouterr().err)
    assert "leave 2.7 to 3.3 Hz" in err


def test_a_simulation_whose_feedback_was_given_says_that_rates_left_the_range():
    p, sc = parameters()
    given = mfm.FICParameters(p.w_EE, p.w_EI, p.sigma, p.G, np.full((1, N), 0.2))
    sim = mfm.simulate(given, sc, mfm.Protocol(2.0, 5, 0.005, 4.0, 2.0), backend="reference")
    assert not sim.within_range.any()
    assert "1 OK; 1 of these leave the model's range" in repr(sim)
