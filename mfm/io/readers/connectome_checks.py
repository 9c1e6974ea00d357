"""What makes a matrix suspicious as a structural connectome."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfm.errors import InputError

# A handful of entries tells nothing of a distribution.
_LEAST_ENTRIES = 100
# Largest over median weight. Streamline counts span 30 to 1400, their logarithms 2 to 3, tract lengths 1.5.
_HEAVY_TAIL = 10.0
_ASYMMETRY = 1e-6
_RELATIVE, _NONE, _LOG1P = '`transform="log1p_relative"`', '`transform="none"`', '`transform="log1p"`'


@dataclass(frozen=True)
class _Likeness:
    """What a matrix looks like that is no matrix of counts, and what suits it."""

    problem: str
    cause: str
    fix: str


def check_sign(weights: np.ndarray, what: str) -> None:
    """Raise an InputError for negative weights (N, N) with zero diagonal, which says what they are likely to be."""
    if not (weights < 0).any():
        return
    negative, between = weights[weights < 0], weights[~np.eye(len(weights), dtype=bool)]
    cause = "a z-scored matrix, or one from which something was subtracted"
    fix = "give the matrix as it was before that; the equations take no negative weights"
    if not (between > 0).any():
        cause, fix = "the logarithm of weights below 1", "give the weights before the logarithm"
    elif np.abs(between).max() <= 1 + 1e-6 and np.allclose(weights, weights.T, atol=1e-6):
        cause, fix = "a correlation matrix (FC), or a z-scored matrix", "give the structural connectome: streamline counts"
    elif len(negative) < len(between) / 4 and between.max() < 20:
        cause = "the logarithm of weights some of which were below 1, or a z-scored matrix"
        fix = "give the weights before the logarithm"
    raise InputError(
        f"{what} has negative entries.",
        expected="streamline counts or weights >= 0",
        found=f"{len(negative)} negative entries, minimum {negative.min():g}",
        cause=cause,
        fix=fix,
    )


def check_before_transform(weights: np.ndarray, transform: str, what: str) -> list[str]:
    """Notes on weights (N, N) with zero diagonal; an InputError where a logarithm was asked of what must not have one."""
    positive = weights[weights > 0]
    notes = []
    size = np.abs(weights).max()
    difference = np.abs(weights - weights.T).max()
    if difference > _ASYMMETRY * size:
        notes.append(
            f"{what} is not symmetric (differences up to {difference / size:.0%} of the maximum): rows are taken as targets, "
            "columns as sources. `symmetrise=True` averages both directions."
        )
    found = f"non-zero entries from {positive.min():g} to {positive.max():g}, median {np.median(positive):g}"
    looks = _likeness(weights, positive, transform)
    if looks is not None and transform != "none":
        raise InputError(
            f"{what} {looks.problem}.",
            expected=f'raw streamline counts for `transform="{transform}"`, which span orders of magnitude',
            found=found,
            cause=looks.cause,
            fix=looks.fix,
        )
    if looks is not None and "tract lengths" in looks.problem:
        notes.append(f"{what} looks like tract lengths in mm: {found}.")
    return notes


def _likeness(weights: np.ndarray, positive: np.ndarray, transform: str) -> _Likeness | None:
    """What weights look like to which `transform` cannot be applied; None where it can."""
    median, largest, least = np.median(positive), positive.max(), positive.min()
    enough, heavy = len(positive) >= _LEAST_ENTRIES, largest > _HEAVY_TAIL * median
    if enough and not heavy and 20 < largest <= 500 and least > 2 and median > largest / 4:
        return _Likeness(
            "looks like tract lengths in mm, not connection strengths",
            "the matrix of lengths (tract_length, edgeLengths, len, meanlength) in place of that of counts",
            f"give the matrix of counts; if these are strengths after all: {_NONE}",
        )
    if transform == "log" and least == largest == 1:
        return _Likeness("holds nothing but zeros and ones, whose logarithm is 0", "a binary connectome", _NONE)
    kind = _normalisation(weights, largest)
    # Who asks for the smallest weight as unit was told, and knows that nothing was logged.
    if enough and not heavy and largest < 20 and (positive != np.round(positive)).any() and transform != "log1p_relative":
        scaled = f", and {kind} after that" if kind else ""
        return _Likeness(
            "looks as if it was logged already",
            f"a group template (ENIGMA), or a matrix that was logged for modelling before{scaled}",
            f"{_NONE}; for counts that were divided by something and never logged: {_RELATIVE}" if kind else _NONE,
        )
    if transform != "log" or least >= 1:
        return None
    if kind or median < 1:
        return _Likeness(
            f"has weights below 1, whose logarithm is negative: it looks like counts that were {kind or 'weighted'}",
            "a normalised connectome: its values still span orders of magnitude, as counts do, but their unit is lost",
            f"{_RELATIVE}, which takes the logarithm in units of the smallest weight",
        )
    return _Likeness(
        "has weights below 1, whose logarithm is negative", "counts averaged over a group, or weighted streamlines", _LOG1P
    )


def _normalisation(weights: np.ndarray, largest: float) -> str:
    """How weights seem to have been normalised; "" where they are not."""
    for axis, sides in ((1, "rows"), (0, "columns")):
        total = weights.sum(axis=axis)
        if np.allclose(total[total > 0], 1, atol=1e-3):
            return f"divided by the sums of {sides} ({sides} sum to 1)"
    if abs(weights.sum() - 1) < 1e-3 or abs(weights.sum() - 2) < 1e-3:
        return "divided by their sum"
    return "normalised (values from 0 to 1)" if largest <= 1 else ""


def check_after_transform(weights: np.ndarray, transform: str, labels: tuple[str, ...] | None, what: str) -> list[str]:
    """Notes on weights as they enter the equations: raw counts, regions without connections or alike, separate parts."""
    from scipy.sparse.csgraph import connected_components

    notes = []
    positive = weights[weights > 0]
    if len(positive) >= _LEAST_ENTRIES and positive.max() > _HEAVY_TAIL * np.median(positive):
        quoted = f'"{transform}"'
        other = _RELATIVE if positive.max() <= 1 else _LOG1P
        asked = (
            f"without a logarithm no parameters give a realistic FC; {other} takes it"
            if transform == "none"
            else f"{transform} changes weights far below 1 little; {_RELATIVE} takes them in units of the smallest"
        )
        notes.append(
            f"{what}: after `transform={quoted}` the largest weight is {positive.max() / np.median(positive):.0f} times the "
            f"median, as in raw counts; {asked}."
        )
    names = labels or tuple(f"row {k + 1}" for k in range(len(weights)))
    _, part = connected_components(weights > 0, directed=False)
    isolated = [name for name, k in zip(names, part, strict=True) if (part == k).sum() == 1]
    if isolated:
        more = ", ..." if len(isolated) > 8 else ""
        notes.append(
            f"{what}: {len(isolated)} of {len(names)} regions are connected to nothing: {', '.join(isolated[:8])}{more}. "
            "They may be no regions (corpus callosum, unknown), or tractography missed them."
        )
    if len(parts := np.unique(part)) > len(isolated) + 1:
        sizes = sorted((int((part == k).sum()) for k in parts), reverse=True)
        notes.append(f"{what} falls into parts that nothing connects, of {', '.join(map(str, sizes[:6]))} regions.")
    if pairs := alike_rows(weights):
        told = "; ".join(f"{names[a]} and {names[b]}" for a, b in pairs[:4]) + ("; ..." if len(pairs) > 4 else "")
        notes.append(f"{what}: rows of two regions are the same: {told}. One region may have been written twice.")
    return notes


def alike_rows(weights: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of regions whose rows are the same but for the two themselves; more than a few entries, so that it is no chance."""
    found, every = [], np.arange(len(weights))
    for a in every:
        same = weights == weights[a]
        same[:, a] = same[every, every] = True
        others = np.delete(weights[a], a)
        if len(np.unique(others[others > 0])) > 3:
            found += [(int(a), int(b)) for b in np.flatnonzero(same.all(axis=1)) if b > a]
    return found
