"""This file offers the FIC model as a mechanism, and solves its feedback inhibition again with what was learned."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.compute.elementary import phi_slope
from mfm.errors import InputError
from mfm.models.constants import NEURAL
from mfm.models.fic import FICParameters, constants_of, currents, gating
from mfm.models.fic_feedback import excitatory_resting_point, feedback_weights, resting_state
from mfm.models.registry import check_same_regions
from mfm.ude.equations.hybrid import Hybrid
from mfm.ude.equations.mechanism import Inputs

_NEWTON_STEPS = 30


@dataclass(frozen=True, eq=False)
class FICMechanism:
    """This mechanism is the neural part of the FIC model (`mfm.models.fic`), one unit per region.

    States ``S_E`` and ``S_I`` (time in seconds); a residual may add to their derivatives, to the input currents ``I_E`` and
    ``I_I`` (nA), or to the parameters ``w_EE``, ``w_EI``, ``w_IE`` and ``G``. A residual in a current keeps rates positive and
    S in [0, 1].

    Parameters
    ----------
    p : FICParameters
        One candidate; its sigma is the process noise.
    sc : Connectome
    w_IE : tensor, (N,), optional
        Inhibitory feedback; default that which holds the mechanism itself at 3 Hz.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from mfm.ude import FICMechanism, Hybrid, ResidualMLP
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [1.0])
    >>> Hybrid(FICMechanism(p, sc), ResidualMLP("I_E", ("S_E", "S_I")), scheme="semi_implicit")
    Hybrid(FICMechanism + I_E: ResidualMLP(S_E, S_I), parallel, semi_implicit, 337 parameters x 1)
    """

    p: FICParameters
    sc: Connectome
    w_IE: Tensor = None  # type: ignore[assignment]
    states: tuple[str, ...] = field(default=("S_E", "S_I"), init=False)
    currents: tuple[str, ...] = field(default=("I_E", "I_I"), init=False)
    parameters: tuple[str, ...] = field(default=("w_EE", "w_EI", "w_IE", "G"), init=False)
    time_unit: str = field(default="s", init=False)

    def __post_init__(self):
        check_same_regions(self.p, self.sc)
        if self.p.n_candidates != 1:
            raise InputError("A mechanism is one candidate.", expected="p[k]", found=f"{self.p.n_candidates} candidates")
        p = self.p
        given = None if p.w_IE is None else p.w_IE.detach().double()
        w_EE, w_EI, sigma, G = (x.detach().double() for x in (p.w_EE, p.w_EI, p.sigma, p.G))
        I_ext = None if p.I_ext is None else p.I_ext.detach().double()
        object.__setattr__(self, "p", FICParameters(w_EE, w_EI, sigma, G, given, I_ext))
        w_IE = feedback_weights(self.p, self.sc)[0] if self.w_IE is None else self.w_IE
        object.__setattr__(self, "w_IE", w_IE)

    @property
    def I_ext(self) -> Tensor | float:
        """Return the external current (N,) in nA, or 0.0 where there is none."""
        return 0.0 if self.p.I_ext is None else self.p.I_ext[0]

    @cached_property
    def C(self) -> Tensor:
        """Return the connectome's weights as a tensor (N, N)."""
        return torch.tensor(self.sc.weights, dtype=torch.float64)

    @cached_property
    def rest(self) -> Tensor:
        """Return the state (S_E, S_I) of each region (N, 2) at 3 Hz, for which feedback inhibition is solved."""
        rest = resting_state(self.p.w_EI)
        return torch.stack([torch.full_like(rest.S_I[0], rest.S_E), rest.S_I[0]], dim=-1)

    def drift(self, x: Tensor, inputs: Inputs) -> Tensor:
        """Compute dS_E/dt and dS_I/dt per second at states `x` (..., N, 2)."""
        dS_E, dS_I, _ = self._rates(x, inputs)
        return torch.stack([dS_E, dS_I], dim=-1)

    def rate_E(self, x: Tensor, inputs: Inputs | None = None) -> Tensor:
        """Compute the excitatory rate r_E (..., N) in Hz at states `x` (..., N, 2)."""
        return self._rates(x, inputs or Inputs())[2]

    def _rates(self, x: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
        S_E, S_I = x[..., 0], x[..., 1]
        w_EE, w_EI, G = (getattr(self.p, name)[0] + inputs.added(name) for name in ("w_EE", "w_EI", "G"))
        coupling = (NEURAL.J * G * (S_E @ self.C.T),)
        I_E, I_I = currents((S_E, S_I), coupling, constants_of(w_EE, w_EI, self.w_IE + inputs.added("w_IE"), self.I_ext))
        return gating((S_E, S_I), I_E + inputs.added("I_E"), I_I + inputs.added("I_I"))[:3]

    def relaxation(self, x: Tensor) -> Tensor:
        """Return decay rates of the states per second for the semi-implicit scheme; the inhibitory gate's is 100 to 700."""
        c = NEURAL
        I_I = c.W_I * c.I_0 + c.J * self.p.w_EI[0] * x[..., 0] - x[..., 1]
        fast = 1 / c.tau_I + c.a_I * phi_slope(c.a_I * I_I - c.b_I, c.d_I)
        return torch.stack([torch.full_like(fast, 1 / c.tau_E), fast], dim=-1)


def simulate_paths(
    model: Hybrid, dt_s: float, n_samples: int, *, n_repeats: int = 1, seed: int = 0, warm_up_s: float = 2.0
) -> Tensor:
    """Simulate stochastic paths of S_E and S_I by Euler-Maruyama, from rest, without hemodynamics.

    Parameters
    ----------
    model : Hybrid
        Of a `FICMechanism`, whose sigma drives both states.
    dt_s : float
        Step and sampling interval, seconds.
    n_samples : int
    n_repeats : int
        Paths with different noise.
    seed : int
    warm_up_s : float
        Unrecorded time.

    Returns
    -------
    tensor, (1, n_repeats, n_samples, N, 2)

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from mfm.ude import FICMechanism, Hybrid, simulate_paths
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [1.0])
    >>> simulate_paths(Hybrid(FICMechanism(p, sc)), 0.001, 10, warm_up_s=0.0).shape
    torch.Size([1, 1, 10, 2, 2])
    """
    mechanism = _fic(model)
    generator = torch.Generator().manual_seed(seed)
    sigma = (mechanism.p.sigma[0] * dt_s**0.5)[:, None]
    x = mechanism.rest.expand(1, n_repeats, -1, -1).clone()
    warm_up, path = round(warm_up_s / dt_s), []
    with torch.no_grad():
        for k in range(warm_up + n_samples):
            x = x + dt_s * model.drift(x) + sigma * torch.randn(x.shape, generator=generator, dtype=torch.float64)
            if k >= warm_up:
                path.append(x)
    return torch.stack(path, dim=2)


@dataclass(frozen=True, eq=False)
class SettledHybrid:
    """A settled hybrid is one whose feedback inhibition was solved with its residuals.

    Attributes
    ----------
    model : Hybrid
    rest : tensor, (N, 2)
        Its fixed point.
    rate_E : tensor, (N,)
        r_E there, Hz.
    abscissa : float
        Largest real part of the Jacobian's eigenvalues, per second: negative is stable.
    """

    model: Hybrid
    rest: Tensor
    rate_E: Tensor
    abscissa: float

    @property
    def stable(self) -> bool:
        """Tell whether the fixed point is stable."""
        return self.abscissa < 0


def resolve_feedback(model: Hybrid) -> SettledHybrid:
    """Solve w_IE again so that every region of a hybrid rests at 3 Hz, residuals included.

    Parameters
    ----------
    model : Hybrid
        Of a `FICMechanism`, with one ensemble member. Not changed.

    Returns
    -------
    SettledHybrid

    Raises
    ------
    InputError
        If the model has several members, or no state of 3 Hz with S in [0, 1] is found.

    Notes
    -----
    At r_E = 3 Hz the two gating equations of a region depend on no other region but through residuals; they are solved by
    Newton's method (a residual's derivative by differences). The current that is missing at I_E then gives w_IE.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from mfm.ude import FICMechanism, Hybrid, resolve_feedback
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [1.0])
    >>> settled = resolve_feedback(Hybrid(FICMechanism(p, sc)))
    >>> settled.stable, settled.rate_E.round(decimals=6).tolist()
    (True, [3.0, 3.0])
    """
    mechanism = _fic(model)
    if model.members != 1:
        raise InputError("Feedback is solved for one member at a time.", found=f"{model.members} members")
    with torch.no_grad():
        x = mechanism.rest.clone()
        _, current = excitatory_resting_point()
        for _ in range(_NEWTON_STEPS):
            value = _at_target_rate(model, x)
            h = 1e-6
            columns = [
                (_at_target_rate(model, x + h * e) - _at_target_rate(model, x - h * e)) / (2 * h)
                for e in torch.eye(2, dtype=x.dtype)
            ]
            update = torch.linalg.solve(torch.stack(columns, dim=-1), -value)
            x = x + update
            if update.abs().max() < 1e-13:
                break
        if not (
            torch.isfinite(x).all() and (x > 0).all() and (x[:, 0] < 1).all() and _at_target_rate(model, x).abs().max() < 1e-6
        ):
            raise InputError(
                "No state of 3 Hz exists with this residual.",
                cause="a residual too large",
                fix="a smaller bound, or centre='units'",
            )
        inputs = _inputs(model, x)
        S_E, S_I = x[:, 0], x[:, 1]
        p = mechanism.p
        w_EE, w_EI, G = (getattr(p, name)[0] + inputs.added(name) for name in ("w_EE", "w_EI", "G"))
        added = torch.as_tensor(inputs.added("w_IE"))
        coupling = (NEURAL.J * G * (S_E @ mechanism.C.T),)
        I_E, _ = currents((S_E, S_I), coupling, constants_of(w_EE, w_EI, torch.zeros_like(S_I), mechanism.I_ext))
        w_IE = (I_E + inputs.added("I_E") - current) / S_I - added.reshape(-1)
        settled, solved = copy.deepcopy(model), FICMechanism(p, mechanism.sc, w_IE)
        settled.mechanism = solved
        rate = solved.rate_E(x, inputs)
    return SettledHybrid(settled, x, rate, _abscissa(settled, x))


def _fic(model: Hybrid) -> FICMechanism:
    if not isinstance(model.mechanism, FICMechanism):
        raise InputError("This needs the FIC model.", expected="a hybrid of FICMechanism", found=type(model.mechanism).__name__)
    return model.mechanism


def _inputs(model: Hybrid, x: Tensor) -> Inputs:
    """What the residuals add at the state `x` (N, 2), each (N,)."""
    values = model.residual_values(x[None, None])
    return Inputs(tuple(r.target for r in model.residuals), tuple(g[0, 0] for g in values))


def _at_target_rate(model: Hybrid, x: Tensor) -> Tensor:
    """Derivatives (N, 2) of S_E and S_I at `x`, had every region r_E = 3 Hz."""
    c, mechanism, inputs = NEURAL, _fic(model), _inputs(model, x)
    S_E, S_I = x[:, 0], x[:, 1]
    I_I = c.W_I * c.I_0 + c.J * (mechanism.p.w_EI[0] + inputs.added("w_EI")) * S_E - S_I + inputs.added("I_I")
    _, dS_I, _, _ = gating((S_E, S_I), torch.zeros_like(S_E), I_I)
    dS_E = -S_E / c.tau_E + (1 - S_E) * c.gamma * c.target_rate_hz
    return torch.stack([dS_E + inputs.added("S_E"), dS_I + inputs.added("S_I")], dim=-1)


def _abscissa(model: Hybrid, x: Tensor) -> float:
    n = x.numel()
    jacobian = torch.autograd.functional.jacobian(lambda y: model.drift(y.reshape(1, 1, *x.shape)).reshape(n), x.reshape(n))
    return float(torch.linalg.eigvals(jacobian).real.max())
