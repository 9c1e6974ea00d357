"""Refinements of a network whose truth is known: recovery, placebos, guard rails and the verdict's wording."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import mfm
from mfm.errors import ConfigError, InputError
from mfm.linear import exact
from mfm.linear.fisher_z import FisherZLikelihood
from mfm.linear.whittle import Tangents
from mfm.ude import LinearResidual
from optim.config.refine import RefineConfig
from optim.refine import placebos as simulated
from optim.refine.information import fisher_report, standard_errors
from optim.refine.learn import refine
from optim.refine.nulls import mechanism_scan, moran_i, moran_surrogates
from optim.refine.problem import RefinementProblem
from optim.refine.task import Recording, Task
from optim.refine.tunable_fit import TunableFit
from optim.search.checkpoint import Checkpoint

N, TR_S = 12, 0.72


def spatial_network():
    rng = np.random.default_rng(1)
    place = rng.normal(size=(N, 3))
    distance = np.linalg.norm(place[:, None] - place, axis=2)
    weights = np.exp(-distance)
    np.fill_diagonal(weights, 0)
    return mfm.Connectome(0.1 * weights / weights.max())


SC = spatial_network()
MAPS = mfm.RegionalMaps(np.random.default_rng(2).normal(size=(1, N)), ("h",))


@pytest.fixture(scope="module")
def fit():
    own = mfm.RegionalMaps(np.random.default_rng(3).normal(size=(1, N)), ("m",))
    parameterisation = mfm.MapParameterisation(own)
    values = {"w_EE": 3.0, "w_EI": 2.5, "G": 1.5, "sigma": 0.005, "w_EE:m": 0.1}
    return TunableFit.of(parameterisation, [values.get(name, 0.0) for name in parameterisation.names])


def task(fit, slope=0.0, frames=1200, seed=1, **settings):
    """Scans of the fit with a slope along the map, and what is asked of them."""
    config = RefineConfig(
        **{"placebos": 19, "spins": 19, "starts": 2, "bins": 8, "prior": 0.2, "amplitude": "global", **settings}
    )
    truth = RefinementProblem(fit.frozen(), LinearResidual.of(MAPS, SC, bound=1.0), SC, None, torch.ones(1))
    scans = mechanism_scan(truth.system(torch.tensor([slope]).double()), mfm.Protocol(TR_S, frames, dt_s=TR_S), 1.0, 1e-6, seed)
    return Task(fit, SC, MAPS, *(Recording.of_series(scan, TR_S) for scan in scans), config)


def noise_free(work):
    """The same task on the FC of the truth itself."""
    protocol = work.train.protocol
    truth = RefinementProblem(work.fitted.frozen(), LinearResidual.of(MAPS, SC, bound=1.0), SC, None, torch.ones(1))
    z = FisherZLikelihood(work.train.fc, protocol).predicted(truth.system(torch.tensor([1.0]).double()))
    fc = torch.eye(N, dtype=torch.float64)
    i, j = torch.triu_indices(N, N, 1)
    fc[i, j] = fc[j, i] = torch.tanh(z)
    return replace(work, train=Recording(fc, protocol), held_out=Recording(fc, protocol))


@pytest.mark.parametrize("loss", ["whittle", "fc"])
def test_gradient_of_the_posterior_against_central_differences(fit, loss):
    work = task(fit, 1.0, frames=400, edges=["h"], loss=loss, bound=0.08)
    problem = work.problem(fit, work.residual())
    # Near the bound, so that its penalty counts too.
    residual = work.residual()
    close = 0.985 * residual.bound / float(residual.patterns.abs().max())
    generator = torch.Generator().manual_seed(0)
    x = problem.start + 0.1 * torch.randn(len(problem.start), generator=generator, dtype=torch.float64)
    x[:2] = torch.tensor([close, 0.05])
    found = problem(x)
    assert np.isfinite(found.value)
    for k in range(len(x)):
        step = 1e-5 * torch.eye(len(x), dtype=torch.float64)[k]
        difference = (problem(x + step).value - problem(x - step).value) / 2e-5
        assert abs(found.gradient[k].item() - difference) < 1e-4 * max(1.0, abs(difference))


def test_abscissa_is_penalised_with_its_derivative(fit):
    work = task(fit, edges=["h"])
    problem = work.problem(fit, work.residual())
    limited = RefinementProblem(fit, work.residual(), SC, problem.likelihood, problem.prior_std)
    limited.__dict__["abscissa_limit"] = float(exact.abscissa(limited._fixed[0])) - 0.5
    x = problem.start.clone()
    x[0] = 0.3
    assert limited(x).value > problem(x).value + 100
    for k in range(len(x)):
        step = 1e-5 * torch.eye(len(x), dtype=torch.float64)[k]
        difference = (limited(x + step).value - limited(x - step).value) / 2e-5
        assert abs(limited(x).gradient[k].item() - difference) < 1e-3 * max(1.0, abs(difference))


def test_a_slope_is_recovered_and_supported(fit, tmp_path):
    told = []
    checkpoint = Checkpoint(tmp_path / "nulls.safetensors", "refinement")
    found = refine(task(fit, 1.0), checkpoint, told.append)
    (term,) = found.terms
    assert not term.refused
    assert abs(term.value - 1.0) < 4 * term.error
    assert abs(term.retest_z) < 4
    assert found.verdict == "evidence for a residual"
    assert found.converged
    assert found.agreement == 1.0
    assert found.placebo_p == pytest.approx(0.05)
    assert len(told) > 20
    # What is done is not done again.
    again = []
    same = refine(task(fit, 1.0), checkpoint, again.append)
    assert same.comparisons == found.comparisons
    assert not any("placebo" in line for line in again)
    rates = mfm.simulate(found.parameters, found.sc, mfm.Protocol(TR_S, 30, scheme="exponential"), seed=0).rate_E
    assert (rates.mean() - 3).abs() < 0.1


@pytest.mark.parametrize("loss", ["whittle", "fc"])
@pytest.mark.parametrize("amplitude", ["global", "regional"])
def test_several_scans_count_as_their_number(fit, loss, amplitude):
    """Likelihoods add up; twice the same scan is a scan of half the variance."""
    work = task(fit, 1.0, frames=400, loss=loss, amplitude=amplitude)
    both = torch.cat([work.train.bold, work.held_out.bold])
    pooled = work.likelihood(Recording.of_series(both, TR_S), 8)
    single = [work.likelihood(recording, 8) for recording in (work.train, work.held_out)]
    problem = work.problem(fit.frozen(), work.residual())
    x = problem.start.clone()
    x[0] = 0.3
    values, infos = [], []
    for likelihood in (pooled, *single):
        found = likelihood(problem.system(x), problem.tangents(x, problem.system(x)), x[1:])
        values.append(found.value)
        infos.append(found.information)
    assert torch.allclose(infos[0], infos[1] + infos[2])
    if loss == "whittle":
        assert values[0] == pytest.approx(values[1] + values[2])
    twice = replace(work, train=Recording.of_series(work.train.bold.repeat(2, 1, 1), TR_S))
    errors = [standard_errors(one.problem(fit.frozen(), one.residual())).item() for one in (work, twice)]
    # Within what the prior of the measurement noise tells.
    assert errors[0] / errors[1] == pytest.approx(2**0.5, rel=0.02)


def test_fc_without_noise_gives_the_slope_back(fit):
    work = noise_free(task(fit, loss="fc"))
    problem = work.problem(fit.frozen(), work.residual())
    found = replace(problem, prior_std=torch.full((1,), 1e3, dtype=torch.float64)).minimise()
    assert found.converged
    assert found.x[0].item() == pytest.approx(1.0, abs=0.01)


@pytest.mark.slow
def test_standard_errors_are_those_of_repeated_scans(fit):
    """Standard deviation of the estimate over 40 scans against the error told before: within 4 of its own standard errors."""
    for loss, frames in (("whittle", 1200), ("fc", 6000)):
        work = task(fit, frames=frames, loss=loss, bound=1.0)
        problem = work.problem(fit.frozen(), work.residual())
        told = standard_errors(problem).item()
        found = []
        for seed in range(40):
            one = task(fit, frames=frames, loss=loss, bound=1.0, seed=100 + seed)
            loose = one.problem(fit.frozen(), one.residual())
            loose = replace(loose, prior_std=torch.full((1,), 1e3, dtype=torch.float64))
            found.append(loose.minimise().x[0].item())
        assert abs(np.std(found, ddof=1) / told - 1) < 4 / np.sqrt(2 * 39)
        assert abs(np.mean(found)) < 4 * told / np.sqrt(40)


def test_a_scan_that_is_too_short_refuses_the_term(fit):
    found = refine(task(fit, 1.0, frames=60, amplitude="regional", bins=3))
    assert found.terms[0].refused
    assert found.verdict == "no evidence for a residual: the data cannot tell any of its terms"
    assert found.parameters.I_ext is None


def test_nothing_is_claimed_where_nothing_is(fit):
    found = refine(task(fit, 0.0, seed=11, placebos=0, spins=0, polish=2, edges=["h"]))
    assert not found.is_supported
    assert np.allclose(found.edges, found.sc.weights - SC.weights)
    assert found.verdict.startswith("no evidence for a residual: held out, it does not beat the mechanism")


def test_a_slope_along_a_fitted_map_is_told_by_its_error(fit):
    """w_EE and w_EI follow that map already: with the fit free its slope is known far worse than with the fit held."""
    own = mfm.RegionalMaps(np.stack([MAPS.values[0], fit.parameterisation.maps.values[0]]), ("h", "m"))
    work = replace(task(fit), maps=own)
    _, (new, known) = fisher_report(work)
    assert known.error / known.error_frozen > 1.5 * new.error / new.error_frozen


def test_moran_surrogates_keep_the_autocorrelation():
    maps = mfm.RegionalMaps(np.random.default_rng(0).normal(size=(2, N)), ("a", "b"))
    nulls = moran_surrogates(maps, SC.weights, 5, seed=1)
    for null in nulls:
        assert np.allclose(np.corrcoef(null.values), np.corrcoef(maps.values))
        for a, b in zip(null.values, maps.values, strict=True):
            assert moran_i(a, SC.weights) == pytest.approx(moran_i(b, SC.weights), abs=1e-9)
            assert abs(np.corrcoef(a, b)[0, 1]) < 0.99
    with pytest.raises(InputError, match="tied to no other"):
        moran_surrogates(maps, np.pad(SC.weights[1:, 1:], ((1, 0), (1, 0))), 1)


def test_placebos_have_the_mechanisms_spectra(fit):
    """Band power of a long placebo against the theory's: 4 standard errors of some 300 frequencies."""
    work = task(fit, frames=6000)
    (empty,) = simulated.placebos(work, 1, 3)
    problem = work.problem(fit.frozen(), None)
    likelihood = work.likelihood(empty.train, 16)
    system = problem.system(problem.start)
    nuisance = problem.minimise().x
    S, _ = likelihood.covariances(*likelihood.model(system, Tangents.zero(0, system)), nuisance)
    ratio = likelihood.data.matrices.diagonal(dim1=1, dim2=2).real / S.diagonal(dim1=1, dim2=2).real
    assert abs(ratio.mean().item() - 1) < 0.1


