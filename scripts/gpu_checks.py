"""What the GPU backend must show on the hardware itself, where Triton's interpreter cannot speak for it (`bench_gpu.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch

import mfm
from mfm.demo import demo_subject
from mfm.simulation import gpu
from mfm.simulation.work import SimulationRequest, checked_work

DEVICE = "cuda"
HCP = mfm.Protocol(tr_s=0.72, n_frames=1200)


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    what: str
    passed: bool
    figures: str


def network(N: int) -> mfm.Connectome:
    """Skewed weights up to 0.02, as streamline counts have after the logarithm."""
    weights = np.random.default_rng(0).beta(0.6, 2.0, (N, N))
    weights = np.triu(weights, 1) + np.triu(weights, 1).T
    return mfm.Connectome(0.02 * weights / weights.max())


def candidates(B: int, sc: mfm.Connectome, device: str = DEVICE, sigma: float = 0.004) -> mfm.FICParameters:
    rng = np.random.default_rng(1)
    shape = (B, sc.n_regions)
    G = np.full(B, 0.25 / sc.weights.sum(axis=1).mean())
    p = mfm.FICParameters(rng.uniform(2.6, 3.2, shape), rng.uniform(2.2, 2.6, shape), np.full(shape, sigma), G)
    return p.to(device)


def simulate_tile(p, sc, protocol, tile, seed: int = 0):
    """`mfm.simulate` with a tile of our choice: BOLD and averages."""
    work = checked_work(SimulationRequest(p, sc, protocol, seed=seed))
    return gpu.simulate_on_gpu([work], tile)[0]


def smooth_noise(R: int, T: int, N: int) -> torch.Tensor:
    """Something like BOLD: correlated in time and between regions."""
    generator = torch.Generator(device=DEVICE).manual_seed(0)
    x = torch.randn(R, T + 20, N, device=DEVICE, generator=generator)
    x = x + 0.7 * torch.randn(R, T + 20, 1, device=DEVICE, generator=generator)
    return (x.cumsum(dim=1)[:, 10:] - x.cumsum(dim=1)[:, :-10])[:, :T].contiguous()


def same_path(N: int) -> Iterator[Check]:
    """The same noise on three backends: largest difference of BOLD over its standard deviation, and relative of r_E."""
    for timing in ({"scheme": "euler"}, {"scheme": "exponential", "hemo_dt_s": 0.03}):
        protocol = mfm.Protocol(0.72, 5, burn_in_s=1.8, warm_up_s=0.6, **timing)
        sc = network(N)
        p = candidates(3, sc, "cpu")
        a, *others = (
            mfm.simulate(p, sc, protocol, 2, seed=[1, 2**40, 3], backend=name) for name in ("triton", "numba", "reference")
        )
        for b in others:
            bold = ((a.bold - b.bold).abs().max() / b.bold.std()).item()
            rate = (a.rate_E / b.rate_E - 1).abs().max().item()
            what = f"path of {b.backend}, N = {N}, {timing['scheme']}"
            yield Check(what, bold < 1e-3 and rate < 1e-4, f"BOLD {bold:.1e} of its std, r_E {rate:.1e}")


def noise_free() -> Iterator[Check]:
    sc = network(68)
    p = candidates(2, sc, "cpu", sigma=0.0)
    start = torch.tensor(np.random.default_rng(2).uniform(0.1, 0.25, (2, 68))), torch.full((2, 68), 0.06)
    protocol = mfm.Protocol(0.72, 20, burn_in_s=0.0, warm_up_s=0.0)
    a, b = (mfm.simulate(p, sc, protocol, backend=name, initial=start) for name in ("triton", "reference"))
    error = ((a.bold - b.bold).abs().max() / b.bold.abs().max()).item()
    yield Check("noise-free from a displaced start, against reference", error < 1e-4, f"{error:.1e} of the largest BOLD")


def repetition() -> Iterator[Check]:
    """One seed is one result, whatever lies beside it and whatever tile computes it."""
    sc, protocol, n = network(68), mfm.Protocol(0.72, 20, burn_in_s=7.2, warm_up_s=3.0), 500
    p = candidates(n, sc)
    first, again = (mfm.simulate(p, sc, protocol, seed=4, backend="triton") for _ in range(2))
    yield Check("repeated runs identical", torch.equal(first.bold, again.bold), f"{n} simulations")
    sigma = p.sigma.clone()
    sigma[7] = 1e30
    wild = mfm.simulate(mfm.FICParameters(p.w_EE, p.w_EI, sigma, p.G), sc, protocol, seed=4, backend="triton")
    others = torch.arange(n, device=DEVICE) != 7
    kept = torch.isnan(wild.bold[7]).all().item() and wild.status[7].item() == mfm.SimStatus.DIVERGED
    kept = kept and torch.equal(wild.bold[others], first.bold[others])
    yield Check("NaN stays in its simulation", kept, "one of 500 diverges, the others are identical")
    for tile in (gpu.Tile(1, 8), gpu.Tile(2, 4), gpu.Tile(4, 4), gpu.Tile(8, 4, max_registers=168)):
        bold = simulate_tile(p, sc, protocol, tile, seed=4)[0]
        difference = ((bold - first.bold).abs().max() / first.bold.std()).item()
        what = f"tile of {tile.lanes} changes rounding at most"
        yield Check(what, difference < 1e-3, "identical" if difference == 0 else f"BOLD {difference:.1e} of its std")


def subjects_together() -> Iterator[Check]:
    """Three subjects in one launch, with connectomes, timing and lengths of their own, against each by itself."""
    requests = [
        mfm.SimulationRequest(candidates(50, network(N)), network(N), mfm.Protocol(tr_s, frames, dt_s, 7.2, 3.0), seed=N)
        for N, tr_s, frames, dt_s in ((68, 0.72, 20, 0.006), (84, 2.0, 9, 0.005), (100, 0.8, 15, 0.005))
    ]
    worst = 0.0
    for one, request in zip(mfm.simulate_many(requests, "triton"), requests, strict=True):
        alone = mfm.simulate(request.p, request.sc, request.protocol, seed=request.seed, backend="triton")
        worst = max(worst, ((one.bold - alone.bold).abs().max() / alone.bold.std()).item())
    yield Check("subjects in one launch are what each is alone", worst < 1e-3, f"BOLD {worst:.1e} of its std")


def fc_and_fcd() -> Iterator[Check]:
    """FC and FCD on the GPU against the processor's float64."""
    for N, T in ((20, 400), (68, 1200), (100, 1200)):
        bold = smooth_noise(2, T, N)
        fc = (mfm.functional_connectivity(bold).cpu() - mfm.functional_connectivity(bold.cpu().double())).abs().max().item()
        cdf = (mfm.fcd_cdf(bold, 83).cpu() - mfm.fcd_cdf(bold.cpu().double(), 83)).abs().max().item()
        yield Check(f"FC, FCD against float64, N = {N}, {T} frames", fc < 1e-10 and cdf < 5e-5, f"FC {fc:.1e}, CDF {cdf:.1e}")


