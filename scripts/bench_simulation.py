"""Speed and memory of simulation and statistics: ``python scripts/bench_simulation.py [--quick]``.

One process measures both backends in turns, so that their ratio holds on a machine whose speed drifts; medians over turns.
The whole HCP protocol (TR 0.72 s, 1200 frames, dt 6 ms: 173 000 steps) is simulated at N = 68, hemodynamics included. The
reference backend takes the same time every step and minutes in all: it runs a shorter scan unless ``--full`` is given.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

import torch

import mfm
from mfm.compute.machine import available_cores
from mfm.demo import demo_subject


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ns_per_region_step(seconds: float, B: int, N: int, protocol: mfm.Protocol, n_threads: int) -> float:
    """Per core: processor time available, over region-steps done."""
    return seconds * n_threads * 1e9 / (B * N * protocol.n_steps)


def candidates(B: int) -> tuple[mfm.FICParameters, mfm.Connectome]:
    demo = demo_subject()
    p = mfm.MapParameterisation(demo.subject.maps).to_parameters(demo.coefficients)
    return p[[0] * B], demo.subject.search.sc


def report(label: str, seconds: list[float], B: int, N: int, protocol: mfm.Protocol, n_threads: int) -> float:
    ns = [ns_per_region_step(s, B, N, protocol, n_threads) for s in seconds]
    median = statistics.median(ns)
    per_second = B / statistics.median(seconds) * protocol.n_steps / mfm.Protocol(0.72, 1200).n_steps
    print(f"{label:<44}{n_threads:>8}{median:>16.2f}{min(ns):>9.2f}{max(ns):>9.2f}{per_second:>18.2f}", flush=True)
    return median


def speed(args) -> None:
    hcp = mfm.Protocol(tr_s=0.72, n_frames=1200)
    coarse = mfm.Protocol(tr_s=0.72, n_frames=1200, hemo_dt_s=0.03)
    loop = hcp if args.full else mfm.Protocol(tr_s=0.72, n_frames=40, burn_in_s=7.2, warm_up_s=7.2)
    B = 100
    p, sc = candidates(B)
    full_lanes = candidates(128)[0]
    N = sc.n_regions
    mfm.simulate(p[:32], sc, mfm.Protocol(0.72, 2, burn_in_s=0.72, warm_up_s=0))  # compile
    print(f"{'':<44}{'threads':>8}{'ns/region-step':>16}{'min':>9}{'max':>9}{'HCP scans/s':>18}")
    for n_threads in sorted({1, available_cores()}):
        torch.set_num_threads(n_threads)
        times: dict[str, list[float]] = {"numba": [], "full": [], "coarse": [], "reference": [], "statistics": []}
        for _ in range(args.turns):
            times["numba"].append(timed(lambda n=n_threads: mfm.simulate(p, sc, hcp, n_threads=n)))
            times["full"].append(timed(lambda n=n_threads: mfm.simulate(full_lanes, sc, hcp, n_threads=n)))
            began = time.perf_counter()
            sim = mfm.simulate(p, sc, coarse, n_threads=n_threads)
            times["coarse"].append(time.perf_counter() - began)
            times["statistics"].append(timed(lambda s=sim, n=n_threads: fc_and_fcd(s.bold, n)))
            times["reference"].append(timed(lambda: mfm.simulate(p, sc, loop, backend="reference")))
        fast = report(f"numba, batch {B}", times["numba"], B, N, hcp, n_threads)
        report("numba, batch 128 (all lanes used)", times["full"], 128, N, hcp, n_threads)
        report(f"numba, batch {B}, hemodynamic step 30 ms", times["coarse"], B, N, coarse, n_threads)
        slow = report(f"reference, batch {B}", times["reference"], B, N, loop, n_threads)
        share = statistics.median(s / t for s, t in zip(times["statistics"], times["coarse"], strict=True))
        each = statistics.median(times["statistics"]) / B * n_threads * 1e3
        print(f"  reference / numba: {slow / fast:.1f}x; FC + FCD: {each:.1f} ms a run and core, {share:.2f} of the simulation")


def fc_and_fcd(bold: torch.Tensor, n_threads: int) -> None:
    mfm.functional_connectivity(bold)
    mfm.fcd_cdf(bold, tr_s=0.72, n_threads=n_threads)


def memory() -> None:
    """Peak memory of 300 full-length simulations with FC and FCD, in a process of its own."""
    code = (
        "import resource, mfm; from scripts.bench_simulation import candidates, fc_and_fcd\n"
        "p, sc = candidates(300)\n"
        "fc_and_fcd(mfm.simulate(p, sc, mfm.Protocol(0.72, 1200, hemo_dt_s=0.03)).bold, None)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peak = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    print(f"300 simulations of 1200 frames with FC and FCD: peak memory {int(peak) / 2**20:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one turn, no memory measurement")
    parser.add_argument("--full", action="store_true", help="the whole protocol on the reference backend too (minutes a turn)")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    if args.quick:
        args.turns = 1
    speed(args)
    if not args.quick:
        memory()
    print(f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
