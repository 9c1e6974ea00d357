"""One job at a time works on a folder; the lock of one that is gone is told from one in use."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from mfm.errors import BusyError, OutputError
from optim.report.lock import LOCK_NAME, STALE_S, FolderLock, Owner, check_free, why_stale


def leave(folder, owner, silent_s=0.0):
    path = folder / LOCK_NAME
    path.write_text(json.dumps(asdict(owner)) if owner else "", encoding="utf-8")
    status = path.stat()
    os.utime(path, (status.st_atime, status.st_mtime - silent_s))
    return path


def test_a_second_job_is_refused_and_loses_nothing(tmp_path):
    with FolderLock(tmp_path / "sub-01") as lock:
        before = lock.path.read_bytes()
        with pytest.raises(BusyError, match=f"process {os.getpid()} on (.|\n)*submitted twice(.|\n)*rm ") as error:
            FolderLock(tmp_path / "sub-01").__enter__()
        with pytest.raises(BusyError):
            check_free(tmp_path / "sub-01")
        assert error.value.exit_code == 76
        assert lock.path.read_bytes() == before
        lock.check()
    assert not list((tmp_path / "sub-01").iterdir())
    check_free(tmp_path / "sub-01")
    check_free(tmp_path / "nowhere")


def test_a_lock_is_taken_off_when_work_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), FolderLock(tmp_path):
        1 / 0  # noqa: B018
    assert not list(tmp_path.iterdir())


@pytest.fixture
def dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_lock_of_a_process_that_ended_is_taken_over_with_a_note(tmp_path, dead):
    leave(tmp_path, replace(Owner.myself(), pid=dead))
    notes = []
    with FolderLock(tmp_path, notes.append):
        assert f"process {dead}" in notes[0]
        assert "has ended" in notes[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("owner", [replace(Owner.myself(), pid=1, host="node-7", machine="node-7"), None])
def test_on_another_machine_the_heartbeat_tells(tmp_path, owner):
    leave(tmp_path, owner)
    with pytest.raises(BusyError):
        FolderLock(tmp_path).__enter__()
    path = leave(tmp_path, owner, silent_s=STALE_S + 60)
    assert "not heard of for 11 minutes" in why_stale(path, owner)
    with FolderLock(tmp_path):
        pass


def test_a_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr("optim.report.lock.HEARTBEAT_S", 0.01)
    with FolderLock(tmp_path) as lock:
        os.utime(lock.path, (0, 0))
        for _ in range(200):
            if lock.path.stat().st_mtime > 0:
                break
            lock._ended.wait(0.02)
        assert lock.path.stat().st_mtime > 0


def test_an_owner_notices_that_its_folder_was_taken_and_leaves_the_lock_of_the_other(tmp_path):
    with FolderLock(tmp_path) as lock:
        path = leave(tmp_path, Owner.myself())
        with pytest.raises(BusyError):
            lock.check()
    assert path.exists()


def test_of_two_that_take_over_one_wins(tmp_path, monkeypatch, dead):
    """The other had judged the stale lock, but finds the winner's when it moves it aside: it is given back."""
    path = leave(tmp_path, replace(Owner.myself(), pid=dead))
    winner = Owner.myself()

    def judged(path, owner):
        leave(tmp_path, winner)
        return "gone"

    monkeypatch.setattr("optim.report.lock.why_stale", judged)
    with pytest.raises(BusyError):
        FolderLock(tmp_path).__enter__()
    assert Owner(**json.loads(path.read_text())) == winner
    assert [one.name for one in tmp_path.iterdir()] == [LOCK_NAME]


def test_a_folder_that_cannot_be_locked_is_an_error_of_the_output(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write"):
        FolderLock(tmp_path / "file" / "sub-01").__enter__()
