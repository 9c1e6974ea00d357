"""A small subject whose fit takes seconds."""

import numpy as np
import pytest
import small

import mfm
from optim.config import AcquisitionConfig, CMAESConfig, DataConfig, FitConfig, OutputConfig, SimulationObjectiveConfig
from optim.search.space import SearchSpace

N = 8


def small_maps():
    rng = np.random.default_rng(0)
    first = rng.normal(size=N)
    second = -0.9 * first + 0.4 * rng.normal(size=N)
    return mfm.RegionalMaps(np.stack([1.3 + 0.1 * first, 3 * second]), ("myelin", "gradient"))


@pytest.fixture(scope="session")
def subject():
    """Three runs of 80 frames at a TR of 2 s: windows of 30 frames."""
    maps, sc = small_maps(), small.network(N, seed=1, symmetric=True)
    parameterisation = mfm.MapParameterisation(maps)
    p = parameterisation.to_parameters([[3.3, 0.0, 0.0, 2.6, -0.3, 0.05, 2.5, 0.005, 0.0, 0.0]])
    protocol = mfm.Protocol(tr_s=2.0, n_frames=80, dt_s=0.005, burn_in_s=10, warm_up_s=3)
    runs = mfm.simulate(p, sc, protocol, n_repeats=3, seed=9).bold[0].double().numpy()
    return mfm.subject_from_runs("tiny", list(runs), sc, 2.0, maps)


@pytest.fixture
def config(tmp_path):
    return FitConfig(
        acquisition=AcquisitionConfig(tr_s=2.0),
        objective=SimulationObjectiveConfig(n_repeats=2, burn_in_s=8.0, warm_up_s=2.0, dt_test_s=0.005),
        optimizer=CMAESConfig(population=10, generations=4, initial_candidates=20),
        data=DataConfig(subject="tiny"),
        output=OutputConfig(folder=str(tmp_path / "out"), figures=False),
    )


@pytest.fixture(scope="session")
def space(subject) -> SearchSpace:
    return SearchSpace(mfm.MapParameterisation(subject.maps))
