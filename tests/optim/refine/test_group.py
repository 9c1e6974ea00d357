"""Random effects over people: against simulated groups, and what makes no group."""

import json

import numpy as np
import pytest

from mfm.errors import InputError, MissingInputError
from optim.cli.main import main
from optim.refine.group import icc, random_effects, summarise


def test_interval_covers_the_mean():
    """400 groups of six people: the share within 2.57 errors (95 % of t with 5 degrees) is at least 0.93 (95 - 2 x 1.1)."""
    rng = np.random.default_rng(0)
    covered, between = 0, []
    for _ in range(400):
        errors = rng.uniform(0.1, 0.5, 6)
        values = 1.0 + 0.5 * rng.normal(size=6) + errors * rng.normal(size=6)
        mean, error, spread = random_effects(values, errors)
        covered += abs(mean - 1.0) < 2.57 * error
        between.append(spread**2)
    assert covered / 400 > 0.93
    assert np.mean(between) == pytest.approx(0.25, rel=0.2)


def test_equal_errors_and_no_spread_is_the_plain_mean():
    mean, error, spread = random_effects(np.array([1.0, 1.0, 1.0, 1.0]), np.full(4, 0.2))
    assert (mean, spread) == (1.0, 0.0)
    assert error == pytest.approx(0.1)


def test_icc_of_noise_is_near_zero():
    rng = np.random.default_rng(1)
    assert abs(icc(rng.normal(size=2000), rng.normal(size=2000))) < 0.1
    assert np.isnan(icc(np.ones(2), np.ones(2)))


def folder(path, subject, value, refused=False, **settings):
    path.mkdir(exist_ok=True)
    term = {"name": "h x", "refused": refused, "value": value, "value_error": 0.1, "retest": value, "polished": None}
    record = {"subject": subject, "supported": not refused, "terms": [term], "config": {"bins": 16, "seed": 1, **settings}}
    (path / "x_refine.json").write_text(json.dumps(record), encoding="utf-8")
    return path


def test_people_whose_scan_cannot_tell_are_left_out(tmp_path, capsys):
    folders = [folder(tmp_path / name, name, value) for name, value in (("a", 1.0), ("b", 1.2), ("c", 0.8))]
    folders.append(folder(tmp_path / "d", "d", None, refused=True))
    (term,) = summarise(folders)
    assert (term.people, term.supported) == (3, 3)
    assert term.mean == pytest.approx(1.0)
    assert main(["refine-group", *map(str, folders), "--out", str(tmp_path / "group.tsv")]) == 0
    assert "h x" in capsys.readouterr().out
    assert (tmp_path / "group.tsv").read_text(encoding="utf-8").splitlines()[0].startswith("name\tpeople\tmean")


def test_what_is_no_group(tmp_path):
    a, b = folder(tmp_path / "a", "a", 1.0), folder(tmp_path / "b", "b", 1.0, bins=8)
    with pytest.raises(InputError, match=r"refined by other settings(.|\n)*bins"):
        summarise([a, b])
    with pytest.raises(InputError, match="each once"):
        summarise([a, a])
    with pytest.raises(MissingInputError, match="holds no refinement"):
        summarise([a, tmp_path])
