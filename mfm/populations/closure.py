"""A closure is what a neural mass leaves out, learned: it depends on the state and on how densely neurons are connected."""

from __future__ import annotations

from collections.abc import Iterable
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

#: Everything that a closure may hold, as ``target: feature``.
ALL_TERMS = tuple(f"{target}: {feature}" for target in TARGETS for feature in FEATURES)

#: What a formula is chosen from: no memory, and not r, which the synapses follow so closely that the two cannot be told apart.
FORMULA_TERMS = tuple(f"{target}: {feature}" for target in TARGETS[:2] for feature in FEATURES if feature not in ("r", "m"))


@dataclass(frozen=True, eq=False)
class Closure:
    """A closure corrects the equations of `NeuralMass` for one population.

        delta -> delta + 0.975 delta tanh(c_delta . f),   I -> I + 0.05 tanh(c_I . f)
        m' = a exp(c_m7) (tanh(c_m1..6 . f) - m),   m(0) = 0
        f = (1, r / 0.05, V / 0.3, w / 0.1, kappa s / 0.15, (g kappa s / delta)^2 (1 - p) / (p N), m)

    Neurons with more current fire more and adapt more, so that the spread of ``eta - w`` is narrower than that of eta, and
    shifted: the first line. How much lags behind the state, because w remembers (1 / a): the second. Random connections
    give neurons unequal inputs, of relative variance ``(1 - p) / (p N)``: the sixth feature.

    Parameters
    ----------
    coefficients : array, (3, 7)
        Rows are `TARGETS`, columns `FEATURES`; "m: m" is the rate of the memory.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.populations import Closure
    >>> values = np.zeros((3, 7))
    >>> values[1, 5] = -0.03
    >>> Closure(values).terms
    ('I: degree noise',)
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
        """Make a closure that leaves the neural mass as it is."""
        return cls(np.zeros((len(TARGETS), len(FEATURES))))

    @property
    def terms(self) -> tuple[str, ...]:
        """Name what is in it, as ``target: feature``."""
        return tuple(term for term, c in zip(ALL_TERMS, self.coefficients.flat, strict=True) if c != 0)


def term_mask(terms: Iterable[str]) -> np.ndarray:
    """Mark where the coefficients of `terms` stand, (3, 7)."""
    terms = tuple(terms)
    unknown = [term for term in terms if term not in ALL_TERMS]
    if unknown or not terms:
        raise InputError(
            "A closure has no such terms.", expected="target: feature, as 'I: degree noise'", found=", ".join(unknown) or "none"
        )
    return np.array([term in terms for term in ALL_TERMS]).reshape(len(TARGETS), len(FEATURES))


def density_inputs(network: Network) -> tuple[float, float]:
    """Compute kappa and ``(g kappa / delta)^2 (1 - p) / (p N)`` of a network of one population.

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
