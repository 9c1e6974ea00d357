"""``mfmfit evaluate-surrogate``: a surrogate beside simulations that it never saw."""

from __future__ import annotations

from pathlib import Path

from optim.cli.console import say


def add(commands) -> None:
    """Declare ``mfmfit evaluate-surrogate``."""
    parser = commands.add_parser(
        "evaluate-surrogate",
        help="compare a surrogate, and linear response alone, with simulations of a corpus",
        description="Compare a surrogate, and linear response alone, with the simulations of a corpus's test connectomes.",
    )
    parser.add_argument("--surrogate", required=True, metavar="FOLDER", help="fic, or what mfmfit train wrote")
    parser.add_argument("--corpus", required=True, metavar="FOLDER")
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"))
    parser.add_argument("--out", metavar="FILE", help="also write the table of all connectomes (tsv)")
    parser.add_argument("--record", action="store_true", help="put the figures into the surrogate's card")
    parser.add_argument("--figure", metavar="FILE", help="also draw it (png)")
    parser.set_defaults(run=run)


def run(args) -> int:
    """Compare, and write what is asked for."""
    from surrogate.bundle import load_pretrained
    from surrogate.corpus.store import Corpus
    from surrogate.evaluation import evaluate, record_in_card, summary_table, write_accuracies

    surrogate = load_pretrained(args.surrogate)
    report = evaluate(surrogate, Corpus(args.corpus), args.split, say)
    if args.record:
        record_in_card(surrogate, Path(args.surrogate), report)
    if args.out is not None:
        write_accuracies(Path(args.out), report)
    if args.figure is not None:
        from surrogate.figures import write_surrogate_figure

        write_surrogate_figure(Path(args.figure), report)
    print(summary_table(report))
    return 0
