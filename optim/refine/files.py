"""A refinement writes tables, the refined model, JSON and a page into the fit's folder; each is whole or not there."""

from __future__ import annotations

import html
import platform
import shutil
from dataclasses import asdict, astuple, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

import mfm
from mfm.io import write_atomic, write_json, write_npy, write_tsv
from mfm.models.fic_feedback import feedback_weights
from mfm.ude.fixed_point.linear_residual import total_leak
from optim.fit.result import StageScore
from optim.objectives.rows import cells, column_names
from optim.refine.fitted import FittedSubject, training_scans
from optim.refine.task import Task
from optim.refine.verdict import Comparison, Refinement, ResidualTerm
from optim.report.drawing import drawn
from optim.report.page import page, table

_COLUMNS = {
    "index": "Position of the region, from 1",
    "region": "Name of the region",
    "w_EE": "Recurrent excitation with the residual's slope in it (dimensionless)",
    "w_EI": "Excitatory-to-inhibitory weight, as fitted (dimensionless)",
    "w_IE": "Inhibitory-to-excitatory feedback weight that holds the region at 3 Hz (dimensionless)",
    "sigma": "Noise amplitude, as fitted (gating variable per square root of a second)",
    "I_ext": "External current that leaves the fixed point where it is (nA)",
    "slope": "The residual's slope at the fixed point, taken from the leak of S_E (per second)",
}


@dataclass(frozen=True)
class SimulatedScore(StageScore):
    """A simulated score is the cost of the fit, or of the refined model, in one stage."""

    model: str = "fit"


def result_path(fit: FittedSubject) -> Path:
    """Return the JSON that is written last: where it is, the refinement is done."""
    return fit.file("refine.json")


def work_folder(fit: FittedSubject, fingerprint: str) -> Path:
    """Return the folder where checkpoints of this very refinement lie."""
    return fit.folder / f"refine-work-{fingerprint[:12]}"


def remove_refinement(fit: FittedSubject) -> None:
    """Remove the files of an earlier refinement, and nothing else."""
    for path in [*fit.folder.glob(f"{fit.stem}_refine*"), fit.folder / "figures" / "refine.png", fit.folder / "refine.html"]:
        path.unlink(missing_ok=True)


def write_refinement(
    fit: FittedSubject, task: Task, found: Refinement, scores: tuple[SimulatedScore, ...], fingerprint: str, seconds: float
) -> None:
    """Write everything; the JSON that marks it done comes last."""
    remove_refinement(fit)
    write_tsv(fit.file("refine_terms.tsv"), [f.name for f in fields(ResidualTerm)], [astuple(term) for term in found.terms])
    columns = [f.name for f in fields(Comparison)]
    write_tsv(fit.file("refine_heldout.tsv"), columns, [astuple(one) for one in found.comparisons])
    nulls = [("placebo", k + 1, g) for k, g in enumerate(found.placebo_gains)]
    nulls += [("permuted maps", k + 1, g) for k, g in enumerate(found.spin_gains)]
    write_tsv(fit.file("refine_nulls.tsv"), ("kind", "index", "gain"), nulls)
    write_tsv(fit.file("refine_stages.tsv"), column_names(SimulatedScore), map(cells, scores))
    _write_model(fit, found)
    figure = None
    if task.config.figures and found.comparisons:
        figure = drawn(lambda: _write_figure(fit, task, found))
    text = _page(fit, task, found, scores, figure is not None)
    write_atomic(fit.folder / "refine.html", lambda temporary: temporary.write_text(text, encoding="utf-8"))
    write_json(result_path(fit), _record(fit, task, found, fingerprint, seconds))
    shutil.rmtree(work_folder(fit, fingerprint), ignore_errors=True)


def _write_figure(fit: FittedSubject, task: Task, found: Refinement) -> Path:
    from optim.refine.figures import write_refinement_figure

    path = fit.folder / "figures" / "refine.png"
    write_refinement_figure(path, fit.subject.labels, found, task.network_maps())
    return path


def _write_model(fit: FittedSubject, found: Refinement) -> None:
    """The refined model as a table that ``mfmfit simulate`` takes."""
    p = found.parameters
    N = p.n_regions
    I_ext = np.zeros(N) if p.I_ext is None else p.I_ext[0].numpy()
    w_IE = feedback_weights(p, found.sc)[0]
    columns = (p.w_EE[0], p.w_EI[0], w_IE, p.sigma[0], I_ext, found.slopes)
    rows = [(k + 1, label, *(float(c[k]) for c in columns)) for k, label in enumerate(fit.subject.labels)]
    write_tsv(fit.file("refined.tsv"), list(_COLUMNS), rows)
    edges = None
    if found.edges.any():
        edges = write_npy(fit.file("refined_edges.npy"), found.edges).name
    beside = {
        "schema": 1,
        "columns": _COLUMNS,
        "G": float(p.G[0]),
        "edges": edges,
        "config": fit.record["config"],
        "protocols": fit.record.get("protocols", {}),
    }
    write_json(fit.file("refined.json"), beside)


