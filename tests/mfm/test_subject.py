"""A subject's data, in memory and from files."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from mfm import RegionalMaps, Scan, SubjectData, Target, fcd_cdf, functional_connectivity, subject_from_runs
from mfm.errors import ConfigError, InputError, InputNote, MissingInputError
from mfm.io import DataFiles, StageFiles, load_subject, load_timeseries, read_fcd_cdf, read_labels, read_map, read_matrix
from mfm.io.readers.connectomes import transform_connectome

NAMES = ("lh-bankssts", "lh-cuneus", "lh-insula", "rh-bankssts", "rh-cuneus")
SHUFFLED = [3, 0, 4, 2, 1]
TR_S = 3.0
WINDOW = 20
MYELIN = np.array([1.3, 1.1, 1.2, 1.5, 1.4])


def recorded(seed=0, n_frames=100, n_regions=5):
    """A run whose regions have a common part."""
    rng = np.random.default_rng(seed)
    return 100 + rng.normal(size=(n_frames, n_regions)) + rng.normal(size=(n_frames, 1))


def streamline_counts(n_regions=5, seed=0):
    counts = np.random.default_rng(seed).integers(2, 9999, (n_regions, n_regions))
    return (counts + counts.T).astype(float)


def connectome(labels=None, n_regions=5, seed=0):
    return transform_connectome(streamline_counts(n_regions, seed), labels=labels)


def target_of(run, labels=None, window_frames=WINDOW):
    bold = torch.as_tensor(run)
    return Target(functional_connectivity(bold), fcd_cdf(bold, window_frames), labels)


def cumulative_counts(window_frames=WINDOW):
    """FCD of the first run as published code saves it: pairs of windows up to each bin."""
    n_windows = 100 - window_frames + 1
    return np.round(target_of(recorded(0), window_frames=window_frames).fcd_cdf.numpy() * n_windows * (n_windows - 1) / 2)


def assert_same_target(target, expected):
    torch.testing.assert_close(target.fc, expected.fc, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(target.fcd_cdf, expected.fcd_cdf, rtol=0, atol=2e-3)


def scan(n_regions=5, labels=None, **changes):
    fields = {"target": target_of(recorded(n_regions=n_regions), labels), "sc": connectome(n_regions=n_regions)}
    return Scan(**{**fields, "tr_s": TR_S, "n_frames": 100, **changes})


def write(path, values, columns=None, rows=None):
    lines = [
        ["" if rows is None else name, *map(repr, map(float, row))] for name, row in zip(rows or values, values, strict=True)
    ]
    if columns:
        lines.insert(0, ["region", *columns])
    path.write_text("\n".join("\t".join(line if rows else line[1:]) for line in lines) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def files_without_names(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("without-names")
    write(tmp_path / "sc.tsv", streamline_counts())
    for k in range(3):
        write(tmp_path / f"run-{k + 1}.tsv", recorded(k))
        target = target_of(recorded(k))
        write(tmp_path / f"fc-{k + 1}.tsv", target.fc.numpy())
        write(tmp_path / f"cdf-{k + 1}.tsv", target.fcd_cdf.numpy()[:, None])
    write(tmp_path / "myelin.tsv", MYELIN[:, None])
    (tmp_path / "regions.txt").write_text("\n".join(NAMES))
    return tmp_path


@pytest.fixture
def folder(files_without_names, tmp_path):
    """A subject's files without names."""
    return shutil.copytree(files_without_names, tmp_path, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def files_with_names(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("with-names")
    rng = np.random.default_rng(1)

    def in_another_order(name, values, axes):
        order = rng.permutation(5)
        names = [NAMES[k] for k in order]
        for axis in axes:
            values = values.take(order, axis)
        return write(tmp_path / name, values, names if axes[-1] == 1 else ["myelin"], names if axes[0] == 0 else None)

    in_another_order("sc.tsv", streamline_counts(), [0, 1])
    for k in range(3):
        target = target_of(recorded(k))
        in_another_order(f"run-{k + 1}.tsv", recorded(k), [1])
        in_another_order(f"fc-{k + 1}.tsv", target.fc.numpy(), [0, 1])
        write(tmp_path / f"cdf-{k + 1}.tsv", target.fcd_cdf.numpy()[:, None])
    in_another_order("myelin.tsv", MYELIN[:, None], [0])
    (tmp_path / "regions.txt").write_text("\n".join(NAMES))
    return tmp_path


@pytest.fixture
def shuffled(files_with_names, tmp_path):
    """The same subject in files with names, each in another order of the regions."""
    return shutil.copytree(files_with_names, tmp_path, dirs_exist_ok=True)


def series(folder, n_runs=2, **changes):
    runs = [str(folder / f"run-{k + 1}.tsv") for k in range(n_runs)]
    return DataFiles(sc=str(folder / "sc.tsv"), timeseries=runs, **changes)


def stage(folder, k, **changes):
    return StageFiles(fc=str(folder / f"fc-{k}.tsv"), fcd_cdf=str(folder / f"cdf-{k}.tsv"), **changes)


def statistics(folder, n_stages=3, **changes):
    stages = {name: stage(folder, k + 1) for k, name in enumerate(("search", "validation", "test")[:n_stages])}
    return DataFiles(**{"sc": str(folder / "sc.tsv"), **stages, **changes})


def test_a_scan_has_the_connectomes_regions():
    with pytest.raises(
        InputError, match=r"(?s)different numbers of regions.*5, as in the connectome.*found: 4 in FC.*subcortical"
    ):
        scan(target=target_of(recorded(n_regions=4)))


@pytest.mark.parametrize("labels", [NAMES[::-1], (*NAMES[:4], "rh-insula")])
def test_a_scan_has_the_connectomes_order_of_regions(labels):
    with pytest.raises(
        InputError, match=r"(?s)name their regions differently, or in another order.*found: .*fix: reorder"
    ) as error:
        scan(labels=NAMES, sc=connectome(labels))
    assert f"{', '.join(NAMES[:3])}, ... and {', '.join(labels[:3])}, ..." in str(error.value)


@pytest.mark.parametrize(("sc_labels", "labels"), [(None, NAMES), (NAMES, None), (NAMES, NAMES)])
def test_a_scan_may_lack_names(sc_labels, labels):
    assert scan(labels=labels, sc=connectome(sc_labels)).target.labels == labels


@pytest.mark.parametrize(("tr_s", "frames"), [(0.72, 166), (2.2, 54), (3.0, 40)])
def test_a_scan_lasts_two_windows(tr_s, frames):
    assert scan(tr_s=tr_s, n_frames=frames).n_frames == frames
    with pytest.raises(InputError, match=r"(?s)too short.*two windows of 60 s.*TR in other units, or regions x time") as error:
        scan(tr_s=tr_s, n_frames=frames - 1)
    assert f"{frames} frames at TR {tr_s:g} s" in str(error.value)
    assert f"found: {frames - 1} frames" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tr_s": 720}, r"(?s)implausible.*milliseconds.*fix: tr_s = 0\.72"),
        ({"tr_s": 0}, "tr_s must be a positive duration"),
        ({"tr_s": -3.0}, "tr_s must be a positive duration"),
        ({"tr_s": float("nan")}, "tr_s must be a positive duration"),
        ({"tr_s": "3"}, "tr_s must be a positive duration"),
        ({"n_frames": -100}, "n_frames must be a positive whole number"),
        ({"n_frames": 0}, "n_frames must be a positive whole number"),
        ({"n_frames": 100.0}, "n_frames must be a positive whole number"),
    ],
)
def test_the_timing_of_a_scan_is_checked(changes, message):
    with pytest.raises(InputError, match=message):
        scan(**changes)


