"""What a simulation is asked for, checked, as backends take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

import numpy as np
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.checks import as_float_tensor
from mfm.errors import InputError
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters
from mfm.models.registry import check_same_regions, model_of
from mfm.models.rest import rest_state
from mfm.protocol import Protocol


@dataclass(frozen=True, eq=False)
class SimulationRequest:
    """What `simulate` is asked for, for one subject among several (`simulate_many`).

    Attributes
    ----------
    p, sc, protocol, n_repeats, seed, initial
        As in `simulate`.
    """

    p: ModelParameters
    sc: Connectome
    protocol: Protocol
    n_repeats: int = 1
    seed: int | Sequence[int] = 0
    initial: tuple | None = None


class Work(NamedTuple):
    """A checked request, as backends take it: p complete, each state at the start (B, R, N), a noise key per candidate."""

    model: Model
    p: ModelParameters
    sc: Connectome
    protocol: Protocol
    initial: tuple[Tensor, ...]
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


def checked_work(request: SimulationRequest) -> Work:
    """Check a request, solve what it leaves open, and find where it starts."""
    p, sc, n_repeats = request.p, request.sc, request.n_repeats
    model = model_of(p)
    check_same_regions(p, sc)
    if not isinstance(n_repeats, Integral) or isinstance(n_repeats, bool) or n_repeats < 1:
        raise InputError("n_repeats must be a positive whole number.", found=repr(n_repeats))
    keys = _noise_keys(request.seed, p.n_candidates)
    given = None if request.initial is None else _given_state(model, p, request.initial, int(n_repeats))
    p = model.completed(p, sc)
    if given is None:
        given = tuple(x[:, None].expand(-1, int(n_repeats), -1) for x in rest_state(model, p, sc))
    return Work(model, p, sc, request.protocol, given, keys, int(n_repeats))


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


def _given_state(model: Model, p: ModelParameters, initial, n_repeats: int) -> tuple[Tensor, ...]:
    shape, names = (p.n_candidates, n_repeats, p.n_regions), model.state_names
    if len(initial) != len(names):
        raise InputError(
            f"The initial state does not have {len(names)} {'entry' if len(names) == 1 else 'entries'}.",
            expected=f"({', '.join(names)}{',' * (len(names) == 1)})",
            found=f"{len(initial)} entries",
        )
    state = []
    for name, value in zip(names, initial, strict=True):
        value = as_float_tensor(value, f"initial {name}").to(p.device, p.dtype)
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
    return tuple(state)
