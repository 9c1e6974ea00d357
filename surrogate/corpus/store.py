"""A corpus on disk is a manifest, connectomes, memory-mapped shards, and an index with their digests.

Layout, readable with numpy alone::

    manifest.json            schema, settings, digests of what it was made from
    connectomes.tsv          connectome, kind, split, n_regions, file, sha256
    connectomes/*.npy        float32 (N, N)
    index.tsv                one row per finished shard: connectome, timing, share within range, sha256
    shards/*.npy             one record per parameter set, see `shard_dtype`
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

import mfm
from mfm.errors import InputError, MissingInputError
from mfm.io import write_tsv
from mfm.io.formats.tables import file_digest
from mfm.protocol import Protocol
from surrogate.fcd_grid import grid_points
from surrogate.features import MODEL

SCHEMA = "mfmfit-corpus/1"


@dataclass(frozen=True)
class ConnectomeRow:
    """A connectome row is a row of ``connectomes.tsv``."""

    connectome: str
    kind: str
    split: str
    n_regions: int
    file: str
    sha256: str


@dataclass(frozen=True)
class ShardRow:
    """A shard row is a row of ``index.tsv``: a finished shard."""

    shard: int
    file: str
    connectome: str
    kind: str
    split: str
    source: str
    n_regions: int
    rows: int
    repeats: int
    tr_s: float
    n_frames: int
    dt_s: float
    hemo_dt_s: float
    burn_in_s: float
    warm_up_s: float
    scheme: str
    within_range: float
    seconds: float
    sha256: str

    @property
    def protocol(self) -> Protocol:
        """Return the timing of the shard's simulations."""
        return Protocol(
            self.tr_s, self.n_frames, self.dt_s, self.burn_in_s, self.warm_up_s, hemo_dt_s=self.hemo_dt_s, scheme=self.scheme
        )

    @property
    def simulations(self) -> int:
        """Count the simulations in the shard."""
        return self.rows * self.repeats


def shard_dtype(n_regions: int, repeats: int) -> np.dtype:
    """Return the dtype of a shard's records, one per parameter set.

    ``w_EE, w_EI, sigma`` (N,), ``G`` and ``seed`` are the input; ``rate_E`` (R, N) is every realisation's mean rate in Hz;
    ``fc`` (H, N (N - 1) / 2) and ``fcd_cdf`` (H, P), on `surrogate.fcd_grid`, are means over the first and the second half of
    the realisations, or of the only one (H = 1).
    """
    halves, edges = min(2, repeats), n_regions * (n_regions - 1) // 2
    return np.dtype(
        [
            ("w_EE", "<f4", (n_regions,)),
            ("w_EI", "<f4", (n_regions,)),
            ("sigma", "<f4", (n_regions,)),
            ("G", "<f4"),
            ("seed", "<u8"),
            ("rate_E", "<f4", (repeats, n_regions)),
            ("fc", "<f2", (halves, edges)),
            ("fcd_cdf", "<f2", (halves, len(grid_points()))),
        ]
    )


def grid_digest() -> str:
    """Digest (sha256) the points at which FCD distributions are held."""
    return hashlib.sha256(grid_points().astype("<f8").tobytes()).hexdigest()


