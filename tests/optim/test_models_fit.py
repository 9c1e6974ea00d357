"""Models other than FIC: fits through the command line, and what is refused by what a model declares."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

import mfm
from mfm.errors import ConfigError, InputError
from mfm.models.model import Admissible, Model, State
from mfm.models.parameters import ModelParameters, noise, regional, whole_brain
from mfm.models.pmfm import PMFM
from mfm.models.registry import register
from mfm.statistics import Term
from optim.cli.main import main
from optim.cli.settings import compose
from optim.config import CMAESConfig, FitConfig, LinearObjectiveConfig, ModelConfig, SurrogateObjectiveConfig
from optim.fit.protocol import _range_of, fit_subject
from optim.fit.stages import Stages
from optim.objectives.base import Evaluation
from optim.objectives.linear import LinearObjective
from optim.objectives.smooth_cost import SmoothCost
from surrogate import untrained
from surrogate.corpus.config import CorpusConfig
from surrogate.corpus.store import Corpus

N = 6
QUICK = """
optimizer.population=6 optimizer.generations=2 optimizer.initial_candidates=8 objective.n_repeats=1 objective.burn_in_s=4
objective.warm_up_s=1 objective.dt_test_s=0.01 objective.dt_search_s=0.01 objective.dt_validation_s=0.01 output.figures=false
acquisition.tr_s=2.0 data.subject=01 data.sc=SC.csv data.timeseries=[run-1.tsv,run-2.tsv] +data.maps.myelin=myelin.csv
""".split()


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two runs of slow noise of which regions share a part, a connectome and a map."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for run in (1, 2):
        noise = rng.normal(size=(125, N)) + rng.normal(size=(125, 1))
        np.savetxt(f"run-{run}.tsv", sum(noise[k : 120 + k] for k in range(5)), delimiter="\t")
    weights = rng.random((N, N)) * 100
    np.savetxt("SC.csv", (weights + weights.T) * (1 - np.eye(N)), delimiter=",")
    np.savetxt("myelin.csv", rng.normal(1.3, 0.1, N))
    return tmp_path


@dataclass(frozen=True, eq=False, repr=False)
class PlainParameters(ModelParameters):
    """Of a model that reports nothing, and is observed as it is."""

    a: Tensor = regional("drive", bounds=(0.1, 1.0), maps=False)
    sigma: Tensor = noise("noise amplitude", bounds=(0.01, 0.1))
    H: Tensor = whole_brain("coupling", bounds=(0.0, 1.0))


class SeenPlainParameters(PlainParameters):
    """The same, observed through hemodynamics."""


def plain_drift(x, coupling, constants):
    (u,), (of_u,), (a,) = x, coupling, constants
    return (a + of_u - u,)


PLAIN = register(
    Model(
        name="plain",
        title="linear",
        source="this test",
        parameters=PlainParameters,
        states=(State("u", "state"),),
        carried=("u",),
        observed="u",
        pack=lambda p: ((p.a,), (p.H,)),
        drift=plain_drift,
        hemodynamics=False,
        admissible=Admissible("u", 0.0, 5.0),
    )
)
SEEN = register(replace(PLAIN, name="plain-seen", parameters=SeenPlainParameters, hemodynamics=True, admissible=None))


@pytest.mark.parametrize("by", ["simulation", "linear"])
def test_pmfm_is_fitted_and_simulated_through_the_command_line(files, capsys, by):
    assert main(["fit", *QUICK, "model=pmfm", f"objective={by}"]) == 0
    stem = files / "outputs/sub-01/sub-01_atlas-unnamed_desc-pmfm"
    header = (stem.parent / f"{stem.name}_regional.tsv").read_text().splitlines()[0].split("\t")
    assert header == ["index", "region", "w", "I_0", "sigma", "S", "rate"]
    assert json.loads((stem.parent / f"{stem.name}_regional.json").read_text())["model"] == "pmfm"
    assert "G = " in capsys.readouterr().out
    again = ["simulate", "--parameters", f"{stem}_regional.tsv", "--sc", "SC.csv", "--frames", "3", "--out", "again"]
    assert main(again) == 0
    assert json.loads((files / "again/simulation.json").read_text())["model"] == "pmfm"
    # Refinement knows the equations of FIC.
    for folders in (["outputs/sub-01"], ["outputs/sub-01", "outputs/sub-01"]):
        assert main(["refine", *folders]) == 2
        assert "Fits of the model 'pmfm' cannot be refined.\n  expected: a fit of the model fic" in capsys.readouterr().err


def test_a_model_that_reports_nothing_and_has_no_theory_is_fitted(config, subject):
    config = replace(config, model=ModelConfig(name="plain"), optimizer=CMAESConfig(6, 1, 8))
    result = fit_subject(subject, config)
    assert result.in_range
    assert result.u.shape == (subject.n_regions,)
    assert result.identifiability.reason == "the model has no linear response: it is observed directly"


def test_what_is_admissible_may_be_a_state():
    assert _range_of(PLAIN) == ": u from 0 to 5"
    u, ends = torch.full((2, 3), 0.5), torch.tensor([[[1.0] * 3], [[8.0] * 3]])
    zero = torch.zeros(2, dtype=torch.float64)
    cost = mfm.Cost(zero, zero, zero)
    found = Evaluation.predicted(PLAIN, (u,), ends, cost, torch.tensor([True, False]), torch.zeros(2, 3, 3), torch.zeros(2, 5))
    assert found.loss[0] == 0
    assert found.loss[1] == pytest.approx(6 + np.log(4))


def test_theory_scores_a_model_that_reports_nothing(subject):
    scan = subject.search
    p = SeenPlainParameters([0.5] * subject.n_regions, [0.05] * subject.n_regions, [0.5])
    found = LinearObjective(scan, mfm.Protocol(scan.tr_s, scan.n_frames, 0.01)).evaluate(p, seed=0)
    assert found.within_range.tolist() == [True]
    assert found.u.shape == (1, 1, subject.n_regions)


EXISTING = "model=fic | model=fic_published_subject | model=fic_subject | model=pmfm"
OF_PMFM = "expected: w | I_0 | G | sigma\n  found: w_EE, a parameter of fic"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model=nothing"], f"There is no model=nothing.\n  expected: {EXISTING}"),
        (["model.name=nothing"], "model.name has an unknown value.\n  expected: fic | pmfm"),
        (["model.name=pmfm"], "fix: model=pmfm takes the settings of that model"),
        (["model=pmfm", "+model.ranges.w_EE=[1,2]"], OF_PMFM),
        (["model=pmfm", "model.ranges.w_EE=[1,2]"], OF_PMFM),
        (["model=pmfm", "model.signs={w_EE: {myelin: 1}}"], "expected: w | I_0 | sigma"),
        (["model=pmfm", "model.signs={G: {myelin: 1}}"], "model.signs.G does not apply: G of the model 'pmfm' is the same in"),
        (["model.min_std.G=0.3"], "model.min_std.G does not apply: G of the model 'fic' is the same in every region."),
        (["model=pmfm", "objective=surrogate"], "expected: model=fic, as the card of the surrogate says\n  found: model=pmfm"),
        (["model=pmfm", "model.bounds=subject"], "The model 'pmfm' has no published bounds"),
        (["model=pmfm", "refine.run=true"], "Fits of the model 'pmfm' cannot be refined."),
        (["objective.backend=nothing"], "objective.backend has an unknown value.\n  expected: auto | reference | numba"),
    ],
)
def test_what_a_model_does_not_have_is_refused_by_what_there_is(files, capsys, settings, message):
    assert main(["fit", *QUICK, *settings]) == 2
    assert message in capsys.readouterr().err
    assert not (files / "outputs").exists()


def test_settings_of_a_model_need_no_plus():
    assert compose(["model=pmfm", "model.min_std.w=0.1", "model.ranges.G=[1,2]"]).model.min_std == {"w": 0.1}


def test_theory_is_refused_for_a_model_without_linear_response(subject):
    model = ModelConfig(name="plain")
    for changes in ({"objective": LinearObjectiveConfig()}, {"model": replace(model, regional=True)}):
        with pytest.raises(ConfigError, match=r"no linear response of the model 'plain'(.|\n)*u is observed directly"):
            FitConfig(**{"model": model, **changes})
    p = PlainParameters([0.5] * N, [0.05] * N, [0.5])
    with pytest.raises(InputError, match=r"no linear response of the model 'plain'(.|\n)*fix: simulate it"):
        mfm.linear_response(p, mfm.Connectome(0.02 * (1 - np.eye(N))), mfm.Protocol(2.0, 100, 0.01))


@pytest.mark.parametrize(("name", "why"), [("a", "the same in every region"), ("H", "the same in"), ("w_EI", "no w_EI at all")])
def test_rules_need_a_parameter_that_maps_shape(subject, name, why):
    for rules in (mfm.Plausibility({name: {"myelin": 1}}), mfm.Plausibility(min_std={name: 0.1})):
        with pytest.raises(InputError, match=rf"no parameter '{name}' that differs(.|\n)*expected: sigma(.|\n)*{why}"):
            mfm.MapParameterisation(subject.maps, mfm.Bounds(PLAIN), rules)
    if name in ("a", "H"):
        with pytest.raises(ConfigError, match=rf"{name} of the model 'plain' is the same in every region"):
            ModelConfig(name="plain", min_std={name: 0.1})


def test_signs_of_a_parameter_without_maps_contradict_a_declaration():
    @dataclass(frozen=True, eq=False, repr=False)
    class Contradiction(PlainParameters):
        a: Tensor = regional("drive", bounds=(0.1, 1.0), maps=False, signs=(("myelin", -1),))

    with pytest.raises(InputError, match="'a' of the model 'plain' has signs, but follows no maps"):
        replace(PLAIN, parameters=Contradiction)


def test_a_surrogate_knows_its_model_only(subject, tmp_path):
    n = subject.n_regions
    p = PMFM.parameters([0.5] * n, [0.3] * n, [0.005] * n, [2.0])
    with pytest.raises(InputError, match=r"not trained for the model 'pmfm'(.|\n)*expected: the model 'fic'"):
        untrained().predict(p, subject.search.sc, mfm.Protocol(2.0, 80, 0.005, scheme="exponential"))
    with pytest.raises(ConfigError, match=r"not trained for the model 'plain'(.|\n)*fix: objective=simulation$"):
        Stages.prepare(subject, FitConfig(model=ModelConfig(name="plain"), objective=SurrogateObjectiveConfig()))
    assert json.loads((untrained().save(tmp_path)).read_text())["model"] == "fic"


def test_there_is_no_corpus_of_another_model(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["corpus", "model=pmfm"]) == 2
    assert "There is no corpus of the model 'pmfm'.\n  expected: fic" in capsys.readouterr().err
    assert compose(["model=fic"], "corpus", CorpusConfig).model == "fic"
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": "mfmfit-corpus/1", "model": "pmfm"}))
    with pytest.raises(InputError, match=r"is of another model(.|\n)*the model 'fic'(.|\n)*found: 'pmfm'"):
        Corpus(tmp_path)


def test_a_table_of_another_model_needs_its_json(files, capsys):
    (files / "p.csv").write_text("w,I_0,sigma\n" + "0.5,0.3,0.005\n" * N)
    words = "simulate --parameters p.csv --G 1 --sc SC.csv --tr 2 --frames 3 --out out".split()
    assert main(words) == 65
    assert "a table of another model than 'fic', without the JSON of its fit beside it" in capsys.readouterr().err
    assert main([*words, "--backend", "nothing"]) == 2
    assert "expected: auto | reference | numba | triton" in capsys.readouterr().err


def test_a_fit_with_another_term_is_another_fit(subject, monkeypatch):
    before = Stages(subject, FitConfig()).fingerprint
    monkeypatch.setitem(mfm.Cost.TERMS, "none", Term("none", "", "", lambda found, _: 0 * found.mean_fc))
    assert Stages(subject, FitConfig()).fingerprint != before


def test_terms_without_a_smooth_form_are_left_to_the_choice(subject, monkeypatch):
    spread = Term("spread", "std diff", "difference of standard deviations", lambda found, _: found.pairs.std(dim=1))
    scan = subject.search
    smooth = SmoothCost(scan, mfm.Protocol(scan.tr_s, scan.n_frames, 0.01), n_samples=1)
    p = SeenPlainParameters([0.5] * subject.n_regions, [0.05] * subject.n_regions, [0.5])
    before = smooth(p)
    monkeypatch.setitem(mfm.Cost.TERMS, "spread", spread)
    assert torch.equal(smooth(p), before)
    assert smooth.terms(smooth.response(p)).spread.tolist() == [0.0]
