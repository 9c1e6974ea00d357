"""Linear response of models other than FIC, against the Lyapunov equation of all their states and against simulation."""

import numpy as np
import pytest
import small
import torch
from full_system import scan_covariance
from scipy.linalg import solve_continuous_lyapunov

import mfm
from mfm.errors import InputError
from mfm.linear.local import LocalBlock
from mfm.linear.network import NetworkSystem
from mfm.linear.system import LinearSystem
from mfm.models.fic import FIC
from mfm.models.hemodynamics import HemodynamicState, bold_signal, hemodynamic_drift
from mfm.models.pmfm import PMFM, PMFMParameters
from mfm.models.rest import rest_state

N = 5
SC = small.network(N)
LONG = mfm.Protocol(tr_s=0.72, n_frames=10**8)


def pmfm(B=1, sigma=(0.003, 0.006)):
    rng = np.random.default_rng(1)
    w, I_0 = rng.uniform(0.3, 0.6, (B, N)), rng.uniform(0.28, 0.32, (B, N))
    return mfm.PMFMParameters(w, I_0, rng.uniform(*sigma, (B, N)), np.full(B, 2.0))


def written_out(p, sc):
    """The Jacobian (5 N, 5 N), noise power and observation of pMFM with hemodynamics, its equations written a second time."""
    C = torch.tensor(sc.weights)

    def drift(x):
        S, z, f, v, q = x.reshape(5, N)
        u = 270 * (p.w[0] * 0.2609 * S + p.I_0[0] + p.G[0] * 0.2609 * (C @ S)) - 108
        rate = u / (1 - torch.exp(-0.154 * u))
        return torch.cat([-S / 0.1 + (1 - S) * 0.641 * rate, *hemodynamic_drift(HemodynamicState(z, f, v, q), S)])

    S = torch.full((N,), 0.1, dtype=torch.float64)
    start = torch.cat([S, torch.zeros(N), 1 + S / 0.41, torch.ones(2 * N)]).double()
    for _ in range(60):
        start = start - torch.linalg.solve(torch.func.jacrev(drift)(start), drift(start))
    assert drift(start).abs().max() < 1e-10
    Q = np.zeros((5 * N, 5 * N))
    Q[:N, :N] = np.diag(p.sigma[0].numpy() ** 2)
    J = torch.func.jacrev(lambda x: bold_signal(HemodynamicState(*x.reshape(4, N))))(start[N:]).numpy()
    return torch.func.jacrev(drift)(start).numpy(), Q, np.hstack([np.zeros((N, N)), J]), start[:N]


def test_pmfm_solves_the_lyapunov_equation():
    p, sc = pmfm(), SC
    A, Q, J, S = written_out(p, sc)
    covariance = J @ solve_continuous_lyapunov(A, -Q) @ J.T
    std = np.sqrt(np.diag(covariance))
    found = mfm.linear_response(p, sc, LONG)
    assert torch.allclose(found.state[0][0], S, rtol=0, atol=1e-12)
    assert np.abs(found.fc[0].numpy() - covariance / np.outer(std, std)).max() < 1e-8
    assert np.abs(found.bold_covariance[0].numpy() / covariance - 1).max() < 1e-7


def test_pmfm_over_a_scan_loses_its_mean():
    p, sc, protocol = pmfm(), SC, mfm.Protocol(tr_s=0.72, n_frames=200)
    A, Q, J, _ = written_out(p, sc)
    covariance = scan_covariance(A, Q, J, protocol.scan_s)
    assert np.abs(mfm.linear_response(p, sc, protocol).bold_covariance[0].numpy() / covariance - 1).max() < 1e-3


