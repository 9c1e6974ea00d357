"""A finished fit is refined, what came out is simulated, and both are written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

from mfm.errors import OutputError
from optim.config.refine import RefineConfig
from optim.fit.stages import Stages
from optim.refine.files import SimulatedScore, known_terms, result_path, work_folder, write_refinement
from optim.refine.fitted import FittedSubject, refinement_fingerprint, task_of
from optim.refine.learn import refine
from optim.refine.verdict import Refinement
from optim.search.checkpoint import Checkpoint


def refine_fit(
    fit: FittedSubject, config: RefineConfig, overwrite: bool = False, report: Callable[[str], None] | None = None
) -> Refinement | None:
    """Refine a fit in its folder; None where that very refinement is already there.

    The same call goes on with an interrupted refinement.

    Raises
    ------
    InputError
        Before work starts, if terms, maps or scans do not suit.
    OutputError
        If the folder holds another refinement, and `overwrite` is not set.
    """
    say = report or (lambda text: None)
    task = task_of(fit, config)
    digest = refinement_fingerprint(fit, task)
    path = result_path(fit)
    if path.exists() and not overwrite:
        there = json.loads(path.read_text(encoding="utf-8"))
        if there.get("fingerprint") == digest:
            say(f"this refinement is already done: {path}")
            return None
        raise OutputError(
            f"{fit.folder} holds a refinement with other settings, or of another fit.",
            found=str(there.get("verdict")),
            fix="--overwrite replaces it",
        )
    if known := known_terms(fit, task):
        say(f"note: the fit's own parameters follow the maps of {', '.join(known)}: such a slope re-tunes w_EE and w_EI")
    began = time.perf_counter()
    work = work_folder(fit, digest)
    found = refine(task, Checkpoint.within(work, "nulls", digest), say)
    scores = simulated_scores(fit, found) if found.comparisons else ()
    for score in scores:
        say(f"simulated {score.stage}, {score.model}: cost {score.total:.3f}, {'within' if score.in_range else 'OUT OF'} range")
    write_refinement(fit, task, found, scores, digest, time.perf_counter() - began)
    return found


def simulated_scores(fit: FittedSubject, found: Refinement) -> tuple[SimulatedScore, ...]:
    """Simulate the fit and the refined model in validation and test with the same noise, and return their costs."""
    stages, scores = Stages(fit.subject, fit.config), []
    for stage in ("validation", "test"):
        scan = getattr(fit.subject, stage)
        key = stages.keys(stage)[0]
        refined = scan
        if found.edges.any():
            corrected = replace(
                scan.sc, weights=scan.sc.weights + found.edges, steps=(*scan.sc.steps, "corrected"), signed=True
            )
            refined = replace(scan, sc=corrected)
        for name, p, at in (("fit", fit.parameters, scan), ("refined", found.parameters, refined)):
            score = stages.score(stage, stages.objective(stage, at).evaluate(p, key), 1)
            scores.append(SimulatedScore(**vars(score), model=name))
    return tuple(scores)
