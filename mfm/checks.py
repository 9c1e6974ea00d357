"""Checks of what comes in from outside, shared by everything that takes arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from mfm.errors import InputError

# So many regions are named in a message; of more, the number is told.
_LISTED = 8


def as_float_tensor(value, name: str) -> Tensor:
    """A floating tensor: tensors keep their floating type, everything else becomes float64."""
    if isinstance(value, Tensor) and not value.is_complex():
        return value if value.is_floating_point() else value.double()
    try:
        array = np.asarray(value)
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
            raise TypeError(f"type {array.dtype}")
        return torch.as_tensor(array.astype(np.float64))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} is not an array of real numbers.", found=str(error)) from error


def listed(indices: Iterable[int], names: Sequence[str] | None = None) -> str:
    """Regions for a message: by name, or by their place counted from 1, as in every file; `indices` count from 0.

    Examples
    --------
    >>> from mfm.checks import listed
    >>> listed([0, 2]), listed([0, 2], ("a", "b", "c")), listed(range(20))
    ('1, 3 (counted from 1)', 'a, c', '1, 2, 3, 4, 5, 6, 7, 8 and 12 more (counted from 1)')
    """
    places = [int(k) for k in indices]
    text = ", ".join(str(k + 1) if names is None else names[k] for k in places[:_LISTED])
    text += f" and {len(places) - _LISTED} more" if len(places) > _LISTED else ""
    return text if names is not None else f"{text} (counted from 1)"
