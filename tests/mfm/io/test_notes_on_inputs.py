"""What inputs together show, and a person could mistake later: it is noted, and kept."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mfm
from mfm import load_subject
from mfm.brain.atlas import DESIKAN_VARIANTS
from mfm.errors import InputNote
from mfm.io import DataFiles, StageFiles
from mfm.io.subject.map_signs import expected_signs
from tests.made_up_inputs import NAMES, TR_S, connectome, recording, runs, streamlines, table

DK68 = DESIKAN_VARIANTS["DK68"]


def notes(tr_s=TR_S, n_frames=None, labels=None, **files):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        return load_subject(DataFiles(**files), tr_s, n_frames, labels).notes


def told(found, *words):
    return [note for note in found if all(word in note for word in words)]


# Regions given twice


def test_a_series_written_twice_is_told(tmp_path):
    def twice(_, values):
        values[:, 7] = 2 * values[:, 4] + 1
        return values

    found = notes(sc=connectome(tmp_path), timeseries=runs(tmp_path, change=twice))
    assert told(found, "same time series", "lh-area04 and lh-area07", '`exclude_regions=["lh-area07"]`')
    assert not told(notes(sc=connectome(tmp_path), timeseries=runs(tmp_path)), "same time series")


def test_a_row_written_twice_is_told(tmp_path):
    counts = streamlines()
    counts[7] = counts[4]
    counts[:, 7] = counts[7]
    counts[7, 7] = 0
    counts[4, 7] = counts[7, 4] = 50
    found = notes(sc=connectome(tmp_path, counts), timeseries=runs(tmp_path))
    assert told(found, "rows of two regions are the same: lh-area04 and lh-area07")


# Joins


def test_joins_by_position_are_told_where_labels_are_given(tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    found = notes(
        sc=connectome(tmp_path, named=False), timeseries=runs(tmp_path, named=False), labels=str(tmp_path / "names.txt")
    )
    assert told(found, "Without region names, and so taken in the order of", "names.txt: connectome, time series.")


def test_dropping_a_first_row_that_is_a_region_is_told(tmp_path):
    sc = connectome(tmp_path, named=False)
    series = runs(tmp_path, range(1, 20), named=False)
    found = notes(sc=sc, timeseries=series, sc_file=mfm.io.MatrixOptions(drop_unassigned=True))
    assert told(found, "first row and column were left out as asked, but look like those of a region", "drop_unassigned=False")


# Hemispheres. Recordings: Desikan-Killiany (left first), AAL (left and right in turn), Schaefer (left first)


def recorded(shared, which):
    folder = shared / "data" / which
    series = np.loadtxt(sorted(folder.glob("*timeseries.tsv"))[0], skiprows=1)
    counts = np.loadtxt(folder / "SC.csv", delimiter=",")
    return counts, series if series.shape[1] == len(counts) else series.T


@pytest.mark.parametrize(
    "which", ["dk68-ebrains/sub-000", "dk68-ebrains/sub-012", "aal2-94/sub-101309", "schaefer100-7n/sub-100206"]
)
def test_recordings_are_not_suspected(shared, tmp_path, which):
    counts, series = recorded(shared, which)
    n = len(counts)
    order = range(n) if not which.startswith("aal") else None
    names = [f"{'lh' if k < n // 2 else 'rh'}-{k % (n // 2)}" for k in range(n)]
    if order is None:
        names = [f"{'lh' if k % 2 == 0 else 'rh'}-{k // 2}" for k in range(n)]
    files = {"sc": table(tmp_path / "sc.csv", counts, names, names), "timeseries": [table(tmp_path / "r.csv", series, names)]}
    found = notes(**files, sc_transform="log1p")
    assert not told(found, "emispher")
    assert not told(found, "names say")
    assert not told(found, "called the same in both")


@pytest.mark.parametrize("which", ["dk68-ebrains/sub-000", "dk68-ebrains/sub-012"])
def test_rows_in_turn_beside_rows_in_halves_are_told(shared, tmp_path, which):
    counts, series = recorded(shared, which)
    turn = np.arange(68).reshape(2, 34).T.ravel()
    files = {"sc": table(tmp_path / "sc.csv", counts), "timeseries": [table(tmp_path / "r.csv", series[:, turn])]}
    found = notes(**files, sc_transform="log1p")
    assert told(found, "FC follows the connectome better if one of them is read", "in turn")


def test_exchanged_hemispheres_of_an_asymmetric_atlas_are_told(shared, tmp_path):
    counts, series = recorded(shared, "schaefer100-7n/sub-100206")
    files = {"sc": table(tmp_path / "sc.csv", counts), "timeseries": [table(tmp_path / "r.csv", np.roll(series, 50, axis=1))]}
    assert told(notes(**files, sc_transform="log1p"), "with its halves exchanged")


def test_names_of_another_order_are_told(shared, tmp_path):
    counts, series = recorded(shared, "dk68-ebrains/sub-000")
    names = [f"{'lh' if k % 2 == 0 else 'rh'}-{k // 2}" for k in range(68)]  # in turn, where rows are in halves
    files = {"sc": table(tmp_path / "sc.csv", counts, names, names), "timeseries": [table(tmp_path / "r.csv", series, names)]}
    found = notes(**files, sc_transform="log1p")
    assert told(found, "names say left and right where its weights do not", "in halves")
    assert told(found, "called the same in both hemispheres", "half of the rows apart")


def test_names_that_begin_on_the_right_are_told_where_others_have_none(tmp_path):
    names = [*NAMES[10:], *NAMES[:10]]
    files = {"sc": connectome(tmp_path, names=names), "timeseries": runs(tmp_path, named=False)}
    assert told(notes(**files), "names begin with the right hemisphere", "time series without names")
    series = [table(tmp_path / f"n{k}.csv", recording(k), names) for k in (1, 2)]
    assert not told(notes(sc=connectome(tmp_path, names=names), timeseries=series), "right hemisphere")


# Maps


@pytest.fixture
def group(shared):
    folder = shared / "data/dk68"
    stage = StageFiles(str(folder / "group-train/FC.csv"), str(folder / "group-train/FCD_CDF.csv"))
    myelin, gradient = str(folder / "myelin.csv"), str(folder / "rsfc_gradient.csv")
    sc = {"sc": str(folder / "group-train/SC.csv"), "sc_transform": "log1p"}

    def read(maps, labels=str(folder / "regions.txt")):
        files = {"myelin": myelin, "gradient": gradient}
        return notes(0.72, 1200, labels, search=stage, maps={name: files.get(path, path) for name, path in maps.items()}, **sc)

    return read


@pytest.mark.parametrize("labels", ["DK68", None])
def test_exchanged_maps_are_told(group, labels):
    found = told(group({"myelin": "gradient", "gradient": "myelin"}, labels), "From sensory to association cortex")
    assert found
    assert "may be exchanged" in found[0]
    assert ("if rows are the 68" in found[0]) == (labels is None)
    assert not told(group({"myelin": "myelin", "gradient": "gradient"}, labels), "From sensory")


def test_a_map_that_is_another_or_turned_round_is_told(group):
    assert told(group({"myelin": "gradient"}), "myelin rises by", "another map was given under this name")
    assert not told(group({"thickness": "gradient"}), "From sensory")


def test_one_file_for_two_maps_is_told(group):
    assert told(group({"myelin": "myelin", "thickness": "myelin"}), "'myelin' and 'thickness' are nearly the same (r = +1.000)")


def test_maps_without_known_names_are_judged_by_their_range(tmp_path):
    rng = np.random.default_rng(0)
    ratio, both = rng.uniform(1, 2, 20), rng.normal(size=20)
    maps = {"myelin": table(tmp_path / "a.csv", both[:, None]), "gradient": table(tmp_path / "b.csv", ratio[:, None])}
    files = {"sc": connectome(tmp_path), "timeseries": runs(tmp_path)}
    assert told(notes(**files, maps=maps), "'myelin' has values below 0", "may be exchanged")
    right = {"myelin": maps["gradient"], "gradient": maps["myelin"]}
    assert not told(notes(**files, maps=right), "exchanged")


def test_the_signs_are_those_that_models_declare():
    assert expected_signs() == {"myelin": -1, "gradient": 1}


# FC


def test_a_diagonal_of_nan_is_taken_as_that_of_correlations(tmp_path):
    values = recording(1)
    fc = np.corrcoef(values.T)
    np.fill_diagonal(fc, np.nan)
    np.savetxt(tmp_path / "cdf.csv", mfm.fcd_cdf(values, window_frames=83, n_bins=1000).numpy())
    files = DataFiles(
        sc=connectome(tmp_path), search=StageFiles(table(tmp_path / "fc.csv", fc, NAMES, NAMES), str(tmp_path / "cdf.csv"))
    )
    with pytest.warns(InputNote, match=r"diagonal of the search FC is not finite; it was set to 1.*tanh"):
        subject = load_subject(files, TR_S, 420)
    assert subject.search.target.fc.diagonal().eq(1).all()
    assert told(subject.notes, "set to 1")