def realisations(R: int = 64) -> Iterator[Check]:
    """R realisations each of other noise: z of mean r_E and mean FC, and KS of the pooled FCD."""
    demo = demo_subject()
    sc = demo.subject.search.sc
    p = mfm.MapParameterisation(demo.subject.maps).to_parameters(demo.coefficients)
    short = mfm.Protocol(0.72, 240, burn_in_s=36.0, warm_up_s=12.0)
    for name, protocol in (("numba", HCP), ("reference", short)):
        a = mfm.simulate(p, sc, protocol, R, seed=11, backend="triton")
        b = mfm.simulate(p, sc, protocol, R, seed=12, backend=name)
        other = mfm.simulate(p, sc, protocol, R, seed=13, backend="numba")
        samples = [(s.rate_E[0].double(), mfm.upper_triangle(mfm.functional_connectivity(s.bold[0]))) for s in (a, b)]
        rate, fc = (
            (x.mean(dim=0) - y.mean(dim=0)) / ((x.var(dim=0) + y.var(dim=0)) / R).sqrt() for x, y in zip(*samples, strict=True)
        )
        cdf = [mfm.fcd_cdf(s.bold[0], protocol.window_frames).mean(dim=0) for s in (a, b, other)]
        ks, by_chance = ((x - cdf[1]).abs().max().item() for x in (cdf[0], cdf[2]))
        # |z| > 5 in 2278 pairs by chance: once in 1000 comparisons. FCD: as two sets of realisations of processor backends.
        passed = rate.abs().max() < 5 and fc.abs().max() < 5 and ks < max(3 * by_chance, 0.05)
        figures = (
            f"z of r_E {rate.abs().max():.1f}, of FC {fc.abs().max():.1f} (rms {fc.square().mean().sqrt():.2f}), "
            f"KS of FCD {ks:.3f} (two sets by other backends {by_chance:.3f})"
        )
        yield Check(f"{R} realisations of {protocol.n_frames} frames against {name}", bool(passed), figures)


#: What is checked, and seconds that it may take.
CHECKS: tuple[tuple[int, Callable[[], Iterator[Check]]], ...] = (
    *((30, lambda N=N: same_path(N)) for N in (20, 68, 100, 200, 400)),
    (30, noise_free),
    (30, repetition),
    (20, subjects_together),
    (60, fc_and_fcd),
    (120, realisations),
)


def tile_name(tile: gpu.Tile) -> str:
    """Lanes / warps / stages / registers."""
    return "/".join("-" if value is None else str(value) for value in asdict(tile).values())