def test_a_scan_takes_numbers_of_numpy():
    assert scan(tr_s=np.float32(3), n_frames=np.int64(100)).n_frames == 100


def subject(**changes):
    one = scan()
    return SubjectData(**{"subject_id": "000123", **dict.fromkeys(("search", "validation", "test"), one), **changes})


def test_a_subject_is_of_one_parcellation():
    fitting = {"maps": RegionalMaps.none(5), "labels": NAMES}
    assert subject(**fitting).n_regions == 5
    for changes, name, found in (
        ({"validation": scan(n_regions=4)}, "validation connectome", 4),
        ({"test": scan(n_regions=6)}, "test connectome", 6),
        ({"maps": RegionalMaps.none(68)}, "maps", 68),
        ({"labels": NAMES[:3]}, "region names", 3),
    ):
        with pytest.raises(InputError, match=rf"(?s)The {name} have another number of regions.*expected: 5.*found: {found}"):
            subject(**{**fitting, **changes})


@pytest.mark.parametrize("names", [NAMES[::-1], (*NAMES[:4], "rh-insula")])
@pytest.mark.parametrize("which", ["maps", "search FC", "validation FC", "test FC", "validation connectome"])
def test_a_subject_has_one_order_of_regions(names, which):
    def changes(names):
        if which == "maps":
            return {"maps": RegionalMaps([MYELIN], ("myelin",), names)}
        stage, part = which.split()
        return {stage: scan(labels=names) if part == "FC" else scan(sc=connectome(names))}

    fitting = {"maps": RegionalMaps.none(5), "labels": NAMES}
    assert subject(**{**fitting, **changes(NAMES)}).labels == NAMES
    with pytest.raises(
        InputError, match=rf"(?s)The {which} have other regions than the subject, or in another order.*reorder by name"
    ) as error:
        subject(**{**fitting, **changes(names)})
    assert f"expected: {', '.join(NAMES[:3])}, ..." in str(error.value)
    assert f"found: {', '.join(names[:3])}, ..." in str(error.value)


def test_three_runs_are_the_three_stages():
    runs = [recorded(k) for k in range(3)]
    data = subject_from_runs("sub-01", runs, connectome(), TR_S)
    for run, one, statistics_of_run in zip(runs, (data.search, data.validation, data.test), data.runs, strict=True):
        assert_same_target(one.target, target_of(run))
        assert one.target is statistics_of_run
        assert (one.n_frames, one.tr_s) == (100, TR_S)
    assert data.notes == ()
    assert [one.source for one in (data.search, data.validation, data.test)] == ["run 1", "run 2", "run 3"]


def test_further_runs_are_kept_for_the_run_to_run_cost():
    data = subject_from_runs("sub-01", [recorded(k) for k in range(4)], connectome(), TR_S)
    assert len(data.runs) == 4
    assert data.test.target is data.runs[2]
    assert_same_target(data.runs[3], target_of(recorded(3)))


def test_of_two_runs_the_second_validates_and_tests():
    data = subject_from_runs("sub-01", [recorded(0), recorded(1)], connectome(), TR_S)
    assert data.test is data.validation
    assert_same_target(data.search.target, target_of(recorded(0)))
    assert_same_target(data.test.target, target_of(recorded(1)))
    assert len(data.runs) == 2
    assert "Two runs" in data.notes[0]
    assert "not independent" in data.notes[0]


@pytest.mark.parametrize("n_frames", [100, 101])
def test_of_one_run_the_halves_are_used(n_frames):
    run = recorded(n_frames=n_frames)
    data = subject_from_runs("sub-01", [run], connectome(), TR_S)
    assert data.test is data.validation
    assert_same_target(data.search.target, target_of(run[:50]))
    assert_same_target(data.test.target, target_of(run[50:100]))
    assert data.search.n_frames == data.test.n_frames == 50
    assert data.search.source == "run 1, first half"
    assert "One run" in data.notes[0]


