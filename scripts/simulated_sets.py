"""Parameter sets spread around an optimum or over a search, and what simulation shows of them, kept on disk.

Used by ``validate_linear_response.py``. Simulation is slow and theory is not: summaries are stored chunk by chunk, so that an
interrupted run goes on, and another version of the theory is compared with the same simulations at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import mfm
from mfm.io import load_connectome, load_timeseries, read_fcd_cdf, read_labels, read_map, read_matrix, write_atomic
from mfm.protocol import fcd_window_frames
from optim.config.objective import LinearObjectiveConfig
from optim.config.optimizer import CMAESConfig
from optim.objectives.linear import LinearObjective
from optim.search.run import run_search
from optim.search.space import SearchSpace

# Of the HCP.
TR_S, N_FRAMES = 0.72, 1200

# Edges of the stability margin (largest real part of the Jacobian's eigenvalues, per second) between which sets are spread.
MARGINS = (-np.inf, -5.0, -3.0, -1.5, -0.8, -0.4, -0.2, -0.1, 0.0)

# Frames from one FCD window to the next, in theory and simulation alike: moves the CDF by less than 0.005.
WINDOW_STEP = 5
PARAMETERS = ("w_EE", "w_EI", "sigma", "G")

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A connectome with the scan that its search is fitted to, and the maps and bounds of that search."""

    name: str
    scan: mfm.Scan
    maps: mfm.RegionalMaps
    bounds: mfm.Bounds
    dt_s: float | None = None
    scheme: str = LinearObjectiveConfig.scheme

    @property
    def protocol(self) -> mfm.Protocol:
        """Timing of the search's simulations in a fit, unless `dt_s` or `scheme` is another."""
        return LinearObjectiveConfig(dt_search_s=self.dt_s, scheme=self.scheme).protocol(self.scan, "search")

    @property
    def space(self) -> SearchSpace:
        return SearchSpace(mfm.MapParameterisation(self.maps, self.bounds))


def group_case(data: Path, name: str, atlas: str) -> Case:
    """HCP group averages, with two maps."""
    folder = data / atlas
    sc = load_connectome(folder / "group-train/SC.csv", transform="log1p", labels=read_labels(folder / "regions.txt"))
    fc = read_matrix(folder / "group-train/FC.csv")[0]
    target = mfm.Target(fc, read_fcd_cdf(folder / "group-train/FCD_CDF.csv"))
    return Case(name, mfm.Scan(target, sc, TR_S, N_FRAMES), two_maps(folder, sc.n_regions), mfm.Bounds())


def person_case(data: Path, name: str, subject: str, maps: str | None) -> Case:
    """One person's connectome and run; maps of the atlas `maps`, or none."""
    sc = load_connectome(data / subject / "SC.csv")
    run = load_timeseries(data / subject / "task-rest_run-1_timeseries.tsv", n_regions=sc.n_regions).values
    fc = mfm.functional_connectivity(run)
    target = mfm.Target(fc, mfm.fcd_cdf(run, fcd_window_frames(TR_S)))
    found = mfm.RegionalMaps.none(sc.n_regions) if maps is None else two_maps(data / maps, sc.n_regions)
    bounds = mfm.Bounds.for_subject(float(mfm.upper_triangle(fc).mean()))
    return Case(name, mfm.Scan(target, sc, TR_S, N_FRAMES), found, bounds)


def two_maps(folder: Path, n_regions: int) -> mfm.RegionalMaps:
    values = [read_map(folder / f"{name}.csv", n_regions) for name in ("myelin", "rsfc_gradient")]
    return mfm.RegionalMaps(values, ("myelin", "gradient"))


CASES: dict[str, Callable[[Path], Case]] = {
    "dk68-group": lambda data: group_case(data, "dk68-group", "dk68"),
    "dk68-sub-000": lambda data: person_case(data, "dk68-sub-000", "dk68-ebrains/sub-000", "dk68"),
    "dk68-sub-001": lambda data: person_case(data, "dk68-sub-001", "dk68-ebrains/sub-001", "dk68"),
    "schaefer100-group": lambda data: group_case(data, "schaefer100-group", "schaefer100-17n"),
    # Probabilistic tracking, symmetric in this file. No maps: the same parameters everywhere, but for the jitter.
    "aal2-101309": lambda data: person_case(data, "aal2-101309", "aal2-94/sub-101309", None),
}


