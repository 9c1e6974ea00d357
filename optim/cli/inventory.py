"""What a folder holds (`mfm.io.Inventory`), as a table for people or JSON for programs, and as a manifest for fits."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mfm.errors import ConfigError, InputError, MissingInputError, OutputError
from mfm.io import Inventory, write_manifest
from mfm.io.folders import Finding, FoundSubject
from mfm.io.folders.findings import BROKEN, CHOOSE, KINDS
from optim.cli.messages import as_word

#: Up to this many subjects have a line each; of more, those that are alike share one.
_LISTED = 20
_HEAD = ("subject", "found as", "atlas", "runs", "frames", "TR (s)", "regions", "connectome")
_MEANING = {
    "broken": "cannot be used",
    "missing": "not there",
    "choose": "only you can tell which",
    "suspicious": "usable, but look at it",
    "note": "for your information",
}


def as_json(inventory: Inventory) -> str:
    """Everything that was found, for programs."""
    return json.dumps(asdict(inventory), indent=2, default=str, ensure_ascii=False)


def as_text(inventory: Inventory) -> str:
    """Everything that was found, for people."""
    n_runs, with_runs = len(inventory.rows), sum(bool(subject.rows) for subject in inventory.subjects)
    lines = [
        f"{inventory.root}: {_count(len(inventory.subjects), 'subject')}, {with_runs} with data to fit, {_count(n_runs, 'run')}"
    ]
    return "\n".join([*lines, "", *_table(inventory.subjects), *_listed_findings(inventory.findings), *_next(inventory)])


def _next(inventory: Inventory) -> list[str]:
    """The command that fits the first subject."""
    first = next((subject for subject in inventory.subjects if subject.rows), None)
    if first is None:
        return []
    row = first.rows[0]
    unknown = [("data.sc=FILE", first.sc), ("acquisition.tr_s=SECONDS", row.tr_s)]
    unknown += [("acquisition.n_frames=NUMBER", row.timeseries or row.n_frames)]
    settings = [as_word("data.folder", str(inventory.root)), as_word("data.subject", first.participant_id)]
    return ["", f"to fit: mfmfit fit {' '.join([*settings, *(name for name, value in unknown if value is None)])}"]


def _table(subjects: Sequence[FoundSubject]) -> list[str]:
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for subject in subjects:
        key = (subject.participant_id,) if len(subjects) <= _LISTED else ()
        alike[(*_summary(subject), *key)].append(subject.participant_id)
    rows = [_HEAD, *((_names(ids), *summary[: len(_HEAD) - 1]) for summary, ids in alike.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _summary(subject: FoundSubject) -> tuple[str, ...]:
    def values(name: str) -> str:
        found = dict.fromkeys(getattr(row, name) for row in subject.rows)
        return ", ".join("?" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for value in found)

    kinds = sorted({"series" if row.timeseries else "FC + FCD" for row in subject.rows})
    return (
        values("layout") or "-",
        values("atlas").replace("?", "-") or "-",
        f"{len(subject.rows)} {' and '.join(kinds)}" if subject.rows else "none",
        values("n_frames") or "-",
        values("tr_s") or "-",
        values("n_regions") or "-",
        subject.sc.path.name if subject.sc else "none",
    )


def _listed_findings(findings: Sequence[Finding]) -> list[str]:
    lines = []
    for kind in KINDS:
        groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        for finding in findings:
            if finding.kind == kind:
                groups[finding.text, finding.fix.replace(finding.where, "PATH") if finding.where else finding.fix].append(
                    finding
                )
        if groups:
            lines += ["", f"{kind} ({_MEANING[kind]})"]
        for (text, _), same in groups.items():
            ids = list(dict.fromkeys(finding.subject for finding in same if finding.subject))
            at = f" [{same[0].where}{', ...' if len(same) > 1 else ''}]" if same[0].where else ""
            lines.append(f"  {text}: {_names(ids)}{at}" if ids else f"  {text}{at}")
            if same[0].fix:
                lines.append(f"    -> {same[0].fix}")
    return lines


def _names(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{', '.join(ids[:2])}" + (f" and {len(ids) - 2} more" if len(ids) > 2 else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def check_usable(inventory: Inventory, writing: bool) -> None:
    """Raise if there is nothing that a fit could take, and nothing a person could choose; `writing` needs the choice made.

    Raises
    ------
    ConfigError
        If a manifest is to be written and a choice is open for all subjects.
    InputError
        If all that was found is broken.
    MissingInputError
        If nothing to fit was found.
    """
    if inventory.rows:
        return
    choices = [finding for finding in inventory.findings if finding.kind == CHOOSE and finding.about == "runs"]
    if choices:
        if writing:
            raise ConfigError("A manifest needs a choice first.", found=choices[0].text, fix=choices[0].fix)
        return
    broken = [finding for finding in inventory.findings if finding.kind == BROKEN and finding.about == "runs"]
    if broken:
        kind = MissingInputError if all(finding.absent for finding in broken) else InputError
        raise kind("Nothing in the folder can be used.", found=f"{broken[0].text} [{broken[0].where}]", fix=broken[0].fix)
    raise MissingInputError(
        "There is nothing to fit in the folder.",
        expected="time series, or FC with FCD CDF, of at least one subject",
        found=f"{_count(len(inventory.subjects), 'subject')} without",
    )


def write_manifest_of(inventory: Inventory, path: Path, overwrite: bool) -> str:
    """Write the manifest; returns a sentence on what it holds and what it leaves out."""
    if path.exists() and not overwrite:
        raise OutputError(f"{path} is already there.", fix="another name, or --overwrite to replace it")
    write_manifest(path, inventory.rows)
    left_out = [subject.participant_id for subject in inventory.subjects if not subject.rows]
    text = f"{path}: {_count(len(inventory.subjects) - len(left_out), 'subject')}, {_count(len(inventory.rows), 'run')}"
    return f"{text}; left out: {_names(left_out)}" if left_out else text
