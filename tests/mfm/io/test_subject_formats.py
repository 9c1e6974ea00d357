"""A subject's data from time series of every format: the same data whatever file they are in."""

from __future__ import annotations

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import scipy.io
import torch
from cifti_files import LEFT, surface, write_dlabel, write_dtseries, write_ptseries
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm import Connectome, fcd_cdf, fisher_mean, functional_connectivity, subject_from_runs
from mfm.errors import ConfigError, InputError, InputNote
from mfm.io import Cleaning, DataFiles, load_subject
from mfm.io.readers.connectomes import transform_connectome

NAMES = ("lh-a", "lh-b", "lh-c", "lh-d")
TR_S = 3.0
WINDOW = 20


def recorded(seed=0, n_frames=60):
    rng = np.random.default_rng(seed)
    return (100 + rng.normal(size=(n_frames, 4)) + rng.normal(size=(n_frames, 1))).astype(np.float32).astype(float)


def counts():
    matrix = np.random.default_rng(9).integers(2, 999, (4, 4))
    return (matrix + matrix.T).astype(float)


def write_table(path, values, columns=None, rows=None):
    lines = [[*([name] if rows else []), *map(repr, map(float, row))] for name, row in zip(rows or values, values, strict=True)]
    if columns:
        lines.insert(0, [*(["Node"] if rows else []), *columns])
    with path.open("w", newline="") as handle:
        csv.writer(handle, delimiter="\t").writerows(lines)
    return str(path)


@pytest.fixture
def sc(tmp_path):
    return write_table(tmp_path / "sc.tsv", counts(), NAMES, NAMES)


def tsv(folder, k, order=range(4)):
    path = folder / f"run-{k}_timeseries.tsv"
    path.with_suffix(".json").write_text(json.dumps({"RepetitionTime": TR_S}))
    return {"timeseries": write_table(path, recorded(k)[:, list(order)], [NAMES[i] for i in order])}


def turned(folder, k, order=range(4)):
    path = folder / f"run-{k}_timeseries.tsv"
    path.with_suffix(".json").write_text(json.dumps({"RepetitionTime": TR_S}))
    return {"timeseries": write_table(path, recorded(k)[:, list(order)].T, None, [NAMES[i] for i in order])}


def ptseries(folder, k, order=range(4)):
    path = folder / f"run-{k}.ptseries.nii"
    return {"timeseries": str(write_ptseries(path, recorded(k)[:, list(order)], [NAMES[i] for i in order], TR_S))}


def dtseries(folder, k, order=range(4)):
    """Every region is one or two vertices; those of the series stand in another order than in the parcellation."""
    vertices = np.array([10, 11, 20, 30, 31, 40])
    region = np.array([0, 0, 1, 2, 2, 3])
    rows = np.random.default_rng(k).permutation(6)
    axis = surface(LEFT, vertices[rows])
    series = write_dtseries(folder / f"run-{k}.dtseries.nii", recorded(k)[:, region[rows]], axis, TR_S)
    keys = np.argsort(list(order))[region] + 1
    dlabel = write_dlabel(folder / "a.dlabel.nii", keys, [NAMES[i] for i in order], surface(LEFT, vertices))
    return {"timeseries": str(series), "parcellation": str(dlabel)}


def volume(folder, k, order=range(4)):
    image = nib.Nifti1Image(recorded(k).T.reshape(2, 2, 1, -1).astype(np.float32), np.eye(4))
    image.header.set_zooms((1, 1, 1, TR_S))
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(folder / f"run-{k}_bold.nii.gz")
    keys = np.argsort(list(order)).reshape(2, 2, 1).astype(np.int16) + 1
    nib.Nifti1Image(keys, np.eye(4)).to_filename(folder / "atlas_dseg.nii.gz")
    (folder / "atlas_dseg.tsv").write_text("\n".join(["index\tname", *(f"{j + 1}\t{NAMES[i]}" for j, i in enumerate(order))]))
    return {"timeseries": str(folder / f"run-{k}_bold.nii.gz"), "parcellation": str(folder / "atlas_dseg.nii.gz")}


