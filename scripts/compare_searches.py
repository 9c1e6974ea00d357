"""Searches side by side, and what regional freedom adds: ``python scripts/compare_searches.py``.

Fits the same data by theory (CMA-ES and gradients), by a surrogate or by simulation alone, each with the penalty path of the
3N + 1 fit, and prints markdown tables.
The settings are those of ``mfmfit fit`` for the data (``data.*``, ``acquisition``, ``atlas``, ``model``, ...); fits that are
already in OUT are read, not repeated. One thread for linear algebra is often faster on small matrices: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

from mfm import Cost
from mfm.io import load_subject
from optim.cli.fit import fit_and_write
from optim.cli.settings import compose
from optim.fit.locate import locate
from optim.report.folder import FitFolder

_CMAES = ("optimizer=cmaes", "optimizer.population=60", "optimizer.generations=80")
SEARCHES = {
    "cmaes": ("objective=linear", *_CMAES),
    "gradient": ("objective=linear", "optimizer=gradient"),
    "surrogate": ("objective=surrogate", *_CMAES),
    "simulation": ("objective=simulation", *_CMAES),
}
_BY_THEORY = ("cmaes", "gradient")


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def fitted(search: str, args) -> FitFolder:
    """The finished fit of one search, made if need be."""
    regional = "model.regional=" + str(not args.maps_only).lower()
    quiet = ("output.figures=false", f"output.folder={Path(args.out) / search}", regional)
    config = locate(compose([*SEARCHES[search], *args.settings, *quiet])).config
    subject = load_subject(config.data, config.acquisition.tr_s, config.acquisition.n_frames, config.atlas.labels)
    fit_and_write(subject, config)
    return FitFolder(config)


def best_predicted(folder: FitFolder) -> float:
    return min(float(row["best_total"]) for row in read(folder.file("trace.tsv")) if row["best_total"] != "n/a")


def summary(search: str, folder: FitFolder) -> str:
    stages = {row["stage"]: row for row in read(folder.file("fit.tsv"))}
    record = json.loads(folder.file("regional.json").read_text(encoding="utf-8"))
    seconds = record["seconds"]
    path = read(folder.file("penalty.tsv")) if folder.file("penalty.tsv").exists() else []
    maps = path[0] if path else stages["validation"]
    cells = (
        search,
        f"{best_predicted(folder):.3f}",
        f"{float(maps['total']):.3f} ({' / '.join(f'{float(maps[term]):.3f}' for term in Cost.TERMS)})",
        maps["in_range"],
        f"{float(stages['validation']['total']):.3f}",
        f"{float(stages['test']['total']):.3f}",
        str(simulations(search, record)),
        f"{seconds['search'] / 60:.1f}",
        f"{(seconds['validation'] + seconds.get('regional', 0)) / 60:.1f}",
    )
    return "| " + " | ".join(cells) + " |"


def simulations(search: str, record: dict) -> int:
    """Scans simulated to search and to choose: candidates times realisations."""
    found = {stage["stage"]: stage for stage in record["stages"]}
    searched = found["search"]["candidates"] if search == "simulation" else 0
    if search == "surrogate":
        searched = record["surrogate"]["simulated"]
    return (searched + found["validation"]["candidates"]) * found["search"]["realisations"]


def print_path(search: str, folder: FitFolder) -> None:
    print(f"\n{search}: penalty path\n")
    print("| strength | rms deviation | predicted cost | validation r(FC) | validation cost | in range | chosen |")
    print("|---|---|---|---|---|---|---|")
    for row in read(folder.file("penalty.tsv")):
        predicted = row["predicted_total"] if row["predicted_total"] == "n/a" else f"{float(row['predicted_total']):.3f}"
        r, total = ("n/a", "n/a") if row["corr"] == "n/a" else (f"{1 - float(row['corr']):.3f}", f"{float(row['total']):.3f}")
        cells = (row["strength"], f"{float(row['deviation']):.3f}", predicted, r, total, row["in_range"], row["chosen"])
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="+", metavar="SETTING=VALUE", help="as for mfmfit fit")
    parser.add_argument("--out", required=True, metavar="FOLDER")
    parser.add_argument("--searches", nargs="+", choices=tuple(SEARCHES), default=_BY_THEORY)
    parser.add_argument("--maps-only", action="store_true", help="without the 3N + 1 fit")
    args = parser.parse_args()
    folders = {search: fitted(search, args) for search in args.searches}
    columns = ("search", "best predicted", "validation, map fit", "in range", "validation, chosen", "test", "scans simulated")
    print("\n| " + " | ".join((*columns, "search min", "rest min")) + " |")
    print("|---|---|---|---|---|---|---|---|---|")
    for search, folder in folders.items():
        print(summary(search, folder))
    if not args.maps_only:
        for search, folder in folders.items():
            print_path(search, folder)


if __name__ == "__main__":
    main()
