"""The connectomes of a corpus are real ones from a table, variants of them, and generated ones."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import mfm
from mfm.errors import InputError, MissingInputError
from mfm.io import load_connectome, read_fcd_cdf, read_map, read_matrix
from surrogate.corpus.config import ConnectomesConfig, CorpusConfig

SPLITS = ("train", "validation", "test")
_COLUMNS = ("name", "sc", "transform", "split")
_OPTIONAL = ("maps", "fc", "fcd_cdf")

# Largest weight, as `mfm.load_connectome` scales it.
_SCALE_MAX = 0.02


@dataclass(frozen=True, eq=False)
class CorpusConnectome:
    """A corpus connectome is a connectome with its name, kind and split.

    Attributes
    ----------
    name : str
    kind : {"real", "perturbed", "generated"}
    split : {"train", "validation", "test"}
    weights : array of float32, (N, N)
        As they enter the equations.
    maps : array, (M, N)
        Maps that come with it; M may be 0.
    fc : array, (N, N), optional
        What searches on it are fitted to.
    fcd_cdf : array, (K,), optional
        What searches by a surrogate are fitted to beside it.
    """

    name: str
    kind: str
    split: str
    weights: np.ndarray
    maps: np.ndarray
    fc: np.ndarray | None = None
    fcd_cdf: np.ndarray | None = None

    @property
    def n_regions(self) -> int:
        """Count the regions."""
        return len(self.weights)

    @property
    def connectome(self) -> mfm.Connectome:
        """Return it as an `mfm.Connectome`."""
        return mfm.Connectome(self.weights)

    @property
    def digest(self) -> str:
        """Digest (sha256) all its numbers."""
        parts = [self.weights, self.maps, *(part for part in (self.fc, self.fcd_cdf) if part is not None)]
        return hashlib.sha256(b"".join(np.ascontiguousarray(part, "<f8").tobytes() for part in parts)).hexdigest()


def corpus_connectomes(config: CorpusConfig) -> list[CorpusConnectome]:
    """List all connectomes of a corpus, in a random order that the seed decides: any first few are of all kinds.

    Raises
    ------
    InputError
        If the table or a file that it names cannot be used.
    """
    c = config.connectomes
    real = real_connectomes(Path(c.table)) if c.table is not None else []
    parents = [connectome for connectome in real if connectome.split == "train"]
    if c.n_perturbed and not parents:
        raise InputError(f"{c.table} names no connectome for training, of which variants could be made.")
    found = list(real)
    for k in range(c.n_perturbed):
        rng = _stream(config.seed, 1, k)
        found.append(perturb_connectome(parents[k % len(parents)], f"perturbed-{k:04d}", rng))
    found += [
        draw_connectome(f"generated-{k:04d}", _split(k, c), c.regions, _stream(config.seed, 2, k)) for k in range(c.n_generated)
    ]
    order = _stream(config.seed, 3).permutation(len(found))
    recorded = [connectome.fcd_cdf for connectome in parents if connectome.fcd_cdf is not None]
    if recorded:  # an FCD distribution is of any number of regions
        found = [c if c.fcd_cdf is not None else replace(c, fcd_cdf=recorded[k % len(recorded)]) for k, c in enumerate(found)]
    return [found[k] for k in order]


def real_connectomes(path: Path) -> list[CorpusConnectome]:
    """Read the real connectomes that a table names (see `ConnectomesConfig`)."""
    if not path.is_file():
        raise MissingInputError(f"There is no table of connectomes {path}.", fix="check connectomes.table")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        columns, rows = reader.fieldnames or [], list(reader)
    if not set(_COLUMNS) <= set(columns) or not set(columns) <= {*_COLUMNS, *_OPTIONAL}:
        raise InputError(
            f"The columns of {path} are not those of a table of connectomes.",
            expected=f"{', '.join(_COLUMNS)}; optional: {', '.join(_OPTIONAL)}",
            found=", ".join(columns) or "nothing",
            cause="commas instead of tabs" if len(columns) == 1 and "," in columns[0] else None,
        )
    found = [_read_row(row, path, line) for line, row in enumerate(rows, start=2)]
    names = [connectome.name for connectome in found]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"Names in {path} occur twice.", found=", ".join(twice))
    return found


def _read_row(row: dict[str, str], table: Path, line: int) -> CorpusConnectome:
    cells = {key: (value or "").strip() for key, value in row.items()}
    if cells["split"] not in SPLITS or not cells["name"]:
        raise InputError(
            f"Line {line} of {table} cannot be used.", expected=f"a name, and a split of {' | '.join(SPLITS)}", found=str(cells)
        )

    def file(cell: str) -> Path:
        return table.parent / cell

    sc = load_connectome(file(cells["sc"]), transform=cells["transform"])
    maps = [part.strip() for part in _given(cells.get("maps")).split(",") if part.strip()]
    values = np.array([_standardised(np.asarray(read_map(file(part), sc.n_regions))) for part in maps])
    fc = None
    if name := _given(cells.get("fc")):
        fc = np.asarray(read_matrix(file(name), "FC")[0])
        if fc.shape != sc.weights.shape:
            raise InputError(f"{file(name)} has other regions than {file(cells['sc'])}.", found=f"{fc.shape}")
    cdf = read_fcd_cdf(file(name)) if (name := _given(cells.get("fcd_cdf"))) else None
    weights = sc.weights.astype(np.float32)
    return CorpusConnectome(cells["name"], "real", cells["split"], weights, values.reshape(-1, sc.n_regions), fc, cdf)


def _given(cell: str | None) -> str:
    return "" if cell in (None, "n/a") else cell or ""


def draw_connectome(name: str, split: str, regions: list[int], rng: np.random.Generator) -> CorpusConnectome:
    """Draw a random connectome: two hemispheres of a shell, modules, logarithms of counts that fall with distance.

    Weights are what a logarithm leaves of lognormal streamline counts above a threshold, as in `mfm.load_connectome`.
    """
    low, high = regions
    # Most in the lower part of the range, where most parcellations are and simulation costs little.
    middle = min(high, max(low, 90))
    n = int(rng.integers(low, middle + 1) if rng.uniform() < 0.95 else rng.integers(middle, high + 1))
    position = rng.normal(size=(n, 3))
    position *= rng.uniform(0.6, 1, size=(n, 1)) / np.linalg.norm(position, axis=1, keepdims=True)
    position *= (50.0, 80.0, 55.0)  # mm, about the half axes of a brain
    left = np.arange(n) < n // 2
    position[:, 0] = np.where(left, -1, 1) * np.abs(position[:, 0])
    distance = np.linalg.norm(position[:, None] - position[None], axis=2)
    n_modules = int(rng.integers(2, 9))
    centre = position[rng.choice(n, min(n, n_modules), replace=False)]
    module = np.linalg.norm(position[:, None] - centre[None], axis=2).argmin(axis=1)
    log_count = -distance / rng.uniform(12, 45)
    log_count += rng.uniform(0, 2) * (module[:, None] == module[None])
    log_count -= rng.uniform(0, 2.5) * (left[:, None] != left[None])
    hub = rng.normal(size=n) * rng.uniform(0.1, 0.8)
    noise = rng.normal(size=(n, n)) * rng.uniform(0.3, 1.2)
    noise = (noise + noise.T) / np.sqrt(2)
    if rng.uniform() < 0.15:  # probabilistic tracking is not symmetric
        noise = noise + rng.normal(size=(n, n)) * 0.2
    log_count = log_count + hub[:, None] + hub[None] + noise
    off = ~np.eye(n, dtype=bool)
    threshold = np.quantile(log_count[off], 1 - rng.uniform(0.15, 1.0))
    # What is added stands for the counts at threshold: the larger, the more alike the logarithms.
    weights = np.where(log_count >= threshold, log_count - threshold + rng.uniform(0.2, 3.0), 0.0)
    return CorpusConnectome(name, "generated", split, _scaled(weights), np.empty((0, n)))


def perturb_connectome(parent: CorpusConnectome, name: str, rng: np.random.Generator) -> CorpusConnectome:
    """Make a variant of `parent`: regions left out, merged or split; edges rescaled, and the weakest removed."""
    weights, maps = parent.weights.astype(np.float64), parent.maps
    if rng.uniform() < 0.6:
        weights, maps = _resampled(weights, maps, rng)
    n = len(weights)
    scale = np.exp(rng.normal(size=(n, n)) * rng.uniform(0.05, 0.5))
    weights = weights * np.sqrt(scale * scale.T)
    if rng.uniform() < 0.5:
        weights = np.where(weights >= np.quantile(weights[weights > 0], rng.uniform(0, 0.3)), weights, 0.0)
    if rng.uniform() < 0.3:  # another contrast between weak and strong edges
        weights = (weights / weights.max()) ** rng.uniform(0.6, 1.6)
    return CorpusConnectome(name, "perturbed", parent.split, _scaled(weights), maps)


def _resampled(weights: np.ndarray, maps: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Another parcellation of the same brain: each of its regions is the mean of one or two of the parent's."""
    n = len(weights)
    members: list[np.ndarray] = []
    for region in rng.permutation(n)[: rng.integers(int(0.6 * n), n + 1)]:
        kind = rng.uniform()
        if kind < 0.15:  # merged with the region it is most connected to
            members.append(np.array([region, weights[region].argmax()]))
        elif kind < 0.3:  # split in two that are connected alike, but for what is drawn later
            members += [np.array([region])] * 2
        else:
            members.append(np.array([region]))
    share = np.zeros((len(members), n))
    for row, member in zip(share, members, strict=True):
        row[member] = 1 / len(set(member.tolist()))
    merged = share @ weights @ share.T
    # The parts of a region, which the parent does not tell apart, are connected to each other strongly.
    same = (share[:, None] == share[None]).all(axis=2) & ~np.eye(len(members), dtype=bool)
    return np.where(same, weights.max() * 0.8, merged), maps @ share.T


