"""Entries of a matrix that are no numbers: which of them matter, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfm.checks import listed
from mfm.errors import InputError


def with_diagonal(values: np.ndarray, number: float) -> tuple[np.ndarray, int]:
    """Return a matrix with `number` where its diagonal is not finite, and how many entries those were.

    A diagonal means nothing to a connectome, and tells nothing of an FC; software sets it to NaN to keep it out of averages. A
    region that has no number off the diagonal either is left as it is: it lacks data.
    """
    bad = ~np.isfinite(values)
    of_regions = (bad | np.eye(len(values), dtype=bool)).all(axis=1)
    odd = np.flatnonzero(np.diag(bad) & ~of_regions)
    if len(odd):
        values = values.copy()
        values[odd, odd] = number
    return values, len(odd)


def regions_without_numbers(values: np.ndarray) -> np.ndarray:
    """Return the positions of rows that, with their columns, hold no number off the diagonal."""
    bad = ~np.isfinite(values) | np.eye(len(values), dtype=bool)
    return np.flatnonzero(bad.all(axis=1) & bad.all(axis=0))


def check_entries(values: np.ndarray, names: Sequence[str] | None, what: str) -> None:
    """Raise an InputError that names what is not finite, and says what that is likely to be."""
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    gone = regions_without_numbers(values)
    scattered = bad.copy()
    scattered[gone] = scattered[:, gone] = False
    problem, expected = f"{what} has entries that are not finite.", "finite numbers"
    found = f"{int(bad.sum())} NaN or infinite entries, in rows {listed(np.flatnonzero(bad.any(axis=1)), names)}"
    if len(gone) and not scattered.any():
        raise InputError(
            problem,
            expected=expected,
            found=f"no number in the rows and columns of {listed(gone, names)}",
            cause="regions that the tool found no voxels or no streamlines for",
            fix=f"leave them out of every input: {exclusion(gone, names)}",
        )
    if (values[scattered] == -np.inf).all():
        raise InputError(
            problem,
            expected=expected,
            found=f"{int(scattered.sum())} entries of -inf",
            cause="the logarithm of zero: the matrix was logged, and pairs without streamlines with it",
            fix='put 0 in their place (numpy.where(numpy.isinf(W), 0, W)), and give that with `transform="none"`',
        )
    raise InputError(
        problem,
        expected=expected,
        found=found,
        cause="pairs of regions without connection, which were saved as missing, or a division by zero",
        fix="put 0 where there is no connection (numpy.nan_to_num), if that is what they mean",
    )


def exclusion(positions: Sequence[int] | np.ndarray, names: Sequence[str] | None) -> str:
    """What is typed to leave regions out."""
    chosen = [names[k] if names else str(k + 1) for k in positions]
    return f"`exclude_regions=[{', '.join(_quoted(name) for name in chosen)}]`"


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
