"""``mfmfit train``: train a surrogate on a corpus."""

from __future__ import annotations

from optim.cli.console import say
from optim.cli.listing import add_settings_option


def add(commands) -> None:
    """Declare ``mfmfit train``."""
    parser = commands.add_parser(
        "train",
        help="train a surrogate on a corpus",
        description="Train a surrogate on a corpus, or go on with an interrupted training. Settings are Hydra overrides of "
        "conf/train.yaml, for example: mfmfit train corpus=corpus folder=my-surrogate; finetuning: start=FOLDER",
    )
    parser.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="Hydra overrides of conf/train.yaml")
    add_settings_option(parser, "train", _kind)
    parser.set_defaults(run=run, names=_names)


def _kind() -> type:
    from surrogate.config import TrainConfig

    return TrainConfig


def run(args) -> int:
    """Train, or go on with the training, that the settings name."""
    from optim.cli.settings import compose
    from surrogate.config import TrainConfig

    config = compose(args.overrides, "train", TrainConfig)
    from surrogate.training import train

    train(config, say)
    print(config.folder)
    return 0


def _names():
    from optim.cli.messages import setting_paths
    from surrogate.config import TrainConfig

    return setting_paths(TrainConfig)
