"""Whether frames of a run were left out or made up, whether the global signal was removed, and frequencies filtered."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mfm.errors import InputError, InputNote
from mfm.io.formats.bids import Sidecar, entities, file_of_same_scan
from mfm.io.formats.tables import read_table
from mfm.observation import Observation

_GLOBAL_SIGNAL = re.compile(r"(?<![a-z0-9])(gsr|36p|27p|global[ _-]?signal([ _-]?regression)?)(?![a-z0-9])", re.IGNORECASE)
_DELETED = re.compile(r"censor|scrub", re.IGNORECASE)
_FILTER = re.compile(r"band.?pass|low.?pass|freq(uency)?.?band|temporal.?filter|software.?filters", re.IGNORECASE)
_INTERPOLATED = re.compile(r"interpolated", re.IGNORECASE)


@dataclass(frozen=True)
class Censoring:
    """Frames of high motion that were taken out of a run.

    Attributes
    ----------
    kind : {"", "deleted", "interpolated"}
        Empty where nothing tells of any.
    n_frames : int or None
        How many; None where that is not known.
    evidence : str
        What tells.
    file : path or None
        The list of outliers that was read.
    """

    kind: Literal["", "deleted", "interpolated"] = ""
    n_frames: int | None = None
    evidence: str = ""
    file: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.kind)

    def __str__(self) -> str:
        if not self.kind:
            return "none"
        return f"{'some' if self.n_frames is None else self.n_frames} frames {self.kind}, says {self.evidence}"


def find_censoring(path: Path, sidecar: Sidecar, n_frames: int) -> Censoring:
    """What name, sidecar and the ``_outliers.tsv`` of XCP-D tell of a series of `n_frames` frames."""
    file = file_of_same_scan(path, "*_outliers.tsv")
    if file is not None:
        outliers = read_table(file, "outliers").values
        n_outliers = int(np.nansum(np.nanmax(outliers, axis=1) > 0))
        if n_outliers:
            kind: Literal["deleted", "interpolated"] = "interpolated" if n_frames == len(outliers) else "deleted"
            return Censoring(kind, n_outliers, file.name, file)
        if n_frames < len(outliers):
            return Censoring("deleted", len(outliers) - n_frames, file.name, file)
        return Censoring(file=file)
    description = entities(path).get("desc", "")
    if _INTERPOLATED.search(description):
        return Censoring("interpolated", None, path.name)
    if _DELETED.search(description):
        return Censoring("deleted", None, path.name)
    for key, value in sidecar.values.items():
        found = f"{key}: {value}"
        if not value or str(value).lower() in ("false", "none", "no", "n/a"):
            continue
        count = value if isinstance(value, int) and not isinstance(value, bool) else None
        if _INTERPOLATED.search(key) or (isinstance(value, str) and _INTERPOLATED.search(value)):
            return Censoring("interpolated", count, found)
        if re.match(r"(number.?of.?)?(censored|scrubbed|scrubbing|censoring)", key, re.IGNORECASE):
            return Censoring("deleted", count, found)
    return Censoring()


def removes_global_signal(path: Path, sidecar: Sidecar) -> str | None:
    """Where it says that the global signal was regressed out; None where nothing does."""
    if _GLOBAL_SIGNAL.search(path.name.partition(".")[0].replace("_", " ")):
        return path.name
    for key, value in sidecar.values.items():
        if re.search(r"sources", key, re.IGNORECASE):
            continue
        texts = value if isinstance(value, list) else [value]
        if _GLOBAL_SIGNAL.search(key) and value is True:
            return f"{key}: true"
        if any(isinstance(text, str) and _GLOBAL_SIGNAL.search(text.replace("_", " ")) for text in texts):
            return f"{key}: {value}"
    return None


def filters_frequencies(sidecar: Sidecar) -> str | None:
    """Where it says that fast fluctuations were filtered out (XCP-D does so by default); None where nothing does."""
    for key, value in sidecar.values.items():
        texts = [f"{name}: {inner}" for name, inner in value.items()] if isinstance(value, dict) else [str(value)]
        said = _FILTER.search(key) or any(_FILTER.search(text) for text in texts if isinstance(value, dict))
        if said and value and str(value).lower() not in ("false", "none", "no", "n/a"):
            return f"{key}: {value}"
    return None


def check_censoring(censoring: Censoring, path: Path, allowed: bool) -> None:
    """Raise an InputError if frames were deleted or interpolated; where that is `allowed`, an `InputNote` tells of it."""
    if not censoring:
        return
    if not allowed:
        raise InputError(
            f"Frames of {path} were {censoring.kind} for motion.",
            expected="every frame as recorded: FCD compares windows of 60 s, which must be of one piece",
            found=str(censoring),
            cause="XCP-D in linc mode deletes frames, in abcd and hbcd mode it interpolates them",
            fix="run it without censoring (--fd-thresh 0), or accept what it does to FCD: `allow_censored=True`",
        )
    warnings.warn(InputNote(f"Frames of {path} were {censoring.kind} for motion ({censoring}); FCD is affected."), stacklevel=3)


def note_processing(path: Path, sidecar: Sidecar, observation: Observation | None = None) -> None:
    """Warn of what was done to a series and not to simulated ones, because `observation` does not say so."""
    observation = observation or Observation()
    regressed = observation.global_signal == "regressed"
    if not regressed and (found := removes_global_signal(path, sidecar)) is not None:
        note = (
            f"{path} was cleaned of the global signal ({found}): mean FC and FCD are not those of data that were not. "
            'Simulated scans are cleaned alike with `observation=ObservationSettings(global_signal="regressed")`.'
        )
        warnings.warn(InputNote(note), stacklevel=3)
    if not observation.is_filtered and (found := filters_frequencies(sidecar)) is not None:
        note = (
            f"{path} was filtered ({found}): simulated BOLD is not, and FCD rises without fast fluctuations. Simulated "
            "scans are filtered alike with `observation=ObservationSettings(high_pass_hz=0.01, low_pass_hz=0.08)`, at the "
            "filter's cut-offs."
        )
        warnings.warn(InputNote(note), stacklevel=3)
