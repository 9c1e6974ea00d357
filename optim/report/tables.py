"""What a fit leaves on disk: tables and JSON that can be read without this software, each written whole or not at all."""

from __future__ import annotations

import json
import math
import platform
import shutil
import warnings
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

import mfm
from mfm import SubjectData
from mfm.errors import InputError, InputNote
from mfm.io import CiftiSpace, cifti_space, write_json, write_npy, write_scalars, write_tsv
from mfm.io.formats.input_file import file_digest
from optim.config.fit import FitConfig
from optim.fit.columns import RegionalColumn, regional_columns
from optim.fit.result import FitResult, StageScore
from optim.objectives.audits import Audit
from optim.objectives.rows import as_record, cells, column_names
from optim.report.drawing import drawn
from optim.report.folder import FitFolder
from optim.search.regional import PenaltyPoint
from optim.search.run import Generation

#: How the JSON of a fit is laid out.
SCHEMA = 1

# What the numbers about a surrogate mean, for who reads the JSON.
_PREDICTION = {
    "total": "Predicted cost of the map fit against the search data, corrected by audits; its terms likewise",
    "simulated_total": "Simulated cost of the same parameters against the same data, with noise that the search has not seen",
    "regret": "Simulated validation cost of the candidate predicted to be best there, minus that of the one chosen: what it "
    "would have cost to trust the prediction instead of simulating the winners",
    "rank_correlation": "Of predicted and simulated costs of the audited candidates",
    "offset": "Simulated minus predicted cost, mean over audits",
    "given_up": "Whether audits failed, and the rest of the search was simulated",
    "simulated": "Candidates that audits (and the rest, if given up) simulated",
}


def write_fit(result: FitResult, folder: FitFolder) -> None:
    """Write tables and JSON, mark the folder done, and then draw figures, where asked for: their failure is only noted."""
    folder.clear()
    _write_dataset_description(folder.path.parent)
    columns = regional_columns(result)
    _write_regional(result, columns, folder)
    write_tsv(folder.file("fit.tsv"), column_names(StageScore), map(cells, result.stages))
    write_tsv(folder.file("trace.tsv"), column_names(Generation), map(cells, result.trace))
    _write_identifiability(result, folder)
    if result.penalty:
        write_tsv(folder.file("penalty.tsv"), column_names(PenaltyPoint), map(_penalty_row, result.penalty))
    if result.prediction is not None:
        write_tsv(folder.file("audit.tsv"), column_names(Audit), map(cells, result.prediction.audits))
    write_npy(folder.file("fc.npy"), result.test.fc[0].numpy())
    write_npy(folder.file("fcdcdf.npy"), result.test.fcd_cdf[0].numpy())
    if result.bold is not None:
        write_npy(folder.file("bold.npy"), result.bold)
    write_npy(folder.file("sc.npy"), result.subject.test.sc.weights)
    # Last of what `optim.load_fit` reads: it has the digests of the others.
    write_json(folder.file("regional.json"), _record(result, columns) | {"files": _digests(folder)})
    folder.set_state("done", result.fingerprint)
    shutil.rmtree(folder.work, ignore_errors=True)
    if result.config.output.figures:
        drawn(lambda: _write_figures(result, folder))


def _write_figures(result: FitResult, folder: FitFolder) -> None:
    from optim.report.figures import write_figures

    write_figures(result, folder)


def output_space(subject: SubjectData, config: FitConfig) -> CiftiSpace | None:
    """Where the subject's regions are, if a CIFTI file tells: the parcellation, or a parcellated time series.

    Warns
    -----
    InputNote
        If the file names the regions otherwise, so that no CIFTI files can be written.
    """
    given = [config.data.parcellation, *config.data.timeseries[:1]]
    template = next(
        (path for path in given if path is not None and path.lower().endswith((".dlabel.nii", ".ptseries.nii"))), None
    )
    if template is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)  # of the parcellation, told when it was first read
        try:
            return cifti_space(template, subject.labels)
        except InputError as error:
            problem = str(error)
    warnings.warn(InputNote(f"No CIFTI files will be written. {problem}"), stacklevel=2)
    return None


def _digests(folder: FitFolder) -> dict[str, str]:
    """The sha256 of every file of the fit, by what its name ends in."""
    files = sorted(folder.path.glob(f"{folder.stem}_*"))
    return {file.name.removeprefix(f"{folder.stem}_"): file_digest(file) for file in files}


def _write_regional(result: FitResult, columns: tuple[RegionalColumn, ...], folder: FitFolder) -> None:
    headings = [column.heading for column in columns]
    rows = [(k + 1, label, *(float(c.values[k]) for c in columns)) for k, label in enumerate(result.subject.labels)]
    write_tsv(folder.file("regional.tsv"), ["index", "region", *headings], rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)  # told before work started
        space = output_space(result.subject, result.config)
    if space is not None:
        write_scalars(folder.file("regional"), headings, np.stack([np.asarray(column.values) for column in columns]), space)


