"""mfm: whole-brain mean-field models, what is observed of them, and their data.

Names are loaded on first use, so that ``import mfm`` is immediate.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "FICParameters": "mfm.models.fic",
    "PMFMParameters": "mfm.models.pmfm",
    "Connectome": "mfm.brain.connectome",
    "Atlas": "mfm.brain.atlas",
    "Observation": "mfm.observation",
    "Protocol": "mfm.protocol",
    "feedback_weights": "mfm.models.fic_feedback",
    "resting_state": "mfm.models.fic_feedback",
    "simulate": "mfm.simulation.run",
    "simulate_many": "mfm.simulation.run",
    "Averages": "mfm.simulation.averages",
    "Simulation": "mfm.simulation.result",
    "SimulationRequest": "mfm.simulation.work",
    "SimStatus": "mfm.simulation.result",
    "within_range": "mfm.statistics.rates",
    "ei_ratio": "mfm.statistics.rates",
    "functional_connectivity": "mfm.statistics",
    "fisher_mean": "mfm.statistics",
    "upper_triangle": "mfm.statistics",
    "fcd_cdf": "mfm.statistics",
    "kolmogorov_smirnov": "mfm.statistics",
    "Target": "mfm.statistics",
    "attenuated": "mfm.statistics",
    "RegionalMaps": "mfm.brain.maps",
    "Bounds": "mfm.models.parameterisation",
    "Plausibility": "mfm.models.parameterisation",
    "MapParameterisation": "mfm.models.parameterisation",
    "basin_margin": "mfm.basin.margin",
    "rates_after_displacement": "mfm.basin.margin",
    "fixed_point": "mfm.basin.settling",
    "FixedPointStatus": "mfm.basin.settling",
    "SettledState": "mfm.basin.settling",
    "FixedPoint": "mfm.models.fic_feedback",
    "linear_response": "mfm.linear",
    "LinearResponse": "mfm.linear",
    "LinearStatus": "mfm.linear",
    "load_connectome": "mfm.io",
    "group_connectome": "mfm.io",
    "load_maps": "mfm.io",
    "fc_gradient": "mfm.brain.fc_gradient",
    "load_subject": "mfm.io",
    "load_timeseries": "mfm.io",
    "SubjectData": "mfm.subject",
    "Scan": "mfm.subject",
    "subject_from_runs": "mfm.subject",
    "Cost": "mfm.statistics",
    "CostValues": "mfm.statistics",
    "cost": "mfm.statistics",
}

__all__ = sorted([*_HOMES, "errors"])


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "errors":
        return import_module("mfm.errors")
    raise AttributeError(f"module 'mfm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
