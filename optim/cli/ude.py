"""``mfmfit ude``: missing dynamics learned from time series."""

from __future__ import annotations

from functools import partial

from optim.cli.console import UDEProgress, say
from optim.cli.listing import add_settings_option


def add(commands) -> None:
    """Declare ``mfmfit ude``."""
    parser = commands.add_parser(
        "ude",
        help="learn missing dynamics from time series",
        description="Learn what known equations miss, and turn it into a formula. Settings are Hydra overrides, such as mfmfit "
        "ude model=roessler 'data.files=[run.tsv]' data.dt=0.1 residual.target=z 'residual.inputs=[x,y,z]' residual.gain=10",
    )
    parser.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="Hydra overrides of conf/ude/fit.yaml")
    parser.add_argument("--check", action="store_true", help="read and check everything, print what was found, and stop")
    parser.add_argument("-m", "--multirun", action="store_true", help="one for each of several values: loss.gain=0.1,0.3")
    add_settings_option(parser, "ude/fit", _kind)
    parser.set_defaults(run=run, names=_names)


def _kind() -> type:
    from optim.config.ude import UDEConfig

    return UDEConfig


def run(args) -> int:
    """Learn what the settings ask for."""
    from optim.cli.settings import compose
    from optim.cli.sweep import run_sweep

    if args.multirun:
        return run_sweep(args.overrides, "ude/fit", _kind(), partial(learn_from_files, check_only=args.check), _names)
    return learn_from_files(compose(args.overrides, "ude/fit", _kind()), check_only=args.check)


def learn_from_files(config, check_only: bool = False) -> int:
    """Learn missing dynamics as `config` (a `UDEConfig`) says, write, and print what came out; returns the exit code."""
    from mfm.ude import FitStatus, split_by_time
    from mfm.ude.training.checks import check_fit
    from optim.report.lock import FolderLock
    from optim.ude.fit import fit_ude, ude_fingerprint
    from optim.ude.inputs import read_ude_inputs
    from optim.ude.report import UDEFolder, write_ude_report

    problem = read_ude_inputs(config)
    parts = split_by_time(problem.series, config.split.train, config.split.validation)
    check_fit(problem.model, parts.train)
    say(f"{problem.series!r}\n{problem.model!r}")
    folder, digest = UDEFolder(config), ude_fingerprint(config)
    done = folder.is_done(digest, config.output.overwrite)
    if check_only or done:
        say("everything needed is there, and nothing contradicts" if not done else f"this fit is already done: {folder.path}")
        return 0
    with FolderLock(folder.path, say):
        folder.begin(digest)
        result = fit_ude(config, folder.work, UDEProgress())
        write_ude_report(result, folder)
    lost = [k + 1 for k, status in enumerate(result.found.status.tolist()) if status != FitStatus.OK]
    if lost:
        say(f"note: starts {lost} left the finite numbers; their best states were kept (see scores.tsv)")
    print(f"{'model':<12}{'validation':>12}{'test':>12}")
    for score in result.scores:
        print(f"{score.model:<12}{score.validation:>12.4g}{score.test:>12.4g}{'   chosen' if score.chosen else ''}")
    print(result.formula)
    say(f"report: {folder.path / 'report.html'}")
    return 0


def _names():
    from optim.cli.messages import setting_paths
    from optim.config.ude import UDEConfig

    return setting_paths(UDEConfig)
