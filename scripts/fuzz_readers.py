"""Feed damaged files to a reader: whatever it meets, it returns or raises an error of mfm.errors, soon and in little memory.

    python scripts/fuzz_readers.py table --minutes 10
    python scripts/fuzz_readers.py all --minutes 2 --keep findings

Files are made by the libraries that labs use, then mutated: bytes flipped, parts cut, doubled, moved or exchanged with those of
other files, numbers made absurd. Every finding is kept with its traceback, once per place in the code; the exit code tells
whether there are any.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import logging
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
from fuzz_targets import TARGETS, Target, mutated

from mfm.errors import MfmfitError

HANG_S, MEMORY_BYTES = 10, 2 << 30


class _TooSlow(BaseException):
    """Raised by the clock; no reader may catch it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reader", choices=[*TARGETS, "all"])
    parser.add_argument("--minutes", type=float, default=1.0, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for findings")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)  # nibabel tells of every odd header
    signal.signal(signal.SIGALRM, _stop)
    found = 0
    for name in TARGETS if options.reader == "all" else [options.reader]:
        end = time.monotonic() + 60 * options.minutes
        while time.monotonic() < end:
            with tempfile.TemporaryDirectory() as folder:
                found += _fuzz_apart(name, Path(folder), options, end)
            options.seed += 1
    return int(found > 0)


def _fuzz_apart(name: str, folder: Path, options: argparse.Namespace, end: float) -> int:
    """Fuzz in a process of its own, which a reader in C may end; return the number of findings."""
    if (child := os.fork()) == 0:
        faulthandler.enable()
        os._exit(min(100, _fuzz(name, TARGETS[name](folder), folder, options, end)))
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) <= 100:
        return os.WEXITSTATUS(status)
    options.keep.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("sub-01_*"):
        shutil.copy(file, options.keep / f"{name}-crash-{options.seed}{file.suffix}")
    print(f"{name}: the process ended ({status}), kept as {options.keep / name}-crash-{options.seed}", flush=True)
    return 1


def _stop(*_):
    raise _TooSlow


def _fuzz(name: str, target: Target, folder: Path, options: argparse.Namespace, end: float) -> int:
    for seed in target.seeds:  # imports, and what undamaged files show
        _try(target, folder / f"seed{target.suffixes[0]}", seed)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    # What is asked for is bounded, what is used is measured: memory that is never written to is none.
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 3 * MEMORY_BYTES, resource.RLIM_INFINITY))
    usual = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = np.random.default_rng(options.seed)
    outcomes, places = collections.Counter(), set()
    slowest = 0.0
    while time.monotonic() < end:
        content = target.wrap(mutated(target.seeds, rng), rng)
        path = folder / f"sub-01_bold{target.suffixes[rng.integers(len(target.suffixes))]}"
        begin = time.monotonic()
        outcome, where, trace = _try(target, path, content)
        slowest = max(slowest, time.monotonic() - begin)
        if (most := resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) > usual + MEMORY_BYTES // 1024:
            outcome, where, trace, usual = "memory", f"{(most - usual) >> 10} MiB", "", most
        outcomes[outcome] += 1
        if outcome not in ("read", "refused") and where not in places:
            places.add(where)
            options.keep.mkdir(parents=True, exist_ok=True)
            stem = options.keep / f"{name}-{len(places)}"
            stem.with_suffix(path.suffix).write_bytes(content)
            stem.with_suffix(".traceback.txt").write_text(trace)
            print(f"{name}: {outcome} at {where}, kept as {stem}{path.suffix}", flush=True)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - usual) >> 10
    told += f"; memory up to {used} MiB more than undamaged files take"
    print(f"{name}: {sum(outcomes.values())} files in {options.minutes:g} min: {told}; slowest {slowest:.2f} s", flush=True)
    return len(places)


def _try(target: Target, path: Path, content: bytes) -> tuple[str, str, str]:
    """Read a file; return what came of it, where, and the traceback."""
    path.write_bytes(content)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    faulthandler.dump_traceback_later(6 * HANG_S, exit=True)  # for loops that let no signal through
    try:
        target.read(path)
        return "read", "", ""
    except MfmfitError:
        return "refused", "", ""
    except (_TooSlow, Exception) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        kind = "too slow" if isinstance(error, _TooSlow) else type(error).__name__
        return kind, f"{Path(last.filename).name}:{last.lineno} {kind}", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
