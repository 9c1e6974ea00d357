"""What the print-out of a surrogate's search means is said in it, and in the JSON."""

from types import SimpleNamespace

import mfm
from optim.cli.fit import stages_table
from optim.fit.result import NoiseCeiling, PredictionRecord, StageScore
from optim.report.tables import _prediction_record

COST = mfm.CostValues({"corr": 0.5, "mean_diff": 0.25, "ks": 0.125})


def test_regret_predicted_and_simulated_cost_are_explained():
    prediction = PredictionRecord(COST, 0.9, 0.1, 0.95, -0.02, False, 56, ())
    result = SimpleNamespace(
        prediction=prediction,
        stages=(StageScore("search", COST, 3, 1, True, 0.006, 0.04),),
        ceiling=NoiseCeiling(0.3, 0.03, 0.3, 0.05, None),
        parameters=SimpleNamespace(declared=lambda: ()),
        model=SimpleNamespace(derived=()),
    )
    told = stages_table(result)
    for text in ("predicted 0.875", "simulated 0.900", "regret: 0.100, what trusting", "simulated minus predicted", "+- 0.040"):
        assert text in told
    record = _prediction_record(result)
    meaning = record.pop("meaning")
    assert set(meaning) <= set(record)
    assert {"total", "simulated_total", "regret", "rank_correlation", "offset"} <= set(meaning)
