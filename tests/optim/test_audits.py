import pytest
import torch

from mfm import Cost
from optim.audits import Audit, AuditLog, populations

LEFT = torch.full((3,), float("nan")).double()


def error(ks: float, corr: float = 0.0) -> torch.Tensor:
    return torch.tensor([corr, 0.0, ks]).double()


def corrected(log: AuditLog, place: torch.Tensor) -> Cost:
    nothing = torch.zeros(len(place), dtype=torch.float64)
    return log.corrected(Cost(nothing, nothing, nothing), place)


def places(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((n, 27), generator=torch.Generator().manual_seed(seed))


def test_without_audits_costs_stay_as_they_are():
    assert corrected(AuditLog(), places(3)).total.tolist() == [0, 0, 0]


def test_an_error_that_is_the_same_everywhere_is_taken_away_far_off_too():
    log = AuditLog(places=list(places(20)), errors=[error(0.2, 0.1)] * 20)
    found = corrected(log, places(10, seed=1))
    assert found.ks.tolist() == pytest.approx([0.2] * 10, abs=0.03)
    assert found.corr.tolist() == pytest.approx([0.1] * 10, abs=0.02)
    assert found.mean_diff.tolist() == [0.0] * 10


def test_a_trend_is_continued():
    # As searches drift along a direction: audits behind, candidates ahead.
    along = torch.linspace(-1, 1, 30)[:, None] * torch.ones(27)
    log = AuditLog(places=list(along[:20]), errors=[error(0.1 * float(x[0])) for x in along[:20]])
    share = corrected(log, along[20:]).ks / (0.1 * along[20:, 0].double())
    assert (share > 0.5).all()
    assert (share < 1.05).all()


def test_a_local_error_stays_local():
    here, elsewhere = torch.zeros(1, 4), torch.tensor([[2.0, -2.0, 2.0, -2.0]])
    log = AuditLog(
        places=[here[0]] * 8 + [elsewhere[0], -elsewhere[0]], errors=[error(0.2)] * 8 + [error(0.0)] * 2
    )
    found = corrected(log, torch.cat([here, elsewhere])).ks
    assert found[0] == pytest.approx(0.2, abs=0.02)
    assert abs(found[1]) < 0.05


def test_where_audits_left_the_range_costs_rise_and_only_there():
    here = torch.zeros(4)
    log = AuditLog(places=[here] * 4, errors=[LEFT, LEFT, error(0.0), error(0.0)])
    found = corrected(log, torch.stack([here, torch.full((4,), 2.0)])).ks
    assert found.tolist() == pytest.approx([2 / 4.5, 0.0], abs=1e-6)
    assert corrected(AuditLog(places=[here], errors=[LEFT]), here[None]).ks.item() == pytest.approx(1 / 1.5)


def test_a_correction_does_not_depend_on_the_other_candidates():
    log = AuditLog(places=list(places(12)), errors=[error(0.01 * k) for k in range(12)])
    x = places(6, seed=2)
    assert torch.allclose(corrected(log, x).ks[2:3], corrected(log, x[2:3]).ks, rtol=1e-12)


def test_logs_of_several_searches_join():
    audits = [Audit(1, float(k), 2.0 * k) for k in range(6)]
    one = AuditLog(simulated=6, audits=audits, places=[torch.zeros(4)], errors=[error(0.1)])
    both = AuditLog.joined([one, AuditLog(simulated=4, audits=audits, given_up=True)])
    assert both.simulated == 10
    assert both.given_up
    assert len(both.places) == len(both.errors) == 1
    assert both.rank_correlation == 1.0
    assert one.rank_correlation != one.rank_correlation  # too few to say


@pytest.mark.parametrize(("audits", "generations"), [(0, 10), (1, 1), (2, 1), (5, 3), (5, 100), (40, 30)])
def test_populations_to_audit_end_with_the_last(audits, generations):
    found = populations(audits, generations)
    assert len(found) <= audits
    assert not found or (found[-1] == generations and found[0] >= 1)
