"""A fit from subject to files: protocol, outputs, resuming, refusing."""

import csv
import json
from dataclasses import replace
from importlib.metadata import version

import nibabel as nib
import numpy as np
import pytest
import torch
from cifti_files import LEFT, surface, write_dlabel, write_ptseries
from config_choices import chosen

import mfm
from mfm.errors import InputError, InputNote, OutputError
from mfm.io import Cleaning, MatrixOptions
from optim.cli.fit import fit_and_write
from optim.config import DelssomeConfig
from optim.fit.protocol import fit_subject
from optim.fit.result import NoFitError
from optim.fit.stages import Stages
from optim.report.folder import FitFolder
from optim.report.tables import output_space, write_fit


@pytest.fixture(scope="module")
def fitted(subject):
    from optim.config import AcquisitionConfig, CMAESConfig, DataConfig, FitConfig, SimulationObjectiveConfig

    config = FitConfig(
        acquisition=AcquisitionConfig(tr_s=2.0),
        objective=SimulationObjectiveConfig(n_repeats=2, burn_in_s=8.0, warm_up_s=2.0, dt_test_s=0.0025),
        optimizer=CMAESConfig(population=10, generations=4, initial_candidates=20),
        data=DataConfig(subject="tiny"),
    )
    return fit_subject(subject, config)


def read_tsv(path):
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def test_stages_are_simulated_on_their_own_data(subject, fitted):
    assert [score.stage for score in fitted.stages] == ["search", "validation", "test"]
    assert fitted.stages[2].dt_s == 0.0025
    stages = Stages(subject, fitted.config)
    for score, purpose in zip(fitted.stages, ("rescore", "validation", "test"), strict=True):
        key = stages.keys(purpose)[0]
        again = stages.objective(score.stage).evaluate(fitted.parameters, key)
        assert float(again.cost.total) == score.total == pytest.approx(score.cost.corr + score.cost.mean_diff + score.cost.ks)
        assert score.in_range == bool(again.within_range)


def test_ei_ratio_is_the_mean_over_realisations(fitted):
    expected = (fitted.test.S_E[0] / fitted.test.S_I[0]).mean(dim=0)
    assert torch.equal(fitted.ei_ratio, expected)


def test_noise_ceiling(subject, fitted):
    between = [float(mfm.cost(a.fc, a.fcd_cdf, b).total) for k, a in enumerate(subject.runs) for b in subject.runs[k + 1 :]]
    assert fitted.ceiling.run_to_run == pytest.approx(np.mean(between))
    stages = Stages(subject, fitted.config)
    keys, objective = stages.keys("test", 10), stages.objective("test")
    totals = [float(objective.evaluate(fitted.parameters, key).cost.total) for key in keys]
    assert totals[0] == fitted.stages[2].total
    assert fitted.ceiling.test_mean == pytest.approx(np.mean(totals[1:]))
    assert fitted.ceiling.test_std == pytest.approx(np.std(totals[1:], ddof=1))


def test_halves_of_one_run_are_no_two_runs(subject, config):
    maps, sc = subject.maps, subject.search.sc
    bold = np.random.default_rng(0).normal(size=(160, 8)).cumsum(axis=0)
    assert mfm.subject_from_runs("one", [bold], sc, 2.0, maps).runs == ()


def test_same_seed_same_fit_whatever_the_threads(subject, config):
    fits = [fit_subject(subject, replace(config, objective=replace(config.objective, n_threads=n))) for n in (1, 2)]
    assert torch.equal(fits[0].coefficients, fits[1].coefficients)
    assert fits[0].stages == fits[1].stages
    assert fits[0].fingerprint == fits[1].fingerprint


def test_settings_of_the_data_are_part_of_a_fits_identity_but_not_where_they_lie(subject, config):
    def identity(**data):
        return Stages(subject, replace(config, data=replace(config.data, **data))).fingerprint

    elsewhere = {"folder": "a", "manifest": "b", "sc": "c", "timeseries": ["d"], "maps": {"myelin": "e"}, "session": "1"}
    assert identity(**elsewhere, sc_file=MatrixOptions(labels="f"), cleaning=Cleaning(confounds=["g"])) == identity()
    changes = (
        {"sc_transform": "log1p"},
        {"sc_scale_mean": 0.01},
        {"sc_file": MatrixOptions(symmetrise=True)},
        {"cleaning": Cleaning(detrend=True)},
        {"exclude_regions": ["lh-insula"]},
        {"split": "pooled"},
        {"run_frames": [80, 80]},
        {"allow_censored": True},
        {"maps_zscore": True},
    )
    assert len({identity(), *(identity(**change) for change in changes)}) == len(changes) + 1


