"""The command line: what it prints, what it writes, and how it fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from cifti_files import write_ptseries
from repository import CONF, SCRIPTS

import mfm
from mfm.errors import ConfigError
from optim.cli.main import main
from optim.cli.settings import compose, from_values
from optim.config import (
    CMAESConfig,
    DelssomeConfig,
    GradientConfig,
    LinearObjectiveConfig,
    SimulationObjectiveConfig,
    SurrogateObjectiveConfig,
)

QUICK = [
    "optimizer.population=8",
    "optimizer.generations=3",
    "optimizer.initial_candidates=12",
    "objective.n_repeats=1",
    "objective.burn_in_s=8",
    "objective.warm_up_s=2",
    "objective.dt_test_s=0.005",
    "output.figures=false",
]


@pytest.fixture
def files(subject, tmp_path, monkeypatch):
    """A folder as a lab keeps it: connectome, two runs with a header, two maps, FC and FCD CDF."""
    monkeypatch.chdir(tmp_path)
    scan = subject.search
    np.savetxt("SC.csv", scan.sc.weights * 1e4, delimiter=",")
    protocol = mfm.Protocol(2.0, 70, 0.005, burn_in_s=20, warm_up_s=2)
    p = mfm.MapParameterisation(subject.maps).to_parameters([[3.3, 0, 0, 2.6, -0.3, 0.05, 2.5, 0.005, 0, 0]])
    header = "\t".join(subject.labels)
    for run, bold in enumerate(mfm.simulate(p, scan.sc, protocol, 2, seed=3).bold[0], start=1):
        np.savetxt(f"run-{run}.tsv", bold.numpy(), delimiter="\t", header=header, comments="")
    for name, values in zip(subject.maps.names, subject.maps.values, strict=True):
        np.savetxt(f"{name}.csv", values)
    np.savetxt("FC.csv", scan.target.fc.numpy(), delimiter=",")
    np.savetxt("FCD_CDF.csv", scan.target.fcd_cdf.numpy())
    return tmp_path


DATA = [
    "acquisition.tr_s=2.0",
    "data.subject=01",
    "data.sc=SC.csv",
    "data.sc_transform=log1p",
    "data.timeseries=[run-1.tsv,run-2.tsv]",
    "data.maps={myelin: myelin.csv, gradient: gradient.csv}",
]


def fit(*overrides):
    return main(["fit", *QUICK, *DATA, *overrides])


def test_fit_from_time_series(files, capsys):
    assert fit() == 0
    out, err = capsys.readouterr()
    assert "validation" in out
    assert "searching: 3 generations" in err
    assert "simulating the chosen parameters for the test, about" in err
    assert (files / "outputs/sub-01/sub-01_atlas-unnamed_desc-fic_regional.tsv").exists()
    assert '"sha256"' in (files / "outputs/sub-01/sub-01_atlas-unnamed_desc-fic_regional.json").read_text()


def test_fit_from_fc_and_fcd_files(files):
    assert fit("data.timeseries=[]", "data.search.fc=FC.csv", "data.search.fcd_cdf=FCD_CDF.csv", "acquisition.n_frames=80") == 0


def test_check_reads_everything_and_writes_nothing(files, capsys):
    assert main(["fit", "--check", *DATA]) == 0
    assert "nothing contradicts" in capsys.readouterr().err
    assert not (files / "outputs").exists()


def test_settings_may_stand_on_both_sides_of_an_option(files, capsys):
    assert main(["fit", *DATA[:3], "--check", *DATA[3:]]) == 0
    assert "everything needed is there" in capsys.readouterr().err
    for unknown in (["fit", *DATA, "--chekc"], ["demo", "here"], ["fit", "--check", "--out", "x"]):
        with pytest.raises(SystemExit):
            main(unknown)
        assert "unrecognized arguments" in capsys.readouterr().err


def write_regions_by_frames():
    np.savetxt("run-1.tsv", np.loadtxt("run-1.tsv", skiprows=1).T, delimiter="\t")


def write_constant_region():
    run = np.loadtxt("run-1.tsv", skiprows=1)
    run[:, 2] = 7.0
    np.savetxt("run-1.tsv", run, delimiter="\t")


def write_nan_connectome():
    sc = np.loadtxt("SC.csv", delimiter=",")
    sc[1, 2] = np.nan
    np.savetxt("SC.csv", sc, delimiter=",")


def write_negative_connectome():
    np.savetxt("SC.csv", np.loadtxt("SC.csv", delimiter=",") - 50, delimiter=",")


def write_small_connectome():
    np.savetxt("SC.csv", np.loadtxt("SC.csv", delimiter=",")[:6, :6], delimiter=",")


def write_short_map():
    np.savetxt("myelin.csv", np.arange(5.0))


def write_flipped_gradient():
    np.savetxt("gradient.csv", -np.loadtxt("gradient.csv"))


def write_short_runs():
    np.savetxt("run-1.tsv", np.loadtxt("run-1.tsv", skiprows=1)[:40], delimiter="\t")


STATISTICS = ("data.timeseries=[]", "data.search.fc=FC.csv", "data.search.fcd_cdf=FCD_CDF.csv", "acquisition.n_frames=80")


def write_fisher_z():
    fc = np.loadtxt("FC.csv", delimiter=",")
    np.fill_diagonal(fc, 0)
    np.savetxt("FC.csv", np.arctanh(fc) * 3, delimiter=",")


def write_histogram():
    np.savetxt("FCD_CDF.csv", np.diff(np.loadtxt("FCD_CDF.csv"), prepend=0))


@pytest.mark.parametrize(
    ("spoil", "overrides", "code", "message"),
    [
        (write_regions_by_frames, ("data.orientation=frames_by_regions",), 65, "data.orientation=regions_by_frames"),
        (write_constant_region, (), 65, "region-003"),
        (write_nan_connectome, (), 65, "not finite"),
        (write_negative_connectome, (), 65, "negative entries"),
        (write_small_connectome, (), 65, "frames x 6 regions"),
        (write_short_map, (), 65, "another number of regions"),
        (write_flipped_gradient, (), 65, "multiply the map 'gradient' by -1"),
        (write_short_runs, (), 65, "60 frames"),
        (write_fisher_z, STATISTICS, 65, "tanh"),
        (write_histogram, STATISTICS, 65, "histogram"),
        (None, STATISTICS[:3], 2, "acquisition.n_frames"),
        (None, ("data.timeseries=[nowhere.tsv]",), 66, "nowhere.tsv"),
        (None, ("data.sc=null",), 2, "data.sc=PATH"),
        (None, ("data.timeseries=[]",), 2, "either time series or FC"),
        (None, ("acquisition.tr_s=null",), 2, "no default"),
        (None, ("data.subject=../evil",), 2, "file name"),
        (None, ("data.timeseries=[run-1.tsv,run-1.tsv]",), 65, "given twice"),
        (None, ("objective.n_threads=0",), 2, "at least 1"),
        (None, ("objective.dt_test_s=0",), 65, "dt_s must be a positive duration"),
        (None, ("model.min_std.w_EI=50",), 65, "Hardly any candidate"),
        (None, ("acquisition.tr_s=720",), 65, "milliseconds"),
        (None, ("objective.dt_search_s=0.0061",), 65, "dt_s = 0.00609756"),
        (None, ("acquisition.n_frames=71",), 65, "70 frames"),
        (None, ("optimizer.generatons=3",), 2, "generatons"),
        (None, ("optimizer.seed=abc",), 2, "Integer"),
        (None, ("optimizer.name=adam",), 2, "cmaes | delssome"),
        (None, ("objective=linear", "objective.audits=7"), 2, "objective.audits does not apply to objective=linear"),
        (None, ("objective.audits=7",), 2, "it is a setting of objective=surrogate"),
        (None, ("objective=linear", "objective.noise=independent"), 2, "choose objective=simulation or objective=surrogate"),
        (None, ("objective=linear", "optimizer=gradient", "optimizer.initial_step=0.1"), 2, "choose optimizer=cmaes or"),
        (None, ("objective.search=linear",), 2, "fix: objective=linear"),
        (None, ("objective.serch=linear",), 2, "There is no setting objective.serch"),
        (None, ("optimizer=gradient",), 2, "Only linear response gives a search a gradient"),
        (None, ("optimizer.population=2",), 2, "at least 4"),
        (None, ("optimizer.initial_step=0",), 2, "(0, 1]"),
        (None, ("model.bounds=cohort",), 2, "group | subject"),
        (None, ("model.ranges.w_EE=[1]",), 2, "[low, high]"),
        (None, ("objective=quantum",), 2, "quantum"),
    ],
)
def test_bad_input_is_told_before_work_starts(files, capsys, spoil, overrides, code, message):
    if spoil is not None:
        spoil()
    assert fit(*overrides) == code
    assert message in capsys.readouterr().err
    assert not (files / "outputs").exists()


def write_old_cifti():
    write_ptseries("run-1.ptseries.nii", np.random.default_rng(0).normal(size=(70, 8)), [f"r{k}" for k in range(8)], 2.0)
    path = Path("run-1.ptseries.nii")
    path.write_bytes(path.read_bytes().replace(b'CIFTI Version="2.0"', b'CIFTI Version="1.0"'))


def write_truncated():
    write_ptseries("run-1.ptseries.nii", np.random.default_rng(0).normal(size=(70, 8)), [f"r{k}" for k in range(8)], 2.0)
    path = Path("run-1.ptseries.nii")
    path.write_bytes(path.read_bytes()[:-10])


def write_swapped():
    np.save("run-1.npy", np.random.default_rng(0).normal(1e4, 9, (70, 8)).astype(np.float32).byteswap())


def write_pointer():
    Path("run-1.ptseries.nii").write_text("/annex/objects/MD5E-s1--x.nii")


def write_truncated_gz():
    nib.Nifti1Image(np.random.default_rng(0).normal(size=(5, 5, 5, 70)), np.eye(4)).to_filename("run-1.nii.gz")
    Path("run-1.nii.gz").write_bytes(Path("run-1.nii.gz").read_bytes()[:-500])
    nib.Nifti1Image(np.ones((5, 5, 5), np.int16), np.eye(4)).to_filename("labels.nii.gz")


@pytest.mark.parametrize(
    ("spoil", "run", "code", "message"),
    [
        (write_old_cifti, "run-1.ptseries.nii", 65, "wb_command -file-convert -cifti-version-convert run-1.ptseries.nii 2"),
        (write_truncated, "run-1.ptseries.nii", 65, "ends too early"),
        (write_truncated_gz, "run-1.nii.gz", 65, "Cannot read run-1.nii.gz"),
        (write_swapped, "run-1.npy", 65, "wrong order"),
        (write_pointer, "run-1.ptseries.nii", 66, "datalad get run-1.ptseries.nii"),
        (lambda: Path("run-1.ptseries.nii").symlink_to("gone"), "run-1.ptseries.nii", 66, "git-annex"),
    ],
)
def test_damaged_files_have_the_documented_exit_codes(files, capsys, spoil, run, code, message):
    spoil()
    assert main(["fit", "--check", *DATA, f"data.timeseries=[{run}]", "data.parcellation=labels.nii.gz"]) == code
    assert message in capsys.readouterr().err


def test_cifti_needs_no_repetition_time(files, subject, capsys):
    for k in (1, 2):
        write_ptseries(f"run-{k}.ptseries.nii", np.loadtxt(f"run-{k}.tsv", skiprows=1), subject.labels, 2.0)
    overrides = [
        "data.timeseries=[run-1.ptseries.nii,run-2.ptseries.nii]",
        "acquisition.tr_s=null",
        "data.cleaning.detrend=true",
    ]
    assert main(["fit", "--check", *DATA, *overrides]) == 0
    err = capsys.readouterr().err
    assert "search: run 1, 70 frames, TR 2 s" in err
    assert "timeseries: run-2.ptseries.nii (" in err


def test_cumulative_counts_are_accepted_and_said(files, capsys):
    counts = np.rint(np.loadtxt("FCD_CDF.csv") * 1275)
    np.savetxt("FCD_CDF.csv", counts, fmt="%d")
    assert main(["fit", "--check", *DATA, *STATISTICS]) == 0
    assert "note: FCD_CDF.csv holds cumulative counts" in capsys.readouterr().err


@pytest.mark.parametrize("subject", ["000123", "1e5", "true", "1_000"])
def test_ids_are_text(subject):
    assert compose([f"data.subject={subject}"]).data.subject == subject


def test_a_fit_out_of_range_is_told_by_its_exit_code(files, capsys, monkeypatch):
    monkeypatch.setattr("optim.fit.result.FitResult.in_range", False)
    assert fit() == 1
    assert "do not use this fit" in capsys.readouterr().err


def test_a_bug_is_told_as_a_bug(files, capsys, monkeypatch):
    monkeypatch.setattr("mfm.io.load_subject", lambda *_: 1 / 0)
    assert fit() == 70
    assert "bug in mfmfit" in capsys.readouterr().err


def test_every_configuration_group_composes():
    for group in ("model", "atlas", "acquisition", "objective", "optimizer", "data"):
        for file in sorted((CONF / group).glob("*.yaml")):
            # Gradients come from the theory only.
            compose([f"{group}={file.stem}", *(["objective=linear"] if file.stem == "gradient" else [])])
    for file in sorted((CONF / "experiment").glob("*.yaml")):
        compose([f"experiment={file.stem}"])
    for kind, choices in ((SimulationObjectiveConfig, []), (LinearObjectiveConfig, ["objective=linear"]),
                          (SurrogateObjectiveConfig, ["objective=surrogate"])):  # fmt: skip
        assert compose(choices).objective == kind()
    for kind, name in ((CMAESConfig, "cmaes"), (DelssomeConfig, "delssome"), (GradientConfig, "gradient")):
        assert compose([f"optimizer={name}", "objective=linear"]).optimizer == kind()
    with pytest.raises(ConfigError, match=r"objective is not chosen(.|\n)*objective=linear"):
        from_values({"objective": {"n_repeats": 2}})
    assert compose(["experiment=published_subject"]).model.bounds == "subject"
    assert compose(["optimizer=delssome"]).optimizer.starts == 5


TABLE = "outputs/sub-01/sub-01_atlas-unnamed_desc-fic_regional.tsv"


def test_simulate_repeats_the_test_of_a_fit(files):
    assert fit("output.timeseries=true") == 0
    seed = json.loads(Path(TABLE).with_suffix(".json").read_text())["noise_seeds"]["test"]
    assert main(["simulate", "--parameters", TABLE, "--sc", "SC.csv", "--seed", str(seed), "--out", "sim"]) == 0
    assert np.load("sim/bold.npy") == pytest.approx(np.load(TABLE.replace("regional.tsv", "bold.npy")), rel=1e-4)
    assert np.load("sim/fc.npy").shape == (8, 8)
    assert np.load("sim/fcdcdf.npy")[-1] == 1


def test_simulate_joins_by_name(files):
    assert fit() == 0
    arguments = ["simulate", "--tr", "2", "--frames", "70", "--parameters", TABLE, "--sc"]
    assert main([*arguments, "SC.csv", "--out", "plain"]) == 0
    names = [row.split("\t")[1] for row in Path(TABLE).read_text().splitlines()[1:]]
    order = np.random.default_rng(0).permutation(8)
    shuffled = np.loadtxt("SC.csv", delimiter=",")[np.ix_(order, order)]
    np.savetxt("named.csv", shuffled, delimiter=",", header=",".join(names[k] for k in order), comments="")
    assert main([*arguments, "named.csv", "--out", "named"]) == 0
    plain, named = ({r.split("\t")[1] for r in Path(f"{x}/regional.tsv").read_text().splitlines()} for x in ("plain", "named"))
    assert plain == named
    record = json.loads(Path("named/simulation.json").read_text())
    assert record["status"] == ["OK"]


def test_simulate_with_wrong_input(files, capsys):
    arguments = ["simulate", "--sc", "SC.csv", "--sc-transform", "log1p", "--out", "sim"]
    assert main([*arguments, "--parameters", "myelin.csv", "--tr", "2", "--frames", "70"]) == 65
    assert "w_EE, w_EI, sigma" in capsys.readouterr().err
    Path("p.csv").write_text("w_EE,w_EI,sigma\n" + "3,2.5,0.005\n" * 8)
    assert main([*arguments, "--parameters", "p.csv", "--tr", "2", "--frames", "70"]) == 2
    assert "--G VALUE" in capsys.readouterr().err
    assert main([*arguments, "--parameters", "p.csv", "--G", "1"]) == 2
    assert "--tr SECONDS" in capsys.readouterr().err
    assert main([*arguments, "--parameters", "p.csv", "--G", "1", "--tr", "2", "--frames", "70", "--repeats", "0"]) == 2
    assert main([*arguments, "--parameters", "p.csv", "--G", "1", "--tr", "2", "--frames", "70"]) == 0


def heed_interrupts():
    """A shell that runs the tests in the background makes its children ignore the signal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(*arguments):
    command = [sys.executable, "-m", "optim.cli", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)


