"""Cached kernels that are older than code they may hold are dropped."""

import os

from mfm.compute import compile as home


def test_what_is_older_than_any_kernels_code_is_dropped(tmp_path):
    compiled = tmp_path / "__pycache__"
    compiled.mkdir()
    (tmp_path / "code.py").write_text("")
    old, new = compiled / "code.f-1.py311.nbi", compiled / "code.f-1.py311.1.nbc"
    for path, age in ((old, 0), (new, 4e9)):
        path.write_text("")
        os.utime(path, (age, age))
    home._drop_stale(tmp_path)
    assert not old.exists()
    assert new.exists()
    # A folder of its own for every kernel's file, and none that cannot be read stops anything.
    home._drop_stale(tmp_path / "nowhere")
