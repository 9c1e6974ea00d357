"""The compiled backend against the reference: the same noise path by path, other noise in distribution, and theory."""

import numpy as np
import pytest
import small
import torch
from fic_equations import neural_drift
from scipy.linalg import solve_continuous_lyapunov

import mfm

N = 9
SC = small.network(N)


def short(n_frames=8, **timing):
    return mfm.Protocol(tr_s=0.72, n_frames=n_frames, **{"burn_in_s": 3.6, "warm_up_s": 1.2, **timing})


@pytest.mark.parametrize("scheme", ["euler", "exponential"])
@pytest.mark.parametrize("hemo_dt_s", [None, 0.036])
def test_same_noise_gives_the_same_path(hemo_dt_s, scheme):
    protocol = short(20, hemo_dt_s=hemo_dt_s, scheme=scheme)
    runs = [mfm.simulate(small.candidates(N, 3), SC, protocol, 2, seed=7, backend=b) for b in ("reference", "numba")]
    difference = (runs[0].bold - runs[1].bold).std() / runs[0].bold.std()
    assert difference < 1e-4
    for name in ("rate_E", "S_E", "S_I"):
        assert torch.allclose(getattr(runs[0], name), getattr(runs[1], name), rtol=1e-4)


def test_noise_free_simulation_stays_at_3_hz():
    sim = mfm.simulate(small.candidates(N, 2, sigma=0.0), SC, short())
    assert torch.allclose(sim.rate_E, torch.full_like(sim.rate_E, 3.0), atol=1e-3)
    assert (sim.status == mfm.SimStatus.OK).all()
    assert sim.within_range.all()


def test_frames_are_exactly_those_requested():
    assert mfm.simulate(small.candidates(N), SC, short(7)).bold.shape == (1, 1, 7, N)


def test_frame_k_is_the_state_k_plus_one_trs_after_burn_in():
    whole = mfm.simulate(small.candidates(N), SC, short(6, burn_in_s=0.0), seed=3).bold
    late = mfm.simulate(small.candidates(N), SC, short(3, burn_in_s=3 * 0.72), seed=3).bold
    assert torch.equal(whole[:, :, 3:], late)


def test_a_candidate_depends_on_nothing_but_itself():
    p, sc, protocol = small.candidates(N, 40), SC, short()
    together = mfm.simulate(p, sc, protocol, 2, seed=5, n_threads=2)
    for k in (0, 17, 39):
        alone = mfm.simulate(p[k], sc, protocol, 3, seed=5, n_threads=1)
        assert torch.equal(together.bold[k], alone.bold[0, :2])
        assert torch.equal(together.rate_E[k], alone.rate_E[0, :2])


def test_a_sequence_of_seeds_gives_each_candidate_its_own_noise():
    p = small.candidates(N)[[0, 0, 0]]
    sim = mfm.simulate(p, SC, short(), seed=[4, 5, 4])
    assert torch.equal(sim.bold[0], sim.bold[2])
    assert not torch.equal(sim.bold[0], sim.bold[1])
    assert torch.equal(sim.bold[1], mfm.simulate(p[1], SC, short(), seed=5).bold[0])


def test_inputs_are_left_alone():
    p, sc = small.candidates(N), SC
    before = [x.clone() for x in (p.w_EE, p.w_EI, p.sigma, p.G)], sc.weights.copy()
    initial = torch.full((N,), 0.2, dtype=torch.float64), torch.full((N,), 0.06, dtype=torch.float64)
    kept = [x.clone() for x in initial]
    for backend in ("reference", "numba"):
        mfm.simulate(p, sc, short(2), backend=backend, initial=initial)
    assert all(torch.equal(a, b) for a, b in zip(before[0], (p.w_EE, p.w_EI, p.sigma, p.G), strict=True))
    assert np.array_equal(before[1], sc.weights)
    assert all(torch.equal(a, b) for a, b in zip(initial, kept, strict=True))


def stationary_states(backend, seed, p, sc, n_repeats):
    """S_E and S_I of independent realisations at one moment, (R, 2 N)."""
    protocol = mfm.Protocol(tr_s=0.006, n_frames=1, burn_in_s=0, warm_up_s=6.0)
    sim = mfm.simulate(p, sc, protocol, n_repeats, seed=seed, backend=backend)
    return torch.cat([sim.S_E[0], sim.S_I[0]], dim=1).double().numpy()


