"""The basin of the 3 Hz fixed point: how far the state may be pushed before it leaves for another attractor.

Linear stability is not enough: beside a stable 3 Hz state a high-rate state may exist, and noise finds it within minutes. A
noise-free simulation from a displaced state finds it within seconds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mfm.connectome import Connectome
from mfm.errors import InputError
from mfm.feedback import resting_state
from mfm.parameters import FICParameters
from mfm.protocol import Protocol
from mfm.simulation import simulate, within_range

# Model time in which a displaced state has returned, or has not; and the frame whose rates tell.
_SETTLING_S = 12.0
_FRAME_S = 0.06
_BISECTIONS = 7


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
        If `p` and `sc` have different numbers of regions.

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
    S_E = (rest.S_E + shift)[:, None].expand(p.w_EE.shape)
    protocol = Protocol(_FRAME_S, n_frames=1, burn_in_s=0.0, warm_up_s=_SETTLING_S)
    return simulate(quiet, sc, protocol, backend="numba", initial=(S_E, rest.S_I), n_threads=n_threads).rate_E[:, 0]


def basin_margin(p: FICParameters, sc: Connectome, largest: float = 0.4, n_threads: int | None = None) -> Tensor:
    """Smallest displacement of S_E in all regions from which the state does not return to 3 Hz.

    Parameters
    ----------
    p : FICParameters
        B candidates.
    sc : Connectome
    largest : float, default 0.4
        Displacements beyond this are not tried.
    n_threads : int, optional

    Returns
    -------
    tensor, (B,)
        In units of S_E, by bisection to 1 % of `largest`; 0 where the 3 Hz state is not stable, `largest` where all return.

    Raises
    ------
    InputError
        If `largest` would take S_E to 1, or `p` and `sc` have different numbers of regions.

    Notes
    -----
    Displaces all regions alike, which is near the direction of the softest mode of most connectomes; others may have smaller
    margins. Compare with the spread of S_E under noise.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [2.0])
    >>> 0 < mfm.basin_margin(p, sc).item() <= 0.4
    True
    """
    if not 0 < largest < 0.8:
        raise InputError("The largest displacement must keep S_E below 1.", expected="between 0 and 0.8", found=repr(largest))
    low = torch.zeros(p.n_candidates, dtype=torch.float64)
    high = torch.full_like(low, largest)
    everywhere = within_range(rates_after_displacement(p, sc, largest, n_threads))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        returned = within_range(rates_after_displacement(p, sc, middle, n_threads))
        low = torch.where(returned, middle, low)
        high = torch.where(returned, high, middle)
    return torch.where(everywhere, torch.full_like(low, largest), low)
