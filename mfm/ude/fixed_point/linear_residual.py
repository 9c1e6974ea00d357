"""A linear residual holds what second-order statistics can show missing in a fitted FIC model: slopes, and edges.

Feedback inhibition holds every region at the same S_E*, so that the FC or the spectra of BOLD depend on a residual through its
slope there and on nothing else. With x = S_E - S_E*, what is added to the input current of region i is

    g_i = slope_i x_i / gain + G J sum_j K_ij S_E_j,    slope_i = sum_m c_m h_m(i),    K = sum_r e_r P_r

with gain = (1 - S_E*) gamma phi_E'(I_E*), so that slopes are per second: they are taken from the leak of S_E. Maps h are
centred: what all regions share cannot be told from G. In the current, g leaves rates positive and S in [0, 1]. Besides named
products of maps, h may be the shapes of a wide network of maps (`mfm.ude.fixed_point.wide_network`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.brain.maps import RegionalMaps
from mfm.errors import InputError
from mfm.linear.system import LinearSystem
from mfm.linear.whittle import Tangents
from mfm.models.constants import NEURAL
from mfm.models.fic import FICParameters
from mfm.models.fic_feedback import FixedPoint, excitatory_resting_point, rate_and_slope
from mfm.ude.equations.library import Library
from mfm.ude.fixed_point.wide_network import network_shapes

#: The state's deviation from the fixed point, as terms name it.
STATE = "x"

#: Most patterns in the correction of the connectome.
MAX_EDGES = 3

# Terms whose maps have this correlation or more are one.
_SAME = 0.999


def total_leak() -> float:
    """Return how fast S_E decays by itself at 3 Hz, per second: 1 / tau_E + gamma r_E*."""
    return 1 / NEURAL.tau_E + NEURAL.gamma * NEURAL.target_rate_hz


def current_gain() -> float:
    """Return the change of dS_E/dt per nA at 3 Hz, per second: (1 - S_E*) gamma phi_E'(I_E*)."""
    S_E, I_E = excitatory_resting_point()
    _, slope = rate_and_slope(torch.tensor(I_E, dtype=torch.float64), NEURAL.a_E, NEURAL.b_E, NEURAL.d_E)
    return (1 - S_E) * NEURAL.gamma * slope.item()


