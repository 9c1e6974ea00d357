"""Structural connectomes from files, in the form in which they enter the equations."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mfm.brain.atlas import explain_count, order_by_name, same_name, some_names
from mfm.brain.connectome import Connectome
from mfm.errors import InputError, InputNote
from mfm.io.readers.connectome_checks import check_after_transform, check_before_transform, check_sign
from mfm.io.readers.matrix_file import MatrixOptions, RawMatrix, complete_matrix, completed_matrix, read_raw_matrix
from mfm.io.readers.region_names import region_names
from mfm.io.readers.unassigned import one_row_more

TRANSFORMS = ("log", "log1p", "log1p_relative", "none")


def load_connectome(
    path: str | Path,
    transform: str = "log",
    scale_max: float | None = 0.02,
    labels: Sequence[str] | str | Path | None = None,
    *,
    scale_mean: float | None = None,
    regions: Sequence[str] | None = None,
    key: str | None = None,
    atlas: str | None = None,
    measure: str | None = None,
    drop_unassigned: bool = False,
    symmetrise: bool = False,
    exclude_regions: Sequence[str] = (),
) -> Connectome:
    """Read a connectome and bring it to the form in which it enters the equations.

    The kind of file is told by its content. A triangular matrix (MRtrix, micapipe) is completed to both directions.

    Parameters
    ----------
    path : path
        Square matrix of streamline counts or weights: csv, tsv, txt, npy, npz, mat (QSIRecon's among them) or a matrix inside
        GIFTI (micapipe), with or without region names; also gzipped.
    transform : {"log", "log1p", "log1p_relative", "none"}
        ``log`` of the non-zero entries (zeros stay zero; counts below 1 are an error), ``log1p`` of all, ``log1p_relative`` of
        all in units of the smallest non-zero one (for normalised counts, whose unit is lost), or nothing. Raw counts
        span five orders of magnitude; without the logarithm no parameters give a realistic FC.
    scale_max : float or None, default 0.02
        The matrix is divided so that this is its maximum (Zhang et al. 2024); None leaves it.
    labels : sequence of str, path or list name, optional
        Region names, for files that hold none: the names, a file of them, or a built-in list (`mfm.io.read_labels`).
    scale_mean : float, optional
        In place of `scale_max`: the mean over all N x N entries (0.01 in cuBNM).
    regions : sequence of str, optional
        Regions that are wanted, in their order. The rows are joined to them by name, whatever the spelling, before the matrix
        is scaled; rows that are no cortex are left out where they are not wanted. A matrix without names must have as many
        rows, and is taken to be in this order.
    key : str, optional
        Name of the array in an npz or mat file that holds several; ``data/SC`` is a field of a struct, ``SC/2`` the second
        cell or the second matrix of a stack.
    atlas, measure : str, optional
        Which of the matrices in a QSIRecon ``_connectivity.mat``.
    drop_unassigned : bool, default False
        Leave out the first row and column: streamlines that ``tck2connectome -keep_unassigned`` could not assign.
    symmetrise : bool, default False
        Average the matrix with its transpose.
    exclude_regions : sequence of str, optional
        Regions to leave out before anything is checked or scaled: names in any spelling or, of a matrix without names, numbers
        counted from 1.

    Returns
    -------
    Connectome
        With a zero diagonal. Its ``steps`` tell what was done.

    Raises
    ------
    MissingInputError
        If the file, or its content, is not there.
    InputError
        If the file cannot be read, or holds several matrices and none is chosen; if the matrix is not square and finite, has
        negative entries or a row too many, or connects nothing; if ``log`` meets weights below 1 or a binary matrix; if a
        logarithm is asked of tract lengths or of a matrix that is logged already; or if an argument or the regions do not fit.

    Warns
    -----
    InputNote
        If the matrix was triangular, is not symmetric or still spans orders of magnitude; if rows were left out; if regions
        are connected to nothing; or if entries of 1 vanish under ``log``.

    Examples
    --------
    >>> import mfm, numpy as np, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "sc.csv")
    ...     np.savetxt(path, [[0, 1000, 100], [1000, 0, 10], [100, 10, 0]], delimiter=",")
    ...     sc = mfm.load_connectome(path)
    >>> sc.weights[0].round(4).tolist()
    [0.0, 0.02, 0.0133]
    >>> sc.steps
    ('log of the non-zero entries', 'scaled to a maximum of 0.02')
    """
    weighting = Weighting(transform, scale_max, scale_mean)
    options = MatrixOptions(None, key, atlas, measure, drop_unassigned, symmetrise)
    raw = read_raw_matrix(path, options, region_names(labels))
    if exclude_regions:
        raw = without_regions(raw, exclude_regions)
    raw = completed_matrix(raw, options, f"The connectome {path}")
    return with_warnings(*connectome_of(raw, weighting, regions, f"The connectome {path}"))


def without_regions(raw: RawMatrix, excluded: Sequence[str]) -> RawMatrix:
    """Return a matrix without regions, by name or, where it has none, by number."""
    names = raw.labels or Connectome.numbered(len(raw.values))
    kept = kept_regions(names, excluded, numbers=raw.labels is None)
    if len(kept) == len(names):
        raise InputError(
            "`exclude_regions` names regions that are not there.",
            expected=f"some of {some_names(names)}" + ("" if raw.labels else f", or numbers from 1 to {len(names)}"),
            found=some_names(excluded),
        )
    return of_regions(raw, kept)


def kept_regions(names: Sequence[str], excluded: Sequence[str], numbers: bool) -> list[int]:
    """Return the positions of the regions that are not excluded; `numbers`: whether they may be given by number, from 1."""
    by_number = {int(one) - 1 for one in excluded if numbers and one.isdigit()}
    gone = {k for k, name in enumerate(names) if any(same_name(name, one) for one in excluded)} | by_number
    return [k for k in range(len(names)) if k not in gone]


def of_regions(raw: RawMatrix, kept: list[int]) -> RawMatrix:
    """Return a matrix of the rows and columns that are kept, which says so."""
    labels = None if raw.labels is None else tuple(raw.labels[k] for k in kept)
    steps = (*raw.steps, f"{len(raw.values) - len(kept)} regions left out as asked")
    return replace(raw, values=raw.values[np.ix_(kept, kept)], labels=labels, steps=steps)


def transform_connectome(
    counts: np.ndarray,
    transform: str = "log",
    scale_max: float | None = 0.02,
    labels: tuple[str, ...] | None = None,
    what: str = "The connectome",
    *,
    scale_mean: float | None = None,
    symmetrise: bool = False,
) -> Connectome:
    """`load_connectome` for a matrix in memory."""
    weighting = Weighting(transform, scale_max, scale_mean)
    raw = complete_matrix(counts, labels, MatrixOptions(symmetrise=symmetrise), what)
    return with_warnings(*connectome_of(raw, weighting, None, what))


@dataclass(frozen=True)
class Weighting:
    """How counts become weights: transform and scale, as in `load_connectome`."""

    transform: str = "log"
    scale_max: float | None = 0.02
    scale_mean: float | None = None

    def __post_init__(self):
        if self.transform not in TRANSFORMS:
            raise InputError(f"Unknown connectome transform {self.transform!r}.", expected=" | ".join(TRANSFORMS))
        for name in ("scale_max", "scale_mean"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise InputError(f"{name} must be positive.", found=repr(value))

    def scale(self, weights: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Return scaled weights, and the step that says so."""
        kind, value = ("maximum", self.scale_max) if self.scale_mean is None else ("mean", self.scale_mean)
        if value is None or not weights.any():
            return weights, []
        return weights * (value / (weights.max() if kind == "maximum" else weights.mean())), [
            f"scaled to a {kind} of {value:g}"
        ]


