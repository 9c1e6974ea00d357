"""Simulation of a fit or of given parameters, from files to files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

import mfm
from mfm.checks import listed
from mfm.errors import ConfigError, InputError, InputNote
from mfm.io import load_connectome, write_json, write_npy, write_tsv
from mfm.io.formats.tables import existing_file
from mfm.protocol import coarse_hemodynamic_dt, nearest_dt
from mfm.simulation.result import status_of
from optim.config.objective import ObjectiveConfig
from optim.fit.record import fit_record, model_of_record, read_parameters


def simulate_to_folder(
    parameters: Path,
    out: Path,
    *,
    sc: str,
    G: float | None = None,
    sc_transform: str | None = None,
    tr_s: float | None = None,
    n_frames: int | None = None,
    dt_s: float | None = None,
    n_repeats: int = 1,
    seed: int = 0,
    backend: str = "auto",
    keep_feedback: bool = False,
) -> list[Path]:
    """Simulate one parameter set and write BOLD (R, T, N), FC, FCD CDF and regional averages; returns the files.

    Parameters
    ----------
    parameters : path
        Table with a column for every regional parameter of the model (FIC: w_EE, w_EI, sigma); where the JSON of a fit lies
        beside it, what is not given is as in the fit's test: model, G, connectome transform and scale, TR, frames, step,
        burn-in.
    out : path
        Folder.
    sc : path
        Structural connectome; joined with the parameters by name where both have names.
    keep_feedback : bool
        Take the feedback inhibition (w_IE of FIC) from the table instead of solving it anew. Solved anew, it holds every region
        at 3 Hz whatever else has changed: homeostasis, which hides what a drug or a lesion does to rates and E/I.

    Warns
    -----
    InputNote
        If rates leave what the model declares admissible, kept or solved.
    """
    fit = fit_record(parameters)
    data = fit.get("config", {}).get("data", {})
    transform = sc_transform or data.get("sc_transform", "log")
    model = model_of_record(fit)
    p, names = read_parameters(parameters, fit if G is None else {**fit, "G": G}, model, keep_feedback)
    plain = load_connectome(
        sc,
        transform,
        data.get("sc_scale_max", 0.02),
        scale_mean=data.get("sc_scale_mean"),
        regions=names,
        **data.get("sc_file", {}),
    )
    connectome = _corrected(plain, fit.get("edges"), parameters.parent)
    protocol = _protocol(fit.get("protocols", {}).get("test", {}), tr_s, n_frames, dt_s)
    sim = mfm.simulate(p, connectome, protocol, n_repeats, seed, backend)
    notes = _notes_of(sim, connectome.default_labels, keep_feedback)
    for note in notes:
        warnings.warn(InputNote(note), stacklevel=2)
    averages = sim.averages.values[:, 0].mean(dim=1).tolist()
    headings = [quantity.heading for quantity in model.reported] + list(model.state_names)
    rows = [(k + 1, *row) for k, row in enumerate(zip(connectome.default_labels, *averages, strict=True))]
    files = [
        write_npy(out / "bold.npy", sim.bold[0].numpy()),
        write_npy(out / "fc.npy", mfm.functional_connectivity(sim.bold[0]).mean(dim=0).numpy()),
        write_tsv(out / "regional.tsv", ("index", "region", *headings), rows),
        write_json(
            out / "simulation.json",
            {
                "protocol": asdict(protocol),
                "sc_transform": transform,
                "seed": seed,
                "backend": sim.backend,
                "status": [mfm.SimStatus(int(status)).name for status in status_of(sim.bold, sim.averages, True)[0]],
                "within_range": bool(sim.within_range[0]),
                "feedback": "from the table" if keep_feedback else "solved for the model's own rate",
                "notes": notes,
                "model": model.name,
                **{q.name: float(getattr(p, q.name)[0]) for q in p.declared() if not q.regional},
                "version": mfm.__version__,
            },
        ),
    ]
    if protocol.n_frames >= 2 * protocol.window_frames:
        cdf = mfm.fcd_cdf(sim.bold[0], protocol.window_frames).mean(dim=0)
        files.append(write_npy(out / "fcdcdf.npy", cdf.numpy()))
    return files


def _notes_of(sim: mfm.Simulation, names: Sequence[str], keep_feedback: bool) -> list[str]:
    """What must be known of a simulation: which regions left the range of rates that the model declares admissible."""
    admissible = sim.model.admissible
    if admissible is None or bool(sim.within_range[0]):
        return []
    value = getattr(sim.averages, admissible.quantity)[0]
    unit = next(q.unit for q in sim.model.reported if q.name == admissible.quantity)
    outside = ~((value >= admissible.low) & (value <= admissible.high)).all(dim=0)
    finite = value[torch.isfinite(value)]
    reached = f"{finite.min():.3g} to {finite.max():.3g} {unit}" if len(finite) else "no finite value"
    cause = "with the feedback inhibition that was given" if keep_feedback else "though feedback inhibition was solved"
    return [
        f"{int(outside.sum())} of {len(names)} regions leave {admissible.low:g} to {admissible.high:g} {unit} ({reached}), "
        f"{cause}: {listed(torch.nonzero(outside)[:, 0], names)}."
    ]


def _corrected(sc: mfm.Connectome, edges: str | None, folder: Path) -> mfm.Connectome:
    """The connectome with the correction that a refinement learned, if it learned one."""
    if edges is None:
        return sc
    correction = np.load(existing_file(folder / edges, "edge correction"))
    if correction.shape != sc.weights.shape:
        raise InputError("The correction of the connectome has other regions.", found=f"{correction.shape}, {sc.weights.shape}")
    return mfm.Connectome(sc.weights + correction, sc.labels, (*sc.steps, f"corrected by {edges}"), signed=True)


def _protocol(of_fit: dict, tr_s: float | None, n_frames: int | None, dt_s: float | None) -> mfm.Protocol:
    """The fit's protocol, with what was given instead; a new TR or step brings its own hemodynamic step."""
    tr = of_fit.get("tr_s") if tr_s is None else tr_s
    frames = of_fit.get("n_frames") if n_frames is None else n_frames
    if tr is None or frames is None:
        raise ConfigError(
            "TR and frames are not known.", found="no fit beside the table", fix="`tr_s=SECONDS, n_frames=NUMBER`"
        )
    if dt_s is None:
        dt_s = of_fit["dt_s"] if of_fit.get("tr_s") == tr else nearest_dt(tr, 0.006)
    timing = {name: of_fit[name] for name in ("burn_in_s", "warm_up_s") if name in of_fit}
    plain = mfm.Protocol(tr, frames, dt_s, **timing, scheme=of_fit.get("scheme", ObjectiveConfig.scheme))
    return replace(plain, hemo_dt_s=coarse_hemodynamic_dt(tr, plain.dt_s))