def test_files_of_a_fit(subject, config):
    config = replace(config, output=replace(config.output, timeseries=True, figures=True))
    result = fit_and_write(subject, config)
    folder = FitFolder(config)
    regional = read_tsv(folder.file("regional.tsv"))
    assert list(regional[0]) == ["index", "region", "w_EE", "w_EI", "w_IE", "sigma", "S_E", "S_I", "r_E", "EI_ratio"]
    assert [row["region"] for row in regional] == list(subject.labels)
    assert float(regional[3]["w_EE"]) == pytest.approx(float(result.parameters.w_EE[0, 3]), rel=1e-9)
    record = json.loads(folder.file("regional.json").read_text())
    assert record["G"] == pytest.approx(float(result.parameters.G[0]))
    assert set(record["columns"]) == set(regional[0])
    assert record["config"]["optimizer"]["seed"] == 1
    assert record["versions"]["torch"] == version("torch")
    assert record["protocols"]["test"]["dt_s"] == 0.005
    assert record["noise_seeds"]["test"] == Stages(subject, config).keys("test")[0]
    assert record["seconds"]["search"] > 0
    assert [row["stage"] for row in read_tsv(folder.file("fit.tsv"))] == ["search", "validation", "test"]
    assert [row["generation"] for row in read_tsv(folder.file("trace.tsv"))] == ["1", "2", "3", "4"]
    assert {figure.name for figure in (folder.path / "figures").iterdir()} == {
        "convergence.png",
        "ei_ratio.png",
        "fc.png",
        "fcd_cdf.png",
    }
    bold = np.load(folder.file("bold.npy"))
    assert bold.shape == (2, 80, 8)
    fc = mfm.functional_connectivity(torch.as_tensor(bold)).mean(dim=0)
    assert torch.allclose(fc, torch.as_tensor(np.load(folder.file("fc.npy"))))
    assert not folder.work.exists()


def cifti_fit(fitted, tmp_path, **data):
    output = replace(fitted.config.output, folder=str(tmp_path / "out"), figures=False)
    config = replace(fitted.config, output=output, data=replace(fitted.config.data, **data))
    folder = FitFolder(config)
    folder.begin(fitted.fingerprint)
    write_fit(replace(fitted, config=config), folder)
    return folder


@pytest.mark.parametrize("kind", ["dlabel", "ptseries"])
def test_regional_values_open_in_workbench(fitted, tmp_path, kind):
    labels = fitted.subject.labels[::-1]
    if kind == "dlabel":
        path = write_dlabel(tmp_path / "a.dlabel.nii", range(len(labels) + 1), labels, surface(LEFT, range(len(labels) + 1)))
        folder = cifti_fit(fitted, tmp_path, parcellation=str(path))
    else:
        path = write_ptseries(tmp_path / "a.ptseries.nii", np.zeros((3, len(labels))), labels)
        folder = cifti_fit(fitted, tmp_path, timeseries=[str(path)])
    regional = read_tsv(folder.file("regional.tsv"))
    image = nib.load(folder.file("regional.pscalar.nii"))
    maps, parcels = (image.header.get_axis(k) for k in (0, 1))
    assert list(parcels.name) == [row["region"] for row in regional]
    for name, values in zip(maps.name, np.asarray(image.dataobj), strict=True):
        np.testing.assert_allclose(values, [float(row[name]) for row in regional], rtol=1e-6)
    assert list(maps.name) == list(regional[0])[2:]
    assert folder.file("regional.dscalar.nii").exists() == (kind == "dlabel")
    if kind == "dlabel":
        dense = nib.load(folder.file("regional.dscalar.nii"))
        assert list(dense.header.get_axis(1).vertex) == list(range(1, len(labels) + 1))
        np.testing.assert_array_equal(np.asarray(dense.dataobj), np.asarray(image.dataobj)[:, ::-1])


def test_a_parcellation_of_other_names_is_told_before_work(subject, fitted, tmp_path):
    path = write_dlabel(tmp_path / "a.dlabel.nii", [1, 2], ("L_a", "L_b"), surface(LEFT, [0, 1]))
    config = replace(fitted.config, data=replace(fitted.config.data, parcellation=str(path)))
    with pytest.warns(InputNote, match=r"(?s)No CIFTI files will be written.*are not those of the other inputs"):
        assert output_space(subject, config) is None
    folder = cifti_fit(fitted, tmp_path, parcellation=str(path))
    assert not list(folder.path.glob("*.nii"))


@pytest.mark.parametrize(
    ("there", "stays"),
    [
        (None, False),
        ({"Name": "x", "GeneratedBy": [{"Name": "mfmfit", "Version": "0.0.1"}]}, False),
        ({"Name": "x", "GeneratedBy": [{"Name": "XCP-D"}]}, True),
        ({"Name": "raw data"}, True),
    ],
)
def test_the_output_folder_is_described(fitted, tmp_path, there, stays):
    path = tmp_path / "out/dataset_description.json"
    if there is not None:
        path.parent.mkdir()
        path.write_text(json.dumps(there))
    cifti_fit(fitted, tmp_path)
    found = json.loads(path.read_text())
    if stays:
        assert found == there
    else:
        assert (found["DatasetType"], found["GeneratedBy"]) == ("derivative", [{"Name": "mfmfit", "Version": mfm.__version__}])


