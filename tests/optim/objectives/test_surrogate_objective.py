import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import small
import torch
from config_choices import chosen

import mfm
from mfm import Cost
from mfm.errors import ConfigError, InputError, InputNote
from mfm.models.fic import FIC
from optim import AuditedObjective, Evaluation, SimulationObjective, SurrogateObjective
from optim.config import SurrogateObjectiveConfig
from optim.fit.choice import shortlist
from optim.fit.protocol import fit_subject
from optim.fit.stages import Stages
from optim.objectives.audits import AuditLog, Correction, Place
from optim.report.folder import FitFolder
from optim.report.tables import write_fit
from surrogate import untrained

SC = mfm.Connectome([[0, 0.02, 0.01], [0.02, 0, 0.005], [0.01, 0.005, 0]])


@pytest.fixture(scope="module")
def scan():
    run = np.random.default_rng(0).normal(size=(150, 3))
    return mfm.subject_from_runs("sub-01", [run], SC, tr_s=2.0).search


@pytest.fixture(scope="module")
def protocol(scan):
    return mfm.Protocol(scan.tr_s, scan.n_frames, dt_s=0.005, burn_in_s=10.0, warm_up_s=0.0, scheme="exponential")


def drawn(n: int) -> mfm.FICParameters:
    return small.candidates(3, n, w_EE=(2, 4), w_EI=2.5, sigma=0.003, G=(0.2, 1))


def test_before_training_its_fc_terms_are_those_of_linear_response(scan, protocol):
    p = drawn(6)
    found = SurrogateObjective(scan, protocol, untrained(), gate="none", n_repeats=10**9).evaluate(p, seed=0)
    cdf = torch.linspace(0, 1, len(scan.target.fcd_cdf)).expand(6, -1)
    linear = mfm.cost(mfm.linear_response(p, SC, protocol).fc, cdf, scan.target)
    torch.testing.assert_close(found.cost.corr, linear.corr, atol=5e-3, rtol=0)
    torch.testing.assert_close(found.cost.mean_diff, linear.mean_diff, atol=5e-3, rtol=0)
    assert found.within_range.all()
    assert torch.isfinite(found.loss).all()


def test_the_gate_keeps_what_is_unstable_or_unlikely_out(scan, protocol):
    p = drawn(2)
    p = mfm.FICParameters(torch.stack([p.w_EE[0], p.w_EE[1] + 6]), p.w_EI * 0.1, p.sigma, [0.5, 3.0])
    for gate in ("classifier", "rate", "none"):
        found = SurrogateObjective(scan, protocol, untrained(), gate=gate).evaluate(p, seed=0)
        assert not found.within_range[1]
        assert found.loss[1] > 6


def test_what_does_not_fit_is_refused_before_a_search(scan, protocol):
    with pytest.raises(ConfigError, match=r"gate of a surrogate is unknown(.|\n)*classifier \| rate \| none"):
        SurrogateObjective(scan, protocol, untrained(), gate="all")
    with pytest.raises(InputError, match="another integration scheme"):
        SurrogateObjective(scan, replace(protocol, scheme="euler"), untrained())


@dataclass(eq=False)
class Told:
    """An objective whose costs are a function of G, and which counts what it is asked."""

    cost_of: object
    inside: bool = True
    asked: list[int] = field(default_factory=list)

    def evaluate(self, p, seed) -> Evaluation:
        self.asked.append(p.n_candidates)
        B, N = p.w_EE.shape
        total = self.cost_of(p.G)
        cost = Cost(total, torch.zeros(B), torch.zeros(B))
        rate = torch.full((B, 1, N), 3.0 if self.inside else 9.0)
        each = cost[:, None]
        nothing = torch.zeros(B, 1)
        inside = torch.full((B,), self.inside)
        averages = mfm.Averages(FIC, torch.stack([rate, rate, rate]))
        return Evaluation(cost, inside, nothing, averages, torch.zeros(B, N, N), nothing, realisation_cost=each)