def subject_of(sc, write, folder, n_runs=2, order=range(4), tr_s=None, **settings):
    made = [write(folder, k, order) for k in range(n_runs)]
    further = {"parcellation": made[0]["parcellation"]} if "parcellation" in made[0] else {}
    return load_subject(DataFiles("s1", sc, timeseries=[one["timeseries"] for one in made], **further, **settings), tr_s)


def assert_same(data, expected, *further_notes):
    assert data.labels == expected.labels == NAMES
    short = "Search data of 180 s, shorter than 5 minutes: the FCD of so few windows says little."
    assert data.notes == (*expected.notes, *further_notes, short)
    for stage in ("search", "validation", "test"):
        one, other = getattr(data, stage), getattr(expected, stage)
        assert (one.tr_s, one.n_frames, one.source) == (other.tr_s, other.n_frames, other.source)
        np.testing.assert_array_equal(one.sc.weights, other.sc.weights)
        torch.testing.assert_close(one.target.fc, other.target.fc, rtol=0, atol=1e-6)
        torch.testing.assert_close(one.target.fcd_cdf, other.target.fcd_cdf, rtol=0, atol=2e-3)


@pytest.mark.parametrize("write", [tsv, turned, ptseries, dtseries, volume])
@settings(max_examples=6, deadline=None)
@given(order=st.permutations(range(4)))
def test_a_subject_is_the_same_from_every_format_in_any_order(tmp_path_factory, write, order):
    folder = tmp_path_factory.mktemp("subject")
    sc = write_table(folder / "sc.tsv", counts(), NAMES, NAMES)
    expected = subject_from_runs("s1", [recorded(0), recorded(1)], transform_connectome(counts(), labels=NAMES), TR_S)
    assert_same(subject_of(sc, write, folder, order=order), expected)


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".npy", ".npz", ".mat"])
@pytest.mark.parametrize("is_turned", [False, True])
def test_files_without_names_are_too(sc, tmp_path, suffix, is_turned):
    paths = []
    for k in range(2):
        values, path = recorded(k).T if is_turned else recorded(k), tmp_path / f"run-{k}{suffix}"
        if suffix == ".npy":
            np.save(path, values)
        elif suffix == ".npz":
            np.savez(path, arr_0=values)
        elif suffix == ".mat":
            scipy.io.savemat(path, {"TC": values})
        else:
            np.savetxt(path, values, delimiter="," if suffix == ".csv" else " ")
        paths.append(str(path))
    expected = subject_from_runs("s1", [recorded(0), recorded(1)], transform_connectome(counts(), labels=NAMES), TR_S)
    orientation = "regions_by_frames" if is_turned else None
    data = load_subject(DataFiles("s1", sc, timeseries=paths, orientation=orientation), TR_S)
    assert_same(data, expected, "Without region names, and so taken in the order of the connectome: time series.")


def test_the_repetition_time_of_the_files_is_taken_and_checked(sc, tmp_path):
    assert subject_of(sc, ptseries, tmp_path).search.tr_s == TR_S
    with pytest.raises(InputError, match=r"(?s)not that of .*run-0\.ptseries\.nii.*expected: 2 s"):
        subject_of(sc, ptseries, tmp_path, tr_s=2.0)


def test_runs_of_different_repetition_times_are_refused(sc, tmp_path):
    paths = [str(write_ptseries(tmp_path / f"{k}.ptseries.nii", recorded(k), NAMES, tr)) for k, tr in enumerate((3.0, 2.5))]
    with pytest.raises(InputError, match=r"(?s)different repetition times.*found: 3 s, 2\.5 s"):
        load_subject(DataFiles("s1", sc, timeseries=paths))


def test_a_run_cannot_test_itself(sc, tmp_path):
    path = tsv(tmp_path, 0)["timeseries"]
    with pytest.raises(InputError, match=r"(?s)given twice.*a run cannot test itself"):
        load_subject(DataFiles("s1", sc, timeseries=[path, path]))


