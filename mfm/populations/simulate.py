"""Spiking networks are simulated here, several realisations at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from mfm.errors import InputError
from mfm.populations import kernel
from mfm.populations.network import TIME_UNIT_S, Network

# Largest input times squared step for which the power series of a step is exact to rounding (1e-10).
_LARGEST_STEP = 1.0


@dataclass(frozen=True)
class MacroState:
    """A macro state is where populations start: v from Lorentzians of centre `V` and half width ``pi r``, every w and s alike.

    Parameters
    ----------
    r, V, w, s : float or sequence of float
        One number, or one per population.

    Examples
    --------
    >>> from mfm.populations import MacroState
    >>> MacroState(r=0.02).columns(2)
    array([[0.02, 0.  , 0.  , 0.  ],
           [0.02, 0.  , 0.  , 0.  ]])
    """

    r: float | Sequence[float] = 0.02
    V: float | Sequence[float] = 0.0
    w: float | Sequence[float] = 0.0
    s: float | Sequence[float] = 0.0

    def columns(self, K: int) -> np.ndarray:
        """Return r, V, w, s as columns, (K, 4)."""
        try:
            values = np.stack([np.broadcast_to(np.asarray(x, float), (K,)) for x in (self.r, self.V, self.w, self.s)], axis=-1)
        except ValueError as error:
            raise InputError(
                "The initial state does not fit the network.", expected=f"{K} populations", found=str(self)
            ) from error
        if not np.isfinite(values).all() or (values[:, [0, 3]] < 0).any():
            raise InputError("The initial state is not possible.", expected="finite, r and s not negative", found=str(self))
        return values


@dataclass(frozen=True, eq=False)
class Activity:
    """Activity is what networks did: R realisations, T bins, K populations; times in the neurons' unit (`TIME_UNIT_S`).

    Attributes
    ----------
    time : array, (T,)
        Ends of the bins.
    rate : array, (R, T, K)
        Spikes per neuron and unit of time within a bin.
    v, w, s : array, (R, T, K)
        At the end of a bin: median of v (for the Lorentzian of theory its centre V), mean of w, mean synaptic activation.
    order : array of complex, (R, T, K)
        Kuramoto order parameter: mean of ``exp(i theta)``, ``theta = 2 arctan v``.
    counts : array of int, (R, N)
        Spikes of each neuron.
    """

    time: np.ndarray
    rate: np.ndarray
    v: np.ndarray
    w: np.ndarray
    s: np.ndarray
    order: np.ndarray
    counts: np.ndarray

    @property
    def bin(self) -> float:
        """Return the length of a bin."""
        return float(self.time[0])

    @property
    def rate_hz(self) -> np.ndarray:
        """Return spikes per second and neuron, (R, T, K)."""
        return self.rate / TIME_UNIT_S


def simulate_network(
    network: Network,
    duration: float,
    seeds: Sequence[int] = (0,),
    *,
    dt: float = 0.02,
    bin: float = 1.0,
    initial: MacroState | None = None,
    n_threads: int = 1,
) -> Activity:
    """Simulate a network of Izhikevich neurons.

    Parameters
    ----------
    network : Network
    duration : float
        Units of time (1.54 ms), a multiple of `bin`.
    seeds : sequence of int
        One realisation each: of the connections, of which neuron has which current, and of first potentials. A realisation
        depends on its seed alone, not on its neighbours or on threads.
    dt : float
        Step. The result is exact in v for held inputs; inputs are held for a step.
    bin : float
        What is recorded is averaged over, or taken at the end of, bins of this length; a multiple of `dt`.
    initial : MacroState, optional
    n_threads : int
        Realisations simulated at once.

    Returns
    -------
    Activity

    Raises
    ------
    InputError
        If times do not fit, or the step is too long for the largest input.

    Examples
    --------
    >>> from mfm.populations import Network, simulate_network
    >>> activity = simulate_network(Network.excitatory(200, 0.5), 20.0, seeds=[1, 2])
    >>> activity.rate.shape
    (2, 20, 1)
    """
    K = len(network.types)
    steps, bins = whole_ratio(bin, dt, "bin", "dt"), whole_ratio(duration, bin, "duration", "bin")
    seeds = [int(seed) for seed in seeds]
    if not seeds or min(seeds) < 0:
        raise InputError("Each realisation needs a seed.", expected="non-negative integers", found=str(seeds))
    initial = initial or MacroState()
    start = initial.columns(K)
    _check_step(dt, network)
    starts = np.concatenate([[0], np.cumsum(network.sizes)])
    types = np.array([[t.alpha, t.a, t.b, t.w_jump, t.tau_s, t.s_jump, t.e_r, 1 / t.v_peak] for t in network.types])
    R = len(seeds)
    rate, v, w, s = (np.zeros((R, bins, K)) for _ in range(4))
    order = np.zeros((R, bins, K), complex)
    counts = np.zeros((R, starts[-1]), np.int64)
    cancel = np.zeros(1, np.uint8)

    def realise(n: int) -> None:
        if cancel[0]:
            return
        first, targets = network.draw(seeds[n])
        kernel.run_network(
            *first_state(network, initial, seeds[n]), start[:, 3].copy(), starts, types, network.conductance, network.weight,
            first, targets, network.adaptation == "population", dt, steps,
            rate[n], v[n], w[n], s[n], order[n], counts[n], cancel,
        )  # fmt: skip

    with ThreadPoolExecutor(max_workers=n_threads) as pool:
        try:
            for _ in pool.map(realise, range(R)):
                pass
        except BaseException:
            cancel[0] = 1
            raise
    return Activity(bin * np.arange(1, bins + 1), rate, v, w, s, order, counts)


def whole_ratio(long: float, short: float, name: str, unit: str) -> int:
    """Count how often `short` fits into `long`."""
    ratio = long / short if short > 0 else 0.0
    if not math.isfinite(ratio) or round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-6 * ratio:
        raise InputError(
            f"{name} must be a multiple of {unit}.", expected="positive times", found=f"{name} = {long}, {unit} = {short}"
        )
    return round(ratio)


def first_state(network: Network, initial: MacroState, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw v, w, eta (N,) and S (N, K): within a population, quantiles of potential and current, in an order drawn anew."""
    rng = np.random.default_rng([seed, 1])
    start = initial.columns(len(network.types))
    v, eta = [], []
    for kind, n, (r, V, _, _) in zip(network.types, network.sizes, start, strict=True):
        v.append(V + math.pi * r * np.tan(np.pi * ((rng.permutation(n) + 0.5) / n - 0.5)))
        eta.append(rng.permutation(kind.currents(n)))
    w = np.repeat(start[:, 2], network.sizes)
    S = np.repeat(network.kappa * start[:, 3], network.sizes, axis=0)
    return np.concatenate(v), w, np.concatenate(eta), S


def _check_step(dt: float, network: Network) -> None:
    largest = max(np.abs(kind.currents(n)).max() for kind, n in zip(network.types, network.sizes, strict=True))
    if dt * dt * (largest + 1.0) > _LARGEST_STEP:
        raise InputError(
            "The step is too long for the neuron with the largest current.",
            expected=f"dt below {math.sqrt(_LARGEST_STEP / (largest + 1.0)):.3g}",
            found=f"dt = {dt:g}, largest current {largest:.3g}",
            cause="the tail of the Lorentzian grows with delta and the number of neurons",
        )