@dataclass(frozen=True, eq=False)
class LinearResidual:
    """A linear residual corrects the FIC model by few coefficients: slopes along centred maps, and patterns of edges.

    Attributes
    ----------
    names : tuple of str
        Of the M + R coefficients.
    patterns : tensor, (M, N)
        Mean 0 and standard deviation 1 over the regions.
    scales : tensor, (M,)
        Standard deviations of their coefficients a priori, relative to those of named terms.
    edges : tensor, (R, N, N)
        Symmetric, no self-connections, root mean square that of the connectome.
    bound : float
        Largest size of a slope in any region, per second.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from mfm.ude import LinearResidual
    >>> maps = mfm.RegionalMaps([[1.0, 2.0, 4.0]], ("myelin",))
    >>> sc = mfm.Connectome(0.02 * (1 - np.eye(3)))
    >>> residual = LinearResidual.of(maps, sc)
    >>> residual.names, round(residual.slopes([0.5]).mean().item(), 12)
    (('myelin x',), 0.0)
    """

    names: tuple[str, ...]
    patterns: Tensor
    scales: Tensor
    edges: Tensor
    bound: float

    @classmethod
    def of(
        cls,
        maps: RegionalMaps,
        sc: Connectome,
        terms: Sequence[str] | None = None,
        edges: Sequence[str] = (),
        bound: float = 0.25,
        network: Sequence[str] = (),
    ) -> LinearResidual:
        """Make a residual of named terms, patterns of edges, and a network of maps.

        Parameters
        ----------
        maps : RegionalMaps
        sc : Connectome
        terms : sequence of str, optional
            Products of maps with the state's deviation x, such as ``"myelin x"`` or ``"myelin^2 x"``; default each map by x, or
            none where there is a network.
        edges : sequence of str
            Up to three maps h, each giving the pattern ``h_i h_j`` of rank one: regions alike in h are tied closer.
        bound : float
            Of slopes, as a share of the total leak of 11.9 per second.
        network : sequence of str
            Maps of which the slope may be any smooth function: the shapes of a wide network of them, without what `terms` hold.

        Raises
        ------
        InputError
            For terms that second-order statistics cannot show: nonlinear in the state, without it, or the same everywhere; for
            unknown maps, and terms that are alike.
        """
        z = maps.zscored()
        if terms is None:
            terms = [] if network else [f"{name} {STATE}" for name in maps.names]
        if not terms and not edges and not network:
            raise InputError("A residual needs terms.", expected="maps, terms such as 'myelin x', a network, or edges")
        library = Library.of((STATE, *maps.names), terms)
        for name, powers in zip(library.names, library.terms, strict=True):
            _check_visible(name, powers)
        values = torch.from_numpy(z.values.T.copy())
        shapes = library.evaluate(torch.cat([torch.ones((len(values), 1), dtype=torch.float64), values], dim=1)).T
        shapes = shapes - shapes.mean(dim=1, keepdim=True)
        patterns = shapes / shapes.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-300)
        _check_distinct(tuple(terms), patterns)
        names, scales = [*terms], torch.ones(len(terms), dtype=torch.float64)
        if network:
            more, more_scales = map(torch.from_numpy, network_shapes(named_maps(z, network), patterns.numpy()))
            names += [f"network {'+'.join(network)} {k + 1}" for k in range(len(more))]
            patterns, scales = torch.cat([patterns, more]), torch.cat([scales, more_scales])
        names += [f"edges {name}" for name in edges]
        residual = cls(tuple(names), patterns, scales, _edge_patterns(z, sc, edges), bound * total_leak())
        if not 0 < bound <= 1:
            raise InputError(
                "The bound of a residual is a share of the leak.", expected="above 0, at most 1", found=repr(bound)
            )
        return residual

    @property
    def n_slopes(self) -> int:
        """Count the coefficients M of slopes."""
        return len(self.patterns)

    @property
    def n_terms(self) -> int:
        """Count all coefficients, M + R."""
        return len(self.names)

    def select(self, keep: Sequence[int]) -> LinearResidual:
        """Keep the terms at the positions `keep`, in order."""
        local = [k for k in keep if k < self.n_slopes]
        other = [k - self.n_slopes for k in keep if k >= self.n_slopes]
        names = tuple(self.names[k] for k in keep)
        return replace(self, names=names, patterns=self.patterns[local], scales=self.scales[local], edges=self.edges[other])

    def slopes(self, coefficients) -> Tensor:
        """Compute what the residual takes from the leak of every region, (N,) per second."""
        return torch.as_tensor(coefficients, dtype=torch.float64)[: self.n_slopes] @ self.patterns

    def correction(self, coefficients) -> Tensor:
        """Compute what is added to the connectome, (N, N)."""
        return torch.tensordot(torch.as_tensor(coefficients, dtype=torch.float64)[self.n_slopes :], self.edges, dims=1)

    def apply(self, p: FICParameters, sc: Connectome, coefficients) -> tuple[FICParameters, Connectome]:
        """Return one candidate with the residual, as parameters that every backend simulates.

        A slope is recurrent excitation, ``w_EE + slope / (gain J)``, with an external current ``- slope S_E* / gain`` that
        leaves the fixed point where it is; edges change the connectome. ``w_IE`` is solved anew wherever these are used.
        """
        S_E, _ = excitatory_resting_point()
        gain = current_gain()
        slope = self.slopes(coefficients)
        I_ext = -slope * (S_E / gain) + (0.0 if p.I_ext is None else p.I_ext)
        refined = FICParameters(p.w_EE + slope / (gain * NEURAL.J), p.w_EI, p.sigma, p.G, p.w_IE, I_ext.expand_as(p.w_EE))
        if not len(self.edges):
            return refined, sc
        step = "low-rank correction by a refinement"
        weights = sc.weights + self.correction(coefficients).detach().numpy()
        return refined, Connectome(weights, sc.labels, (*sc.steps, step), signed=True)

    def added_to(self, system: LinearSystem, point: FixedPoint, coefficients) -> LinearSystem:
        """Add the residual to the linearised equations of B candidates at `point`.

        Slopes vanish at the fixed point, so that they leave w_IE as it is; edges change it, and with it the inhibition.
        """
        system = replace(system, leak=system.leak - self.slopes(coefficients))
        if not len(self.edges):
            return system
        correction = self.correction(coefficients)
        inhibition = system.inhibition + _feedback_of_edges(system, point) * correction.sum(dim=1)
        return replace(system, inhibition=inhibition, C=system.C + correction)

    def tangents(self, system: LinearSystem, point: FixedPoint) -> Tangents:
        """Differentiate `added_to` by the coefficients, for one candidate; the derivatives are the same at any coefficients."""
        tangents = Tangents.zero(self.n_terms, system)
        tangents.leak[: self.n_slopes] = -self.patterns
        if not len(self.edges):
            return tangents
        tangents.inhibition[self.n_slopes :] = _feedback_of_edges(system, point) * self.edges.sum(dim=2)
        C = torch.zeros((self.n_terms, *self.edges.shape[1:]), dtype=torch.float64)
        C[self.n_slopes :] = self.edges
        return tangents._replace(C=C)


