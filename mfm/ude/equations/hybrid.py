"""A hybrid joins a mechanism with what is learned of the rest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mfm.errors import InputError
from mfm.ude.equations.integrators import SCHEMES, integrate, scheme_step
from mfm.ude.equations.mechanism import Inputs, Mechanism
from mfm.ude.equations.residuals import Residual

MODES = ("parallel", "series", "parallel_series")


class Hybrid(nn.Module):
    """A hybrid is a system of known equations plus residuals that are learned.

    Parameters
    ----------
    mechanism : Mechanism
    residuals : Residual or sequence of Residual
        Each knows its target. All must have the same number of ensemble members.
    mode : {"parallel", "series", "parallel_series"}
        ``parallel``: residuals add to derivatives or input currents. ``series``: they supply parameters, as an addition to the
        mechanism's value. ``parallel_series``: both.
    covariates : sequence of str
        Names of the data's covariates (constants of a trajectory, such as a connection probability), in their order.
    scheme : {"rk4", "heun", "semi_implicit", "euler"}
    substeps : int
        Integration steps per sample of the data.
    in_solver : bool
        Solver in the loop: the mechanism is stepped alone, coarsely, and the residual corrects the step: x + h g(x).
        It learns the solver's error with the missing dynamics; targets must then be states.

    Raises
    ------
    InputError
        If a target or an input does not exist, or does not fit the mode.

    Examples
    --------
    >>> from mfm.ude import Hybrid, ResidualMLP, Roessler
    >>> Hybrid(Roessler(), ResidualMLP("z", ("x", "y", "z")))
    Hybrid(Roessler + z: ResidualMLP(x, y, z), parallel, rk4, 353 parameters x 1)
    """

    residuals: Sequence[Residual]

    def __init__(
        self,
        mechanism: Mechanism,
        residuals: Residual | Sequence[Residual] = (),
        mode: str = "parallel",
        *,
        covariates: Sequence[str] = (),
        scheme: str = "rk4",
        substeps: int = 1,
        in_solver: bool = False,
    ):
        super().__init__()
        if mode not in MODES:
            raise InputError("Unknown way of joining mechanism and residual.", expected=" | ".join(MODES), found=repr(mode))
        if scheme not in SCHEMES:
            raise InputError("Unknown integration scheme.", expected=" | ".join(SCHEMES), found=repr(scheme))
        if scheme == "semi_implicit" and not hasattr(mechanism, "relaxation"):
            raise InputError(
                "The semi-implicit scheme needs to know which states are stiff.",
                found=f"{type(mechanism).__name__} has no relaxation(x)",
                fix="take another scheme, or give the mechanism decay rates",
            )
        if substeps < 1:
            raise InputError("substeps must be at least 1.", found=repr(substeps))
        self.mechanism = mechanism
        self.residuals = nn.ModuleList([residuals] if isinstance(residuals, Residual) else residuals)  # type: ignore[assignment]
        self.mode, self.covariates, self.scheme, self.substeps = mode, tuple(covariates), scheme, substeps
        self.in_solver = in_solver
        names = (*mechanism.states, *self.covariates)
        self._columns: list[list[int]] = []
        for residual in self.residuals:
            self._check(residual, names)
            self._columns.append([names.index(name) for name in residual.inputs])
        self._units = torch.eye(len(mechanism.states), dtype=torch.float64)

    def _check(self, residual: Residual, names: tuple[str, ...]) -> None:
        m = self.mechanism
        allowed = {"parallel": (*m.states, *m.currents), "series": m.parameters}
        targets = allowed.get(self.mode, (*allowed["parallel"], *allowed["series"]))
        if residual.target not in targets:
            everything = (*m.states, *m.currents, *m.parameters)
            raise InputError(
                f"A residual cannot be joined to {residual.target!r} in mode {self.mode!r}.",
                expected=f"one of {', '.join(targets) or 'nothing'}",
                found=repr(residual.target),
                fix=None if residual.target not in everything else 'mode="parallel_series", or the other of the two modes',
            )
        unknown = [name for name in residual.inputs if name not in names]
        if unknown:
            raise InputError(
                f"The residual on {residual.target} depends on what is not there: {', '.join(unknown)}.",
                expected=f"states and covariates: {', '.join(names)}",
                fix="regional maps are given as maps=, not as inputs",
            )
        if residual.members != self.members:
            raise InputError("All residuals of a hybrid have the same number of ensemble members.")
        if self.in_solver and residual.target not in m.states:
            raise InputError("In the solver's loop a residual corrects states.", found=f"target {residual.target!r}")

    @property
    def members(self) -> int:
        """Count the ensemble members E."""
        return self.residuals[0].members if len(self.residuals) else 1

    def residual_values(self, x: Tensor, covariates: Tensor | None = None) -> tuple[Tensor, ...]:
        """Compute g (E, M, N) of each residual at states `x` (E, M, N, D)."""
        known = x
        if self.covariates:
            if covariates is None or covariates.shape[-1] != len(self.covariates):
                raise InputError("The data lack covariates of the model.", expected=", ".join(self.covariates))
            known = torch.cat([x, covariates.expand(*x.shape[:-1], -1)], dim=-1)
        identity = list(range(known.shape[-1]))
        return tuple(
            residual(known if columns == identity else known[..., columns])
            for residual, columns in zip(self.residuals, self._columns, strict=True)
        )

    def drift(self, x: Tensor, covariates: Tensor | None = None) -> Tensor:
        """Compute dx/dt (E, M, N, D) at states `x`, with the residuals (but for those in the solver's loop)."""
        values = () if self.in_solver else self.residual_values(x, covariates)
        states = self.mechanism.states
        inside = [(r.target, g) for r, g in zip(self.residuals, values, strict=False) if r.target not in states]
        inside += [(name, covariates[..., k]) for k, name in enumerate(self.covariates)] if covariates is not None else []
        inputs = Inputs(tuple(name for name, _ in inside), tuple(value for _, value in inside))
        drift = self.mechanism.drift(x, inputs)
        if not self.in_solver:
            drift = self._added(drift, values)
        return drift

    def _added(self, drift: Tensor, values: Sequence[Tensor]) -> Tensor:
        """`drift` with the residuals on derivatives added."""
        states = self.mechanism.states
        for residual, g in zip(self.residuals, values, strict=True):
            if residual.target in states:
                drift = drift + g.unsqueeze(-1) * self._units[states.index(residual.target)].to(drift)
        return drift

    def advance(self, x: Tensor, dt: float, covariates: Tensor | None = None, nudge=None) -> Tensor:
        """Integrate over one sample of `dt`; `nudge` (of state and time since the sample) is added to the drift."""
        h = dt / self.substeps
        relaxation = getattr(self.mechanism, "relaxation", None)
        for k in range(self.substeps):
            if nudge is None:
                after = scheme_step(self.scheme, lambda y: self.drift(y, covariates), x, h, relaxation)
            else:
                after = self._nudged_step(x, k * h, h, covariates, nudge)
            if self.in_solver:
                after = after + h * self._added(torch.zeros_like(x), self.residual_values(x, covariates))
            x = after
        return x

    def _nudged_step(self, x: Tensor, time: float, h: float, covariates: Tensor | None, nudge) -> Tensor:
        """One step with an observer in the drift; its data move within the step, so that the stages' times matter."""

        def field(y: Tensor, t: float) -> Tensor:
            return self.drift(y, covariates) + nudge(y, t)

        if self.scheme == "rk4":
            k1 = field(x, time)
            k2 = field(x + 0.5 * h * k1, time + 0.5 * h)
            k3 = field(x + 0.5 * h * k2, time + 0.5 * h)
            k4 = field(x + h * k3, time + h)
            return x + (h / 6) * (k1 + 2 * (k2 + k3) + k4)
        return scheme_step(self.scheme, lambda y: field(y, time), x, h, getattr(self.mechanism, "relaxation", None))

    def free_run(
        self,
        x: Tensor,
        dt: float,
        n_samples: int,
        covariates: Tensor | None = None,
        checkpoint_every: int | None = None,
    ) -> Tensor:
        """Integrate from `x` without any data: no observer, no gain.

        Parameters
        ----------
        x : tensor, (E, M, N, D)
        dt : float
            Time between samples, in the mechanism's unit of time.
        n_samples : int
        covariates : tensor, (E or 1, M or 1, N or 1, covariates), optional
        checkpoint_every : int, optional
            As for `integrate`.

        Returns
        -------
        tensor, (E, M, n_samples + 1, N, D)
            Not finite from where a trajectory diverges.
        """
        return integrate(lambda y, k: self.advance(y, dt, covariates), x, n_samples, checkpoint_every)

    def __repr__(self) -> str:
        learned = ", ".join(f"{r.target}: {type(r).__name__}({', '.join(r.variables)})" for r in self.residuals)
        n = sum(p.numel() for p in self.parameters()) // self.members
        name = type(self.mechanism).__name__
        return f"Hybrid({name} + {learned or 'nothing'}, {self.mode}, {self.scheme}, {n} parameters x {self.members})"
