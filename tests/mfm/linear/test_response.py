"""Linear response against a brute-force Lyapunov solution, against finite differences, and against simulation."""

from dataclasses import replace

import numpy as np
import pytest
import small
import torch
from full_system import scan_covariance, state_space
from scipy.linalg import solve_continuous_lyapunov
from scipy.optimize import brentq

import mfm

N = 5
SC = small.network(N, seed=3)
SIGMA = (0.003, 0.006)
LONG = mfm.Protocol(tr_s=0.72, n_frames=10**7)


def brute_force(p, sc, scan_s=None):
    """FC and BOLD covariance from the Lyapunov equation of all 6 N states, with a Jacobian by automatic differentiation."""
    A, Q, J = state_space(p, sc)
    covariance = J @ solve_continuous_lyapunov(A, -Q) @ J.T if scan_s is None else scan_covariance(A, Q, J, scan_s)
    std = np.sqrt(np.diag(covariance))
    return covariance / np.outer(std, std), covariance


def test_fcd_is_that_of_the_sampled_series():
    found = mfm.linear_response(small.candidates(N, sigma=SIGMA), SC, mfm.Protocol(tr_s=0.72, n_frames=300))
    cdf = found.sample_fcd_cdf(2, seed=1, n_bins=100, step_frames=7)
    series = found.sample_bold(2, 1, torch.float32)
    assert torch.equal(cdf, mfm.fcd_cdf(series, found.protocol.window_frames, 100, step_frames=7).mean(dim=1))


def test_fc_solves_the_lyapunov_equation():
    fc, covariance = brute_force(small.candidates(N, sigma=SIGMA), SC)
    found = mfm.linear_response(small.candidates(N, sigma=SIGMA), SC, LONG, method="exact")
    assert np.abs(found.fc[0].numpy() - fc).max() < 1e-6
    assert np.abs(found.bold_covariance[0].numpy() / covariance - 1).max() < 1e-5


@pytest.mark.parametrize("method", ["modes", "exact"])
@pytest.mark.parametrize("to_instability", [0.1, 1e-3, 1e-5])
def test_fc_over_a_scan_that_slow_modes_outlast(method, to_instability):
    def largest(G):
        return float(mfm.linear_response(small.candidates(N, sigma=SIGMA, G=G), SC, LONG).abscissa)

    G = brentq(lambda G: largest(G) + to_instability, 1.0, 100.0, xtol=1e-14)
    protocol = mfm.Protocol(tr_s=0.72, n_frames=400)
    fc, covariance = brute_force(small.candidates(N, sigma=SIGMA, G=G), SC, protocol.scan_s)
    found = mfm.linear_response(small.candidates(N, sigma=SIGMA, G=G), SC, protocol, method=method)
    assert np.abs(found.fc[0].numpy() - fc).max() < 1e-4
    assert np.abs(found.bold_covariance[0].numpy() / covariance - 1).max() < 2e-3


