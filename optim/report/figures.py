"""Figures of a fit: FC, FCD, E/I ratio by region, and the course of the search."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from mfm.io import write_atomic
from mfm.models.model import Quantity
from mfm.subject import bare_id
from optim.fit.result import FitResult, StageScore
from optim.report.folder import FitFolder

_DPI = 150

# Okabe and Ito's colours, told apart under the common forms of colour blindness.
_INK, _GREY, _BLUE, _VERMILION = "#333333", "#6E6E6E", "#0072B2", "#D55E00"
_STARTS = (_BLUE, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", _INK)
_DASHES = ("-", "--", ":", "-.")

# Colour and marker of the regions of a hemisphere; None where the name does not tell.
_HEMISPHERES = {"left": (_BLUE, "o"), "right": (_VERMILION, "D"), None: (_GREY, "o")}
_SIDE = re.compile(r"(?<![a-z0-9])(?:(?P<left>lh?|left)|(?P<right>rh?|right))(?![a-z0-9])", re.IGNORECASE)


def write_figures(result: FitResult, folder: FitFolder) -> list[Path]:
    """Draw a fit as PNG files, 150 dpi, in ``figures/`` of its folder.

    ``fc.png``: empirical and simulated FC, and one against the other; ``fcd_cdf.png``: FCD distributions and their KS
    distance; ``ei_ratio.png``: E/I ratio by region, or what else the model derives; ``convergence.png``: the search by
    generation. Simulated values are those of the test stage. What a diverged test leaves NaN is left blank.

    Parameters
    ----------
    result : FitResult
    folder : FitFolder
        Where the fit is written; only its ``path`` is used.

    Returns
    -------
    list of Path
        The files, in the order above. Each is written whole or not at all.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    return [_write(folder.path / "figures" / f"{name}.png", figure) for name, figure in plot_fit(result).items()]


def plot_fit(result: FitResult) -> dict[str, Figure]:
    """The figures of `write_figures` by name, as matplotlib figures that belong to no window."""
    draw: dict[str, Callable[[FitResult], Figure]] = {"fc": _fc, "fcd_cdf": _fcd_cdf}
    draw |= {derived.quantity.name: partial(_by_region, derived.quantity) for derived in result.model.derived}
    draw["convergence"] = _convergence
    return {name: make(result) for name, make in draw.items()}


def _write(path: Path, figure: Figure) -> Path:
    """The figure as a PNG file."""
    return write_atomic(path, lambda temporary: figure.savefig(temporary, format="png", dpi=_DPI))


def _figure(result: FitResult, what: str, width: float, height: float) -> Figure:
    """An empty figure, inches, whose title says whose fit it is and whether it is within range."""
    layout = ConstrainedLayoutEngine(compress=True, w_pad=0.08, h_pad=0.06)
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    verdict = "firing rates within range" if result.in_range else "firing rates OUT OF RANGE"
    title = f"sub-{bare_id(result.subject.subject_id)}: {what} ({verdict})"
    figure.suptitle(title, fontsize=11, color=_INK if result.in_range else _VERMILION, parse_math=False)
    return figure


def _style_axes(axes, x: str, y: str) -> None:
    """Axis labels and a light look."""
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8, color=_GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.set_axisbelow(True)
    axes.grid(color="#E6E6E6", linewidth=0.6)


def _score(result: FitResult, stage: str) -> StageScore:
    """The winner's score in a stage."""
    return next(score for score in result.stages if score.stage == stage)


def _padded_limits(*arrays: np.ndarray) -> tuple[float, float]:
    """Least and greatest finite value, with some room; [0, 1] where there is none."""
    values = np.concatenate([array[np.isfinite(array)] for array in arrays])
    if not len(values):
        return 0.0, 1.0
    room = 0.03 * (np.ptp(values) or 1.0)
    return float(values.min() - room), float(values.max() + room)


def _realisations(score: StageScore) -> str:
    """What the simulated statistics are means of."""
    return "1 realisation" if score.realisations == 1 else f"mean of {score.realisations} realisations"


