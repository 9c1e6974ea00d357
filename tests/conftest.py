"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from repository import ROOT

# The same examples at every run: what fails, fails for whoever runs it next.
settings.register_profile("same-examples", derandomize=True)
settings.load_profile("same-examples")

# Where there is no GPU, Triton kernels run in its interpreter; this must be known before one is defined.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Files of fixtures hold no doctests, and all have the same module name.
collect_ignore_glob = ["*/conftest.py"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared reference data, which is no part of the repository."""
    folder = Path(os.environ.get("MFMFIT_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip("the shared reference data are not here")
    return folder
