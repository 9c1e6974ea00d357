"""The equations of one region linearised: all that linear response needs to know of a model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters


@dataclass(frozen=True, eq=False)
class LocalBlock:
    """Every region's equations linearised at a state, in B candidates over N regions.

        dx_s = sum_t local[s][t] x_t + sum_k into[s][k] (C x_k)

    Attributes
    ----------
    drift : tuple of tensor, (B, N)
        Time derivative of every state, per second: zero at a fixed point.
    reported : tuple of tensor, (B, N)
        What the model reports there.
    local : tuple of tuple of tensor, (B, N)
        S rows of S entries, per second.
    into : tuple of tuple of tensor, (B, N)
        S rows of K entries, one for each coupling channel, its gain included.
    """

    drift: tuple[Tensor, ...]
    reported: tuple[Tensor, ...]
    local: tuple[tuple[Tensor, ...], ...]
    into: tuple[tuple[Tensor, ...], ...]

    @classmethod
    def of(cls, model: Model, p: ModelParameters, sc: Connectome, x: tuple[Tensor, ...]) -> LocalBlock:
        """Linearise complete parameter sets `p` at the states `x`, by automatic differentiation of the model's drift."""
        constants, gains = model.pack(p)
        C = connectome_tensor(sc, x[0])
        S, n_told = len(model.states), len(model.states) + len(model.reported)
        gains = tuple(gain[:, None] for gain in gains)
        carried = (x[model.state_names.index(name)] for name in model.carried)
        coupling = tuple(gain * (state @ C.T) for gain, state in zip(gains, carried, strict=True))

        follows = torch.is_grad_enabled() and any(x.requires_grad for x in (*x, *coupling, *constants))
        # Also where the caller is in inference mode, whose tensors cannot be differentiated: sums are new ones.
        with torch.inference_mode(False), torch.enable_grad():
            constants = tuple(constant + 0.0 for constant in constants)
            # Nodes of their own, so that a derivative with respect to one leaves the others as they are; their tangents stay.
            arguments = [_node(x) for x in (*x, *coupling)]
            values = model.drift(tuple(arguments[:S]), tuple(arguments[S:]), constants)[:n_told]
            slopes = [_slopes(value, arguments, follows) for value in values[:S]]
        values = values if follows else tuple(value.detach() for value in values)
        return cls(
            drift=values[:S],
            reported=values[S:],
            local=tuple(tuple(slopes[s][:S]) for s in range(S)),
            into=tuple(tuple(gain * slopes[s][S + k] for k, gain in enumerate(gains)) for s in range(S)),
        )


def _node(x: Tensor) -> Tensor:
    x = x + 0.0
    return x if x.requires_grad else x.requires_grad_()


def _slopes(value: Tensor, arguments: list[Tensor], follows: bool) -> list[Tensor]:
    """Derivatives of `value` with respect to every argument of the same region; with a graph of their own if `follows`."""
    found = torch.autograd.grad(value.sum(), arguments, retain_graph=True, create_graph=follows, allow_unused=True)
    return [torch.zeros_like(value) if slope is None else slope for slope in found]


def connectome_tensor(sc: Connectome, like: Tensor) -> Tensor:
    """The connectome's weights (N, N) in the type and on the device of `like`."""
    return torch.as_tensor(sc.weights.copy(), dtype=like.dtype, device=like.device)
