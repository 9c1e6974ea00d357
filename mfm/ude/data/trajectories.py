"""Trajectories that a hybrid learns from, checked when they are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mfm.checks import as_float_tensor
from mfm.errors import InputError

# Third differences of independent noise have 20 times its variance, and those of a smooth signal nearly none.
_DIFFERENCES, _VARIANCE = 3, 20.0
_MAD = 1.4826

# Samples further from the grid than this share of a step are not on it.
_OFF_GRID = 0.05


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Trajectories are observations of a system's states on a regular grid of times, with gaps.

    Parameters
    ----------
    values : array or tensor
        (T, C): one trajectory of one unit; (K, T, N, C): K trajectories of N units; (E, K, T, N, C): E data sets, each for
        an ensemble member of its own. C channels. NaN is a missing sample.
    dt : float
        Time between samples, in `time_unit`.
    names : sequence of str
        The states that the channels observe, by name.
    time_unit : str
        As of the mechanism: "s" for the FIC model, "1" for equations without units.
    noise_std : sequence of float or array (E, C), optional
        Standard deviation of the measurement noise of each channel; default: estimated (`estimate_noise`). 0 is not allowed.
    covariates : array or tensor, (K, N or 1, U) or (E, K, N or 1, U), optional
        Constants of a trajectory.

    Raises
    ------
    InputError
        If shapes, names or step cannot be those of time series, or too little is there.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.ude import Trajectories
    >>> Trajectories(np.sin(0.1 * np.arange(100))[:, None], 0.1, ["x"], noise_std=[0.01])
    Trajectories(1 set x 1 trajectory, 100 samples every 0.1, 1 unit, x)
    """

    values: Tensor
    dt: float
    names: tuple[str, ...]
    time_unit: str = "1"
    noise_std: Tensor = None  # type: ignore[assignment]
    covariates: Tensor | None = None

    def __post_init__(self):
        values = as_float_tensor(self.values, "The time series").double().clone()
        if values.ndim not in (2, 4, 5):
            raise InputError(
                "The time series have an unknown shape.",
                expected="(T, C), (K, T, N, C) or (E, K, T, N, C)",
                found=str(tuple(values.shape)),
                fix="values[None, :, :, None] makes T x N samples of one channel those of N units"
                if values.ndim == 3
                else None,
            )
        values = values[None, None, :, None, :] if values.ndim == 2 else values
        values = values[None] if values.ndim == 4 else values
        names = tuple(self.names)
        if isinstance(self.names, str) or len(names) != values.shape[-1] or len(set(names)) != len(names):
            raise InputError(
                "The names do not fit the channels.", expected=f"{values.shape[-1]} different names", found=repr(self.names)
            )
        if not (isinstance(self.dt, (int, float)) and math.isfinite(self.dt) and self.dt > 0):
            raise InputError("The sampling interval must be positive.", found=repr(self.dt))
        if values.shape[2] < 4:
            raise InputError("The time series are too short.", expected="at least 4 samples", found=str(values.shape[2]))
        if torch.isinf(values).any():
            raise InputError("The time series hold infinite values.", expected="finite numbers, NaN where a sample is missing")
        empty = ~torch.isfinite(values).any(dim=2)
        if empty.any():
            where = (torch.nonzero(empty)[0] + 1).tolist()
            raise InputError(
                f"Channel {names[where[-1] - 1]!r} has no samples in a trajectory.",
                found=f"only NaN at (set, trajectory, unit, channel) {where}, counted from 1",
                fix="leave the channel out: a state that is not observed is learned as a hidden one",
            )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "dt", float(self.dt))
        object.__setattr__(self, "noise_std", self._checked_noise())
        object.__setattr__(self, "covariates", self._checked_covariates())

    def _checked_noise(self) -> Tensor:
        shape = (self.values.shape[0], len(self.names))
        if self.noise_std is None:
            return estimate_noise(self.values)
        noise = as_float_tensor(self.noise_std, "noise_std").double()
        if noise.shape[-1:] != shape[1:] or noise.ndim > 2 or (noise.ndim == 2 and noise.shape[0] not in (1, shape[0])):
            raise InputError(
                "noise_std does not fit the channels.", expected=f"{shape[1]} numbers", found=str(tuple(noise.shape))
            )
        if not (torch.isfinite(noise) & (noise > 0)).all():
            raise InputError("noise_std must be positive.", found=str(noise.tolist()), fix="a small number stands for no noise")
        return noise.expand(shape).clone()

    def _checked_covariates(self) -> Tensor | None:
        if self.covariates is None:
            return None
        u = as_float_tensor(self.covariates, "The covariates").double()
        u = u[None] if u.ndim == 3 else u
        E, K, _, N, _ = self.values.shape
        if (
            u.ndim != 4
            or u.shape[0] not in (1, E)
            or u.shape[1] != K
            or u.shape[2] not in (1, N)
            or not torch.isfinite(u).all()
        ):
            raise InputError(
                "The covariates do not fit the trajectories.",
                expected=f"finite, ({K} trajectories, {N} or 1 units, covariates)",
                found=str(tuple(u.shape)),
            )
        return u.clone()

    @classmethod
    def from_times(cls, times, values, names: Sequence[str], *, dt: float | None = None, **options) -> Trajectories:
        """Put samples at given times on a regular grid with gaps.

        Parameters
        ----------
        times : array, (T,)
            Increasing.
        values : array, (T, C)
        names : sequence of str
        dt : float, optional
            The grid's step; default the smallest interval between two samples.
        options
            Further arguments of `Trajectories`.

        Raises
        ------
        InputError
            If times do not increase, or do not lie on the grid.

        Examples
        --------
        >>> import numpy as np
        >>> from mfm.ude import Trajectories
        >>> series = Trajectories.from_times([0, 1, 2, 3, 5, 6, 7], np.arange(7.0)[:, None], ["x"], noise_std=[0.1])
        >>> series.observed.sum().item(), series.n_samples
        (7, 8)
        """
        t = np.asarray(times, dtype=float)
        y = np.asarray(values, dtype=float)
        if t.ndim != 1 or y.ndim != 2 or len(t) != len(y) or len(t) < 2:
            raise InputError("Times and values do not fit.", expected="(T,) and (T, C)", found=f"{t.shape} and {y.shape}")
        intervals = np.diff(t)
        if not np.isfinite(t).all() or (intervals <= 0).any():
            first = int(np.argmax(~(intervals > 0)))
            raise InputError(
                "The times do not increase.",
                found=f"{t[first]:g} then {t[first + 1]:g}, samples {first + 1} and {first + 2} (counted from 1)",
                cause="runs were joined, or samples occur twice",
                fix="give runs as trajectories of their own",
            )
        step = float(intervals.min()) if dt is None else float(dt)
        position = (t - t[0]) / step
        index = np.rint(position).astype(int)
        off = np.abs(position - index)
        if off.max() > _OFF_GRID or (np.diff(index) < 1).any():
            worst = int(np.argmax(off))
            raise InputError(
                "The samples do not lie on a regular grid.",
                expected=f"times at multiples of dt = {step:g} from the first, to {_OFF_GRID:g} of a step",
                found=f"sample {worst + 1} (counted from 1) at {t[worst]:g}, {off[worst]:.2g} steps off",
                cause="irregular sampling, or a wrong dt",
                fix="give a dt of which all intervals are multiples, or interpolate onto such a grid",
            )
        grid = np.full((index[-1] + 1, y.shape[1]), np.nan)
        grid[index] = y
        return cls(torch.from_numpy(grid), step, tuple(names), **options)

    @property
    def observed(self) -> Tensor:
        """Mark the samples that are there, (E, K, T, N, C) bool."""
        return torch.isfinite(self.values)

    @property
    def n_samples(self) -> int:
        """Count the samples T of each trajectory, missing ones included."""
        return self.values.shape[2]

    @property
    def members(self) -> int:
        """Count the data sets E, each for an ensemble member of its own."""
        return self.values.shape[0]

    @property
    def signal_to_noise(self) -> Tensor:
        """Return the signal's variance over the noise's, (E, C), taken over trajectories and units."""
        mean = self.values.nanmean(dim=(1, 2, 3), keepdim=True)
        variance = (self.values - mean).square().nanmean(dim=(1, 2, 3))
        noise = self.noise_std.square()
        return (variance - noise).clamp(min=0.0) / noise

    def window(self, first: int, last: int) -> Trajectories:
        """Cut out the samples `first` to `last` (not included); the noise stays that of the whole."""
        return replace(self, values=self.values[:, :, first:last])

    def __repr__(self) -> str:
        E, K, T, N, _ = self.values.shape
        gaps = 1 - self.observed.double().mean().item()
        parts = [
            f"{E} set{'s' * (E > 1)} x {K} trajector{'ies' if K > 1 else 'y'}",
            f"{T} samples every {self.dt:g}" + (f" {self.time_unit}" if self.time_unit != "1" else ""),
            f"{N} unit{'s' * (N > 1)}",
            " ".join(self.names),
        ]
        return f"Trajectories({', '.join(parts)}{f', {gaps:.1%} missing' if gaps else ''})"


def estimate_noise(values: Tensor) -> Tensor:
    """Estimate the standard deviation of measurement noise (E, C) from third differences.

    The median of their absolute values is used: spikes and other fast parts of the signal hardly move it. For smooth signals
    that are sampled densely, and independent noise; not for states driven by noise of their own.

    Examples
    --------
    >>> import torch
    >>> from mfm.ude import estimate_noise
    >>> t = 0.1 * torch.arange(2000, dtype=torch.float64)
    >>> noise = 0.1 * torch.randn(2000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> round(estimate_noise((torch.sin(t) + noise)[None, None, :, None, None]).item(), 2)
    0.1
    """
    differences = values.diff(n=_DIFFERENCES, dim=2).abs().movedim(-1, 1).flatten(2)
    scale = values.abs().nan_to_num().amax(dim=(1, 2, 3))
    found = _MAD * differences.nanmedian(dim=2).values / math.sqrt(_VARIANCE)
    if torch.isnan(found).any():
        raise InputError(
            "The noise cannot be estimated: there are no four samples in a row.", fix="give noise_std, one number per channel"
        )
    # Noise-free series: a millionth of the signal, so that weights stay finite.
    return found.clamp(min=1e-6 * scale.clamp(min=1e-300))
