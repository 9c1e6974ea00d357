"""Structural connectomes: what is kept, and what is refused."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from matrix_files import raw_counts

from mfm import Connectome
from mfm.brain.connectome import check_labels, check_square
from mfm.errors import InputError
from mfm.io.readers.connectomes import transform_connectome

NAMES = ("lh-bankssts", "lh-cuneus", "rh-bankssts", "rh-cuneus")


def test_keeps_weights_and_labels():
    weights = raw_counts()
    sc = Connectome(weights, labels=list(NAMES))
    np.testing.assert_array_equal(sc.weights, weights)
    assert (sc.n_regions, sc.labels, sc.weights.dtype) == (4, NAMES, np.float64)


def test_is_a_frozen_copy():
    weights = raw_counts()
    before = weights.copy()
    sc = Connectome(weights)
    assert not np.shares_memory(sc.weights, weights)
    weights[0, 2] = 7
    np.testing.assert_array_equal(sc.weights, before)
    with pytest.raises(ValueError, match="read-only"):
        sc.weights[0, 2] = 1
    with pytest.raises(FrozenInstanceError):
        sc.weights = weights


def test_the_callers_array_stays_writable():
    weights = raw_counts()
    Connectome(weights)
    transform_connectome(weights)
    assert weights.flags.writeable
    np.testing.assert_array_equal(weights, raw_counts())


def test_direction_and_diagonal_are_kept():
    sc = Connectome([[5, 2], [0, 0]])
    np.testing.assert_array_equal(sc.weights, [[5, 2], [0, 0]])


def test_regions_without_names_are_numbered():
    assert Connectome(raw_counts()).default_labels == ("region-001", "region-002", "region-003", "region-004")
    assert Connectome(raw_counts(), NAMES).default_labels == NAMES


def test_repr_tells_names_density_and_maximum():
    assert repr(Connectome([[0, 0.02], [0.02, 0]], ["a", "b"])) == "Connectome(2 named regions, density 1.00, maximum 0.02)"
    assert "2 unnamed regions" in repr(Connectome([[0, 1], [1, 0]]))


@pytest.mark.parametrize(
    ("matrix", "shape", "cause"),
    [
        (np.ones((1200, 68)), "(1200, 68)", "a time series or a vector"),
        (np.ones((69, 68)), "(69, 68)", "a header row or a column of names"),
        (np.ones((68, 69)), "(68, 69)", "a header row or a column of names"),
        (np.ones(2278), "(2278,)", "a time series or a vector"),
        (np.ones((1, 1)), "(1, 1)", "a time series or a vector"),
        (3.0, "()", "a time series or a vector"),
        (np.ones((2, 3, 3)), "(2, 3, 3)", "a time series or a vector"),
    ],
)
def test_refuses_what_is_not_square(matrix, shape, cause):
    with pytest.raises(InputError, match=r"(?s)not a square matrix.*expected: N rows and N columns") as error:
        Connectome(matrix)
    assert f"found: shape {shape}" in str(error.value)
    assert f"likely cause: {cause}" in str(error.value)


@pytest.mark.parametrize("matrix", [[["0", "1"], ["1", "0"]], np.array([[0, 1j], [1j, 0]])])
def test_refuses_what_is_not_real(matrix):
    with pytest.raises(InputError, match=rf"(?s)not real-valued.*found: type {np.asarray(matrix).dtype}"):
        Connectome(matrix)


def test_refuses_rows_of_different_lengths():
    with pytest.raises(InputError, match=r"(?s)The connectome is not a matrix.*likely cause: rows of different lengths"):
        Connectome([[0, 1], [1]])


def test_a_binary_matrix_is_a_connectome():
    sc = Connectome(np.array([[False, True], [True, False]]))
    np.testing.assert_array_equal(sc.weights, [[0.0, 1.0], [1.0, 0.0]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_names_rows_that_are_not_finite(bad):
    weights = raw_counts()
    weights[2, 3] = weights[3, 2] = bad
    with pytest.raises(
        InputError,
        match=r"(?s)not finite.*found: 2 NaN or infinite entries, in rows 3, 4 \(counted.*logarithm of zero.*fix",
    ):
        Connectome(weights)


def test_refuses_negative_weights():
    weights = raw_counts()
    weights[0, 2] = weights[2, 0] = -3
    with pytest.raises(InputError, match=r"(?s)negative.*found: 2 negative entries, minimum -3.*already logged.*fix: .*log1p"):
        Connectome(weights)


@pytest.mark.parametrize("weights", [np.zeros((3, 3)), np.eye(3)])
def test_refuses_a_matrix_without_connections(weights):
    with pytest.raises(InputError, match=r"(?s)connects no two regions.*all off-diagonal entries are zero"):
        Connectome(weights)


def test_refuses_another_number_of_labels():
    with pytest.raises(InputError, match=r"(?s)names do not fit the connectome.*expected: 4 names.*found: 3"):
        Connectome(raw_counts(), NAMES[:3])


def test_refuses_labels_given_twice():
    with pytest.raises(InputError, match=r"(?s)not unique.*found: lh-bankssts, rh-cuneus\n"):
        Connectome(raw_counts(), ["rh-cuneus", "lh-bankssts", "lh-bankssts", "rh-cuneus"])


def test_check_labels_gives_a_tuple_of_text():
    assert check_labels([1001, 1002], 2, "FC") == ("1001", "1002")
    assert check_labels(None, 2, "FC") is None


def test_check_square_gives_the_matrix_itself():
    matrix = np.array([[0.0, -1.0], [1.0, 0.0]])
    assert check_square(matrix, "The matrix") is matrix
