"""The command line: one function per ``mfmfit`` command."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

from mfm.errors import ConfigError, InputError, InputNote, MfmfitError

_EXIT_OUT_OF_RANGE = 1
_EXIT_BUG = 70
_EXIT_INTERRUPTED = 75


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code (see ``mfmfit --help``)."""
    args = _parsed(argv)
    try:
        return _exit_code(lambda: args.run(args))
    except KeyboardInterrupt:
        _say("interrupted" + ("" if args.run is _simulate else ": the same command goes on where this one stopped"))
        return _EXIT_INTERRUPTED


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments. Settings and folders may stand on both sides of an option, which argparse alone refuses."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    lists = [getattr(args, name) for name in ("overrides", "fits") if hasattr(args, name)]
    if rest and (not lists or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    for words in lists:
        words.extend(rest)
    return args


def _exit_code(run: Callable[[], int], name: str | None = None) -> int:
    """What `run` returns, or the code of its error, which is told; `name` is whose it is."""
    before = "" if name is None else f"{name}: "
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", InputNote)
            warnings.showwarning = _show_warning
            return run()
    except MfmfitError as error:
        _say(f"{before}error: {error}")
        return error.exit_code
    except Exception:
        traceback.print_exc()
        _say(f"{before}this is a bug in mfmfit, not in your data: please report it with the lines above")
        return _EXIT_BUG


def _parser() -> argparse.ArgumentParser:
    from mfm import __version__

    parser = argparse.ArgumentParser(
        prog="mfmfit",
        description="Fit whole-brain mean-field models to people.",
        epilog="Exit codes: 0 done; 1 no fit within range; 2 usage or settings; 65 invalid input; 66 missing input; "
        "69 backend not available; 70 bug; 73 output folder; 75 interrupted (the same command resumes).",
    )
    parser.add_argument("--version", action="version", version=f"mfmfit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    fit = commands.add_parser(
        "fit",
        help="fit one subject or group",
        description="Fit one subject or group. Settings are Hydra overrides, for example: mfmfit fit acquisition=hcp_ya "
        "atlas=dk68 data.subject=100307 data.sc=SC.csv 'data.timeseries=[run-1.tsv,run-2.tsv]' "
        "'data.maps={myelin: myelin.csv, gradient: gradient.csv}'",
    )
    fit.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="Hydra overrides of conf/fit.yaml")
    fit.add_argument("--check", action="store_true", help="read and check everything, print what was found, and stop")
    fit.set_defaults(run=_fit)

    _add_inspect(commands)

    simulate = commands.add_parser(
        "simulate",
        help="simulate fitted or given parameters, and write BOLD, FC and FCD",
        description="Simulate a fit, or any parameters. For a fit, whatever is not given (connectome transform, TR, frames, "
        "step, burn-in) is as in its test; else --tr and --frames are required.",
    )
    simulate.add_argument("--parameters", required=True, help="table with the columns w_EE, w_EI, sigma (a fit's regional.tsv)")
    simulate.add_argument("--G", type=float, help="global coupling; default: from the JSON beside the table")
    simulate.add_argument("--sc", required=True, help="structural connectome")
    simulate.add_argument("--sc-transform", choices=("log", "log1p", "none"))
    simulate.add_argument("--tr", type=float, metavar="SECONDS")
    simulate.add_argument("--frames", type=int)
    simulate.add_argument("--dt", type=float, metavar="SECONDS", help="neural step; default: the valid step nearest to 6 ms")
    simulate.add_argument("--repeats", type=int, default=1, help="noise realisations")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument("--backend", default="auto", choices=("auto", "reference", "numba", "triton"))
    simulate.add_argument("--out", required=True, metavar="FOLDER")
    simulate.set_defaults(run=_simulate)

    corpus = commands.add_parser(
        "corpus",
        help="simulate a training corpus for surrogates",
        description="Simulate a training corpus for surrogates, or go on with one. Settings are Hydra overrides of "
        "conf/corpus.yaml, for example: mfmfit corpus folder=corpus connectomes=table connectomes.table=table.tsv n_shards=480",
    )
    corpus.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="Hydra overrides of conf/corpus.yaml")
    corpus.add_argument("--verify", action="store_true", help="compare every file of the corpus with its digest, and stop")
    corpus.set_defaults(run=_corpus)

    train = commands.add_parser(
        "train",
        help="train a surrogate on a corpus",
        description="Train a surrogate on a corpus, or go on with an interrupted training. Settings are Hydra overrides of "
        "conf/train.yaml, for example: mfmfit train corpus=corpus folder=my-surrogate; finetuning: start=FOLDER",
    )
    train.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="Hydra overrides of conf/train.yaml")
    train.set_defaults(run=_train)

    evaluate = commands.add_parser(
        "evaluate-surrogate",
        help="compare a surrogate, and linear response alone, with simulations of a corpus",
        description="Compare a surrogate, and linear response alone, with the simulations of a corpus's test connectomes.",
    )
    evaluate.add_argument("--surrogate", required=True, metavar="FOLDER", help="fic, or what mfmfit train wrote")
    evaluate.add_argument("--corpus", required=True, metavar="FOLDER")
    evaluate.add_argument("--split", default="test", choices=("train", "validation", "test"))
    evaluate.add_argument("--out", metavar="FILE", help="also write the table of all connectomes (tsv)")
    evaluate.add_argument("--record", action="store_true", help="put the figures into the surrogate's card")
    evaluate.add_argument("--figure", metavar="FILE", help="also draw it (png)")
    evaluate.set_defaults(run=_evaluate)

    ude = commands.add_parser(
        "ude",
        help="learn missing dynamics from time series",
        description="Learn what known equations miss, and turn it into a formula. Settings are Hydra overrides, such as mfmfit "
        "ude model=roessler 'data.files=[run.tsv]' data.dt=0.1 residual.target=z 'residual.inputs=[x,y,z]' residual.gain=10",
    )
    ude.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="Hydra overrides of conf/ude/fit.yaml")
    ude.add_argument("--check", action="store_true", help="read and check everything, print what was found, and stop")
    ude.set_defaults(run=_ude)

    _add_refine(commands)

    demo = commands.add_parser("demo", help="fit the embedded demo subject, whose true parameters are known")
    demo.add_argument("--out", default="demo-output", metavar="FOLDER")
    demo.add_argument("--generations", type=int, default=None, help="default: 30")
    demo.add_argument("--seed", type=int, default=1)
    demo.set_defaults(run=_demo)
    return parser


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


