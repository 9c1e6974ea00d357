"""Scans simulated in full, nonlinear as the model is, serve as placebos and show what linear theory gets wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

import mfm
from mfm import Connectome, FICParameters, Protocol
from mfm.errors import InputError
from mfm.protocol import coarse_hemodynamic_dt, nearest_dt
from optim.refine.problem import RefinementProblem, fit_nuisance
from optim.refine.task import Recording, Task

_DT_S = 0.006

# A bias of this many Monte Carlo errors is one.
_BEYOND_CHANCE = 3.0


def simulate_scans(
    p: FICParameters, sc: Connectome, protocol: Protocol, n: int, seed: int, scale: float = 1.0, noise: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Simulate BOLD of one candidate with white measurement noise.

    Parameters
    ----------
    p : FICParameters
        One candidate.
    sc : Connectome
    protocol : Protocol
        TR and frames; steps are those of a fit's search, stable ones.
    n, seed : int
        Scans, and the seed of both noises.
    scale, noise : float
        Of the spectral density, and the density of the measurement noise per Hz, in the scaled unit.

    Returns
    -------
    bold : tensor, (n, T, N)
        Around its mean; NaN where the model did not stay finite.
    rate_E : tensor, (n, N)
        Hz.
    """
    dt_s = nearest_dt(protocol.tr_s, _DT_S)
    timing = Protocol(
        protocol.tr_s,
        protocol.n_frames,
        dt_s,
        hemo_dt_s=coarse_hemodynamic_dt(protocol.tr_s, dt_s),
        scheme="exponential",
    )
    with torch.no_grad():
        simulated = mfm.simulate(p, sc, timing, n_repeats=n, seed=seed)
    bold = simulated.bold[0].double()
    generator = torch.Generator().manual_seed(seed + 0x5EED)
    white = torch.randn(bold.shape, generator=generator, dtype=torch.float64)
    bold = math.sqrt(scale) * (bold - bold.mean(dim=1, keepdim=True)) + math.sqrt(noise / protocol.tr_s) * white
    return bold, simulated.rate_E[0].double()


def placebos(task: Task, n: int, seed: int) -> list[Task]:
    """Make the same task `n` times, on scans of the fitted mechanism alone, as many, long and noisy as the recorded ones.

    They hold what theory does not know of the model: a residual that makes up for that alone gains as much on them.

    Raises
    ------
    InputError
        If the mechanism does not stay finite.
    """
    problem = task.problem(task.fitted.frozen(), None)
    system = problem.system(problem.start)
    assert system is not None
    x = torch.cat([problem.start[: problem.n_model], fit_nuisance(problem.likelihood, system)])
    p, sc = problem.parameters(x)
    train, held_out = (
        _like(recording, simulate_scans(p, sc, recording.protocol, n * recording.n_scans, 2 * seed + k, *problem.power(x))[0])
        for k, recording in enumerate((task.train, task.held_out))
    )
    if not all(torch.isfinite(recording.fc).all() for recording in (*train, *held_out)):
        raise InputError(
            "The fitted model does not stay finite when it is simulated.", fix="fit anew: such a fit has nothing to refine"
        )
    return [replace(task, train=a, held_out=b) for a, b in zip(train, held_out, strict=True)]


def _like(recording: Recording, bold: Tensor) -> list[Recording]:
    """Series (n R, T, N) as recordings of R scans each."""
    return [Recording.of_series(scans, recording.protocol.tr_s) for scans in bold.split(recording.n_scans)]


@dataclass(frozen=True, eq=False)
class Polish:
    """A polish holds coefficients that were checked by simulation, and corrected where it takes that.

    Attributes
    ----------
    coefficients : tensor, (terms,)
        Learned by theory, less its bias where that is beyond three of its Monte Carlo errors.
    bias, bias_error : tensor, (terms,)
        What theory adds to the coefficients of the model that it found, and the Monte Carlo error of that; NaN where fewer
        than two repetitions stayed within range.
    spread : tensor, (terms,)
        Standard deviation of the estimates over repetitions.
    in_range : float
        Share of the repetitions in which every region's rate kept to [2.7, 3.3] Hz: the others tell nothing of theory.
    """

    coefficients: Tensor
    bias: Tensor
    bias_error: Tensor
    spread: Tensor
    in_range: float


def polish(task: Task, problem: RefinementProblem, x: Tensor, n: int, seed: int) -> Polish:
    """Take one step of indirect inference (Gourieroux, Monfort & Renault 1993): learn again from scans of what was learned.

    The model at `x` is simulated `n` times as the training scans were recorded, and learned from as they were.
    The mean of the estimates less the one that the priors lead to expect is the error of theory. It is taken off where chance
    does not explain it, as far as bound and stability allow: a correction that is not needed would add noise.

    Parameters
    ----------
    task : Task
    problem : RefinementProblem
        Its residual with the fit held.
    x : tensor, (P,)
        The optimum on the training scan.
    n : int
        Repetitions, two or more.
    seed : int
    """
    M = problem.n_terms
    p, sc = problem.parameters(x)
    bold, rate_E = simulate_scans(p, sc, task.train.protocol, n * task.train.n_scans, seed, *problem.power(x))
    stayed = mfm.within_range(rate_E).reshape(n, -1).all(dim=1)
    found = [
        task.problem(problem.fitted, problem.residual, recording).minimise(x).x[:M]
        for recording, inside in zip(_like(task.train, bold), stayed.tolist(), strict=True)
        if inside
    ]
    in_range = float(stayed.double().mean())
    if len(found) < 2:
        unknown = torch.full((M,), math.nan, dtype=torch.float64)
        return Polish(x[:M], unknown, unknown, unknown, in_range)
    estimates = torch.stack(found)
    bias, spread = estimates.mean(dim=0) - problem.expected(x)[:M], estimates.std(dim=0)
    error = spread / math.sqrt(len(found))
    step = torch.cat([torch.where(bias.abs() > _BEYOND_CHANCE * error, -bias, 0.0), x.new_zeros(len(x) - M)])
    share = next((s for s in (1.0, 0.5, 0.25, 0.125) if math.isfinite(problem(x + s * step).value)), 0.0)
    return Polish((x + share * step)[:M], bias, error, spread, in_range)
