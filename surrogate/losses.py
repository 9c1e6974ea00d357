"""Training minimises squared errors in units of the labels' own noise, and the negative likelihood of staying in range."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

import mfm
from mfm.models.constants import NEURAL, RATE_RANGE_HZ
from surrogate.data import Labels
from surrogate.networks import Output

# Errors below these do not matter: they are added to the labels' noise.
_FC_ERROR, _MEAN_FC_ERROR, _FCD_ERROR, _RATE_ERROR_HZ = 0.02, 0.01, 0.02, 0.02

# Deviations of the mean FC beyond this many standard deviations are of a longer tail than the estimate of their noise.
_OUTLIER = 2.0


class Losses(NamedTuple):
    """Losses are the terms of the loss, each a scalar."""

    fc: Tensor
    mean_fc: Tensor
    fcd: Tensor
    rate: Tensor
    within: Tensor

    @property
    def total(self) -> Tensor:
        """Return the weighted sum that is minimised."""
        return self.fc + self.mean_fc + self.fcd + 0.2 * self.rate + self.within


def losses(output: Output, bands_hz: Tensor, labels: Labels) -> Losses:
    """Compute the losses of a batch.

    Parameters
    ----------
    output : Output
    bands_hz : tensor, (M, B, 2)
        Of ``output.logit``.
    labels : Labels
        FC, FCD and rates count where all realisations stayed within range, each candidate weighted by its noise: a label
        is the mean of few scans, each of few independent samples.
    """
    stayed = labels.stayed
    n = stayed.sum().clamp(min=1)
    samples = labels.samples
    predicted, simulated = mfm.upper_triangle(output.fc), labels.fc.float()
    noise = (1 - predicted.detach() ** 2).square().mean(dim=1) / samples
    fc_error = (predicted - simulated).square().mean(dim=1) / (noise + _FC_ERROR**2)
    # The mean over edges is as noisy as the edges' common part: about its own size over the samples.
    mean_fc = predicted.mean(dim=1)
    noise = (mean_fc.detach() * (1 - mean_fc.detach())).square() / samples * 2
    deviation = (mean_fc - simulated.mean(dim=1)) / (noise + _MEAN_FC_ERROR**2).sqrt()
    mean_error = torch.nn.functional.huber_loss(deviation, torch.zeros_like(deviation), reduction="none", delta=_OUTLIER)
    # A realisation's FCD distribution varies by about 0.1 where 120 samples make a scan.
    fcd_error = (output.fcd_cdf - labels.fcd_cdf.float()).square().mean(dim=1) / (0.5 / samples + _FCD_ERROR**2)
    rate_error = torch.nn.functional.smooth_l1_loss(
        output.rate_E / _RATE_ERROR_HZ, labels.rate_E / _RATE_ERROR_HZ, reduction="none"
    ).mean(dim=1)

    def mean_of_stayed(error: Tensor) -> Tensor:
        return torch.where(stayed, error, torch.zeros_like(error)).sum() / n

    return Losses(
        fc=mean_of_stayed(fc_error),
        mean_fc=mean_of_stayed(mean_error),
        fcd=mean_of_stayed(fcd_error),
        rate=mean_of_stayed(rate_error),
        within=within_loss(output.logit, bands_hz, labels),
    )


def within_loss(logits: Tensor, bands_hz: Tensor, labels: Labels) -> Tensor:
    """Compute the cross-entropy of staying within each band in each realisation."""
    inside = staying_share(bands_hz, labels)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, inside)


def staying_share(bands_hz: Tensor, labels: Labels) -> Tensor:
    """Return the share of realisations that stay within bands (..., B, 2): (..., B)."""
    low, high = bands_hz[..., 0, None], bands_hz[..., 1, None]
    return ((labels.rate_low >= low) & (labels.rate_high <= high)).float().mean(dim=-1)


def random_bands(n: int, generator: torch.Generator) -> Tensor:
    """Draw bands in Hz, (2, n, 2): the usual one, and another one for each of `n` candidates."""
    # From 0.1 Hz to 3 Hz of room on either side; the lower end stays above 0.
    room = 0.1 * 30 ** torch.rand((n, 2), generator=generator)
    target = NEURAL.target_rate_hz
    other = torch.stack([(target - room[:, 0]).clamp(min=0.0), target + room[:, 1]], dim=1)
    return torch.stack([torch.tensor(RATE_RANGE_HZ).expand(n, 2), other])
