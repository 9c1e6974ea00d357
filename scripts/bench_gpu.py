"""Correctness and speed of the GPU backend, in one command of under ten minutes: ``python scripts/bench_gpu.py --out FOLDER``.

Needs a CUDA GPU (compute capability 8.0 or later) and torch built for it. Sections, in this order; ``--sections`` takes some:

check   paths against `reference` and `numba` with the same noise; r_E, FC and FCD of 64 realisations with other noise, within
        Monte Carlo error; repeated runs identical; NaN kept to the simulation it arose in; FC and FCD against the processor
tune    which tile (simulations and warps per program, stages, registers) is fastest for each size; kept in FOLDER/tiles.json
goals   the figures that the backend was built for: the HCP protocol at N = 68 with FC and FCD, and cuBNM's published protocol
speed   simulations of the HCP protocol per second over regions, batch and step, with the tuned tile where there is one
fcd     FC + FCD of 1200 frames
tests   the repository's tests of this backend, golden values among them, on the GPU (where pytest is installed)

Results go to FOLDER/bench_gpu.json and FOLDER/bench_gpu.md after every row: a run that is stopped loses nothing, and the next
one, with other sections, adds to them. The exit status is 1 where a check failed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import date
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import torch
from gpu_checks import CHECKS, DEVICE, HCP, Check, candidates, network, simulate_tile, smooth_noise, tile_name

import mfm
from mfm.compute.machine import available_cores, interpreting, why_not
from mfm.errors import BackendError
from mfm.io.formats.write import write_atomic, write_json
from mfm.simulation import gpu

SECTIONS = ("check", "tune", "goals", "speed", "fcd", "tests")
REGIONS = (68, 100, 200, 400)
BATCHES = (1, 100, 300, 1024, 8192)
RUNS = (1, 100, 300, 1024)
#: Batch, and simulations per second of the HCP protocol that are wanted.
GOALS = ((128, 300), (2048, 3000), (4096, 3000))
#: How many share launches.
SUBJECTS = 16
#: cuBNM on an A100: 32 768 simulations of 60 s, 100 regions, 0.1 ms, in 339 s.
CUBNM = mfm.Protocol(0.5, 120, dt_s=1e-4, burn_in_s=0.0, warm_up_s=0.0, hemo_dt_s=1e-3)
CUBNM_BATCHES, CUBNM_PER_SECOND = (1024, 8192), 96.7

# Instructions that a thread issues per row (region or padding) and step, hemodynamics included, counted in sm_90 machine code.
INSTRUCTIONS = 150
# Useful floating-point operations per region-step, besides 2 N of the coupling.
ELEMENTWISE_FLOP = 180


class Bench:
    """Results so far, and the time that is left."""

    def __init__(self, out: Path, minutes: float, machine: str):
        self.out, self.machine = out, machine
        self.deadline = time.monotonic() + 60 * minutes
        self.path = out / "bench_gpu.json"
        self.sections = json.loads(self.path.read_text())["sections"] if self.path.exists() else {}

    def start(self, section: str) -> None:
        self.sections[section] = []
        print(f"\n== {section} ==", flush=True)

    def add(self, section: str, **row) -> None:
        self.sections[section].append(row)
        print("  ".join(f"{name}={_text(value)}" for name, value in row.items()), flush=True)
        self.out.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {"machine": self.machine, "sections": self.sections})
        write_atomic(self.out / "bench_gpu.md", lambda path: path.write_text(markdown(self.machine, self.sections)))

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def has(self, seconds: float) -> bool:
        """Whether that much time is left; says so where it is not."""
        if self.left < seconds:
            print(f"skipped: {seconds:.0f} s wanted, {max(self.left, 0):.0f} s left", flush=True)
        return self.left >= seconds


def machine() -> str:
    import triton

    gpu_name = torch.cuda.get_device_properties(0).name
    return f"{gpu_name}, {date.today().isoformat()}, torch {torch.__version__}, triton {triton.__version__}"


def max_clock_hz() -> float:
    query = ["nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits", "--id=0"]
    try:
        return 1e6 * float(subprocess.run(query, check=True, capture_output=True, text=True).stdout.split()[0])
    except (OSError, ValueError, IndexError, subprocess.CalledProcessError):
        return math.nan


def _text(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def markdown(machine: str, sections: dict[str, list[dict]]) -> str:
    """Each section as a table."""
    text = [f"Measured on {machine}."]
    for name, rows in sections.items():
        for columns in dict.fromkeys(tuple(row) for row in rows):
            text += ["", f"**{name}**", "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
            text += ["| " + " | ".join(_text(v) for v in row.values()) + " |" for row in rows if tuple(row) == columns]
    return "\n".join(text) + "\n"


def timed(work, turns: int = 3) -> float:
    """Median seconds of a call, which is made once before."""
    work()
    seconds = []
    for _ in range(turns):
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def check(bench: Bench) -> None:
    bench.start("check")
    for seconds, run in CHECKS:
        if bench.has(seconds):
            for result in run():
                bench.add("check", **asdict(result))


# --- tune ----------------------------------------------------------------------------------------------------------------


def tiles(N: int) -> list[gpu.Tile]:
    """What is tried."""
    if N > 128:
        warps = (8, 16) if N > 256 else (4, 8)
        return [gpu.Tile(lanes, w, stages) for lanes in (4, 8, 16) for w in warps for stages in (2, 3)]
    limits = [(16, 8, None), (16, 8, 128), (8, 4, None), (8, 4, 168), (8, 4, 128), (8, 8, None), (8, 8, 128)]
    limits += [(4, 4, None), (4, 4, 128), (2, 4, None), (2, 8, None), (1, 4, None), (1, 8, None)]
    return [gpu.Tile(lanes, w, 2, r) for lanes, w, r in limits]


def pilot(N: int, B: int, seconds: float, dt_s: float = 0.006) -> mfm.Protocol:
    """A protocol of about that many seconds at 0.02 ns per region-step or 0.7 us per step."""
    n_steps = seconds / max(B * N * 0.02e-9, 0.7e-6)
    return mfm.Protocol(0.72, min(1200, max(2, int(n_steps * dt_s / 0.72))), dt_s=dt_s, burn_in_s=0.0, warm_up_s=0.0)


def _compile(N: int, tile: gpu.Tile) -> str:
    """Compile for one tile into the disk cache (in a process of its own: this takes seconds); why not, if not."""
    sc = network(N)
    try:
        simulate_tile(candidates(16, sc), sc, mfm.Protocol(0.072, 1, burn_in_s=0.0, warm_up_s=0.0), tile)
    except Exception as error:  # the reason is reported, the tile left out
        return f"{type(error).__name__}: {str(error)[:80]}"
    return ""


def compile_all(pairs: list[tuple[int, gpu.Tile]]) -> set[tuple[int, gpu.Tile]]:
    """Those that compile, one per core at a time."""
    with ProcessPoolExecutor(min(16, available_cores(), len(pairs)), mp_context=get_context("spawn")) as pool:
        reasons = list(pool.map(_compile, *zip(*pairs, strict=True)))
    for (N, tile), reason in zip(pairs, reasons, strict=True):
        if reason:
            print(f"N={N} {tile_name(tile)}: {reason}", flush=True)
    return {pair for pair, reason in zip(pairs, reasons, strict=True) if not reason}


def tune(bench: Bench) -> None:
    """At most 40 % of the time that is left: the figures matter more. Sizes of the goals first."""
    bench.start("tune")
    stop = bench.left * 0.6
    usable = compile_all([(N, tile) for N in REGIONS for tile in tiles(N)])
    best = {}
    for N in REGIONS:
        sc = network(N)
        for B in BATCHES:
            if bench.left < stop:
                print(f"no time for N = {N}, B = {B}: the nearest batch's tile, or the backend's own", flush=True)
                continue
            p, protocol = candidates(B, sc), pilot(N, B, 0.1)
            default = gpu.choose_tile(N, B, torch.device(DEVICE))
            ns = {}
            for tile in dict.fromkeys([default, *tiles(N)]):
                if (N, tile) in usable or tile == default:
                    seconds = timed(lambda p=p, sc=sc, n=protocol, t=tile: simulate_tile(p, sc, n, t), turns=1)
                    ns[tile] = seconds * 1e9 / (B * N * protocol.n_steps)
            fastest = min(ns, key=ns.__getitem__)
            best[f"{N} {B}"] = asdict(fastest)
            bench.add(
                "tune", N=N, B=B, best=tile_name(fastest), ns=ns[fastest], default=tile_name(default), ns_default=ns[default],
                all=", ".join(f"{tile_name(t)} {v:.3g}" for t, v in ns.items()),
            )  # fmt: skip
            write_json(bench.out / "tiles.json", best)


def tuned_tile(bench: Bench, N: int, B: int) -> gpu.Tile:
    """The tile tuned for the nearest batch, else the backend's own."""
    path = bench.out / "tiles.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    sizes = [int(key.split()[1]) for key in found if key.split()[0] == str(N)]
    if not sizes:
        return gpu.choose_tile(N, B, torch.device(DEVICE))
    return gpu.Tile(**found[f"{N} {min(sizes, key=lambda size: abs(math.log(size / B)))}"])


