"""What a simulation gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from mfm.models.model import Model
from mfm.protocol import Protocol
from mfm.simulation.averages import Averages


class SimStatus(IntEnum):
    """What became of a simulation.

    Attributes
    ----------
    OK, DIVERGED, OUT_OF_RANGE
        0: finite and within range; 1: a state was not finite, results are NaN; 2: an average left the range that the model
        declares admissible, which is [2.7, 3.3] Hz for r_E of FIC.

    Examples
    --------
    >>> import mfm
    >>> mfm.SimStatus(2).name
    'OUT_OF_RANGE'
    """

    OK = 0
    #: A state left the finite numbers; BOLD and averages of that simulation are NaN.
    DIVERGED = 1
    #: A region's average left `Model.admissible` (for FIC [2.7, 3.3] Hz, reported only where w_IE was solved for 3 Hz).
    OUT_OF_RANGE = 2


@dataclass(frozen=True, eq=False)
class Simulation:
    """Result of `simulate` for B candidates, R realisations, T frames, N regions.

    Attributes
    ----------
    bold : tensor, (B, R, T, N)
        BOLD signal change, percent; of a model without hemodynamics the observed state at the end of every TR.
    averages : Averages
        What the model reports and its states, averaged over time after the warm-up. Each is an attribute of the simulation
        too, (B, R, N): ``rate_E`` (Hz), ``S_E`` and ``S_I`` of FIC. So is what the model derives from them, the mean over
        realisations, (B, N): ``ei_ratio`` of FIC.
    status : tensor of int, (B, R)
        `SimStatus`.
    protocol : Protocol
    seed : int or tuple of B ints
        As given to `simulate`.
    backend : {"reference", "numba", "triton"}
        The one that was used.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.001), [1.0])
    >>> sim = mfm.simulate(p, sc, mfm.Protocol(tr_s=0.72, n_frames=2, burn_in_s=0, warm_up_s=0), backend="reference")
    >>> sim
    Simulation(1 candidates x 1 realisations, 2 frames, 2 regions, reference: 1 OK)
    >>> sim.within_range.tolist(), sim.ei_ratio.shape
    ([True], torch.Size([1, 2]))
    """

    bold: Tensor
    averages: Averages
    status: Tensor
    protocol: Protocol
    seed: int | tuple[int, ...]
    backend: str

    @property
    def within_range(self) -> Tensor:
        """(B,) bool: every region of every realisation stays within what the model declares admissible, and finite."""
        return (self.averages.inside() & (self.status != SimStatus.DIVERGED)).all(dim=-1)

    @property
    def model(self) -> Model:
        return self.averages.model

    def __getattr__(self, name: str) -> Tensor:
        if name.startswith("__") or "averages" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.averages, name)

    def __repr__(self) -> str:
        B, R, T, N = self.bold.shape
        counts = ", ".join(f"{int((self.status == s).sum())} {s.name}" for s in SimStatus if (self.status == s).any())
        # Where feedback was given, status does not tell of rates.
        left = ~self.averages.inside() & (self.status == SimStatus.OK)
        beyond = f"; {int(left.sum())} of these leave the model's range" if left.any() else ""
        return f"Simulation({B} candidates x {R} realisations, {T} frames, {N} regions, {self.backend}: {counts}{beyond})"


def status_of(bold: Tensor, averages: Averages, check_range: bool) -> Tensor:
    """`SimStatus` of every simulation, (B, R); without `check_range` none is out of range."""
    bold, values = bold.detach(), averages.values.detach()
    # Extremes, which NaN carries through: a mask of the size of BOLD would be the largest array on a GPU.
    low, high = bold.flatten(-2).aminmax(dim=-1)
    finite = torch.isfinite(low) & torch.isfinite(high) & torch.isfinite(values).all(dim=-1).all(dim=0)
    status = torch.full(finite.shape, SimStatus.OK, dtype=torch.int64, device=finite.device)
    if check_range:
        status[~averages.inside()] = SimStatus.OUT_OF_RANGE
    status[~finite] = SimStatus.DIVERGED
    return status


def without_diverged(trajectory: tuple[Tensor, Tensor], status: Tensor) -> tuple[Tensor, Tensor]:
    """The trajectory with every number of a diverged simulation replaced by NaN: no half-broken result is used."""
    bold, averages = trajectory
    diverged = (status == SimStatus.DIVERGED)[..., None]
    if not diverged.any():
        return bold, averages
    masked = ((bold, diverged[..., None]), (averages, diverged))
    nan = float("nan")
    # In place where no gradient forbids it: BOLD is large.
    bold, averages = (x.masked_fill(mask, nan) if x.requires_grad else x.masked_fill_(mask, nan) for x, mask in masked)
    return bold, averages
