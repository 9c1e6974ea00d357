"""Several noises judge the penalty path, and every stage's cost has its error."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import mfm
from optim.cli.fit import fit_and_write, stages_table
from optim.fit.protocol import fit_subject
from optim.fit.stages import REPEATS, Stages
from optim.report.folder import FitFolder
from optim.search.regional import Validated


def validated(totals, within=None):
    totals = torch.as_tensor(totals, dtype=torch.float64)
    zero = torch.zeros_like(totals)
    within = torch.ones_like(totals, dtype=torch.bool) if within is None else torch.as_tensor(within)
    return Validated(mfm.Cost(totals, zero, zero), within)


def test_a_point_that_is_better_by_chance_is_not_chosen():
    # The differences between the points are far below what noise moves: as measured on the demo subject.
    rng = np.random.default_rng(0)
    strengths = [0, 0]
    for _ in range(100):
        noise = 0.08 * rng.normal(size=(16, 5))
        strengths[0] += validated(noise).chosen == 0
        strengths[1] += validated(noise[:1]).best == 0
    assert strengths[1] < 40  # one noise chooses any of the five
    assert strengths[0] > 50  # though five that are alike are the hardest case


def test_a_point_that_is_truly_better_is_chosen():
    rng = np.random.default_rng(0)
    shared = 0.1 * rng.normal(size=(16, 1))  # the same noise moves all points alike: differences are known better than costs
    found = validated(0.5 + shared + np.array([0.05, 0.02, 0.0, 0.0]) + 0.01 * rng.normal(size=(16, 4)))
    assert found.chosen in (2, 3)
    excess, error = found.excess()
    assert excess[found.best] == error[found.best] == 0
    assert excess[0] == pytest.approx(0.05, abs=4 * 0.01 * np.sqrt(2 / 16))
    assert found.total_se()[0] > 3 * error[0]


def test_who_leaves_the_range_more_often_is_not_chosen():
    within = np.ones((4, 3), dtype=bool)
    within[1, 0] = within[2, 2] = False
    assert validated(np.tile([0.1, 0.5, 0.2], (4, 1)), within).chosen == 1
    unknown = np.tile([0.1, 0.5, 0.6], (4, 1))
    unknown[0, 0] = np.nan
    assert validated(unknown).chosen == 1


def test_every_stage_has_the_error_of_its_cost(subject, config):
    result = fit_and_write(subject, config)
    stages = Stages(subject, config)
    for score, purpose in zip(result.stages, ("rescore", "validation", "test"), strict=True):
        keys = stages.keys(purpose, 1 + REPEATS)
        totals = [float(stages.objective(score.stage).evaluate(result.parameters, key).cost.total) for key in keys]
        assert totals[0] == score.total
        assert score.total_se == pytest.approx(np.std(totals[1:], ddof=1))
    assert result.stages[2].total_se == pytest.approx(result.ceiling.test_std)
    with open(FitFolder(config).file("fit.tsv"), newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert [float(row["total_se"]) for row in rows] == pytest.approx([score.total_se for score in result.stages])
    record = json.loads(FitFolder(config).file("regional.json").read_text(encoding="utf-8"))
    assert record["stages"][1]["total_se"] == pytest.approx(result.stages[1].total_se)
    validation = next(line for line in stages_table(result).splitlines() if line.startswith("validation"))
    assert f"+- {result.stages[1].total_se:.3f}" in validation


def test_stages_are_announced_with_the_time_that_those_before_tell(subject, config):
    told = []
    fit_subject(subject, replace(config), announce=lambda name, seconds: told.append((name, seconds)))
    assert [name for name, _ in told] == ["search", "validation", "identifiability", "test"]
    expected = dict(told)
    assert expected["search"] is None
    assert expected["validation"] > 0
    assert expected["test"] > 0
