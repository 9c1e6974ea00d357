"""What the command line says, and with which exit code it ends."""

from __future__ import annotations

import sys
import time
import traceback
import warnings
from collections.abc import Callable

from mfm.errors import InputNote, MfmfitError

_EXIT_OUT_OF_RANGE = 1


_EXIT_BUG = 70


_EXIT_INTERRUPTED = 75


def _exit_code(run: Callable[[], int], name: str | None = None) -> int:
    """What `run` returns, or the code of its error, which is told; `name` is whose it is."""
    before = "" if name is None else f"{name}: "
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", InputNote)
            warnings.showwarning = _show_warning
            return run()
    except MfmfitError as error:
        _say(f"{before}error: {error}")
        return error.exit_code
    except Exception:
        traceback.print_exc()
        _say(f"{before}this is a bug in mfmfit, not in your data: please report it with the lines above")
        return _EXIT_BUG


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, InputNote):
        _say(f"note: {message}")
    else:
        _say(warnings.formatwarning(message, category, filename, lineno, line).rstrip())


class Progress:
    """One bar on a terminal, one line per generation elsewhere."""

    def __init__(self, n_starts: int, n_generations: int):
        self._n_generations = n_generations
        self._n = n_starts * n_generations
        self._began = time.perf_counter()
        self._bar = None
        _say("scoring random candidates to start from" if not sys.stderr.isatty() else "searching")
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self._n, unit="generation", file=sys.stderr)

    def note(self, text: str) -> None:
        """A line of its own."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            _say(text)

    def __call__(self, row) -> None:
        done = (row.start - 1) * self._n_generations + row.generation
        text = f"best {row.best_total:.3f}, {row.share_in_range:.0%} within range, step {row.step:.3f}"
        if self._bar is not None:
            self._bar.n = done
            self._bar.set_postfix_str(text)
        else:
            elapsed = time.perf_counter() - self._began
            _say(f"start {row.start} generation {row.generation}: {text} ({done}/{self._n}, {elapsed:.0f} s)")
        if done == self._n:
            if self._bar is not None:
                self._bar.close()
            _say("simulating the winners for validation and test")


class _UDEProgress:
    """One line every few seconds; on a terminal it is rewritten."""

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
            _say(f"{text} ({progress.seconds:.0f} s)")
