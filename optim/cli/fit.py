"""``mfmfit fit``: fit one subject, or a group."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

from mfm.errors import InputNote
from optim.cli.console import ExitCode, Progress, say
from optim.cli.listing import add_settings_option
from optim.cli.messages import as_settings, fit_settings
from optim.cli.refine import refine_folder


def add(commands) -> None:
    """Declare ``mfmfit fit``."""
    parser = commands.add_parser(
        "fit",
        help="fit one subject or group",
        description="Fit one subject or group. Settings are Hydra overrides, for example: mfmfit fit acquisition=hcp_ya "
        "atlas=dk68 data.subject=100307 data.sc=SC.csv 'data.timeseries=[run-1.tsv,run-2.tsv]' "
        "'data.maps={myelin: myelin.csv, gradient: gradient.csv}'",
    )
    parser.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="settings; --settings lists them")
    parser.add_argument("--check", action="store_true", help="read and check everything, print what was found, and stop")
    parser.add_argument("-m", "--multirun", action="store_true", help="a fit for each of several values: optimizer.seed=1,2,3")
    add_settings_option(parser, "fit", _kind)
    parser.set_defaults(run=run, names=fit_settings)


def _kind() -> type:
    from optim.config.fit import FitConfig

    return FitConfig


def run(args) -> int:
    """Fit what the settings name."""
    from optim.cli.environment import check_environment
    from optim.cli.settings import compose
    from optim.cli.sweep import run_sweep

    check_environment(say)
    if args.multirun:
        one = partial(fit_from_files, check_only=args.check)
        return run_sweep(args.overrides, "fit", _kind(), one, fit_settings, test_cost)
    return fit_from_files(compose(args.overrides), check_only=args.check)


def test_cost(folder: Path) -> str:
    """The cost of the test in the folder of a sweep's job, as text; empty where there is none."""
    for table in sorted(folder.glob("sub-*/*_fit.tsv")):
        header, *rows = (line.split("\t") for line in table.read_text(encoding="utf-8").splitlines())
        return f"test cost {float(rows[-1][header.index('total')]):.3f}"
    return ""


def fit_from_files(config, check_only: bool = False) -> int:
    """Load the data that `config` (a `FitConfig`) names, fit, write, and print what came out; returns the exit code."""
    from mfm.io import load_subject
    from optim.fit.locate import locate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)  # the subject's own lines say them
        located = locate(config)
        config = located.config
        subject = load_subject(config.data, config.acquisition.tr_s, config.acquisition.n_frames, config.atlas.labels)
    subject = replace(subject, notes=(*located.notes, *subject.notes))
    say(as_settings(repr(subject)))
    if check_only:
        from optim.cli.environment import check_all

        stages, folder, _ = _prepared_folder(subject, config)
        for line in check_all(stages, folder):
            say(f"checked: {line}")
        say("everything needed is there, and nothing contradicts")
        return 0
    result = fit_and_write(subject, config)
    if result is not None:
        print(stages_table(result))
        if not result.in_range:
            return ExitCode.OUT_OF_RANGE
    if config.refine.run:
        from optim.report.folder import FitFolder

        return refine_folder(FitFolder(config).path, config.refine, overwrite=config.output.overwrite, subject=subject)
    return 0


def _prepared_folder(subject, config):
    """The fit's stages, its output folder, and whether it is done; every error that can be found before the work is."""
    from optim.cli.environment import check_backend, check_folder
    from optim.fit.notes import notes_on_setup
    from optim.fit.stages import Stages
    from optim.report.folder import FitFolder
    from optim.report.tables import output_space

    stages, folder = Stages.prepare(subject, config), FitFolder(config)
    output_space(subject, config)
    check_backend(stages)
    check_folder(folder)
    for note in notes_on_setup(subject, config):  # the others were warned of
        say(f"note: {as_settings(note)}")
    return stages, folder, folder.is_done(stages.fingerprint, config.output.overwrite, stages.facts)


