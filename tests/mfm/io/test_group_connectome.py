"""Group averages of connectomes, against a slow loop."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm import group_connectome
from mfm.brain.atlas import DESIKAN_VARIANTS
from mfm.errors import InputError, InputNote, MissingInputError
from mfm.io.readers.connectomes import transform_connectome


def members(n_members=5, n_regions=8, seed=0, density=0.6):
    rng = np.random.default_rng(seed)
    counts = np.ceil(10 ** rng.uniform(0.5, 3, (n_members, n_regions, n_regions)))
    counts *= rng.random(counts.shape) < density
    counts = np.triu(counts, 1)
    return [one + one.T for one in counts]


def slow(matrices, rule, consensus):
    n = len(matrices[0])
    weights = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            values = [matrix[i, j] for matrix in matrices if matrix[i, j] > 0 and i != j]
            if values and len(values) / len(matrices) >= consensus:
                mean = sum(values) / len(values)
                logs = [math.log(value) for value in values]
                weights[i, j] = sum(logs) / len(logs) if rule == "mean_log" else math.log(mean)
    return weights


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_members=st.integers(1, 7),
    rule=st.sampled_from(["mean_log", "log_mean"]),
    consensus=st.sampled_from([0.2, 0.5, 0.75, 1.0]),
)
@pytest.mark.filterwarnings("ignore::mfm.errors.InputNote")
def test_averages_equal_a_slow_loop(seed, n_members, rule, consensus):
    matrices = members(n_members, seed=seed)
    expected = slow(matrices, rule, consensus)
    if not expected.any():
        with pytest.raises(InputError, match="No connection is left"):
            group_connectome(matrices, rule, consensus)
        return
    np.testing.assert_allclose(group_connectome(matrices, rule, consensus, None).weights, expected, rtol=1e-12)
    scaled = group_connectome(matrices, rule, consensus)
    np.testing.assert_allclose(scaled.weights, expected * 0.02 / expected.max(), rtol=1e-12)


def test_half_of_the_members_are_enough():
    full, empty = np.full((4, 4), 100.0), np.full((4, 4), 100.0)
    empty[0, 1] = empty[1, 0] = 0
    assert group_connectome([full, empty]).weights[0, 1] > 0
    assert group_connectome([full, empty, empty]).weights[0, 1] == 0
    assert group_connectome([full, empty, empty], consensus=1 / 3).weights[0, 1] > 0


def test_the_rules_differ_where_members_do():
    matrices = members()
    mean_log, log_mean = (group_connectome(matrices, rule, scale_max=None).weights for rule in ("mean_log", "log_mean"))
    assert (log_mean >= mean_log - 1e-12).all()
    assert (log_mean > mean_log + 0.1).any()
    same = [matrices[0]] * 3
    np.testing.assert_allclose(
        group_connectome(same, "mean_log").weights, group_connectome(same, "log_mean").weights, rtol=1e-12
    )


@pytest.mark.filterwarnings("ignore:.*connected to nothing")
def test_a_group_of_one_is_that_member():
    matrices = members(1, density=1.0)
    np.testing.assert_allclose(group_connectome(matrices).weights, transform_connectome(matrices[0]).weights, rtol=1e-12)


def test_what_was_done_is_recorded():
    matrices = members()
    sc = group_connectome([*matrices[:4], matrices[4] + np.diag(np.full(8, 7.0))], "log_mean", 0.5, scale_mean=0.01)
    assert sc.steps == (
        "connections of at least 50% of 5 members", "log of the mean of non-zero entries", "scaled to a mean of 0.01",
    )  # fmt: skip
    assert sc.weights.mean() == pytest.approx(0.01)


def test_members_from_files_are_joined_by_name(tmp_path):
    matrices, names = members(4), [f"r{k}" for k in range(8)]
    paths = []
    for k, matrix in enumerate(matrices):
        order = np.random.default_rng(k).permutation(8) if k else np.arange(8)
        rows = [",".join(names[i] for i in order)] + [",".join(f"{v:g}" for v in row) for row in matrix[np.ix_(order, order)]]
        paths.append(tmp_path / f"sub-{k}.csv")
        paths[-1].write_text("\n".join(rows))
    sc = group_connectome(paths)
    np.testing.assert_allclose(sc.weights, group_connectome(matrices).weights, rtol=1e-14)
    assert sc.labels == tuple(names)


def test_triangles_are_completed():
    matrices = members(3)
    sc = group_connectome([np.triu(matrices[0]), *matrices[1:]])
    np.testing.assert_array_equal(sc.weights, group_connectome(matrices).weights)
    assert sc.steps[0] == "upper triangle mirrored (1 of 3 members)"


@pytest.mark.parametrize(("matrices", "message"), [
    ([], "at least one member"),
    ([np.full((4, 4), 9.0), np.full((5, 5), 9.0)], r"in their regions: .* of member 2.*expected: 4.*found: 5"),
    ([np.full((4, 4), 9.0), np.full((4, 4), 0.5)], r"of member 2 has entries below 1.*found: 12 entries, minimum 0\.5"),
    ([np.full((4, 4), np.nan)], "connectome of member 1 has entries that are not finite"),
    ([np.zeros((4, 4))], "No connection is left"),
    ([np.full((20, 20), 100.0) + np.add.outer(np.arange(20.0), np.arange(20))], "group connectome looks like tract lengths"),
])  # fmt: skip
def test_members_that_cannot_be_averaged(matrices, message):
    with pytest.raises(InputError, match="(?s)" + message):
        group_connectome(matrices)


def test_a_missing_member_is_told(tmp_path):
    with pytest.raises(MissingInputError, match=r"sub-9\.csv"):
        group_connectome([tmp_path / "sub-9.csv"])


@pytest.mark.parametrize(("kwargs", "message"), [
    ({"rule": "mean"}, r"Unknown rule 'mean'.*mean_log \| log_mean"), ({"consensus": 0}, "0 < consensus <= 1"),
    ({"consensus": 50}, "found: 50"), ({"scale_max": -1}, "scale_max must be positive"),
    ({"scale_mean": np.inf}, "scale_mean must be positive"),
])  # fmt: skip
def test_arguments_are_checked(kwargs, message):
    with pytest.raises(InputError, match="(?s)" + message):
        group_connectome(members(), **kwargs)


def test_regions_that_no_connection_is_left_of_are_named():
    matrices = members(3, density=1.0)
    for matrix in matrices[:2]:
        matrix[3] = matrix[:, 3] = 0
    with pytest.warns(InputNote, match=r"group connectome: 1 of 8 regions are connected to nothing: r3"):
        group_connectome(matrices, labels=[f"r{k}" for k in range(8)])


def test_memory_does_not_grow_with_the_members():
    matrix = members(1, 150, density=1.0)[0]

    def peak(n_members):
        tracemalloc.start()
        group_connectome([matrix] * n_members)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(2)
    assert peak(40) < 1.2 * peak(4)


@pytest.mark.filterwarnings("ignore:.*connected to nothing")
def test_a_recorded_group(shared):
    paths = sorted((shared / "data/dk68-ebrains").glob("sub-*/SC.csv"))
    sc = group_connectome(paths, labels="DK68")
    expected = slow([np.loadtxt(path, delimiter=",") for path in paths], "mean_log", 0.5)
    np.testing.assert_allclose(sc.weights, expected * 0.02 / expected.max(), rtol=1e-12)
    assert sc.labels == DESIKAN_VARIANTS["DK68"]
    group = np.loadtxt(shared / "data/dk68/group-train/SC.csv", delimiter=",")
    both = (sc.weights > 0) & (group > 0)
    assert np.corrcoef(sc.weights[both], np.log(group[both]))[0, 1] > 0.6
