"""Time series from text and array files: orientation, repetition time, censoring, and what is wrong with them."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm import fcd_cdf, functional_connectivity
from mfm.brain.atlas import order_by_name
from mfm.errors import InputError, InputNote, MissingInputError
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
    assert f'fix: `orientation="{other}"`' in str(error.value)
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


def in_file(path, values, name="TC"):
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, **{name: values, "tr": 0.72})
    elif path.suffix == ".mat":
        scipy.io.savemat(path, {name: values, "TR": 0.72, "subject": "000123"})
    else:
        save(path, values)
    return path


KINDS = [".csv", ".tsv", ".txt", ".npy", ".npz", ".mat"]


@pytest.mark.parametrize("suffix", KINDS)
def test_every_kind_of_array_file_is_the_same(tmp_path, suffix):
    series = load_timeseries(in_file(tmp_path / f"run{suffix}", recorded()), n_regions=4)
    np.testing.assert_array_equal(series.values, recorded())
    assert (series.labels, series.tr_s, series.run_frames, series.notes) == (None, None, (30,), ())
    assert not series.values.flags.writeable


@pytest.mark.parametrize("suffix", KINDS)
def test_the_side_that_is_as_long_as_the_connectome_is_that_of_regions(tmp_path, suffix):
    path = in_file(tmp_path / f"run{suffix}", recorded().T)
    with pytest.warns(InputNote, match=r"run\.\w+ was read as regions x frames, because it has 4 rows") as caught:
        series = load_timeseries(path, n_regions=4)
    np.testing.assert_array_equal(series.values, recorded())
    assert series.notes == (str(caught[0].message),)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("suffix", KINDS)
def test_without_names_and_connectome_the_orientation_must_be_said(tmp_path, suffix):
    path = in_file(tmp_path / f"run{suffix}", recorded())
    with pytest.raises(
        InputError, match=r"(?s)which side of .* is time.*30 x 4 values, no names.*`orientation=\"frames_by_regions\"`, or"
    ):
        load_timeseries(path)
    assert load_timeseries(path, orientation="frames_by_regions").n_frames == 30


def test_as_many_frames_as_regions_are_ambiguous(tmp_path):
    path = save(tmp_path / "run.csv", recorded(n_frames=4))
    with pytest.raises(InputError, match=r"(?s)which side .* is time.*as many frames as regions is ambiguous"):
        load_timeseries(path, n_regions=4)
    np.testing.assert_array_equal(read(path, orientation="regions_by_frames", n_regions=4)[0], recorded(n_frames=4).T)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n_frames=st.integers(3, 9), n_regions=st.integers(2, 6), suffix=st.sampled_from([".csv", ".tsv"]))
def test_a_named_file_in_any_order_and_orientation_is_the_same_or_refused(tmp_path_factory, data, n_frames, n_regions, suffix):
    names = tuple(f"lh-{k}" for k in range(n_regions))
    values = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(n_frames, n_regions))
    order = data.draw(st.permutations(range(n_regions)))
    missing = data.draw(st.lists(st.tuples(st.integers(0, n_frames - 1), st.integers(0, n_regions - 1)), max_size=2))
    for frame, region in missing:
        values[frame, region] = np.nan
    named = [names[k] for k in order]
    turned = data.draw(st.booleans())
    path = tmp_path_factory.mktemp("any") / f"run{suffix}"
    save(path, values[:, order].T if turned else values[:, order], None if turned else named, named if turned else None)
    if missing:
        with pytest.raises(InputError, match="not finite") as error:
            load_timeseries(path)
        assert all(names[region] in str(error.value) for _, region in missing)
    series = load_timeseries(path, allow_missing_regions=True)
    np.testing.assert_array_equal(series.values[:, order_by_name(series.labels, names, "it")], values)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(2, 8), columns=st.integers(2, 8), n_regions=st.integers(2, 8))
def test_without_names_a_shape_is_read_in_the_one_way_it_can_be_or_refused(tmp_path_factory, rows, columns, n_regions):
    values = np.random.default_rng(0).normal(size=(rows, columns))
    path = save(tmp_path_factory.mktemp("shape") / "run.csv", values)
    fits = [columns == n_regions, rows == n_regions]
    if fits == [True, False]:
        np.testing.assert_array_equal(load_timeseries(path, n_regions=n_regions).values, values)
    elif fits == [False, True]:
        with pytest.warns(InputNote, match="regions x frames"):
            np.testing.assert_array_equal(load_timeseries(path, n_regions=n_regions).values, values.T)
    else:
        with pytest.raises(InputError, match=r"which side|do not have the connectome's regions"):
            load_timeseries(path, n_regions=n_regions)


@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_one_of_several_arrays_is_named(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    arrays = {"rest1": recorded(), "rest2": recorded() + 1, "tr": np.array([[0.72]])}
    np.savez(path, **arrays) if suffix == ".npz" else scipy.io.savemat(path, arrays)
    with pytest.raises(InputError, match=r"(?s)several matrices.*rest1 \(30, 4\), rest2 \(30, 4\).*fix: `key=\"rest1\"`"):
        load_timeseries(path, n_regions=4)
    np.testing.assert_array_equal(load_timeseries(path, key="rest2", n_regions=4).values, recorded() + 1)
    with pytest.raises(InputError, match=r"(?s)no matrix of real numbers named 'rest3'.*the names rest1, rest2"):
        load_timeseries(path, key="rest3")
    with pytest.raises(InputError, match=r"(?s)no matrix of real numbers named 'tr'.*shape \(1, 1\)"):
        load_timeseries(path, key="tr")


@pytest.mark.parametrize("suffix", [".npz", ".mat", ".npy"])
@pytest.mark.parametrize(
    "damage", [lambda content: content[: len(content) // 2], lambda content: b"", lambda content: b"x" * 999]
)
def test_damaged_array_files_are_told(tmp_path, suffix, damage):
    path = in_file(tmp_path / f"run{suffix}", recorded())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"(?s)Cannot read .*truncated"):
        load_timeseries(path, n_regions=4)


def test_matlab_7_3_is_told_with_what_to_type(tmp_path):
    path = tmp_path / "TC.mat"
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    path.write_bytes(header + bytes(400))
    with pytest.raises(InputError, match=r"(?s)MATLAB 7\.3 file.*fix: .*'-v7'"):
        load_timeseries(path)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint8, np.float32, ">f4", ">i2"])
def test_numbers_of_any_type_and_byte_order_are_read(tmp_path, dtype):
    values = np.random.default_rng(0).integers(1, 120, (30, 4)).astype(dtype)
    np.save(tmp_path / "run.npy", values)
    np.testing.assert_array_equal(load_timeseries(tmp_path / "run.npy", n_regions=4).values, values.astype(float))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_swapped_bytes_are_told(tmp_path, dtype):
    np.save(tmp_path / "run.npy", recorded(200).astype(dtype).byteswap())
    with np.errstate(all="ignore"), pytest.raises(InputError, match=r"(?s)implausible.*wrong order"):
        load_timeseries(tmp_path / "run.npy", n_regions=4)


def test_an_fc_matrix_is_no_time_series(tmp_path):
    fc = np.corrcoef(recorded().T)
    for diagonal in (1.0, 0.0, np.nan):
        np.fill_diagonal(fc, diagonal)
        message = r"(?s)is no time series.*symmetric 4 x 4 matrix.*an FC matrix.*`search=StageFiles\(fc="
        with pytest.raises(InputError, match=message):
            load_timeseries(save(tmp_path / "fc.csv", fc), n_regions=4)


def test_an_index_column_is_no_region(tmp_path):
    (tmp_path / "run.csv").write_text(",lh-a,lh-b\n0,1.5,2\n1,3,1\n2,2,2.5\n")
    series = load_timeseries(tmp_path / "run.csv")
    assert (series.labels, series.values[0].tolist()) == (("lh-a", "lh-b"), [1.5, 2])


def test_a_column_without_name_is_told(tmp_path):
    (tmp_path / "run.csv").write_text(",lh-a,lh-b\n0.3,1.5,2\n1.2,3,1\n2.9,2,2.5\n")
    with pytest.raises(InputError, match=r"(?s)column of .*run\.csv has no name.*number 1.*pandas.*index=False"):
        load_timeseries(tmp_path / "run.csv")


def test_regions_of_the_same_name_are_told(tmp_path):
    with pytest.raises(InputError, match=r"(?s)names of the time series .* are not unique.*lh-a"):
        load_timeseries(save(tmp_path / "run.csv", recorded(), ("lh-a", "lh-b", "lh-a", "lh-c")))


def xcpd(folder, n_frames=30, values=None, sidecar=None, outliers=None, desc="", stat="stat-mean_timeseries.tsv"):
    """A series as XCP-D names it, with a sidecar and a list of outliers."""
    stem = f"sub-01_task-rest_run-1_space-fsLR_atlas-4S156Parcels_den-91k_{desc}{stat}"
    path = save(folder / stem, recorded(n_frames) if values is None else values, NAMES)
    if sidecar is not None:
        path.with_suffix(".json").write_text(json.dumps(sidecar))
    if outliers is not None:
        text = "framewise_displacement\n" + "\n".join(map(str, outliers)) + "\n"
        (folder / "sub-01_task-rest_run-1_outliers.tsv").write_text(text)
        (folder / "sub-01_task-rest_run-2_outliers.tsv").write_text(text.replace("1", "0"))
    return path


def test_xcpd_series_bring_names_and_repetition_time(tmp_path):
    path = xcpd(tmp_path, sidecar={"RepetitionTime": 0.8}, outliers=[0] * 30)
    series = load_timeseries(path)
    np.testing.assert_array_equal(series.values, recorded())
    assert (series.labels, series.tr_s, bool(series.censoring), series.notes) == (NAMES, 0.8, False, ())
    assert [source.role for source in series.sources] == ["timeseries", "outliers", "sidecar"]
    for source in series.sources:
        assert source.sha256 == hashlib.sha256(Path(source.path).read_bytes()).hexdigest()


def test_low_coverage_of_xcpd_is_told(tmp_path):
    path = xcpd(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *("\t".join([*line.split("\t")[:3], "n/a"]) for line in lines[1:])]))
    with pytest.raises(InputError, match=r"(?s)found: 1 of 4: rh-cuneus\n.*fix: .*`exclude_regions=\[\"rh-cuneus\"\]`"):
        load_timeseries(path)


@pytest.mark.parametrize(
    ("n_frames", "outliers", "kind", "found"),
    [
        (27, [0] * 10 + [1] * 3 + [0] * 17, "deleted", "3 frames deleted, says sub-01_task-rest_run-1_outliers.tsv"),
        (30, [0] * 10 + [1] * 3 + [0] * 17, "interpolated", "3 frames interpolated"),
        (25, [0] * 30, "deleted", "5 frames deleted"),
    ],
)
def test_censored_runs_of_xcpd_are_refused_unless_allowed(tmp_path, n_frames, outliers, kind, found):
    path = xcpd(tmp_path, n_frames, outliers=outliers)
    with pytest.raises(InputError, match=rf"(?s)were {kind} for motion.*of one piece.*{found}.*`allow_censored=True`"):
        load_timeseries(path)
    with pytest.warns(InputNote, match=rf"were {kind} for motion .*FCD is affected"):
        series = load_timeseries(path, allow_censored=True)
    assert (series.censoring.kind, str(series.censoring).startswith(found[:8])) == (kind, True)


@pytest.mark.parametrize(
    ("desc", "sidecar", "kind"),
    [
        ("desc-interpolated_", {}, "interpolated"),
        ("desc-censored_", {}, "deleted"),
        ("", {"NumberOfCensoredVolumes": 12}, "deleted"),
        ("", {"InterpolatedVolumes": [3, 4]}, "interpolated"),
    ],
)
def test_names_and_sidecars_tell_of_censoring_too(tmp_path, desc, sidecar, kind):
    with pytest.raises(InputError, match=f"were {kind} for motion"):
        load_timeseries(xcpd(tmp_path, sidecar=sidecar, desc=desc))


@pytest.mark.parametrize("sidecar", [{"CensoredVolumes": 0}, {"Scrubbing": "none"}, {"EchoTime": 0.03}])
def test_whole_runs_pass(tmp_path, sidecar):
    assert not load_timeseries(xcpd(tmp_path, sidecar=sidecar)).censoring


@pytest.mark.parametrize(
    ("desc", "sidecar"),
    [
        ("", {"NuisanceParameters": "acompcor_gsr"}),
        ("", {"NuisanceParameters": "36P"}),
        ("", {"Confounds": ["csf", "global_signal"]}),
        ("", {"GlobalSignalRegression": True}),
        ("desc-gsr_", {}),
    ],
)
def test_global_signal_regression_is_told(tmp_path, desc, sidecar):
    with pytest.warns(InputNote, match="cleaned of the global signal"):
        series = load_timeseries(xcpd(tmp_path, sidecar=sidecar, desc=desc))
    assert "global signal" in series.notes[0]


@pytest.mark.parametrize(
    "sidecar",
    [
        {"Freq Band": [0.01, 0.08]},
        {"SoftwareFilters": {"Bandpass filter": {"Low-pass cutoff (Hz)": 0.08}}},
        {"LowpassFilter": "0.1 Hz"},
    ],
)
def test_filtered_frequencies_are_told(tmp_path, sidecar):
    with pytest.warns(InputNote, match="was filtered"):
        assert "simulated BOLD is not" in load_timeseries(xcpd(tmp_path, sidecar=sidecar)).notes[0]


@pytest.mark.parametrize(
    "sidecar",
    [
        {"NuisanceParameters": "24P"},
        {"GlobalSignalRegression": False},
        {"Sources": ["x_gsr.tsv"]},
        {"BandpassFilter": False},
        {"SoftwareFilters": "n/a"},
    ],
)
def test_other_cleaning_is_not(tmp_path, sidecar):
    assert load_timeseries(xcpd(tmp_path, sidecar=sidecar)).notes == ()


def test_sidecars_are_inherited(tmp_path):
    (tmp_path / "dataset_description.json").write_text("{}")
    (tmp_path / "task-rest_timeseries.json").write_text('{"RepetitionTime": 0.8, "NuisanceParameters": "24P"}')
    (tmp_path / "task-nback_timeseries.json").write_text('{"RepetitionTime": 2.0}')
    folder = tmp_path / "sub-01/func"
    folder.mkdir(parents=True)
    path = xcpd(folder, sidecar={"EchoTime": 0.03})
    series = load_timeseries(path)
    assert series.tr_s == 0.8
    assert [Path(source.path).name for source in series.sources if source.role == "sidecar"] == [
        path.with_suffix(".json").name,
        "task-rest_timeseries.json",
    ]


@pytest.mark.parametrize(
    ("tr", "said", "message"),
    [
        (800, None, r"(?s)sidecar of .* is implausible.*milliseconds.*\"RepetitionTime\": 0\.8"),
        (0.8, 0.72, r"(?s)not that of.*expected: 0\.72 s, as `tr_s` says.*found: 0\.8 s in the sidecar"),
        ("0.8", None, r"(?s)RepetitionTime in .* is no duration.*found: '0\.8'"),
        (-1, None, "is no duration"),
        (0.8, 720, r"(?s)milliseconds.*tr_s = 0\.72"),
    ],
)
def test_the_repetition_time_of_a_sidecar_is_checked(tmp_path, tr, said, message):
    with pytest.raises(InputError, match=message):
        load_timeseries(xcpd(tmp_path, sidecar={"RepetitionTime": tr}), tr_s=said)


def test_a_sidecar_that_is_no_json_is_told(tmp_path):
    path = xcpd(tmp_path)
    path.with_suffix(".json").write_text("{TR: 0.8")
    with pytest.raises(InputError, match=r"(?s)sidecar .*timeseries\.json is not JSON"):
        load_timeseries(path)
    path.with_suffix(".json").unlink()
    path.with_suffix(".json").symlink_to(tmp_path / ".git/annex/objects/x")
    with pytest.raises(MissingInputError, match="datalad get"):
        load_timeseries(path)


def test_a_parcellation_that_is_not_there_is_told(tmp_path):
    with pytest.raises(MissingInputError, match="parcellation file is not there"):
        load_timeseries(save(tmp_path / "run.csv", recorded(), NAMES), parcellation=tmp_path / "a.dlabel.nii")


def test_one_frame_is_no_series(tmp_path):
    with pytest.raises(InputError, match=r"(?s)no time series.*found: 1 frame\b"):
        load_timeseries(save(tmp_path / "map.csv", recorded(1), NAMES))


def test_recorded_series_have_the_golden_fc_and_fcd(shared):
    golden = shared / "reference/golden/fc_fcd_schaefer100-7n_sub-100206_run-1"
    series = load_timeseries(shared / "data/schaefer100-7n/sub-100206/task-rest_run-1_timeseries.tsv")
    bold = torch.tensor(series.values)
    np.testing.assert_allclose(functional_connectivity(bold).numpy(), np.loadtxt(golden / "FC.csv", delimiter=","), atol=1e-6)
    cdf = np.loadtxt(golden / "FCD_CDF.csv", delimiter=",")
    np.testing.assert_allclose(fcd_cdf(bold, 83).numpy(), cdf / cdf[-1], atol=1e-4)


@pytest.mark.parametrize(("folder", "n_regions"), [("dk68-ebrains/sub-000", 68), ("aal2-94/sub-101309", 94)])
def test_recorded_series_bring_their_names(shared, folder, n_regions):
    series = load_timeseries(shared / "data" / folder / "task-rest_run-1_timeseries.tsv", tr_s=0.72)
    assert series.values.shape == (1200, n_regions)
    assert len(series.labels) == n_regions
