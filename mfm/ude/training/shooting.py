"""Multiple shooting cuts a series into segments that are integrated at once, each from a state of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mfm.errors import InputError
from mfm.ude.data.trajectories import Trajectories
from mfm.ude.equations.hybrid import Hybrid
from mfm.ude.training.observers import Innovation, Observer

# Below this ratio of variances a channel does not tell where a segment starts: it is treated as a hidden state.
LOW_SIGNAL_TO_NOISE = 1.0

# A state that is hidden is continuous to this share of its scale, where an observed one is so to its noise.
_HIDDEN_TOLERANCE = 0.05
_HIDDEN_REACH = 0.3


@dataclass(frozen=True)
class MultipleShooting:
    """These settings cut a series into segments whose first states are learned (Bock 1983) and tied by a penalty.

    Parameters
    ----------
    samples : int, optional
        Intervals per segment; None is a single segment over the whole series: single shooting.
    continuity : float
        Weight of the gaps between the end of a segment and the start of the next, relative to the data.

    Examples
    --------
    >>> from mfm.ude import MultipleShooting
    >>> MultipleShooting(samples=20).samples
    20
    """

    samples: int | None = 25
    continuity: float = 1.0

    def __post_init__(self):
        if self.samples is not None and self.samples < 1:
            raise InputError("A segment has at least one interval.", found=repr(self.samples))
        if not self.continuity >= 0:
            raise InputError("The weight of continuity must not be negative.", found=repr(self.continuity))


@dataclass(frozen=True, eq=False)
class Rollout:
    """A rollout is one pass over all segments.

    Attributes
    ----------
    predicted : tensor, (E, M, L, N, D)
        States at samples 1 to L, before correction.
    gaps : tensor, (E, gaps, N, D)
        Between ends of segments and next starts, in units of their tolerance.
    """

    predicted: Tensor
    gaps: Tensor


class Segments(nn.Module):
    """Segments are the pieces of a series for a model, with their first states as parameters.

    Attributes
    ----------
    values, weights : tensor, (E, M, L + 1, N, D)
        Data by state (0 where hidden or missing), and 1 / noise where there is a sample, else 0.
    gain_share : tensor, (E, 1, 1, D)
        Share of an observer's gain for each state; 0 for those that are treated as hidden.
    tolerance : tensor, (E, 1, 1, D)
        How exactly each state is known at a segment's start: noise of a channel, or a share of a hidden state's scale.
    reach : tensor, (E, 1, 1, D)
        Unit of the offsets: the tolerance of a state that is observed, a larger share of the scale of one that is not.
    offsets : parameter, (E, M, N, D)
        First states, in units of reach from where they started.
    """

    def __init__(
        self, model: Hybrid, series: Trajectories, shooting: MultipleShooting, path: Tensor, state_scale: Sequence[float]
    ):
        super().__init__()
        E, K, T, N, _ = series.values.shape
        E = max(E, model.members)
        states = model.mechanism.states
        L = T - 1 if shooting.samples is None else min(shooting.samples, T - 1)
        first = torch.arange(0, T - 1, L)
        index = first[:, None] + torch.arange(L + 1)
        inside = index < T
        self.per_trajectory, self.length, self.n_trajectories = len(first), L, K
        self.dt, self.n_samples = series.dt, T

        known = [states.index(name) for name in series.names]
        y = torch.zeros(E, K, T, N, len(states), dtype=torch.float64)
        y[..., known] = series.values.nan_to_num()
        w = torch.zeros_like(y)
        noise = series.noise_std[:, None, None, None, :]
        w[..., known] = series.observed / noise
        at = index.clamp(max=T - 1)
        self.values = y[:, :, at].flatten(1, 2)
        self.weights = (w[:, :, at] * inside[:, :, None, None]).flatten(1, 2)

        snr = torch.zeros(E, len(states), dtype=torch.float64)
        snr[:, known] = series.signal_to_noise
        scale = torch.as_tensor(state_scale, dtype=torch.float64)
        tolerance = (_HIDDEN_TOLERANCE * scale).expand(E, -1).clone()
        as_observed = snr > LOW_SIGNAL_TO_NOISE
        channel_noise = torch.zeros_like(snr)
        channel_noise[:, known] = series.noise_std
        tolerance[as_observed] = channel_noise[as_observed]
        self.gain_share = torch.where(as_observed, snr / (1 + snr), 0.0)[:, None, None, :]
        self.tolerance = tolerance[:, None, None, :]
        self.reach = torch.where(as_observed, tolerance, _HIDDEN_REACH * scale)[:, None, None, :]
        self.start = path[:, :, first].flatten(1, 2)
        self.offsets: Tensor = nn.Parameter(torch.zeros_like(self.start))
        self.covariates = None
        if series.covariates is not None:
            self.covariates = series.covariates.repeat_interleave(len(first), dim=1)

    @property
    def states(self) -> Tensor:
        """Return the first states (E, M, N, D)."""
        return self.start + self.reach * self.offsets

    def roll(self, model: Hybrid, observer: Observer | None = None, gain: float = 0.0) -> Rollout:
        """Integrate all segments over their samples, the observer on with `gain`."""
        start = self.states
        x = start
        predicted = []
        correct = None
        if gain > 0 and isinstance(observer, Innovation):
            correct = gain * self.gain_share[:, :, None] * (self.weights > 0)
            x = torch.lerp(x, self.values[:, :, 0], correct[:, :, 0])
        for k in range(self.length):
            nudge = self._nudge(k, gain) if gain > 0 and correct is None else None
            x = model.advance(x, self.dt, self.covariates, nudge)
            predicted.append(x)
            if correct is not None:
                x = torch.lerp(x, self.values[:, :, k + 1], correct[:, :, k + 1])
        path = torch.stack(predicted, dim=2)
        return Rollout(path, self.gaps_between(start, path[:, :, -1]))

    def _nudge(self, k: int, gain: float):
        """K (y(t) - x) within interval `k`, for states and times since its first sample."""
        before, after = self.values[:, :, k], self.values[:, :, k + 1]
        share = gain * self.gain_share * ((self.weights[:, :, k] > 0) & (self.weights[:, :, k + 1] > 0))
        slope = (after - before) / self.dt
        return lambda x, t: share * (before + t * slope - x)

    def gaps_between(self, start: Tensor, end: Tensor) -> Tensor:
        """Measure gaps (E, gaps, N, D) between ends and next starts, in units of their tolerance."""
        E, _, N, D = start.shape
        shape = (E, self.n_trajectories, self.per_trajectory, N, D)
        gaps = end.reshape(shape)[:, :, :-1] - start.reshape(shape)[:, :, 1:]
        return (gaps / self.tolerance[:, None]).flatten(1, 2)

    def misfits(self, rollout: Rollout) -> Tensor:
        """Weigh the prediction errors (E, M, L + 1, N, D), 0 where there is no sample; a shared boundary counts once."""
        first = self.states.unsqueeze(2)
        path = torch.cat([first, rollout.predicted], dim=2)
        errors = self.weights * (path - self.values)
        if self.per_trajectory == 1:
            return errors
        # The last sample of a segment is the first of the next one.
        shared = torch.ones_like(errors[:, :, :, :1, :1])
        shared.unflatten(1, (self.n_trajectories, self.per_trajectory))[:, :, 1:, 0] = 0
        return errors * shared

    @property
    def n_observed(self) -> Tensor:
        """Count the samples that are there, (E,)."""
        return (self.weights[:, :, 1:] > 0).sum(dim=(1, 2, 3, 4)).double()

    def path(self, model: Hybrid) -> Tensor:
        """Join the states of all segments end to end, without an observer: (E, K, T, N, D)."""
        with torch.no_grad():
            rollout = self.roll(model)
            whole = torch.cat([self.states.unsqueeze(2), rollout.predicted], dim=2)
        pieces = whole.unflatten(1, (self.n_trajectories, self.per_trajectory))
        return torch.cat([pieces[:, :, :, :-1].flatten(2, 3), pieces[:, :, -1, -1:]], dim=2)[:, :, : self.n_samples]