def test_ctrl_c_ends_with_a_code_and_the_same_command_resumes(files, capsys, monkeypatch):
    # Long enough that the signal arrives in time on a busy machine.
    command = ["fit", *QUICK, *DATA, "optimizer.generations=80"]
    process = run(*command)
    while not list((files / "outputs").rglob("search-0.safetensors")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(timeout=60) == 75
    assert "the same command goes on" in rest
    assert not list((files / "outputs").rglob("*_fit.tsv"))
    monkeypatch.setattr("optim.cli.console.EVERY_S", 0.0)
    assert main(command) == 0
    resumed = (files / "outputs/sub-01/sub-01_atlas-unnamed_desc-fic_fit.tsv").read_text()
    told = capsys.readouterr().err
    assert "generation 80 of 80" in told
    assert "generation 1 of 80" not in told
    assert main([*command, "output.folder=whole"]) == 0
    assert resumed == (files / "whole/sub-01/sub-01_atlas-unnamed_desc-fic_fit.tsv").read_text()


def test_sweeps_write_each_job_into_its_own_folder(files):
    script = SCRIPTS / "fit.py"
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    arguments = [sys.executable, str(script), "-m", "optimizer.seed=1,2", *QUICK, *DATA]
    subprocess.run(arguments, check=True, capture_output=True, env=quiet)
    jobs = sorted(path.parts[1] for path in Path("outputs").glob("*/sub-01/*_fit.tsv"))
    assert jobs == ["optimizer.seed=1", "optimizer.seed=2"]
    again = subprocess.run(arguments, check=True, capture_output=True, text=True, env=quiet)
    assert again.stderr.count("already done") == 2


def test_refines_as_a_stage_and_as_a_command(files, capfd):
    quick = ["placebos=0", "spins=0", "starts=1", "bins=4", "polish=0", "figures=false"]
    assert fit("refine.run=true", *(f"refine.{setting}" for setting in quick)) == 0
    assert "evidence for a residual" in capfd.readouterr().out
    assert main(["refine", "outputs/sub-01", *quick]) == 0
    assert "already done" in capfd.readouterr().err
    # Of several people one that fails does not stop the others.
    other = shutil.copytree("outputs/sub-01", "outputs/sub-02")
    (path,) = Path(other).glob("*fic_regional.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, "inputs": record["inputs"][1:]}), encoding="utf-8")
    arguments = ["refine", "outputs/sub-01", other, "--jobs", "2", *quick]
    assert main(arguments) == 65
    told = capfd.readouterr().err
    assert "sub-01: this refinement is already done" in told
    assert "sub-02: error: The data are not those of the fit." in told
    assert "1 of 2 people done; failed: sub-02" in told
    assert main(["refine", *quick]) == 2
    assert main(["refine", "outputs/sub-01", "nowhere", *quick]) == 66
    capfd.readouterr()
    # The refinement is no part of what decides the fit.
    assert fit() == 0
    assert "this fit is already done" in capfd.readouterr().err
    np.savetxt("SC.csv", np.full((8, 8), 2.0), delimiter=",")
    assert main(["refine", "outputs/sub-01", *quick]) == 65
    assert "other content: sc" in capfd.readouterr().err
