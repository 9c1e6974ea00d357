"""The FIC model with a missing part, learned from neural time series: shape, which way of joining identifies what, placebo.

``python scripts/bench_ude_fic.py``; thresholds are set here, before any run; seeds 100 to 114 were used for nothing else.
Series are Euler-Maruyama paths of S_E and S_I at 1 ms, known without measurement noise.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import torch

import mfm
from mfm.ude import (
    FICMechanism,
    Hybrid,
    Library,
    ResidualBasis,
    SparseRule,
    Trajectories,
    one_step_score,
    placebo,
    resolve_feedback,
    simulate_paths,
)
from mfm.ude.equations.residuals import Residual
from mfm.ude.estimates.path_fit import path_fit
from mfm.ude.formulas.path_regression import path_regression

SEEDS = (100, 101, 102, 103, 104)
MORE_SEEDS = (105, 106, 107, 108, 109)
RANK_SEEDS = (110, 111, 112, 113, 114)
N = 20
DT_S = 0.001
TRIALS, TRIAL_S = 24, 10.0
SIGMA = 0.01
PARTS = ("shape", "joining", "placebo")


class Truth(Residual):
    """``1.2 tanh(2 s h) x - 60 x^2``, x: S_E from rest, h of unit spread; the library holds it in part."""

    spread = 1.0

    def raw(self, features):
        x, h = features[..., 0], features[..., 1]
        return 1.2 * torch.tanh(2 * self.spread * h) * x - 60 * x**2


def mechanism(seed: int = 0) -> tuple[FICMechanism, mfm.RegionalMaps]:
    """20 regions with a random symmetric connectome and a random map h."""
    rng = np.random.default_rng(seed)
    weights = np.exp(rng.normal(size=(N, N)))
    weights = (weights + weights.T) / 2
    np.fill_diagonal(weights, 0)
    p = mfm.FICParameters(np.full((1, N), 3.0), np.full((1, N), 2.5), np.full((1, N), SIGMA), [1.5])
    maps = mfm.RegionalMaps([rng.normal(size=N)], ("h",))
    return FICMechanism(p, mfm.Connectome(0.02 * weights / weights.max())), maps


def series(model: Hybrid, seed: int, trials: int = TRIALS) -> Trajectories:
    paths = simulate_paths(model, DT_S, round(TRIAL_S / DT_S), n_repeats=trials, seed=seed)
    return Trajectories(paths, DT_S, ["S_E", "S_I"], time_unit="s", noise_std=[1e-9, 1e-9])


def terms(fic: FICMechanism, maps: mfm.RegionalMaps) -> ResidualBasis:
    """All ten monomials of S_E (from rest) and h up to third degree."""
    return ResidualBasis("S_E", ("S_E",), maps=maps, origin=[float(fic.rest[0, 0])], degree=3)


def ranked(maps: mfm.RegionalMaps) -> mfm.RegionalMaps:
    """The same map by ranks: even, and as bounded as what saturates."""
    return mfm.RegionalMaps([maps.values[0].argsort().argsort().astype(float)], maps.names)


def shape(say, spread: float, seeds: tuple[int, ...], ranks: bool = False) -> None:
    """F1: 240 s of 20 regions, regional differences saturating with the map's `spread`; library of h, or of its ranks."""
    fic, maps = mechanism()
    library = terms(fic, ranked(maps) if ranks else maps)
    residual = Truth("S_E", ("S_E",), maps=maps, origin=[float(fic.rest[0, 0])])
    residual.spread = spread
    truth = Hybrid(fic, residual)
    exact, within, errors, floors = 0, 0, [], []
    for seed in seeds:
        data = series(truth, seed)
        found, se = path_regression(Hybrid(fic), data, library)
        x = data.values[0, :, ::50].flatten(0, 1)[None]
        true = truth.residual_values(x)[0].flatten()
        values = library.library.evaluate(library.features(x[..., :1])).flatten(0, 2)

        def nrmse(learned, true=true) -> float:
            return float((learned - true).square().mean().sqrt() / true.std())

        # The best coefficients that the two terms can have for this truth, on these states, and what they leave.
        pair = [found.library.names.index(name) for name in ("S_E^2", "S_E h")]
        best = torch.linalg.lstsq(values[:, pair], true).solution
        good = set(found.terms) == {"S_E^2", "S_E h"}
        z = np.abs(found.coefficients[pair] - best.numpy()) / se[pair]
        exact, within = exact + good, within + (good and z.max() <= 2)
        errors.append(nrmse(values @ torch.from_numpy(found.coefficients)))
        floors.append(nrmse(values[:, pair] @ best))
        say(f"seed {seed}: {found.formula}; errors {se[found.support].round(2)}; z {z.round(2)}; NRMSE {errors[-1]:.2f}")
    print(
        f"F1, spread {spread:g}{', h by ranks' if ranks else ''}: exact support {exact}/{len(seeds)} (bar 4/5); "
        f"within 2 SE {within}/{len(seeds)}; NRMSE {np.median(errors):.2f} (bar .30), "
        f"of which the library's own shapes cost {np.median(floors):.2f}"
    )


