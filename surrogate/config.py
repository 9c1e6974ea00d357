"""The settings of a training stand here; what they are set to stands in ``conf/train.yaml``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mfm.errors import ConfigError
from surrogate.networks import NetworkConfig


@dataclass(frozen=True)
class TrainConfig:
    """A train config holds everything that decides a training.

    Parameters
    ----------
    corpus : str
        Folder of a corpus (``mfmfit corpus``).
    more_corpora : list of str
        Further ones, such as one that a surrogate trained on the first has searched.
    folder : str
        Where checkpoints, logs and the trained surrogate go; the same command goes on where an interrupted one stopped.
    network : NetworkConfig
    start : str, optional
        Folder of a surrogate to go on from: finetuning. Its network's sizes count, not `network`.
    epochs, patience : int
        At most so many; fewer where the validation loss has not fallen for `patience` epochs.
    batch : int
        Candidates of one connectome in a step.
    learning_rate, weight_decay : float
    devices, accelerator : str
        As Lightning has them ("auto", "1", ...; "cpu", "gpu").
    seed : int

    Raises
    ------
    ConfigError
        For values out of range.

    Examples
    --------
    >>> from surrogate.config import TrainConfig
    >>> TrainConfig(corpus="corpus", epochs=5).network.name
    'tokens'
    """

    corpus: str = "corpus"
    more_corpora: list[str] = field(default_factory=list)
    folder: str = "surrogate-fic"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    start: str | None = None
    epochs: int = 60
    patience: int = 12
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    devices: str = "auto"
    accelerator: str = "cpu"
    seed: int = 1

    def __post_init__(self):
        for name in ("epochs", "patience", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1.", found=str(getattr(self, name)))
        if not 0 < self.learning_rate < 1 or self.weight_decay < 0:
            raise ConfigError("learning_rate must lie in (0, 1), weight_decay must not be negative.")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)
