"""Scoring by linear response: its terms, its gate, and a fit that searches by it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from config_choices import chosen

import mfm
from optim.config import LinearObjectiveConfig
from optim.fit.protocol import fit_subject
from optim.objectives.base import OUT_OF_RANGE_LOSS
from optim.objectives.linear import LinearObjective
from optim.search.space import SearchSpace

PROTOCOL = mfm.Protocol(2.0, 80, 0.005, burn_in_s=8, warm_up_s=2)


@pytest.fixture(scope="module")
def drawn(subject):
    space = SearchSpace(mfm.MapParameterisation(subject.maps))
    return space.parameterisation.to_parameters(space.to_coefficients(space.draw(40, np.random.default_rng(0))))


def test_terms_are_those_of_the_theory(subject, drawn):
    e = LinearObjective(subject.search, PROTOCOL, window_step=1).evaluate(drawn, 3)
    assert e.within_range.any()
    k = int(torch.nonzero(e.within_range)[0])
    lin = mfm.linear_response(drawn[k], subject.search.sc, PROTOCOL)
    cdf = mfm.fcd_cdf(lin.sample_bold(3, 3, torch.float32), 30).mean(dim=1)
    expected = mfm.cost(lin.fc, cdf, subject.search.target)
    assert float(e.cost.total[k]) == pytest.approx(float(expected.total), abs=1e-9)


def test_few_scans_lower_the_correlation_with_the_target(subject, drawn):
    expected, few, many = (LinearObjective(subject.search, PROTOCOL, n_repeats=n).evaluate(drawn, 3) for n in (None, 2, 10**9))
    inside = expected.within_range
    lin = mfm.linear_response(drawn, subject.search.sc, PROTOCOL)
    spread = mfm.upper_triangle(lin.fc).var(dim=1)
    share = (spread / (spread + lin.fc_sampling_variance / 2)).sqrt()
    torch.testing.assert_close((1 - few.cost.corr)[inside], ((1 - expected.cost.corr) * share)[inside])
    torch.testing.assert_close(many.cost.corr[inside], expected.cost.corr[inside], atol=1e-6, rtol=0)
    assert torch.equal(few.cost.ks[inside], expected.cost.ks[inside])


@pytest.mark.parametrize("margin", [10.0, 40.0])
def test_the_gate_keeps_out_what_does_not_return(subject, drawn, margin):
    e = LinearObjective(subject.search, PROTOCOL, margin=margin).evaluate(drawn, 3)
    found = mfm.basin_margin(drawn, subject.search.sc)
    clear = (found / margin - 1).abs() > 0.1
    assert torch.equal(e.within_range[clear], (found > margin)[clear])
    assert not e.within_range.all()
    assert torch.isfinite(e.loss).all()
    assert (e.loss[~e.within_range] > OUT_OF_RANGE_LOSS).all()


def test_a_candidate_does_not_depend_on_its_company(subject, drawn):
    objective = LinearObjective(subject.search, PROTOCOL)
    together, alone = objective.evaluate(drawn, 3), objective.evaluate(drawn[7], 3)
    assert float(together.loss[7]) == pytest.approx(float(alone.loss[0]), abs=1e-9)


def test_a_fit_that_searches_by_theory_reports_simulation_only(subject, config):
    config = replace(config, objective=chosen(config.objective, LinearObjectiveConfig))
    result = fit_subject(subject, config)
    again = fit_subject(subject, config)
    assert torch.equal(result.coefficients, again.coefficients)
    assert [score.realisations for score in result.stages] == [2, 2, 2]
