"""Regional maps from files: tables with and without names, and CIFTI maps, parcellated or to be parcellated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfm.brain.atlas import explain_count, order_by_name
from mfm.brain.maps import RegionalMaps
from mfm.errors import ConfigError, InputError
from mfm.io.formats.format import Content, RegionFile, Request, as_table
from mfm.io.formats.registry import read_file
from mfm.io.formats.system import home_expanded


@dataclass(frozen=True, eq=False)
class RawMap:
    """A map as its file has it, and the names of its regions."""

    path: Path
    values: np.ndarray
    labels: tuple[str, ...] | None


def load_maps(
    files: Mapping[str, str | Path],
    *,
    regions: Sequence[str] | None = None,
    parcellation: str | Path | None = None,
    zscore: bool = False,
) -> RegionalMaps:
    """Read any number of maps and bring them to one order of regions.

    Parameters
    ----------
    files : mapping of name to path
        csv, tsv, txt or npy with one value per region, with or without names; a table with a column for each of several maps,
        called as the map; ``.pscalar.nii``; or ``.dscalar.nii``, such as HCP's MyelinMap, together with `parcellation`.
    regions : sequence of str, optional
        Names of the regions in the order that is wanted; default: as in the first map that has names. Maps with names are
        joined by name, whatever the spelling; those without are taken to be in this order.
    parcellation : path, optional
        ``.dlabel.nii`` over whose regions dense maps are averaged, matched by structure and vertex.
    zscore : bool, default False
        Give every map mean 0 and standard deviation 1 over the regions (`RegionalMaps.zscored`).

    Returns
    -------
    RegionalMaps

    Raises
    ------
    ConfigError
        If no map is named, or a dense map comes without parcellation.
    MissingInputError
        If a file is not there.
    InputError
        If a file cannot be read, holds several maps of which none is called as asked, or other regions.

    Examples
    --------
    >>> import mfm, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "maps.tsv")
    ...     _ = path.write_text("region\\tmyelin\\tthickness\\nlh-insula\\t1.2\\t3.0\\nrh-insula\\t1.3\\t2.9\\n")
    ...     maps = mfm.load_maps({"myelin": path, "thickness": path}, regions=["R_insula", "L_insula"])
    >>> maps.values.tolist(), maps.labels
    ([[1.3, 1.2], [2.9, 3.0]], ('R_insula', 'L_insula'))
    """
    if not files:
        raise ConfigError("No map is named.", expected="names and files", fix="mfm.RegionalMaps.none(n_regions)")
    raw = read_raw_maps(files, None if parcellation is None else RegionFile(parcellation))
    if regions is None:
        regions = next((one.labels for one in raw.values() if one.labels is not None), None)
    n_regions = len(next(iter(raw.values())).values) if regions is None else len(regions)
    maps = RegionalMaps(
        np.stack([map_in_order(one, n_regions, regions) for one in raw.values()]),
        tuple(raw),
        None if regions is None else tuple(regions),
    )
    return maps.zscored() if zscore else maps


def read_map(
    path: str | Path,
    n_regions: int,
    labels: Sequence[str] | None = None,
    *,
    name: str = "",
    parcellation: str | Path | None = None,
) -> np.ndarray:
    """Read one value per region, (N,); joined by name where both the file and `labels` have names (`load_maps`)."""
    return map_in_order(read_raw_map(path, name, parcellation), n_regions, labels)


def read_raw_map(path: str | Path, name: str = "", parcellation: str | Path | None = None) -> RawMap:
    """Read the map of a file; of a file with several, the one called `name`."""
    return read_raw_maps({name: path}, None if parcellation is None else RegionFile(parcellation))[name]


def read_raw_maps(files: Mapping[str, str | Path], regions: RegionFile | None = None) -> dict[str, RawMap]:
    """Read maps by name, each file once, however many of the maps it holds."""
    by_file: dict[Path, list[str]] = {}
    for name, path in files.items():
        by_file.setdefault(home_expanded(path), []).append(name)
    found = {}
    for path, names in by_file.items():
        content = read_file(path, "map", Request("map", tuple(names), regions))
        for name in names:
            in_table = content.is_one_array and content.arrays[""].ndim != 1
            found[name] = _map_in_table(content, name) if in_table else _map_by_name(content, name)
    return {name: found[name] for name in files}


def _map_by_name(content: Content, name: str) -> RawMap:
    array = content.arrays[""] if content.is_one_array else content.arrays[name]
    return RawMap(content.path, as_table(array, content.path)[:, 0], content.column_names or content.row_names)


def _map_in_table(content: Content, name: str) -> RawMap:
    """Take the only row or column of a table, or the column that is called as the map."""
    path, values, columns = content.path, content.table(), content.column_names
    if len(values) == 1 and values.shape[1] > 1:
        return RawMap(path, values[0], columns)
    which = 0
    if values.shape[1] != 1:
        if columns is None or name not in columns:
            raise _not_a_map(path, values, columns, name)
        which = columns.index(name)
    return RawMap(path, values[:, which], content.row_names)


def _not_a_map(path: Path, values: np.ndarray, columns: tuple[str, ...] | None, name: str) -> InputError:
    cause, fix = "a table of several maps, or one with an index", "give a file with one column of numbers"
    if values.shape[0] == values.shape[1]:
        cause, fix = "a matrix: a connectome or an FC", "give one value for every region"
    elif values.shape[1] > 20:
        cause = "time series, or a table whose rows and columns are exchanged"
    elif columns:
        cause = "a table of several maps, of which none is called so"
        fix = "call the map as its column: " + ", or ".join(f'`maps={{"{column}": "{path}"}}`' for column in columns[:3])
    return InputError(
        f"{path} is not a map.",
        expected=f"one column, or one called {name!r}" if name else "one column",
        found=f"{values.shape[1]} columns{': ' + ', '.join(columns[:8]) if columns else ''}",
        cause=cause,
        fix=fix,
    )


def map_in_order(raw: RawMap, n_regions: int, regions: Sequence[str] | None) -> np.ndarray:
    """Return the values in the order of `regions`: by name where the file has names, else as they are."""
    if raw.labels and regions is not None:
        return raw.values[order_by_name(raw.labels, regions, f"the map {raw.path}")]
    if len(raw.values) != n_regions:
        explained = explain_count(len(raw.values), n_regions)
        raise InputError(
            f"The map {raw.path} has another number of regions.",
            expected=f"{n_regions} values, as in the connectome",
            found=f"{len(raw.values)}",
            cause=explained[0] if explained else "maps of another parcellation, or with subcortical or medial-wall entries",
            fix="leave those rows out, or give the map a first column of region names"
            if explained
            else "give the map a first column of region names: then it is told which ones differ",
        )
    return raw.values
