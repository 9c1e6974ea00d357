"""What refinements find where the truth is known: ``python scripts/bench_refine.py recovery|verdicts|placebo|speed``.

``recovery``: a model with a slope ``a tanh(2 h)`` along a map, learned from noise-free FC, from FC and from the spectra
of scans of given length (independent samples: twice the bandwidth of 0.082 Hz times the time). ``verdicts``: what whole
refinements of such scans say. ``placebo``: how often a refinement claims a residual where there is none. ``speed``: one
refinement of 68 regions. All scans are those of the linear theory, but for ``placebo --simulated``.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

import mfm
from mfm.demo import demo_subject
from mfm.linear.fisher_z import FisherZLikelihood
from mfm.linear.system import LinearSystem
from mfm.ude import LinearResidual
from optim.config.refine import RefineConfig
from optim.refine.information import fisher_report
from optim.refine.learn import Refiner, compare_models, refine
from optim.refine.nulls import mechanism_scan, moran_surrogates
from optim.refine.placebos import simulate_scans
from optim.refine.problem import RefinementProblem
from optim.refine.task import Recording, Task
from optim.refine.tunable_fit import TunableFit

TR_S, BANDWIDTH_HZ = 0.72, 0.082
N = 24


def network(n: int, seed: int = 1) -> mfm.Connectome:
    """Regions on a sphere, tied by the exponential of their distance times a lognormal factor."""
    rng = np.random.default_rng(seed)
    place = rng.normal(size=(n, 3))
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    distance = np.linalg.norm(place[:, None] - place, axis=2)
    factor = np.exp(0.8 * rng.normal(size=(n, n)))
    weights = np.exp(-2 * distance) * (factor + factor.T)
    np.fill_diagonal(weights, 0)
    return mfm.Connectome(0.3 * (weights / weights.max()) ** 1.5)


def mechanism(anchor: float = 0.05, n: int = N) -> tuple[TunableFit, mfm.Connectome, mfm.RegionalMaps]:
    """A homogeneous fit of the network, and a smooth map h in [-1, 1] for the residual.

    FC of the fit and of a truth with a slope of 3 (1.2) tanh(2 h) correlate at 0.981 (0.997) over pairs of regions.
    """
    sc = network(n)
    rng = np.random.default_rng(2)
    h = np.linalg.eigh(sc.weights)[1][:, -3] + 0.1 * rng.normal(size=n)
    h = 2 * (np.argsort(np.argsort(h)) + 0.5) / n - 1
    parameterisation = mfm.MapParameterisation(mfm.RegionalMaps.none(n))
    names = parameterisation.names
    values = {"w_EE": 1.5, "w_EI": 2.5, "G": 2.8, "sigma": 0.005}
    fit = TunableFit.of(parameterisation, [values[name] for name in names], anchor=anchor)
    return fit, sc, mfm.RegionalMaps(h[None], ("h",))


def truth_of(fit: TunableFit, sc: mfm.Connectome, h: np.ndarray, amplitude: float) -> tuple[LinearSystem, torch.Tensor]:
    """The linearised model with the slope ``amplitude tanh(2 h)``, centred, and that slope."""
    shape = np.tanh(2 * h)
    residual = LinearResidual.of(mfm.RegionalMaps(shape[None], ("t",)), sc, bound=1.0)
    c = torch.tensor([amplitude * shape.std()])
    system = RefinementProblem(fit.frozen(), residual, sc, None, torch.ones(1)).system(c)  # type: ignore[arg-type]
    assert system is not None
    return system, residual.slopes(c)


def nrmse(found: torch.Tensor, truth: torch.Tensor) -> float:
    return float((found - truth).square().mean().sqrt() / truth.std(correction=0))


def recovery(args) -> None:
    fit, sc, maps = mechanism()
    h = maps.values[0]
    print(
        "| truth | data | terms | fit | slope NRMSE | coefficient (SE) | SE before learning | held-out r: mechanism, residual |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for amplitude in (3.0, 1.2):
        system, slope = truth_of(fit, sc, h, amplitude)
        # The map itself, and the true shape.
        shapes = mfm.RegionalMaps(np.stack([h, np.tanh(2 * h)]), ("h", "t"))
        for data, samples in (("noise-free FC", np.inf), ("FC", 1200), ("spectra", 1200), ("spectra", 140)):
            frames = round((1200 if np.isinf(samples) else samples) / (2 * BANDWIDTH_HZ * TR_S))
            protocol = mfm.Protocol(TR_S, frames, dt_s=TR_S)
            scans = mechanism_scan(system, protocol, 1.0, 0.0, args.seed)
            recorded = [Recording.of_series(scan, TR_S) for scan in scans]
            if np.isinf(samples):
                z = FisherZLikelihood(recorded[0].fc, protocol).predicted(system)
                fc = torch.eye(N, dtype=torch.float64)
                i, j = torch.triu_indices(N, N, 1)
                fc[i, j] = fc[j, i] = torch.tanh(z)
                recorded = [Recording(fc, protocol)] * 2
            loss = "whittle" if data == "spectra" else "fc"
            for told, terms, network_of in (("h x", ["h x"], []), ("t x", ["t x"], []), ("network of h", [], ["h"])):
                config = RefineConfig(loss=loss, terms=terms, network=network_of, prior=0.25, bound=0.5, amplitude="regional")
                task = Task(fit, sc, shapes, *recorded, config)
                residual, report = fisher_report(task)
                if network_of:  # of the network's shapes those that a scan can tell
                    keep = [k for k, term in enumerate(report) if not term.refused]
                    residual, report = residual.select(keep), [report[k] for k in keep]
                refiner = Refiner(task)
                base = refiner.mechanism(with_fc=True)
                for name, mode in (("held", fit.frozen()), ("free", fit)):
                    learned = refiner.judge(name, task.problem(mode, residual), with_fc=True)
                    x = learned.optimum.x[: residual.n_terms]
                    errors = [term.error_frozen if name == "held" else term.error for term in report]
                    values = ", ".join(
                        f"{v:.2f}({s:.2f})"
                        for v, s in zip(x, torch.linalg.inv(learned.optimum.at.information).diagonal().sqrt(), strict=False)
                    )
                    cells = (
                        f"{amplitude:g}", data if np.isinf(samples) else f"{data}, {samples}", told, name,
                        f"{nrmse(residual.slopes(x), slope):.3f}", values, ", ".join(f"{e:.2f}" for e in errors),
                        f"{base.fc_r:.4f}, {learned.fc_r:.4f}",
                    )  # fmt: skip
                    print("| " + " | ".join(cells) + " |", flush=True)


def verdicts(args) -> None:
    """Whole refinements with default priors, 19 placebos and 19 permuted maps."""
    fit, sc, maps = mechanism()
    for amplitude in (3.0, 1.2):
        system, _ = truth_of(fit, sc, maps.values[0], amplitude)
        for loss, samples in (("fc", 1200), ("whittle", 140), ("whittle", 1200)):
            frames = round(samples / (2 * BANDWIDTH_HZ * TR_S))
            scans = mechanism_scan(system, mfm.Protocol(TR_S, frames, dt_s=TR_S), 1.0, 0.0, args.seed)
            config = RefineConfig(loss=loss, terms=["h x"], placebos=19, spins=19, starts=1)
            found = refine(Task(fit, sc, maps, *(Recording.of_series(scan, TR_S) for scan in scans), config))
            term = found.terms[0]
            told = f"SE beforehand {term.error:.2f}, value {term.value:.2f}({term.value_error:.2f})"
            print(f"truth {amplitude:g}, {loss}, {samples} samples: {told}: {found.verdict}", flush=True)


def placebo(args) -> None:
    """All that a verdict asks, on scans of the mechanism; each scan's placebos are the others."""
    fit, sc, maps = mechanism()
    for loss, samples in (("whittle", 140), ("whittle", 1200), ("fc", 1200)):
        if args.loss not in (None, loss) or args.samples not in (None, samples):
            continue
        frames = round(samples / (2 * BANDWIDTH_HZ * TR_S))
        config = RefineConfig(loss=loss, terms=["h x"], prior=0.25, bound=0.5)
        blank = Recording.of_series(torch.randn((frames, N), dtype=torch.float64), TR_S)
        nulls = moran_surrogates(maps, sc.weights, args.spins, 3)
        rows = []
        task = Task(fit, sc, maps, blank, blank, config)
        problem = task.problem(fit.frozen(), None)
        system = problem.system(problem.start)
        assert system is not None
        protocol = mfm.Protocol(TR_S, frames, dt_s=TR_S)
        if args.simulated:
            pairs = simulate_scans(*problem.parameters(problem.start), protocol, 2 * args.n, 50)[0].split(2)
        else:
            pairs = [mechanism_scan(system, protocol, 1.0, 0.0, 50 + k) for k in range(args.n)]
        n_refused = 0
        for scans in pairs:
            task = replace(task, train=Recording.of_series(scans[0], TR_S), held_out=Recording.of_series(scans[1], TR_S))
            residual, report = fisher_report(task)
            n_refused += report[0].refused
            refiner = Refiner(task)
            base, learned = refiner.mechanism(with_fc=True), refiner.hybrid(residual, with_fc=True)
            first = compare_models(learned, base, 1)
            spins = np.array([refiner.gain(task.residual(null), base) for null in nulls])
            slope = residual.slopes(learned.optimum.x[: residual.n_terms])
            p_spin = (1 + (spins >= first.gain).sum()) / (1 + len(spins))
            rows.append((first.gain, first.is_better, p_spin, float(slope.square().mean().sqrt()), learned.fc_r - base.fc_r))
        gain, better, p_spin, rms, change = (np.array(column) for column in zip(*rows, strict=True))
        p = np.array([(1 + (np.delete(gain, k) >= gain[k]).sum()) / len(gain) for k in range(len(gain))])
        claimed = better.astype(bool) & (p <= 0.05) & (p_spin <= 0.05)
        print(
            f"{loss}, {samples} samples, {args.n} placebos: refused beforehand {n_refused}; claimed had it been learned "
            f"{claimed.sum()} (held-out interval above zero {better.sum():.0f}, placebo p {(p <= 0.05).sum()}, "
            f"permuted maps p {(p_spin <= 0.05).sum()}); slope rms {rms.mean():.3f} (largest {rms.max():.3f}) per second; "
            f"held-out r changes by {change.mean():+.4f} [{change.min():+.4f}, {change.max():+.4f}]; "
            f"gain {gain.mean():+.2f} nats (largest {gain.max():+.2f})",
            flush=True,
        )


