import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mfm
from mfm.errors import InputError, InputNote, MissingInputError, OutputError
from surrogate import NetworkConfig, TrainConfig, load_pretrained, train, untrained
from surrogate.corpus.build import build_corpus
from surrogate.corpus.config import ConnectomesConfig, CorpusConfig
from surrogate.evaluation import evaluate, summary_table, write_accuracies


@pytest.fixture(scope="module")
def config(corpus, tmp_path_factory) -> TrainConfig:
    return TrainConfig(
        corpus=str(corpus.folder),
        folder=str(tmp_path_factory.mktemp("surrogate")),
        network=NetworkConfig(width=16, layers=1, heads=2, rank=2, components=3),
        epochs=6,
        devices="1",
    )


@pytest.fixture(scope="module")
def surrogate(config):
    return train(config)


def validation_losses(folder) -> list[float]:
    with (Path(folder) / "logs/metrics.csv").open() as file:
        return [float(row["val_loss"]) for row in csv.DictReader(file) if row["val_loss"]]


def example(corpus):
    shard = corpus.split("train")[0]
    records = corpus.records(shard)
    p = mfm.FICParameters(*(records[name].astype(float) for name in ("w_EE", "w_EI", "sigma", "G")))
    return p, corpus.connectome(shard.connectome), shard.protocol


def test_the_loss_falls_and_what_is_reloaded_predicts_the_same(surrogate, config, corpus):
    loss = validation_losses(config.folder)
    assert len(loss) == 6
    assert min(loss) < 0.7 * loss[0]
    again = load_pretrained(config.folder)
    one, two = surrogate.predict(*example(corpus)), again.predict(*example(corpus))
    for name in ("fc", "fcd_cdf", "rate_E", "p_within_range"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), equal_nan=True, rtol=0, atol=0)


def test_training_is_reproducible_and_goes_on_where_it_was_interrupted(surrogate, config, tmp_path, corpus):
    again = replace(config, folder=str(tmp_path / "again"))
    train(replace(again, epochs=6))
    assert validation_losses(again.folder) == pytest.approx(validation_losses(config.folder), rel=1e-4)

    class Stop(Exception):
        pass

    def interrupt(line: str) -> None:
        if line.startswith("epoch 3"):
            raise Stop

    parted = replace(config, folder=str(tmp_path / "parted"))
    with pytest.raises(Stop):
        train(parted, interrupt)
    lines: list[str] = []
    train(parted, lines.append)
    epochs = [line.split("/")[0] for line in lines if line.startswith("epoch")]
    assert epochs[0] in ("epoch 3", "epoch 4")  # at most the current epoch is lost
    assert epochs[-1] == "epoch 6"


def test_finetuning_starts_from_a_surrogate_and_keeps_its_size(surrogate, config, tmp_path):
    lines: list[str] = []
    tuned = train(
        replace(config, folder=str(tmp_path), network=NetworkConfig(), start=config.folder, epochs=1, learning_rate=1e-5),
        lines.append,
    )
    assert tuned.config == config.network
    assert validation_losses(tmp_path)[0] < 1.1 * min(validation_losses(config.folder))


def test_several_corpora_are_trained_on_together(surrogate, config, tmp_path, corpus):
    settings = corpus.manifest["settings"]
    more = CorpusConfig(
        **{name: value for name, value in settings.items() if name not in ("connectomes", "sources", "seed")},
        folder=str(tmp_path / "searched"),
        connectomes=ConnectomesConfig(n_generated=1, regions=[8, 10], held_out=0.0),
        n_shards=1,
        sources=["surrogate"],
        surrogate=config.folder,
        seed=2,
    )
    searched = build_corpus(more)
    assert searched.manifest["inputs_sha256"]["surrogate"] == surrogate.digest
    both = train(replace(config, folder=str(tmp_path / "both"), more_corpora=[more.folder], epochs=1))
    made_from = both.card["corpus"]
    assert made_from["simulations"] == surrogate.card["corpus"]["simulations"] + searched.simulations
    assert len(made_from["manifest_sha256"]) == 2
    other = build_corpus(replace(more, folder=str(tmp_path / "euler"), scheme="euler", sources=["prior"], surrogate=None))
    with pytest.raises(InputError, match=r"(?s)different integration schemes.*found: euler, exponential"):
        train(replace(config, folder=str(tmp_path / "mixed"), more_corpora=[str(other.folder)], epochs=1))


