"""Parameter sets of the corpus lie where searches go, and on both sides of the boundary that they must not cross."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

import mfm
from mfm import Bounds, FICParameters, Protocol
from mfm.statistics.fc import square_matrix
from surrogate.features import GLOBAL_FEATURES

if TYPE_CHECKING:
    from surrogate.bundle import Surrogate

# Inner edges of the stability margin (largest real part of the Jacobian's eigenvalues, per second) and of the predicted mean
# FC, and the share of a shard's sets between each two: most where fits end, some beyond the boundary.
_ABSCISSAE = (-5.0, -2.0, -0.8, -0.4, -0.2, -0.1, 0.0, 0.3)
_ABSCISSA_SHARES = (0.10, 0.15, 0.20, 0.15, 0.12, 0.08, 0.08, 0.07, 0.05)
_MEAN_FC = (0.03, 0.1, 0.2, 0.35, 0.55)
_MEAN_FC_SHARES = (0.08, 0.17, 0.22, 0.22, 0.18, 0.13)

# Candidates drawn for each that is kept.
_POOL = 6

_POPULATION, _GENERATIONS = 24, 25
_UNSTABLE_LOSS = 5.0

# Generations at the end of a surrogate's search that are kept, of so many: there its errors are what it has found.
_LAST, _GENERATIONS_BY_SURROGATE = 45, 90
_OUTSIDE_LOSS = 2.0

# Of 256 random sets, those whose FCD a search by surrogate may be given where it has no other:
# people's FCD asks for slow dynamics.
_SLOWEST = 8
_SMALLEST_ABSCISSA = 1e-3


@dataclass(frozen=True, eq=False)
class MapSpace:
    """A map space holds parameter sets in units of their bounds: a mean, slopes along maps, and a deviation of every region.

    What would leave the bounds is reflected at them.

    Attributes
    ----------
    maps : array, (M, N)
        Standardised.
    bounds : Bounds
    """

    maps: np.ndarray
    bounds: Bounds

    @property
    def n_dimensions(self) -> int:
        """Count the numbers D of a set, deviations left out."""
        return 3 * (1 + len(self.maps)) + 1

    def parameters(self, u: np.ndarray, deviation: np.ndarray | float = 0.0) -> FICParameters:
        """Make sets (B, D): w_EE, its slopes, w_EI, its slopes, sigma, its slopes, G; `deviation` (B, 3, N)."""
        m = 1 + len(self.maps)
        basis = np.vstack([np.ones((1, self.maps.shape[1])), self.maps])
        shares = u[:, : 3 * m].reshape(len(u), 3, m) @ basis + deviation
        ranges = [getattr(self.bounds, name) for name in ("w_EE", "w_EI", "sigma")]
        regional = [low + (high - low) * _reflected(shares[:, k]) for k, (low, high) in enumerate(ranges)]
        low, high = self.bounds.G
        return FICParameters(*regional, G=low + (high - low) * _reflected(u[:, -1]))

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw `n` sets (n, D) at random.

        Means are uniform, G lies towards its upper bound (weak coupling has little FC), slopes go up to a quarter of the range
        per standard deviation.
        """
        u = rng.uniform(size=(n, self.n_dimensions))
        u[:, -1] **= 0.6
        m = 1 + len(self.maps)
        for first in range(0, 3 * m, m):
            scale = rng.uniform(0, 0.25, size=(n, 1))
            u[:, first + 1 : first + m] = scale * rng.normal(size=(n, m - 1))
        return u

    def deviation(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw how regions deviate from their maps: not at all in half of the sets, else up to a sixth of the range."""
        scale = rng.uniform(0, 0.17, size=(n, 3, 1)) * (rng.uniform(size=(n, 1, 1)) < 0.5)
        return scale * rng.normal(size=(n, 3, self.maps.shape[1]))


def _reflected(share: np.ndarray) -> np.ndarray:
    return 1 - np.abs(1 - np.mod(share, 2.0))


def draw_sets(
    n: int,
    space: MapSpace,
    sc: mfm.Connectome,
    protocol: Protocol,
    source: str,
    fc: np.ndarray | None,
    rng: np.random.Generator,
    surrogate: Surrogate | None = None,
    fcd_cdf: np.ndarray | None = None,
) -> FICParameters:
    """Draw `n` parameter sets from a source (see `CorpusConfig`), those of the first two spread over the stability margin.

    Parameters
    ----------
    n : int
    space : MapSpace
    sc : Connectome
    protocol : Protocol
    source : {"prior", "search", "surrogate"}
    fc : array, (N, N), optional
        What a search is fitted to; default is the FC of hidden sets on the same connectome.
    rng : numpy.random.Generator
    surrogate : Surrogate, optional
        That the source ``surrogate`` searches by.
    fcd_cdf : array, (K,), optional
        What it is fitted to beside FC; default is the FCD of one of the slowest of random sets.
    """
    if source == "surrogate" and surrogate is not None:
        goal = _surrogate_target(space, sc, protocol, fc, fcd_cdf, surrogate, rng)
        visited = _search(
            space, lambda u: _surrogate_loss(space, u, sc, protocol, goal, surrogate), rng, _GENERATIONS_BY_SURROGATE
        )
        last = visited[-_LAST * _POPULATION :]
        return space.parameters(last[rng.choice(len(last), size=n, replace=n > len(last))])
    if source == "prior":
        u = space.draw(_POOL * n, rng)
    else:
        target = _search_target(space, sc, protocol, fc, rng)
        visited = _search(space, lambda u: _loss(space, u, sc, protocol, target), rng)
        around = visited[-8 * _POPULATION :]
        step = rng.uniform(0.02, 0.2, (n, 1)) * rng.normal(size=(n, space.n_dimensions))
        cloud = around[rng.integers(len(around), size=n)] + step
        # Half of the draws over the bounds too: a search does not visit every stability margin.
        u = np.concatenate([visited, cloud, space.draw(n, rng)])
    p = space.parameters(u, space.deviation(len(u), rng))
    with torch.no_grad():
        lin = mfm.linear_response(p, sc, protocol)
    chosen = choose_spread(lin.abscissa.numpy(), mfm.upper_triangle(lin.fc).mean(dim=1).numpy(), n, rng)
    return p[torch.from_numpy(chosen)]


def choose_spread(abscissa: np.ndarray, mean_fc: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Choose indices of `n` sets that are spread over stability margin and mean FC, as far as there are any.

    Examples
    --------
    >>> import numpy as np
    >>> from surrogate.corpus.sampling import choose_spread
    >>> abscissa, mean_fc = np.array([-9.0] * 90 + [0.1] * 10), np.array([0.0] * 90 + [np.nan] * 10)
    >>> chosen = choose_spread(abscissa, mean_fc, 20, np.random.default_rng(0))
    >>> len(set(chosen.tolist())), int((chosen >= 90).sum()) >= 9
    (20, True)
    """
    row = np.digitize(abscissa, _ABSCISSAE)
    stable = abscissa < 0
    column = np.digitize(np.where(stable, mean_fc, 0.0), _MEAN_FC)
    share = np.array(_ABSCISSA_SHARES)[row] * np.where(stable, np.array(_MEAN_FC_SHARES)[column], 1.0)
    # A set's turn in its cell over the cell's share: taking the smallest fills all cells in proportion.
    turn = np.empty(len(abscissa))
    for cell in np.unique(row * 10 + column):
        members = np.flatnonzero(row * 10 + column == cell)
        turn[rng.permutation(members)] = np.arange(len(members)) + rng.uniform()
    return rng.permutation(np.argsort(turn / share, kind="stable")[:n])


def _search_target(space: MapSpace, sc, protocol, fc: np.ndarray | None, rng) -> tuple[torch.Tensor, float]:
    """FC that a search is fitted to, and the stability margin that its FCD would ask for."""
    margin = float(np.exp(rng.uniform(np.log(0.1), np.log(1.5))))
    if fc is not None:
        return mfm.upper_triangle(torch.as_tensor(fc)), margin
    u = space.draw(128, rng)
    lin = mfm.linear_response(space.parameters(u, space.deviation(len(u), rng)), sc, protocol)
    predicted = mfm.upper_triangle(lin.fc).nan_to_num(nan=0.0)
    # Two hidden sets of the strongest FC, mixed: what one set cannot reach, as with people. Their mean is one of people's.
    first, second = predicted[predicted.mean(dim=1).argsort(descending=True)[torch.from_numpy(rng.permutation(16)[:2])]]
    mixed = 0.6 * first + 0.4 * second + torch.from_numpy(rng.normal(size=len(first)) * rng.uniform(0, 0.15))
    return mixed - mixed.mean() + float(np.exp(rng.uniform(np.log(0.08), np.log(0.7)))), margin


def _surrogate_target(space: MapSpace, sc, protocol, fc, fcd_cdf, surrogate: Surrogate, rng) -> mfm.Target:
    """FC as for a search by theory, and an FCD."""
    edges, _ = _search_target(space, sc, protocol, fc, rng)
    matrix = square_matrix(edges.double().clamp(-0.99, 0.99))
    if fcd_cdf is not None:
        return mfm.Target(matrix, torch.as_tensor(fcd_cdf))
    u = space.draw(256, rng)
    found = surrogate.predict_unchecked(space.parameters(u, space.deviation(len(u), rng)), sc, protocol)
    slowest = found.place[:, GLOBAL_FEATURES.index("log_slow_time")].nan_to_num(nan=-torch.inf).argsort(descending=True)
    return mfm.Target(matrix, found.fcd_cdf[slowest[int(rng.integers(_SLOWEST))]])


def _surrogate_loss(space: MapSpace, u: np.ndarray, sc, protocol, target: mfm.Target, surrogate: Surrogate) -> np.ndarray:
    """The cost that the surrogate predicts; sets that will not stay within range lie behind all others."""
    p = space.parameters(u)
    found = surrogate.predict_unchecked(p, sc, protocol, n_bins=len(target.fcd_cdf))
    total = mfm.attenuated(mfm.cost(found.fc, found.fcd_cdf, target), found.fc, found.fc_sampling_variance, 3).total
    leaving = found.p_within_range < 0.5
    total = torch.where(leaving, _OUTSIDE_LOSS + 1 - found.p_within_range, total)
    if not found.stable.all():  # how far from stable: a search must find its way back
        unstable = torch.nonzero(~found.stable)[:, 0]
        total[unstable] += 0.1 * mfm.linear_response(p[unstable], sc, protocol).abscissa.clamp(min=0)
    return total.numpy() + np.maximum(np.abs(u[:, -1] - 0.5) - 0.5, 0)


def _search(
    space: MapSpace, loss: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator, generations: int = _GENERATIONS
) -> np.ndarray:
    """All that CMA-ES visits, in order."""
    import cma

    initial = space.draw(64, rng)
    start = initial[loss(initial).argmin()]
    options = {"popsize": _POPULATION, "seed": np.nan, "randn": lambda *size: rng.standard_normal(size), "verbose": -9}
    options |= {"verb_log": 0, "verb_disp": 0}
    strategy = cma.CMAEvolutionStrategy(start, 0.2, options)
    visited = []
    for _ in range(generations):
        u = np.array(strategy.ask())
        visited.append(u)
        strategy.tell(list(u), loss(u).tolist())
        if strategy.stop():
            break
    return np.concatenate(visited)


def _loss(space: MapSpace, u: np.ndarray, sc, protocol, target: tuple[torch.Tensor, float]) -> np.ndarray:
    """How far the theory's FC and stability margin are from the target's."""
    fc, margin = target
    with torch.no_grad():
        lin = mfm.linear_response(space.parameters(u), sc, protocol)
    predicted = mfm.upper_triangle(lin.fc).double()
    x = predicted - predicted.mean(dim=1, keepdim=True)
    y = fc - fc.mean()
    r = (x @ y) / (x.norm(dim=1) * y.norm())
    loss = 1 - r + (predicted.mean(dim=1) - fc.mean()).abs()
    # The FCD term of a real search pulls towards slow dynamics; the margin stands for it.
    distance = (-lin.abscissa).clamp(min=_SMALLEST_ABSCISSA).div(margin).log().abs()
    outside = np.maximum(np.abs(u[:, -1] - 0.5) - 0.5, 0)
    total = (loss + 0.1 * distance).masked_fill(~lin.stable, _UNSTABLE_LOSS) + 0.1 * lin.abscissa.clamp(min=0)
    return total.nan_to_num(nan=2 * _UNSTABLE_LOSS).numpy() + outside
