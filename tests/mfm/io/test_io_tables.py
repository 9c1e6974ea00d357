"""Arrays and names from files, and files that are there whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mfm.brain.atlas import order_by_name
from mfm.errors import InputError, InputNote, MissingInputError, OutputError
from mfm.io import read_fcd_cdf, read_labels, read_map, read_matrix, write_atomic, write_json, write_tsv
from mfm.io.formats.tables import existing_file, file_digest, read_table
from mfm.io.readers.maps import read_raw_map
from mfm.subject import check_timeseries

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": " "}
NAMES = ("lh-bankssts", "lh-cuneus", "rh-bankssts", "rh-cuneus")

region_names = st.from_regex(r"(lh|rh|ctx-lh|7Networks_RH)[-_][A-Za-z0-9_.+]{1,12}", fullmatch=True)
numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


def save(path, values, columns=None, rows=None, corner=""):
    """A table as spreadsheets write it, with names of columns and rows where given."""
    if path.suffix == ".npy":
        np.save(path, values)
        return path
    lines = [[*([name] if rows else []), *map(repr, map(float, row))] for name, row in zip(rows or values, values, strict=True)]
    if columns:
        lines.insert(0, [*([corner] if rows else []), *columns])
    with path.open("w", newline="") as handle:
        csv.writer(handle, delimiter=SEPARATORS[path.suffix]).writerows(lines)
    return path


@st.composite
def matrices(draw):
    """A square matrix with names, and an order to shuffle it to. Not a triangle: reading completes those."""
    names = draw(st.lists(region_names, min_size=2, max_size=6, unique=True))
    values = np.reshape(draw(st.lists(numbers, min_size=len(names) ** 2, max_size=len(names) ** 2)), (len(names), -1))
    assume(np.tril(values, -1).any() == np.triu(values, 1).any())
    return values, tuple(names), draw(st.permutations(range(len(names))))


def ordered(path, wanted):
    values, names = read_matrix(path)
    order = order_by_name(names, wanted, path.name)
    return values[np.ix_(order, order)]


@settings(max_examples=25, deadline=None)
@given(matrix=matrices(), suffix=st.sampled_from([".csv", ".tsv", ".txt", ".npy"]))
def test_a_matrix_without_names_comes_back(tmp_path_factory, matrix, suffix):
    values, _, _ = matrix
    read, names = read_matrix(save(tmp_path_factory.mktemp("round") / f"sc{suffix}", values))
    np.testing.assert_array_equal(read, values)
    assert (names, read.dtype) == (None, np.float64)


@settings(max_examples=25, deadline=None)
@given(matrix=matrices(), suffix=st.sampled_from([".csv", ".tsv"]), named=st.sampled_from(["columns", "rows", "both"]))
def test_a_matrix_with_names_comes_back(tmp_path_factory, matrix, suffix, named):
    values, names, _ = matrix
    sides = {side: names for side in ("columns", "rows") if named in (side, "both")}
    read, read_names = read_matrix(save(tmp_path_factory.mktemp("round") / f"sc{suffix}", values, **sides))
    np.testing.assert_array_equal(read, values)
    assert read_names == names


@settings(max_examples=25, deadline=None)
@given(matrix=matrices())
def test_a_space_separated_matrix_with_names_comes_back(tmp_path_factory, matrix):
    values, names, _ = matrix
    read, read_names = read_matrix(save(tmp_path_factory.mktemp("round") / "sc.txt", values, names, names, corner="Node"))
    np.testing.assert_array_equal(read, values)
    assert read_names == names


@settings(max_examples=25, deadline=None)
@given(matrix=matrices(), suffix=st.sampled_from([".csv", ".tsv"]), named=st.sampled_from(["columns", "rows", "both"]))
def test_the_order_of_regions_in_a_file_does_not_matter(tmp_path_factory, matrix, suffix, named):
    values, names, order = matrix
    shuffled = tuple(names[k] for k in order)
    sides = {side: shuffled for side in ("columns", "rows") if named in (side, "both")}
    path = save(tmp_path_factory.mktemp("round") / f"sc{suffix}", values[np.ix_(order, order)], **sides)
    np.testing.assert_array_equal(ordered(path, names), values)


@settings(max_examples=25, deadline=None)
@given(matrix=matrices(), suffix=st.sampled_from([".csv", ".tsv"]))
def test_the_order_of_regions_in_a_map_does_not_matter(tmp_path_factory, matrix, suffix):
    values, names, order = matrix
    rows = [names[k] for k in order]
    path = save(tmp_path_factory.mktemp("round") / f"map{suffix}", values[order, :1], ["myelin"], rows)
    np.testing.assert_array_equal(read_map(path, len(names), names), values[:, 0])


@pytest.mark.parametrize(
    ("text", "values", "names"),
    [
        ("\ufefflh-a,rh-a\r\n0,1\r\n2,3\r\n", [[0, 1], [2, 3]], ("lh-a", "rh-a")),
        ("# made by a tool\n\n0,1\n2,3\n\n", [[0, 1], [2, 3]], None),
        ("0;1\n2;3\n", [[0, 1], [2, 3]], None),
        (" 0, 1\n2 ,3 \n", [[0, 1], [2, 3]], None),
        ("Node,lh-a,rh-a\nlh-a,0,n/a\nrh-a,,3\n", [[0, np.nan], [np.nan, 3]], ("lh-a", "rh-a")),
        ("lh-a,n/a,NaN\nrh-a,2,NA\n", [[np.nan, np.nan], [2, np.nan]], ("lh-a", "rh-a")),
        ('"","lh a, upper","rh a"\n"lh a, upper",0,1\n"rh a",2,3\n', [[0, 1], [2, 3]], ("lh a, upper", "rh a")),
        ("7Networks_LH_1,7Networks_LH_2\n1e-3,-1\n2,.5\n", [[0.001, -1], [2, 0.5]], ("7Networks_LH_1", "7Networks_LH_2")),
        (",lh-a,rh-a\nlh-a,0,1\nrh-a,2,3\n", [[0, 1], [2, 3]], ("lh-a", "rh-a")),
        ("0,lh-a,rh-a\nlh-a,0,1\nrh-a,2,3\n", [[0, 1], [2, 3]], ("lh-a", "rh-a")),
        ("n/a,1\n2,3\n", [[np.nan, 1], [2, 3]], None),
    ],
)
def test_tables_as_labs_keep_them(tmp_path, text, values, names):
    path = tmp_path / "sc.csv"
    path.write_bytes(text.encode())
    read, read_names = read_matrix(path)
    np.testing.assert_array_equal(read, values)
    assert read_names == names


@pytest.mark.parametrize(
    ("text", "row_names", "column_names"),
    [
        ('"lh-a" "rh-a"\n"lh-a" 0 1\n"rh-a" 2 3\n', ("lh-a", "rh-a"), ("lh-a", "rh-a")),
        ("lh-a rh-a\nlh-a 0 1\nrh-a 2 3\n", ("lh-a", "rh-a"), ("lh-a", "rh-a")),
        ('"lh-a" "rh-a"\n0 1\n2 3\n', None, ("lh-a", "rh-a")),
        ('"lh-a" 0 1\n"rh-a" 2 3\n', ("lh-a", "rh-a"), None),
    ],
)
def test_tables_of_r(tmp_path, text, row_names, column_names):
    (tmp_path / "sc.txt").write_text(text)
    table = read_table(tmp_path / "sc.txt")
    np.testing.assert_array_equal(table.values, [[0, 1], [2, 3]])
    assert (table.row_names, table.column_names) == (row_names, column_names)


def test_a_map_of_r_is_joined_by_name(tmp_path):
    (tmp_path / "map.txt").write_text("\n".join(['"x"', *(f'"{name}" {k}' for k, name in enumerate(NAMES))]) + "\n")
    np.testing.assert_array_equal(read_map(tmp_path / "map.txt", 4, NAMES[::-1]), [3, 2, 1, 0])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
@pytest.mark.parametrize("position", [0, 1, 2, 3])
@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("odd", ["low", "x", "0.3x", "1.5.2"])
def test_one_odd_cell_among_numbers_is_an_error(tmp_path, suffix, position, row, odd):
    cells = [["1.5", "2", "3", "4"] for _ in range(3)]
    cells[row][position] = odd
    path = tmp_path / f"run{suffix}"
    path.write_text("\n".join(SEPARATORS[suffix].join(line) for line in cells))
    with pytest.raises(InputError, match=rf"(?s)run\.\w+ holds text where numbers are expected.*found: .*'{odd}'"):
        read_table(path)


@pytest.mark.parametrize("header", ["lh-a,,rh-a", "lh-a,12,rh-a", "lh-a,rh-a,nan"])
def test_a_header_is_names_throughout(tmp_path, header):
    (tmp_path / "run.csv").write_text(f"{header}\n1,2,3\n4,5,6\n")
    with pytest.raises(InputError, match=r"(?s)text where numbers are expected.*'lh-a'"):
        read_table(tmp_path / "run.csv")


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32])
def test_npy_becomes_float64(tmp_path, dtype):
    values = np.arange(6, dtype=dtype).reshape(2, 3)
    table = read_table(save(tmp_path / "x.npy", values))
    np.testing.assert_array_equal(table.values, values)
    assert (table.values.dtype, table.row_names, table.column_names) == (np.float64, None, None)


def test_a_vector_in_npy_is_a_column(tmp_path):
    assert read_table(save(tmp_path / "x.npy", np.arange(4.0))).values.shape == (4, 1)


@pytest.mark.parametrize(("name", "said"), [("missing.csv", "not there: .*fix: check the path"), (".", "a folder")])
def test_a_missing_file_is_named(tmp_path, name, said):
    with pytest.raises(MissingInputError, match=rf"(?s)The FC file is {said}") as error:
        read_table(tmp_path / name, "FC")
    assert str(tmp_path / name) in str(error.value)
    assert isinstance(error.value, FileNotFoundError)


def test_a_link_to_nothing_asks_for_datalad(tmp_path):
    link = tmp_path / "timeseries.tsv"
    link.symlink_to(tmp_path / ".git/annex/objects/xy")
    with pytest.raises(
        MissingInputError, match=r"(?s)a link to a file that is not there.*git-annex.*fix: datalad get .*timeseries.tsv"
    ):
        read_table(link, "time series")


def test_a_link_to_a_file_is_that_file(tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to(save(tmp_path / "sc.csv", np.eye(2)))
    np.testing.assert_array_equal(read_table(link).values, np.eye(2))


def test_the_home_folder_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path / "sc.csv", np.eye(2))
    assert existing_file("~/sc.csv", "SC") == tmp_path / "sc.csv"


@pytest.mark.parametrize("name", ["sc.mat", "sc.nii.gz", "sc.npz", "sc"])
def test_refuses_an_unknown_type(tmp_path, name):
    (tmp_path / name).write_text("0,1\n1,0\n")
    with pytest.raises(
        InputError, match=rf"(?s)connectome file has an unknown type: {name}.*expected: .csv, .tsv, .txt or .npy"
    ):
        read_table(tmp_path / name, "connectome")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"(?s)x\.csv.*an empty file"),
        (b"\n# only a comment\n\n", r"x\.csv is empty"),
        (b"0,1,2\n1,0\n2,1,0\n", r"(?s)different lengths.*expected: 3 columns.*found: 2 columns in line 2.*a truncated file"),
        (b"1,2\n3,4\n5,low\n", r"(?s)x\.csv holds text where numbers are expected.*found: .*'low'"),
        (b"lh-a,rh-a\n", r"x\.csv holds no numbers"),
        (b"lh-\x81,rh-a\n0,1\n", r"(?s)x\.csv is not a UTF-8 text file.*found: .*utf-8"),
    ],
)
def test_refuses_text_that_is_no_table(tmp_path, content, message):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_table(path)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\), type float64"),
        (np.array(3.0), r"shape \(\)"),
        (np.array([["lh-a", "rh-a"]]), r"type <U4"),
        (np.eye(2, dtype=bool), "type bool"),
        (np.eye(2) + 0j, "shape \\(2, 2\\), type complex128"),
        (np.array([1 + 2j, 3], np.complex64), "type complex64"),
        (np.zeros(2, [("a", float)]), "type .*'a'"),
    ],
)
def test_refuses_npy_that_is_no_matrix(tmp_path, array, found):
    with pytest.raises(InputError, match=rf"(?s)x\.npy does not hold a matrix of real numbers.*found: .*{found}"):
        read_table(save(tmp_path / "x.npy", array))


@pytest.mark.parametrize("damage", [lambda content: content[:-8], lambda content: b"", lambda content: b"0,1\n1,0\n"])
def test_refuses_a_damaged_npy(tmp_path, damage):
    path = save(tmp_path / "x.npy", np.eye(3))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"(?s)Cannot read .*x\.npy.*found: .*a truncated file, or one of objects"):
        read_table(path)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_refuses_an_archive_renamed_to_npy(tmp_path, write):
    write(tmp_path / "x.npz", fc=np.eye(3))
    path = (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    with pytest.raises(InputError, match=r"(?s)x\.npy is an archive of several arrays.*fix: save the array itself with numpy"):
        read_table(path)


def test_refuses_npy_of_objects(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"FC": 1}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"(?s)Cannot read.*or one of objects"):
        read_table(tmp_path / "x.npy")


def test_refuses_rows_and_columns_of_different_names(tmp_path):
    path = save(tmp_path / "fc.csv", np.eye(4), NAMES, NAMES[::-1])
    with pytest.raises(InputError, match=r"(?s)Rows and columns of .*fc\.csv have different names.*fix: save the matrix"):
        read_matrix(path)


def test_digest_is_that_of_the_content(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"0,1\n")
    assert file_digest(tmp_path / "a.csv") == hashlib.sha256(b"0,1\n").hexdigest()


def test_labels_are_lines(tmp_path):
    (tmp_path / "regions.txt").write_text("lh-bankssts\n\n  lh cuneus \r\nrh-é\n", encoding="utf-8")
    assert read_labels(tmp_path / "regions.txt") == ("lh-bankssts", "lh cuneus", "rh-é")


def test_labels_may_have_a_byte_order_mark(tmp_path):
    (tmp_path / "regions.txt").write_bytes("lh-bankssts\r\nlh-cuneus\r\n".encode("utf-8-sig"))
    assert read_labels(tmp_path / "regions.txt") == ("lh-bankssts", "lh-cuneus")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_labels_of_another_unicode_encoding(tmp_path, encoding):
    (tmp_path / "regions.txt").write_bytes("lh-é\nrh-é\n".encode(encoding))
    assert read_labels(tmp_path / "regions.txt") == ("lh-é", "rh-é")


def test_labels_of_latin_1_are_told(tmp_path):
    (tmp_path / "regions.txt").write_bytes("lh-é\nrh-é\n".encode("latin-1"))
    with pytest.warns(InputNote, match=r"regions\.txt is not UTF-8: it was read as Latin-1 .*'lh-é'.*save it as UTF-8"):
        assert read_labels(tmp_path / "regions.txt") == ("lh-é", "rh-é")


def test_missing_labels_are_told(tmp_path):
    with pytest.raises(MissingInputError, match="The region names file is not there"):
        read_labels(tmp_path / "regions.txt")


@pytest.mark.parametrize("header", [None, ["myelin"]])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
def test_a_map_is_a_column(tmp_path, header, suffix):
    path = save(tmp_path / f"map{suffix}", np.array([[1.5], [2], [3], [4]]), header)
    np.testing.assert_array_equal(read_map(path, 4), [1.5, 2, 3, 4])
    np.testing.assert_array_equal(read_map(path, 4, NAMES), [1.5, 2, 3, 4])


@pytest.mark.parametrize("rows", [None, ["myelin"]])
def test_a_map_may_be_a_row(tmp_path, rows):
    values = np.array([[1.0, 2, 3, 4]])
    np.testing.assert_array_equal(read_map(save(tmp_path / "a.csv", values, rows=rows), 4), [1, 2, 3, 4])
    path = save(tmp_path / "b.csv", values, NAMES, rows)
    np.testing.assert_array_equal(read_map(path, 4, NAMES[::-1]), [4, 3, 2, 1])


def test_a_map_in_npy(tmp_path):
    np.testing.assert_array_equal(read_map(save(tmp_path / "map.npy", np.arange(4.0)), 4), [0, 1, 2, 3])


def test_a_map_without_wanted_names_keeps_its_order(tmp_path):
    path = save(tmp_path / "map.csv", np.arange(4.0)[:, None], rows=NAMES[::-1])
    np.testing.assert_array_equal(read_map(path, 4), [0, 1, 2, 3])


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_names_of_a_map(tmp_path, suffix):
    column = np.arange(4.0)[:, None]
    for name, values, columns, rows, expected in (
        ("named column", column, ["myelin"], NAMES, NAMES),
        ("column", column, ["myelin"], None, None),
        ("named row", column.T, NAMES, ["myelin"], NAMES),
        ("row", column.T, None, ["myelin"], None),
    ):
        assert read_raw_map(save(tmp_path / f"{name}{suffix}", values, columns, rows)).labels == expected
    assert read_raw_map(save(tmp_path / "map.npy", column)).labels is None


def test_refuses_a_map_of_several_columns(tmp_path):
    path = save(tmp_path / "map.csv", np.ones((4, 2)), ["myelin", "thickness"], NAMES)
    with pytest.raises(InputError, match=r"(?s)map\.csv is not a map.*expected: one column.*found: 2 columns"):
        read_map(path, 4)


def test_refuses_a_map_of_another_parcellation(tmp_path):
    path = save(tmp_path / "map.csv", np.arange(72.0)[:, None])
    with pytest.raises(
        InputError,
        match=r"(?s)map\.csv has another number of regions.*68 values, as in.*found: 72.*rows 1, 5, 37, 41.*fix: leave those",
    ):
        read_map(path, 68)


def test_refuses_a_map_of_other_names(tmp_path):
    path = save(tmp_path / "map.csv", np.arange(4.0)[:, None], rows=[*NAMES[:3], "rh-insula"])
    with pytest.raises(InputError, match=r"(?s)regions of .*map\.csv are not those of the other inputs.*missing: rh-cuneus"):
        read_map(path, 4, NAMES)


def test_order_by_name():
    assert order_by_name(NAMES[::-1], NAMES, "FC") == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (NAMES[:3], "3 names lh-bankssts, lh-cuneus, rh-bankssts, ...; missing: rh-cuneus"),
        ((*NAMES, "rh-insula"), "5 names lh-bankssts, lh-cuneus, rh-bankssts, ...; missing: none"),
        ((*NAMES[1:], "lh-bankssts_1"), "missing: lh-bankssts"),
        ((*NAMES, NAMES[0]), "missing: none"),
    ],
)
def test_refuses_other_regions(names, found):
    with pytest.raises(
        InputError, match=r"(?s)The regions of the FC are not those.*expected: the 4 names lh-bankssts, lh-cuneus"
    ) as error:
        order_by_name(names, NAMES, "the FC")
    assert found in str(error.value)
    assert "another parcellation or another naming" in str(error.value)


def test_only_the_first_regions_are_listed():
    with pytest.raises(InputError, match=r"(?s)found: 100 of 100: region 1, .*, region 6\n"):
        check_timeseries(np.zeros((10, 100)), None, "the run")


CDF = np.array([0, 0.01, 0.25, 0.25, 0.9, 1])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".npy"])
@pytest.mark.parametrize("shape", [(-1, 1), (1, -1)])
@pytest.mark.filterwarnings("error")
def test_a_distribution_is_left_as_it_is(tmp_path, suffix, shape):
    np.testing.assert_array_equal(read_fcd_cdf(save(tmp_path / f"cdf{suffix}", CDF.reshape(shape))), CDF)


@pytest.mark.parametrize("suffix", [".csv", ".npy"])
def test_cumulative_counts_are_normalised_and_said_so(tmp_path, suffix):
    counts = np.array([[0, 120, 5000, 5000, 624000, 624403]]).T
    path = save(tmp_path / f"fcd{suffix}", counts)
    with pytest.warns(InputNote, match=r"fcd\.\w+ holds cumulative counts \(last value 624403\); they were divided by it"):
        cdf = read_fcd_cdf(path)
    np.testing.assert_allclose(cdf, counts[:, 0] / 624403, rtol=1e-15)
    assert cdf[-1] == 1


def test_an_fcd_of_matlab_is_its_only_vector(tmp_path):
    counts = np.array([[0, 120, 5000, 5000, 624000, 624403]], dtype=np.int32).T
    scipy.io.savemat(tmp_path / "fcd.mat", {"FCD_CDF": counts, "n": 350})
    with pytest.warns(InputNote, match="cumulative counts"):
        np.testing.assert_allclose(read_fcd_cdf(tmp_path / "fcd.mat", 1118), counts[:, 0] / 624403, rtol=1e-15)
    scipy.io.savemat(tmp_path / "two.mat", {"train": counts, "test": counts})
    with pytest.raises(InputError, match=r"(?s)two\.mat does not hold one FCD CDF.*found: train \(6, 1\), test \(6, 1\)"):
        read_fcd_cdf(tmp_path / "two.mat")


@pytest.mark.parametrize("total", [624403, 2 * 624403, 624000])
def test_counts_of_runs_and_their_means_and_sums_pass(tmp_path, total):
    with pytest.warns(InputNote, match="cumulative counts"):
        read_fcd_cdf(save(tmp_path / "fcd.csv", np.array([[0.0, 5000, total]]).T), 1118)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 120, 5000, 300, 20, 0], r"(?s)decreases.*a histogram or a density"),
        ([0, 0.2, 0.5, 0.3, 0, 0], r"(?s)decreases.*found: 2 decreasing steps"),
        ([0, 0.2, 0.5, 0.7, 0.8, 0.8], r"(?s)does not end in 1.*a truncated distribution"),
        ([0, np.nan, 0.5, 0.7, 0.8, 1], "not finite"),
        ([0, 1, 2, 3, np.inf, np.inf], "not finite"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_refuses_what_is_no_distribution(tmp_path, values, message):
    with pytest.raises(InputError, match=message):
        read_fcd_cdf(save(tmp_path / "cdf.csv", np.array(values, float)[:, None]))


def test_write_atomic_makes_folders_and_gives_the_path(tmp_path):
    path = write_atomic(str(tmp_path / "new" / "folder" / "a.txt"), lambda temporary: temporary.write_text("content"))
    assert path == tmp_path / "new" / "folder" / "a.txt"
    assert path.read_text() == "content"
    assert os.listdir(path.parent) == ["a.txt"]


def test_write_atomic_keeps_the_suffix_for_the_writer(tmp_path):
    path = write_atomic(tmp_path / "bold.npy", lambda temporary: np.save(temporary, np.eye(2)))
    np.testing.assert_array_equal(np.load(path), np.eye(2))
    assert os.listdir(tmp_path) == ["bold.npy"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "result.tsv"
    path.write_text("old")

    def write(temporary: Path):
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path

    write_atomic(path, write)
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("old", ["old", None])
def test_a_failed_write_leaves_everything_as_it_was(tmp_path, error, old):
    path = tmp_path / "result.json"
    if old:
        path.write_text(old)

    def write(temporary: Path):
        temporary.write_text("half of the n")
        raise error("stopped")

    with pytest.raises(error, match="stopped"):
        write_atomic(path, write)
    assert os.listdir(tmp_path) == (["result.json"] if old else [])
    assert not old or path.read_text() == old


def test_results_are_as_readable_as_other_files(tmp_path):
    (tmp_path / "other").write_text("")
    path = write_json(tmp_path / "result.json", {})
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


@pytest.mark.parametrize("inside", ["a.json", "sub-01/a.json"])
def test_a_file_in_place_of_the_folder_is_told(tmp_path, inside):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(
        OutputError, match=r"(?s)Cannot write .*a\.json.*found: .*results.*fix: choose another output folder"
    ) as error:
        write_json(tmp_path / "results" / inside, {})
    assert isinstance(error.value, OSError)
    assert (tmp_path / "results").read_text() == "a file"


@pytest.mark.parametrize("full", [True, False])
def test_a_folder_in_place_of_the_file_is_told(tmp_path, full):
    folder = tmp_path / "result.json"
    folder.mkdir()
    if full:
        (folder / "kept").write_text("")
    with pytest.raises(OutputError, match=r"(?s)Cannot write .*result\.json.*found: .*fix: choose another output folder"):
        write_json(folder, {"a": 1})
    assert os.listdir(tmp_path) == ["result.json"]
    assert os.listdir(folder) == (["kept"] if full else [])


def test_json_holds_null_for_nan(tmp_path):
    content = {
        "cost": float("nan"),
        "costs": [np.float64("inf"), np.float32("nan"), (1.5, -np.inf)],
        "array": np.array([[0.5, np.nan], [1, 2]]),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "path": Path("sub-01") / "fc.npy",
        "nested": {7: None, "é": "rh-é"},
    }
    path = write_json(tmp_path / "result.json", content)
    assert json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail) == {
        "cost": None,
        "costs": [None, None, [1.5, None]],
        "array": [[0.5, None], [1, 2]],
        "count": 3,
        "flag": True,
        "path": "sub-01/fc.npy",
        "nested": {"7": None, "é": "rh-é"},
    }
    assert "rh-é" in path.read_text(encoding="utf-8")
    assert np.isnan(content["cost"])


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = write_json(tmp_path / "result.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["result.json"]


def test_tsv_holds_na_for_missing_values(tmp_path):
    rows = [["000123", 0.1 + 0.2, None, 3], ["sub-02", float("nan"), np.float64("nan"), -1]]
    path = write_tsv(tmp_path / "participants.tsv", ["participant_id", "cost", "age", "n"], rows)
    assert path.read_text() == "participant_id\tcost\tage\tn\n000123\t0.3\tn/a\t3\nsub-02\tn/a\tn/a\t-1\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", [float, np.float64, np.float32, np.array, torch.tensor, lambda x: torch.tensor([x])])
def test_tsv_holds_na_for_what_is_not_finite(tmp_path, kind, value):
    assert write_tsv(tmp_path / "a.tsv", ["a", "b"], [[kind(value), 1]]).read_text() == "a\tb\nn/a\t1\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float64(0.1) * 3, "0.3"),
        (torch.tensor(0.25), "0.25"),
        (torch.tensor(0.1, dtype=torch.float64), "0.1"),
        (np.float32(0.5), "0.5"),
        (np.int64(-3), "-3"),
        (torch.tensor(7), "7"),
        (np.str_("lh-é"), "lh-é"),
        (np.bool_(True), "True"),
        (Path("sub-01") / "fc.npy", "sub-01/fc.npy"),
        ("two\twords", "two words"),
        ("two\r\nlines \n", "two lines"),
    ],
)
def test_cells_of_a_tsv(tmp_path, value, text):
    path = write_tsv(tmp_path / "a.tsv", ["a", "b"], [["x", value]])
    assert path.read_text(encoding="utf-8").split("\n") == ["a\tb", f"x\t{text}", ""]


@pytest.mark.parametrize("row", [[], [1], [1, 2, 3]])
def test_tsv_refuses_rows_of_another_length(tmp_path, row):
    path = write_tsv(tmp_path / "a.tsv", ["a", "b"], [[1, 2]])
    with pytest.raises(ValueError, match=f"{len(row)} cells for 2 columns"):
        write_tsv(path, ["a", "b"], [[3, 4], row])
    assert path.read_text() == "a\tb\n1\t2\n"
    assert os.listdir(tmp_path) == ["a.tsv"]


def test_tsv_takes_any_iterable_of_rows(tmp_path):
    path = write_tsv(tmp_path / "a.tsv", ("k", "square"), ((k, k * k) for k in range(3)))
    assert path.read_text().splitlines() == ["k\tsquare", "0\t0", "1\t1", "2\t4"]


def test_a_written_table_can_be_read(tmp_path):
    path = write_tsv(
        tmp_path / "fc.tsv", ["region", *NAMES], ((name, *row) for name, row in zip(NAMES, np.eye(4) / 3, strict=True))
    )
    values, names = read_matrix(path)
    np.testing.assert_allclose(values, np.eye(4) / 3, rtol=1e-9)
    assert names == NAMES


def test_published_maps_are_of_their_atlas(shared):
    regions = read_labels(shared / "data/dk68/regions.txt")
    assert len(read_map(shared / "data/dk68/myelin.csv", 68, regions)) == 68
    with pytest.raises(InputError, match=r"(?s)expected: 68 values.*found: 100"):
        read_map(shared / "data/schaefer100-17n/myelin.csv", 68)


@pytest.mark.filterwarnings("error")
def test_published_distributions(shared):
    assert read_fcd_cdf(shared / "data/dk68/group-train/FCD_CDF.csv").shape == (10000,)


@pytest.mark.parametrize("first", [0, 1])
def test_refuses_numbered_columns(tmp_path, first):
    header = ",".join(str(first + k) for k in range(4))
    (tmp_path / "run.csv").write_text(header + "\n" + "0.5,1.5,-2,3\n" * 5)
    with pytest.raises(InputError, match=r"(?s)counts the columns.*header=False"):
        read_table(tmp_path / "run.csv")


def test_refuses_a_wide_fcd_cdf(tmp_path):
    (tmp_path / "cdf.csv").write_text("0,0\n0.5,0.5\n1,1\n")
    with pytest.raises(InputError, match=r"(?s)not an FCD CDF.*2 columns"):
        read_fcd_cdf(tmp_path / "cdf.csv")
