"""Matrices that are no raw counts: one message says what they look like, and what to type."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mfm import load_connectome
from mfm.errors import InputError, InputNote
from mfm.io.readers.connectomes import transform_connectome
from mfm.io.readers.unassigned import looks_like_a_region, looks_unassigned
from tests.made_up_inputs import NAMES, streamlines, table


def heavy(n=30):
    counts = np.triu(np.ceil(np.random.default_rng(1).lognormal(4, 2, (n, n))) + 1, 1)
    return counts + counts.T


ROWS = heavy() / heavy().sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("matrix", "looks", "transform"), [
    (heavy() / heavy().max(), r"normalised \(values from 0 to 1\)", "log1p_relative"),
    (heavy() / heavy().sum(), r"divided by their sum", "log1p_relative"),
    (ROWS, r"rows sum to 1", "log1p_relative"),
    (ROWS.T, r"columns sum to 1", "log1p_relative"),
    (heavy() / 1e5, r"", "log1p_relative"),
    (np.log(heavy() + np.eye(30)), r"looks as if it was logged already", "none"),
    (np.log(heavy() + np.eye(30)) / np.log(heavy().max()), r"logged already.*and normalised \(values from", "none"),
    (heavy() / 7, r"weights below 1.*averaged", "log1p"),
    ((heavy() > 60).astype(float), r"nothing but zeros and ones", "none"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*not symmetric")
@pytest.mark.filterwarnings("ignore:.*connected to nothing")
def test_one_message_and_what_it_says_to_type_works(matrix, looks, transform):
    with pytest.raises(InputError, match=f"(?s){looks}") as caught:
        transform_connectome(matrix)
    first = re.findall(r'`transform="(\w+)"`', str(caught.value).partition("fix: ")[2])[0]
    assert first == transform
    assert transform_connectome(matrix, first).weights.max() == pytest.approx(0.02)


def test_normalised_counts_have_the_logarithm_of_the_counts():
    counts = heavy()
    relative = transform_connectome(counts / 12345.0, "log1p_relative")
    np.testing.assert_allclose(relative.weights, transform_connectome(counts / counts[counts > 0].min(), "log1p").weights)
    assert relative.steps[0].startswith("log1p of all entries, in units of the smallest non-zero one (")


def test_normalised_counts_without_logarithm_are_told_of_the_one_that_suits():
    with pytest.warns(InputNote, match=r'as in raw counts; without a logarithm .*`transform="log1p_relative"` takes it'):
        transform_connectome(heavy() / heavy().max(), "none")


# Entries that are no numbers


def write(folder, matrix, names=NAMES):
    return table(folder / "sc.csv", matrix, names, names)


def test_a_diagonal_of_nan_means_nothing(tmp_path):
    counts = streamlines()
    np.fill_diagonal(counts, np.nan)
    sc = load_connectome(write(tmp_path, counts))
    np.testing.assert_array_equal(sc.weights, transform_connectome(streamlines()).weights)
    assert sc.steps[0] == "diagonal set to zero (20 entries that are not finite)"


def test_a_triangle_of_nan_is_a_triangle(tmp_path):
    counts = streamlines()
    counts[np.triu_indices(20, 1)] = np.nan
    with pytest.warns(InputNote, match="lower triangular"):
        sc = load_connectome(write(tmp_path, counts))
    np.testing.assert_array_equal(sc.weights, transform_connectome(streamlines()).weights)


def test_the_logarithm_of_zero_is_told(tmp_path):
    counts = streamlines()
    counts[2, 5] = counts[5, 2] = 0
    with np.errstate(divide="ignore"):
        logged = np.log(counts)
    with pytest.raises(InputError, match=r'(?s)2 entries of -inf.*the logarithm of zero.*`transform="none"`'):
        load_connectome(write(tmp_path, logged))
    repaired = np.where(np.isinf(logged), 0, logged)
    assert load_connectome(write(tmp_path, repaired), "none").n_regions == 20


def test_pairs_that_are_missing_are_told_by_name(tmp_path):
    counts = streamlines()
    counts[2, 5] = counts[5, 2] = np.nan
    with pytest.raises(InputError, match=r"(?s)rows lh-area02, lh-area05\n.*pairs of regions without connection.*put 0"):
        load_connectome(write(tmp_path, counts))


@pytest.mark.parametrize(("matrix", "cause"), [
    (-np.abs(np.log(streamlines() / 1e5 + np.eye(20))), "logarithm of weights below 1"),
    (np.corrcoef(np.random.default_rng(0).normal(size=(20, 50))), "a correlation matrix"),
])  # fmt: skip
def test_negative_weights_are_explained(matrix, cause):
    with pytest.raises(InputError, match=f"(?s)negative entries.*likely cause: .*{cause}"):
        transform_connectome(matrix)


# The row of unassigned streamlines


@pytest.mark.parametrize("name", ["Unassigned", "unassigned", "Unknown", "???", "0", "", "n/a", "background", "none"])
def test_names_of_no_region(name):
    assert not looks_like_a_region(name)
    assert looks_unassigned(np.ones((5, 5)), (name, "a", "b", "c", "d"))


@pytest.mark.parametrize("name", ["lh-area00", "1", "bankssts", "L_unknown_area", "Region0", "10"])
def test_names_of_regions(name):
    assert looks_like_a_region(name)


@pytest.mark.parametrize("seed", range(5))
def test_a_hub_in_the_first_row_is_a_region(seed):
    counts = np.triu(np.random.default_rng(seed).lognormal(4, 2, (60, 60)), 1)
    counts = counts + counts.T
    order = np.argsort(-counts.sum(axis=0))
    assert not looks_unassigned(counts[np.ix_(order, order)])


def test_recorded_connectomes_have_no_unassigned_row(shared):
    for path in sorted(shared.glob("data/*/*/SC.csv")):
        assert not looks_unassigned(np.loadtxt(path, delimiter=",")), path


def test_a_named_row_of_unassigned_streamlines_drops_out(tmp_path):
    names = ["Unassigned", *NAMES]
    counts = np.pad(streamlines(), ((1, 0), (1, 0)), constant_values=77)
    with pytest.warns(InputNote, match=r"1 rows of the connectome .* that are no cortex were left out: Unassigned"):
        sc = load_connectome(write(tmp_path, counts, names), regions=NAMES)
    np.testing.assert_array_equal(sc.weights, transform_connectome(streamlines()).weights)


def test_a_first_row_that_is_called_a_region_is_not_dropped(tmp_path):
    with pytest.raises(
        InputError, match=r"(?s)first row of the connectome .* is a region.*called lh-area00.*drop_unassigned=False"
    ):
        load_connectome(write(tmp_path, streamlines()), drop_unassigned=True)