@dataclass(eq=False)
class Predicted(Told):
    """One that audits correct, in the space of G alone."""

    def evaluate_at(self, p, correction=None):
        found = self.evaluate(p, 0)
        place = Place(p.G[:, None].float(), torch.zeros(p.n_candidates).double())
        return found if correction is None else replace(found, cost=correction.corrected(found.cost, place)), place

    def errors(self, p, simulated):
        raw, place = self.evaluate_at(p)
        error = torch.zeros((p.n_candidates, 3), dtype=torch.float64)
        error[:, 0] = simulated.cost.total - raw.cost.total
        return place, error.masked_fill(~simulated.within_range[:, None], float("nan"))


def test_good_predictions_are_kept_and_their_offset_is_told():
    lines: list[str] = []
    truth = Told(lambda G: G + 0.3)
    audited = AuditedObjective(Predicted(lambda G: G), truth, at=(2, 4, 6, 8), candidates=4, report=lines.append)
    for seed in range(10):
        audited.evaluate(drawn(20), seed)
    # Of the populations 2, 4, 6 and 8: the first finds a start. What the first audit found wrong corrects the later ones.
    assert truth.asked == [4] * 4
    assert {audit.call for audit in audited.log.audits} == {2, 4, 6, 8}
    assert audited.log.audits[0].simulated - audited.log.audits[0].predicted == pytest.approx(0.3)
    assert abs(audited.log.offset(4)) < 0.1
    assert audited.log.rank_correlation > 0.9
    assert not audited.log.given_up
    assert "simulated minus predicted cost +0.300" in lines[0]


def test_all_audits_see_the_same_noise():
    @dataclass(eq=False)
    class Listening(Told):
        seeds: list = field(default_factory=list)

        def evaluate(self, p, seed):
            self.seeds.append(seed)
            return super().evaluate(p, seed)

    truth = Listening(lambda G: G)
    audited = AuditedObjective(Predicted(lambda G: G), truth, at=(1, 2, 3), candidates=4)
    for seed in range(5, 9):
        audited.evaluate(drawn(20), [seed] * 20)
    assert truth.seeds == [6, 6, 6]


@pytest.mark.parametrize("truth", [Told(lambda G: torch.sin(1e6 * G)), Told(lambda G: G, inside=False)])
def test_predictions_that_fail_are_given_up_for_simulation(truth):
    lines: list[str] = []
    audited = AuditedObjective(Predicted(lambda G: G), truth, at=(1, 2, 3, 4), candidates=4, report=lines.append)
    for seed in range(7):
        audited.evaluate(drawn(20), seed)
    assert audited.log.given_up
    # Three audits of four, whole populations from the third on.
    assert truth.asked == [4, 4, 4, 20, 20, 20, 20]
    assert "from now on all candidates are simulated" in lines[-1]


def test_errors_against_another_scan_are_those_of_its_target(scan, protocol):
    other = mfm.subject_from_runs("sub-01", [np.random.default_rng(5).normal(size=(150, 3))], SC, tr_s=2.0).search
    p = drawn(3)
    here, there = (SurrogateObjective(x, protocol, untrained(), gate="none", n_repeats=2) for x in (scan, other))
    simulated, judged = (SimulationObjective(x, protocol, n_repeats=2).evaluate(p, 4) for x in (scan, other))
    place, errors = there.errors(p, simulated)
    assert torch.equal(place.summary, here.errors(p, simulated)[0].summary)
    expected = judged.cost.total - there.evaluate(p, 0).cost.total
    torch.testing.assert_close(errors.sum(dim=1), expected)
    # Added to the predictions there, they nearly give what simulation shows there.
    correction = Correction([place], [errors])
    assert float((correction.corrected(there.evaluate(p, 0).cost, place).total - judged.cost.total).abs().max()) < 0.3 * float(
        expected.abs().max()
    )


def test_an_audited_surrogate_searches_like_any_objective(scan, protocol):
    predicted = SurrogateObjective(scan, protocol, untrained(), gate="none")
    audited = AuditedObjective(predicted, SimulationObjective(scan, protocol, n_repeats=1), at=(1,), candidates=2)
    audited.evaluate(drawn(5), 0)
    found = audited.evaluate(drawn(5), [1, 2, 3, 4, 5])
    assert len(found.loss) == 5
    assert len(audited.log.audits) == 2


