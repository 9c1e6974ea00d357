"""A corpus becomes what a network is trained on: features, labels and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

import mfm
from mfm import FICParameters
from mfm.errors import InputError
from surrogate.corpus.store import Corpus, ShardRow
from surrogate.features import GLOBAL_FEATURES, Features, features

# BOLD's own memory, beside that of the network's slow modes.
_HEMODYNAMIC_TIME_S = 4.0

# Candidates whose features are computed at a time.
_TOGETHER = 64


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels are what simulation showed of B stable candidates.

    Attributes
    ----------
    fc : tensor of float16, (B, N (N - 1) / 2)
    fcd_cdf : tensor of float16, (B, P)
    rate_low, rate_high : tensor, (B, R)
        Smallest and largest mean r_E over regions, Hz.
    rate_E : tensor, (B, N)
        Mean over realisations, Hz.
    stayed : tensor of bool, (B,)
        Whether all realisations stayed within range: FC, FCD and rates are of use.
    samples : tensor, (B,)
        Independent samples behind FC: scan time over correlation time, times realisations.
    """

    fc: Tensor
    fcd_cdf: Tensor
    rate_low: Tensor
    rate_high: Tensor
    rate_E: Tensor
    stayed: Tensor
    samples: Tensor

    def __getitem__(self, index) -> Labels:
        return Labels(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def to(self, device) -> Labels:
        """Move all tensors to a device."""
        return Labels(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch is candidates of one connectome and timing, with bands (2, B, 2) in Hz for which staying is predicted."""

    features: Features
    labels: Labels
    bands_hz: Tensor

    def __len__(self) -> int:
        return len(self.labels.samples)

    def to(self, device) -> Batch:
        """Move all tensors to a device."""
        return Batch(self.features.to(device), self.labels.to(device), self.bands_hz.to(device))


@dataclass(frozen=True, eq=False)
class Group:
    """A group is the stable candidates of a shard (one connectome, one timing); `rows` says where in the shard they are."""

    shard: ShardRow
    rows: Tensor
    parameters: FICParameters
    features: Features
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels.samples)


def load_groups(
    corpus: Corpus, split: str, progress: Callable[[int, int], None] | None = None, kinds: tuple[str, ...] = ()
) -> list[Group]:
    """Load all shards of a split with the features of their stable candidates.

    Raises
    ------
    InputError
        If the corpus has no shard of that split, or a shard is damaged.
    """
    shards = [shard for shard in corpus.split(split) if not kinds or shard.kind in kinds]
    if not shards:
        raise InputError(
            f"The corpus {corpus.folder} has no finished {split} shard.",
            cause="it is not finished, or its connectomes are all of other splits",
            fix="raise n_shards, or connectomes.held_out, and run mfmfit corpus again",
        )
    groups = []
    for k, shard in enumerate(shards):
        groups += list(_group(corpus, shard))
        if progress is not None:
            progress(k + 1, len(shards))
    return groups


def _group(corpus: Corpus, shard: ShardRow) -> Iterator[Group]:
    records, sc = corpus.records(shard), corpus.connectome(shard.connectome)
    p = FICParameters(*(records[name].astype(np.float64) for name in ("w_EE", "w_EI", "sigma", "G")))
    parts, kept = [], []
    with torch.no_grad():
        for index in torch.arange(p.n_candidates).split(_TOGETHER):
            lin = mfm.linear_response(p[index], sc, shard.protocol)
            stable = torch.nonzero(lin.stable)[:, 0]
            if len(stable):
                parts.append(features(p[index[stable]], sc, lin[stable]))
                kept.append(index[stable])
    if not kept:
        return
    rows = torch.cat(kept)
    tokens, summary, fc = (torch.cat([getattr(part, name) for part in parts]) for name in ("tokens", "summary", "fc"))
    found = Features(tokens, summary, fc, parts[0].sc)
    records = records[rows.numpy()]
    rate_E = torch.from_numpy(records["rate_E"].copy())
    slow_time = found.summary[:, GLOBAL_FEATURES.index("log_slow_time")].exp()
    labels = Labels(
        fc=torch.from_numpy(records["fc"].astype(np.float32).mean(axis=1)).half(),
        fcd_cdf=torch.from_numpy(records["fcd_cdf"].astype(np.float32).mean(axis=1)).half(),
        rate_low=rate_E.amin(dim=2),
        rate_high=rate_E.amax(dim=2),
        rate_E=rate_E.mean(dim=1),
        stayed=mfm.within_range(rate_E).all(dim=1),
        samples=shard.repeats * shard.protocol.scan_s / (slow_time + _HEMODYNAMIC_TIME_S),
    )
    yield Group(shard, rows, p[rows], found, labels)
