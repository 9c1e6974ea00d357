"""Every backend against values computed elsewhere: a plain float64 loop, and six other packages."""

import json

import numpy as np
import pytest
import torch

import mfm
from mfm.compute.machine import interpreting

STEPS = (1, 10, 100, 1000)
TOLERANCE = {"reference": 1e-10, "numba": 1e-4, "triton": 1e-4}


def skip_where_hopeless(backend, n_steps):
    """Triton may be missing, and its interpreter takes a tenth of a second for a step."""
    if backend == "triton":
        pytest.importorskip("triton", reason="triton is not installed")
        if interpreting() and n_steps > 10:
            pytest.skip("needs a GPU: too long for Triton's interpreter")


def relative_error(found, expected):
    return np.max(np.abs(np.asarray(found) / np.asarray(expected) - 1))


@pytest.fixture(scope="module")
def golden(shared):
    folder = shared / "reference" / "golden"

    def read(name):
        return np.loadtxt(folder / name, delimiter=",")

    return read, json.loads((folder / "scalars.json").read_text())


@pytest.fixture(scope="module")
def connectome(shared):
    return mfm.load_connectome(shared / "data/dk68/group-train/SC.csv", transform="log1p")


@pytest.fixture(scope="module")
def noise_free(golden):
    read, scalars = golden
    w_EE, w_EI, _ = read("regional_parameters.csv").T
    return mfm.FICParameters(w_EE, w_EI, np.zeros(68), [scalars["G"]])


def test_feedback_weights(golden, connectome, noise_free):
    read, _ = golden
    assert relative_error(mfm.feedback_weights(noise_free, connectome)[0], read("w_IE.csv")) < 1e-10


def test_resting_point(golden, noise_free):
    _, scalars = golden
    rest = mfm.resting_state(noise_free.w_EI)
    assert pytest.approx(scalars["S_E_star"], rel=1e-12) == rest.S_E
    assert pytest.approx(scalars["I_E_star"], rel=1e-12) == rest.I_E


@pytest.mark.parametrize("backend", TOLERANCE)
@pytest.mark.parametrize("n_steps", STEPS)
def test_state_after_some_steps(golden, connectome, noise_free, backend, n_steps):
    skip_where_hopeless(backend, n_steps)
    read, _ = golden
    # One frame of one step after the warm-up: the averages are the state itself.
    protocol = mfm.Protocol(tr_s=0.006, n_frames=1, burn_in_s=0, warm_up_s=0.006 * (n_steps - 1))
    initial = read("initial_S_E_S_I.csv").T
    # Triton's interpreter divides by zero where the other branch is then taken.
    with np.errstate(divide="ignore", invalid="ignore"):
        sim = mfm.simulate(noise_free, connectome, protocol, backend=backend, initial=(initial[0], initial[1]))
    found = torch.stack([sim.S_E, sim.S_I, sim.rate_E]).reshape(3, 68).T
    assert relative_error(found, read(f"state_step{n_steps:04d}.csv")) < TOLERANCE[backend]


@pytest.mark.parametrize("backend", TOLERANCE)
def test_bold(golden, connectome, noise_free, backend):
    read, scalars = golden
    protocol = mfm.Protocol(tr_s=0.72, n_frames=scalars["frames"], burn_in_s=0, warm_up_s=0)
    skip_where_hopeless(backend, protocol.n_steps)
    initial = read("initial_S_E_S_I.csv").T
    sim = mfm.simulate(noise_free, connectome, protocol, backend=backend, initial=(initial[0], initial[1]))
    assert relative_error(sim.bold[0, 0], read("bold.csv")) < TOLERANCE[backend]


def test_fc_and_fcd_of_a_recorded_run(shared, golden):
    folder = shared / "reference/golden/fc_fcd_schaefer100-7n_sub-100206_run-1"
    run = np.loadtxt(shared / "data/schaefer100-7n/sub-100206/task-rest_run-1_timeseries.tsv", skiprows=1)
    fc = np.loadtxt(folder / "FC.csv", delimiter=",")
    cdf = np.loadtxt(folder / "FCD_CDF.csv", delimiter=",")
    assert np.abs(mfm.functional_connectivity(run).numpy() - fc).max() < 1e-6
    assert np.abs(mfm.fcd_cdf(run, 83).numpy() - cdf).max() < 1e-6
    single = torch.as_tensor(run, dtype=torch.float32)
    assert np.abs(mfm.functional_connectivity(single).numpy() - fc).max() < 1e-5
    assert np.abs(mfm.fcd_cdf(single, 83).numpy() - cdf).max() < 1e-5


@pytest.mark.parametrize("backend", TOLERANCE)
@pytest.mark.parametrize(
    ("G", "S_E", "S_I", "r_E"), [(0.0, 0.1648, 0.0392, 3.077), (0.5, 0.3103, 0.0528, 8.07)], ids=["G=0", "G=0.5"]
)
def test_original_setting_agrees_with_six_packages(shared, backend, G, S_E, S_I, r_E):
    counts = np.loadtxt(shared / "data/dk68/group-train/SC.csv", delimiter=",")
    sc = mfm.Connectome(counts / counts.max())
    p = mfm.FICParameters(np.full(68, 1.4), np.ones(68), np.zeros(68), [G], w_IE=np.ones(68))
    # At 8 Hz the inhibitory gate is too fast for explicit Euler at 6 ms: it would settle on a cycle of two steps.
    protocol = mfm.Protocol(tr_s=0.001, n_frames=1, dt_s=0.001, burn_in_s=0, warm_up_s=6)
    skip_where_hopeless(backend, protocol.n_steps)
    sim = mfm.simulate(p, sc, protocol, backend=backend)
    assert sim.S_E.mean().item() == pytest.approx(S_E, abs=6e-5)
    assert sim.S_I.mean().item() == pytest.approx(S_I, abs=6e-5)
    assert sim.rate_E.mean().item() == pytest.approx(r_E, abs=6e-3 if G else 6e-4)
