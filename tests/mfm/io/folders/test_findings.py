"""What is broken, missing, to be chosen or suspicious in a folder, each with what it says and what to do."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from folder_trees import (
    dlabel,
    dtseries,
    fc_and_fcd,
    gifti,
    hcp_run,
    matrix,
    plain_subject,
    ptseries,
    sidecar,
    table,
    volume,
    xcpd_run,
)

from mfm.io import Choices, inspect_folder

DENSE = "sub-01/func/sub-01_task-rest_space-fsLR_den-91k_bold.dtseries.nii"
VOLUME = "sub-01/func/sub-01_task-rest_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz"


def replace_bytes(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def cifti_1(root):
    replace_bytes(dtseries(root / DENSE), b'<CIFTI Version="2', b'<CIFTI Version="1')


def renamed_nifti_1(root):
    volume(root / VOLUME)
    (root / DENSE).write_bytes(gzip.decompress((root / VOLUME).read_bytes()))
    (root / VOLUME).unlink()


def nifti_2_without_cifti(root):
    dtseries(root / DENSE)
    content = (root / DENSE).read_bytes()
    (root / DENSE).write_bytes(content.replace(b"<CIFTI", b"<OTHER"))


def scrambled_byte_order(root):
    dtseries(root / DENSE)
    content = bytearray((root / DENSE).read_bytes())
    content[:4] = bytes([2, 0, 28, 0])
    (root / DENSE).write_bytes(bytes(content))


def cut_cifti(root):
    dtseries(root / DENSE)
    (root / DENSE).write_bytes((root / DENSE).read_bytes()[:-100])


def cut_volume(root):
    volume(root / VOLUME)
    (root / VOLUME).write_bytes((root / VOLUME).read_bytes()[:-20])


def no_gzip(root):
    volume(root / VOLUME).write_bytes(b"this is no gzip file, but long enough for a header" * 20)


def single_volume(root):
    volume(root / VOLUME, frames=1)


def empty_table(root):
    plain_subject(root, runs=0)
    (root / "sub-01/task-rest_timeseries.tsv").touch()


def blank_table(root):
    plain_subject(root, runs=0)
    (root / "sub-01/task-rest_timeseries.tsv").write_text("\n\n# nothing\n")


def annex_link(root):
    (root / "sub-01").mkdir()
    (root / "sub-01/task-rest_timeseries.tsv").symlink_to("../.git/annex/objects/ab/cd/key")


def annex_pointer(root):
    plain_subject(root, runs=0)
    (root / "sub-01/task-rest_timeseries.tsv").write_text("/annex/objects/MD5E-s439--0123.tsv\n")


def not_an_array(root):
    plain_subject(root, runs=0)
    (root / "sub-01/rest_timeseries.npy").write_bytes(b"no array")


def not_a_gifti(root):
    gifti(root / "sub-01/func/surf/sub-01_surf-fsLR-32k_desc-timeseries_clean.shape.gii", np.zeros((4, 9))).write_text("x")


@pytest.mark.parametrize(
    ("spoil", "text", "fix", "absent"),
    [
        (cifti_1, "CIFTI-1", "wb_command -file-convert -cifti-version-convert", False),
        (renamed_nifti_1, "not a CIFTI file: a NIfTI-1 header", "Workbench", False),
        (nifti_2_without_cifti, "not a CIFTI file: its header does not describe one", "Workbench", False),
        (scrambled_byte_order, "not a NIfTI file", "fetch it anew", False),
        (cut_cifti, "the file is truncated", "fetch it anew", False),
        (cut_volume, "the compressed file is truncated", "fetch it anew", False),
        (no_gzip, "damaged or of another type", "fetch or write it anew", False),
        (single_volume, "not a series of volumes", "4-D", False),
        (empty_table, "empty (0 bytes)", "again", False),
        (blank_table, "is empty", "again", False),
        (annex_link, "git-annex", "datalad get", True),
        (annex_pointer, "placeholder", "datalad get", True),
        (not_an_array, "damaged or of another type", "anew", False),
        (not_a_gifti, "not a GIFTI", "anew", False),
    ],
)
def test_broken_files(tmp_path, spoil, text, fix, absent):
    spoil(tmp_path)
    found = inspect_folder(tmp_path)
    assert not found.rows
    broken = [finding for finding in found.findings if finding.kind == "broken"]
    assert len(broken) == 1
    assert text in broken[0].text
    assert fix in broken[0].fix
    assert "PATH" not in broken[0].fix
    assert (broken[0].subject, broken[0].absent) == ("sub-01", absent)


def big_endian(root):
    import nibabel

    little = dtseries(root / DENSE)
    image = nibabel.load(little)
    image.nifti_header.set_data_dtype(np.float32)
    content = bytearray(little.read_bytes())
    header = nibabel.Nifti2Header(bytes(content[:540])).as_byteswapped(">")
    extension = int.from_bytes(content[544:548], "little").to_bytes(4, "big") + (32).to_bytes(4, "big")
    content[:540], content[544:552] = header.binaryblock, extension
    little.write_bytes(bytes(content))


def test_byte_order_is_recognised(tmp_path):
    big_endian(tmp_path)
    assert [(row.n_frames, row.tr_s) for row in inspect_folder(tmp_path).rows] == [(400, 0.72)]


def two_atlases(root):
    xcpd_run(root, atlas="Glasser")
    xcpd_run(root, atlas="4S156Parcels")


def two_sessions(root):
    for session in ("a", "b"):
        table(root / f"sub-01/ses-{session}/func/sub-01_ses-{session}_task-rest_timeseries.tsv")


def two_sites(root):
    for site in ("leipzig", "berlin"):
        table(root / site / "sub-01/func/sub-01_task-rest_run-1_timeseries.tsv")


def two_kinds(root):
    hcp_run(root, "100307", "rfMRI_REST1_LR")
    ptseries(root / "100307/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR_Atlas_MSMAll_hp2000_clean.aparc.ptseries.nii")
    table(root / "100307/REST1_timeseries.tsv")


def two_statistics(root):
    fc_and_fcd(root / "sub-01")
    fc_and_fcd(root / "sub-01", "train")


@pytest.mark.parametrize(
    ("build", "text", "fix"),
    [
        (two_atlases, "time series of several atlases: 4S156Parcels, Glasser", "--atlas 4S156Parcels"),
        (two_sessions, "several sessions: a, b", "--session a, or --session all"),
        (two_sites, "the same run in several files", "keep one"),
        (two_kinds, "series of several kinds: HCP, tables", "inspect the folder of one"),
        (two_statistics, "several FC or FCD CDF files for search", '`search=StageFiles(fc="FILE", fcd_cdf="FILE")`'),
    ],
)
def test_choices(tmp_path, build, text, fix):
    build(tmp_path)
    found = inspect_folder(tmp_path)
    assert not found.rows
    assert [(finding.text, finding.kind) for finding in found.findings if finding.kind == "choose"] == [(text, "choose")]
    assert fix in next(finding.fix for finding in found.findings if finding.text == text)


def test_choices_made(tmp_path):
    two_atlases(tmp_path / "a")
    assert [row.atlas for row in inspect_folder(tmp_path / "a", Choices(atlas="glasser")).rows] == ["Glasser"]
    none = texts(tmp_path / "a", Choices(atlas="Desikan"))
    assert "time series of several atlases (none is called Desikan): 4S156Parcels, Glasser" in none
    two_sessions(tmp_path / "s")
    assert [row.session for row in inspect_folder(tmp_path / "s", Choices(session="ses-b")).rows] == ["b"]
    assert [row.session for row in inspect_folder(tmp_path / "s", Choices(session="all")).rows] == ["a", "b"]
    assert "no session c, but a, b" in texts(tmp_path / "s", Choices(session="c"))
    xcpd_run(tmp_path / "one")
    assert "time series of atlas 4S156Parcels, not DK68" in texts(tmp_path / "one", Choices(atlas="DK68"))


def texts(root, choices=None):
    return [finding.text for finding in inspect_folder(root, choices).findings]


def test_several_connectomes(tmp_path):
    folder = plain_subject(tmp_path)
    matrix(folder / "connectome_SIFT2.csv")
    assert "several connectomes: SC.csv, connectome_SIFT2.csv" in texts(tmp_path)
    assert inspect_folder(tmp_path).rows[0].sc is None
    assert inspect_folder(tmp_path, Choices(sc="*SIFT2*")).rows[0].sc.path.name == "connectome_SIFT2.csv"
    assert "no connectome" in texts(tmp_path, Choices(sc="*length*"))
    other = matrix(tmp_path / "elsewhere.csv")
    assert inspect_folder(tmp_path, Choices(sc=str(other))).rows[0].sc.path == other


def test_connectomes_of_several_atlases(tmp_path):
    xcpd_run(tmp_path, atlas="Glasser")
    for atlas in ("Gordon", "4S156Parcels"):
        matrix(tmp_path / f"sub-01/dwi/sub-01_atlas-{atlas}_connectome.csv")
    assert "connectomes of several atlases (none is called Glasser): 4S156Parcels, Gordon" in texts(tmp_path)


def test_connectomes_that_do_not_fit(tmp_path):
    plain_subject(tmp_path, "sub-01")
    matrix(tmp_path / "sub-01/SC.csv", 5)
    plain_subject(tmp_path, "sub-02")
    np.savetxt(tmp_path / "sub-02/SC.csv", np.ones((3, 4)), delimiter=",")
    plain_subject(tmp_path, "sub-03")
    (tmp_path / "sub-03/SC.csv").write_text("")
    found = texts(tmp_path)
    assert "connectome of 5 regions, data of 3" in found
    assert "connectome of 3 x 4: not square" in found
    assert "connectome: the file is empty (0 bytes)" in found


def test_runs_that_differ(tmp_path):
    hcp_run(tmp_path, "100307", "rfMRI_REST1_LR")
    hcp_run(tmp_path, "100307", "rfMRI_REST1_RL", "_Atlas_hp2000_clean.dtseries.nii", tr_s=1.1, frames=390)
    assert {
        "runs differ in TR: 0.72 s, 1.1 s",
        "runs differ in length: 390 frames, 400 frames",
        "runs differ in their processing: MSMAll_hp2000_clean, hp2000_clean",
    } <= set(texts(tmp_path))
    table(tmp_path / "t/sub-01/rest1.tsv", regions=3)
    table(tmp_path / "t/sub-01/rest2.tsv", regions=4)
    assert "runs differ in their regions: 3, 4" in texts(tmp_path / "t")


def test_subjects_that_differ_from_most(tmp_path):
    for k, (frames, tr_s) in enumerate([(400, 0.72), (400, 0.72), (390, 0.72), (400, 0.8)]):
        hcp_run(tmp_path, f"10000{k}", "rfMRI_REST1_LR", frames=frames, tr_s=tr_s)
    found = {finding.text: finding.subject for finding in inspect_folder(tmp_path).findings}
    assert found["frames: 390, where most subjects have 400"] == "sub-100002"
    assert found["TR: 0.8 s, where most subjects have 0.72 s"] == "sub-100003"


def test_repetition_times(tmp_path):
    hcp_run(tmp_path / "unit", "100307", "rfMRI_REST1_LR", unit="HERTZ")
    assert "TR not known" in texts(tmp_path / "unit")
    assert inspect_folder(tmp_path / "unit", Choices(tr_s=0.72)).rows[0].tr_s == 0.72

    dtseries(tmp_path / "two" / DENSE, tr_s=1.5)
    sidecar(tmp_path / "two" / DENSE.replace(".dtseries.nii", ".json"), RepetitionTime=2.0)
    assert "TR 1.5 s in the header, 2 s in the sidecar" in texts(tmp_path / "two")
    assert inspect_folder(tmp_path / "two").rows[0].tr_s is None

    plain_subject(tmp_path / "ms")
    sidecar(tmp_path / "ms/sub-01/task-rest_run-1_timeseries.json", RepetitionTime=720)
    assert {"the sidecar's RepetitionTime is 720, not seconds", "TR not known"} <= set(texts(tmp_path / "ms"))

    hcp_run(tmp_path / "other", "100307", "rfMRI_REST1_LR")
    assert "TR 0.72 s in the file, not 2 s" in texts(tmp_path / "other", Choices(tr_s=2.0))
    assert inspect_folder(tmp_path / "other", Choices(tr_s=2.0)).rows[0].tr_s == 0.72


@pytest.mark.parametrize(
    ("frames", "marks", "text"),
    [
        (380, [0] * 380 + [1] * 20, "censored: frames were cut out, so that FCD windows are not of 60 measured seconds"),
        (400, [0] * 380 + [1] * 20, "censored: frames were interpolated, so that FCD windows are not of 60 measured seconds"),
        (400, [0] * 400, None),
    ],
)
def test_censored_runs(tmp_path, frames, marks, text):
    file = xcpd_run(tmp_path, frames=frames)
    (file.parent / "sub-01_task-rest_run-1_outliers.tsv").write_text(
        "framewise_displacement\n" + "\n".join(map(str, marks)) + "\n"
    )
    found = inspect_folder(tmp_path)
    censored = [finding for finding in found.findings if finding.text.startswith("censored")]
    assert [finding.text for finding in censored] == ([text] if text else [])
    assert all(": 20 frames" in finding.where for finding in censored)


def test_global_signal_regression(tmp_path):
    file = xcpd_run(tmp_path)
    sidecar(file.with_suffix(".json"), RepetitionTime=2.0, NuisanceParameters="36P")
    assert "global signal regressed out (NuisanceParameters: 36P): it takes much of the dynamics along" in texts(tmp_path)


def test_a_sidecar_that_is_not_json(tmp_path):
    folder = plain_subject(tmp_path)
    (folder / "task-rest_run-1_timeseries.json").write_text("RepetitionTime = 2")
    assert any("is not JSON" in text for text in texts(tmp_path))


def test_uncleaned_hcp_series(tmp_path):
    hcp_run(tmp_path, "100307", "rfMRI_REST1_LR", "_Atlas_MSMAll.dtseries.nii")
    assert "not denoised: HCP's series without ICA-FIX" in texts(tmp_path)


@pytest.mark.parametrize(
    ("frames", "text"), [(160, "too short for FCD: less than two windows of 60 s"), (400, "shorter than 5 minutes")]
)
def test_short_runs(tmp_path, frames, text):
    hcp_run(tmp_path, "100307", "rfMRI_REST1_LR", frames=frames)
    assert any(found.startswith(text) for found in texts(tmp_path))


def test_subjects_without_data(tmp_path):
    plain_subject(tmp_path, "sub-01")
    matrix(tmp_path / "sub-02/SC.csv")
    fc_and_fcd(tmp_path / "sub-03")
    (tmp_path / "sub-03/FCD_CDF.csv").unlink()
    found = {(finding.subject, finding.text) for finding in inspect_folder(tmp_path).findings}
    assert ("sub-02", "no time series, nor FC with FCD CDF") in found
    assert ("sub-03", "search: FC without FCD CDF") in found


def test_ids_that_disagree_or_cannot_be(tmp_path):
    table(tmp_path / "sub-02/sub-01_task-rest_timeseries.tsv")
    table(tmp_path / "pilot one/rest_timeseries.tsv")
    found = {(finding.subject, finding.text) for finding in inspect_folder(tmp_path).findings}
    assert ("sub-01", "files with this id lie in a folder with another") in found
    assert ("sub-pilot one", "A participant_id cannot be part of a file name.") in found
    assert [row.participant_id for row in inspect_folder(tmp_path).rows] == ["sub-01"]


def test_broken_parcellation(tmp_path):
    hcp_run(tmp_path, "100307", "rfMRI_REST1_LR")
    path = dlabel(tmp_path / "100307/MNINonLinear/fsaverage_LR32k/100307.aparc.32k_fs_LR.dlabel.nii")
    assert inspect_folder(tmp_path).rows[0].parcellation.path == path
    path.write_bytes(b"")
    assert "parcellation: the file is empty (0 bytes)" in texts(tmp_path)


def test_formats_of_one_run_are_no_duplicates(tmp_path):
    folder = plain_subject(tmp_path)
    np.save(folder / "task-rest_run-1_timeseries.npy", np.zeros((400, 3)))
    found = inspect_folder(tmp_path)
    assert [row.timeseries.path.suffix for row in found.rows] == [".tsv"]
    (folder / "task-rest_run-1_timeseries.tsv").write_text("")
    assert [row.timeseries.path.suffix for row in inspect_folder(tmp_path).rows] == [".npy"]


def test_links_to_folders_are_followed_and_loops_are_not(tmp_path):
    plain_subject(tmp_path / "store", "sub-01")
    (tmp_path / "study").mkdir()
    (tmp_path / "study/sub-01").symlink_to(tmp_path / "store/sub-01")
    (tmp_path / "store/sub-01/again").symlink_to(tmp_path / "store/sub-01")
    assert [row.participant_id for row in inspect_folder(tmp_path / "study").rows] == ["sub-01"]


def test_an_unknown_repetition_time_is_not_milliseconds():
    with pytest.raises(ValueError, match="milliseconds"):
        Choices(tr_s=720)
