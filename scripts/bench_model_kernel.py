"""Processor time of the compiled loop for each model: ``python scripts/bench_model_kernel.py [--against PATH]``.

``--against`` is a checkout of an earlier commit, whose FIC loop is measured beside this one's. Every loop lives in a process of
its own, and they take turns: a pair of turns shares the machine's speed, so that the ratio of the two holds where others use
the machine. Times are those of the thread in the loop itself (`time.thread_time`), without preparation. ``--sixteen`` compiles
for a processor without AVX-512, on any: sixteen lanes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

N_REGIONS = 68
HERE = Path(__file__).resolve().parents[1]


class Worker:
    """A process that runs one loop whenever asked, and says how long it took.

    Parameters
    ----------
    checkout : Path
        Whose code it runs.
    model, scheme : str
    sixteen : bool
        Without AVX-512; kernels are cached nowhere then.
    """

    def __init__(self, checkout: Path, model: str, scheme: str, sixteen: bool = False):
        command = [sys.executable, str(Path(__file__).resolve()), "--worker", model, scheme, *["--sixteen"] * sixteen]
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        self.cache = tempfile.TemporaryDirectory()
        if sixteen:
            environment |= {
                "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma", "NUMBA_CACHE_DIR": self.cache.name
            }  # fmt: skip
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=checkout
        )

    def turn(self) -> float:
        """Nanoseconds per step of a region in one lane."""
        print("turn", file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.cache.cleanup()


def work(model: str, scheme: str, sixteen: bool) -> None:
    """Be a worker: a line in, the time of one simulation out."""
    if sixteen:
        import llvmlite.binding

        llvmlite.binding.get_host_cpu_features = dict

    import mfm

    # Earlier commits had the loop elsewhere, and one model.
    earlier = find_spec("mfm.backends") is not None
    compiled = import_module("mfm.backends.compiled" if earlier else "mfm.simulation.cpu")
    LANES = import_module("mfm.backends.simd" if earlier else "mfm.compute.vectors").LANES

    loop, spent = compiled._simulate_group, []

    def timed(*arguments):
        began = time.thread_time()
        loop(*arguments)
        spent.append(time.thread_time() - began)

    compiled._simulate_group = timed
    p, sc, initial = candidates(mfm, model, LANES)
    protocol = mfm.Protocol(0.72, 20, burn_in_s=7.2, warm_up_s=3.6, scheme=scheme)

    def turn() -> float:
        spent.clear()
        mfm.simulate(p, sc, protocol, backend="numba", initial=initial, n_threads=1)
        return 1e9 * sum(spent) / (protocol.n_steps * N_REGIONS * LANES)

    turn()
    for _ in sys.stdin:
        print(turn(), flush=True)


def candidates(mfm, model: str, B: int):
    """Parameters of a model that fill every lane, a connectome, and where states start."""
    rng = np.random.default_rng(0)
    weights = rng.random((N_REGIONS, N_REGIONS)) * 0.01
    np.fill_diagonal(weights, 0)
    shape = (B, N_REGIONS)
    if model == "fic":
        w_EE, w_EI = rng.uniform(2.5, 3.5, shape), rng.uniform(2.2, 2.8, shape)
        p = mfm.FICParameters(w_EE, w_EI, np.full(shape, 0.004), rng.uniform(1, 2, B))
        return p, mfm.Connectome(weights), (np.full(N_REGIONS, 0.16), np.full(N_REGIONS, 0.06))
    from mfm.models.registry import get_model

    declared = get_model(model)
    values = {parameter.name: sum(parameter.bounds) / 2 for parameter in declared.parameters.searched()}
    fields = {
        parameter.name: np.full(shape if parameter.regional else B, values[parameter.name])
        for parameter in declared.parameters.searched()
    }
    return declared.parameters(**fields), mfm.Connectome(weights), tuple(np.full(N_REGIONS, s.start) for s in declared.states)


def compare(name: str, ours: Worker, theirs: Worker, pairs: int) -> None:
    """Print the paired ratio of two workers' times: median and quartiles."""
    times = []
    for k in range(pairs):
        order = (ours, theirs) if k % 2 else (theirs, ours)
        found = {worker: worker.turn() for worker in order}
        times.append((found[ours], found[theirs]))
    a, b = np.array(times).T
    low, median, high = np.quantile(a / b, [0.25, 0.5, 0.75])
    print(f"{name:<44}{np.median(a):>9.3f}{np.median(b):>9.3f}{median:>9.3f}  ({low:.3f} to {high:.3f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="checkout of an earlier commit")
    parser.add_argument("--models", nargs="*", default=["pmfm"], help="models whose step is compared with that of FIC")
    parser.add_argument("--sixteen", action="store_true", help="sixteen lanes, without AVX-512")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--worker", nargs=2, metavar=("MODEL", "SCHEME"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(*args.worker, args.sixteen)
        return
    print(f"{'ns per step of a region in a lane':<44}{'this':>9}{'that':>9}{'ratio':>9}  (quartiles of {args.pairs} pairs)")
    for scheme in ("exponential", "euler"):
        ours = Worker(HERE, "fic", scheme, args.sixteen)
        if args.against:
            before = Worker(args.against.resolve(), "fic", scheme, args.sixteen)
            compare(f"fic against {args.against.name}, {scheme}", ours, before, args.pairs)
            before.end()
        for model in args.models:
            other = Worker(HERE, model, scheme, args.sixteen)
            compare(f"{model} against fic, {scheme}", other, ours, args.pairs)
            other.end()
        ours.end()


if __name__ == "__main__":
    main()
