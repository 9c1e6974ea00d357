"""The FIC model (Deco et al. 2014; Demirtas et al. 2019; Zhang et al. 2024): two populations per region, held at 3 Hz."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfm.compute.elementary import phi, phi_slope
from mfm.models.constants import NEURAL, RATE_RANGE_HZ
from mfm.models.model import Admissible, Derived, Model, Quantity, State
from mfm.models.parameters import ModelParameters, noise, optional, regional, whole_brain

_c = NEURAL
A_E, B_E, D_E, LEAK_E = _c.a_E, _c.b_E, _c.d_E, 1 / _c.tau_E
A_I, B_I, D_I, LEAK_I = _c.a_I, _c.b_I, _c.d_I, 1 / _c.tau_I
I_I0 = _c.W_I * _c.I_0
GAMMA = _c.gamma


@dataclass(frozen=True, eq=False, repr=False)
class FICParameters(ModelParameters):
    """B parameter sets of the FIC model over N regions.

    Parameters
    ----------
    w_EE, w_EI, sigma : array or tensor, (B, N) or (N,)
        Recurrent excitation, excitatory-to-inhibitory weight (both dimensionless) and noise amplitude (nA-free units of
        the gating variable per square root of a second). ``sigma = 0`` is allowed: noise-free dynamics.
    G : array or tensor, (B,) or scalar
        Global coupling.
    w_IE : array or tensor, (B, N) or (N,), optional
        Inhibitory-to-excitatory weight. By default it is not a free parameter: `feedback_weights` solves it so that every
        region rests at 3 Hz. Give it only to switch feedback inhibition control off.
    I_ext : array or tensor, (B, N) or (N,), optional
        External current into the excitatory population, nA (Deco et al. 2014); default none.

    Raises
    ------
    InputError
        If shapes disagree, a value is not finite, or ``sigma`` or ``G`` is negative.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> p = mfm.FICParameters(np.full((2, 68), 3.0), np.full((2, 68), 2.5), np.full((2, 68), 0.005), [1.0, 2.0])
    >>> p.n_candidates, p.n_regions
    (2, 68)
    """

    w_EE: Tensor = regional("recurrent excitation", bounds=(1.0, 10.0), may_be_negative=True)
    w_EI: Tensor = regional(
        "excitatory-to-inhibitory weight", bounds=(0.0, 5.0), signs=(("myelin", -1), ("gradient", +1)), may_be_negative=True
    )
    sigma: Tensor = noise("noise amplitude", bounds=(0.0005, 0.01), unit="gating variable per square root of a second")
    G: Tensor = whole_brain("global coupling", bounds=(0.0, 3.0))
    w_IE: Tensor | None = optional("inhibitory-to-excitatory feedback weight that holds the region at 3 Hz", solved=True)
    I_ext: Tensor | None = optional("external current into the excitatory population", unit="nA")


def pack(p: FICParameters):
    """Recurrent, to inhibition, feedback, background current; and the gain of the coupling."""
    I_ext = torch.zeros_like(p.w_EE) if p.I_ext is None else p.I_ext
    return constants_of(p.w_EE, p.w_EI, p.w_IE, I_ext), (_c.J * p.G,)


def constants_of(w_EE, w_EI, w_IE, I_ext):
    """What `currents` takes of the weights and the external current (nA)."""
    return _c.J * w_EE, _c.J * w_EI, w_IE, _c.W_E * _c.I_0 + I_ext


def excitatory_rate(I_E):
    """r_E in Hz for an input current in nA."""
    return phi(I_E * A_E - B_E, D_E)


def inhibitory_rate(I_I):
    """r_I in Hz for an input current in nA."""
    return phi(I_I * A_I - B_I, D_I)


def currents(x, coupling, constants):
    """I_E and I_I in nA (Zhang et al. 2024)."""
    S_E, S_I = x
    (from_others,) = coupling
    from_E, to_I, w_IE, I_E0 = constants
    I_E = from_E * S_E + from_others - w_IE * S_I + I_E0
    I_I = to_I * S_E - S_I + I_I0
    return I_E, I_I


def gating(x, I_E, I_I):
    """dS_E and dS_I per second, r_E in Hz, and the argument of phi from which r_I and `decay` follow."""
    S_E, S_I = x
    r_E = excitatory_rate(I_E)
    x_I = I_I * A_I - B_I
    r_I = phi(x_I, D_I)
    dS_E = (1.0 - S_E) * GAMMA * r_E - S_E * LEAK_E
    dS_I = r_I - S_I * LEAK_I
    return dS_E, dS_I, r_E, x_I


def drift(x, coupling, constants):
    """dS_E and dS_I per second, and r_E in Hz."""
    I_E, I_I = currents(x, coupling, constants)
    return gating(x, I_E, I_I)


def decay(x_I):
    """Relaxation of S_I per second, ``1 / tau_I + dr_I/dI_I``."""
    return phi_slope(x_I, D_I) * A_I + LEAK_I


def complete(p: FICParameters, sc) -> FICParameters:
    """With the inhibitory feedback w_IE that holds every region at 3 Hz, unless it is given."""
    from mfm.models.fic_feedback import feedback_weights

    return FICParameters(p.w_EE, p.w_EI, p.sigma, p.G, feedback_weights(p, sc), p.I_ext)


def rest(p: FICParameters, sc) -> tuple[Tensor, Tensor]:
    """S_E and S_I at 3 Hz."""
    from mfm.models.fic_feedback import resting_state

    found = resting_state(p.w_EI)
    return torch.full_like(p.w_EI, found.S_E), found.S_I


def subject_ranges(mean_fc: float) -> dict[str, tuple[float, float]]:
    """The range of w_EI for a subject's fit, from the subject's mean FC (Zeng et al. 2026)."""
    high = float(np.clip(11 * mean_fc, 3.2, 5.0))
    return {"w_EI": (float(np.clip(2 * high - 6, 0.0, 3.5)), high)}


def excitation_over_inhibition(S_E: Tensor, S_I: Tensor) -> Tensor:
    """Excitation/inhibition ratio: time-averaged S_E / time-averaged S_I."""
    return S_E / S_I


EI_RATIO = Quantity("ei_ratio", "", "E/I ratio, S_E / S_I of the time averages, mean over realisations", column="EI_ratio")

FIC = Model(
    name="fic",
    title="feedback inhibition control, two populations per region",
    source="Deco et al. 2014, J Neurosci 34:7886; Zhang et al. 2024, PNAS",
    parameters=FICParameters,
    states=(
        State("S_E", "excitatory gating variable", reach=(0.0, 0.8)),
        State("S_I", "inhibitory gating variable", fast=True),
    ),
    carried=("S_E",),
    observed="S_E",
    reported=(Quantity("rate_E", "Hz", "excitatory firing rate", column="r_E"),),
    derived=(Derived(EI_RATIO, ("S_E", "S_I"), excitation_over_inhibition, "its level is not determined by FC and FCD"),),
    pack=pack,
    drift=drift,
    decay=decay,
    complete=complete,
    rest=rest,
    admissible=Admissible("rate_E", *RATE_RANGE_HZ, source="Zhang et al. 2024"),
    subject_ranges=subject_ranges,
)
