"""Each layout, as a small tree of real files: what is found in it."""

import numpy as np
import pytest
from folder_trees import (
    HCP_RUNS,
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
from scipy.io import savemat

from mfm.errors import InputError, MissingInputError
from mfm.io import Choices, inspect_folder


def said(inventory, kind=None):
    return [finding.text for finding in inventory.findings if kind in (None, finding.kind)]


def runs(inventory):
    return [(row.participant_id, row.run, row.n_frames, row.n_regions, row.tr_s) for row in inventory.rows]


def test_hcp_of_1200_subjects(tmp_path):
    for run in HCP_RUNS:
        hcp_run(tmp_path, "100307", run)
        hcp_run(tmp_path, "100307", run, "_Atlas_hp2000_clean.dtseries.nii")
        hcp_run(tmp_path, "100307", run, "_Atlas_MSMAll.dtseries.nii")
    hcp_run(tmp_path, "100307", "tfMRI_MOTOR_LR", "_Atlas_MSMAll.dtseries.nii")
    dlabel(tmp_path / "100307/MNINonLinear/fsaverage_LR32k/100307.aparc.32k_fs_LR.dlabel.nii")
    dlabel(tmp_path / "100307/MNINonLinear/fsaverage_LR32k/100307.aparc.a2009s.32k_fs_LR.dlabel.nii")
    found = inspect_folder(tmp_path, Choices(atlas="aparc"))
    assert runs(found) == [("sub-100307", run, 400, None, 0.72) for run in HCP_RUNS]
    assert {row.timeseries.path.name for row in found.rows} == {
        f"{run}_Atlas_MSMAll_hp2000_clean.dtseries.nii" for run in HCP_RUNS
    }
    assert {row.parcellation.path.name for row in found.rows} == {"100307.aparc.32k_fs_LR.dlabel.nii"}
    assert "passed over: task MOTOR" in said(found, "note")
    assert "MSMAll_hp2000_clean taken rather than MSMAll_not cleaned, hp2000_clean" in said(found, "note")
    assert said(found, "missing") == ["no connectome"]
    assert "dense series, several parcellations: aparc, aparc.a2009s" in said(inspect_folder(tmp_path), "suspicious")


def test_hcp_of_2025_prefers_single_runs(tmp_path):
    for run in HCP_RUNS[:2]:
        hcp_run(tmp_path, "100307", run, "_Atlas_MSMAll_hp2000_clean_rclean_tclean.dtseries.nii")
        hcp_run(tmp_path, "100307", run)
    hcp_run(tmp_path, "100307", "rfMRI_REST", "_Atlas_MSMAll_hp2000_clean_rclean_tclean.dtseries.nii", frames=800)
    found = inspect_folder(tmp_path)
    assert [row.run for row in found.rows] == list(HCP_RUNS[:2])
    assert all("rclean_tclean" in row.timeseries.path.name for row in found.rows)
    assert "single runs taken rather than their concatenation" in said(found, "note")


def test_hcp_concatenation_alone_is_suspicious(tmp_path):
    hcp_run(tmp_path, "100307", "rfMRI_REST", "_Atlas_MSMAll_hp2000_clean_rclean_tclean.dtseries.nii")
    found = inspect_folder(tmp_path)
    assert len(found.rows) == 1
    assert "concatenated: FCD windows would cross from run to run" in said(found, "suspicious")


def test_hcp_at_7_tesla_is_a_session_of_its_own(tmp_path):
    hcp_run(tmp_path, "100610", "rfMRI_REST1_LR")
    hcp_run(tmp_path, "100610", "rfMRI_REST1_7T_PA", tr_s=1.0)
    hcp_run(tmp_path, "100610", "rfMRI_REST1_7T_PA", "_Atlas_1.6mm_MSMAll_hp2000_clean.dtseries.nii", tr_s=1.0)
    assert "several sessions: 3T, 7T" in said(inspect_folder(tmp_path), "choose")
    found = inspect_folder(tmp_path, Choices(session="7T"))
    assert runs(found) == [("sub-100610", "rfMRI_REST1_7T_PA", 400, None, 1.0)]
    assert found.rows[0].timeseries.path.name == "rfMRI_REST1_7T_PA_Atlas_MSMAll_hp2000_clean.dtseries.nii"


def test_lifespan_ids_and_header_tr(tmp_path):
    hcp_run(tmp_path, "HCA6002236_V1_MR", "rfMRI_REST1_AP", "_Atlas_MSMAll_hp0_clean.dtseries.nii", frames=478, tr_s=0.8)
    assert runs(inspect_folder(tmp_path)) == [("sub-HCA6002236_V1_MR", "rfMRI_REST1_AP", 478, None, 0.8)]


def test_hcp_parcellated_series_are_taken_before_dense_ones(tmp_path):
    run = HCP_RUNS[0]
    dense = hcp_run(tmp_path, "100307", run)
    ptseries(dense.with_name(f"{run}_Atlas_MSMAll_hp2000_clean.aparc.ptseries.nii"), regions=5)
    found = inspect_folder(tmp_path / "100307/MNINonLinear")
    assert [(row.participant_id, row.atlas, row.n_regions) for row in found.rows] == [("sub-100307", "aparc", 5)]


def test_xcpd(tmp_path):
    for run in ("task-rest_run-1", "task-rest_run-2"):
        file = xcpd_run(tmp_path, "0123", run=run, regions=6)
        ptseries(file.with_suffix(".ptseries.nii"), regions=6, tr_s=0.8)
        stem = f"sub-0123_{run}_space-fsLR_den-91k_desc-denoised_bold"
        dtseries(file.parent / f"{stem}.dtseries.nii", tr_s=0.8)
    table(tmp_path / "sub-0123/func/sub-0123_task-rest_run-1_motion.tsv")
    table(tmp_path / "sub-0123/func/sub-0123_task-rest_run-1_space-fsLR_atlas-4S156Parcels_stat-reho_bold.tsv", 1)
    found = inspect_folder(tmp_path)
    assert [(row.layout, row.atlas) for row in found.rows] == [("XCP-D", "4S156Parcels")] * 2
    # The table holds the names, the parcellated CIFTI beside it the TR.
    assert runs(found) == [("sub-0123", f"task-rest_run-{k}", 400, 6, 0.8) for k in (1, 2)]
    assert found.rows[0].timeseries.path.suffix == ".tsv"


def test_xcpd_of_old_spells_its_entities_otherwise(tmp_path):
    table(tmp_path / "sub-01/func/sub-01_task-rest_space-fsLR_den-91k_seg-Glasser_timeseries.tsv")
    sidecar(tmp_path / "sub-01/func/sub-01_task-rest_space-fsLR_den-91k_seg-Glasser_timeseries.json", RepetitionTime=2)
    assert [(row.run, row.atlas, row.tr_s) for row in inspect_folder(tmp_path).rows] == [("task-rest", "Glasser", 2.0)]


def test_xcpd_combined_runs_lie_beside_their_parts(tmp_path):
    for run in ("task-rest_run-1", "task-rest_run-2", "task-rest"):
        xcpd_run(tmp_path, run=run)
    found = inspect_folder(tmp_path)
    assert [row.run for row in found.rows] == ["task-rest_run-1", "task-rest_run-2"]
    assert "single runs taken rather than their concatenation" in said(found, "note")


def test_fmriprep_dense(tmp_path):
    stem = tmp_path / "sub-01/ses-a/func/sub-01_ses-a_task-rest"
    dtseries(f"{stem}_space-fsLR_den-91k_bold.dtseries.nii", tr_s=2.0)
    volume(f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz", tr=2.0)
    table(f"{stem}_desc-confounds_timeseries.tsv")
    found = inspect_folder(tmp_path)
    assert [(row.layout, row.session, row.tr_s) for row in found.rows] == [("fMRIPrep", "a", 2.0)]
    assert found.rows[0].timeseries.path.name.endswith(".dtseries.nii")
    assert "not denoised: fMRIPrep's series hold motion and drift" in said(found, "suspicious")
    assert "dense series without a parcellation" in said(found, "suspicious")


@pytest.mark.parametrize(("tr", "unit", "tr_s"), [(0.8, "sec", 0.8), (800, "msec", 0.8), (0.8, "unknown", None)])
def test_fmriprep_volumes(tmp_path, tr, unit, tr_s):
    volume(tmp_path / "sub-01/func/sub-01_task-rest_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz", 300, tr, unit)
    volume(tmp_path / "sub-01/func/sub-01_task-rest_bold.nii.gz", 300)  # raw data are no output of fMRIPrep
    found = inspect_folder(tmp_path)
    assert [(row.n_frames, row.n_regions, row.tr_s) for row in found.rows] == [(300, None, pytest.approx(tr_s))]


def test_xcpd_is_taken_rather_than_fmriprep(tmp_path):
    xcpd_run(tmp_path / "xcp_d")
    dtseries(tmp_path / "fmriprep/sub-01/func/sub-01_task-rest_run-1_space-fsLR_den-91k_bold.dtseries.nii")
    found = inspect_folder(tmp_path)
    assert [row.layout for row in found.rows] == ["XCP-D"]
    assert "XCP-D series taken rather than fMRIPrep" in said(found, "note")


def test_micapipe(tmp_path):
    own = tmp_path / "sub-HC001/ses-01"
    acquisition = "func/desc-se_task-rest_acq-AP_bold/surf"
    gifti(own / f"{acquisition}/sub-HC001_ses-01_surf-fsLR-32k_desc-timeseries_clean.shape.gii", np.zeros((20, 64)))
    gifti(own / f"{acquisition}/sub-HC001_ses-01_surf-fsLR-5k_desc-timeseries_clean.shape.gii", np.zeros((20, 32)))
    for measure in ("full-connectome", "full-edgeLengths"):
        name = f"sub-HC001_ses-01_space-dwi_atlas-schaefer-100_desc-iFOD2-40M-SIFT2_{measure}.shape.gii"
        gifti(own / "dwi/connectomes" / name, np.triu(np.ones((5, 5))))
    found = inspect_folder(tmp_path)
    assert runs(found) == [("sub-HC001", "se_task-rest_acq-AP_bold", 20, None, None)]
    assert "fsLR-32k" in found.rows[0].timeseries.path.name
    assert found.rows[0].sc.path.name.endswith("full-connectome.shape.gii")


def test_micapipe_connectome_of_the_atlas_of_the_series(tmp_path):
    xcpd_run(tmp_path, "01", atlas="schaefer-200")
    for atlas in ("schaefer-100", "schaefer-200"):
        name = f"sub-01_space-dwi_atlas-{atlas}_desc-iFOD2-40M-SIFT2_full-connectome.shape.gii"
        gifti(tmp_path / "sub-01/dwi/connectomes" / name, np.triu(np.ones((3, 3))))
    assert "schaefer-200" in inspect_folder(tmp_path).rows[0].sc.path.name


def test_qsirecon(tmp_path):
    xcpd_run(tmp_path / "xcp_d", "01")
    mat = tmp_path / "qsirecon/sub-01/ses-1/dwi/sub-01_ses-1_space-T1w_desc-preproc_connectivity.mat"
    mat.parent.mkdir(parents=True)
    savemat(mat, {"atlas_4S156Parcels_sift_radius2_count_connectivity": np.ones((3, 3))})
    assert inspect_folder(tmp_path).rows[0].sc.path == mat


def test_connectoflow(tmp_path):
    folder = tmp_path / "tpil01/Compute_Connectivity"
    folder.mkdir(parents=True)
    for name in ("sc", "len", "vol", "sim"):
        np.save(folder / f"{name}.npy", np.ones((3, 3)))
    np.save(tmp_path / "tpil01/rest.npy", np.zeros((400, 3)))
    found = inspect_folder(tmp_path)
    assert [(row.participant_id, row.sc.path.name) for row in found.rows] == [("sub-tpil01", "sc.npy")]


def test_tables(tmp_path):
    plain_subject(tmp_path, "sub-000", runs=2)
    matrix(tmp_path / "sub-000/tract_length.csv")
    found = inspect_folder(tmp_path)
    assert runs(found) == [("sub-000", f"task-rest_run-{k}", 400, 3, None) for k in (1, 2)]
    assert found.rows[0].orientation == "frames_by_regions"
    assert found.subjects[0].sc.path.name == "SC.csv"
    assert said(found) == ["TR not known", "TR not known"]


@pytest.mark.parametrize("inner", [".", "sub-07", "sub-07/func"])
def test_a_folder_within_a_subject_knows_whose_it_is(tmp_path, inner):
    table(tmp_path / "sub-07/func/task-rest_timeseries.tsv")
    assert [row.participant_id for row in inspect_folder(tmp_path / inner).rows] == ["sub-07"]


def test_tables_in_a_folder_without_an_id(tmp_path):
    table(tmp_path / "pilot/run-1.tsv")
    table(tmp_path / "pilot/run-2.tsv")
    matrix(tmp_path / "pilot/connectome_DK_SIFT2.csv")
    found = inspect_folder(tmp_path / "pilot")
    assert [(row.participant_id, row.run) for row in found.rows] == [("sub-pilot", "run-1"), ("sub-pilot", "run-2")]
    assert found.subjects[0].sc.path.name == "connectome_DK_SIFT2.csv"


def test_one_folder_with_the_id_in_each_name(tmp_path):
    for subject in ("100206", "100307"):
        table(tmp_path / f"{subject}_rest1.csv", delimiter=",")
        matrix(tmp_path / f"{subject}_SC.csv")
    assert [(row.participant_id, row.run) for row in inspect_folder(tmp_path).rows] == [
        ("sub-100206", "rest1"),
        ("sub-100307", "rest1"),
    ]


@pytest.mark.parametrize("extension", [".npy", ".npz", ".mat"])
def test_arrays_tell_their_shape_but_not_their_orientation(tmp_path, extension):
    folder = plain_subject(tmp_path, runs=0)
    values = np.zeros((400, 3))
    path = folder / f"rest_timeseries{extension}"
    if extension == ".mat":
        savemat(path, {"TC": values, "TR": 0.72})
    else:
        np.save(path, values) if extension == ".npy" else np.savez(path, TC=values, TR=0.72)
    found = inspect_folder(tmp_path)
    assert [(row.orientation, row.n_frames) for row in found.rows] == [(None, None)]
    assert "a table of 400 x 3 without region names: orientation not known" in said(found, "suspicious")
    chosen = inspect_folder(tmp_path, Choices(orientation="frames_by_regions"))
    assert [(row.n_frames, row.n_regions) for row in chosen.rows] == [(400, 3)]


def test_statistics_of_stages(tmp_path):
    for stage in ("train", "validation", "test"):
        fc_and_fcd(tmp_path / "sub-01", stage)
    matrix(tmp_path / "sub-01/SC.csv")
    found = inspect_folder(tmp_path)
    assert [(row.stage, row.n_regions, row.fc.path.name) for row in found.rows] == [
        ("search", 3, "train_FC.csv"),
        ("validation", 3, "validation_FC.csv"),
        ("test", 3, "test_FC.csv"),
    ]


def test_a_group_connectome_serves_all(tmp_path):
    for subject in ("sub-01", "sub-02"):
        fc_and_fcd(tmp_path / subject)
    matrix(tmp_path / "SC.csv")
    found = inspect_folder(tmp_path)
    assert {row.sc.path for row in found.rows} == {tmp_path / "SC.csv"}
    assert said(found, "note") == ["no connectome of its own: the group's serves, SC.csv"] * 2


def test_sidecars_are_inherited(tmp_path):
    table(tmp_path / "sub-01/func/sub-01_task-rest_run-1_timeseries.tsv")
    table(tmp_path / "sub-02/func/sub-02_task-rest_run-1_timeseries.tsv")
    sidecar(tmp_path / "dataset_description.json", Name="study")
    sidecar(tmp_path / "task-rest_timeseries.json", RepetitionTime=0.72)
    sidecar(tmp_path / "sub-02/func/sub-02_task-rest_timeseries.json", RepetitionTime=2.0)
    sidecar(tmp_path / "sub-02/func/sub-02_task-motor_timeseries.json", RepetitionTime=3.0)
    assert [row.tr_s for row in inspect_folder(tmp_path).rows] == [0.72, 2.0]


def test_participants(tmp_path):
    plain_subject(tmp_path, "sub-0123")
    plain_subject(tmp_path, "sub-2")
    (tmp_path / "participants.tsv").write_text("participant_id\tage\tsex\nsub-0123\t22-25\tF\nsub-9\t30\tn/a\n")
    found = inspect_folder(tmp_path)
    assert found.rows[0].participant_id == "sub-0123"
    assert found.rows[0].participant == (("age", "22-25"), ("sex", "F"))
    assert [(f.subject, f.text) for f in found.findings if "participants.tsv" in f.text] == [
        ("sub-9", "listed in participants.tsv, but no files"),
        ("sub-2", "not listed in participants.tsv"),
    ]


@pytest.mark.parametrize(
    ("text", "message"), [("id\tage\n1\t2\n", "participant_id as the first"), ("participant_id\n01\nsub-01\n", "twice")]
)
def test_bad_participants(tmp_path, text, message):
    plain_subject(tmp_path)
    (tmp_path / "participants.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        inspect_folder(tmp_path)


def test_hundreds_of_subjects(tmp_path):
    for k in range(300):
        plain_subject(tmp_path, f"sub-{k:04d}", frames=200)
    found = inspect_folder(tmp_path)
    assert len(found.rows) == 300
    assert found.rows[42].participant_id == "sub-0042"


def test_nothing_there(tmp_path):
    with pytest.raises(MissingInputError, match="folder is not there"):
        inspect_folder(tmp_path / "nowhere")
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(MissingInputError, match="looks like data of a fit"):
        inspect_folder(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        inspect_folder(tmp_path / "notes.csv")


def test_the_shared_folders(shared):
    data = shared / "data"
    found = inspect_folder(data / "dk68-ebrains")
    assert {(row.n_frames, row.n_regions, row.sc.path.name) for row in found.rows} == {(1200, 68, "SC.csv")}
    assert len(found.rows) == 14
    assert {(row.n_frames, row.n_regions) for row in inspect_folder(data / "aal2-94").rows} == {(1200, 94)}
    assert [row.run for row in inspect_folder(data / "schaefer100-7n/sub-100206").rows] == [
        "task-rest_run-1",
        "task-rest_run-2",
    ]
    stages = inspect_folder(data / "dk68", Choices(sc="group-train/SC.csv"))
    assert [row.stage for row in stages.rows if row.participant_id == "sub-03"] == ["search", "validation", "test"]
    assert "several group connectomes: group-train/SC.csv, group-validation/SC.csv" in said(inspect_folder(data / "dk68"))
