"""A library lists candidate terms of a formula: monomials of named variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from mfm.errors import InputError

#: Above this condition number of the scaled terms, coefficients are not told apart by the data.
CONDITION_LIMIT = 30.0


@dataclass(frozen=True)
class Library:
    """A library is a list of monomials of named variables; ``terms[k][v]`` is the power of variable v in term k.

    Parameters
    ----------
    variables : tuple of str
    terms : tuple of tuple of int

    Raises
    ------
    InputError
        If a term does not name a power for each variable, or occurs twice.

    Examples
    --------
    >>> from mfm.ude import Library
    >>> Library.polynomial(("x", "z"), 2).names
    ('1', 'x', 'z', 'x^2', 'x z', 'z^2')
    >>> Library.of(("x", "h"), ["h x", "x^2"]).terms
    ((1, 1), (2, 0))
    """

    variables: tuple[str, ...]
    terms: tuple[tuple[int, ...], ...]

    def __post_init__(self):
        if any(len(term) != len(self.variables) for term in self.terms) or len(set(self.terms)) != len(self.terms):
            raise InputError(
                "The terms of the library do not fit its variables.",
                expected=f"{len(self.variables)} powers for each term, no term twice",
                found=str(self.terms),
            )

    @classmethod
    def polynomial(cls, variables: Sequence[str], degree: int, constant: bool = True) -> Library:
        """Make a library of all monomials up to `degree`."""
        n = len(variables)
        terms = [
            tuple(chosen.count(v) for v in range(n))
            for d in range(0 if constant else 1, degree + 1)
            for chosen in combinations_with_replacement(range(n), d)
        ]
        return cls(tuple(variables), tuple(terms))

    @classmethod
    def of(cls, variables: Sequence[str], names: Sequence[str]) -> Library:
        """Make a library of the terms with these names, such as ``x^2`` or ``h x``; ``1`` is the constant."""
        terms = []
        for name in names:
            powers = dict.fromkeys(variables, 0)
            for factor in name.split():
                variable, _, power = factor.partition("^")
                if variable == "1" and not power:
                    continue
                if variable not in powers or (power and not power.isdigit()):
                    raise InputError(
                        f"Unknown term {name!r}.", expected=f"products of {', '.join(variables)} with powers, such as x^2"
                    )
                powers[variable] += int(power or 1)
            terms.append(tuple(powers.values()))
        return cls(tuple(variables), tuple(terms))

    @property
    def names(self) -> tuple[str, ...]:
        """Name the terms, such as ``x^2`` or ``h x``."""
        return tuple(self._name(term) for term in self.terms)

    def _name(self, term: tuple[int, ...]) -> str:
        factors = [v if p == 1 else f"{v}^{p}" for v, p in zip(self.variables, term, strict=True) if p]
        return " ".join(factors) or "1"

    def __len__(self) -> int:
        return len(self.terms)

    def evaluate(self, values: Tensor) -> Tensor:
        """Compute the terms (..., P) at `values` of the variables (..., V)."""
        powers = [values[..., v] for v in range(len(self.variables))]
        columns = []
        for term in self.terms:
            column = None
            for variable, power in zip(powers, term, strict=True):
                for _ in range(power):
                    column = variable if column is None else column * variable
            columns.append(values.new_ones(values.shape[:-1]) if column is None else column)
        return torch.stack(columns, dim=-1) if columns else values.new_zeros((*values.shape[:-1], 0))

    def select(self, keep: Sequence[int]) -> Library:
        """Make a library of the terms at the positions `keep`."""
        return Library(self.variables, tuple(self.terms[k] for k in keep))

    def formula(self, coefficients: Sequence[float], errors: Sequence[float] | None = None) -> str:
        """Write the sum of the terms as text, with standard errors where they are given."""
        parts = []
        for k, (name, value) in enumerate(zip(self.names, coefficients, strict=True)):
            error = "" if errors is None else f"(+-{errors[k]:.2g})"
            parts.append(f"{value:+.4g}{error}" + ("" if name == "1" else f" {name}"))
        return " ".join(parts) or "0"
