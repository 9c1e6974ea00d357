"""Connectomes in the files that tools write, joined by name."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from cifti_files import write_pconn, write_ptseries
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_files import ENDINGS, NAMES, as_csv, streamline_counts, write, write_gifti, write_qsirecon

from mfm import load_connectome
from mfm.brain.atlas import DESIKAN_VARIANTS
from mfm.errors import InputError, InputNote, MissingInputError
from mfm.io import read_labels, read_matrix
from mfm.io.readers.connectomes import transform_connectome

DK68 = DESIKAN_VARIANTS["DK68"]


@pytest.mark.parametrize("kind", ENDINGS)
def test_every_format_gives_the_same_connectome(tmp_path, kind):
    counts = streamline_counts()
    path = tmp_path / ENDINGS[kind]
    write(path, counts, kind)
    sc = load_connectome(path, labels=NAMES)
    np.testing.assert_array_equal(sc.weights, transform_connectome(counts).weights)
    assert sc.labels == NAMES


@pytest.mark.parametrize("kind", ["csv", "npy", "mat", "GIFTI"])
def test_the_kind_is_told_by_content_not_by_name(tmp_path, kind):
    write(tmp_path / ENDINGS[kind], streamline_counts(), kind)
    (tmp_path / ENDINGS[kind]).rename(tmp_path / "connectome.dat")
    np.testing.assert_array_equal(
        load_connectome(tmp_path / "connectome.dat").weights, transform_connectome(streamline_counts()).weights
    )


@settings(max_examples=40, deadline=None)
@given(
    n_regions=st.integers(3, 12), seed=st.integers(0, 10**6), kind=st.sampled_from(["csv", "tsv", "npy", "mat", "npz", "GIFTI"])
)
def test_random_connectomes_survive_every_format(tmp_path_factory, n_regions, seed, kind):
    path = tmp_path_factory.mktemp("sc") / ENDINGS[kind]
    counts = streamline_counts(n_regions, seed)
    write(path, counts, kind)
    np.testing.assert_array_equal(load_connectome(path).weights, transform_connectome(counts).weights)


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(range(12)), wanted=st.permutations(range(12)))
def test_permuted_labels_give_the_identical_connectome(tmp_path_factory, order, wanted):
    counts = streamline_counts()
    path = tmp_path_factory.mktemp("sc") / "sc.csv"
    path.write_text(as_csv(counts[np.ix_(order, order)], names=[NAMES[k] for k in order]))
    sc = load_connectome(path, regions=[NAMES[k] for k in wanted])
    expected = transform_connectome(counts[np.ix_(wanted, wanted)])
    np.testing.assert_array_equal(sc.weights, expected.weights)
    assert sc.labels == tuple(NAMES[k] for k in wanted)


# MRtrix


@pytest.mark.parametrize("half", [np.triu, np.tril])
def test_triangles_of_mrtrix_are_completed(tmp_path, half):
    counts = streamline_counts() + np.diag(np.arange(12.0) + 100)
    write(tmp_path / "sc.csv", half(counts), "MRtrix")
    with pytest.warns(InputNote, match=r"sc\.csv is (upper|lower) triangular, as MRtrix writes without -symmetric"):
        sc = load_connectome(tmp_path / "sc.csv")
    np.testing.assert_array_equal(sc.weights, transform_connectome(counts).weights)


def test_a_triangle_of_small_integers_does_not_overflow(tmp_path):
    counts = np.full((12, 12), 60000, dtype=np.uint16)
    np.save(tmp_path / "sc.npy", np.triu(counts))
    with pytest.warns(InputNote, match="triangular"):
        assert (load_connectome(tmp_path / "sc.npy", "none", None).weights[0, 1:] == 60000).all()


def unassigned(counts):
    return np.pad(counts, ((1, 0), (1, 0)), constant_values=200_000)


@pytest.mark.parametrize("how", ["labels", "regions"])
def test_the_row_of_unassigned_streamlines_is_told(tmp_path, how):
    write(tmp_path / "sc.csv", unassigned(streamline_counts()), "csv")
    with pytest.raises(
        InputError,
        match=r"(?s)sc\.csv has one row more than there are regions.*expected: 12 rows.*found: 13.*-keep_unassigned.*"
        r"fix: `drop_unassigned=True`",
    ):
        load_connectome(tmp_path / "sc.csv", **{how: NAMES})


@pytest.mark.parametrize("how", ["labels", "regions"])
@pytest.mark.parametrize("half", [np.triu, np.array])
@pytest.mark.filterwarnings("ignore:.*triangular")
def test_the_row_of_unassigned_streamlines_is_left_out_on_request(tmp_path, how, half):
    write(tmp_path / "sc.csv", half(unassigned(streamline_counts())), "csv")
    sc = load_connectome(tmp_path / "sc.csv", drop_unassigned=True, **{how: NAMES})
    np.testing.assert_array_equal(sc.weights, transform_connectome(streamline_counts()).weights)
    assert (sc.labels, sc.steps[0]) == (NAMES, "first row and column (unassigned streamlines) left out")


# QSIRecon


MEASURES = ("sift_invnodevol_radius2_count", "sift_radius2_count", "radius2_meanlength")


@pytest.fixture
def qsirecon(tmp_path):
    path = tmp_path / "sub-01_space-T1w_connectivity.mat"
    counts = streamline_counts()
    matrices = {("4S156Parcels", name): counts / 10**k for k, name in enumerate(MEASURES)}
    matrices["Glasser", MEASURES[1]] = counts * 2
    write_qsirecon(path, matrices, NAMES)
    return path


def test_atlas_and_measure_of_qsirecon_are_chosen(qsirecon):
    sc = load_connectome(qsirecon, atlas="4S156Parcels", measure="sift_invnodevol_radius2_count")
    np.testing.assert_array_equal(sc.weights, transform_connectome(streamline_counts()).weights)
    assert sc.labels == NAMES
    assert load_connectome(qsirecon, atlas="Glasser", measure=MEASURES[1]).n_regions == 12


def test_labels_of_qsirecon_may_be_cells(tmp_path):
    write_qsirecon(tmp_path / "sc.mat", {("DK", "count"): streamline_counts()}, NAMES, cell=True)
    assert load_connectome(tmp_path / "sc.mat", measure="count").labels == NAMES


@pytest.mark.parametrize(("chosen", "message"), [
    ({}, r"connectomes of 2 atlases.*expected: 4S156Parcels \| Glasser.*fix: `atlas=\"4S156Parcels\"`"),
    ({"atlas": "AAL"}, r"no connectome of atlas 'AAL'.*expected: 4S156Parcels \| Glasser"),
    ({"atlas": "4S156Parcels"}, r"3 measures for atlas 4S156Parcels; which.*expected: " + r" \| ".join(MEASURES)
     + r".*fix: `measure=\"sift_invnodevol_radius2_count\"`"),
    ({"atlas": "Glasser", "measure": "fa"}, r"no measure 'fa' for atlas Glasser.*expected: sift_radius2_count"),
])  # fmt: skip
def test_choices_of_qsirecon_are_listed(qsirecon, chosen, message):
    with pytest.raises(InputError, match="(?s)" + message):
        load_connectome(qsirecon, **chosen)


# micapipe, connectoflow, ENIGMA, cuBNM


def test_micapipe_with_its_look_up_table(tmp_path):
    names = ["Left-Thalamus-Proper", "", *schaefer_names()]
    counts = streamline_counts(len(names))
    write_gifti(tmp_path / "full-connectome.shape.gii", np.triu(counts))
    rows = [f"{k},{100 + k},{name},0,0,0,0" for k, name in enumerate(names)]
    (tmp_path / "lut.csv").write_text("\n".join(["roi,mics,label,R,G,B,A", *rows]))
    with pytest.warns(InputNote) as notes:
        sc = load_connectome(tmp_path / "full-connectome.shape.gii", labels=tmp_path / "lut.csv", regions=schaefer_names())
    told = [str(note.message) for note in notes]
    assert "2 rows of the connectome" in told[0]
    assert "Left-Thalamus-Proper, cerebellum-101" in told[0]
    assert "upper triangular" in told[1]
    np.testing.assert_array_equal(sc.weights, transform_connectome(counts[2:, 2:]).weights)
    assert sc.steps[:2] == ("upper triangle mirrored", "2 rows that are no cortex left out")


def schaefer_names(n_regions=100):
    return [f"7Networks_{side}_Vis_{k + 1}" for side in ("LH", "RH") for k in range(n_regions // 2)]


def test_a_gifti_of_several_arrays_asks_which(tmp_path):
    import nibabel

    arrays = [nibabel.gifti.GiftiDataArray(streamline_counts().astype(np.float32)) for _ in range(2)]
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), tmp_path / "sc.shape.gii")
    with pytest.raises(InputError, match=r"(?s)several matrices.*found: darrays\[0\] \(12, 12\), darr.*`key=\"darrays\[0\]\"`"):
        load_connectome(tmp_path / "sc.shape.gii")


def test_connectoflow_with_its_list_of_labels(tmp_path):
    np.save(tmp_path / "sc.npy", streamline_counts())
    (tmp_path / "labels_list.txt").write_text("\n".join(NAMES) + "\n")
    assert load_connectome(tmp_path / "sc.npy", labels=tmp_path / "labels_list.txt").labels == NAMES


def test_enigma_is_logged_already(tmp_path):
    logged = np.log(streamline_counts(68) + np.eye(68)) - np.eye(68)
    (tmp_path / "strucMatrix_ctx.csv").write_text(as_csv(logged))
    names = [f"{'L' if name.startswith('lh') else 'R'}_{name[3:]}" for name in DK68]
    (tmp_path / "strucLabels_ctx.csv").write_text(",".join(names) + "\n")
    kwargs = {"labels": tmp_path / "strucLabels_ctx.csv", "regions": DK68}
    with pytest.raises(InputError, match=r"(?s)looks as if it was logged already.*ENIGMA.*fix: `transform=\"none\"`"):
        load_connectome(tmp_path / "strucMatrix_ctx.csv", **kwargs)
    sc = load_connectome(tmp_path / "strucMatrix_ctx.csv", "none", **kwargs)
    np.testing.assert_allclose(sc.weights, transform_connectome(streamline_counts(68)).weights, rtol=1e-4)
    assert sc.labels == DK68


@pytest.mark.parametrize("transform", ["log", "log1p", "none"])
def test_enigma_with_negative_entries(tmp_path, transform):
    (tmp_path / "sc.csv").write_text(as_csv(np.log(streamline_counts(68) / 10 + np.eye(68))))
    with pytest.raises(InputError, match=r"(?s)sc\.csv has negative entries.*logarithm of weights.*fix: give the weights"):
        load_connectome(tmp_path / "sc.csv", transform)


def test_cubnm_is_scaled_to_its_mean(tmp_path):
    np.savez(tmp_path / "sc.npz", streamline_counts())
    with pytest.warns(InputNote, match="as in raw counts"):
        sc = load_connectome(tmp_path / "sc.npz", "none", scale_mean=0.01)
    np.testing.assert_allclose(sc.weights, streamline_counts() / (100 * streamline_counts().mean()), rtol=1e-14)
    assert sc.weights.mean() == pytest.approx(0.01)
    assert sc.steps == ("scaled to a mean of 0.01",)


# Rows that are no cortex, and rows without names


@pytest.mark.parametrize("variant", ["DK70", "DK70-unknown", "DK71", "DK72", "DK82"])
def test_variants_of_desikan_are_brought_to_68_regions(tmp_path, variant):
    names = DESIKAN_VARIANTS[variant]
    where = [names.index(name) for name in DK68]
    counts = streamline_counts(68)
    # What is left out holds the largest entries, which must not set the scale.
    full = np.full((len(names), len(names)), 1e6)
    full[np.ix_(where, where)] = counts
    write(tmp_path / "sc.csv", full, "csv")
    with pytest.warns(InputNote, match=rf"{len(names) - 68} rows of the connectome .* that are no cortex were left out"):
        sc = load_connectome(tmp_path / "sc.csv", labels=variant, regions=DK68)
    np.testing.assert_array_equal(sc.weights, transform_connectome(counts).weights)


@pytest.mark.parametrize(("n_rows", "message"), [
    (70, r"rows 4, 39.*rows 1, 36.*`labels=\"DK70\"` or `labels=\"DK70-unknown\"`"),
    (71, r"ENIGMA.*rows 1, 5, 40.*`labels=\"DK71\"`"),
    (72, r"'unknown' and the corpus callosum.*rows 1, 5, 37, 41.*`labels=\"DK72\"`"),
    (82, r"14 subcortical rows between the hemispheres.*rows 35 to 48.*`labels=\"DK82\"`"),
    (90, r"another parcellation, or subcortical rows.*`labels=\"FILE\"`"),
])  # fmt: skip
def test_rows_without_names_are_explained(tmp_path, n_rows, message):
    write(tmp_path / "sc.csv", streamline_counts(n_rows), "csv")
    with pytest.raises(InputError, match=rf"(?s)no names of its own.*expected: 68 rows.*found: {n_rows}.*{message}"):
        load_connectome(tmp_path / "sc.csv", regions=DK68)


def test_a_join_by_position_is_said(tmp_path):
    write(tmp_path / "sc.csv", streamline_counts(), "csv")
    sc = load_connectome(tmp_path / "sc.csv", regions=NAMES)
    assert sc.labels == NAMES
    assert sc.steps[0] == "taken in the order of the other inputs, having no names of its own"


@pytest.mark.parametrize("n_names", [10, 14])
def test_labels_of_another_number_are_refused(tmp_path, n_names):
    write(tmp_path / "sc.csv", streamline_counts(), "csv")
    with pytest.raises(InputError, match=rf"(?s)names do not fit the connectome .*sc\.csv.*12 names.*found: {n_names}"):
        load_connectome(tmp_path / "sc.csv", labels=[f"a{k}" for k in range(n_names)])


def test_labels_given_twice_are_refused(tmp_path):
    (tmp_path / "sc.csv").write_text(as_csv(streamline_counts(), names=["a", *NAMES[:10], "a"]))
    with pytest.raises(InputError, match=r"(?s)names of the connectome .*sc\.csv are not unique.*found: a"):
        load_connectome(tmp_path / "sc.csv")


# FC in the same files


@pytest.mark.parametrize("kind", ["csv", "npy", "mat", "GIFTI"])
def test_fc_is_read_from_every_format(tmp_path, kind):
    fc = np.corrcoef(np.random.default_rng(0).normal(size=(12, 50))).astype(np.float32).round(4)
    write(tmp_path / ENDINGS[kind], fc, kind)
    np.testing.assert_allclose(read_matrix(tmp_path / ENDINGS[kind])[0], fc, rtol=1e-5)


def test_fc_of_xcpd_is_read_from_cifti(tmp_path):
    fc = np.corrcoef(np.random.default_rng(0).normal(size=(12, 50))).astype(np.float32)
    values, names = read_matrix(write_pconn(tmp_path / "a_boldmap.pconn.nii", fc, NAMES), "FC")
    np.testing.assert_array_equal(values, fc)
    assert names == NAMES


def test_other_cifti_is_no_matrix(tmp_path):
    series = write_ptseries(tmp_path / "a.ptseries.nii", np.zeros((12, 12), np.float32), NAMES)
    with pytest.raises(InputError, match=r"(?s)FC .*is no matrix.*same parcels twice.*found: Series \(12\) x Parcels \(12\)"):
        read_matrix(series, "FC")
    path = write_pconn(tmp_path / "cut.pconn.nii", np.eye(12, dtype=np.float32), NAMES)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"(?s)cut\.pconn\.nii ends too early.*interrupted"):
        read_matrix(path, "FC")


def test_triangles_of_fc_are_completed(tmp_path):
    fc = np.corrcoef(np.random.default_rng(0).normal(size=(12, 50)))
    np.save(tmp_path / "fc.npy", np.triu(fc))
    with pytest.warns(InputNote, match=r"matrix .*fc\.npy is triangular; it was completed"):
        np.testing.assert_allclose(read_matrix(tmp_path / "fc.npy")[0], fc, rtol=1e-12)


# Names of regions


@pytest.mark.parametrize("text", [
    "a\nb\nc\n", "a,b,c\n", '"a"\n"b"\n"c"\n', "index\tlabel\tnetwork\n1\ta\tVis\n2\tb\tVis\n3\tc\tn/a\n",
    "# FreeSurfer\n0 a 0 0 0 0\n1 b 25 5 25 0\n2 c 10 1 1 0\n", "\ufeffa\r\nb\r\nc\r\n",
    "id,roi,mics,Label\n1,1,1,a\n2,2,2,b\n3,3,3,c\n",
])  # fmt: skip
def test_names_from_every_kind_of_file(tmp_path, text):
    (tmp_path / "labels.txt").write_text(text, encoding="utf-8")
    assert read_labels(tmp_path / "labels.txt") == ("a", "b", "c")


def test_built_in_names():
    assert read_labels("DK72") == DESIKAN_VARIANTS["DK72"]
    with pytest.raises(MissingInputError, match="region names file is not there: DK73"):
        read_labels("DK73")


def test_files_without_names(tmp_path):
    (tmp_path / "labels.csv").write_text("id,colour\n1,red\n2,blue\n")
    with pytest.raises(
        InputError, match=r"(?s)no column of region names.*expected: a column called label.*found: columns id, colour"
    ):
        read_labels(tmp_path / "labels.csv")
    (tmp_path / "labels.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match="holds no region names"):
        read_labels(tmp_path / "labels.txt")
    np.save(tmp_path / "labels.npy", np.zeros(3))
    with pytest.raises(InputError, match="not a UTF-8 text file"):
        read_labels(tmp_path / "labels.npy")


# Real files


def test_every_recorded_connectome_is_read(shared):
    paths = sorted((shared / "data").glob("*/*/SC.csv"))
    assert len(paths) >= 20
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sc = load_connectome(path, "log1p")
        assert sc.n_regions in (68, 94, 100)
        counts = np.loadtxt(path, delimiter=",")
        np.fill_diagonal(counts, 0)
        np.testing.assert_allclose(sc.weights, np.log1p(counts) * 0.02 / np.log1p(counts).max(), rtol=1e-12)
