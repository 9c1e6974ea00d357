"""The triton backend: on a GPU where there is one, else step by step in Triton's interpreter, on sizes to match."""

from itertools import pairwise

import numpy as np
import pytest
import torch

pytest.importorskip("triton", reason="triton is not installed")

import small

import mfm
from mfm.simulation import gpu
from mfm.statistics import device as device_statistics
from mfm.statistics.fc import _correlation_of

N = 9
DEVICE = gpu.gpu_device(torch.device("cpu"))

# The interpreter divides by zero where the kernel then takes the other branch.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def connectome(n_regions=N):
    """Asymmetric: the kernel must not transpose it. Regions get as much input, however many they are."""
    return mfm.Connectome(small.network(n_regions, scale=0.18).weights / n_regions)


def driven(B=3, sigma=0.004, n_regions=N):
    return small.candidates(n_regions, B, sigma=sigma, I_ext=(-0.01, 0.01))


def displaced(B=3, n_regions=N):
    rng = np.random.default_rng(2)
    return torch.tensor(rng.uniform(0.1, 0.3, (B, n_regions))), torch.tensor(rng.uniform(0.03, 0.08, (B, n_regions)))


def run(p, protocol, tile=None, n_repeats=1, seed=5, initial=None):
    """The kernel itself: BOLD and averages, on the CPU."""
    from mfm.simulation.work import SimulationRequest, checked_work

    work = checked_work(SimulationRequest(p, connectome(), protocol, n_repeats, seed, initial))
    bold, averages = gpu.simulate_on_gpu([work], tile)[0]
    return [x.cpu() for x in (bold, *averages)]


BRIEF = mfm.Protocol(tr_s=0.012, n_frames=1, burn_in_s=0.012, warm_up_s=0.006)


@pytest.mark.parametrize(
    "timing",
    [
        {"dt_s": 0.006, "burn_in_s": 0.018, "warm_up_s": 0.012},
        {"dt_s": 0.006, "burn_in_s": 0.01, "warm_up_s": 0.018, "hemo_dt_s": 0.012, "scheme": "exponential"},
    ],
    ids=["euler", "exponential"],
)
def test_same_noise_gives_the_same_path(timing):
    protocol = mfm.Protocol(tr_s=0.036, n_frames=2, **timing)
    seeds = [7, 2**63 + 5, 9]
    a, b = (
        mfm.simulate(driven(), connectome(), protocol, 2, seed=seeds, backend=name, initial=displaced())
        for name in ("triton", "reference")
    )
    assert a.backend == "triton"
    assert a.bold.dtype == torch.float32
    # Percent signal change, where a scan's is of order 1.
    assert (a.bold - b.bold).abs().max() < 3e-6
    for name in ("rate_E", "S_E", "S_I"):
        assert torch.allclose(getattr(a, name), getattr(b, name), rtol=5e-6)


@pytest.mark.parametrize(("n_regions", "B"), [(2, 1), (17, 1), (20, 9), (68, 3), (100, 1), (130, 2)])
def test_any_number_of_regions_and_candidates(n_regions, B):
    protocol = mfm.Protocol(tr_s=0.006, n_frames=2, burn_in_s=0.0, warm_up_s=0.006)
    p, sc, start = driven(B, n_regions=n_regions), connectome(n_regions), displaced(B, n_regions)
    a, b = (mfm.simulate(p, sc, protocol, seed=3, backend=name, initial=start) for name in ("triton", "reference"))
    assert a.bold.shape == (B, 1, 2, n_regions)
    assert (a.bold - b.bold).abs().max() < 1e-6
    for name in ("rate_E", "S_E", "S_I"):
        assert torch.allclose(getattr(a, name), getattr(b, name), rtol=5e-6)


def test_without_noise_the_reference_is_met_to_1e_4():
    protocol = mfm.Protocol(0.72, 1, dt_s=0.036, burn_in_s=0.0, warm_up_s=0.0, scheme="exponential")
    p = driven(sigma=0.0)
    a, b = (mfm.simulate(p, connectome(), protocol, backend=name, initial=displaced()) for name in ("triton", "reference"))
    assert ((a.bold - b.bold).abs().max() / b.bold.abs().max()) < 1e-4
    assert torch.allclose(a.rate_E, b.rate_E, rtol=1e-5)


def test_a_streamed_connectome_gives_the_same(monkeypatch):
    resident = run(driven(), BRIEF, initial=displaced())
    monkeypatch.setattr(gpu, "_RESIDENT_REGIONS", N - 1)
    streamed = run(driven(), BRIEF, initial=displaced())
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in zip(resident, streamed, strict=True))


def chunks_of_16(works, *_):
    """In place of what memory allows."""
    (work,) = works
    ends = [*range(0, work.n_lanes, 16), work.n_lanes]
    return [[gpu._Part(work, 0, a, b, a * work.bold_size)] for a, b in pairwise(ends)]


