"""What is made once per fit, and what follows the terms of the cost."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from config_choices import chosen

import mfm
from mfm.errors import ConfigError, OutputError
from mfm.statistics import Term
from optim.cli.fit import fit_and_write
from optim.config import (
    CMAESConfig,
    FitConfig,
    GradientConfig,
    LinearObjectiveConfig,
    ObjectiveConfig,
    OptimizerConfig,
    SimulationObjectiveConfig,
    SurrogateObjectiveConfig,
)
from optim.fit import stages as stages_module
from optim.fit.protocol import fit_subject
from optim.objectives.rows import as_record, column_names
from optim.report.folder import FitFolder
from optim.search.run import Generation
from surrogate import untrained


def test_the_surrogate_is_read_once_per_fit(subject, config, tmp_path, monkeypatch):
    untrained().save(tmp_path / "surrogate")
    objective = chosen(config.objective, SurrogateObjectiveConfig, surrogate=str(tmp_path / "surrogate"), gate="none", audits=1)
    read, load = [], stages_module.load_pretrained

    def counted(name):
        read.append(name)
        return load(name)

    monkeypatch.setattr(stages_module, "load_pretrained", counted)
    config = replace(config, objective=replace(objective, audit_candidates=3), optimizer=replace(config.optimizer, starts=2))
    assert fit_and_write(subject, config) is not None
    assert read == [str(tmp_path / "surrogate")]


def test_a_new_term_shows_in_scores_and_tables(subject, config, monkeypatch):
    spread = Term("spread", "std diff", "of FC", lambda found, target: (found.pairs.std(dim=1) - 0.1).abs())
    monkeypatch.setitem(mfm.Cost.TERMS, "spread", spread)
    result = fit_and_write(subject, config)
    score = result.stages[-1]
    assert score.cost.spread > 0
    assert score.total == pytest.approx(score.cost.corr + score.cost.mean_diff + score.cost.ks + score.cost.spread)
    folder = FitFolder(config)
    for name, column in (("fit", "spread"), ("trace", "best_spread")):
        with open(folder.file(f"{name}.tsv"), newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t"))
        assert float(rows[-1][column]) > 0
    record = json.loads(folder.file("regional.json").read_text(encoding="utf-8"))
    assert record["stages"][-1]["spread"] == pytest.approx(score.cost.spread)


def test_columns_are_those_of_the_published_tables():
    assert column_names(Generation) == [
        *("start", "generation", "best_total", "best_corr", "best_mean_diff", "best_ks", "median_loss", "step"),
        *("share_in_range", "n_simulated", "seconds"),
    ]
    cost = mfm.CostValues({"corr": 0.5, "mean_diff": 0.25, "ks": 0.125})
    score = stages_module.StageScore("test", cost, 3, 1, True, 0.0005, 0.001)
    assert as_record(score) == {
        "stage": "test", "corr": 0.5, "mean_diff": 0.25, "ks": 0.125, "total": 0.875,
        "realisations": 3, "candidates": 1, "in_range": True, "dt_s": 0.0005, "total_se": 0.001,
    }  # fmt: skip


def test_a_checkpoint_of_another_fit_is_refused(subject, config, tmp_path):
    fit_subject(subject, config, tmp_path / "work")
    kept = tmp_path / "work/search-0.safetensors"
    assert b"numpy.core" not in kept.read_bytes().replace(b"numpy._core", b"numpy.core")  # as a pickle of arrays would name it
    other = replace(config, optimizer=replace(config.optimizer, seed=2))
    with pytest.raises(OutputError, match=r"search-0.safetensors is of other data, settings or version"):
        fit_subject(subject, other, tmp_path / "work")


def test_bold_is_simulated_where_it_is_asked_for(subject, config):
    assert fit_subject(subject, config).bold is None
    result = fit_subject(subject, replace(config, output=replace(config.output, timeseries=True)))
    fc = np.mean([np.corrcoef(run.T) for run in result.bold], axis=0)
    np.testing.assert_allclose(fc, result.test.fc[0].numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LinearObjectiveConfig(audits=7), TypeError, "audits"),
        (lambda: SimulationObjectiveConfig(validated=5), TypeError, "validated"),
        (lambda: GradientConfig(initial_step=0.1), TypeError, "initial_step"),
        (lambda: SimulationObjectiveConfig(search="linear"), ConfigError, r"which class(.|\n)*LinearObjectiveConfig"),
        (lambda: CMAESConfig(name="gradient"), ConfigError, r"which class(.|\n)*GradientConfig"),
        (lambda: CMAESConfig(name="adam"), ConfigError, r"unknown value(.|\n)*cmaes \| delssome \| gradient"),
        (lambda: FitConfig(objective=ObjectiveConfig()), ConfigError, r"none of the choices(.|\n)*SurrogateObjectiveConfig"),
        (lambda: FitConfig(optimizer=OptimizerConfig()), ConfigError, r"none of the choices(.|\n)*CMAESConfig"),
    ],
)
def test_a_setting_that_does_not_apply_is_an_error(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_what_decides_the_numbers_of_a_fit(config):
    def deciding(**changes):
        return json.dumps(replace(config, **changes).deciding(), sort_keys=True)

    surrogate = chosen(config.objective, SurrogateObjectiveConfig)
    assert deciding(objective=replace(surrogate, surrogate="elsewhere", n_threads=2)) == deciding(objective=surrogate)
    others = [surrogate, replace(surrogate, audits=7), chosen(config.objective, LinearObjectiveConfig), config.objective]
    assert len({deciding(objective=objective) for objective in others}) == 4
