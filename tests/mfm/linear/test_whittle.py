"""Whittle's likelihood against finite differences, a Kalman filter, the theory's own samples, and its expected curvature."""

import numpy as np
import pytest
import small
import torch
from full_system import state_space
from scipy.linalg import expm, solve_continuous_lyapunov

import mfm
from mfm.errors import InputError
from mfm.linear.system import LinearSystem
from mfm.linear.whittle import Periodogram, Tangents, WhittleLikelihood, periodogram
from mfm.models.fic_feedback import designed_point
from mfm.ude import LinearResidual

N = 5
TR_S = 0.72
SC = small.network(N, seed=3, symmetric=True)
SIGMA = (0.003, 0.006)


def linearised(p, sc):
    point = designed_point(p)
    return LinearSystem.of(p, sc, point), point


def residual(edges=("a",)):
    return LinearResidual.of(mfm.RegionalMaps(np.random.default_rng(5).normal(size=(2, N)), ("a", "b")), SC, edges=edges)


def scan(p, n_frames=600, seed=0):
    lin = mfm.linear_response(p, SC, mfm.Protocol(TR_S, n_frames))
    bold = lin.sample_bold(seed=seed)[0, 0]
    return bold + 0.2 * bold.std() * torch.randn(bold.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("amplitude", ["global", "regional"])
@pytest.mark.parametrize("noise", [True, False])
def test_gradient_against_central_differences(amplitude, noise):
    whittle = WhittleLikelihood(periodogram(scan(small.candidates(N, sigma=SIGMA)), TR_S, n_bins=6), amplitude, noise)
    family = residual()
    # Directions of every field of the linear system: the parameters of the mechanism move all of them.
    rng = np.random.default_rng(0)
    base = small.candidates(N, sigma=SIGMA)
    moves = {name: torch.tensor(rng.normal(size=(1, N)) * size) for name, size in (("w_EE", 1), ("w_EI", 1), ("sigma", 1e-3))}

    def parameters_at(x):
        return mfm.FICParameters(*(getattr(base, name) + x[3] * moves[name] for name in moves), base.G * (1 + 0.2 * x[3]))

    def system_at(x):
        return family.added_to(*linearised(parameters_at(x), SC), x[:3])

    def value(x):
        system = system_at(x)
        return whittle(system, Tangents.zero(0, system), torch.tensor(x[4:])).value

    system = system_at(np.zeros(4))
    x = np.array([0.5, -0.3, 0.2, 0.05, *(whittle.start(system).numpy() + 0.3)])
    h = 1e-6
    ahead, behind = (system_at(x + np.array([0, 0, 0, s, *(0,) * (len(x) - 4)])) for s in (h, -h))
    moved = [(getattr(ahead, f) - getattr(behind, f)) / (2 * h) for f in Tangents._fields[:6]]
    system, tangents = system_at(x), family.tangents(*linearised(parameters_at(x), SC))
    found = whittle(system, tangents.joined(Tangents(*moved)), torch.tensor(x[4:]))
    for k in range(len(x)):
        step = 1e-5 * np.eye(len(x))[k]
        difference = (value(x + step) - value(x - step)) / 2e-5
        assert abs(found.gradient[k].item() - difference) < 1e-5 * max(1.0, abs(difference))


def _kalman(A, Q, H, R, y):
    """Exact Gaussian negative log-likelihood of (T, N) in stationary state, without T N log(2 pi) / 2."""
    P = _stationary(A, Q)
    x, total = np.zeros(len(A)), 0.0
    for row in y:
        S = H @ P @ H.T + R
        error = row - H @ x
        total += 0.5 * (np.linalg.slogdet(S)[1] + error @ np.linalg.solve(S, error))
        K = np.linalg.solve(S, H @ P).T
        x, P = A @ (x + K @ error), A @ (P - K @ H @ P) @ A.T + Q
    return total


def _stationary(A, Q):
    P, step = Q.copy(), A.copy()
    for _ in range(60):  # doubling: sum of A^k Q A^k'
        P, step = P + step @ P @ step.T, step @ step
    return P


def test_equals_a_kalman_filter():
    """On 2 regions: what data add to the likelihood, and what a further sample adds to its determinant.

    Whittle's likelihood is that of a periodic process. For data that are zero for longer than the memory before and after, and
    up to a constant of the two ends that does not depend on data or length, it is the exact one.
    """
    n, tr, noise = 2, 2.0, 1e-4
    p, sc = small.candidates(n, sigma=SIGMA), small.network(n, seed=3, symmetric=True)
    A, Q, H = state_space(p, sc)
    step, R = expm(A * tr), np.eye(n) * noise / tr
    P = solve_continuous_lyapunov(A, -Q)
    added = P - step @ P @ step.T
    system = LinearSystem.of(p, sc, designed_point(p))
    nuisance = torch.tensor([0.0, np.log(noise)])

    def whittle(y):
        found = periodogram(y, tr, band_hz=(0.0, 0.5 / tr), n_bins=None)
        likelihood = WhittleLikelihood(found, aliases=60)
        # Spectra are per Hz, the filter's variances per sample.
        shift = len(y) * n * np.log(tr) / 2
        return likelihood(system, Tangents.zero(0, system), nuisance).value - shift

    def exact(y):
        return _kalman(step, added, H, R, y)

    y = np.zeros((600, n))
    y[250:350] = np.random.default_rng(0).normal(size=(100, n)) * np.sqrt((H @ P @ H.T).diagonal())
    zero = np.zeros_like(y)
    assert exact(y) - exact(zero) == pytest.approx(whittle(y) - whittle(zero), rel=1e-6)
    assert exact(zero[:400]) - exact(zero) == pytest.approx(whittle(zero[:400]) - whittle(zero), rel=1e-6)


def test_score_and_information_agree_over_samples():
    """The gradient at the truth has mean zero and the information as covariance: 200 scans, 4 standard errors."""
    p, sc = small.candidates(N, sigma=SIGMA), SC
    family = residual()
    protocol = mfm.Protocol(TR_S, 1200)
    bold = mfm.linear_response(p, sc, protocol).sample_bold(200, seed=3)[0]
    system, tangents = family.added_to(*linearised(p, sc), np.zeros(3)), family.tangents(*linearised(p, sc))
    gradients = []
    for one in bold:
        found = WhittleLikelihood(periodogram(one, TR_S), noise=False)(system, tangents, torch.zeros(1, dtype=torch.float64))
        gradients.append(found.gradient.numpy())
    whitened = np.linalg.solve(np.linalg.cholesky(found.information.numpy()), np.array(gradients).T)
    assert np.abs(whitened.mean(axis=1)).max() < 4 / np.sqrt(200)
    assert np.abs(whitened.var(axis=1) - 1).max() < 4 * np.sqrt(2 / 200)


def test_amplitudes_that_do_not_count_may_have_any_gain():
    p, sc = small.candidates(N, sigma=SIGMA), SC
    system = LinearSystem.of(p, sc, designed_point(p))
    bold = scan(p)
    gains = torch.tensor([1.0, 20.0, 0.1, 3.0, 7.0])
    values = []
    for series in (bold, bold * gains):
        whittle = WhittleLikelihood(periodogram(series, TR_S), "regional")
        values.append(whittle(system, Tangents.zero(0, system), whittle.start(system)).value)
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_terms_add_up():
    p, sc = small.candidates(N, sigma=SIGMA), SC
    system = LinearSystem.of(p, sc, designed_point(p))
    whittle = WhittleLikelihood(periodogram(scan(p), TR_S))
    start = whittle.start(system)
    assert whittle.by_frequency(system, start).sum().item() == pytest.approx(
        whittle(system, Tangents.zero(0, system), start).value, rel=1e-12
    )


def test_a_model_without_a_covariance_is_infinitely_unlikely():
    p, sc = small.candidates(N, sigma=SIGMA), SC
    system = LinearSystem.of(p, sc, designed_point(p))
    whittle = WhittleLikelihood(periodogram(scan(p), TR_S))
    assert whittle(system, Tangents.zero(0, system), torch.tensor([float("nan"), 0.0])).value == np.inf


def test_whole_power_is_the_variance():
    bold = scan(small.candidates(N, sigma=SIGMA), n_frames=401)
    found = periodogram(bold - bold.mean(dim=0), TR_S, band_hz=(0.0, 0.5 / TR_S), n_bins=None)
    assert isinstance(found, Periodogram)
    total = 2 * (found.power * found.counts.sum()) / (len(bold) * TR_S)
    assert np.allclose(total, bold.var(dim=0, correction=0), rtol=1e-10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: periodogram(np.zeros((100, 3)), 2.0, band_hz=(0.3, 0.4)), "fewer than two frequencies"),
        (lambda: periodogram(np.full((100, 3), np.nan), 2.0), "not those of one scan"),
        (lambda: WhittleLikelihood(periodogram(np.ones((100, 3)), 2.0), "none"), "global | regional"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert message in str(error.value)