def test_a_checkpoint_holds_plain_types(surrogate, config):
    checkpoint = torch.load(Path(config.folder, "checkpoints/best.ckpt"), weights_only=True)
    assert checkpoint["hyper_parameters"]["network"]["width"] == 16


def test_a_folder_with_another_training_is_left_alone(surrogate, config):
    with pytest.raises(OutputError, match="holds a training of other settings"):
        train(replace(config, seed=2))


def test_evaluation_sets_the_surrogate_beside_linear_response_and_noise(surrogate, corpus, tmp_path):
    report = evaluate(surrogate, corpus)
    assert {row.method for row in report.accuracies} == {"surrogate", "linear", "other half"}
    assert 0 < report.classifier.stayed < report.classifier.sets
    assert "linear" in summary_table(report)
    assert "surrogate" in write_accuracies(tmp_path / "table.tsv", report).read_text()


def test_outside_of_what_training_covered_it_says_what_is(surrogate, corpus):
    p, sc, protocol = example(corpus)
    longer = replace(protocol, n_frames=4 * protocol.n_frames)
    with pytest.warns(InputNote, match=r"was not trained for this: scan_s is \d+, training covered \d+ to \d+"):
        surrogate.predict(p, sc, longer)
    with pytest.raises(InputError, match="another integration scheme"):
        surrogate.predict(p, sc, replace(protocol, scheme="euler"))
    with pytest.raises(InputError, match="does not hold 3 Hz"):
        surrogate.predict(p, sc, protocol, band_hz=(3.1, 4.0))


def test_a_wider_band_is_kept_more_often(surrogate, corpus):
    narrow, wide = (surrogate.predict(*example(corpus), band_hz=band).p_within_range for band in ((2.9, 3.1), (1.0, 6.0)))
    assert wide.mean() > narrow.mean()


def test_damaged_bundles_are_told_by_name(surrogate, config, tmp_path):
    surrogate.save(tmp_path)
    card, weights = tmp_path / "card.json", tmp_path / "model.safetensors"
    whole, text = weights.read_bytes(), card.read_text()
    weights.write_bytes(whole[:-8])
    with pytest.raises(InputError, match=r"model\.safetensors does not belong to(.|\n)*a copy that broke off"):
        load_pretrained(tmp_path)
    weights.write_bytes(whole)
    for key, value in (("schema", "mfmfit-surrogate/0"), ("fcd_window_s", 30.0), ("model", "pmfm"), ("features", "others")):
        card.write_text(json.dumps(json.loads(text) | {key: value}))
        with pytest.raises(InputError, match=rf"card\.json: {key} is not what"):
            load_pretrained(tmp_path)
    card.write_text(json.dumps(json.loads(text) | {"network": {"name": "tokens", "width": 8}}))
    with pytest.raises(InputError, match="does not fit the network that its card describes"):
        load_pretrained(tmp_path)
    card.write_text("{")
    with pytest.raises(InputError, match=r"card\.json is not a card"):
        load_pretrained(tmp_path)
    with pytest.raises(MissingInputError, match=r"There is no surrogate .*nowhere"):
        load_pretrained(tmp_path / "nowhere")


def test_unstable_candidates_are_never_within_range():
    sc = mfm.Connectome(0.02 * (1 - np.eye(4)))
    p = mfm.FICParameters(np.full((2, 4), [[2.0], [9.0]]), np.full((2, 4), 0.5), np.full((2, 4), 0.005), [0.5, 3.0])
    found = untrained().predict(p, sc, mfm.Protocol(0.72, 200, scheme="exponential"))
    assert found.stable.tolist() == [True, False]
    assert found.p_within_range[1] == 0
    assert torch.isnan(found.fc[1]).all()
    assert torch.isfinite(found.fc[0]).all()
