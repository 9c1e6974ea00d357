"""Every file of a subject is read once and digested once, however many inputs name it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cifti_files import LEFT, surface, write, write_dlabel, write_dtseries
from nibabel.cifti2 import ScalarAxis

from mfm import fcd_cdf, functional_connectivity
from mfm.io import DataFiles, MatrixOptions, StageFiles, load_subject
from mfm.io.formats.format import Format
from mfm.io.formats.registry import FORMATS

N_REGIONS, TR_S, N_FRAMES = 24, 3.0, 120
NAMES = tuple(f"lh-region{k}" for k in range(N_REGIONS))


@pytest.fixture
def reads(monkeypatch):
    """How often each file was read by a format, opened as a parcellation or list of names, and digested."""
    counts: dict[str, Counter] = {"read": Counter(), "regions": Counter(), "names": Counter(), "digest": Counter()}

    def counted(kind, function, path_of):
        def call(*arguments, **keywords):
            counts[kind][Path(path_of(*arguments)).name] += 1
            return function(*arguments, **keywords)

        return call

    for one in FORMATS:
        monkeypatch.setattr(one, "read", counted("read", one.read, lambda file, request: file.path))
    for kind, place, path_of in (
        ("regions", "mfm.io.formats.parcellation.read_parcellation", lambda path: path),
        ("names", "mfm.io.subject.read.read_labels", lambda path: path),
        ("digest", "mfm.io.subject.read.file_digest", lambda path: path),
    ):
        module, _, name = place.rpartition(".")
        original = getattr(__import__(module, fromlist=[name]), name)
        monkeypatch.setattr(place, counted(kind, original, path_of))
    monkeypatch.setattr("mfm.io.readers.timeseries.file_digest", None)  # digests go through the subject's own
    return counts


def recorded(seed):
    rng = np.random.default_rng(seed)
    return 100 + rng.normal(size=(N_FRAMES, N_REGIONS)) + rng.normal(size=(N_FRAMES, 1))


def counts():
    matrix = np.random.default_rng(9).integers(2, 999, (N_REGIONS, N_REGIONS)).astype(float)
    return matrix + matrix.T


def test_statistics_and_maps_are_read_once(tmp_path, reads):
    distance = np.abs(np.subtract.outer(np.arange(N_REGIONS), np.arange(N_REGIONS)))
    for name, matrix in (("sc.csv", counts()), ("own.csv", counts() + 1), ("group.csv", np.exp(-distance / 2))):
        np.savetxt(tmp_path / name, matrix, delimiter=",")
    for k in range(2):
        np.save(tmp_path / f"fc-{k}.npy", functional_connectivity(recorded(k)).numpy())
        np.save(tmp_path / f"cdf-{k}.npy", fcd_cdf(recorded(k), 20).numpy())
    rows = [f"{name}\t{k + 1.0}\t{k**2 + 0.5}" for k, name in enumerate(NAMES)]
    (tmp_path / "maps.tsv").write_text("\n".join(["region\tmyelin\tthickness", *rows]))
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    at = {path.name: str(path) for path in tmp_path.iterdir()}
    files = DataFiles(
        sc=at["sc.csv"],
        sc_file=MatrixOptions(labels=at["names.txt"]),
        search=StageFiles(at["fc-0.npy"], at["cdf-0.npy"]),
        validation=StageFiles(at["fc-1.npy"], at["cdf-1.npy"], at["own.csv"]),
        test=StageFiles(at["fc-1.npy"], at["cdf-1.npy"], at["own.csv"]),
        maps={"myelin": at["maps.tsv"], "thickness": at["maps.tsv"]},
        gradient_fc=at["group.csv"],
    )
    subject = load_subject(files, TR_S, N_FRAMES, labels=at["names.txt"])
    assert subject.maps.names == ("myelin", "thickness", "gradient")
    assert reads["read"] == Counter(set(at) - {"names.txt"})
    assert reads["names"] == Counter(["names.txt"])
    assert reads["digest"] == Counter(set(at))


def test_a_parcellation_is_read_once_for_all_runs_and_maps(tmp_path, reads):
    axis = surface(LEFT, np.arange(10, 10 + N_REGIONS))
    np.savetxt(tmp_path / "sc.csv", counts(), delimiter=",")
    for k in range(3):
        write_dtseries(tmp_path / f"run-{k}.dtseries.nii", recorded(k), axis, TR_S)
    write_dlabel(tmp_path / "atlas.dlabel.nii", np.arange(N_REGIONS) + 1, NAMES, axis)
    rng = np.random.default_rng(1)
    write(tmp_path / "maps.dscalar.nii", rng.normal(size=(2, N_REGIONS)), ScalarAxis(["myelin", "curvature"]), axis)
    at = {path.name: str(path) for path in tmp_path.iterdir()}
    (tmp_path / "dataset_description.json").write_text(json.dumps({"Name": "x"}))
    files = DataFiles(
        sc=at["sc.csv"],
        timeseries=[at[f"run-{k}.dtseries.nii"] for k in range(3)],
        parcellation=at["atlas.dlabel.nii"],
        maps={"myelin": at["maps.dscalar.nii"], "curvature": at["maps.dscalar.nii"]},
    )
    subject = load_subject(files, TR_S)
    assert subject.labels == NAMES
    assert reads["read"] == Counter(set(at) - {"atlas.dlabel.nii"})
    assert reads["regions"] == Counter(["atlas.dlabel.nii"])
    assert reads["digest"] == Counter(set(at))
    sources = {Path(source.path).name: source.sha256 for source in subject.sources}
    assert sources == {name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for name, path in at.items()}


def test_every_format_reads_through_one_method():
    assert all(isinstance(one, Format) for one in FORMATS)
