"""Regional maps, and parameters as linear functions of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mfm.brain.connectome import check_labels
from mfm.checks import listed
from mfm.errors import InputError


@dataclass(frozen=True, eq=False)
class RegionalMaps:
    """M maps over N regions, such as myelin (T1w/T2w) and the principal gradient of resting-state FC.

    Parameters
    ----------
    values : array, (M, N)
        Used as they are, in any unit; M may be 0 (homogeneous parameters).
    names : sequence of str
        One name per map.
    labels : sequence of str, optional
        Names of the regions.
    steps : tuple of str, optional
        What was done to the maps after they were read; for people and for records.

    Raises
    ------
    InputError
        If values, names and labels do not fit, a name occurs twice, or a map is not finite or the same in every region.

    Examples
    --------
    >>> import mfm
    >>> mfm.RegionalMaps([[1.2, 1.4, 1.3], [-2.0, 3.0, 1.0]], ("myelin", "gradient")).n_regions
    3
    """

    values: np.ndarray
    names: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    steps: tuple[str, ...] = ()

    def __post_init__(self):
        try:
            values = np.array(self.values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError("The maps are not numbers of one length.", found=str(error)) from error
        names = tuple(self.names)
        if values.ndim != 2 or len(values) != len(names) or len(set(names)) != len(names):
            raise InputError(
                "Maps and their names do not fit.",
                expected="values (M, N) with one distinct name each",
                found=f"values {values.shape}, names {names}",
            )
        for name, value in zip(names, values, strict=True):
            if not np.isfinite(value).all():
                bad = np.flatnonzero(~np.isfinite(value))
                raise InputError(
                    f"The map {name!r} is not finite in regions {listed(bad, self.labels)}.",
                    fix="leave them out of every input, or fill them",
                )
            if np.ptp(value) == 0:
                raise InputError(f"The map {name!r} is the same in every region.", fix="leave it out: the intercept does that")
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "labels", check_labels(self.labels, values.shape[1], "the maps"))
        object.__setattr__(self, "steps", tuple(self.steps))

    @classmethod
    def none(cls, n_regions: int, labels: Sequence[str] | None = None) -> RegionalMaps:
        """No maps: every parameter is the same in all regions."""
        return cls(np.empty((0, n_regions)), (), None if labels is None else tuple(labels))

    def zscored(self) -> RegionalMaps:
        """Every map with mean 0 and standard deviation 1 (over N regions, not N - 1), so that coefficients compare."""
        mean, std = self.values.mean(axis=1, keepdims=True), self.values.std(axis=1, keepdims=True)
        told = [
            f"{name} z-scored (mean {m:.6g}, SD {s:.6g})" for name, m, s in zip(self.names, mean[:, 0], std[:, 0], strict=True)
        ]
        return RegionalMaps((self.values - mean) / std, self.names, self.labels, (*self.steps, *told))

    @property
    def n_regions(self) -> int:
        return self.values.shape[1]
