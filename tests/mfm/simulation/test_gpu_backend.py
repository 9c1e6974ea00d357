"""What surrounds the `triton` backend's kernel: which machine can run it, launches, layouts and memory. No GPU, no Triton."""

import subprocess
import sys
from itertools import accumulate
from types import SimpleNamespace

import numpy as np
import pytest
import small
import torch
from hypothesis import given
from hypothesis import strategies as st

import mfm
from mfm.compute import machine as home
from mfm.errors import BackendError
from mfm.simulation import gpu, gpu_arrays
from mfm.simulation.backends import compute_device

PROTOCOL = mfm.Protocol(tr_s=0.012, n_frames=2, burn_in_s=0.0, warm_up_s=0.0)


def uniform_network(n_regions=4):
    return mfm.Connectome(0.02 * (1 - np.eye(n_regions)))


@pytest.fixture
def machine(monkeypatch):
    """A machine with a GPU and Triton, as far as `why_not` asks."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(home, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    driver = SimpleNamespace(active=SimpleNamespace(get_current_device=lambda: 0))
    triton = SimpleNamespace(__version__="3.7.1", runtime=SimpleNamespace(driver=driver))
    monkeypatch.setitem(sys.modules, "triton", triton)
    home._triton_obstacle.cache_clear()
    yield triton
    home._triton_obstacle.cache_clear()


def test_the_gpu_is_taken_where_it_is_named(machine, monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    assert home.why_not() is None
    assert compute_device(small.alike(4, [3.0, 3.0], G=1.0), "triton") == torch.device("cuda", 0)
    assert compute_device(small.alike(4, [3.0, 3.0], G=1.0), "auto") == torch.device("cpu")
    assert mfm.simulate(small.alike(4, [3.0, 3.0], G=1.0), uniform_network(), PROTOCOL).backend == "numba"


def test_neither_import_nor_simulation_on_a_processor_imports_triton():
    code = (
        "import sys, mfm, numpy as np\n"
        "p = mfm.FICParameters(np.full(3, 3.0), np.full(3, 2.5), np.full(3, 0.0), [1.0])\n"
        "sc = mfm.Connectome(1 - np.eye(3))\n"
        "mfm.simulate(p, sc, mfm.Protocol(0.012, 1, burn_in_s=0, warm_up_s=0), backend='reference')\n"
        "from mfm.simulation.backends import compute_device; compute_device(p)\n"
        "print('triton' in sys.modules)"
    )
    environment = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "False"


def test_errors_say_what_is_missing(machine, monkeypatch):
    def message(n_regions=4):
        home._triton_obstacle.cache_clear()
        with pytest.raises(BackendError) as caught:
            mfm.simulate(small.alike(n_regions, [3.0, 3.0], G=1.0), uniform_network(n_regions), PROTOCOL, backend="triton")
        text = str(caught.value)
        assert text.startswith("The triton backend cannot be used here.")
        assert 'fix: `backend="numba"`' in text
        return text

    assert "found: 513 regions; the kernel takes at most 512" in message(513)

    def no_compiler():
        raise RuntimeError("Failed to find C compiler.\nmore")

    machine.runtime.driver.active.get_current_device = no_compiler
    assert "Triton cannot start (Failed to find C compiler.); it needs a C compiler (gcc or clang)" in message()
    machine.__version__ = "3.2.0"
    assert "triton 3.2.0; 3.7 or later is needed" in message()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert "compute capability 7.5; 8.0" in message()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch sees no CUDA GPU (torch " in message()
    monkeypatch.setattr(home, "find_spec", lambda name: None)
    assert "the package triton is not installed" in message()


def test_gradients_are_refused(machine):
    p = small.alike(4, [3.0, 3.0], G=1.0)
    grown = mfm.FICParameters(p.w_EE.requires_grad_(), p.w_EI, p.sigma, p.G)
    with pytest.raises(BackendError, match="The triton backend has no gradients"):
        mfm.simulate(grown, uniform_network(), PROTOCOL, backend="triton")


def test_too_little_memory_is_chunked_then_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(gpu, "free_memory", lambda device: 2**30)
    cuda, tile = torch.device("cuda"), gpu.Tile(8, 4)
    shape = gpu_arrays.Shape(4, 2, 1, (0,), 0, (1,), True, True)

    def chunks(*sizes, stays):
        works = [
            SimpleNamespace(
                n_lanes=n, bold_size=frames * 68, p=SimpleNamespace(n_regions=68), protocol=SimpleNamespace(n_frames=frames)
            )
            for n, frames in sizes
        ]
        found = gpu._chunks(works, shape, tile, cuda, stays)
        # Every simulation once, in order, with BOLD where those before it end.
        parts = [part for chunk in found for part in chunk]
        assert all(parts)
        assert [part.bold for part in parts] == list(accumulate((part.bold_size for part in parts[:-1]), initial=0))
        for k, work in enumerate(works):
            own = [part for part in parts if part.member == k]
            assert [own[0].first, *(part.last for part in own)] == [*(part.first for part in own), work.n_lanes]
        return found

    assert len(chunks((100, 1200), stays=True)) == 1
    assert len(chunks((100, 1200), (50, 300), stays=True)) == 1
    many = chunks((100, 1200), (10_000, 1200), (7, 400), stays=False)
    assert len(many) > 3
    assert [part.member for part in many[0]] == [0, 1]
    assert [part.member for part in many[-1]] == [1, 2]
    assert all(part.last % 16 == 0 for chunk in many for part in chunk if part.last < part.work.n_lanes)
    with pytest.raises(
        BackendError, match=r"(?s)too little free memory.*GiB for 100000 simulations.*1.00 GiB free on a GPU.*CPU"
    ):
        chunks((100_000, 1200), stays=True)


@pytest.mark.parametrize("n_lanes", [1, 128, 300, 8192])
@pytest.mark.parametrize("n_regions", [2, 20, 68, 129, 400, 512])
def test_tiles_leave_two_programs_for_each_multiprocessor(monkeypatch, n_regions, n_lanes):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(multi_processor_count=132))
    tile = gpu.choose_tile(n_regions, n_lanes, torch.device("cuda"))
    assert tile.lanes in (1, 2, 4, 8)
    assert tile.lanes == 1 or n_regions > 128 or n_lanes >= 2 * 132 * tile.lanes
    assert 32 * tile.warps <= 2 * gpu_arrays.half_size(n_regions) * tile.lanes or tile.lanes < 8


@given(st.integers(1, 9), st.integers(1, 6), st.integers(0, 50), st.integers(0, 40), st.integers(1, 7), st.integers(1, 100))
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
    # Both factors to 22 bits: 2^-21 of sum |C e|, against products in float64.
    rng = np.random.default_rng(3)
    weights = rng.gamma(0.3, 0.01, (100, 100))
    packed, scale = gpu_arrays.packed_connectome(weights, torch.device("cpu")), gpu_arrays.connectome_scale(weights)
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
    rows = gpu_arrays.to_rows(x, 8)
    assert rows.shape == (2 * gpu_arrays.half_size(n_regions), 16)
    assert torch.equal(gpu_arrays.from_rows(rows[None], 5, n_regions)[0], x)


def test_streams_are_the_words_of_keys_and_realisations():
    keys = np.array([7, 2**63 + 5, 2**40 + 2**31], dtype=np.uint64)
    streams = gpu_arrays.noise_streams(keys, np.array([0, 1, 2], dtype=np.uint32), 16, torch.device("cpu"))
    low, high, realisation = streams.numpy().view(np.uint32)
    assert low[:3].tolist() == [7, 5, 2**31]
    assert high[:3].tolist() == [0, 2**31, 2**8]
    assert realisation.tolist() == [0, 1] + 14 * [2]
