"""The coordinates in which a search moves: one unit is a parameter's range, whatever the maps' units."""

from __future__ import annotations

import numpy as np

from mfm import MapParameterisation
from mfm.errors import InputError

# A slope coordinate of 1 moves a parameter by this share of its range for one standard deviation of the map.
_SLOPE_SCALE = 0.25
_DRAWS_PER_ROUND = 512
_MAX_ROUNDS = 200


class SearchSpace:
    """A linear change of coordinates around `MapParameterisation`, and draws of plausible candidates in it.

    For each regional parameter the coordinates are its mean over regions and its change per standard deviation of each map,
    both in units of its range: well scaled for CMA-ES where the raw coefficients differ by orders of magnitude.
    """

    def __init__(self, parameterisation: MapParameterisation):
        self.parameterisation = parameterisation
        maps = parameterisation.maps.values
        self._centre = maps.mean(axis=1)
        self._spread = maps.std(axis=1)
        self.n_dimensions = parameterisation.n_coefficients

    def to_coefficients(self, u: np.ndarray) -> np.ndarray:
        """Search coordinates (B, D) to coefficients (B, D)."""
        u = np.atleast_2d(np.asarray(u, dtype=np.float64))
        coefficients = np.empty_like(u)
        for name, part in self.parameterisation.slices().items():
            low, high = getattr(self.parameterisation.bounds, name)
            width = high - low
            coefficients[:, part.start] = low + width * u[:, part.start]
            if part.stop - part.start > 1:
                slopes = u[:, part][:, 1:] * width * _SLOPE_SCALE / self._spread
                coefficients[:, part.start + 1 : part.stop] = slopes
                coefficients[:, part.start] -= slopes @ self._centre
        return coefficients

    def violation(self, u: np.ndarray) -> np.ndarray:
        """How far candidates (B, D) are from bounds and plausibility; 0 is feasible."""
        return self.parameterisation.violation(self.to_coefficients(u)).numpy()

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`n` plausible candidates that cover the bounds, (n, D).

        Means are uniform; map slopes have a random direction, and a length uniform up to where the bounds end. Draws that
        break a plausibility rule are drawn again.

        Raises
        ------
        InputError
            If plausible candidates are too rare to be found.
        """
        found: list[np.ndarray] = []
        n_found = 0
        for _ in range(_MAX_ROUNDS):
            u = self._propose(_DRAWS_PER_ROUND, rng)
            found.append(u[self.violation(u) == 0])
            n_found += len(found[-1])
            if n_found >= n:
                return np.concatenate(found)[:n]
        share = n_found / (_MAX_ROUNDS * _DRAWS_PER_ROUND)
        raise InputError(
            "Hardly any candidate is plausible.",
            expected=f"{n} candidates that keep bounds and plausibility rules",
            found=f"{n_found} in {_MAX_ROUNDS * _DRAWS_PER_ROUND} draws ({share:.1e})",
            cause="a map whose sign is flipped, bounds too narrow for the maps, or `min_std` too large",
            fix="check the sign of the gradient map; relax `min_std`, or switch the signs off: `signs={}`",
        )

    def _propose(self, n: int, rng: np.random.Generator) -> np.ndarray:
        u = rng.uniform(size=(n, self.n_dimensions))
        maps = (self.parameterisation.maps.values - self._centre[:, None]) / self._spread[:, None]
        for part in self.parameterisation.slices().values():
            if part.stop - part.start == 1:  # follows no maps
                continue
            direction = rng.normal(size=(n, len(maps)))
            deviation = direction @ maps * _SLOPE_SCALE
            mean = u[:, part.start]
            room = np.minimum((1 - mean) / deviation.max(axis=1), mean / -deviation.min(axis=1))
            u[:, part.start + 1 : part.stop] = direction * (room * rng.uniform(size=n))[:, None]
        return u
