"""Correctness and speed of the GPU backend: ``python scripts/bench_gpu.py --out FOLDER [--sections check tune speed fcd peer]``.

Needs a CUDA GPU (compute capability 8.0 or later) and torch built for it. Sections, each of which can run by itself:

check   paths against `reference` and `numba` with the same noise; r_E, FC and FCD of 64 realisations with other noise, within
        Monte Carlo error; repeated runs identical; NaN kept to the simulation it arose in; FC and FCD against the processor
tune    which tile (simulations and warps per program, register limit) is fastest for each size; kept in FOLDER/tiles.json
speed   simulations of the HCP protocol per second over regions, batch and step, with the tuned tile where there is one
fcd     FC + FCD of 1200 frames
peer    60 s at a step of 0.1 ms and 100 regions, against cuBNM's published rate on an A100

Results go to FOLDER/bench_gpu.json and FOLDER/bench_gpu.md after every row, so that a run that is stopped (``--minutes``, 9 by
default) loses nothing and the next one, with other sections, adds to them.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import torch

import mfm
from mfm.backends import gpu
from mfm.demo import demo_subject
from mfm.feedback import feedback_weights
from mfm.io.write import write_atomic, write_json
from mfm.simulation import _initial_state, _noise_keys

SECTIONS = ("check", "tune", "speed", "fcd", "peer")
REGIONS = (68, 100, 200, 400)
BATCHES = (1, 100, 300, 1024, 8192)
HCP = mfm.Protocol(tr_s=0.72, n_frames=1200)
#: cuBNM on an A100: 32 768 simulations of 60 s, 100 regions, 0.1 ms, in 339 s.
CUBNM_PER_SECOND = 96.7

# Instructions that a thread issues per row (region or padding) and step, hemodynamics included, counted in sm_90 machine code.
INSTRUCTIONS = 137
# Useful floating-point operations per region-step, besides 2 N of the coupling.
ELEMENTWISE_FLOP = 180

_DEVICE = "cuda"


class Bench:
    """Results so far, and the time that is left."""

    def __init__(self, out: Path, minutes: float):
        self.out, self.deadline = out, time.monotonic() + 60 * minutes
        self.path = out / "bench_gpu.json"
        self.sections = json.loads(self.path.read_text())["sections"] if self.path.exists() else {}

    def start(self, section: str) -> None:
        self.sections[section] = []
        print(f"\n== {section} ==", flush=True)

    def add(self, section: str, **row) -> None:
        self.sections[section].append(row)
        print("  ".join(f"{name}={_text(value)}" for name, value in row.items()), flush=True)
        self.out.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {"machine": machine(), "sections": self.sections})
        write_atomic(self.out / "bench_gpu.md", lambda path: path.write_text(markdown(self.sections)))

    def has(self, seconds: float) -> bool:
        """Whether that much time is left; says so where it is not."""
        left = self.deadline - time.monotonic()
        if left < seconds:
            print(f"skipped: {seconds:.0f} s wanted, {max(left, 0):.0f} s left", flush=True)
        return left >= seconds


def machine() -> dict:
    properties = torch.cuda.get_device_properties(0)
    import triton

    return {
        "gpu": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "clock_mhz": max_clock_mhz(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "date": date.today().isoformat(),
    }


def max_clock_mhz() -> float:
    query = ["nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits", "--id=0"]
    try:
        return float(subprocess.run(query, check=True, capture_output=True, text=True).stdout.split()[0])
    except (OSError, ValueError, IndexError, subprocess.CalledProcessError):
        return math.nan


def _text(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def markdown(sections: dict) -> str:
    facts = machine()
    text = [f"Measured on {facts['gpu']}, {facts['date']}, torch {facts['torch']}, triton {facts['triton']}."]
    for name, rows in sections.items():
        for columns in dict.fromkeys(tuple(row) for row in rows):
            text += ["", f"**{name}**", "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
            text += ["| " + " | ".join(_text(v) for v in row.values()) + " |" for row in rows if tuple(row) == columns]
    return "\n".join(text) + "\n"


def network(N: int, seed: int = 0) -> mfm.Connectome:
    """Skewed weights up to 0.02, as streamline counts have after the logarithm."""
    weights = np.random.default_rng(seed).beta(0.6, 2.0, (N, N))
    weights = np.triu(weights, 1) + np.triu(weights, 1).T
    return mfm.Connectome(0.02 * weights / weights.max())


def candidates(B: int, sc: mfm.Connectome, device: str = _DEVICE, sigma: float = 0.004) -> mfm.FICParameters:
    rng = np.random.default_rng(1)
    shape = (B, sc.n_regions)
    G = np.full(B, 0.25 / sc.weights.sum(axis=1).mean())
    p = mfm.FICParameters(rng.uniform(2.6, 3.2, shape), rng.uniform(2.2, 2.6, shape), np.full(shape, sigma), G)
    return p.to(device)


def simulate_tile(p, sc, protocol, tile, n_repeats: int = 1, seed: int = 0):
    """`mfm.simulate` with a tile of our choice: BOLD and averages."""
    arguments = (_initial_state(p, None, n_repeats), _noise_keys(seed, p.n_candidates), n_repeats, tile)
    return gpu.simulate_on_gpu(p, feedback_weights(p, sc), sc, protocol, *arguments)


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


# --- check ---------------------------------------------------------------------------------------------------------------


def check(bench: Bench) -> None:
    bench.start("check")
    for N in (20, *REGIONS):
        for timing in ({"scheme": "euler"}, {"scheme": "exponential", "hemo_dt_s": 0.03}):
            if bench.has(30):
                check_paths(bench, N, timing)
    if bench.has(30):
        check_noise_free(bench)
        check_repetition(bench)
    if bench.has(60):
        check_statistics(bench)
    if bench.has(120):
        check_realisations(bench)


def check_paths(bench: Bench, N: int, timing: dict) -> None:
    """The same noise on three backends: largest difference of BOLD (%), and relative of r_E."""
    protocol = mfm.Protocol(0.72, 5, burn_in_s=1.8, warm_up_s=0.6, **timing)
    sc = network(N)
    p = candidates(3, sc, "cpu")
    runs = {
        name: mfm.simulate(p, sc, protocol, 2, seed=[1, 2**40, 3], backend=name) for name in ("triton", "numba", "reference")
    }
    for name in ("numba", "reference"):
        a, b = runs["triton"], runs[name]
        bold, rate = (a.bold - b.bold).abs().max().item(), (a.rate_E / b.rate_E - 1).abs().max().item()
        relative = bold / b.bold.std().item()
        bench.add(
            "check", what="same path", against=name, N=N, scheme=timing["scheme"], bold_percent=bold, bold_over_std=relative,
            rate_E=rate, passed=bool(relative < 1e-3 and rate < 1e-4),
        )  # fmt: skip


def check_noise_free(bench: Bench) -> None:
    sc = network(68)
    p = candidates(2, sc, "cpu", sigma=0.0)
    start = torch.tensor(np.random.default_rng(2).uniform(0.1, 0.25, (2, 68))), torch.full((2, 68), 0.06)
    protocol = mfm.Protocol(0.72, 20, burn_in_s=0.0, warm_up_s=0.0)
    a, b = (mfm.simulate(p, sc, protocol, backend=name, initial=start) for name in ("triton", "reference"))
    error = ((a.bold - b.bold).abs().max() / b.bold.abs().max()).item()
    bench.add("check", what="noise-free, from a displaced start", error=error, passed=error < 1e-4)


def check_repetition(bench: Bench) -> None:
    sc, protocol = network(68), mfm.Protocol(0.72, 20, burn_in_s=7.2, warm_up_s=3.0)
    p = candidates(500, sc)
    first, again = (mfm.simulate(p, sc, protocol, seed=4, backend="triton") for _ in range(2))
    bench.add("check", what="repeated runs identical", passed=bool(torch.equal(first.bold, again.bold)))
    sigma = p.sigma.clone()
    sigma[7] = 1e30
    wild = mfm.simulate(mfm.FICParameters(p.w_EE, p.w_EI, sigma, p.G), sc, protocol, seed=4, backend="triton")
    others = torch.arange(500, device=p.w_EE.device) != 7
    kept = torch.isnan(wild.bold[7]).all() and wild.status[7] == mfm.SimStatus.DIVERGED
    kept = kept and torch.equal(wild.bold[others], first.bold[others])
    bench.add("check", what="NaN stays in its simulation", passed=bool(kept))
    for tile in (gpu.Tile(1, 8), gpu.Tile(2, 4), gpu.Tile(4, 4), gpu.Tile(8, 4, max_registers=168)):
        bold = simulate_tile(p, sc, protocol, tile, seed=4)[0]
        difference = ((bold - first.bold).abs().max() / first.bold.std()).item()
        bench.add(
            "check", what="tile changes nothing", tile=str(asdict(tile)), bold_over_std=difference, passed=difference < 1e-3
        )


def check_statistics(bench: Bench) -> None:
    """FC and FCD on the GPU against the processor's float64."""
    for N, T in ((20, 400), (68, 1200), (100, 1200)):
        bold = smooth_noise(2, T, N)
        fc = (mfm.functional_connectivity(bold).cpu() - mfm.functional_connectivity(bold.cpu().double())).abs().max().item()
        cdf = (mfm.fcd_cdf(bold).cpu() - mfm.fcd_cdf(bold.cpu().double())).abs().max().item()
        bench.add("check", what="FC, FCD against float64", N=N, T=T, fc=fc, cdf=cdf, passed=bool(fc < 1e-10 and cdf < 5e-5))


