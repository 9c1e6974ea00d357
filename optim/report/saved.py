"""A finished fit, saved to its folder and read back from it: tables, JSON and arrays, no scans."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import mfm
from mfm import Connectome, CostValues, Protocol
from mfm.errors import InputError, InputNote, MissingInputError
from mfm.io.formats.input_file import file_digest
from mfm.io.formats.tables import read_table
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters
from optim.config.fit import FitConfig
from optim.config.plain import config_from_plain
from optim.fit.record import config_of_record, model_of_record, read_parameters, record_path
from optim.fit.result import FitResult, StageScore
from optim.report.folder import FitFolder
from optim.report.tables import SCHEMA, write_fit


@dataclass(frozen=True, eq=False)
class SavedFit:
    """A fit as its folder keeps it.

    Attributes
    ----------
    folder : Path
    config : FitConfig
    model : Model
    parameters, completed : ModelParameters
        One candidate; ``completed`` with every weight that the model solved (w_IE of FIC).
    sc : Connectome
        Of the test, as it was simulated: transformed and scaled.
    protocol : Protocol
        Of the test.
    labels : tuple of str
        Names of the N regions.
    stages : tuple of StageScore
    averages : dict of str to tensor, (N,)
        Of the test: what the model reports, its states, and what it derives from them. Each is an attribute too: ``rate_E``
        (Hz), ``S_E``, ``S_I`` and ``ei_ratio`` of FIC.
    record : dict
        Everything that the JSON says.
    """

    folder: Path
    config: FitConfig
    model: Model
    parameters: ModelParameters
    completed: ModelParameters
    sc: Connectome
    protocol: Protocol
    labels: tuple[str, ...]
    stages: tuple[StageScore, ...]
    averages: dict[str, Tensor]
    record: dict[str, Any]

    def __getattr__(self, name: str) -> Tensor:
        averages = self.__dict__.get("averages", {})
        if name in averages:
            return averages[name]
        raise AttributeError(f"The fit has no {name!r}; averages of its test are {', '.join(averages)}.")

    @property
    def in_range(self) -> bool:
        """Whether every region stayed within what the model wants admissible in validation and test."""
        return all(score.in_range for score in self.stages if score.stage != "search")

    def __repr__(self) -> str:
        scores = ", ".join(f"{score.stage} {score.total:.3f}" for score in self.stages)
        return f"SavedFit({self.record['subject']}: {scores}, {'within' if self.in_range else 'OUT OF'} range)"


def save_fit(result: FitResult, folder: str | Path, overwrite: bool = False) -> Path:
    """Write a fit as ``mfmfit fit`` does, into ``<folder>/sub-<id>/``, which is returned; `load_fit` reads it.

    Raises
    ------
    OutputError
        If another fit, or something else, is there, and `overwrite` is not set; or it cannot be written.
    """
    config = result.config
    named = replace(config.data, subject=result.subject.subject_id)
    config = replace(config, data=named, output=replace(config.output, folder=str(folder)))
    place = FitFolder(config)
    place.is_done(result.fingerprint, overwrite)
    place.begin(result.fingerprint)
    write_fit(replace(result, config=config), place)
    return place.path


def load_fit(folder: str | Path) -> SavedFit:
    """Read a finished fit back from its folder; the scans that it was fitted to are not needed.

    Parameters
    ----------
    folder : path
        ``sub-<id>/``, as ``mfmfit fit`` and `FitResult.save` write it.

    Returns
    -------
    SavedFit

    Raises
    ------
    MissingInputError
        If there is no fit, or a file of it is missing.
    InputError
        If the fit is not finished, a file has changed since, or another version wrote it in another way.

    Warns
    -----
    InputNote
        If another version wrote it.

    Examples
    --------
    >>> import mfm, numpy as np, tempfile
    >>> from optim import CMAESConfig, FitConfig, SimulationObjectiveConfig, fit_subject, load_fit
    >>> runs = np.random.default_rng(0).normal(size=(2, 60, 3))
    >>> subject = mfm.subject_from_runs("sub-01", runs, mfm.Connectome(0.02 * (1 - np.eye(3))), tr_s=2.0)
    >>> objective = SimulationObjectiveConfig(n_repeats=1, dt_test_s=0.005, burn_in_s=0.0, warm_up_s=0.0)
    >>> config = FitConfig(objective=objective, optimizer=CMAESConfig(population=20, generations=1, initial_candidates=20))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = load_fit(fit_subject(subject, config).save(folder))
    >>> saved.ei_ratio.shape, saved.labels, saved.config.optimizer.population
    (torch.Size([3]), ('region-001', 'region-002', 'region-003'), 20)
    >>> mfm.simulate(saved.parameters, saved.sc, saved.protocol).bold.shape
    torch.Size([1, 1, 60, 3])
    """
    folder = Path(folder)
    path = record_path(folder)
    record = _read_record(path)
    stem = path.name.removesuffix("_regional.json")
    for name, digest in record["files"].items():
        _check_file(folder / f"{stem}_{name}", digest)
    config = config_of_record(record, folder, config_from_plain)
    model = model_of_record(record)
    table = folder / f"{stem}_regional.tsv"
    parameters, labels = read_parameters(table, record, model)
    completed, _ = read_parameters(table, record, model, keep_solved=True)
    assert labels is not None
    sc = Connectome(np.load(folder / f"{stem}_sc.npy"), labels, tuple(record["connectome_steps"]))
    return SavedFit(
        folder=folder,
        config=config,
        model=model,
        parameters=parameters,
        completed=completed,
        sc=sc,
        protocol=Protocol(**record["protocols"]["test"]),
        labels=labels,
        stages=tuple(_stage(row) for row in record["stages"]),
        averages=_averages(table, model),
        record=record,
    )


def _read_record(path: Path) -> dict[str, Any]:
    try:
        status = json.loads((path.parent / "status.json").read_text(encoding="utf-8"))
        record = json.loads(path.read_text(encoding="utf-8"))
        state, schema = status["state"], record.get("schema")
    except FileNotFoundError as error:
        raise MissingInputError(f"{path.parent} is not the folder of a fit.", found=f"no {error.filename}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path.parent} was not written by a fit.", found=str(error)) from error
    if state != "done":
        raise InputError(f"The fit in {path.parent} is not finished.", fix="run mfmfit fit again: it goes on where it stopped")
    made_by = record.get("versions", {}).get("mfmfit", "an unknown version")
    if schema != SCHEMA or "files" not in record:
        raise InputError(
            f"The fit in {path.parent} was written in another way than this version reads.",
            expected=f"schema {SCHEMA}, with the digests of its files",
            found=f"schema {schema}, by mfmfit {made_by}; here is {mfm.__version__}",
            fix="fit anew with this version, or load it with that one",
        )
    if made_by != mfm.__version__:
        warnings.warn(
            InputNote(f"The fit in {path.parent} was made by mfmfit {made_by}; here is {mfm.__version__}."), stacklevel=3
        )
    return record


def _check_file(path: Path, digest: str) -> None:
    """Raise an error unless a file of the fit is there, and what the fit wrote."""
    if not path.is_file():
        raise MissingInputError(f"A file of the fit is missing: {path}.", fix="copy the whole folder of the fit")
    found = file_digest(path)
    if found != digest:
        raise InputError(
            f"{path} is not what the fit wrote.",
            expected=f"sha256 {digest[:12]}",
            found=f"sha256 {found[:12]}",
            cause="it was edited, saved by a spreadsheet, or belongs to another fit",
            fix="copy the fit's own file back",
        )


def _stage(row: dict[str, Any]) -> StageScore:
    terms = {name: _number(row[name]) for name in mfm.Cost.TERMS}
    others = {name: row[name] for name in ("stage", "realisations", "candidates", "in_range", "dt_s")}
    return StageScore(cost=CostValues(terms), total_se=_number(row["total_se"]), **others)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _averages(table: Path, model: Model) -> dict[str, Tensor]:
    """Columns of the regional table that are no parameters, by the names that they have in Python."""
    read = read_table(table, "parameter")
    header = read.column_names or ()
    quantities = [*model.reported, *(one.quantity for one in model.derived)]
    headings = {state.name: state.name for state in model.states} | {q.name: q.heading for q in quantities}
    places = {name: header.index(heading) for name, heading in headings.items()}
    return {name: torch.tensor(read.values[:, k], dtype=torch.float64) for name, k in places.items()}
