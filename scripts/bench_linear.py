"""Speed of linear response against simulation: ``python scripts/bench_linear.py [--turns 5] [--batch 100] [--gpu]``.

One process measures everything in turns on the same candidates (the demo subject's, 68 regions, spread around its parameters),
so that ratios hold on a machine whose speed drifts; medians over turns. With ``--gpu`` the FC of linear response is also timed
on the first CUDA device.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

import mfm
from mfm.compute.machine import available_cores
from mfm.demo import demo_subject
from optim import LinearObjective, SimulationObjective


def candidates(B: int) -> tuple[mfm.FICParameters, mfm.Scan]:
    """Linearly stable candidates around the demo subject's parameters."""
    demo = demo_subject()
    p = mfm.MapParameterisation(demo.subject.maps).to_parameters(demo.coefficients)
    rng = np.random.default_rng(0)
    shape = (4 * B, p.n_regions)
    scaled = [getattr(p, name).numpy() * (1 + 0.1 * rng.normal(size=(4 * B, 1))) for name in ("w_EE", "w_EI", "sigma")]
    p = mfm.FICParameters(*(np.broadcast_to(x, shape) for x in scaled), p.G.numpy() * (1 + 0.1 * rng.normal(size=4 * B)))
    scan = demo.subject.search
    stable = mfm.linear_response(p, scan.sc, mfm.Protocol(scan.tr_s, scan.n_frames)).stable
    return p[torch.nonzero(stable)[:B, 0]], scan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--gpu", action="store_true", help="also time FC on the first CUDA device")
    args = parser.parse_args()
    p, scan = candidates(args.batch)
    protocol = mfm.Protocol(tr_s=0.72, n_frames=1200, hemo_dt_s=0.03, scheme="exponential")
    single = mfm.FICParameters(*(x.float() for x in (p.w_EE, p.w_EI, p.sigma, p.G)))
    lin = mfm.linear_response(p, scan.sc, protocol)
    bold = lin.sample_bold(3, 0, torch.float32)
    displacement = 10 * lin.activity_std
    theory = LinearObjective(scan, protocol)
    simulation = SimulationObjective(scan, protocol, n_repeats=3, score_out_of_range=True)

    def gradient():
        leaves = [x.clone().requires_grad_() for x in (p.w_EE, p.w_EI, p.sigma, p.G)]
        mfm.linear_response(mfm.FICParameters(*leaves), scan.sc, protocol).fc.square().sum().backward()

    work = {
        "FC": lambda: mfm.linear_response(p, scan.sc, protocol).fc,
        "FC, float32": lambda: mfm.linear_response(single, scan.sc, protocol).fc,
        "FC with gradients": gradient,
        "FC, method exact": lambda: mfm.linear_response(p[:10], scan.sc, protocol, method="exact").fc,
        "3 sampled series": lambda: lin.sample_bold(3, 0, torch.float32),
        "FCD of 3 series, every 5th window": lambda: mfm.fcd_cdf(bold, protocol.window_frames, step_frames=5),
        "displaced start": lambda: mfm.rates_after_displacement(p, scan.sc, displacement),
        "objective by theory, all of it": lambda: theory.evaluate(p, 0),
        "objective by simulation, 3 realisations": lambda: simulation.evaluate(p, 0),
    }
    if args.gpu:
        device = mfm.FICParameters(*(x.float().cuda() for x in (p.w_EE, p.w_EI, p.sigma, p.G)))
        work["FC, float32, GPU"] = lambda: mfm.linear_response(device, scan.sc, protocol).fc.cpu()
    times: dict[str, list[float]] = {name: [] for name in work}
    for name in work:  # compiled and warm
        if "simulation" not in name:
            work[name]()
    for _ in range(args.turns):
        for name, run in work.items():
            began = time.perf_counter()
            run()
            n = 10 if "exact" in name else args.batch
            times[name].append((time.perf_counter() - began) / n * 1e3)
    print(f"{args.batch} candidates, {p.n_regions} regions, {available_cores()} cores; milliseconds per candidate")
    print(f"{'':<44}{'median':>10}{'min':>10}{'max':>10}")
    for name, values in times.items():
        print(f"{name:<44}{statistics.median(values):>10.3f}{min(values):>10.3f}{max(values):>10.3f}")
    ratios = zip(times["objective by simulation, 3 realisations"], times["objective by theory, all of it"], strict=True)
    print(f"simulation / theory, per candidate: {statistics.median(s / t for s, t in ratios):.1f}x")


if __name__ == "__main__":
    main()