# --- candidates ---


class Recorded:
    """An objective that keeps every candidate it scored within range, with its generation (0: before the first)."""

    def __init__(self, objective: LinearObjective):
        self.objective, self.generation, self.kept = objective, 0, []

    def evaluate(self, p: mfm.FICParameters, seed):
        evaluation = self.objective.evaluate(p, seed)
        for k in torch.nonzero(evaluation.within_range)[:, 0].tolist():
            self.kept.append(as_arrays(p[k]) | {"generation": np.array([self.generation])})
        self.generation += 1
        return evaluation


def as_arrays(p: mfm.FICParameters) -> Arrays:
    return {name: getattr(p, name).numpy() for name in PARAMETERS}


def as_parameters(arrays: Arrays) -> mfm.FICParameters:
    return mfm.FICParameters(**{name: arrays[name] for name in PARAMETERS})


def joined(parts: list[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def search(case: Case, args) -> Arrays:
    """A CMA-ES search by theory: all that was within range on the way, and its optimum in search coordinates."""

    def run() -> Arrays:
        began = time.perf_counter()
        recorded = Recorded(LinearObjective(case.scan, case.protocol, window_step=WINDOW_STEP))
        settings = CMAESConfig(population=args.population, generations=args.generations, initial_candidates=100, seed=args.seed)
        state = run_search(case.space, recorded, settings, "shared", 0, case.name)
        # Every generation whose trace holds a cost added a winner.
        costs = [row.best_total for row in state.trace if np.isfinite(row.best_total)]
        best = int(np.argmin(costs))
        log(f"{case.name}: search by theory ended at a cost of {costs[best]:.3f} ({time.perf_counter() - began:.0f} s)")
        return joined(recorded.kept) | {"optimum": state.winners[best]}

    return kept(args.work / f"{case.name}-search-{args.population}x{args.generations}-seed{args.seed}.npz", run)


def spread_candidates(case: Case, args) -> Arrays:
    """Parameter sets around the optimum of a search by theory, equally many in each interval of the stability margin.

    Steps in search coordinates have a standard deviation of up to `args.spread`, and each region's parameters another few
    percent. What leaves the range in a first simulation is counted, and left out.
    """
    optimum = search(case, args)["optimum"]
    rng = np.random.default_rng(args.seed)
    pool: list[Arrays] = []
    for _ in range(15):
        scale = rng.uniform(0.02, args.spread, size=(400, 1))
        u = optimum + scale * rng.normal(size=(400, len(optimum)))
        u = u[case.space.violation(u) == 0][:100]
        arrays = as_arrays(case.space.parameterisation.to_parameters(case.space.to_coefficients(u)))
        for name in ("w_EE", "w_EI", "sigma"):
            arrays[name] = (arrays[name] * (1 + args.jitter * rng.normal(size=arrays[name].shape))).clip(
                *getattr(case.bounds, name)
            )
        arrays["abscissa"] = mfm.linear_response(as_parameters(arrays), case.scan.sc, case.protocol).abscissa.numpy()
        stable = arrays["abscissa"] < 0
        pool.append({name: value[stable] for name, value in arrays.items()})
        if sum(len(part["G"]) for part in pool) >= 1.7 * args.sets:
            break
    candidates = joined(pool)
    order = interleaved(candidates["abscissa"], rng)[: int(1.6 * args.sets)]
    candidates = {name: value[order] for name, value in candidates.items()}
    log(f"{case.name}: {len(order)} stable sets, one simulation of each ...")
    seeds = noise_seeds(len(order), args.seed)
    return candidates | {"seed": seeds, "screened_in": stay_within_range(case, as_parameters(candidates), seeds)}


def interleaved(abscissa: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An order in which every prefix has about equally many of each interval of `MARGINS`, as far as there are any."""
    interval = np.digitize(abscissa, MARGINS)
    turn = np.empty(len(abscissa))
    for k in np.unique(interval):
        members = np.flatnonzero(interval == k)
        turn[rng.permutation(members)] = np.arange(len(members))
    return np.lexsort((interval, turn))


def noise_seeds(n: int, seed: int) -> np.ndarray:
    """Noise of its own for every candidate: their errors are independent."""
    return np.random.SeedSequence(seed).generate_state(n, np.uint64)


def stay_within_range(case: Case, p: mfm.FICParameters, seeds: np.ndarray) -> np.ndarray:
    """(B,) bool: which candidates stay within range in one realisation."""
    turns = [slice(k, k + 128) for k in range(0, p.n_candidates, 128)]
    sims = (mfm.simulate(p[turn], case.scan.sc, case.protocol, 1, seeds[turn].tolist()) for turn in turns)
    return np.concatenate([sim.within_range for sim in sims])


def run_candidates(case: Case, args) -> Arrays:
    """Candidates of one CMA-ES run, spread evenly over its generations; only those that the theory lets pass."""
    found = {name: value for name, value in search(case, args).items() if name != "optimum"}
    rng = np.random.default_rng(args.seed)
    # The same number of each generation, in random order.
    turn = np.empty(len(found["G"]))
    for generation in np.unique(found["generation"]):
        members = np.flatnonzero(found["generation"] == generation)
        turn[rng.permutation(members)] = np.arange(len(members))
    order = rng.permutation(np.lexsort((rng.random(len(turn)), turn))[: args.sets])
    chosen = {name: value[order] for name, value in found.items()}
    return chosen | {"seed": noise_seeds(len(order), args.seed), "screened_in": np.ones(len(order), bool)}


# --- simulation, kept on disk ---


def kept(path: Path, make: Callable[[], Arrays]) -> Arrays:
    """What is stored at `path`, made and stored first where it is not."""
    if not path.exists():
        arrays = make()

        def save(target: Path) -> None:
            with target.open("wb") as file:
                np.savez(file, **arrays)

        write_atomic(path, save)
    with np.load(path) as stored:
        return dict(stored)


def simulated_summaries(case: Case, args, choose) -> tuple[Arrays, Arrays, Arrays]:
    """All candidates; those that were simulated; and their summaries: FC of every realisation, CDFs of both halves, rates."""
    folder = args.work / f"{case.name}-{choose.__name__}-{args.sets}x{args.repeats}-seed{args.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    candidates = kept(folder / "candidates.npz", lambda: choose(case, args))
    # A few more than asked for: some will leave the range in a later realisation.
    limit = args.limit or int(1.04 * args.sets)
    chosen = {name: value[candidates["screened_in"]][:limit] for name, value in candidates.items()}
    step = f"dt{1e3 * case.dt_s:g}ms-" if case.dt_s else ""
    n, size = len(chosen["G"]), max(1, 128 // args.repeats)  # whole vectors of lanes
    chunks = []
    for first in range(0, n, size):
        part = {name: value[first : first + size] for name, value in chosen.items()}
        path = folder / f"{step}chunk-{first:04d}.npz"
        if args.no_simulation and not path.exists():
            break
        began = time.perf_counter()
        chunks.append(kept(path, lambda part=part: summaries(case, part, args.repeats)))
        if time.perf_counter() - began > 1:
            log(f"{case.name}: {min(first + size, n)} of {n} simulated, {time.perf_counter() - began:.0f} s")
    if not chunks:
        raise SystemExit(f"Nothing is simulated in {folder}; leave out --no-simulation.")
    simulated = joined(chunks)
    return candidates, {name: value[: len(simulated["rate_E"])] for name, value in chosen.items()}, simulated


def summaries(case: Case, part: Arrays, repeats: int) -> Arrays:
    sim = mfm.simulate(as_parameters(part), case.scan.sc, case.protocol, repeats, part["seed"].tolist())
    fc = mfm.upper_triangle(mfm.functional_connectivity(sim.bold))
    cdf = mfm.fcd_cdf(sim.bold, case.protocol.window_frames, len(case.scan.target.fcd_cdf), step_frames=WINDOW_STEP)
    halves = torch.stack([cdf[:, : repeats // 2].mean(dim=1), cdf[:, repeats // 2 :].mean(dim=1)], dim=1)
    found = {"fc": fc, "cdf_halves": halves, "rate_E": sim.rate_E, "S_E": sim.S_E, "S_I": sim.S_I}
    return {name: value.numpy().astype(np.float32) for name, value in found.items()}


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    shared = Path(os.environ.get("MFMFIT_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    parser.add_argument("--data", type=Path, default=shared / "data", help="folder of the reference data")


def log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
