"""The command line: one function per ``mfmfit`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from optim.cli.console import _EXIT_INTERRUPTED, _exit_code, _say
from optim.cli.demo import _demo
from optim.cli.fit import _fit
from optim.cli.inspect import _add_inspect
from optim.cli.refine import _add_refine
from optim.cli.simulate import _simulate
from optim.cli.surrogate import _corpus, _evaluate, _train
from optim.cli.ude import _ude


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code (see ``mfmfit --help``)."""
    args = _parsed(argv)
    try:
        return _exit_code(lambda: args.run(args))
    except KeyboardInterrupt:
        _say("interrupted" + ("" if args.run is _simulate else ": the same command goes on where this one stopped"))
        return _EXIT_INTERRUPTED


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments. Settings and folders may stand on both sides of an option, which argparse alone refuses."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    lists = [getattr(args, name) for name in ("overrides", "fits") if hasattr(args, name)]
    if rest and (not lists or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    for words in lists:
        words.extend(rest)
    return args


def _parser() -> argparse.ArgumentParser:
    from mfm import __version__

    parser = argparse.ArgumentParser(
        prog="mfmfit",
        description="Fit whole-brain mean-field models to people.",
        epilog="Exit codes: 0 done; 1 no fit within range; 2 usage or settings; 65 invalid input; 66 missing input; "
        "69 backend not available; 70 bug; 73 output folder; 75 interrupted (the same command resumes).",
    )
    parser.add_argument("--version", action="version", version=f"mfmfit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    fit = commands.add_parser(
        "fit",
        help="fit one subject or group",
        description="Fit one subject or group. Settings are Hydra overrides, for example: mfmfit fit acquisition=hcp_ya "
        "atlas=dk68 data.subject=100307 data.sc=SC.csv 'data.timeseries=[run-1.tsv,run-2.tsv]' "
        "'data.maps={myelin: myelin.csv, gradient: gradient.csv}'",
    )
    fit.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="Hydra overrides of conf/fit.yaml")
    fit.add_argument("--check", action="store_true", help="read and check everything, print what was found, and stop")
    fit.set_defaults(run=_fit)

    _add_inspect(commands)

    simulate = commands.add_parser(
        "simulate",
        help="simulate fitted or given parameters, and write BOLD, FC and FCD",
        description="Simulate a fit, or any parameters. For a fit, whatever is not given (connectome transform, TR, frames, "
        "step, burn-in) is as in its test; else --tr and --frames are required.",
    )
    simulate.add_argument("--parameters", required=True, help="table with the columns w_EE, w_EI, sigma (a fit's regional.tsv)")
    simulate.add_argument("--G", type=float, help="global coupling; default: from the JSON beside the table")
    simulate.add_argument("--sc", required=True, help="structural connectome")
    simulate.add_argument("--sc-transform", choices=("log", "log1p", "none"))
    simulate.add_argument("--tr", type=float, metavar="SECONDS")
    simulate.add_argument("--frames", type=int)
    simulate.add_argument("--dt", type=float, metavar="SECONDS", help="neural step; default: the valid step nearest to 6 ms")
    simulate.add_argument("--repeats", type=int, default=1, help="noise realisations")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument("--backend", default="auto", choices=("auto", "reference", "numba", "triton"))
    simulate.add_argument("--out", required=True, metavar="FOLDER")
    simulate.set_defaults(run=_simulate)

    corpus = commands.add_parser(
        "corpus",
        help="simulate a training corpus for surrogates",
        description="Simulate a training corpus for surrogates, or go on with one. Settings are Hydra overrides of "
        "conf/corpus.yaml, for example: mfmfit corpus folder=corpus connectomes=table connectomes.table=table.tsv n_shards=480",
    )
    corpus.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="Hydra overrides of conf/corpus.yaml")
    corpus.add_argument("--verify", action="store_true", help="compare every file of the corpus with its digest, and stop")
    corpus.set_defaults(run=_corpus)

    train = commands.add_parser(
        "train",
        help="train a surrogate on a corpus",
        description="Train a surrogate on a corpus, or go on with an interrupted training. Settings are Hydra overrides of "
        "conf/train.yaml, for example: mfmfit train corpus=corpus folder=my-surrogate; finetuning: start=FOLDER",
    )
    train.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="Hydra overrides of conf/train.yaml")
    train.set_defaults(run=_train)

    evaluate = commands.add_parser(
        "evaluate-surrogate",
        help="compare a surrogate, and linear response alone, with simulations of a corpus",
        description="Compare a surrogate, and linear response alone, with the simulations of a corpus's test connectomes.",
    )
    evaluate.add_argument("--surrogate", required=True, metavar="FOLDER", help="fic, or what mfmfit train wrote")
    evaluate.add_argument("--corpus", required=True, metavar="FOLDER")
    evaluate.add_argument("--split", default="test", choices=("train", "validation", "test"))
    evaluate.add_argument("--out", metavar="FILE", help="also write the table of all connectomes (tsv)")
    evaluate.add_argument("--record", action="store_true", help="put the figures into the surrogate's card")
    evaluate.add_argument("--figure", metavar="FILE", help="also draw it (png)")
    evaluate.set_defaults(run=_evaluate)

    ude = commands.add_parser(
        "ude",
        help="learn missing dynamics from time series",
        description="Learn what known equations miss, and turn it into a formula. Settings are Hydra overrides, such as mfmfit "
        "ude model=roessler 'data.files=[run.tsv]' data.dt=0.1 residual.target=z 'residual.inputs=[x,y,z]' residual.gain=10",
    )
    ude.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="Hydra overrides of conf/ude/fit.yaml")
    ude.add_argument("--check", action="store_true", help="read and check everything, print what was found, and stop")
    ude.set_defaults(run=_ude)

    _add_refine(commands)

    demo = commands.add_parser("demo", help="fit the embedded demo subject, whose true parameters are known")
    demo.add_argument("--out", default="demo-output", metavar="FOLDER")
    demo.add_argument("--generations", type=int, default=None, help="default: 30")
    demo.add_argument("--seed", type=int, default=1)
    demo.set_defaults(run=_demo)
    return parser


if __name__ == "__main__":
    sys.exit(main())
