"""A fit's record and parameters, read back from its folder."""

from __future__ import annotations

import json
from pathlib import Path

import mfm
from mfm.errors import ConfigError, InputError
from mfm.io.formats.tables import existing_file


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


def read_parameters(path: Path, G: float | None) -> tuple[mfm.FICParameters, tuple[str, ...] | None]:
    """One parameter set, and the names of its regions, from a table with the columns w_EE, w_EI, sigma (and region, I_ext)."""
    header, *rows = _cells(path)
    missing = [name for name in ("w_EE", "w_EI", "sigma") if name not in header]
    if missing or not rows:
        raise InputError(
            f"{path} is no table of parameters.",
            expected="columns w_EE, w_EI, sigma, one row per region",
            found=f"no column {', '.join(missing)}" if missing else "no rows",
        )
    try:
        columns = {
            name: [float(row[header.index(name)]) for row in rows]
            for name in ("w_EE", "w_EI", "sigma", "I_ext")
            if name in header
        }
    except (ValueError, IndexError) as error:
        raise InputError(f"{path} holds something that is not a number.", found=str(error)) from error
    if G is None:
        raise ConfigError("The global coupling is not known.", found=f"no fit's JSON beside {path.name}", fix="--G VALUE")
    names = tuple(row[header.index("region")] for row in rows) if "region" in header else None
    return mfm.FICParameters(**columns, G=[G]), names


def _cells(path: Path) -> list[list[str]]:
    lines = existing_file(path, "parameter").read_text(encoding="utf-8-sig").splitlines()
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    return [line.split(delimiter) for line in lines if line.strip()] or [[]]
