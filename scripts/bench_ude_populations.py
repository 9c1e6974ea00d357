"""Networks of Izhikevich neurons, their neural mass, and what a learned closure adds to it as connections get sparse.

``python scripts/bench_ude_populations.py``; thresholds are set here, before any run; network seeds 100 to 104 were used for
nothing else. Weights are scaled in two ways: ``size``, g / N (the drive falls with the connection probability p), and
``degree``, g / (p N) (the mean drive does not, but neurons have unequal inputs).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mfm.populations import (
    ALL_TERMS,
    SCALINGS,
    Activity,
    Closure,
    Estimate,
    Network,
    NeuralMass,
    ObservedNetwork,
    PopulationMeasures,
    extract_closure,
    fit_closure,
    measure,
    simulate_network,
)

SEEDS = (100, 101, 102, 103, 104)
TRAINED, HELD_OUT = (1.0, 0.2, 0.05), (0.5, 0.1)
DURATION, DISCARD = 1200.0, 200.0
Say = Callable[[str], None]


def observe(network: Network, say: Say) -> ObservedNetwork:
    began = time.process_time()
    found = ObservedNetwork(network, simulate_network(network, DURATION, SEEDS))
    p = network.probability[0, 0]
    say(f"{network.sizes[0]} neurons, p = {p:g}, {network.scaling}: simulated in {time.process_time() - began:.0f} CPU s")
    return found


def one_seed(observation: ObservedNetwork, k: int) -> ObservedNetwork:
    a = observation.activity
    single = Activity(a.time, *(getattr(a, name)[k : k + 1] for name in ("rate", "v", "w", "s", "order", "counts")))
    return replace(observation, activity=single)


def relative(found: Estimate, true: Estimate) -> float:
    return found.mean / true.mean - 1


def text(errors: tuple[float, float]) -> str:
    return ", ".join(f"{x:.3f}" for x in errors)


def verdict(passed: bool) -> str:
    return "pass" if passed else "FAIL"


def row(found: PopulationMeasures) -> str:
    rhythm = f"rhythm {found.frequency_hz:.2f} Hz"
    return f"{found.rate_hz:.2f} Hz, {rhythm}, std(s) {found.std_s:.4f}, R {found.kuramoto:.3f}"


def mean_field(observation: ObservedNetwork) -> None:
    """I1: the neural mass as it is, all connected."""
    net = measure(observation.activity, 0, DISCARD)
    mass = measure(NeuralMass(observation.network).predict(DURATION), 0, DISCARD)
    rate, std = relative(mass.rate_hz, net.rate_hz), relative(mass.std_s, net.std_s)
    frequency = abs(mass.frequency_hz.mean - net.frequency_hz.mean)
    print(f"network: {row(net)}\nmass: {row(mass)}")
    print(f"I1 rate within 12 %: {verdict(abs(rate) <= 0.12)} ({rate:+.1%})")
    print(f"I1 std(s) within 15 %: {verdict(abs(std) <= 0.15)} ({std:+.1%})")
    print(f"I1 frequency within 1.25 Hz: {verdict(frequency <= 1.25)} ({frequency:.2f} Hz)")


def two_populations(n: int) -> None:
    """Excitatory and inhibitory neurons, without a closure; no bar."""
    for p in (1.0, 0.2):
        network = Network.excitatory_inhibitory(n, p, scaling="degree")
        activity, series = simulate_network(network, DURATION, SEEDS), NeuralMass(network).predict(DURATION)
        for k, name in enumerate(("excitatory", "inhibitory")):
            print(f"{name}, p = {p:g}, network: {row(measure(activity, k, DISCARD))}")
            print(f"{name}, p = {p:g}, mass: {row(measure(series, k, DISCARD))}")


def closure_of_density(observed: dict[float, ObservedNetwork], say: Say) -> None:
    """I2: trained on three densities, tested on two others."""
    began = time.process_time()
    fit = fit_closure([observed[p] for p in TRAINED])
    scaling = observed[1.0].network.scaling
    say(f"closure for {scaling}: error {fit.error:.3f} in {time.process_time() - began:.0f} CPU s")
    print(f"weights scaled by {scaling}; network, mass, mass with closure; errors of r(t), s(t): mass; closure; noise")
    print("| p | rate, Hz | rhythm, Hz | std(s) | R | errors |")
    print("|---|---|---|---|---|---|")
    verdicts = []
    for p, o in observed.items():
        net, mass, closed = (measure(x, 0, DISCARD) for x in (o.activity, o.predict(Closure.none()), o.predict(fit.closure)))
        cells = [
            ", ".join(f"{getattr(x, name):{digits}}" for x in (net, mass, closed))
            for name, digits in (("rate_hz", ".1f"), ("frequency_hz", ".2f"), ("std_s", ".3f"), ("kuramoto", ".2f"))
        ]
        before, after = o.errors(Closure.none()), o.errors(fit.closure)
        print(f"| {p:g} | {' | '.join(cells)} | {text(before)}; {text(after)}; {text(o.noise)} |")
        if p in HELD_OUT:
            rate = relative(closed.rate_hz, net.rate_hz)
            halved = all(a <= b / 2 for a, b in zip(after, before, strict=True))
            verdicts.append(f"I2 {scaling}, p = {p:g}: errors halved: {verdict(halved)}")
            verdicts.append(f"I2 {scaling}, p = {p:g}: rate within 3 %: {verdict(abs(rate) <= 0.03)} ({rate:+.1%})")
    print("\n".join(verdicts))


def formula(observed: dict[float, ObservedNetwork], say: Say) -> Closure:
    """I3: what sparse connections add to a closure of the full network, extracted from each network seed alone."""
    network = observed[1.0].network
    name = f"{network.scaling}, N = {network.sizes[0]}"
    base = fit_closure([observed[1.0]], [term for term in ALL_TERMS if "degree noise" not in term]).closure
    paths = []
    for k, seed in enumerate(SEEDS):
        paths.append(extract_closure([one_seed(observed[p], k) for p in TRAINED], base=base))
        found = paths[-1][-1]
        say(f"{name}, seed {seed}: {found.terms}, errors {[round(x.error, 3) for x in paths[-1]]}")
    terms, count = Counter(path[-1].terms for path in paths).most_common(1)[0]
    print(f"I3 {name}: one support on 4 of 5 seeds: {verdict(bool(terms) and count >= 4)} ({count}: {', '.join(terms)})")
    same = [path[-1].closure for path in paths if path[-1].terms == terms]
    for term in terms:
        values = np.array([closure.coefficients.ravel()[ALL_TERMS.index(term)] for closure in same])
        print(f"   {term}: {values.mean():.4f}, over seeds {values.min():.4f} to {values.max():.4f}")
    none, with_formula = (np.median([path[k].error for path in paths]) for k in (0, -1))
    print(f"   median error of the closure of p = 1 {none:.3f}, with formula {with_formula:.3f}")
    mean = Closure(np.mean([closure.coefficients for closure in same], axis=0))
    for p, o in observed.items():
        print(f"   p = {p:g}: mass {text(o.errors(Closure.none()))}; formula {text(o.errors(mean))}; noise {text(o.noise)}")
    return mean


def larger(n: int, fewer: Closure, say: Say) -> None:
    """I3: the same densities with more neurons: what the formula of fewer says of them, and their own."""
    observed = {p: observe(Network.excitatory(n, p, scaling="degree"), say) for p in TRAINED}
    for p, o in observed.items():
        print(f"formula of fewer neurons on {n}, p = {p:g}: {text(o.errors(fewer))}")
    formula(observed, say)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neurons", type=int, default=1000)
    parser.add_argument("--larger", type=int, default=4000)
    args = parser.parse_args()
    began = time.perf_counter()

    def say(line: str) -> None:
        print(f"{time.perf_counter() - began:.0f} s: {line}", file=sys.stderr, flush=True)

    for scaling in SCALINGS:
        networks = {p: Network.excitatory(args.neurons, p, scaling=scaling) for p in sorted(TRAINED + HELD_OUT, reverse=True)}
        observed = {p: observe(network, say) for p, network in networks.items()}
        if scaling == SCALINGS[0]:
            mean_field(observed[1.0])
        closure_of_density(observed, say)
    larger(args.larger, formula(observed, say), say)
    two_populations(args.neurons)


if __name__ == "__main__":
    main()
