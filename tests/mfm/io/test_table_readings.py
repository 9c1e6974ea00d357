"""What a text table holds where it can be read in two ways: taken as what it is, noted, or refused with both readings."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pandas as pd
import pytest

from mfm.errors import InputError, InputNote
from mfm.io import load_connectome, load_timeseries, read_fcd_cdf, read_map
from mfm.io.formats.tables import TextTable, parse_table, read_table

NAN = float("nan")
NAMES = ["lh-a", "lh-b", "rh-a", "rh-b"]
RNG = np.random.default_rng(0)
DECIMALS = [f"{a:.4f},{b:.4f},{c:.4f}" for a, b, c in RNG.normal(3, 9, (20, 3))]
BODY = "\n".join(DECIMALS)
WHOLE = [",".join(map(str, row)) for row in RNG.integers(8000, 8100, (20, 8))]


def parsed(tmp_path, text, encoding="utf-8"):
    content = text if isinstance(text, bytes) else text.encode(encoding)
    return parse_table(content, tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("text", "values", "rows", "columns"),
    [
        ("a\tb\n1.5\t2\n\t\n3\t4\n", [[1.5, 2], [NAN, NAN], [3, 4]], None, ("a", "b")),
        ("a,b\n1.5,2\n,\n", [[1.5, 2], [NAN, NAN]], None, ("a", "b")),
        ("\n\n1.5,2\n3,4\n\n\n", [[1.5, 2], [3, 4]], None, None),
        ("1.5;2\r\n3;4\r\n", [[1.5, 2], [3, 4]], None, None),
        ("1.5 2\r3 4\r", [[1.5, 2], [3, 4]], None, None),
        ("1.5|2\n3|4\n", [[1.5, 2], [3, 4]], None, None),
        ("  1.5    2\n 13  \t 4  \n", [[1.5, 2], [13, 4]], None, None),
        ("sep=;\na;b\n1,5;2\n", [[1.5, 2]], None, ("a", "b")),
        ("lh-a;1,5\nlh-b;0,25\n", [[1.5], [0.25]], ("lh-a", "lh-b"), None),
        ("1,5 2,25\n3 4\n", [[1.5, 2.25], [3, 4]], None, None),
        ("1,5\n2\n3,25\n", [[1.5], [2], [3.25]], None, None),
        ("a,b,\n1.5,2,\n3,4,\n", [[1.5, 2], [3, 4]], None, ("a", "b")),
        ("a,b\n1.5,2,\n3,4,\n", [[1.5, 2], [3, 4]], None, ("a", "b")),
        ("a b\nlh 1 2.5\nrh 3 4\n", [[1, 2.5], [3, 4]], ("lh", "rh"), ("a", "b")),
        ("my map\n1.5\n2.5\n", [[1.5], [2.5]], None, ("my map",)),
        ("area 1\t5.5\narea 2\t6.5\n", [[5.5], [6.5]], ("area 1", "area 2"), None),
        ("index\tregion\tw_EE\n1\tlh-a\t3\n2\tlh-b\t3.5\n", [[3], [3.5]], ("lh-a", "lh-b"), ("w_EE",)),
        (",0\nlh-a,1.5\nlh-b,2\n", [[1.5], [2]], ("lh-a", "lh-b"), None),
        ("region,1001,1002\n1001,0,7\n1002,7,0\n", [[0, 7], [7, 0]], ("1001", "1002"), ("1001", "1002")),
        ('"a, left","b ""x"""\n1.5,2\n', [[1.5, 2]], None, ("a, left", 'b "x"')),
        ("a,b\nNA,NULL\n-,.\n#N/A,n/a\nnan,None\n1,2\n", [[NAN, NAN]] * 4 + [[1, 2]], None, ("a", "b")),
        ("1\n2\n3\n", [[1], [2], [3]], None, None),
    ],
)
def test_a_table_with_one_reading_is_read_without_a_word(tmp_path, text, values, rows, columns):
    table, notes = parsed(tmp_path, text)
    np.testing.assert_array_equal(table.values, values)
    assert (table.row_names, table.column_names, notes) == (rows, columns, ())


