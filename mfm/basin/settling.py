"""The state in which noise-free dynamics come to rest, where that is not the 3 Hz state of feedback inhibition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.linear import exact
from mfm.linear.system import LinearSystem
from mfm.models.fic import FICParameters, gating
from mfm.models.fic_feedback import FixedPoint, designed_point, feedback_weights, point_at
from mfm.models.registry import check_same_regions
from mfm.protocol import Protocol
from mfm.simulation.run import simulate

# Model time in which the dynamics settle, and its step: above 8 Hz the inhibitory gate is too fast for a step of 6 ms.
_SETTLING_S = 20.0
_STEP_S = 0.001
_FRAME_S = 0.05

# Where S_E starts, from its 3 Hz value: a little above and below, and far above.
_STARTS = (0.001, -0.001, 0.2)

_NEWTON_STEPS = 12
_AT_REST_PER_S = 1e-8
_SAME_S_E = 1e-3


class FixedPointStatus(IntEnum):
    """What noise-free dynamics do.

    Attributes
    ----------
    DESIGNED, OTHER, SEVERAL, NONE
        0: every start returns to 3 Hz. 1: every start ends in one stable state, which is another. 2: starts end in different
        stable states; given is the 3 Hz state if that is one of them, else the one reached from just above it. 3: no start
        came to rest (an oscillation); the state is NaN.

    Examples
    --------
    >>> import mfm
    >>> mfm.FixedPointStatus(2).name
    'SEVERAL'
    """

    DESIGNED = 0
    OTHER = 1
    SEVERAL = 2
    NONE = 3


@dataclass(frozen=True, eq=False)
class SettledState:
    """Where noise-free dynamics of B candidates come to rest.

    Attributes
    ----------
    point : FixedPoint
        S_E, S_I, I_E (nA), I_I (nA) and rate_E (Hz), each (B, N); NaN where the status is NONE.
    status : tensor of int, (B,)
        `FixedPointStatus`.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 6.0), np.full((1, 2), 2.5), np.full((1, 2), 0.002), [2.0])
    >>> settled = mfm.fixed_point(p, sc)
    >>> mfm.linear_response(p, sc, mfm.Protocol(0.72, 1200), at=settled.point).stable.tolist()
    [True]
    """

    point: FixedPoint
    status: Tensor


def fixed_point(p: FICParameters, sc: Connectome, n_threads: int | None = None) -> SettledState:
    """Find the stable state that noise-free dynamics reach from the 3 Hz state's neighbourhood, and whether it is the only one.

    Parameters
    ----------
    p : FICParameters
        B candidates over N regions; noise plays no part. ``w_IE`` may be given (no feedback inhibition control).
    sc : Connectome
    n_threads : int, optional

    Returns
    -------
    SettledState

    Raises
    ------
    InputError
        If `p` and `sc` have different numbers of regions.

    Notes
    -----
    20 s of noise-free dynamics from S_E* + 0.001, - 0.001 and + 0.2 in all regions (Euler, 1 ms), each end polished by
    Newton's method in the precision of `p` and accepted if its Jacobian is stable. States that none of these starts
    reach, such as those with a few regions at a high rate, are not found.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.array([[3.0, 3.0], [6.0, 6.0]]), np.full((2, 2), 2.5), np.zeros((2, 2)), [2.0, 2.0])
    >>> found = mfm.fixed_point(p, sc)
    >>> [mfm.FixedPointStatus(s).name for s in found.status.tolist()], found.point.rate_E[0].round(decimals=6).tolist()
    (['DESIGNED', 'SEVERAL'], [3.0, 3.0])
    """
    check_same_regions(p, sc)
    with torch.no_grad():
        complete = replace(p, w_IE=feedback_weights(p, sc))
        ends = [_settle(complete, sc, start, n_threads) for start in _STARTS]
    rest = designed_point(p).S_E
    S_E = torch.stack([end.S_E for end in ends])
    settled = torch.isfinite(S_E).all(dim=2)
    at_design = settled & ((S_E - rest).abs().amax(dim=2) < _SAME_S_E)
    # The 3 Hz state where a start returns to it, else the first that came to rest.
    chosen = (2 * at_design.int() + settled.int()).argmax(dim=0)
    row = torch.arange(p.n_candidates)
    point = FixedPoint(*(torch.stack(values)[chosen, row] for values in zip(*ends, strict=True)))
    apart = settled & ((S_E - point.S_E).abs().amax(dim=2) >= _SAME_S_E)
    status = torch.where(at_design.any(dim=0), int(FixedPointStatus.DESIGNED), int(FixedPointStatus.OTHER))
    status = torch.where(apart.any(dim=0) | (settled.any(dim=0) & ~settled.all(dim=0)), int(FixedPointStatus.SEVERAL), status)
    return SettledState(point, torch.where(settled.any(dim=0), status, int(FixedPointStatus.NONE)))


def _settle(p: FICParameters, sc: Connectome, start: float, n_threads: int | None) -> FixedPoint:
    """The stable state that complete parameter sets reach from S_E* + start, NaN for candidates that reach none."""
    quiet = replace(p, sigma=torch.zeros_like(p.sigma))
    rest = designed_point(p)
    protocol = Protocol(_FRAME_S, 1, _STEP_S, burn_in_s=0.0, warm_up_s=_SETTLING_S)
    sim = simulate(quiet, sc, protocol, backend="numba", initial=(rest.S_E + start, rest.S_I), n_threads=n_threads)
    S_E, S_I = sim.S_E[:, 0].to(p.w_EE), sim.S_I[:, 0].to(p.w_EE)
    finite = torch.isfinite(S_E).all(dim=1)
    S_E, S_I = (torch.where(finite[:, None], x, y) for x, y in ((S_E, rest.S_E), (S_I, rest.S_I)))
    ended = S_E
    for _ in range(_NEWTON_STEPS):
        jacobian = LinearSystem.of(p, sc, (S_E, S_I)).jacobian()
        step = torch.linalg.solve(jacobian, -_drift(p, sc, S_E, S_I)[..., None])[..., 0]
        S_E, S_I = S_E + step[:, : p.n_regions], S_I + step[:, p.n_regions :]
    at_rest = finite & (_drift(p, sc, S_E, S_I).abs().amax(dim=1) < _AT_REST_PER_S)
    at_rest = at_rest & ((S_E - ended).abs().amax(dim=1) < _SAME_S_E)
    stable = torch.zeros_like(at_rest)
    stable[at_rest] = exact.abscissa(LinearSystem.of(p, sc, (S_E, S_I))[at_rest]) < 0
    return FixedPoint(*(x.masked_fill(~stable[:, None], float("nan")) for x in point_at(p, sc, S_E, S_I)))


def _drift(p: FICParameters, sc: Connectome, S_E: Tensor, S_I: Tensor) -> Tensor:
    """Time derivative of (S_E, S_I), (B, 2 N)."""
    point = point_at(p, sc, S_E, S_I)
    dS_E, dS_I, _, _ = gating((S_E, S_I), point.I_E, point.I_I)
    return torch.cat([dS_E, dS_I], dim=1)
