"""Figures under a style of our own: what a person set for their own figures neither changes ours nor stops a fit."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mfm.errors import InputNote

T = TypeVar("T")


@contextmanager
def own_style() -> Iterator[None]:
    """Set matplotlib to its own defaults within the ``with`` statement, whatever matplotlibrc says (``text.usetex``, fonts).

    A backend that only a notebook has (``MPLBACKEND`` is inherited from its cells) is not needed to draw into files, and would
    already fail when matplotlib is imported.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def drawn(draw: Callable[[], T]) -> T | None:
    """Return what `draw` returns, called in our own style; None where it fails, for a figure is no result.

    Warns
    -----
    InputNote
        If it fails, with the reason.
    """
    try:
        with own_style():
            return draw()
    except Exception as error:  # of matplotlib, of its fonts and caches, of the disk
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        warnings.warn(InputNote(f"Figures could not be drawn ({reason}); everything else is written."), stacklevel=2)
        return None
