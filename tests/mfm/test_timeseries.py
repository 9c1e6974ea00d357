"""Time series from text and array files: orientation, repetition time, censoring, and what is wrong with them."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from mfm.atlas import order_by_name
from mfm.errors import InputError
from mfm.io import load_timeseries, read_labels

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": " "}
NAMES = ("lh-bankssts", "lh-cuneus", "rh-bankssts", "rh-cuneus")


def save(path, values, columns=None, rows=None):
    """A table as spreadsheets write it, with names of columns and rows where given."""
    lines = [[*([name] if rows else []), *map(repr, map(float, row))] for name, row in zip(rows or values, values, strict=True)]
    if columns:
        lines.insert(0, [*([""] if rows else []), *columns])
    with path.open("w", newline="") as handle:
        csv.writer(handle, delimiter=SEPARATORS[path.suffix]).writerows(lines)
    return path


def read(path, **how):
    series = load_timeseries(path, **how)
    return series.values, series.labels


def recorded(n_frames=30, n_regions=4):
    return np.random.default_rng(0).normal(100, 1, (n_frames, n_regions))


@pytest.mark.parametrize("names", [None, NAMES])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
def test_time_series_come_back(tmp_path, suffix, names):
    values, read_names = read(save(tmp_path / f"run{suffix}", recorded(), names), n_regions=4)
    np.testing.assert_array_equal(values, recorded())
    assert read_names == names


@pytest.mark.parametrize("names", [None, NAMES])
def test_time_series_of_regions_by_frames_are_turned(tmp_path, names):
    path = save(tmp_path / "run.csv", recorded().T, rows=names)
    values, read_names = read(path, orientation="regions_by_frames", n_regions=4)
    np.testing.assert_array_equal(values, recorded())
    assert read_names == names


def test_refuses_an_unknown_orientation(tmp_path):
    with pytest.raises(InputError, match=r"(?s)'time_first'.*expected: frames_by_regions \| regions_by_frames"):
        read(save(tmp_path / "run.csv", recorded()), orientation="time_first")


@pytest.mark.parametrize(
    ("orientation", "other"), [("frames_by_regions", "regions_by_frames"), ("regions_by_frames", "frames_by_regions")]
)
def test_transposed_time_series_are_recognised(tmp_path, orientation, other):
    values = recorded().T if orientation == "frames_by_regions" else recorded()
    path = save(tmp_path / "run.csv", values)
    with pytest.raises(InputError, match=r"(?s)do not have the connectome's regions.*expected: frames x 4 regions") as error:
        read(path, orientation=orientation, n_regions=4)
    assert f"found: 4 frames x 30 regions, read as {orientation}" in str(error.value)
    assert "regions x time instead of time x regions" in str(error.value)
    assert f"fix: data.orientation={other}" in str(error.value)
    assert read(path, orientation=other, n_regions=4)[0].shape == (30, 4)


def test_refuses_time_series_of_another_parcellation(tmp_path):
    path = save(tmp_path / "run.csv", recorded(n_regions=5))
    with pytest.raises(
        InputError, match=r"(?s)expected: frames x 4 regions.*found: 30 frames x 5 .*an index column.*fix: use time series"
    ):
        read(path, n_regions=4)


@pytest.mark.parametrize(("names", "found"), [(NAMES, "lh-cuneus, rh-cuneus"), (None, "region 2, region 4")])
@pytest.mark.parametrize(
    ("problem", "value"), [("not finite", np.nan), ("not finite", np.inf), ("constant", 0.0), ("constant", 7.5)]
)
def test_regions_without_data_are_named(tmp_path, names, found, problem, value):
    values = recorded()
    values[:, [1, 3]] = value
    message = (
        rf"(?s)Regions of .*run\.tsv are {problem}.*found: 2 of 4: {found}\n.*low coverage.*fix: remove them from time series"
    )
    with pytest.raises(InputError, match=message):
        read(save(tmp_path / "run.tsv", values, names), n_regions=4)


def test_one_missing_value_is_enough(tmp_path):
    text = "\n".join(["\t".join(NAMES), "1\t2\t3\t4", "2\t1\tn/a\t3", "1\t3\t2\t5"])
    (tmp_path / "run.tsv").write_text(text)
    with pytest.raises(InputError, match=r"(?s)not finite.*found: 1 of 4: rh-bankssts\n"):
        read(tmp_path / "run.tsv")


@pytest.mark.parametrize("run", [1, 2])
def test_recorded_runs(shared, run):
    path = shared / f"data/schaefer100-7n/sub-100206/task-rest_run-{run}_timeseries.tsv"
    values, names = read(path, n_regions=100)
    assert values.shape == (1200, 100)
    assert names[0] == "schaefer100-7n-000"


def test_recorded_runs_are_not_of_another_atlas(shared):
    path = shared / "data/aal2-94/sub-101309/task-rest_run-1_timeseries.tsv"
    with pytest.raises(InputError, match=r"(?s)expected: frames x 68 regions.*found: 1200 frames x 94 regions"):
        read(path, n_regions=68)


def test_network_orders_are_not_mixed(shared):
    _, names = read(shared / "data/schaefer100-7n/sub-100206/task-rest_run-1_timeseries.tsv")
    with pytest.raises(
        InputError, match=r"(?s)not those of the other inputs.*17Networks_LH_VisCent_ExStr_1.*schaefer100-7n-000"
    ):
        order_by_name(names, read_labels(shared / "data/schaefer100-17n/regions.txt"), "the time series")