@pytest.mark.parametrize("method", ["modes", "exact"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_gradients(method, symmetric):
    sc = mfm.Connectome([[0.0, 0.02, 0.01], [0.02 if symmetric else 0.005, 0.0, 0.015], [0.01, 0.015, 0.0]])
    protocol = mfm.Protocol(tr_s=0.72, n_frames=50)

    def statistics(w_EE, w_EI, sigma, G):
        found = mfm.linear_response(mfm.FICParameters(w_EE, w_EI, sigma, G), sc, protocol, method=method)
        return found.fc[:, 0, 1:], found.bold_covariance[:, 1]

    inputs = [torch.tensor([[v, 1.1 * v, 0.9 * v], [1.02 * v, v, 0.95 * v]]).double() for v in (3.0, 2.5, 0.005)]
    inputs = [x.requires_grad_() for x in (*inputs, torch.tensor([2.5, 2.0]).double())]
    assert torch.autograd.gradcheck(statistics, inputs, check_forward_ad=True, atol=1e-6, fast_mode=True)

    def series(w_EE, w_EI, sigma, G):
        found = mfm.linear_response(mfm.FICParameters(w_EE, w_EI, sigma, G), sc, protocol, method=method)
        return found.sample_bold(2, seed=1)[:, :, ::7]

    assert torch.autograd.gradcheck(series, inputs, atol=1e-5, fast_mode=True)


def test_unstable_candidates_have_a_status_and_leave_the_others_alone():
    p = small.candidates(N, 3, sigma=SIGMA)
    mixed = mfm.FICParameters(torch.stack([p.w_EE[0], torch.full((N,), 9.0), p.w_EE[2]]), p.w_EI, p.sigma, p.G)
    protocol = mfm.Protocol(tr_s=0.72, n_frames=200)
    found = mfm.linear_response(mixed, SC, protocol)
    assert found.status.tolist() == [mfm.LinearStatus.OK, mfm.LinearStatus.UNSTABLE, mfm.LinearStatus.OK]
    assert torch.isnan(found.fc[1]).all()
    assert torch.isnan(found.sample_bold(1, 0)[1]).all()
    alone = mfm.linear_response(p[[0, 2]], SC, protocol)
    assert torch.allclose(found.fc[[0, 2]], alone.fc, rtol=0, atol=1e-14)
    assert torch.isnan(found.sample_fcd_cdf(1)[1]).all()
    assert found[torch.zeros(3, dtype=torch.bool)].sample_fcd_cdf(1).shape == (0, 10_000)


def test_predicts_simulated_fc():
    # 64 simulations of 300 frames: z scores of the mean FC of 10 pairs, beside a bias of 1 % for the terms left out.
    protocol = mfm.Protocol(tr_s=0.72, n_frames=300, burn_in_s=30, warm_up_s=6)
    p = small.candidates(N, sigma=0.002)
    fc = mfm.functional_connectivity(mfm.simulate(p, SC, protocol, 64, seed=2).bold[0])
    simulated = mfm.upper_triangle(fc)
    error = simulated.std(dim=0) / 64**0.5
    predicted = mfm.upper_triangle(mfm.linear_response(p, SC, protocol).fc)[0]
    assert ((simulated.mean(dim=0) - predicted).abs() < 4.5 * error + 0.01).all()


@pytest.mark.parametrize("tr_s", [0.72, 2.5])
def test_sampled_bold_has_the_predicted_covariance(tr_s):
    # 256 series of 200 frames: 4.5 standard errors of the mean covariance of 15 pairs.
    protocol = mfm.Protocol(tr_s=tr_s, n_frames=200, dt_s=tr_s / 100)
    found = mfm.linear_response(small.candidates(N, sigma=SIGMA), SC, protocol)
    bold = found.sample_bold(256, seed=4)[0]
    x = bold - bold.mean(dim=1, keepdim=True)
    covariance = x.mT @ x / 200
    error = covariance.std(dim=0) / 256**0.5
    assert ((covariance.mean(dim=0) - found.bold_covariance[0]).abs() < 4.5 * error).all()
    assert torch.equal(found.sample_bold(3, seed=4), found.sample_bold(3, seed=4))


def test_sampled_bold_has_the_simulated_time_scale():
    # Lag-one autocorrelation over 64 series of 400 frames; at small noise both are the same process.
    protocol = mfm.Protocol(tr_s=0.72, n_frames=400, burn_in_s=30, warm_up_s=6)
    p = small.candidates(N, sigma=0.002)
    series = [
        mfm.simulate(p, SC, protocol, 64, seed=5).bold[0].double(),
        mfm.linear_response(p, SC, protocol).sample_bold(64, 6)[0],
    ]
    lag_one = []
    for x in series:
        x = x - x.mean(dim=1, keepdim=True)
        lag_one.append(((x[:, 1:] * x[:, :-1]).sum(dim=1) / (x**2).sum(dim=1)).mean(dim=1))
    error = sum(float(r.var()) / 64 for r in lag_one) ** 0.5
    assert abs(float(lag_one[0].mean() - lag_one[1].mean())) < 4.5 * error + 0.002


def test_given_feedback_weights_are_refused():
    p = replace(small.candidates(N, sigma=SIGMA), w_IE=np.ones((1, N)))
    with pytest.raises(mfm.errors.InputError, match="w_IE was given"):
        mfm.linear_response(p, SC, LONG)


def test_std_of_the_gating_variable_is_that_of_the_simulation():
    # Noise of 0.002 for 20 s after 12 s in 512 realisations; the lag-one frames of 1 s are nearly independent.
    protocol = mfm.Protocol(tr_s=0.006, n_frames=2, dt_s=0.006, burn_in_s=0.0, warm_up_s=12.0)
    p = small.candidates(N, sigma=0.002)
    # With one step per frame the average after the warm-up is nearly the state itself.
    S_E = mfm.simulate(p, SC, protocol, 2048, seed=8).S_E[0]
    predicted = mfm.linear_response(p, SC, protocol).activity_std[0]
    # The standard error of a standard deviation is 1 / sqrt(2 R) = 1.6 %; 2 % for the fast modes left out.
    assert (S_E.std(dim=0) / predicted - 1).abs().max() < 4.5 * 0.016 + 0.02


@pytest.mark.parametrize(("dt_s", "scheme"), [(0.006, "euler"), (0.001, "euler"), (0.006, "exponential")])
def test_mean_rate_to_second_order_is_that_of_the_simulation(dt_s, scheme):
    # 32 simulations of 120 s: shifts of up to 0.05 Hz with a standard error below 0.001 Hz.
    protocol = mfm.Protocol(tr_s=0.72, n_frames=167, dt_s=dt_s, burn_in_s=0.0, warm_up_s=12.0, scheme=scheme)
    p = replace(small.candidates(N, sigma=0.008), w_EI=np.random.default_rng(1).uniform(1.6, 2.0, (1, N)))
    rate = mfm.simulate(p, SC, protocol, 32, seed=9).rate_E[0]
    error = rate.std(dim=0) / 32**0.5
    shift = rate.mean(dim=0) - 3
    predicted = mfm.linear_response(p, SC, protocol).mean_reported[0] - 3
    assert shift.abs().max() > 4 * error.max()
    assert ((shift - predicted).abs() < 4.5 * error + 0.15 * shift.abs().max()).all()


def test_fc_varies_from_scan_to_scan_as_predicted():
    # 64 scans: the variance, mean over 10 pairs, is known to 6 %; the formula to 30 %.
    protocol = mfm.Protocol(tr_s=0.72, n_frames=300, burn_in_s=30, warm_up_s=6)
    p = small.candidates(N, sigma=0.002)
    fc = mfm.functional_connectivity(mfm.simulate(p, SC, protocol, 64, seed=2).bold[0])
    simulated = mfm.upper_triangle(fc).var(dim=0).mean()
    predicted = mfm.linear_response(p, SC, protocol).fc_sampling_variance[0]
    assert 0.65 < float(predicted / simulated) < 1.5


def test_cross_spectrum_integrates_to_the_covariance():
    p, sc = small.candidates(N, sigma=SIGMA), SC
    found = mfm.linear_response(p, sc, LONG)
    f = torch.linspace(-1.5, 1.5, 30001, dtype=torch.float64)
    total = torch.trapezoid(found.cross_spectrum(f)[0].real, f, dim=0)
    assert torch.allclose(total, found.bold_covariance[0], rtol=1e-3)


def test_autocorrelation_time_is_that_of_long_series():
    # Variance of the mean over T seconds is variance times autocorrelation time / T: 400 series, 4.5 standard errors.
    protocol = mfm.Protocol(tr_s=0.72, n_frames=1000)
    found = mfm.linear_response(small.candidates(N, sigma=SIGMA), SC, protocol)
    longer = mfm.Protocol(tr_s=0.72, n_frames=2000)
    series = mfm.linear_response(small.candidates(N, sigma=SIGMA), SC, longer).sample_bold(400, 3)[0]
    means = series[:, :1000].mean(dim=1)
    expected = found.autocorrelation_time_s[0] / protocol.scan_s
    ratio = means.var(dim=0) / (series.var(dim=1).mean(dim=0) * expected)
    assert (ratio - 1).abs().max() < 4.5 * (2 / 400) ** 0.5 + 0.1


def test_selected_candidates_are_those_of_the_whole():
    protocol = mfm.Protocol(tr_s=0.72, n_frames=100)
    found = mfm.linear_response(small.candidates(N, 4, sigma=SIGMA), SC, protocol)
    some = found[torch.tensor([3, 1])]
    assert torch.equal(some.fc, found.fc[[3, 1]])
    assert torch.allclose(some.sample_bold(1, 0), found.sample_bold(1, 0)[[3, 1]], atol=1e-12)
    assert torch.allclose(some.mean_reported, found.mean_reported[[3, 1]])


def test_unknown_method_is_told():
    with pytest.raises(mfm.errors.InputError, match="Unknown method"):
        mfm.linear_response(small.candidates(N, sigma=SIGMA), SC, LONG, method="fast")


@pytest.mark.gpu
def test_a_gpu_computes_the_same():
    p = small.candidates(N, 4, sigma=SIGMA)
    device = mfm.FICParameters(*(x.cuda() for x in (p.w_EE, p.w_EI, p.sigma, p.G)))
    protocol = mfm.Protocol(tr_s=0.72, n_frames=200)
    here, there = (mfm.linear_response(q, SC, protocol) for q in (p, device))
    assert torch.allclose(here.fc, there.fc.cpu(), atol=1e-10)
    assert torch.allclose(here.sample_bold(2, 0), there.sample_bold(2, 0).cpu(), atol=1e-8)
    assert torch.allclose(here.mean_reported, there.mean_reported.cpu(), atol=1e-8)
