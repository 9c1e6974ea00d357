"""What should be known of how a fit was set up is printed, and stands in its JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import mfm
from mfm import RegionalMaps
from mfm.errors import InputNote
from optim.cli.main import main
from optim.config.fit import AtlasConfig, FitConfig
from optim.config.model import ModelConfig
from optim.fit.notes import notes_on_setup
from optim.fit.stages import Stages
from tests.made_up_inputs import N, connectome, recording, runs, streamlines


def subject(maps=None):
    sc = mfm.io.readers.connectomes.transform_connectome(streamlines())
    return mfm.subject_from_runs("sub-01", [recording(k) for k in (1, 2)], sc, 0.72, maps)


MAPS = RegionalMaps(np.random.default_rng(0).normal(size=(1, N)), ("thickness",))


def test_without_maps_regions_do_not_differ():
    (note,) = notes_on_setup(subject(), FitConfig())
    assert note.startswith("Without maps w_EE, w_EI, sigma are the same in every region, and so is E/I ratio:")
    assert notes_on_setup(subject(MAPS), FitConfig()) == ()
    assert notes_on_setup(subject(), FitConfig(model=ModelConfig(regional=True))) == ()
    (note,) = notes_on_setup(subject(), FitConfig(model=ModelConfig(name="pmfm")))
    assert "E/I" not in note


@pytest.mark.parametrize(("name", "told"), [
    ("DK68", True), ("Schaefer100", True), ("DK20", False), ("unnamed", False), ("AAL", False), ("4S156Parcels", False)
])  # fmt: skip
def test_an_atlas_of_another_size_is_told(name, told):
    found = notes_on_setup(subject(MAPS), FitConfig(atlas=AtlasConfig(name)))
    assert bool(found) == told
    assert not told or f"The atlas is called {name}, but the data have 20 regions" in found[0]


SMALL = [
    *("objective=linear", "optimizer.generations=1", "optimizer.population=10", "optimizer.initial_candidates=20"),
    *("objective.n_repeats=1", "objective.burn_in_s=0", "objective.warm_up_s=0", "objective.dt_test_s=0.006"),
    *("output.figures=false", "acquisition.tr_s=0.72"),
]


def test_notes_are_printed_and_kept(tmp_path, capsys):
    series = runs(tmp_path)
    given = [f"data.sc={connectome(tmp_path, named=False)}", f"data.timeseries=[{','.join(series)}]", "atlas=dk68"]
    overrides = [*SMALL, *given, f"output.folder={tmp_path / 'out'}"]
    assert main(["fit", "--check", *overrides]) == 0
    said = capsys.readouterr().err
    assert main(["fit", *overrides]) in (0, 1)
    (record,) = (tmp_path / "out").glob("sub-*/*_regional.json")
    kept = json.loads(record.read_text())["notes"]
    for words in (
        "Without maps",
        "The atlas is called DK68",
        "Without region names, and so taken in the order of the time series",
    ):
        assert f"note: {words}" in said
        assert [note for note in kept if note.startswith(words)]
    assert "data.maps=" in said


def test_a_surrogate_outside_of_its_training_is_kept(monkeypatch):
    stages = Stages(subject(MAPS), FitConfig())
    monkeypatch.setattr(Stages, "surrogate_notes", ("The surrogate was not trained for this scan: n_regions is 20.",))
    with pytest.warns(InputNote, match="not trained for this scan"):
        prepared = Stages.prepare(stages.subject, replace(stages.config))
    assert prepared.notes == ("The surrogate was not trained for this scan: n_regions is 20.",)
