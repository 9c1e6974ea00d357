"""What the command line says, and with which exit code it ends."""

from __future__ import annotations

import errno
import math
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from enum import IntEnum

from mfm.errors import InputNote, MfmfitError
from optim.cli.messages import Names, as_settings

#: In a log, seconds from one line about the search to the next.
EVERY_S = 60.0

#: What is said when a stage of a fit begins.
_STAGES = {
    "search": "searching",
    "validation": "simulating the winners on the validation data",
    "regional": "freeing the regions from the maps",
    "identifiability": "computing what FC tells of each coefficient",
    "test": "simulating the chosen parameters for the test",
    "figures": "writing tables and figures",
}


class ExitCode(IntEnum):
    """How a command ends, and what that means; errors (`mfm.errors`) carry theirs."""

    meaning: str

    def __new__(cls, code: int, meaning: str):
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "done"
    OUT_OF_RANGE = 1, "no fit within range"
    USAGE = 2, "usage or settings"
    INVALID_INPUT = 65, "invalid input"
    MISSING_INPUT = 66, "missing input"
    NO_BACKEND = 69, "backend not available"
    BUG = 70, "bug, or Python modules of yours in place of ours"
    MACHINE = 71, "out of memory, or of what else the operating system gives"
    OUTPUT_FOLDER = 73, "output folder"
    INTERRUPTED = 75, "interrupted (the same command resumes)"
    BUSY = 76, "another job works on the output folder"


def exit_code(run: Callable[[], int], names: Callable[[], Names] | None = None, person: str | None = None) -> int:
    """Call `run`: what it returns, or the exit code of its error, which is printed.

    Parameters
    ----------
    run : function that returns an exit code
    names : function that returns a mapping, optional
        What arguments in errors and notes become on this command line (`optim.cli.messages.as_settings`); default: they stay.
    person : str, optional
        Whose error it is, where there are several people.
    """
    before = "" if person is None else f"{person}: "

    def typed(text: str) -> str:
        return text if names is None else as_settings(text, names)

    def show_warning(message, category, filename, lineno, file=None, line=None) -> None:
        if issubclass(category, InputNote):
            say(f"note: {typed(str(message))}")
        else:
            say(warnings.formatwarning(message, category, filename, lineno, line).rstrip())

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", InputNote)
            warnings.showwarning = show_warning
            return run()
    except MfmfitError as error:
        say(f"{before}error: {typed(str(error))}")
        return error.exit_code
    except Exception as error:
        if (known := of_the_machine(error)) is not None:
            code, told = known
            say(f"{before}error: {told}")
            return code
        traceback.print_exc()
        say(f"{before}this is a bug in mfmfit, not in your data: please report it with the lines above")
        return ExitCode.BUG


def of_the_machine(error: Exception) -> tuple[ExitCode, str] | None:
    """The exit code and message of an error of the operating system or of a decoder that came without one of the tree."""
    from mfm.io.formats.system import cannot_read, cannot_write

    if isinstance(error, UnicodeError):
        return ExitCode.INVALID_INPUT, f"A text is not UTF-8.\n  found: {error}\n  fix: save the file as UTF-8, or rename it"
    if isinstance(error, MemoryError):
        return ExitCode.MACHINE, "The memory does not suffice.\n  fix: a machine, or a job, with more memory"
    if not isinstance(error, OSError) or error.errno is None:
        return None
    if error.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN):
        return ExitCode.MACHINE, f"The operating system gives no more.\n  found: {error}"
    path = error.filename if error.filename is not None else "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG):
        return ExitCode.OUTPUT_FOLDER, str(cannot_write(path, error))
    found = cannot_read(path, "needed", error)
    return next(code for code in ExitCode if code == found.exit_code), str(found)


def say(text: str) -> None:
    """Print a line for the person at the terminal; results go to the standard output, this does not."""
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)


class Progress:
    """The progress of a fit: one bar on a terminal; elsewhere a line per stage, and in between at most one a minute.

    Parameters
    ----------
    n_starts, n_generations : int
        Of the search.
    later : int
        Stages after the search, files included.
    """

    def __init__(self, n_starts: int, n_generations: int, later: int = 4):
        self._n_generations = n_generations
        self._n = n_starts * n_generations
        self._began = self._said = time.monotonic()
        self._first: int | None = None
        self._later_begun = 0
        self._noted = ""
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
            self._bar = tqdm(total=self._n + later, file=sys.stderr, bar_format=form)

    def note(self, text: str) -> None:
        """Tell of an event: a line of its own above the bar; in a log, with the line that is due next."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            self._noted = text

    def stage(self, name: str, expected_s: float | None = None) -> None:
        """Say that a stage begins, and how long it will take where that is known."""
        text = _STAGES.get(name, name)
        expected = "" if expected_s is None else f", about {_duration(expected_s)}"
        if self._bar is None:
            say(f"{text}: {self._n} generations" if name == "search" else f"{text}{expected}")
            return
        if name != "search":
            self._bar.n = self._n + self._later_begun
            self._later_begun += 1
        self._bar.set_description_str(text, refresh=False)
        self._bar.set_postfix_str(expected.removeprefix(", "))

    def __call__(self, row) -> None:
        """Show a generation of the search."""
        done = (row.start - 1) * self._n_generations + row.generation
        self._first = done if self._first is None else self._first
        best = f"best {row.best_total:.3f}" if math.isfinite(row.best_total) else "none within range yet"
        text = f"{best}, {row.share_in_range:.0%} within range"
        if self._bar is not None:
            self._bar.n = done
            self._bar.set_postfix_str(f"{text}, step {row.step:.3f}")
            return
        now = time.monotonic()
        if now - self._said < EVERY_S:
            return
        self._said = now
        left = (now - self._began) / max(1, done - self._first + 1) * (self._n - done)
        start = f"start {row.start}, " if self._n > self._n_generations else ""
        noted = f"; {self._noted}" if self._noted else ""
        so_far = f"{start}generation {row.generation} of {self._n_generations}"
        say(f"{so_far}: {text}; about {_duration(left)} of search left{noted}")
        self._noted = ""

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 100 else f"{round(seconds / 60)} min"


class UDEProgress:
    """The progress of learning missing dynamics: one line every few seconds; on a terminal it is rewritten."""

    def __init__(self):
        self._said = 0.0

    def __call__(self, number: int, stages: int, progress) -> None:
        last = progress.iteration == progress.iterations
        if time.monotonic() - self._said < (0.5 if sys.stderr.isatty() else 10) and not last:
            return
        self._said = time.monotonic()
        losses = ", ".join(f"{loss:.3g}" for loss in progress.losses)
        text = f"stage {number + 1} of {stages}, iteration {progress.iteration}/{progress.iterations}: losses {losses}"
        if sys.stderr.isatty():
            print(f"\r{text[:120]:<120}", end="\n" if last else "", file=sys.stderr, flush=True)
        else:
            say(f"{text} ({progress.seconds:.0f} s)")