def _add_inspect(commands) -> None:
    inspect = commands.add_parser(
        "inspect",
        help="find subjects and runs in a folder, and write a manifest that a fit takes",
        description="Find subjects, runs and connectomes in HCP, XCP-D, fMRIPrep, micapipe and QSIRecon folders, and in trees "
        "of tables; print what was found, what is missing and what is suspicious. Only names and headers are read.",
    )
    inspect.add_argument("folder")
    inspect.add_argument("--write", metavar="MANIFEST", help="write what can be fitted as a table (tsv)")
    inspect.add_argument("--overwrite", action="store_true", help="replace a manifest that is already there")
    inspect.add_argument("--json", action="store_true", help="print JSON instead of a table")
    inspect.add_argument("--atlas", metavar="NAME", help="of several parcellations, this one")
    inspect.add_argument("--session", metavar="NAME", help="of several sessions, this one; all: as runs of one subject")
    inspect.add_argument("--task", metavar="NAME", default="rest")
    inspect.add_argument("--sc", metavar="FILE", help="connectome for all subjects; or a pattern that picks one of each's own")
    inspect.add_argument("--tr", metavar="SECONDS", type=float, help="repetition time of files that do not tell it")
    inspect.add_argument("--orientation", choices=("frames_by_regions", "regions_by_frames"), help="of tables without names")
    inspect.set_defaults(run=_inspect)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, InputNote):
        _say(f"note: {message}")
    else:
        _say(warnings.formatwarning(message, category, filename, lineno, line).rstrip())


