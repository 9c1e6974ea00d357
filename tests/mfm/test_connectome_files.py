"""Connectomes in the files that tools write, joined by name; and what is told of files that are not what they seem."""

from __future__ import annotations

import gzip
import warnings

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm import load_connectome
from mfm.atlas import DESIKAN_VARIANTS
from mfm.errors import InputError, InputNote, MissingInputError
from mfm.io import read_labels, read_matrix
from mfm.io.connectomes import transform_connectome

DK68 = DESIKAN_VARIANTS["DK68"]
NAMES = tuple(f"Region{k}" for k in range(12))


def streamline_counts(n_regions=12, seed=0):
    """Symmetric whole counts over several orders of magnitude, above 1, with a zero diagonal."""
    rng = np.random.default_rng(seed)
    counts = np.floor(10 ** rng.uniform(0.5, 4, (n_regions, n_regions)))
    counts = np.triu(counts, 1)
    return counts + counts.T


def as_csv(matrix, delimiter=",", names=None):
    rows = [delimiter.join(f"{value:g}" for value in row) for row in matrix]
    return "\n".join(([delimiter.join(names)] if names else []) + rows) + "\n"


def write_gifti(path, matrix, encoding="GIFTI_ENCODING_B64GZ"):
    import nibabel

    array = nibabel.gifti.GiftiDataArray(np.asarray(matrix, dtype=np.float32), encoding=encoding)
    nibabel.save(nibabel.gifti.GiftiImage(darrays=[array]), path)


def write_qsirecon(path, matrices, labels, cell=False):
    """``{(atlas, measure): matrix}`` as QSIRecon lays it out."""
    content = {}
    for (atlas, measure), matrix in matrices.items():
        content[f"atlas_{atlas}_region_ids"] = np.arange(1, len(matrix) + 1)
        content[f"atlas_{atlas}_region_labels"] = np.array(labels, dtype=object) if cell else np.array(labels)
        content[f"atlas_{atlas}_{measure}_connectivity"] = matrix
    scipy.io.savemat(path, content)


def write(path, matrix, kind):
    if kind in ("csv", "tsv", "txt"):
        path.write_text(as_csv(matrix, {"csv": ",", "tsv": "\t", "txt": " "}[kind]))
    elif kind == "MRtrix":
        path.write_text("# command_history: tck2connectome tracks.tck nodes.mif sc.csv (version=3.0.4)\n" + as_csv(matrix, " "))
    elif kind == "csv.gz":
        path.write_bytes(gzip.compress(as_csv(matrix).encode()))
    elif kind.endswith("npy"):
        np.save(path, matrix.astype({"npy": "<f8", "big-endian npy": ">f8", "uint16 npy": "<u2"}[kind]))
    elif kind == "npz":
        np.savez(path, matrix)
    elif kind == "mat":
        scipy.io.savemat(path, {"SC": matrix, "age": 31, "names": "of nothing"}, appendmat=False)
    elif kind == "mat 4":
        scipy.io.savemat(path, {"SC": matrix}, format="4", appendmat=False)
    elif kind == "sparse mat":
        scipy.io.savemat(path, {"SC": scipy.sparse.csc_matrix(matrix)}, appendmat=False)
    elif kind.startswith("GIFTI"):
        write_gifti(path, matrix, "GIFTI_ENCODING_ASCII" if "ascii" in kind else "GIFTI_ENCODING_B64GZ")


ENDINGS = {
    "csv": "sc.csv", "tsv": "sc.tsv", "txt": "sc.txt", "MRtrix": "sc.csv", "csv.gz": "sc.csv.gz", "npy": "sc.npy",
    "big-endian npy": "sc.npy", "uint16 npy": "sc.npy", "npz": "ctx_desc-strength.npz", "mat": "sc.mat", "mat 4": "sc.mat",
    "sparse mat": "sc.mat", "GIFTI": "full-connectome.shape.gii", "GIFTI ascii": "full-connectome.shape.gii",
}  # fmt: skip


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
    return np.pad(counts, ((1, 0), (1, 0)), constant_values=777)