def smooth_maps(weights: np.ndarray, n_maps: int, rng: np.random.Generator) -> np.ndarray:
    """Draw random maps (n_maps, N), standardised, alike in connected regions; the second may oppose the first, as in cortex.

    Random mixtures of the connectome's harmonics (eigenvectors of its normalised Laplacian), the smooth ones first.
    """
    n = len(weights)
    symmetric = (weights + weights.T) / 2
    scale = 1 / np.sqrt(np.maximum(symmetric.sum(axis=1), 1e-12))
    _, harmonics = np.linalg.eigh(scale[:, None] * symmetric * scale)
    harmonics = harmonics[:, -2::-1]  # smoothest first, without the constant one
    maps = []
    for _ in range(n_maps):
        reach = np.exp(rng.uniform(np.log(2), np.log(n)))
        maps.append(_standardised(harmonics @ (rng.normal(size=n - 1) * np.exp(-np.arange(n - 1) / reach))))
    if n_maps > 1 and rng.uniform() < 0.5:
        maps[1] = _standardised(maps[1] - rng.uniform(0.3, 1) * maps[0])
    return np.array(maps).reshape(n_maps, n)


def _scaled(weights: np.ndarray) -> np.ndarray:
    weights = weights.copy()
    np.fill_diagonal(weights, 0.0)
    return (weights * (_SCALE_MAX / weights.max())).astype(np.float32)


def _standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / max(values.std(), 1e-12)


def _split(k: int, c: ConnectomesConfig) -> str:
    """The first generated connectomes are held out: more of them later change no other's split."""
    n_held_out = round(c.held_out * c.n_generated)
    return "validation" if k < n_held_out else "test" if k < 2 * n_held_out else "train"


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, *key)))
