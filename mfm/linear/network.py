"""The linearised equations of any model: several states and coupling channels, whatever is observed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.linear.local import LocalBlock, connectome_tensor
from mfm.models.model import Model


@dataclass(frozen=True, eq=False)
class NetworkSystem:
    """The linearised equations of B candidates over N regions, with S states and K coupling channels.

        dx_s = (sum_t local[s, t] x_t + sum_k into[s, k] C x_carried(k)) dt + sigma dW_s

    Attributes
    ----------
    local : tensor, (B, N, S, S)
        Per second.
    into : tensor, (B, N, S, K)
    sigma : tensor, (B, N)
    C : tensor, (N, N)
    activity : tensor, (B, N)
        The observed state at the fixed point.
    carried : tuple of int
        The state that each channel carries.
    observed : int
    """

    local: Tensor
    into: Tensor
    sigma: Tensor
    C: Tensor
    activity: Tensor
    carried: tuple[int, ...]
    observed: int

    @classmethod
    def from_block(cls, model: Model, block: LocalBlock, sigma: Tensor, sc: Connectome, x: tuple[Tensor, ...]) -> NetworkSystem:
        """The system of a block linearised at the states `x`."""
        names = model.state_names
        observed = names.index(model.observed)
        return cls(
            local=torch.stack([torch.stack(row, dim=-1) for row in block.local], dim=-2),
            into=torch.stack([torch.stack(row, dim=-1) for row in block.into], dim=-2),
            sigma=sigma,
            C=connectome_tensor(sc, sigma),
            activity=x[observed],
            carried=tuple(names.index(name) for name in model.carried),
            observed=observed,
        )

    def __getitem__(self, index) -> NetworkSystem:
        of_candidates = ("local", "into", "sigma", "activity")
        return replace(self, **{name: getattr(self, name)[index] for name in of_candidates})

    def jacobian(self) -> Tensor:
        """(B, S N, S N) for the states one after the other, per second."""
        S = self.local.shape[-1]
        rows = []
        for s in range(S):
            row = [torch.diag_embed(self.local[..., s, t]) for t in range(S)]
            for k, t in enumerate(self.carried):
                row[t] = row[t] + self.into[..., s, k, None] * self.C
            rows.append(torch.cat(row, dim=2))
        return torch.cat(rows, dim=1)

    def responses(self, w: Tensor) -> list[Tensor]:
        """The observed state at angular frequencies `w` (W,), rad/s, to unit noise in each state: S tensors (B, W, N, N)."""
        _, N, S, K = self.into.shape
        identity = torch.eye(S, dtype=self.local.dtype, device=self.local.device)
        alone = torch.linalg.inv(1j * w[:, None, None, None] * identity - self.local[:, None])
        coupled = alone @ self.into[:, None].to(alone.dtype)
        # The carried states of all channels at once: y = coupled C y + noise.
        blocks = [
            torch.cat([coupled[..., m, k, None] * self.C for k in range(K)], dim=-1) for m in self.carried
        ]  # K rows of (B, W, N, K N)
        matrix = torch.eye(K * N, dtype=alone.dtype, device=alone.device) - torch.cat(blocks, dim=-2)
        found = []
        for s in range(S):
            noise = torch.cat([torch.diag_embed(alone[..., m, s]) for m in self.carried], dim=-2)
            y = torch.linalg.solve(matrix, noise).reshape(*noise.shape[:2], K, N, N)
            seen = torch.diag_embed(alone[..., self.observed, s])
            for k in range(K):
                seen = seen + coupled[..., self.observed, k, None] * (self.C.to(y.dtype) @ y[:, :, k])
            found.append(seen)
        return found

    def neural_spectrum(self, w: Tensor) -> Tensor:
        """Cross-spectral density of the observed state at angular frequencies `w` (W,), rad/s: complex, (B, W, N, N)."""
        power = (self.sigma**2)[:, None, None, :]
        return torch.stack([(X * power) @ X.mH for X in self.responses(w)]).sum(dim=0)

    def resolve(self, noise: Tensor, w: Tensor) -> Tensor:
        """The observed state at angular frequencies `w` (L,), rad/s, for white noise of unit density `noise` (N, L, R).

        The result, (B, N, L, R), has the cross-spectra of `neural_spectrum`.
        """
        factor, _ = torch.linalg.cholesky_ex(self.neural_spectrum(w))
        return (factor @ noise.permute(1, 0, 2).to(factor.dtype)).transpose(1, 2)