def _fc(result: FitResult) -> Figure:
    """Empirical and simulated FC on one colour scale, and their upper triangles against each other."""
    empirical, simulated = result.subject.test.target.fc.numpy(), result.test.fc[0].numpy()
    n, score = len(empirical), _score(result, "test")
    upper = np.triu_indices(n, 1)
    limits = _padded_limits(empirical[upper], simulated[upper])

    figure = _figure(result, "functional connectivity, test stage", 13.0, 4.4)
    panels = figure.subplots(1, 3)
    for axes, fc, title in zip(panels, (empirical, simulated), ("Empirical", "Simulated"), strict=False):
        off_diagonal = np.where(np.eye(n, dtype=bool), np.nan, fc)
        extent = (0.5, n + 0.5, n + 0.5, 0.5)
        scale = {"cmap": "viridis", "vmin": limits[0], "vmax": limits[1]}
        image = axes.imshow(off_diagonal, extent=extent, interpolation="nearest", **scale)
        _style_axes(axes, "Region (index)", "Region (index)")
        axes.grid(False)
        axes.set_title(title if fc is empirical else f"{title}, {_realisations(score)}", fontsize=10)
    bar = figure.colorbar(image, ax=panels[:2], shrink=0.85, pad=0.02)
    bar.ax.set_title("FC (r)", fontsize=9)
    bar.ax.tick_params(labelsize=8, color=_GREY)
    bar.outline.set_visible(False)

    axes = panels[2]
    opacity = float(np.clip(600 / len(upper[0]), 0.05, 0.6))
    axes.scatter(empirical[upper], simulated[upper], s=7, color=_BLUE, alpha=opacity, linewidths=0)
    axes.axline((0, 0), slope=1, color=_INK, linewidth=1, linestyle="--", label="identity")
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    _style_axes(axes, "Empirical FC (Pearson r)", "Simulated FC (Pearson r)")
    title = f"Pairs of regions: r = {1 - score.cost.corr:.3f}, mean_diff = {score.cost.mean_diff:.3f}"
    axes.set_title(title.replace("nan", "n/a"), fontsize=10)
    axes.legend(loc="upper left", fontsize=8, frameon=False)
    return figure


def _fcd_cdf(result: FitResult) -> Figure:
    """FCD distributions, and their greatest distance where it is attained."""
    empirical, simulated = result.subject.test.target.fcd_cdf.numpy(), result.test.fcd_cdf[0].numpy()
    edges = np.linspace(-1, 1, len(empirical) + 1)
    figure = _figure(result, "FCD distribution, test stage", 6.4, 4.6)
    axes = figure.subplots()
    axes.plot(edges, np.insert(empirical, 0, 0.0), color=_INK, linewidth=1.8, label="empirical")
    label = f"simulated, {_realisations(_score(result, 'test'))}"
    axes.plot(edges, np.insert(simulated, 0, 0.0), color=_BLUE, linewidth=1.8, label=label)

    varying = [(cdf > 1e-3) & (cdf < 1 - 1e-3) for cdf in (empirical, simulated)]
    axes.set(xlim=_padded_limits(edges[1:][varying[0] | varying[1]]), ylim=(-0.02, 1.02))
    distance = np.abs(simulated - empirical)
    if np.isfinite(distance).all():
        k = int(distance.argmax())
        ends = sorted((empirical[k], simulated[k]))
        axes.vlines(edges[k + 1], *ends, color=_VERMILION, linewidth=2.5, zorder=3, label=f"KS distance {distance[k]:.3f}")
    _style_axes(axes, "FCD: correlation between the FC of two windows (Pearson r)", "Cumulative probability")
    axes.legend(loc="upper left", fontsize=8, frameon=False)
    return figure


def _hemisphere(label: str) -> str | None:
    """Side of a region by its name (lh, L, left and the like, as a word of its own), or None."""
    found = _SIDE.search(label)
    return found.lastgroup if found else None


