"""A network of Izhikevich neurons is made of populations and of how they are connected."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import numpy as np

from mfm.errors import InputError

#: Seconds per unit of time, ``C / (k |v_rest|)`` = 250 pF / (2.5 nS/mV x 65 mV), of the pyramidal cells below.
TIME_UNIT_S = 250.0 / (2.5 * 65.0) * 1e-3

#: What a connection is worth. ``size``: ``g / N``, the drive grows with the connection probability p.
#: ``degree``: ``g / (p N)``, the mean drive is the same at every p.
SCALINGS = ("size", "degree")


@dataclass(frozen=True)
class NeuronType:
    """A neuron type describes dimensionless Izhikevich neurons that differ in their input current only.

        v' = v (v - alpha) - w + eta + I + sum_j g_j S_j (e_j - v),   w' = a (b v - w)
        at v >= v_peak:  v = -v_peak,  w += w_jump,  own synapse s += s_jump;   s' = -s / tau_s

    ``eta`` is Lorentzian over the population: its quantiles, so that no draw of a heavy tail decides the result.

    Parameters
    ----------
    eta, delta : float
        Median and half width of the input currents.
    alpha, a, b, w_jump, v_peak : float
        ``v_peak = inf`` is the limit in which mean-field theory is exact.
    tau_s, s_jump, e_r : float
        Decay, increment and reversal potential of the synapses that these neurons make.

    Notes
    -----
    The defaults are hippocampal pyramidal cells with AMPA synapses (Nicola & Campbell 2013, J Comput Neurosci 35:87; Chen &
    Campbell 2022, J Comput Neurosci 50:445): v is (membrane potential / 65 mV) + 1, the unit of time `TIME_UNIT_S` (1.54
    ms).

    Examples
    --------
    >>> from mfm.populations import NeuronType
    >>> NeuronType(delta=0.1).currents(2)
    array([0.02, 0.22])
    """

    eta: float = 0.12
    delta: float = 0.02
    alpha: float = 0.6215
    a: float = 0.0077
    b: float = -0.0062
    w_jump: float = 0.0189
    tau_s: float = 2.6
    s_jump: float = 1.2308
    e_r: float = 1.0
    v_peak: float = 200.0

    def __post_init__(self):
        for item in fields(self):
            value = getattr(self, item.name)
            if math.isnan(value) or (math.isinf(value) and item.name != "v_peak"):
                raise InputError(f"The neuron's {item.name} is not a number.", found=repr(value))
        for name in ("delta", "a"):
            if getattr(self, name) < 0:
                raise InputError(f"The neuron's {name} must not be negative.", found=repr(getattr(self, name)))
        if not self.tau_s > 0:
            raise InputError("The synaptic decay time must be positive.", found=f"tau_s = {self.tau_s}")
        if not self.v_peak >= 10:
            raise InputError(
                "The peak must lie far out, where the quadratic term alone counts.",
                expected="v_peak >= 10, in units of the resting potential",
                found=f"v_peak = {self.v_peak:g}",
                cause="a neuron of another kind",
            )

    def currents(self, n: int) -> np.ndarray:
        """Return input currents (n,): the middles of n equal shares of the Lorentzian."""
        if self.delta == 0:
            return np.full(n, self.eta)
        share = (np.arange(n) + 0.5) / n - 0.5
        return self.eta + self.delta * np.tan(np.pi * share)


#: Interneurons: no adaptation, GABA-A synapses (8 ms, -75 mV) on the pyramidal cells' scales of time and voltage.
INTERNEURON = NeuronType(eta=0.08, a=0.0077, w_jump=0.0, tau_s=5.2, s_jump=1.2308, e_r=1.0 - 75.0 / 65.0)


@dataclass(frozen=True, eq=False)
class Network:
    """A network is populations of neurons with random connections.

    Every ordered pair is connected with probability ``probability[post, pre]``, independently, a neuron with itself
    included: at probability 1 all neurons of a population receive the same input, as theory has it.

    Parameters
    ----------
    types : tuple of NeuronType
        K of them.
    sizes : tuple of int
        Neurons per population.
    probability : float or array, (K, K)
        Connection probability, post by pre, in (0, 1].
    conductance : float or array, (K, K)
        g, post by pre, not negative; 0 leaves populations unconnected.
    scaling : {"size", "degree"}
        Weight of a connection: ``g / N_pre``, or ``g / (p N_pre)``.
    adaptation : {"neuron", "population"}
        ``population``: all neurons of a population share one w, driven by their mean potential and rate. This is what the
        neural mass describes exactly.

    Raises
    ------
    InputError
        If shapes do not fit, or a probability, size or conductance is out of range.

    Examples
    --------
    >>> from mfm.populations import Network
    >>> Network.excitatory(1000, 0.2).kappa
    array([[0.2]])
    """

    types: tuple[NeuronType, ...]
    sizes: tuple[int, ...]
    probability: np.ndarray
    conductance: np.ndarray
    scaling: str = "size"
    adaptation: str = "neuron"
    kappa: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        K = len(self.types)
        if K == 0 or len(self.sizes) != K:
            raise InputError(
                "Each population needs a type and a size.", expected="equally many", found=f"{K} types, {len(self.sizes)} sizes"
            )
        if any(int(n) != n or n < 1 for n in self.sizes):
            raise InputError("A population has at least one neuron.", expected="positive integers", found=str(self.sizes))
        object.__setattr__(self, "sizes", tuple(int(n) for n in self.sizes))
        for name in ("probability", "conductance"):
            value = np.asarray(getattr(self, name), float)
            if value.shape not in ((), (K, K)) or not np.isfinite(value).all():
                raise InputError(
                    f"The {name} does not fit the populations.",
                    expected=f"a number, or ({K}, {K}), post by pre",
                    found=f"shape {value.shape}",
                )
            object.__setattr__(self, name, np.broadcast_to(value, (K, K)).copy())
        if not ((self.probability > 0) & (self.probability <= 1)).all():
            raise InputError(
                "A connection probability is out of range.",
                expected="in (0, 1]",
                found=str(self.probability.tolist()),
                cause="a percentage was given" if (self.probability > 1).any() else "populations without connections",
                fix="probability=0.2 for 20 %" if (self.probability > 1).any() else "conductance=0 between them",
            )
        if (self.conductance < 0).any():
            raise InputError(
                "A conductance is negative.",
                found=str(self.conductance.tolist()),
                cause="inhibition was written as a negative weight",
                fix="inhibition is a low reversal potential: NeuronType(e_r=-0.15)",
            )
        for name, allowed in (("scaling", SCALINGS), ("adaptation", ("neuron", "population"))):
            if getattr(self, name) not in allowed:
                raise InputError(f"Unknown {name}.", expected=" | ".join(allowed), found=repr(getattr(self, name)))
        object.__setattr__(self, "kappa", self.probability if self.scaling == "size" else np.ones((K, K)))

    @classmethod
    def excitatory(cls, n: int, probability: float, **options) -> Network:
        """Make one population of pyramidal cells, ``g = 1.2308``: the network of Chen & Campbell (2022) at probability 1."""
        return cls((NeuronType(),), (n,), np.asarray(probability), np.asarray(1.2308), **options)

    @classmethod
    def excitatory_inhibitory(cls, n: int, probability: float, **options) -> Network:
        """Make a network of four fifths pyramidal cells, one fifth interneurons."""
        n_inhibitory = n // 5
        conductance = np.array([[1.2308, 0.6], [1.2308, 0.3]])
        return cls(
            (NeuronType(), INTERNEURON), (n - n_inhibitory, n_inhibitory), np.asarray(probability), conductance, **options
        )

    @property
    def degree_noise(self) -> np.ndarray:
        """Compute the relative variance over neurons of the number of connections, (K, K): ``(1 - p) / (p N_pre)``."""
        p = self.probability
        return (1 - p) / (p * np.array(self.sizes))

    @property
    def weight(self) -> np.ndarray:
        """Compute by how much a spike moves the synaptic input of a connected neuron, (K, K), before conductance."""
        n = np.array(self.sizes, float)
        per_spike = np.array([t.s_jump for t in self.types]) / n
        return per_spike / (self.probability if self.scaling == "degree" else np.ones_like(self.probability))

    def draw(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw the connections of one realisation: neuron j's targets are ``targets[first[j]:first[j + 1]]`` (int64, int32)."""
        rng = np.random.default_rng([seed, 0])
        N = sum(self.sizes)
        post = np.repeat(np.arange(len(self.sizes)), self.sizes)
        first = np.zeros(N + 1, np.int64)
        targets = []
        for j in range(N):
            # A row at a time: the memory for a whole matrix of random numbers is not needed.
            hit = np.flatnonzero(rng.random(N) < self.probability[post, post[j]])
            targets.append(hit.astype(np.int32))
            first[j + 1] = first[j] + len(hit)
        return first, np.concatenate(targets)
