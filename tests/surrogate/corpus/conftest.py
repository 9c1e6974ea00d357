import pytest

from surrogate.corpus.config import ConnectomesConfig, CorpusConfig


@pytest.fixture
def small(tmp_path) -> CorpusConfig:
    """Three shards that take a second."""
    return CorpusConfig(
        folder=str(tmp_path / "corpus"),
        connectomes=ConnectomesConfig(n_generated=3, regions=[8, 12], held_out=0.34),
        n_shards=3,
        simulations_per_shard=8,
        test_repeats=2,
        tr_s=[2.0],
        scan_s=[130.0, 150.0, 170.0],
        burn_in_s=0.0,
        warm_up_s=0.0,
        n_threads=1,
    )
