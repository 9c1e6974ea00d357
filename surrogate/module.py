"""Lightning trains the network: batches, data loaders, and the module with its optimizer."""

from __future__ import annotations

from dataclasses import asdict

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from surrogate.config import TrainConfig
from surrogate.data import Batch, Group
from surrogate.losses import Losses, losses, random_bands
from surrogate.networks import NetworkConfig, build_network

# Share of the steps in which the learning rate rises.
_RISE = 0.05


class Batches(IterableDataset):
    """Batches hold candidates of one connectome and timing at a time, in another order every epoch.

    Parameters
    ----------
    groups : list of Group
    size : int
    seed : int, optional
        None keeps one order: validation.
    """

    def __init__(self, groups: list[Group], size: int, seed: int | None):
        self.groups, self.size, self.seed, self.epoch = groups, size, seed, 0

    def __len__(self) -> int:
        return sum(-(-len(group) // self.size) for group in self.groups)

    def __iter__(self):
        generator = torch.Generator().manual_seed(0 if self.seed is None else self.seed * 100_003 + self.epoch)
        self.epoch += 1
        parts: list[tuple[Group, Tensor]] = []
        for group in self.groups:
            order = torch.arange(len(group)) if self.seed is None else torch.randperm(len(group), generator=generator)
            parts += [(group, index) for index in order.split(self.size)]
        order = torch.arange(len(parts)) if self.seed is None else torch.randperm(len(parts), generator=generator)
        for k in order.tolist():
            group, index = parts[k]
            yield Batch(group.features[index], group.labels[index], random_bands(len(index), generator))


class CorpusData(lightning.LightningDataModule):
    """Corpus data hold training and validation groups."""

    def __init__(self, train: list[Group], validation: list[Group], config: TrainConfig):
        super().__init__()
        self.train = Batches(train, config.batch, config.seed)
        self.validation = Batches(validation, config.batch, None)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, batch_size=None)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.validation, batch_size=None)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)  # Lightning's own way needs containers that can be changed


class SurrogateModule(lightning.LightningModule):
    """A surrogate module is a network and how it is trained.

    Parameters
    ----------
    network : NetworkConfig or dict
        A dict where a checkpoint is read: checkpoints hold plain types.
    learning_rate, weight_decay : float
    epochs : int
        Over which the learning rate rises (for a twentieth of them) and falls to 0.
    """

    def __init__(self, network: NetworkConfig | dict, learning_rate: float, weight_decay: float, epochs: int):
        super().__init__()
        network = NetworkConfig(**network) if isinstance(network, dict) else network
        self.save_hyperparameters(
            {"network": asdict(network), "learning_rate": learning_rate, "weight_decay": weight_decay, "epochs": epochs}
        )
        self.network = build_network(network)

    def standardise(self, groups: list[Group]) -> None:
        """Take the constants of the inputs' standardisation from training data."""
        tokens = torch.cat([group.features.tokens.flatten(0, 1) for group in groups])
        self.network.tokens.fit(tokens)
        self.network.summary.fit(torch.cat([group.features.summary for group in groups]))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        terms = self._losses(batch)
        self.log("train_loss", terms.total.detach(), on_step=False, on_epoch=True, batch_size=len(batch))
        return terms.total

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        terms = self._losses(batch)
        for name, value in (("loss", terms.total), *terms._asdict().items()):
            self.log(f"val_{name}", value, batch_size=len(batch))

    def _losses(self, batch: Batch) -> Losses:
        bands = batch.bands_hz if self.training else batch.bands_hz[:1]
        return losses(self.network(batch.features, bands), bands, batch.labels)

    def configure_optimizers(self):
        h = self.hparams
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=h["learning_rate"], weight_decay=h["weight_decay"])
        # One rise and one fall over all steps; at the step and not at the epoch, as few epochs are enough.
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, h["learning_rate"], total_steps=steps, pct_start=_RISE)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
