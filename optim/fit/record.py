"""A fit's record and parameters, read back from its folder."""

from __future__ import annotations

import json
from pathlib import Path

from mfm.errors import ConfigError, InputError
from mfm.io.formats.tables import existing_file
from mfm.models.fic import FIC
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters
from mfm.models.registry import get_model


def fit_record(parameters: Path) -> dict:
    """The JSON that a fit wrote beside its table of parameters; empty where there is none."""
    beside = parameters.with_suffix(".json")
    if not beside.is_file():
        return {}
    try:
        record = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{beside} is not valid JSON.", found=str(error)) from error
    return record if isinstance(record, dict) else {}


def model_of_record(record: dict) -> Model:
    """The model of a fit's record; FIC where it does not say, as in records of earlier versions."""
    return get_model(record.get("model", "fic"))


def read_parameters(
    path: Path, whole_brain: dict[str, float | None], model: Model = FIC
) -> tuple[ModelParameters, tuple[str, ...] | None]:
    """Read one parameter set, and the names of its regions, from a table with a column for every regional parameter.

    Parameters
    ----------
    path : path
        A row for each region; the column ``region`` names them. Of FIC the columns w_EE, w_EI, sigma, and I_ext if there is.
    whole_brain : dict of str to float
        What the whole brain shares, such as G.
    model : Model, default FIC

    Raises
    ------
    InputError
        If a column is missing, or holds something that is not a number.
    ConfigError
        If a parameter of the whole brain is not known.
    """
    header, *rows = _cells(path)
    declared = model.parameters.declared()
    needed = [q.name for q in declared if q.regional and q.is_searched]
    missing = [name for name in needed if name not in header]
    if missing or not rows:
        raise InputError(
            f"{path} is no table of parameters.",
            expected=f"columns {', '.join(needed)}, one row per region",
            found=f"no column {', '.join(missing)}" if missing else "no rows",
            cause=f"a table of another model than {model.name!r}, without the JSON of its fit beside it" if missing else None,
        )
    # What the model solves (w_IE of FIC) is solved anew: it belongs to one connectome.
    kept = [q.name for q in declared if q.regional and not q.solved and q.name in header]
    try:
        columns = {name: [float(row[header.index(name)]) for row in rows] for name in kept}
    except (ValueError, IndexError) as error:
        raise InputError(f"{path} holds something that is not a number.", found=str(error)) from error
    shared = {q.name: whole_brain.get(q.name) for q in declared if not q.regional}
    for name, value in shared.items():
        if value is None:
            what = next(q.description for q in declared if q.name == name)
            raise ConfigError(f"The {what} is not known.", found=f"no fit's JSON beside {path.name}", fix=f"`{name}=VALUE`")
    names = tuple(row[header.index("region")] for row in rows) if "region" in header else None
    return model.parameters(**columns, **{name: [value] for name, value in shared.items()}), names


def _cells(path: Path) -> list[list[str]]:
    lines = existing_file(path, "parameter").read_text(encoding="utf-8-sig").splitlines()
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    return [line.split(delimiter) for line in lines if line.strip()] or [[]]
