"""The first row of a connectome that counts streamlines without a region (MRtrix), and how it is told from a region."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mfm.errors import InputError

_NAMES = re.compile(r"(?i)^(un ?assigned|unknown|none|no ?(region|label|node)|background|outside|other|[?]+|0+|n/?a|nan|)$")
# A hub has up to four times the median region's streamlines, and hardly twice those of the next. What tck2connectome could
# not assign often is a third of all streamlines.
_TIMES_THE_NEXT = 3.0


def looks_like_a_region(name: str) -> bool:
    """Whether a name is one of a region: not "Unassigned", "Unknown", "???", "0" or the like."""
    return _NAMES.match(re.sub(r"[_\-]", " ", name).strip()) is None


def looks_unassigned(values: np.ndarray, names: Sequence[str] | None = None) -> bool:
    """Whether the first row of a matrix is hardly a region: by its name, else by being empty or far above all others."""
    if names is not None:
        return not looks_like_a_region(names[0])
    if len(values) < 4:
        return False
    size = np.abs(np.nan_to_num(values, posinf=0.0, neginf=0.0)) * ~np.eye(len(values), dtype=bool)
    total = size.sum(axis=0) + size.sum(axis=1)
    if total[0] == 0:
        return bool((total[1:] > 0).all())
    return bool(total[0] > _TIMES_THE_NEXT * (total[1:] - size[0, 1:] - size[1:, 0]).max())


def one_row_more(what: str, values: np.ndarray, n_regions: int, argument: str = "drop_unassigned=True") -> InputError:
    """Return the error for a matrix without names that has one row more than there are regions."""
    facts = {"expected": f"{n_regions} rows", "found": f"{len(values)}"}
    problem = f"{what} has one row more than there are regions."
    if looks_unassigned(values):
        how = "is empty" if not np.nan_to_num(values)[0, 1:].any() else "has several times the streamlines of any other"
        return InputError(
            problem,
            **facts,
            cause=f"MRtrix tck2connectome -keep_unassigned: its first row, which {how}, counts streamlines without a region",
            fix=f"`{argument}` leaves that row and column out",
        )
    labels = 'labels="FILE"'
    return InputError(
        problem,
        **facts,
        cause="a region that the other inputs, or the list of names, lack: which one cannot be told without names. The first "
        "row does not look like unassigned streamlines",
        fix=f"name every row: `{labels if argument.startswith('drop') else f'sc_file=MatrixOptions({labels})'}`",
    )
