import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mfm
from mfm.errors import InputError, MissingInputError, OutputError
from surrogate.corpus.build import build_corpus, fcd_step
from surrogate.corpus.store import Corpus
from surrogate.fcd_grid import to_grid


def contents(config) -> dict[str, bytes]:
    folder = Path(config.folder)
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shards/*.npy"))}


def test_a_record_is_what_simulating_its_parameters_gives(small):
    corpus = build_corpus(small)
    shard = next(shard for shard in corpus.shards if shard.split == "test")
    records = corpus.records(shard)
    p = mfm.FICParameters(*(records[name].astype(float) for name in ("w_EE", "w_EI", "sigma", "G")))
    sim = mfm.simulate(p, corpus.connectome(shard.connectome), shard.protocol, shard.repeats, records["seed"].tolist())
    np.testing.assert_allclose(records["rate_E"], sim.rate_E, rtol=1e-5)
    fc = mfm.upper_triangle(mfm.functional_connectivity(sim.bold)).numpy()
    cdf = to_grid(mfm.fcd_cdf(sim.bold, shard.protocol.window_frames, step_frames=fcd_step(shard.protocol)))
    # Two realisations: each half is one of them.
    np.testing.assert_allclose(records["fc"], fc, atol=1e-3)
    np.testing.assert_allclose(records["fcd_cdf"], cdf, atol=1e-3)


def test_an_interrupted_corpus_goes_on_and_ends_the_same(small, tmp_path):
    whole = build_corpus(small)
    parted = replace(small, folder=str(tmp_path / "parted"))
    build_corpus(replace(parted, n_shards=1))
    seen = []
    again = build_corpus(parted, lambda row, n: seen.append(row.shard))
    assert seen == [1, 2]
    assert contents(parted) == contents(small)
    assert [row.sha256 for row in again.shards] == [row.sha256 for row in whole.shards]
    Path(parted.folder, "shards/000001.npy").unlink()
    build_corpus(parted)
    assert contents(parted) == contents(small)


def test_splits_are_by_connectome(small):
    corpus = build_corpus(replace(small, n_shards=6))
    of = {}
    for shard in corpus.shards:
        assert of.setdefault(shard.connectome, shard.split) == shard.split
    assert set(of.values()) == {"train", "validation", "test"}


def test_both_sides_of_the_boundary_are_there(small):
    corpus = build_corpus(replace(small, simulations_per_shard=32, n_shards=2))
    inside = np.concatenate(
        [mfm.within_range(torch.from_numpy(corpus.records(s)["rate_E"].copy())).all(dim=1).numpy() for s in corpus.shards]
    )
    assert 0.4 < inside.mean() < 0.95


def test_a_damaged_file_is_found_and_named(small):
    corpus = build_corpus(small)
    assert list(corpus.verify()) == []
    path = Path(small.folder, "shards/000001.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    (line,) = corpus.verify()
    assert "000001.npy" in line
    assert "truncated or changed" in line
    with pytest.raises(InputError, match=r"000001\.npy is damaged(.|\n)*a copy that broke off"):
        corpus.records(corpus.shards[1])
    changed = bytearray(whole)
    changed[-1] ^= 1
    path.write_bytes(changed)
    assert len(list(corpus.verify())) == 1
    path.unlink()
    assert "missing" in next(corpus.verify())
    with pytest.raises(MissingInputError, match=r"lacks .*000001\.npy"):
        corpus.records(corpus.shards[1])


def test_another_schema_is_refused_by_name(small):
    build_corpus(small)
    path = Path(small.folder, "manifest.json")
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"schema": "mfmfit-corpus/0"}))
    with pytest.raises(InputError, match=r"manifest\.json is of another schema(.|\n)*mfmfit-corpus/0"):
        Corpus(small.folder)
    path.write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        Corpus(small.folder)


def test_a_damaged_index_names_the_line(small):
    build_corpus(small)
    path = Path(small.folder, "index.tsv")
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace("\t2\t", "\ttwo\t", 1)
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"index\.tsv is damaged(.|\n)*line 3"):
        Corpus(small.folder)


def test_a_folder_with_another_corpus_is_left_alone(small):
    build_corpus(small)
    with pytest.raises(OutputError, match=r"holds another corpus(.|\n)*other settings"):
        build_corpus(replace(small, seed=2))
    with pytest.raises(MissingInputError, match="There is no corpus in"):
        Corpus(Path(small.folder).parent)
