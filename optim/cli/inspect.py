"""``mfmfit inspect``: find subjects and runs in a folder."""

from __future__ import annotations

from pathlib import Path

from optim.cli.console import say
from optim.cli.messages import as_settings

#: What arguments of `mfm.io.Choices` are called here.
_OPTIONS = {name: f"--{name}" for name in ("atlas", "session", "task", "sc", "orientation")} | {"tr_s": "--tr"}


def add(commands) -> None:
    """Declare ``mfmfit inspect``."""
    parser = commands.add_parser(
        "inspect",
        help="find subjects and runs in a folder, and write a manifest that a fit takes",
        description="Find subjects, runs and connectomes in HCP, XCP-D, fMRIPrep, micapipe and QSIRecon folders, and in trees "
        "of tables; print what was found, what is missing and what is suspicious. Only names and headers are read.",
    )
    parser.add_argument("folder")
    parser.add_argument("--write", metavar="MANIFEST", help="write what can be fitted as a table (tsv)")
    parser.add_argument("--overwrite", action="store_true", help="replace a manifest that is already there")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--atlas", metavar="NAME", help="of several parcellations, this one")
    parser.add_argument("--session", metavar="NAME", help="of several sessions, this one; all: as runs of one subject")
    parser.add_argument("--task", metavar="NAME", default="rest")
    parser.add_argument("--sc", metavar="FILE", help="connectome for all subjects; or a pattern that picks one of each's own")
    parser.add_argument("--tr", metavar="SECONDS", type=float, help="repetition time of files that do not tell it")
    parser.add_argument("--orientation", choices=("frames_by_regions", "regions_by_frames"), help="of tables without names")
    parser.set_defaults(run=run, names=lambda: _OPTIONS)


def run(args) -> int:
    """Print what the folder holds, and write the manifest if asked to."""
    from mfm.io import Choices, inspect_folder
    from optim.cli.inventory import as_json, as_text, check_usable, write_manifest_of

    inventory = inspect_folder(args.folder, Choices(args.atlas, args.session, args.task, args.sc, args.tr, args.orientation))
    # What a finding says to do at the fit is a setting.
    print(as_json(inventory) if args.json else as_settings(as_text(inventory)))
    check_usable(inventory, writing=args.write is not None)
    if args.write is not None:
        say(write_manifest_of(inventory, Path(args.write), args.overwrite))
    return 0
