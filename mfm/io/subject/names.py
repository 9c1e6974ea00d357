"""One order of regions for all inputs of a subject, joined by name."""

from __future__ import annotations

import numpy as np

from mfm.brain.atlas import order_by_name, shared_regions
from mfm.io.readers.matrix_file import RawMatrix
from mfm.io.subject.read import RawInputs


def join_names(raw: RawInputs) -> tuple[str, ...] | None:
    """Return the order of regions that every named input is brought to; None where no input names any.

    It is that of the labels that were given, or of the first input that has names. Its rows that are no cortex drop out where
    another input does not have them. Inputs without names are taken to be in that order.
    """
    if raw.labels is not None:
        return raw.labels
    given = [names for _, names in raw.names_by_input() if names]
    if not given:
        return None
    names = shared_regions(given[0], given[1:])
    named_elsewhere = raw.connectome.labels is not None or any(run.labels for run in raw.runs)
    if not named_elsewhere and len(names) != len(raw.connectome.values):
        return None  # the FC or map that brought the names does not fit, and will be told so
    return names


def matrix_in_order(raw: RawMatrix, names: tuple[str, ...] | None, what: str) -> np.ndarray:
    """Return a matrix with rows and columns in the order of `names`: by name where it has names, else as it is."""
    if not raw.labels or not names:
        return raw.values
    order = order_by_name(raw.labels, names, what)
    return raw.values[np.ix_(order, order)]