@pytest.mark.parametrize(
    ("text", "shape", "rows", "columns", "note"),
    [
        (
            "1001,1002,2001\n" + BODY,
            (20, 3),
            None,
            ("1001", "1002", "2001"),
            "a header of region ids, not as data",
        ),
        ("0,1,2\n" + BODY, (20, 3), None, None, r"numbers its columns \(0, 1, 2\).*a header without names"),
        (
            ",".join(map(str, range(1001, 1009))) + "\n" + "\n".join(WHOLE),
            (20, 8),
            None,
            tuple(map(str, range(1001, 1009))),
            "a header of region ids",
        ),
        (
            ",".join(map(str, range(1001, 1009))) + "\n" + "\n".join([*WHOLE, "," * 7]),
            (21, 8),
            None,
            tuple(map(str, range(1001, 1009))),
            "a header of region ids",
        ),
        ("\n".join(f"{k},{row}" for k, row in enumerate(DECIMALS)), (20, 3), None, None, "taken as an index, not as data"),
        ("\n".join(f"{k * 0.72:.2f},{row}" for k, row in enumerate(DECIMALS)), (20, 3), None, None, "an index or the time"),
        (
            "\n".join(f"{1001 + k * k},{row}" for k, row in enumerate(DECIMALS)),
            (20, 3),
            tuple(str(1001 + k * k) for k in range(20)),
            None,
            "ids of the rows",
        ),
        (
            "# lh-a,lh-b,rh-a\n" + BODY,
            (20, 3),
            None,
            ("lh-a", "lh-b", "rh-a"),
            "named as in its comment: lh-a, lh-b",
        ),
        (
            "# lh-a lh-b rh-a\n" + BODY,
            (20, 3),
            None,
            ("lh-a", "lh-b", "rh-a"),
            "named as in its comment: lh-a, lh-b",
        ),
        ("# 1001,1002,1003\n" + BODY, (20, 3), None, ("1001", "1002", "1003"), "named as in its comment: 1001"),
        ("1.5,2,\n3,4,\n", (2, 2), None, None, "ends in a separator"),
        ("12,34,7,15\n71,5,33,8\n9,60,1,44\n", (3, 4), None, None, "4 columns of whole numbers, not as 2 with decimal commas"),
        ("1.5,2\n\n3,4\n\n5,6\n", (3, 2), None, None, "an empty line after every row"),
        ("1.5,2\n# 9,9\n3,4\n", (2, 2), None, None, "comments among its rows.*line 2"),
        ("1.234.567;2\n3;1.000\n", (2, 2), None, None, "points between thousands: 1.234.567 was read as 1234567"),
        ('"1,875.5",79\n12,15\n', (2, 2), None, None, "commas between thousands: 1,875.5 was read as 1875.5"),
        (
            "1.234;2.345\n1.345;2.456\n",
            (2, 2),
            None,
            None,
            "three digits behind its mark: 1.234 was .* 1.234, not as 1234",
        ),
        ("0\n0.0\n0.5\n1.0\n", (3, 1), None, None, "number of its column"),
        ("10,20,30\n5,6,7\n", (2, 3), None, None, "was taken as data. If it holds ids"),
    ],
)
def test_a_likely_reading_is_noted(tmp_path, text, shape, rows, columns, note):
    table, notes = parsed(tmp_path, text)
    assert (table.values.shape, table.row_names, table.column_names) == (shape, rows, columns)
    assert len(notes) == 1
    assert re.search(note, notes[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.5,2\n\n3,4\n5,6\n", r"empty lines among its rows.*an empty line 2.*two ways: a row without data, or nothing"),
        ("lh-a 0,5\nlh-b 0,7\n", r"read in two ways.*separated by comma: .*'lh-b 0'; or separated by space: .*first row 0.5"),
        ("L 1\t5.5\nR 2\t6.5\n", r"read in two ways.*separated by tab: .*'R 2'; or separated by space"),
        ("0,5\n0,3\n1,2\n", r"2 columns of whole numbers \(\.\.\., 0, 5\); or fewer, with decimal commas \(\.\.\., 0\.5\)"),
        ("0,05,1,25\n0,33,2,31\n", r"4 columns of whole numbers .*decimal commas"),
        ("0,123,1,234,7,456\n9,456,2,341,12,345\n", r"6 columns of whole numbers .*decimal commas"),
        ("4999,48,4999,59\n5001,8,5001,14\n5000,77,5000,28\n", r"4 columns of whole numbers .*decimal commas"),
        ("1 875\n2 300\n9 999\n", r"2 columns of whole numbers .*spaces between thousands"),
        (
            ";a;b\na;0;1.875\nb;79;0\n",
            r"two ways.*decimal points: 1\.875 is 1\.875; or points between thousands: .* is 1875",
        ),
        ('"1,875",79\n12,15\n', r"decimal commas: 1,875 is 1\.875; or commas between thousands: 1,875 is 1875"),
        ("0,1,2,3\n" + "0.5,1,-2,3\n" * 5, r"first row of .* counts the columns.*two ways: a header, or data"),
        (
            ",".join(map(str, range(8001, 8009))) + "\n" + "\n".join(WHOLE),
            r"may be a header of ids or data.*8001, 8002, ",
        ),
        (
            "2,3,1\n" + BODY,
            r"the numbers of its regions, but not in order.*2, 3, 1: the order of the file, or",
        ),
        ("0,7,8,9,11\n7,0,3,4,1\n8,3,0,5,2\n9,4,5,0,6\n11,1,2,6,0\n", r"may be a header of ids or data"),
        ("a,b\n1,2\na,b\n3,4\n", r"holds text.*'a' in line 3, column 1.*a header that stands in the table twice"),
        ("a,b\nmm,mm\n1,2\n", r"holds text.*'mm' in line 2.*a second header line"),
        ("a,s,b\n1,x,2\n3,x,2\n", r"holds text.*'x' in line 2, column 2.*a column of text"),
        ("lh-a|1,5|3\nlh-b|2,5|low\n", r"holds text.*'low' in line 2, column 3"),
        ("a;b\n1;1 875,5\n", r"holds text.*marks between thousands"),
        ("a,b\n1,#DIV/0!\n3,2\n", r"holds text.*'#DIV/0!' in line 2.*spreadsheet's formula"),
        ("a;b\n1.5;2,5\n", r"holds text.*'2,5' in line 2, column 2"),
        ("a,b\n1,2\n3\n", r"different lengths.*1 columns in line 3"),
        ("a,b\n0,5,1,5\n0,7,2,5\n", r"different lengths.*decimal commas in a table that is separated by commas"),
        ('a,b\n"1,2\n3,4\n', r"a quotation mark that is not closed"),
        (
            "\n".join(f"{k % 250},{row}" for k, row in enumerate(DECIMALS * 20)),
            r"counts rows at its beginning, but not to its end",
        ),
        (b"\x00\x01\x02binary", r"is not a UTF-8 text file.*the character"),
        (b"lh-\x81,rh-a\n0,1\n", r"is not a UTF-8 text file"),
    ],
)
def test_two_readings_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=f"(?s){message}"):
        parsed(tmp_path, text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path, encoding, end):
    path = tmp_path / "run.csv"
    path.write_bytes(end.join(["lh-é,rh-b", "1.5,2", "3,4", ""]).encode(encoding))
    table = read_table(path)
    assert (table.values.tolist(), table.column_names) == ([[1.5, 2], [3, 4]], ("lh-é", "rh-b"))
    assert TextTable().peek(path).shape == (2, 2)


