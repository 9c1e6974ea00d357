"""The principal gradient of FC: against theory, an independent algorithm, and published maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm import fc_gradient
from mfm.brain.fc_gradient import KERNELS, _likeness, _strongest, diffusion_component
from mfm.errors import InputError, InputNote
from mfm.io import read_map


def along_a_line(n_regions=24, length=0.25):
    position = np.linspace(0, 1, n_regions)
    return np.exp(-np.abs(position[:, None] - position) / length), position


def random_fc(n_regions, seed):
    """Correlations of random series with a common signal, most of them positive."""
    rng = np.random.default_rng(seed)
    bold = rng.normal(size=(3 * n_regions, n_regions)) @ rng.normal(size=(n_regions, n_regions))
    return np.corrcoef(bold.T + 5 * rng.normal(size=3 * n_regions))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("keep", [0.3, 0.5, 1.0])
def test_regions_along_a_line_are_ordered(kernel, keep):
    fc, position = along_a_line()
    gradient = fc_gradient(fc, -position, keep=keep, kernel=kernel)
    assert (np.diff(gradient)[3:-3] > 0).all()  # profiles cut off at the ends of the line bend it there
    assert np.corrcoef(gradient, position)[0, 1] > 0.95


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("within", "between"), [(1.0, 0.2), (0.7, 0.1)])
def test_two_blocks_are_told_apart_as_theory_says(alpha, within, between):
    block = np.repeat([0, 1], 6)
    gradient, eigenvalues = diffusion_component(np.where(block[:, None] == block, within, between), alpha)
    np.testing.assert_allclose(np.abs(gradient), 1, rtol=1e-12)
    np.testing.assert_allclose(gradient[:6], -gradient[6:], rtol=1e-12)
    assert eigenvalues[0] == pytest.approx(1)
    assert eigenvalues[1] == pytest.approx((within - between) / (within + between))


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_walk_on_a_chain_has_cosines(alpha):
    """A lazy walk on a chain with loops at the ends is doubly stochastic; its eigenvectors are cosines at half steps."""
    n = 15
    chain = np.eye(n) * 0.5 + np.diag(np.full(n - 1, 0.25), 1) + np.diag(np.full(n - 1, 0.25), -1)
    chain[0, 0] = chain[-1, -1] = 0.75
    gradient, eigenvalues = diffusion_component(chain, alpha)
    expected = np.sqrt(2) * np.cos(np.pi * (np.arange(n) + 0.5) / n)
    np.testing.assert_allclose(gradient * np.sign(gradient[0]), expected, atol=1e-12)
    np.testing.assert_allclose(eigenvalues, np.sort(0.5 + 0.5 * np.cos(np.pi * np.arange(n) / n))[::-1], atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(6, 20), st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 1.0]))
def test_the_component_is_that_of_the_random_walk(n_regions, seed, alpha):
    """The slowest mode of the row-stochastic matrix, found by powers of it with the stationary part taken out."""
    raw = np.random.default_rng(seed).uniform(0.1, 1, (n_regions, n_regions))
    affinity = raw @ raw.T
    degree = affinity.sum(1)
    walk = affinity / np.outer(degree, degree) ** alpha
    stationary = walk.sum(1) / walk.sum()
    walk = walk / walk.sum(1, keepdims=True)
    gradient, eigenvalues = diffusion_component(affinity, alpha)
    np.testing.assert_allclose(walk @ gradient, eigenvalues[1] * gradient, atol=1e-9)
    assert stationary @ gradient == pytest.approx(0, abs=1e-9)
    assert stationary @ gradient**2 == pytest.approx(1)
    assert eigenvalues[1] == pytest.approx(np.sort(np.linalg.eigvals(walk).real)[-2])


@pytest.mark.parametrize("keep", [0.1, 0.25, 1.0])
def test_profiles_equal_a_slow_loop(keep):
    fc = random_fc(20, 0)
    profiles = _strongest(fc, keep)
    for row, profile in zip(fc, profiles, strict=True):
        n_kept = int(np.ceil(keep * 20 - 1e-9)) if keep < 1 else 20
        strongest = sorted(range(20), key=lambda k: -row[k])[:n_kept]
        assert [k for k in range(20) if profile[k]] == sorted(k for k in strongest if row[k] > 0)
    for kernel, of_angle in (("cosine", np.cos), ("normalized_angle", lambda x: 1 - x / np.pi)):
        likeness = _likeness(profiles, kernel)
        for i in range(20):
            for j in range(20):
                a, b = profiles[i], profiles[j]
                angle = np.arccos(min(1.0, a @ b / np.sqrt((a @ a) * (b @ b))))
                assert likeness[i, j] == pytest.approx(of_angle(angle), abs=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(16)), st.integers(0, 10**6))
def test_the_order_of_regions_does_not_matter(order, seed):
    fc = random_fc(16, seed)
    myelin = np.random.default_rng(seed).normal(size=16)
    kwargs = {"keep": 0.5, "kernel": "normalized_angle"}
    try:
        gradient = fc_gradient(fc, myelin, **kwargs)
    except InputNote:  # a sign, or a direction, that the data leave open
        return
    np.testing.assert_allclose(fc_gradient(fc[np.ix_(order, order)], myelin[order], **kwargs), gradient[order], atol=1e-6)


def test_the_sign_is_set_against_myelin():
    fc, position = along_a_line()
    rising, falling = fc_gradient(fc, -position, keep=0.3), fc_gradient(fc, position, keep=0.3)
    np.testing.assert_array_equal(rising, -falling)
    assert np.corrcoef(rising, -position)[0, 1] < 0
    alone = fc_gradient(fc, keep=0.3)
    assert alone[np.abs(alone).argmax()] > 0


def test_the_same_to_the_last_bit():
    fc, _ = along_a_line()
    np.testing.assert_array_equal(fc_gradient(fc, keep=0.3), fc_gradient(fc.copy(), keep=0.3))


def test_the_input_is_not_changed():
    fc, position = along_a_line()
    np.fill_diagonal(fc, 0)
    before = fc.copy()
    fc_gradient(fc, position, keep=0.3)
    np.testing.assert_array_equal(fc, before)


def test_a_ring_has_no_first_gradient():
    step = np.abs(np.arange(12)[:, None] - np.arange(12))
    fc = np.exp(-np.minimum(step, 12 - step) / 3)
    with pytest.warns(InputNote, match=r"first two gradients of FC are equally strong.*Neither direction is told apart"):
        fc_gradient(fc, keep=0.4)


def test_a_sign_that_is_a_guess_is_told():
    fc, position = along_a_line()
    with pytest.warns(InputNote, match=r"hardly correlates with myelin \(\|r\| = 0\.0\d\): its sign is a guess"):
        fc_gradient(fc, (position - 0.5) ** 2 + 1e-3 * position, keep=0.3)


def test_separate_parts_have_no_gradient():
    fc = np.kron(np.eye(3), np.full((8, 8), 0.5)) + 0.5 * np.eye(24)
    with pytest.raises(
        InputError, match=r"(?s)groups of regions that nothing relates.*found: 3 groups, of 8, 8, 8.*fix: a larger"
    ):
        fc_gradient(fc, keep=0.3)


@pytest.mark.parametrize(("change", "message"), [
    (lambda fc: np.arctanh(fc * 0.999), r"no matrix of correlations.*cause: Fisher z values.*fix: give tanh"),
    (lambda fc: fc + np.triu(np.full_like(fc, 0.1), 1) * (fc < 0.5), r"no matrix of correlations.*asymmetry up to 0\.1"),
    (lambda fc: fc[:, :-1], "not a square matrix"),
    (lambda fc: fc[:2, :2], "at least three regions"),
    (lambda fc: np.where(fc == fc.min(), np.nan, fc), "not finite"),
    (lambda fc: np.eye(len(fc)) * 1.1 - 0.1, r"no positive correlation among those that are kept.*found: regions 1, 2"),
])  # fmt: skip
def test_what_is_no_fc_is_refused(change, message):
    with pytest.raises(InputError, match="(?s)" + message):
        fc_gradient(change(along_a_line()[0]), keep=0.3)


@pytest.mark.parametrize(("kwargs", "message"), [
    ({"keep": 0}, "keep or alpha is out of range"), ({"keep": 1.5}, "found: 1.5"), ({"alpha": -1}, "0 <= alpha <= 1"),
    ({"kernel": "pearson"}, r"Unknown kernel 'pearson'.*cosine \| normalized_angle"),
    ({"myelin": np.ones(3)}, r"myelin map does not fit.*expected: 24 finite values.*found: shape \(3,\)"),
    ({"myelin": np.ones(24)}, "finite values that differ"),
])  # fmt: skip
def test_arguments_are_checked(kwargs, message):
    with pytest.raises(InputError, match="(?s)" + message):
        fc_gradient(along_a_line()[0], **kwargs)


@pytest.mark.parametrize(("atlas", "fc", "myelin", "gradient", "least"), [
    ("dk68", "group-train", "myelin", "rsfc_gradient", 0.85),
    ("dk68", "group-validation", "myelin", "rsfc_gradient", 0.85),
    ("schaefer100-17n", "group-train", "myelin", "rsfc_gradient", 0.93),
    ("schaefer100-7n", "group-train706", "myelinmap_zscore", "fcgradient01_zscore", 0.90),
])  # fmt: skip
def test_published_gradients_are_recovered(shared, atlas, fc, myelin, gradient, least):
    """Published maps come from vertices; those of 68 or 100 regions correlate with them at 0.88 to 0.95, sign included."""
    folder = shared / "data" / atlas
    matrix = np.loadtxt(folder / fc / "FC.csv", delimiter=",")
    ours = fc_gradient((matrix + matrix.T) / 2, read_map(folder / f"{myelin}.csv", len(matrix)))
    published = read_map(folder / f"{gradient}.csv", len(matrix))
    assert np.corrcoef(ours, published)[0, 1] > least
