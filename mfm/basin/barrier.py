"""How far the 3 Hz state may be pushed before it runs away: a one-dimensional picture without any integration.

Along a direction of displacement S_I follows S_E at once (it is fast), so that the drift of S_E is known in closed form.
Projected on the slowest mode it is a force on one coordinate: where it turns outward is the top of a barrier, and the
work against it over the noise is the exponent of Kramers' escape rate. `mfm.basin_margin` finds the same by integrating; this
is a feature for learning, fifty times cheaper, which knows nothing of what happens off the line.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

import mfm
from mfm import FICParameters, LinearResponse
from mfm.compute.elementary import phi_slope
from mfm.models.constants import NEURAL
from mfm.models.fic import excitatory_rate, inhibitory_rate
from mfm.models.fic_feedback import feedback_weights, resting_state

# Displacements, in standard deviations.
_MULTIPLES = tuple(2.0 ** (k / 2) for k in range(0, 13))
_LOCAL_MULTIPLES = tuple(2.0**k for k in range(0, 8))

_NEWTON_STEPS = 3
_HIGHEST_S_E = 0.9


class Escape(NamedTuple):
    """Barriers around the 3 Hz state, of B candidates.

    Attributes
    ----------
    margin : tensor, (B, 4)
        Standard deviations of S_E to the top of the barrier: along the slowest mode up and down, and along the
        common excursion of all regions up and down; 64 where there is none.
    barrier : tensor, (B, 4)
        Kramers' exponent of those barriers: half the square of the margin where the force is linear.
    local_margin : tensor, (B, N)
        The same of each region by itself, all others at rest, upwards, up to 128.
    """

    margin: Tensor
    barrier: Tensor
    local_margin: Tensor


def escape_barriers(p: FICParameters, sc: mfm.Connectome, lin: LinearResponse, std_S_E: Tensor) -> Escape:
    """Barriers along the slowest mode, along the common excursion, and of single regions.

    Parameters
    ----------
    p : FICParameters
        Stable candidates.
    sc : Connectome
    lin : LinearResponse
        Of these.
    std_S_E : tensor, (B, N)
        ``lin.activity_std``, computed once.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from mfm.basin.barrier import escape_barriers
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [2.0])
    >>> lin = mfm.linear_response(p, sc, mfm.Protocol(0.72, 100))
    >>> escape_barriers(p, sc, lin, lin.activity_std).margin.shape
    torch.Size([1, 4])
    """
    local = _Drift(p, sc)
    modes = lin.slow_modes
    rate, projection, std = modes.rate[:, 0].float(), modes.projection.float(), std_S_E.float()
    # A mode's sign is arbitrary; up is where most of S_E rises.
    slow = (modes.direction * modes.std[:, None]).float()
    slow = slow * torch.where(slow.sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    directions = torch.stack([slow, -slow, std, -std], dim=1)  # (B, 4, N)
    multiples = torch.tensor(_MULTIPLES)
    displacement = directions[:, :, None] * multiples[:, None]  # (B, 4, K, N)
    drift = local.at(displacement, displacement @ local.C.T)
    unit = (directions * projection[:, None]).sum(dim=2)  # amplitude of the mode in one multiple
    amplitude = unit[:, :, None] * multiples
    force = -(drift * projection[:, None, None]).sum(dim=3) / (rate[:, None, None] * amplitude)  # 1 where linear
    margin, barrier = _top(force, multiples)
    scale = (unit.abs() / modes.std[:, None].float()).clamp(min=1e-3)
    return Escape(margin, barrier * scale**2, _local_margin(local, std))


class _Drift:
    """dS_E/dt at displaced S_E, with S_I at rest for that S_E."""

    def __init__(self, p: FICParameters, sc: mfm.Connectome):
        rest = resting_state(p.w_EI)
        self.rest, self.I_I = rest.S_E, rest.I_I.float()
        self.C = torch.as_tensor(sc.weights.copy(), dtype=torch.float32)
        strength = self.C.sum(dim=1)
        self.w_EE, self.w_EI, self.w_IE = (x.float() for x in (p.w_EE, p.w_EI, feedback_weights(p, sc)))
        self.coupling = p.G.float()[:, None] * NEURAL.J
        self.at_rest = self.coupling * strength * self.rest

    def at(self, displacement: Tensor, through: Tensor | None) -> Tensor:
        """At displacements (B, ..., N), and what they add to the input over the connectome (`through`; None adds nothing)."""
        c = NEURAL
        S_E = (self.rest + displacement).clamp(0.0, _HIGHEST_S_E)
        between = (slice(None),) + (None,) * (displacement.ndim - 2)
        w_EE, w_EI, w_IE = self.w_EE[between], self.w_EI[between], self.w_IE[between]
        drive = c.W_I * c.I_0 + c.J * w_EI * S_E
        I_I = self.I_I[between]
        for _ in range(_NEWTON_STEPS):
            slope = c.a_I * phi_slope(c.a_I * I_I - c.b_I, c.d_I)
            I_I = I_I + (drive - c.tau_I * inhibitory_rate(I_I) - I_I) / (1 + c.tau_I * slope)
        I_E = c.W_E * c.I_0 + c.J * w_EE * S_E + self.at_rest[between] - w_IE * (drive - I_I)
        if through is not None:
            I_E = I_E + self.coupling[between] * through
        return -S_E / c.tau_E + (1 - S_E) * c.gamma * excitatory_rate(I_E)


def _local_margin(local: _Drift, std: Tensor) -> Tensor:
    multiples = torch.tensor(_LOCAL_MULTIPLES)
    displacement = std[:, None] * multiples[:, None]
    drift = local.at(displacement, None)
    linear = -drift[:, :1] / (std[:, None] * multiples[0])
    force = -drift / (linear.clamp(min=1e-6) * displacement)
    return _top(force.transpose(1, 2), multiples)[0]


def _top(force: Tensor, multiples: Tensor) -> tuple[Tensor, Tensor]:
    """Where a restoring force (..., K), relative to the linear one, falls to 0; and the work done to there."""
    outward = force <= 0
    first = torch.where(outward.any(dim=-1), outward.int().argmax(dim=-1), len(multiples) - 1)
    before = (first - 1).clamp(min=0)
    high, low = force.gather(-1, first[..., None])[..., 0], force.gather(-1, before[..., None])[..., 0]
    share = torch.where(outward.any(dim=-1), low / (low - high).clamp(min=1e-6), 1.0).clamp(0, 1)
    margin = multiples[before] * (multiples[first] / multiples[before]) ** share
    margin = torch.where(outward[..., 0], multiples[0] * 0.5, margin)
    work = torch.zeros_like(margin)
    edges = torch.cat([torch.zeros(1), multiples])
    for k in range(len(multiples)):
        reached = (margin.clamp(max=float(edges[k + 1])) - edges[k]).clamp(min=0)
        work = work + force[..., k].clamp(min=0) * (edges[k] + reached / 2) * reached
    return margin, work
