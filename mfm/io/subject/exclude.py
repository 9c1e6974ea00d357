"""Regions that are left out of every input, before any of them is checked."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mfm.brain.atlas import same_name, some_names
from mfm.brain.connectome import Connectome
from mfm.errors import ConfigError, InputNote
from mfm.io.readers.connectomes import kept_regions, of_regions
from mfm.io.readers.finite_entries import regions_without_numbers
from mfm.io.readers.matrix_file import RawMatrix
from mfm.io.subject.read import RawInputs, RawStage


def without_excluded(raw: RawInputs, excluded: Sequence[str]) -> RawInputs:
    """Return inputs without the regions that a person wants left out, where they have them.

    Inputs with names are taken by name, in any spelling. Those without are taken by the position that a region has in the first
    list of names of as many regions as they have rows; where nothing has names, by number, counted from 1. An input without
    names that has as many rows fewer as regions are left out is taken to lack them.

    Raises
    ------
    ConfigError
        If no input has a region of that name or number, or an FC was computed with it.

    Warns
    -----
    InputNote
        That tells what was left out of which input.
    """
    if not excluded:
        return raw
    exclusion = _Exclusion.of(raw, tuple(dict.fromkeys(excluded)))
    found = replace(
        raw,
        connectome=exclusion.matrix(raw.connectome, "connectome"),
        runs=tuple(exclusion.columns(run, "time series") for run in raw.runs),
        stages={name: exclusion.stage(stage, name) for name, stage in (raw.stages or {}).items()},
        maps={name: exclusion.vector(one, f"map {name}") for name, one in (raw.maps or {}).items()},
        gradient_fc=None if raw.gradient_fc is None else exclusion.matrix(raw.gradient_fc, "FC for the gradient"),
        labels=exclusion.labels(raw.labels),
    )
    exclusion.tell()
    return found


@dataclass(frozen=True, eq=False)
class _Exclusion:
    """What is left out, the lists of names by which rows without names are found, and what was done to which input."""

    excluded: tuple[str, ...]
    lists: tuple[tuple[str, ...], ...]
    n_rows: int
    done: dict[str, str]

    @classmethod
    def of(cls, raw: RawInputs, excluded: tuple[str, ...]) -> _Exclusion:
        named = [names for _, names in raw.names_by_input() if names]
        lists = [raw.labels, *named] if raw.labels is not None else named
        n_rows = len(raw.connectome.values)
        known = lists or [Connectome.numbered(n_rows)]
        unknown = [
            one
            for one in excluded
            if not any(same_name(name, one) for names in known for name in names)
            and not (not lists and one.isdigit() and 1 <= int(one) <= n_rows)
        ]
        if unknown:
            raise ConfigError(
                "`exclude_regions` names regions that are not there.",
                expected=f"some of {some_names(known[0])}" + ("" if lists else f", or numbers from 1 to {n_rows}"),
                found=", ".join(unknown),
                cause=None if lists else "no input names its regions, which therefore have numbers",
            )
        return cls(excluded, tuple(lists), n_rows, {})

    def kept(self, names: Sequence[str] | None, n_rows: int, what: str) -> list[int]:
        """Positions of the rows of an input that stay."""
        every = list(range(n_rows))
        if names is None:
            lists = self.lists or (Connectome.numbered(self.n_rows),)
            names = next(
                (one for one in lists if len(one) == n_rows and len(kept_regions(one, self.excluded, False)) < n_rows), None
            )
            if names is None and not self.lists and n_rows == self.n_rows:
                names = lists[0]
            if names is None:
                lacks = any(n_rows == len(kept_regions(one, self.excluded, not self.lists)) for one in lists)
                self.done[what] = "taken to lack them, having as many rows fewer" if lacks else "without names: untouched"
                return every
        kept = kept_regions(names, self.excluded, not self.lists)
        gone = [names[k] for k in every if k not in kept]
        self.done[what] = f"without {some_names(gone)}" if gone else "lacks them anyway"
        return kept

    def labels(self, labels: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Names of the regions that are wanted; where nothing has names, the numbers that they had."""
        if labels is None and not self.lists:
            labels = Connectome.numbered(self.n_rows)
        if labels is None:
            return None
        return tuple(labels[k] for k in kept_regions(labels, self.excluded, not self.lists))

    def matrix(self, raw: RawMatrix, what: str) -> RawMatrix:
        kept = self.kept(raw.labels, len(raw.values), what)
        return raw if len(kept) == len(raw.values) else of_regions(raw, kept)

    def columns(self, run, what: str):
        kept = self.kept(run.labels, run.values.shape[1], what)
        if len(kept) == run.values.shape[1]:
            return run
        values = np.ascontiguousarray(run.values[:, kept])
        values.setflags(write=False)
        return replace(run, values=values, labels=None if run.labels is None else tuple(run.labels[k] for k in kept))

    def vector(self, one, what: str):
        kept = self.kept(one.labels, len(one.values), what)
        return replace(one, values=one.values[kept], labels=None if one.labels is None else tuple(one.labels[k] for k in kept))

    def stage(self, stage: RawStage, name: str) -> RawStage:
        """An FC may lose regions that it has no number for: its FCD cannot have been computed with them."""
        n_rows = len(stage.fc.values)
        kept = self.kept(stage.fc.labels, n_rows, f"{name} FC")
        gone = set(range(n_rows)) - set(kept)
        if gone - set(regions_without_numbers(stage.fc.values).tolist()):
            raise ConfigError(
                "Regions cannot be left out of an FCD that was computed with them.",
                found=f"the {name} FC has {self.done[f'{name} FC'].removeprefix('without ')}",
                fix="give time series, or an FC and FCD that were computed without them",
            )
        sc = None if stage.sc is None else self.matrix(stage.sc, f"{name} connectome")
        return replace(stage, fc=of_regions(stage.fc, kept) if gone else stage.fc, sc=sc)

    def tell(self) -> None:
        by_deed: dict[str, list[str]] = {}
        for what, deed in self.done.items():
            by_deed.setdefault(deed, []).append(what)
        told = "; ".join(f"{', '.join(inputs)}: {deed}" for deed, inputs in by_deed.items())
        warnings.warn(InputNote(f"Left out as asked ({', '.join(self.excluded)}): {told}."), stacklevel=3)
