"""A subject made by the package itself: generated anatomy, known parameters, simulated scans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.brain.maps import RegionalMaps
from mfm.io.readers.connectomes import transform_connectome
from mfm.models.parameterisation import MapParameterisation
from mfm.protocol import Protocol
from mfm.simulation.run import simulate
from mfm.subject import SubjectData, subject_from_runs

_CORTICAL_AREAS = (
    "bankssts caudalanteriorcingulate caudalmiddlefrontal cuneus entorhinal fusiform inferiorparietal inferiortemporal "
    "isthmuscingulate lateraloccipital lateralorbitofrontal lingual medialorbitofrontal middletemporal parahippocampal "
    "paracentral parsopercularis parsorbitalis parstriangularis pericalcarine postcentral posteriorcingulate precentral "
    "precuneus rostralanteriorcingulate rostralmiddlefrontal superiorfrontal superiorparietal superiortemporal "
    "supramarginal frontalpole temporalpole transversetemporal insula"
).split()

#: True coefficients of the demo subject: intercept and slopes over the maps, as in `MapParameterisation.names`. Close
#: enough to the instability for a realistic FC, and far enough for rates to stay at 3 Hz.
TRUE_COEFFICIENTS = {
    "w_EE": 2.89,
    "w_EE:myelin": 0.7,
    "w_EE:gradient": -0.1,
    "w_EI": 3.64,
    "w_EI:myelin": -0.8,
    "w_EI:gradient": 0.06,
    "G": 2.4,
    "sigma": 0.0045,
    "sigma:myelin": 0.0,
    "sigma:gradient": 0.0003,
}

_TR_S = 0.72
_N_FRAMES = 600
# Standard deviation of the scanner's noise, as a share of each region's BOLD signal: single-voxel noise averages out over
# a region's hundreds of voxels, what remains is mostly of this size.
_MEASUREMENT_NOISE = 0.2


@dataclass(frozen=True, eq=False)
class DemoSubject:
    """The demo subject and its truth.

    Attributes
    ----------
    subject : SubjectData
    coefficients : tensor, (10,)
        True coefficients in the order of `MapParameterisation.names`.
    ei_ratio : tensor, (68,)
        True E/I ratio: of the very simulations that became the subject's scans.
    """

    subject: SubjectData
    coefficients: Tensor
    ei_ratio: Tensor


def demo_subject(seed: int = 2026) -> DemoSubject:
    """Generate the demo subject: 68 regions, two maps, two resting-state runs of 600 frames at a TR of 0.72 s.

    Parameters
    ----------
    seed : int
        Decides anatomy, maps, noise of the dynamics and noise of the scanner.

    Returns
    -------
    DemoSubject
    """
    anatomy, dynamics, scanner = np.random.SeedSequence(seed).spawn(3)
    positions = _positions()
    sc = generate_connectome(positions, np.random.default_rng(anatomy), demo_labels())
    maps = generate_maps(positions, np.random.default_rng(anatomy.spawn(1)[0]), demo_labels())
    parameterisation = MapParameterisation(maps)
    coefficients = torch.tensor([TRUE_COEFFICIENTS[name] for name in parameterisation.names], dtype=torch.float64)
    p = parameterisation.to_parameters(coefficients)
    protocol = Protocol(_TR_S, _N_FRAMES, hemo_dt_s=0.03, scheme="exponential")
    sim = simulate(p, sc, protocol, n_repeats=2, seed=int(dynamics.generate_state(1, np.uint64)[0]), backend="numba")
    rng = np.random.default_rng(scanner)
    runs = []
    for bold in sim.bold[0].double().numpy():
        noise = rng.standard_normal(bold.shape) * bold.std(axis=0) * _MEASUREMENT_NOISE
        runs.append(bold + noise)
    subject = subject_from_runs("demo", runs, sc, _TR_S, maps, demo_labels())
    return DemoSubject(subject, coefficients, sim.ei_ratio[0])


def demo_labels() -> tuple[str, ...]:
    """Names of the 68 regions, left hemisphere first."""
    return tuple(f"{side}-{area}" for side in ("lh", "rh") for area in _CORTICAL_AREAS)


def generate_connectome(positions: np.ndarray, rng: np.random.Generator, labels: tuple[str, ...] | None = None) -> Connectome:
    """A plausible connectome for regions at `positions` (N, 3), the second half of which mirrors the first.

    Streamline counts fall off with distance, are heavy-tailed (log-normal), denser within modules of neighbours and between
    mirrored regions, sparser between hemispheres, and absent for the weakest 70 % of pairs; then log1p, maximum 0.02.
    """
    N = len(positions)
    half = N // 2
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    side = np.arange(N) >= half
    module = _modules(positions, rng)
    log_count = -distance / 0.35 + rng.normal(scale=0.9, size=(N, N))
    log_count = np.triu(log_count, 1) + np.triu(log_count, 1).T
    log_count += 1.0 * (module[:, None] == module[None])
    log_count -= 1.5 * (side[:, None] != side[None])
    mirrored = np.abs(np.subtract.outer(np.arange(N), np.arange(N))) == half
    log_count[mirrored] = np.quantile(log_count, 0.9)
    pairs = log_count[np.triu_indices(N, 1)]
    counts = np.exp(log_count - pairs.max()) * 2e4
    counts[log_count < np.quantile(pairs, 0.7)] = 0
    # Every region keeps its strongest connection.
    np.fill_diagonal(log_count, -np.inf)
    strongest = log_count.argmax(axis=1)
    kept = np.exp(log_count[np.arange(N), strongest] - pairs.max()) * 2e4
    counts[np.arange(N), strongest] = kept
    counts[strongest, np.arange(N)] = kept
    return transform_connectome(counts, "log1p", 0.02, labels)


def generate_maps(positions: np.ndarray, rng: np.random.Generator, labels: tuple[str, ...] | None = None) -> RegionalMaps:
    """Two smooth maps, alike in both hemispheres, correlated at -0.6, in the units of T1w/T2w and of an FC gradient."""
    mirrored = positions * [-1, 1, 1]
    distance = np.minimum(
        np.linalg.norm(positions[:, None] - positions[None], axis=-1),
        np.linalg.norm(positions[:, None] - mirrored[None], axis=-1),
    )
    smooth = np.exp(-0.5 * (distance / 0.6) ** 2) @ rng.standard_normal((len(positions), 2))
    # Gram-Schmidt, so that the correlation is the one that is wanted.
    first = _standardise(smooth[:, 0])
    second = _standardise(smooth[:, 1] - first * (first @ smooth[:, 1]) / len(first))
    gradient = -0.6 * first + 0.8 * second
    return RegionalMaps(np.stack([1.3 + 0.13 * first, 0.8 + 3.8 * gradient]), ("myelin", "gradient"), labels)


def _standardise(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / x.std()


def _positions() -> np.ndarray:
    """Regions spread evenly over two half ellipsoids of about unit length, the right one mirroring the left: (68, 3)."""
    k = np.arange(len(_CORTICAL_AREAS)) + 0.5
    height = 1 - 2 * k / len(k)
    angle = np.pi * ((k * (np.sqrt(5) - 1) / 2) % 1)
    radius = np.sqrt(1 - height**2)
    left = np.stack([-0.08 - 0.5 * radius * np.sin(angle), 0.85 * radius * np.cos(angle), 0.6 * height], axis=1)
    return np.concatenate([left, left * [-1, 1, 1]])


def _modules(positions: np.ndarray, rng: np.random.Generator, n_modules: int = 7) -> np.ndarray:
    """Regions grouped around random seeds, the same in both hemispheres."""
    folded = np.abs(positions) * [1, 0, 0] + positions * [0, 1, 1]
    centres = folded[rng.choice(len(folded) // 2, n_modules, replace=False)]
    return np.linalg.norm(folded[:, None] - centres[None], axis=-1).argmin(axis=1)
