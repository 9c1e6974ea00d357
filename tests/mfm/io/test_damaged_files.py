"""Damaged files of any format are told as such: no other exception, no crash, no memory for data that are not there."""

from __future__ import annotations

import gzip
import io
import zipfile

import nibabel
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from mfm.errors import InputError, MfmfitError
from mfm.io.folders.peek import peek
from mfm.io.folders.tree import walk
from mfm.io.formats.bids import read_sidecar
from mfm.io.formats.containers import matrices_by_name
from mfm.io.formats.format import RegionFile, Request
from mfm.io.formats.mat_elements import check_elements
from mfm.io.formats.registry import read_file

X = np.arange(12.0).reshape(4, 3)
pytestmark = pytest.mark.filterwarnings("ignore")


def saved(contents, **keywords) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, contents, **keywords)
    return file.getvalue()


MAT_FILES = {
    "matrix": saved({"bold": X}),
    "compressed": saved({"bold": X}, do_compression=True),
    "struct": saved({"s": {"ts": X, "name": "rest"}}),
    "cell": saved({"c": np.array(["lh-a", X], dtype=object)}),
    "sparse": saved({"sc": scipy.sparse.csc_matrix(np.eye(4))}),
    "complex": saved({"z": X + 1j}),
    "logical and text": saved({"mask": X > 3, "names": ["lh-a", "rh-b"], "n": np.int16(3)}),
}


@pytest.mark.parametrize("kind", MAT_FILES)
def test_undamaged_mat_files_pass(kind):
    check_elements(MAT_FILES[kind])


@pytest.mark.parametrize("kind", MAT_FILES)
def test_a_mat_file_with_one_wrong_byte_is_read_or_refused(tmp_path, kind):
    path = tmp_path / "x.mat"
    for at in range(126, len(MAT_FILES[kind])):
        content = bytearray(MAT_FILES[kind])
        content[at] ^= 0x5A
        path.write_bytes(content)
        try:
            read_file(path, "matrix", Request("matrix"))
        except InputError:
            continue


def test_a_level_4_file_is_as_long_as_it_tells(tmp_path):
    content = saved({"bold": X}, format="4")
    (tmp_path / "x.mat").write_bytes(content)
    np.testing.assert_array_equal(read_file(tmp_path / "x.mat", "matrix", Request("matrix")).arrays["bold"], X)
    (tmp_path / "x.mat").write_bytes(content[:4] + b"\x00\x00\x00\x10" + content[8:])
    with pytest.raises(InputError, match="a matrix of 268435456 x 3"):
        read_file(tmp_path / "x.mat", "matrix", Request("matrix"))


def test_a_sparse_matrix_beyond_memory_is_refused(tmp_path):
    huge = scipy.sparse.csc_matrix((np.ones(1), ([0], [0])), shape=(10**6, 10**4))
    (tmp_path / "x.mat").write_bytes(saved({"sc": huge}))
    with pytest.raises(InputError, match=r"a sparse matrix of shape \(1000000, 10000\): vertices or voxels"):
        read_file(tmp_path / "x.mat", "matrix", Request("matrix"))


def test_indices_beyond_a_sparse_matrix_are_refused(tmp_path):
    matrix = scipy.sparse.csr_matrix(np.eye(4))
    matrix.indices[2] = 10**6
    scipy.sparse.save_npz(tmp_path / "x.npz", matrix)
    with pytest.raises(InputError, match=r"(?s)Cannot read .*x\.npz"):
        read_file(tmp_path / "x.npz", "matrix", Request("matrix"))


def test_a_matrix_of_vertices_within_a_struct_is_passed_over(tmp_path):
    huge = scipy.sparse.csc_matrix((np.ones(1), ([0], [0])), shape=(10**6, 10**4))
    (tmp_path / "x.mat").write_bytes(saved({"s": {"dense": huge, "sc": np.eye(4)}}))
    assert list(matrices_by_name(read_file(tmp_path / "x.mat", "matrix", Request("matrix")).arrays)) == ["s/sc"]