def _record(fit: FittedSubject, task: Task, found: Refinement, fingerprint: str, seconds: float) -> dict:
    return {
        "schema": 1,
        "subject": fit.subject.subject_id,
        "verdict": found.verdict,
        "supported": found.is_supported,
        "reasons": list(found.reasons),
        "loss": task.loss,
        "trained_on": _learned_from(fit, task),
        "judged_on": fit.subject.test.source,
        "placebo_p": found.placebo_p,
        "permuted_maps_p": found.spin_p,
        "permuted_maps": "Moran spectral randomisation on the connectome",
        "placebos": "simulated scans of the fitted mechanism, with measurement noise",
        "agreement_of_starts": found.agreement,
        "in_range_when_simulated": found.in_range,
        "at_limit_of_stability": found.abscissa_limited,
        "at_bound": found.bound_limited,
        "converged": found.converged,
        "terms": [asdict(term) for term in found.terms],
        "slopes": "per second; the total leak is " + f"{total_leak():.4g}",
        "config": asdict(task.config),
        "fit_fingerprint": fit.record["fingerprint"],
        "fingerprint": fingerprint,
        "seconds": seconds,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{n: version(n) for n in ("mfmfit", "torch", "numpy", "scipy")}},
    }


def _learned_from(fit: FittedSubject, task: Task) -> str:
    return ", ".join(scan.source for scan in training_scans(fit.subject, task.config.learn_from))


def known_terms(fit: FittedSubject, task: Task) -> list[str]:
    """Name the terms along maps that the fit's own parameters follow already."""
    residual = task.residual()
    slopes = residual.names[: residual.n_slopes]
    return [name for name in slopes if any(m in fit.subject.maps.names for m in name.replace("+", " ").split())]


_ABOUT_TERMS = (
    "<h2>Terms</h2><p>Slopes per second and standard deviation of the map (total leak {leak:.1f} per second); edges in units "
    "of the connectome's root mean square. <code>error</code> is what the scans can tell, the fit free, before learning: above "
    "half the prior a term is refused. <code>value</code> is learned by linear theory, <code>bias</code> is theory's error in "
    "it, found by learning again from simulated scans of the refined model, and <code>polished</code> the value that the "
    "refined model has: without the bias, where that is more than chance.</p>"
)
_ABOUT_HELD_OUT = (
    "<h2>Held-out scan</h2>"
    "<p>Gain of log-likelihood in nats, with 95 % interval by bootstrap over frequencies, and r of FC.</p>"
)


def _page(fit: FittedSubject, task: Task, found: Refinement, scores: tuple[SimulatedScore, ...], has_figure: bool) -> str:
    by = "the likelihood of the spectra" if task.loss == "whittle" else "FC"
    learned, judged = html.escape(_learned_from(fit, task)), html.escape(fit.subject.test.source)
    parts = [
        f"<h1>Refinement of {html.escape(fit.subject.subject_id)}</h1>",
        f"<p><b>{html.escape(found.verdict.capitalize())}.</b> Learned from {learned}, judged on {judged}, by {by}.</p>",
    ]
    if known := known_terms(fit, task):
        parts.append(
            f"<p>The fit's own parameters follow the map of {html.escape(', '.join(known))}: to second-order statistics such a "
            "slope is a change of w_EE and w_EI along it. What it adds must show against the free mechanism.</p>"
        )
    parts += [
        _ABOUT_TERMS.format(leak=total_leak()),
        table([f.name for f in fields(ResidualTerm)], [astuple(term) for term in found.terms]),
    ]
    if found.comparisons:
        parts += [
            _ABOUT_HELD_OUT,
            table([f.name for f in fields(Comparison)], [astuple(one) for one in found.comparisons]),
            f"<p>Placebos p = {found.placebo_p:.3f} ({len(found.placebo_gains)}), permuted maps p = {found.spin_p:.3f} "
            f"({len(found.spin_gains)}); share of starts that agree {found.agreement:.2f}.</p>",
        ]
    if has_figure:
        alt = "slopes by region, and held-out gain against placebos and permuted maps"
        parts.append(f'<img src="figures/refine.png" alt="{alt}">')
    if scores:
        parts += ["<h2>Simulated</h2>", table(column_names(SimulatedScore), [cells(score) for score in scores])]
    parts.append(f"<p>mfmfit {mfm.__version__}; settings in {html.escape(result_path(fit).name)}.</p>")
    return page(f"mfmfit refine: {fit.subject.subject_id}", parts)
