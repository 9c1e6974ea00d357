"""How well linear response predicts simulation.

``python scripts/validate_linear_response.py fc --work FOLDER``: FC and FCD of parameter sets spread around an optimum, by
connectome and by stability margin. ``... rank --work FOLDER``: do theory and simulation rank a CMA-ES run's candidates alike?

Tables go to standard output, progress to standard error, and one row per parameter set to FOLDER. Simulations are kept there
too: a second run, after the theory has changed, compares with the same ones (``--no-simulation``: with those that are there).
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
from scipy.stats import pearsonr, spearmanr
from simulated_sets import (
    CASES,
    MARGINS,
    WINDOW_STEP,
    Arrays,
    Case,
    add_data_argument,
    as_parameters,
    log,
    run_candidates,
    simulated_summaries,
    spread_candidates,
)

import mfm
from mfm.io import write_tsv
from mfm.models.constants import NEURAL
from mfm.models.fic_feedback import rate_and_slope
from optim.objectives.linear import LinearObjective
from optim.objectives.surrogate import SurrogateObjective
from surrogate import load_pretrained

TERMS = ("total", *mfm.Cost.TERMS)
_HALVINGS = 20

# Integration step x decay rate of S_I between which results are shown apart.
STEPS = (0.0, 1.0, 1.5, 1.8, 2.0, 2.1, np.inf)


def load_case(name: str, args) -> Case:
    return replace(CASES[name](args.data), dt_s=args.dt)


def spearman_brown(r, factor: float = 2.0):
    """Reliability of a measurement `factor` times as long as one that has reliability `r`."""
    return factor * r / (1 + (factor - 1) * r)


def split_half_reliability(fc: np.ndarray, rng: np.random.Generator) -> float:
    """Reliability of the mean of realisations (R, pairs): split halves at random, Spearman-Brown, mean over halvings."""
    half = len(fc) // 2
    r = []
    for _ in range(_HALVINGS):
        order = rng.permutation(len(fc))
        r.append(np.corrcoef(fc[order[:half]].mean(axis=0), fc[order[half : 2 * half]].mean(axis=0))[0, 1])
    return float(spearman_brown(np.mean(r)))


def mean_of(cdf: np.ndarray) -> float:
    """Mean of a distribution on [-1, 1] given as its CDF on equal bins."""
    return float(1 - 2 * cdf.mean())


def cost_terms(prefix: str, fc: torch.Tensor, cdf: np.ndarray, case: Case) -> dict[str, float]:
    cost = mfm.cost(fc[None], torch.as_tensor(cdf, dtype=torch.float64)[None], case.scan.target)
    return {f"{term}_{prefix}": float(getattr(cost, term)[0]) for term in TERMS}


def square(pairs: np.ndarray, n_regions: int) -> torch.Tensor:
    """FC as a matrix again from its upper triangle."""
    fc = np.eye(n_regions)
    i, j = np.triu_indices(n_regions, 1)
    fc[i, j] = fc[j, i] = pairs
    return torch.from_numpy(fc)


def inhibitory_step(case: Case, part: Arrays) -> float:
    """The integration step in units of S_I's fastest decay: Euler's method overshoots beyond 1 and diverges beyond 2."""
    I_I = mfm.resting_state(torch.from_numpy(part["w_EI"])).I_I
    slope = rate_and_slope(I_I, NEURAL.a_I, NEURAL.b_I, NEURAL.d_I)[1]
    return case.protocol.dt_s * (1 / NEURAL.tau_I + float(slope.max()))


# --- FC and FCD ---------------------------------------------------------------------------------------------------------------


def compare_set(case: Case, part: Arrays, fc: np.ndarray, halves: np.ndarray, args, rng) -> dict[str, float]:
    """One parameter set: theory against the mean of R realisations, FC (R, pairs) and CDFs of two halves of them (2, K)."""
    N = case.scan.sc.n_regions
    with torch.no_grad():
        lin = mfm.linear_response(as_parameters(part), case.scan.sc, case.protocol)
        bold = lin.sample_bold(args.samples, int(part["seed"][0] % 2**62))
    theory = mfm.upper_triangle(lin.fc[0]).double().numpy()
    sampled = mfm.upper_triangle(mfm.functional_connectivity(bold[0])).mean(dim=0).numpy()
    cdf = (
        mfm.fcd_cdf(bold[0].float(), case.protocol.window_frames, halves.shape[1], step_frames=WINDOW_STEP).mean(dim=0).numpy()
    )
    mean, sim_cdf = fc.mean(axis=0), halves.mean(axis=0)
    reliability = split_half_reliability(fc, rng)
    r = np.corrcoef(theory, mean)[0, 1]
    return {
        "abscissa": float(lin.abscissa[0]),
        "inhibitory_step": inhibitory_step(case, part),
        "G": float(part["G"][0]),
        "mean_sigma": float(part["sigma"].mean()),
        "reliability": reliability,
        "r": float(r),
        "r_disattenuated": float(r / np.sqrt(reliability)) if reliability > 0 else float("nan"),
        "mean_fc": float(mean.mean()),
        "mean_fc_noise": float(fc.mean(axis=1).std(ddof=1) / np.sqrt(len(fc))),
        "mean_fc_error": float(theory.mean() - mean.mean()),
        "finite_scan_bias": float(sampled.mean() - theory.mean()),
        "fc_rms_error": float(np.sqrt(np.mean((theory - mean) ** 2))),
        "ks_theory": float(np.abs(cdf - sim_cdf).max()),
        # Noise of a mean of n series goes with 1 / sqrt(n): from two halves of R to a mean of R and one of the samples.
        "ks_noise": float(np.abs(halves[0] - halves[1]).max() * np.sqrt((1 / len(fc) + 1 / args.samples) / (4 / len(fc)))),
        "fcd_mean_error": mean_of(cdf) - mean_of(sim_cdf),
        **cost_terms("sim", square(mean, N), sim_cdf, case),
        **cost_terms("lin", lin.fc[0].double(), cdf, case),
    }


def compare_case(case: Case, args) -> tuple[list[dict], Arrays]:
    candidates, chosen, simulated = simulated_summaries(case, args, spread_candidates)
    rate_E = torch.from_numpy(simulated["rate_E"])
    within = mfm.within_range(rate_E).all(dim=1).numpy()
    excursion = (rate_E - 3).abs().amax(dim=(1, 2)).numpy()
    log(f"{case.name}: {within.sum()} of {len(within)} simulated sets stay within range in every realisation; comparing ...")
    rng = np.random.default_rng(0)
    began = time.perf_counter()
    rows = []
    for k in np.flatnonzero(within)[: args.sets]:
        part = {name: value[k : k + 1] for name, value in chosen.items()}
        row = compare_set(case, part, simulated["fc"][k].astype(float), simulated["cdf_halves"][k].astype(float), args, rng)
        rows.append({"connectome": case.name, "set": int(k), **row, "largest_rate_error": float(excursion[k])})
    log(f"{case.name}: {len(rows)} sets compared in {time.perf_counter() - began:.0f} s")
    # Of all linearly stable sets that were tried: one realisation for those left out, all of them for those taken.
    stayed = candidates["screened_in"].copy()
    stayed[np.flatnonzero(stayed)[: len(within)]] = within
    tried = {"abscissa": candidates["abscissa"], "stayed": stayed}
    return rows, tried


def spread_of(rows: list[dict], name: str, digits: int = 3) -> str:
    """Median [5 %, 95 %] of a column; sets whose FC has no reliability at all have no disattenuated r."""
    values = np.array([row[name] for row in rows])
    if np.isnan(values).all():
        return "-"
    low, median, high = np.nanquantile(values, [0.05, 0.5, 0.95])
    return f"{median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


FC_COLUMNS = {
    "reliability": "reliability",
    "r": "r",
    "r_disattenuated": "r disattenuated",
    "mean_fc": "mean FC, simulated",
    "mean_fc_error": "error of mean FC",
    "mean_fc_noise": "its noise",
    "finite_scan_bias": "finite-scan bias",
    "ks_theory": "KS of FCD",
    "ks_noise": "KS by noise",
    "fcd_mean_error": "error of mean FCD",
    "cost_bias": "bias of cost",
}


def print_table(title: str, groups: dict[str, list[dict]], extra: dict[str, str] | None = None) -> None:
    """Markdown: a row per group of parameter sets, medians and 5 to 95 % of each column."""
    print(f"\n| {title} | sets |{' stayed within range |' if extra else ''} {' | '.join(FC_COLUMNS.values())} |")
    print("|" + "---|" * (len(FC_COLUMNS) + (3 if extra else 2)))
    for name, rows in groups.items():
        if not rows and not (extra and extra.get(name)):
            continue
        cells = [spread_of(rows, column) for column in FC_COLUMNS] if rows else ["-"] * len(FC_COLUMNS)
        print(f"| {name} | {len(rows)} |{f' {extra[name]} |' if extra else ''} {' | '.join(cells)} |")


def compare_fc(args) -> None:
    groups, tried = {}, []
    for name in args.cases:
        groups[name], found = compare_case(load_case(name, args), args)
        tried.append(found)
    rows = [row for group in groups.values() for row in group]
    for row in rows:
        row["cost_bias"] = row["total_lin"] - row["total_sim"]
    write_tsv(args.work / "fc.tsv", list(rows[0]), [list(row.values()) for row in rows])
    print(f"\nErrors are theory minus simulation ({args.repeats} realisations). Median [5 %, 95 %].")
    print_table("connectome", groups)
    stable = {f"{low:g} to {high:g}": [r for r in rows if low <= r["inhibitory_step"] < high] for low, high in pairwise(STEPS)}
    print_table("step x rate of S_I", stable)
    abscissa, stayed = (np.concatenate([part[name] for part in tried]) for name in ("abscissa", "stayed"))
    margins, shares = {}, {}
    for low, high in pairwise(MARGINS):
        label = f"{low:g} to {high:g}"
        margins[label] = [row for row in rows if low <= row["abscissa"] < high]
        inside = (abscissa >= low) & (abscissa < high)
        shares[label] = f"{stayed[inside].sum()} of {inside.sum()}" if inside.any() else ""
    print_table("abscissa, 1/s", margins, shares)


# --- rank ---


def rank_case(case: Case, args) -> None:
    """Theory and simulation of one run's candidates: correlations of every term, and what choosing by theory costs."""
    _, chosen, simulated = simulated_summaries(case, args, run_candidates)
    within = mfm.within_range(torch.from_numpy(simulated["rate_E"])).all(dim=1).numpy()
    p = as_parameters({name: value[within] for name, value in chosen.items()})
    objective = LinearObjective(
        case.scan, case.protocol, n_samples=args.samples, window_step=WINDOW_STEP, n_repeats=simulated["fc"].shape[1]
    )
    evaluation = objective.evaluate(p, args.seed)
    fc, halves = simulated["fc"][within].astype(float), simulated["cdf_halves"][within].astype(float)
    R, N, target = fc.shape[1], case.scan.sc.n_regions, case.scan.target

    def simulated_cost(which: slice, cdf: np.ndarray) -> mfm.Cost:
        return mfm.cost(torch.stack([square(x[which].mean(axis=0), N) for x in fc]), torch.from_numpy(cdf), target)

    whole = simulated_cost(slice(None), halves.mean(axis=1))
    first, second = simulated_cost(slice(R // 2), halves[:, 0]), simulated_cost(slice(R // 2, None), halves[:, 1])
    scored = torch.isfinite(evaluation.cost.total).numpy()
    table = {"generation": chosen["generation"][within][scored]}
    print(f"\n{case.name}: {within.sum()} of {len(within)} candidates stayed within range in {R} realisations.")
    print("\n| term | Spearman | Pearson | Spearman of two halves | highest attainable | median predicted - simulated |")
    print("|---|---|---|---|---|---|")
    for term in TERMS:
        lin, sim, a, b = (getattr(cost, term).numpy()[scored] for cost in (evaluation.cost, whole, first, second))
        halves_agree = spearmanr(a, b)[0]
        ceiling = np.sqrt(spearman_brown(halves_agree))
        print(
            f"| {term} | {spearmanr(lin, sim)[0]:.3f} | {pearsonr(lin, sim)[0]:.3f} | {halves_agree:.3f} | {ceiling:.3f} "
            f"| {np.median(lin - sim):+.3f} |"
        )
        table |= {f"{term}_lin": lin, f"{term}_sim": sim}
    learned = SurrogateObjective(case.scan, case.protocol, load_pretrained(), gate="none", n_repeats=R).evaluate(p, args.seed)
    by_surrogate = learned.cost.total.numpy()[scored]
    print(
        f"| total, by the shipped surrogate | {spearmanr(by_surrogate, table['total_sim'], nan_policy='omit')[0]:.3f} | | | | |"
    )
    ten = np.argsort(table["total_lin"])[:10]
    # Chosen in one half and judged in the other, else the simulation's own ten profit from their luck.
    a, b = first.total.numpy()[scored], second.total.numpy()[scored]
    best = (b[np.argsort(a)[:10]].mean() + a[np.argsort(b)[:10]].mean()) / 2
    print(f"\nMean simulated cost of the ten best by theory {table['total_sim'][ten].mean():.3f}, by simulation {best:.3f}.")
    write_tsv(args.work / f"rank-{case.name}.tsv", list(table), zip(*table.values(), strict=True))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("fc", "rank"))
    parser.add_argument("--work", type=Path, required=True, help="folder for simulations and tables")
    add_data_argument(parser)
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--sets", type=int, help="parameter sets per connectome (200 for fc, 160 for rank)")
    parser.add_argument("--repeats", type=int, help="realisations of each (16 for fc, 8 for rank)")
    parser.add_argument("--samples", type=int, help="series sampled from the theory for FCD (16 for fc, 3 for rank)")
    parser.add_argument("--spread", type=float, default=0.15, help="largest standard deviation around the optimum, in ranges")
    parser.add_argument("--jitter", type=float, default=0.03, help="further relative deviation of each region")
    parser.add_argument("--population", type=int, default=40, help="of the search by theory")
    parser.add_argument("--generations", type=int, default=50)
    parser.add_argument("--dt", type=float, help="neural step of the simulations, seconds (default: that of a search, 0.006)")
    parser.add_argument("--limit", type=int, help="simulate and compare at most this many sets of each connectome")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-simulation", action="store_true", help="compare with the simulations that are there")
    args = parser.parse_args(argv)
    warnings.filterwarnings("ignore", category=mfm.errors.InputNote)
    fc = args.what == "fc"
    args.cases = args.cases or (list(CASES) if fc else ["dk68-group", "dk68-sub-000"])
    args.sets, args.repeats = args.sets or (200 if fc else 160), args.repeats or (16 if fc else 8)
    args.samples = args.samples or (16 if fc else 3)
    args.work.mkdir(parents=True, exist_ok=True)
    if fc:
        compare_fc(args)
        return
    for name in args.cases:
        rank_case(load_case(name, args), args)


if __name__ == "__main__":
    main()