def speed(args) -> None:
    demo = demo_subject()
    parameterisation = mfm.MapParameterisation(demo.subject.maps)
    theta = torch.as_tensor(demo.coefficients).double().reshape(-1)
    theta[0] -= 1.0  # well away from the instability
    fit, sc = TunableFit.of(parameterisation, theta), demo.subject.search.sc
    system = RefinementProblem(fit.frozen(), None, sc, None, torch.zeros(0)).system(torch.zeros(0))  # type: ignore[arg-type]
    assert system is not None
    scans = mechanism_scan(system, mfm.Protocol(TR_S, 1200, dt_s=TR_S), 1.0, 1e-6, 5)
    maps = mfm.RegionalMaps(np.random.default_rng(0).normal(size=(2, 68)), ("a", "b"))
    for told, options in (("one refinement, Fisher report and both fits", {"starts": 1, "placebos": 0, "spins": 0}),
                          ("5 starts, 20 placebos, 99 permuted maps", {})):  # fmt: skip
        config = RefineConfig(amplitude="global", **options)
        began, cpu = time.perf_counter(), time.process_time()
        task = Task(fit, sc, maps, *(Recording.of_series(scan, TR_S) for scan in scans), config)
        found = refine(task)
        print(f"{told}: {time.perf_counter() - began:.0f} s, {time.process_time() - cpu:.0f} s of one core; {found.verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("recovery", "verdicts", "placebo", "speed"))
    parser.add_argument("--n", type=int, default=60, help="placebo scans")
    parser.add_argument("--spins", type=int, default=39)
    parser.add_argument("--loss", choices=("whittle", "fc"), help="of placebos; default: both")
    parser.add_argument("--simulated", action="store_true", help="placebo scans of the whole model, not of its linear theory")
    parser.add_argument("--samples", type=int, choices=(140, 1200), help="of placebos; default: both")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    {"recovery": recovery, "verdicts": verdicts, "placebo": placebo, "speed": speed}[args.what](args)


if __name__ == "__main__":
    main()
