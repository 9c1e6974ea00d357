"""The networks correct linear response, for any number of regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mfm.errors import ConfigError
from mfm.models.constants import NEURAL, RATE_RANGE_HZ
from surrogate.fcd_grid import grid_points
from surrogate.features import GLOBAL_FEATURES, TOKEN_FEATURES, Features, fisher_z

NETWORKS = ("tokens", "pooled")

# Beyond this many standard deviations of the training data an input says no more.
_INPUT_LIMIT = 5.0

# Largest correction of Fisher z, and of r_E in Hz where it stays within range.
_LARGEST_Z = 0.5
_LARGEST_SHIFT_HZ = 0.4

# Corrections of Fisher z are this many times the heads' output: they are small, and should grow slowly.
_CORRECTION = 0.1

_HIGHEST_FCD = 0.9995


@dataclass(frozen=True)
class NetworkConfig:
    """A network config holds size and kind of a network.

    Parameters
    ----------
    name : {"tokens", "pooled"}
        ``tokens``: attention over regions, biased by connectome and FC. ``pooled``: a perceptron on summaries of the whole
        network, the baseline to beat.
    width, layers, heads : int
        Of the attention; `pooled` takes the width.
    rank : int
        Of the bilinear correction of FC.
    components : int
        Of the mixture that is the FCD distribution.

    Raises
    ------
    ConfigError
        For an unknown name, or heads that do not divide the width.
    """

    name: str = "tokens"
    width: int = 32
    layers: int = 2
    heads: int = 4
    rank: int = 6
    components: int = 6

    def __post_init__(self):
        if self.name not in NETWORKS:
            raise ConfigError("network.name has an unknown value.", expected=" | ".join(NETWORKS), found=repr(self.name))
        if min(self.width, self.layers, self.heads, self.rank, self.components) < 1 or self.width % self.heads:
            raise ConfigError("The network's sizes do not fit.", expected="all at least 1, heads a divisor of width")


class Output(NamedTuple):
    """An output is what a network predicts of B candidates.

    Attributes
    ----------
    fc : tensor, (B, N, N)
    fcd_cdf : tensor, (B, P)
        FCD distribution on `fcd_grid`.
    rate_E : tensor, (B, N)
        Hz, where it stays in range.
    logit : tensor, (M, B)
        For each band, of staying within it in one realisation.
    """

    fc: Tensor
    fcd_cdf: Tensor
    rate_E: Tensor
    logit: Tensor


class Standardised(nn.Module):
    """This layer standardises inputs by the training data; its constants are part of the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, n: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("std", torch.ones(n))

    def fit(self, x: Tensor) -> None:
        """Take mean and standard deviation from rows `x` (..., n)."""
        flat = x.reshape(-1, x.shape[-1])
        self.mean.copy_(flat.mean(dim=0))
        self.std.copy_(flat.std(dim=0).clamp(min=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        return ((x - self.mean) / self.std).clamp(-_INPUT_LIMIT, _INPUT_LIMIT)


class FCDHead(nn.Module):
    """This head predicts a mixture of logistic distributions of Fisher z: monotone, smooth, from -1 to 1 by construction."""

    z: Tensor

    def __init__(self, width: int, components: int):
        super().__init__()
        points = torch.as_tensor(grid_points().copy(), dtype=torch.float32).clamp(max=_HIGHEST_FCD)
        self.register_buffer("z", torch.atanh(points.clamp(min=-_HIGHEST_FCD)), persistent=False)
        self.out = nn.Linear(width, 3 * components)
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            centres, widths = torch.linspace(-0.2, 1.8, components), torch.full((components,), -1.5)
            self.out.bias.copy_(torch.cat([torch.zeros(components), centres, widths]))

    def forward(self, x: Tensor) -> Tensor:
        weight, centre, width = self.out(x).chunk(3, dim=1)
        share = torch.softmax(weight, dim=1)
        scale = nn.functional.softplus(width) + 0.01
        cdf = (share[:, None] * torch.sigmoid((self.z[:, None] - centre[:, None]) / scale[:, None])).sum(dim=2)
        return torch.cat([cdf[:, :-1], torch.ones_like(cdf[:, :1])], dim=1)


class WithinRangeHead(nn.Module):
    """This head predicts the logit of every mean rate staying within a band, which is told to it."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width + 2, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, x: Tensor, bands_hz: Tensor) -> Tensor:
        target = NEURAL.target_rate_hz
        room = torch.stack([target - bands_hz[..., 0], bands_hz[..., 1] - target], dim=-1).clamp(min=1e-3).log() + 1.2
        return self.body(torch.cat([x.expand(len(room), *x.shape), room], dim=2))[..., 0]


class Attention(nn.Module):
    """This layer is attention over regions, biased by connectome and FC, then a perceptron; both added to what comes in."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(heads, 2))
        self.body = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, sc: Tensor, z: Tensor) -> Tensor:
        B, N, D = x.shape
        q, k, v = self.qkv(self.before(x)).reshape(B, N, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.bias[:, 0, None, None] * sc + self.bias[:, 1, None, None] * z[:, None]
        seen = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.join(seen.transpose(1, 2).reshape(B, N, D))
        return x + self.body(self.between(x))


class TokenNetwork(nn.Module):
    """This network attends over regions, and corrects linear response by what is zero before training.

    Parameters
    ----------
    config : NetworkConfig

    Examples
    --------
    >>> import torch
    >>> from surrogate.features import GLOBAL_FEATURES, TOKEN_FEATURES, Features
    >>> from surrogate.networks import NetworkConfig, TokenNetwork
    >>> fc = torch.eye(5).expand(2, 5, 5)
    >>> found = Features(torch.zeros(2, 5, len(TOKEN_FEATURES)), torch.zeros(2, len(GLOBAL_FEATURES)), fc, torch.zeros(5, 5))
    >>> torch.allclose(TokenNetwork(NetworkConfig())(found).fc, fc, atol=1e-2)
    True
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        width = config.width
        self.tokens, self.summary = Standardised(len(TOKEN_FEATURES)), Standardised(len(GLOBAL_FEATURES))
        self.embed_tokens = nn.Linear(len(TOKEN_FEATURES), width)
        self.embed_summary = nn.Sequential(nn.Linear(len(GLOBAL_FEATURES), 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.layers = nn.ModuleList([Attention(width, config.heads) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(width)
        self.pool = nn.Sequential(nn.Linear(3 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, 2 * width), nn.GELU())
        self.own, self.gate = nn.Linear(width, config.rank), nn.Linear(width, 3)
        self.mix = nn.Parameter(torch.zeros(config.rank))
        self.shift = nn.Linear(width, 1)
        for last in (self.gate, self.shift):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.fcd = FCDHead(2 * width, config.components)
        self.within = WithinRangeHead(2 * width)

    def forward(self, found: Features, bands_hz: Tensor | None = None) -> Output:
        z = fisher_z(found.fc)
        summary = self.embed_summary(self.summary(found.summary))
        x = self.embed_tokens(self.tokens(found.tokens)) + summary[:, None]
        for layer in self.layers:
            x = layer(x, found.sc, z)
        x = self.norm(x)
        pooled = self.pool(torch.cat([x.mean(dim=1), x.amax(dim=1), summary], dim=1))
        gate = self.gate(x)
        pair = gate[:, :, None] + gate[:, None]
        own = self.own(x)
        bilinear = (own * self.mix) @ own.mT
        correction = pair[..., 0] * z + pair[..., 1] * z * z + pair[..., 2] + bilinear
        fc = _corrected(found.fc, z, correction)
        rate_E = NEURAL.target_rate_hz + _LARGEST_SHIFT_HZ * torch.tanh(self.shift(x)[..., 0])
        return Output(fc, self.fcd(pooled), rate_E, self.within(pooled, _bands(bands_hz, pooled)))


class PooledNetwork(nn.Module):
    """This network is the baseline: a perceptron on summaries of the whole network, with the same heads."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        width = 2 * config.width
        self.tokens, self.summary = Standardised(len(TOKEN_FEATURES)), Standardised(len(GLOBAL_FEATURES))
        inputs = 3 * len(TOKEN_FEATURES) + len(GLOBAL_FEATURES)
        self.body = nn.Sequential(
            nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
        )
        self.gate, self.shift = nn.Linear(width, 3), nn.Linear(width, 1)
        for last in (self.gate, self.shift):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.fcd = FCDHead(width, config.components)
        self.within = WithinRangeHead(width)

    def forward(self, found: Features, bands_hz: Tensor | None = None) -> Output:
        tokens = self.tokens(found.tokens)
        pooled = torch.cat([tokens.mean(dim=1), tokens.std(dim=1), tokens.amax(dim=1), self.summary(found.summary)], dim=1)
        pooled = self.body(pooled)
        z = fisher_z(found.fc)
        gate = self.gate(pooled)[:, None, None]
        fc = _corrected(found.fc, z, gate[..., 0] * z + gate[..., 1] * z * z + gate[..., 2])
        shift = _LARGEST_SHIFT_HZ * torch.tanh(self.shift(pooled))
        rate_E = NEURAL.target_rate_hz + shift.expand(found.tokens.shape[:2])
        return Output(fc, self.fcd(pooled), rate_E, self.within(pooled, _bands(bands_hz, pooled)))


def build_network(config: NetworkConfig) -> TokenNetwork | PooledNetwork:
    """Build the network that a configuration describes, untrained."""
    return TokenNetwork(config) if config.name == "tokens" else PooledNetwork(config)


def _corrected(fc: Tensor, z: Tensor, correction: Tensor) -> Tensor:
    """FC of linear response with its Fisher z corrected; ones stay on the diagonal."""
    corrected = torch.tanh(z + _LARGEST_Z * torch.tanh(correction * (_CORRECTION / _LARGEST_Z)))
    return torch.where(torch.eye(fc.shape[-1], dtype=torch.bool, device=fc.device), torch.ones_like(fc), corrected)


def _bands(bands_hz: Tensor | None, like: Tensor) -> Tensor:
    """Bands (M, B, 2); the usual one by default."""
    bands = torch.tensor(RATE_RANGE_HZ).expand(1, len(like), 2) if bands_hz is None else bands_hz
    return bands.to(like)
