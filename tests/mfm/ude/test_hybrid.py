"""Mechanism and residual: guard rails, ways of joining, and what is refused."""

import pytest
import torch
from known_series import one_map

from mfm.errors import InputError
from mfm.ude import Hybrid, Library, NoMechanism, ResidualBasis, ResidualEdge, ResidualMLP, Roessler


def states(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("scheme", ["rk4", "heun", "euler"])
def test_untrained_hybrid_is_the_mechanism_bit_for_bit(scheme):
    x = states(1, 3, 1, 3)
    alone = Hybrid(Roessler(), (), scheme=scheme).free_run(x, 0.1, 30)
    for residual in (ResidualMLP("z", ("x", "y", "z"), bound=0.1), ResidualBasis("z", ("x", "z"))):
        assert torch.equal(Hybrid(Roessler(), residual, scheme=scheme).free_run(x, 0.1, 30), alone)


@pytest.mark.parametrize("centre", [None, "units"])
def test_output_stays_within_the_bound(centre):
    network = ResidualMLP("x", ("x",), bound=0.25, centre=centre, gain=100.0)
    with torch.no_grad():
        network.weights[-1] += states(*network.weights[-1].shape)
    g = network(10 * states(1, 50, 6, 1))
    assert 0.1 < g.abs().max() <= 0.25
    if centre:
        assert g.mean(dim=-1).abs().max() < 1e-15


def test_members_are_independent_of_their_number():
    three, one = (ResidualMLP("x", ("x",), members=n, seed=5) for n in (3, 1))
    assert torch.equal(three.weights[0][:1], one.weights[0])
    assert not torch.equal(three.weights[0][1], three.weights[0][0])


def test_edge_correction_is_of_its_rank_and_leaves_the_diagonal_out():
    edge = ResidualEdge("I", "x", n_units=5, rank=2)
    s = states(1, 1, 5, 1)
    assert edge(s).abs().max() == 0
    with torch.no_grad():
        edge.U += states(1, 5, 2)
    assert edge.matrix[0].diagonal().abs().max() == 0
    assert torch.allclose(edge(s)[0, 0], edge.matrix[0] @ s[0, 0, :, 0])


def test_series_adds_to_a_parameter():
    shift = ResidualBasis("b", ("x",), library=Library.of(("x",), ["1"]), coefficients=[0.3])
    x = states(1, 2, 1, 3)
    moved = Hybrid(Roessler(), shift, "series").drift(x)
    assert torch.allclose(moved, Hybrid(Roessler(b=0.5)).drift(x))


def test_solver_in_the_loop_corrects_the_coarse_step():
    residual = ResidualBasis("x", ("x",), library=Library.of(("x",), ["x"]), coefficients=[-1.0])
    x = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    inside = Hybrid(NoMechanism(("x",)), residual, scheme="rk4", in_solver=True).advance(x, 0.1)
    assert inside.item() == pytest.approx(0.9)
    assert Hybrid(NoMechanism(("x",)), residual).advance(x, 0.1).item() == pytest.approx(2.718281828**-0.1, rel=1e-6)


def test_covariates_reach_residuals():
    residual = ResidualBasis("x", ("p",), library=Library.of(("p",), ["p"]), coefficients=[2.0])
    model = Hybrid(NoMechanism(("x",)), residual, covariates=("p",))
    p = torch.tensor([0.1, 0.5], dtype=torch.float64).reshape(1, 2, 1, 1)
    assert torch.allclose(model.drift(states(1, 2, 3, 1), p)[..., 0], 2 * p[..., 0].expand(1, 2, 3))
    with pytest.raises(InputError, match="lack covariates"):
        model.drift(states(1, 2, 3, 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hybrid(Roessler(), ResidualMLP("b", ("x",))), "cannot be joined to 'b' in mode 'parallel'"),
        (lambda: Hybrid(Roessler(), ResidualMLP("w", ("x",)), "parallel_series"), "cannot be joined to 'w'"),
        (lambda: Hybrid(Roessler(), ResidualMLP("z", ("q",))), "depends on what is not there: q"),
        (lambda: Hybrid(Roessler(), (), "both"), "parallel | series"),
        (lambda: Hybrid(Roessler(), (), scheme="semi_implicit"), "has no relaxation"),
        (lambda: Hybrid(Roessler(), (), scheme="rk5"), "Unknown integration scheme"),
        (lambda: Hybrid(Roessler(), (), substeps=0), "substeps"),
        (lambda: Hybrid(Roessler(), [ResidualMLP("z", ("x",)), ResidualMLP("y", ("x",), members=2)]), "same number"),
        (lambda: Hybrid(Roessler(), ResidualMLP("b", ("x",)), "series", in_solver=True), "corrects states"),
        (lambda: ResidualMLP("z", "x"), "list of names"),
        (lambda: ResidualMLP("z", ("x",), bound=0.0), "must be positive"),
        (lambda: ResidualMLP("z", ("x",), centre="time"), "Unknown way of centring"),
        (lambda: ResidualMLP("z", ("x",), members=0), "at least one member"),
        (lambda: ResidualMLP("z", ("x",), scale=(1, 2)), "one number for each"),
        (lambda: ResidualMLP("z", ("x",), scale=(-1,)), "must be positive"),
        (lambda: ResidualMLP("z", ("x",), hidden=()), "hidden layers"),
        (lambda: ResidualBasis("z", ("x",), library=Library.polynomial(("y",), 1)), "not one of this residual's"),
        (lambda: ResidualEdge("z", "x", n_units=3, rank=4), "1 to 3"),
        (lambda: Library(("x",), ((1,), (1,))), "no term twice"),
        (lambda: Library.of(("x",), ["x^a"]), "Unknown term"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(InputError, match=message.replace("|", r"\|").replace("^", r"\^")):
        make()


def test_maps_of_other_regions_are_refused():
    with pytest.raises(InputError, match="other units"):
        ResidualBasis("x", ("x",), maps=one_map())(states(1, 2, 3, 1))


def test_repr_tells_what_is_learned():
    assert "z: ResidualMLP(x, z), parallel" in repr(Hybrid(Roessler(), ResidualMLP("z", ("x", "z"))))
