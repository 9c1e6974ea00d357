"""Learning what a neural mass leaves out, from networks whose closure is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mfm.errors import InputError
from mfm.populations import (
    Activity,
    Closure,
    Network,
    NeuralMass,
    ObservedNetwork,
    extract_closure,
    fit_closure,
    simulate_network,
)
from mfm.populations.closure import term_mask

TRUE = np.zeros((3, 7))
TRUE[0, 0], TRUE[1, 5] = -0.4, -0.03
LIBRARY = ("delta: 1", "delta: w", "I: 1", "I: degree noise")


def planted(p: float, noise: float = 0.0, bins: int = 600) -> ObservedNetwork:
    """What a neural mass with the closure `TRUE` does, as if it had been a network."""
    network = Network.excitatory(1000, p, scaling="degree")
    series = NeuralMass(network, Closure(TRUE)).predict(float(bins))
    rng = np.random.default_rng(round(1000 * p))
    rate, s = (np.abs(x + noise * x.std() * rng.normal(size=(4, *x.shape))) for x in (series.rate, series.s))
    empty = np.zeros_like(rate)
    return ObservedNetwork(network, Activity(series.time, rate, empty, empty, s, empty, np.zeros((4, 1000), int)))


def test_a_planted_term_is_found_and_predicts_a_density_that_was_not_seen():
    """And no other, with noise of a tenth of the signal in every bin of each of four realisations."""
    base = Closure(np.where(TRUE == -0.4, TRUE, 0.0))
    path = extract_closure([planted(p, 0.1) for p in (1.0, 0.2, 0.05)], LIBRARY, base=base)
    found = path[-1]
    assert found.terms == ("I: degree noise",)
    assert found.closure.coefficients[1, 5] == pytest.approx(-0.03, rel=0.05)
    held_out = planted(0.1)
    assert max(held_out.errors(found.closure)) < 0.1 * min(held_out.errors(Closure.none()))
    assert found.error < path[0].error
    assert path[0].closure is base
    assert found.closure.coefficients[0, 0] == -0.4


def test_training_grows_from_the_beginning():
    """From a start that is far off, with more terms than there are."""
    fit = fit_closure([planted(p) for p in (1.0, 0.05)], LIBRARY)
    assert fit.error < 0.01
    assert fit.closure.coefficients[1, 5] == pytest.approx(-0.03, rel=0.1)


def test_noise_is_the_error_of_the_mean():
    """Four realisations, noise of 0.1 standard deviations ten bins averaged: 0.1 / sqrt(40) of the deviation."""
    o = planted(1.0, 0.1)
    s = o.activity.s.mean(axis=0)
    expected = 0.1 / np.sqrt(40) * s.std() / np.sqrt(np.square(s).mean())
    assert o.noise[1] == pytest.approx(expected, rel=0.2)
    one = replace(o, activity=replace(o.activity, rate=o.activity.rate[:1], s=o.activity.s[:1]))
    assert np.isnan(one.noise).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fit_closure([]), "no observations"),
        (lambda: fit_closure([planted(1.0)], ["I: degree"]), "I: degree"),
        (lambda: term_mask([]), "no such terms"),
        (lambda: planted(1.0, bins=100), "too short to learn from"),
        (
            lambda: ObservedNetwork(n := Network.excitatory_inhibitory(20, 1.0), simulate_network(n, 200.0)),
            "networks of one population",
        ),
    ],
)
def test_what_cannot_be_is_told(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert message in str(error.value)
