"""The command line ``mfmfit``: a new command is a file with `add` and `run`, and a line here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from optim.cli.console import ExitCode, exit_code, say
from optim.cli.signals import Terminated, signals_as_interrupts
from optim.cli.streams import patient_streams

#: The files of the commands, in the order of ``mfmfit --help``. What takes long to import, commands import when they run.
COMMANDS = (
    "fit",
    "inspect",
    "simulate",
    "corpus",
    "train",
    "evaluate_surrogate",
    "ude",
    "refine",
    "refine_group",
    "demo",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code (see ``mfmfit --help``)."""
    with patient_streams() as out, signals_as_interrupts():
        code = _run(argv)
    if out.lost is not None and code == ExitCode.DONE:
        say(f"error: The output cannot be written.\n  found: {out.lost}\n  fix: the work itself is done; print it elsewhere")
        return ExitCode.OUTPUT_FOLDER
    return code


def _run(argv: Sequence[str] | None) -> int:
    resumes = False
    try:
        args = _parsed(argv)
        resumes = args.resumes
        return exit_code(lambda: args.run(args), args.names)
    except Terminated as error:
        say(f"ended by {error}" + (": the same command goes on where this one stopped" if resumes else ""))
    except KeyboardInterrupt:
        say("interrupted" + (": the same command goes on where this one stopped" if resumes else ""))
    return ExitCode.INTERRUPTED


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
        epilog=f"Exit codes: {'; '.join(f'{code:d} {code.meaning}' for code in ExitCode)}.",
    )
    parser.add_argument("--version", action="version", version=f"mfmfit {__version__}")
    # A command may set them otherwise: what arguments in messages become, and whether it resumes when interrupted.
    parser.set_defaults(names=None, resumes=True)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"optim.cli.{name}").add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