def check_realisations(bench: Bench, R: int = 64) -> None:
    """64 realisations each of other noise: z of mean r_E and mean FC, and KS of the pooled FCD."""
    demo = demo_subject()
    sc = demo.subject.search.sc
    p = mfm.MapParameterisation(demo.subject.maps).to_parameters(demo.coefficients)
    short = mfm.Protocol(0.72, 240, burn_in_s=36.0, warm_up_s=12.0)
    for name, protocol in (("numba", HCP), ("reference", short)):
        a = mfm.simulate(p, sc, protocol, R, seed=11, backend="triton")
        b = mfm.simulate(p, sc, protocol, R, seed=12, backend=name)
        other = mfm.simulate(p, sc, protocol, R, seed=13, backend="numba")
        samples = [(s.rate_E[0].double(), mfm.upper_triangle(mfm.functional_connectivity(s.bold[0]))) for s in (a, b)]
        z = [
            (x.mean(dim=0) - y.mean(dim=0)) / ((x.var(dim=0) + y.var(dim=0)) / R).sqrt() for x, y in zip(*samples, strict=True)
        ]
        cdf = [mfm.fcd_cdf(s.bold[0], protocol.window_frames).mean(dim=0) for s in (a, b, other)]
        ks, by_chance = ((cdf[0] - cdf[1]).abs().max().item(), (cdf[1] - cdf[2]).abs().max().item())
        # |z| > 5 of 2278 pairs by chance: once in 1000 comparisons. FCD: as two sets of realisations of processor backends.
        passed = all(x.abs().max() < 5 for x in z) and ks < max(3 * by_chance, 0.05)
        bench.add(
            "check", what=f"{R} realisations", against=name, frames=protocol.n_frames, z_rate=z[0].abs().max().item(),
            z_fc=z[1].abs().max().item(), z_fc_rms=z[1].square().mean().sqrt().item(), ks_fcd=ks, ks_by_chance=by_chance,
            passed=bool(passed),
        )  # fmt: skip