def joining(say) -> None:
    """Parallel, series and both, each fitted to data of each truth: score on held-out data over the mechanism's, and errors."""
    fic, maps = mechanism()
    rest = fic.rest[0].tolist()

    def part(kind: str, coefficients) -> ResidualBasis:
        if kind == "parallel":
            library = Library.of(("S_E", "h"), ["S_E^2", "S_E h"])
            return ResidualBasis("I_E", ("S_E",), maps=maps, origin=[rest[0]], library=library, coefficients=coefficients)
        return ResidualBasis("w_EE", (), maps=maps, library=Library.of(("h",), ["h", "h^2"]), coefficients=coefficients)

    true = {"parallel": [-2.0, 0.05], "series": [0.5, 0.0]}
    kinds = {"parallel": ("parallel",), "series": ("series",), "parallel_series": ("parallel", "series")}
    print("| truth \\ fitted | mechanism | " + " | ".join(kinds) + " |")
    print("|---|---|---|---|---|")
    for name, held in kinds.items():
        settled = resolve_feedback(Hybrid(fic, [part(k, true[k]) for k in held], name)).model
        known = Hybrid(settled.mechanism, ())
        train, test = series(settled, SEEDS[0], 6), series(settled, SEEDS[1], 6)
        base = float(one_step_score(known, test))
        row = ["0"]
        for mode, fitted in kinds.items():
            found = path_fit(Hybrid(settled.mechanism, [part(k, None) for k in fitted], mode), train)
            gain = (float(one_step_score(found.model, test)) - base) * test.observed.sum().item()
            text = "; ".join(f"{c:.3g}+-{e:.2g}" for c, e in zip(found.coefficients, found.errors, strict=True))
            row.append(f"{gain:+.1f} ({text})")
            say(f"{name} fitted by {mode}: held-out gain {gain:.1f} nats, {text}")
        print(f"| {name} | " + " | ".join(row) + " |")
    print(
        f"true coefficients: I_E: S_E^2 {true['parallel'][0]}, S_E h {true['parallel'][1]}; w_EE: h {true['series'][0]}, h^2 0"
    )


def false_positives(say, n: int) -> None:
    """Fits to data of the mechanism alone; 30 s each, with the standard rule."""
    fic, maps = mechanism()
    library = terms(fic, maps)

    def learn(data: Trajectories) -> tuple[bool, float]:
        found, _ = path_regression(Hybrid(fic), data, library)
        return bool(found.support.any()), float(np.abs(found.coefficients).max())

    result = placebo(lambda seed: series(Hybrid(fic), seed, 3), learn, n, seed=1000)
    say(f"placebo sizes {result.size.round(2).tolist()}")
    print(f"placebo: {int(result.found.sum())} of {n} claim a missing part; bar 5 %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--placebos", type=int, default=60)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()

    def say(text: str) -> None:
        print(f"{time.perf_counter() - began:.0f} s: {text}", file=sys.stderr, flush=True)

    if "shape" in args.parts:
        shape(say, 1.0, SEEDS)
        shape(say, 0.5, MORE_SEEDS)
        shape(say, 1.0, RANK_SEEDS, ranks=True)
    if "joining" in args.parts:
        joining(say)
    if "placebo" in args.parts:
        false_positives(say, args.placebos)
    print(f"rule: {SparseRule(share=0.0, blocks=60)}")


if __name__ == "__main__":
    main()
