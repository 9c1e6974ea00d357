"""Signals that end a job end it in order: checkpoints are kept, locks are taken off, and the exit code says that it resumes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: Slurm and ``kill`` send the first, a terminal that is closed the second, a limit on processor time the third.
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGXCPU") if hasattr(signal, name))


class Terminated(KeyboardInterrupt):
    """A signal other than Ctrl-C asked for the end."""


def _end(number: int, frame) -> None:
    raise Terminated(signal.Signals(number).name)


@contextmanager
def signals_as_interrupts() -> Iterator[None]:
    """Raise `Terminated` where a signal asks for the end within the ``with`` statement; what is ignored stays so (nohup)."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            handler = signal.getsignal(number)
            if handler == signal.SIG_DFL:
                with suppress(OSError, ValueError):
                    before[number] = signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