def test_runs_of_different_regions_are_refused(sc, tmp_path):
    paths = [tsv(tmp_path, 0)["timeseries"], write_table(tmp_path / "b.tsv", recorded(1), (*NAMES[:3], "rh-x"))]
    with pytest.raises(InputError, match=r"(?s)regions of the time series .*b\.tsv are not those.*missing: lh-d"):
        load_subject(DataFiles("s1", sc, timeseries=paths), TR_S)


def test_every_file_is_a_source(sc, tmp_path):
    data = subject_of(sc, volume, tmp_path)
    roles = [source.role for source in data.sources]
    assert roles == ["sc", "timeseries", "parcellation", "label table", "timeseries"]
    assert f"  parcellation: {tmp_path.as_posix()}/atlas_dseg.nii.gz ({data.sources[2].sha256[:12]})" in repr(data)
    data = subject_of(sc, tsv, tmp_path)
    assert [source.role for source in data.sources] == ["sc", "timeseries", "sidecar", "timeseries", "sidecar"]


def test_repr_tells_what_is_in_it(sc, tmp_path):
    lines = repr(subject_of(sc, tsv, tmp_path, n_runs=3)).splitlines()
    assert lines[0] == "SubjectData s1: 4 regions, maps: none"
    assert lines[3].startswith("  test: run 3, 60 frames, TR 3 s, mean FC 0.")
    assert lines[4] == "  connectome: density 1.00, maximum 0.02, symmetric"
    assert lines[5].startswith("  runs: 3, mean FC 0.")
    assert lines[6].startswith("  sc: ")


def test_pooled_runs_have_the_mean_statistics():
    runs = [recorded(0), recorded(1, 80), recorded(2, 45)]
    data = subject_from_runs("s1", runs, Connectome(0.02 * (1 - np.eye(4))), TR_S, split="pooled")
    bold = [torch.tensor(run) for run in runs]
    z = np.mean([np.arctanh(np.corrcoef(run.T) - np.eye(4)) for run in runs], axis=0)
    np.testing.assert_allclose(data.search.target.fc.numpy(), np.tanh(z) + np.eye(4), atol=1e-12)
    torch.testing.assert_close(data.search.target.fc, fisher_mean(torch.stack([functional_connectivity(b) for b in bold])))
    torch.testing.assert_close(data.search.target.fcd_cdf, torch.stack([fcd_cdf(b, WINDOW) for b in bold]).mean(0))
    assert data.search is data.validation is data.test
    assert (data.search.n_frames, data.search.source, len(data.runs)) == (62, "runs 1 to 3, pooled", 3)
    assert data.notes == ("All runs serve for search, validation and test. The test is not independent.",)
    for run, own in zip(bold, data.runs, strict=True):
        torch.testing.assert_close(own.fc, functional_connectivity(run))


def test_one_run_may_serve_whole():
    data = subject_from_runs("s1", [recorded(0)], Connectome(0.02 * (1 - np.eye(4))), TR_S, split="pooled")
    assert (data.search.n_frames, data.search.source, data.runs) == (60, "run 1", ())
    with pytest.raises(InputError, match=r"(?s)Unknown split 'halves'.*by_run \| pooled"):
        subject_from_runs("s1", [recorded(0)], Connectome(0.02 * (1 - np.eye(4))), TR_S, split="halves")


def test_the_split_is_a_setting(sc, tmp_path):
    assert subject_of(sc, tsv, tmp_path, split="pooled").search.source == "runs 1 to 2, pooled"


def joined(folder):
    return write_table(folder / "joined.tsv", np.concatenate([recorded(k) for k in range(3)]), NAMES)


def test_runs_joined_in_one_file_are_taken_apart(sc, tmp_path):
    files = DataFiles("s1", sc, timeseries=[joined(tmp_path)], run_frames=[60, 60, 60])
    expected = subject_from_runs("s1", [recorded(k) for k in range(3)], transform_connectome(counts(), labels=NAMES), TR_S)
    assert_same(load_subject(files, TR_S, 60), expected)


