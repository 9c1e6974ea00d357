"""The slow modes against the exact solution, over the bounds that searches use."""

import numpy as np
import pytest
import small
import torch

import mfm
from mfm.linear import exact
from mfm.linear.hemodynamics import resting_filter, transfer
from mfm.linear.modes import _pair_kernel
from mfm.linear.system import LinearSystem
from mfm.models.fic_feedback import designed_point, excitatory_resting_point

N = 12
PROTOCOL = mfm.Protocol(tr_s=0.72, n_frames=1200)


def draws(B=300, n=N):
    """Candidates that cover the bounds of a group's fit: means at random, regions around them."""
    rng = np.random.default_rng(5)
    values = {}
    for name, (low, high), share in (("w_EE", (1.0, 6.0), 0.2), ("w_EI", (0.0, 5.0), 0.1), ("sigma", (0.0005, 0.01), 0.1)):
        mean = rng.uniform(low, high, (B, 1))
        values[name] = np.clip(mean + share * (high - low) * rng.normal(size=(B, n)), low, high)
    return mfm.FICParameters(G=rng.uniform(0.0, 3.0, B), **values)


@pytest.mark.parametrize("symmetric", [True, False])
def test_agrees_with_the_exact_solution(symmetric):
    p, sc = draws(), small.network(N, seed=4, power=2, symmetric=symmetric)
    fast, slow = (mfm.linear_response(p, sc, PROTOCOL, method=method) for method in ("modes", "exact"))
    assert torch.equal(fast.status, slow.status)
    stable = slow.stable
    assert stable.sum() > 50
    assert (~stable).sum() > 50
    assert fast.abscissa[stable].numpy() == pytest.approx(slow.abscissa[stable].numpy(), rel=1e-5)
    error = (fast.fc - slow.fc)[stable].abs().amax(dim=(1, 2))
    assert error.median() < 1e-6
    assert error.max() < 1e-4
    assert (fast.bold_covariance / slow.bold_covariance - 1)[stable].abs().max() < 5e-3


def test_every_loss_of_stability_within_the_bounds_is_that_of_a_slow_mode():
    # The modes see no oscillation of excitation against inhibition: none may be unstable where they are not.
    p, sc = draws(2000, 4), small.network(4, seed=4, power=2, symmetric=True)
    jacobian = LinearSystem.of(p, sc, designed_point(p)).jacobian()
    largest = torch.linalg.eigvals(jacobian).real.amax(dim=1)
    assert torch.equal(mfm.linear_response(p, sc, PROTOCOL).stable, largest < 0)


def test_single_precision_is_good_to_one_in_a_thousand():
    p, sc = draws(), small.network(N, seed=4, power=2, symmetric=True)
    single = mfm.FICParameters(*(x.float() for x in (p.w_EE, p.w_EI, p.sigma, p.G)))
    double, found = mfm.linear_response(p, sc, PROTOCOL), mfm.linear_response(single, sc, PROTOCOL)
    clear = double.abscissa < -0.3
    assert found.fc.dtype == torch.float32
    assert (found.fc.double() - double.fc)[clear].abs().max() < 1e-3


def test_filter_by_its_poles_is_the_transfer_function():
    w = torch.linspace(-6, 6, 41, dtype=torch.float64)
    S_E = float(designed_point(draws(1)).S_E[0, 0])
    found = resting_filter(excitatory_resting_point()[0])
    power = (found.weight * 2 * found.pole / (w[:, None] ** 2 + found.pole**2)).sum(dim=1)
    assert torch.allclose(power.real, transfer(1j * w, S_E).abs() ** 2, rtol=1e-10)


@pytest.mark.parametrize("scan_s", [600.0, 1e6])
def test_closed_form_of_the_frequency_integral(scan_s):
    w, measure = (torch.tensor(x) for x in exact._quadrature(scan_s))
    gain = transfer(1j * w, float(designed_point(draws(1)).S_E[0, 0])).abs() ** 2
    # From modes that outlast the scan to modes faster than the hemodynamics.
    rate = torch.tensor([[0.001, 0.02, 0.4, 3.0, 25.0]], dtype=torch.float64)
    integrand = 1 / ((1j * w + rate[0][:, None, None]) * (-1j * w + rate[0][None, :, None]))
    assert torch.allclose(
        _pair_kernel(rate, scan_s, resting_filter(excitatory_resting_point()[0]))[0],
        (integrand.real * measure * gain).sum(dim=-1),
        rtol=2e-4,
    )


@pytest.mark.parametrize("scan_s", [1.0, 864.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_divided_differences_are_those_of_the_transform(scan_s, dtype):
    rate = torch.tensor([1e-4, 0.01, 0.0100001, 0.3, 2.0, 2.00001, 40.0], dtype=dtype)
    if dtype.is_complex:
        rate = rate * np.exp(0.4j)
    a, b = rate[:, None], rate[None, :]
    found = resting_filter(excitatory_resting_point()[0]).divided_difference(a, b, scan_s)
    # The mean slope between the two, by a quadrature of the derivative.
    node, weight = np.polynomial.legendre.leggauss(200)
    # In the logarithm of the rate: it covers decades.
    path = (a.log()[..., None] + (b / a).log()[..., None] * torch.tensor((node + 1) / 2)).exp().requires_grad_()
    value = resting_filter(excitatory_resting_point()[0]).laplace(path, scan_s)
    (slope,) = torch.autograd.grad(value.sum() if not dtype.is_complex else value.real.sum(), path)
    slope = slope.conj() if dtype.is_complex else slope
    apart = a != b
    reference = (slope * path * torch.tensor(weight) / 2).sum(dim=-1) * (b / a).log() / (a - b)
    assert torch.allclose(found[apart], reference[apart], rtol=1e-6)
    assert torch.allclose(found.diagonal(), -slope[..., 0].diagonal(), rtol=1e-6)