class Corpus:
    """A corpus is read from its folder.

    Parameters
    ----------
    folder : path

    Raises
    ------
    MissingInputError
        If a file is not there.
    InputError
        If the folder holds a corpus of another schema, or a table is damaged.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.manifest = read_corpus_manifest(self.folder)
        self.connectomes = {row.connectome: row for row in read_rows(self.folder / "connectomes.tsv", ConnectomeRow)}
        self.shards = read_rows(self.folder / "index.tsv", ShardRow)
        unknown = sorted({shard.connectome for shard in self.shards} - set(self.connectomes))
        if unknown:
            raise InputError(
                f"{self.folder / 'index.tsv'} names connectomes that connectomes.tsv does not.", found=", ".join(unknown[:5])
            )

    def split(self, name: str) -> list[ShardRow]:
        """List the finished shards of a split."""
        return [shard for shard in self.shards if shard.split == name]

    @cached_property
    def _weights(self) -> dict[str, mfm.Connectome]:
        return {}

    def connectome(self, name: str) -> mfm.Connectome:
        """Return a connectome, as it was simulated."""
        if name not in self._weights:
            row = self.connectomes[name]
            path = self.folder / row.file
            if not path.is_file():
                raise _missing(path)
            weights = _load(path, mmap=False)
            if weights.shape != (row.n_regions, row.n_regions):
                raise _damaged(path, f"a matrix of {row.n_regions} regions", str(weights.shape))
            self._weights[name] = mfm.Connectome(weights)
        return self._weights[name]

    def records(self, shard: ShardRow) -> np.ndarray:
        """Open the records of a shard (see `shard_dtype`), memory-mapped and read-only."""
        path = self.folder / shard.file
        if not path.is_file():
            raise _missing(path)
        records = _load(path, mmap=True)
        expected = shard_dtype(shard.n_regions, shard.repeats)
        if records.dtype != expected or records.shape != (shard.rows,):
            raise _damaged(path, f"{shard.rows} records of {expected.itemsize} bytes", f"{records.shape} of {records.dtype}")
        return records

    def verify(self) -> Iterator[str]:
        """Read every file and compare its digest; yields a line per file that is damaged or missing."""
        for row in (*self.connectomes.values(), *self.shards):
            path = self.folder / row.file
            if not path.is_file():
                yield f"{path}: missing"
            elif (found := file_digest(path)) != row.sha256:
                yield f"{path}: sha256 is {found[:12]}..., index says {row.sha256[:12]}... (truncated or changed)"

    @property
    def simulations(self) -> int:
        """Count the simulations in all shards."""
        return sum(shard.simulations for shard in self.shards)


def read_corpus_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of the corpus in `folder`, of this schema."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise MissingInputError(
            f"There is no corpus in {folder}.", expected=f"{path}", fix="mfmfit corpus folder=... makes one"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path, "JSON", str(error)) from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else type(manifest).__name__
        raise InputError(
            f"{path} is of another schema.",
            expected=SCHEMA,
            found=str(found),
            cause="a corpus of another version of mfmfit, or another kind of folder",
            fix="make the corpus anew, or use the version that made it",
        )
    # Corpora of earlier versions do not say their model.
    if (model := manifest.get("model", MODEL)) != MODEL:
        raise InputError(
            f"{path} is of another model.",
            expected=f"a corpus of the model {MODEL!r}, whose features surrogates know",
            found=repr(model),
            fix="mfmfit corpus makes one",
        )
    if manifest.get("fcd_grid_sha256") != grid_digest():
        raise InputError(f"{path}: FCD distributions are held at other points than this version's.", fix="make the corpus anew")
    return manifest


def write_rows(path: Path, rows: list, kind: type) -> None:
    """Write a table of dataclasses."""
    write_tsv(path, [f.name for f in fields(kind)], [list(asdict(row).values()) for row in rows])


def read_rows(path: Path, kind: type) -> list:
    """Read what `write_rows` wrote; an InputError names the line where a cell does not fit."""
    if not path.is_file():
        raise _missing(path)
    types = get_type_hints(kind)
    names = [f.name for f in fields(kind)]
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        if reader.fieldnames != names:
            raise _damaged(path, "the columns " + ", ".join(names), ", ".join(reader.fieldnames or ["nothing"]))
        found = []
        for line, row in enumerate(reader, start=2):
            try:
                found.append(kind(**{name: _cell(types[name], row[name]) for name in names}))
            except (TypeError, ValueError) as error:
                raise _damaged(path, f"a row of {kind.__name__} in line {line}", str(error)) from error
    return found


def _cell(kind: type, text: str):
    if kind is float and text == "n/a":
        return float("nan")
    return kind(text)


def _load(path: Path, mmap: bool) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise _damaged(path, "a whole npy file", str(error)) from error


def _missing(path: Path) -> MissingInputError:
    return MissingInputError(f"The corpus lacks {path}.", fix="the command that made it makes what is missing")


def _damaged(path: Path, expected: str, found: str) -> InputError:
    return InputError(
        f"{path} is damaged.",
        expected=expected,
        found=found,
        cause="a copy that broke off, or a file that was changed",
        fix="delete it, and run the command that made the corpus again",
    )
