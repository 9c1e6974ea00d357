"""``mfmfit inspect``, and fits that take a folder or a manifest."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from folder_trees import fc_and_fcd, hcp_run, matrix, plain_subject, sidecar, table, xcpd_run

from optim.cli.main import main
from optim.cli.settings import compose
from optim.fit.locate import locate

TINY = [
    "objective=linear",
    "optimizer.population=6",
    "optimizer.generations=2",
    "optimizer.initial_candidates=6",
    "objective.n_repeats=1",
    "objective.burn_in_s=7.2",
    "objective.warm_up_s=2",
    "objective.dt_search_s=0.005",
    "objective.dt_validation_s=0.005",
    "objective.dt_test_s=0.005",
    "output.figures=false",
    "data.sc_transform=log1p",
]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Two subjects, of 400 frames each, whose repetition time a sidecar tells."""
    monkeypatch.chdir(tmp_path)
    for subject in ("sub-01", "sub-02"):
        plain_subject("data", subject, regions=6)
    sidecar("data/dataset_description.json", Name="study")
    sidecar("data/task-rest_timeseries.json", RepetitionTime=0.8)
    return tmp_path


def test_inspect_prints_a_table(study, capsys):
    table("data/sub-03/task-rest_timeseries.tsv")
    assert main(["inspect", "data"]) == 0
    out = capsys.readouterr().out
    assert "3 subjects, 3 with data to fit, 3 runs" in out
    assert "sub-01   tables    -      1 series  400     0.8     6        SC.csv" in out
    assert "missing (not there)\n  no connectome: sub-03\n    -> --sc FILE\n" in out
    assert "regions: 3, where most subjects have 6: sub-03" in out


def test_inspect_ends_with_the_command_that_fits(study, capsys):
    assert main(["inspect", "data"]) == 0
    assert capsys.readouterr().out.endswith(f"\n\nto fit: mfmfit fit data.folder={study}/data data.subject=sub-01\n")
    fc_and_fcd("statistics/sub-01", "train", 6)
    assert main(["inspect", "statistics"]) == 0
    settings = "data.subject=sub-01 data.sc=FILE acquisition.tr_s=SECONDS acquisition.n_frames=NUMBER"
    assert capsys.readouterr().out.endswith(f"data.folder={study}/statistics {settings}\n")


