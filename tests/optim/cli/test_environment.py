"""The person's environment: signals, streams, variables, modules of their own; none of it is a bug of ours."""

import errno
import importlib.util
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import mfm
from mfm.errors import BackendError, BusyError, InputNote, OutputError
from optim.cli.console import ExitCode, exit_code
from optim.cli.environment import check_all, check_environment, check_folder
from optim.cli.main import main
from optim.cli.signals import Terminated, signals_as_interrupts
from optim.cli.start import shadowed
from optim.cli.streams import PatientStream, patient_streams
from optim.fit.stages import Stages
from optim.report.drawing import drawn, own_style
from optim.report.folder import FitFolder
from optim.report.lock import FolderLock
from optim.report.tables import write_fit

ROOT = Path(mfm.__file__).parents[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_slurm_and_a_closed_terminal_end_a_fit_as_ctrl_c_does(number, monkeypatch, capsys):
    monkeypatch.setattr("optim.cli.main.exit_code", lambda *_: os.kill(os.getpid(), number))
    before = signal.getsignal(number)
    assert main(["fit"]) == 75
    assert f"ended by {number.name}: the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(number) == before


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_as_interrupts():
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(Terminated):
                os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


class Broken(io.StringIO):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        raise OSError(self.number, os.strerror(self.number))


def test_a_reader_that_has_enough_ends_no_work(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken(errno.EPIPE))
    done = []
    with patient_streams() as out:
        print("a line")
        done.append("work")
        print("another")
    assert done
    assert out.lost is None


def test_output_that_cannot_be_written_is_told_when_the_work_is_done(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC))
    monkeypatch.setattr("optim.cli.main.exit_code", lambda *_: print("result") or 0)
    assert main(["fit"]) == 73
    assert "the work itself is done" in capsys.readouterr().err


def test_closed_streams_and_narrow_encodings(monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    monkeypatch.setattr(sys, "stderr", None)
    with patient_streams():
        print("wörk \udcfc")
        assert not sys.stderr.isatty()
    assert narrow.buffer.getvalue() == b"w\\xf6rk \\udcfc\n"
    assert PatientStream(narrow).encoding == "ascii"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "x.csv"), 66),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x"), 66),
        (OSError(errno.ENOSPC, "No space left on device"), 73),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 73),
        (OSError(errno.EMFILE, "Too many open files"), 71),
        (MemoryError(), 71),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 65),
        (ZeroDivisionError("ours"), 70),
    ],
)
def test_errors_of_the_machine_are_no_bugs(error, code, capsys):
    def fail():
        raise error

    assert exit_code(fail) == code
    assert ("bug in mfmfit" in capsys.readouterr().err) is (code == ExitCode.BUG)


@pytest.mark.parametrize("name", ["surrogate", "mfm", "tqdm"])
def test_a_module_of_a_persons_own_is_told(name, tmp_path, monkeypatch):
    assert shadowed() is None
    (tmp_path / f"{name}.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    assert f"found: {tmp_path / name}.py" in shadowed()


def test_the_entry_point_looks_before_it_imports(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("_mfmfit", ROOT / "_mfmfit.py")
    entry = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(entry)
    (tmp_path / "optim.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert entry.main() == 70
    assert f"found: {tmp_path / 'optim.py'}" in capsys.readouterr().err


def test_the_entry_point_of_an_editable_install(tmp_path):
    """It lies among the installed packages, and the packages in the checkout."""
    entry = shutil.copy(ROOT / "_mfmfit.py", tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run([sys.executable, entry, "--version"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")


def test_python_m_with_a_persons_own_surrogate(tmp_path):
    (tmp_path / "surrogate.py").write_text("x = 1\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "optim.cli", "--version"]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (70, "")
    assert "surrogate.py" in found.stderr


def test_the_search_needs_no_matplotlib(tmp_path):
    """A notebook's backend, and a matplotlibrc that cannot be decoded."""
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe")
    code = "from optim.search.cmaes import imported_cma\nimport sys\nassert imported_cma().CMAEvolutionStrategy\n"
    code += "assert 'matplotlib.pyplot' not in sys.modules\nassert 'matplotlib' not in sys.modules\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr


def test_figures_have_a_style_of_their_own():
    import matplotlib

    with matplotlib.rc_context({"text.usetex": True, "font.size": 77}):
        with own_style():
            assert not matplotlib.rcParams["text.usetex"]
            assert matplotlib.rcParams["font.size"] == 10
        assert matplotlib.rcParams["font.size"] == 77


def test_figures_that_fail_are_a_note():
    with pytest.warns(InputNote, match=r"could not be drawn \(division by zero\)"):
        assert drawn(lambda: 1 / 0) is None


def test_a_fit_is_safe_before_its_figures(subject, config, monkeypatch):
    from dataclasses import replace

    from optim.fit.protocol import fit_subject

    def fail(*_):
        raise RuntimeError("latex could not be found")

    monkeypatch.setattr("optim.report.figures.write_figures", fail)
    config = replace(config, output=replace(config.output, figures=True))
    result, folder = fit_subject(subject, config), FitFolder(config)
    folder.begin(result.fingerprint)
    with pytest.warns(InputNote, match="latex could not be found"):
        write_fit(result, folder)
    assert folder.is_done(result.fingerprint, overwrite=False)


def test_numba_without_compilation_is_refused(monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    with pytest.raises(BackendError, match="unset NUMBA_DISABLE_JIT"):
        check_environment(print)
    monkeypatch.setattr("mfm.compute.compile.config.DISABLE_JIT", True)
    from mfm.compute.compile import kernel

    with pytest.raises(BackendError, match="Nothing can be compiled"):
        kernel(lambda x: x)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("NUMBA_CACHE_DIR", "/proc/nowhere", "cannot be written"),
        ("NUMBA_CPU_NAME", "pentium", "how kernels are compiled"),
        ("NUMBA_CPU_FEATURES", "-avx2", "how kernels are compiled"),
    ],
)
def test_variables_that_make_a_difference_are_noted(name, value, said, monkeypatch):
    monkeypatch.setenv(name, value)
    notes = []
    check_environment(notes.append)
    assert name in notes[0]
    assert said in notes[0]


def test_check_says_what_it_checked(subject, config):
    lines = check_all(Stages(subject, config), FitFolder(config))
    assert [line.split()[0] for line in lines] == ["backend", "the", "optimizer"]


def test_check_tries_the_backend(subject, config, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no such target\nmore")

    monkeypatch.setattr("mfm.simulate", fail)
    with pytest.raises(BackendError, match=r"numba backend cannot simulate here(.|\n)*RuntimeError: no such target\n"):
        check_all(Stages(subject, config), FitFolder(config))


def test_check_looks_at_the_output_folder(config, tmp_path):
    from dataclasses import replace

    def folder(**settings):
        return FitFolder(replace(config, output=replace(config.output, **settings)))

    assert str(tmp_path) in check_folder(folder())
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    for name, said in (("file/x", "not a folder"), ("/proc/x", "Cannot write"), ("a" * 300, "too long")):
        with pytest.raises(OutputError, match=said):
            check_folder(folder(folder=str(tmp_path / name)))
    long = replace(config, atlas=replace(config.atlas, name="a" * 230))
    with pytest.raises(OutputError, match=r"too long(.|\n)*atlas.name"):
        check_folder(FitFolder(long))
    with FolderLock(folder().path), pytest.raises(BusyError):
        check_folder(folder())
