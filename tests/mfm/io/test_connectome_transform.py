"""Connectomes from streamline counts, in memory and from a file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_files import raw_counts

from mfm import load_connectome
from mfm.errors import InputError, InputNote, MissingInputError
from mfm.io.readers.connectomes import transform_connectome

NAMES = ("lh-bankssts", "lh-cuneus", "rh-bankssts", "rh-cuneus")


def save(path, matrix, names=None):
    rows = [",".join(map(repr, map(float, row))) for row in matrix]
    path.write_text("\n".join(([",".join(names)] if names else []) + rows) + "\n")
    return path


@pytest.mark.parametrize(
    ("transform", "function"),
    [("log", lambda x: np.log(np.where(x > 0, x, 1))), ("log1p", np.log1p), ("none", lambda x: x)],
)
@pytest.mark.parametrize("scale_max", [0.02, 0.2, None])
def test_transform_then_scale(transform, function, scale_max):
    counts = raw_counts()
    weights = function(counts)
    np.fill_diagonal(weights, 0)
    if scale_max is not None:
        weights = weights * scale_max / weights.max()
    sc = transform_connectome(counts, transform, scale_max, NAMES)
    np.testing.assert_allclose(sc.weights, weights, rtol=1e-14)
    assert sc.labels == NAMES


def test_default_is_the_logarithm_scaled_to_0_02():
    counts = raw_counts()
    np.testing.assert_array_equal(transform_connectome(counts).weights, transform_connectome(counts, "log", 0.02).weights)


def test_the_diagonal_does_not_count():
    counts = raw_counts()
    np.fill_diagonal(counts, [1e6, -1, 0.5, 3])
    np.testing.assert_array_equal(transform_connectome(counts).weights, transform_connectome(raw_counts()).weights)


@pytest.mark.parametrize("transform", ["log", "log1p", "none"])
def test_asymmetric_counts_stay_asymmetric(transform):
    counts = raw_counts()
    counts[0, 2] = 2 * counts[2, 0] + 1
    with pytest.warns(
        InputNote, match=r"not symmetric \(differences up to \d+% of the maximum\): rows are taken as targets.*sym"
    ):
        weights = transform_connectome(counts, transform).weights
    assert weights[0, 2] > weights[2, 0] > 0


@settings(max_examples=25, deadline=None)
@given(n_regions=st.integers(3, 9), seed=st.integers(0, 10**6), transform=st.sampled_from(["log", "log1p", "none"]))
def test_transforms_keep_zeros_order_and_symmetry(n_regions, seed, transform):
    counts = raw_counts(n_regions, seed)
    weights = transform_connectome(counts, transform).weights
    np.fill_diagonal(counts, 0)
    np.testing.assert_array_equal(weights == 0, counts == 0)
    np.testing.assert_array_equal(weights, weights.T)
    assert weights.max() == pytest.approx(0.02, rel=1e-12)
    assert (np.diff(weights.ravel()[np.argsort(counts, axis=None)]) >= 0).all()


def test_refuses_an_unknown_transform():
    with pytest.raises(InputError, match=r"(?s)'log10'.*expected: log \| log1p \| log1p_relative \| none"):
        transform_connectome(raw_counts(), "log10")


@pytest.mark.parametrize("scale_max", [0, -0.02, float("nan")])
def test_refuses_a_scale_that_is_not_positive(scale_max):
    with pytest.raises(InputError, match=rf"(?s)scale_max must be positive.*found: {scale_max}"):
        transform_connectome(raw_counts(), scale_max=scale_max)


@pytest.mark.parametrize(("half", "name"), [(np.triu, "upper"), (np.tril, "lower")])
def test_a_triangle_is_completed_and_told(half, name):
    with pytest.warns(InputNote, match=rf"{name} triangular, as MRtrix writes without -symmetric; it was completed"):
        sc = transform_connectome(half(raw_counts()))
    np.testing.assert_array_equal(sc.weights, transform_connectome(raw_counts()).weights)
    assert sc.steps[0] == f"{name} triangle mirrored"


@pytest.mark.parametrize("transform", ["log", "log1p", "none"])
def test_refuses_counts_that_are_negative(transform):
    logged = np.log(raw_counts() / 100 + 1e-3)
    n_negative = (logged[~np.eye(4, dtype=bool)] < 0).sum()
    with pytest.raises(
        InputError,
        match=rf"(?s)negative entries.*found: {n_negative} negative.*logarithm of weights.*fix: give the weights",
    ):
        transform_connectome(logged, transform)


def test_refuses_the_logarithm_of_weights_below_one():
    counts = raw_counts()
    counts[0, 2] = counts[2, 0] = 0.25
    with pytest.raises(
        InputError, match=r"(?s)weights below 1.*found: non-zero entries from 0.25.*averaged.*fix: `transform=\"log1p\"`"
    ):
        transform_connectome(counts)
    assert transform_connectome(counts, "log1p").weights[0, 2] > 0


def test_connections_of_one_vanish_with_a_note():
    counts = raw_counts()
    counts[0, 2] = counts[2, 0] = 1
    with pytest.warns(InputNote, match=r'The connectome: 2 entries of 1 vanish under `transform="log"`; .*"log1p"` keeps them'):
        weights = transform_connectome(counts).weights
    assert weights[0, 2] == 0
    np.testing.assert_array_equal(weights > 0, (counts > 1) & ~np.eye(4, dtype=bool))


@pytest.mark.parametrize("transform", ["log1p", "none"])
def test_connections_of_one_stay_under_other_transforms(transform):
    counts = raw_counts()
    counts[0, 2] = counts[2, 0] = 1
    assert transform_connectome(counts, transform).weights[0, 2] > 0


def test_a_diagonal_of_ones_is_not_noted():
    counts = raw_counts()
    np.fill_diagonal(counts, 1)
    assert transform_connectome(counts).n_regions == 4


@pytest.mark.parametrize("transform", ["log", "log1p", "none"])
@pytest.mark.parametrize("diagonal", [0, 5])
def test_a_zero_matrix_connects_nothing(transform, diagonal):
    with pytest.raises(InputError, match=r"(?s)connects no two regions.*all off-diagonal entries are zero"):
        transform_connectome(np.diag([diagonal] * 3), transform)


def test_load_equals_the_transform_in_memory(tmp_path):
    sc = load_connectome(save(tmp_path / "sc.csv", raw_counts()), "log1p", 0.1, NAMES)
    np.testing.assert_array_equal(sc.weights, transform_connectome(raw_counts(), "log1p", 0.1).weights)
    assert sc.labels == NAMES


def test_names_in_the_file_come_first(tmp_path):
    path = save(tmp_path / "sc.csv", raw_counts(), NAMES)
    assert load_connectome(path).labels == NAMES
    assert load_connectome(path, labels=NAMES[::-1]).labels == NAMES


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.ones((3, 4)), "is not a square matrix"),
        (-raw_counts(), "has negative entries"),
        (raw_counts() / 1e6, "has weights below 1"),
        (np.eye(3), "connects no two regions"),
    ],
)
def test_load_names_the_file(tmp_path, counts, message):
    path = save(tmp_path / "sub-07_SC.csv", counts)
    with pytest.raises(InputError, match=rf"sub-07_SC\.csv {message}"):
        load_connectome(path)


def test_the_note_names_the_file_and_the_line_that_loads_it(tmp_path):
    path = save(tmp_path / "sub-07_SC.csv", np.where(raw_counts() < 1000, 1, raw_counts()))
    with pytest.warns(InputNote, match=r"sub-07_SC\.csv: \d+ entries of 1 vanish") as notes:
        load_connectome(path)
    assert [note.filename for note in notes] == [__file__]


def test_load_refuses_a_missing_file(tmp_path):
    with pytest.raises(MissingInputError, match=r"(?s)connectome file is not there: .*SC\.csv.*fix: check the path"):
        load_connectome(tmp_path / "SC.csv")


def test_group_counts(shared):
    path = shared / "data/dk68/group-train/SC.csv"
    regions = tuple((shared / "data/dk68/regions.txt").read_text().split())
    sc = load_connectome(path, transform="log1p", labels=regions)
    expected = np.log1p(np.loadtxt(path, delimiter=","))
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(sc.weights, expected * (0.02 / expected.max()), rtol=1e-12)
    assert sc.labels[0] == "ctx-lh-bankssts"
    assert 0.2 < (sc.weights > 0).mean() < 0.4


def test_a_subjects_diagonal_is_dropped(shared):
    path = shared / "data/dk68-ebrains/sub-000/SC.csv"
    assert np.diag(np.loadtxt(path, delimiter=",")).any()
    assert not np.diag(load_connectome(path, "log1p").weights).any()


def test_a_subjects_weakest_connections_are_noted(shared):
    path = shared / "data/dk68-ebrains/sub-000/SC.csv"
    counts = np.loadtxt(path, delimiter=",")
    np.fill_diagonal(counts, 0)
    with pytest.warns(InputNote, match=rf"SC\.csv: {(counts == 1).sum()} entries of 1 vanish"):
        weights = load_connectome(path).weights
    np.testing.assert_array_equal(weights > 0, counts > 1)


def test_mean_counts_below_one_ask_for_log1p(shared):
    path = shared / "data/schaefer100-7n/group-train706/SC.csv"
    with pytest.raises(InputError, match=r"(?s)weights below 1.*found: non-zero entries from 0.5.*log1p"):
        load_connectome(path)
    assert load_connectome(path, "log1p").n_regions == 100
