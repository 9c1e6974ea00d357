"""Which array of a file with several is taken, and that it is told."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from mfm import load_connectome, load_subject
from mfm.errors import InputError, InputNote
from mfm.io import DataFiles, load_timeseries
from mfm.io.formats.containers import matrices_by_name
from mfm.io.readers.connectomes import transform_connectome
from tests.made_up_inputs import TR_S, N, connectome, recording, runs, streamlines


def assert_counts(sc, factor=1):
    np.testing.assert_array_equal(sc.weights, transform_connectome(factor * streamlines()).weights)


@pytest.mark.parametrize("axis", [0, 2])
def test_matrices_of_a_stack_are_chosen_by_number(tmp_path, axis):
    np.savez(tmp_path / "x.npz", SC=np.stack([streamlines(), 2 * streamlines()], axis=axis))
    with pytest.raises(InputError, match=r"(?s)several matrices.*SC/1 \(20, 20\) to SC/2 \(2 matrices\).*fix: `key=\"SC/1\"`"):
        load_connectome(tmp_path / "x.npz")
    assert_counts(load_connectome(tmp_path / "x.npz", key="SC/2"), 2)


def test_cells_and_structs_are_looked_into(tmp_path):
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = streamlines(), 2 * streamlines()
    scipy.io.savemat(tmp_path / "x.mat", {"subjects": cells, "study": {"SC": 3 * streamlines(), "n": 2}})
    with pytest.raises(InputError, match=r"(?s)subjects/1 .* to subjects/2 .*study/SC") as error:
        load_connectome(tmp_path / "x.mat")
    assert '`key="subjects/1"`' in str(error.value)
    assert_counts(load_connectome(tmp_path / "x.mat", key="study/SC"), 3)
    assert_counts(load_connectome(tmp_path / "x.mat", key="subjects/2"), 2)


def test_a_stack_beside_one_matrix_is_never_passed_over(tmp_path):
    scipy.io.savemat(tmp_path / "x.mat", {"SC_subjects": np.stack([streamlines()] * 2, -1), "distance": streamlines()})
    with pytest.raises(InputError, match=r"(?s)several matrices.*SC_subjects/1.*distance.*fix: `key=\"SC_subjects/1\"`, or"):
        load_connectome(tmp_path / "x.mat")


def test_the_only_matrix_inside_a_struct_is_taken_and_told(tmp_path):
    scipy.io.savemat(tmp_path / "ts.mat", {"data": {"ts": recording(1)}})
    with pytest.warns(InputNote, match=r"Of .*ts\.mat the array data/ts \(420, 20\) was taken\."):
        series = load_timeseries(tmp_path / "ts.mat", orientation="frames_by_regions")
    np.testing.assert_allclose(series.values, recording(1))


def test_the_only_square_matrix_is_the_connectome(tmp_path):
    np.savez(tmp_path / "x.npz", bold=recording(1), counts=streamlines())
    with pytest.warns(
        InputNote, match=r"array counts \(20, 20\) was taken; it also holds bold \(420, 20\) \(`key=\"NAME\"` takes"
    ):
        sc = load_connectome(tmp_path / "x.npz")
    assert_counts(sc)
    assert sc.steps[0] == "array counts of the file"


def test_scalars_and_names_are_no_choice(tmp_path):
    scipy.io.savemat(tmp_path / "x.mat", {"SC": streamlines(), "age": 31, "names": "of nothing", "ids": np.arange(20)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sc = load_connectome(tmp_path / "x.mat")
    assert sc.steps[0] == "array SC of the file"


def test_what_was_taken_is_kept_by_the_subject(tmp_path):
    np.savez(tmp_path / "x.npz", bold=recording(1), counts=streamlines())
    files = DataFiles(sc=str(tmp_path / "x.npz"), timeseries=runs(tmp_path))
    with pytest.warns(InputNote, match="array counts"):
        subject = load_subject(files, TR_S)
    assert any("array counts (20, 20) was taken" in note for note in subject.notes)


@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, scipy.sparse.coo_matrix])
def test_sparse_matrices_of_scipy_are_read(tmp_path, kind):
    scipy.sparse.save_npz(tmp_path / "sc.npz", kind(streamlines()))
    assert_counts(load_connectome(tmp_path / "sc.npz"))


def test_a_sparse_matrix_that_no_memory_holds_is_refused(tmp_path):
    huge = scipy.sparse.coo_matrix(([1.0], ([0], [1])), shape=(2_000_000, 2_000_000))
    scipy.sparse.save_npz(tmp_path / "sc.npz", huge)
    with pytest.raises(InputError, match=r"(?s)Cannot read .*sc\.npz.*found: a sparse matrix of shape"):
        load_connectome(tmp_path / "sc.npz")


def test_an_fc_has_no_key_to_type(tmp_path):
    from mfm.io import read_matrix

    np.savez(tmp_path / "fc.npz", a=np.eye(4), b=np.eye(4))
    with pytest.raises(InputError, match=r"(?s)several matrices.*fix: save the matrix that is meant by itself") as error:
        read_matrix(tmp_path / "fc.npz", "FC")
    assert "`" not in str(error.value)


def test_a_stack_of_runs_is_told(tmp_path):
    np.savez(tmp_path / "x.npz", runs=np.stack([recording(1), recording(2)]))
    with pytest.raises(InputError, match=r"(?s)holds no matrix.*found: runs \(2, 420, 20\).*stack of which no two.*by itself"):
        load_timeseries(tmp_path / "x.npz")


def test_deep_and_long_containers_end():
    nested = streamlines()
    for _ in range(50):
        nested, inner = np.empty((1, 1), dtype=object), nested
        nested[0, 0] = inner
    assert matrices_by_name({"x": nested}) == {}
    assert len(matrices_by_name({"x": np.ones((3, 3, 6000))})) == 5000


def test_orders_of_magnitude_are_those_of_the_fixture(tmp_path):
    assert load_connectome(connectome(tmp_path)).n_regions == N
