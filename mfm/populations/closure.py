"""What a neural mass leaves out, learned: a correction that depends on the state and on how densely neurons are connected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfm.errors import InputError
from mfm.populations.network import Network

#: What the correction depends on: constant, state, synaptic input ``kappa s``, variance of the input over neurons, own memory.
FEATURES = ("1", "r", "V", "w", "input", "degree noise", "m")

#: What it corrects: half width of the currents, current, and its own memory.
TARGETS = ("delta", "I", "m")

#: Sizes by which r, V, w and kappa s enter.
SCALES = (0.05, 0.3, 0.1, 0.15)

#: Largest correction of the half width, as a share of it (it stays positive), and of the current.
LARGEST_DELTA_SHARE = 0.975
LARGEST_CURRENT = 0.05

#: Nested families of corrections, by how many coefficients may differ from 0.
FAMILIES = ("width", "linear", "memory")


@dataclass(frozen=True, eq=False)
class Closure:
    """A correction of the equations of `NeuralMass` for one population.

        delta -> delta + 0.975 delta tanh(c_delta . f),   I -> I + 0.05 tanh(c_I . f)
        m' = lambda (tanh(c_m . f) - m),   lambda = a exp(c_lambda),   m(0) = 0
        f = (1, r / 0.05, V / 0.3, w / 0.1, kappa s / 0.15, (g kappa s / delta)^2 (1 - p) / (p N), m)

    Neurons with more current fire more and adapt more, so that the spread of ``eta - w`` is narrower than that of eta, and shifted: the
    first two lines. How much lags behind the state, because w remembers (1 / a): the third. Random connections give neurons
    unequal inputs, of relative variance ``(1 - p) / (p N)``: the sixth feature.

    Parameters
    ----------
    coefficients : array, (3, 7)
        Rows are `TARGETS`, columns `FEATURES`; the last of row m is ``c_lambda``.

    Examples
    --------
    >>> from mfm.populations import Closure
    >>> Closure.none().coefficients.shape
    (3, 7)
    """

    coefficients: np.ndarray

    def __post_init__(self):
        values = np.array(self.coefficients, float)
        if values.shape != (len(TARGETS), len(FEATURES)) or not np.isfinite(values).all():
            raise InputError(
                "The coefficients of a closure do not fit.",
                expected=f"finite, ({len(TARGETS)}, {len(FEATURES)})",
                found=f"shape {values.shape}",
            )
        object.__setattr__(self, "coefficients", values)

    @classmethod
    def none(cls) -> Closure:
        """The neural mass as it is."""
        return cls(np.zeros((len(TARGETS), len(FEATURES))))

    @property
    def terms(self) -> tuple[str, ...]:
        """What is in it, as ``target: feature``."""
        target, feature = np.nonzero(self.coefficients)
        return tuple(
            "m: rate" if (TARGETS[t], FEATURES[f]) == ("m", "m") else f"{TARGETS[t]}: {FEATURES[f]}"
            for t, f in zip(target, feature, strict=True)
        )


def family_mask(family: str) -> np.ndarray:
    """(3, 7) which coefficients a family may use.

    ``width``: constants, proportional to w, and degree noise. ``linear``: all but memory. ``memory``: all.
    """
    mask = np.zeros((len(TARGETS), len(FEATURES)), bool)
    if family == "width":
        mask[0, [0, 3, 5]] = True
        mask[1, [0, 3]] = True
    elif family == "linear":
        mask[:2, :6] = True
    elif family == "memory":
        mask[:] = True
    else:
        raise InputError("Unknown family of corrections.", expected=" | ".join(FAMILIES), found=repr(family))
    return mask


def density_inputs(network: Network) -> tuple[float, float]:
    """kappa and ``(g kappa / delta)^2 (1 - p) / (p N)`` of a network of one population.

    Raises
    ------
    InputError
        If the network has several populations.
    """
    if len(network.types) != 1:
        raise InputError(
            "A learned closure is of one population.",
            found=f"{len(network.types)} populations",
            fix="several populations are predicted without a closure",
        )
    kappa = float(network.kappa[0, 0])
    gain = float(network.conductance[0, 0]) * kappa / network.types[0].delta
    return kappa, gain * gain * float(network.degree_noise[0, 0])
