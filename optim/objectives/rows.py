"""Rows of tables that hold costs: a cost is as many columns as it has terms, and one for their sum."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from mfm import Cost, CostValues


@dataclass(frozen=True)
class _Columns:
    prefix: str
    total_first: bool

    def names(self) -> list[str]:
        total = ["total"]
        names = [*total, *Cost.TERMS] if self.total_first else [*Cost.TERMS, *total]
        return [self.prefix + name for name in names]

    def values(self, cost: CostValues) -> list[float]:
        terms = list(cost.terms.values())
        return [cost.total, *terms] if self.total_first else [*terms, cost.total]


def cost_columns(prefix: str = "", total_first: bool = False) -> dict[str, Any]:
    """Metadata of a field of type `CostValues`, which becomes the columns ``<prefix><term>`` and ``<prefix>total``."""
    return {"cost": _Columns(prefix, total_first)}


def column_names(kind: type, leave_out: tuple[str, ...] = ()) -> list[str]:
    """Names of the columns that instances of a dataclass are written as; without those of some fields.

    Examples
    --------
    >>> from dataclasses import dataclass, field
    >>> from mfm import CostValues
    >>> from optim.objectives.rows import cells, column_names, cost_columns
    >>> @dataclass(frozen=True)
    ... class Row:
    ...     name: str
    ...     cost: CostValues = field(metadata=cost_columns("best_"))
    >>> column_names(Row)
    ['name', 'best_corr', 'best_mean_diff', 'best_ks', 'best_total']
    >>> cells(Row("a", CostValues({"corr": 0.5, "mean_diff": 0.25, "ks": 0.125})))
    ('a', 0.5, 0.25, 0.125, 0.875)
    """
    found: list[str] = []
    for one in fields(kind):
        if one.name not in leave_out:
            found += one.metadata["cost"].names() if "cost" in one.metadata else [one.name]
    return found


def cells(row: Any, leave_out: tuple[str, ...] = ()) -> tuple:
    """The values of an instance of a dataclass, under its `column_names`."""
    found: list[Any] = []
    for one in fields(row):
        if one.name not in leave_out:
            value = getattr(row, one.name)
            found += one.metadata["cost"].values(value) if "cost" in one.metadata else [value]
    return tuple(found)


def as_record(row: Any, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """Columns and values of an instance of a dataclass, for JSON."""
    return dict(zip(column_names(type(row), leave_out), cells(row, leave_out), strict=True))
