"""A corpus is made one shard after the other, each reproducible by itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

import mfm
from mfm import Bounds, FICParameters, Protocol
from mfm.errors import OutputError
from mfm.io import write_json, write_npy
from mfm.protocol import coarse_hemodynamic_dt, nearest_dt
from surrogate.bundle import Surrogate, load_pretrained
from surrogate.corpus.config import CorpusConfig
from surrogate.corpus.connectomes import CorpusConnectome, corpus_connectomes, smooth_maps
from surrogate.corpus.sampling import MapSpace, draw_sets
from surrogate.corpus.store import (
    SCHEMA,
    ConnectomeRow,
    Corpus,
    ShardRow,
    file_digest,
    grid_digest,
    read_corpus_manifest,
    read_rows,
    shard_dtype,
    write_rows,
)
from surrogate.fcd_grid import to_grid

# Windows of an FCD distribution: as many as 5 frames' step leaves of 1200 frames, which moves the CDF by less than 0.005.
_WINDOWS = 240
_FCD_BINS = 10000

# BOLD that is held at a time.
_BOLD_BYTES = 256 * 2**20

_LONG_SCANS = 1 / 15
_MAPS = 2


def build_corpus(config: CorpusConfig, progress: Callable[[ShardRow, int], None] | None = None) -> Corpus:
    """Make a corpus, or what an interrupted command left undone of it.

    Parameters
    ----------
    config : CorpusConfig
    progress : callable, optional
        Told of every new shard, and of how many there will be.

    Returns
    -------
    Corpus

    Raises
    ------
    InputError
        If a connectome cannot be read.
    OutputError
        If the folder holds a corpus of other settings or inputs.

    Notes
    -----
    A shard's content depends on the settings and its number alone; shards that the index names are not made again.

    Examples
    --------
    >>> import tempfile
    >>> from surrogate.corpus.build import build_corpus
    >>> from surrogate.corpus.config import ConnectomesConfig, CorpusConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     config = CorpusConfig(folder, ConnectomesConfig(n_generated=1, regions=[8, 8]), n_shards=1, sources=["prior"],
    ...         simulations_per_shard=8, scan_s=[150, 150, 150], tr_s=[2.0], burn_in_s=0, warm_up_s=0)
    ...     build_corpus(config).simulations
    8
    """
    folder = Path(config.folder)
    connectomes = corpus_connectomes(config)
    surrogate = load_pretrained(config.surrogate) if config.surrogate is not None else None
    _begin(folder, config, connectomes, surrogate)
    index = folder / "index.tsv"
    done = {row.shard: row for row in (read_rows(index, ShardRow) if index.is_file() else [])}
    # A shard whose file was deleted is made again.
    done = {number: row for number, row in done.items() if (folder / row.file).is_file()}
    for number in range(config.n_shards):
        if number not in done:
            done[number] = _make_shard(number, config, connectomes, folder, surrogate)
            write_rows(index, [done[k] for k in sorted(done)], ShardRow)
            if progress is not None:
                progress(done[number], config.n_shards)
    return Corpus(folder)


def _begin(folder: Path, config: CorpusConfig, connectomes: list[CorpusConnectome], surrogate: Surrogate | None) -> None:
    """The manifest and the connectomes; an OutputError where those of another corpus are there."""
    inputs = {c.name: c.digest for c in connectomes} | ({} if surrogate is None else {"surrogate": surrogate.digest})
    manifest = {
        "schema": SCHEMA,
        "mfmfit": mfm.__version__,
        "model": config.model,
        "settings": config.deciding(),
        "inputs_sha256": inputs,
        "fcd_grid_sha256": grid_digest(),
    }
    if (folder / "manifest.json").is_file():
        there = read_corpus_manifest(folder)
        differing = [key for key in ("settings", "inputs_sha256") if there.get(key) != manifest[key]]
        if differing:
            raise OutputError(
                f"{folder} holds another corpus.",
                found=f"other {' and '.join(differing)} in {folder / 'manifest.json'}",
                fix="choose another folder, or repeat the settings of that corpus to go on with it",
            )
        return
    rows = []
    for c in connectomes:
        path = write_npy(folder / f"connectomes/{c.name}.npy", c.weights)
        file = path.relative_to(folder).as_posix()
        rows.append(ConnectomeRow(c.name, c.kind, c.split, c.n_regions, file, file_digest(path)))
    write_rows(folder / "connectomes.tsv", rows, ConnectomeRow)
    write_json(folder / "manifest.json", manifest)


def _make_shard(
    number: int, config: CorpusConfig, connectomes: list[CorpusConnectome], folder: Path, surrogate: Surrogate | None
) -> ShardRow:
    began = time.perf_counter()
    n_rounds, position = divmod(number, len(connectomes))
    connectome = connectomes[position]
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(1, number)))
    protocol = draw_protocol(config, rng)
    # Shifted by one at every round of the connectomes, so that each meets all sources.
    source = config.sources[(number + n_rounds) % len(config.sources)]
    # Its own maps in half of the shards, random ones in the other.
    own = len(connectome.maps) >= _MAPS and rng.uniform() < 0.5
    maps = connectome.maps[:_MAPS] if own else smooth_maps(connectome.weights.astype(np.float64), _MAPS, rng)
    space = MapSpace(maps, Bounds())
    repeats, rows = config.repeats(connectome.split), config.rows(connectome.split)
    drawn = draw_sets(rows, space, connectome.connectome, protocol, source, connectome.fc, rng, surrogate, connectome.fcd_cdf)
    p = FICParameters(*(getattr(drawn, name).float().double() for name in ("w_EE", "w_EI", "sigma", "G")))
    seeds = rng.integers(0, 2**63, size=rows, dtype=np.uint64)
    records = np.empty(rows, shard_dtype(connectome.n_regions, repeats))
    for name in ("w_EE", "w_EI", "sigma", "G"):
        records[name] = getattr(p, name).numpy()
    records["seed"] = seeds
    for part in _parts(rows, repeats * protocol.n_frames * connectome.n_regions * 4):
        _simulate_into(records[part], p[part], connectome, protocol, repeats, config.n_threads)
    path = write_npy(folder / f"shards/{number:06d}.npy", records)
    inside = mfm.within_range(torch.from_numpy(records["rate_E"].copy())).all(dim=1)
    return ShardRow(
        shard=number,
        file=path.relative_to(folder).as_posix(),
        connectome=connectome.name,
        kind=connectome.kind,
        split=connectome.split,
        source=source,
        n_regions=connectome.n_regions,
        rows=rows,
        repeats=repeats,
        tr_s=protocol.tr_s,
        n_frames=protocol.n_frames,
        dt_s=protocol.dt_s,
        hemo_dt_s=protocol.hemodynamic_dt_s,
        burn_in_s=protocol.burn_in_s,
        warm_up_s=protocol.warm_up_s,
        scheme=protocol.scheme,
        within_range=float(inside.double().mean()),
        seconds=round(time.perf_counter() - began, 2),
        sha256=file_digest(path),
    )


def draw_protocol(config: CorpusConfig, rng: np.random.Generator) -> Protocol:
    """Draw a random timing (see `CorpusConfig`)."""
    tr_s = float(rng.choice(config.tr_s))
    low, usual, high = config.scan_s
    ends = (usual, high) if rng.uniform() < _LONG_SCANS else (low, usual)
    scan_s = math.exp(rng.uniform(math.log(ends[0]), math.log(ends[1])))
    dt_s = nearest_dt(tr_s, config.dt_s)
    return Protocol(
        tr_s,
        max(1, round(scan_s / tr_s)),
        dt_s,
        config.burn_in_s,
        config.warm_up_s,
        hemo_dt_s=coarse_hemodynamic_dt(tr_s, dt_s),
        scheme=config.scheme,
    )


def _parts(rows: int, bytes_each: int) -> Iterator[slice]:
    size = max(1, _BOLD_BYTES // bytes_each)
    return (slice(first, first + size) for first in range(0, rows, size))


def _simulate_into(records, p, connectome: CorpusConnectome, protocol: Protocol, repeats: int, n_threads: int | None) -> None:
    """Fill the outcome of records, of which the input stands there."""
    sim = mfm.simulate(p, connectome.connectome, protocol, repeats, records["seed"].tolist(), "numba", n_threads=n_threads)
    records["rate_E"] = sim.rate_E.numpy()
    halves = min(2, repeats)
    fc = mfm.upper_triangle(mfm.functional_connectivity(sim.bold))
    step = fcd_step(protocol)
    cdf = to_grid(mfm.fcd_cdf(sim.bold, protocol.window_frames, _FCD_BINS, n_threads, step))
    for name, value in (("fc", fc.numpy()), ("fcd_cdf", cdf)):
        records[name] = value.reshape(len(p.G), halves, repeats // halves, -1).mean(axis=2)


def fcd_step(protocol: Protocol) -> int:
    """Count frames from one FCD window to the next: as many windows as tell the distribution to 0.005."""
    n_windows = protocol.n_frames - protocol.window_frames + 1
    return int(np.clip(n_windows // _WINDOWS, 1, protocol.window_frames))
