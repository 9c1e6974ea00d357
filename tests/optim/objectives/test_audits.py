import numpy as np
import pytest
import torch

from mfm import Cost
from optim.objectives.audits import Audit, AuditLog, Correction, Place, audited_populations

LEFT = (float("nan"),) * 3


def place(summary: torch.Tensor, difference: torch.Tensor | None = None) -> Place:
    return Place(summary, torch.zeros(len(summary)).double() if difference is None else difference.double())


def learned(summary: torch.Tensor, errors: list[tuple[float, float, float]], difference=None) -> Correction:
    return Correction([place(summary, difference)], [torch.tensor(errors).double()])


def corrected(correction: Correction, where: Place) -> Cost:
    nothing = torch.zeros(len(where.summary), dtype=torch.float64)
    return correction.corrected(Cost(nothing, nothing, nothing), where)


def places(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((n, 27), generator=torch.Generator().manual_seed(seed))


def test_without_audits_costs_stay_as_they_are():
    assert corrected(Correction(), place(places(3))).total.tolist() == [0, 0, 0]


def test_an_error_that_is_the_same_everywhere_is_taken_away_far_off_too():
    found = corrected(learned(places(20), [(0.1, 0.0, 0.2)] * 20), place(places(10, seed=1)))
    assert found.ks.tolist() == pytest.approx([0.2] * 10, abs=0.03)
    assert found.corr.tolist() == pytest.approx([0.1] * 10, abs=0.02)
    assert found.mean_diff.tolist() == [0.0] * 10


def test_a_trend_is_continued():
    # As searches drift along a direction: audits behind, candidates ahead.
    along = torch.linspace(-1, 1, 30)[:, None] * torch.ones(27)
    correction = learned(along[:20], [(0.0, 0.0, 0.1 * float(x[0])) for x in along[:20]])
    share = corrected(correction, place(along[20:])).ks / (0.1 * along[20:, 0].double())
    assert (share > 0.5).all()
    assert (share < 1.05).all()


def test_a_local_error_stays_local():
    here, elsewhere = torch.zeros(1, 4), torch.tensor([[2.0, -2.0, 2.0, -2.0]])
    correction = learned(torch.cat([here] * 8 + [elsewhere, -elsewhere]), [(0.0, 0.0, 0.2)] * 8 + [(0.0, 0.0, 0.0)] * 2)
    found = corrected(correction, place(torch.cat([here, elsewhere]))).ks
    assert found[0] == pytest.approx(0.2, abs=0.02)
    assert abs(found[1]) < 0.05


def test_audits_tell_how_much_of_the_other_prediction_to_believe():
    difference = torch.linspace(-0.1, 0.1, 20)
    correction = learned(places(20), [(0.0, 0.0, 0.6 * float(x)) for x in difference], difference)
    found = corrected(correction, place(torch.zeros(2, 27), torch.tensor([0.0, 0.1]))).ks
    assert float(found[1] - found[0]) == pytest.approx(0.06, abs=0.01)


def test_where_audits_left_the_range_costs_rise_and_only_there():
    here, stayed = torch.zeros(4, 4), (0.0, 0.0, 0.0)
    found = corrected(learned(here, [LEFT, LEFT, stayed, stayed]), place(torch.stack([here[0], torch.full((4,), 2.0)]))).ks
    assert found.tolist() == pytest.approx([2 / 4.5, 0.0], abs=1e-6)
    assert corrected(learned(here[:1], [LEFT]), place(here[:1])).ks.item() == pytest.approx(1 / 1.5)


def test_candidates_without_a_place_say_nothing():
    x = places(6)
    correction, clean = Correction(), Correction()
    errors = torch.full((6, 3), 0.1).double()
    clean.add(place(x[1:]), errors[1:])
    correction.add(place(torch.cat([torch.full((1, 27), float("nan")), x[1:]])), errors)
    where = place(places(3, seed=1))
    assert torch.equal(corrected(correction, where).ks, corrected(clean, where).ks)
    nothing = Correction()
    nothing.add(place(torch.full((2, 27), float("nan"))), errors[:2])
    assert corrected(nothing, where).total.tolist() == [0, 0, 0]


def test_a_correction_does_not_depend_on_the_other_candidates():
    correction = learned(places(12), [(0.0, 0.0, 0.01 * k) for k in range(12)])
    x = place(places(6, seed=2))
    assert torch.allclose(corrected(correction, x).ks[2:3], corrected(correction, x[2:3]).ks, rtol=1e-12)


def test_order_counts_only_where_simulation_tells_candidates_apart():
    # Two clusters, in the right order; within each, predictions are in the wrong one by less than noise.
    near = [Audit(1, 0.5 - 0.01 * k, 0.5 + 0.01 * k) for k in range(8)]
    far = [Audit(1, 1.5 - 0.01 * k, 1.5 + 0.01 * k) for k in range(8)]
    assert AuditLog(audits=near + far).rank_correlation == 1.0
    assert AuditLog(audits=[Audit(1, -x.predicted, x.simulated) for x in near + far]).rank_correlation == -1.0
    assert np.isnan(AuditLog(audits=near * 3).rank_correlation)
    assert np.isnan(AuditLog(audits=near[:3] + far[:3] + [Audit(1, 0.0, float("nan"))] * 20).rank_correlation)


def test_logs_of_several_searches_join():
    audits = [Audit(1, float(k), 2.0 * k) for k in range(6)]
    one = AuditLog(simulated=6, audits=audits, choice=learned(torch.zeros(1, 4), [(0.0, 0.0, 0.1)]))
    both = AuditLog.joined([one, AuditLog(simulated=4, audits=audits, given_up=True)])
    assert both.simulated == 10
    assert both.given_up
    assert len(both.choice.places) == len(both.choice.errors) == 1
    assert not both.search.places
    assert both.rank_correlation == 1.0
    assert one.rank_correlation != one.rank_correlation  # too few to say


@pytest.mark.parametrize(("audits", "generations"), [(0, 10), (1, 1), (2, 1), (5, 3), (5, 100), (40, 30)])
def test_populations_to_audit_end_with_the_last(audits, generations):
    found = audited_populations(audits, generations)
    assert len(found) <= audits
    assert not found or (found[-1] == generations and found[0] >= 1)