def test_backends_agree_in_distribution():
    # 768 realisations each, other noise. Standard errors: of a mean s / sqrt(R), of a standard deviation s / sqrt(2 R), of a
    # correlation at most 1 / sqrt(R). 36 + 36 + 36 comparisons of z scores: |z| > 4.5 happens by chance once in 1000 runs.
    R = 768
    a = stationary_states("reference", 11, small.candidates(N), SC, R)
    b = stationary_states("numba", 12, small.candidates(N), SC, R)
    mean_error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / R)
    assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4.5 * mean_error).all()
    std_error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / (2 * R))
    assert (np.abs(a.std(axis=0) - b.std(axis=0)) < 4.5 * std_error).all()
    difference = np.corrcoef(a[:, :N].T) - np.corrcoef(b[:, :N].T)
    assert (np.abs(difference) < 4.5 * np.sqrt(2 / R)).all()


def test_fc_agrees_in_distribution():
    # 64 realisations each of other noise; z scores of the mean FC of 36 pairs.
    R, protocol = 64, short(60)
    samples = [
        mfm.functional_connectivity(mfm.simulate(small.candidates(N), SC, protocol, R, seed=s, backend=b).bold[0])
        for s, b in ((21, "reference"), (22, "numba"))
    ]
    x, y = (mfm.upper_triangle(fc).numpy() for fc in samples)
    error = np.sqrt((x.var(axis=0, ddof=1) + y.var(axis=0, ddof=1)) / R)
    assert (np.abs(x.mean(axis=0) - y.mean(axis=0)) < 4.5 * error).all()


def test_small_noise_covariance_solves_the_lyapunov_equation():
    # Linear theory: A P + P A' + Q = 0 for the Jacobian A at the fixed point; exact as sigma -> 0 and dt -> 0. At dt = 1 ms
    # Euler-Maruyama inflates the variance of S_I (rate 100 /s) by a factor 1 / (1 - 100 dt / 2) = 1.05, of S_E by under 1 %.
    p, sc = small.candidates(N, sigma=1e-4), SC
    w_IE, rest = mfm.feedback_weights(p, sc), mfm.resting_state(p.w_EI)
    C = torch.tensor(sc.weights)

    def drift(state):
        S_E, S_I = state[:N], state[N:]
        dS_E, dS_I, _ = neural_drift(S_E, S_I, C @ S_E, p.w_EE[0], p.w_EI[0], w_IE[0], p.G[0])
        return torch.cat([dS_E, dS_I])

    fixed_point = torch.cat([torch.full((N,), rest.S_E, dtype=torch.float64), rest.S_I[0]])
    assert drift(fixed_point).abs().max() < 1e-10
    A = torch.func.jacrev(drift)(fixed_point).numpy()
    P = solve_continuous_lyapunov(A, -1e-8 * np.eye(2 * N))[:N, :N]
    R = 4096
    protocol = mfm.Protocol(tr_s=0.001, n_frames=1, dt_s=0.001, burn_in_s=0, warm_up_s=4.0)
    S_E = mfm.simulate(p, sc, protocol, R, seed=31).S_E[0].numpy()
    found = np.cov(S_E.T)
    error = np.sqrt((P**2 + np.outer(P.diagonal(), P.diagonal())) / R)
    assert (np.abs(found - P) < 4.5 * error + 0.02 * np.sqrt(np.outer(P.diagonal(), P.diagonal()))).all()


def test_gradients_through_a_simulation():
    sc = mfm.Connectome([[0.0, 0.02], [0.01, 0.0]])
    protocol = mfm.Protocol(tr_s=0.06, n_frames=3, burn_in_s=0.06, warm_up_s=0.03)

    def bold(w_EE, w_EI, sigma, G):
        p = mfm.FICParameters(w_EE, w_EI, sigma, G)
        return mfm.simulate(p, sc, protocol, 2, seed=2).bold

    inputs = [torch.full((1, 2), v, dtype=torch.float64, requires_grad=True) for v in (3.0, 2.5, 0.01)]
    assert torch.autograd.gradcheck(bold, (*inputs, torch.tensor([1.5], dtype=torch.float64, requires_grad=True)))