def test_other_files_in_an_archive_are_passed_over(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("notes.txt", "of the scanner")
        file = io.BytesIO()
        np.save(file, X)
        archive.writestr("bold.npy", file.getvalue())
    assert list(read_file(tmp_path / "x.npz", "matrix", Request("matrix")).arrays) == ["bold"]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("x.npy", lambda content: content.replace(b"(4, 3)", b"(4, 3(")),
        ("x.npy", lambda content: content.replace(b"<f8", b",,8")),
        ("x.npy", lambda content: content.replace(b"'shape': (4, 3), }            ", b"'shape': (4000000000, 300000), }")),
        ("x.npz", lambda content: content[:-30]),
        ("x.mat", lambda content: content[:200]),
        ("x.gii", lambda content: content.replace(b"</DataArray>", b"</Data>")),
        ("x.gii", lambda content: content.replace(b'encoding="UTF-8"', b'encoding="UTF-9"')),
        ("x.ptseries.nii", lambda content: content.replace(b"<Matrix>", b"<Matrix<")),
    ],
)
def test_what_decoders_raise_is_told_as_damage(tmp_path, name, damage):
    from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ParcelsAxis, SeriesAxis
    from nibabel.gifti import GiftiDataArray, GiftiImage

    path = tmp_path / name
    if name.endswith(".npy"):
        np.save(path, X)
    elif name.endswith(".npz"):
        np.savez(path, X)
    elif name.endswith(".mat"):
        path.write_bytes(MAT_FILES["matrix"])
    elif name.endswith(".gii"):
        path.write_bytes(GiftiImage(darrays=[GiftiDataArray(X.astype(np.float32))]).to_bytes())
    else:
        brain = BrainModelAxis.from_surface(np.arange(3), 3, "CIFTI_STRUCTURE_CORTEX_LEFT")
        parcels = ParcelsAxis.from_brain_models([(f"area-{k}", brain[[k]]) for k in range(3)])
        Cifti2Image(X, (SeriesAxis(0, 0.72, 4), parcels)).to_filename(path)
    whole = path.read_bytes()
    assert damage(whole) != whole
    path.write_bytes(damage(whole))
    with pytest.raises(InputError, match=r"Cannot read .*x\."):
        read_file(path, "time series", Request("timeseries"))
    for file in walk(tmp_path):
        peek(file)


def test_a_compressed_volume_cannot_hold_more_than_its_bytes(tmp_path):
    image = nibabel.Nifti1Image(np.ones((2, 2, 2, 5), np.float32), np.eye(4))
    nibabel.Nifti1Image(np.ones((2, 2, 2), np.int16), np.eye(4)).to_filename(tmp_path / "atlas.nii")
    content = bytearray(image.to_bytes())
    content[42:50] = np.array([1000, 1000, 1000, 200], "<i2").tobytes()
    (tmp_path / "bold.nii.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match=r"(?s)bold\.nii\.gz ends too early.*1000 x 1000 x 1000 x 200"):
        read_file(tmp_path / "bold.nii.gz", "time series", Request("timeseries", regions=RegionFile(tmp_path / "atlas.nii")))


def test_brackets_without_end_are_no_sidecar(tmp_path):
    (tmp_path / "x.csv").write_text("1,2\n")
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="is not JSON"):
        read_sidecar(tmp_path / "x.csv")


@pytest.mark.parametrize("content", ['{"RepetitionTime": %s}', '{"VolumeTiming": [0, %s]}'])
def test_a_number_beyond_floats_is_no_duration(tmp_path, content):
    (tmp_path / "x.csv").write_text("1,2\n")
    (tmp_path / "x.json").write_text(content % ("9" * 400))
    with pytest.raises(InputError, match=r"is no duration|is no list of times"):
        _ = read_sidecar(tmp_path / "x.csv").tr_s


def test_an_error_of_the_system_is_none_of_the_file(tmp_path, monkeypatch):
    from mfm.io.formats.npy import NpyFormat

    def fails(self, file, request):
        raise OSError(5, "Input/output error")

    np.save(tmp_path / "x.npy", X)
    monkeypatch.setattr(NpyFormat, "read", fails)
    with pytest.raises(OSError, match="Input/output error") as error:
        read_file(tmp_path / "x.npy", "matrix", Request("matrix"))
    assert not isinstance(error.value, MfmfitError)
