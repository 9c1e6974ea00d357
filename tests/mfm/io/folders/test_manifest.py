"""Manifests: what is written is what is read, and a table that does not fit is told so."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from folder_trees import fc_and_fcd, matrix, plain_subject, table
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm.errors import ConfigError, InputError, MissingInputError
from mfm.io import Choices, ManifestRow, inspect_folder, read_manifest, rows_of, subject_files, write_manifest
from mfm.io.folders.manifest import COLUMNS, FileStamp

ROW = ManifestRow(
    "sub-01",
    *(None, "run-1", None, "tables", None),
    FileStamp(Path("/data/sub-01/run-1.tsv"), 10, "2026-11-21T11:42:03Z"),
    *(None, None, None, None, "frames_by_regions", 0.72, 1200, 68),
)

WORDS = st.text("abcXYZ019._+ -é", min_size=1, max_size=8).map(lambda t: "x" + " ".join(t.split()))
STAMPS = st.builds(
    FileStamp,
    st.lists(WORDS, min_size=1, max_size=3).map(lambda parts: Path("/data", *parts)),
    st.integers(0, 2**40),
    st.just("2026-11-21T11:42:03Z"),
)
ROWS = st.builds(
    lambda number, series, fc, cdf, **rest: ManifestRow(
        participant_id=f"sub-{number:04d}", timeseries=series, fc=fc, fcd_cdf=cdf, sc=None, **rest
    ),
    number=st.integers(0, 9999),
    series=st.none(),
    fc=STAMPS,
    cdf=STAMPS,
    session=st.none() | WORDS,
    run=st.none() | WORDS,
    stage=st.sampled_from([None, "search", "validation", "test"]),
    layout=WORDS,
    atlas=st.none() | WORDS,
    parcellation=st.none() | STAMPS,
    orientation=st.sampled_from([None, "frames_by_regions", "regions_by_frames"]),
    tr_s=st.none() | st.sampled_from([0.645, 0.72, 0.735, 0.8, 1.4, 2.0, 2.2, 3.0]),
    n_frames=st.none() | st.integers(1, 10**5),
    n_regions=st.none() | st.integers(1, 1000),
    participant=st.dictionaries(st.sampled_from(["age", "sex"]), WORDS).map(lambda d: tuple(sorted(d.items()))),
)


@settings(deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=5, unique_by=lambda row: row.key))
def test_round_trip(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = write_manifest(Path(folder, "manifest.tsv"), rows)
        read = read_manifest(path)
        # The columns of participants.tsv stand in one order for all.
        assert [replace(row, participant=tuple(sorted(row.participant))) for row in read] == rows


def test_paths_are_relative_and_posix(tmp_path):
    plain_subject(tmp_path / "data", "sub-0123")
    path = write_manifest(tmp_path / "lists/manifest.tsv", inspect_folder(tmp_path / "data").rows)
    cells = dict(zip(COLUMNS, path.read_text().splitlines()[1].split("\t"), strict=True))
    assert cells["participant_id"] == "sub-0123"
    assert cells["sc"] == "../data/sub-0123/SC.csv"
    assert cells["sc_stamp"].partition("@")[0] == str((tmp_path / "data/sub-0123/SC.csv").stat().st_size)
    assert cells["fc"] == "n/a"
    # Folder and manifest may move together.
    (tmp_path / "elsewhere").mkdir()
    for name in ("data", "lists"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    for row in read_manifest(tmp_path / "elsewhere/lists/manifest.tsv"):
        row.check_files()


def test_files_that_are_gone_or_changed(tmp_path):
    folder = plain_subject(tmp_path)
    row = read_manifest(write_manifest(tmp_path / "manifest.tsv", inspect_folder(tmp_path).rows))[0]
    row.check_files()
    status = (folder / "SC.csv").stat()
    os.utime(folder / "SC.csv", (status.st_atime, status.st_mtime + 60))
    row.check_files()  # a copy has another time, and the same content
    content = (folder / "SC.csv").read_bytes()
    (folder / "SC.csv").write_bytes(content[:-2] + bytes(reversed(content[-2:])))
    with pytest.raises(InputError, match=r"has changed: .*SC.csv(.|\n)*another content"):
        row.check_files()
    os.utime(folder / "SC.csv", (status.st_atime, status.st_mtime + 60))
    without = replace(row, sc=replace(row.sc, digest=None))  # as manifests of earlier versions
    with pytest.raises(InputError, match=r"has changed: .*SC.csv"):
        without.check_files()
    matrix(folder / "SC.csv", 4)
    with pytest.raises(InputError, match="has changed"):
        row.check_files()
    (folder / "SC.csv").unlink()
    with pytest.raises(MissingInputError, match=r"gone: .*SC.csv"):
        row.check_files()


def spoiled(tmp_path, change) -> Path:
    plain_subject(tmp_path, runs=2)
    path = write_manifest(tmp_path / "manifest.tsv", inspect_folder(tmp_path, Choices(tr_s=0.72)).rows)
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    change(lines)
    path.write_text("".join("\t".join(line) + "\n" for line in lines))
    return path


def put(column, value, line=1):
    def change(lines):
        lines[line][COLUMNS.index(column)] = value

    return change


def drop_column(lines):
    for line in lines:
        del line[COLUMNS.index("tr_s")]


def add_column(lines):
    for line in lines:
        line.append("scanner")


def repeat_line(lines):
    lines.append(lines[1])


def shorten_line(lines):
    lines[2].pop()


def no_lines(lines):
    del lines[1:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_column, "missing: tr_s"),
        (add_column, "unknown: scanner"),
        (repeat_line, "twice"),
        (shorten_line, "Line 3 .* another number of cells"),
        (no_lines, "has no rows"),
        (put("participant_id", "../evil"), "Line 2 .*participant_id"),
        (put("stage", "training"), "search | validation | test"),
        (put("orientation", "sideways"), "frames_by_regions | regions_by_frames"),
        (put("tr_s", "720"), "milliseconds"),
        (put("tr_s", "fast"), "tr_s is not a number"),
        (put("tr_s", "-1"), "tr_s is not a positive number"),
        (put("n_frames", "12.5"), "n_frames is not a number"),
        (put("timeseries", "n/a"), "does not hold a run"),
        (put("timeseries_stamp", "yesterday"), "not a size and a time"),
        (put("sc", "other.csv"), "different connectomes"),
    ],
)
def test_bad_manifests(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        read_manifest(spoiled(tmp_path, change))


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(MissingInputError, match="manifest file is not there"):
        read_manifest(tmp_path / "manifest.tsv")


def test_paths_that_cannot_stand_in_a_table(tmp_path):
    row = replace(ROW, timeseries=FileStamp(tmp_path / "a  b.tsv", 1, "2026-11-21T11:42:03Z"))
    with pytest.raises(InputError, match="double spaces"):
        write_manifest(tmp_path / "manifest.tsv", [row])
    assert not (tmp_path / "manifest.tsv").exists()


def test_the_rows_of_a_subject():
    two = replace(ROW, participant_id="sub-02")
    assert rows_of([ROW], None) == (ROW,)
    assert rows_of([ROW, two], "02") == (two,)
    assert rows_of([ROW, two], "sub-02") == (two,)
    with pytest.raises(ConfigError, match=r"`subject=\"sub-01\"`"):
        rows_of([ROW, two], None)
    with pytest.raises(ConfigError, match="no subject 3"):
        rows_of([ROW, two], "3")
    sessions = [replace(ROW, session=name) for name in ("a", "b")]
    with pytest.raises(ConfigError, match=r"`session=\"a\"`, or `session=\"all\"`"):
        rows_of(sessions, None)
    assert rows_of(sessions, None, "ses-b") == (sessions[1],)
    assert rows_of(sessions, None, "all") == tuple(sessions)
    with pytest.raises(ConfigError, match="no session c"):
        rows_of(sessions, None, "c")


def test_the_files_of_a_subject(tmp_path):
    folder = plain_subject(tmp_path, runs=2)
    found = subject_files(inspect_folder(tmp_path, Choices(tr_s=0.72)).rows)
    assert found.files.timeseries == [str(folder / f"task-rest_run-{k}_timeseries.tsv") for k in (1, 2)]
    assert (found.files.subject, found.files.sc, found.tr_s) == ("sub-01", str(folder / "SC.csv"), 0.72)
    fc_and_fcd(tmp_path / "sub-02", "train")
    fc_and_fcd(tmp_path / "sub-02", "test")
    stages = subject_files(rows_of(inspect_folder(tmp_path).rows, "02")).files
    assert stages.search.fc == str(tmp_path / "sub-02/train_FC.csv")
    assert stages.test.fcd_cdf == str(tmp_path / "sub-02/test_FCD_CDF.csv")
    assert stages.validation.fc is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tr_s": 1.0}, "differ in their repetition time"),
        ({"orientation": "regions_by_frames"}, "differ in their orientation"),
        ({"atlas": "Glasser"}, "differ in their atlas"),
        ({"timeseries": None, "fc": ROW.timeseries, "fcd_cdf": ROW.timeseries}, "both time series and FC"),
    ],
)
def test_runs_that_no_fit_takes_together(changes, message):
    with pytest.raises(InputError, match=message):
        subject_files([ROW, replace(ROW, run="run-2", **changes)])


def test_two_statistics_for_one_stage():
    row = replace(ROW, timeseries=None, fc=ROW.timeseries, fcd_cdf=ROW.timeseries)
    with pytest.raises(InputError, match="two FC files for search"):
        subject_files([row, replace(row, run="run-2")])


def test_table_of_regions_by_frames(tmp_path):
    table(tmp_path / "sub-01/plain_timeseries.tsv")
    (tmp_path / "sub-01/plain_timeseries.tsv").write_text(
        "\n".join(f"region{k}\t" + "\t".join(str(f + k) for f in range(400)) for k in range(3))
    )
    row = inspect_folder(tmp_path).rows[0]
    assert (row.orientation, row.n_frames, row.n_regions) == ("regions_by_frames", 400, 3)
    assert subject_files([row]).files.orientation == "regions_by_frames"
