"""What the benchmarks of chaotic systems share: data, fit, metrics, controls. Seeds and thresholds are set by the callers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mfm.io import write_json
from mfm.ude import (
    Adam,
    Extraction,
    Hybrid,
    Innovation,
    Library,
    MemristiveCircuit,
    MultipleShooting,
    PredictionError,
    Refit,
    ResidualMLP,
    Roessler,
    Training,
    Trajectories,
    UDEFit,
    attractor,
    curriculum,
    extract,
    fit_stages,
    nrmse,
    refit,
    valid_time,
    wasserstein,
)

DT = 0.1
SAMPLES = 601
HELD_OUT = 2000
SCALE = (5.0, 5.0, 5.0)
NOISE = 0.05
LOUD = 5.0


@dataclass(frozen=True, eq=False)
class Task:
    """A system, what of it is observed and how noisily, and what the residual may depend on, by a network of which widths.

    `regime`: A all states, noise 5 % of their standard deviation; B the unknown's state hidden; C noise on it 5 times its
    standard deviation.
    """

    system: Roessler | MemristiveCircuit
    regime: str
    inputs: tuple[str, ...]
    seeds: tuple[int, ...]
    hidden: tuple[int, ...] = (16, 16)

    @property
    def name(self) -> str:
        return f"{type(self.system).__name__.lower()}-{self.regime}-{''.join(self.inputs)}"

    def truth(self) -> np.ndarray:
        return attractor(self.system, SAMPLES + HELD_OUT, DT)

    def series(self) -> Trajectories:
        """One data set for each noise seed; the noise is estimated from the data."""
        states = self.system.states
        clean = self.truth()[:SAMPLES]
        noise = NOISE * clean.std(axis=0)
        loud = states.index(self.system.unknown)
        if self.regime == "C":
            noise[loud] = LOUD * clean.std(axis=0)[loud]
        data = np.stack([clean + noise * np.random.default_rng(seed).normal(size=clean.shape) for seed in self.seeds])
        keep = [k for k, name in enumerate(states) if self.regime != "B" or name != self.system.unknown]
        return Trajectories(torch.from_numpy(data[:, None, :, None, keep]), DT, tuple(states[k] for k in keep))

    def model(self) -> Hybrid:
        scale = [5.0] * len(self.inputs)
        network = ResidualMLP(
            self.system.unknown,
            self.inputs,
            hidden=self.hidden,
            scale=scale,
            gain=10.0,
            members=len(self.seeds),
            seed=1000,
        )
        return Hybrid(self.system, network)

    def loss(self) -> PredictionError:
        return PredictionError(Innovation(0.3), MultipleShooting(), state_scale=SCALE)

    def library(self) -> Library:
        return Library.polynomial(self.inputs, 2 if isinstance(self.system, Roessler) else 3)


def g_error(task: Task, model: Hybrid) -> np.ndarray:
    """NRMSE of the learned part on 200 time units of noise-free attractor that follow the data, per seed."""
    x = torch.from_numpy(task.truth()[SAMPLES:])[None, :, None, :].expand(model.members, -1, -1, -1)
    with torch.no_grad():
        return nrmse(model.residual_values(x)[0][..., 0], task.system.truth(x)[..., 0]).numpy()


def free_metrics(task: Task, model: Hybrid) -> tuple[np.ndarray, np.ndarray]:
    """Valid time in Lyapunov times (median of 10 starts) and Wasserstein distance of a run of 200 time units, per seed."""
    truth = torch.from_numpy(task.truth()[SAMPLES:])
    length = 500
    starts = torch.stack([truth[k : k + length] for k in np.linspace(0, HELD_OUT - length, 10).astype(int)])[:, :, None, :]
    valid = valid_time(model, starts, DT).median(dim=1).values.numpy() * task.system.lyapunov
    with torch.no_grad():
        run = model.free_run(truth[:1, None, :].expand(model.members, 1, 1, -1), DT, HELD_OUT - 1)[:, 0, :, 0].numpy()
    return valid, np.array([wasserstein(path, truth.numpy()) for path in run])


def coefficient_error(task: Task, terms: tuple[str, ...], coefficients: np.ndarray) -> float:
    """Largest relative error of the true terms' coefficients; infinite where one is missing."""
    found = dict(zip(terms, coefficients, strict=True))
    return max(abs(found.get(name, np.inf) / value - 1) for name, value in task.system.coefficients.items())


