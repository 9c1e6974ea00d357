"""The lock of a folder: one job works on it at a time, on whatever machine of a shared file system.

The lock is a file that is created in one step (``O_EXCL``, which network file systems know too) and says whose it is. Its owner
touches it once a minute; so a lock whose owner was killed is told from one in use, on other machines too.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from mfm.errors import BusyError
from mfm.io.formats.system import cannot_write, shown

#: A lock is touched this often, and left behind if it was not for that long; seconds.
HEARTBEAT_S, STALE_S = 60.0, 600.0
LOCK_NAME = "lock.json"


@dataclass(frozen=True)
class Owner:
    """Who works on a folder.

    Parameters
    ----------
    host : str
    pid : int
    started : str
        UTC, ISO 8601.
    machine : str
        Tells machines, their boots and containers of one host name apart: numbers of processes compare only within one.
    token : str
        Of this very lock.
    """

    host: str
    pid: int
    started: str
    machine: str
    token: str

    @classmethod
    def myself(cls) -> Owner:
        """This process."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(socket.gethostname(), os.getpid(), now, _machine(), secrets.token_hex(8))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"


class FolderLock:
    """The lock of one folder, held within a ``with`` statement.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    note : function of text, optional
        Called where the lock of a job that is gone was taken over.

    Raises
    ------
    BusyError
        On entering, if another job works on the folder.
    OutputError
        If the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mfm.errors import BusyError
    >>> from optim.report.lock import FolderLock
    >>> folder = Path(tempfile.mkdtemp())
    >>> with FolderLock(folder) as lock:
    ...     lock.check()  # still ours
    ...     try:
    ...         FolderLock(folder).__enter__()
    ...     except BusyError as error:
    ...         print(error.exit_code)
    76
    """

    def __init__(self, folder: Path, note: Callable[[str], None] | None = None):
        self.path = folder / LOCK_NAME
        self._note = note or (lambda text: None)
        self._owner = Owner.myself()
        self._ended = threading.Event()
        self._heart: threading.Thread | None = None

    def __enter__(self) -> FolderLock:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            while not self._created():
                self._take_over()
        except BusyError:
            raise
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._heart = threading.Thread(target=self._beat, daemon=True, name="lock of a folder")
        self._heart.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        with suppress(OSError):
            if _read(self.path) == self._owner:
                self.path.unlink()

    def check(self) -> None:
        """Raise a BusyError if another job has taken the folder over, as after a machine was asleep."""
        found = _read(self.path)
        if found != self._owner and found is not None:
            raise _busy(self.path, found)

    def _created(self) -> bool:
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(self._owner), file)
        return True

    def _take_over(self) -> None:
        """Take a lock away whose owner is gone; a BusyError if it is not."""
        if not self.path.exists():
            return  # its owner is done; it is asked again
        found = _read(self.path)
        why = why_stale(self.path, found)
        if why is None:
            raise _busy(self.path, found)
        aside = self.path.with_name(f".{LOCK_NAME}-{self._owner.token}")
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return  # another job was quicker; it is asked again
        if _read(aside) != found:  # that quicker job's lock: given back
            with suppress(FileExistsError):
                os.link(aside, self.path)
            aside.unlink()
            raise _busy(self.path, _read(self.path))
        aside.unlink()
        self._note(
            f"note: an earlier job on {self.path.parent} is gone ({found or 'a lock that was never filled'}; {why}); going on"
        )

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            with suppress(OSError):
                if _read(self.path) == self._owner:
                    os.utime(self.path)


def check_free(folder: Path) -> None:
    """Raise a BusyError if a job works on the folder; nothing is written that stays."""
    path = folder / LOCK_NAME
    if not path.exists():
        return
    found = _read(path)
    if why_stale(path, found) is None:
        raise _busy(path, found)


def why_stale(path: Path, owner: Owner | None) -> str | None:
    """Return why a lock's owner must be gone; None where it may be there."""
    if owner is not None and owner.machine == _machine() and not _is_running(owner.pid):
        return "that process has ended"
    try:
        silent = _now(path.parent) - path.stat().st_mtime
    except OSError:
        return None
    return f"not heard of for {silent / 60:.0f} minutes" if silent > STALE_S else None


def _busy(path: Path, owner: Owner | None) -> BusyError:
    return BusyError(
        f"Another job works on {path.parent}.",
        found=str(owner) if owner else "a lock that was made a moment ago",
        cause="the same command was submitted twice, or two jobs have one output.folder",
        fix="wait for it, or another output.folder. One that was killed on another machine is noticed after "
        f"{STALE_S / 60:.0f} minutes; if you are sure: rm {shown(path)}",
    )


def _read(path: Path) -> Owner | None:
    """The owner of a lock; None where there is none, or it is just being written."""
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _machine() -> str:
    """What tells machines, boots and namespaces of processes apart, as far as the system tells."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    with suppress(OSError, IndexError):  # a process that has ended but was not waited for
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    return True


def _now(folder: Path) -> float:
    """The time by the clock of the file system, which stamps files; clocks of machines may differ."""
    probe = folder / f".clock-{secrets.token_hex(4)}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink()
