"""Standard errors of coefficients: against autograd, against the spread of estimates, and where there are none."""

import csv
import json

import numpy as np
import pytest
import torch

import mfm
from optim.cli.fit import fit_and_write
from optim.fit.identifiability import _derivatives, _offset, identifiability
from optim.report.folder import FitFolder
from optim.search.space import SearchSpace

PROTOCOL = mfm.Protocol(2.0, 400, 0.005)
TRUTH = [3.3, 0.1, 0.0, 2.6, -0.3, 0.05, 2.0, 0.005, 0.0005, 0.0]


@pytest.fixture(scope="module")
def space(subject):
    return SearchSpace(mfm.MapParameterisation(subject.maps))


def fisher_z(space, coefficients, scan):
    return torch.arctanh(
        mfm.upper_triangle(mfm.linear_response(space.parameterisation.to_parameters(coefficients), scan.sc, PROTOCOL).fc)
    )


def test_derivatives_against_autograd(subject, space):
    theta = torch.tensor([TRUTH], dtype=torch.float64)
    scale = torch.diag(torch.tensor([1.0, 0.3, 0.1, 1.0, 0.3, 0.1, 1.0, 1e-3, 1e-3, 1e-4], dtype=torch.float64))
    found = _derivatives(space, theta, _offset(space, theta, None), subject.search, PROTOCOL, scale)
    leaf = theta.clone().requires_grad_()
    z = fisher_z(space, leaf, subject.search)[0]
    expected = torch.stack([torch.autograd.grad(value, leaf, retain_graph=True)[0][0] for value in z]) @ scale
    assert np.abs(found - expected.numpy()).max() < 1e-6 * float(expected.abs().max())


def test_standard_errors_are_the_spread_of_estimates(subject, space):
    """Scans drawn from the theory, each fitted by least squares from the truth on: the spread of G and of the w_EE's mean."""
    bare = SearchSpace(mfm.MapParameterisation(mfm.RegionalMaps.none(8)))
    truth = np.array([3.3, 2.6, 2.0, 0.005])
    found = identifiability(bare, truth, subject.search, PROTOCOL)
    assert np.isinf(found.standard_error).tolist() == [False, False, False, True]
    p = bare.parameterisation.to_parameters(truth)
    lin = mfm.linear_response(p, subject.search.sc, PROTOCOL)
    scans = torch.arctanh(mfm.upper_triangle(mfm.functional_connectivity(lin.sample_bold(300, 99)[0])))
    # One Gauss-Newton step from the truth, with the theory's own expectation taken out: the estimate for small noise.
    leaf = torch.tensor(truth, dtype=torch.float64, requires_grad=True)
    z = fisher_z(bare, leaf[None], subject.search)[0]
    J = torch.stack([torch.autograd.grad(value, leaf, retain_graph=True)[0] for value in z])[:, :3]
    estimates = torch.linalg.lstsq(J, (scans - scans.mean(dim=0)).T).solution
    spread = estimates.std(dim=1).numpy()
    assert np.allclose(found.standard_error[:3], spread, rtol=0.25)


def test_the_scale_of_the_noise_is_what_fc_does_not_know(subject, space):
    found = identifiability(space, TRUTH, subject.search, PROTOCOL)
    weakest = found.weakest[0]
    assert weakest.share_of_prior == pytest.approx(1.0, abs=1e-6)
    assert np.isinf(found.standard_error[7])
    assert np.isfinite(found.standard_error[:7]).all()
    assert "sigma" in weakest.in_words(found.names)
    assert (found.share_of_prior <= 1 + 1e-9).all()
    assert found.share_of_prior[:7].min() < 0.9
    assert np.linalg.norm(weakest.loadings) == pytest.approx(1.0)


def test_a_longer_scan_tells_more(subject, space):
    short, long = (
        identifiability(space, TRUTH, subject.search, mfm.Protocol(2.0, n_frames, 0.005)).standard_error[:7]
        for n_frames in (150, 1200)
    )
    assert (long < short).all()
    assert np.median(short / long) == pytest.approx(np.sqrt(8), rel=0.35)


def test_nothing_is_known_where_the_theory_is_not_stable(subject, space):
    found = identifiability(space, [10.0, 0, 0, 0.1, -0.01, 0.001, 3.0, 0.005, 0.0, 0.0], subject.search, PROTOCOL)
    assert "not linearly stable" in found.reason
    assert np.isnan(found.standard_error).all()
    assert found.weakest == ()


def test_uncoupled_regions_leave_everything_open(subject):
    """G = 0: FC is that of independent regions whatever the weights; the information is singular, and that is no error."""
    bare = SearchSpace(mfm.MapParameterisation(mfm.RegionalMaps.none(8)))
    found = identifiability(bare, [3.0, 2.5, 0.0, 0.005], subject.search, PROTOCOL)
    assert found.reason == "" or np.isnan(found.standard_error).all()


def test_it_is_written_with_a_fit(subject, config):
    result = fit_and_write(subject, config)
    folder = FitFolder(config)
    with open(folder.file("identifiability.tsv"), newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert [row["coefficient"] for row in rows] == list(result.parameterisation.names)
    assert rows[7]["standard_error"] == "n/a"
    assert 0 < float(rows[6]["share_of_prior"]) <= 1.0000001
    assert float(rows[6]["value"]) == pytest.approx(float(result.coefficients[6]))
    record = json.loads(folder.file("regional.json").read_text())["identifiability"]
    assert record["unknown_because"] is None
    assert len(record["weakest"]) == 3
    assert record["weakest"][0]["combination"]


def test_regional_deviations_leave_the_scale_of_the_noise_open(subject, space):
    p = space.parameterisation.to_parameters(TRUTH)
    rng = np.random.default_rng(0)
    deviating = mfm.FICParameters(
        p.w_EE + 0.1 * torch.from_numpy(rng.normal(size=8)), p.w_EI, p.sigma * torch.from_numpy(1 + 0.1 * rng.random(8)), p.G
    )
    found = identifiability(space, TRUTH, subject.search, PROTOCOL, deviating)
    assert np.isinf(found.standard_error[7])
    assert np.isfinite(found.standard_error[:7]).all()
