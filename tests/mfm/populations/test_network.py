"""Networks of Izhikevich neurons: the compiled loop against a slow reference, theory of single neurons, and the door."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import slow_network
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm.errors import InputError
from mfm.populations import INTERNEURON, MacroState, Network, NeuronType, simulate_network
from mfm.populations.kernel import advance
from mfm.populations.simulate import first_state

QUADRATIC = NeuronType(eta=0.3, delta=0.0, alpha=0.0, w_jump=0.0, v_peak=math.inf)


def dense(network: Network, seed: int) -> np.ndarray:
    """(N, N) connections, post by pre."""
    first, targets = network.draw(seed)
    N = len(first) - 1
    matrix = np.zeros((N, N), bool)
    for j in range(N):
        matrix[targets[first[j] : first[j + 1]], j] = True
    return matrix


@pytest.mark.parametrize("adaptation", ["neuron", "population"])
def test_compiled_loop_is_the_slow_reference(adaptation):
    """30 neurons of two populations for 20 units of time: every spike, potential, adaptation and mean synapse."""
    network = replace(Network.excitatory_inhibitory(30, 0.4, scaling="degree"), adaptation=adaptation)
    network = replace(network, types=(replace(network.types[0], eta=0.4, delta=0.1), replace(INTERNEURON, eta=0.3)))
    dt, steps, seed = 0.02, 1000, 3
    initial = MacroState(r=0.1)
    found = simulate_network(network, dt * steps, [seed], dt=dt, initial=initial)
    v, _, eta, _ = first_state(network, initial, seed)
    spikes, v, w, _ = slow_network.simulate(
        network.types,
        network.sizes,
        network.conductance,
        network.weight,
        dense(network, seed),
        v,
        eta,
        dt,
        steps,
        shared=adaptation == "population",
    )
    counts = np.array([len(s) for s in spikes])
    assert counts.sum() > 50
    np.testing.assert_array_equal(found.counts[0], counts)
    # A spike at the edge of a bin may fall on either side.
    total = np.array([np.searchsorted(np.sort(np.concatenate(spikes[:24])), t) for t in found.time])
    assert np.abs(np.cumsum(found.rate[0, :, 0] * 24) - total).max() < 1.01
    np.testing.assert_allclose(found.w[0, -1], [w[:24].mean(), w[24:].mean()], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.v[0, -1], [np.median(v[:24]), np.median(v[24:])], rtol=1e-4, atol=1e-5)
    order = np.exp(2j * np.arctan(v))
    np.testing.assert_allclose(found.order[0, -1], [order[:24].mean(), order[24:].mean()], atol=1e-3)


@settings(max_examples=100, deadline=None)
@given(st.floats(-300, 190), st.floats(0, 3), st.floats(-20, 20))
def test_a_step_in_two_halves_is_the_step(v, beta, c):
    """The flow of ``v' = v^2 - beta v + c`` is exact, through infinity too, and the means over the step add up."""
    whole, mean, spiked = advance(v, beta, c, 0.02, 1 / 200)
    middle, first, early = advance(v, beta, c, 0.01, 1 / 200)
    end, second, late = advance(middle, beta, c, 0.01, 1 / 200)
    assert (spiked >= 0) == (early >= 0 or late >= 0)
    # Before the crossing the flow is exact. For the rest of its step v then moves as if it had no other term than v^2, which
    # loses at most beta / |v| of the time: below 6e-4 for these steps, 3.7e-4 at most in 300 000 draws.
    assert math.atan(end) == pytest.approx(math.atan(whole), abs=4e-4 if spiked >= 0 else 1e-9)
    assert (first + second) / 2 == pytest.approx(mean, rel=1e-5, abs=1e-5 if spiked < 0 else 3.0)
    if spiked >= 0:
        assert spiked == pytest.approx(late if late >= 0 else early + 0.01, abs=4e-4)