def _write_dataset_description(folder: Path) -> None:
    """What BIDS asks of a folder of derivatives; one that is there and tells of other software stays."""
    path = folder / "dataset_description.json"
    made_by = {"Name": "mfmfit", "Version": mfm.__version__}
    if path.exists():
        try:
            others = json.loads(path.read_text(encoding="utf-8"))["GeneratedBy"]
            if [one.get("Name") for one in others] != [made_by["Name"]]:
                return
        except (ValueError, KeyError, TypeError, AttributeError):
            return
    description = {
        "Name": "Mean-field model fits",
        "BIDSVersion": "1.11.1",
        "DatasetType": "derivative",
        "GeneratedBy": [made_by],
    }
    write_json(path, description)


def _penalty_row(point: PenaltyPoint) -> tuple:
    """The cells of a point of the path; the infinite strength of the map fit is no missing value."""
    strength, *others = cells(point)
    return ("inf" if math.isinf(strength) else strength, *others)


def _write_identifiability(result: FitResult, folder: FitFolder) -> None:
    """One row per coefficient; the loadings of the combinations that FC determines least are the last columns."""
    found = result.identifiability
    weakest = [f"weakest_{k + 1}" for k in range(len(found.weakest))]
    columns = ("coefficient", "value", "standard_error", "prior_std", "posterior_std", "share_of_prior", *weakest)
    numbers = zip(
        found.value,
        found.standard_error,
        found.prior_std,
        found.posterior_std,
        found.share_of_prior,
        *(combination.loadings for combination in found.weakest),
        strict=True,
    )
    rows = [(name, *(_finite(number) for number in row)) for name, row in zip(found.names, numbers, strict=True)]
    write_tsv(folder.file("identifiability.tsv"), columns, rows)


def _prediction_record(result: FitResult) -> dict | None:
    """Predicted and simulated cost side by side; the single audits stand in audit.tsv."""
    if result.prediction is None:
        return None
    record = as_record(result.prediction, leave_out=("audits",))
    return {key: _finite(value) if isinstance(value, float) else value for key, value in record.items()} | {
        "meaning": _PREDICTION
    }


def _identifiability_record(result: FitResult) -> dict:
    found = result.identifiability
    return {
        "of": "least squares of Fisher z, one scan of the search's length, by linear response",
        "unknown_because": found.reason or None,
        "scans_drawn": found.n_scans,
        "standard_error": dict(zip(found.names, map(_finite, found.standard_error), strict=True)),
        "share_of_prior": dict(zip(found.names, map(_finite, found.share_of_prior), strict=True)),
        "weakest": [
            {"combination": combination.in_words(found.names), "share_of_prior": combination.share_of_prior}
            for combination in found.weakest
        ],
    }


def _finite(number) -> float | None:
    """`number`, or None where it is infinite or NaN: not known."""
    return float(number) if math.isfinite(number) else None


def _record(result: FitResult, columns: tuple[RegionalColumn, ...]) -> dict:
    """Everything needed to reproduce and judge the fit."""
    subject = result.subject
    packages = ("mfmfit", "torch", "numba", "numpy", "scipy", "cma")
    return {
        "schema": SCHEMA,
        "columns": {"index": "Position of the region, from 1", "region": "Name of the region"}
        | {column.heading: column.meaning for column in columns},
        "subject": subject.subject_id,
        "within_range": result.in_range,
        "model": result.model.name,
        **{q.name: float(getattr(result.parameters, q.name)[0]) for q in result.model.parameters.declared() if not q.regional},
        "coefficients": dict(zip(result.parameterisation.names, result.coefficients.tolist(), strict=True)),
        "regional_values": "linear in the maps"
        if math.isinf(result.penalty_strength)
        else "linear in the maps plus a penalised deviation of every region (penalty.tsv)",
        "penalty_strength": _finite(result.penalty_strength),
        "identifiability": _identifiability_record(result),
        "surrogate": _prediction_record(result),
        "bounds": result.parameterisation.bounds.as_dict(),
        "stages": [as_record(score) for score in result.stages],
        "noise_ceiling": asdict(result.ceiling),
        "observation": {stage: getattr(subject, stage).observation.as_record() for stage in ("search", "validation", "test")},
        "protocols": {
            stage: asdict(result.config.objective.protocol(getattr(subject, stage), stage))
            for stage in ("search", "validation", "test")
        },
        "noise_seeds": result.noise_seeds,
        "notes": list(result.notes),
        "connectome_steps": list(subject.search.sc.steps),
        "map_steps": list(subject.maps.steps),
        "inputs": [asdict(source) for source in subject.sources],
        "config": result.config.as_dict(),
        "fingerprint": result.fingerprint,
        "seconds": result.seconds,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "machine": platform.machine(),
    }
