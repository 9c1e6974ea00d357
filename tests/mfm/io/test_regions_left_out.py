"""Regions that are left out of every input before it is checked, by name or by number; and what that tells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mfm import load_connectome, load_subject
from mfm.errors import ConfigError, InputError, InputNote
from mfm.io import DataFiles, StageFiles
from mfm.io.readers.connectomes import transform_connectome
from tests.made_up_inputs import NAMES, TR_S, N, connectome, recording, runs, streamlines, table

GONE = 3
WITHOUT = [k for k in range(N) if k != GONE]
NAME = NAMES[GONE]


def nan_counts():
    counts = streamlines()
    counts[GONE] = counts[:, GONE] = np.nan
    return counts


def load(told, **files):
    with pytest.warns(InputNote, match=told):
        return load_subject(DataFiles(**files), TR_S)


def assert_right(subject, names=tuple(NAMES[k] for k in WITHOUT)):
    expected = transform_connectome(streamlines()[np.ix_(WITHOUT, WITHOUT)])
    np.testing.assert_allclose(subject.search.sc.weights, expected.weights, rtol=1e-12)
    np.testing.assert_allclose(subject.search.target.fc.numpy(), np.corrcoef(recording(1)[:, WITHOUT].T), atol=1e-9)
    assert subject.labels == names


def test_what_the_connectome_holds_as_nan(tmp_path):
    told = rf"Left out as asked \({NAME}\): connectome, time series: without {NAME}\."
    subject = load(told, sc=connectome(tmp_path, nan_counts()), timeseries=runs(tmp_path), exclude_regions=[NAME])
    assert_right(subject)
    assert any(note.startswith("Left out as asked") for note in subject.notes)


def test_a_triangle_with_a_region_of_nan(tmp_path):
    counts = np.triu(nan_counts())
    with pytest.warns(InputNote, match="upper triangular"):
        subject = load("Left out", sc=connectome(tmp_path, counts), timeseries=runs(tmp_path), exclude_regions=[NAME])
    assert_right(subject)


def test_what_the_series_lack(tmp_path):
    told = rf"connectome: without {NAME}; time series: lacks them anyway"
    assert_right(load(told, sc=connectome(tmp_path), timeseries=runs(tmp_path, WITHOUT), exclude_regions=[NAME]))


def test_what_the_connectome_lacks(tmp_path):
    sc = connectome(tmp_path, streamlines()[np.ix_(WITHOUT, WITHOUT)], names=[NAMES[k] for k in WITHOUT])
    told = rf"connectome: lacks them anyway; time series: without {NAME}"
    assert_right(load(told, sc=sc, timeseries=runs(tmp_path), exclude_regions=[NAME]))


def test_what_a_map_holds_as_nan_or_lacks(tmp_path):
    gap, short = np.linspace(1, 2, N), np.sin(np.arange(N))
    gap[GONE] = np.nan
    maps = {
        "myelin": table(tmp_path / "gap.csv", gap[:, None], None, NAMES),
        "other": table(tmp_path / "short.csv", short[WITHOUT][:, None], None, [NAMES[k] for k in WITHOUT]),
    }
    told = rf"map myelin: without {NAME}; map other: lacks them anyway"
    subject = load(told, sc=connectome(tmp_path), timeseries=runs(tmp_path), maps=maps, exclude_regions=[NAME])
    assert_right(subject)
    np.testing.assert_array_equal(subject.maps.values, [gap[WITHOUT], short[WITHOUT]])


def test_a_gap_in_a_map_is_told_with_the_region(tmp_path):
    gap = np.linspace(1, 2, N)
    gap[GONE] = np.nan
    maps = {"myelin": table(tmp_path / "gap.csv", gap[:, None], None, NAMES)}
    files = DataFiles(sc=connectome(tmp_path), timeseries=runs(tmp_path), maps=maps)
    with pytest.raises(
        InputError, match=rf"(?s)'myelin' is not finite.*1 of 20 without: {NAME}.*`exclude_regions=\[\"{NAME}\"\]`"
    ):
        load_subject(files, TR_S)


def test_without_names_by_number(tmp_path):
    sc = connectome(tmp_path, nan_counts(), named=False)
    files = {"sc": sc, "timeseries": runs(tmp_path, named=False), "exclude_regions": ["4"]}
    numbers = tuple(f"region-{k + 1:03d}" for k in WITHOUT)  # a region keeps its number
    assert_right(load(r"Left out as asked \(4\): connectome, time series: without region-004", **files), numbers)


def test_series_without_names_that_lack_it(tmp_path):
    files = {"sc": connectome(tmp_path), "timeseries": runs(tmp_path, WITHOUT, named=False), "exclude_regions": [NAME]}
    assert_right(load("time series: taken to lack them, having as many rows fewer", **files))


def test_a_connectome_without_names_is_left_without_by_position(tmp_path):
    files = {"sc": connectome(tmp_path, nan_counts(), named=False), "timeseries": runs(tmp_path), "exclude_regions": [NAME]}
    assert_right(load("connectome, time series: without", **files))


def test_the_labels_that_are_asked_for_lose_it_too(tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    files = DataFiles(sc=connectome(tmp_path, nan_counts()), timeseries=runs(tmp_path), exclude_regions=[NAME])
    with pytest.warns(InputNote, match="Left out"):
        assert_right(load_subject(files, TR_S, labels=tmp_path / "names.txt"))


def test_another_spelling_is_the_same_region(tmp_path):
    names = [f"ctx-lh-{n}" for n in ("bankssts", "cuneus", "insula", "lingual")]
    sc = table(tmp_path / "sc.csv", streamlines(4), names, names)
    series = [table(tmp_path / f"r{k}.csv", recording(k, n=4), names) for k in (1, 2)]
    subject = load("without ctx-lh-cuneus", sc=sc, timeseries=series, exclude_regions=["L_cuneus"])
    assert subject.labels == (names[0], names[2], names[3])


def test_a_shared_connectome_is_scaled_again(tmp_path):
    sc = load_connectome(connectome(tmp_path))
    files = DataFiles(timeseries=runs(tmp_path), exclude_regions=[NAME])
    with pytest.warns(InputNote, match="Left out"):
        subject = load_subject(files, TR_S, sc=sc)
    assert_right(subject)
    assert "1 regions left out as asked" in subject.search.sc.steps


@pytest.mark.parametrize(("named", "excluded", "message"), [
    (True, "lh-nowhere", r"names regions that are not there.*expected: some of lh-area00.*found: lh-nowhere"),
    (True, "4", r"names regions that are not there.*found: 4"),
    (False, "21", r"numbers from 1 to 20.*found: 21.*no input names its regions"),
    (False, "0", r"numbers from 1 to 20.*found: 0"),
    (False, NAME, rf"numbers from 1 to 20.*found: {NAME}"),
])  # fmt: skip
def test_regions_that_are_not_there(tmp_path, named, excluded, message):
    files = DataFiles(sc=connectome(tmp_path, named=named), timeseries=runs(tmp_path, named=named), exclude_regions=[excluded])
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        load_subject(files, TR_S)


def statistics(folder, kept, fill=None):
    from mfm import fcd_cdf, functional_connectivity

    values = recording(1)[:, kept]
    fc = functional_connectivity(values).numpy()
    if fill is not None:
        fc[fill] = fc[:, fill] = np.nan
    path = table(folder / "fc.csv", fc, [NAMES[k] for k in kept], [NAMES[k] for k in kept])
    np.savetxt(folder / "cdf.csv", fcd_cdf(values, window_frames=83, n_bins=1000).numpy())
    return StageFiles(path, str(folder / "cdf.csv"))


def test_an_fc_that_lacks_the_region_may_lose_it(tmp_path):
    files = DataFiles(sc=connectome(tmp_path), search=statistics(tmp_path, WITHOUT), exclude_regions=[NAME])
    with pytest.warns(InputNote, match="search FC: lacks them anyway"):
        assert_right(load_subject(files, TR_S, 420))


def test_an_fc_that_holds_it_as_nan_may_lose_it(tmp_path):
    files = DataFiles(sc=connectome(tmp_path), search=statistics(tmp_path, list(range(N)), GONE), exclude_regions=[NAME])
    with pytest.warns(InputNote, match="connectome, search FC: without"):
        assert_right(load_subject(files, TR_S, 420))
    with pytest.raises(InputError, match=rf"(?s)search FC.*not finite.*columns of {NAME}.*`exclude_regions=\[\"{NAME}\"\]`"):
        load_subject(replace(files, exclude_regions=[]), TR_S, 420)


def test_an_fcd_that_was_computed_with_it_stays(tmp_path):
    files = DataFiles(sc=connectome(tmp_path), search=statistics(tmp_path, list(range(N))), exclude_regions=[NAME])
    with pytest.raises(ConfigError, match=rf"(?s)cannot be left out of an FCD.*the search FC has {NAME}"):
        load_subject(files, TR_S, 420)


def test_a_connectome_alone(tmp_path):
    path = connectome(tmp_path, nan_counts())
    with pytest.raises(InputError, match=rf"(?s)no number in the rows and columns of {NAME}.*`exclude_regions=\[\"{NAME}\"\]`"):
        load_connectome(path)
    sc = load_connectome(path, exclude_regions=[NAME])
    expected = transform_connectome(streamlines()[np.ix_(WITHOUT, WITHOUT)])
    np.testing.assert_array_equal(sc.weights, expected.weights)
    assert sc.steps[0] == "1 regions left out as asked"
    with pytest.raises(InputError, match="names regions that are not there"):
        load_connectome(path, exclude_regions=["lh-nowhere"])
