"""`mfmfit ude`: what it prints and writes, how it goes on, and how it fails."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from repository import ROOT, SCRIPTS

import mfm
import optim.ude.fit as ude_fit
from mfm.ude import FICMechanism, Hybrid, Library, ResidualBasis, simulate_paths
from optim.cli.main import main
from optim.cli.settings import compose
from optim.config.ude import UDEConfig

DECAY = [
    "model.states=[x]", "data.files=[decay.tsv]", "residual.target=x", "residual.inputs=[x]", "residual.hidden=[4]",
    "training.iterations=24", "training.starts=2", "extraction.degree=1", "output.figures=false",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """``dx/dt = -x`` with a column of times, one of which is missing."""
    monkeypatch.chdir(tmp_path)
    t = 0.1 * np.arange(120)
    x = np.exp(-0.2 * t) + 0.01 * np.random.default_rng(0).normal(size=120)
    np.savetxt("decay.tsv", np.delete(np.c_[t, x], 17, axis=0), header="time\tx", comments="", delimiter="\t")
    return tmp_path


def ude(*settings):
    return main(["ude", *DECAY, *settings])


def scores(folder, name="series"):
    lines = (folder / f"outputs/ude-{name}/ude-{name}_scores.tsv").read_text().splitlines()
    header = lines[0].split("\t")
    return {cells[0]: dict(zip(header, cells, strict=True)) for cells in (line.split("\t") for line in lines[1:])}


def test_a_fit_writes_its_report_and_is_left_alone_afterwards(folder, capsys):
    assert ude("output.figures=true", "training.starts=5") == 0
    printed = capsys.readouterr()
    assert "start 5" in printed.out
    assert "mechanism" in printed.out
    assert "119" not in printed.err  # the gap is a missing sample of 120
    assert "0.8% missing" in printed.err
    out = folder / "outputs/ude-series"
    record = json.loads((out / "ude-series_fit.json").read_text())
    assert record["measure"].startswith("root mean square error of free runs")
    assert record["config"]["training"]["iterations"] == 24
    page = (out / "report.html").read_text()
    assert all(f"figures/{name}.png" in page and (out / f"figures/{name}.png").is_file() for name in ("trajectories", "loss"))
    assert not (out / "work").exists()
    rows = scores(folder)
    chosen = [row for row in rows.values() if row["chosen"] == "true" or row["chosen"] == "True"]
    assert len(chosen) == 1
    assert float(chosen[0]["validation"]) == min(float(row["validation"]) for k, row in rows.items() if k.startswith("start"))

    assert ude("output.figures=true", "training.starts=5") == 0
    assert "already done" in capsys.readouterr().err
    assert ude("training.step=0.01") == 73
    assert "other data, settings or version" in capsys.readouterr().err


def test_sums_of_terms_come_with_errors_and_hidden_data_do_not_matter(folder):
    assert ude("residual=basis", "residual.terms=[x]", "residual.hidden=[4]", "training.starts=1") == 0
    cells = (folder / "outputs/ude-series/ude-series_terms.tsv").read_text().splitlines()[1].split("\t")
    coefficient, error = float(cells[2]), float(cells[3])
    assert abs(coefficient + 0.2) < 4 * error < 0.1
    rows = scores(folder)
    assert float(rows["formula"]["test"]) < 2 < float(rows["mechanism"]["test"])

    # The test data may be anything: what was learned and chosen stays.
    table = (folder / "decay.tsv").read_text().splitlines()
    changed = [*table[:100], *(f"{line.split()[0]}\t7" for line in table[100:])]
    (folder / "decay.tsv").write_text("\n".join(changed) + "\n")
    assert ude("residual=basis", "residual.terms=[x]", "residual.hidden=[4]", "training.starts=1", "data.name=other",
               "data.noise_std=[0.0099]") == 0  # fmt: skip
    other = scores(folder, "other")
    assert float(other["formula"]["test"]) > 100


def test_an_interrupted_fit_goes_on(folder, monkeypatch, capsys):
    kept = []
    quick = "extraction.method=none"
    whole = ude_fit.fit_ude(compose([*DECAY, quick], "ude/fit", UDEConfig))
    original = ude_fit.fit_stages

    def interrupted(model, series, stages, on_progress, resume):
        def stop(number, state, states):
            on_progress(number, state, states)
            if number == 2 and state.iteration == 3 and not kept:
                kept.append(len(states()))
                raise KeyboardInterrupt

        return original(model, series, stages, stop, resume)

    monkeypatch.setattr(ude_fit, "fit_stages", interrupted)
    assert ude(quick) == 75
    assert "goes on where this one stopped" in capsys.readouterr().err
    assert (folder / "outputs/ude-series/work/training.safetensors").is_file()
    assert kept == [3]
    assert ude(quick) == 0
    resumed = np.load(folder / "outputs/ude-series/ude-series_weights.npz")
    for name, value in whole.found.model.state_dict().items():
        assert np.array_equal(resumed[name], value.numpy()), name


def test_neural_series_of_many_regions(folder):
    """FIC, path likelihood: a term in I_E that regions share by a map; scores are those of increments."""
    rng = np.random.default_rng(0)
    names = ["lh-bankssts", "lh-cuneus", "rh-bankssts", "rh-cuneus"]
    weights = 0.02 * (np.ones((4, 4)) - np.eye(4)) * rng.random((4, 4)).round(2).clip(0.1)
    weights = (weights + weights.T) / 2
    p = mfm.FICParameters(np.full((1, 4), 3.0), np.full((1, 4), 2.5), np.full((1, 4), 0.01), [1.0])
    sc = mfm.Connectome(weights / weights.max() * 0.02, tuple(names))
    np.savetxt("SC.csv", sc.weights, delimiter=",", header=",".join(names), comments="")
    rows = [f"{name}\t3.0\t2.5\t0.01" for name in names]
    (folder / "regional.tsv").write_text("\n".join(["region\tw_EE\tw_EI\tsigma", *rows]) + "\n")
    (folder / "h.csv").write_text("\n".join(["-1.5", "0.2", "0.4", "0.9"]))
    maps = mfm.RegionalMaps([[-1.5, 0.2, 0.4, 0.9]], ("h",))
    term = ResidualBasis("I_E", ("S_E",), maps=maps, library=Library.of(("S_E", "h"), ["S_E h"]), coefficients=[0.3])
    paths = simulate_paths(Hybrid(FICMechanism(p, sc), term), 0.001, 2500, n_repeats=2, warm_up_s=0.2)[0].numpy()
    for k in range(2):
        for c, state in enumerate(("S_E", "S_I")):
            order = [2, 0, 3, 1]  # joined by name
            header = "\t".join(names[j] for j in order)
            np.savetxt(f"{state}-{k}.tsv", paths[k][:, order, c], header=header, comments="", delimiter="\t")
    settings = [
        "ude", "model=fic", "model.parameters=regional.tsv", "model.G=1.0", "model.sc=SC.csv", "model.sc_transform=none",
        "model.maps={h: h.csv}", "data.channels={S_E: [S_E-0.tsv,S_E-1.tsv], S_I: [S_I-0.tsv,S_I-1.tsv]}", "data.dt=0.001",
        "data.noise_std=[1e-9,1e-9]", "residual=basis", "residual.target=I_E", "residual.inputs=[S_E]", "residual.maps=[h]",
        "residual.terms=[S_E h]", "loss=path", "training.iterations=30", "training.starts=1", "output.figures=false",
    ]  # fmt: skip
    assert main(settings) == 0
    cells = (folder / "outputs/ude-series/ude-series_terms.tsv").read_text().splitlines()[1].split("\t")
    assert abs(float(cells[2]) - 0.3) < 4 * float(cells[3]) < 0.3
    rows = scores(folder)
    assert float(rows["formula"]["test"]) < float(rows["mechanism"]["test"])


def test_a_mechanism_of_the_users_own(folder):
    (folder / "own_model.py").write_text(
        "import torch\n"
        "class Decay:\n"
        "    states, currents, parameters, time_unit = ('x',), (), ('rate',), '1'\n"
        "    def drift(self, x, inputs):\n"
        "        added = torch.as_tensor(inputs.added('rate'))\n"
        "        return -(0.1 + added[..., None] if added.ndim else 0.1 + added) * x\n"
    )
    own = ["model.name=own_model:Decay", "model.mode=series"]
    assert ude(*own, "residual=basis", "residual.target=rate", "residual.inputs=[]", "residual.terms=['1']",
               "training.starts=1") == 0  # fmt: skip
    cells = (folder / "outputs/ude-series/ude-series_terms.tsv").read_text().splitlines()[1].split("\t")
    assert abs(float(cells[2]) - 0.1) < 4 * float(cells[3]) < 0.1


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        (["data.files=[nothing.tsv]"], 66, "nothing.tsv"),
        (["data.files=[]"], 2, "files or as channels"),
        (["data.time_unit=ms"], 65, "different units of time"),
        (["model.states=[y]", "residual.target=y", "residual.inputs=[y]"], 65, "no state x"),
        (["model.states=[]"], 2, "names of its states"),
        (["residual.target="], 2, "residual.target has no value"),
        (["residual.kind=forest"], 2, "residual.kind has an unknown value"),
        (["residual.maps=[h]"], 2, "maps that are not given: h"),
        (["residual.hidden=[60,60]"], 65, "fewer samples than parameters"),
        (["loss=latent_sde"], 2, "needs its process noise"),
        (["loss.observer=kalman"], 2, "loss.observer has an unknown value"),
        (["loss.end=1.0"], 65, "has seen the data"),
        (["training.epochs=3"], 2, "epochs"),
        (["split.train=0.99"], 65, "cannot be split by time"),
        (["model.name=lorenz"], 2, "module:object"),
        (["model.name=no_such_module:Lorenz"], 2, "cannot be had"),
        (["model=fic"], 2, "model.parameters"),
        (["extraction.terms=['x^q']"], 65, "Unknown term"),
        (["extraction.degree=30"], 65, "more terms than the data can carry"),
        (["data.dt=0.07"], 65, "regular grid"),
    ],
)
def test_what_is_refused_before_any_work(folder, capsys, settings, code, message):
    assert ude(*settings) == code
    assert message in capsys.readouterr().err
    assert not (folder / "outputs").exists()


def test_check_only(folder, capsys):
    assert ude("--check") == 0
    assert "nothing contradicts" in capsys.readouterr().err
    assert not (folder / "outputs").exists()


def test_a_collinear_library_is_said_and_no_formula_printed(folder, capsys):
    assert ude("extraction.degree=6") == 0
    assert "no formula" in capsys.readouterr().out
    assert "nan" not in (folder / "outputs/ude-series/ude-series_terms.tsv").read_text()


@pytest.mark.slow
def test_a_sweep_writes_a_folder_for_every_job(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPTS / "ude.py"), "-m", *DECAY, "extraction.method=none", "residual.hidden=[3],[4]"]
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=folder)
    for job, hidden in enumerate(("-3-", "-4-")):
        (made,) = (folder / "outputs").glob(f"residual.hidden={hidden}-*")
        record = json.loads((made / "ude-series/ude-series_fit.json").read_text())
        assert record["config"]["residual"]["hidden"] == [3 + job]