def test_runs_may_differ_in_length():
    data = subject_from_runs("sub-01", [recorded(0), recorded(1, n_frames=80)], connectome(), TR_S)
    assert (data.search.n_frames, data.test.n_frames) == (100, 80)


def test_windows_follow_the_tr():
    data = subject_from_runs("sub-01", [recorded(0), recorded(1)], connectome(), 2.2)
    assert_same_target(data.search.target, target_of(recorded(0), window_frames=27))


def test_runs_are_not_changed():
    run = recorded()
    subject_from_runs("sub-01", [run], connectome(), TR_S)
    np.testing.assert_array_equal(run, recorded())
    assert run.flags.writeable


@pytest.mark.parametrize(
    ("sc_labels", "labels", "expected"),
    [(NAMES, None, NAMES), (None, list(NAMES), NAMES), (None, None, tuple(f"region-00{k}" for k in range(1, 6)))],
)
def test_names_of_regions(sc_labels, labels, expected):
    data = subject_from_runs("sub-01", [recorded()], connectome(sc_labels), TR_S, labels=labels)
    assert data.labels == data.search.target.labels == expected


def test_a_subject_without_maps_is_homogeneous():
    data = subject_from_runs("sub-01", [recorded()], connectome(), TR_S)
    assert (data.maps.names, data.maps.n_regions) == ((), 5)
    maps = RegionalMaps([MYELIN], ("myelin",))
    assert subject_from_runs("sub-01", [recorded()], connectome(), TR_S, maps).maps is maps


def test_repr_tells_what_is_fitted():
    data = subject_from_runs("000123", [recorded()], connectome(), TR_S, RegionalMaps([MYELIN], ("myelin",)))
    mean_fc = data.search.target.fc[np.triu_indices(5, 1)].mean()
    lines = repr(data).splitlines()
    assert lines[0] == "SubjectData 000123: 5 regions, maps: myelin"
    assert lines[1] == f"  search: run 1, first half, 50 frames, TR 3 s, mean FC {mean_fc:.3f}"
    assert lines[-1].startswith("  note: One run")
    assert "maps: none" in repr(subject_from_runs("000123", [recorded()], connectome(), TR_S))


@pytest.mark.parametrize("subject_id", [123, np.int64(123), np.str_("123")])
def test_ids_become_text(subject_id):
    data = subject_from_runs(subject_id, [recorded()], connectome(), TR_S)
    assert data.subject_id == "123"
    assert isinstance(data.subject_id, str)


@pytest.mark.parametrize("kind", [torch.tensor, np.ndarray.tolist, lambda run: run.astype(np.float32)])
def test_runs_may_be_of_any_kind(kind):
    data = subject_from_runs("sub-01", [kind(recorded(0)), kind(recorded(1))], connectome(), TR_S)
    torch.testing.assert_close(data.test.target.fc, target_of(recorded(1)).fc, rtol=1e-4, atol=1e-4)


def test_runs_may_be_one_array():
    data = subject_from_runs("sub-01", np.stack([recorded(k) for k in range(3)]), connectome(), TR_S)
    assert_same_target(data.test.target, target_of(recorded(2)))


@pytest.mark.parametrize(
    ("tr_s", "message"),
    [
        (720, r"(?s)milliseconds.*fix: tr_s = 0\.72"),
        (0, "tr_s must be a positive duration"),
        (-3.0, "tr_s must be a positive duration"),
        (None, "tr_s must be a positive duration"),
    ],
)
def test_the_tr_of_runs_is_checked(tr_s, message):
    with pytest.raises(InputError, match=message):
        subject_from_runs("sub-01", [recorded()], connectome(), tr_s)


def test_maps_of_another_order_are_refused():
    maps = RegionalMaps([MYELIN], ("myelin",), NAMES[::-1])
    with pytest.raises(InputError, match="The maps have other regions than the subject, or in another order"):
        subject_from_runs("sub-01", [recorded()], connectome(NAMES), TR_S, maps)


def test_a_subject_needs_a_run():
    with pytest.raises(InputError, match="at least one run"):
        subject_from_runs("sub-01", [], connectome(), TR_S)


@pytest.mark.parametrize(
    ("runs", "which", "found"),
    [
        ([recorded(n_frames=79)], "Run 1, first half", 39),
        ([recorded(), recorded(n_frames=39)], "Run 2", 39),
        ([recorded(), recorded(), recorded(n_frames=5)], "Run 3", 5),
    ],
)
def test_a_run_that_is_too_short_is_named(runs, which, found):
    message = rf"(?s){which} is too short.*two windows of 60 s: 40 frames at TR 3 s.*found: {found} frames.*regions x time"
    with pytest.raises(InputError, match=message):
        subject_from_runs("sub-01", runs, connectome(), TR_S)


def test_names_that_contradict_the_connectome_are_refused():
    with pytest.raises(InputError, match="name their regions differently, or in another order"):
        subject_from_runs("sub-01", [recorded()], connectome(NAMES), TR_S, labels=NAMES[::-1])


@pytest.mark.parametrize("run", [recorded(n_regions=6), recorded().T, recorded()[:, 0], recorded()[None], 3.0])
def test_runs_of_other_regions_are_refused(run):
    message = r"(?s)Run 2 does not have the connectome's regions.*expected: frames x 5 regions.*regions x time instead"
    with pytest.raises(InputError, match=message) as error:
        subject_from_runs("sub-01", [recorded(), run], connectome(), TR_S)
    assert f"found: shape {np.shape(run)}\n" in str(error.value)