# --- goals ---------------------------------------------------------------------------------------------------------------


def goals(bench: Bench) -> None:
    """The whole HCP protocol, nothing extrapolated; cuBNM's protocol. Tuned tile and the backend's own."""
    bench.start("goals")
    sc = network(68)
    for B, wanted in GOALS:
        if not bench.has(30):
            return
        p, tile = candidates(B, sc), tuned_tile(bench, 68, B)
        seconds = timed(lambda p=p, t=tile: simulate_tile(p, sc, HCP, t), turns=1)
        default = timed(lambda p=p: mfm.simulate(p, sc, HCP, backend="triton"), turns=1)
        bold = mfm.simulate(p, sc, HCP, backend="triton").bold[:, 0]
        statistics_s = timed(lambda x=bold: (mfm.functional_connectivity(x), mfm.fcd_cdf(x, HCP.window_frames)), turns=1)
        bench.add("goals", what=f"HCP simulations/s, B = {B}", measured=B / seconds, wanted=f">= {wanted}")
        bench.add("goals", what="the same by mfm.simulate, without tuning", measured=B / default, wanted=f">= {wanted}")
        if B > 128:
            ns = seconds * 1e9 / (B * 68 * HCP.n_steps)
            bench.add("goals", what=f"ns per region-step, B = {B}", measured=ns, wanted="<= 0.03")
        bench.add("goals", what=f"FC + FCD over simulation, B = {B}", measured=statistics_s / seconds, wanted="<= 0.5")
        del bold
    if bench.has(40):
        requests = [mfm.SimulationRequest(candidates(128, sc), sc, HCP, seed=k) for k in range(SUBJECTS)]
        together = timed(lambda: mfm.simulate_many(requests, "triton"), turns=1)
        what = f"HCP simulations/s, {SUBJECTS} subjects of 128 candidates in one launch"
        bench.add("goals", what=what, measured=SUBJECTS * 128 / together, wanted="more than one subject's")
    sc = network(100)
    for B in CUBNM_BATCHES:
        if bench.has(60):
            p, tile = candidates(B, sc), tuned_tile(bench, 100, B)
            seconds = timed(lambda p=p, t=tile: simulate_tile(p, sc, CUBNM, t), turns=1)
            what = f"60 s at 0.1 ms, N = 100, B = {B}, over cuBNM on an A100"
            bench.add("goals", what=what, measured=B / seconds / CUBNM_PER_SECOND, wanted=">= 5")