def _feedback_of_edges(system: LinearSystem, point: FixedPoint) -> Tensor:
    """Inhibition per unit of a region's summed input: w_IE = ... + J S_E* G sum_j C_ij / S_I*, and g = gain J G."""
    return system.g * point.S_E / point.S_I


def _check_visible(name: str, powers: tuple[int, ...]) -> None:
    of_state, of_maps = powers[0], sum(powers[1:])
    if of_state > 1:
        raise InputError(
            f"Second-order statistics cannot show the term {name!r}: it is not linear in the state.",
            expected=f"terms linear in {STATE}, such as 'myelin {STATE}'",
            cause="under feedback inhibition all regions rest at the same S_E*, where FC and spectra depend on a residual "
            "through its slope only: a quadratic term changes them by exactly nothing",
            fix="learn shapes from neural time series (mfmfit ude), where the state is seen to move",
        )
    if of_state == 0:
        raise InputError(
            f"The term {name!r} is a constant current, which feedback inhibition takes up: nothing shows it.",
            fix=f"'{name} {STATE}' is a slope along that map",
        )
    if of_maps == 0:
        raise InputError(
            "A slope that all regions share cannot be told from the global coupling G.",
            found=repr(name),
            fix=f"terms along maps, such as 'myelin {STATE}', which are centred",
        )


def _check_distinct(terms: tuple[str, ...], patterns: Tensor) -> None:
    r = (patterns @ patterns.T / patterns.shape[1]).abs()
    for a in range(len(terms)):
        for b in range(a):
            if r[a, b] >= _SAME:
                raise InputError(f"The terms {terms[b]!r} and {terms[a]!r} are one.", found=f"|r| = {r[a, b]:.4f} over regions")


def named_maps(maps: RegionalMaps, names: Sequence[str]) -> RegionalMaps:
    """Pick the inputs of a network by name, in order; an InputError where they are no maps."""
    unknown = [name for name in names if name not in maps.names]
    if unknown or len(set(names)) < len(names):
        raise InputError(
            "The network's inputs are not maps.",
            expected=f"some of {', '.join(maps.names) or 'no maps'}, each once",
            found=", ".join(names),
        )
    return RegionalMaps(maps.values[[maps.names.index(name) for name in names]], tuple(names))


def _edge_patterns(z: RegionalMaps, sc: Connectome, edges: Sequence[str]) -> Tensor:
    unknown = [name for name in edges if name not in z.names]
    if unknown or len(edges) > MAX_EDGES:
        raise InputError(
            "The patterns of edges cannot be made.",
            expected=f"at most {MAX_EDGES} of the maps {', '.join(z.names)}",
            found=", ".join(edges),
        )
    others = ~np.eye(sc.n_regions, dtype=bool)
    size = np.sqrt((sc.weights[others] ** 2).mean())
    found = []
    for name in edges:
        h = z.values[z.names.index(name)]
        pattern = np.outer(h, h) * others
        found.append(torch.from_numpy(pattern * size / np.sqrt((pattern[others] ** 2).mean())))
    return torch.stack(found) if found else torch.zeros((0, sc.n_regions, sc.n_regions), dtype=torch.float64)
