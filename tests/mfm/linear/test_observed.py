"""Theory of scans that were filtered, cleaned of the global signal, or carry measurement noise; against simulation."""

import numpy as np
import pytest
import torch
from small import network

import mfm
from mfm.linear.hemodynamics import resting_filter, transfer
from mfm.linear.observed import left_by_detrending, observed_filter, power_gain, quadrature, white_share
from mfm.observation import Observation

N = 8
BAND = {"high_pass_hz": 0.01, "low_pass_hz": 0.08}
KEPT = tuple((np.repeat(np.random.default_rng(3).random(60), 10) > 0.2).tolist())
OBSERVATIONS = {
    "band-pass": Observation(**BAND),
    "band-pass, GSR": Observation(**BAND, global_signal="regressed"),
    "forwards only": Observation(**BAND, zero_phase=False),
    "cosines": Observation(high_pass_hz=0.008, filter="cosine"),
    "running line": Observation(high_pass_hz=0.01, filter="gaussian"),
    "linear trend": Observation(detrend=1),
    "noise": Observation(noise_share=0.3),
    "all": Observation(**BAND, global_signal="regressed", noise_share=0.3, kept=KEPT),
}


def candidates(B=1, sigma=(5e-4, 1e-3), G=1.2):
    rng = np.random.default_rng(2)
    w_EE, w_EI = rng.uniform(3.0, 3.3, (B, N)), rng.uniform(2.2, 2.8, (B, N))
    return mfm.FICParameters(w_EE, w_EI, rng.uniform(*sigma, (B, N)), np.full(B, G))


def connectome():
    return mfm.Connectome(4 * network(N, seed=0).weights)


@pytest.fixture(scope="module")
def simulated():
    protocol = mfm.Protocol(0.72, 600, scheme="exponential", burn_in_s=36, warm_up_s=3, hemo_dt_s=0.03)
    return protocol, mfm.simulate(candidates(), connectome(), protocol, 192, seed=3).bold[0].double()


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_fc_is_that_of_simulations_that_went_through_the_same(simulated, name):
    # Mean over 192 scans; 28 correlations within 4.5 standard errors, and the finite scan's bias r (1 - r^2) / (2 T_eff),
    # which is largest where a band leaves few independent samples.
    protocol, bold = simulated
    observation = OBSERVATIONS[name]
    kept = observation.frames_kept(protocol.n_frames)
    seen = observation.apply(bold, protocol.tr_s, seed=9)
    each = mfm.upper_triangle(mfm.functional_connectivity(seen[:, kept]))
    lin = mfm.linear_response(candidates(), connectome(), protocol, observation=observation)
    error = each.std(dim=0) / len(each) ** 0.5
    assert ((each.mean(dim=0) - mfm.upper_triangle(lin.fc)[0]).abs() < 4.5 * error + 0.01).all()
    # Series drawn from the theory went through the same.
    drawn = mfm.upper_triangle(mfm.functional_connectivity(lin.sample_bold(len(each), seed=1)[0][:, kept]))
    both = (each.var(dim=0) / len(each) + drawn.var(dim=0) / len(each)).sqrt()
    assert ((each.mean(dim=0) - drawn.mean(dim=0)).abs() < 4.5 * both + 0.01).all()
    # Variance of a correlation from scan to scan: within a third, but for white noise, which is taken too large.
    ratio = float(lin.fc_sampling_variance[0] / each.var(dim=0).mean())
    assert 0.67 < ratio < (2.0 if name == "noise" else 1.5)


@pytest.mark.parametrize("name", ["band-pass", "band-pass, GSR", "forwards only", "noise", "all"])
@pytest.mark.parametrize(("tr_s", "tolerance"), [(0.72, 5e-4), (2.0, 2e-3), (3.0, 5e-3)])
def test_closed_forms_with_the_analogue_filter_are_near_the_quadrature(name, tr_s, tolerance):
    observation = OBSERVATIONS[name]
    if observation.kept is not None:
        observation = Observation(**BAND, global_signal="regressed", noise_share=0.3)
    protocol = mfm.Protocol(tr_s, round(800 / tr_s), dt_s=tr_s / 120)
    fast, exact = (
        mfm.linear_response(candidates(3), connectome(), protocol, method=method, observation=observation).fc
        for method in ("modes", "exact")
    )
    assert (fast - exact).abs().max() < tolerance


def test_derivatives_are_exact():
    protocol = mfm.Protocol(0.72, 300)
    observation = OBSERVATIONS["band-pass, GSR"]

    def fc(w_EE, w_EI, sigma, G):
        p = mfm.FICParameters(w_EE, w_EI, sigma, G)
        return mfm.linear_response(p, connectome(), protocol, observation=observation, method="modes").fc[:, 0, 1:]

    p = candidates(2)
    inputs = [x.clone().requires_grad_() for x in (p.w_EE, p.w_EI, p.sigma, p.G)]
    assert torch.autograd.gradcheck(fc, inputs, atol=1e-5, fast_mode=True)


def test_the_filter_of_poles_is_hemodynamics_times_butterworth():
    observation = Observation(**BAND)
    found = observed_filter(observation, 0.161)
    # Its power at a frequency: the Fourier transform of sum_p weight_p exp(-pole_p |t|).
    w = np.linspace(0.01, 1.5, 60)
    s = 1j * torch.from_numpy(w)
    power = (found.weight * 2 * found.pole / (found.pole**2 - s[:, None] ** 2)).sum(dim=1).real
    plain = resting_filter(0.161)
    hemodynamic = (plain.weight * 2 * plain.pole / (plain.pole**2 - s[:, None] ** 2)).sum(dim=1).real
    gain = power_gain(observation, 0.01, w)  # sampled so fast that the digital filter is the analogue one
    assert np.allclose(power, hemodynamic * gain, rtol=2e-3, atol=1e-4 * float(power.max()))


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_what_detrending_leaves_is_what_a_sinusoid_keeps(degree):
    T = 2000
    t = np.linspace(-1, 1, T)
    basis, _ = np.linalg.qr(np.vander(t, degree + 1))
    for cycles in (0.3, 1.0, 2.5, 7.3):
        wave = np.exp(1j * np.pi * cycles * t)
        left = wave - basis @ (basis.T @ wave)
        expected = (np.abs(left) ** 2).sum() / (np.abs(wave) ** 2).sum()
        assert left_by_detrending(degree, 1.0, np.array([2 * np.pi * cycles]))[0] == pytest.approx(expected, abs=2e-3)


def test_white_noise_keeps_the_share_that_a_filter_leaves():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4000, 30))
    for observation in (Observation(**BAND), Observation(high_pass_hz=0.05, filter_order=4, zero_phase=False)):
        left = observation.apply(noise, 0.72).numpy()[200:-200].var() / noise.var()
        assert white_share(observation, 0.72, 2880.0) == pytest.approx(left, rel=0.05)


def test_the_quadrature_integrates_the_spectrum_of_bold():
    observation, T = Observation(**BAND), 864.0
    w, measure = quadrature(observation, 0.72, T)
    dense = np.linspace(0, 30, 3_000_001)[1:]
    left = power_gain(observation, 0.72, dense) * left_by_detrending(0, T, dense)
    for rate in (0.01, 0.3, 3.0):
        spectrum, at_nodes = (
            (transfer(1j * torch.from_numpy(x), 0.161).abs() ** 2).numpy() / (x**2 + rate**2) for x in (dense, w)
        )
        expected = (left * spectrum).sum() * (dense[1] - dense[0]) / np.pi
        assert (measure * at_nodes).sum() == pytest.approx(expected, rel=1e-4)