def test_latin_1_is_noted(tmp_path):
    (tmp_path / "run.csv").write_bytes("lh-é,rh-b\n1.5,2\n3,4\n".encode("latin-1"))
    with pytest.warns(InputNote, match=r"run\.csv is not UTF-8: it was read as Latin-1 \(Windows-1252\), such as 'lh-é'"):
        assert read_table(tmp_path / "run.csv").column_names == ("lh-é", "rh-b")


def test_inspection_looks_into_gzipped_tables(tmp_path):
    path = tmp_path / "run.csv.gz"
    path.write_bytes(gzip.compress(("lh-a,lh-b\n" + "1.5,2\n" * 300).encode()))
    looked = TextTable().peek(path)
    assert (looked.shape, looked.orientation) == ((300, 2), "frames_by_regions")


def test_inspection_tells_what_reading_refuses(tmp_path):
    (tmp_path / "run.csv").write_text("a,b\n1,2\n3\n")
    flaw = TextTable().peek(tmp_path / "run.csv").flaw
    assert flaw is not None
    assert "different lengths" in flaw.problem


def test_a_column_of_times_is_no_region(tmp_path):
    frame = pd.DataFrame(RNG.normal(size=(30, 4)), columns=NAMES)
    frame.insert(0, "time", np.arange(30) * 0.72)
    frame.to_csv(tmp_path / "run.csv", index=False)
    with pytest.warns(InputNote, match=r"column 'time' of .*run\.csv rises in equal steps: it was taken as the time"):
        series = load_timeseries(tmp_path / "run.csv")
    assert series.labels == tuple(NAMES)
    assert read_table(tmp_path / "run.csv").column_names == ("time", *NAMES)  # UDEs need it


