"""``mfmfit refine``: what fits still miss."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

from mfm.errors import ConfigError
from optim.cli.console import exit_code, say
from optim.cli.listing import add_settings_option


def add(commands) -> None:
    """Declare ``mfmfit refine``."""
    parser = commands.add_parser(
        "refine",
        help="ask fitted subjects' data what the model still misses",
        description="Learn a residual of the fitted model (slopes along maps at its fixed point, patterns of edges) from the "
        "fit's search scan, and judge it on its test scan, on placebos and with permuted maps. Settings are Hydra overrides of "
        "conf/refine/default.yaml, for example: mfmfit refine results/sub-01 'maps={thickness: thickness.csv}'. "
        "Of several people, one that fails does not stop the others.",
    )
    parser.add_argument(
        "fits", nargs="+", metavar="FIT_DIR", help="folders of finished fits: sub-<id>/; then SETTING=VALUE ..."
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="people refined at the same time (default 1)")
    parser.add_argument(
        "--check", action="store_true", help="read and check everything, print what the data can tell, and stop"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace another refinement of the fit")
    add_settings_option(parser, "refine/default", _kind)
    parser.set_defaults(run=run, names=_names)


def _kind() -> type:
    from optim.config.refine import RefineConfig

    return RefineConfig


def run(args) -> int:
    """Refine the fits of one person, or of several side by side."""
    from optim.cli.settings import compose
    from optim.config.refine import RefineConfig

    settings = [word for word in args.fits if "=" in word and not Path(word).exists()]
    folders = [Path(word) for word in args.fits if word not in settings]
    config = compose(settings, "refine/default", RefineConfig)
    if not folders or args.jobs < 1:
        raise ConfigError("Nothing can be refined.", expected="folders of fits, and --jobs of at least 1")
    if len(folders) == 1:
        return refine_folder(folders[0], config, args.check, args.overwrite)
    from optim.refine.fitted import read_record

    for folder in folders:  # a folder that is none is found before hours of work
        read_record(folder)
    with ProcessPoolExecutor(min(args.jobs, len(folders)), mp_context=get_context("spawn")) as pool:
        codes = list(pool.map(_refine_one, folders, repeat(config), repeat(args.check), repeat(args.overwrite)))
    failed = [folder.name for folder, code in zip(folders, codes, strict=True) if code]
    say(f"{len(folders) - len(failed)} of {len(folders)} people done" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return max(codes)


def _refine_one(folder: Path, config, check_only: bool, overwrite: bool) -> int:
    """One person in a process of its own: what goes wrong is printed, and returned as an exit code."""
    import torch

    torch.set_num_threads(1)
    return exit_code(
        lambda: refine_folder(folder, config, check_only, overwrite, person=folder.name), _names, person=folder.name
    )


def refine_folder(
    folder: Path, config, check_only: bool = False, overwrite: bool = False, subject=None, person: str | None = None
) -> int:
    """Refine the fit in a folder as `config` (a `RefineConfig`) says, and print the verdict: no evidence is no failure.

    `person` is said before every line where there are several people.
    """
    from optim.cli.settings import from_values
    from optim.refine.fitted import read_fit, task_of
    from optim.refine.information import fisher_report
    from optim.refine.run import refine_fit
    from optim.report.lock import FolderLock

    before = "" if person is None else f"{person}: "
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
    with FolderLock(fit.folder, say):
        found = refine_fit(fit, config, overwrite, lambda text: say(f"{before}{text} ({time.perf_counter() - began:.0f} s)"))
    if found is not None:
        print(f"{before}{found.verdict}", flush=True)
        say(f"{before}report: {fit.folder / 'refine.html'}")
    return 0


def _names():
    from optim.cli.messages import setting_paths
    from optim.config.refine import RefineConfig

    return setting_paths(RefineConfig)
