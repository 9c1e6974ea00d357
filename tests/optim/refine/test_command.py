"""From a fit's folder to a refinement's files, and what goes wrong on the way."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import mfm
from mfm.errors import InputError, MissingInputError, OutputError
from optim.cli.fit import fit_and_write
from optim.cli.main import main
from optim.cli.refine import refine_folder
from optim.cli.settings import compose, from_values
from optim.config.refine import RefineConfig
from optim.refine.fitted import read_fit, task_of
from optim.report.folder import FitFolder
from optim.report.simulation import simulate_to_folder

QUICK = RefineConfig(placebos=0, spins=0, polish=2, starts=1, bins=4, prior=1.0, figures=False)


@pytest.fixture(scope="module")
def fitted(subject, tmp_path_factory):
    """A finished fit, and its folder."""
    from optim.config import CMAESConfig, LinearObjectiveConfig
    from optim.config.fit import AcquisitionConfig, DataConfig, FitConfig, OutputConfig

    config = FitConfig(
        acquisition=AcquisitionConfig(tr_s=2.0),
        objective=LinearObjectiveConfig(n_repeats=1, burn_in_s=8.0, warm_up_s=2.0, dt_test_s=0.005),
        optimizer=CMAESConfig(population=8, generations=2, initial_candidates=20),
        data=DataConfig(subject="tiny"),
        output=OutputConfig(folder=str(tmp_path_factory.mktemp("refine")), figures=False),
    )
    fit_and_write(subject, config)
    return FitFolder(config).path


@pytest.fixture
def folder(fitted, tmp_path):
    """A copy of it, to be refined."""
    import shutil

    return shutil.copytree(fitted, tmp_path / fitted.name)


def new_map(tmp_path):
    path = tmp_path / "thickness.csv"
    np.savetxt(path, np.random.default_rng(8).normal(size=8))
    return str(path)


def test_writes_a_model_that_simulates(subject, folder, tmp_path, capsys):
    config = replace(QUICK, maps={"thickness": new_map(tmp_path)}, edges=["thickness"], figures=True)
    assert refine_folder(folder, config, subject=subject) == 0
    out = capsys.readouterr()
    assert "evidence for a residual" in out.out
    (record_path,) = folder.glob("*_refine.json")
    record = json.loads(record_path.read_text(encoding="utf-8"))
    assert [term["name"] for term in record["terms"]] == ["thickness x", "edges thickness"]
    assert record["trained_on"] == "run 1, run 2"
    assert record["judged_on"] == "run 3"
    assert "not compared with placebos" in record["reasons"]
    assert (folder / "refine.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not list(folder.glob("refine-work-*"))
    stem = record_path.name.removesuffix("_refine.json")
    header = (folder / f"{stem}_refine_heldout.tsv").read_text(encoding="utf-8").splitlines()[0]
    assert header.split("\t") == ["model", "against", "gain", "low", "high", "fc_r", "fc_r_against"]
    models = [
        line.split("\t")[-1] for line in (folder / f"{stem}_refine_stages.tsv").read_text(encoding="utf-8").splitlines()[1:]
    ]
    assert models == ["fit", "refined", "fit", "refined"]
    assert (folder / "figures" / "refine.png").stat().st_size > 1000
    # The refined model simulates from its table, edges included.
    sc = tmp_path / "sc.csv"
    np.savetxt(sc, subject.search.sc.weights, delimiter=",")
    table = folder / f"{stem}_refined.tsv"
    files = simulate_to_folder(table, tmp_path / "sim", sc=str(sc), sc_transform="none", n_frames=20, dt_s=0.005)
    assert np.load(files[0]).shape == (1, 20, 8)
    # Done is done.
    assert refine_folder(folder, config, subject=subject) == 0
    assert "already done" in capsys.readouterr().err
    with pytest.raises(OutputError, match="--overwrite replaces it"):
        refine_folder(folder, replace(config, seed=2), subject=subject)


def test_every_term_refused_is_a_result_too(subject, folder, capsys):
    assert refine_folder(folder, replace(QUICK, prior=0.0001), subject=subject) == 0
    out = capsys.readouterr()
    assert "the data cannot tell any of its terms" in out.out
    assert "the fit's own parameters follow the maps of myelin x, gradient x" in out.err
    (table,) = folder.glob("*_refined.tsv")
    fit = read_fit(folder, from_values, subject)
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
    column = rows[0].index("w_EE")
    assert np.allclose([float(row[column]) for row in rows[1:]], fit.parameters.w_EE[0].numpy())


def test_check_tells_what_the_data_can_tell(subject, folder, capsys):
    assert refine_folder(folder, QUICK, check_only=True, subject=subject) == 0
    assert "myelin x" in capsys.readouterr().out
    assert not list(folder.glob("*_refine*"))


def test_a_network_of_maps_is_drawn_against_its_map(subject, folder, tmp_path, capsys):
    config = replace(QUICK, maps={"thickness": new_map(tmp_path)}, network=["thickness"], figures=True)
    assert refine_folder(folder, config, check_only=True, subject=subject) == 0
    told = capsys.readouterr().out
    assert "network thickness 1" in told
    assert "thickness x" not in told
    assert refine_folder(folder, config, subject=subject) == 0
    assert (folder / "figures" / "refine.png").exists()


def test_a_regional_fit_keeps_its_regions(subject, folder):
    """Deviations from the maps come from the table."""
    (path,) = folder.glob("*_regional.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, "penalty_strength": 1.0}), encoding="utf-8")
    table = path.with_suffix(".tsv")
    lines = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
    lines[1][lines[0].index("w_EE")] = "5.5"
    table.write_text("\n".join("\t".join(line) for line in lines) + "\n", encoding="utf-8")
    task = task_of(read_fit(folder, from_values, subject), QUICK)
    p = task.fitted.frozen().parameters(torch.zeros((1, 0), dtype=torch.float64))
    assert p.w_EE[0, 0].item() == pytest.approx(5.5)


def test_folders_that_hold_no_finished_fit(subject, folder, tmp_path):
    with pytest.raises(MissingInputError, match="not the folder of one fit"):
        read_fit(tmp_path / "nowhere", from_values, subject)
    status = folder / "status.json"
    status.write_text(json.dumps({**json.loads(status.read_text(encoding="utf-8")), "state": "running"}), encoding="utf-8")
    with pytest.raises(InputError, match="is not finished"):
        read_fit(folder, from_values, subject)
    status.write_text("{", encoding="utf-8")  # a disk that was full
    with pytest.raises(InputError, match=r"status\.json is not valid JSON"):
        read_fit(folder, from_values, subject)


def test_a_fit_of_another_version_is_told(subject, folder):
    (path,) = folder.glob("*_regional.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    record["config"]["objective"]["no_such_setting"] = 1
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match=r"does not know(.|\n)*no_such_setting(.|\n)*fit anew"):
        read_fit(folder, from_values, subject)


def test_other_data_are_told(subject, folder):
    other = replace(subject, sources=(mfm.subject.Source("sc", "SC.csv", "0" * 64),))
    with pytest.raises(InputError, match=r"The data are not those of the fit.(.|\n)*other content: sc"):
        read_fit(folder, from_values, other)


def test_a_scan_that_was_learned_from_judges_nothing(subject, folder):
    pooled = replace(subject, test=subject.search)
    with pytest.raises(InputError, match="judged on a scan that it did not learn from"):
        task_of(read_fit(folder, from_values, pooled), QUICK)


def test_a_scan_that_was_filtered_is_not_refined(subject, folder):
    filtered = replace(subject, search=replace(subject.search, observation=mfm.Observation(high_pass_hz=0.01)))
    with pytest.raises(InputError, match=r"no theory yet of what was done(.|\n)*found: high-pass 0.01 Hz"):
        task_of(replace(read_fit(folder, from_values, subject), subject=filtered), QUICK)


def test_a_third_scan_is_learned_from_too(subject, folder):
    fit = read_fit(folder, from_values, subject)
    learned = task_of(fit, QUICK).train
    assert learned.n_scans == 2
    z = torch.arctanh(torch.stack([subject.search.target.fc, subject.validation.target.fc])[:, 0, 1]).mean()
    assert learned.fc[0, 1].item() == pytest.approx(torch.tanh(z).item())
    assert task_of(fit, replace(QUICK, learn_from="search")).train.n_scans == 1
    v = subject.validation
    shorter = replace(v, n_frames=v.n_frames - 1, bold=v.bold[1:])
    for other in (subject.test, shorter):
        assert task_of(replace(fit, subject=replace(subject, validation=other)), QUICK).train.n_scans == 1


def test_new_maps_need_new_names(subject, folder, tmp_path):
    with pytest.raises(InputError, match="has a map of that name: myelin"):
        task_of(read_fit(folder, from_values, subject), replace(QUICK, maps={"myelin": new_map(tmp_path)}))


def test_settings_compose_and_errors_exit(folder, capsys):
    assert compose(["seed=3", "edges=[myelin]"], "refine/default", RefineConfig) == RefineConfig(seed=3, edges=["myelin"])
    assert compose(["refine.spins=0"]).refine.spins == 0
    assert compose(["maps={thickness: thickness.csv}"], "refine/default", RefineConfig).maps == {"thickness": "thickness.csv"}
    assert main(["refine", str(folder / "nowhere")]) == 66
    assert main(["refine", str(folder), "sins=3"]) == 2
    capsys.readouterr()
