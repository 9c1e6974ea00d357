"""A kernel for every model: cached over processes, and never that of other equations."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

import mfm
from mfm.models.fic import FIC
from mfm.models.pmfm import PMFM
from mfm.simulation.cpu_model import ModelType, TypedModel, digest_of, structure_of

ROOT = Path(mfm.__file__).parents[1]

OWN_MODEL = """
import sys
from dataclasses import replace
import numpy as np, mfm
from mfm.simulation import cpu as compiled
from mfm.models.pmfm import PMFM, PMFMParameters
from mfm.models.registry import register

LEAK = 10.0

class OwnParameters(PMFMParameters):
    pass

def drift(x, coupling, constants):
    return -x[0] * LEAK + constants[1] + coupling[0], x[0]

register(replace(PMFM, name="own", parameters=OwnParameters, drift=drift))
p = OwnParameters(np.full((1, 3), 0.5), np.full((1, 3), 0.3), np.zeros((1, 3)), [1.0])
protocol = mfm.Protocol(0.06, 1, burn_in_s=0, warm_up_s=0)
sim = mfm.simulate(p, mfm.Connectome(np.ones((3, 3))), protocol, backend="numba", initial=(np.full(3, 0.1),))
stats = compiled._simulate_group.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), sim.S[0, 0, 0].item())
"""


def run(source, folder):
    """Hits, misses and the result of a process that simulates the model of a file."""
    file = folder / "own.py"
    file.write_text(dedent(source))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run([sys.executable, str(file)], env=environment, check=True, capture_output=True, text=True)
    hits, misses, value = done.stdout.split()
    return int(hits), int(misses), float(value)


def test_another_process_compiles_nothing_and_edited_equations_anew(tmp_path):
    assert run(OWN_MODEL, tmp_path)[:2] == (0, 1)
    hits, misses, before = run(OWN_MODEL, tmp_path)
    assert (hits, misses) == (1, 0)
    hits, misses, after = run(OWN_MODEL.replace("LEAK = 10.0", "LEAK = 20.0"), tmp_path)
    assert (hits, misses) == (0, 1)
    assert after < before
    assert run(OWN_MODEL, tmp_path) == (1, 0, before)


def edited(**changes):
    numbers = {"A": 2.0, "B": 3.0, "pair": (1, 2), **changes}
    a, pair = numbers["A"], numbers["pair"]

    def helper(x):
        return x * numbers_b

    numbers_b = numbers["B"]

    def drift(x, coupling, constants):
        return helper(x[0]) * a + pair[0], x[0]

    return replace(PMFM, drift=drift)


def test_a_digest_knows_everything_that_equations_use():
    same = digest_of(edited())
    assert digest_of(edited()) == same
    assert len({same, *(digest_of(edited(**{name: value})) for name, value in (("A", 2.5), ("B", 4.0), ("pair", (3, 2))))}) == 4
    assert digest_of(FIC) != digest_of(replace(FIC, decay=lambda x: x))


def test_equations_that_cannot_be_compiled_are_told():
    class Thing:
        pass

    thing = Thing()
    with pytest.raises(mfm.errors.InputError, match=r"(?s)'pmfm' use something.*elementary.*found: Thing in drift"):
        digest_of(replace(PMFM, drift=lambda x, coupling, constants: (x[0] * thing,)))


def test_a_type_knows_the_structure():
    types = [TypedModel(model, 4)._numba_type_ for model in (FIC, FIC, replace(FIC, hemodynamics=False))]
    assert types[0] == types[1]
    assert types[0] != types[2]
    assert ModelType("fic", types[0].digest, structure_of(FIC, 4)) == types[0]
    assert TypedModel(FIC, 5)._numba_type_ != types[0]
