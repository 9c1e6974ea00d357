"""The cost of a simulated scan against what it is fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from mfm.checks import as_float_tensor
from mfm.errors import InputError
from mfm.statistics.fc import upper_triangle
from mfm.statistics.target import Target


@dataclass(frozen=True, eq=False)
class CandidateStatistics:
    """What the terms of the cost are computed from: FC (B, N, N) and FCD CDFs (B, K) of B candidates, float64."""

    fc: Tensor
    fcd_cdf: Tensor

    @cached_property
    def pairs(self) -> Tensor:
        """The upper triangles of FC, (B, P)."""
        return upper_triangle(self.fc)

    @cached_property
    def mean_fc(self) -> Tensor:
        """Mean FC over pairs of regions, (B,)."""
        # Row by row: sums over a batch round differently in batches of different size.
        return torch.stack([row.mean() for row in self.pairs])


@dataclass(frozen=True)
class Term:
    """A term of the cost: what it is called, what it means, and how it is computed.

    Attributes
    ----------
    name : str
        As an attribute of `Cost` and in the columns of tables.
    symbol : str
        Heading where people read it.
    description : str
    of : callable
        From (`CandidateStatistics`, `Target`) to a tensor (B,), NaN where the statistics are; never negative, lower is better.
    """

    name: str
    symbol: str
    description: str
    of: Callable[[CandidateStatistics, Target], Tensor]


#: The terms of the cost by name, in the order of their columns. Everything that holds, writes or shows a cost follows
#: this: a new term is one more entry (`register_term`).
TERMS: dict[str, Term] = {}


def register_term(term: Term) -> Term:
    """Make `term` part of every cost from now on; an InputError if its name is taken or could not be an attribute.

    Examples
    --------
    >>> import mfm
    >>> from mfm.statistics import Term, register_term
    >>> spread = Term("spread", "std diff", "|std FC_sim - std FC_emp|", lambda found, target: found.pairs.std(dim=1))
    >>> register_term(spread).name, list(mfm.Cost.TERMS)
    ('spread', ['corr', 'mean_diff', 'ks', 'spread'])
    >>> del mfm.Cost.TERMS["spread"]
    """
    if not term.name.isidentifier() or term.name in TERMS or term.name == "total" or hasattr(Cost, term.name):
        raise InputError("The name of a cost term cannot be used.", expected="an identifier that is not taken", found=term.name)
    TERMS[term.name] = term
    return term


class Cost:
    """Terms of the cost, each (B,); NaN where a candidate's statistics are.

    Each term of `Cost.TERMS` is an attribute: at present ``corr``, ``mean_diff`` and ``ks``.

    Parameters
    ----------
    *values : tensors, (B,)
        In the order of `Cost.TERMS`; or each by its name.

    Raises
    ------
    InputError
        If a term is missing, unknown or given twice.

    Examples
    --------
    >>> import mfm, torch
    >>> cost = mfm.Cost(corr=torch.tensor([0.5, 0.7]), mean_diff=torch.tensor([0.25, 0.1]), ks=torch.tensor([0.125, 0.2]))
    >>> cost.total.tolist()[0], cost[[0]].ks.tolist()
    (0.875, [0.125])
    >>> [name for name, _ in cost.items()], cost.map(len).corr
    (['corr', 'mean_diff', 'ks'], 2)
    """

    TERMS: ClassVar[dict[str, Term]] = TERMS
    _terms: dict[str, Tensor]

    def __init__(self, *values: Tensor, **named: Tensor):
        given = dict(zip(TERMS, values, strict=False))
        if len(values) > len(TERMS) or set(given) & set(named) or {*given, *named} != set(TERMS):
            raise InputError(
                "A cost has each of its terms once.",
                expected=", ".join(TERMS),
                found=", ".join([*(f"value {k + 1}" for k in range(len(values))), *named]) or "nothing",
            )
        given |= named
        object.__setattr__(self, "_terms", {name: given[name] for name in TERMS})

    def __getattr__(self, name: str) -> Tensor:
        # Not for names that begin with an underscore: copying asks for those before there are any terms.
        if not name.startswith("_") and name in self._terms:
            return self._terms[name]
        raise AttributeError(f"a cost has no term {name!r}; it has {', '.join(TERMS)}")

    def __setattr__(self, name: str, value) -> None:
        raise AttributeError("a cost is not changed; see Cost.with_terms")

    def __repr__(self) -> str:
        return f"Cost({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    @property
    def total(self) -> Tensor:
        """The sum of the terms (Zhang et al. 2024)."""
        first, *others = self._terms.values()
        for term in others:
            first = first + term
        return first

    def items(self) -> Iterable[tuple[str, Tensor]]:
        """Names and values of the terms, in order."""
        return self._terms.items()

    def map(self, function: Callable[[Tensor], Tensor]) -> Cost:
        """The cost whose terms are `function` of these."""
        return Cost(*map(function, self._terms.values()))

    def __getitem__(self, index) -> Cost:
        """The cost of the candidates selected by `index`, which may be whatever indexes a tensor."""
        return self.map(lambda term: term[index])

    def with_terms(self, **terms: Tensor) -> Cost:
        """The cost with some terms replaced."""
        return Cost(**{**self._terms, **terms})

    @classmethod
    def concatenate(cls, parts: Sequence[Cost]) -> Cost:
        """The cost of the candidates of all parts, in order."""
        return cls(*(torch.cat([part._terms[name] for part in parts]) for name in TERMS))

    def stacked(self) -> Tensor:
        """All terms in one tensor, (B, number of terms)."""
        return torch.stack(list(self._terms.values()), dim=-1)

    @classmethod
    def from_stacked(cls, terms: Tensor) -> Cost:
        """The cost of which `stacked` would be `terms`, (B, number of terms)."""
        return cls(*terms.unbind(dim=-1))

    def at(self, k: int) -> CostValues:
        """The cost of candidate `k`, as numbers."""
        return CostValues({name: float(value[k]) for name, value in self.items()})


@dataclass(frozen=True)
class CostValues:
    """The cost of one candidate, as numbers; each term is an attribute.

    Examples
    --------
    >>> import mfm, torch
    >>> found = mfm.Cost(torch.tensor([0.5]), torch.tensor([0.25]), torch.tensor([0.125])).at(0)
    >>> found.total, found.corr
    (0.875, 0.5)
    """

    terms: Mapping[str, float]

    def __post_init__(self):
        if list(self.terms) != list(TERMS):
            raise InputError("A cost has each of its terms once.", expected=", ".join(TERMS), found=", ".join(self.terms))

    @classmethod
    def unknown(cls) -> CostValues:
        """The cost of a candidate that was not scored: NaN."""
        return cls(dict.fromkeys(TERMS, float("nan")))

    @property
    def total(self) -> float:
        first, *others = self.terms.values()
        # One after the other, as tensors are added: `sum` would round otherwise from Python 3.12 on.
        for term in others:
            first = first + term
        return first

    def __getattr__(self, name: str) -> float:
        if not name.startswith("_") and name != "terms" and name in self.terms:
            return self.terms[name]
        raise AttributeError(f"a cost has no term {name!r}; it has {', '.join(TERMS)}")


def cost(fc, fcd_cdf, target: Target) -> Cost:
    """Cost of simulated statistics against a target (Zhang et al. 2024).

    Parameters
    ----------
    fc : array or tensor, (B, N, N) or (N, N)
    fcd_cdf : array or tensor, (B, K) or (K,)
    target : Target

    Returns
    -------
    Cost
        Terms of shape (B,): all of `Cost.TERMS`.

    Raises
    ------
    InputError
        If FC has other regions than the target, the FCD CDFs other bins, or FC and FCD different numbers of candidates.

    Examples
    --------
    >>> import mfm, torch
    >>> run = torch.randn(300, 10)
    >>> fc, cdf = mfm.functional_connectivity(run), mfm.fcd_cdf(run, tr_s=0.72)
    >>> abs(mfm.cost(fc, cdf, mfm.Target(fc, cdf)).total.item()) < 1e-9
    True
    """
    fc = as_float_tensor(fc, "FC").double()
    fc = fc[None] if fc.ndim == 2 else fc
    cdf = as_float_tensor(fcd_cdf, "FCD CDF").double()
    cdf = cdf[None] if cdf.ndim == 1 else cdf
    N = target.n_regions
    if fc.ndim != 3 or fc.shape[1:] != (N, N):
        raise InputError(
            "Simulated and empirical FC do not fit.", expected=f"(B, {N}, {N}), as the target", found=str(tuple(fc.shape))
        )
    if cdf.ndim != 2 or len(cdf) != len(fc):
        raise InputError(
            "FC and FCD are of different candidates.", expected=f"({len(fc)}, K) FCD CDFs", found=str(tuple(cdf.shape))
        )
    found = CandidateStatistics(fc, cdf)
    return Cost(**{name: term.of(found, target) for name, term in TERMS.items()})


def _fc_correlation(found: CandidateStatistics, target: Target) -> Tensor:
    empirical = upper_triangle(target.fc.to(found.fc.device))
    x = found.pairs - found.mean_fc[:, None]
    y = empirical - empirical.mean()
    # A constant FC correlates with nothing; round-off would let it.
    constant = (x.abs().amax(dim=-1) <= 1e-14) | (y.abs().amax() <= 1e-14)
    return 1 - torch.stack([(row @ y) / (row.norm() * y.norm()) for row in x]).masked_fill(constant, float("nan"))


def _mean_difference(found: CandidateStatistics, target: Target) -> Tensor:
    return (found.mean_fc - upper_triangle(target.fc.to(found.fc.device)).mean()).abs()


def _fcd_distance(found: CandidateStatistics, target: Target) -> Tensor:
    return kolmogorov_smirnov(found.fcd_cdf, target.fcd_cdf)


register_term(
    Term("corr", "1 - r", "1 - Pearson correlation of the upper triangles of simulated and empirical FC", _fc_correlation)
)
register_term(
    Term(
        "mean_diff",
        "mean diff",
        "|mean FC_sim - mean FC_emp| over the upper triangles (called L1 in the papers' tables)",
        _mean_difference,
    )
)
register_term(Term("ks", "KS", "Kolmogorov-Smirnov distance of the FCD distributions", _fcd_distance))


def attenuated(cost: Cost, fc: Tensor, variance: Tensor, n_repeats: int) -> Cost:
    """The cost that the mean FC of `n_repeats` scans will have: sampling noise lowers its correlation with any target.

    Parameters
    ----------
    cost : Cost
        Of the expected FC, (B,).
    fc : tensor, (B, N, N)
        The expected FC.
    variance : tensor, (B,)
        `LinearResponse.fc_sampling_variance`: of a correlation, from one scan to the next.
    n_repeats : int

    Returns
    -------
    Cost
        Its ``corr`` is ``1 - r sqrt(v / (v + variance / n_repeats))``, v the variance of FC over pairs of regions.

    Examples
    --------
    >>> import mfm, torch
    >>> fc = torch.tensor([[[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]]])
    >>> cost = mfm.Cost(torch.tensor([0.5]), torch.tensor([0.0]), torch.tensor([0.1]))
    >>> round(float(mfm.attenuated(cost, fc, torch.tensor([0.04]), 1).corr), 3)
    0.646
    """
    spread = upper_triangle(fc).var(dim=1)
    share = (spread / (spread + variance.to(spread) / n_repeats)).sqrt()
    return cost.with_terms(corr=1 - (1 - cost.corr) * share)


def kolmogorov_smirnov(cdf, other) -> Tensor:
    """Kolmogorov-Smirnov distance: the largest distance of CDFs on the same bins.

    Parameters
    ----------
    cdf : array or tensor, (..., K)
    other : array or tensor, (K,)

    Returns
    -------
    tensor, (...)
        From 0 to 1; NaN where `cdf` holds NaN.

    Raises
    ------
    InputError
        If the numbers of bins differ.

    Examples
    --------
    >>> import mfm
    >>> mfm.kolmogorov_smirnov([[0.0, 0.5, 1.0], [0.25, 0.75, 1.0]], [0.0, 0.25, 1.0]).tolist()
    [0.25, 0.5]
    """
    cdf, other = as_float_tensor(cdf, "FCD CDF"), as_float_tensor(other, "FCD CDF")
    if cdf.shape[-1] != other.shape[-1]:
        raise InputError(
            "FCD distributions on different bins cannot be compared.",
            expected=f"{other.shape[-1]} bins, as in the target",
            found=f"{cdf.shape[-1]}",
            fix=f"compute the simulated FCD with n_bins={other.shape[-1]}",
        )
    return (cdf - other.to(cdf.device)).abs().amax(dim=-1)