def test_pmfm_is_what_its_simulations_show():
    # Small noise and small steps; 512 scans of 600 frames: correlations vary by about 0.15 from scan to scan, so that their
    # mean is known to 0.007, and 10 pairs stay within 4.5 of that. The bias of a correlation, r / (2 T_eff), is about 0.003.
    p, sc = pmfm(sigma=(3e-4, 6e-4)), SC
    protocol = mfm.Protocol(tr_s=0.72, n_frames=600, dt_s=0.006, warm_up_s=3, burn_in_s=30, hemo_dt_s=0.03)
    sim = mfm.simulate(p, sc, protocol, 512, seed=4)
    each = mfm.upper_triangle(mfm.functional_connectivity(sim.bold[0])).double()
    lin = mfm.linear_response(p, sc, protocol)
    error = each.std(dim=0) / 512**0.5
    assert ((each.mean(dim=0) - mfm.upper_triangle(lin.fc)[0]).abs() < 4.5 * error + 0.004).all()
    assert torch.allclose(sim.S[0].mean(dim=0).double(), lin.state[0][0], rtol=2e-3)
    assert torch.allclose(sim.rate[0].mean(dim=0).double(), lin.mean_reported[0], rtol=5e-3)
    # BOLD drawn from the theory has the same spectra: FC's mean over 512 drawn scans.
    drawn = mfm.upper_triangle(mfm.functional_connectivity(lin.sample_bold(512, seed=1)[0])).double()
    error = (each.var(dim=0) / 512 + drawn.var(dim=0) / 512).sqrt()
    assert ((each.mean(dim=0) - drawn.mean(dim=0)).abs() < 4.5 * error + 0.004).all()


def test_gradients_reach_the_parameters():
    sc, protocol, p = SC, mfm.Protocol(tr_s=0.72, n_frames=50), pmfm()

    def fc(w, I_0, sigma, G):
        return mfm.linear_response(PMFMParameters(w, I_0, sigma, G), sc, protocol).fc[:, 0, 1:]

    inputs = [x.clone().requires_grad_() for x in (p.w, p.I_0, p.sigma, p.G)]
    assert torch.autograd.gradcheck(fc, inputs, atol=1e-6, fast_mode=True)


def test_a_block_is_the_jacobian_of_the_drift():
    p, sc = pmfm(2), SC
    x = rest_state(PMFM, p, sc)
    block = LocalBlock.of(PMFM, p, sc, x)
    (recurrent, I_0), (gain,) = PMFM.pack(p)
    into = gain[:, None] * (x[0] @ torch.tensor(sc.weights).T)
    step = 1e-6

    def slope(dx, dc):
        up, down = (PMFM.drift((x[0] + s * dx,), (into + s * dc,), (recurrent, I_0))[0] for s in (step, -step))
        return (up - down) / (2 * step)

    assert torch.allclose(block.local[0][0], slope(1, 0), rtol=1e-7)
    assert torch.allclose(block.into[0][0], gain[:, None] * slope(0, 1), rtol=1e-7)


def test_several_states_and_channels_come_to_the_same_as_the_elimination_of_one():
    # FIC as a network of two states: the general solution and the scalar one are the same.
    rng = np.random.default_rng(2)
    p = mfm.FICParameters(
        rng.uniform(3, 3.6, (2, N)), rng.uniform(2.2, 2.8, (2, N)), rng.uniform(0.003, 0.006, (2, N)), [2.0, 2.5]
    )
    complete = FIC.completed(p, SC)
    x = FIC.rest(complete, SC)
    block = LocalBlock.of(FIC, complete, SC, x)
    one = LinearSystem.from_block(FIC, block, p.sigma, SC, x)
    all_states = NetworkSystem.from_block(FIC, block, p.sigma, SC, x)
    w = torch.tensor([0.01, 0.3, 2.0, 40.0], dtype=torch.float64)
    assert torch.allclose(one.jacobian(), all_states.jacobian(), rtol=1e-12)
    scalar, general = one.neural_spectrum(w), all_states.neural_spectrum(w)
    assert ((scalar - general).abs() < 1e-10 * scalar.abs().amax(dim=(2, 3), keepdim=True)).all()
    # Synthesis has the spectrum that it is asked for: 4000 draws of unit noise, relative error of a spectrum 1 / sqrt(4000).
    noise = torch.randn((N, len(w), 4000), dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    drawn = all_states.resolve(noise, w)
    power = (drawn.abs() ** 2).mean(dim=3).transpose(1, 2)
    assert torch.allclose(power, general.diagonal(dim1=2, dim2=3).real, rtol=5 / 4000**0.5)


def test_what_theory_cannot_do_is_said():
    p, sc, protocol = pmfm(), SC, mfm.Protocol(tr_s=0.72, n_frames=100)
    with pytest.raises(InputError, match=r"(?s)'modes' cannot be used.*same activity in every region"):
        mfm.linear_response(p, sc, protocol, method="modes")
