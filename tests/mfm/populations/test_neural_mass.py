"""The neural mass: known fixed points, the network it is the limit of, its compiled loop, and as a mechanism of a hybrid."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from mfm.errors import InputError
from mfm.populations import Closure, MacroState, Network, NeuralMass, NeuronType, measure, simulate_network
from mfm.ude import Hybrid, ResidualBasis

SOME = Closure(0.3 * np.random.default_rng(0).normal(size=(3, 7)))


def uncoupled(**values) -> Network:
    return Network((NeuronType(w_jump=0.0, b=0.0, **values),), (10,), np.asarray(1.0), np.asarray(0.0))


@pytest.mark.parametrize("eta", [-0.2, 0.0, 0.5])
def test_fixed_point_of_uncoupled_quadratic_neurons(eta):
    """``pi r = Re sqrt(eta - alpha^2 / 4 + i delta)`` and ``V = alpha / 2 - Im sqrt(...)``."""
    alpha, delta = 0.4, 0.1
    root = np.sqrt(complex(eta - alpha**2 / 4, delta))
    mass = NeuralMass(uncoupled(eta=eta, delta=delta, alpha=alpha))
    r, V, w, s = mass.fixed_point()[0]
    assert (math.pi * r, V - alpha / 2) == pytest.approx((root.real, -root.imag), abs=1e-9)
    assert w == pytest.approx(0, abs=1e-12)
    assert s == pytest.approx(1.2308 * 2.6 * r)
    # Eigenvalues of (r, V) there are 2 (V - alpha / 2) +- 2 pi i r; w relaxes with a, which is slower.
    assert mass.abscissa(np.array([[r, V, w, s]])) == pytest.approx(max(-0.0077, 2 * (V - alpha / 2)))


def test_mean_field_is_the_limit_of_the_network():
    """Neurons that share w, all connected, peak far out: N = 4000 follows the equations within the noise of its spikes."""
    network = Network(
        (replace(NeuronType(), v_peak=1e4),), (4000,), np.asarray(1.0), np.asarray(1.2308), adaptation="population"
    )
    net, mass = simulate_network(network, 150.0, [0]), NeuralMass(network).predict(150.0)
    np.testing.assert_allclose(net.s[0], mass.s, atol=0.03 * mass.s.max())
    np.testing.assert_allclose(net.w[0], mass.w, atol=0.01 * mass.w.max())
    np.testing.assert_allclose(np.abs(net.order[0]), np.abs(mass.order), atol=0.02)
    np.testing.assert_allclose(net.v[0], mass.V, atol=0.03)


def test_two_populations_follow_their_mean_field():
    network = Network.excitatory_inhibitory(2000, 1.0, adaptation="population")
    net, mass = simulate_network(network, 100.0, [0]), NeuralMass(network).predict(100.0)
    np.testing.assert_allclose(net.s[0], mass.s, atol=0.04 * mass.s.max())


def test_oscillation_ends_where_the_fixed_point_becomes_stable():
    for p, oscillates in ((1.0, True), (0.5, False)):
        mass = NeuralMass(Network.excitatory(1000, p))
        series = mass.predict(3000.0)
        assert (mass.abscissa(mass.fixed_point()) > 0) == oscillates
        assert (series.s[-500:].std() > 0.1) == oscillates


@pytest.mark.parametrize("closure", [None, SOME])
def test_compiled_loop_is_the_readable_equations(closure):
    """Against an adaptive solver on `drift`, to 1e-6."""
    mass = NeuralMass(Network.excitatory(500, 0.3, scaling="degree"), closure)

    def slope(_, y):
        return mass.drift(torch.from_numpy(y[None])).numpy()[0]

    exact = solve_ivp(slope, (0, 60), mass.start()[0].numpy(), t_eval=np.arange(1.0, 61.0), rtol=1e-10, atol=1e-12).y
    found = mass.predict(60.0, dt=0.05)
    for k, name in enumerate(mass.states):
        np.testing.assert_allclose(getattr(found, name)[:, 0], exact[k], atol=1e-6)


def test_a_closure_of_nothing_changes_nothing():
    network = Network.excitatory(500, 0.3)
    np.testing.assert_array_equal(NeuralMass(network, Closure.none()).predict(50.0).s, NeuralMass(network).predict(50.0).s)


def test_is_a_mechanism_of_a_universal_differential_equation():
    """A residual of 0.01 in the current is a larger eta."""
    network = Network.excitatory(500, 0.3)
    more = replace(network, types=(replace(network.types[0], eta=0.13),))
    hybrid = Hybrid(NeuralMass(network), ResidualBasis("I", ("V",), degree=1, coefficients=[0.01, 0.0]))
    with torch.no_grad():
        run = hybrid.free_run(NeuralMass(network).start()[None, None], 0.25, 200)
    np.testing.assert_allclose(run[0, 0, 4::4, 0, 3], NeuralMass(more).predict(50.0).s[:, 0], atol=1e-9)


def test_divergence_is_not_a_number():
    runaway = Network((NeuronType(e_r=1e4),), (10,), np.asarray(1.0), np.asarray(50.0))
    found = NeuralMass(runaway).predict(100.0, initial=MacroState(r=1.0, s=1.0))
    assert np.isnan(found.rate[-1]).all()
    assert math.isnan(measure(NeuralMass(runaway).predict(400.0)).rate_hz.mean)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Closure(np.zeros((2, 7))), "coefficients of a closure do not fit"),
        (lambda: Closure(np.full((3, 7), np.nan)), "coefficients of a closure do not fit"),
        (lambda: NeuralMass(Network.excitatory_inhibitory(100, 1.0), Closure.none()), "closure is of one population"),
        (lambda: NeuralMass(Network.excitatory(10, 1.0)).predict(10.0, dt=0.3), "multiple of dt"),
        (lambda: measure(NeuralMass(Network.excitatory(10, 1.0)).predict(250.0)), "a longer duration"),
    ],
)
def test_what_cannot_be_is_told(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert message in str(error.value)
