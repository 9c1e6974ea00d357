"""Inputs of one person who does not exist, written as labs write them: a connectome of 20 regions, and runs that follow it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

N = 20
NAMES = tuple(f"{side}-area{k:02d}" for side in ("lh", "rh") for k in range(N // 2))
TR_S = 0.72


def streamlines(n: int = N) -> np.ndarray:
    """Symmetric whole counts over orders of magnitude, all above 1, with a zero diagonal."""
    x = np.random.default_rng(0).normal(size=(n, 3))
    distance = np.linalg.norm(x[:, None] - x[None], axis=-1)
    counts = np.triu(np.round(5000 * np.exp(-2 * distance) + 2), 1)
    return counts + counts.T


def recording(seed: int, n_frames: int = 420, n: int = N) -> np.ndarray:
    """Smooth noise (T, N) whose FC follows the connectome."""
    rng = np.random.default_rng(seed)
    w = np.log(np.maximum(streamlines(n), 1))
    w /= w.max()
    covariance = 0.4 * np.eye(n) + 0.6 * (w @ w) / np.trace(w @ w) * n
    noise = rng.normal(size=(n_frames + 50, n)) @ np.linalg.cholesky(covariance).T
    values = np.zeros_like(noise)
    for k in range(1, len(noise)):
        values[k] = 0.7 * values[k - 1] + noise[k]
    return values[50:]


def table(path: Path, values, columns=None, rows=None, separator=",") -> str:
    """Write a table; returns its path."""
    lines = [] if columns is None else [separator.join(([""] if rows is not None else []) + list(columns))]
    for k, row in enumerate(np.atleast_2d(values)):
        lines.append(separator.join(([rows[k]] if rows is not None else []) + [f"{v:.17g}" for v in row]))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def runs(folder: Path, kept=None, named: bool = True, change=None) -> list[str]:
    """Write two runs of the regions `kept`; `change` is called with the number of the run and its values."""
    kept = list(range(N)) if kept is None else list(kept)
    paths = []
    for k in (1, 2):
        values = recording(k)
        if change is not None:
            values = change(k, values)
        paths.append(table(folder / f"run-{k}.csv", values[:, kept], [NAMES[j] for j in kept] if named else None))
    return paths


def connectome(folder: Path, counts=None, named: bool = True, names=NAMES) -> str:
    """Write a connectome, by default the counts of streamlines."""
    counts = streamlines() if counts is None else counts
    return table(folder / "sc.csv", counts, names if named else None, names if named else None)
