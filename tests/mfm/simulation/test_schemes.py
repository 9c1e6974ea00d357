"""The exponential step of the inhibitory gate: consistent with Euler's, and right where Euler's overshoots."""

import pytest
import small
import torch
from fic_equations import inhibitory_step_share, transfer_function, transfer_slope

import mfm

N = 6
SC = small.network(N, symmetric=True)


def test_slope_is_the_derivative():
    x = torch.linspace(-300, 300, 1001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(transfer_function(x, 0.087).sum(), x)
    assert torch.allclose(transfer_slope(x, 0.087), slope, atol=1e-9)


def test_share_of_the_step_is_that_of_an_exponential():
    S_E, S_I, w_EI = torch.tensor(0.16), torch.linspace(0, 0.3, 50), torch.tensor(2.5)
    for dt_s, tolerance in ((1e-4, 1e-6), (1e-3, 1e-3), (0.003, 0.02)):
        share = inhibitory_step_share(S_E, S_I, w_EI, dt_s)
        I_I = 0.7 * 0.382 + 0.15 * w_EI * S_E - S_I
        y = dt_s * (100 + 615 * transfer_slope(615 * I_I - 177, 0.087))
        assert torch.allclose(share, -torch.expm1(-y) / y, rtol=tolerance)


def test_schemes_converge_to_each_other():
    # Same noise: the paths differ by the order of the step.
    def final(scheme, dt_s):
        protocol = mfm.Protocol(0.06, 5, dt_s, burn_in_s=0.0, warm_up_s=1.2, scheme=scheme)
        return mfm.simulate(small.alike(N, 3.5, w_EI=2.5, sigma=0.006), SC, protocol, 4, seed=1, backend="reference").S_E

    coarse, fine = ((final("euler", dt) - final("exponential", dt)).abs().max() for dt in (0.002, 0.0005))
    assert fine < coarse / 3


def test_coarse_exponential_steps_have_the_rates_of_fine_euler_steps():
    # k dt = 2.2 at 6 ms for w_EI = 4.5: Euler's step oscillates. 32 simulations of 60 s each; errors below 0.002 Hz.
    def rate(scheme, dt_s):
        protocol = mfm.Protocol(0.72, 84, dt_s, burn_in_s=0.0, warm_up_s=12.0, scheme=scheme)
        return mfm.simulate(small.alike(N, 3.5, w_EI=4.5, sigma=0.006), SC, protocol, 32, seed=2).rate_E.mean()

    truth, euler, exponential = rate("euler", 0.0005), rate("euler", 0.006), rate("exponential", 0.006)
    assert abs(exponential - truth) < 0.005
    assert abs(euler - truth) > 5 * abs(exponential - truth)


def test_coarse_exponential_steps_have_the_fc_of_fine_euler_steps():
    # 64 realisations each: z scores of 15 pairs.
    def fc(scheme, dt_s, seed):
        protocol = mfm.Protocol(0.72, 200, dt_s, burn_in_s=30, warm_up_s=6, hemo_dt_s=0.03, scheme=scheme)
        bold = mfm.simulate(small.alike(N, 3.5, w_EI=2.5, sigma=0.003), SC, protocol, 64, seed=seed).bold[0]
        return mfm.upper_triangle(mfm.functional_connectivity(bold))

    a, b = fc("euler", 0.001, 3), fc("exponential", 0.006, 4)
    z = (a.mean(dim=0) - b.mean(dim=0)) / ((a.var(dim=0) + b.var(dim=0)) / 64).sqrt()
    assert z.abs().max() < 4.5


@pytest.mark.parametrize("scheme", ["euler", "exponential"])
def test_the_fixed_point_is_the_same(scheme):
    protocol = mfm.Protocol(0.72, 3, burn_in_s=0.0, warm_up_s=6.0, scheme=scheme)
    sim = mfm.simulate(small.alike(N, 3.5, w_EI=2.5, sigma=0.0), SC, protocol, backend="reference")
    assert torch.allclose(sim.rate_E, torch.tensor(3.0).double(), atol=1e-9)