def connectome_of(
    raw: RawMatrix, weighting: Weighting, regions: Sequence[str] | None, what: str, labels_argument: str = 'labels="{}"'
) -> tuple[Connectome, list[str]]:
    """Weigh a raw matrix: return the connectome, and notes on it.

    `labels_argument` is what names the rows where the caller was called, for messages.
    """
    weights, labels, steps = _chosen_regions(raw, regions, what, labels_argument)
    notes = list(raw.notes)
    if (n_diagonal := np.count_nonzero(np.diag(weights))) > 0:
        steps.append(f"diagonal set to zero ({n_diagonal} entries, up to {np.diag(weights).max():g})")
    weights = weights * ~np.eye(len(weights), dtype=bool)
    if not weights.any():
        raise InputError(f"{what} connects no two regions.", cause="all off-diagonal entries are zero")
    check_sign(weights, what)
    notes += check_before_transform(weights, weighting.transform, what)
    if weighting.transform == "log1p":
        weights = np.log1p(weights)
        steps.append("log1p of all entries")
    elif weighting.transform == "log":
        weights = _logged(weights, what, notes)
        steps.append("log of the non-zero entries")
    elif weighting.transform == "log1p_relative":
        least = weights[weights > 0].min()
        weights = np.log1p(weights / least)
        steps.append(f"log1p of all entries, in units of the smallest non-zero one ({least:g})")
    notes += check_after_transform(weights, weighting.transform, labels, what)
    weights, scaled = weighting.scale(weights)
    return Connectome(weights, labels, tuple(steps + scaled)), notes


