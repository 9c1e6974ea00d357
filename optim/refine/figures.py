"""The figure of a refinement shows slopes by region, and the held-out gain against what chance gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mfm import RegionalMaps
from mfm.io import write_atomic
from optim.refine.verdict import Refinement

_BLUE, _VERMILION, _GREY = "#0072B2", "#D55E00", "#6E6E6E"


def write_refinement_figure(
    path: Path, labels: tuple[str, ...], found: Refinement, network: RegionalMaps | None = None
) -> Path:
    """Draw a refinement as a PNG file, 150 dpi; slopes against the first map of a network where there is one."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    if network is None:
        order = np.argsort(found.slopes)
        left.bar(np.arange(len(order)), found.slopes[order], color=_BLUE)
        left.set_xlabel(f"regions, from {labels[order[0]]} to {labels[order[-1]]}")
    else:
        left.scatter(network.values[0], found.slopes, s=12, color=_BLUE)
        left.set_xlabel(f"{network.names[0]}, z-scored")
    left.set_ylabel("slope of the residual (1/s)")
    nulls = [("placebos", found.placebo_gains, _GREY), ("permuted maps", found.spin_gains, _BLUE)]
    values = np.concatenate([*(gains for _, gains, _ in nulls), [found.comparisons[0].gain]])
    bins = np.linspace(values.min() - 1e-9, values.max() + 1e-9, 25)
    for name, gains, colour in nulls:
        if len(gains):
            right.hist(gains, bins, alpha=0.6, color=colour, label=f"{name} ({len(gains)})")
    right.axvline(found.comparisons[0].gain, color=_VERMILION, label="this residual")
    right.set(xlabel="held-out gain over the mechanism (nats)", ylabel="refinements")
    right.legend(frameon=False)
    return write_atomic(path, lambda temporary: figure.savefig(temporary, format="png", dpi=150))
