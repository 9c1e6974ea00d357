"""``mfmfit simulate``: simulate fitted or given parameters."""

from __future__ import annotations

from pathlib import Path

from mfm.errors import ConfigError

#: What arguments are called here.
_OPTIONS = {name: f"--{name}" for name in ("parameters", "G", "sc", "seed", "backend", "out")} | {
    "sc_transform": "--sc-transform",
    "transform": "--sc-transform",
    "tr_s": "--tr",
    "n_frames": "--frames",
    "dt_s": "--dt",
    "n_repeats": "--repeats",
    "keep_feedback": "--keep-feedback",
}


def add(commands) -> None:
    """Declare ``mfmfit simulate``."""
    parser = commands.add_parser(
        "simulate",
        help="simulate fitted or given parameters, and write BOLD, FC and FCD",
        description="Simulate a fit, or any parameters. For a fit, whatever is not given (connectome transform, TR, frames, "
        "step, burn-in) is as in its test; else --tr and --frames are required.",
    )
    parser.add_argument("--parameters", required=True, help="a fit's regional.tsv, or a table like it (FIC: w_EE, w_EI, sigma)")
    parser.add_argument("--G", type=float, help="global coupling; default: from the JSON beside the table")
    parser.add_argument("--sc", required=True, help="structural connectome")
    parser.add_argument("--sc-transform", choices=("log", "log1p", "none"))
    parser.add_argument("--tr", type=float, metavar="SECONDS")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--dt", type=float, metavar="SECONDS", help="neural step; default: the valid step nearest to 6 ms")
    parser.add_argument("--repeats", type=int, default=1, help="noise realisations")
    parser.add_argument(
        "--keep-feedback",
        action="store_true",
        help="take w_IE from the table's column instead of solving it for 3 Hz: to see what a drug or a lesion does, which "
        "homeostasis hides",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", default="auto", help="auto, reference, numba or triton (default auto)")
    parser.add_argument("--out", required=True, metavar="FOLDER")
    parser.set_defaults(run=run, names=lambda: _OPTIONS, resumes=False)


def run(args) -> int:
    """Simulate, and print the files that were written."""
    from mfm.simulation.backends import backend_names
    from optim.config.checks import check_one_of
    from optim.report.simulation import simulate_to_folder

    check_one_of("--backend", args.backend, backend_names())
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
        keep_feedback=args.keep_feedback,
        out=Path(args.out),
    )
    for file in files:
        print(file)
    return 0
