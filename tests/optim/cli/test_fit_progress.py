"""What a fit says while it runs: stages with their times, one bar or one line a minute, and no NaN."""

import io
import re

import pytest

from mfm import CostValues
from optim.cli import console
from optim.cli.console import Progress
from optim.cli.fit import fit_and_write
from optim.search.run import Generation


def generation(k, total=0.25):
    values = CostValues(dict.fromkeys(CostValues.unknown().terms, total / 3 if total is not None else float("nan")))
    return Generation(1, k, best=values, median_loss=1.0, step=0.2, share_in_range=0.5, n_simulated=8, seconds=0.1)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(console.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_log_has_a_line_per_stage_and_at_most_one_a_minute(clock, capsys):
    progress = Progress(1, 600)
    progress.stage("search")
    for k in range(600):
        clock.now += 1.0
        progress(generation(k + 1))
    for name, expected in (("validation", 12.0), ("identifiability", None), ("test", 240.0), ("figures", None)):
        progress.stage(name, expected)
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert sum("generation" in line for line in lines) == 10 + 1  # one a minute, and the stage's own
    assert len(lines) == 10 + 5
    assert "about 9 min of search left" in lines[1]
    assert lines[-4].endswith("validation data, about 12 s")
    assert lines[-2].endswith("for the test, about 4 min")


def test_notes_of_audits_come_with_the_line_that_is_due(clock, capsys):
    progress = Progress(1, 100)
    progress.note("audit of population 3: fine")
    assert capsys.readouterr().err == ""
    clock.now = 61.0
    progress(generation(4))
    assert "audit of population 3: fine" in capsys.readouterr().err


def test_no_candidate_within_range_is_said_in_words(clock, capsys):
    progress = Progress(1, 10)
    clock.now = 61.0
    progress(generation(1, None))
    err = capsys.readouterr().err
    assert "none within range yet" in err
    assert "nan" not in err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_has_one_bar_for_the_whole_fit(subject, config, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(console.sys, "stderr", terminal)
    fit_and_write(subject, config)
    shown = [line for line in re.split(r"[\r\n]", terminal.getvalue()) if line.strip()]
    assert not [line for line in shown if "%|" not in line and not line.startswith("results:")]
    percent = [int(found[1]) for line in shown if (found := re.search(r"(\d+)%\|", line))]
    assert percent == sorted(percent)
    assert "writing tables and figures" in terminal.getvalue()
    assert "nan" not in terminal.getvalue()


def test_every_stage_of_a_fit_is_announced(subject, config, capsys):
    fit_and_write(subject, config)
    err = capsys.readouterr().err
    said = ["searching: 4 generations", "simulating the winners", "what FC tells", "for the test, about", "writing tables"]
    at = [err.index(text) for text in said]
    assert at == sorted(at)
    assert len(err.splitlines()) == len(said) + 1
