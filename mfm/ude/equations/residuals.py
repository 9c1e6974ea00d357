"""Residuals are what is learned: corrections with parameters of their own for each ensemble member."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from mfm.brain.maps import RegionalMaps
from mfm.errors import InputError
from mfm.ude.equations.library import Library


class Residual(nn.Module):
    """A residual is a correction ``g`` that is added to one named quantity of a mechanism.

    Parameters
    ----------
    target : str
        A state (g adds to its derivative), a current or a parameter of the mechanism.
    inputs : sequence of str
        States of the unit and covariates of the trajectory that g depends on.
    maps : RegionalMaps, optional
        One value per unit of each map, further inputs; z-scored over the units.
    origin, scale : sequence of float, optional
        Inputs enter as ``(input - origin) / scale``, one number each; default 0 and 1. Maps are not affected.
    bound : float, optional
        Largest absolute value that g may take.
    centre : {"units"}, optional
        Remove the mean of g over the units, so that a residual cannot stand in for a parameter that all units share.
    members : int
        Ensemble members.
    """

    origin: Tensor
    scale: Tensor
    maps: Tensor | None
    map_names: tuple[str, ...]

    def __init__(
        self,
        target: str,
        inputs: Sequence[str],
        *,
        maps: RegionalMaps | None = None,
        origin: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        bound: float | None = None,
        centre: str | None = None,
        members: int = 1,
    ):
        super().__init__()
        if isinstance(inputs, str):
            raise InputError("The inputs of a residual are a list of names.", found=repr(inputs), fix=f'inputs=("{inputs}",)')
        if bound is not None and not (math.isfinite(bound) and bound > 0):
            raise InputError("The bound of a residual must be positive.", found=repr(bound))
        if centre not in (None, "units"):
            raise InputError("Unknown way of centring a residual.", expected="units, or None", found=repr(centre))
        if members < 1:
            raise InputError("An ensemble has at least one member.", found=repr(members))
        self.target, self.inputs, self.bound, self.centre, self.members = target, tuple(inputs), bound, centre, members
        self.map_names = () if maps is None else maps.names
        self._standard = origin is None and scale is None
        self.register_buffer("origin", _numbers(origin, self.inputs, "origin", 0.0))
        self.register_buffer("scale", _numbers(scale, self.inputs, "scale", 1.0))
        if (self.scale <= 0).any():
            raise InputError("The scales of a residual's inputs must be positive.", found=str(self.scale.tolist()))
        self.register_buffer("maps", None if maps is None else _z_scores(maps))

    @property
    def variables(self) -> tuple[str, ...]:
        """Name everything that g depends on: inputs, then maps."""
        return (*self.inputs, *self.map_names)

    def features(self, values: Tensor) -> Tensor:
        """Scale the raw inputs (E, M, N, I) and append the maps: (E, M, N, V)."""
        if not self._standard:
            values = (values - self.origin) / self.scale
        if self.maps is None:
            return values
        if values.shape[2] != len(self.maps):
            raise InputError(
                f"The maps of the residual on {self.target} have other units than the state.",
                expected=f"{values.shape[2]} units",
                found=f"{len(self.maps)} values in a map",
            )
        return torch.cat([values, self.maps.expand(*values.shape[:2], *self.maps.shape)], dim=-1)

    def forward(self, values: Tensor) -> Tensor:
        """Compute g (E, M, N) from the raw inputs (E, M, N, I), bounded and centred."""
        g = self.raw(self.features(values))
        # Centring doubles the range at most: bounded to half before it, g stays within the bound after it.
        bound = self.bound if self.bound is None or self.centre is None else self.bound / 2
        if bound is not None:
            g = bound * torch.tanh(g / bound)
        return g - g.mean(dim=-1, keepdim=True) if self.centre else g

    def raw(self, features: Tensor) -> Tensor:
        """Compute g (E, M, N) from the features (E, M, N, V), before bound and centring."""
        raise NotImplementedError


class ResidualMLP(Residual):
    """This residual is a small network whose last layer starts at zero: untrained, it adds exactly nothing.

    Parameters
    ----------
    target, inputs, maps, origin, scale, bound, centre, members
        As for every residual. A network learns best from inputs of about unit size: give `scale`.
    hidden : sequence of int
        Widths of its hidden layers (tanh).
    gain : float
        Its output is multiplied by this: about the size of the missing part.
    seed : int
        Member e starts from the weights of ``seed + e``, however many members there are.

    Examples
    --------
    >>> import torch
    >>> from mfm.ude import ResidualMLP
    >>> g = ResidualMLP("z", ("x", "y", "z"), hidden=(16, 16), members=5)
    >>> g(torch.randn(5, 1, 1, 3, dtype=torch.float64)).abs().max().item()
    0.0
    """

    def __init__(
        self,
        target: str,
        inputs: Sequence[str],
        *,
        hidden: Sequence[int] = (16, 16),
        gain: float = 1.0,
        seed: int = 0,
        members: int = 1,
        **options,
    ):
        super().__init__(target, inputs, members=members, **options)
        if not self.variables or not hidden or min(hidden) < 1:
            raise InputError("A network needs an input and hidden layers.", found=f"inputs {self.variables}, hidden {hidden}")
        self.gain = gain
        widths = [len(self.variables), *hidden, 1]
        generators = [torch.Generator().manual_seed(seed + member) for member in range(members)]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in pairwise(widths):
            last = fan_out == 1 and len(self.weights) == len(hidden)
            size = 0.0 if last else 1 / math.sqrt(fan_in)
            draw = [_uniform((fan_in + 1, fan_out), size, generator) for generator in generators]
            self.weights.append(nn.Parameter(torch.stack([d[:-1] for d in draw])))
            self.biases.append(nn.Parameter(torch.stack([d[-1:] for d in draw])))

    def raw(self, features: Tensor) -> Tensor:
        shape = features.shape
        y = features.reshape(shape[0], -1, shape[-1])
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            y = torch.baddbmm(bias, y, weight)
            if k + 1 < len(self.weights):
                y = torch.tanh(y)
        y = y.reshape(shape[:-1])
        return y if self.gain == 1.0 else self.gain * y


class ResidualBasis(Residual):
    """This residual is a sum of library terms, linear in coefficients that have names and standard errors.

    Parameters
    ----------
    target, inputs, maps, origin, scale, bound, centre, members
        As for every residual. The library's variables are the inputs and the names of the maps, after origin and scale.
    library : Library, optional
        Default: ``Library.polynomial(variables, degree)``.
    degree : int
    coefficients : sequence of float, optional
        Where they start; default 0.

    Examples
    --------
    >>> import torch
    >>> from mfm.ude import Library, ResidualBasis
    >>> g = ResidualBasis("z", ("x", "z"), library=Library.of(("x", "z"), ["z", "x z"]), coefficients=[-5.7, 1.0])
    >>> g(torch.ones(1, 1, 1, 2, dtype=torch.float64)).item()
    -4.7
    """

    def __init__(
        self,
        target: str,
        inputs: Sequence[str],
        *,
        library: Library | None = None,
        degree: int = 2,
        coefficients: Sequence[float] | None = None,
        members: int = 1,
        **options,
    ):
        super().__init__(target, inputs, members=members, **options)
        self.library = Library.polynomial(self.variables, degree) if library is None else library
        if self.library.variables != self.variables:
            raise InputError(
                "The library is not one of this residual's variables.",
                expected=", ".join(self.variables),
                found=", ".join(self.library.variables),
            )
        start = _numbers(coefficients, self.library.names, "coefficients", 0.0)
        self.coefficients = nn.Parameter(start.expand(members, -1).clone())

    def raw(self, features: Tensor) -> Tensor:
        terms = self.library.evaluate(features)
        return (terms * self.coefficients[:, None, None, :]).sum(dim=-1)


class ResidualEdge(Residual):
    """This residual corrects the connections by a matrix of low rank: ``g_i = sum_j (U V^T)_ij s_j`` for one input s.

    Parameters
    ----------
    target, bound, centre, members
        As for every residual.
    source : str
        The state that units send to each other.
    n_units, rank : int
    seed : int
        V is drawn, U starts at zero: untrained, it adds exactly nothing.

    Notes
    -----
    A correction K of the connections C of the FIC model enters I_E as ``G J K S_E``: divide ``matrix`` by ``G J``. Connections
    of a unit onto itself are left out, because local weights stand for them.

    Examples
    --------
    >>> from mfm.ude import ResidualEdge
    >>> ResidualEdge("I_E", "S_E", n_units=4, rank=2).matrix.shape
    torch.Size([1, 4, 4])
    """

    others: Tensor

    def __init__(
        self,
        target: str,
        source: str,
        *,
        n_units: int,
        rank: int = 1,
        seed: int = 0,
        members: int = 1,
        bound: float | None = None,
        centre: str | None = None,
    ):
        super().__init__(target, (source,), bound=bound, centre=centre, members=members)
        if not 1 <= rank <= n_units:
            raise InputError("The rank of an edge correction does not fit.", expected=f"1 to {n_units}", found=repr(rank))
        draw = [_uniform((n_units, rank), 1.0, torch.Generator().manual_seed(seed + member)) for member in range(members)]
        self.V = nn.Parameter(torch.stack(draw))
        self.U = nn.Parameter(torch.zeros_like(self.V))
        self.register_buffer("others", 1 - torch.eye(n_units, dtype=torch.float64))

    @property
    def matrix(self) -> Tensor:
        """Return what unit j adds to unit i per unit of the source, (E, N, N)."""
        return (self.U @ self.V.mT) * self.others

    def raw(self, features: Tensor) -> Tensor:
        return features[..., 0] @ self.matrix.mT


def _uniform(shape: tuple[int, int], size: float, generator: torch.Generator) -> Tensor:
    return size * (2 * torch.rand(shape, dtype=torch.float64, generator=generator) - 1)


def _numbers(values: Sequence[float] | None, names: Sequence[str], what: str, default: float) -> Tensor:
    """One finite float64 for each name."""
    if values is None:
        return torch.full((len(names),), default, dtype=torch.float64)
    numbers = torch.as_tensor(values, dtype=torch.float64)
    if numbers.shape != (len(names),) or not torch.isfinite(numbers).all():
        raise InputError(f"The {what} of a residual do not fit.", expected=f"one number for each of {names}", found=str(values))
    return numbers


def _z_scores(maps: RegionalMaps) -> Tensor:
    """(N, maps), mean 0 and standard deviation 1 over the units."""
    values = torch.from_numpy(maps.values.T.copy())
    return (values - values.mean(dim=0)) / values.std(dim=0, correction=0)