def _fit_into(folder, stages, lock):
    """Fit and write, as long as the lock on the folder is ours."""
    from optim.fit.pace import STAGE_NAMES
    from optim.fit.protocol import fit_prepared
    from optim.report.tables import write_fit

    config = stages.config
    later = len(STAGE_NAMES) - 1 - (not config.model.regional)
    progress = Progress(config.optimizer.starts, config.optimizer.generations, later)

    def generation_done(row) -> None:
        lock.check()
        progress(row)

    try:
        result = fit_prepared(stages, folder.work, generation_done, progress.note, progress.stage)
        lock.check()
        progress.stage("figures")
        write_fit(result, folder)
    finally:
        progress.close()
    return result


def fit_and_write(subject, config):
    """Fit into the configured folder; None where that very fit is already there."""
    from optim.report.lock import FolderLock

    stages, folder, done = _prepared_folder(subject, config)
    if not done:
        with FolderLock(folder.path, say) as lock:
            # Another job may have ended this very fit since.
            done = folder.is_done(stages.fingerprint, config.output.overwrite, stages.facts)
            if not done:
                folder.begin(stages.fingerprint, stages.facts)
                result = _fit_into(folder, stages, lock)
    if done:
        say(f"this fit is already done: {folder.path} (output.overwrite=true does it anew)")
        _add_series(stages, folder)
        print(folder.file("fit.tsv").read_text(encoding="utf-8"), end="")
        return None
    if not result.in_range:
        say("warning: the chosen parameters leave the model's range in validation or test; do not use this fit")
    say(f"results: {folder.path}")
    return result


def _add_series(stages, folder) -> None:
    """Write the series of a fit that is done, where they are asked for now and were not then: the same noise, the same BOLD."""
    from mfm.io import write_npy
    from optim.cli.settings import from_values
    from optim.refine.fitted import read_fit
    from optim.report.lock import FolderLock

    path = folder.file("bold.npy")
    if not stages.config.output.timeseries or path.exists():
        return
    with FolderLock(folder.path, say):
        write_npy(path, stages.test_bold(read_fit(folder.path, from_values, stages.subject).parameters))
    say(f"the simulated series of the test: {path}")


def stages_table(result) -> str:
    """The costs of a fit (`FitResult`) in each stage, what they can be compared with, and what was found, as text."""
    from mfm import Cost

    symbols = [*(term.symbol for term in Cost.TERMS.values()), "total"]
    widths = [max(8, len(symbol) + 2) for symbol in symbols]
    lines = [f"{'stage':<12}{''.join(f'{s:>{w}}' for s, w in zip(symbols, widths, strict=True))}   +- noise   within range"]
    for s in result.stages:
        values = zip((*s.cost.terms.values(), s.total), widths, strict=True)
        numbers = "".join(f"{v:>{w}.3f}" for v, w in values)
        lines.append(f"{s.stage:<12}{numbers}{f'+- {s.total_se:.3f}':>11}   {'yes' if s.in_range else 'NO'}")
    c = result.ceiling
    lines.append(f"the test with other noise: {c.test_mean:.3f} +- {c.test_std:.3f}")
    if c.run_to_run is not None:
        lines.append(f"one recorded run against another: {c.run_to_run:.3f}")
    if (s := result.prediction) is not None:
        lines += [
            f"surrogate, on the search data: predicted {s.total:.3f}, simulated {s.simulated_total:.3f}",
            f"surrogate, regret: {s.regret:.3f}, what trusting its first choice would have cost in validation",
            f"surrogate, audits: {len(s.audits)}, rank correlation {s.rank_correlation:.2f}, "
            f"offset {s.offset:+.3f} (simulated minus predicted)"
            + ("; given up, the rest was simulated" if s.given_up else ""),
        ]
    lines.append("; ".join(_found(result)))
    return "\n".join(lines)


def _found(result) -> list[str]:
    """The parameters of the whole brain, and the mean over regions of what the model derives."""
    shared = [q for q in result.parameters.declared() if not q.regional]
    found = [f"{q.name} = {float(getattr(result.parameters, q.name)[0]):.3f}" for q in shared]
    for derived in result.model.derived:
        label = derived.quantity.description.partition(",")[0]
        mean = float(getattr(result, derived.quantity.name).mean())
        found.append(f"mean {label} = {mean:.3f}" + (f" ({derived.caution})" if derived.caution else ""))
    return found
