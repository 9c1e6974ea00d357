"""One scan in two files: by its numbers whatever was made of them, by its name, and in folders."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm import load_subject
from mfm.errors import InputError, InputNote
from mfm.io import Choices, DataFiles, inspect_folder, load_timeseries
from mfm.io.readers.same_scan import best_overlap
from mfm.io.readers.versions import check_versions

N, T, TR_S = 20, 400, 0.72


def bold(seed=1, n_frames=T):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n_frames + 50, N)) + 0.8 * rng.normal(size=(n_frames + 50, 1))
    x = np.zeros_like(noise)
    for k in range(1, len(x)):
        x[k] = 0.7 * x[k - 1] + noise[k]
    return x[50:]


def smooth(x):
    return (x[2:] + x[1:-1] + x[:-2]) / 3


COPIES = {
    "float32": lambda x: x.astype(np.float32),
    "two digits": lambda x: np.round(x, 1),
    "other unit": lambda x: 10_000 + 37 * x,
    "percent of each region's mean": lambda x: 100 * (x + 500) / np.arange(400, 400 + N),
    "other order": lambda x: x[:, np.random.default_rng(0).permutation(N)],
    "first frames left out": lambda x: x[10:],
    "last half": lambda x: x[T // 2 :],
    "shifted, scaled, in other order": lambda x: 5 - x[25:375, ::-1] / 3 * -1,
    "smoothed": smooth,
    "global signal removed": lambda x: x - 0.9 * x.mean(axis=1, keepdims=True),
    "other noise": lambda x: x + 0.5 * np.random.default_rng(5).normal(size=x.shape) * x.std(),
}


def files(tmp_path, one, other, names=("a.npy", "b.npy")):
    counts = np.round(np.exp(np.random.default_rng(0).normal(5, 1, (N, N))))
    counts = np.triu(counts, 1) + np.triu(counts, 1).T
    np.savetxt(tmp_path / "sc.csv", counts, delimiter=",")
    paths = [str(tmp_path / name) for name in names]
    for path, values in zip(paths, (one, other), strict=True):
        np.save(path, values)
    return DataFiles(sc=str(tmp_path / "sc.csv"), timeseries=paths, orientation="frames_by_regions")


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_refused_whatever_was_made_of_it(tmp_path, copy):
    x = bold()
    with pytest.raises(InputError, match=r"(?s)given twice.*run 1 \(a\.npy\) and run 2 \(b\.npy\).*`timeseries=\["):
        load_subject(files(tmp_path, x, COPIES[copy](x)), TR_S)
    with pytest.raises(InputError, match="given twice"):
        load_subject(files(tmp_path, COPIES[copy](x), x), TR_S)


def test_what_is_told_of_a_copy(tmp_path):
    x = bold()
    with pytest.raises(InputError, match=r"r = 1\.000 .* over 390 frames, shifted by 10 frames, regions in another order"):
        load_subject(files(tmp_path, x, x[10:, ::-1]), TR_S)


@pytest.mark.filterwarnings("ignore::mfm.errors.InputNote")
def test_other_runs_are_accepted(tmp_path):
    assert load_subject(files(tmp_path, bold(1), bold(2)), TR_S).validation.n_frames == T


def test_runs_that_are_suspiciously_alike_are_noted(tmp_path):
    x, y = bold(1), bold(2)
    with pytest.warns(InputNote, match="Two runs are more alike than resting runs are"):
        load_subject(files(tmp_path, x, 0.75 * x + y), TR_S)


def test_copies_within_one_file(tmp_path):
    x = bold()
    path = files(tmp_path, np.concatenate([x, np.round(x, 2)]), x).timeseries[0]
    data = DataFiles(sc=str(tmp_path / "sc.csv"), timeseries=[path], orientation="frames_by_regions", run_frames=[T, T])
    with pytest.raises(InputError, match="given twice"):
        load_subject(data, TR_S)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(-150, 150),
    st.permutations(range(N)),
    st.floats(-6, 6),
    st.sampled_from([np.float32, np.float64]),
)
def test_any_copy_is_found(seed, lag, order, unit, kind):
    x = bold(seed)
    y = (x[max(0, lag) : T + min(0, lag)][:, list(order)] * 10.0**unit).astype(kind)
    found = best_overlap(x, y)
    assert found.r > 0.99
    assert found.lag == max(0, lag)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.integers(150, 500), st.integers(150, 500))
def test_independent_runs_are_never_one_scan(seed, n, m):
    assert best_overlap(bold(seed, n), bold(seed + 20_000, m)).r < 0.45


def test_recorded_runs_are_no_copies(shared):
    folder = shared / "data/schaefer100-7n/sub-100206"
    one, other = (load_timeseries(folder / f"task-rest_run-{k}_timeseries.tsv").values for k in (1, 2))
    assert best_overlap(one, other).r < 0.3
    assert best_overlap(one[:600], one[600:]).r < 0.45
    assert best_overlap(one, one[100:900]).r > 0.99


@pytest.mark.parametrize(
    ("names", "differ"),
    [
        (("r1.csv", "r1.npy"), "their format"),
        (("sub-01_task-rest_run-1_echo-1_bold.csv", "sub-01_task-rest_run-1_echo-2_bold.csv"), "echo-"),
        (("sub-01_task-rest_res-2_bold.csv", "sub-01_task-rest_bold.csv"), "res-"),
        (("sub-01_task-rest_rec-a_bold.csv", "sub-01_task-rest_rec-b_bold.csv"), "rec-"),
        (("sub-01_task-rest_part-mag_bold.csv", "sub-01_task-rest_part-phase_bold.csv"), "part-"),
        (("sub-01_task-rest_space-A_bold.csv", "sub-01_task-rest_space-B_bold.csv"), "space-"),
        (("sub-01_task-rest_desc-a_timeseries.csv", "sub-01_task-rest_desc-b_bold.csv"), "desc-"),
        (("xcpd/sub-01/func/sub-01_task-rest_desc-a_bold.nii", "prep/sub-01/func/sub-01_task-rest_desc-b_bold.nii"), "desc-"),
        (
            ("rfMRI_REST1_LR_Atlas_MSMAll_hp2000_clean.dtseries.nii", "rfMRI_REST1_LR_Atlas_hp2000_clean.dtseries.nii"),
            "processing",
        ),
    ],
)
def test_versions_of_a_scan_are_told_by_their_names(names, differ):
    with pytest.raises(InputError, match=rf"(?s)versions of one scan.*differ in .*{differ}.*such as `timeseries=\[") as told:
        check_versions([*names, "sub-01_task-rest_run-9_bold.csv"])
    kept = json.loads(str(told.value).partition("timeseries=")[2].partition("`")[0])
    check_versions(kept)
    assert kept == [names[0], "sub-01_task-rest_run-9_bold.csv"]


@pytest.mark.parametrize(
    "names",
    [
        ("r1.csv", "r2.csv"),
        ("sub-01_task-rest_run-1_bold.csv", "sub-01_task-rest_run-2_bold.csv"),
        ("sub-01_task-rest_dir-LR_bold.csv", "sub-01_task-rest_dir-RL_bold.csv"),
        ("sub-01/ses-1/rest_desc-a.csv", "sub-01/ses-2/rest_desc-b.csv"),
        ("sub-01/ses-1/sub-01_task-rest_desc-a_bold.csv", "sub-01/ses-2/sub-01_task-rest_desc-b_bold.csv"),
        ("day1/rest.csv", "day2/rest.csv"),
        ("rfMRI_REST1_LR_Atlas_MSMAll.dtseries.nii", "rfMRI_REST1_RL_Atlas_MSMAll.dtseries.nii"),
    ],
)
def test_runs_are_no_versions(names):
    check_versions(names)


@pytest.mark.parametrize(
    ("name", "sidecar", "found"),
    [
        ("sub-01_task-rest_part-phase_bold.csv", {}, "the name"),
        ("sub-01_task-rest_part-imag_bold.csv", {}, "the name"),
        ("sub-01_task-rest_phase.csv", {}, "the name"),
        ("sub-01_task-rest_bold.csv", {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "ImageType"),
        ("sub-01_task-rest_bold.csv", {"Units": "rad"}, "Units rad"),
    ],
)
def test_phase_is_never_read(tmp_path, name, sidecar, found):
    path = tmp_path / name
    np.savetxt(path, bold(), delimiter=",")
    if sidecar:
        path.with_suffix(".json").write_text(json.dumps(sidecar))
    with pytest.raises(InputError, match=rf"(?s)no magnitude of BOLD.*found: {found}"):
        load_timeseries(path, n_regions=N)


def folder(tmp_path, *names):
    own = tmp_path / "sub-01" / "func"
    own.mkdir(parents=True)
    for seed, name in enumerate(names):
        header = "\t".join(f"lh-r{k}" for k in range(N))
        np.savetxt(own / name, bold(seed), delimiter="\t", header=header, comments="")
    return inspect_folder(tmp_path, Choices(tr_s=TR_S))


def texts(found, kind):
    return [finding.text for finding in found.findings if finding.kind == kind]


@pytest.mark.parametrize("what", ["echo-1 echo-2", "rec-a rec-b", "res-1 res-2"])
def test_versions_in_a_folder_are_for_a_person_to_choose(tmp_path, what):
    found = folder(tmp_path, *(f"sub-01_task-rest_run-1_{one}_timeseries.tsv" for one in what.split()))
    assert found.rows == ()
    assert texts(found, "choose") == [f"the same run in several versions: {', '.join(what.split())}"]


def test_combined_echoes_come_before_single_ones(tmp_path):
    names = [f"sub-01_task-rest_run-1_{echo}timeseries.tsv" for echo in ("", "echo-1_", "echo-2_")]
    found = folder(tmp_path, *names)
    assert [row.timeseries.path.name for row in found.rows] == names[:1]
    assert any("taken rather than echo-1, echo-2" in text for text in texts(found, "note"))


def test_phase_in_a_folder_is_passed_over(tmp_path):
    names = [f"sub-01_task-rest_run-1_part-{part}_timeseries.tsv" for part in ("mag", "phase")]
    found = folder(tmp_path, *names)
    assert [row.timeseries.path.name for row in found.rows] == names[:1]
    assert "passed over: part-phase, which is no magnitude of BOLD" in texts(found, "note")


def test_a_labs_own_names_of_versions(tmp_path):
    found = folder(tmp_path, "rest_echo-1_timeseries.tsv", "rest_echo-2_timeseries.tsv")
    assert found.rows == ()
    assert texts(found, "choose") == ["the same run in several versions: echo-1, echo-2"]
