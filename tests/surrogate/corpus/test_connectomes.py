import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm.errors import ConfigError, InputError, MissingInputError
from surrogate.corpus.config import ConnectomesConfig, CorpusConfig
from surrogate.corpus.connectomes import (
    corpus_connectomes,
    draw_connectome,
    perturb_connectome,
    real_connectomes,
    smooth_maps,
)

HEADER = "name\tsc\ttransform\tsplit\tmaps\tfc\n"


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_generated_and_perturbed_connectomes_are_connectomes(seed):
    rng = np.random.default_rng(seed)
    parent = draw_connectome("g", "train", [10, 60], rng)
    for found in (parent, perturb_connectome(parent, "p", rng)):
        weights = found.connectome.weights
        assert weights.max() == pytest.approx(0.02, rel=1e-6)
        assert (np.diag(weights) == 0).all()
        assert found.maps.shape == (0, len(weights))
    assert 10 <= parent.n_regions <= 60


def test_maps_are_standardised_and_alike_in_connected_regions():
    rng = np.random.default_rng(0)
    weights = draw_connectome("g", "train", [60, 60], rng).weights.astype(float)
    scale = 1 / np.sqrt(weights.sum(axis=1))
    normalised = scale[:, None] * weights * scale
    alike = []
    for _ in range(50):
        maps = smooth_maps(weights, 2, rng)
        np.testing.assert_allclose(maps.mean(axis=1), 0, atol=1e-9)
        np.testing.assert_allclose(maps.std(axis=1), 1, rtol=1e-6)
        alike.append(maps[0] @ normalised @ maps[0] / 60)
    # 0 in the mean for white noise, whose standard error over 50 maps is 0.02.
    assert np.mean(alike) > 0.1


@pytest.fixture
def table(tmp_path):
    counts = np.random.default_rng(0).integers(2, 1000, size=(12, 12))
    counts = counts + counts.T
    np.savetxt(tmp_path / "sc.csv", counts, delimiter=",")
    np.savetxt(tmp_path / "map.csv", np.arange(12.0), delimiter=",")
    path = tmp_path / "table.tsv"
    path.write_text(HEADER + "a\tsc.csv\tlog\ttrain\tmap.csv\tn/a\nb\tsc.csv\tlog1p\ttest\tn/a\tn/a\n")
    return path


def test_variants_are_made_of_training_connectomes_only_and_more_of_them_change_no_other(table):
    few = corpus_connectomes(CorpusConfig(connectomes=ConnectomesConfig(str(table), n_perturbed=2, n_generated=2)))
    more = corpus_connectomes(CorpusConfig(connectomes=ConnectomesConfig(str(table), n_perturbed=4, n_generated=2)))
    assert {c.split for c in more if c.kind == "perturbed"} == {"train"}
    digests = {c.name: c.digest for c in more}
    assert len(more) == 8
    assert all(digests[c.name] == c.digest for c in few)


def test_a_table_is_checked(table, tmp_path):
    assert [c.name for c in real_connectomes(table)] == ["a", "b"]
    with pytest.raises(MissingInputError, match="no table of connectomes"):
        real_connectomes(tmp_path / "none.tsv")
    table.write_text("name,sc,transform,split\n")
    with pytest.raises(InputError, match="commas instead of tabs"):
        real_connectomes(table)
    table.write_text(HEADER + "a\tsc.csv\tlog\ttraining\tn/a\tn/a\n")
    with pytest.raises(InputError, match=r"Line 2 of .*(.|\n)*train \| validation \| test"):
        real_connectomes(table)
    table.write_text(HEADER + 2 * "a\tsc.csv\tlog\ttrain\tn/a\tn/a\n")
    with pytest.raises(InputError, match="occur twice"):
        real_connectomes(table)


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="needs connectomes to perturb"):
        ConnectomesConfig(n_perturbed=3)
    with pytest.raises(ConfigError, match="There is no connectome"):
        ConnectomesConfig(n_generated=0)
    with pytest.raises(ConfigError, match="1 or an even number"):
        CorpusConfig(test_repeats=3)
    for half in ({"sources": ["surrogate"]}, {"surrogate": "fic"}):
        with pytest.raises(ConfigError, match=r"(?s)go together.*fix: surrogate=fic sources=\[surrogate\]"):
            CorpusConfig(**half)
    with pytest.raises(ConfigError, match="two windows of FCD"):
        CorpusConfig(scan_s=[60.0, 300.0, 600.0])