def exact(task: Task, terms: tuple[str, ...]) -> bool:
    return set(terms) == set(task.system.coefficients)


def single_shooting(task: Task, cpu_s: float) -> UDEFit:
    """The control: one segment over all data, no observer, the same network, as many iterations as fit into `cpu_s`."""
    loss = PredictionError(None, MultipleShooting(None), state_scale=SCALE)
    probe = Training(task.model(), task.series(), loss, Adam(10))
    began = time.process_time()
    for _ in range(2):
        probe.step()
    n = max(10, int(2 * cpu_s / (time.process_time() - began)))
    training = Training(task.model(), task.series(), loss, Adam(n))
    while not training.done:
        training.step()
    return training.result()


def run(task: Task, work: Path, control: bool, say: Callable[[str], None], refits: bool = True) -> dict:
    """All that is measured of a task, read from `work` where it is there already."""
    file = work / f"{task.name}-{task.seeds[0]}.json"
    if file.exists():
        return json.loads(file.read_text())
    began = time.process_time()
    found = fit_stages(task.model(), task.series(), curriculum(task.loss()))
    cpu_s = time.process_time() - began
    valid, distance = free_metrics(task, found.model)
    errors = g_error(task, found.model)
    say(f"{task.name}: trained in {cpu_s:.0f} CPU s, g-error {errors.round(3)}, valid time {valid.round(2)}")
    result = {
        "task": task.name,
        "cpu_s": cpu_s,
        "g_error": errors.tolist(),
        "valid_time": valid.tolist(),
        "wasserstein": distance.tolist(),
        "status": found.status.tolist(),
        "seeds": [],
    }
    for e, one in enumerate(extract(found, task.library())):
        result["seeds"].append(_formula(task, found, one, e, refits, say))
    if control:
        single = single_shooting(task, cpu_s)
        result["single_g_error"] = g_error(task, single.model).tolist()
        result["single_iterations"] = len(single.trace)
        say(f"{task.name}: single shooting, {len(single.trace)} iterations, g-error {np.round(result['single_g_error'], 3)}")
    write_json(file, result)
    return result


def _formula(task: Task, found: UDEFit, one: Extraction, member: int, refits: bool, say: Callable[[str], None]) -> dict:
    """Extraction and refit of one seed."""
    row = {
        "condition": one.condition,
        "formula": one.formula,
        "identifiable": one.identifiable,
        "exact_by_stability": exact(task, one.terms),
        "error_before_refit": coefficient_error(task, one.library.names, one.coefficients),
    }
    if refits and one.identifiable:
        final: Refit = refit(found, one, member=member)
        truth = np.array([task.system.coefficients.get(name, 0.0) for name in final.terms])
        row |= {
            "refit": final.found.formula,
            "exact_by_data": exact(task, final.terms),
            "error_after_refit": coefficient_error(task, final.terms, final.found.coefficients),
            "valid_time": float(free_metrics(task, final.found.model)[0][0]),
            "worst_z": float(np.max(np.abs(final.found.coefficients - truth) / final.found.errors)),
            "misfit": final.found.misfit,
        }
    say(f"{task.name} seed {task.seeds[member]}: {row.get('refit', row['formula'])}")
    return row


def median(values) -> float:
    return float(np.median(values))


def verdict(passed: bool) -> str:
    return "pass" if passed else "FAIL"