@pytest.mark.parametrize(("labels", "found"), [(NAMES, "lh-cuneus, rh-bankssts"), (None, "region-002, region-004")])
@pytest.mark.parametrize(
    ("problem", "value"), [("not finite", np.nan), ("not finite", -np.inf), ("constant", 0), ("constant", 7.5)]
)
def test_regions_of_runs_without_data_are_named(labels, found, problem, value):
    run = recorded(1)
    run[:, [1, 3]] = value
    with pytest.raises(
        InputError, match=rf"(?s)Regions of run 2 are {problem}.*found: 2 of 5: {found}\n.*low coverage.*fix: remove them"
    ):
        subject_from_runs("sub-01", [recorded(0), run], connectome(), TR_S, labels=labels)


def test_one_missing_frame_is_enough():
    run = recorded()
    run[17, 2] = np.nan
    with pytest.raises(InputError, match=r"(?s)Regions of run 1, first half are not finite.*found: 1 of 5: lh-insula\n"):
        subject_from_runs("sub-01", [run], connectome(NAMES), TR_S)


@pytest.mark.parametrize("n_runs", [1, 2, 3])
def test_time_series_from_files(folder, n_runs):
    data = load_subject(series(folder, n_runs, subject="000123"), TR_S)
    expected = subject_from_runs("000123", [recorded(k) for k in range(n_runs)], connectome(), TR_S)
    short = ["Search data of 150 s, shorter than 5 minutes: the FCD of so few windows says little."] if n_runs == 1 else []
    assert data.notes == (*expected.notes, "No input names its regions: all are taken to be in one order.", *short)
    assert repr(replace(data, sources=(), notes=expected.notes)) == repr(expected)
    for name in ("search", "validation", "test"):
        assert_same_target(getattr(data, name).target, getattr(expected, name).target)
    np.testing.assert_array_equal(data.search.sc.weights, connectome().weights)


def test_statistics_from_files(folder):
    data = load_subject(statistics(folder), TR_S, n_frames=100)
    for k, one in enumerate((data.search, data.validation, data.test)):
        assert_same_target(one.target, target_of(recorded(k)))
        assert one.sc is data.search.sc
        assert one.source.endswith(f"fc-{k + 1}.tsv")
        assert (one.tr_s, one.n_frames) == (TR_S, 100)
    assert data.labels == tuple(f"region-00{k}" for k in range(1, 6))
    assert (data.runs, data.notes) == ((), ("No input names its regions: all are taken to be in one order.",))


@pytest.mark.parametrize(
    ("n_stages", "notes"),
    [
        (2, ["No test data: the validation data serve for it, so that the test is not independent."]),
        (1, ["No validation data: the search data serve for it", "No test data: the validation data serve for it"]),
    ],
)
def test_a_stage_without_files_takes_those_of_the_stage_before(folder, n_stages, notes):
    data = load_subject(statistics(folder, n_stages), TR_S, n_frames=100)
    assert data.test is data.validation
    assert (data.validation is data.search) == (n_stages == 1)
    assert all(found.startswith(note) for found, note in zip(data.notes, [*notes, "No input names"], strict=True))


def test_a_stage_may_have_a_connectome_of_its_own(folder):
    own = write(folder / "sc-validation.tsv", streamline_counts(seed=1))
    data = load_subject(statistics(folder, validation=stage(folder, 2, sc=own)), TR_S, n_frames=100)
    np.testing.assert_array_equal(data.validation.sc.weights, connectome(seed=1).weights)
    assert data.test.sc is data.search.sc


def test_transform_and_scale_are_those_asked_for(folder):
    data = load_subject(series(folder, sc_transform="log1p", sc_scale_max=0.1), TR_S)
    np.testing.assert_array_equal(data.search.sc.weights, transform_connectome(streamline_counts(), "log1p", 0.1).weights)


def test_regions_by_frames(folder):
    for k in range(2):
        write(folder / f"run-{k + 1}.tsv", recorded(k).T)
    data = load_subject(series(folder, orientation="regions_by_frames"), TR_S)
    assert_same_target(data.test.target, target_of(recorded(1)))
    with pytest.raises(InputError, match=r"fix: `orientation=\"regions_by_frames\"`"):
        load_subject(series(folder, orientation="frames_by_regions"), TR_S)
    with pytest.warns(InputNote, match=r"run-[12]\.tsv was read as regions x frames, because it has 5 rows"):
        told = load_subject(series(folder), TR_S)
    assert_same_target(told.test.target, data.test.target)
    assert len([note for note in told.notes if "regions x frames" in note]) == 2


@pytest.mark.parametrize("frames_are_named", [True, False])
def test_named_regions_by_frames(folder, frames_are_named):
    columns = [f"frame-{k}" for k in range(100)] if frames_are_named else None
    for k in range(2):
        write(folder / f"run-{k + 1}.tsv", recorded(k).T, columns, NAMES)
    assert load_subject(series(folder, orientation="regions_by_frames"), TR_S).labels == NAMES
    with pytest.raises(InputError, match=r"(?s)run-1\.tsv do not have.*fix: `orientation=\"regions_by_frames\"`"):
        load_subject(series(folder, orientation="frames_by_regions"), TR_S)
    if frames_are_named:
        with pytest.warns(InputNote, match="was read as regions x frames"):
            data = load_subject(series(folder), TR_S)
    else:
        data = load_subject(series(folder), TR_S)  # names of rows alone are those of regions
    assert data.labels == NAMES
    assert_same_target(data.test.target, target_of(recorded(1)))


def maps_of(folder):
    return {"myelin": str(folder / "myelin.tsv")}


