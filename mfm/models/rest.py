"""The state in which a model's noise-free dynamics come to rest, for models that do not give it in closed form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters

# Model time in which dynamics settle, and its step. A state that relaxes faster is damped, which moves no fixed point.
_SETTLING_S, _STEP_S = 30.0, 0.01
_CHECK_EVERY = 25
_AT_REST_PER_S = 1e-6
_NEWTON_STEPS, _EXACT = 12, 1e-14
# Newton's method polishes where the dynamics ended: it must not go elsewhere.
_SAME_STATE = 1e-2
# Numbers in the Jacobians that are solved together.
_CHUNK = 2**25


def rest_state(model: Model, p: ModelParameters, sc: Connectome) -> tuple[Tensor, ...]:
    """The fixed point of complete parameter sets, a tensor (B, N) for each state: the model's own, or where it settles."""
    return settle(model, p, sc) if model.rest is None else model.rest(p, sc)


def settle(model: Model, p: ModelParameters, sc: Connectome) -> tuple[Tensor, ...]:
    """Find the state that the noise-free dynamics reach from the start values of the model's states.

    Parameters
    ----------
    model : Model
    p : parameters of the model
        B complete candidates over N regions; noise plays no part.
    sc : Connectome

    Returns
    -------
    tuple of tensor, (B, N)
        One for each state, in the precision of `p` and differentiable in its parameters. Where the dynamics do not come to
        rest, the state in which they are after 30 s; where they leave the finite numbers, the start values.
    """
    dynamics = _Dynamics(model, p.to(torch.float64), sc)
    with torch.no_grad():
        quiet = _Dynamics(model, p.detach().to(torch.float64), sc)
        start = quiet.start()
        x = _follow(quiet, start)
        x = torch.where(torch.isfinite(x).all(dim=2, keepdim=True).all(dim=0), x, start)
        polished = x
        for _ in range(_NEWTON_STEPS):
            step = _solve(quiet, polished, quiet.drift(polished))
            polished = polished - step
            if not (step.abs() > _EXACT).any():
                break
        close = (polished - x).abs().amax(dim=(0, 2)) < _SAME_STATE * (1 + x.abs().amax(dim=(0, 2)))
        x = torch.where(close[:, None], polished, x)
    if p.requires_grad:
        # One more step, from a state that is a constant: its derivatives are those of the fixed point.
        step = _solve(quiet, x, dynamics.drift(x))
        x = x - torch.where(close[:, None], step, torch.zeros_like(step))
    return tuple(x.to(p.dtype))


class _Dynamics:
    """The noise-free dynamics of B candidates: states are tensors (n_states, B, N)."""

    def __init__(self, model: Model, p: ModelParameters, sc: Connectome):
        self.model, self.p = model, p
        self.constants, gains = model.pack(p)
        self.gains = [gain[:, None] for gain in gains]
        self.weights = torch.tensor(sc.weights, dtype=p.dtype, device=p.device)
        self.carried = [model.state_names.index(name) for name in model.carried]

    def start(self) -> Tensor:
        like = torch.ones((self.p.n_candidates, self.p.n_regions), dtype=self.p.dtype, device=self.p.device)
        return torch.stack([state.start * like for state in self.model.states])

    def coupling(self, x: Tensor) -> Tensor:
        """What each region receives by every channel, (n_channels, B, N)."""
        return torch.stack([gain * (x[k] @ self.weights.T) for gain, k in zip(self.gains, self.carried, strict=True)])

    def local(self, x: Tensor, coupling: Tensor) -> Tensor:
        """The drift per second at a given coupling: no region knows of another."""
        returned = self.model.drift(tuple(x), tuple(coupling), self.constants)
        return torch.stack(returned[: len(x)])

    def drift(self, x: Tensor) -> Tensor:
        return self.local(x, self.coupling(x))


def _derivatives(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """The derivative of value k of ``function(at)`` to number l of `at` in the same region, (K, L, B, N).

    Regions know nothing of each other in `function`: the gradient of a sum over them has the derivative of each.
    """
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        values = function(at)
        if not values.requires_grad:
            return at.new_zeros((len(values), *at.shape))
        return torch.stack([torch.autograd.grad(value.sum(), at, retain_graph=True)[0] for value in values])


def _follow(dynamics: _Dynamics, x: Tensor) -> Tensor:
    """Where the dynamics are when at rest, or after `_SETTLING_S`; steps are damped as far as a state relaxes by itself."""
    for step in range(round(_SETTLING_S / _STEP_S)):
        coupling = dynamics.coupling(x)
        if step % _CHECK_EVERY == 0:
            slopes = _derivatives(partial(dynamics.local, coupling=coupling), x).diagonal(dim1=0, dim2=1).movedim(-1, 0)
            share = 1 / (1 + _STEP_S * slopes.neg().clamp(min=0.0))
        drift = dynamics.local(x, coupling)
        if step % _CHECK_EVERY == 0 and not (drift.abs() > _AT_REST_PER_S).any():
            break
        x = x + share * _STEP_S * drift
    return x


def _solve(dynamics: _Dynamics, x: Tensor, drift: Tensor) -> Tensor:
    """The Newton step J^-1 drift, (n_states, B, N), with the Jacobian J of the whole network at `x`."""
    n, B, N = x.shape
    with torch.no_grad():
        coupling = dynamics.coupling(x)
        by_state = _derivatives(partial(dynamics.local, coupling=coupling), x)
        by_input = _derivatives(partial(dynamics.local, x), coupling)
    steps = []
    for rows in torch.arange(B).split(max(1, _CHUNK // (n * N) ** 2)):
        jacobian = torch.diag_embed(by_state[:, :, rows]).permute(2, 0, 3, 1, 4).contiguous()
        for channel, k in enumerate(dynamics.carried):
            strength = by_input[:, channel, rows] * dynamics.gains[channel][rows]
            jacobian[:, :, :, k] += (strength[..., None] * dynamics.weights).permute(1, 0, 2, 3)
        right = drift[:, rows].permute(1, 0, 2).reshape(len(rows), n * N)
        found = torch.linalg.solve_ex(jacobian.reshape(len(rows), n * N, n * N), right)[0]
        steps.append(found.reshape(len(rows), n, N).permute(1, 0, 2))
    return torch.cat(steps, dim=1)
