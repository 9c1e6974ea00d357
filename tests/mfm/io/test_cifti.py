"""CIFTI: grayordinates matched by structure and vertex, whatever rows they stand in."""

from __future__ import annotations

import warnings

import nibabel as nib
import numpy as np
import pytest
from cifti_files import (
    AFFINE,
    GRID,
    LEFT,
    RIGHT,
    VERTICES,
    all_vertices,
    grayordinates,
    surface,
    write,
    write_dlabel,
    write_dtseries,
    write_ptseries,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, LabelAxis, ScalarAxis, SeriesAxis

from mfm.errors import ConfigError, InputError, InputNote, MissingInputError
from mfm.io import cifti_space, load_timeseries, write_scalars
from mfm.io.formats.parcellation import read_parcellation

N = 5
NAMES = ("L_a", "L_b", "L_c", "R_d", "R_e")
RNG = np.random.default_rng(0)


def keys_of(axis=None, seed=0):
    """Left vertices in regions 1 to 3, right ones in 4 and 5, some in none."""
    axis = axis or all_vertices()
    rng = np.random.default_rng(seed)
    return np.where(axis.name == LEFT, rng.integers(0, 4, len(axis)), rng.choice([0, 4, 5], len(axis)))


def vertex_loop(values, axis, keys, label_axis):
    """The definition, one grayordinate after the other."""
    key_at = {}
    for name, vertex, key in zip(label_axis.name, label_axis.vertex, keys, strict=True):
        key_at[name, vertex] = key
    members = [[] for _ in range(N)]
    for row, (name, vertex) in enumerate(zip(axis.name, axis.vertex, strict=True)):
        key = int(key_at.get((name, vertex), 0)) if vertex >= 0 else 0
        if key:
            members[key - 1].append(row)
    return np.stack([values[:, rows].astype(np.float64).mean(axis=1) for rows in members], axis=1)


@pytest.fixture(scope="module")
def hcp(tmp_path_factory):
    """A series of HCP's 91 282 grayordinates, its values, and a parcellation of all 64 984 vertices."""
    folder = tmp_path_factory.mktemp("hcp")
    values = np.random.default_rng(1).normal(1e4, 100, (6, 91282)).astype(np.float32)
    assert len(grayordinates()) == 91282
    series = write_dtseries(folder / "rfMRI_REST1_LR_Atlas_MSMAll_hp2000_clean.dtseries.nii", values)
    return series, values, write_dlabel(folder / "atlas.32k_fs_LR.dlabel.nii", keys_of(), NAMES)


def test_hcp_series_are_averaged_as_a_vertex_loop_would(hcp):
    series, values, dlabel = hcp
    read = load_timeseries(series, parcellation=dlabel)
    expected = vertex_loop(values, grayordinates(), keys_of(), all_vertices())
    np.testing.assert_allclose(read.values, expected, rtol=1e-12)
    assert (read.labels, read.tr_s, read.n_frames, read.run_frames) == (NAMES, 0.72, 6, (6,))
    assert [(source.role, source.path) for source in read.sources] == [
        ("timeseries", series.as_posix()),
        ("parcellation", dlabel.as_posix()),
    ]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A series of 350 vertices, its values, and their parcellation."""
    folder = tmp_path_factory.mktemp("small")
    axis = small_axis(np.arange(0, 400, 2), np.arange(150))
    values = np.random.default_rng(2).normal(size=(6, 350)).astype(np.float32)
    series = write_dtseries(folder / "a.dtseries.nii", values, axis)
    return series, values, write_dlabel(folder / "a.dlabel.nii", keys_of(axis), NAMES, axis)


def test_a_parcellation_of_more_vertices_is_the_same(small, tmp_path):
    axis = small_axis(np.arange(400)[::-1], np.arange(200))
    own = small_axis(np.arange(0, 400, 2), np.arange(150))
    key_at = dict(zip(zip(own.name, own.vertex, strict=True), keys_of(own), strict=True))
    keys = [key_at.get(place, 0) for place in zip(axis.name, axis.vertex, strict=True)]
    more = write_dlabel(tmp_path / "more.dlabel.nii", keys, NAMES, axis)
    np.testing.assert_array_equal(
        load_timeseries(small[0], parcellation=more).values, load_timeseries(small[0], parcellation=small[2]).values
    )


def small_axis(left, right):
    return surface(LEFT, left) + surface(RIGHT, right)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), reverse=st.booleans(), n_frames=st.integers(2, 5))
def test_the_order_of_rows_does_not_matter(tmp_path_factory, seed, reverse, n_frames):
    folder = tmp_path_factory.mktemp("rows")
    rng = np.random.default_rng(seed)
    axis = small_axis(rng.choice(VERTICES, 200, replace=False), rng.choice(VERTICES, 150, replace=False))
    values = rng.normal(size=(n_frames, 350))
    keys = keys_of(axis, seed)
    dlabel = write_dlabel(folder / "a.dlabel.nii", keys, NAMES, axis)
    expected = vertex_loop(values, axis, keys, axis)
    # Vertices in another order within their structure, structures the other way round.
    rows = np.concatenate([rng.permutation(200), 200 + rng.permutation(150)])
    parts = (rows[200:], rows[:200]) if reverse else (rows[:200], rows[200:])
    shuffled = axis[parts[0]] + axis[parts[1]]
    series = write_dtseries(folder / "b.dtseries.nii", values[:, np.concatenate(parts)], shuffled)
    np.testing.assert_allclose(load_timeseries(series, parcellation=dlabel).values, expected, rtol=1e-9, atol=1e-12)


def test_voxels_are_matched_by_their_place(tmp_path):
    voxels = np.array([[10, 20, 30], [11, 20, 30], [40, 41, 42], [50, 3, 4]])

    def axis(order, affine=AFFINE):
        return BrainModelAxis("CIFTI_STRUCTURE_THALAMUS_LEFT", voxel=voxels[order], affine=affine, volume_shape=GRID)

    values = RNG.normal(size=(4, 4))
    dlabel = write_dlabel(tmp_path / "t.dlabel.nii", [1, 1, 2, 0], ("th-1", "th-2"), axis([0, 1, 2, 3]))
    series = write_dtseries(tmp_path / "t.dtseries.nii", values[:, [3, 2, 0, 1]], axis([3, 2, 0, 1]))
    np.testing.assert_allclose(
        load_timeseries(series, parcellation=dlabel).values, np.stack([values[:, :2].mean(1), values[:, 2]], 1)
    )
    shifted = AFFINE.copy()
    shifted[0, 3] = 92
    other = write_dtseries(tmp_path / "shifted.dtseries.nii", values, axis([0, 1, 2, 3], shifted))
    with pytest.raises(InputError, match=r"(?s)in different spaces.*THALAMUS_LEFT: voxel grid"):
        load_timeseries(other, parcellation=dlabel)


def test_whole_numbers_do_not_overflow(tmp_path):
    axis = surface(LEFT, np.arange(3000))
    values = np.full((3, 3000), 32000, np.int16)
    values[1] -= 5
    path = tmp_path / "a.dtseries.nii"
    image = Cifti2Image(values, (SeriesAxis(0, 0.72, 3), axis))
    image.nifti_header.set_data_dtype(np.int16)
    image.to_filename(path)
    dlabel = write_dlabel(tmp_path / "a.dlabel.nii", np.ones(3000), ("L_a",), axis)
    assert load_timeseries(path, parcellation=dlabel).values.ravel().tolist() == [32000, 31995, 32000]


def test_vertices_without_data_are_left_out_and_few_are_told(tmp_path):
    axis = surface(LEFT, np.arange(30))
    values = RNG.normal(size=(5, 30))
    keys = np.repeat([1, 2, 3], 10)
    dlabel = write_dlabel(tmp_path / "a.dlabel.nii", keys, ("L_a", "L_b", "L_c"), axis)
    values[:, 0], values[2, 1] = 0.0, np.nan  # two of ten in L_a: kept without a word
    values[:, 10:14] = 7.0  # four of ten in L_b: told
    values[:, 20:26] = np.nan  # six of ten in L_c: no region any more
    series = write_dtseries(tmp_path / "a.dtseries.nii", values, axis)
    with pytest.warns(InputNote, match=r"covers few grayordinates of L_b 60%, L_c 40%; below 50% a region has no data"):
        read = load_timeseries(series, parcellation=dlabel, allow_missing_regions=True)
    np.testing.assert_allclose(read.values[:, 0], values[:, 2:10].mean(1))
    np.testing.assert_allclose(read.values[:, 1], values[:, 14:20].mean(1))
    assert np.isnan(read.values[:, 2]).all()
    assert "few grayordinates" in read.notes[0]
    with (
        pytest.warns(InputNote, match="few grayordinates"),
        pytest.raises(InputError, match=r"(?s)not finite.*found: 1 of 3: L_c\n.*`exclude_regions=\[\"L_c\"\]`"),
    ):
        load_timeseries(series, parcellation=dlabel)


def test_labels_that_are_no_region_are_left_out_and_told(tmp_path):
    axis = surface(LEFT, np.arange(60))
    names = ("L_unknown", "L_bankssts", "lh-corpuscallosum", "Medial_Wall", "ctx-lh-insula", "Background+FreeSurfer")
    dlabel = write_dlabel(tmp_path / "a.dlabel.nii", np.repeat(np.arange(1, 7), 10), names, axis)
    with pytest.warns(InputNote, match=r"L_unknown, lh-corpuscallosum, Medial_Wall left out, being no regions"):
        assert read_parcellation(dlabel).names == ("L_bankssts", "ctx-lh-insula", "Background+FreeSurfer")


def test_the_first_of_several_parcellations_is_used_and_told(tmp_path):
    dlabel = write_dlabel(tmp_path / "a.dlabel.nii", [1, 2], ("L_a", "L_b"), surface(LEFT, [1, 2]), maps=("one", "two"))
    with pytest.warns(InputNote, match=r"holds 2 parcellations. The first, 'one', is used"):
        read_parcellation(dlabel)


def test_parcellated_series_bring_their_names(tmp_path):
    values = RNG.normal(size=(7, N)).astype(np.float32)
    read = load_timeseries(write_ptseries(tmp_path / "a.ptseries.nii", values, NAMES, step=0.8))
    np.testing.assert_array_equal(read.values, values)
    assert (read.labels, read.tr_s) == (NAMES, 0.8)
    assert repr(read).splitlines()[0] == "TimeSeries: 7 frames x 5 named regions, TR 0.8 s, censoring: none"


def refused(pattern, path, error=InputError, **how):
    with pytest.raises(error, match=pattern):
        load_timeseries(path, **how)


def test_dense_series_need_a_parcellation(small):
    refused(r"(?s)holds grayordinates, not regions.*fix: `parcellation=\"ATLAS\.dlabel\.nii\"`", small[0], ConfigError)


def test_a_parcellation_of_another_surface_is_refused(hcp, tmp_path):
    axis = BrainModelAxis.from_surface(np.arange(10242), 10242, LEFT)
    dlabel = write_dlabel(tmp_path / "fsaverage5.dlabel.nii", np.ones(10242), ("L_a",), axis)
    pattern = r"(?s)in different spaces.*CORTEX_LEFT: a surface of 32492 vertices.*found: one of 10242.*fsaverage_LR32k"
    refused(pattern, hcp[0], parcellation=dlabel)


def test_a_parcellation_of_another_part_is_refused(tmp_path):
    series = write_dtseries(tmp_path / "a.dtseries.nii", RNG.normal(size=(3, 4)), surface(LEFT, range(4)))
    dlabel = write_dlabel(tmp_path / "a.dlabel.nii", [1, 1], ("R_a",), surface(RIGHT, range(2)))
    refused(r"(?s)no grayordinate in common.*structures CORTEX_RIGHT.*structures CORTEX_LEFT", series, parcellation=dlabel)


def test_what_is_no_parcellation_is_refused(small):
    refused(r"(?s)is not a parcellation.*\.dlabel\.nii.*found: SeriesAxis x BrainModelAxis", small[0], parcellation=small[0])


def test_keys_without_a_label_are_refused(small, tmp_path):
    dlabel = write_dlabel(tmp_path / "a.dlabel.nii", np.full(350, 9), NAMES, small_axis(np.arange(0, 400, 2), np.arange(150)))
    refused(r"(?s)have no label.*found: 9\n.*label table of another", small[0], parcellation=dlabel)


def test_regions_of_the_same_name_are_refused(small, tmp_path):
    dlabel = write_dlabel(tmp_path / "a.dlabel.nii", [1, 2], ("insula", "insula"), surface(LEFT, [0, 2]))
    refused(r"(?s)names of the parcellation .* are not unique.*insula", small[0], parcellation=dlabel)


@pytest.mark.parametrize("kind", ["dscalar", "dlabel"])
def test_what_is_no_series_is_refused(tmp_path, kind):
    axis = surface(LEFT, range(3))
    path = tmp_path / f"a.{kind}.nii"
    if kind == "dscalar":
        write(path, [[1, 2, 3]], ScalarAxis(["MyelinMap"]), axis)
    else:
        write_dlabel(path, [1, 1, 1], ("a",), axis)
    refused(r"(?s)is no time series.*expected: a \.dtseries.*found: (Scalar|Label) x BrainModel.*a map", path)


@pytest.mark.parametrize(
    ("step", "unit", "said", "message"),
    [
        (720, "SECOND", None, r"(?s)header of .* is implausible.*found: 720.*milliseconds.*-series SECOND 0 0\.72"),
        (0.72, "SECOND", 0.8, r"(?s)repetition time is not that of.*expected: 0\.8 s.*found: 0\.72 s in the header"),
        (0.72, "HERTZ", None, r"(?s)not one of time.*found: unit HERTZ"),
    ],
)
def test_the_repetition_time_is_checked(tmp_path, step, unit, said, message):
    path = tmp_path / "a.ptseries.nii"
    write_ptseries(path, RNG.normal(size=(5, N)), NAMES)
    space = nib.load(path).header.get_axis(1)
    refused(message, write(path, RNG.normal(size=(5, N)), SeriesAxis(0, step, 5, unit), space), tr_s=said)


def test_cifti_1_is_told_with_the_command_that_converts_it(small, tmp_path):
    old = tmp_path / "old.dtseries.nii"
    old.write_bytes(small[0].read_bytes().replace(b'CIFTI Version="2.0"', b'CIFTI Version="1.0"'))
    refused(r"(?s)is a CIFTI-1 file.*fix: wb_command -file-convert -cifti-version-convert .*old\.dtseries\.nii 2 ", old)


@pytest.mark.parametrize("lost", [4, 500, 8000])
def test_a_truncated_file_is_told(small, tmp_path, lost):
    path = tmp_path / "cut.dtseries.nii"
    content = small[0].read_bytes()
    path.write_bytes(content[:-lost])
    refused(rf"(?s)ends too early.*found: {len(content) - lost} bytes.*interrupted", path, parcellation=small[2])


@pytest.mark.parametrize("content", [b"", b"garbage" * 500, b"<html>Access denied</html>"])
def test_garbage_is_told(tmp_path, content):
    path = tmp_path / "a.dtseries.nii"
    path.write_bytes(content)
    refused(r"(?s)Cannot read .*a\.dtseries\.nii.*truncated or damaged", path)


def test_a_cut_header_is_told(small, tmp_path):
    path = tmp_path / "a.dtseries.nii"
    path.write_bytes(small[0].read_bytes()[:700])
    refused(r"(?s)Cannot read .*a\.dtseries\.nii", path)


def test_swapped_bytes_are_told(tmp_path):
    values = RNG.normal(1e4, 50, (20, N)).astype(np.float32)
    path = write_ptseries(tmp_path / "a.ptseries.nii", values.byteswap(), NAMES)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        refused(r"(?s)values of .* are implausible.*bytes read in the wrong order", path)


@pytest.mark.parametrize(
    "pointer", [b"/annex/objects/MD5E-s438774432--d41d8.nii\n", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_content_that_was_not_fetched_is_told(tmp_path, pointer):
    path = tmp_path / "a.dtseries.nii"
    path.write_bytes(pointer)
    refused(r"(?s)content of the time series file was not fetched.*fix: (datalad get|git lfs pull)", path, MissingInputError)


def test_joined_runs_are_refused_unless_their_lengths_are_told(tmp_path):
    values = RNG.normal(size=(48, N))
    path = write_ptseries(tmp_path / "rfMRI_REST_Atlas_MSMAll_hp2000_clean_rclean_tclean.ptseries.nii", values, NAMES)
    refused(r"(?s)joins all runs.*must not cross.*found: 48 frames.*`run_frames=\[1200,1200,1200,1200\]`", path)
    refused(r"(?s)lengths of runs do not fit.*add up to 48.*found: 12 \+ 12 = 24", path, run_frames=(12, 12))
    read = load_timeseries(path, run_frames=(12, 20, 16))
    assert [len(run) for run in read.runs] == [12, 20, 16]
    np.testing.assert_allclose(np.concatenate(read.runs), values, rtol=1e-6)


def test_values_of_regions_come_back_from_both_files(hcp, tmp_path):
    order = [3, 0, 4, 2]
    labels = [NAMES[k] for k in order]
    values = RNG.normal(size=(3, 4)).astype(np.float32)
    parcellated, dense = write_scalars(
        tmp_path / "sub-01_regional", ["w_EE", "w_EI", "EI_ratio"], values, cifti_space(hcp[2], labels)
    )
    image = nib.load(parcellated)
    assert parcellated.name == "sub-01_regional.pscalar.nii"
    np.testing.assert_array_equal(np.asarray(image.dataobj), values)
    maps, parcels = (image.header.get_axis(k) for k in (0, 1))
    assert (list(maps.name), list(parcels.name)) == (["w_EE", "w_EI", "EI_ratio"], labels)
    assert (int(image.nifti_header["intent_code"]), bytes(image.nifti_header["intent_name"]).rstrip(b"\0")) == (
        3008,
        b"ConnParcelScalr",
    )
    image = nib.load(dense)
    assert (int(image.nifti_header["intent_code"]), bytes(image.nifti_header["intent_name"]).rstrip(b"\0")) == (
        3006,
        b"ConnDenseScalar",
    )
    space, data = image.header.get_axis(1), np.asarray(image.dataobj)
    assert np.isfinite(data).all()
    key_at = dict(zip(zip(all_vertices().name, all_vertices().vertex, strict=True), keys_of(), strict=True))
    keys = np.array([key_at[place] for place in zip(space.name, space.vertex, strict=True)])
    assert sorted(set(keys)) == [1, 3, 4, 5]
    assert len(keys) == np.isin(keys_of(), [1, 3, 4, 5]).sum()
    for k, region in enumerate(order):
        assert (data[:, keys == region + 1] == values[:, [k]]).all()
    assert set(parcels.vertices[0][RIGHT]) == set(space.vertex[keys == 4])


def test_regions_of_parcellated_series_serve_too(tmp_path):
    series = write_ptseries(tmp_path / "a.ptseries.nii", RNG.normal(size=(3, N)), NAMES)
    space = cifti_space(series, NAMES[::-1])
    files = write_scalars(tmp_path / "b", ["EI_ratio"], np.arange(5.0)[None], space)
    assert [file.name for file in files] == ["b.pscalar.nii"]
    assert list(nib.load(files[0]).header.get_axis(1).name) == list(NAMES[::-1])
    with pytest.raises(InputError, match=r"(?s)regions of .*a\.ptseries\.nii are not those of the other inputs.*missing: R_f"):
        cifti_space(series, ("L_a", "R_f"))


def test_regions_are_found_in_a_template_of_another_spelling(tmp_path):
    template = write_ptseries(tmp_path / "a.ptseries.nii", RNG.normal(size=(3, 4)), ["???", "R_insula", "L_insula", "L_cuneus"])
    space = cifti_space(template, ["lh-insula", "ctx-rh-insula"])
    assert list(space.parcels.name) == ["L_insula", "R_insula"]
    other = write_ptseries(tmp_path / "b.ptseries.nii", RNG.normal(size=(3, 2)), ["7Networks_LH_Vis_1", "7Networks_RH_Vis_1"])
    with pytest.raises(InputError, match=r"(?s)b\.ptseries\.nii are Schaefer's 7-network parcels.*17-network"):
        cifti_space(other, ["17Networks_LH_VisCent_ExStr_1", "17Networks_RH_VisCent_ExStr_1"])


def test_labels_of_one_surface_only_do_not_hide_the_other(tmp_path):
    series = write_dtseries(tmp_path / "a.dtseries.nii", RNG.normal(size=(3, 4)), small_axis([0, 1], [0, 1]))
    table = {0: ("???", (0, 0, 0, 0)), 1: ("a", (1, 0, 0, 1)), 2: ("b", (1, 0, 0, 1))}
    write(tmp_path / "a.dlabel.nii", [[1, 1, 2, 2]], LabelAxis(["x"], [table]), small_axis([0, 1], [5, 6]))
    with pytest.warns(InputNote, match="b 0%"), pytest.raises(InputError, match=r"(?s)not finite.*found: 1 of 2: b\n"):
        load_timeseries(series, parcellation=tmp_path / "a.dlabel.nii")