@pytest.mark.parametrize("files", [series, statistics])
def test_labels_name_the_regions_of_files_without_names(folder, files):
    data = load_subject(files(folder, maps=maps_of(folder)), TR_S, 100, labels=folder / "regions.txt")
    assert data.labels == data.maps.labels == data.search.sc.labels == data.test.target.labels == NAMES
    np.testing.assert_array_equal(data.maps.values, [MYELIN])


@pytest.mark.parametrize("files", [series, statistics])
def test_everything_with_names_is_joined_by_name(shuffled, files):
    data = load_subject(files(shuffled, 3, maps=maps_of(shuffled)), TR_S, 100, labels=shuffled / "regions.txt")
    assert data.labels == data.maps.labels == NAMES
    np.testing.assert_array_equal(data.maps.values, [MYELIN])
    for k, one in enumerate((data.search, data.validation, data.test)):
        assert one.sc.labels == one.target.labels == NAMES
        np.testing.assert_allclose(one.sc.weights, connectome().weights, rtol=1e-12)
        assert_same_target(one.target, target_of(recorded(k)))


@pytest.mark.parametrize("files", [series, statistics])
def test_the_connectomes_order_holds_where_none_is_given(shuffled, files):
    data = load_subject(files(shuffled, 3, maps=maps_of(shuffled)), TR_S, 100)
    order = [NAMES.index(name) for name in data.search.sc.labels]
    assert order != list(range(5))
    assert data.labels == data.maps.labels == data.search.sc.labels == data.test.target.labels
    np.testing.assert_array_equal(data.maps.values, [MYELIN[order]])
    np.testing.assert_allclose(data.search.sc.weights, connectome().weights[np.ix_(order, order)], rtol=1e-12)
    assert_same_target(data.test.target, target_of(recorded(2)[:, order]))


def test_a_stages_connectome_is_joined_by_name(shuffled):
    names = [NAMES[k] for k in SHUFFLED]
    own = write(shuffled / "own.tsv", streamline_counts(seed=1)[np.ix_(SHUFFLED, SHUFFLED)], names, names)
    data = load_subject(statistics(shuffled, test=stage(shuffled, 3, sc=own)), TR_S, 100, labels=shuffled / "regions.txt")
    np.testing.assert_allclose(data.test.sc.weights, connectome(seed=1).weights, rtol=1e-12)
    assert data.test.sc.labels == NAMES


def test_names_in_the_time_series_name_the_regions(folder):
    for k, order in enumerate((range(5), SHUFFLED)):
        lines = "\n".join("\t".join(map(repr, map(float, row))) for row in recorded(k)[:, list(order)])
        (folder / f"run-{k + 1}.tsv").write_text("\t".join(NAMES[i] for i in order) + "\n" + lines)
    data = load_subject(series(folder), TR_S)
    assert data.labels == NAMES
    assert_same_target(data.search.target, target_of(recorded(0)))
    assert_same_target(data.test.target, target_of(recorded(1)))


def named(folder, name, values, axes, order=SHUFFLED):
    """Write a file again, with names and in another order."""
    names = [NAMES[k] for k in order]
    for axis in axes:
        values = values.take(order, axis)
    return write(folder / name, values, names if 1 in axes else ["myelin"], names if 0 in axes else None)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_names_in_an_fc_name_the_regions(folder, position):
    for k in range(position, 3):
        named(folder, f"fc-{k + 1}.tsv", target_of(recorded(k)).fc.numpy(), [0, 1], np.roll(SHUFFLED, k - position))
    data = load_subject(statistics(folder, maps=maps_of(folder)), TR_S, 100)
    assert data.labels == data.maps.labels == data.search.sc.labels == tuple(NAMES[k] for k in SHUFFLED)
    np.testing.assert_array_equal(data.search.sc.weights, connectome().weights)
    np.testing.assert_array_equal(data.maps.values, [MYELIN])
    for k, one in enumerate((data.search, data.validation, data.test)):
        run = recorded(k)[:, SHUFFLED] if k >= position else recorded(k)
        assert one.target.labels == data.labels
        assert_same_target(one.target, target_of(run))


@pytest.mark.parametrize("files", [series, statistics])
@pytest.mark.parametrize("axis", [0, 1])
def test_names_in_a_map_name_the_regions(folder, files, axis):
    named(folder, "myelin.tsv", MYELIN[:, None] if axis == 0 else MYELIN[None], [axis])
    data = load_subject(files(folder, maps=maps_of(folder)), TR_S, 100)
    assert data.labels == data.maps.labels == data.search.sc.labels == tuple(NAMES[k] for k in SHUFFLED)
    np.testing.assert_array_equal(data.maps.values, [MYELIN[SHUFFLED]])
    np.testing.assert_array_equal(data.search.sc.weights, connectome().weights)


def test_maps_are_joined_by_name_to_the_time_series(folder):
    named(folder, "run-2.tsv", recorded(1), [1])
    named(folder, "myelin.tsv", MYELIN[:, None], [0], range(5))
    data = load_subject(series(folder, maps=maps_of(folder)), TR_S)
    assert data.labels == tuple(NAMES[k] for k in SHUFFLED)
    np.testing.assert_array_equal(data.maps.values, [MYELIN[SHUFFLED]])
    assert_same_target(data.search.target, target_of(recorded(0)))
    assert_same_target(data.test.target, target_of(recorded(1)[:, SHUFFLED]))


def test_maps_are_joined_by_name_to_each_other(folder):
    named(folder, "myelin.tsv", MYELIN[:, None], [0], range(5))
    maps = {**maps_of(folder), "gradient": named(folder, "gradient.tsv", -MYELIN[:, None], [0])}
    data = load_subject(series(folder, maps=maps), TR_S)
    assert data.labels == NAMES
    np.testing.assert_array_equal(data.maps.values, [MYELIN, -MYELIN])


