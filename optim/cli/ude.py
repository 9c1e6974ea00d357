"""``mfmfit ude``: missing dynamics learned from time series."""

from __future__ import annotations

from optim.cli.console import _say, _UDEProgress


def _ude(args) -> int:
    from optim.cli.settings import compose
    from optim.config.ude import UDEConfig

    return run_ude(compose(args.overrides, "ude/fit", UDEConfig), check_only=args.check)


def run_ude(config, check_only: bool = False) -> int:
    """Learn missing dynamics as `config` (a `UDEConfig`) says, write, and print what came out; returns the exit code."""
    from mfm.ude import FitStatus, split_by_time
    from mfm.ude.training.checks import check_fit
    from optim.ude.fit import fit_ude, ude_fingerprint
    from optim.ude.inputs import read_ude_inputs
    from optim.ude.report import UDEFolder, write_ude_report

    problem = read_ude_inputs(config)
    parts = split_by_time(problem.series, config.split.train, config.split.validation)
    check_fit(problem.model, parts.train)
    _say(f"{problem.series!r}\n{problem.model!r}")
    folder, digest = UDEFolder(config), ude_fingerprint(config)
    done = folder.is_done(digest, config.output.overwrite)
    if check_only or done:
        _say("everything needed is there, and nothing contradicts" if not done else f"this fit is already done: {folder.path}")
        return 0
    folder.begin(digest)
    result = fit_ude(config, folder.work, _UDEProgress())
    write_ude_report(result, folder)
    lost = [k + 1 for k, status in enumerate(result.found.status.tolist()) if status != FitStatus.OK]
    if lost:
        _say(f"note: starts {lost} left the finite numbers; their best states were kept (see scores.tsv)")
    print(f"{'model':<12}{'validation':>12}{'test':>12}")
    for score in result.scores:
        print(f"{score.model:<12}{score.validation:>12.4g}{score.test:>12.4g}{'   chosen' if score.chosen else ''}")
    print(result.formula)
    _say(f"report: {folder.path / 'report.html'}")
    return 0
