"""`simulate`: parameters, connectome and timing in, BOLD and firing rates out, on the backend that suits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.compute.machine import available_cores
from mfm.models.parameters import ModelParameters
from mfm.models.registry import model_of
from mfm.protocol import Protocol
from mfm.simulation.averages import Averages
from mfm.simulation.backends import choose_backend, run_backend
from mfm.simulation.result import Simulation, status_of, without_diverged
from mfm.simulation.work import SimulationRequest, checked_work


def simulate(
    p: ModelParameters,
    sc: Connectome,
    protocol: Protocol,
    n_repeats: int = 1,
    seed: int | Sequence[int] = 0,
    backend: str = "auto",
    initial=None,
    n_threads: int | None = None,
) -> Simulation:
    """Simulate a model and its BOLD signal.

    Parameters
    ----------
    p : parameters of a model
        B candidates over N regions: of FIC `FICParameters`, whose inhibitory feedback is solved for 3 Hz unless ``p.w_IE`` is
        given.
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
    initial : tuple, optional
        Initial state, an entry for each state of the model (S_E and S_I of FIC), each broadcastable to (B, R, N); default the
        fixed point: of FIC that at 3 Hz, of others where the noise-free dynamics settle.
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
    ``dx = f(x) dt + sigma dW`` by Euler-Maruyama (Zhang et al. 2024); no clipping of states. A simulation that leaves the
    finite numbers has status DIVERGED and NaN results; it never stops the others.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [1.0])
    >>> mfm.simulate(p, sc, mfm.Protocol(tr_s=0.72, n_frames=10, burn_in_s=7.2, warm_up_s=3)).bold.shape
    torch.Size([1, 1, 10, 2])
    """
    return simulate_many([SimulationRequest(p, sc, protocol, n_repeats, seed, initial)], backend, n_threads)[0]


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
    for request in requests:
        model_of(request.p)
    names = [choose_backend(backend, request.p) for request in requests]
    works = [checked_work(request) for request in requests]
    trajectories: dict[int, tuple[Tensor, Tensor]] = {}
    for name in set(names):
        of_backend = [k for k, each in enumerate(names) if each == name]
        found = run_backend(name, [works[k] for k in of_backend], n_threads or available_cores())
        trajectories |= dict(zip(of_backend, found, strict=True))
    simulations = []
    for k, (request, work) in enumerate(zip(requests, works, strict=True)):
        bold, averages = trajectories[k]
        status = status_of(bold, Averages(work.model, averages), check_range=request.p.is_solved)
        bold, averages = without_diverged((bold, averages), status)
        seed = int(work.keys[0]) if np.ndim(request.seed) == 0 else tuple(int(key) for key in work.keys)
        simulations.append(Simulation(bold, Averages(work.model, averages), status, work.protocol, seed, names[k]))
    return simulations