@pytest.mark.parametrize("kind", ["time series", "FC", "map"])
def test_everything_is_joined_by_name_to_the_connectome(folder, kind):
    named(folder, "sc.tsv", streamline_counts(), [0, 1], range(5))
    if kind == "time series":
        named(folder, "run-1.tsv", recorded(0), [1])
    elif kind == "FC":
        named(folder, "fc-1.tsv", target_of(recorded(0)).fc.numpy(), [0, 1])
    else:
        named(folder, "myelin.tsv", MYELIN[:, None], [0])
    files = statistics if kind == "FC" else series
    data = load_subject(files(folder, maps=maps_of(folder)), TR_S, 100)
    assert data.labels == data.maps.labels == data.search.target.labels == NAMES
    np.testing.assert_array_equal(data.maps.values, [MYELIN])
    assert_same_target(data.search.target, target_of(recorded(0)))


@pytest.mark.parametrize("name", ["sc.tsv", "run-2.tsv", "fc-2.tsv", "myelin.tsv"])
def test_other_regions_are_refused_by_name(shuffled, name):
    path = shuffled / name
    path.write_text(path.read_text().replace("rh-cuneus", "rh-lingual"))
    files = statistics if name.startswith("fc") else series
    with pytest.raises(InputError, match=r"(?s)not those of the other inputs.*missing: rh-cuneus") as error:
        load_subject(files(shuffled, maps=maps_of(shuffled)), TR_S, 100, labels=shuffled / "regions.txt")
    assert name in str(error.value) or "validation FC" in str(error.value)


def test_sources_are_listed_with_their_digests(folder):
    files = statistics(folder, 2, maps=maps_of(folder))
    sources = load_subject(files, TR_S, 100, labels=folder / "regions.txt").sources
    assert [source.role for source in sources] == [
        *("sc", "map myelin", "labels", "search fc", "search fcd_cdf", "validation fc", "validation fcd_cdf")
    ]
    for source in sources:
        with open(source.path, "rb") as handle:
            assert source.sha256 == hashlib.sha256(handle.read()).hexdigest()
    assert [source.role for source in load_subject(series(folder), TR_S).sources] == ["sc", "timeseries", "timeseries"]


def test_cumulative_counts_are_accepted_with_a_note(folder):
    write(folder / "cdf-1.tsv", cumulative_counts()[:, None])
    with pytest.warns(InputNote, match="cumulative counts"):
        data = load_subject(statistics(folder), TR_S, 100)
    torch.testing.assert_close(data.search.target.fcd_cdf, target_of(recorded(0)).fcd_cdf, rtol=0, atol=2e-3)


def test_counts_over_windows_of_another_length_are_refused(folder):
    write(folder / "cdf-1.tsv", cumulative_counts(window_frames=28)[:, None])
    message = (
        r"(?s)cdf-1\.tsv was counted over another number of sliding windows.*expected: 81 windows of 60 s, and so 3240 pairs"
        r".*found: 2628 pairs, those of 73 windows.*fix: compute the FCD again with windows of 60 s"
    )
    with pytest.raises(InputError, match=message):
        load_subject(statistics(folder), TR_S, 100)


@pytest.mark.parametrize("n_stages", [1, 3])
def test_notes_of_reading_are_kept(folder, n_stages):
    counts = streamline_counts()
    counts[0, 1] = counts[1, 0] = 1
    write(folder / "sc.tsv", counts)
    write(folder / "cdf-1.tsv", cumulative_counts()[:, None])
    with pytest.warns(InputNote) as caught:
        data = load_subject(statistics(folder, n_stages), TR_S, 100)
    assert [note.filename for note in caught] == [__file__] * 2
    assert data.notes[-2:] == tuple(str(note.message) for note in caught)
    assert "sc.tsv: 2 entries of 1 vanish" in data.notes[-2]
    assert "cdf-1.tsv holds cumulative counts (last value 3240)" in data.notes[-1]
    assert [note.split(":")[0] for note in data.notes[:-2]] == [
        *["No validation data", "No test data"][: 3 - n_stages],
        "No input names its regions",
    ]
    assert "  note: " + data.notes[-1] in repr(data)


def test_notes_of_time_series_are_kept(folder):
    counts = streamline_counts()
    counts[0, 1] = counts[1, 0] = 1
    write(folder / "sc.tsv", counts)
    with pytest.warns(InputNote, match="2 entries of 1 vanish"):
        data = load_subject(series(folder), TR_S)
    assert [note.split(":")[0] for note in data.notes[:2]] == ["Two runs", "No input names its regions"]
    assert len(data.notes) == 3
    assert data.search.sc.weights[0, 1] == 0


def test_a_connectome_is_required(folder):
    with pytest.raises(ConfigError, match=r"(?s)No structural connectome was given.*fix: `sc=\"PATH\"`"):
        load_subject(replace(series(folder), sc=None), TR_S)


def test_time_series_or_statistics_are_required(folder):
    both = replace(statistics(folder), timeseries=series(folder).timeseries)
    some = replace(series(folder), test=stage(folder, 3))
    for files, found in (
        (both, "time series and search, validation, test files"),
        (some, "time series and test files"),
        (DataFiles(sc=str(folder / "sc.tsv")), "neither"),
    ):
        with pytest.raises(
            ConfigError, match=rf"(?s)either time series or FC.*found: {found}.*fix: `timeseries=\[\"RUN1\",\"RUN2\"\]` or"
        ):
            load_subject(files, TR_S, 100)


