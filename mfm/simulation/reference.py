"""The `reference` backend: the equations step by step in torch, float64 by default, differentiable."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.errors import BackendError
from mfm.models.hemodynamics import HemodynamicState, bold_signal, hemodynamic_drift
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters
from mfm.protocol import Protocol
from mfm.simulation.work import Work

# Steps whose noise is drawn together; bounds the memory of the noise, not the result.
_NOISE_CHUNK_STEPS = 256


class Trajectory(NamedTuple):
    """BOLD (B, R, T, N) and the time averages after warm-up (K, B, R, N)."""

    bold: Tensor
    averages: Tensor


def obstacle(p: ModelParameters) -> BackendError | None:
    """There is none: the reference takes every model, and gradients."""
    return None


def run(works: Sequence[Work], n_threads: int) -> list[tuple[Tensor, Tensor]]:
    """Simulate one work after the other; torch decides about threads."""
    return [simulate_reference(*work) for work in works]


def simulate_reference(
    model: Model,
    p: ModelParameters,
    sc: Connectome,
    protocol: Protocol,
    initial: tuple[Tensor, ...],
    keys: np.ndarray,
    n_repeats: int,
) -> Trajectory:
    """Euler-Maruyama, of fast states by the protocol's scheme, from `initial` (each (B, R, N)); `p` is complete."""
    x = tuple(initial)
    stepper = _Stepper(model, p, sc, protocol)
    noise = _noise(keys, n_repeats, protocol, x) if (stepper.sigma > 0).any() else None

    observed = model.state_names.index(model.observed)
    substeps = protocol.steps_per_hemodynamic_step
    first_frame_step = protocol.warm_up_steps + protocol.burn_in_steps
    hemodynamics = HemodynamicState.at_rest(x[0])
    drive = torch.zeros_like(x[0])
    sums = [torch.zeros_like(x[0]) for _ in model.average_names]
    frames = []
    for step in range(protocol.n_steps):
        x, reported = stepper.step(x, None if noise is None else next(noise))
        if step < protocol.warm_up_steps:
            continue
        sums = [total + value for total, value in zip(sums, (*reported, *x), strict=True)]
        drive = drive + x[observed] / substeps
        elapsed = step + 1 - protocol.warm_up_steps
        if elapsed % substeps == 0 and model.hemodynamics:
            slopes = hemodynamic_drift(hemodynamics, drive)
            hemodynamics = HemodynamicState(
                *(value + protocol.hemodynamic_dt_s * slope for value, slope in zip(hemodynamics, slopes, strict=True))
            )
            drive = torch.zeros_like(drive)
        recorded = step + 1 - first_frame_step
        if recorded > 0 and recorded % protocol.steps_per_tr == 0:
            frames.append(bold_signal(hemodynamics) if model.hemodynamics else x[observed])
    return Trajectory(torch.stack(frames, dim=2), torch.stack(sums) / (protocol.n_steps - protocol.warm_up_steps))


class _Stepper:
    """One step of a model, of states (B, R, N)."""

    def __init__(self, model: Model, p: ModelParameters, sc: Connectome, protocol: Protocol):
        self.model, self.dt = model, protocol.dt_s
        constants, gains = model.pack(p)
        self.constants = tuple(value[:, None, :] for value in constants)
        self.gains = [gain[:, None, None] for gain in gains]
        self.sigma = getattr(p, model.noise)[:, None, :]
        self.weights = torch.tensor(sc.weights, dtype=p.dtype, device=p.device)
        self.carried = [model.state_names.index(name) for name in model.carried]
        self.fast = [k for k, state in enumerate(model.states) if state.fast and protocol.scheme == "exponential"]

    def step(self, x: tuple[Tensor, ...], z: Tensor | None) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The states after a step, and what the model reports of those before it; `z` holds normals (B, R, N, n_states)."""
        model, n = self.model, len(x)
        coupling = tuple(gain * (x[k] @ self.weights.T) for gain, k in zip(self.gains, self.carried, strict=True))
        returned = model.drift(x, coupling, self.constants)
        moved = [self.dt * slope for slope in returned[:n]]
        if z is not None:
            moved = [step + math.sqrt(self.dt) * self.sigma * z[..., k] for k, step in enumerate(moved)]
        if self.fast and model.decay is not None:
            rates = model.decay(returned[-1])
            for k, rate in zip(self.fast, rates if isinstance(rates, tuple) else (rates,), strict=True):
                # A share (1 - e^-y) / y of Euler's step, as `mfm.protocol.Protocol` explains.
                y = rate * self.dt
                moved[k] = moved[k] / (1 + y * (0.5 + y / 12))
        after = tuple(value + step for value, step in zip(x, moved, strict=True))
        return after, tuple(returned[n : n + len(model.reported)])


def _noise(keys: np.ndarray, n_repeats: int, protocol: Protocol, x: tuple[Tensor, ...]) -> Iterator[Tensor]:
    """Standard normals (B, R, N, n_states) of one step after the other, the same that the compiled backend draws."""
    from mfm.simulation.cpu import standard_normals

    B, R, N = x[0].shape
    lane_keys = np.repeat(keys, R)
    realisations = np.tile(np.arange(n_repeats, dtype=np.uint32), B)
    for first in range(0, protocol.n_steps, _NOISE_CHUNK_STEPS):
        n_steps = min(_NOISE_CHUNK_STEPS, protocol.n_steps - first)
        chunk = torch.from_numpy(standard_normals(lane_keys, realisations, first, n_steps, N, len(x)))
        yield from chunk.to(x[0].device, x[0].dtype).reshape(n_steps, B, R, N, len(x))
