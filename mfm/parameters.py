"""Parameter sets of the FIC model, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfm.errors import InputError


def as_float_tensor(value, name: str) -> Tensor:
    """A floating tensor: tensors keep their floating type, everything else becomes float64."""
    if isinstance(value, Tensor) and not value.is_complex():
        return value if value.is_floating_point() else value.double()
    try:
        array = np.asarray(value)
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
            raise TypeError(f"type {array.dtype}")
        return torch.as_tensor(array.astype(np.float64))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} is not an array of real numbers.", found=str(error)) from error


@dataclass(frozen=True, eq=False)
class FICParameters:
    """B parameter sets of the FIC model over N regions.

    Parameters
    ----------
    w_EE, w_EI, sigma : array or tensor, (B, N) or (N,)
        Recurrent excitation, excitatory-to-inhibitory weight (both dimensionless) and noise amplitude (nA-free units of
        the gating variable per square root of a second). ``sigma = 0`` is allowed: noise-free dynamics.
    G : array or tensor, (B,) or scalar
        Global coupling.
    w_IE : array or tensor, (B, N) or (N,), optional
        Inhibitory-to-excitatory weight. By default it is not a free parameter: `feedback_weights` solves it so that every
        region rests at 3 Hz. Give it only to switch feedback inhibition control off.
    I_ext : array or tensor, (B, N) or (N,), optional
        External current into the excitatory population, nA (Deco et al. 2014); default none.

    Raises
    ------
    InputError
        If shapes disagree, a value is not finite, or ``sigma`` or ``G`` is negative.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> p = mfm.FICParameters(np.full((2, 68), 3.0), np.full((2, 68), 2.5), np.full((2, 68), 0.005), [1.0, 2.0])
    >>> p.n_candidates, p.n_regions
    (2, 68)
    """

    w_EE: Tensor
    w_EI: Tensor
    sigma: Tensor
    G: Tensor
    w_IE: Tensor | None = None
    I_ext: Tensor | None = None

    def __post_init__(self):
        given = {name: getattr(self, name) for name in ("w_EE", "w_EI", "sigma", "w_IE", "I_ext", "G")}
        for name, value in given.items():
            if value is None and name not in ("w_IE", "I_ext"):
                raise InputError(f"{name} was not given.", expected="numbers")
        tensors = {name: as_float_tensor(value, name) for name, value in given.items() if value is not None}
        dtype = max((value.dtype for value in tensors.values()), key=lambda kind: torch.finfo(kind).bits)
        # Private copies: what was checked stays what it is.
        tensors = {name: value.to(dtype).clone() for name, value in tensors.items()}
        G = tensors.pop("G")
        if G.ndim > 1:
            raise InputError("G has the wrong shape.", expected="(B,) or one number", found=str(tuple(G.shape)))
        G = G.reshape(-1)
        regional = {}
        for name, value in tensors.items():
            if value.ndim == 1:
                value = value[None, :].expand(len(G), -1)
            if value.ndim != 2 or value.shape[0] != len(G):
                raise InputError(
                    f"{name} and G do not describe the same candidates.",
                    expected=f"{name} of shape (B, N) with B = {len(G)}, the length of G",
                    found=f"{name} of shape {tuple(value.shape)}",
                    fix="pass one row per candidate, or one row of N regions for all of them",
                )
            regional[name] = value
        n_regions = {name: value.shape[1] for name, value in regional.items()}
        if len(set(n_regions.values())) != 1:
            raise InputError("The regional parameters have different numbers of regions.", found=str(n_regions))
        for name, value in (*regional.items(), ("G", G)):
            if not torch.isfinite(value).all():
                raise InputError(f"{name} holds values that are not finite.", expected="finite numbers")
        for name, value in (("sigma", regional["sigma"]), ("G", G)):
            if (value < 0).any():
                raise InputError(f"{name} must not be negative.", found=f"minimum {value.min().item():g}")
        for name, value in (*regional.items(), ("G", G)):
            object.__setattr__(self, name, value)

    @property
    def n_candidates(self) -> int:
        return self.w_EE.shape[0]

    @property
    def n_regions(self) -> int:
        return self.w_EE.shape[1]

    @property
    def requires_grad(self) -> bool:
        tensors = (self.w_EE, self.w_EI, self.sigma, self.G, self.w_IE, self.I_ext)
        return any(tensor is not None and tensor.requires_grad for tensor in tensors)

    def __getitem__(self, index) -> FICParameters:
        """The candidates selected by `index` (an int keeps the batch dimension)."""
        if isinstance(index, int):
            index = [index]
        w_IE = None if self.w_IE is None else self.w_IE[index]
        I_ext = None if self.I_ext is None else self.I_ext[index]
        return FICParameters(self.w_EE[index], self.w_EI[index], self.sigma[index], self.G[index], w_IE, I_ext)

    def noise_free(self) -> FICParameters:
        """The same candidates without noise and under feedback inhibition: ``w_IE`` is solved."""
        return FICParameters(self.w_EE, self.w_EI, torch.zeros_like(self.sigma), self.G, I_ext=self.I_ext)

    def to(self, device) -> FICParameters:
        """The same candidates on another device, for example ``"cuda"``."""
        w_IE = None if self.w_IE is None else self.w_IE.to(device)
        I_ext = None if self.I_ext is None else self.I_ext.to(device)
        return FICParameters(self.w_EE.to(device), self.w_EI.to(device), self.sigma.to(device), self.G.to(device), w_IE, I_ext)

    def __repr__(self) -> str:
        return f"FICParameters({self.n_candidates} candidates, {self.n_regions} regions)"
