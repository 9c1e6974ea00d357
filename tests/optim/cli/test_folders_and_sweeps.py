"""What happens to a fit's folder when commands meet in it: other settings, another job, series asked for later, sweeps."""

import json
import os

import numpy as np
import pytest

from optim.cli.main import main
from optim.report.lock import LOCK_NAME, FolderLock

QUICK = (
    "optimizer.population=8 optimizer.generations=2 optimizer.initial_candidates=12 objective.n_repeats=1 "
    "objective.burn_in_s=8 objective.warm_up_s=2 objective.dt_test_s=0.005 output.figures=false acquisition.tr_s=2.0 "
    "data.sc=SC.csv data.sc_transform=log1p"
).split()


@pytest.fixture
def fit(subject, tmp_path, monkeypatch):
    """``mfmfit fit`` of two runs in the current folder, whose names need quotes."""
    monkeypatch.chdir(tmp_path)
    np.savetxt("SC.csv", subject.search.sc.weights * 1e4, delimiter=",")
    header = "\t".join(subject.labels)
    for k, run in enumerate((subject.search, subject.validation), start=1):
        bold = np.asarray(run.bold)[10:]  # after the transient of a short burn-in
        np.savetxt(f"run {k}, rest.tsv", bold, delimiter="\t", header=header, comments="")
    runs = 'data.timeseries=["run 1, rest.tsv","run 2, rest.tsv"]'
    return lambda *words: main(["fit", *QUICK, runs, *words])


def test_a_folder_of_another_fit_says_what_differs(fit, capsys):
    assert fit() == 0
    assert fit("optimizer.seed=2") == 73
    assert "optimizer.seed (1 there, 2 now)" in capsys.readouterr().err
    np.savetxt("SC.csv", 2 * np.loadtxt("SC.csv", delimiter=",") + 1, delimiter=",")
    assert fit() == 73
    assert "connectome of search (another content)" in capsys.readouterr().err


def test_a_second_job_ends_with_a_code_of_its_own(fit, tmp_path, capsys):
    with FolderLock(tmp_path / "outputs/sub-01"):
        assert fit() == 76
        assert fit("output.overwrite=true") == 76
        assert fit("--check") == 76
    assert "Another job works on" in capsys.readouterr().err
    # A lock alone is no one's result.
    (tmp_path / "outputs/sub-01" / LOCK_NAME).write_text("")
    os.utime(tmp_path / "outputs/sub-01" / LOCK_NAME, (0, 0))
    assert fit() == 0
    assert "an earlier job on outputs/sub-01 is gone" in capsys.readouterr().err
    assert not (tmp_path / "outputs/sub-01" / LOCK_NAME).exists()


def test_series_that_are_asked_for_later_are_those_of_the_fit(fit, tmp_path, capsys):
    assert fit("output.timeseries=true", "output.folder=at once") == 0
    assert fit("output.folder=~later/x") == 0
    assert fit("output.folder=~later/x", "output.timeseries=true") == 0
    assert "simulated series of the test: ~later" in capsys.readouterr().err
    (one,), (other,) = ((tmp_path / name).glob("**/*_bold.npy") for name in ("at once", "~later"))
    np.testing.assert_array_equal(np.load(one), np.load(other))


def test_a_sweep_whose_jobs_all_fail_says_so(fit, capsys):
    assert fit("-m", "objective.dt_test_s=0.0051,0.0052") == 65
    out = capsys.readouterr().out
    assert "objective.dt_test_s=0.0051" in out
    assert "0 of 2 jobs done" in out


def test_a_sweep_goes_on_after_a_failure_and_resumes_by_name(fit, tmp_path, capsys):
    assert fit("-m", "optimizer.seed=2,1", "objective.dt_test_s=0.005,0.0051") == 65
    out = capsys.readouterr().out
    assert "2 of 4 jobs done" in out
    assert out.count("test cost") == 2
    assert fit("-m", "optimizer.seed=1,2", "objective.dt_test_s=0.005,0.0051") == 65
    assert capsys.readouterr().err.count("already done") == 2
    made = sorted(path.name for path in (tmp_path / "outputs").iterdir())
    assert made == [f"objective.dt_test_s=0.005,optimizer.seed={seed}" for seed in (1, 2)]
    assert not list(tmp_path.rglob("*.log"))
    status = json.loads((tmp_path / "outputs" / made[0] / "sub-01/status.json").read_text())
    assert status["state"] == "done"
    assert status["facts"]["optimizer.seed"] == "1"
