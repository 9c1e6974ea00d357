"""Small files in the formats that labs keep, for trees of folders."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, LabelAxis, ParcelsAxis, SeriesAxis

N_VERTICES = 12


def _ready(path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def table(path, frames=400, regions=3, names=True, delimiter="\t") -> Path:
    """Time series as text, with or without a header of names."""
    path = _ready(path)
    header = delimiter.join(f"region{k}" for k in range(regions)) if names else ""
    values = np.random.default_rng(0).normal(size=(frames, regions))
    np.savetxt(path, values, fmt="%.4f", delimiter=delimiter, header=header, comments="")
    return path


def matrix(path, regions=3) -> Path:
    """A connectome of streamline counts, symmetric, with nothing on its diagonal."""
    path = _ready(path)
    counts = np.triu(np.random.default_rng(regions).integers(2, 1000, (regions, regions)), 1)
    np.savetxt(path, counts + counts.T, fmt="%d", delimiter=",")
    return path


def fc_and_fcd(folder, stage="", regions=3) -> None:
    lead = f"{stage}_" if stage else ""
    np.savetxt(_ready(Path(folder, f"{lead}FC.csv")), np.eye(regions) * 0.5 + 0.5, delimiter=",")
    np.savetxt(_ready(Path(folder, f"{lead}FCD_CDF.csv")), np.linspace(0, 1, 100))


def sidecar(path, **values) -> Path:
    path = _ready(path)
    path.write_text(json.dumps(values))
    return path


def _brain() -> BrainModelAxis:
    mask = np.ones(N_VERTICES // 2, bool)
    return BrainModelAxis.from_mask(mask, "CORTEX_LEFT") + BrainModelAxis.from_mask(mask, "CORTEX_RIGHT")


def dtseries(path, frames=400, tr_s=0.72, unit="SECOND") -> Path:
    """A dense series of twelve vertices."""
    axes = (SeriesAxis(0, tr_s, frames, unit), _brain())
    return _cifti(path, np.zeros((frames, N_VERTICES), np.float32), axes, "NIFTI_INTENT_CONNECTIVITY_DENSE_SERIES")


def ptseries(path, frames=400, tr_s=0.72, regions=3) -> Path:
    one = [(f"region{k}", _brain()[k : k + 1]) for k in range(regions)]
    axes = (SeriesAxis(0, tr_s, frames), ParcelsAxis.from_brain_models(one))
    values = np.zeros((frames, regions), np.float32)
    return _cifti(path, values, axes, "NIFTI_INTENT_CONNECTIVITY_PARCELLATED_SERIES")


def dlabel(path) -> Path:
    axes = (LabelAxis(["atlas"], {0: ("???", (0, 0, 0, 0)), 1: ("region1", (1, 0, 0, 1))}), _brain())
    return _cifti(path, np.ones((1, N_VERTICES), np.float32), axes, "NIFTI_INTENT_CONNECTIVITY_DENSE_LABELS")


def _cifti(path, values, axes, intent) -> Path:
    path = _ready(path)
    image = Cifti2Image(values, axes)
    image.nifti_header.set_intent(intent)
    nibabel.save(image, path)
    return path


def volume(path, frames=400, tr=0.8, unit="sec") -> Path:
    path = _ready(path)
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2, frames), np.int16), np.eye(4))
    image.header.set_zooms((2, 2, 2, tr))
    image.header.set_xyzt_units("mm", unit)
    nibabel.save(image, path)
    return path


def gifti(path, values) -> Path:
    path = _ready(path)
    array = nibabel.gifti.GiftiDataArray(np.asarray(values, np.float32), datatype="NIFTI_TYPE_FLOAT32")
    nibabel.save(nibabel.gifti.GiftiImage(darrays=[array]), path)
    return path


HCP_RUNS = ("rfMRI_REST1_LR", "rfMRI_REST1_RL", "rfMRI_REST2_LR", "rfMRI_REST2_RL")


def hcp_run(root, subject, run, suffix="_Atlas_MSMAll_hp2000_clean.dtseries.nii", **series) -> Path:
    return dtseries(Path(root, subject, "MNINonLinear", "Results", run, f"{run}{suffix}"), **series)


def xcpd_run(root, subject="01", atlas="4S156Parcels", run="task-rest_run-1", **series) -> Path:
    stem = f"sub-{subject}_{run}_space-fsLR_atlas-{atlas}_den-91k_stat-mean_timeseries"
    return table(Path(root, f"sub-{subject}", "func", f"{stem}.tsv"), **series)


def plain_subject(root, subject="sub-01", runs=1, frames=400, regions=3, names=True) -> Path:
    """A connectome and tables, as in a lab's own folder."""
    folder = Path(root, subject)
    matrix(folder / "SC.csv", regions)
    for run in range(1, runs + 1):
        table(folder / f"task-rest_run-{run}_timeseries.tsv", frames, regions, names)
    return folder
