"""mfm: whole-brain mean-field models, what is observed of them, and their data.

Names are loaded on first use, so that ``import mfm`` is immediate.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "FICParameters": "mfm.models.fic",
    "PMFMParameters": "mfm.models.pmfm",
    "Connectome": "mfm.connectome",
    "Atlas": "mfm.atlas",
    "Protocol": "mfm.protocol",
    "feedback_weights": "mfm.feedback",
    "resting_state": "mfm.feedback",
    "simulate": "mfm.simulation",
    "simulate_many": "mfm.simulation",
    "Simulation": "mfm.simulation",
    "SimulationRequest": "mfm.simulation",
    "SimStatus": "mfm.simulation",
    "within_range": "mfm.simulation",
    "ei_ratio": "mfm.simulation",
    "functional_connectivity": "mfm.statistics",
    "fisher_mean": "mfm.statistics",
    "upper_triangle": "mfm.statistics",
    "fcd_cdf": "mfm.statistics",
    "kolmogorov_smirnov": "mfm.statistics",
    "Target": "mfm.statistics",
    "attenuated": "mfm.statistics",
    "RegionalMaps": "mfm.maps",
    "Bounds": "mfm.maps",
    "Plausibility": "mfm.maps",
    "MapParameterisation": "mfm.maps",
    "basin_margin": "mfm.basin",
    "rates_after_displacement": "mfm.basin",
    "fixed_point": "mfm.settling",
    "FixedPointStatus": "mfm.settling",
    "SettledState": "mfm.settling",
    "FixedPoint": "mfm.feedback",
    "linear_response": "mfm.linear",
    "LinearResponse": "mfm.linear",
    "LinearStatus": "mfm.linear",
    "load_connectome": "mfm.io",
    "group_connectome": "mfm.io",
    "load_maps": "mfm.io",
    "fc_gradient": "mfm.gradient",
    "load_subject": "mfm.io",
    "load_timeseries": "mfm.io",
    "SubjectData": "mfm.subject",
    "Scan": "mfm.subject",
    "subject_from_runs": "mfm.subject",
    "Cost": "mfm.statistics",
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
