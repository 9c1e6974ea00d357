"""A fit of missing dynamics leaves tables, JSON, weights, figures and a page that shows them all."""

from __future__ import annotations

import html
import math
import platform
import shutil
from dataclasses import astuple, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

import mfm
from mfm.io import write_atomic, write_json, write_tsv
from mfm.io.formats.system import home_expanded
from optim.config.ude import UDEConfig
from optim.report.drawing import drawn
from optim.report.folder import FitFolder
from optim.report.page import page, table
from optim.ude.fit import FormulaTerm, UDEResult, UDEScore

_CAPTIONS = {
    "trajectories": "Observed states: data, fit of the training data, free runs (no observer) over validation and test.",
    "phase": "Phase portrait: data, and free runs over the held-out time.",
    "residual": "What was learned against the formula that was extracted from it and refitted, at the states of the fit.",
    "loss": "Loss of each start. While the observer's gain falls, and between stages, values are not comparable.",
}


class UDEFolder(FitFolder):
    """This is the folder of one fit: ``<output.folder>/ude-<data.name>/``."""

    def __init__(self, config: UDEConfig):
        self.path = home_expanded(config.output.folder) / f"ude-{config.data.name}"
        self.stem = f"ude-{config.data.name}"
        self.work = self.path / "work"
        self._status = self.path / "status.json"

    def clear(self) -> None:
        """Remove the results of an earlier fit, and nothing else."""
        for file in [*self.path.glob(f"{self.stem}_*"), *(self.path / "figures").glob("*.png"), self.path / "report.html"]:
            file.unlink(missing_ok=True)


def write_ude_report(result: UDEResult, folder: UDEFolder) -> None:
    """Write everything; the folder is marked done last."""
    folder.clear()
    write_tsv(folder.file("scores.tsv"), [f.name for f in fields(UDEScore)], [astuple(score) for score in result.scores])
    write_tsv(folder.file("terms.tsv"), [f.name for f in fields(FormulaTerm)], [astuple(term) for term in result.terms])
    trace = result.found.trace
    rows = [(k + 1, *row) for k, row in enumerate(trace.tolist())]
    write_tsv(folder.file("loss.tsv"), ["iteration", *(f"start_{k + 1}" for k in range(trace.shape[1]))], rows)
    weights = {name: value.detach().numpy() for name, value in result.found.model.state_dict().items()}
    write_atomic(folder.file("weights.npz"), lambda temporary: _save(temporary, weights))
    write_json(folder.file("fit.json"), _record(result))
    names = []
    if result.config.output.figures:
        names = drawn(lambda: _figures(result, folder)) or []
    page = _page(result, names)
    write_atomic(folder.path / "report.html", lambda temporary: temporary.write_text(page, encoding="utf-8"))
    folder.set_state("done", result.fingerprint)
    shutil.rmtree(folder.work, ignore_errors=True)


def _figures(result: UDEResult, folder: UDEFolder) -> list[str]:
    from optim.ude.figures import write_ude_figures

    return write_ude_figures(result, folder.path / "figures")


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with open(path, "wb") as handle:
        np.savez(handle, **arrays)  # type: ignore[arg-type]


def score_meaning(result: UDEResult) -> str:
    """Say in words what the scores measure."""
    if not result.forecasts:
        return "minus the mean log-likelihood of an increment, up to a constant (lower is better)"
    horizon = result.config.split.horizon
    over = "all held-out samples" if horizon is None else f"{horizon} samples"
    return f"root mean square error of free runs in units of the noise, over {over} (lower is better)"


def _record(result: UDEResult) -> dict:
    return {
        "schema": 1,
        "formula": result.formula,
        "measure": score_meaning(result),
        "chosen_start": result.best + 1,
        "agreement_of_starts": None if math.isnan(result.agreement) else result.agreement,
        "library_condition": None if result.extraction is None else _finite(result.extraction.condition),
        "series": repr(result.split.train),
        "noise_std": result.split.train.noise_std.tolist(),
        "model": repr(result.found.model),
        "config": result.config.as_dict(),
        "fingerprint": result.fingerprint,
        "seconds": result.seconds,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{n: version(n) for n in ("mfmfit", "torch", "numpy", "scipy")}},
    }


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _page(result: UDEResult, figures: list[str]) -> str:
    """The report as one page; its figures lie beside it."""
    best = next(score for score in result.scores if score.chosen)
    mechanism = next(score for score in result.scores if score.model == "mechanism")
    better = best.test < mechanism.test
    agreement = (
        "fewer than five starts ended: agreement is not judged"
        if math.isnan(result.agreement)
        else f"spread of the starts over the spread of what they learned: {result.agreement:.2f} "
        + ("(they agree)" if result.agreement < 0.5 else "(above 0.5: the residual is not determined by these data)")
    )
    parts = [
        f"<h1>{html.escape(result.config.data.name)}</h1>",
        f"<p><code>{html.escape(repr(result.found.model))}</code><br><code>{html.escape(repr(result.split.train))}</code></p>",
        f"<p>On the test data the chosen start is <b>{'better' if better else 'NOT better'}</b> than the mechanism alone; "
        f"{html.escape(agreement)}.</p>",
        "<h2>Formula</h2>",
        f"<p><code>{html.escape(result.formula)}</code></p>",
    ]
    if result.terms:
        parts.append(table([f.name for f in fields(FormulaTerm)], [astuple(term) for term in result.terms]))
    rows = [astuple(score)[:-1] for score in result.scores]
    chosen = [score.chosen for score in result.scores]
    parts += [
        "<h2>Held-out data</h2>",
        f"<p>{html.escape(score_meaning(result))}. Starts are chosen by validation; no observer is used in any score.</p>",
        table([f.name for f in fields(UDEScore)][:-1], rows, chosen),
    ]
    for name in figures:
        parts.append(f'<h2>{name.capitalize()}</h2><img src="figures/{name}.png" alt="{name}"><p>{_CAPTIONS[name]}</p>')
    parts.append(f"<p>mfmfit {mfm.__version__}; {result.seconds:.0f} s of training; settings in the JSON beside this page.</p>")
    return page(f"mfmfit ude: {result.config.data.name}", parts)
