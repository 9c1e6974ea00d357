"""`simulate`: parameters, connectome and timing in, BOLD and firing rates out, on the backend that suits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.checks import as_float_tensor
from mfm.errors import BackendError, InputError
from mfm.models.constants import RATE_RANGE_HZ
from mfm.models.fic import FICParameters
from mfm.models.fic_feedback import feedback_weights, resting_state
from mfm.models.registry import check_same_regions
from mfm.protocol import Protocol

BACKENDS = ("auto", "reference", "numba", "triton")


class SimStatus(IntEnum):
    """What became of a simulation.

    Attributes
    ----------
    OK, DIVERGED, OUT_OF_RANGE
        0: finite and within range; 1: a state was not finite, results are NaN; 2: a mean r_E left [2.7, 3.3] Hz.

    Examples
    --------
    >>> import mfm
    >>> mfm.SimStatus(2).name
    'OUT_OF_RANGE'
    """

    OK = 0
    #: A state left the finite numbers; BOLD and averages of that simulation are NaN.
    DIVERGED = 1
    #: A region's time-averaged r_E left [2.7, 3.3] Hz (reported only where w_IE was solved for 3 Hz).
    OUT_OF_RANGE = 2


@dataclass(frozen=True, eq=False)
class Simulation:
    """Result of `simulate` for B candidates, R realisations, T frames, N regions.

    Attributes
    ----------
    bold : tensor, (B, R, T, N)
        BOLD signal change, percent.
    rate_E : tensor, (B, R, N)
        Excitatory firing rate averaged over time after the warm-up, Hz.
    S_E, S_I : tensor, (B, R, N)
        Gating variables averaged likewise, dimensionless.
    status : tensor of int, (B, R)
        `SimStatus`.
    protocol : Protocol
    seed : int or tuple of B ints
        As given to `simulate`.
    backend : {"reference", "numba", "triton"}
        The one that was used.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.001), [1.0])
    >>> sim = mfm.simulate(p, sc, mfm.Protocol(tr_s=0.72, n_frames=2, burn_in_s=0, warm_up_s=0), backend="reference")
    >>> sim
    Simulation(1 candidates x 1 realisations, 2 frames, 2 regions, reference: 1 OK)
    >>> sim.within_range.tolist(), sim.ei_ratio.shape
    ([True], torch.Size([1, 2]))
    """

    bold: Tensor
    rate_E: Tensor
    S_E: Tensor
    S_I: Tensor
    status: Tensor
    protocol: Protocol
    seed: int | tuple[int, ...]
    backend: str

    @property
    def within_range(self) -> Tensor:
        """(B,) bool: every region of every realisation stays within [2.7, 3.3] Hz."""
        return within_range(self.rate_E).all(dim=-1)

    @property
    def ei_ratio(self) -> Tensor:
        """(B, N) excitation/inhibition ratio, the mean over realisations of S_E / S_I."""
        return ei_ratio(self.S_E, self.S_I)

    def __repr__(self) -> str:
        B, R, T, N = self.bold.shape
        counts = ", ".join(f"{int((self.status == s).sum())} {s.name}" for s in SimStatus if (self.status == s).any())
        return f"Simulation({B} candidates x {R} realisations, {T} frames, {N} regions, {self.backend}: {counts})"


def simulate(
    p: FICParameters,
    sc: Connectome,
    protocol: Protocol,
    n_repeats: int = 1,
    seed: int | Sequence[int] = 0,
    backend: str = "auto",
    initial=None,
    n_threads: int | None = None,
) -> Simulation:
    """Simulate the FIC model and its BOLD signal.

    Parameters
    ----------
    p : FICParameters
        B candidates over N regions. Inhibitory feedback is solved for 3 Hz unless ``p.w_IE`` is given.
    sc : Connectome
        N regions.
    protocol : Protocol
    n_repeats : int, default 1
        Noise realisations R of every candidate.
    seed : int or sequence of B ints, default 0
        One seed gives every candidate the same noise (common random numbers: differences between candidates are
        parameters, not luck); a sequence gives each its own. Realisation r of a seed is the same noise on every backend, in
        every batch and for every R.
    backend : {"auto", "reference", "numba", "triton"}
        ``auto`` takes ``reference`` where gradients are asked for, else ``numba``. ``numba`` and ``triton`` compute in
        float32. ``triton`` needs a CUDA GPU (compute capability 8.0 or later) and at most 512 regions; its results are on the
        device of the parameters: parameters on the GPU keep BOLD there, for FC and FCD.
    initial : (S_E, S_I), optional
        Initial state, each broadcastable to (B, R, N); default the fixed point at 3 Hz.
    n_threads : int, optional
        Threads of the numba backend; default the cores this process may use.

    Returns
    -------
    Simulation

    Raises
    ------
    InputError
        If shapes disagree or an argument is out of range.
    BackendError
        If the backend is unknown or cannot do what is asked.

    Notes
    -----
    ``dS = f(S) dt + sigma dW`` by Euler-Maruyama (Zhang et al. 2024); no clipping of S. A simulation that leaves the finite
    numbers has status DIVERGED and NaN results; it never stops the others.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [1.0])
    >>> mfm.simulate(p, sc, mfm.Protocol(tr_s=0.72, n_frames=10, burn_in_s=7.2, warm_up_s=3)).bold.shape
    torch.Size([1, 1, 10, 2])
    """
    return simulate_many([SimulationRequest(p, sc, protocol, n_repeats, seed, initial)], backend, n_threads)[0]


@dataclass(frozen=True, eq=False)
class SimulationRequest:
    """What `simulate` is asked for, for one subject among several (`simulate_many`).

    Attributes
    ----------
    p, sc, protocol, n_repeats, seed, initial
        As in `simulate`.
    """

    p: FICParameters
    sc: Connectome
    protocol: Protocol
    n_repeats: int = 1
    seed: int | Sequence[int] = 0
    initial: tuple | None = None


def simulate_many(
    requests: Sequence[SimulationRequest], backend: str = "auto", n_threads: int | None = None
) -> list[Simulation]:
    """Simulate several subjects, each with a connectome, candidates, timing and length of its own.

    On a GPU they share launches, which a few hundred candidates of one subject do not fill; their BOLD then shares memory. The
    other backends take one after the other.

    Parameters
    ----------
    requests : sequence of SimulationRequest
    backend, n_threads
        As in `simulate`.

    Returns
    -------
    list of Simulation
        In the order of the requests.

    Raises
    ------
    InputError, BackendError
        As `simulate` does for any of them, before work starts.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [1.0])
    >>> requests = [
    ...     mfm.SimulationRequest(p, mfm.Connectome([[0.0, w], [w, 0.0]]), mfm.Protocol(0.72, frames, burn_in_s=0, warm_up_s=3))
    ...     for w, frames in ((0.02, 4), (0.03, 6))
    ... ]
    >>> [tuple(simulation.bold.shape) for simulation in mfm.simulate_many(requests)]
    [(1, 1, 4, 2), (1, 1, 6, 2)]
    """
    names = [_resolve(backend, request.p) for request in requests]
    works = [_work(request) for request in requests]
    on_gpu = [work for work, name in zip(works, names, strict=True) if name == "triton"]
    of_gpu = iter(_simulate_triton(on_gpu))
    found = []
    for request, work, name in zip(requests, works, names, strict=True):
        if name == "triton":
            trajectory = next(of_gpu)
        elif name == "numba":
            trajectory = _simulate_numba(work, n_threads or available_cores())
        else:
            trajectory = _simulate_reference(work)
        status = _status(trajectory, check_range=work.p.w_IE is None)
        bold, rate_E, S_E, S_I = _nan_where_diverged(trajectory, status)
        seed = int(work.keys[0]) if np.ndim(request.seed) == 0 else tuple(int(key) for key in work.keys)
        found.append(Simulation(bold, rate_E, S_E, S_I, status, work.protocol, seed, name))
    return found


class Work(NamedTuple):
    """A checked request, as backends take it: w_IE (B, N), the state at the start (B, R, N) and a noise key per candidate."""

    p: FICParameters
    w_IE: Tensor
    sc: Connectome
    protocol: Protocol
    initial: tuple[Tensor, Tensor]
    keys: np.ndarray
    n_repeats: int

    @property
    def n_lanes(self) -> int:
        """Simulations: candidates x realisations."""
        return self.p.n_candidates * self.n_repeats

    @property
    def bold_size(self) -> int:
        """Numbers in the BOLD of one simulation."""
        return self.protocol.n_frames * self.p.n_regions


def _work(request: SimulationRequest) -> Work:
    p, sc, n_repeats = request.p, request.sc, request.n_repeats
    check_same_regions(p, sc)
    if not isinstance(n_repeats, Integral) or isinstance(n_repeats, bool) or n_repeats < 1:
        raise InputError("n_repeats must be a positive whole number.", found=repr(n_repeats))
    keys = _noise_keys(request.seed, p.n_candidates)
    initial = _initial_state(p, request.initial, int(n_repeats))
    return Work(p, feedback_weights(p, sc), sc, request.protocol, initial, keys, int(n_repeats))


def compute_device(p: FICParameters, backend: str = "auto") -> torch.device:
    """Where `simulate` computes for `p`: parameters put there keep BOLD, and then FC and FCD, on a GPU that is used."""
    from mfm.backends.gpu import gpu_device

    return gpu_device(p.w_EE.device) if _resolve(backend, p) == "triton" else p.w_EE.device


def _resolve(backend: str, p: FICParameters) -> str:
    """The backend that ``auto`` stands for; a BackendError where the named one cannot do what is asked."""
    from mfm.backends.gpu import MAX_REGIONS, why_not

    if backend not in BACKENDS:
        raise BackendError(f"Unknown backend {backend!r}.", expected=" | ".join(BACKENDS), found=repr(backend))
    if backend == "auto":
        # Not triton: its kernel was never run on a GPU (README, GPU).
        return "reference" if p.requires_grad else "numba"
    if backend == "triton" and (obstacle := why_not(p.n_regions)):
        raise BackendError(
            "The triton backend cannot be used here.",
            expected=f"a CUDA GPU, torch built for it with triton, and at most {MAX_REGIONS} regions",
            found=obstacle,
            fix='backend="numba" computes the same on the processor',
        )
    if backend in ("numba", "triton") and p.requires_grad:
        raise BackendError(f"The {backend} backend has no gradients.", fix='backend="reference", or detach the parameters')
    return backend


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ei_ratio(S_E: Tensor, S_I: Tensor) -> Tensor:
    """Excitation/inhibition ratio: time-averaged S_E / time-averaged S_I, mean over realisations (Zhang et al. 2024).

    Parameters
    ----------
    S_E, S_I : tensor, (..., R, N)
        Averages over time of R realisations.

    Returns
    -------
    tensor, (..., N)
        Dimensionless.

    Examples
    --------
    >>> import mfm, torch
    >>> mfm.ei_ratio(torch.tensor([[0.2, 0.3], [0.4, 0.3]]), torch.tensor([[0.1, 0.1], [0.1, 0.1]])).tolist()
    [3.0, 3.0]
    """
    return (S_E / S_I).mean(dim=-2)


def within_range(rate_E: Tensor, band_hz: tuple[float, float] = RATE_RANGE_HZ) -> Tensor:
    """Whether every region's time-averaged rate lies in a band (Zhang et al. 2024).

    Parameters
    ----------
    rate_E : tensor, (..., N)
        Time-averaged r_E, Hz.
    band_hz : (low, high), default (2.7, 3.3)
        Hz, both ends within.

    Returns
    -------
    tensor of bool, (...)
        False where a rate is NaN.

    Examples
    --------
    >>> import mfm, torch
    >>> mfm.within_range(torch.tensor([[3.0, 2.9], [3.0, 8.0], [3.0, float("nan")]])).tolist()
    [True, False, False]
    """
    return ((rate_E >= band_hz[0]) & (rate_E <= band_hz[1])).all(dim=-1)


def _simulate_reference(work: Work) -> tuple[Tensor, ...]:
    from mfm.backends.reference import simulate_reference

    return tuple(simulate_reference(*work))


def _simulate_numba(work: Work, n_threads: int) -> tuple[Tensor, ...]:
    from mfm.backends.compiled import simulate_lanes

    p, B, R, N = work.p, work.p.n_candidates, work.n_repeats, work.p.n_regions

    def lanes(value: Tensor) -> np.ndarray:
        return np.repeat(value.detach().cpu().double().numpy(), R, axis=0)

    parameters = {name: lanes(getattr(p, name)) for name in ("w_EE", "w_EI", "sigma", "G")}
    parameters["w_IE"] = lanes(work.w_IE)
    parameters["I_ext"] = lanes(torch.zeros_like(work.w_IE) if p.I_ext is None else p.I_ext)
    parameters["S_E"], parameters["S_I"] = (x.detach().cpu().double().numpy().reshape(B * R, N) for x in work.initial)
    realisations = np.tile(np.arange(R, dtype=np.uint32), B)
    keys = np.repeat(work.keys, R)
    bold, means = simulate_lanes(parameters, work.sc.weights, work.protocol, keys, realisations, n_threads)
    averages = torch.from_numpy(means).reshape(3, B, R, N)
    return torch.from_numpy(bold).reshape(B, R, -1, N), *averages


def _simulate_triton(works: list[Work]) -> Sequence[tuple[Tensor, ...]]:
    from mfm.backends.gpu import simulate_on_gpu

    return simulate_on_gpu(works)


def _noise_keys(seed: int | Sequence[int], n_candidates: int) -> np.ndarray:
    """One 64-bit noise key per candidate."""
    seeds = np.atleast_1d(np.asarray(seed, dtype=object))
    ok = all(isinstance(s, (int, np.integer)) and not isinstance(s, bool) and 0 <= s < 2**64 for s in seeds)
    if not ok or seeds.ndim != 1 or len(seeds) not in (1, n_candidates):
        raise InputError(
            "The seed cannot be used.",
            expected=f"an integer in [0, 2^64), or one for each of {n_candidates} candidates",
            found=repr(seed)[:80],
        )
    return np.broadcast_to(np.array([int(s) for s in seeds], dtype=np.uint64), (n_candidates,))


def _initial_state(p: FICParameters, initial, n_repeats: int) -> tuple[Tensor, Tensor]:
    shape = (p.n_candidates, n_repeats, p.n_regions)
    if initial is None:
        rest = resting_state(p.w_EI)
        return torch.full(shape, rest.S_E, dtype=p.w_EI.dtype, device=p.w_EI.device), rest.S_I[:, None].expand(shape)
    state = []
    if len(initial) != 2:
        raise InputError("The initial state is not a pair.", expected="(S_E, S_I)", found=f"{len(initial)} entries")
    for name, value in zip(("S_E", "S_I"), initial, strict=True):
        value = as_float_tensor(value, f"initial {name}").to(p.w_EI)
        if value.ndim == 2:
            value = value[:, None]
        try:
            state.append(value.expand(shape))
        except RuntimeError as error:
            raise InputError(
                f"The initial {name} has the wrong shape.",
                expected=f"(N,), (B, N) or (B, R, N) for B, R, N = {shape}",
                found=str(tuple(value.shape)),
            ) from error
    return state[0], state[1]


def _status(trajectory, check_range: bool) -> Tensor:
    bold, rate_E, S_E, S_I = (x.detach() for x in trajectory)
    # Extremes, which NaN carries through: a mask of the size of BOLD would be the largest array on a GPU.
    low, high = bold.flatten(-2).aminmax(dim=-1)
    finite = torch.isfinite(low) & torch.isfinite(high)
    for average in (rate_E, S_E, S_I):
        finite = finite & torch.isfinite(average).all(dim=-1)
    status = torch.full(finite.shape, SimStatus.OK, dtype=torch.int64, device=finite.device)
    if check_range:
        status[~within_range(rate_E)] = SimStatus.OUT_OF_RANGE
    status[~finite] = SimStatus.DIVERGED
    return status


def _nan_where_diverged(trajectory, status: Tensor) -> tuple[Tensor, ...]:
    """The trajectory with every number of a diverged simulation replaced by NaN: no half-broken result is used."""
    diverged = status == SimStatus.DIVERGED
    if not diverged.any():
        return tuple(trajectory)
    # In place where no gradient forbids it: BOLD is large.
    masks = (diverged.reshape(diverged.shape + (1,) * (x.ndim - 2)) for x in trajectory)
    nan = float("nan")
    return tuple(
        x.masked_fill(m, nan) if x.requires_grad else x.masked_fill_(m, nan) for x, m in zip(trajectory, masks, strict=True)
    )