def test_gradients_of_the_feedback_weights():
    sc = mfm.Connectome([[0.0, 0.02], [0.01, 0.0]])

    def weights(w_EE, w_EI, G):
        return mfm.feedback_weights(mfm.FICParameters(w_EE, w_EI, torch.zeros(1, 2, dtype=torch.float64), G), sc)

    w_EE, w_EI = (torch.tensor([[v, v + 1]], dtype=torch.float64, requires_grad=True) for v in (3.0, 2.5))
    assert torch.autograd.gradcheck(weights, (w_EE, w_EI, torch.tensor([1.5], dtype=torch.float64, requires_grad=True)))


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_divergence_is_a_status_and_leaves_the_others_alone(backend):
    p = small.candidates(N, 3)
    wild = mfm.FICParameters(p.w_EE, p.w_EI, p.sigma * torch.tensor([[1.0], [1e30], [1.0]]), p.G)
    sim = mfm.simulate(wild, SC, short(), backend=backend, seed=1)
    assert sim.status.flatten().tolist() == [mfm.SimStatus.OK, mfm.SimStatus.DIVERGED, mfm.SimStatus.OK]
    assert torch.isnan(sim.bold[1]).all()
    assert torch.isnan(sim.rate_E[1]).all()
    assert torch.equal(sim.bold[[0, 2]], mfm.simulate(p, SC, short(), backend=backend, seed=1).bold[[0, 2]])


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_high_rates_are_out_of_range(backend):
    p = mfm.FICParameters(np.full(N, 9.0), np.full(N, 0.5), np.full(N, 0.01), [3.0])
    sim = mfm.simulate(p, SC, short(), backend=backend)
    assert (sim.status == mfm.SimStatus.OUT_OF_RANGE).all()
    assert not sim.within_range.any()


def test_bad_arguments():
    p, sc = small.candidates(N, 2), SC
    with pytest.raises(mfm.errors.InputError, match="9 regions"):
        mfm.simulate(p, mfm.Connectome(np.ones((4, 4))), short())
    with pytest.raises(mfm.errors.BackendError, match=r"auto \| reference \| numba"):
        mfm.simulate(p, sc, short(), backend="cuda")
    with pytest.raises(mfm.errors.InputError, match="n_repeats"):
        mfm.simulate(p, sc, short(), n_repeats=0)
    for seed in (-1, 2**64, 1.5, [1, 2, 3], True):
        with pytest.raises(mfm.errors.InputError, match="seed"):
            mfm.simulate(p, sc, short(), seed=seed)
    with pytest.raises(mfm.errors.InputError, match="initial S_E"):
        mfm.simulate(p, sc, short(), initial=(np.zeros(5), np.zeros(5)))
    tracked = mfm.FICParameters(p.w_EE.clone().requires_grad_(), p.w_EI, p.sigma, p.G)
    with pytest.raises(mfm.errors.BackendError, match="no gradients"):
        mfm.simulate(tracked, sc, short(), backend="numba")


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_several_subjects_are_what_each_is_alone(backend):
    rng = np.random.default_rng(0)
    requests = []
    for N, frames in ((2, 4), (5, 3)):
        p = mfm.FICParameters(rng.uniform(2, 3, (2, N)), np.full((2, N), 2.5), np.full((2, N), 0.004), [1.0, 1.5])
        protocol = mfm.Protocol(0.72, frames, burn_in_s=1.44, warm_up_s=0.6)
        requests.append(mfm.SimulationRequest(p, mfm.Connectome(0.02 * (1 - np.eye(N))), protocol, 2, [N, 2**40]))
    for one, request in zip(mfm.simulate_many(requests, backend), requests, strict=True):
        alone = mfm.simulate(request.p, request.sc, request.protocol, 2, request.seed, backend)
        assert torch.equal(one.bold, alone.bold)
        assert (one.seed, one.backend) == (alone.seed, backend)
    wrong = mfm.SimulationRequest(requests[0].p, requests[1].sc, requests[0].protocol)
    with pytest.raises(mfm.errors.InputError, match="2 regions"):
        mfm.simulate_many([requests[0], wrong], backend)
