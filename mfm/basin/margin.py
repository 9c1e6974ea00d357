"""The basin of the fixed point: how far the state may be pushed before it leaves for another attractor.

Linear stability is not enough: beside a stable state others may exist, some regions at a higher or a lower rate, and noise
finds them within minutes. Noise-free simulations from displaced states find them within seconds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.checks import as_float_tensor
from mfm.errors import InputError
from mfm.linear.response import linear_response
from mfm.models.parameters import ModelParameters
from mfm.models.registry import model_of
from mfm.models.rest import rest_state
from mfm.protocol import Protocol
from mfm.simulation.run import simulate
from mfm.statistics.rates import within_range

# Model time in which a displaced state has returned, or has not; and the frame whose rates tell.
_SETTLING_S = 12.0
_FRAME_S = 0.06

# The multiples of the predicted excursions between which the margin is sought, on a logarithmic scale, to 3 %.
_SMALLEST, _LARGEST = 0.25, 128.0
_BISECTIONS = 8


def rates_after_displacement(
    p: ModelParameters, sc: Connectome, displacement, n_threads: int | None = None, scheme: str = "exponential"
) -> Tensor:
    """Firing rates 12 s after the observed state was displaced, without noise.

    Parameters
    ----------
    p : ModelParameters
        B candidates over N regions of a model that declares what is admissible; their noise is ignored, and weights that the
        model solves (``w_IE`` of FIC) are solved.
    sc : Connectome
    displacement : float or tensor, (B,), (B, N) or (B, D, N)
        Added to the observed state at the fixed point (FIC: S_E* = 0.161), which starts within its `State.reach` (0 to 0.8).
        D displacements of each candidate are D runs.
    n_threads : int, optional
    scheme : {"exponential", "euler"}
        As in `mfm.Protocol`, with a step of 6 ms.

    Returns
    -------
    tensor, (B, N) or (B, D, N)
        The quantity that the model wants admissible; r_E of FIC, Hz.

    Raises
    ------
    InputError
        If `p` and `sc` have different numbers of regions, the displacement has another shape, or the model declares nothing
        admissible.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [2.0])
    >>> mfm.rates_after_displacement(p, sc, 0.05).round(decimals=2).tolist()
    [[3.0, 3.0]]
    """
    model, quiet = model_of(p), p.noise_free()
    if model.admissible is None:
        raise InputError(
            f"Nothing tells whether the model {model.name!r} returned.", expected="a model that declares what is admissible"
        )
    rest = rest_state(model, model.completed(quiet, sc), sc)
    shift = as_float_tensor(displacement, "displacement").detach().to(rest[0])
    if shift.ndim > 3 or (shift.ndim == 1 and len(shift) != p.n_candidates):
        raise InputError(
            "The displacement has the wrong shape.",
            expected="a number, (B,), (B, N) or (B, D, N)",
            found=str(tuple(shift.shape)),
        )
    shift = shift[:, None] if shift.ndim == 1 else shift
    several = shift.ndim == 3
    moved = model.state_names.index(model.observed)
    shift = shift if several else (shift + torch.zeros_like(rest[moved]))[:, None]
    start = [x[:, None] for x in rest]
    start[moved] = (start[moved] + shift).clamp(*model.states[moved].reach)
    protocol = Protocol(_FRAME_S, n_frames=1, burn_in_s=0.0, warm_up_s=_SETTLING_S, scheme=scheme)
    sim = simulate(quiet, sc, protocol, shift.shape[1], backend="numba", initial=tuple(start), n_threads=n_threads)
    reported = getattr(sim, model.admissible.quantity)
    return reported if several else reported[:, 0]


def displaced_both_ways(displacement: Tensor) -> Tensor:
    """Displacements (B, N) up and down, (B, 2, N)."""
    return torch.stack([displacement, -displacement], dim=1)


def basin_margin(p: ModelParameters, sc: Connectome, n_threads: int | None = None, scheme: str = "exponential") -> Tensor:
    """How many standard deviations the noise must push the state before it does not return.

    The observed state (S_E of FIC) is raised, and lowered, in every region by a multiple of the standard deviation that
    linear response predicts for it; the margin is the smallest multiple from which noise-free dynamics do not return to what
    the model wants admissible (FIC: 2.7 to 3.3 Hz) in 12 s.

    Parameters
    ----------
    p : ModelParameters
        B candidates of a model that declares what is admissible.
    sc : Connectome
    n_threads : int, optional
    scheme : {"exponential", "euler"}
        As in `mfm.Protocol`, with a step of 6 ms. Under ``euler`` the margin foretells the escapes of Euler simulations at
        6 ms, most of which are of the integration, not of the model.

    Returns
    -------
    tensor, (B,)
        In standard deviations of the observed state, from 0.25 to 128, to 3 %; 0 where the fixed point is not stable.

    Raises
    ------
    InputError
        If `p` and `sc` have different numbers of regions.

    Notes
    -----
    Tells the candidates whose rates stay in range for 14.4 minutes in each of three realisations from those that leave it
    (``scripts/validate_basin.py``; docs/benchmarks.md). Directions other than that of the common excursion may have smaller
    margins.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [2.0])
    >>> mfm.basin_margin(p, sc).item() > 10
    True
    """
    admissible = model_of(p).admissible
    band = (admissible.low, admissible.high) if admissible else (0.0, 0.0)
    with torch.no_grad():
        lin = linear_response(p, sc, Protocol(_FRAME_S, n_frames=1))
    std = lin.activity_std.double().nan_to_num(nan=1.0)

    def returns(multiple) -> Tensor:
        ends = rates_after_displacement(p, sc, displaced_both_ways(multiple * std), n_threads, scheme)
        return within_range(ends, band).all(dim=1)

    low = torch.full((p.n_candidates, 1), _SMALLEST, dtype=torch.float64)
    high = torch.full_like(low, _LARGEST)
    nowhere = ~returns(low) | ~lin.stable
    for _ in range(_BISECTIONS):
        middle = (low * high).sqrt()
        returned = returns(middle)[:, None]
        low = torch.where(returned, middle, low)
        high = torch.where(returned, high, middle)
    return low[:, 0].masked_fill(nowhere, 0.0)
