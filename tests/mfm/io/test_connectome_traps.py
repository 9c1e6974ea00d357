"""Connectomes that are not what they seem, and files that are damaged: what is told."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io
from matrix_files import ENDINGS, NAMES, as_csv, streamline_counts, write

from mfm import load_connectome
from mfm.errors import InputError, InputNote, MissingInputError
from mfm.io.readers.connectomes import transform_connectome


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
    with pytest.raises(InputError, match=r"(?s)looks as if it was logged already.*found: non-zero.*fix: `transform=\"none\"`"):
        transform_connectome(logged, transform)
    assert transform_connectome(logged, "none").n_regions == 40


def skewed_counts(n_regions=40):
    rng = np.random.default_rng(2)
    values = np.triu(np.ceil(rng.lognormal(4, 2, (n_regions, n_regions))) + 1, 1)
    return values + values.T


def test_raw_counts_without_logarithm_are_noted():
    with pytest.warns(InputNote, match=r"largest weight is \d+ times the median, as in raw counts; .*`transform=\"log1p\"`"):
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
    with pytest.warns(InputNote, match=r"not symmetric \(differences up to \d+% of the maximum\).*`symmetrise=True`"):
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
    with pytest.raises(InputError, match=r"(?s)not finite.*found: 1 NaN or infinite entries, in rows 3 \(counted"):
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
    with pytest.raises(
        InputError, match=r"(?s)several matrices.*found: counts \(12, 12\), lengths \(12, 12\)\n.*`key=\"counts\""
    ):
        load_connectome(tmp_path / "sc.mat")
    with pytest.raises(InputError, match=r"(?s)no matrix of real numbers named 'SC'.*names counts.*`key=\"counts\"`"):
        load_connectome(tmp_path / "sc.mat", key="SC")
    assert load_connectome(tmp_path / "sc.mat", key="counts").n_regions == 12


def test_a_mat_file_without_a_matrix(tmp_path):
    scipy.io.savemat(tmp_path / "sc.mat", {"SC": {"weights": np.arange(12.0)}})
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


# Real files


def test_recorded_tract_lengths_are_refused(shared):
    with pytest.raises(InputError, match="looks like tract lengths"):
        load_connectome(shared / "data/schaefer100-7n/sub-100206/tract_length.csv")


def test_recorded_counts_without_logarithm_are_noted(shared):
    for name in ("dk68/group-train", "dk68-ebrains/sub-000", "schaefer100-17n/group-train", "aal2-94/sub-101309"):
        with pytest.warns(InputNote, match="as in raw counts"):
            load_connectome(shared / f"data/{name}/SC.csv", "none")
