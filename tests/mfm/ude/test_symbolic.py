"""From a learned residual to a formula, and when there must be none."""

import sys

import numpy as np
import pytest
import torch
from known_series import decay_series, ou_series

from mfm.errors import BackendError, InputError
from mfm.ude import (
    Adam,
    Hybrid,
    Library,
    MemristiveCircuit,
    MultipleShooting,
    NoMechanism,
    PathLikelihood,
    PredictionError,
    ResidualBasis,
    ResidualMLP,
    Roessler,
    SparseRule,
    Trajectories,
    attractor,
    extract,
    fit,
    pysr_formula,
    refit,
)
from mfm.ude.estimates.least_squares import least_squares
from mfm.ude.formulas.path_regression import path_regression
from mfm.ude.formulas.regression import Blocks, genetic_support, inclusion_frequencies, stlsq


@pytest.fixture(scope="module")
def learned():
    """A network that has learned ``dx/dt = -x + 0.5 x^3`` on a decay from 1."""
    t, x = 0.05 * np.arange(120), np.zeros(120)
    # Solution of this Bernoulli equation.
    x = 1 / np.sqrt(0.5 + (1 / 0.81 - 0.5) * np.exp(2 * t))
    noise = 0.003 * np.random.default_rng(0).normal(size=120)
    series = Trajectories((x + noise)[:, None], 0.05, ["x"], noise_std=[0.003])
    network = ResidualMLP("x", ("x",), hidden=(8,), members=2)
    return fit(Hybrid(NoMechanism(("x",)), network), series, PredictionError(None, MultipleShooting(4)), Adam(200))


def samples(n: int = 600, noise: float = 0.1):
    rng = np.random.default_rng(1)
    values = torch.from_numpy(rng.normal(size=(n, 2)))
    target = 2 * values[:, 0] - 3 * values[:, 0] * values[:, 1] + noise * torch.from_numpy(rng.normal(size=n))
    return values, target


def test_both_searches_find_the_terms():
    values, target = samples()
    for degree, right in ((2, {"x", "x y"}), (4, {"x", "x y"})):  # 6 terms: every support; 15: genetic
        blocks = Blocks.of(Library.polynomial(("x", "y"), degree), values, target, 40)
        names = np.array(blocks.library.names)
        assert set(names[stlsq(blocks, SparseRule())]) == right
        assert set(names[inclusion_frequencies(blocks, SparseRule()) >= 0.6]) == right
        assert right <= set(names[genetic_support(blocks)])


def test_thresholds_do_not_know_units():
    values, target = samples()
    a, b = (
        stlsq(Blocks.of(Library.polynomial(("x", "y"), 2), values * torch.tensor(scale), 1e3 * target, 30), SparseRule())
        for scale in ([1.0, 1.0], [1e-3, 50.0])
    )
    assert np.array_equal(a, b)


def test_noise_alone_gives_no_terms():
    values, _ = samples()
    noise = torch.from_numpy(np.random.default_rng(2).normal(size=len(values)))
    blocks = Blocks.of(Library.polynomial(("x", "y"), 2), values, noise, 30)
    assert not (inclusion_frequencies(blocks, SparseRule()) >= 0.9).any()


def test_a_library_with_more_terms_than_the_data_carry_is_refused():
    values, target = samples(60)
    with pytest.raises(InputError, match="more terms than the data can carry"):
        Blocks.of(Library.polynomial(("x", "y"), 7), values, target, 30)


def test_extraction_and_refit(learned):
    library = Library.of(("x",), ["x", "x^3"])
    found = extract(learned, library)
    assert len(found) == 2
    assert "x" in found[0].terms
    final = refit(learned, found[0])
    assert final.terms == ("x", "x^3")
    assert np.all(np.abs(final.found.coefficients - [-1.0, 0.5]) < 4 * final.found.errors)
    assert 0.8 < final.found.misfit < 1.2
    assert len(final.candidates) > 1
    bics = [bic for _, bic in final.candidates]
    assert final.found.bic == min(bics)
    # Half the step of the fit, no observer.
    assert final.found.model.substeps == 2
    assert len(extract(learned, library, pooled=True)) == 1
    assert extract(learned, library, method="genetic")[0].support.any()


def test_a_collinear_library_gives_no_formula(learned):
    found = extract(learned, Library.polynomial(("x",), 6))[0]
    assert not found.identifiable
    assert "no formula" in found.formula
    assert "condition number" in repr(found)
    with pytest.raises(InputError, match="no formula to refit"):
        refit(learned, found)


@pytest.mark.slow
def test_refit_closes_the_gaps_and_gives_errors_that_hold():
    """A known formula: 40 data sets, errors in units of their standard errors have a spread of 1 (+- 0.11 by chance)."""
    z = []
    for seed in range(40):
        model = Hybrid(NoMechanism(("x",)), ResidualBasis("x", ("x",), library=Library.of(("x",), ["x"]), coefficients=[-0.8]))
        found = least_squares(model, decay_series(50, 0.02, seed), PredictionError(None, MultipleShooting(16)))
        assert found.converged
        z.append((found.coefficients[0] + 1) / found.errors[0])
    assert 0.65 < np.std(z) < 1.35
    assert abs(np.mean(z)) < 3.5 / 40**0.5