@pytest.fixture
def by_surrogate(config, tmp_path):
    """A fit by a surrogate that was never trained: a gate of stability alone lets candidates through."""
    untrained().save(tmp_path / "surrogate")
    objective = chosen(
        config.objective,
        SurrogateObjectiveConfig,
        surrogate=str(tmp_path / "surrogate"),
        gate="none",
        audits=2,
        audit_candidates=3,
        least_rank=-1.0,
        validated=3,
    )
    return replace(config, objective=objective)


def test_a_fit_tells_prediction_and_simulation_side_by_side(subject, by_surrogate):
    folder = FitFolder(by_surrogate)
    folder.begin("fingerprint")
    result = fit_subject(subject, by_surrogate)
    write_fit(result, folder)
    found = result.prediction
    assert found.simulated >= len(found.audits) > 0
    assert found.regret >= 0
    assert found.simulated_total == result.stages[0].total
    assert next(score for score in result.stages if score.stage == "validation").candidates <= 3
    record = json.loads(folder.file("regional.json").read_text())["surrogate"]
    assert record["total"] == found.total
    assert len(folder.file("audit.tsv").read_text().splitlines()) == 1 + len(found.audits)


def test_winners_to_validate_are_those_predicted_best_on_the_validation_data(subject, by_surrogate, space):
    config = replace(by_surrogate, objective=replace(by_surrogate.objective, validated=4))
    winners = space.draw(12, np.random.default_rng(3))
    stages = Stages(subject, config)
    kept, predicted = shortlist(winners, stages, AuditLog())
    p = space.parameterisation.to_parameters(space.to_coefficients(np.unique(winners, axis=0)))
    on_validation = stages.prediction("validation").evaluate(p, 0).loss
    assert np.array_equal(kept, np.unique(winners, axis=0)[on_validation.argsort()[:4]])
    on_search = stages.prediction("search").evaluate(p, 0).loss
    torch.testing.assert_close(predicted.loss, on_search[on_validation.argsort()[:4]])
    assert len(shortlist(winners, stages, AuditLog(given_up=True))[0]) == len(winners)


def test_a_surrogate_that_was_given_up_does_not_choose_the_winners(subject, by_surrogate):
    # Twelve audits of one population are enough to judge by, and ranks that are not perfect are not enough.
    strict = replace(by_surrogate.objective, least_rank=1.0, audits=3, audit_candidates=12, validated=1)
    result = fit_subject(
        subject, replace(by_surrogate, objective=strict, optimizer=replace(by_surrogate.optimizer, population=20))
    )
    assert result.prediction.given_up
    assert next(score for score in result.stages if score.stage == "validation").candidates > 1


def test_an_interrupted_search_goes_on_with_its_audits(subject, by_surrogate, tmp_path):
    whole = fit_subject(subject, by_surrogate)

    def stop(row):
        if row.generation == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_subject(subject, by_surrogate, tmp_path / "work", stop)
    resumed = fit_subject(subject, by_surrogate, tmp_path / "work")
    assert repr(resumed.prediction) == repr(whole.prediction)  # NaN is not itself
    assert torch.equal(resumed.coefficients, whole.coefficients)


def test_another_surrogate_is_another_fit(subject, by_surrogate):
    before = Stages(subject, by_surrogate).fingerprint
    torch.manual_seed(7)
    untrained().save(by_surrogate.objective.surrogate)
    assert Stages(subject, by_surrogate).fingerprint != before


def test_a_scan_outside_of_training_is_told_before_work(subject, by_surrogate):
    replace(untrained(), envelope={"n_regions": (40.0, 160.0)}).save(by_surrogate.objective.surrogate)
    with pytest.warns(InputNote, match=r"not trained for this scan: n_regions is 8, training covered 40 to 160"):
        Stages.prepare(subject, by_surrogate)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gate": "all"}, "objective.gate has an unknown value"),
        ({"audit_candidates": 1}, "audit_candidates is too small"),
        ({"least_rank": 2.0}, "least_rank is not a correlation"),
        ({"validated": 0}, "validated is too small"),
    ],
)
def test_settings_that_do_not_fit_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        SurrogateObjectiveConfig(**values)
