"""The parametric mean-field model (Deco et al. 2013; Kong et al. 2021): one excitatory population per region."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mfm.compute.elementary import phi
from mfm.models.model import Model, Quantity, State
from mfm.models.parameters import ModelParameters, noise, regional, whole_brain

# Deco et al. 2013: synaptic coupling (nA); gain (Hz per nA), threshold (Hz) and curvature (s) of phi; kinetics (per second).
J = 0.2609
A, B, D = 270.0, 108.0, 0.154
LEAK, GAMMA = 1 / 0.1, 0.641


@dataclass(frozen=True, eq=False, repr=False)
class PMFMParameters(ModelParameters):
    """B parameter sets of the parametric mean-field model over N regions.

    Parameters
    ----------
    w : array or tensor, (B, N) or (N,)
        Recurrent strength, dimensionless.
    I_0 : array or tensor, (B, N) or (N,)
        Input from subcortical sources, nA.
    sigma : array or tensor, (B, N) or (N,)
        Noise amplitude, in units of the gating variable per square root of a second.
    G : array or tensor, (B,) or scalar
        Global coupling.

    Raises
    ------
    InputError
        If shapes disagree, a value is not finite, or ``sigma`` or ``G`` is negative.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> mfm.PMFMParameters(np.full((2, 68), 0.5), np.full((2, 68), 0.3), np.full((2, 68), 0.005), [1.0, 2.0])
    PMFMParameters(2 candidates, 68 regions)
    """

    w: Tensor = regional("recurrent strength", bounds=(0.0, 1.0), may_be_negative=True)
    I_0: Tensor = regional("input from subcortical sources", bounds=(0.2, 0.5), unit="nA", may_be_negative=True)
    sigma: Tensor = noise("noise amplitude", bounds=(0.0005, 0.01), unit="gating variable per square root of a second")
    G: Tensor = whole_brain("global coupling", bounds=(1.0, 10.0))


def pack(p: PMFMParameters) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Recurrent strength and background input; and the gain of the coupling."""
    return (J * p.w, p.I_0), (J * p.G,)


def drift(x, coupling, constants):
    """dS per second, and the firing rate in Hz, at an input current in nA (Kong et al. 2021)."""
    (S,) = x
    (from_others,) = coupling
    recurrent, I_0 = constants
    current = recurrent * S + I_0 + from_others
    rate = phi(current * A - B, D)
    return (1.0 - S) * GAMMA * rate - S * LEAK, rate


PMFM = Model(
    name="pmfm",
    title="parametric mean-field model, one population per region",
    source="Deco et al. 2013, J Neurosci 33:11239; Kong et al. 2021, Nat Commun 12:6373",
    parameters=PMFMParameters,
    states=(State("S", "gating variable"),),
    carried=("S",),
    observed="S",
    reported=(Quantity("rate", "Hz", "firing rate"),),
    pack=pack,
    drift=drift,
)