def test_path_regression_finds_the_rate_within_its_error():
    series = ou_series(20000, units=2)
    found, error = path_regression(Hybrid(NoMechanism(("x",))), series, ResidualBasis("x", ("x",), degree=3))
    assert found.terms == ("x",)
    assert abs(found.coefficients[1] + 2) < 4 * error[1]
    # Theory: the variance of a rate estimated over a time T is 2 rate / T.
    assert error[1] == pytest.approx((2 * 2.0 / (2 * 200)) ** 0.5, rel=0.3)
    with pytest.raises(InputError, match="derivative of a state"):
        path_regression(Hybrid(Roessler()), Trajectories(np.zeros((99, 3)), 0.1, ["x", "y", "z"], "1", [1.0] * 3),
                        ResidualBasis("b", ("x",)))  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "lasso"}, "stlsq | genetic"), ({"library": Library.polynomial(("y",), 2)}, "not one of the residual's")],
)
def test_extractions_that_are_refused(learned, options, message):
    with pytest.raises(InputError, match=message.replace("|", r"\|")):
        extract(learned, **options)


def test_a_rule_without_majority_is_refused():
    with pytest.raises(InputError, match=r"inclusion above 0\.5"):
        SparseRule(inclusion=0.4)


def test_pysr_is_optional(learned, monkeypatch):
    monkeypatch.setitem(sys.modules, "pysr", None)
    with pytest.raises(BackendError, match="pip install"):
        pysr_formula(learned)


def test_extraction_from_a_path_likelihood():
    model = Hybrid(NoMechanism(("x",)), ResidualBasis("x", ("x",), degree=2))
    found = fit(model, ou_series(3000), PathLikelihood(), Adam(200, step=0.1))
    assert extract(found, Library.polynomial(("x",), 2))[0].nrmse < 0.1


@pytest.mark.slow
def test_direct_sparse_identification_fails_at_five_times_the_noise():
    """The control of the circuit benchmark: pysindy on the raw series, one data set."""
    ps = pytest.importorskip("pysindy", reason="pysindy is an optional control")
    system = MemristiveCircuit()
    clean = attractor(system, 601, 0.1, skip=100.0)
    noise = clean.std(axis=0) * np.array([5.0, 0.05, 0.05])
    data = clean + noise * np.random.default_rng(0).normal(size=clean.shape)
    model = ps.SINDy(
        optimizer=ps.STLSQ(threshold=0.1),
        feature_library=ps.PolynomialLibrary(degree=3, include_bias=False),
        differentiation_method=ps.SmoothedFiniteDifference(),
    )
    model.fit(data, t=0.1, feature_names=list(system.states))
    found = {name for name, value in zip(model.get_feature_names(), model.coefficients()[0], strict=True) if value}
    assert found != set(system.coefficients) | {"y"}


@pytest.mark.slow
def test_roessler_from_data_to_formula():
    """The benchmark's pipeline on one data set that it does not use: all states, 5 % noise."""
    from mfm.ude import Innovation, curriculum, fit_stages, nrmse

    system = Roessler()
    clean = attractor(system, 1101, 0.1)
    noise = 0.05 * clean[:601].std(axis=0)
    series = Trajectories(clean[:601] + noise * np.random.default_rng(7).normal(size=(601, 3)), 0.1, system.states)
    network = ResidualMLP("z", system.states, scale=(5, 5, 5), gain=10.0)
    found = fit_stages(
        Hybrid(system, network), series, curriculum(PredictionError(Innovation(0.3), state_scale=(5.0, 5.0, 5.0)))
    )
    x = torch.from_numpy(clean[601:])[None, :, None, :]
    with torch.no_grad():
        assert nrmse(found.model.residual_values(x)[0][..., 0], system.truth(x)[..., 0]).item() < 0.12
    final = refit(found, extract(found)[0])
    assert set(final.terms) == set(system.coefficients)
    for name, value in zip(final.terms, final.found.coefficients, strict=True):
        assert value == pytest.approx(system.coefficients[name], rel=0.03)


def test_no_term_at_all_is_one_of_the_candidates():
    """Nothing moves: the best formula is empty."""
    noise = np.random.default_rng(0).normal(size=(60, 1))
    series = Trajectories(1 + 0.01 * noise, 0.1, ["x"], noise_std=[0.01])
    empty = ResidualBasis("x", ("x",), library=Library(("x",), ()))
    found = least_squares(Hybrid(NoMechanism(("x",)), empty), series, PredictionError(None, MultipleShooting(10)))
    assert found.formula == "x: 0"
    assert found.misfit <= noise.std()
