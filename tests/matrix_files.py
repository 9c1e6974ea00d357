"""Connectomes in the files that tools write, for tests."""

from __future__ import annotations

import gzip

import numpy as np
import scipy.io
import scipy.sparse

NAMES = tuple(f"Region{k}" for k in range(12))


def streamline_counts(n_regions=12, seed=0):
    """Symmetric whole counts over several orders of magnitude, above 1, with a zero diagonal."""
    rng = np.random.default_rng(seed)
    counts = np.floor(10 ** rng.uniform(0.5, 4, (n_regions, n_regions)))
    counts = np.triu(counts, 1)
    return counts + counts.T


def raw_counts(n_regions=4, seed=0):
    """Symmetric counts over several orders of magnitude, with a diagonal and a missing connection."""
    rng = np.random.default_rng(seed)
    counts = np.floor(10 ** rng.uniform(0.5, 4, (n_regions, n_regions)))
    counts = counts + counts.T
    counts[0, 1] = counts[1, 0] = 0
    return counts


def as_csv(matrix, delimiter=",", names=None):
    rows = [delimiter.join(f"{value:g}" for value in row) for row in matrix]
    return "\n".join(([delimiter.join(names)] if names else []) + rows) + "\n"


def write_gifti(path, matrix, encoding="GIFTI_ENCODING_B64GZ"):
    import nibabel

    array = nibabel.gifti.GiftiDataArray(np.asarray(matrix, dtype=np.float32), encoding=encoding)
    nibabel.save(nibabel.gifti.GiftiImage(darrays=[array]), path)


def write_qsirecon(path, matrices, labels, cell=False):
    """``{(atlas, measure): matrix}`` as QSIRecon lays it out."""
    content = {}
    for (atlas, measure), matrix in matrices.items():
        content[f"atlas_{atlas}_region_ids"] = np.arange(1, len(matrix) + 1)
        content[f"atlas_{atlas}_region_labels"] = np.array(labels, dtype=object) if cell else np.array(labels)
        content[f"atlas_{atlas}_{measure}_connectivity"] = matrix
    scipy.io.savemat(path, content)


def write(path, matrix, kind):
    if kind in ("csv", "tsv", "txt"):
        path.write_text(as_csv(matrix, {"csv": ",", "tsv": "\t", "txt": " "}[kind]))
    elif kind == "MRtrix":
        path.write_text("# command_history: tck2connectome tracks.tck nodes.mif sc.csv (version=3.0.4)\n" + as_csv(matrix, " "))
    elif kind == "csv.gz":
        path.write_bytes(gzip.compress(as_csv(matrix).encode()))
    elif kind.endswith("npy"):
        np.save(path, matrix.astype({"npy": "<f8", "big-endian npy": ">f8", "uint16 npy": "<u2"}[kind]))
    elif kind == "npz":
        np.savez(path, matrix)
    elif kind == "mat":
        scipy.io.savemat(path, {"SC": matrix, "age": 31, "names": "of nothing"}, appendmat=False)
    elif kind == "mat 4":
        scipy.io.savemat(path, {"SC": matrix}, format="4", appendmat=False)
    elif kind == "sparse mat":
        scipy.io.savemat(path, {"SC": scipy.sparse.csc_matrix(matrix)}, appendmat=False)
    elif kind.startswith("GIFTI"):
        write_gifti(path, matrix, "GIFTI_ENCODING_ASCII" if "ascii" in kind else "GIFTI_ENCODING_B64GZ")


ENDINGS = {
    "csv": "sc.csv", "tsv": "sc.tsv", "txt": "sc.txt", "MRtrix": "sc.csv", "csv.gz": "sc.csv.gz", "npy": "sc.npy",
    "big-endian npy": "sc.npy", "uint16 npy": "sc.npy", "npz": "ctx_desc-strength.npz", "mat": "sc.mat", "mat 4": "sc.mat",
    "sparse mat": "sc.mat", "GIFTI": "full-connectome.shape.gii", "GIFTI ascii": "full-connectome.shape.gii",
}  # fmt: skip
