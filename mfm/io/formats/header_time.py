"""The repetition time in an image's header, told apart from what software writes that does not know it."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Seconds of the units that headers of NIfTI and CIFTI name.
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "SECOND": 1.0}


@dataclass(frozen=True)
class HeaderTime:
    """What a header tells of time.

    Parameters
    ----------
    tr_s : float or None
        Repetition time, seconds; None where the header does not tell it.
    hint : str
        What stands there all the same, but is no statement: a number without a unit, or the default of software.
    number : float or None
        That number.
    """

    tr_s: float | None = None
    hint: str = ""
    number: float | None = None


def header_time(step: float, unit: str, is_known: bool = False) -> HeaderTime:
    """Return what a step of `unit` between frames tells.

    A step of exactly 1 is what nibabel, FSL and Workbench write where nobody told them, with or without a unit, and so tells
    nothing unless `is_known`. Without a unit a number may be seconds or milliseconds.

    Examples
    --------
    >>> from mfm.io.formats.header_time import header_time
    >>> header_time(720.0, "msec").tr_s, header_time(1.0, "sec").tr_s, header_time(2.0, "unknown").hint
    (0.72, None, '2 without a unit')
    """
    if not math.isfinite(step) or step <= 0:
        return HeaderTime()
    if unit not in _SECONDS:
        without = "without a unit" if unit in ("", "unknown") else f"in the unit {unit}"
        hint = f"{step:.6g} {without}" + (", which is written by software that does not know it" if step == 1 else "")
        return HeaderTime(None, hint, step)
    if step == 1 and _SECONDS[unit] == 1 and not is_known:
        return HeaderTime(None, "1 s, which is also written by software that does not know it", step)
    # Headers keep it as float32.
    return HeaderTime(float(f"{step * _SECONDS[unit]:.6g}"))