def _by_region(quantity: Quantity, result: FitResult) -> Figure:
    """What a model derives, by region from high to low, in as many columns as keep the names readable."""
    ratio, labels = getattr(result, quantity.name).numpy(), result.subject.labels
    name = quantity.description.partition(",")[0]
    order = np.argsort(-ratio, kind="stable")
    sides = [_hemisphere(label) for label in labels]
    finite = ratio[np.isfinite(ratio)]
    n_columns = min(4, math.ceil(len(labels) / 50))
    n_rows = math.ceil(len(labels) / n_columns)

    figure = _figure(result, f"{name}, test stage", max(6.4, 4.4 * n_columns), 1.6 + 0.165 * n_rows)
    columns = figure.subplots(1, n_columns, sharex=True, squeeze=False)[0]
    for c, axes in enumerate(columns):
        shown = order[c * n_rows : (c + 1) * n_rows]
        rows = np.arange(len(shown))
        for side, (color, marker) in _HEMISPHERES.items():
            own = np.array([sides[k] == side for k in shown], dtype=bool)
            axes.scatter(ratio[shown[own]], rows[own], s=24, color=color, marker=marker, zorder=3)
        if len(finite):
            axes.axvline(finite.mean(), color=_INK, linewidth=1, linestyle="--")
        _style_axes(axes, f"{name} ({quantity.unit or 'dimensionless'})", "")
        axes.set_yticks(rows, [labels[k] for k in shown], fontsize=7.5, parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.set(xlim=_padded_limits(ratio), ylim=(n_rows - 0.4, -0.6))
    for side in [side for side in _HEMISPHERES if side in sides]:
        color, marker = _HEMISPHERES[side]
        label = f"{side} hemisphere" if side else "region"
        columns[0].scatter([], [], s=24, color=color, marker=marker, label=label)
    if len(finite):
        columns[0].plot([], [], color=_INK, linewidth=1, linestyle="--", label=f"mean {finite.mean():.3f}")
    figure.legend(loc="outside lower center", ncols=4, fontsize=8.5, frameon=False)
    return figure


def _convergence(result: FitResult) -> Figure:
    """Best cost, share within range and step by generation, one line per start; the winner's cost as horizontal lines."""
    figure = _figure(result, "search stage by generation", 7.4, 7.0)
    cost, share, step = panels = figure.subplots(3, 1, sharex=True, height_ratios=(2.2, 1, 1))
    starts = sorted({row.start for row in result.trace})
    for k, start in enumerate(starts):
        rows = sorted((row for row in result.trace if row.start == start), key=lambda row: row.generation)
        style = {
            "color": _STARTS[k % len(_STARTS)],
            "linestyle": _DASHES[k // len(_STARTS) % len(_DASHES)],
            "linewidth": 1.4,
            "marker": "o",
            "markersize": 2.5,
        }
        generations = [row.generation for row in rows]
        for axes, name in zip(panels, ("best_total", "share_in_range", "step"), strict=True):
            axes.plot(generations, [getattr(row, name) for row in rows], label=f"start {start}", **style)
    _winner_lines(cost, [_score(result, "validation"), _score(result, "test")])

    _style_axes(cost, "", "Best total cost within range\n(dimensionless)")
    _style_axes(share, "", "Candidates within\nrange (share)")
    _style_axes(step, "Generation (index)", "Search step\n(share of ranges)")
    share.set_ylim(-0.04, 1.04)
    steps = [row.step for row in result.trace if row.step > 0]
    if steps:
        # Room for at least one tick, however little the step has changed.
        step.set(yscale="log", ylim=(min(steps) / 1.6, max(steps) * 1.6))
        step.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        step.yaxis.set_major_formatter("{x:g}")
        step.yaxis.set_minor_locator(NullLocator())
    step.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    last = max(row.generation for row in result.trace)
    step.set_xlim(-0.5 - 0.02 * last, last + 0.5 + 0.02 * last)
    figure.align_ylabels(panels)
    if len(starts) > 1:
        figure.legend(*cost.get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return figure


def _winner_lines(axes, scores: list[StageScore]) -> None:
    """Horizontal lines at the winner's costs, labelled beside the axes, the higher above its line and the lower below."""
    finite = sorted((score for score in scores if math.isfinite(score.total)), key=lambda score: -score.total)
    for score, anchor in zip(finite, ("bottom", "top"), strict=False):
        color = _GREY if score.stage == "validation" else _INK
        axes.axhline(score.total, color=color, linewidth=1.2, linestyle="--")
        text = f"winner, {score.stage}\n{score.total:.3f}"
        axes.annotate(text, (1.01, score.total), xycoords=axes.get_yaxis_transform(), va=anchor, fontsize=8, color=color)
