"""Sparse linear regression works on blocks of samples: all that selection needs is sums of products."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfm.errors import InputError
from mfm.ude.equations.library import Library


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks hold normal equations of ``target = terms @ coefficients + error``, summed over each of B blocks of samples.

    Attributes
    ----------
    library : Library
    gram : array, (B, P, P)
    moment : array, (B, P)
        Products of terms and target.
    square : array, (B,)
        Sum of squares of the target.
    count : array, (B,)
        Samples.

    Examples
    --------
    >>> import torch
    >>> from mfm.ude.formulas.regression import Blocks
    >>> from mfm.ude import Library
    >>> x = torch.linspace(-1, 1, 200, dtype=torch.float64)[:, None]
    >>> blocks = Blocks.of(Library.polynomial(("x",), 2), x, 3 * x[:, 0], n_blocks=20)
    >>> blocks.solve(range(3)).coefficients[1].round(6).item()
    3.0
    """

    library: Library
    gram: np.ndarray
    moment: np.ndarray
    square: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, library: Library, values: Tensor, target: Tensor, n_blocks: int, weights: Tensor | None = None) -> Blocks:
        """Sum over contiguous blocks of S samples in order: values of the variables (S, V), the target (S,)."""
        sums = []
        pieces = torch.tensor_split(torch.arange(len(target)), n_blocks)
        for piece in pieces:
            terms, y = library.evaluate(values[piece]), target[piece]
            w = torch.ones_like(y) if weights is None else weights[piece]
            weighted = terms * w[:, None]
            sums.append((terms.T @ weighted, weighted.T @ y, (w * y * y).sum(), (w > 0).sum()))
        gram, moment, square, count = (torch.stack(part).double().numpy() for part in zip(*sums, strict=True))
        return cls(library, gram, moment, square, count)

    def __post_init__(self):
        if len(self.gram) <= len(self.library):
            raise InputError(
                "The library has more terms than the data can carry.",
                expected=f"fewer terms than the {len(self.gram)} blocks of samples that are told apart",
                found=f"{len(self.library)} terms",
                fix="a library of lower degree or fewer variables, or more data",
            )

    def __len__(self) -> int:
        return len(self.gram)

    def condition(self, support: Iterable[int] | None = None) -> float:
        """Compute the condition number of the terms, each scaled to unit length (Belsley, Kuh & Welsch 1980)."""
        keep = list(range(len(self.library))) if support is None else list(support)
        if not keep:
            return 1.0
        gram = self.gram.sum(axis=0)[np.ix_(keep, keep)]
        length = np.sqrt(gram.diagonal())
        if not (length > 0).all():
            return float("inf")
        values = np.linalg.eigvalsh(gram / np.outer(length, length))
        return float(np.sqrt(values[-1] / max(values[0], 1e-300)))

    def solve(self, support: Iterable[int], weights: np.ndarray | None = None) -> Solution:
        """Solve least squares on the terms `support`, the blocks counted `weights` times."""
        keep = list(support)
        w = np.ones(len(self)) if weights is None else weights
        gram = np.tensordot(w, self.gram, axes=1)[np.ix_(keep, keep)]
        moment = (w @ self.moment)[keep]
        n, square = float(w @ self.count), float(w @ self.square)
        length = np.sqrt(np.maximum(gram.diagonal(), 1e-300))
        scaled = gram / np.outer(length, length)
        inverse = np.linalg.pinv(scaled, hermitian=True) / np.outer(length, length)
        found = inverse @ moment
        rss = max(square - float(found @ moment), 1e-14 * square)
        variance = rss / max(n - len(keep), 1.0)
        coefficients, errors = np.zeros(len(self.library)), np.full(len(self.library), np.nan)
        coefficients[keep] = found
        errors[keep] = np.sqrt(np.maximum(inverse.diagonal(), 0.0) * variance)
        # How much each term contributes, relative to what all of them explain.
        explained = float(found @ gram @ found)
        share = np.zeros(len(self.library))
        share[keep] = np.abs(found) * length / np.sqrt(max(explained, 1e-300))
        return Solution(coefficients, errors, share, rss, n)


@dataclass(frozen=True, eq=False)
class Solution:
    """A solution of the normal equations holds coefficients (P,), 0 off the support, and how well they explain the target.

    Attributes
    ----------
    coefficients, errors : array, (P,)
        With standard errors of independent errors; 0 and NaN off the support.
    share : array, (P,)
        Size of each term relative to what all of them explain.
    rss : float
        Residual sum of squares.
    n : float
        Samples.
    """

    coefficients: np.ndarray
    errors: np.ndarray
    share: np.ndarray
    rss: float
    n: float

    def bic(self, n_effective: float | None = None) -> float:
        """Compute the Bayesian information criterion for `n_effective` independent samples."""
        n = self.n if n_effective is None else n_effective
        return n * float(np.log(self.rss / self.n)) + int((self.coefficients != 0).sum()) * float(np.log(n))