def test_inspect_prints_alike_subjects_once(tmp_path, capsys):
    for k in range(25):
        plain_subject(tmp_path, f"sub-{k:02d}", frames=300 if k == 7 else 400)
    assert main(["inspect", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "sub-00, sub-01 and 22 more  tables" in out
    assert "frames: 300, where most subjects have 400: sub-07" in out
    assert "TR not known: sub-00, sub-01 and 23 more [sub-00/task-rest_run-1_timeseries.tsv, ...]\n    -> --tr SECONDS" in out


def test_inspect_prints_json(study, capsys):
    assert main(["inspect", "data", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [subject["participant_id"] for subject in found["subjects"]] == ["sub-01", "sub-02"]
    assert found["subjects"][0]["rows"][0]["tr_s"] == 0.8


def test_inspect_writes_a_manifest_once(study, capsys):
    assert main(["inspect", "data", "--write", "manifest.tsv"]) == 0
    assert "manifest.tsv: 2 subjects, 2 runs" in capsys.readouterr().err
    assert main(["inspect", "data", "--write", "manifest.tsv"]) == 73
    assert "--overwrite" in capsys.readouterr().err
    table("data/sub-03/ses-a/task-rest_timeseries.tsv")
    table("data/sub-03/ses-b/task-rest_timeseries.tsv")
    assert main(["inspect", "data", "--write", "manifest.tsv", "--overwrite"]) == 0
    assert "2 subjects, 2 runs; left out: sub-03" in capsys.readouterr().err


def broken_link(root):
    Path(root, "sub-01").mkdir()
    Path(root, "sub-01/rest_timeseries.tsv").symlink_to("nowhere")


def empty_file(root):
    matrix(Path(root, "sub-01/SC.csv"))
    Path(root, "sub-01/rest_timeseries.tsv").touch()


def only_connectomes(root):
    matrix(Path(root, "sub-01/SC.csv"))


def two_atlases(root):
    xcpd_run(root, atlas="Glasser")
    xcpd_run(root, atlas="Gordon")


@pytest.mark.parametrize(
    ("build", "options", "code", "message"),
    [
        (broken_link, [], 66, "datalad get"),
        (empty_file, [], 65, "0 bytes"),
        (only_connectomes, [], 66, "nothing to fit"),
        (two_atlases, [], 0, ""),
        (two_atlases, ["--write", "manifest.tsv"], 2, "--atlas Glasser"),
        (two_atlases, ["--tr", "720"], 65, "milliseconds"),
    ],
)
def test_inspect_exit_codes(tmp_path, monkeypatch, capsys, build, options, code, message):
    monkeypatch.chdir(tmp_path)
    build(tmp_path)
    assert main(["inspect", ".", *options]) == code
    assert message in capsys.readouterr().err
    assert not Path("manifest.tsv").exists()


def test_inspect_without_a_folder(tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "nowhere")]) == 66
    assert main(["inspect", str(tmp_path)]) == 66
    assert "looks like data of a fit" in capsys.readouterr().err


def located(*overrides):
    return locate(compose(list(overrides))).config


@pytest.mark.filterwarnings("ignore::mfm.errors.InputNote")
def test_what_is_found_completes_the_settings(study):
    config = located("data.folder=data/sub-02")
    assert (config.data.subject, config.acquisition.tr_s, config.atlas.name) == ("sub-02", 0.8, "unnamed")
    assert config.data.sc == str(study / "data/sub-02/SC.csv")
    assert config.data.timeseries == [str(study / "data/sub-02/task-rest_run-1_timeseries.tsv")]
    assert located("data.folder=data", "data.subject=01").data.subject == "sub-01"
    assert located("acquisition.tr_s=0.8", "data.folder=data/sub-02").acquisition.tr_s == 0.8
    xcpd_run("xcpd", "7")
    xcpd_run("xcpd", "7", atlas="Glasser")
    assert located("data.folder=xcpd", "atlas.name=glasser", "data.sc=data/sub-01/SC.csv").atlas.name == "glasser"


@pytest.mark.filterwarnings("ignore::mfm.errors.InputNote")
def test_what_is_given_comes_before_what_is_found(study):
    matrix("other.csv", 6)
    config = located("data.folder=data/sub-02", "data.sc=other.csv", "data.timeseries=[data/sub-01/own.tsv]")
    assert (config.data.sc, config.data.timeseries) == ("other.csv", ["data/sub-01/own.tsv"])
    statistics = located("data.folder=data/sub-02", "data.search.fc=FC.csv")
    assert (statistics.data.search.fc, statistics.data.timeseries) == ("FC.csv", [])


@pytest.mark.filterwarnings("ignore::mfm.errors.InputNote")
def test_the_atlas_of_the_files_names_the_results(tmp_path):
    file = xcpd_run(tmp_path, atlas="Glasser", regions=6)
    sidecar(file.with_suffix(".json"), RepetitionTime=0.8)
    matrix(tmp_path / "sub-01/dwi/SC.csv", 6)
    assert located(f"data.folder={tmp_path}").atlas.name == "Glasser"


def test_without_folder_or_manifest_nothing_changes():
    config = compose(["data.sc=SC.csv"])
    assert locate(config).config.data.subject == "sub-01"
    assert locate(config).notes == ()


@pytest.mark.parametrize(
    ("overrides", "code", "message"),
    [
        (["data.folder=data"], 2, "data.subject=sub-01"),
        (["data.folder=data", "data.subject=9"], 2, "no subject 9"),
        (["data.folder=data/sub-01", "data.subject=02"], 2, "no subject 02"),
        (["data.folder=data/sub-01", "data.manifest=manifest.tsv"], 2, "Both a folder and a manifest"),
        (["data.folder=nowhere"], 66, "folder is not there"),
        (["data.manifest=nowhere.tsv"], 66, "manifest file is not there"),
        (["data.manifest=manifest.tsv"], 2, "data.subject=sub-01"),
        (["data.manifest=manifest.tsv", "data.subject=3"], 2, "no subject 3"),
        (["data.manifest=manifest.tsv", "data.subject=01", "acquisition.tr_s=2"], 2, "0.8 s, by header, sidecar or manifest"),
        (["data.folder=data/sub-02", "acquisition=hcp_ya"], 2, "leave acquisition.tr_s out"),
        (["data.folder=plain"], 2, "acquisition.tr_s=0.72"),
        (["data.folder=rows", "acquisition.tr_s=0.8", "data.orientation=frames_by_regions"], 65, "regions"),
        (["data.folder=nosc"], 66, "data.sc=FILE"),
        (["data.folder=empty"], 65, "0 bytes"),
        (["data.folder=link"], 66, "datalad get"),
        (["data.folder=atlases"], 2, "atlas.name=Glasser"),
        (["data.folder=sessions"], 2, "data.session=a, or data.session=all"),
    ],
)
@pytest.mark.filterwarnings("ignore::mfm.errors.InputNote")
def test_a_folder_that_cannot_be_fitted(study, capsys, overrides, code, message):
    assert main(["inspect", "data", "--write", "manifest.tsv"]) == 0
    plain_subject("plain")
    folder = plain_subject("rows", runs=0)
    np.savetxt(folder / "rest_timeseries.csv", np.random.default_rng(0).normal(size=(3, 400)), delimiter=",")
    table("nosc/sub-01/task-rest_timeseries.tsv")
    folder = plain_subject("empty", runs=0)
    (folder / "rest_timeseries.tsv").touch()
    folder = plain_subject("link", runs=0)
    (folder / "rest_timeseries.tsv").symlink_to("../.git/annex/objects/key")
    two_atlases("atlases")
    for session in ("a", "b"):
        table(f"sessions/sub-01/ses-{session}/task-rest_timeseries.tsv")
    capsys.readouterr()
    assert main(["fit", *TINY, *overrides]) == code
    assert message in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_orientation_of_a_file_with_names_is_not_overruled(tmp_path, capsys):
    folder = plain_subject(tmp_path, runs=0)
    lines = [f"region{k}\t" + "\t".join(str((f * 7 + k) % 5) for f in range(400)) for k in range(3)]
    (folder / "rest_timeseries.tsv").write_text("\n".join(lines))
    assert main(["fit", "--check", *TINY, "acquisition.tr_s=0.8", f"data.folder={folder}"]) == 0
    table(folder / "rest_timeseries.tsv")
    overrides = ["acquisition.tr_s=0.8", f"data.folder={folder}", "data.orientation=regions_by_frames"]
    assert main(["fit", "--check", *TINY, *overrides]) != 0


def test_a_manifest_whose_files_changed(study, capsys):
    assert main(["inspect", "data", "--write", "manifest.tsv"]) == 0
    os.utime("data/sub-02/SC.csv", (0, 0))  # a copy
    assert main(["fit", "--check", *TINY, "data.manifest=manifest.tsv", "data.subject=02"]) == 0
    content = Path("data/sub-01/SC.csv").read_text()
    Path("data/sub-01/SC.csv").write_text(content[::-1])
    assert main(["fit", *TINY, "data.manifest=manifest.tsv", "data.subject=01"]) == 65
    assert "has changed" in capsys.readouterr().err
    Path("data/sub-02/SC.csv").unlink()
    assert main(["fit", *TINY, "data.manifest=manifest.tsv", "data.subject=02"]) == 66
    assert "is gone" in capsys.readouterr().err


def test_fits_from_a_folder_and_from_its_manifest_are_one(study, capsys):
    Path("data/participants.tsv").write_text("participant_id\nsub-02\n")
    assert main(["fit", *TINY, "data.folder=data", "data.subject=01"]) == 0
    assert "note: Not listed in participants.tsv" in capsys.readouterr().err
    stem = "outputs/sub-01/sub-01_atlas-unnamed_desc-fic"
    fitted = Path(f"{stem}_fit.tsv").read_text()
    # What is suspicious stands in the results too.
    record = json.loads(Path(f"{stem}_regional.json").read_text())
    assert "Not listed in participants.tsv" in record["notes"]
    assert main(["inspect", "data", "--write", "manifest.tsv"]) == 0
    assert main(["fit", *TINY, "data.manifest=manifest.tsv", "data.subject=sub-01"]) == 0
    assert "already done" in capsys.readouterr().err
    assert Path(f"{stem}_fit.tsv").read_text() == fitted


def test_statistics_from_a_folder(tmp_path, capsys):
    fc_and_fcd(tmp_path / "sub-01", "train", 6)
    fc_and_fcd(tmp_path / "sub-01", "test", 6)
    matrix(tmp_path / "sub-01/SC.csv", 6)
    overrides = [f"data.folder={tmp_path / 'sub-01'}", "acquisition.tr_s=0.8"]
    assert main(["fit", "--check", *TINY, *overrides]) == 2
    assert "acquisition.n_frames" in capsys.readouterr().err
    assert main(["fit", "--check", *TINY, *overrides, "acquisition.n_frames=400"]) == 0


def test_dense_series_name_the_parcellation_they_need(tmp_path, capsys):
    hcp_run(tmp_path, "100307", "rfMRI_REST1_LR")
    assert main(["inspect", str(tmp_path)]) == 0
    assert "data.parcellation=FILE at the fit" in capsys.readouterr().out


@pytest.mark.parametrize(("folder", "n_regions"), [("dk68-ebrains/sub-000", 68), ("aal2-94/sub-101309", 94)])
def test_a_person_is_fitted_from_its_folder_by_one_command(shared, tmp_path, capsys, folder, n_regions):
    original, subject = shared / "data" / folder, Path(folder).name
    copied = tmp_path / subject
    copied.mkdir()
    sc = np.loadtxt(original / "SC.csv", delimiter=",")
    if n_regions == 94:  # as probtrackx counts from seed to target, before its two directions are averaged
        sc *= np.random.default_rng(0).uniform(0.5, 1.5, sc.shape)
    np.savetxt(copied / "SC.csv", sc, delimiter=",")
    # Four minutes of the scan are enough to show that it is fitted.
    lines = (original / "task-rest_run-1_timeseries.tsv").read_text().splitlines(keepends=True)
    (copied / "task-rest_run-1_timeseries.tsv").write_text("".join(lines[:335]))
    out = tmp_path / "out"
    assert main(["fit", *TINY, "acquisition.tr_s=0.72", f"data.folder={copied}", f"output.folder={out}"]) in (0, 1)
    assert ("maximum 0.02, not symmetric" in capsys.readouterr().err) == (n_regions == 94)
    header, *rows = (out / subject / f"{subject}_atlas-unnamed_desc-fic_regional.tsv").read_text().splitlines()
    assert len(rows) == n_regions
    # Without maps all regions share their parameters.
    assert len({row.split("\t")[header.split("\t").index("w_EE")] for row in rows}) == 1
