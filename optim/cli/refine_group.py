"""``mfmfit refine-group``: what refinements of several people have in common."""

from __future__ import annotations


def add(commands) -> None:
    """Declare ``mfmfit refine-group``."""
    parser = commands.add_parser(
        "refine-group",
        help="what refinements of several people have in common",
        description="Random effects of every term over people, and how well its estimates from two scans agree.",
    )
    parser.add_argument("fits", nargs="+", metavar="FIT_DIR", help="folders of fits that were refined with the same settings")
    parser.add_argument("--out", metavar="FILE", help="also write the table (tsv)")
    parser.set_defaults(run=run)


def run(args) -> int:
    """Print the table of shared terms, and write it if asked to."""
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