@dataclass(frozen=True)
class SparseRule:
    """A sparse rule says what makes a term part of a formula; it is set before looking, the same for all data.

    Parameters
    ----------
    share : float
        Least size of a term, as a share of what all terms explain (root mean squares).
    t : float
        Least coefficient, in standard errors.
    inclusion : float
        Least share of bootstraps that select a term (stability selection: Meinshausen & Bühlmann 2010).
    bootstraps, blocks : int
        Resamples, of contiguous blocks of samples.
    seed : int

    Examples
    --------
    >>> from mfm.ude import SparseRule
    >>> SparseRule().inclusion
    0.6
    """

    share: float = 0.15
    t: float = 3.0
    inclusion: float = 0.6
    bootstraps: int = 100
    blocks: int = 30
    seed: int = 0

    def __post_init__(self):
        if not 0 <= self.share < 1 or self.t < 0 or not 0.5 < self.inclusion <= 1 or self.bootstraps < 1 or self.blocks < 2:
            raise InputError("The rule of the selection cannot be used.", found=repr(self), expected="inclusion above 0.5")


def stlsq(blocks: Blocks, rule: SparseRule, weights: np.ndarray | None = None) -> np.ndarray:
    """Select terms by sequentially thresholded least squares (Brunton et al. 2016, PNAS 113:3932): (P,) bool, those that stay.

    Thresholds are relative, so that neither the units of the variables nor the size of the target matter; the weakest of
    the terms below a threshold is dropped first, then the rest is solved again.
    """
    support = [k for k in range(len(blocks.library)) if blocks.gram[:, k, k].sum() > 0]
    while support:
        solution = blocks.solve(support, weights)
        t = np.abs(solution.coefficients[support]) / np.maximum(solution.errors[support], 1e-300)
        strength = np.minimum(solution.share[support] / max(rule.share, 1e-12), t / max(rule.t, 1e-12))
        weakest = int(np.argmin(strength))
        if strength[weakest] >= 1:
            break
        del support[weakest]
    kept = np.zeros(len(blocks.library), dtype=bool)
    kept[support] = True
    return kept


def inclusion_frequencies(blocks: Blocks, rule: SparseRule) -> np.ndarray:
    """Compute the share of bootstraps over blocks in which STLSQ keeps each term, (P,)."""
    generator = np.random.default_rng(rule.seed)
    B = len(blocks)
    counts = np.zeros(len(blocks.library))
    for _ in range(rule.bootstraps):
        counts += stlsq(blocks, rule, generator.multinomial(B, np.full(B, 1 / B)).astype(float))
    return counts / rule.bootstraps


def genetic_support(blocks: Blocks, seed: int = 0, population: int = 60, generations: int = 60) -> np.ndarray:
    """Search genetically for the support of least BIC: (P,) bool.

    Supports are bit strings, crossed uniformly and mutated one bit at a time on average; the best two survive. Up to twelve
    terms all supports are tried instead. Blocks, not samples, count as independent, because the errors of a learned term are
    smooth in time.
    """
    P = len(blocks.library)
    known: dict[bytes, float] = {}

    def bic(support: np.ndarray) -> float:
        key = support.tobytes()
        if key not in known:
            known[key] = blocks.solve(np.flatnonzero(support)).bic(len(blocks))
        return known[key]

    if P <= 12:
        every = [np.array([bool(code >> k & 1) for k in range(P)]) for code in range(2**P)]
        return min(every, key=bic)
    generator = np.random.default_rng(seed)
    pool = [generator.random(P) < 0.3 for _ in range(population)]
    for _ in range(generations):
        pool.sort(key=bic)
        parents = pool[: population // 2]
        children = pool[:2]
        while len(children) < population:
            a, b = (parents[k] for k in generator.integers(len(parents), size=2))
            child = np.where(generator.random(P) < 0.5, a, b)
            children.append(child ^ (generator.random(P) < 1 / P))
        pool = children
    return min(pool, key=bic)


def join_blocks(parts: list[Blocks]) -> Blocks:
    """Join the blocks of several series, as if one followed the other."""
    first = parts[0]
    return Blocks(
        first.library,
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("gram", "moment", "square", "count")),
    )