# --- speed and fcd -------------------------------------------------------------------------------------------------------


def speed(bench: Bench) -> None:
    bench.start("speed")
    clock = max_clock_hz()
    for dt_s in (0.006, 0.0005):
        for N in REGIONS:
            for B in BATCHES:
                if bench.has(15):
                    measure(bench, N, B, dt_s, clock)


def measure(bench: Bench, N: int, B: int, dt_s: float, clock_hz: float) -> None:
    """One row: part of the frames, from which the rate of the whole follows."""
    sc, whole, protocol = network(N), mfm.Protocol(0.72, 1200, dt_s=dt_s), pilot(N, B, 0.3, dt_s)
    p, tile = candidates(B, sc), tuned_tile(bench, N, B)
    torch.cuda.reset_peak_memory_stats()
    per_step = timed(lambda: simulate_tile(p, sc, protocol, tile)) / protocol.n_steps
    region_steps = B * N / per_step
    issue = torch.cuda.get_device_properties(0).multi_processor_count * 128 * clock_hz
    bench.add(
        "speed", N=N, B=B, dt_ms=dt_s * 1e3, frames=protocol.n_frames, tile=tile_name(tile),
        hcp_simulations_per_s=B / (per_step * whole.n_steps), ns_per_region_step=1e9 / region_steps, us_per_step=per_step * 1e6,
        tflop_per_s=region_steps * (2 * N + ELEMENTWISE_FLOP) / 1e12,
        share_of_issue_slots=region_steps * INSTRUCTIONS * 2 * gpu.half_size(N) / N / issue,
        peak_gib=torch.cuda.max_memory_allocated() / 2**30,
    )  # fmt: skip


