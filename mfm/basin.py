"""The basin of the 3 Hz fixed point: how far the state may be pushed before it leaves for another attractor.

Linear stability is not enough: beside a stable 3 Hz state a high-rate state may exist, and noise finds it within minutes. A
noise-free simulation from a displaced state finds it within seconds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mfm.connectome import Connectome
from mfm.errors import InputError
from mfm.feedback import check_same_regions, resting_state
from mfm.linear.response import linear_response
from mfm.parameters import FICParameters
from mfm.protocol import Protocol
from mfm.simulation import simulate, within_range

# Model time in which a displaced state has returned, or has not; and the frame whose rates tell.
_SETTLING_S = 12.0
_FRAME_S = 0.06

# The displacements between which the margin is sought, on a logarithmic scale: eight halvings leave 2 % of it.
_SMALLEST, _LARGEST = 0.001, 0.4
_BISECTIONS = 8


def rates_after_displacement(p: FICParameters, sc: Connectome, displacement, n_threads: int | None = None) -> Tensor:
    """Firing rates 12 s after S_E was raised by `displacement` in all regions, without noise.

    Parameters
    ----------
    p : FICParameters
        B candidates over N regions; their noise and ``w_IE`` are ignored.
    sc : Connectome
    displacement : float or tensor, (B,)
        Added to S_E* = 0.161 in every region.
    n_threads : int, optional

    Returns
    -------
    tensor, (B, N)
        r_E, Hz.

    Raises
    ------
    InputError
        If `p` and `sc` have different numbers of regions, or a displacement takes S_E out of [0, 1].

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [2.0])
    >>> mfm.rates_after_displacement(p, sc, 0.05).round(decimals=2).tolist()
    [[3.0, 3.0]]
    """
    quiet = FICParameters(p.w_EE, p.w_EI, torch.zeros_like(p.sigma), p.G)
    rest = resting_state(p.w_EI)
    shift = torch.as_tensor(displacement, dtype=p.w_EE.dtype).expand(p.n_candidates)
    S_E = rest.S_E + shift
    if not ((S_E >= 0) & (S_E <= 1)).all():
        raise InputError("The displacement takes S_E out of [0, 1].", expected=f"-{rest.S_E:.3f} to {1 - rest.S_E:.3f}")
    protocol = Protocol(_FRAME_S, n_frames=1, burn_in_s=0.0, warm_up_s=_SETTLING_S)
    initial = (S_E[:, None].expand(p.w_EE.shape), rest.S_I)
    return simulate(quiet, sc, protocol, backend="numba", initial=initial, n_threads=n_threads).rate_E[:, 0]


def basin_margin(p: FICParameters, sc: Connectome, n_threads: int | None = None) -> Tensor:
    """Smallest displacement of S_E in all regions from which the state does not return to 3 Hz.

    Parameters
    ----------
    p : FICParameters
        B candidates.
    sc : Connectome
    n_threads : int, optional

    Returns
    -------
    tensor, (B,)
        In units of S_E, to 2 %; 0 where 0.001 does not return (an unstable 3 Hz state), 0.4 where all return.

    Raises
    ------
    InputError
        If `p` and `sc` have different numbers of regions.

    Notes
    -----
    Displaces all regions alike, which is near the direction of the softest mode of most connectomes; others may have smaller
    margins. A state that needs more than 12 s to return counts as not returning.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [2.0])
    >>> 0 < mfm.basin_margin(p, sc).item() <= 0.4
    True
    """

    def returns(displacement) -> Tensor:
        return within_range(rates_after_displacement(p, sc, displacement, n_threads))

    low = torch.full((p.n_candidates,), _SMALLEST, dtype=torch.float64)
    high = torch.full_like(low, _LARGEST)
    nowhere, everywhere = ~returns(_SMALLEST), returns(_LARGEST)
    for _ in range(_BISECTIONS):
        middle = (low * high).sqrt()
        returned = returns(middle)
        low = torch.where(returned, middle, low)
        high = torch.where(returned, high, middle)
    margin = torch.where(everywhere, high.new_tensor(_LARGEST), low)
    return margin.masked_fill(nowhere, 0.0)


def excursion(p: FICParameters, sc: Connectome) -> Tensor:
    """The largest standard deviation of S_E over regions that linear response predicts, (B,); infinite where unstable."""
    check_same_regions(p, sc)
    with torch.no_grad():
        std = linear_response(p, sc, Protocol(_FRAME_S, n_frames=1)).excursions.std_S_E
    return std.amax(dim=1).nan_to_num(nan=float("inf"))
