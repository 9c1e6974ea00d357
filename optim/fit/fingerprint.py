"""What decides the numbers of a fit, as one digest."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version

import numpy as np

import mfm
from mfm import Scan, SubjectData
from mfm.subject import STAGES, bare_id
from optim.config.fit import FitConfig
from surrogate.bundle import Surrogate


def fingerprint(subject: SubjectData, config: FitConfig, surrogate: Surrogate | None = None) -> str:
    """The sha256 of the data, the settings and cost terms that decide the numbers, the surrogate, and the versions of what
    computes them."""
    digest = hashlib.sha256()
    versions = [mfm.__version__, *(version(name) for name in ("numba", "numpy", "torch", "cma"))]
    told = [versions, bare_id(subject.subject_id), config.deciding(), list(mfm.Cost.TERMS)]
    digest.update(json.dumps(told, sort_keys=True).encode())
    if surrogate is not None:
        digest.update(surrogate.digest.encode())
    for stage in STAGES:
        scan: Scan = getattr(subject, stage)
        digest.update(json.dumps([scan.tr_s, scan.n_frames]).encode())
        for array in (scan.sc.weights, scan.target.fc.numpy(), scan.target.fcd_cdf.numpy()):
            digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(json.dumps([subject.maps.names, list(subject.labels)]).encode())
    digest.update(subject.maps.values.tobytes())
    return digest.hexdigest()
