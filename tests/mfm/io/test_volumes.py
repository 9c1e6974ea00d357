"""Time series from volumes and from surface files of other tools."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
from cifti_files import LEFT, RIGHT, write_dlabel
from nibabel.cifti2 import BrainModelAxis

from mfm.errors import ConfigError, InputError, InputNote, MissingInputError
from mfm.io import load_timeseries
from mfm.io.formats.volumes import read_label_table

SHAPE = (6, 5, 4)
AFFINE = np.diag([2.0, 2, 2, 1])
KEYS = np.zeros(SHAPE, np.int16)
KEYS[0], KEYS[1:3], KEYS[4, 2:] = 7, 3, 12  # regions in the order 3, 7, 12
TABLE = {3: "L_a", 7: "L_b", 12: "R_c"}
DATA = np.random.default_rng(0).normal(1000, 10, (*SHAPE, 8)).astype(np.float32)


def save_scan(path, data=DATA, tr=0.8, unit="sec", dtype=np.float32, affine=AFFINE):
    image = nib.Nifti1Image(data.astype(dtype), affine)
    image.header.set_zooms((2, 2, 2, tr))
    image.header.set_xyzt_units("mm", unit)
    image.to_filename(path)
    return path


def save_labels(path, keys=KEYS, affine=AFFINE, table=TABLE, header="index\tname"):
    nib.Nifti1Image(keys, affine).to_filename(path)
    if table:
        lines = [header, *(f"{key}\t{name}" for key, name in table.items())]
        path.with_name(path.name.partition(".")[0] + ".tsv").write_text("\n".join(lines))
    return path


@pytest.fixture
def scan(tmp_path):
    return save_scan(tmp_path / "sub-01_task-rest_desc-preproc_bold.nii.gz")


@pytest.fixture
def labels(tmp_path):
    return save_labels(tmp_path / "atlas-x_dseg.nii.gz")


def voxel_loop(data=DATA, keys=KEYS):
    return np.stack([data[keys == key].astype(float).mean(axis=0) for key in (3, 7, 12)], axis=1)


def test_volumes_are_averaged_as_a_voxel_loop_would(scan, labels):
    series = load_timeseries(scan, parcellation=labels)
    np.testing.assert_allclose(series.values, voxel_loop(), rtol=1e-5)
    assert (series.labels, round(series.tr_s, 6), series.notes) == (("L_a", "L_b", "R_c"), 0.8, ())
    assert [source.role for source in series.sources] == ["timeseries", "parcellation", "label table"]


def test_whole_numbers_with_a_scale_do_not_overflow(tmp_path, labels):
    data = np.full((*SHAPE, 4), 32000.0) + np.arange(4)
    series = load_timeseries(save_scan(tmp_path / "a.nii", data, dtype=np.int16), parcellation=labels)
    np.testing.assert_allclose(series.values, np.repeat(32000.0 + np.arange(4)[:, None], 3, 1), rtol=1e-6)


@pytest.mark.parametrize(
    ("tr", "unit", "tr_s"), [(0.8, "sec", 0.8), (800, "msec", 0.8), (0, "sec", None), (2.0, "unknown", None)]
)
def test_the_repetition_time_is_read_in_its_unit(tmp_path, labels, tr, unit, tr_s):
    series = load_timeseries(save_scan(tmp_path / "a.nii.gz", tr=tr, unit=unit), parcellation=labels)
    assert series.tr_s == (None if tr_s is None else pytest.approx(tr_s))


def test_milliseconds_called_seconds_are_told(tmp_path, labels):
    with pytest.raises(InputError, match=r"(?s)header of .* is implausible.*found: 800\n.*milliseconds"):
        load_timeseries(save_scan(tmp_path / "a.nii.gz", tr=800), parcellation=labels)


def test_header_and_sidecar_must_agree_unless_one_is_confirmed(scan, labels):
    sidecar = scan.with_name(scan.name.partition(".")[0] + ".json")
    sidecar.write_text('{"RepetitionTime": 0.72}')
    with pytest.raises(InputError, match=r"(?s)different repetition times.*0\.72 s in the sidecar, 0\.8 s in the header.*tr_s"):
        load_timeseries(scan, parcellation=labels)
    with pytest.warns(InputNote, match=r"The header of .* tells a TR of 0\.8 s; 0\.72 s were said, and found elsewhere"):
        assert load_timeseries(scan, parcellation=labels, tr_s=0.72).tr_s == 0.72


def test_labels_of_another_grid_are_resampled_and_told(scan, tmp_path):
    fine = save_labels(tmp_path / "fine.nii.gz", KEYS.repeat(2, 0).repeat(2, 1).repeat(2, 2), np.diag([1.0, 1, 1, 1]))
    shifted = nib.load(fine)
    affine = shifted.affine.copy()
    affine[:3, 3] = -0.5
    fine = save_labels(fine, np.asarray(shifted.dataobj), affine)
    with pytest.warns(InputNote, match="another voxel grid .* was resampled"):
        series = load_timeseries(scan, parcellation=fine)
    np.testing.assert_allclose(series.values, voxel_loop(), rtol=1e-5)


def test_another_space_is_refused(scan, tmp_path):
    affine = AFFINE.copy()
    affine[:3, 3] = 500
    far = save_labels(tmp_path / "far.nii.gz", affine=affine)
    with pytest.raises(InputError, match=r"(?s)has no data where .* has regions.*native and MNI"):
        load_timeseries(scan, parcellation=far)


def test_voxels_without_data_are_left_out(tmp_path, labels):
    data = DATA.copy()
    data[0, :2] = 0  # two fifths of region 7: kept, and told
    data[4, 2:] = np.nan  # region 12 has none
    scan = save_scan(tmp_path / "a.nii.gz", data)
    with pytest.warns(InputNote, match=r"covers few voxels of L_b 60%, R_c 0%"):
        series = load_timeseries(scan, parcellation=labels, allow_missing_regions=True)
    np.testing.assert_allclose(series.values[:, 1], DATA[0, 2:].mean(axis=(0, 1)), rtol=1e-5)
    assert np.isnan(series.values[:, 2]).all()
    with pytest.warns(InputNote), pytest.raises(InputError, match=r"(?s)not finite.*R_c\n.*`exclude_regions=\[\"R_c\"\]`"):
        load_timeseries(scan, parcellation=labels)


def test_volumes_need_labels(scan):
    with pytest.raises(ConfigError, match=r"(?s)holds voxels, not regions.*`parcellation=\"LABELS\.nii\.gz\"`"):
        load_timeseries(scan)


def test_labels_without_a_table_have_no_names(scan, tmp_path):
    assert load_timeseries(scan, parcellation=save_labels(tmp_path / "bare.nii.gz", table=None)).labels is None


@pytest.mark.parametrize(
    "text",
    [
        "index\tname\tcolor\n3\tL_a\t#fff\n7\tL_b\t#fff\n12\tR_c\t#fff\n99\tother\t#fff\n",
        "index,label\n3,L_a\n7,L_b\n12,R_c\n",
        "# FreeSurfer\n3  L_a  25 5 25 0\n7  L_b  1 2 3 0\n12  R_c  1 2 3 0\n",
    ],
)
def test_label_tables_as_they_come(scan, tmp_path, text):
    (tmp_path / "lut.txt").write_text(text)
    labels = save_labels(tmp_path / "bare.nii.gz", table=None)
    series = load_timeseries(scan, parcellation=labels, label_table=tmp_path / "lut.txt")
    assert series.labels == ("L_a", "L_b", "R_c")
    assert "label table" in [source.role for source in series.sources]


def test_a_table_that_lacks_a_label_is_told(scan, tmp_path):
    labels = save_labels(tmp_path / "a.nii.gz", table={3: "L_a", 7: "L_b"})
    with pytest.raises(InputError, match=r"(?s)label table .* does not fit.*its 3 labels.*found: none for 12"):
        load_timeseries(scan, parcellation=labels)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index\tcolour\n3\tred\n", r"(?s)is not a label table.*found: columns index, colour"),
        ("L_a\nL_b\n", r"(?s)is not a label table.*found: L_a"),
        ("3 L_a\n3 L_b\n", r"(?s)names the label 3 twice.*L_a, L_b"),
    ],
)
def test_what_is_no_label_table_is_told(tmp_path, text, message):
    (tmp_path / "lut.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_label_table(tmp_path / "lut.txt")


def test_a_probabilistic_atlas_is_told(scan, tmp_path):
    with pytest.raises(InputError, match=r"(?s)not an image of labels.*probabilistic"):
        load_timeseries(scan, parcellation=save_labels(tmp_path / "a.nii.gz", KEYS.astype(np.float32) / 3))


def test_a_3d_image_is_no_series(tmp_path, labels):
    with pytest.raises(InputError, match=r"(?s)is not a time series.*4-D image"):
        load_timeseries(labels, parcellation=labels)


@pytest.mark.parametrize("cut", [300, 2000])
def test_a_truncated_gz_is_told(tmp_path, labels, cut):
    scan = save_scan(tmp_path / "a.nii.gz")
    content = gzip.compress(gzip.decompress(scan.read_bytes()), 1)
    scan.write_bytes(content[:-cut])
    with pytest.raises(InputError, match=r"(?s)Cannot read .*a\.nii\.gz.*a truncated or damaged file"):
        load_timeseries(scan, parcellation=labels)


def test_a_link_to_nothing_is_told(tmp_path, labels):
    (tmp_path / "a.nii.gz").symlink_to(".git/annex/objects/x")
    with pytest.raises(MissingInputError, match=r"(?s)link to a file that is not there.*datalad get"):
        load_timeseries(tmp_path / "a.nii.gz", parcellation=labels)


def both_surfaces(n):
    return BrainModelAxis.from_surface(np.arange(n), n, LEFT) + BrainModelAxis.from_surface(np.arange(n), n, RIGHT)


def save_gifti(path, *arrays):
    image = nib.gifti.GiftiImage(darrays=[nib.gifti.GiftiDataArray(array.astype(np.float32)) for array in arrays])
    image.to_filename(path)
    return path


def test_micapipe_series_are_left_then_right_vertices(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 100))
    keys = np.r_[np.repeat([0, 1], 25), np.repeat([2, 3], 25)]
    path = save_gifti(tmp_path / "sub-01_surf-fsLR-32k_desc-timeseries_clean.shape.gii", values)
    # The parcellation lacks some vertices, and has its hemispheres the other way round.
    rows = np.r_[np.arange(99, 49, -1), np.arange(2, 50)]
    axis = both_surfaces(50)[rows[:50]] + both_surfaces(50)[rows[50:]]
    dlabel = write_dlabel(tmp_path / "a.dlabel.nii", keys[rows], ("L_a", "R_b", "R_c"), axis)
    series = load_timeseries(path, parcellation=dlabel, tr_s=0.6)
    expected = np.stack([values[:, keys == k].mean(1) for k in (1, 2, 3)], 1)
    np.testing.assert_allclose(series.values, expected, rtol=1e-5, atol=1e-6)
    assert (series.labels, series.tr_s) == (("L_a", "R_b", "R_c"), 0.6)


def test_micapipe_tells_of_global_signal_regression_in_its_name(tmp_path):
    path = save_gifti(tmp_path / "sub-01_desc-timeseries_clean_gsr.shape.gii", np.random.default_rng(0).normal(size=(6, 9)))
    with pytest.warns(InputNote, match="cleaned of the global signal"):
        load_timeseries(path)


def test_other_surfaces_are_refused(tmp_path):
    path = save_gifti(tmp_path / "a.shape.gii", np.random.default_rng(0).normal(size=(6, 96)))
    dlabel = write_dlabel(tmp_path / "a.dlabel.nii", np.ones(100), ("a",), both_surfaces(50))
    with pytest.raises(InputError, match=r"(?s)different spaces.*50 \+ 50 vertices.*found: 96 vertices"):
        load_timeseries(path, parcellation=dlabel)


def test_hemisphere_files_are_told_how_to_join(tmp_path):
    path = save_gifti(tmp_path / "sub-01_hemi-L_bold.func.gii", *np.random.default_rng(0).normal(size=(6, 50)))
    with pytest.raises(InputError, match=r"(?s)found: 6 arrays.*fMRIPrep.*wb_command -cifti-create-dense-timeseries"):
        load_timeseries(path)
