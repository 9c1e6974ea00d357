"""One call takes a corpus to a trained surrogate, resumable and reproducible."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.warnings import PossibleUserWarning

import mfm
from mfm.errors import InputError, MfmfitError, OutputError
from mfm.io import write_json
from surrogate.bundle import Surrogate, envelope_quantities, load_pretrained
from surrogate.calibration import Calibration, fit_calibration
from surrogate.config import TrainConfig
from surrogate.corpus.store import Corpus, file_digest
from surrogate.data import Group, load_groups
from surrogate.losses import random_bands, staying_share
from surrogate.module import CorpusData, SurrogateModule

_SETTINGS = "training.json"

# What Lightning says that is no concern of whoever trains: workers that there are none of, folders that it goes on in.
_OF_LIGHTNING: tuple[tuple[type[Warning], str], ...] = (
    (PossibleUserWarning, ""),
    (UserWarning, "Your `IterableDataset` has `__len__` defined"),
    (UserWarning, "Experiment logs directory"),
    (UserWarning, "Checkpoint directory"),
    (FutureWarning, "`isinstance"),
)


def train(config: TrainConfig, progress: Callable[[str], None] | None = None) -> Surrogate:
    """Train a surrogate on a corpus and write it into ``config.folder``, or go on with an interrupted training.

    Parameters
    ----------
    config : TrainConfig
    progress : callable, optional
        Told a line at a time.

    Returns
    -------
    Surrogate
        The epoch of the lowest validation loss, its within-range head calibrated on the validation connectomes.

    Raises
    ------
    InputError
        If the corpus, or the surrogate to start from, cannot be used.
    OutputError
        If the folder holds a training of other settings.

    Notes
    -----
    In the folder: ``model.safetensors`` and ``card.json`` (the surrogate), ``checkpoints/``, ``logs/`` (CSV, and TensorBoard
    where it is installed), ``training.json`` (the settings).
    """
    say = progress or (lambda line: None)
    folder = Path(config.folder)
    corpora = [Corpus(name) for name in (config.corpus, *config.more_corpora)]
    start = load_pretrained(config.start) if config.start is not None else None
    _begin(folder, config, corpora)
    of_train, of_validation = (_loaded(corpora, split, say) for split in ("train", "validation"))
    train_groups, validation = ([group for _, group in found] for found in (of_train, of_validation))
    lightning.seed_everything(config.seed, verbose=False)
    module = SurrogateModule(
        start.config if start is not None else config.network, config.learning_rate, config.weight_decay, config.epochs
    )
    if start is not None:
        module.network.load_state_dict(start.network.state_dict())
    else:
        module.standardise(train_groups)
    best = ModelCheckpoint(folder / "checkpoints", "best", monitor="val_loss", save_last=True, enable_version_counter=False)
    trainer = _trainer(config, folder, best, say)
    last = folder / "checkpoints/last.ckpt"
    data = CorpusData(train_groups, validation, config)
    with warnings.catch_warnings():
        for category, message in _OF_LIGHTNING:
            warnings.filterwarnings("ignore", message, category)
        trainer.fit(module, datamodule=data, ckpt_path=last if last.is_file() else None)
    if trainer.interrupted:
        raise KeyboardInterrupt
    _check_finite(trainer, folder)
    module = SurrogateModule.load_from_checkpoint(folder / "checkpoints/best.ckpt", weights_only=True)
    surrogate = Surrogate(
        module.network.eval().cpu(),
        start.config if start is not None else config.network,
        Calibration(),
        _envelope(of_train, start),
        train_groups[0].shard.scheme,
        _made_from(corpora, train_groups, config, start),
    )
    surrogate = replace(surrogate, calibration=calibrate(surrogate, validation))
    surrogate.save(folder)
    return load_pretrained(folder)


def calibrate(surrogate: Surrogate, groups: list[Group]) -> Calibration:
    """Calibrate a surrogate's within-range head on groups that it was not trained on, for the usual band."""
    logits, shares = [], []
    with torch.inference_mode():
        for group in groups:
            bands = random_bands(len(group), torch.Generator())[:1]
            logits.append(surrogate.network(group.features, bands).logit[0])
            shares.append(staying_share(bands[0], group.labels))
    return fit_calibration(torch.cat(logits), torch.cat(shares))


