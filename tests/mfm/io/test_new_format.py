"""A new input format is one class and one entry of the registry: readers and the inspection of folders then know it."""

from __future__ import annotations

import numpy as np
import pytest

from mfm.errors import InputError
from mfm.io import inspect_folder, load_connectome, load_timeseries, read_fcd_cdf, read_map
from mfm.io.formats.format import Content, Format, Peek
from mfm.io.formats.registry import FORMATS

NAMES = ("lh-cuneus", "rh-cuneus", "lh-insula")
FIRST = b"TOY1"


class ToyFormat(Format):
    """A line with the TR, a line of names, then float64 numbers, frames by regions."""

    title = "toy"
    suffixes = (".toy",)
    roles = frozenset(("timeseries", "matrix"))

    def sniff(self, head):
        return head.startswith(FIRST)

    def peek(self, path):
        with open(path, "rb") as handle:
            tr_s, names = self._lines(handle.readline(), handle.readline())
            n_bytes = path.stat().st_size - handle.tell()
        return Peek((n_bytes // 8 // len(names), len(names)), "frames_by_regions", tr_s)

    def read(self, file, request):
        first, second, numbers = file.content().split(b"\n", 2)
        tr_s, names = self._lines(first, second)
        if len(numbers) % (8 * len(names)):
            raise InputError(f"{file.path} ends too early.")
        values = np.frombuffer(numbers).reshape(-1, len(names))
        return Content(file.path, {"": values}, None, names, "frames_by_regions", tr_s)

    def _lines(self, first, second):
        return float(first.split()[1]), tuple(second.decode().split())


def write_toy(path, values, tr_s=0.8):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(FIRST + f" {tr_s}\n{' '.join(NAMES)}\n".encode() + np.ascontiguousarray(values).tobytes())
    return path


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr("mfm.io.formats.registry.FORMATS", [*FORMATS, ToyFormat()])


VALUES = np.random.default_rng(0).normal(size=(500, 3))


@pytest.mark.parametrize("name", ["run.toy", "run.bin", "run.csv"])
def test_time_series_are_read_by_signature(toy, tmp_path, name):
    series = load_timeseries(write_toy(tmp_path / name, VALUES))
    np.testing.assert_array_equal(series.values, VALUES)
    assert (series.labels, series.tr_s) == (NAMES, 0.8)


def test_connectomes_are_read(toy, tmp_path):
    sc = load_connectome(write_toy(tmp_path / "sc.toy", 100.0 * (1 - np.eye(3))))
    assert sc.labels == NAMES
    assert sc.weights.max() == 0.02


def test_folders_are_inspected(toy, tmp_path):
    write_toy(tmp_path / "sub-01/run-1_timeseries.toy", VALUES)
    write_toy(tmp_path / "sub-01/SC.toy", 1 - np.eye(3))
    row = inspect_folder(tmp_path).rows[0]
    assert (row.participant_id, row.n_frames, row.n_regions, row.tr_s) == ("sub-01", 500, 3, 0.8)
    assert row.timeseries.path.name == "run-1_timeseries.toy"
    assert row.sc.path.name == "SC.toy"


@pytest.mark.parametrize("read", [read_map, read_fcd_cdf])
def test_what_it_cannot_hold_is_refused(toy, tmp_path, read):
    path = write_toy(tmp_path / "x.toy", VALUES)
    with pytest.raises(InputError, match=r"(?s)has an unknown type: x\.toy.*expected: \.csv, \.tsv, \.txt, \.npy"):
        read(path, 3)


def test_without_the_entry_it_is_unknown(tmp_path):
    with pytest.raises(InputError, match=r"(?s)Cannot read .*x\.toy.*found: content that starts with b'TOY1"):
        load_timeseries(write_toy(tmp_path / "x.toy", VALUES))
