"""Schemes against theory, and the gradient through them."""

import math

import pytest
import torch

from mfm.errors import InputError
from mfm.ude import Hybrid, Library, NoMechanism, ResidualBasis, ResidualMLP, Roessler, integrate
from mfm.ude.equations.integrators import SCHEMES, scheme_step


def logistic(x):
    return x * (1 - x)


def end_error(scheme: str, n: int) -> float:
    """Of the logistic equation from 0.1 over 2 units of time in `n` steps."""
    x = torch.full((1, 1, 1, 1), 0.1, dtype=torch.float64)
    path = integrate(lambda y, k: scheme_step(scheme, logistic, y, 2 / n, lambda y: 0.7 * torch.ones_like(y)), x, n)
    return abs(float(path[0, 0, -1]) - 1 / (1 + 9 * math.exp(-2)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_of_convergence(scheme):
    order = math.log2(end_error(scheme, 20) / end_error(scheme, 40))
    assert order == pytest.approx(SCHEMES[scheme], abs=0.25)


def test_semi_implicit_scheme_takes_steps_that_heun_cannot():
    x = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    ends = [
        float(
            integrate(lambda y, k, s=s: scheme_step(s, lambda z: -700 * z, y, 0.006, lambda z: 700 + 0 * z), x, 100)[0, 0, -1]
        )
        for s in ("semi_implicit", "heun")
    ]
    assert abs(ends[0]) < 1e-6
    assert not abs(ends[1]) < 1e6


@pytest.mark.parametrize(("scheme", "fix"), [("leapfrog", "rk4"), ("semi_implicit", "relaxation")])
def test_schemes_that_cannot_be_taken(scheme, fix):
    with pytest.raises(InputError, match=fix):
        scheme_step(scheme, logistic, torch.ones(1), 0.1)


def test_rk4_equals_torchdiffeq():
    torchdiffeq = pytest.importorskip("torchdiffeq", reason="torchdiffeq is an optional oracle")
    model = Hybrid(
        Roessler(),
        ResidualBasis("z", ("x", "z"), library=Library.of(("x", "z"), ["z", "x z"]), coefficients=[-5.7, 1.0]),
    )
    x = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64).expand(1, 1, 1, 3)
    own = model.free_run(x, 0.1, 50)[0, 0, -1, 0]
    times = 0.1 * torch.arange(51, dtype=torch.float64)
    with torch.no_grad():
        theirs = torchdiffeq.odeint(lambda t, y: model.drift(y), x, times, rtol=1e-10, atol=1e-10)[-1, 0, 0, 0]
    assert torch.allclose(own, theirs, rtol=1e-3)
    fine = model.free_run(x, 0.01, 500)[0, 0, -1, 0]
    assert torch.allclose(fine, theirs, rtol=1e-7)


def chaotic_hybrid() -> Hybrid:
    network = ResidualMLP("z", ("x", "y", "z"), hidden=(6,), scale=(5, 5, 5), members=2, seed=3)
    with torch.no_grad():
        for p in network.parameters():
            p += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Hybrid(Roessler(), network)


def run_loss(model: Hybrid, checkpoint_every: int | None = None) -> torch.Tensor:
    x = torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64).expand(2, 1, 1, 3)
    return model.free_run(x, 0.1, 40, checkpoint_every=checkpoint_every).square().mean()


def test_gradient_equals_central_differences():
    model = chaotic_hybrid()
    run_loss(model).backward()
    generator = torch.Generator().manual_seed(1)
    for p in model.parameters():
        for _ in range(4):
            direction = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            h = 1e-5
            with torch.no_grad():
                p += h * direction
                up = run_loss(model)
                p -= 2 * h * direction
                down = run_loss(model)
                p += h * direction
            expected = float(up - down) / (2 * h)
            assert float((p.grad * direction).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("every", [1, 7, 40])
def test_checkpointing_changes_nothing(every):
    plain, checkpointed = chaotic_hybrid(), chaotic_hybrid()
    run_loss(plain).backward()
    run_loss(checkpointed, every).backward()
    for a, b in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-10, atol=1e-14)


def test_plain_neural_ode_is_the_case_without_mechanism():
    model = Hybrid(NoMechanism(("x", "y")), [ResidualMLP(name, ("x", "y")) for name in ("x", "y")])
    x = torch.ones(1, 1, 1, 2, dtype=torch.float64)
    assert torch.equal(model.free_run(x, 0.1, 5)[:, :, -1], x)
