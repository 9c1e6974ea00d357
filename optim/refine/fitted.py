"""A finished fit is read back from its folder, to be refined."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import mfm
from mfm import FICParameters, RegionalMaps, Scan, SubjectData
from mfm.errors import InputError, InputNote
from mfm.io import load_maps, load_subject
from mfm.observation import Observation
from optim.config.fit import FitConfig
from optim.config.refine import RefineConfig, check_refinable
from optim.fit.record import config_of_record, model_of_record, read_json, read_parameters, record_path
from optim.refine.task import Recording, Task
from optim.refine.tunable_fit import TunableFit


@dataclass(frozen=True, eq=False)
class FittedSubject:
    """A fitted subject is a finished fit with the data it was made of.

    Attributes
    ----------
    folder : Path
    stem : str
        What its files' names begin with.
    record : dict
        Its ``regional.json``.
    config : FitConfig
    subject : SubjectData
    parameters : FICParameters
        One candidate.
    """

    folder: Path
    stem: str
    record: dict[str, Any]
    config: FitConfig
    subject: SubjectData
    parameters: FICParameters

    def file(self, suffix: str) -> Path:
        """Return the path of the fit's file that ends in `suffix`."""
        return self.folder / f"{self.stem}_{suffix}"


def read_record(folder: Path) -> tuple[str, dict[str, Any]]:
    """Read the stem and ``regional.json`` of the finished fit in a folder.

    Raises
    ------
    MissingInputError
        If there is no fit.
    InputError
        If it is not finished, or cannot be read.
    ConfigError
        If it is of a model that cannot be refined.
    """
    path = record_path(folder)
    status = folder / "status.json"
    if status.exists() and read_json(status).get("state") != "done":
        raise InputError(f"The fit in {folder} is not finished.", fix="run mfmfit fit again: it goes on where it stopped")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not {"config", "coefficients", "inputs", "fingerprint"} <= set(record):
            raise ValueError("keys are missing")
    except ValueError as error:
        raise InputError(f"{path} was not written by a fit.", found=str(error)) from error
    check_refinable(model_of_record(record).name)
    return path.name.removesuffix("_regional.json"), record


def read_fit(folder: str | Path, configure: Callable[[dict[str, Any]], FitConfig], subject: SubjectData | None = None):
    """Read the finished fit in a folder, and its data again.

    Parameters
    ----------
    folder : path
    configure : callable
        From the configuration that the fit wrote to a `FitConfig`.
    subject : SubjectData, optional
        The fit's data, where they are at hand.

    Returns
    -------
    FittedSubject

    Raises
    ------
    InputError
        If the fit is not finished, or its data are not those it was made of.
    """
    folder = Path(folder)
    stem, record = read_record(folder)
    config = config_of_record(record, folder, configure)
    if subject is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputNote)  # told when the fit was made
            subject = load_subject(config.data, config.acquisition.tr_s, config.acquisition.n_frames, config.atlas.labels)
    changed = {(s["role"], s["sha256"]) for s in record["inputs"]} ^ {(s.role, s.sha256) for s in subject.sources}
    if changed:
        raise InputError(
            "The data are not those of the fit.",
            found=f"other content: {', '.join(sorted({role for role, _ in changed}))}",
            fix="fit anew, or give back the files that the fit was made of",
        )
    parameterisation = config.model.parameterisation(subject)
    coefficients = [record["coefficients"][name] for name in parameterisation.names]
    p = parameterisation.to_parameters(coefficients)
    if record.get("penalty_strength") is not None:  # regions deviate from the maps
        p, _ = read_parameters(folder / f"{stem}_regional.tsv", record)
    return FittedSubject(folder, stem, record, config, subject, p)


def training_scans(subject: SubjectData, learn_from: str) -> tuple[Scan, ...]:
    """Choose the scans to learn from: the search's, and the validation's if all are asked for and it is one more of its kind.

    That is: another scan than search and test, of the same connectome, TR and length.
    """
    first, more = subject.search, subject.validation
    if learn_from == "search" or any(_same_scan(more, other) for other in (first, subject.test)):
        return (first,)
    alike = (more.tr_s, more.n_frames, more.bold is None) == (first.tr_s, first.n_frames, first.bold is None)
    return (first, more) if alike and np.array_equal(more.sc.weights, first.sc.weights) else (first,)


def _same_scan(a: Scan, b: Scan) -> bool:
    return a is b or bool((a.target.fc == b.target.fc).all())


def task_of(fit: FittedSubject, config: RefineConfig) -> Task:
    """Make the refinement of a fit: learned from the scans of its search and validation, judged on its test scan.

    Raises
    ------
    InputError
        If the fit's stages share one scan, or maps do not fit.
    """
    train, held_out = Recording.of(*training_scans(fit.subject, config.learn_from)), Recording.of(fit.subject.test)
    if (seen := fit.subject.search.observation) != Observation():
        raise InputError(
            "A refinement has no theory yet of what was done to the data after the scanner.",
            expected="scans as the scanner gave them",
            found=", ".join(seen.in_words()),
            fix="leave out `data.observation` and `data.cleaning`, fit again, and refine that fit",
        )
    if _same_scan(fit.subject.search, fit.subject.test):
        raise InputError(
            "A refinement is judged on a scan that it did not learn from.",
            found="one scan (or all runs pooled) for search and test",
            fix="data.split=by_run, or data.test.fc and data.test.fcd_cdf of another scan",
        )
    own = fit.subject.maps
    values, names = list(own.values), list(own.names)
    if config.maps:
        more = load_maps(config.maps, regions=fit.subject.labels, parcellation=fit.config.data.parcellation)
        taken = set(names) & set(more.names)
        if taken:
            raise InputError(f"The fit has a map of that name: {', '.join(sorted(taken))}.", fix="call the new one otherwise")
        values, names = [*values, *more.values], [*names, *more.names]
        if config.terms is None and not config.network:
            config = replace(config, terms=[f"{name} x" for name in more.names])
    maps = RegionalMaps(np.array(values).reshape(len(names), fit.subject.n_regions), tuple(names), fit.subject.labels)
    coefficients = [fit.record["coefficients"][name] for name in fit.config.model.parameterisation(fit.subject).names]
    parameterisation = fit.config.model.parameterisation(fit.subject)
    fitted = None if fit.record.get("penalty_strength") is None else fit.parameters
    tunable = TunableFit.of(parameterisation, coefficients, fitted, config.anchor)
    task = Task(tunable, fit.subject.search.sc, maps, train, held_out, config)
    task.residual()  # says what is wrong with terms before work starts
    return task


def refinement_fingerprint(fit: FittedSubject, task: Task) -> str:
    """Digest (sha256) the fit, the refinement's settings and maps, and the versions of what computes them."""
    digest = hashlib.sha256()
    settings = task.config.deciding()
    digest.update(json.dumps([mfm.__version__, version("torch"), fit.record["fingerprint"], settings], sort_keys=True).encode())
    digest.update(json.dumps(task.maps.names).encode() + task.maps.values.tobytes())
    return digest.hexdigest()
