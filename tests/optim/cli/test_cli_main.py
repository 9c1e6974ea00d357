"""The command line as a whole: its commands, its help and its exit codes."""

import pkgutil
import re
import subprocess
import sys
import warnings
from importlib import import_module

import pytest

import mfm
import optim.cli
from mfm.errors import InputError, InputNote, MfmfitError
from optim.cli.console import ExitCode, exit_code
from optim.cli.main import COMMANDS, main
from optim.cli.messages import fit_settings


def test_every_file_with_add_and_run_is_a_command():
    names = [found.name for found in pkgutil.iter_modules(optim.cli.__path__) if found.name != "__main__"]
    modules = [import_module(f"optim.cli.{name}") for name in names]
    commands = [module for module in modules if hasattr(module, "add") and hasattr(module, "run")]
    assert sorted(COMMANDS) == sorted(command.__name__.rpartition(".")[2] for command in commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_called_as_its_file_and_says_what_it_does(command, capsys):
    name = command.replace("_", "-")
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"usage: mfmfit {name}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert name in re.findall(r"^    ([a-z-]+)", capsys.readouterr().out, re.MULTILINE)


def test_every_exit_code_of_an_error_is_explained(capsys):
    def kinds(kind):
        return {kind}.union(*map(kinds, kind.__subclasses__()))

    assert {kind.exit_code for kind in kinds(MfmfitError)} <= {code.value for code in ExitCode}
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(f"{code.value} {code.meaning}" in said for code in ExitCode)


def warned_and_failed():
    warnings.warn(InputNote("`tr_s=2.0` was taken"), stacklevel=2)
    raise InputError("The matrix has an unknown form.", fix='`transform="none"`, see `load_connectome`')


def test_errors_and_notes_speak_in_settings(capsys):
    assert exit_code(warned_and_failed, fit_settings, person="sub-01") == ExitCode.INVALID_INPUT
    assert capsys.readouterr().err == (
        "note: acquisition.tr_s=2.0 was taken\nsub-01: error: The matrix has an unknown form.\n"
        "  fix: data.sc_transform=none, see `load_connectome`\n"
    )
    assert exit_code(warned_and_failed) == 65
    assert '`transform="none"`' in capsys.readouterr().err


SIMULATE = ["simulate", "--parameters", "p.tsv", "--sc", "sc.csv", "--out", "sim"]


@pytest.mark.parametrize(("command", "resumes"), [(["fit"], True), (["demo"], True), (SIMULATE, False)])
def test_what_resumes_when_interrupted_says_so(command, resumes, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("optim.cli.main.exit_code", interrupt)
    assert main(command) == 75
    err = capsys.readouterr().err
    assert err.startswith("interrupted")
    assert ("the same command goes on" in err) is resumes


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_import_load_nothing_heavy(option):
    code = f"import sys, mfm, optim.cli.main\ntry: optim.cli.main.main(['{option}'])\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'numba', 'scipy', 'hydra', 'cma', 'matplotlib'} & set(sys.modules), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_package_runs_as_a_module():
    found = subprocess.run([sys.executable, "-m", "optim.cli", "--version"], check=True, capture_output=True, text=True)
    assert found.stdout == f"mfmfit {mfm.__version__}\n"
