"""The FIC model as a mechanism: the package's own equations, and feedback inhibition solved with what was learned."""

import numpy as np
import pytest
import torch
from fic_equations import neural_drift
from known_series import four_regions, one_map

import mfm
from mfm.errors import InputError
from mfm.ude import (
    FICMechanism,
    Hybrid,
    Library,
    NoMechanism,
    ResidualBasis,
    ResidualEdge,
    ResidualMLP,
    Trajectories,
    resolve_feedback,
    simulate_paths,
)
from mfm.ude.estimates.path_fit import path_fit


@pytest.fixture
def fic() -> FICMechanism:
    return four_regions()


@pytest.fixture
def maps() -> mfm.RegionalMaps:
    return one_map()


def current(fic, maps, coefficients, **options) -> ResidualBasis:
    library = Library.of(("S_E", "h"), ["S_E^2", "S_E h"])
    origin = [float(fic.rest[0, 0])]
    return ResidualBasis("I_E", ("S_E",), maps=maps, origin=origin, library=library, coefficients=coefficients, **options)


def test_drift_is_that_of_the_package(fic):
    x = torch.rand(1, 3, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = fic.p
    S_E, S_I = x[..., 0], x[..., 1]
    dS_E, dS_I, _ = neural_drift(S_E, S_I, S_E @ fic.C.T, p.w_EE[0], p.w_EI[0], fic.w_IE, p.G[0])
    assert torch.allclose(Hybrid(fic).drift(x), torch.stack([dS_E, dS_I], dim=-1), rtol=1e-12)


@pytest.mark.parametrize("scheme", ["semi_implicit", "heun"])
def test_untrained_network_leaves_paths_bit_for_bit(fic, maps, scheme):
    network = ResidualMLP("I_E", ("S_E", "S_I"), maps=maps, bound=0.1)
    x = fic.rest + 0.01
    runs = [Hybrid(fic, r, scheme=scheme).free_run(x[None, None], 0.001, 50) for r in ((), network)]
    assert torch.equal(*runs)


def test_series_and_edges_enter_where_they_should(fic, maps):
    x = fic.rest[None, None] + 0.01
    shift = ResidualBasis("w_EE", (), maps=maps, library=Library.of(("h",), ["h"]), coefficients=[0.2])
    moved = FICMechanism(
        mfm.FICParameters(fic.p.w_EE + 0.2 * shift.maps[:, 0], fic.p.w_EI, fic.p.sigma, fic.p.G), fic.sc, fic.w_IE
    )
    assert torch.allclose(Hybrid(fic, shift, "series").drift(x), Hybrid(moved).drift(x), rtol=1e-12)

    edge = ResidualEdge("I_E", "S_E", n_units=4)
    with torch.no_grad():
        edge.U += 0.01
    more = fic.sc.weights + edge.matrix[0].detach().numpy() / (float(fic.p.G[0]) * mfm.models.constants.NEURAL.J)
    with torch.no_grad():
        ours, theirs = Hybrid(fic, edge).drift(x), Hybrid(fic).drift(x)
        S_E, S_I = x[..., 0], x[..., 1]
        p = fic.p
        changed, _, _ = neural_drift(S_E, S_I, S_E @ torch.from_numpy(more).T, p.w_EE[0], p.w_EI[0], fic.w_IE, p.G[0])
    assert not torch.allclose(ours, theirs)
    assert torch.allclose(ours[..., 0], changed, rtol=1e-10)


@pytest.mark.parametrize(("target", "bound"), [("I_E", 0.02), ("I_I", 0.02), ("S_E", 0.05), ("w_EI", 0.2), ("w_EE", 0.2)])
def test_feedback_holds_three_hertz_with_a_residual(fic, maps, target, bound):
    network = ResidualMLP(target, ("S_E",), maps=maps, bound=bound, seed=2)
    with torch.no_grad():
        network.weights[-1] += 0.05
    model = Hybrid(fic, network, "parallel" if target in (*fic.states, *fic.currents) else "series")
    before = model.mechanism.w_IE.clone()
    settled = resolve_feedback(model)
    assert torch.allclose(settled.rate_E, torch.full((4,), 3.0, dtype=torch.float64), atol=1e-6)
    with torch.no_grad():
        assert settled.model.drift(settled.rest[None, None]).abs().max() < 1e-9
    assert settled.abscissa < 0
    assert settled.stable
    assert torch.equal(model.mechanism.w_IE, before)


def test_no_state_of_three_hertz_is_an_error(fic):
    huge = ResidualBasis("S_E", (), library=Library.of((), ["1"]), coefficients=[50.0])
    with pytest.raises(InputError, match="No state of 3 Hz"):
        resolve_feedback(Hybrid(fic, huge))
    with pytest.raises(InputError, match="one member at a time"):
        resolve_feedback(Hybrid(fic, ResidualMLP("I_E", ("S_E",), members=2)))
    with pytest.raises(InputError, match="needs the FIC model"):
        resolve_feedback(Hybrid(NoMechanism(("x",))))


def test_one_candidate_is_one_mechanism(fic):
    two = mfm.FICParameters(*(torch.cat([x, x]) for x in (fic.p.w_EE, fic.p.w_EI, fic.p.sigma, fic.p.G)))
    with pytest.raises(InputError, match="2 candidates"):
        FICMechanism(two, fic.sc)


@pytest.mark.parametrize(("truth", "fitted"), [("parallel", "parallel"), ("series", "series")])
def test_terms_in_a_current_or_a_parameter_are_found_within_their_errors(fic, maps, truth, fitted):
    """Four regions, 10 s: coefficients within 4 standard errors of the truth, and standard errors small enough to tell."""

    def part(kind, coefficients):
        if kind == "parallel":
            return current(fic, maps, coefficients)
        return ResidualBasis("w_EE", (), maps=maps, library=Library.of(("h",), ["h"]), coefficients=coefficients)

    true = {"parallel": [-2.0, 0.3], "series": [0.5]}[truth]
    settled = resolve_feedback(Hybrid(fic, part(truth, true), truth)).model
    paths = simulate_paths(settled, 0.001, 2500, n_repeats=4, seed=3, warm_up_s=0.3)
    series = Trajectories(paths, 0.001, ["S_E", "S_I"], time_unit="s", noise_std=[1e-9, 1e-9])
    found = path_fit(Hybrid(settled.mechanism, part(fitted, None), fitted), series)
    assert found.converged
    assert np.all(np.abs(found.coefficients - true) < 4 * found.errors)
    assert np.all(found.errors < np.abs(true))


def test_paths_depend_on_their_seed_only(fic):
    a, b, c = (simulate_paths(Hybrid(fic), 0.001, 20, seed=s, warm_up_s=0.01) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
