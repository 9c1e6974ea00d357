"""The recipes of docs/extending.md, followed to the letter on a copy of the packages, and what they promise."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")

# The convention of the page: a line that says what to do with the block that follows.
STEP = re.compile(
    r"^(?:Write `(?P<new>[^`]+)`:|In `(?P<old>[^`]+)`, after the line `(?P<line>[^\n]+)`:|(?P<check>Check it)[^\n]*:)\n\n"
    r"```\w+\n(?P<block>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
RECIPES = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
# The fewest settings and frames with which a fit runs through.
QUICK = """
optimizer.population=6 optimizer.generations=2 optimizer.initial_candidates=8 objective.n_repeats=1 objective.burn_in_s=4
objective.warm_up_s=1 objective.dt_test_s=0.01 objective.dt_search_s=0.01 objective.dt_validation_s=0.01 output.figures=false
acquisition.tr_s=2.0 data.subject=01 data.sc=SC.csv data.timeseries=[run-1.tsv,run-2.tsv] +data.maps.myelin=myelin.csv
""".split()


class Copy:
    """A copy of the packages in which recipes are followed."""

    def __init__(self, folder: Path):
        self.folder = folder
        for package in ("mfm", "surrogate", "optim", "conf"):
            shutil.copytree(ROOT / package, folder / package)

    def follow(self, recipe: str) -> tuple[int, int]:
        """Do what the recipe says, but for its check; returns how many files were written, and lines added to others."""
        files, lines = 0, 0
        for step in STEP.finditer(RECIPES[recipe]):
            if step["new"]:
                path = self.folder / step["new"]
                assert not path.exists()
                path.write_text(step["block"], encoding="utf-8")
                files += 1
            elif step["old"]:
                path = self.folder / step["old"]
                there = path.read_text(encoding="utf-8").splitlines(keepends=True)
                (place,) = [k for k, line in enumerate(there) if line.strip() == step["line"]]
                path.write_text("".join([*there[: place + 1], step["block"], *there[place + 1 :]]), encoding="utf-8")
                lines += step["block"].count("\n")
        return files, lines

    def check(self, recipe: str) -> str:
        """Run the check of the recipe; returns what it prints."""
        (block,) = [step["block"] for step in STEP.finditer(RECIPES[recipe]) if step["check"]]
        return self.python(block)

    def python(self, script: str, *arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        command = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fit(self, *settings: str) -> None:
        """``mfmfit fit`` of a small subject, with each of the settings."""
        self.python(
            "import sys\nfrom optim.cli.main import main\n"
            "for settings in sys.argv[1:]:\n    assert main(['fit', *settings.split()]) == 0, settings",
            *(" ".join([*QUICK, each]) for each in settings),
        )


def write_subject(folder: Path, n_regions: int = 6, n_frames: int = 120) -> None:
    """Two runs of slow noise of which regions share a part, a connectome and a map."""
    rng = np.random.default_rng(0)
    labels = "\t".join(f"region-{k}" for k in range(n_regions))
    for run in (1, 2):
        noise = rng.normal(size=(n_frames + 5, n_regions)) + rng.normal(size=(n_frames + 5, 1))
        slow = sum(noise[k : n_frames + k] for k in range(5))
        np.savetxt(folder / f"run-{run}.tsv", slow, delimiter="\t", header=labels, comments="")
    weights = rng.random((n_regions, n_regions)) * 100
    np.savetxt(folder / "SC.csv", (weights + weights.T) * (1 - np.eye(n_regions)), delimiter=",")
    np.savetxt(folder / "myelin.csv", rng.normal(1.3, 0.1, n_regions))


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """One copy in which all recipes were followed, so that kernels are compiled once; and what each of them took."""
    copy = Copy(tmp_path_factory.mktemp("copy"))
    taken = {recipe: copy.follow(recipe) for recipe in RECIPES}
    write_subject(copy.folder)
    return copy, taken


@pytest.fixture(scope="module")
def copy(followed):
    return followed[0]


@pytest.fixture(scope="module")
def fits(copy):
    """The folder with fits of the recipe's model, by simulation and by theory."""
    copy.fit("model=toy output.folder=simulated", "model=toy objective=linear model.ranges.w=[0.3,0.9] output.folder=theory")
    return copy.folder


def columns(folder: Path, name: str) -> list[str]:
    (path,) = folder.glob(f"sub-01/*_{name}.tsv")
    return path.read_text(encoding="utf-8").partition("\n")[0].split("\t")


def test_recipes_take_what_the_table_says(followed):
    assert followed[1] == {
        "A model": (2, 0),
        "A term of the cost": (0, 8),
        "A backend": (1, 1),
        "An input format": (1, 2),
        "A command": (1, 1),
    }


def test_every_code_block_is_part_of_a_step():
    assert len(STEP.findall(PAGE)) == PAGE.count("```") // 2


def test_a_model_is_simulated_and_has_a_linear_response(copy):
    assert "[True, True]" in copy.check("A model").replace("tensor(", "")


@pytest.mark.parametrize("folder", ["simulated", "theory"])
def test_a_model_is_fitted(fits, folder):
    assert columns(fits / folder, "regional") == ["index", "region", "w", "drive", "sigma", "A", "rate"]


def test_a_term_of_the_cost_is_part_of_fits(copy, fits):
    copy.check("A term of the cost")
    for folder in ("simulated", "theory"):
        assert columns(fits / folder, "fit")[:6] == ["stage", "corr", "mean_diff", "ks", "spread", "total"]


def test_a_backend_is_known_to_settings_and_to_the_command_line(copy):
    copy.check("A backend")
    (copy.folder / "p.csv").write_text("w_EE,w_EI,sigma\n" + "3,2.5,0.005\n" * 6)
    copy.python(
        "from optim.cli.main import main\nfrom optim.cli.settings import compose\n"
        "words = 'simulate --parameters p.csv --G 1 --sc SC.csv --tr 2 --frames 3 --dt 0.02 --backend double --out out'\n"
        "assert main(words.split()) == 0\n"
        "assert compose(['objective.backend=double']).objective.backend == 'double'"
    )
    assert '"backend": "double"' in (copy.folder / "out/simulation.json").read_text(encoding="utf-8")


def test_an_input_format_is_read_and_inspected(copy):
    copy.check("An input format")
    copy.python(
        "from mfm.io import inspect_folder\nfrom pathlib import Path\n"
        "Path('study/sub-01').mkdir(parents=True)\nPath('run-1.vest').rename('study/sub-01/run-1_timeseries.vest')\n"
        "row = inspect_folder('study').rows[0]\nassert (row.n_frames, row.n_regions) == (60, 4), row"
    )


def test_a_command_answers(copy):
    assert "pmfm    w I_0 G sigma: parametric mean-field model" in copy.check("A command")
