"""What is written and shown of every region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from optim.fit.result import FitResult


@dataclass(frozen=True, eq=False)
class RegionalColumn:
    """A column of a fit's regional table: what its heading means, and its values (N,)."""

    heading: str
    meaning: str
    values: Tensor


def regional_columns(result: FitResult) -> tuple[RegionalColumn, ...]:
    """What is written of every region: parameters, states, what the model reports, and what follows from them."""
    model = result.model
    given = [q for q in model.parameters.declared() if q.regional and getattr(result.completed, q.name) is not None]
    columns = [
        RegionalColumn(q.name, _meaning(q.description, q.unit), getattr(result.completed, q.name)[0])
        for q in sorted(given, key=lambda q: q.noise)
    ]
    for state in model.states:
        meaning = _meaning(f"time-averaged {state.description}", state.unit)
        columns.append(RegionalColumn(state.name, meaning, getattr(result, state.name)))
    for quantity in model.reported:
        meaning = _meaning(f"time-averaged {quantity.description}", quantity.unit)
        columns.append(RegionalColumn(quantity.heading, meaning, getattr(result, quantity.name)))
    for derived in model.derived:
        q = derived.quantity
        columns.append(RegionalColumn(q.heading, _meaning(q.description, q.unit), getattr(result, q.name)))
    return tuple(columns)


def _meaning(description: str, unit: str) -> str:
    return f"{description[0].upper()}{description[1:]} ({unit or 'dimensionless'})"