def test_statistics_need_the_number_of_frames(folder):
    with pytest.raises(ConfigError, match=r"(?s)do not tell how long the scan was.*fix: `n_frames=1200`"):
        load_subject(statistics(folder), TR_S)


@pytest.mark.parametrize("name", ["search", "validation", "test"])
@pytest.mark.parametrize("given", [("fc",), ("fcd_cdf",), ("sc",), ("fc", "sc"), ("fcd_cdf", "sc")])
def test_fc_needs_an_fcd(folder, name, given):
    whole = {"fc": "fc-1.tsv", "fcd_cdf": "cdf-1.tsv", "sc": "sc.tsv"}
    files = statistics(folder, **{name: StageFiles(**{kind: str(folder / whole[kind]) for kind in given})})
    with pytest.raises(
        ConfigError, match=rf"(?s)The {name} data need both FC and FCD.*`{name}=StageFiles\(fc=\"FILE\", fcd_cdf=\"FILE\"\)`"
    ):
        load_subject(files, TR_S, 100)


@pytest.mark.parametrize("names", [["validation"], ["test"], ["validation", "test"]])
def test_there_must_be_data_to_search_on(folder, names):
    files = DataFiles(sc=str(folder / "sc.tsv"), **{name: stage(folder, 2) for name in names})
    with pytest.raises(
        ConfigError, match=r"(?s)There are no data to search on.*`search=StageFiles\(fc=\"FILE\", fcd_cdf=\"FILE\"\)`"
    ):
        load_subject(files, TR_S, 100)


@pytest.mark.parametrize(
    ("tr_s", "n_frames", "message"),
    [
        (720, 100, r"(?s)milliseconds.*fix: tr_s = 0\.72"),
        (-3.0, 100, "tr_s must be a positive duration"),
        (0, 100, "tr_s must be a positive duration"),
        (TR_S, 0, "n_frames must be a positive whole number"),
        (TR_S, -100, "n_frames must be a positive whole number"),
        (TR_S, 100.0, "n_frames must be a positive whole number"),
    ],
)
@pytest.mark.parametrize("files", [series, statistics])
def test_timing_is_checked_before_reading(tmp_path, files, tr_s, n_frames, message):
    with pytest.raises(InputError, match=message) as error:
        load_subject(files(tmp_path), tr_s, n_frames)
    assert not isinstance(error.value, MissingInputError)


@pytest.mark.parametrize("files", [series, statistics])
def test_the_tr_has_no_default(folder, files):
    with pytest.raises(ConfigError, match=r"(?s)repetition time was not given.*a wrong TR is a wrong fit.*tr_s=0\.72"):
        load_subject(files(folder), None, 100)


def test_another_length_of_a_run_is_refused(folder):
    assert load_subject(series(folder), TR_S, n_frames=100).search.n_frames == 100
    with pytest.raises(InputError, match=r"(?s)run-1\.tsv have another length.*1200 frames \(`n_frames`\).*found: 100 frames"):
        load_subject(series(folder), TR_S, n_frames=1200)


@pytest.mark.parametrize(
    ("files", "missing", "role"),
    [
        (series, "sc.tsv", "connectome"),
        (series, "run-2.tsv", "time series"),
        (series, "myelin.tsv", "map"),
        (series, "regions.txt", "region names"),
        (statistics, "fc-2.tsv", "validation FC"),
        (statistics, "cdf-3.tsv", "test fcd_cdf"),
    ],
)
def test_a_missing_file_is_told(folder, files, missing, role):
    (folder / missing).unlink()
    with pytest.raises(MissingInputError, match=rf"(?s){role} file is not there: .*{missing}"):
        load_subject(files(folder, maps=maps_of(folder)), TR_S, 100, labels=folder / "regions.txt")


def test_labels_of_another_parcellation_are_refused(folder):
    (folder / "regions.txt").write_text("\n".join(NAMES[:3]))
    with pytest.raises(InputError, match=r"(?s)another number of regions than are named.*expected: 3 rows.*found: 5"):
        load_subject(series(folder), TR_S, labels=folder / "regions.txt")


def test_fc_of_another_parcellation_is_refused(folder):
    write(folder / "fc-1.tsv", target_of(recorded(n_regions=4)).fc.numpy())
    with pytest.raises(InputError, match=r"(?s)search FC .*another number of regions.*expected: 5\n.*found: 4\n"):
        load_subject(statistics(folder), TR_S, 100, labels=folder / "regions.txt")


@pytest.mark.parametrize(
    ("files", "name", "axes", "message"),
    [
        (series, "run-1.tsv", [1], r"(?s)run-1\.tsv do not have .*expected: frames x 5 regions.*found: 100 frames x 4"),
        (statistics, "fc-1.tsv", [0, 1], r"(?s)search FC .*another number of regions.*expected: 5\n.*found: 4\n"),
        (series, "myelin.tsv", [0], r"(?s)map .*myelin\.tsv has another number.*expected: 5\n.*found: 4"),
    ],
)
def test_named_files_of_another_parcellation_are_refused(folder, files, name, axes, message):
    values = {"run": recorded(), "fc-": target_of(recorded()).fc.numpy(), "mye": MYELIN[:, None]}[name[:3]]
    named(folder, name, values, axes, SHUFFLED[:4])
    with pytest.raises(InputError, match=message):
        load_subject(files(folder, maps=maps_of(folder)), TR_S, 100)


