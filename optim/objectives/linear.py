"""Scoring of candidates by linear response: no integration but a few noise-free seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import mfm
from mfm import Scan
from mfm.basin.margin import displaced_both_ways
from mfm.models.parameters import ModelParameters
from mfm.models.registry import model_of
from optim.objectives.base import Evaluation

# Displacement of the observed state of candidates that are not stable.
_NEARBY = 0.01


@dataclass(frozen=True, eq=False)
class LinearObjective:
    """Score candidates by the theory of their fluctuations, gated by a displaced start.

    FC is that of linear response; the FCD distribution is that of BOLD sampled from the predicted spectra, with the same noise
    for every candidate. A candidate is within range if its fixed point is linearly stable and, of models that declare what is
    admissible, noise-free dynamics return to it from displacements by `margin` standard deviations of the observed state, up
    and down (`mfm.basin_margin`): without that gate a search ends where the theory looks best and another state takes over.
    What is reported must still be simulated.

    Parameters
    ----------
    scan : Scan
    protocol : Protocol
    n_samples : int, default 3
        Sampled series per candidate.
    margin : float, default 10
        In standard deviations of the observed state; 0 leaves only linear stability.
    window_step : int, default 5
        Frames from one FCD window to the next.
    n_repeats : int, optional
        Realisations whose mean FC the predicted cost is meant for (`mfm.attenuated`); default: infinitely many.
    n_threads : int, optional

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from optim import LinearObjective
    >>> run = np.random.default_rng(0).normal(size=(120, 3))
    >>> sc = mfm.Connectome([[0, 0.02, 0.01], [0.02, 0, 0.005], [0.01, 0.005, 0]])
    >>> scan = mfm.subject_from_runs("sub-01", [run], sc, tr_s=2.0).search
    >>> p = mfm.FICParameters(np.full(3, 3.0), np.full(3, 2.5), np.full(3, 0.002), [1.0])
    >>> LinearObjective(scan, mfm.Protocol(scan.tr_s, scan.n_frames, dt_s=0.005)).evaluate(p, seed=0).within_range.tolist()
    [True]
    """

    scan: Scan
    protocol: mfm.Protocol
    n_samples: int = 3
    margin: float = 10.0
    window_step: int = 5
    n_repeats: int | None = None
    n_threads: int | None = None

    def evaluate(self, p: ModelParameters, seed: int | Sequence[int]) -> Evaluation:
        """Score B candidates; of several seeds the first is used, for all."""
        key = (seed if isinstance(seed, int) else seed[0]) % 2**63
        sc, target = self.scan.sc, self.scan.target
        K = len(target.fcd_cdf)
        with torch.no_grad():
            lin = mfm.linear_response(p, sc, self.protocol, observation=self.scan.observation)
            reported, returns = self._after_displacement(p, lin)
            fc = lin.fc.double().masked_fill(~returns[:, None, None], float("nan"))
            cdf = torch.full((len(returns), K), float("nan"), dtype=torch.float64)
            cdf[returns] = lin[returns].sample_fcd_cdf(self.n_samples, key, K, self.window_step, self.n_threads)
        cost = mfm.cost(fc, cdf, target)
        if self.n_repeats is not None:
            cost = mfm.attenuated(cost, fc, lin.fc_sampling_variance, self.n_repeats)
        return Evaluation.predicted(model_of(p), lin.state, reported, cost, returns, fc, cdf)

    def _after_displacement(self, p: ModelParameters, lin: mfm.LinearResponse) -> tuple[Tensor, Tensor]:
        """What the model reports after displacements, (B, R, N), and whether a candidate is stable and returned, (B,)."""
        admissible = model_of(p).admissible
        if admissible is None:
            return lin.mean_reported[:, None], lin.stable
        # Unstable candidates run too, from nearby: where they end tells the search how far they are.
        displacement = (self.margin * lin.activity_std).nan_to_num(nan=_NEARBY)
        ends = mfm.rates_after_displacement(p, self.scan.sc, displaced_both_ways(displacement), self.n_threads).double()
        return ends, mfm.within_range(ends, (admissible.low, admissible.high)).all(dim=1) & lin.stable
