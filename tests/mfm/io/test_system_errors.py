"""What the operating system says of files ends in errors of the tree with their exit codes; one bad file stops no others."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from folder_trees import plain_subject

from mfm.errors import InputError, MissingInputError, OutputError
from mfm.io import inspect_folder, read_manifest, write_json, write_manifest, write_npy, write_tsv
from mfm.io.folders.manifest import content_digest
from mfm.io.formats.input_file import InputFile, existing_file, file_digest
from mfm.io.formats.system import home_expanded
from mfm.io.formats.write import write_atomic

NOT_UTF8 = os.fsdecode(b"M\xfcller_run-3_timeseries.csv")


def refuse(number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a" * 300, "too long"),
        ("folder", "a folder"),
        ("pipe", "no file on a disk"),
        ("loop", "link"),
        ("dangling", "link to a file that is not there"),
        ("zero\0byte", "not there"),
        ("~nobody-of-this-name.csv", "not there"),
    ],
)
def test_a_name_that_is_no_file(tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("nowhere")
    with pytest.raises(MissingInputError, match=said) as error:
        existing_file(name, "connectome")
    assert error.value.exit_code == 66


@pytest.mark.parametrize(("number", "code"), [(errno.EACCES, 66), (errno.EPERM, 66), (errno.ESTALE, 66), (errno.EIO, 65)])
def test_a_file_that_the_system_does_not_give(tmp_path, monkeypatch, number, code):
    path = tmp_path / "SC a.csv"
    path.write_text("1,2\n2,1\n")
    file = InputFile(path, "connectome")
    monkeypatch.setattr("builtins.open", refuse(number))
    monkeypatch.setattr("pathlib.Path.read_bytes", refuse(number))
    for read in (lambda: existing_file(path, "connectome"), file.content, lambda: file.head, lambda: file_digest(path)):
        with pytest.raises(InputError, match="cannot be read") as error:
            read()
        assert error.value.exit_code == code


def test_commands_in_messages_survive_the_shell(tmp_path):
    path = tmp_path / "my data.csv"
    path.symlink_to("nowhere")
    with pytest.raises(MissingInputError, match=r"datalad get '.*my data.csv'"):
        existing_file(path, "connectome")


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota"), (errno.EROFS, "reading only"), (errno.EFBIG, "ulimit")],
)
def test_what_cannot_be_written(tmp_path, number, said):
    with pytest.raises(OutputError, match=said) as error:
        write_atomic(tmp_path / "x.json", refuse(number))
    assert error.value.exit_code == 73
    assert not list(tmp_path.iterdir())


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    assert write_npy(tmp_path / f"{'a' * 251}.npy", np.zeros(2)).exists()
    with pytest.raises(OutputError, match="too long"):
        write_npy(tmp_path / f"{'a' * 252}.npy", np.zeros(2))


def test_a_name_that_is_not_utf8_is_written_so_that_it_can_be_read_back(tmp_path):
    assert json.loads(write_json(tmp_path / "a.json", {"path": NOT_UTF8}).read_text(encoding="utf-8")) == {"path": NOT_UTF8}
    assert r"M\udcfcller" in write_tsv(tmp_path / "a.tsv", ["path"], [(NOT_UTF8,)]).read_text(encoding="utf-8")
    # The name of a UTF-8 file as an ASCII locale has it.
    in_ascii = "Größe".encode().decode("ascii", "surrogateescape")
    assert "Größe" in write_tsv(tmp_path / "b.tsv", ["path"], [(in_ascii,)]).read_text(encoding="utf-8")


def test_a_tilde_is_home_only_where_there_is_one(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert home_expanded("~/x") == Path("/somewhere/x")
    assert home_expanded("~backup~.csv") == Path("~backup~.csv")


GARBAGE = bytes(range(256)) * 40


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (NOT_UTF8, b"1,2\n"),
        ("rest_run-3_timeseries.csv", b"\xff\xfe\x00,\xff\n" * 9),
        ("rest_run-3_timeseries.npy", GARBAGE),
        ("rest_run-3_timeseries.npz", b"PK\x03\x04" + GARBAGE),
        ("rest_run-3_timeseries.mat", b"MATLAB 5.0" + GARBAGE),
        ("rest_run-3_timeseries.ptseries.nii", GARBAGE),
    ],
)
def test_one_bad_file_is_a_finding_and_the_others_go_on(tmp_path, name, content):
    plain_subject(tmp_path, "sub-01")
    plain_subject(tmp_path, "sub-02")
    (tmp_path / "sub-01" / name).write_bytes(content)
    found = inspect_folder(tmp_path)
    assert {row.participant_id for row in found.rows} == {"sub-01", "sub-02"}
    where = [finding.where for finding in found.findings if finding.kind in ("broken", "suspicious")]
    assert any(name in one for one in where)
    assert read_manifest(write_manifest(tmp_path / "m.tsv", found.rows))


def test_a_decoder_that_fails_otherwise_is_a_finding(tmp_path, monkeypatch):
    plain_subject(tmp_path, "sub-01")
    np.save(tmp_path / "sub-01/rest_run-3_timeseries.npy", np.zeros((5, 5)))

    def fail(*_):
        raise RuntimeError("of a kind that nobody thought of")

    monkeypatch.setattr("mfm.io.formats.npy.NpyFormat.peek", fail)
    assert any("nobody thought of" in finding.text for finding in inspect_folder(tmp_path).findings)


def test_a_folder_that_may_not_be_entered_is_told(tmp_path, monkeypatch):
    plain_subject(tmp_path, "sub-01")
    plain_subject(tmp_path, "sub-02")
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: refuse(errno.EACCES)() if "sub-02" in str(path) else scandir(path))
    found = inspect_folder(tmp_path)
    assert [row.participant_id for row in found.rows] == ["sub-01"]
    assert any(finding.where == "sub-02" and "may not be entered" in finding.text for finding in found.findings)
    monkeypatch.setattr(os, "scandir", refuse(errno.EACCES))
    with pytest.raises(MissingInputError, match="Permission denied"):
        inspect_folder(tmp_path)


def test_links_in_a_circle_are_passed_over(tmp_path):
    plain_subject(tmp_path, "sub-01")
    (tmp_path / "sub-01/loop").symlink_to("loop")
    (tmp_path / "sub-01/again").symlink_to(tmp_path)
    assert len(inspect_folder(tmp_path).subjects) == 1


def test_participants_that_cannot_be_read_are_passed_over(tmp_path, monkeypatch):
    plain_subject(tmp_path, "sub-01")
    (tmp_path / "participants.tsv").write_text("participant_id\tname\nsub-01\tx\n")
    monkeypatch.setattr("mfm.io.folders.participants.text_lines", refuse(errno.EACCES))
    found = inspect_folder(tmp_path)
    assert any("participants.tsv cannot be read" in finding.text for finding in found.findings)
    assert found.rows


def test_large_files_are_digested_by_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("mfm.io.folders.manifest._WHOLE_BYTES", 1000)
    monkeypatch.setattr("mfm.io.folders.manifest._BLOCK_BYTES", 10)
    path, content = tmp_path / "x", bytearray(os.urandom(5000))
    path.write_bytes(content)
    before = content_digest(path)
    assert content_digest(Path(shutil.copy(path, tmp_path / "copy"))) == before
    for end in (0, -1):
        changed = bytearray(content)
        changed[end] ^= 1
        path.write_bytes(changed)
        assert content_digest(path) != before
