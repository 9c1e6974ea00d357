"""``mfmfit refine`` and ``refine-group``: what fits still miss."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

from mfm.errors import ConfigError
from optim.cli.console import _exit_code, _say


def _add_refine(commands) -> None:
    refine = commands.add_parser(
        "refine",
        help="ask fitted subjects' data what the model still misses",
        description="Learn a residual of the fitted model (slopes along maps at its fixed point, patterns of edges) from the "
        "fit's search scan, and judge it on its test scan, on placebos and with permuted maps. Settings are Hydra overrides of "
        "conf/refine/default.yaml, for example: mfmfit refine results/sub-01 'maps={thickness: thickness.csv}'. "
        "Of several people, one that fails does not stop the others.",
    )
    refine.add_argument(
        "fits", nargs="+", metavar="FIT_DIR", help="folders of finished fits: sub-<id>/; then SETTING=VALUE ..."
    )
    refine.add_argument("--jobs", type=int, default=1, metavar="N", help="people refined at the same time (default 1)")
    refine.add_argument(
        "--check", action="store_true", help="read and check everything, print what the data can tell, and stop"
    )
    refine.add_argument("--overwrite", action="store_true", help="replace another refinement of the fit")
    refine.set_defaults(run=_refine)

    group = commands.add_parser(
        "refine-group",
        help="what refinements of several people have in common",
        description="Random effects of every term over people, and how well its estimates from two scans agree.",
    )
    group.add_argument("fits", nargs="+", metavar="FIT_DIR", help="folders of fits that were refined with the same settings")
    group.add_argument("--out", metavar="FILE", help="also write the table (tsv)")
    group.set_defaults(run=_refine_group)


def _refine(args) -> int:
    from optim.cli.settings import compose
    from optim.config.refine import RefineConfig

    settings = [word for word in args.fits if "=" in word and not Path(word).exists()]
    folders = [Path(word) for word in args.fits if word not in settings]
    config = compose(settings, "refine/default", RefineConfig)
    if not folders or args.jobs < 1:
        raise ConfigError("Nothing can be refined.", expected="folders of fits, and --jobs of at least 1")
    if len(folders) == 1:
        return run_refine(folders[0], config, args.check, args.overwrite)
    from optim.refine.fitted import read_record

    for folder in folders:  # a folder that is none is told before hours of work
        read_record(folder)
    with ProcessPoolExecutor(min(args.jobs, len(folders)), mp_context=get_context("spawn")) as pool:
        codes = list(pool.map(_refine_one, folders, repeat(config), repeat(args.check), repeat(args.overwrite)))
    failed = [folder.name for folder, code in zip(folders, codes, strict=True) if code]
    _say(f"{len(folders) - len(failed)} of {len(folders)} people done" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return max(codes)


def _refine_one(folder: Path, config, check_only: bool, overwrite: bool) -> int:
    """One person in a process of its own: what goes wrong is told, and returned as an exit code."""
    import torch

    torch.set_num_threads(1)
    return _exit_code(lambda: run_refine(folder, config, check_only, overwrite, name=folder.name), folder.name)


def run_refine(
    folder: Path, config, check_only: bool = False, overwrite: bool = False, subject=None, name: str | None = None
) -> int:
    """Refine the fit in a folder as `config` (a `RefineConfig`) says, and print the verdict: no evidence is no failure.

    `name` is said before every line where there are several people.
    """
    from optim.cli.settings import from_values
    from optim.refine.fitted import read_fit, task_of
    from optim.refine.information import fisher_report
    from optim.refine.run import refine_fit

    before = "" if name is None else f"{name}: "
    fit = read_fit(folder, from_values, subject)
    if check_only:
        _, terms = fisher_report(task_of(fit, config))
        lines = [f"{before}{'term':<24}{'standard error':>16}{'prior':>10}   asked"]
        for term in terms:
            asked = "refused" if term.refused else "yes"
            lines.append(f"{before}{term.name:<24}{term.error:>16.3g}{term.prior_std:>10.3g}   {asked}")
        print("\n".join(lines), flush=True)
        return 0
    began = time.perf_counter()
    found = refine_fit(fit, config, overwrite, lambda text: _say(f"{before}{text} ({time.perf_counter() - began:.0f} s)"))
    if found is not None:
        print(f"{before}{found.verdict}", flush=True)
        _say(f"{before}report: {fit.folder / 'refine.html'}")
    return 0


def _refine_group(args) -> int:
    from dataclasses import astuple, fields

    from mfm.io import write_tsv
    from optim.refine.group import SharedTerm, summarise

    found = summarise(args.fits)
    if args.out is not None:
        write_tsv(args.out, [f.name for f in fields(SharedTerm)], [astuple(term) for term in found])
    print(f"{'term':<24}{'people':>8}{'mean':>9}{'95 % interval':>20}{'between':>9}{'ICC':>7}{'supported':>11}")
    for t in found:
        interval = f"[{t.low:.3g}, {t.high:.3g}]"
        print(f"{t.name:<24}{t.people:>8}{t.mean:>9.3g}{interval:>20}{t.between_std:>9.3g}{t.icc:>7.2f}{t.supported:>11}")
    return 0
