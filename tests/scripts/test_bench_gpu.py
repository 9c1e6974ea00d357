"""The GPU benchmark where there is no GPU: its command line, its refusal, its tables; what it measures needs one."""

import importlib
import json
from types import SimpleNamespace

import pytest
import torch
from repository import SCRIPTS

import mfm
from mfm.compute import machine
from mfm.simulation import gpu


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("bench_gpu")


def test_without_a_gpu_it_says_what_is_missing(script, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(SystemExit) as stopped:
        script.main(["--out", str(tmp_path / "out")])
    lines = str(stopped.value).splitlines()
    assert lines[0] == "There is no GPU to measure."
    assert lines[1].startswith("  expected: a CUDA GPU of compute capability 8.0 or later")
    assert lines[2].startswith("  found: torch sees no CUDA GPU (torch ")
    assert lines[3].startswith("  fix: run this on a machine with a GPU")
    assert not (tmp_path / "out").exists()
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(SystemExit, match="Triton's interpreter is on"):
        script.main(["--out", str(tmp_path / "out")])


def test_an_unknown_section_is_refused(script, capsys):
    with pytest.raises(SystemExit):
        script.main(["--out", "x", "--sections", "everything"])
    assert "choose from" in capsys.readouterr().err


def test_rows_are_kept_as_they_come_and_added_to(script, tmp_path):
    first = script.Bench(tmp_path, 1.0, "a GPU, a day")
    first.start("check")
    first.add("check", what="same path", passed=True, figures="1e-5")
    again = script.Bench(tmp_path, 0.0, "a GPU, a day")
    again.start("speed")
    again.add("speed", N=68, ns_per_region_step=0.0251234)
    assert json.loads((tmp_path / "bench_gpu.json").read_text())["sections"]["check"][0]["passed"] is True
    text = (tmp_path / "bench_gpu.md").read_text()
    assert text.startswith("Measured on a GPU, a day.\n")
    assert "| same path | True | 1e-5 |" in text
    assert "| N | ns_per_region_step |\n|---|---|\n| 68 | 0.02512 |" in text
    assert not again.has(1)


def test_the_tile_tuned_for_the_nearest_batch_is_taken(script, tmp_path, monkeypatch):
    bench = script.Bench(tmp_path, 1.0, "a GPU, a day")
    small, large = gpu.Tile(1, 8), gpu.Tile(8, 8, 2, 128)
    script.write_json(tmp_path / "tiles.json", {"68 100": script.asdict(small), "68 8192": script.asdict(large)})
    assert script.tuned_tile(bench, 68, 128) == small
    assert script.tuned_tile(bench, 68, 4096) == large
    monkeypatch.setattr(gpu, "choose_tile", lambda N, B, device: "its own")
    assert script.tuned_tile(bench, 100, 128) == "its own"


@pytest.fixture
def stand_in(script, monkeypatch):
    """The processor in the place of the GPU, and sizes to match: the code of the sections runs, its figures mean nothing."""
    checks = importlib.import_module("gpu_checks")
    real, brief = mfm.simulate, mfm.Protocol(0.72, 170, dt_s=0.036, burn_in_s=0.0, warm_up_s=0.0, scheme="exponential")

    def simulate(p, sc, protocol, *args, backend, **more):
        return real(p, sc, protocol, *args, backend="numba" if backend == "triton" else backend, **more)

    def simulate_tile(p, sc, protocol, tile, seed=0):
        return [real(p, sc, protocol, seed=seed, backend="numba").bold]

    properties = SimpleNamespace(multi_processor_count=100, name="no GPU")
    monkeypatch.setattr(mfm, "simulate", simulate)
    monkeypatch.setattr(script, "SUBJECTS", 2)
    many = mfm.simulate_many
    monkeypatch.setattr(mfm, "simulate_many", lambda requests, backend: many(requests, "numba"))
    for name, value in {"synchronize": int, "reset_peak_memory_stats": int, "max_memory_allocated": int}.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    for module in (script, checks):
        monkeypatch.setattr(module, "DEVICE", "cpu")
        monkeypatch.setattr(module, "HCP", brief)
        monkeypatch.setattr(module, "simulate_tile", simulate_tile)
    # Their default is bound to the GPU.
    monkeypatch.setattr(checks.candidates, "__defaults__", ("cpu", 0.004))
    monkeypatch.setattr(script, "pilot", lambda N, B, seconds, dt_s=0.006: mfm.Protocol(0.72, 2, dt_s, 0.0, 0.0))
    monkeypatch.setattr(script, "compile_all", lambda pairs: set(pairs[:2]))
    monkeypatch.setattr(script, "network", lambda N: checks.network(5))
    return checks


def test_every_section_runs(script, stand_in, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "REGIONS", (5,))
    monkeypatch.setattr(script, "BATCHES", (1, 3))
    monkeypatch.setattr(script, "RUNS", (2,))
    monkeypatch.setattr(script, "GOALS", ((1, 300), (200, 3000)))
    monkeypatch.setattr(script, "CUBNM", mfm.Protocol(0.5, 1, dt_s=0.005, burn_in_s=0.0, warm_up_s=0.0))
    monkeypatch.setattr(script, "CHECKS", ((0, lambda: stand_in.same_path(5)),))
    bench = script.Bench(tmp_path, 9.0, "no GPU")
    for section in ("check", "tune", "goals", "speed", "fcd"):
        getattr(script, section)(bench)
    assert all(row["passed"] for row in bench.sections["check"])
    assert {section: len(rows) for section, rows in bench.sections.items()} == {
        "check": 4, "tune": 2, "goals": 10, "speed": 4, "fcd": 1
    }  # fmt: skip
    assert "| 5 | 3 |" in (tmp_path / "bench_gpu.md").read_text()


@pytest.mark.parametrize(("N", "B"), [(68, 1), (68, 8192), (400, 8192)])
@pytest.mark.parametrize("dt_s", [0.006, 0.0005])
def test_pilots_are_short(script, N, B, dt_s):
    protocol = script.pilot(N, B, 0.3, dt_s)
    assert 2 <= protocol.n_frames <= 1200
    expected = protocol.n_steps * max(B * N * 0.02e-9, 0.7e-6)
    assert expected < 0.31 or protocol.n_frames == 2
    assert expected < 0.4
