"""The triton backend: on a GPU where there is one, else step by step in Triton's interpreter, on sizes to match."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("triton", reason="triton is not installed")

import mfm
from mfm.backends import gpu
from mfm.errors import BackendError
from mfm.feedback import feedback_weights
from mfm.statistics import device as device_statistics
from mfm.statistics.fc import _correlation_of

N = 9
DEVICE = gpu.gpu_device(torch.device("cpu"))

# The interpreter divides by zero where the kernel then takes the other branch.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def network(seed=0):
    weights = np.random.default_rng(seed).random((N, N)) * 0.02
    np.fill_diagonal(weights, 0)
    return mfm.Connectome(weights)


def candidates(B=3, sigma=0.004, seed=1):
    rng = np.random.default_rng(seed)
    w_EE, w_EI = rng.uniform(3.0, 3.6, (B, N)), rng.uniform(2.2, 2.8, (B, N))
    return mfm.FICParameters(w_EE, w_EI, np.full((B, N), sigma), np.full(B, 2.5))


def displaced(B=3, seed=2):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.uniform(0.1, 0.3, (B, N))), torch.tensor(rng.uniform(0.03, 0.08, (B, N)))


def run(p, protocol, tile=None, n_repeats=1, seed=5, initial=None):
    """The kernel itself: BOLD and averages, on the CPU."""
    from mfm.simulation import _initial_state, _noise_keys

    state = _initial_state(p, initial, n_repeats)
    keys = _noise_keys(seed, p.n_candidates)
    results = gpu.simulate_on_gpu(p, feedback_weights(p, network()), network(), protocol, state, keys, n_repeats, tile)
    return [x.cpu() for x in results]


BRIEF = mfm.Protocol(tr_s=0.012, n_frames=2, burn_in_s=0.018, warm_up_s=0.006)


@pytest.mark.parametrize(
    "timing",
    [
        {"dt_s": 0.006, "burn_in_s": 0.03, "warm_up_s": 0.012},
        {"dt_s": 0.012, "burn_in_s": 0.1, "warm_up_s": 0.05, "hemo_dt_s": 0.036, "scheme": "exponential"},
    ],
    ids=["euler", "exponential"],
)
def test_same_noise_gives_the_same_path(timing):
    protocol = mfm.Protocol(tr_s=0.072, n_frames=2, **timing)
    seeds = [7, 2**63 + 5, 9]
    a, b = (
        mfm.simulate(candidates(), network(), protocol, 2, seed=seeds, backend=name, initial=displaced())
        for name in ("triton", "reference")
    )
    assert a.backend == "triton"
    assert a.bold.dtype == torch.float32
    # Percent signal change, where a scan's is of order 1.
    assert (a.bold - b.bold).abs().max() < 3e-6
    for name in ("rate_E", "S_E", "S_I"):
        assert torch.allclose(getattr(a, name), getattr(b, name), rtol=5e-6)


def test_without_noise_the_reference_is_met_to_1e_4():
    protocol = mfm.Protocol(0.72, 2, dt_s=0.036, burn_in_s=0.0, warm_up_s=0.0, scheme="exponential")
    p = candidates(sigma=0.0)
    a, b = (mfm.simulate(p, network(), protocol, backend=name, initial=displaced()) for name in ("triton", "reference"))
    assert ((a.bold - b.bold).abs().max() / b.bold.abs().max()) < 1e-4
    assert torch.allclose(a.rate_E, b.rate_E, rtol=1e-5)


def test_a_streamed_connectome_gives_the_same(monkeypatch):
    resident = run(candidates(), BRIEF, initial=displaced())
    monkeypatch.setattr(gpu, "_RESIDENT_REGIONS", N - 1)
    streamed = run(candidates(), BRIEF, initial=displaced())
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in zip(resident, streamed, strict=True))


def test_launches_and_chunks_change_nothing(monkeypatch):
    p = candidates(9)
    whole = run(p, BRIEF, gpu.Tile(8, 4), n_repeats=2)
    monkeypatch.setattr(gpu, "_STEPS_PER_LAUNCH", 2)
    monkeypatch.setattr(gpu, "_chunk_lanes", lambda *args, **more: 16)
    parts = run(p, BRIEF, gpu.Tile(8, 4), n_repeats=2)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_repeated_runs_are_identical_and_candidates_independent():
    p = candidates()
    first, again, alone = (run(q, BRIEF, gpu.Tile(8, 4)) for q in (p, p, p[1]))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(a[1], b[0]) for a, b in zip(first, alone, strict=True))


def test_a_diverged_candidate_is_nan_and_leaves_the_others_alone():
    p = candidates()
    sigma = p.sigma.clone()
    sigma[1] = 1e30
    wild = mfm.simulate(mfm.FICParameters(p.w_EE, p.w_EI, sigma, p.G), network(), BRIEF, backend="triton")
    calm = mfm.simulate(p, network(), BRIEF, backend="triton")
    assert wild.status[1] == mfm.SimStatus.DIVERGED
    assert all(torch.isnan(x[1]).all() for x in (wild.bold, wild.rate_E, wild.S_E, wild.S_I))
    assert torch.equal(wild.bold[[0, 2]], calm.bold[[0, 2]])


@given(
    st.integers(1, 9), st.integers(1, 6), st.integers(0, 50), st.integers(0, 40), st.integers(1, 7), st.integers(1, 100)
)
def test_launches_cover_the_protocol(substeps, per_frame, warm_up, burn_in, n_frames, limit):
    dt = 0.001
    protocol = mfm.Protocol(
        dt * substeps * per_frame, n_frames, dt, dt * substeps * burn_in, dt * warm_up, hemo_dt_s=dt * substeps
    )
    launches = list(gpu._launches(protocol, limit))
    assert sum(launch.n_steps for launch in launches) == protocol.n_steps
    assert sum(launch.n_steps for launch in launches if not launch.hemodynamics) == protocol.warm_up_steps
    frames = [launch.frame + k for launch in launches if launch.frame >= 0 for k in range(launch.n_outer)]
    assert frames == list(range(n_frames))
    assert all(launch.n_steps <= max(limit, protocol.steps_per_tr) for launch in launches)


def test_split_products_are_exact_to_float32():
    # Three of four partial products and float32 sums: 2^-21 of sum |C e|, against products in float64.
    rng = np.random.default_rng(3)
    weights = rng.gamma(0.3, 0.01, (100, 100))
    packed, scale = gpu.packed_connectome(weights, torch.device("cpu"))
    assert packed.shape == (2, 128, 128)
    assert (packed.double().sum(dim=0).amax() / scale - weights.max()).abs() < 2**-21 * weights.max()
    row = np.arange(128)
    region = 16 * (row // 16) + 2 * (row % 8) + (row // 8) % 2
    C = np.zeros((128, 128))
    C[:100, :100] = weights
    e = np.zeros(128)
    e[:100] = rng.normal(0, 0.03, 100)
    C, e = C[np.ix_(region, region)], torch.tensor(e[region] * 1024)
    high = e.half()
    low = (e - high.double()).half()
    product = sum((part.double() @ x.double()) for part in packed for x in (high, low)) / (1024 * scale)
    error = np.abs(product.numpy() - C @ (e.numpy() / 1024))
    assert (error <= 2**-21 * (np.abs(C) @ np.abs(e.numpy() / 1024)) + 1e-30).all()


@pytest.mark.parametrize("n_regions", [2, 20, 68, 100, 129, 400, 512])
def test_rows_keep_every_region_in_its_place(n_regions):
    x = torch.rand(5, n_regions)
    rows = gpu._to_rows(x, 8)
    assert rows.shape == (2 * gpu.half_size(n_regions), 16)
    assert torch.equal(gpu._from_rows(rows[None], 5, n_regions)[0], x)


def test_auto_takes_numba_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert mfm.simulate(candidates(), network(), BRIEF).backend == "numba"


def test_errors_say_what_is_missing(monkeypatch):
    p, sc = candidates(), network()
    many = mfm.FICParameters(np.full(513, 3.0), np.full(513, 2.5), np.zeros(513), [1.0])
    with pytest.raises(BackendError, match=r"(?s)513 regions; the kernel takes at most 512.*numba"):
        mfm.simulate(many, mfm.Connectome(np.ones((513, 513))), BRIEF, backend="triton")
    grown = mfm.FICParameters(p.w_EE.requires_grad_(), p.w_EI, p.sigma, p.G)
    with pytest.raises(BackendError, match="The triton backend has no gradients"):
        mfm.simulate(grown, sc, BRIEF, backend="triton")
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendError, match=r"(?s)torch sees no CUDA GPU.*backend=\"numba\""):
        mfm.simulate(candidates(), sc, BRIEF, backend="triton")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    with pytest.raises(BackendError, match=r"compute capability 7.5; 8.0"):
        mfm.simulate(candidates(), sc, BRIEF, backend="triton")
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match="triton is not installed"):
        mfm.simulate(candidates(), sc, BRIEF, backend="triton")


def test_too_little_memory_is_chunked_then_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    cuda, tile = torch.device("cuda"), gpu.Tile(8, 4)
    monkeypatch.setattr(gpu, "free_memory", lambda device: 2**30)
    assert gpu._chunk_lanes(100, 68, 1200, tile, cuda, stays=True) == 100
    part = gpu._chunk_lanes(100_000, 68, 1200, tile, cuda, stays=False)
    assert 1000 < part < 100_000
    assert part % 16 == 0
    with pytest.raises(BackendError, match=r"(?s)too little free memory.*GiB for 100000 simulations.*1.00 GiB free on a GPU.*CPU"):
        gpu._chunk_lanes(100_000, 68, 1200, tile, cuda, stays=True)


def series(R, T, n_regions, seed=0):
    generator = torch.Generator().manual_seed(seed)
    slow = torch.randn(R, T, n_regions, generator=generator).cumsum(dim=1)
    return (0.3 * slow + torch.randn(R, T, n_regions, generator=generator)).float()


def test_fcd_on_the_device_counts_as_on_the_processor():
    x = series(2, 40, N)
    x[1, 12:, 3] = 0.5  # constant in some window
    # 21 windows of 20 frames, 210 products: a count is 0.005.
    ours = device_statistics.fcd_cdf_on_device(x.to(DEVICE), 20, 200, 1).cpu()
    theirs = mfm.fcd_cdf(x, 20, 200)
    assert (ours[0] - theirs[0]).abs().max() < 0.0051
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
