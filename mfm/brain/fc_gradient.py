"""The principal gradient of functional connectivity, for users who have no map of it."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from mfm.brain.connectome import check_square
from mfm.checks import listed
from mfm.errors import InputError, InputNote

KERNELS = ("cosine", "normalized_angle")
# Relative difference of two eigenvalues below which rounding decides between their directions.
_DEGENERATE = 1e-6


def fc_gradient(
    fc: ArrayLike, myelin: ArrayLike | None = None, *, keep: float = 0.1, kernel: str = "cosine", alpha: float = 0.5
) -> np.ndarray:
    """First component of a diffusion map of functional connectivity (Margulies et al. 2016; Vos de Wael et al. 2020).

    Of every region's FC profile the strongest `keep` are kept, negative values never. Regions are as alike as their profiles;
    the diffusion map orders them along the direction in which likeness changes most slowly.

    Parameters
    ----------
    fc : array, (N, N)
        Pearson correlations, of a group: those of one scan are noisy.
    myelin : array, (N,), optional
        T1w/T2w. The sign of a gradient is arbitrary; with it, the correlation of the two is made negative: sensory regions,
        rich in myelin, are then low and transmodal ones high. Default: the largest entry by size is positive.
    keep : float, default 0.1
        Share of each row that is kept.
    kernel : {"cosine", "normalized_angle"}
        Likeness of two profiles: the cosine of their angle (Margulies et al. 2016), or 1 - angle / pi, by which profiles
        without a common region are still half alike. With 100 regions the latter mixes the first two components.
    alpha : float, default 0.5
        Influence of the density of regions (0: all, 1: none).

    Returns
    -------
    array, (N,)
        Mean 0 and mean square 1 over regions, weighted by the stationary distribution of the diffusion.

    Raises
    ------
    InputError
        If `fc` holds no correlations, a region correlates with none, the regions fall into parts that nothing relates, or an
        argument is out of range.

    Warns
    -----
    InputNote
        If the first two components are equally strong, so that neither is the gradient; or if the sign hangs on a correlation
        with myelin of less than 0.1.

    Examples
    --------
    Regions along a line are ordered as they lie:

    >>> import mfm, numpy as np
    >>> position = np.arange(20) / 20
    >>> fc = np.exp(-5 * np.abs(position[:, None] - position))
    >>> gradient = mfm.fc_gradient(fc, myelin=-position, keep=0.3)
    >>> bool((np.diff(gradient) > 0).all())
    True
    """
    if kernel not in KERNELS:
        raise InputError(f"Unknown kernel {kernel!r}.", expected=" | ".join(KERNELS))
    if not 0 < keep <= 1 or not 0 <= alpha <= 1:
        raise InputError("keep or alpha is out of range.", expected="0 < keep <= 1, 0 <= alpha <= 1", found=f"{keep}, {alpha}")
    fc = _correlations(fc)
    gradient, eigenvalues = diffusion_component(_likeness(_strongest(fc, keep), kernel), alpha)
    if eigenvalues[1] - eigenvalues[2] < _DEGENERATE * eigenvalues[1]:
        note = f"The first two gradients of FC are equally strong (eigenvalues {eigenvalues[1]:.6g}, {eigenvalues[2]:.6g})."
        warnings.warn(InputNote(f"{note} Neither direction is told apart by the data."), stacklevel=2)
    if myelin is None:
        return gradient * np.sign(gradient[np.abs(gradient).argmax()])
    return _against(gradient, np.asarray(myelin, dtype=np.float64))


def diffusion_component(affinity: np.ndarray, alpha: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """First diffusion coordinate (N,) of a symmetric affinity, and all eigenvalues, descending (Coifman & Lafon 2006).

    Raises
    ------
    InputError
        If the affinity falls into parts that nothing relates.
    """
    from scipy.linalg import eigh
    from scipy.sparse.csgraph import connected_components

    n_parts, part = connected_components(affinity > 0, directed=False)
    if n_parts > 1:
        raise InputError(
            "FC falls into groups of regions that nothing relates, so that it has no gradient.",
            found=f"{n_parts} groups, of {', '.join(map(str, np.bincount(part)[:6]))} regions",
            cause="few connections are kept, or regions without signal",
            fix='a larger keep, or kernel="normalized_angle"',
        )
    density = affinity.sum(axis=1) ** -alpha
    affinity = affinity * density[:, None] * density
    # The random walk's matrix has the eigenvalues of this symmetric one, whose first eigenvector is the root of its degrees.
    root = np.sqrt(affinity.sum(axis=1))
    eigenvalues, vectors = eigh(affinity / root[:, None] / root)
    return vectors[:, -2] / root * np.sqrt((root**2).sum()), eigenvalues[::-1]


def _correlations(fc: ArrayLike) -> np.ndarray:
    fc = np.array(check_square(np.asarray(fc), "The FC"), dtype=np.float64)
    if len(fc) < 3:
        raise InputError("A gradient needs at least three regions.", found=str(len(fc)))
    off = ~np.eye(len(fc), dtype=bool)
    if np.abs(fc[off]).max() > 1 + 1e-6 or not np.allclose(fc, fc.T, atol=1e-6):
        raise InputError(
            "The FC is no matrix of correlations.",
            expected="symmetric, entries in [-1, 1]",
            found=f"entries from {fc[off].min():g} to {fc[off].max():g}, asymmetry up to {np.abs(fc - fc.T).max():g}",
            cause="Fisher z values, or a covariance",
            fix="give tanh of Fisher z values",
        )
    np.fill_diagonal(fc, 1.0)
    return fc


def _strongest(fc: np.ndarray, keep: float) -> np.ndarray:
    """Each row's strongest entries, itself among them; ties and negative entries drop out."""
    threshold = np.quantile(fc, 1 - keep, axis=1, keepdims=True)
    profiles = np.where((fc >= threshold) & (fc > 0), fc, 0.0)
    alone = np.flatnonzero((profiles > 0).sum(axis=1) < 2)
    if len(alone):
        raise InputError(
            "Regions have no positive correlation among those that are kept.",
            found=f"regions {listed(alone)}",
            cause="regions without signal, or too small a share that is kept",
            fix="a larger keep, or leave the regions out",
        )
    return profiles


def _likeness(profiles: np.ndarray, kernel: str) -> np.ndarray:
    unit = profiles / np.linalg.norm(profiles, axis=1, keepdims=True)
    cosine = np.clip(unit @ unit.T, 0.0, 1.0)
    cosine = (cosine + cosine.T) / 2
    np.fill_diagonal(cosine, 1.0)  # near 1 the angle magnifies rounding
    return cosine if kernel == "cosine" else 1 - np.arccos(cosine) / np.pi


def _against(gradient: np.ndarray, myelin: np.ndarray) -> np.ndarray:
    if myelin.shape != gradient.shape or not np.isfinite(myelin).all() or np.ptp(myelin) == 0:
        raise InputError(
            "The myelin map does not fit the FC.",
            expected=f"{len(gradient)} finite values that differ",
            found=f"shape {myelin.shape}",
            cause="another parcellation",
        )
    r = np.corrcoef(gradient, myelin)[0, 1]
    if abs(r) < 0.1:
        note = f"The FC gradient hardly correlates with myelin (|r| = {abs(r):.2f}): its sign is a guess."
        warnings.warn(InputNote(note), stacklevel=3)
    return gradient if r <= 0 else -gradient