def test_a_file_as_long_as_several_runs_is_told(sc, tmp_path):
    with pytest.raises(
        InputError, match=r"(?s)have another length.*found: 180 frames.*3 runs joined in one.*`run_frames=\[60,60,60\]`"
    ):
        load_subject(DataFiles("s1", sc, timeseries=[joined(tmp_path)]), TR_S, 60)


def test_regions_may_be_left_out_of_every_input(sc, tmp_path):
    path = tsv(tmp_path, 0)["timeseries"]
    values = recorded(0)
    values[:, 1] = np.nan
    write_table(tmp_path / "run-0_timeseries.tsv", values, NAMES)
    myelin = write_table(tmp_path / "myelin.tsv", np.array([[1.0], [2], [3], [4]]), ["myelin"], NAMES)
    files = {"timeseries": [path, tsv(tmp_path, 1)["timeseries"]], "maps": {"myelin": myelin}}
    with pytest.raises(InputError, match=r"(?s)run-0_timeseries\.tsv are not finite.*fix: .*`exclude_regions=\[\"lh-b\"\]`"):
        load_subject(DataFiles("s1", sc, **files))
    with pytest.warns(InputNote, match=r"Left out as asked \(lh-b\): connectome, time series, map myelin: without lh-b\."):
        data = load_subject(DataFiles("s1", sc, **files, exclude_regions=["lh-b"]))
    kept = [0, 2, 3]
    assert data.labels == ("lh-a", "lh-c", "lh-d")
    np.testing.assert_array_equal(data.maps.values, [[1, 3, 4]])
    np.testing.assert_allclose(data.search.sc.weights, transform_connectome(counts()[np.ix_(kept, kept)]).weights, rtol=1e-12)
    np.testing.assert_allclose(data.search.target.fc.numpy(), np.corrcoef(recorded(0)[:, kept].T), atol=1e-9)
    with pytest.raises(ConfigError, match=r"(?s)exclude_regions` names regions that are not there.*found: lh-x"):
        load_subject(DataFiles("s1", sc, **files, exclude_regions=["lh-x"]))


def test_cleaning_and_censoring_are_settings(sc, tmp_path):
    for k in range(2):
        tsv(tmp_path, k)
    paths = [str(tmp_path / f"run-{k}_timeseries.tsv") for k in range(2)]
    plain = load_subject(DataFiles("s1", sc, timeseries=paths))
    filtered = load_subject(DataFiles("s1", sc, timeseries=paths, cleaning=Cleaning(high_pass_hz=0.02)))
    assert (plain.search.target.fc - filtered.search.target.fc).abs().max() > 1e-3
    (tmp_path / "run-1_outliers.tsv").write_text("framewise_displacement\n" + "0\n" * 60 + "1\n" * 3)
    with pytest.raises(InputError, match=r"(?s)run-1_timeseries\.tsv were deleted for motion.*allow_censored=True"):
        load_subject(DataFiles("s1", sc, timeseries=paths))
    with pytest.warns(InputNote, match="FCD is affected"):
        data = load_subject(DataFiles("s1", sc, timeseries=paths, allow_censored=True))
    assert any("deleted for motion" in note for note in data.notes)


def test_regions_cannot_leave_an_fcd(sc, tmp_path):
    from mfm.io import StageFiles

    fc, cdf = str(tmp_path / "fc.csv"), str(tmp_path / "cdf.csv")
    write_table(tmp_path / "fc.csv", np.corrcoef(recorded(0).T), NAMES)
    np.savetxt(cdf, np.linspace(0.1, 1, 10))
    files = DataFiles("s1", sc, search=StageFiles(fc, cdf), exclude_regions=["lh-a"])
    with pytest.raises(ConfigError, match="cannot be left out of an FCD"):
        load_subject(files, TR_S, 60)
