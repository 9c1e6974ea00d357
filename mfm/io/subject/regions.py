"""Whether a subject's inputs are of the same regions; if not, which one lacks what, and what to type."""

from __future__ import annotations

from mfm.brain.atlas import differing, explain_count, some_names
from mfm.errors import InputError
from mfm.io.readers.finite_entries import exclusion
from mfm.io.readers.matrix_file import RawMatrix
from mfm.io.readers.timeseries import TimeSeries
from mfm.io.readers.unassigned import looks_unassigned
from mfm.io.subject.read import RawInputs

# More regions than this share are not left out one by one: they are another parcellation's.
_MOST_LEFT_OUT = 0.1
_DROP = "sc_file=MatrixOptions(drop_unassigned=True)"


def check_regions_agree(raw: RawInputs, names: tuple[str, ...] | None, orientation: str | None) -> None:
    """Raise an InputError where inputs are not of the same regions.

    Parameters
    ----------
    raw : RawInputs
    names : tuple of str or None
        The order of regions that inputs with names are brought to.
    orientation : str or None
        How the time series were said to be laid out.
    """
    _check_names(raw, names)
    n_rows = len(raw.connectome.values)
    n_regions = n_rows if names is None else len(names)
    if raw.connectome.labels is None and n_rows != n_regions:
        if raw.labels is not None:
            _check_labels(raw, n_rows)
        named_run = next((run for run in raw.runs if run.labels), None)
        # Series of a known atlas with more rows tell which of them the connectome lacks: told where rows are chosen.
        if named_run is not None and explain_count(n_regions, n_rows) is None:
            raise _other_count(raw, named_run, n_rows, orientation)
    for run in raw.runs:
        # Columns with names are joined by them.
        if not (run.labels and names) and run.values.shape[1] != n_regions:
            raise _other_count(raw, run, n_regions, orientation)
    others = [(f"{stage} FC", one.fc.path, one.fc.labels, len(one.fc.values)) for stage, one in (raw.stages or {}).items()]
    others += [(f"map {name}", one.path, one.labels, len(one.values)) for name, one in (raw.maps or {}).items()]
    for what, path, own, n in others:
        if not (own and names) and n < n_regions and _is_few(n_regions - n, n_regions):
            raise _lacks_without_names(f"The {what} {path}", n, n_regions, bool(own), bool(names))


def _is_few(number: int, n_regions: int) -> bool:
    return 0 < number <= max(3, int(_MOST_LEFT_OUT * n_regions))


def _lacks_without_names(what: str, n: int, n_regions: int, named: bool, others_named: bool) -> InputError:
    """The error for an FC or a map that has a few regions fewer than the connectome, where one of the two has no names."""
    example = '`exclude_regions=["NAME"]`' if others_named else '`exclude_regions=["NUMBER"]`, counted from 1'
    fix = f"name its regions, and they are told by name; if you know which they are: {example}"
    if named:
        fix = 'name the rows of the connectome, and they are told by name: `sc_file=MatrixOptions(labels="FILE")`'
    return InputError(
        f"{what} has another number of regions than the connectome.",
        expected=f"{n_regions}",
        found=f"{n}",
        cause="regions that were left out for want of voxels; which ones cannot be told without names",
        fix=fix,
    )


def _check_labels(raw: RawInputs, n_rows: int) -> None:
    """Raise where names were asked for that no input has, and nothing has as many regions."""
    counts = {run.values.shape[1] for run in raw.runs} | {len(stage.fc.values) for stage in (raw.stages or {}).values()}
    if counts == {n_rows} and all(names is None for _, names in raw.names_by_input()):
        raise InputError(
            "The inputs have another number of regions than are named.",
            expected=f"{len(raw.labels or ())} rows, as there are names (`labels`)",
            found=f"{n_rows} in every input",
            cause="names of another parcellation",
            fix="give the names of these regions, or none: `labels=None`",
        )


