"""CIFTI files with the axes of the Human Connectome Project, written by nibabel, for tests."""

from __future__ import annotations

from functools import cache

import numpy as np
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, LabelAxis, ParcelsAxis, SeriesAxis

VERTICES = 32492
LEFT, RIGHT = "CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT"
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
GRID = (91, 109, 91)
# Voxels of HCP's 19 subcortical structures: 31 870 in all.
SUBCORTEX = {
    "ACCUMBENS_LEFT": 135, "ACCUMBENS_RIGHT": 140, "AMYGDALA_LEFT": 315, "AMYGDALA_RIGHT": 332, "BRAIN_STEM": 3472,
    "CAUDATE_LEFT": 728, "CAUDATE_RIGHT": 755, "CEREBELLUM_LEFT": 8709, "CEREBELLUM_RIGHT": 9144,
    "DIENCEPHALON_VENTRAL_LEFT": 706, "DIENCEPHALON_VENTRAL_RIGHT": 712, "HIPPOCAMPUS_LEFT": 764, "HIPPOCAMPUS_RIGHT": 795,
    "PALLIDUM_LEFT": 297, "PALLIDUM_RIGHT": 260, "PUTAMEN_LEFT": 1060, "PUTAMEN_RIGHT": 1010,
    "THALAMUS_LEFT": 1288, "THALAMUS_RIGHT": 1248,
}  # fmt: skip


def surface(name: str, vertices) -> BrainModelAxis:
    return BrainModelAxis.from_surface(np.asarray(vertices), VERTICES, name)


def _chosen(n: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).choice(VERTICES, n, replace=False))


@cache
def cortex() -> BrainModelAxis:
    """29 696 left and 29 716 right vertices: the cortex without its medial wall."""
    return surface(LEFT, _chosen(29696, 1)) + surface(RIGHT, _chosen(29716, 2))


@cache
def grayordinates() -> BrainModelAxis:
    """HCP's 91 282 grayordinates."""
    n_voxels = sum(SUBCORTEX.values())
    places = np.random.default_rng(3).choice(np.prod(GRID), n_voxels, replace=False)
    structures = np.repeat([f"CIFTI_STRUCTURE_{name}" for name in SUBCORTEX], list(SUBCORTEX.values()))
    return BrainModelAxis(
        np.concatenate([cortex().name, structures]),
        voxel=np.concatenate([cortex().voxel, np.stack(np.unravel_index(places, GRID), 1)]),
        vertex=np.concatenate([cortex().vertex, np.full(n_voxels, -1)]),
        affine=AFFINE,
        volume_shape=GRID,
        nvertices=cortex().nvertices,
    )


@cache
def all_vertices() -> BrainModelAxis:
    """All 64 984 vertices, as in parcellations of Schaefer et al."""
    return surface(LEFT, np.arange(VERTICES)) + surface(RIGHT, np.arange(VERTICES))


def write(path, values, *axes):
    image = Cifti2Image(np.asarray(values), axes)
    image.to_filename(path)
    return path


def write_dlabel(path, keys, names, axis=None, maps=("atlas",)):
    """A dense label file: key k > 0 is `names[k - 1]`."""
    table = {0: ("???", (0.0, 0.0, 0.0, 0.0))}
    table |= {k + 1: (name, (0.1, 0.2, 0.3, 1.0)) for k, name in enumerate(names)}
    keys = np.atleast_2d(np.asarray(keys, np.float32))
    return write(path, np.repeat(keys, len(maps), 0), LabelAxis(list(maps), [table] * len(maps)), axis or all_vertices())


def write_dtseries(path, values, axis=None, step=0.72, unit="SECOND"):
    return write(path, values, SeriesAxis(0, step, len(values), unit), axis or grayordinates())


def parcels(names):
    return ParcelsAxis.from_brain_models([(name, all_vertices()[[k]]) for k, name in enumerate(names)])


def write_ptseries(path, values, names, step=0.72):
    return write(path, values, SeriesAxis(0, step, len(values), "SECOND"), parcels(names))


def write_pconn(path, values, names):
    return write(path, values, parcels(names), parcels(names))
