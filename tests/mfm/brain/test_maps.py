"""Regional maps."""

from __future__ import annotations

import numpy as np
import pytest

from mfm import RegionalMaps
from mfm.errors import InputError


def test_maps_are_a_frozen_copy():
    values = np.array([[1.0, 2.0, 3.0]])
    maps = RegionalMaps(values, ["myelin"], ["a", "b", "c"])
    values[0, 0] = 9
    assert values.flags.writeable
    np.testing.assert_array_equal(maps.values, [[1, 2, 3]])
    assert (maps.names, maps.labels, maps.n_regions) == (("myelin",), ("a", "b", "c"), 3)
    with pytest.raises(ValueError, match="read-only"):
        maps.values[0, 0] = 2


def test_no_maps():
    maps = RegionalMaps.none(68)
    assert (maps.n_regions, maps.names, maps.labels) == (68, (), None)
    assert RegionalMaps.none(2, ["a", "b"]).labels == ("a", "b")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (np.arange(3.0), ("myelin",)),
        (np.random.default_rng(0).normal(size=(2, 3)), ("myelin",)),
        (np.random.default_rng(0).normal(size=(2, 3)), ("myelin", "myelin")),
        (np.random.default_rng(0).normal(size=(1, 3)), "myelin"),
    ],
)
def test_refuses_maps_and_names_that_do_not_fit(values, names):
    with pytest.raises(InputError, match=r"(?s)do not fit.*expected: values \(M, N\) with one distinct name each") as error:
        RegionalMaps(values, names)
    assert f"found: values {values.shape}, names {tuple(names)}" in str(error.value)


@pytest.mark.parametrize("values", [[[1, 2, 3], [1, 2]], [["myelin", 1, 2]], "myelin.csv", [[1, 2j, 3]]])
def test_refuses_maps_that_are_not_numbers_of_one_length(values):
    with pytest.raises(InputError, match=r"(?s)maps are not numbers of one length.*found: \w"):
        RegionalMaps(values, ("myelin",))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_names_regions_where_a_map_is_not_finite(bad):
    with pytest.raises(InputError, match=r"(?s)'gradient' is not finite in regions 1, 4 \(counted.*fix: leave them out"):
        RegionalMaps([[1, 2, 3, 4], [bad, 1, 2, bad]], ("myelin", "gradient"))


def test_refuses_a_constant_map():
    with pytest.raises(InputError, match=r"(?s)'thickness' is the same in every region.*fix: leave it out"):
        RegionalMaps([[1, 2, 3], [2.5, 2.5, 2.5]], ("myelin", "thickness"))


@pytest.mark.parametrize(
    ("labels", "message"), [(("a", "b"), r"(?s)do not fit the maps.*3 names.*found: 2"), (("a", "b", "a"), "not unique")]
)
def test_refuses_labels_that_do_not_fit(labels, message):
    with pytest.raises(InputError, match=message):
        RegionalMaps([[1, 2, 3]], ("myelin",), labels)
