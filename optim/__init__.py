"""optim: finds the parameters at which the model shows what a person's scan shows.

Names are loaded on first use, so that ``import optim`` is immediate.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "FitConfig": "optim.config",
    "FitResult": "optim.fit",
    "fit_subject": "optim.fit",
    "Evaluation": "optim.objective",
    "LinearObjective": "optim.linear_objective",
    "Objective": "optim.objective",
    "SimulationObjective": "optim.objective",
    "SurrogateObjective": "optim.surrogate_objective",
    "AuditedObjective": "optim.surrogate_objective",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'optim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
