"""A fit's record and parameters, read back from its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mfm
from mfm.errors import ConfigError, InputError, MissingInputError
from mfm.io.formats.tables import read_table
from mfm.models.fic import FIC
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters
from mfm.models.registry import get_model
from optim.config.fit import FitConfig


def fit_record(parameters: Path) -> dict:
    """The JSON that a fit wrote beside its table of parameters; empty where there is none."""
    beside = parameters.with_suffix(".json")
    return read_json(beside) if beside.is_file() else {}


def read_json(path: Path) -> dict:
    """The mapping that a JSON file holds, empty if it holds something else; an InputError if it is no JSON."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON.", found=str(error)) from error
    return content if isinstance(content, dict) else {}


def record_path(folder: Path) -> Path:
    """The ``regional.json`` of the one fit in a folder.

    Raises
    ------
    MissingInputError
        If there is none, or more than one.
    """
    # Refined models were called *_refine_regional in earlier versions.
    found = [path for path in sorted(folder.glob("*_regional.json")) if not path.name.endswith("_refine_regional.json")]
    if len(found) != 1:
        raise MissingInputError(
            f"{folder} is not the folder of one fit.",
            expected="sub-<id>/ as mfmfit fit writes it, with one *_regional.json",
            found=f"{len(found)} such files" if folder.is_dir() else "no such folder",
        )
    return found[0]


def config_of_record(record: dict, folder: Path, configure: Callable[[dict[str, Any]], FitConfig]) -> FitConfig:
    """The configuration of a fit's record, made of its plain values by `configure`.

    Raises
    ------
    InputError
        If it holds settings that are not known, as one of another version may.
    """
    try:
        return configure(record["config"])
    except ConfigError as error:
        made_by = record.get("versions", {}).get("mfmfit", "an unknown version")
        raise InputError(
            f"The fit in {folder} has settings that this version of mfmfit does not know.",
            found=f"a fit by {made_by}, here is {mfm.__version__}: {error}",
            fix="fit anew with this version",
        ) from error


def model_of_record(record: dict) -> Model:
    """The model of a fit's record; FIC where it does not say, as in records of earlier versions."""
    return get_model(record.get("model", "fic"))


def read_parameters(
    path: Path, whole_brain: dict[str, float | None], model: Model = FIC, keep_solved: bool = False
) -> tuple[ModelParameters, tuple[str, ...] | None]:
    """Read one parameter set, and the names of its regions, from a table with a column for every regional parameter.

    Parameters
    ----------
    path : path
        A row for each region; the column ``region`` names them. Of FIC the columns w_EE, w_EI, sigma, and I_ext if there is.
    whole_brain : dict of str to float
        What the whole brain shares, such as G.
    model : Model, default FIC
    keep_solved : bool
        Take what the model would solve (w_IE of FIC) from the table too, where it must then be a column.

    Raises
    ------
    InputError
        If a column is missing, or holds something that is not a number.
    ConfigError
        If a parameter of the whole brain is not known.
    """
    table = read_table(path, "parameter")
    header = table.column_names or ()
    declared = model.parameters.declared()
    needed = [q.name for q in declared if q.regional and (q.is_searched or (keep_solved and q.solved))]
    if missing := [name for name in needed if name not in header]:
        raise InputError(
            f"{path} is no table of parameters.",
            expected=f"columns {', '.join(needed)}, one row per region",
            found=f"no column {', '.join(missing)}",
            cause=f"a table of another model than {model.name!r}, without the JSON of its fit beside it",
        )
    # What the model solves (w_IE of FIC) is solved anew unless it is to be kept: it belongs to one connectome.
    kept = [q.name for q in declared if q.regional and (keep_solved or not q.solved) and q.name in header]
    columns = {name: table.values[:, header.index(name)] for name in kept}
    if absent := [name for name, values in columns.items() if not np.isfinite(values).all()]:
        row = int(np.argmin(np.isfinite(columns[absent[0]]))) + 1
        raise InputError(
            f"{path} holds something that is not a number.", found=f"{', '.join(absent)} of row {row}, counted from 1"
        )
    shared = {q.name: whole_brain.get(q.name) for q in declared if not q.regional}
    for name, value in shared.items():
        if value is None:
            what = next(q.description for q in declared if q.name == name)
            raise ConfigError(f"The {what} is not known.", found=f"no fit's JSON beside {path.name}", fix=f"`{name}=VALUE`")
    return model.parameters(**columns, **{name: [value] for name, value in shared.items()}), table.row_names