@pytest.mark.parametrize("how", ["labels", "regions"])
def test_the_row_of_unassigned_streamlines_is_told(tmp_path, how):
    write(tmp_path / "sc.csv", unassigned(streamline_counts()), "csv")
    with pytest.raises(
        InputError,
        match=r"(?s)sc\.csv has one row more than there are regions.*expected: 12 rows.*found: 13.*-keep_unassigned.*"
        r"fix: drop_unassigned=True \(data\.sc_file\.drop_unassigned=true\)",
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
    ({}, r"connectomes of 2 atlases.*expected: 4S156Parcels \| Glasser.*fix: atlas=4S156Parcels \(data\.sc_file\.atlas\)"),
    ({"atlas": "AAL"}, r"no connectome of atlas 'AAL'.*expected: 4S156Parcels \| Glasser"),
    ({"atlas": "4S156Parcels"}, r"3 measures for atlas 4S156Parcels; which.*expected: " + r" \| ".join(MEASURES)
     + r".*fix: measure=sift_invnodevol_radius2_count"),
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
    with pytest.raises(InputError, match=r"(?s)several matrices.*found: darrays\[0\] \(12, 12\), darr.*key=darrays\[0\]"):
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
    with pytest.raises(InputError, match=r"(?s)looks as if it was logged already.*ENIGMA.*fix: transform=\"none\""):
        load_connectome(tmp_path / "strucMatrix_ctx.csv", **kwargs)
    sc = load_connectome(tmp_path / "strucMatrix_ctx.csv", "none", **kwargs)
    np.testing.assert_allclose(sc.weights, transform_connectome(streamline_counts(68)).weights, rtol=1e-4)
    assert sc.labels == DK68


@pytest.mark.parametrize("transform", ["log", "log1p", "none"])
def test_enigma_with_negative_entries(tmp_path, transform):
    (tmp_path / "sc.csv").write_text(as_csv(np.log(streamline_counts(68) / 10 + np.eye(68))))
    with pytest.raises(InputError, match=r"(?s)sc\.csv has negative entries.*already logged.*fix: undo the logarithm"):
        load_connectome(tmp_path / "sc.csv", transform)


def test_cubnm_is_scaled_to_its_mean(tmp_path):
    np.savez(tmp_path / "sc.npz", streamline_counts())
    with pytest.warns(InputNote, match="as in raw counts"):
        sc = load_connectome(tmp_path / "sc.npz", "none", scale_mean=0.01)
    np.testing.assert_allclose(sc.weights, streamline_counts() / (100 * streamline_counts().mean()), rtol=1e-14)
    assert sc.weights.mean() == pytest.approx(0.01)
    assert sc.steps == ("scaled to a mean of 0.01",)


# Rows that are no cortex, and rows without names


@pytest.mark.parametrize("variant", ["DK70", "DK70-unknown", "DK72", "DK82"])
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
    (70, r"rows 4, 39.*rows 1, 36.*labels=DK70 or DK70-unknown"),
    (72, r"'unknown' and the corpus callosum.*rows 1, 5, 37, 41.*labels=DK72 \(data\.sc_file\.labels\)"),
    (82, r"14 subcortical rows between the hemispheres.*rows 35 to 48.*labels=DK82"),
    (90, r"another parcellation, or subcortical rows.*labels=FILE"),
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


# Matrices that are not what they seem


def lengths(n_regions=40):
    rng = np.random.default_rng(1)
    values = np.triu(rng.uniform(20, 250, (n_regions, n_regions)), 1)
    return values + values.T


@pytest.mark.parametrize("transform", ["log", "log1p"])
def test_tract_lengths_are_refused(transform):
    with pytest.raises(
        InputError,
        match=r"(?s)looks like tract lengths in mm.*found: non-zero entries from 2\d.*tract_length, edge"
        r".*fix: give the matrix of counts",
    ):
        transform_connectome(lengths(), transform)


def test_tract_lengths_as_they_are_are_noted():
    with pytest.warns(InputNote, match="looks like tract lengths in mm: non-zero entries from"):
        transform_connectome(lengths(), "none")


@pytest.mark.parametrize("transform", ["log", "log1p"])
def test_a_logged_matrix_is_not_logged_again(transform):
    logged = np.log(streamline_counts(40) + np.eye(40))
    with pytest.raises(InputError, match=r"(?s)looks as if it was logged already.*found: non-zero.*fix: transform=\"none\""):
        transform_connectome(logged, transform)
    assert transform_connectome(logged, "none").n_regions == 40


def skewed_counts(n_regions=40):
    rng = np.random.default_rng(2)
    values = np.triu(np.ceil(rng.lognormal(4, 2, (n_regions, n_regions))) + 1, 1)
    return values + values.T


def test_raw_counts_without_logarithm_are_noted():
    with pytest.warns(
        InputNote, match=r"largest weight is \d+ times the median, as in raw counts; .*log1p.*data\.sc_transform"
    ):
        transform_connectome(skewed_counts(), "none")
    transform_connectome(skewed_counts(), "log")


def test_normalised_weights_are_noted_under_log1p():
    with pytest.warns(InputNote, match=r"times the median, as in raw counts; log1p changes weights far below 1 little"):
        transform_connectome(skewed_counts() / 1e6, "log1p")


def test_a_diagonal_is_told():
    counts = streamline_counts() + np.diag(np.arange(12.0))
    assert transform_connectome(counts).steps[0] == "diagonal set to zero (11 entries, up to 11)"
    assert transform_connectome(streamline_counts()).steps[0] == "log of the non-zero entries"


def test_an_asymmetric_matrix_is_noted_or_averaged():
    counts = streamline_counts()
    counts[0, 1] = counts[1, 0] + counts.max() / 4
    with pytest.warns(InputNote, match=r"not symmetric \(differences up to \d+% of the maximum\).*symmetrise=True"):
        sc = transform_connectome(counts)
    assert (sc.weights != sc.weights.T).any()
    averaged = transform_connectome(counts, symmetrise=True)
    np.testing.assert_array_equal(averaged.weights, transform_connectome((counts + counts.T) / 2).weights)
    assert averaged.steps[0] == "averaged with its transpose"


def test_rounding_is_no_asymmetry():
    counts = streamline_counts()
    counts[0, 1] *= 1 + 1e-12
    transform_connectome(counts)


@pytest.mark.parametrize("rows", [[3], [0, 7]])
def test_regions_without_connections_are_named(rows):
    counts = streamline_counts()
    counts[rows] = counts[:, rows] = 0
    with pytest.warns(
        InputNote, match=rf"{len(rows)} of 12 regions are connected to nothing: {NAMES[rows[0]]}.*corpus callosum"
    ):
        transform_connectome(counts, labels=NAMES)


def test_separate_parts_are_noted():
    counts = streamline_counts()
    counts[:5, 5:] = counts[5:, :5] = 0
    with pytest.warns(InputNote, match=r"falls into parts that nothing connects, of 7, 5 regions"):
        transform_connectome(counts)


def test_integers_that_overflowed_are_told(tmp_path):
    counts = np.full((12, 12), 40000)
    np.save(tmp_path / "sc.npy", counts.astype(np.int16))
    with pytest.raises(
        InputError, match=r"(?s)negative whole numbers, minimum -25536, type int16.*did not fit into int16.*as float"
    ):
        load_connectome(tmp_path / "sc.npy")


@pytest.mark.parametrize("kind", ["<f8", "<f4", "<i4", "<i8"])
def test_the_other_byte_order_is_told(tmp_path, kind):
    swapped = (streamline_counts() + 1).astype(kind).byteswap()
    np.save(tmp_path / "sc.npy", swapped)
    with pytest.raises(
        InputError, match=r"(?s)of the other byte order.*found: values such as .*with swapped bytes are \d.*byteswap"
    ):
        load_connectome(tmp_path / "sc.npy")


@pytest.mark.parametrize("bad", ["nan", "inf", "n/a", ""])
def test_entries_that_are_no_numbers_are_told(tmp_path, bad):
    text = as_csv(streamline_counts()).split("\n")
    text[2] = ",".join([bad, *text[2].split(",")[1:]])
    (tmp_path / "sc.csv").write_text("\n".join(text))
    with pytest.raises(InputError, match=r"(?s)not finite.*found: 1 NaN or infinite entries, in rows \[2\]"):
        load_connectome(tmp_path / "sc.csv")


# Files that are damaged, or of another kind


@pytest.mark.parametrize("kind", ["csv.gz", "npy", "npz", "mat", "GIFTI"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_files_are_refused(tmp_path, kind, share):
    path = tmp_path / ENDINGS[kind]
    write(path, streamline_counts(60), kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"(?s)(damaged|Cannot read).*found: .*likely cause: .*(cut off|truncated)") as error:
        load_connectome(path)
    assert path.name in str(error.value)


def test_matlab_7_3_is_told(tmp_path):
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Nov  2 2026 HDF5 schema 1.00 .".ljust(512, b"\0")
    (tmp_path / "sc.mat").write_bytes(head + b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    with pytest.raises(InputError, match=r"(?s)is a MATLAB 7\.3 file.*fix: in MATLAB: save\(.*'-v7'\)"):
        load_connectome(tmp_path / "sc.mat")


def test_keys_of_a_mat_file_are_listed(tmp_path):
    scipy.io.savemat(tmp_path / "sc.mat", {"counts": streamline_counts(), "lengths": streamline_counts(), "age": 31})
    with pytest.raises(InputError, match=r"(?s)several matrices.*found: counts \(12, 12\), lengths \(12, 12\), age .*=counts"):
        load_connectome(tmp_path / "sc.mat")
    with pytest.raises(InputError, match=r"(?s)no matrix of real numbers named 'SC'.*names counts.*data\.sc_file\.key=counts"):
        load_connectome(tmp_path / "sc.mat", key="SC")
    assert load_connectome(tmp_path / "sc.mat", key="counts").n_regions == 12


def test_a_mat_file_without_a_matrix(tmp_path):
    scipy.io.savemat(tmp_path / "sc.mat", {"SC": {"weights": streamline_counts()}})
    with pytest.raises(InputError, match=r"(?s)holds no matrix.*found: SC"):
        load_connectome(tmp_path / "sc.mat")


def test_an_archive_of_objects_is_refused(tmp_path):
    np.savez(tmp_path / "sc.npz", sc=np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"(?s)Cannot read .*sc\.npz.*objects rather than numbers"):
        load_connectome(tmp_path / "sc.npz")


def test_images_are_told(tmp_path):
    import nibabel

    nibabel.save(nibabel.Nifti2Image(np.zeros((4, 4, 4), dtype=np.float32), np.eye(4)), tmp_path / "sc.nii.gz")
    with pytest.raises(InputError, match=r"(?s)is a NIfTI or CIFTI image.*fix: wb_command -cifti-convert -to-text"):
        load_connectome(tmp_path / "sc.nii.gz")


def test_other_content_is_told(tmp_path):
    (tmp_path / "sc.xlsb").write_bytes(b"\xd0\xcf\x11\xe0" + b"\0" * 100)
    with pytest.raises(InputError, match=r"(?s)Cannot read .*sc\.xlsb.*expected: csv, tsv.*found: content that starts with"):
        load_connectome(tmp_path / "sc.xlsb")


def test_an_empty_file_is_told(tmp_path):
    (tmp_path / "sc.csv").write_text("\n")
    with pytest.raises(InputError, match=r"(?s)Cannot read .*sc\.csv.*found: an empty file"):
        load_connectome(tmp_path / "sc.csv")


@pytest.mark.parametrize(("pointer", "fix"), [
    ("/annex/objects/SHA256E-s4--abc.csv\n", "datalad get"),
    ("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 4\n", "git lfs pull"),
])  # fmt: skip
def test_content_that_was_not_fetched_is_told(tmp_path, pointer, fix):
    (tmp_path / "sc.csv").write_text(pointer)
    with pytest.raises(MissingInputError, match=rf"(?s)was not fetched.*fix: {fix}") as error:
        load_connectome(tmp_path / "sc.csv")
    assert error.value.exit_code == 66


def test_a_broken_annex_link_is_told(tmp_path):
    (tmp_path / "sc.npy").symlink_to(".git/annex/objects/x/y/SHA256E-s4--abc.npy")
    with pytest.raises(MissingInputError, match=r"(?s)link to a file that is not there.*git-annex.*fix: datalad get"):
        load_connectome(tmp_path / "sc.npy")


# FC in the same files


@pytest.mark.parametrize("kind", ["csv", "npy", "mat", "GIFTI"])
def test_fc_is_read_from_every_format(tmp_path, kind):
    fc = np.corrcoef(np.random.default_rng(0).normal(size=(12, 50))).astype(np.float32).round(4)
    write(tmp_path / ENDINGS[kind], fc, kind)
    np.testing.assert_allclose(read_matrix(tmp_path / ENDINGS[kind])[0], fc, rtol=1e-5)


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


def test_recorded_tract_lengths_are_refused(shared):
    with pytest.raises(InputError, match="looks like tract lengths"):
        load_connectome(shared / "data/schaefer100-7n/sub-100206/tract_length.csv")


def test_recorded_counts_without_logarithm_are_noted(shared):
    for name in ("dk68/group-train", "dk68-ebrains/sub-000", "schaefer100-17n/group-train", "aal2-94/sub-101309"):
        with pytest.warns(InputNote, match="as in raw counts"):
            load_connectome(shared / f"data/{name}/SC.csv", "none")
