"""Simulation of given parameters from files, for the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

import mfm
from mfm.errors import InputError
from mfm.io import load_connectome, write_atomic, write_json, write_tsv
from mfm.io.tables import existing_file
from mfm.protocol import coarse_hemodynamic_dt, nearest_dt


def simulate_to_folder(
    parameters: Path,
    G: float | None,
    sc: str,
    sc_transform: str,
    tr_s: float,
    n_frames: int,
    dt_s: float | None,
    n_repeats: int,
    seed: int,
    backend: str,
    out: Path,
) -> list[Path]:
    """Simulate one parameter set and write BOLD (R, T, N), FC, FCD CDF and regional averages; returns the files."""
    connectome = load_connectome(sc, sc_transform)
    p, labels = _read_parameters(parameters, G)
    if connectome.labels is None and labels is not None and len(labels) == connectome.n_regions:
        connectome = mfm.Connectome(connectome.weights, labels)
    # Validates TR and neural step before the hemodynamic one is derived from them.
    plain = mfm.Protocol(tr_s, n_frames, dt_s or nearest_dt(tr_s, 0.006))
    protocol = mfm.Protocol(tr_s, n_frames, plain.dt_s, hemo_dt_s=coarse_hemodynamic_dt(tr_s, plain.dt_s))
    sim = mfm.simulate(p, connectome, protocol, n_repeats, seed, backend)
    files = [out / "bold.npy", out / "fc.npy", out / "regional.tsv", out / "simulation.json"]
    write_atomic(files[0], lambda path: _save(path, sim.bold[0].numpy()))
    write_atomic(files[1], lambda path: _save(path, mfm.functional_connectivity(sim.bold[0]).mean(dim=0).numpy()))
    names = connectome.default_labels
    averages = [x[0].mean(dim=0).tolist() for x in (sim.rate_E, sim.S_E, sim.S_I)]
    rows = [(k + 1, name, *values) for k, (name, *values) in enumerate(zip(names, *averages, strict=True))]
    write_tsv(files[2], ("index", "region", "r_E", "S_E", "S_I"), rows)
    statuses = [mfm.SimStatus(int(s)).name for s in sim.status[0]]
    record = {"protocol": asdict(protocol), "seed": seed, "backend": sim.backend, "status": statuses, "G": float(p.G[0])}
    write_json(files[3], record)
    if n_frames >= 2 * protocol.window_frames:
        files.append(out / "fcdcdf.npy")
        write_atomic(files[-1], lambda path: _save(path, mfm.fcd_cdf(sim.bold[0], protocol.window_frames).mean(dim=0).numpy()))
    return files


def _save(path: Path, array: np.ndarray) -> None:
    with open(path, "wb") as handle:
        np.save(handle, array)


def _read_parameters(path: Path, G: float | None) -> tuple[mfm.FICParameters, tuple[str, ...] | None]:
    """One parameter set from a table with the columns w_EE, w_EI and sigma; G from the JSON beside it unless given."""
    lines = existing_file(path, "parameter").read_text(encoding="utf-8").splitlines()
    header = lines[0].split("\t" if "\t" in lines[0] else ",")
    missing = [name for name in ("w_EE", "w_EI", "sigma") if name not in header]
    if missing:
        raise InputError(
            f"{path} lacks columns.", expected="w_EE, w_EI, sigma, one row per region", found=f"no column {', '.join(missing)}"
        )
    rows = [line.split("\t" if "\t" in lines[0] else ",") for line in lines[1:] if line.strip()]
    try:
        columns = {name: np.array([float(row[header.index(name)]) for row in rows]) for name in ("w_EE", "w_EI", "sigma")}
    except (ValueError, IndexError) as error:
        raise InputError(f"{path} holds something that is not a number.", found=str(error)) from error
    if G is None:
        beside = path.with_suffix(".json")
        if not beside.exists():
            raise InputError("The global coupling is not known.", found=f"no {beside.name} beside the table", fix="--G VALUE")
        G = float(json.loads(beside.read_text(encoding="utf-8"))["G"])
    labels = tuple(row[header.index("region")] for row in rows) if "region" in header else None
    return mfm.FICParameters(columns["w_EE"], columns["w_EI"], columns["sigma"], [G]), labels