def test_a_finished_fit_is_not_repeated(subject, config, capsys):
    assert fit_and_write(subject, config) is not None
    assert fit_and_write(subject, config) is None
    out, err = capsys.readouterr()
    assert "already done" in err
    assert out == FitFolder(config).file("fit.tsv").read_text()
    again = replace(config, output=replace(config.output, overwrite=True, timeseries=True))
    assert fit_and_write(subject, again) is not None
    assert FitFolder(config).file("bold.npy").exists()


def test_results_of_another_configuration_are_not_overwritten(subject, config):
    fit_and_write(subject, config)
    other = replace(config, optimizer=replace(config.optimizer, seed=2))
    folder = FitFolder(config)
    (folder.path / "notes.txt").write_text("mine")
    before = folder.file("fit.tsv").read_text()
    with pytest.raises(OutputError, match=r"other data, settings or version(.|\n)*overwrite"):
        fit_and_write(subject, other)
    assert folder.file("fit.tsv").read_text() == before
    assert fit_and_write(subject, replace(other, output=replace(other.output, overwrite=True))) is not None
    assert folder.file("fit.tsv").read_text() != before
    assert (folder.path / "notes.txt").read_text() == "mine"


def test_a_failed_fit_leaves_the_earlier_results(subject, config):
    fit_and_write(subject, config)
    before = FitFolder(config).file("fit.tsv").read_text()
    wild = replace(
        config,
        model=replace(config.model, ranges={"w_EE": [9.0, 10.0], "w_EI": [0.0, 0.5], "G": [2.9, 3.0]}),
        output=replace(config.output, overwrite=True),
    )
    with pytest.raises(NoFitError):
        fit_and_write(subject, wild)
    assert FitFolder(config).file("fit.tsv").read_text() == before


@pytest.mark.parametrize("status", [None, '{"mine": 1}', "not json"])
def test_a_foreign_folder_is_left_alone(subject, config, status):
    path = FitFolder(config).path
    path.mkdir(parents=True)
    (path / "thesis.txt").write_text("precious")
    if status is not None:
        (path / "status.json").write_text(status)
    with pytest.raises(OutputError, match="not written by a fit"):
        fit_and_write(subject, replace(config, output=replace(config.output, overwrite=True)))
    assert (path / "thesis.txt").read_text() == "precious"


def test_an_output_folder_that_is_a_file(subject, config, tmp_path):
    FitFolder(config).path.parent.mkdir()
    FitFolder(config).path.write_text("a file")
    with pytest.raises(OutputError, match="not a folder"):
        fit_and_write(subject, config)


def test_an_interrupted_fit_goes_on_where_it_stopped(subject, config, monkeypatch):
    whole = fit_subject(subject, config)
    seen = []

    def stop_after_two(row):
        seen.append(row.generation)
        if len(seen) == 2:
            raise KeyboardInterrupt

    folder = FitFolder(config)
    folder.begin(Stages(subject, config).fingerprint)
    with pytest.raises(KeyboardInterrupt):
        fit_subject(subject, config, folder.work, stop_after_two)
    assert not folder.file("fit.tsv").exists()
    assert not folder.is_done(Stages(subject, config).fingerprint, overwrite=False)
    folder.begin(Stages(subject, config).fingerprint)
    resumed = fit_subject(subject, config, folder.work, lambda row: seen.append(row.generation))
    assert seen == [1, 2, 3, 4]
    assert torch.equal(whole.coefficients, resumed.coefficients)
    assert whole.stages == resumed.stages
    write_fit(resumed, folder)
    assert folder.is_done(Stages(subject, config).fingerprint, overwrite=False)


def test_a_search_without_any_candidate_in_range_says_so(subject, config):
    wild = replace(config, model=replace(config.model, ranges={"w_EE": [9.0, 10.0], "w_EI": [0.0, 0.5], "G": [2.9, 3.0]}))
    with pytest.raises(NoFitError, match=r"rate_E from 2.7 to 3.3 Hz"):
        fit_subject(subject, wild)


def test_the_published_search_and_independent_noise_run_too(subject, config):
    other = replace(
        config,
        optimizer=chosen(config.optimizer, DelssomeConfig, starts=2, initial_candidates=0),
        objective=replace(config.objective, noise="independent"),
    )
    result = fit_subject(subject, other)
    assert {row.start for row in result.trace} == {1, 2}


def test_an_invalid_step_is_an_error_before_work(subject, config):
    with pytest.raises(InputError, match=r"whole number of integration steps(.|\n)*dt_s = "):
        fit_subject(subject, replace(config, objective=replace(config.objective, dt_search_s=0.0061)))


def test_homogeneous_parameters_without_maps(subject, config):
    bare = replace(subject, maps=mfm.RegionalMaps.none(8))
    result = fit_subject(bare, config)
    assert len(result.coefficients) == 4
    assert float(result.parameters.w_EE.std()) == 0.0