# --- tune and speed ------------------------------------------------------------------------------------------------------


def tiles(N: int) -> list[gpu.Tile]:
    """What is tried."""
    if N > 128:
        warps = (8, 16) if N > 256 else (4, 8)
        return [gpu.Tile(lanes, w, stages) for lanes in (4, 8, 16) for w in warps for stages in (2, 3)]
    limits = [(8, 4, None), (8, 4, 168), (8, 4, 128), (16, 8, None), (16, 8, 128), (4, 4, None), (4, 4, 168), (4, 4, 128)]
    return [gpu.Tile(lanes, w, 2, r) for lanes, w, r in limits + [(2, 4, None), (2, 8, None), (1, 4, None), (1, 8, None)]]


def pilot(N: int, B: int, seconds: float = 0.15) -> mfm.Protocol:
    """A protocol of about that many seconds at 0.02 ns per region-step or 0.7 us per step."""
    n_steps = seconds / max(B * N * 0.02e-9, 0.7e-6)
    return mfm.Protocol(0.72, max(2, int(n_steps / 120)), burn_in_s=0.0, warm_up_s=0.0)


def _compile(N: int, tile: gpu.Tile) -> str:
    """Compile for one tile into the disk cache (in a process of its own: this takes ten seconds)."""
    sc = network(N)
    try:
        simulate_tile(candidates(16, sc), sc, mfm.Protocol(0.072, 1, burn_in_s=0.0, warm_up_s=0.0), tile)
    except Exception as error:  # the reason is reported, the tile left out
        return f"{type(error).__name__}: {str(error)[:80]}"
    return ""


