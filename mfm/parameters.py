"""Parameter sets of the FIC model, a batch at a time."""

from mfm.checks import as_float_tensor
from mfm.models.fic import FICParameters

__all__ = ["FICParameters", "as_float_tensor"]