def _fit(args) -> int:
    from optim.configuration import compose

    return run_fit(compose(args.overrides), check_only=args.check)


def run_fit(config, check_only: bool = False) -> int:
    """Load the data that `config` (a `FitConfig`) names, fit, write, and print what came out; returns the exit code."""
    from mfm.io import load_subject
    from optim.locate import locate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)  # the subject's own lines tell them
        located = locate(config)
        config = located.config
        subject = load_subject(config.data, config.acquisition.tr_s, config.acquisition.n_frames, config.atlas.labels)
    subject = replace(subject, notes=(*located.notes, *subject.notes))
    _say(repr(subject))
    if check_only:
        _prepared_folder(subject, config)
        _say("everything needed is there, and nothing contradicts")
        return 0
    result = fit_and_write(subject, config)
    if result is not None:
        print(_table(result))
        if not result.in_range:
            return _EXIT_OUT_OF_RANGE
    if config.refine.run:
        from optim.outputs import FitFolder

        return run_refine(FitFolder(config).path, config.refine, overwrite=config.output.overwrite, subject=subject)
    return 0


def _prepared_folder(subject, config):
    """The output folder, the fit's fingerprint, and whether it is done; every error that can be told before work is."""
    from optim.fit import fingerprint, prepare
    from optim.outputs import FitFolder, output_space

    prepare(subject, config)
    output_space(subject, config)
    folder, digest = FitFolder(config), fingerprint(subject, config)
    return folder, digest, folder.is_done(digest, config.output.overwrite)


def fit_and_write(subject, config):
    """Fit into the configured folder; None where that very fit is already there."""
    from optim.fit import fit_subject
    from optim.outputs import write_fit

    folder, digest, done = _prepared_folder(subject, config)
    if done:
        _say(f"this fit is already done: {folder.path} (output.overwrite=true does it anew)")
        print(folder.file("fit.tsv").read_text(encoding="utf-8"), end="")
        return None
    folder.begin(digest)
    progress = Progress(config.optimizer.starts, config.optimizer.generations)
    result = fit_subject(subject, config, folder.work, progress, progress.note)
    write_fit(result, folder)
    if not result.in_range:
        _say("warning: firing rates of the chosen parameters leave [2.7, 3.3] Hz in validation or test; do not use this fit")
    _say(f"results: {folder.path}")
    return result