def compile_all(pairs: list[tuple[int, gpu.Tile]]) -> set[tuple[int, gpu.Tile]]:
    """Those that compile, sixteen at a time."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(min(16, len(pairs)), mp_context=get_context("spawn")) as pool:
        reasons = list(pool.map(_compile, *zip(*pairs, strict=True)))
    for (N, tile), reason in zip(pairs, reasons, strict=True):
        if reason:
            print(f"N={N} {tile}: {reason}", flush=True)
    return {pair for pair, reason in zip(pairs, reasons, strict=True) if not reason}


def tune(bench: Bench) -> None:
    bench.start("tune")
    pairs = [(N, tile) for N in REGIONS for tile in tiles(N)]
    began = time.monotonic()
    usable = compile_all(pairs)
    print(f"compiled {len(usable)} of {len(pairs)} in {time.monotonic() - began:.0f} s", flush=True)
    best = {}
    for N in REGIONS:
        sc = network(N)
        for B in BATCHES:
            if not bench.has(15):
                break
            p, protocol = candidates(B, sc), pilot(N, B)
            default = gpu.choose_tile(N, B, torch.device(_DEVICE))
            seconds = {
                tile: timed(lambda t=tile: simulate_tile(p, sc, protocol, t), turns=1)
                for tile in dict.fromkeys([default, *tiles(N)])
                if (N, tile) in usable or tile == default
            }
            fastest = min(seconds, key=seconds.get)
            best[f"{N} {B}"] = asdict(fastest)
            ns = {tile: s * 1e9 / (B * N * protocol.n_steps) for tile, s in seconds.items()}
            bench.add(
                "tune",
                N=N,
                B=B,
                best=str(asdict(fastest)),
                ns=ns[fastest],
                default=str(asdict(default)),
                ns_default=ns[default],
            )
            print("   ", {f"{t.lanes}/{t.warps}/{t.stages}/{t.max_registers}": round(v, 4) for t, v in ns.items()}, flush=True)
            write_json(bench.out / "tiles.json", best)


def tuned_tile(bench: Bench, N: int, B: int) -> gpu.Tile:
    path = bench.out / "tiles.json"
    found = json.loads(path.read_text()).get(f"{N} {B}") if path.exists() else None
    return gpu.Tile(**found) if found else gpu.choose_tile(N, B, torch.device(_DEVICE))


def speed(bench: Bench) -> None:
    bench.start("speed")
    for dt_s in (0.006, 0.0005):
        for N in REGIONS:
            for B in BATCHES:
                if bench.has(20):
                    measure(bench, N, B, dt_s, short=True)
    for B in (128, 2048, 4096):
        if bench.has(30):
            measure(bench, 68, B, 0.006, short=False)


def measure(bench: Bench, N: int, B: int, dt_s: float, short: bool) -> None:
    """One row; `short` simulates part of the frames and gives the rate of the whole."""
    sc, whole = network(N), mfm.Protocol(0.72, 1200, dt_s=dt_s)
    p, tile = candidates(B, sc), tuned_tile(bench, N, B)
    frames = max(2, int(pilot(N, B, 0.4).n_steps * 0.006 / 0.72 * dt_s / 0.006)) if short else 1200
    protocol = mfm.Protocol(0.72, min(frames, 1200), dt_s=dt_s, burn_in_s=0.0, warm_up_s=0.0) if short else whole
    torch.cuda.reset_peak_memory_stats()
    seconds = timed(lambda: simulate_tile(p, sc, protocol, tile))
    per_step = seconds / protocol.n_steps
    region_steps = B * N / per_step
    facts = torch.cuda.get_device_properties(0)
    issue = facts.multi_processor_count * 128 * max_clock_mhz() * 1e6
    bench.add(
        "speed", N=N, B=B, dt_ms=dt_s * 1e3, frames=protocol.n_frames, tile=f"{tile.lanes}/{tile.warps}/{tile.max_registers}",
        hcp_simulations_per_s=B / (per_step * whole.n_steps), ns_per_region_step=1e9 / region_steps, us_per_step=per_step * 1e6,
        tflop_per_s=region_steps * (2 * N + ELEMENTWISE_FLOP) / 1e12,
        share_of_issue_slots=region_steps * INSTRUCTIONS * 2 * gpu.half_size(N) / N / issue,
        peak_gib=torch.cuda.max_memory_allocated() / 2**30,
    )  # fmt: skip


# --- fcd and peer --------------------------------------------------------------------------------------------------------


def smooth_noise(R: int, T: int, N: int) -> torch.Tensor:
    """Something like BOLD: correlated in time and between regions."""
    generator = torch.Generator(device=_DEVICE).manual_seed(0)
    x = torch.randn(R, T + 20, N, device=_DEVICE, generator=generator)
    x = x + 0.7 * torch.randn(R, T + 20, 1, device=_DEVICE, generator=generator)
    return (x.cumsum(dim=1)[:, 10:] - x.cumsum(dim=1)[:, :-10])[:, :T].contiguous()


def fcd(bench: Bench) -> None:
    bench.start("fcd")
    for N in REGIONS:
        for R in (1, 100, 300, 1024):
            if not bench.has(30) or R * N > 80_000:
                continue
            bold = smooth_noise(R, 1200, N)
            torch.cuda.reset_peak_memory_stats()
            fc = timed(lambda x=bold: mfm.functional_connectivity(x), turns=2)
            cdf = timed(lambda x=bold: mfm.fcd_cdf(x), turns=2)
            coarse = timed(lambda x=bold: mfm.fcd_cdf(x, step_frames=5), turns=2)
            pairs, windows = N * (N - 1) / 2, 1200 - 83 + 1
            bench.add(
                "fcd", N=N, runs=R, fc_ms_per_run=fc / R * 1e3, fcd_ms_per_run=cdf / R * 1e3, fcd_step_5_ms_per_run=coarse / R * 1e3,
                product_tflop_per_s=R * windows**2 * pairs / cdf / 1e12, peak_gib=torch.cuda.max_memory_allocated() / 2**30,
            )  # fmt: skip


def peer(bench: Bench) -> None:
    bench.start("peer")
    sc = network(100)
    protocol = mfm.Protocol(0.5, 120, dt_s=1e-4, burn_in_s=0.0, warm_up_s=0.0, hemo_dt_s=1e-3)
    for B in (128, 1024, 8192):
        if bench.has(90):
            p, tile = candidates(B, sc), tuned_tile(bench, 100, B)
            seconds = timed(lambda p=p, t=tile: simulate_tile(p, sc, protocol, t), turns=1)
            bench.add(
                "peer", B=B, seconds=seconds, simulations_per_s=B / seconds, times_cubnm_a100=B / seconds / CUBNM_PER_SECOND
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for bench_gpu.json, bench_gpu.md and tiles.json")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--minutes", type=float, default=9.0, help="no measurement is begun that would end later")
    args = parser.parse_args()
    obstacle = gpu.why_not() or ("Triton's interpreter is on" if gpu.interpreting() else None)
    if obstacle:
        sys.exit(f"No GPU to measure: {obstacle}.")
    bench = Bench(args.out, args.minutes)
    for section in args.sections:
        {"check": check, "tune": tune, "speed": speed, "fcd": fcd, "peer": peer}[section](bench)
    failed = [row for row in bench.sections.get("check", []) if not row["passed"]]
    print(f"\n{len(failed)} checks failed" if failed else "\nevery check passed" if "check" in args.sections else "")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
