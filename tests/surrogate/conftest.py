import pytest

from surrogate.corpus.build import build_corpus
from surrogate.corpus.config import ConnectomesConfig, CorpusConfig
from surrogate.corpus.store import Corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Corpus:
    """Small networks, in training, validation and test."""
    return build_corpus(
        CorpusConfig(
            folder=str(tmp_path_factory.mktemp("corpus")),
            connectomes=ConnectomesConfig(n_generated=6, regions=[8, 12], held_out=0.17),
            n_shards=6,
            simulations_per_shard=64,
            test_repeats=4,
            tr_s=[2.0],
            scan_s=[200.0, 220.0, 240.0],
            burn_in_s=10.0,
            warm_up_s=0.0,
            n_threads=1,
        )
    )
