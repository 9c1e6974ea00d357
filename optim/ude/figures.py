"""The figures of a fit of missing dynamics show trajectories, phase portraits, what was learned, and losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from mfm.io import write_atomic
from mfm.ude.estimates.least_squares import basis_residuals
from mfm.ude.formulas.symbolic import learned_samples
from optim.ude.fit import UDEResult

_DPI = 130
_MOST_UNITS, _MOST_POINTS = 3, 4000
_INK, _GREY, _BLUE, _VERMILION = "#333333", "#B0B0B0", "#0072B2", "#D55E00"


def write_ude_figures(result: UDEResult, folder: Path) -> list[str]:
    """Draw the figures that this fit has into `folder`, and return their names."""
    draw = {"trajectories": _trajectories, "phase": _phase, "residual": _residual, "loss": _loss}
    figures = {name: make(result) for name, make in draw.items()}
    for name, figure in figures.items():
        if figure is not None:
            _write(figure, folder / f"{name}.png")
    return [name for name, figure in figures.items() if figure is not None]


def _write(figure: Figure, path: Path) -> None:
    write_atomic(path, lambda temporary: figure.savefig(temporary, format="png", dpi=_DPI))


def _axes(axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _unit(result: UDEResult) -> str:
    unit = result.split.train.time_unit
    return "time" if unit == "1" else f"time ({unit})"


def _shown(result: UDEResult):
    """Data set, path (T, N, C) of the training data, and free runs (T, N, C), of the chosen start's first trajectory."""
    found, names = result.found, result.split.train.names
    known = [found.model.mechanism.states.index(name) for name in names]
    data = [part.values[min(result.best, part.members - 1), 0].numpy() for part in
            (result.split.train, result.split.validation, result.split.test)]  # fmt: skip
    path = found.problem.path(found.model)
    inside = None if path is None else path[result.best, 0][..., known].numpy()
    return data, inside, [run.predicted[result.best, 0] for run in result.forecasts]


def _trajectories(result: UDEResult) -> Figure:
    data, inside, runs = _shown(result)
    names, dt = result.split.train.names, result.split.train.dt
    units = min(_MOST_UNITS, data[0].shape[1])
    rows = [(c, n) for c in range(len(names)) for n in range(units)]
    figure = Figure(figsize=(9, 1.7 * len(rows) + 0.8), layout="constrained")
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    starts = np.cumsum([0, len(data[0]), len(data[1])])
    for axes, (c, n) in zip(panels, rows, strict=True):
        for first, part in zip(starts, data, strict=True):
            axes.plot(dt * (first + np.arange(len(part))), part[:, n, c], ".", color=_GREY, markersize=2)
        if inside is not None:
            axes.plot(dt * np.arange(len(inside)), inside[:, n, c], color=_INK, linewidth=1, label="fit")
        for first, run, colour, label in zip(starts[1:], runs, (_BLUE, _VERMILION), ("validation", "test"), strict=False):
            axes.plot(dt * (first + np.arange(len(run))), run[:, n, c], color=colour, linewidth=1, label=f"free run, {label}")
        low, high = np.nanpercentile(np.concatenate(data)[:, n, c], [0.5, 99.5])
        axes.set_ylim(low - 0.3 * (high - low), high + 0.3 * (high - low))
        for first in starts[1:]:
            axes.axvline(dt * first, color=_GREY, linewidth=0.8, linestyle="--")
        _axes(axes, "", names[c] if data[0].shape[1] == 1 else f"{names[c]}, unit {n + 1}")
    panels[-1].set_xlabel(_unit(result), fontsize=9)
    if inside is not None:
        panels[0].legend(fontsize=8, frameon=False, ncols=3)
    return figure


def _phase(result: UDEResult) -> Figure | None:
    data, _, runs = _shown(result)
    names = result.split.train.names
    if len(names) < 2 or not runs:
        return None
    pairs = [(0, 1), (0, 2), (1, 2)][: 1 if len(names) == 2 else 3]
    figure = Figure(figsize=(3.6 * len(pairs), 3.4), layout="constrained")
    held = np.concatenate(data[1:])
    for axes, (a, b) in zip(figure.subplots(1, len(pairs), squeeze=False)[0], pairs, strict=True):
        axes.plot(held[:, 0, a], held[:, 0, b], ".", color=_GREY, markersize=2, label="held-out data")
        for run, colour, label in zip(runs, (_BLUE, _VERMILION), ("validation", "test"), strict=True):
            axes.plot(run[:, 0, a], run[:, 0, b], color=colour, linewidth=0.8, label=f"free run, {label}")
        for axis, k in (("x", a), ("y", b)):
            low, high = np.nanpercentile(held[:, 0, k], [0.5, 99.5])
            axes.set(**{f"{axis}lim": (low - 0.3 * (high - low), high + 0.3 * (high - low))})
        _axes(axes, names[a], names[b])
    figure.axes[0].legend(fontsize=8, frameon=False)
    return figure


def _residual(result: UDEResult) -> Figure | None:
    if result.formula_model is None or result.extraction is None:
        return None
    values, learned = (part[result.best] for part in learned_samples(result.found))
    names = result.found.model.residuals[0].variables
    formula = basis_residuals(result.formula_model)[0]
    with torch.no_grad():
        explained = (formula.library.evaluate(values) * formula.coefficients[0]).sum(dim=-1).numpy()
    every = slice(None, None, max(1, len(learned) // _MOST_POINTS))
    figure = Figure(figsize=(3.4 * (1 + len(names[:3])), 3.4), layout="constrained")
    first, *others = figure.subplots(1, 1 + len(names[:3]), squeeze=False)[0]
    first.plot(explained[every], learned[every], ".", color=_BLUE, markersize=2)
    ends = [explained.min(), explained.max()]
    first.plot(ends, ends, color=_INK, linewidth=0.8)
    _axes(first, f"formula, {formula.target}", "learned")
    for axes, name, k in zip(others, names, range(3), strict=False):
        axes.plot(values[every, k], learned[every], ".", color=_BLUE, markersize=2, label="learned")
        axes.plot(values[every, k], explained[every], ".", color=_VERMILION, markersize=1.5, label="formula")
        _axes(axes, name, "")
    others[0].legend(fontsize=8, frameon=False)
    return figure


def _loss(result: UDEResult) -> Figure:
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    trace = result.found.trace
    for k in range(trace.shape[1]):
        chosen = k == result.best
        axes.plot(trace[:, k], color=_BLUE if chosen else _GREY, linewidth=1.2 if chosen else 0.8, zorder=2 + chosen)
    if np.nanmin(trace) > 0:
        axes.set_yscale("log")
    _axes(axes, "iteration", "loss")
    return figure
