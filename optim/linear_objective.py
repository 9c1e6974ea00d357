"""Scoring of candidates by linear response: no integration but a few noise-free seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

import mfm
from mfm import Cost, FICParameters, Scan
from mfm.feedback import resting_state
from optim.objective import Evaluation


@dataclass(frozen=True, eq=False)
class LinearObjective:
    """Score candidates by the theory of their fluctuations, gated by a displaced start.

    FC is that of linear response; the FCD distribution is that of BOLD sampled from the predicted spectra, with the same noise
    for every candidate. A candidate is within range if its 3 Hz state is linearly stable and noise-free dynamics
    return to it after S_E was raised by `displacement` everywhere: without that gate a search ends where the theory looks best
    and a high-rate state takes over. What is reported must still be simulated.

    Parameters
    ----------
    scan : Scan
    protocol : Protocol
    n_samples : int, default 3
        Sampled series per candidate.
    displacement : float, default 0.05
        In units of S_E.
    window_step : int, default 5
        Frames from one FCD window to the next.
    n_threads : int, optional
    """

    scan: Scan
    protocol: mfm.Protocol
    n_samples: int = 3
    displacement: float = 0.05
    window_step: int = 5
    n_threads: int | None = None

    def evaluate(self, p: FICParameters, seed: int | Sequence[int]) -> Evaluation:
        """Score B candidates; of several seeds the first is used, for all."""
        key = seed if isinstance(seed, int) else seed[0]
        sc, target = self.scan.sc, self.scan.target
        rate_E = mfm.rates_after_displacement(p, sc, self.displacement, self.n_threads).double()
        returns = mfm.within_range(rate_E)
        B, N, K = p.n_candidates, p.n_regions, len(target.fcd_cdf)
        fc = torch.full((B, N, N), float("nan"), dtype=torch.float64)
        cdf = torch.full((B, K), float("nan"), dtype=torch.float64)
        if returns.any():
            with torch.no_grad():
                lin = mfm.linear_response(p[returns], sc, self.protocol)
                fc[returns] = lin.fc
                bold = lin.sample_bold(self.n_samples, key % 2**63, torch.float32)
            scored = torch.nonzero(returns)[:, 0][lin.stable]
            sampled = mfm.fcd_cdf(bold[lin.stable], self.protocol.window_frames, K, self.n_threads, self.window_step)
            cdf[scored] = sampled.mean(dim=1)
        cost = mfm.cost(fc, cdf, target)
        rest = resting_state(p.w_EI)
        return Evaluation(
            cost=cost,
            within_range=returns & torch.isfinite(cost.total),
            status=torch.zeros((B, 1), dtype=torch.int64),
            rate_E=rate_E[:, None],
            S_E=torch.full((B, 1, N), rest.S_E, dtype=torch.float64),
            S_I=rest.S_I[:, None],
            fc=fc,
            fcd_cdf=cdf,
            realisation_cost=Cost(*(getattr(cost, term)[:, None] for term in ("corr", "mean_diff", "ks"))),
        )