def test_a_neuron_fires_as_often_as_theory_says():
    """A quadratic neuron at a constant current fires at ``sqrt(I) / pi`` when peak and reset are at infinity, at any step."""
    network = Network((QUADRATIC,), (1,), np.asarray(1.0), np.asarray(0.0))
    for dt in (0.02, 0.5):
        found = simulate_network(network, 2000.0, dt=dt)
        assert found.counts[0, 0] == pytest.approx(2000 * math.sqrt(0.3) / math.pi, abs=1.01)


def test_results_do_not_depend_on_neighbours_or_threads():
    network = Network.excitatory(100, 0.3)
    alone = simulate_network(network, 20.0, [5])
    together = simulate_network(network, 20.0, [4, 5], n_threads=2)
    np.testing.assert_array_equal(alone.s[0], together.s[1])
    assert not np.array_equal(together.s[0], together.s[1])


def test_step_of_a_network_converges():
    """Inputs are held for a step. Before chaos sets in, halving it moves the mean synapse (0.1) by less than 1e-4."""
    network = Network.excitatory(200, 0.5)
    coarse, fine = (simulate_network(network, 8.0, [1], dt=dt).s for dt in (0.02, 0.01))
    np.testing.assert_allclose(coarse, fine, atol=1e-4)


def test_density_and_weights_are_as_stated():
    for scaling, total in (("size", 0.2), ("degree", 1.0)):
        network = Network.excitatory(1000, 0.2, scaling=scaling)
        matrix = dense(network, 0)
        # 1000 binomial(1000, 0.2) in-degrees: the mean has a standard error of 0.4, the variance one of 4.5 %.
        degree = matrix.sum(axis=1)
        assert degree.mean() == pytest.approx(200, abs=2)
        assert degree.var() / 200**2 == pytest.approx(network.degree_noise[0, 0], rel=0.2)
        assert network.weight[0, 0] * 200 / network.types[0].s_jump == pytest.approx(total)
        assert network.kappa[0, 0] == total
    assert dense(Network.excitatory(50, 1.0), 0).all()


def test_currents_are_the_quantiles_of_a_lorentzian():
    eta = NeuronType(eta=0.1, delta=0.05).currents(1001)
    assert np.median(eta) == pytest.approx(0.1)
    assert np.quantile(eta, [0.25, 0.75]) == pytest.approx([0.05, 0.15], abs=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NeuronType(delta=-1.0), "delta must not be negative"),
        (lambda: NeuronType(tau_s=0.0), "decay time must be positive"),
        (lambda: NeuronType(eta=math.nan), "eta is not a number"),
        (lambda: NeuronType(v_peak=1.5), "lie far out"),
        (lambda: Network.excitatory(100, 20.0), "0.2 for 20 %"),
        (lambda: Network.excitatory(100, 0.0), "out of range"),
        (lambda: Network.excitatory(0, 0.5), "at least one neuron"),
        (lambda: Network((NeuronType(),), (10, 10), np.asarray(1.0), np.asarray(1.0)), "a type and a size"),
        (lambda: Network((NeuronType(),), (10,), np.ones(3), np.asarray(1.0)), "does not fit the populations"),
        (lambda: Network((NeuronType(),), (10,), np.asarray(1.0), np.asarray(-1.0)), "low reversal potential"),
        (lambda: Network.excitatory(10, 1.0, scaling="root"), "Unknown scaling"),
        (lambda: simulate_network(Network.excitatory(10, 1.0), 10.5), "multiple of bin"),
        (lambda: simulate_network(Network.excitatory(10, 1.0), 10.0, dt=0.3), "multiple of dt"),
        (lambda: simulate_network(Network.excitatory(10, 1.0), 10.0, []), "needs a seed"),
        (lambda: simulate_network(Network.excitatory(1000, 1.0), 10.0, dt=0.5), "step is too long"),
        (lambda: simulate_network(Network.excitatory(10, 1.0), 10.0, initial=MacroState(r=[0.1, 0.2])), "1 populations"),
        (lambda: simulate_network(Network.excitatory(10, 1.0), 10.0, initial=MacroState(r=-0.1)), "not negative"),
    ],
)
def test_what_cannot_be_is_told(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert message in str(error.value)
