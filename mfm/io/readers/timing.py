"""Repetition time and lengths of runs: what is said, against what files tell."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from mfm.errors import InputError, InputNote
from mfm.io.formats.bids import Sidecar
from mfm.io.formats.header_time import HeaderTime

# Headers keep the TR as float32, sidecars with three digits.
_TR_TOLERANCE = 1e-3
# HCP's files of all runs in one: rfMRI_REST_Atlas..., where single runs are rfMRI_REST1_LR_Atlas...
_JOINED = re.compile(r"rfMRI_REST(_7T)?_Atlas")
# As in mfm.Protocol: a longer one was given in milliseconds.
_LONGEST_TR_S = 20.0
# No scanner is as fast; seconds whose unit is said to be milliseconds look so.
_SHORTEST_TR_S = 0.02
#: Longer than any resting run: frames and TR do not belong together.
LONGEST_RUN_S = 5400.0


def agreed_tr(said: float | None, header: HeaderTime, sidecar: Sidecar, path: Path) -> float | None:
    """Return the repetition time in seconds that is said or found; None where nothing tells it.

    Where sidecar and header differ, what is said decides, with an `InputNote`; so it does where the header holds a default or
    a number without a unit.

    Raises
    ------
    InputError
        If what is said is found nowhere, or sidecar and header differ and nothing is said, or milliseconds were written.
    """
    found = {"the sidecar": sidecar.tr_s, "the header": header.tr_s}
    known = {place: value for place, value in found.items() if value is not None}
    for place, value in list(known.items()):
        if not plausible_tr(value):
            _check_other_unit(place, value, said, path)
            del known[place]
    if said is None:
        values = list(known.values())
        if len(values) == 2 and not same_tr(*values):
            raise InputError(
                f"Sidecar and header of {path} tell different repetition times.",
                found=", ".join(f"{value:g} s in {place}" for place, value in known.items()),
                fix="say which is right: `tr_s=SECONDS`",
            )
        return values[0] if values else None
    wrong = {place: value for place, value in known.items() if not same_tr(value, said)}
    if wrong and len(wrong) == len(known):
        raise InputError(
            f"The repetition time is not that of {path}.",
            expected=f"{said:g} s, as `tr_s` says",
            found=", ".join(f"{value:g} s in {place}" for place, value in wrong.items()),
            cause="a setting of another scan, or a header that was not filled in",
            fix="leave `tr_s` out to take the file's own, or correct the file",
        )
    for place, value in wrong.items():
        note = f"{place[0].upper()}{place[1:]} of {path} tells a TR of {value:g} s; {said:g} s were said, and found elsewhere."
        warnings.warn(InputNote(note), stacklevel=3)
    if header.number is not None and not known and not any(same_tr(header.number, said * unit) for unit in (1, 1e3, 1e6)):
        note = f"The header of {path} tells no TR ({header.hint}); {said:g} s were said."
        warnings.warn(InputNote(note), stacklevel=3)
    return said


def _check_other_unit(place: str, value: float, said: float | None, path: Path) -> None:
    """Raise an InputError for a TR in another unit than seconds, unless it is what is said, which an `InputNote` tells."""
    seconds = value / 1000 if value > _LONGEST_TR_S else value * 1000
    if said is not None and same_tr(seconds, said):
        note = f"{place[0].upper()}{place[1:]} of {path} tells a TR of {value:g} s; {said:g} s were said: its unit is wrong."
        warnings.warn(InputNote(note), stacklevel=4)
        return
    said_so = f"`tr_s={seconds:g}` if that is what it means"
    if path.name.endswith("series.nii"):
        said_so += f", or wb_command -cifti-change-mapping {path} ROW OUT -series SECOND 0 {seconds:g}"
    raise InputError(
        f"The repetition time in {place} of {path} is implausible.",
        expected="seconds, usually 0.5 to 3",
        found=f"{value:g}",
        cause="milliseconds were written" if value > seconds else "seconds were written, and milliseconds named as their unit",
        fix=said_so if place == "the header" else f'"RepetitionTime": {seconds:g}',
    )


def note_run_lengths(lengths: Sequence[int], tr_s: float) -> tuple[str, ...]:
    """Return the note that tells of runs of `lengths` frames that last longer than runs do."""
    longest = max(lengths, default=0)
    if longest * tr_s <= LONGEST_RUN_S:
        return ()
    return (
        f"A run of {longest} frames at TR {tr_s:g} s lasts {longest * tr_s / 60:.0f} minutes, where resting runs last 5 to 30: "
        "is the TR right (`tr_s`), and is it one run (`run_frames` says where runs join)?",
    )


def plausible_tr(tr_s: float) -> bool:
    """Whether a scan may have this repetition time, in seconds; others are of another unit."""
    return _SHORTEST_TR_S <= tr_s <= _LONGEST_TR_S


def same_tr(a: float, b: float) -> bool:
    """Whether two statements of a repetition time differ by no more than their rounding."""
    return abs(a - b) <= _TR_TOLERANCE * max(a, b)


def run_lengths(path: Path, run_frames: Sequence[int], n_frames: int) -> tuple[int, ...]:
    """Return the frames of each run in a file of `n_frames`.

    Raises
    ------
    InputError
        If lengths do not add up, or the file is one of HCP's that join runs and none are given.
    """
    if not run_frames:
        if _JOINED.search(path.name):
            raise InputError(
                f"{path} joins all runs of a subject.",
                expected="one run per file: FCD windows must not cross from one run to the next",
                found=f"{n_frames} frames",
                fix="give each run's file (rfMRI_REST1_LR_..., ...), or their lengths: `run_frames=[1200,1200,1200,1200]`",
            )
        return (n_frames,)
    lengths = tuple(int(length) for length in run_frames)
    if min(lengths) < 1 or sum(lengths) != n_frames:
        raise InputError(
            f"The lengths of runs do not fit {path}.",
            expected=f"frames that add up to {n_frames}",
            found=f"{' + '.join(map(str, lengths))} = {sum(lengths)}",
            cause="a run was cut short, or frames were deleted",
        )
    return lengths
