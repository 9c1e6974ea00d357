"""The folder of a fit: its file names, and how it is replaced whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import mfm
from mfm.errors import OutputError
from mfm.io import write_json
from mfm.io.formats.system import cannot_write, home_expanded
from mfm.subject import bare_id
from optim.config.fit import FitConfig
from optim.report.lock import LOCK_NAME
from optim.search.checkpoint import differences


class FitFolder:
    """The folder of one subject's fit: ``<output.folder>/sub-<id>/``."""

    def __init__(self, config: FitConfig):
        subject = bare_id(config.data.subject)
        self.path = home_expanded(config.output.folder) / f"sub-{subject}"
        self.stem = f"sub-{subject}_atlas-{config.atlas.name}_desc-{config.model.name}"
        self.work = self.path / "work"
        self._status = self.path / "status.json"

    def file(self, suffix: str) -> Path:
        return self.path / f"{self.stem}_{suffix}"

    def is_done(self, fingerprint: str, overwrite: bool, facts: Mapping[str, str] | None = None) -> bool:
        """Whether the very fit is already there, and may stay; nothing is touched.

        Raises
        ------
        OutputError
            If the folder holds something else, and `overwrite` is not set; files that no fit wrote are never replaced. With
            `facts` (`optim.fit.fingerprint`) it names what differs.
        """
        status = self._read_status()
        if status is None or overwrite:
            return False
        if status["fingerprint"] != fingerprint:
            raise OutputError(
                f"{self.path} holds a fit with other data, settings or version.",
                expected=f"fingerprint {fingerprint[:12]}",
                found=f"fingerprint {status['fingerprint'][:12]}, {status['state']}"
                + differences(status.get("facts") or {}, facts or {}),
                fix="choose another output.folder, or output.overwrite=true to replace it",
            )
        return status["state"] == "done"

    def begin(self, fingerprint: str, facts: Mapping[str, str] | None = None) -> None:
        """Mark the folder as being worked on; checkpoints of another fit are dropped, its results stay until `clear`."""
        status = self._read_status()
        if status is not None and (status["fingerprint"] != fingerprint or status["state"] == "done"):
            shutil.rmtree(self.work, ignore_errors=True)
        self._write_status("running", fingerprint, facts or {})

    def clear(self) -> None:
        """Remove the results of an earlier fit, and nothing else."""
        for file in [*self.path.glob(f"{self.path.name}_atlas-*_desc-*"), *(self.path / "figures").glob("*.png")]:
            file.unlink(missing_ok=True)

    def set_state(self, state: str, fingerprint: str) -> None:
        """Write the state of the work that `begin` began."""
        status = self._read_status()
        same = status is not None and status["fingerprint"] == fingerprint
        self._write_status(state, fingerprint, (status.get("facts") or {}) if same and status is not None else {})

    def _write_status(self, state: str, fingerprint: str, facts: Mapping[str, str]) -> None:
        status = {"state": state, "fingerprint": fingerprint, "version": mfm.__version__, "facts": dict(facts)}
        write_json(self._status, status)

    def _read_status(self) -> dict | None:
        try:
            if self.path.exists() and not self.path.is_dir():
                raise OutputError(f"{self.path} is not a folder.", fix="choose another output.folder")
            if not self._status.exists():
                # A lock, and what was being written when a job was killed, are no one's results.
                others = [one.name for one in self.path.iterdir()] if self.path.exists() else []
                if any(name != LOCK_NAME and not name.startswith(".") for name in others):
                    raise OutputError(
                        f"{self.path} is not empty and was not written by a fit.", fix="choose another output.folder"
                    )
                return None
            content = self._status.read_text(encoding="utf-8")
        except OutputError:
            raise
        except OSError as error:
            raise cannot_write(self.path, error) from error
        except UnicodeDecodeError:
            content = ""
        try:
            status = json.loads(content)
        except ValueError:
            status = None
        if not isinstance(status, dict) or not {"state", "fingerprint"} <= set(status):
            raise OutputError(f"{self._status} was not written by a fit.", fix="choose another output.folder")
        return status