@pytest.mark.parametrize("off", [0.0, 0.3])
def test_polish_takes_off_what_theory_gets_wrong(fit, monkeypatch, off):
    """Theory is right here, to 4 Monte Carlo errors; simulated with more slope than asked it is off by that much."""
    work = task(fit)
    problem = work.problem(fit.frozen(), work.residual())
    x = problem.start.clone()
    x[0] = 0.5
    right = simulated.simulate_scans

    def wrong(p, sc, *rest):
        return right(*problem.residual.apply(p, sc, [off]), *rest)

    monkeypatch.setattr(simulated, "simulate_scans", wrong)
    found = simulated.polish(work, problem, x, 20, 3)
    assert abs(found.bias.item() - off) < 4 * found.bias_error.item()
    assert found.bias_error.item() < 0.06
    assert found.in_range == 1.0
    if off:
        assert found.coefficients.item() == pytest.approx(0.5 - found.bias.item())
    else:
        assert found.coefficients.item() == 0.5


def test_scans_out_of_range_tell_nothing_of_theory(fit, monkeypatch):
    work = task(fit)
    problem = work.problem(fit.frozen(), work.residual())
    x = problem.start.clone()
    x[0] = 0.5
    right = simulated.simulate_scans

    def diverged(*arguments):
        bold, rate_E = right(*arguments)
        bold[1:], rate_E[1:] = float("nan"), float("nan")
        return bold, rate_E

    monkeypatch.setattr(simulated, "simulate_scans", diverged)
    found = simulated.polish(work, problem, x, 4, 3)
    assert (found.in_range, found.coefficients.item()) == (0.25, 0.5)
    assert torch.isnan(found.bias)
    told = refine(replace(work, config=replace(work.config, placebos=0, spins=0, polish=4)))
    assert "simulated, it does not hold 3 Hz" in told.reasons
    with pytest.raises(InputError, match="does not stay finite"):
        simulated.placebos(work, 4, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "bold"}, "auto | whittle | fc"),
        ({"band": [0.1, 0.01]}, "low, high"),
        ({"prior": 0.0}, "must lie in"),
        ({"placebos": 5}, "cannot reach the level"),
        ({"polish": 1}, "2 scans or more, or 0"),
        ({"starts": 0}, "too small"),
        ({"amplitude": "no"}, "global | regional"),
        ({"learn_from": "test"}, "all | search"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ConfigError) as error:
        RefineConfig(**settings)
    assert message in str(error.value)


def test_spectra_need_series(fit):
    work = task(fit, frames=400)
    with pytest.raises(InputError, match="needs time series"):
        replace(work, train=Recording(work.train.fc, work.train.protocol), config=RefineConfig(loss="whittle"))
