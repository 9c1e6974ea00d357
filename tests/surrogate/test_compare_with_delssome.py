"""The predictor of the cost itself that the surrogate is compared with: its targets, that it learns, that it is judged."""

import importlib

import pytest
import torch
from repository import SCRIPTS

import mfm
from mfm.statistics.fc import square_matrix
from surrogate.data import load_groups
from surrogate.fcd_grid import from_grid


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("compare_with_delssome")


def test_its_targets_are_the_terms_of_the_cost(script, corpus):
    group = load_groups(corpus, "train")[0]
    shard = script.Shard(corpus, group)
    assert len(shard) == int(group.labels.stayed.sum())
    i, j = torch.arange(len(shard)), torch.zeros(len(shard), dtype=torch.long)
    found = shard.terms(i, j).double()
    target = mfm.Target(shard.fc[0].double(), from_grid(shard.cdf[:1].double(), 2000)[0])
    cost = mfm.cost(shard.fc.double(), from_grid(shard.cdf.double(), 2000), target)
    torch.testing.assert_close(found[:, 0], cost.corr, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[:, 1], cost.mean_diff, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[:, 2], cost.ks, atol=0.02, rtol=0)  # on the grid, and on bins
    assert torch.equal(square_matrix(group.labels.fc[group.labels.stayed].float()), shard.fc)


def test_it_learns_and_is_judged_on_connectomes_that_it_never_saw(script, corpus):
    shards = [shard for shard in (script.Shard(corpus, group) for group in load_groups(corpus, "train")) if len(shard) > 1]
    steps = 60
    learned = script.train(shards, steps, seed=1)
    untrained = script.CostPredictor(max(len(shard.sc) for shard in shards))

    def error(network) -> float:
        shard = shards[0]
        i, j = torch.arange(len(shard)), torch.arange(len(shard)).flip(0)
        with torch.no_grad():
            found = network(shard.parameters[i], shard.sc, shard.timing, shard.fc[j], shard.cdf[j])
        return float((found - shard.terms(i, j)).square().mean())

    assert error(learned) < 0.5 * error(untrained)
    judged = script.judge(learned, corpus)
    assert set(judged) == {group.shard.connectome for group in load_groups(corpus, "test")}
