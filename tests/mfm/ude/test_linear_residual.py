"""Residuals at the fixed point: the same model as its simulated form, bounded, centred, and blind to what cannot be seen."""

from dataclasses import fields

import numpy as np
import pytest
import small
import torch

import mfm
from mfm.errors import InputError
from mfm.linear import exact
from mfm.linear.system import LinearSystem
from mfm.models.fic_feedback import designed_point
from mfm.ude import FICMechanism, Hybrid, LinearResidual, ResidualBasis, resolve_feedback
from mfm.ude.equations.library import Library
from mfm.ude.fixed_point.linear_residual import current_gain, total_leak

N = 6
PROTOCOL = mfm.Protocol(0.72, 60, burn_in_s=5, warm_up_s=1, scheme="exponential")


@pytest.fixture(scope="module")
def sc():
    return small.network(N, seed=3, symmetric=True)


@pytest.fixture(scope="module")
def p():
    return small.candidates(N, sigma=(0.003, 0.006))


MAPS = mfm.RegionalMaps(np.random.default_rng(5).normal(size=(2, N)), ("a", "b"))


def linearised(p, sc):
    point = designed_point(p)
    return LinearSystem.of(p, sc, point), point


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_untrained_it_changes_nothing(p, sc, backend):
    residual = LinearResidual.of(MAPS, sc, edges=("a",))
    refined, connectome = residual.apply(p, sc, np.zeros(3))
    plain = mfm.simulate(p, sc, PROTOCOL, 2, seed=1, backend=backend)
    found = mfm.simulate(refined, connectome, PROTOCOL, 2, seed=1, backend=backend)
    assert torch.equal(plain.bold, found.bold)
    assert torch.equal(plain.rate_E, found.rate_E)
    system = residual.added_to(*linearised(p, sc), np.zeros(3))
    mechanism = LinearSystem.of(p, sc, designed_point(p))
    assert all(torch.equal(getattr(system, f.name), getattr(mechanism, f.name)) for f in fields(LinearSystem))


def test_simulated_form_has_the_linearised_equations_and_3_hz(p, sc):
    residual = LinearResidual.of(MAPS, sc, terms=["a x", "a b x"], edges=("b",))
    c = [0.8, -0.4, 0.3]
    refined, connectome = residual.apply(p, sc, c)
    system = residual.added_to(*linearised(p, sc), c)
    simulated = LinearSystem.of(refined, connectome, designed_point(refined))
    for f in fields(LinearSystem):
        assert torch.allclose(getattr(system, f.name), getattr(simulated, f.name), rtol=1e-12), f.name
    quiet = mfm.FICParameters(refined.w_EE, refined.w_EI, torch.zeros_like(refined.sigma), refined.G, I_ext=refined.I_ext)
    for backend, exactly in (("reference", 1e-6), ("numba", 0.02)):
        rate = mfm.simulate(quiet, connectome, PROTOCOL, backend=backend).rate_E
        assert (rate - 3).abs().max() < exactly
    settled = mfm.fixed_point(refined, connectome)
    assert mfm.FixedPointStatus(settled.status.item()) == mfm.FixedPointStatus.DESIGNED
    assert mfm.basin_margin(refined, connectome).item() > 5


def test_backends_agree_on_an_external_current(p, sc):
    refined, connectome = LinearResidual.of(MAPS, sc, edges=("b",)).apply(p, sc, [0.8, -0.4, 0.3])
    runs = [mfm.simulate(refined, connectome, PROTOCOL, seed=2, backend=name).bold.double() for name in ("reference", "numba")]
    assert (runs[0] - runs[1]).abs().max() < 1e-4 * runs[0].abs().max()


def test_it_is_the_hybrid_with_that_slope(p, sc):
    """The engine's residual in the input current, feedback solved again, has the same stability."""
    c = np.array([0.8, -0.4])
    library = Library.of(("S_E", "a", "b"), ["S_E a", "S_E b", "a", "b"])
    S_E = mfm.resting_state(p.w_EI).S_E
    coefficients = np.concatenate([c, -c * S_E]) / current_gain()
    g = ResidualBasis("I_E", ("S_E",), maps=MAPS, library=library, coefficients=coefficients)
    settled = resolve_feedback(Hybrid(FICMechanism(p, sc), g))
    system = LinearResidual.of(MAPS, sc).added_to(*linearised(p, sc), c)
    assert settled.abscissa == pytest.approx(exact.abscissa(system).item(), rel=1e-6)
    assert (settled.rate_E - 3).abs().max() < 1e-9


def test_slopes_are_centred_and_bounded(sc):
    residual = LinearResidual.of(MAPS, sc, terms=["a x", "a^2 x"], bound=0.1)
    assert residual.slopes([0.3, 0.2]).mean().abs() < 1e-12
    assert residual.bound == pytest.approx(0.1 * total_leak())


def test_edges_are_symmetric_without_self_connections(sc):
    edges = LinearResidual.of(MAPS, sc, edges=("a", "b")).edges
    assert torch.equal(edges, edges.mT)
    assert (edges.diagonal(dim1=1, dim2=2) == 0).all()


def test_selected_terms_keep_their_patterns(sc):
    residual = LinearResidual.of(MAPS, sc, edges=("b",))
    kept = residual.select([1, 2])
    assert kept.names == ("b x", "edges b")
    assert torch.equal(kept.slopes([0.5, 9.0]), residual.slopes([0.0, 0.5, 9.0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"terms": ["x^2"]}, "a quadratic term changes them by exactly nothing"),
        ({"terms": ["a x^2"]}, "not linear in the state"),
        ({"terms": ["a"]}, "feedback inhibition takes up"),
        ({"terms": ["x"]}, "cannot be told from the global coupling G"),
        ({"terms": ["c x"]}, "Unknown term"),
        ({"terms": []}, "needs terms"),
        ({"terms": ["a x", "b x", "b a x", "a b x"]}, "no term twice"),
        ({"edges": ["c"]}, "patterns of edges"),
        ({"bound": 0.0}, "share of the leak"),
    ],
)
def test_terms_that_nothing_can_show(sc, options, message):
    with pytest.raises(InputError) as error:
        LinearResidual.of(MAPS, sc, **options)
    assert message in str(error.value)


def test_maps_that_are_alike_are_told(sc):
    alike = mfm.RegionalMaps([MAPS.values[0], 3 - 2 * MAPS.values[0]], ("a", "b"))
    with pytest.raises(InputError, match="'a x' and 'b x' are one"):
        LinearResidual.of(alike, sc)


def test_a_quadratic_term_changes_fc_by_nothing(p, sc):
    """Why it is refused: the same fixed point and slope, with and without 60 x^2, have the same Jacobian."""
    S_E = mfm.resting_state(p.w_EI).S_E
    library = Library.of(("S_E",), ["1", "S_E", "S_E^2"])
    # 60 (S_E - S_E*)^2 is zero with slope zero at the fixed point.
    square = np.array([60 * S_E**2, -120 * S_E, 60.0]) / current_gain()
    g = ResidualBasis("I_E", ("S_E",), library=library, coefficients=square)
    settled = resolve_feedback(Hybrid(FICMechanism(p, sc), g))
    mechanism = exact.abscissa(LinearSystem.of(p, sc, designed_point(p))).item()
    assert settled.abscissa == pytest.approx(mechanism, abs=1e-9)