def test_launches_and_chunks_change_nothing(monkeypatch):
    p = driven(9)
    whole = run(p, BRIEF, gpu.Tile(16, 4), n_repeats=2)
    monkeypatch.setattr(gpu, "_STEPS_PER_LAUNCH", 2)
    monkeypatch.setattr(gpu, "_chunks", chunks_of_16)
    parts = run(p, BRIEF, gpu.Tile(16, 4), n_repeats=2)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_subjects_in_one_launch_are_what_each_is_alone(monkeypatch):
    """Connectomes, numbers of regions, timing, lengths, realisations and seeds of their own, over several launches."""
    from mfm.simulation.work import SimulationRequest, checked_work

    monkeypatch.setattr(gpu, "_STEPS_PER_LAUNCH", 3)
    timings = [
        mfm.Protocol(0.012, 2, burn_in_s=0.012, warm_up_s=0.006),
        mfm.Protocol(0.02, 3, dt_s=0.005, burn_in_s=0.0, warm_up_s=0.02, hemo_dt_s=0.01),
        mfm.Protocol(0.018, 1, burn_in_s=0.018, warm_up_s=0.0),
    ]
    sizes = ((N, 3, 1, 5), (N + 3, 1, 2, 6), (40, 2, 1, 7))
    requests = [
        SimulationRequest(driven(B, n_regions=n), connectome(n), protocol, R, seed, displaced(B, n))
        for (n, B, R, seed), protocol in zip(sizes, timings, strict=True)
    ]
    together = mfm.simulate_many(requests, backend="triton")
    for request, one in zip(requests, together, strict=True):
        alone = mfm.simulate(
            request.p, request.sc, request.protocol, request.n_repeats, request.seed, "reference", request.initial
        )
        assert one.bold.shape == alone.bold.shape
        assert (one.bold - alone.bold).abs().max() < 3e-6
        assert torch.allclose(one.rate_E, alone.rate_E, rtol=5e-6)
        assert torch.allclose(one.S_I, alone.S_I, rtol=5e-6)
    works = [checked_work(request) for request in requests]
    tile = gpu.Tile(4, 4)
    for work, found in zip(works, gpu.simulate_on_gpu(works, tile), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found, gpu.simulate_on_gpu([work], tile)[0], strict=True))


def test_repeated_runs_are_identical_and_candidates_independent():
    p = driven()
    first, again, alone = (run(q, BRIEF, gpu.Tile(8, 4)) for q in (p, p, p[1]))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(a[1], b[0]) for a, b in zip(first, alone, strict=True))


def test_a_diverged_candidate_is_nan_and_leaves_the_others_alone():
    p = driven()
    sigma = p.sigma.clone()
    sigma[1] = 1e30
    wild = mfm.simulate(mfm.FICParameters(p.w_EE, p.w_EI, sigma, p.G), connectome(), BRIEF, backend="triton")
    calm = mfm.simulate(p, connectome(), BRIEF, backend="triton")
    assert wild.status[1] == mfm.SimStatus.DIVERGED
    assert all(torch.isnan(x[1]).all() for x in (wild.bold, wild.rate_E, wild.S_E, wild.S_I))
    assert torch.equal(wild.bold[[0, 2]], calm.bold[[0, 2]])


def series(R, T, n_regions, seed=0):
    generator = torch.Generator().manual_seed(seed)
    slow = torch.randn(R, T, n_regions, generator=generator).cumsum(dim=1)
    return (0.3 * slow + torch.randn(R, T, n_regions, generator=generator)).float()


def test_fcd_on_the_device_counts_as_on_the_processor():
    x = series(2, 32, N)
    x[1, 10:, 3] = 0.5  # constant in some window
    # 17 windows of 16 frames, 136 products: a count is 0.0074.
    ours = device_statistics.fcd_cdf_on_device(x.to(DEVICE), 16, 200, 1).cpu()
    theirs = mfm.fcd_cdf(x, 16, 200)
    assert (ours[0] - theirs[0]).abs().max() < 0.0074
    assert torch.isnan(ours[1]).all()
    assert torch.isnan(theirs[1]).all()


def test_fcd_in_blocks_of_windows_counts_the_same():
    x = series(1, 50, N).to(DEVICE)
    whole = device_statistics.fcd_cdf_on_device(x, 20, 200, 3)
    parts = device_statistics.fcd_cdf_on_device(x, 20, 200, 3, pattern_bytes=2 * 4 * (4 * 36 + 4 * 64 + 16))
    assert torch.equal(whole, parts)


def test_fc_in_a_padded_batch_is_that_of_each_run():
    x = series(5, 40, N)
    assert torch.allclose(_correlation_of(x, 8), mfm.functional_connectivity(x), atol=1e-14)