def _begin(folder: Path, config: TrainConfig, corpora: list[Corpus]) -> None:
    settings = config.as_dict()
    for name in ("folder", "corpus", "more_corpora", "devices", "accelerator", "patience"):
        del settings[name]
    settings["corpus_manifest_sha256"] = _manifests(corpora)
    path = folder / _SETTINGS
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != json.loads(json.dumps(settings)):
            raise OutputError(
                f"{folder} holds a training of other settings.",
                found=f"other settings or another corpus in {path}",
                fix="choose another folder, or repeat the settings of that training to go on with it",
            )
        return
    write_json(path, settings)


def _manifests(corpora: list[Corpus]) -> list[str]:
    return [file_digest(corpus.folder / "manifest.json") for corpus in corpora]


def _check_finite(trainer: lightning.Trainer, folder: Path) -> None:
    loss = trainer.callback_metrics.get("val_loss")
    if loss is not None and not torch.isfinite(loss):
        raise MfmfitError(
            "The training diverged.",
            found=f"a validation loss of {float(loss)} after epoch {trainer.current_epoch}",
            cause="learning_rate is too large",
            fix=f"delete {folder}, and train with a smaller learning_rate",
        )


def _loaded(corpora: list[Corpus], split: str, say: Callable[[str], None]) -> list[tuple[Corpus, Group]]:
    """The groups of a split, each with its corpus; only the first corpus must have that split."""

    def progress(done: int, n: int) -> None:
        if done % 20 == 0 or done == n:
            say(f"features of {split} shards: {done}/{n}")

    with_split = [corpus for corpus in corpora if corpus is corpora[0] or corpus.split(split)]
    found = [(corpus, group) for corpus in with_split for group in load_groups(corpus, split, progress)]
    schemes = sorted({group.shard.scheme for _, group in found})
    if len(schemes) > 1:
        raise InputError(
            "The corpora were simulated with different integration schemes.",
            found=", ".join(schemes),
            cause="Euler steps of 6 ms shift firing rates: their simulations are another model's",
            fix="train on corpora of one scheme",
        )
    return found


class _Lines(Callback):
    """One line per epoch."""

    def __init__(self, say: Callable[[str], None]):
        self.say = say

    def on_validation_epoch_end(self, trainer, module) -> None:
        if trainer.sanity_checking:
            return
        values = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
        text = ", ".join(f"{name.removeprefix('val_')} {value:.4f}" for name, value in values.items())
        self.say(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {text}")


def _trainer(config: TrainConfig, folder: Path, best: ModelCheckpoint, say: Callable[[str], None]) -> lightning.Trainer:
    import logging

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    loggers: list[Logger] = [CSVLogger(folder / "logs", name="", version="")]
    try:
        loggers.append(TensorBoardLogger(folder / "logs", name="tensorboard", version=""))
    except ModuleNotFoundError:
        say("TensorBoard is not installed: logs are CSV only")
    return lightning.Trainer(
        max_epochs=config.epochs,
        accelerator=config.accelerator,
        devices=config.devices,
        logger=loggers,
        callbacks=[best, EarlyStopping("val_loss", patience=config.patience), _Lines(say)],
        gradient_clip_val=1.0,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
    )


def _envelope(found_in: list[tuple[Corpus, Group]], start: Surrogate | None) -> dict[str, tuple[float, float]]:
    """The smallest and largest of every quantity in training, and in that of the surrogate it started from."""
    found: dict[str, tuple[float, float]] = dict(start.envelope) if start is not None else {}
    for corpus, group in found_in:
        sc = corpus.connectome(group.shard.connectome)
        values = envelope_quantities(group.parameters, sc, group.shard.protocol)
        if group.labels.stayed.any():
            mean_fc = group.labels.fc[group.labels.stayed].float().mean(dim=1)
            values["mean_fc"] = (float(mean_fc.min()), float(mean_fc.max()))
        for name, (low, high) in values.items():
            least, most = found.get(name, (low, high))
            found[name] = (min(low, least), max(high, most))
    return found


def _made_from(corpora: list[Corpus], groups: list[Group], config: TrainConfig, start: Surrogate | None) -> dict:
    shards = [group.shard for group in groups]
    return {
        "sc": "symmetric or not; log or log1p of streamline counts, zero diagonal, maximum 0.02",
        "corpus": {
            "manifest_sha256": _manifests(corpora),
            "simulations": sum(shard.simulations for shard in shards),
            "connectomes": len({shard.connectome for shard in shards}),
            "real_connectomes": sorted({shard.connectome for shard in shards if shard.kind == "real"}),
        },
        "training": {
            "seed": config.seed,
            "start": None if start is None else start.digest,
            "torch": torch.__version__,
            "mfmfit": mfm.__version__,
        },
    }
