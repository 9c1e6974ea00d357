"""Output that nobody reads any more, or that a terminal cannot show, ends no work: a fit goes on when ``| head`` has enough."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class PatientStream:
    """A stream that takes everything: after its first error it drops what is written, and remembers the error.

    Parameters
    ----------
    stream : text stream
    """

    def __init__(self, stream: Any):
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        if self.error is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.error = error
        with suppress(OSError, ValueError, AttributeError):  # what is still buffered would fail again when Python ends
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def lost(self) -> OSError | None:
        """Why output was lost, unless its reader just had enough (a broken pipe)."""
        return None if self.error is None or self.error.errno == errno.EPIPE else self.error


@contextmanager
def patient_streams() -> Iterator[PatientStream]:
    """Let both standard streams take everything within the ``with`` statement; yields the standard output.

    Characters that their encoding does not have are written as escapes. A stream that was closed (``>&-``) is opened to
    nowhere, before a file of results is given its number.
    """
    before = sys.stdout, sys.stderr
    opened = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            opened.append(stream)
        with suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, PatientStream(stream))
    out = sys.stdout
    try:
        yield out  # type: ignore[misc]
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = before
        for stream in opened:
            stream.close()
