"""Candidates scored by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import mfm
from mfm import Scan, SimStatus
from mfm.models.parameters import ModelParameters
from mfm.simulation.backends import compute_device
from optim.objectives.base import Evaluation

# BOLD that is held at a time; more candidates are simulated in turns, with the same results.
_BOLD_BYTES = 384 * 2**20


@dataclass(frozen=True, eq=False)
class SimulationObjective:
    """Score candidates by simulating them.

    Parameters
    ----------
    scan : Scan
        Target, connectome, timing, and what was done to the recording, which is done to the simulations.
    protocol : Protocol
        Of the simulation; TR and frames are the scan's.
    n_repeats : int, default 3
        Noise realisations per candidate, whose FC matrices and FCD distributions are averaged.
    backend : {"auto", "reference", "numba", "triton"}
        As in `mfm.simulate`.
    n_threads : int, optional
        Default: the cores this process may use.
    score_out_of_range : bool, default False
        Whether FC and FCD are also computed for candidates that leave the range.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from optim import SimulationObjective
    >>> run = np.random.default_rng(0).normal(size=(120, 3))
    >>> scan = mfm.subject_from_runs("sub-01", [run], mfm.Connectome(0.02 * (1 - np.eye(3))), tr_s=2.0).search
    >>> protocol = mfm.Protocol(scan.tr_s, scan.n_frames, dt_s=0.005, burn_in_s=0.0, warm_up_s=0.0)
    >>> p = mfm.FICParameters(np.full(3, 3.0), np.full(3, 2.5), np.full(3, 0.002), [1.0])
    >>> evaluation = SimulationObjective(scan, protocol, n_repeats=2).evaluate(p, seed=0)
    >>> evaluation.within_range.tolist(), evaluation.realisation_cost.total.shape
    ([True], torch.Size([1, 2]))
    """

    scan: Scan
    protocol: mfm.Protocol
    n_repeats: int = 3
    backend: str = "auto"
    n_threads: int | None = None
    score_out_of_range: bool = False

    def evaluate(self, p: ModelParameters, seed: int | Sequence[int]) -> Evaluation:
        """Score B candidates (see `Objective.evaluate`); an InputError if they have other regions than the scan."""
        seeds = [seed] * p.n_candidates if isinstance(seed, int) else list(seed)
        bytes_each = self.n_repeats * self.protocol.n_frames * p.n_regions * 4
        size = max(1, _BOLD_BYTES // bytes_each)
        starts = range(0, p.n_candidates, size)
        return Evaluation.concatenate([self._evaluate(p[k : k + size], seeds[k : k + size]) for k in starts])

    def _observed(self, bold: Tensor, seeds: list[int]) -> Tensor:
        """Simulated BOLD (B, R, T, N) after all that the recording went through; noise of a candidate follows its seed."""
        observation = self.scan.observation
        if observation.is_identity:
            return bold
        return torch.stack([observation.apply(x, self.scan.tr_s, seed) for x, seed in zip(bold, seeds, strict=True)])

    def _evaluate(self, p: ModelParameters, seeds: list[int]) -> Evaluation:
        # On a GPU, BOLD stays where FC and FCD are made of it.
        p = p.to(compute_device(p, self.backend))
        with torch.no_grad():
            sim = mfm.simulate(
                p, self.scan.sc, self.protocol, self.n_repeats, seeds, backend=self.backend, n_threads=self.n_threads
            )
        scored = (sim.status != SimStatus.DIVERGED).all(dim=1)
        if not self.score_out_of_range:
            scored = scored & sim.within_range
        B, R, _, N = sim.bold.shape
        n_bins = len(self.scan.target.fcd_cdf)
        fc = torch.full((B, R, N, N), float("nan"), dtype=torch.float64)
        cdf = torch.full((B, R, n_bins), float("nan"), dtype=torch.float64)
        if scored.any():
            which = torch.nonzero(scored)[:, 0].tolist()
            bold = self._observed(sim.bold[scored], [seeds[k] for k in which])
            kept = self.scan.observation.frames_kept(self.protocol.n_frames)
            fc[scored.cpu()] = mfm.functional_connectivity(bold[..., kept, :]).cpu()
            window = self.protocol.window_frames
            cdf[scored.cpu()] = mfm.fcd_cdf(bold, window, n_bins, self.n_threads, kept=kept).cpu()
        target = self.scan.target
        each = mfm.cost(fc.reshape(B * R, N, N), cdf.reshape(B * R, n_bins), target)
        mean_fc, mean_cdf = fc.mean(dim=1), cdf.mean(dim=1)
        return Evaluation(
            cost=mfm.cost(mean_fc, mean_cdf, target),
            within_range=sim.within_range.cpu(),
            status=sim.status.cpu(),
            averages=sim.averages.to("cpu"),
            fc=mean_fc,
            fcd_cdf=mean_cdf,
            realisation_cost=each.map(lambda term: term.reshape(B, R)),
        )
