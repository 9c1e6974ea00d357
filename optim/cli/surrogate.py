"""``mfmfit corpus``, ``train`` and ``evaluate``: surrogates made and judged."""

from __future__ import annotations

import time
from pathlib import Path

from mfm.errors import InputError
from optim.cli.console import _say


def _corpus(args) -> int:
    from optim.cli.settings import compose
    from surrogate.corpus.build import build_corpus
    from surrogate.corpus.config import CorpusConfig
    from surrogate.corpus.store import Corpus

    config = compose(args.overrides, "corpus", CorpusConfig)
    if args.verify:
        corpus = Corpus(config.folder)
        damaged = list(corpus.verify())
        for line in damaged:
            _say(line)
        if damaged:
            raise InputError(
                f"{len(damaged)} files of {config.folder} are damaged or missing.",
                fix="delete them, and run the command that made the corpus again",
            )
    else:
        began = time.perf_counter()

        def progress(row, n_shards: int) -> None:
            _say(
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


def _train(args) -> int:
    from optim.cli.settings import compose
    from surrogate.config import TrainConfig

    config = compose(args.overrides, "train", TrainConfig)
    from surrogate.training import train

    train(config, _say)
    print(config.folder)
    return 0


def _evaluate(args) -> int:
    from surrogate.bundle import load_pretrained
    from surrogate.corpus.store import Corpus
    from surrogate.evaluation import evaluate, record_in_card, summary_table, write_accuracies

    surrogate = load_pretrained(args.surrogate)
    report = evaluate(surrogate, Corpus(args.corpus), args.split, _say)
    if args.record:
        record_in_card(surrogate, Path(args.surrogate), report)
    if args.out is not None:
        write_accuracies(Path(args.out), report)
    if args.figure is not None:
        from surrogate.figures import write_surrogate_figure

        write_surrogate_figure(Path(args.figure), report)
    print(summary_table(report))
    return 0
