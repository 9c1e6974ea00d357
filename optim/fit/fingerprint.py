"""What decides the numbers of a fit: each fact by name, and all of them as one digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

import mfm
from mfm import Scan, SubjectData
from mfm.subject import STAGES, bare_id
from optim.config.fit import FitConfig
from surrogate.bundle import Surrogate

#: What decides the numbers of a work, each by the name that a person knows it by; arrays by their digest.
Facts = dict[str, str]


def fit_facts(subject: SubjectData, config: FitConfig, surrogate: Surrogate | None = None) -> Facts:
    """Return the settings that decide the numbers, the cost terms, the digests of data and surrogate, and the versions."""
    facts = {f"version of {name}": version(name) for name in ("numba", "numpy", "torch", "cma")}
    facts["version of mfmfit"] = mfm.__version__
    facts |= settings_as_facts(config.deciding())
    facts["terms of the cost"] = json.dumps(list(mfm.Cost.TERMS))
    facts["data.subject"] = json.dumps(bare_id(subject.subject_id))
    if surrogate is not None:
        facts["surrogate"] = surrogate.digest
    for stage in STAGES:
        scan: Scan = getattr(subject, stage)
        facts[f"TR of {stage} (s)"], facts[f"frames of {stage}"] = json.dumps(scan.tr_s), json.dumps(scan.n_frames)
        facts[f"observation of {stage}"] = json.dumps(scan.observation.as_record())
        arrays = {"connectome": scan.sc.weights, "FC": scan.target.fc.numpy(), "FCD CDF": scan.target.fcd_cdf.numpy()}
        facts |= {f"{name} of {stage}": _digest(array) for name, array in arrays.items()}
    facts["region names"] = _digest(np.array([str(label) for label in subject.labels], dtype=np.str_))
    facts["names of the maps"] = json.dumps(list(subject.maps.names))
    facts |= {f"map {name}": _digest(values) for name, values in zip(subject.maps.names, subject.maps.values, strict=True)}
    return facts


def settings_as_facts(settings: Mapping[str, Any], prefix: str = "") -> Facts:
    """Return nested settings as one mapping of dotted path to JSON."""
    facts: Facts = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            facts |= settings_as_facts(value, f"{prefix}{name}.")
        else:
            facts[prefix + str(name)] = json.dumps(value)
    return facts


def fingerprint(facts: Facts) -> str:
    """Return the sha256 of all facts: two works with one fingerprint have the same numbers."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(json.dumps(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()
