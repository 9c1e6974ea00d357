"""One figure shows how well a surrogate does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mfm.io import write_atomic
from surrogate.evaluation import Report

_COLOURS = {"surrogate": "#0072B2", "linear": "#D55E00", "other half": "#6E6E6E"}
_BINS = 10


def write_surrogate_figure(path: Path, report: Report) -> Path:
    """Draw FCD errors and rank correlations of the cost by connectome, and the calibration of the classifier (PNG)."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    ks, rank, calibration = figure.subplots(1, 3)
    _by_connectome(ks, report, "ks", "KS distance of FCD")
    _by_connectome(rank, report, "cost_rank", "rank correlation of the cost")
    ks.legend(frameon=False)
    _calibration(calibration, report)
    return write_atomic(path, lambda temporary: figure.savefig(temporary, format="png", dpi=150))


def _by_connectome(axes: Axes, report: Report, name: str, title: str) -> None:
    connectomes = list(dict.fromkeys(row.connectome for row in report.accuracies))
    for method, colour in _COLOURS.items():
        rows = [row for row in report.accuracies if row.method == method]
        places = [connectomes.index(row.connectome) for row in rows]
        axes.plot([getattr(row, name) for row in rows], places, "o", color=colour, label=method, alpha=0.8)
    axes.set(yticks=range(len(connectomes)), yticklabels=connectomes, xlabel=title)
    axes.tick_params(axis="y", labelsize=7)


def _calibration(axes: Axes, report: Report) -> None:
    index = np.clip((report.probability * _BINS).astype(int), 0, _BINS - 1)
    bins = [index == k for k in np.unique(index)]
    axes.plot([0, 1], [0, 1], color=_COLOURS["other half"], linewidth=1)
    predicted, seen = ([x[members].mean() for members in bins] for x in (report.probability, report.share))
    axes.scatter(predicted, seen, [10 + 2 * members.sum() ** 0.5 for members in bins], color=_COLOURS["surrogate"])
    axes.set(xlabel="predicted probability of staying in range", ylabel="share that stayed", aspect="equal")
