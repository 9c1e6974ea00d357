"""Calibration makes a classifier's probabilities true by two numbers, fitted on connectomes that training did not see."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor


class Calibration(NamedTuple):
    """A calibration corrects probabilities: ``p = sigmoid(scale * logit + offset)`` (Platt 1999)."""

    scale: float = 1.0
    offset: float = 0.0

    def probability(self, logit: Tensor) -> Tensor:
        """Turn logits into calibrated probabilities."""
        return torch.sigmoid(self.scale * logit + self.offset)


def fit_calibration(logit: Tensor, share: Tensor) -> Calibration:
    """Fit a calibration by maximum likelihood for the observed share of realisations that stayed (B,).

    Examples
    --------
    >>> import torch
    >>> from surrogate.calibration import fit_calibration
    >>> logit = torch.linspace(-3, 3, 1001)
    >>> fitted = fit_calibration(logit, torch.sigmoid(0.5 * logit + 1))
    >>> round(fitted.scale, 2), round(fitted.offset, 2)
    (0.5, 1.0)
    """
    x, y = logit.double().numpy(), share.double().numpy()

    def loss(parameters):
        scale, offset = np.exp(parameters[0]), parameters[1]
        z = scale * x + offset
        # A weak pull towards no change, where all candidates agree.
        return np.mean(np.logaddexp(0, z) - y * z) + 1e-4 * (parameters[0] ** 2 + offset**2)

    found = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9, "maxiter": 2000})
    return Calibration(float(np.exp(found.x[0])), float(found.x[1]))


def expected_calibration_error(p: np.ndarray, share: np.ndarray, n_bins: int = 10) -> float:
    """Average |predicted probability - observed share| over bins of the probability, weighted by their size."""
    index = np.clip((np.asarray(p) * n_bins).astype(int), 0, n_bins - 1)
    total = 0.0
    for k in np.unique(index):
        members = index == k
        total += members.mean() * abs(p[members].mean() - share[members].mean())
    return float(total)
