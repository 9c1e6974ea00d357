"""The demo fit: settings that end in a few minutes, and the recovered parameters beside the true ones."""

from __future__ import annotations

import torch

from mfm.demo import DemoSubject
from optim.config.fit import AcquisitionConfig, AtlasConfig, DataConfig, FitConfig, OutputConfig
from optim.config.objective import SimulationObjectiveConfig
from optim.config.optimizer import CMAESConfig
from optim.fit.result import FitResult
from optim.fit.stages import Stages


def demo_config(folder: str = "demo-output", seed: int = 1, generations: int | None = None) -> FitConfig:
    """The settings of the demo: a smaller search than a study's, on a shorter scan."""
    return FitConfig(
        atlas=AtlasConfig(name="demo68"),
        acquisition=AcquisitionConfig(tr_s=0.72),
        objective=SimulationObjectiveConfig(burn_in_s=72.0),
        optimizer=CMAESConfig(
            population=40, generations=30 if generations is None else generations, initial_candidates=120, seed=seed
        ),
        data=DataConfig(subject="demo"),
        output=OutputConfig(folder=folder),
    )


def compare_with_truth(result: FitResult, demo: DemoSubject) -> str:
    """What the fit recovered of the truth, as text: cost, coefficients, G and regional E/I ratio.

    The cost of the true parameters is simulated as that of the recovered ones was: same protocol, same noise.
    """
    truth = result.parameterisation.to_parameters(demo.coefficients)
    stages = Stages(result.subject, result.config)
    at_truth = stages.objective("test").evaluate(truth, stages.keys("test"))
    recovered = result.stages[-1].total
    ceiling = result.ceiling
    lines = [
        "",
        f"test cost at the recovered parameters {recovered:.3f}, at the true ones {float(at_truth.cost.total[0]):.3f} "
        f"(noise of that figure +- {ceiling.test_std:.3f}; one recorded run against another {ceiling.run_to_run:.3f})",
        "",
        f"{'coefficient':<16}{'true':>10}{'recovered':>12}",
    ]
    for name, true, found in zip(result.parameterisation.names, demo.coefficients, result.coefficients, strict=True):
        lines.append(f"{name:<16}{float(true):>10.4f}{float(found):>12.4f}")
    lines += ["", f"{'regional mean':<16}{'true':>10}{'recovered':>12}"]
    for name in ("w_EE", "w_EI", "sigma"):
        lines.append(
            f"{name:<16}{float(getattr(truth, name).mean()):>10.4f}{float(getattr(result.parameters, name).mean()):>12.4f}"
        )
    r = float(torch.corrcoef(torch.stack([demo.ei_ratio, result.ei_ratio]))[0, 1])
    error = float((result.ei_ratio - demo.ei_ratio).abs().mean())
    lines += [
        "",
        f"regional E/I ratio: r = {r:.3f} with the truth, mean absolute error {error:.3f} "
        f"(true mean {float(demo.ei_ratio.mean()):.3f}, recovered mean {float(result.ei_ratio.mean()):.3f})",
        "Coefficients trade off against each other, and much of the E/I pattern is decided by bounds and signs (README).",
    ]
    return "\n".join(lines)