def _chosen_regions(raw: RawMatrix, regions: Sequence[str] | None, what: str, labels_argument: str):
    """Rows in the order of the regions that are wanted, before anything is scaled: what is left out must not set the scale."""
    steps = list(raw.steps)
    if regions is None:
        return raw.values, raw.labels, steps
    regions = tuple(regions)
    n_rows, where = len(raw.values), what[0].lower() + what[1:]
    if raw.labels is not None:
        order = order_by_name(raw.labels, regions, where)
        if len(order) < n_rows:
            steps.append(f"{n_rows - len(order)} rows that are no cortex left out")
        if order != list(range(n_rows)):
            return raw.values[np.ix_(order, order)], regions, [*steps, "regions ordered by name"]
        return raw.values, regions, steps
    if n_rows == len(regions) + 1 and explain_count(n_rows, len(regions)) is None:
        drop = "drop_unassigned=True"
        raise one_row_more(
            what, raw.values, len(regions), drop if labels_argument[0] == "l" else f"sc_file=MatrixOptions({drop})"
        )
    if n_rows != len(regions):
        cause, variants = explain_count(n_rows, len(regions)) or ("another parcellation, or subcortical rows", None)
        if (others := explain_count(len(regions), n_rows)) is not None:
            cause, variants = f"the other inputs are of {others[0]}", "DK68"
        choices = " or ".join(f"`{labels_argument.format(variant)}`" for variant in (variants or "FILE").split(" or "))
        in_order = f"; `{labels_argument.format('FILE')}` for rows in another order" if variants else ""
        raise InputError(
            f"{what} has another number of regions than are named, and no names of its own to tell which is which.",
            expected=f"{len(regions)} rows",
            found=f"{n_rows}",
            cause=cause,
            fix=f"name its rows, and what is no cortex drops out: {choices}{in_order}",
        )
    return raw.values, regions, [*steps, "taken in the order of the other inputs, having no names of its own"]


def _logged(weights: np.ndarray, what: str, notes: list[str]) -> np.ndarray:
    positive = weights > 0
    if (ones := int((weights == 1).sum())) > 0:
        notes.append(f'{what}: {ones} entries of 1 vanish under `transform="log"`; `transform="log1p"` keeps them.')
    return np.log(weights, out=np.zeros_like(weights), where=positive)


def with_warnings(sc: Connectome, notes: list[str]) -> Connectome:
    """Return the connectome after warning of the notes, at the line of the caller's caller."""
    for note in notes:
        warnings.warn(InputNote(note), stacklevel=3)
    return sc
