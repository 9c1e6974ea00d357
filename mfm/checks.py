"""Checks of what comes in from outside, shared by everything that takes arrays."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mfm.errors import InputError


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
