"""How well the basin margin tells which candidates keep their firing rates in range.

``python scripts/validate_basin.py margin --work FOLDER``: linearly stable parameter sets over the bounds of a search, simulated
for the whole HCP protocol (14.4 minutes) in three realisations; do those with a small margin leave [2.7, 3.3] Hz?
``... searches --work FOLDER``: searches by theory from several starts; do their winners stay in range when simulated?

Tables go to standard output, progress to standard error. Simulations are kept in FOLDER.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from simulated_sets import CASES, Arrays, Case, add_data_argument, as_arrays, as_parameters, kept, log, noise_seeds

import mfm
from mfm.protocol import SCHEMES
from optim.config.optimizer import CMAESConfig
from optim.objectives.linear import LinearObjective
from optim.search.run import run_search
from surrogate.evaluation import area_under_curve

# Edges of the stability margin (largest real part of the Jacobian's eigenvalues, per second) with equally many sets between.
_ABSCISSAE = (-12.0, -3.5, -1.5, -0.6, 0.0)
_MARGINS = (0, 2, 4, 6, 8, 10, 15, 25, np.inf)
_REPEATS = 3


def draw(case: Case, n: int, seed: int) -> Arrays:
    """`n` plausible sets that are linearly stable, spread over the stability margin."""
    rng = np.random.default_rng(seed)
    found: list[list[np.ndarray]] = [[] for _ in pairwise(_ABSCISSAE)]
    quota = -(-n // len(found))
    while min(map(len, found)) < quota:
        u = case.space.draw(500, rng)
        p = case.space.parameterisation.to_parameters(case.space.to_coefficients(u))
        interval = np.digitize(mfm.linear_response(p, case.scan.sc, case.protocol).abscissa.numpy(), _ABSCISSAE) - 1
        for k in np.flatnonzero((interval >= 0) & (interval < len(found))):
            found[interval[k]].append(u[k])
    u = np.concatenate([np.array(part[:quota]) for part in found])
    return as_arrays(case.space.parameterisation.to_parameters(case.space.to_coefficients(u)))


def simulated_rates(case: Case, p: mfm.FICParameters, seed: int) -> np.ndarray:
    """Mean r_E of every set, realisation and region, (B, R, N)."""
    seeds, rates, began = noise_seeds(p.n_candidates, seed), [], time.perf_counter()
    for first in range(0, p.n_candidates, 128):
        part = p[list(range(first, min(first + 128, p.n_candidates)))]
        rates.append(mfm.simulate(part, case.scan.sc, case.protocol, _REPEATS, seeds[first : first + 128].tolist()).rate_E)
        log(f"{case.name}: {first + part.n_candidates} of {p.n_candidates} simulated, {time.perf_counter() - began:.0f} s")
    return np.concatenate(rates)


def simulated_draw(case: Case, args) -> Arrays:
    sets = draw(case, args.sets, args.seed)
    return sets | {"rate_E": simulated_rates(case, as_parameters(sets), args.seed)}


def judge_margins(args) -> None:
    margins, stayed = [], []
    print("\n| connectome | sets | stayed in range | AUC of the basin margin | AUC of linear stability |")
    print("|---|---|---|---|---|")
    for name in args.cases:
        case = replace(CASES[name](args.data), scheme=args.scheme)
        path = args.work / f"basin-{args.scheme}-{name}-{args.sets}-seed{args.seed}.npz"
        sets = kept(path, lambda case=case: simulated_draw(case, args))
        p = as_parameters(sets)
        inside = mfm.within_range(torch.from_numpy(sets["rate_E"])).all(dim=1).numpy()
        margin = mfm.basin_margin(p, case.scan.sc, scheme=args.scheme).numpy()
        stability = -mfm.linear_response(p, case.scan.sc, case.protocol).abscissa.numpy()
        aucs = f"{area_under_curve(inside, margin):.3f} | {area_under_curve(inside, stability):.3f}"
        print(f"| {name} | {len(inside)} | {inside.sum()} | {aucs} |", flush=True)
        margins.append(margin)
        stayed.append(inside)
    margin, inside = np.concatenate(margins), np.concatenate(stayed)
    print(f"| all | {len(inside)} | {inside.sum()} | {area_under_curve(inside, margin):.3f} | |")
    print("\n| margin, standard deviations | sets | stayed in range |")
    print("|---|---|---|")
    for low, high in pairwise(_MARGINS):
        within = (margin >= low) & (margin < high)
        if within.any():
            print(f"| {low} to {high} | {within.sum()} | {inside[within].mean():.0%} |")


def judge_searches(args) -> None:
    print("\n| connectome | start | best predicted cost | winners | in range when simulated | best simulated cost |")
    print("|---|---|---|---|---|---|")
    settings = CMAESConfig(population=args.population, generations=args.generations, seed=args.seed)
    for name in args.cases:
        case = CASES[name](args.data)
        for start in range(args.starts):
            state = run_search(case.space, LinearObjective(case.scan, case.protocol), settings, "shared", start, name)
            winners = case.space.parameterisation.to_parameters(case.space.to_coefficients(np.array(state.winners)))
            seeds = noise_seeds(winners.n_candidates, args.seed + start).tolist()
            sim = mfm.simulate(winners, case.scan.sc, case.protocol, _REPEATS, seeds)
            fc = mfm.functional_connectivity(sim.bold).mean(dim=1)
            cdf = mfm.fcd_cdf(sim.bold, case.protocol.window_frames, len(case.scan.target.fcd_cdf)).mean(dim=1)
            total = mfm.cost(fc, cdf, case.scan.target).total[sim.within_range]
            best = min(row.best_total for row in state.trace if np.isfinite(row.best_total))
            simulated = f"{float(total.min()):.3f}" if len(total) else "-"
            inside = f"{int(sim.within_range.sum())}, the last ten: {int(sim.within_range[-10:].sum())}"
            print(f"| {name} | {start + 1} | {best:.3f} | {winners.n_candidates} | {inside} | {simulated} |", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("margin", "searches"))
    parser.add_argument("--work", type=Path, required=True, help="folder for simulations")
    add_data_argument(parser)
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), metavar="CASE", default=list(CASES))
    parser.add_argument("--sets", type=int, default=400, help="parameter sets per connectome")
    parser.add_argument("--scheme", choices=SCHEMES, default="exponential", help="of simulations and margin")
    parser.add_argument("--starts", type=int, default=5, help="searches per connectome")
    parser.add_argument("--population", type=int, default=60)
    parser.add_argument("--generations", type=int, default=80)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    warnings.filterwarnings("ignore", category=mfm.errors.InputNote)
    args.work.mkdir(parents=True, exist_ok=True)
    (judge_margins if args.what == "margin" else judge_searches)(args)


if __name__ == "__main__":
    main()