def _check_names(raw: RawInputs, names: tuple[str, ...] | None) -> None:
    """Name what inputs lack; regions that one lacks and that drop out of all others are typed at once."""
    if names is None:
        return
    all_missing: list[str] = []
    first: tuple[str, tuple[str, ...], tuple[str, ...], int] | None = None
    for what, own in raw.names_by_input(paths=True):
        if not own or len(set(own)) < len(own):
            continue  # names that are not unique are told when rows are joined
        missing, extra = differing(own, names)
        if missing or extra:
            all_missing += [name for name in (*missing, *extra) if name not in all_missing]
            first = first or (what, missing, extra, len(own))
    if first is None or len(all_missing) > max(3, int(_MOST_LEFT_OUT * len(names))) or len(all_missing) > len(names) - 2:
        return  # another parcellation, or other names for the same: told when rows are joined
    what, missing, extra, n_own = first
    reference = "the names that are asked for (`labels`)" if raw.labels is not None else "the first input that has names"
    raise InputError(
        f"The regions of the {what} are not those of the other inputs.",
        expected=f"{len(names)} regions, as {reference}",
        found=f"{n_own} regions; missing: {some_names(missing)}; more than expected: {some_names(extra)}",
        cause="an extraction that leaves out regions without voxels, or tractography that leaves out those without streamlines",
        fix=f"leave them out of every input: {exclusion(range(len(all_missing)), all_missing)}",
    )


def _other_count(raw: RawInputs, run: TimeSeries, n_regions: int, orientation: str | None) -> InputError:
    """The error for series without names, or beside a connectome without names, that have another number of regions."""
    n_series = run.values.shape[1]
    problem = f"The time series {run.sources[0].path if run.sources else ''} do not have the connectome's regions."
    facts = {"expected": f"frames x {n_regions} regions", "found": f"{run.n_frames} frames x {n_series} regions"}
    if run.n_frames == n_regions:
        other = "frames_by_regions" if orientation == "regions_by_frames" else "regions_by_frames"
        facts["found"] += f", read as {orientation or 'frames_by_regions'}"
        cause = "regions x time instead of time x regions"
        return InputError(problem, **facts, cause=cause, fix=f'`orientation="{other}"`')
    cause, fix = _why_other_regions(raw.connectome, n_regions, n_series, bool(run.labels))
    return InputError(problem, **facts, cause=cause, fix=fix)


def _why_other_regions(connectome: RawMatrix, n_connectome: int, n_series: int, named: bool) -> tuple[str, str]:
    """Likely cause, and what to type, where connectome and time series differ in their number of regions."""
    if connectome.labels is None and n_connectome == n_series + 1 and looks_unassigned(connectome.values):
        return (
            "MRtrix tck2connectome -keep_unassigned: the first row of the connectome, which is no region by its size, counts "
            "streamlines without one",
            f"`{_DROP}` leaves that row and column out",
        )
    rows = "the connectome's rows" if connectome.labels is None else ""
    columns = "" if named else "the columns of the time series"
    unnamed = " and ".join(part for part in (rows, columns) if part)
    labels = '`sc_file=MatrixOptions(labels="FILE")`'
    if connectome.labels is None and (explained := explain_count(n_connectome, n_series)) is not None:
        choices = " or ".join(f'`sc_file=MatrixOptions(labels="{variant}")`' for variant in explained[1].split(" or "))
        return (
            f"the connectome is of {explained[0]}",
            f"{choices} if its rows are in that order, and those rows drop out by name; {labels} if they are in another",
        )
    if (explained := explain_count(n_series, n_connectome)) is not None:
        return (
            f"the time series are of {explained[0]}",
            "leave those regions out, or name columns and connectome",
        )
    if _is_few(abs(n_connectome - n_series), n_connectome):
        lacking, having = ("the time series lack", "the connectome has")
        if n_connectome < n_series:
            lacking, having = ("the connectome lacks", "the time series have")
        number = abs(n_connectome - n_series)
        cause = (
            f"{number} region{'s' * (number > 1)} that {lacking} and {having}: left out by the tool for want of voxels or "
            "streamlines, or a parcellation with other regions. Which ones cannot be told without names"
        )
        name_them = f"name {unnamed} ({' or '.join(part for part in (columns and 'a header row', rows and labels) if part)})"
        if named and rows:
            return cause, name_them
        example = '`exclude_regions=["NUMBER"]`, counted from 1' if rows else '`exclude_regions=["NAME"]`'
        return cause, f"{name_them}, and they are told by name; if you know which they are: {example}"
    return "another parcellation, or an index column", "use time series and connectome of the same regions"
