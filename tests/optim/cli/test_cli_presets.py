"""The presets: one default for the command line and for Python, and no range that follows the fitted data unless asked for."""

import json

import numpy as np
import pytest

import mfm
from mfm.errors import InputNote
from optim.cli.main import main
from optim.cli.settings import compose
from optim.config import FitConfig, ModelConfig
from optim.fit.locate import locate
from optim.fit.stages import Stages

OBJECTIVES = ("simulation", "linear", "surrogate")


def test_the_command_line_and_python_have_one_default():
    config = locate(compose()).config
    assert config.deciding() == FitConfig().deciding()
    assert (config.model, config.objective, config.optimizer) == (ModelConfig(), FitConfig().objective, FitConfig().optimizer)


@pytest.mark.parametrize("experiment", [None, "subject", "published", "quick"])
def test_no_range_follows_the_fitted_data_unless_asked_for(experiment):
    config = compose([] if experiment is None else [f"experiment={experiment}"])
    assert config.model.bounds == "group"


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_persons_burn_in_survives_the_choice_of_objective(objective):
    config = compose(["experiment=subject", f"objective={objective}"])
    assert config.objective.search == objective
    assert config.objective.burn_in_s == 72.0
    assert config.model.min_std == {"w_EI": 0.3}
    assert compose(["experiment=subject", f"objective={objective}", "objective.burn_in_s=90"]).objective.burn_in_s == 90


def test_what_is_published_is_asked_for_by_name():
    group, person = compose(["experiment=published"]), compose(["experiment=published_subject"])
    for config in (group, person):
        assert (config.objective.search, config.objective.scheme, config.optimizer.name) == ("simulation", "euler", "delssome")
        assert config.optimizer.starts == 5
    assert (group.model.bounds, group.objective.burn_in_s) == ("group", 144.0)
    assert (person.model.bounds, person.model.min_std, person.objective.burn_in_s) == ("subject", {"w_EI": 0.3}, 72.0)


def fc_of_mean(subject, mean):
    """The subject with an FC of another mean."""
    from dataclasses import replace

    fc = np.full((subject.n_regions,) * 2, mean) + 0.01 * subject.search.target.fc.numpy()
    np.fill_diagonal(fc, 1.0)
    target = mfm.Target(fc, subject.search.target.fcd_cdf, subject.search.target.labels)
    return replace(subject, search=replace(subject.search, target=target))


def test_two_people_have_one_range_by_default_and_their_own_only_on_request(subject, config):
    from dataclasses import replace

    people = [fc_of_mean(subject, mean) for mean in (0.2, 0.45)]
    assert len({config.model.parameterisation(person).bounds.w_EI for person in people}) == 1
    assert Stages.prepare(people[0], config).notes == ()
    asked = replace(config, model=replace(config.model, bounds="subject"))
    assert len({asked.model.parameterisation(person).bounds.w_EI for person in people}) == 2
    with pytest.warns(InputNote, match=r"(?s)w_EI was set by the subject's own mean FC.*Do not compare people by w_EI or E/I"):
        Stages.prepare(people[0], asked)
    # A range of one's own follows nothing.
    own = replace(asked, model=replace(asked.model, ranges={"w_EI": [1.0, 4.0]}))
    assert Stages.prepare(people[0], own).notes == ()


def write_inputs(subject, folder):
    np.savetxt(folder / "SC.csv", subject.search.sc.weights * 1e4, delimiter=",")
    p = mfm.MapParameterisation(subject.maps).to_parameters([[3.3, 0, 0, 2.6, -0.3, 0.05, 2.5, 0.005, 0, 0]])
    # Long enough a burn-in that the first frames are like the others.
    runs = mfm.simulate(p, subject.search.sc, mfm.Protocol(2.0, 80, 0.005, burn_in_s=60, warm_up_s=5), 2, seed=3).bold[0]
    for name, run in zip(("run-1", "run-2"), runs, strict=True):
        header = "\t".join(subject.labels)
        np.savetxt(folder / f"{name}.tsv", run.numpy(), delimiter="\t", header=header, comments="")
    for name, values in zip(subject.maps.names, subject.maps.values, strict=True):
        np.savetxt(folder / f"{name}.csv", values)


def test_a_range_by_mean_fc_is_printed_stored_and_warned_of(subject, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_inputs(subject, tmp_path)
    settings = [
        *("acquisition.tr_s=2.0", "data.subject=01", "data.sc=SC.csv", "data.sc_transform=none"),
        *("data.timeseries=[run-1.tsv,run-2.tsv]", "data.maps={myelin: myelin.csv, gradient: gradient.csv}"),
        *("optimizer.population=8", "optimizer.generations=2", "optimizer.initial_candidates=12", "optimizer.starts=1"),
        *("objective.n_repeats=1", "objective.burn_in_s=8", "objective.warm_up_s=2", "objective.dt_test_s=0.005"),
        *("output.figures=false", "model.min_std.w_EI=0"),
    ]
    assert main(["fit", "experiment=published_subject", *settings]) in (0, 1)
    out, err = capsys.readouterr()
    assert "note: The range of w_EI was set by the subject's own mean FC" in err
    assert "model.bounds=group" in err
    assert "mean E/I ratio" in out
    assert "its level is not determined by FC and FCD" in out
    (path,) = tmp_path.glob("outputs/sub-01/*fic_regional.json")
    assert any("Do not compare people by w_EI" in note for note in json.loads(path.read_text(encoding="utf-8"))["notes"])
