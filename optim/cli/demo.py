"""``mfmfit demo``: fit a subject whose true parameters are known."""

from __future__ import annotations

from optim.cli.console import ExitCode, say
from optim.cli.fit import fit_and_write, stages_table


def add(commands) -> None:
    """Declare ``mfmfit demo``."""
    parser = commands.add_parser("demo", help="fit the embedded demo subject, whose true parameters are known")
    parser.add_argument("--out", default="demo-output", metavar="FOLDER")
    parser.add_argument("--generations", type=int, default=None, help="default: 30")
    parser.add_argument("--seed", type=int, default=1)
    parser.set_defaults(run=run)


def run(args) -> int:
    """Fit the demo subject, and print what was recovered of its truth."""
    from mfm.demo import demo_subject
    from optim.cli.recovery import compare_with_truth, demo_config

    config = demo_config(args.out, args.seed, args.generations)
    demo = demo_subject()
    say(repr(demo.subject))
    result = fit_and_write(demo.subject, config)
    if result is None:
        return 0
    print(stages_table(result))
    print(compare_with_truth(result, demo))
    return 0 if result.in_range else ExitCode.OUT_OF_RANGE
