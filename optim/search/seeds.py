"""Where every random number of a fit comes from."""

from __future__ import annotations

import zlib

import numpy as np

from mfm.subject import bare_id

_PURPOSES = ("initial", "sampler", "search", "rescore", "validation", "test")


def stream(seed: int, subject_id: str, purpose: str, *index: int) -> np.random.SeedSequence:
    """The seed sequence of one purpose of one subject's fit.

    Different purposes, subjects and indices give independent streams: two subjects never share their noise, and what
    chooses a candidate never reports on it.

    Parameters
    ----------
    seed : int
        ``optimizer.seed``.
    subject_id : str
        With ``sub-`` or without: it is one person.
    purpose : {"initial", "sampler", "search", "rescore", "validation", "test"}
    *index : int
        For example the start and the generation.
    """
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(bare_id(subject_id).encode()), _PURPOSES.index(purpose), *index))


def noise_keys(sequence: np.random.SeedSequence, n: int) -> list[int]:
    """`n` keys for the noise of simulations."""
    return [int(key) for key in sequence.generate_state(n, np.uint64)]