def test_names_in_a_comment_join_by_name(tmp_path):
    counts = np.array([[0, 10, 20, 30], [10, 0, 40, 50], [20, 40, 0, 60], [30, 50, 60, 0.0]])
    np.savetxt(tmp_path / "sc.csv", counts[::-1, ::-1], delimiter=",", header=",".join(NAMES[::-1]))
    with pytest.warns(InputNote, match="named as in its comment: rh-b, rh-a"):
        sc = load_connectome(tmp_path / "sc.csv", "none", None, regions=NAMES)
    np.testing.assert_array_equal(sc.weights, counts)


@pytest.mark.parametrize("keywords", [{}, {"sep": "\t"}, {"header": False}, {"sep": ";", "decimal": ","}])
@pytest.mark.parametrize("name", [None, "myelin"])
def test_series_of_pandas(tmp_path, keywords, name):
    pd.Series([1.5, 2.25, 3, 4], index=NAMES, name=name).to_csv(tmp_path / "map.csv", **keywords)
    np.testing.assert_array_equal(read_map(tmp_path / "map.csv", 4, NAMES[::-1]), [4, 3, 2.25, 1.5])


def test_bins_beside_a_distribution_are_left_out(tmp_path):
    np.savetxt(tmp_path / "cdf.txt", np.c_[np.linspace(-1, 1, 50), np.linspace(0, 1, 50) ** 2])
    with pytest.warns(InputNote, match="first column .* was taken as an index or the time"):
        np.testing.assert_array_equal(read_fcd_cdf(tmp_path / "cdf.txt"), np.linspace(0, 1, 50) ** 2)


def test_inspection_reads_on_where_only_a_later_row_decides(tmp_path):
    (tmp_path / "run.csv").write_text("a;b\n" + "1.875;79\n" * 250 + "1.234.567;79\n")
    table = parse_table((tmp_path / "run.csv").read_bytes(), tmp_path / "run.csv")[0]
    assert table.values[0].tolist() == [1875, 79]
    assert TextTable().peek(tmp_path / "run.csv").shape == table.values.shape == (251, 2)