def fcd(bench: Bench) -> None:
    bench.start("fcd")
    for N in REGIONS:
        for R in RUNS:
            if R * N > 80_000 or not bench.has(15):
                continue
            bold = smooth_noise(R, 1200, N)
            torch.cuda.reset_peak_memory_stats()
            fc = timed(lambda x=bold: mfm.functional_connectivity(x), turns=2)
            cdf = timed(lambda x=bold: mfm.fcd_cdf(x, 83), turns=2)
            pairs, windows = N * (N - 1) / 2, 1200 - 83 + 1
            bench.add(
                "fcd", N=N, runs=R, fc_ms_per_run=fc / R * 1e3, fcd_ms_per_run=cdf / R * 1e3,
                product_tflop_per_s=R * windows**2 * pairs / cdf / 1e12, peak_gib=torch.cuda.max_memory_allocated() / 2**30,
            )  # fmt: skip


def tests(bench: Bench) -> None:
    """The repository's own tests, on the GPU."""
    bench.start("tests")
    root = Path(__file__).resolve().parents[1]
    if find_spec("pytest") is None or not (root / "tests").is_dir():
        print("skipped: pytest, or the folder of tests, is not here", flush=True)
        return
    if not bench.has(60):
        return
    files = [
        "tests/mfm/simulation/test_gpu_backend.py",
        "tests/mfm/simulation/test_triton.py",
        "tests/mfm/simulation/test_triton_models.py",
        "tests/mfm/simulation/test_golden.py",
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-k", "triton or gpu", "-p", "no:cacheprovider", *files]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            command, cwd=root, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=bench.left
        )
    except subprocess.TimeoutExpired:
        print("skipped: out of time", flush=True)
        return
    print(done.stdout, done.stderr, flush=True)
    last = (done.stdout.strip().splitlines() or ["no output"])[-1].strip("= ")
    bench.add("tests", **asdict(Check("tests of the backend on the GPU", done.returncode == 0, last)))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for bench_gpu.json, bench_gpu.md and tiles.json")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--minutes", type=float, default=9.0, help="no measurement is begun that would end later (default 9)")
    args = parser.parse_args(arguments)
    obstacle = why_not() or ("Triton's interpreter is on (TRITON_INTERPRET=1)" if interpreting() else None)
    if obstacle:
        error = BackendError(
            "There is no GPU to measure.",
            expected="a CUDA GPU of compute capability 8.0 or later, and torch built for CUDA with triton",
            found=obstacle,
            fix="run this on a machine with a GPU; scripts/bench_simulation.py measures the processor",
        )
        sys.exit(str(error))
    bench = Bench(args.out, args.minutes, machine())
    run = {"check": check, "tune": tune, "goals": goals, "speed": speed, "fcd": fcd, "tests": tests}
    for section in SECTIONS:
        if section in args.sections:
            run[section](bench)
    failed = [row["what"] for name in ("check", "tests") for row in bench.sections.get(name, []) if not row["passed"]]
    print(f"\nfailed: {'; '.join(failed)}" if failed else "\nno check failed", f"\ntables: {bench.out / 'bench_gpu.md'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
