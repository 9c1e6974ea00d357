"""Agreement asks whether different starts learned the same residual from the same data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mfm.errors import InputError
from mfm.ude.training.gradient import FitStatus, UDEFit


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement says how far the members of an ensemble agree on what they learned.

    Attributes
    ----------
    mean, spread : array, (S,)
        Over members, at the states of the first usable member's fit.
    relative : float
        Root mean square spread over the standard deviation of the mean: above about 0.5 the residual is not determined.
    members : int
        Members that were trained to the end.
    """

    mean: np.ndarray
    spread: np.ndarray
    relative: float
    members: int


def ensemble_agreement(found: UDEFit, residual: int = 0) -> Agreement:
    """Compare the residuals that different starts learned from the same data, at the same states.

    Parameters
    ----------
    found : UDEFit
        Of one data set, with at least 5 members.
    residual : int

    Raises
    ------
    InputError
        For fewer than 5 members that were trained to the end, or several data sets.

    Examples
    --------
    See ``tests/mfm/ude/test_validation.py``.
    """
    usable = torch.nonzero(found.status != FitStatus.DIVERGED)[:, 0]
    if found.series.members != 1 or len(usable) < 5:
        raise InputError(
            "Agreement is judged over starts of one data set.",
            expected="one data set, at least 5 members trained to the end",
            found=f"{found.series.members} data sets, {len(usable)} members",
            fix="residuals with members=5",
        )
    path = found.problem.path(found.model)
    x = found.series.values if path is None else path[usable[:1]]
    x = x.flatten(1, 2).expand(found.model.members, -1, -1, -1)
    u = found.series.covariates
    u = None if u is None else u.repeat_interleave(x.shape[1] // u.shape[1], dim=1)
    with torch.no_grad():
        g = found.model.residual_values(x, u)[residual][usable].flatten(1)
    mean, spread = g.mean(dim=0), g.std(dim=0)
    relative = spread.square().mean().sqrt() / mean.std().clamp(min=1e-300)
    return Agreement(mean.numpy(), spread.numpy(), float(relative), len(usable))
