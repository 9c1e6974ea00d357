"""surrogate: predicts from parameters what a simulation would show.

Names are loaded on first use, so that ``import surrogate`` is immediate.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "Surrogate": "surrogate.bundle",
    "Prediction": "surrogate.bundle",
    "load_pretrained": "surrogate.bundle",
    "untrained": "surrogate.bundle",
    "NetworkConfig": "surrogate.networks",
    "TrainConfig": "surrogate.config",
    "train": "surrogate.training",
    "CorpusConfig": "surrogate.corpus.config",
    "build_corpus": "surrogate.corpus.build",
    "Corpus": "surrogate.corpus.store",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'surrogate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
