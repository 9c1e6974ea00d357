"""What makes a matrix suspicious as a structural connectome."""

from __future__ import annotations

import numpy as np

from mfm.errors import InputError

# A handful of entries tells nothing of a distribution.
_LEAST_ENTRIES = 100
# Largest over median weight. Streamline counts span 30 to 1400, their logarithms 2 to 3, tract lengths 1.5.
_HEAVY_TAIL = 10.0
_ASYMMETRY = 1e-6


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
    if len(positive) < _LEAST_ENTRIES or positive.max() > _HEAVY_TAIL * np.median(positive):
        return notes
    median, largest, least = np.median(positive), positive.max(), positive.min()
    found = f"non-zero entries from {least:g} to {largest:g}, median {median:g}"
    if 20 < largest <= 500 and least > 2 and median > largest / 4:
        if transform != "none":
            raise InputError(
                f"{what} looks like tract lengths in mm, not connection strengths.",
                expected="streamline counts or weights, which span orders of magnitude",
                found=found,
                cause="the matrix of lengths (tract_length, edgeLengths, len, meanlength) in place of that of counts",
                fix='give the matrix of counts; if these are strengths after all: `transform="none"`',
            )
        notes.append(f"{what} looks like tract lengths in mm: {found}.")
    elif transform != "none" and largest < 20 and (positive != np.round(positive)).any():
        raise InputError(
            f"{what} looks as if it was logged already.",
            expected=f'raw counts for `transform="{transform}"`, which span orders of magnitude',
            found=found,
            cause="a group template (ENIGMA) or a matrix that was prepared for modelling before",
            fix='`transform="none"`',
        )
    return notes


def check_after_transform(weights: np.ndarray, transform: str, labels: tuple[str, ...] | None, what: str) -> list[str]:
    """Notes on weights as they enter the equations: raw counts, regions without connections, separate parts."""
    from scipy.sparse.csgraph import connected_components

    notes = []
    positive = weights[weights > 0]
    if len(positive) >= _LEAST_ENTRIES and positive.max() > _HEAVY_TAIL * np.median(positive):
        quoted = f'"{transform}"'
        asked = (
            'without a logarithm no parameters give a realistic FC; `transform="log1p"` takes it'
            if transform == "none"
            else f"{transform} changes weights far below 1 little; multiply them to the size of streamline counts first"
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
    return notes
