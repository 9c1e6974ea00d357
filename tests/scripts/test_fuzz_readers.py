"""The script that feeds damaged files to readers runs, and tells what it finds."""

from __future__ import annotations

import subprocess
import sys

import pytest
from repository import ROOT


@pytest.mark.parametrize("reader", ["table", "sidecar"])
def test_a_moment_of_fuzzing_finds_nothing(tmp_path, reader):
    command = [
        sys.executable,
        str(ROOT / "scripts/fuzz_readers.py"),
        reader,
        "--minutes",
        "0.03",
        "--keep",
        str(tmp_path / "found"),
    ]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{reader}: " in done.stdout
    assert not (tmp_path / "found").exists()
