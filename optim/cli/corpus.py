"""``mfmfit corpus``: simulate a training corpus for surrogates."""

from __future__ import annotations

import time

from mfm.errors import InputError
from optim.cli.console import say
from optim.cli.listing import add_settings_option


def add(commands) -> None:
    """Declare ``mfmfit corpus``."""
    parser = commands.add_parser(
        "corpus",
        help="simulate a training corpus for surrogates",
        description="Simulate a training corpus for surrogates, or go on with one. Settings are Hydra overrides of "
        "conf/corpus.yaml, for example: mfmfit corpus folder=corpus connectomes=table connectomes.table=table.tsv n_shards=480",
    )
    parser.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="Hydra overrides of conf/corpus.yaml")
    parser.add_argument("--verify", action="store_true", help="compare every file of the corpus with its digest, and stop")
    add_settings_option(parser, "corpus", _kind)
    parser.set_defaults(run=run, names=_names)


def _kind() -> type:
    from surrogate.corpus.config import CorpusConfig

    return CorpusConfig


def run(args) -> int:
    """Make, go on with or verify the corpus that the settings name."""
    from optim.cli.settings import compose
    from surrogate.corpus.build import build_corpus
    from surrogate.corpus.config import CorpusConfig
    from surrogate.corpus.store import Corpus

    config = compose(args.overrides, "corpus", CorpusConfig)
    if args.verify:
        corpus = Corpus(config.folder)
        damaged = list(corpus.verify())
        for line in damaged:
            say(line)
        if damaged:
            raise InputError(
                f"{len(damaged)} files of {config.folder} are damaged or missing.",
                fix="delete them, and run the command that made the corpus again",
            )
    else:
        began = time.perf_counter()

        def progress(row, n_shards: int) -> None:
            say(
                f"shard {row.shard + 1}/{n_shards}: {row.connectome} ({row.n_regions} regions, {row.split}), "
                f"{row.rows} sets x {row.repeats}, {row.tr_s * row.n_frames / 60:.0f} min, "
                f"{row.within_range:.0%} within range, {row.seconds:.0f} s; {time.perf_counter() - began:.0f} s in all"
            )

        corpus = build_corpus(config, progress)
    print(
        f"{corpus.folder}: {corpus.simulations} simulations in {len(corpus.shards)} shards over "
        f"{len({shard.connectome for shard in corpus.shards})} connectomes"
    )
    return 0


def _names():
    from optim.cli.messages import setting_paths
    from surrogate.corpus.config import CorpusConfig

    return setting_paths(CorpusConfig)