class Progress:
    """One bar on a terminal, one line per generation elsewhere."""

    def __init__(self, n_starts: int, n_generations: int):
        self._n_generations = n_generations
        self._n = n_starts * n_generations
        self._began = time.perf_counter()
        self._bar = None
        _say("scoring random candidates to start from" if not sys.stderr.isatty() else "searching")
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self._n, unit="generation", file=sys.stderr)

    def note(self, text: str) -> None:
        """A line of its own."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            _say(text)

    def __call__(self, row) -> None:
        done = (row.start - 1) * self._n_generations + row.generation
        text = f"best {row.best_total:.3f}, {row.share_in_range:.0%} within range, step {row.step:.3f}"
        if self._bar is not None:
            self._bar.n = done
            self._bar.set_postfix_str(text)
        else:
            elapsed = time.perf_counter() - self._began
            _say(f"start {row.start} generation {row.generation}: {text} ({done}/{self._n}, {elapsed:.0f} s)")
        if done == self._n:
            if self._bar is not None:
                self._bar.close()
            _say("simulating the winners for validation and test")


def _table(result) -> str:
    lines = [f"{'stage':<12}{'1 - r':>8}{'mean diff':>11}{'KS':>8}{'total':>8}   within range"]
    for s in result.stages:
        inside = "yes" if s.in_range else "NO"
        lines.append(f"{s.stage:<12}{s.corr:>8.3f}{s.mean_diff:>11.3f}{s.ks:>8.3f}{s.total:>8.3f}   {inside}")
    c = result.ceiling
    lines.append(f"the test with other noise: {c.test_mean:.3f} +- {c.test_std:.3f}")
    if c.run_to_run is not None:
        lines.append(f"one recorded run against another: {c.run_to_run:.3f}")
    if (s := result.prediction) is not None:
        lines.append(
            f"surrogate: predicted {s.total:.3f}, simulated {s.simulated_total:.3f}; regret {s.regret:.3f}; {len(s.audits)} "
            f"audits, rank correlation {s.rank_correlation:.2f}, offset {s.offset:+.3f}"
            + ("; given up, the rest was simulated" if s.given_up else "")
        )
    lines.append(f"G = {float(result.parameters.G[0]):.3f}; mean E/I ratio = {float(result.ei_ratio.mean()):.3f}")
    return "\n".join(lines)


def _inspect(args) -> int:
    from mfm.io import Choices, inspect_folder
    from optim.inspect import as_json, as_text, check_usable, write_manifest_of

    inventory = inspect_folder(args.folder, Choices(args.atlas, args.session, args.task, args.sc, args.tr, args.orientation))
    print(as_json(inventory) if args.json else as_text(inventory))
    check_usable(inventory, writing=args.write is not None)
    if args.write is not None:
        _say(write_manifest_of(inventory, Path(args.write), args.overwrite))
    return 0


def _simulate(args) -> int:
    from optim.simulate import simulate_to_folder

    if args.repeats < 1:
        raise ConfigError("--repeats must be at least 1.", found=str(args.repeats))
    files = simulate_to_folder(
        parameters=Path(args.parameters),
        G=args.G,
        sc=args.sc,
        sc_transform=args.sc_transform,
        tr_s=args.tr,
        n_frames=args.frames,
        dt_s=args.dt,
        n_repeats=args.repeats,
        seed=args.seed,
        backend=args.backend,
        out=Path(args.out),
    )
    for file in files:
        print(file)
    return 0


def _corpus(args) -> int:
    from optim.configuration import compose
    from surrogate.corpus.build import build_corpus
    from surrogate.corpus.config import CorpusConfig
    from surrogate.corpus.store import Corpus

    config = compose(args.overrides, "corpus", CorpusConfig)
    if args.verify:
        corpus = Corpus(config.folder)
        damaged = list(corpus.verify())
        for line in damaged:
            _say(line)
        if damaged:
            raise InputError(
                f"{len(damaged)} files of {config.folder} are damaged or missing.",
                fix="delete them, and run the command that made the corpus again",
            )
    else:
        began = time.perf_counter()

        def progress(row, n_shards: int) -> None:
            _say(
                f"shard {row.shard + 1}/{n_shards}: {row.connectome} ({row.n_regions} regions, {row.split}), "
                f"{row.rows} sets x {row.repeats}, {row.tr_s * row.n_frames / 60:.0f} min, "
                f"{row.within_range:.0%} within range, {row.seconds:.0f} s; {time.perf_counter() - began:.0f} s in all"
            )

        corpus = build_corpus(config, progress)
    print(
        f"{corpus.folder}: {corpus.simulations} simulations in {len(corpus.shards)} shards over "
        f"{len({shard.connectome for shard in corpus.shards})} connectomes"
    )
    return 0


def _train(args) -> int:
    from optim.configuration import compose
    from surrogate.config import TrainConfig

    config = compose(args.overrides, "train", TrainConfig)
    from surrogate.training import train

    train(config, _say)
    print(config.folder)
    return 0


def _evaluate(args) -> int:
    from surrogate.bundle import load_pretrained
    from surrogate.corpus.store import Corpus
    from surrogate.evaluation import evaluate, record, summary_table, write_accuracies

    surrogate = load_pretrained(args.surrogate)
    report = evaluate(surrogate, Corpus(args.corpus), args.split, _say)
    if args.record:
        record(surrogate, Path(args.surrogate), report)
    if args.out is not None:
        write_accuracies(Path(args.out), report)
    if args.figure is not None:
        from optim.surrogate_figure import write_surrogate_figure

        write_surrogate_figure(Path(args.figure), report)
    print(summary_table(report))
    return 0


def _refine(args) -> int:
    from optim.configuration import compose
    from optim.refine.config import RefineConfig

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
    from optim.configuration import from_values
    from optim.refine.fitted import read_fit, task_of
    from optim.refine.learn import fisher_report
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


def _ude(args) -> int:
    from optim.configuration import compose
    from optim.ude.config import UDEConfig

    return run_ude(compose(args.overrides, "ude/fit", UDEConfig), check_only=args.check)


def run_ude(config, check_only: bool = False) -> int:
    """Learn missing dynamics as `config` (a `UDEConfig`) says, write, and print what came out; returns the exit code."""
    from mfm.ude import FitStatus, split_by_time
    from mfm.ude.checks import check_fit
    from optim.ude.fit import fingerprint, fit_ude
    from optim.ude.inputs import prepare
    from optim.ude.report import UDEFolder, write_report

    problem = prepare(config)
    parts = split_by_time(problem.series, config.split.train, config.split.validation)
    check_fit(problem.model, parts.train)
    _say(f"{problem.series!r}\n{problem.model!r}")
    folder, digest = UDEFolder(config), fingerprint(config)
    done = folder.is_done(digest, config.output.overwrite)
    if check_only or done:
        _say("everything needed is there, and nothing contradicts" if not done else f"this fit is already done: {folder.path}")
        return 0
    folder.begin(digest)
    result = fit_ude(config, folder.work, _UDEProgress())
    write_report(result, folder)
    lost = [k + 1 for k, status in enumerate(result.found.status.tolist()) if status != FitStatus.OK]
    if lost:
        _say(f"note: starts {lost} left the finite numbers; their best states were kept (see scores.tsv)")
    print(f"{'model':<12}{'validation':>12}{'test':>12}")
    for score in result.scores:
        print(f"{score.model:<12}{score.validation:>12.4g}{score.test:>12.4g}{'   chosen' if score.chosen else ''}")
    print(result.formula)
    _say(f"report: {folder.path / 'report.html'}")
    return 0


class _UDEProgress:
    """One line every few seconds; on a terminal it is rewritten."""

    def __init__(self):
        self._said = 0.0

    def __call__(self, number: int, stages: int, progress) -> None:
        last = progress.iteration == progress.iterations
        if time.monotonic() - self._said < (0.5 if sys.stderr.isatty() else 10) and not last:
            return
        self._said = time.monotonic()
        losses = ", ".join(f"{loss:.3g}" for loss in progress.losses)
        text = f"stage {number + 1} of {stages}, iteration {progress.iteration}/{progress.iterations}: losses {losses}"
        if sys.stderr.isatty():
            print(f"\r{text[:120]:<120}", end="\n" if last else "", file=sys.stderr, flush=True)
        else:
            _say(f"{text} ({progress.seconds:.0f} s)")


def _demo(args) -> int:
    from mfm.demo import demo_subject
    from optim.demo import compare_with_truth, demo_config

    config = demo_config(args.out, args.seed, args.generations)
    demo = demo_subject()
    _say(repr(demo.subject))
    result = fit_and_write(demo.subject, config)
    if result is None:
        return 0
    print(_table(result))
    print(compare_with_truth(result, demo))
    return 0 if result.in_range else _EXIT_OUT_OF_RANGE


if __name__ == "__main__":
    sys.exit(main())