def test_the_published_group(shared):
    data = shared / "data/dk68"
    files = DataFiles(
        subject="group",
        sc=str(data / "group-train/SC.csv"),
        sc_transform="log1p",
        search=StageFiles(str(data / "group-train/FC.csv"), str(data / "group-train/FCD_CDF.csv")),
        validation=StageFiles(
            str(data / "group-validation/FC.csv"),
            str(data / "group-validation/FCD_CDF.csv"),
            str(data / "group-validation/SC.csv"),
        ),
        maps={"myelin": str(data / "myelin.csv"), "gradient": str(data / "rsfc_gradient.csv")},
    )
    group = load_subject(files, 0.72, 1200, labels=data / "regions.txt")
    assert (group.n_regions, group.labels, group.maps.names) == (68, read_labels(data / "regions.txt"), ("myelin", "gradient"))
    np.testing.assert_array_equal(group.search.target.fc.numpy(), read_matrix(data / "group-train/FC.csv")[0])
    np.testing.assert_array_equal(group.test.target.fcd_cdf.numpy(), read_fcd_cdf(data / "group-validation/FCD_CDF.csv"))
    np.testing.assert_array_equal(group.maps.values[0], read_map(data / "myelin.csv", 68))
    assert group.search.sc.weights.max() == pytest.approx(0.02)
    assert not np.array_equal(group.search.sc.weights, group.validation.sc.weights)
    assert [note[:20] for note in group.notes] == ["No test data: the va", "Without region names"]


def test_a_recorded_subject_of_one_run(shared):
    folder, dk68 = shared / "data/dk68-ebrains/sub-000", shared / "data/dk68"
    run = folder / "task-rest_run-1_timeseries.tsv"
    files = DataFiles("sub-000", str(folder / "SC.csv"), timeseries=[str(run)], maps={"myelin": str(dk68 / "myelin.csv")})
    with pytest.warns(InputNote, match=r"SC\.csv: \d+ entries of 1 vanish"):
        data = load_subject(files, 0.72, labels=dk68 / "regions.txt")
    assert (data.n_regions, data.search.n_frames, data.test.n_frames, len(data.runs)) == (68, 600, 600, 0)
    values = load_timeseries(run).values
    np.testing.assert_allclose(data.test.target.fc.numpy(), np.corrcoef(values[600:].T), atol=1e-9)
    pairs = np.triu_indices(68, 1)
    halves = [one.target.fc.numpy()[pairs] for one in (data.search, data.test)]
    assert 0.85 < np.corrcoef(halves)[0, 1] < 0.96


def test_a_recorded_subject_of_two_runs(shared, tmp_path):
    folder = shared / "data/schaefer100-7n/sub-100206"
    paths = []
    for k in (1, 2):
        lines = (folder / f"task-rest_run-{k}_timeseries.tsv").read_text().splitlines()
        paths.append(str(tmp_path / f"run-{k}.tsv"))
        (tmp_path / f"run-{k}.tsv").write_text("\n".join(lines[:171]))
    data = load_subject(DataFiles("100206", str(folder / "SC.csv"), "log1p", timeseries=paths), 0.72, n_frames=170)
    assert (data.subject_id, data.n_regions, data.labels[99]) == ("100206", 100, "schaefer100-7n-099")
    assert data.test is data.validation
    assert data.search.target.labels == data.labels
    np.testing.assert_allclose(data.test.target.fc.numpy(), np.corrcoef(load_timeseries(paths[1]).values.T), atol=1e-9)


def test_orders_of_networks_are_not_mixed(shared):
    folder = shared / "data/schaefer100-7n/sub-100206"
    files = DataFiles("100206", str(folder / "SC.csv"), timeseries=[str(folder / "task-rest_run-1_timeseries.tsv")])
    with pytest.raises(
        InputError, match=r"(?s)not those of the other inputs.*17Networks_LH.*found: 100 names schaefer100-7n-000"
    ):
        load_subject(files, 0.72, labels=shared / "data/schaefer100-17n/regions.txt")


def test_an_fc_in_another_order_than_the_connectome_is_told(tmp_path):
    rng = np.random.default_rng(3)
    weights = np.exp(3 + rng.normal(size=(40, 40)))
    weights += weights.T
    np.savetxt(tmp_path / "sc.csv", weights * (1 - np.eye(40)), delimiter=",")
    bold = np.linalg.solve(np.eye(40) - weights / weights.sum(1).max() / 1.05, rng.normal(size=(40, 900))).T
    shuffled = rng.permutation(40)
    for name, order in (("right", np.arange(40)), ("wrong", shuffled)):
        np.save(tmp_path / f"{name}.npy", bold[:, order])
    right, wrong = (
        load_subject(DataFiles(name, str(tmp_path / "sc.csv"), timeseries=[str(tmp_path / f"{name}.npy")]), 0.72)
        for name in ("right", "wrong")
    )
    assert not [note for note in right.notes if "hardly" in note]
    message = r"FC hardly follows the connectome.*one order\?.*`sc_file=MatrixOptions\(labels=\"FILE\"\)`, `labels=\"FILE\"`"
    assert [note for note in wrong.notes if re.search(message, note)]


@pytest.mark.parametrize("connectome_of", ["schaefer100-7n/sub-100206", "schaefer100-17n/group-train"])
def test_a_connectome_in_the_order_of_other_networks_is_told(shared, connectome_of):
    run = shared / "data/schaefer100-7n/sub-100206/task-rest_run-1_timeseries.tsv"
    files = DataFiles("100206", str(shared / "data" / connectome_of / "SC.csv"), sc_transform="log1p", timeseries=[str(run)])
    told = any("hardly follows" in note for note in load_subject(files, 0.72).notes)
    assert told == ("17n" in connectome_of)


def test_a_region_constant_in_one_half_is_named():
    run = recorded()
    run[len(run) // 2 :, 1] = 3.0
    with pytest.raises(InputError, match=r"(?s)run 1, second half are constant.*1 of 5"):
        subject_from_runs("sub-01", [run], connectome(NAMES), TR_S)
