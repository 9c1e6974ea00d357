"""optim: finds the parameters at which the model shows what a person's scan shows.

Names are loaded on first use, so that ``import optim`` is immediate.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    **dict.fromkeys(
        (
            *("AcquisitionConfig", "AtlasConfig", "DataConfig", "FitConfig", "ModelConfig", "OutputConfig", "RefineConfig"),
            *("SimulationObjectiveConfig", "LinearObjectiveConfig", "SurrogateObjectiveConfig"),
            *("CMAESConfig", "DelssomeConfig", "GradientConfig"),
        ),
        "optim.config",
    ),
    "FitResult": "optim.fit.result",
    **dict.fromkeys(("SavedFit", "load_fit", "save_fit"), "optim.report.saved"),
    "plot_fit": "optim.report.figures",
    "fit_subject": "optim.fit.protocol",
    "Evaluation": "optim.objectives.base",
    "LinearObjective": "optim.objectives.linear",
    "Objective": "optim.objectives.base",
    "SimulationObjective": "optim.objectives.simulation",
    "SurrogateObjective": "optim.objectives.surrogate",
    "AuditedObjective": "optim.objectives.audited",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'optim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
