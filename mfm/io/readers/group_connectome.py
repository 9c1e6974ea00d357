"""One connectome for a group, from those of its members."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mfm.brain.atlas import order_by_name
from mfm.brain.connectome import Connectome
from mfm.errors import InputError
from mfm.io.readers.connectome_checks import check_after_transform, check_before_transform
from mfm.io.readers.connectomes import Weighting, with_warnings
from mfm.io.readers.matrix_file import MatrixOptions, RawMatrix, complete_matrix, completed_matrix, read_raw_matrix
from mfm.io.readers.region_names import region_names

RULES = ("mean_log", "log_mean")


def group_connectome(
    members: Sequence[str | Path | np.ndarray],
    rule: str = "mean_log",
    consensus: float = 0.5,
    scale_max: float | None = 0.02,
    labels: Sequence[str] | str | Path | None = None,
    *,
    scale_mean: float | None = None,
    options: MatrixOptions | None = None,
) -> Connectome:
    """Average the connectomes of a group over the members that have a connection, where enough of them have it.

    Members are read one after the other: memory does not grow with their number.

    Parameters
    ----------
    members : sequence of path or array, (N, N)
        Raw streamline counts, not logged; files as `load_connectome` takes them.
    rule : {"mean_log", "log_mean"}
        Mean of the logarithms of the non-zero counts (the code of Zhang et al. 2024), or logarithm of their mean (as described
        by Zeng et al. 2026). The two differ where members do.
    consensus : float, default 0.5
        A connection stays if at least this share of the members has it.
    scale_max : float or None, default 0.02
        Maximum of the result; None leaves it.
    labels : sequence of str, path or list name, optional
        Region names, for members without.
    scale_mean : float, optional
        In place of `scale_max`: the mean over all N x N entries.
    options : MatrixOptions, optional
        Which matrix of each file is meant.

    Returns
    -------
    Connectome
        In the order of the first member's regions; later ones are joined to it by name.

    Raises
    ------
    InputError
        If there is no member, they differ in their regions, one cannot be read or holds counts below 1 (the logarithm of
        which is negative), no connection is left, or an argument does not fit.

    Warns
    -----
    InputNote
        If regions are left without connections.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.io import group_connectome
    >>> counts = np.array([[0, 100, 10], [100, 0, 0], [10, 0, 0]])
    >>> sc = group_connectome([counts, counts, np.sign(counts) * 1000], consensus=1.0, scale_max=None)
    >>> float(np.exp(sc.weights[0, 1]).round(1))
    215.4
    """
    weighting = Weighting("log", scale_max, scale_mean)
    if rule not in RULES:
        raise InputError(f"Unknown rule {rule!r} for a group connectome.", expected=" | ".join(RULES))
    if not 0 < consensus <= 1:
        raise InputError("The consensus is a share of the members.", expected="0 < consensus <= 1", found=repr(consensus))
    if len(members) == 0:
        raise InputError("A group connectome needs at least one member.")
    names: tuple[str, ...] | None = None
    total = present = np.zeros(0)
    notes: dict[str, int] = {}
    for k, (what, raw) in enumerate(_read(members, options or MatrixOptions(), region_names(labels))):
        if k == 0:
            names = raw.labels
            total, present = np.zeros(raw.values.shape), np.zeros(raw.values.shape)
        counts = _joined(raw, names, len(total), what)
        has = counts > 0
        present += has
        total += np.log(counts, out=np.zeros_like(counts), where=has) if rule == "mean_log" else counts
        for step in raw.steps:
            notes[step] = notes.get(step, 0) + 1
    keep = present >= consensus * len(members) * (1 - 1e-12)
    if not (keep & (total > 0)).any():
        raise InputError("No connection is left.", found=f"none that {consensus:.0%} of the {len(members)} members have")
    mean = np.divide(total, present, out=np.zeros_like(total), where=keep & (present > 0))
    weights = mean if rule == "mean_log" else np.log(mean, out=np.zeros_like(mean), where=mean > 0)
    steps = [f"{step} ({n} of {len(members)} members)" for step, n in notes.items()]
    steps += [
        f"connections of at least {consensus:.0%} of {len(members)} members",
        {"mean_log": "mean of the logs of non-zero entries", "log_mean": "log of the mean of non-zero entries"}[rule],
    ]
    typical = np.exp(weights, out=np.zeros_like(weights), where=weights > 0)
    concerns = check_before_transform(typical, "log", "The group connectome")
    concerns += check_after_transform(weights, "log", names, "The group connectome")
    weights, scaled = weighting.scale(weights)
    return with_warnings(Connectome(weights, names, tuple(steps + scaled)), concerns)


def _read(members, options: MatrixOptions, labels: tuple[str, ...] | None) -> Iterator[tuple[str, RawMatrix]]:
    for k, member in enumerate(members):
        if isinstance(member, (str, Path)):
            what = f"the connectome {member}"
            yield what, completed_matrix(read_raw_matrix(member, options, labels), options, f"The{what[3:]}")
        else:
            yield (
                f"the connectome of member {k + 1}",
                complete_matrix(member, labels, options, f"The connectome of member {k + 1}"),
            )


def _joined(raw: RawMatrix, names: tuple[str, ...] | None, n_regions: int, what: str) -> np.ndarray:
    """Counts of a member in the group's order, with a zero diagonal."""
    counts = raw.values
    if names is not None and raw.labels is not None:
        order = order_by_name(raw.labels, names, what)
        counts = counts[np.ix_(order, order)]
    if len(counts) != n_regions:
        raise InputError(
            f"The members of the group differ in their regions: {what}.",
            expected=f"{n_regions} regions, as in the first",
            found=f"{len(counts)}",
        )
    counts = counts * ~np.eye(n_regions, dtype=bool)
    below = counts[(counts < 1) & (counts != 0)]
    if below.size:
        raise InputError(
            f"{what[0].upper()}{what[1:]} has entries below 1, whose logarithm is negative.",
            expected="raw streamline counts",
            found=f"{below.size} entries, minimum {below.min():g}",
            cause="a matrix that is logged already, or normalised weights",
            fix="give the counts; multiply normalised weights to the size of counts first",
        )
    return counts
