"""Files of every format that is read, how to damage them, and how to read them: what `fuzz_readers.py` works with."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfm.errors import MfmfitError

_WORDS = (
    *(
        b"\x00",
        b"\xff",
        b"\r",
        b"\n",
        b"\t",
        b",",
        b";",
        b"|",
        b'"',
        b"#",
        b"%",
        b"nan",
        b"n/a",
        b"1e999",
        b"-",
        b"0x10",
        b"1,5",
    ),
    *(b"1.234.567", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1a", b"lh-\xe9", b"[]", b"{}", b"null", b"true", b"9" * 400),
    *(
        b"[" * 2000,
        b"\xff\xff\xff\x7f",
        b"\xff" * 8,
        b"\x00" * 8,
        b"(999999999, 999999999)",
        b"descr",
        b"'O'",
        b"<GIFTI",
        b"</DataArray>",
    ),
)


@dataclass(frozen=True)
class Target:
    """A reader, the suffixes of its files, and files to begin with."""

    suffixes: tuple[str, ...]
    seeds: list[bytes]
    read: Callable[[Path], object]
    wrap: Callable[[bytes, np.random.Generator], bytes] = lambda content, rng: content


def mutated(seeds: list[bytes], rng: np.random.Generator) -> bytes:
    if rng.random() < 0.02:
        return rng.bytes(int(rng.integers(0, 600)))
    content = bytearray(seeds[rng.integers(len(seeds))])
    for _ in range(int(rng.integers(1, 7))):
        # Headers are where a damaged byte changes most.
        reach = max(1, min(len(content), 700) if rng.random() < 0.5 else len(content))
        at, to = sorted(rng.integers(0, reach, 2).tolist())
        how = rng.integers(8)
        if how == 0 and content:
            content[at % len(content)] ^= 1 << int(rng.integers(8))
        elif how == 1 and content:
            content[at % len(content)] = int(rng.integers(256))
        elif how == 2:
            del content[at : min(to, at + 200)]
        elif how == 3:
            content[at:at] = content[at : min(to, at + 2000)]
        elif how == 4:
            content[at:at] = _WORDS[rng.integers(len(_WORDS))]
        elif how == 5:
            word = _WORDS[rng.integers(len(_WORDS))]
            content[at : at + len(word)] = word
        elif how == 6 and rng.random() < 0.3:
            del content[to:]
        elif how == 7:
            other = seeds[rng.integers(len(seeds))]
            begin = int(rng.integers(0, len(other)))
            content[at:to] = other[begin : begin + int(rng.integers(1, 500))]
    return bytes(content)


def _read_in_every_role(path: Path, regions=None) -> None:
    """Read a file as a fit and the inspection of a folder do."""
    from mfm.io import load_connectome, load_timeseries, read_fcd_cdf, read_labels, read_map
    from mfm.io.folders.peek import peek
    from mfm.io.folders.tree import walk

    for file in walk(path.parent):
        if file.path == path:
            peek(file)
    refused = 0
    calls: list[Callable[[], object]] = [
        lambda: load_timeseries(path, parcellation=regions, orientation=None if regions else "frames_by_regions"),
    ]
    if regions is None:
        calls += [
            lambda: load_connectome(path),
            lambda: read_map(path, 5),
            lambda: read_fcd_cdf(path),
            lambda: read_labels(path),
        ]
    for call in calls:
        try:
            call()
        except MfmfitError:
            refused += 1
    if refused == len(calls):
        raise MfmfitError("refused in every role")


def _numbers() -> np.ndarray:
    return np.random.default_rng(1).normal(100, 10, (12, 5))


def _table(folder: Path) -> Target:
    import pandas as pd

    from mfm.io.formats.tables import read_table

    x, names = _numbers(), ["lh-a", "lh-b", "rh-a", "rh-b", "rh-c é"]
    frame = pd.DataFrame(x.round(4), columns=names)
    texts = [frame.to_csv(index=False), frame.to_csv(sep="\t"), frame.to_csv(sep=";", decimal=","), frame.corr().to_csv()]
    texts += [
        frame.to_string(index=False),
        frame.round(0).astype(int).to_csv(header=False, index=False),
        frame.iloc[:, 0].to_csv(),
    ]
    texts += ["# " + ",".join(names) + "\n" + frame.to_csv(header=False, index=False), frame.T.to_csv(header=False)]
    seeds = [text.encode() for text in texts] + [texts[0].encode("utf-16"), texts[2].encode("latin-1")]

    def read(path: Path) -> None:
        with contextlib.suppress(MfmfitError):
            read_table(path)
        _read_in_every_role(path)

    return Target(
        (".csv", ".tsv", ".txt"), seeds, read, lambda content, rng: gzip.compress(content) if rng.random() < 0.02 else content
    )


def _npy(folder: Path) -> Target:
    types = (np.float64, np.float32, np.int16, ">f4", bool, np.complex64)
    arrays = [*(_numbers().astype(dtype) for dtype in types), np.asfortranarray(np.corrcoef(_numbers().T))]
    seeds = [_saved(lambda file, array=array: np.save(file, array)) for array in arrays]
    seeds.append(seeds[0].replace(b"NUMPY\x01", b"NUMPY\x02"))
    return Target((".npy",), seeds, _read_in_every_role)


def _npz(folder: Path) -> Target:
    from scipy.sparse import coo_matrix, csr_matrix, save_npz

    members = _npy(folder).seeds
    sparse = {"format": np.array(b"csr"), "shape": np.array([5, 5]), "data": np.ones(5)}

    def wrap(content: bytes, rng: np.random.Generator) -> bytes:
        if rng.random() < 0.5:
            return content
        file = io.BytesIO()  # damage inside of the archive, which its checksum does not show
        with zipfile.ZipFile(file, "w", int(rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as archive:
            if rng.random() < 0.3:  # indices of a sparse matrix that point anywhere
                numbers = {member: rng.integers(-2, 9, 6) for member in ("indices", "indptr")}
                for member, array in {**sparse, **numbers}.items():
                    archive.writestr(f"{member}.npy", _saved(lambda file, array=array: np.save(file, array)))
            else:
                archive.writestr("bold.npy", mutated(members, rng))
            if rng.random() < 0.3:
                archive.writestr(str(rng.choice(["fc.npy", "bold.npy", "notes.txt", "../x.npy"])), content[:200])
        return file.getvalue()

    x = _numbers()
    seeds = [
        _saved(lambda file: np.savez(file, bold=x, fc=np.corrcoef(x.T))),
        _saved(lambda file: np.savez_compressed(file, x)),
        *(_saved(lambda file, one=one: save_npz(file, one)) for one in (csr_matrix(x), coo_matrix(x))),
    ]
    return Target((".npz",), seeds, _read_in_every_role, wrap)


def _mat(folder: Path) -> Target:
    import scipy.io
    import scipy.sparse

    x = _numbers()
    contents = [{"bold": x}, {"a": x, "b": 2.0}, {"s": {"ts": x}}, {"c": np.array(["lh-a", x], dtype=object)}]
    contents.append({"sc": scipy.sparse.csc_matrix(np.corrcoef(x.T))})
    seeds = [
        _saved(lambda file, one=one, packed=packed: scipy.io.savemat(file, one, do_compression=packed))
        for one in contents
        for packed in (False, True)
    ]
    seeds.append(_saved(lambda file: scipy.io.savemat(file, {"bold": x}, format="4")))
    return Target((".mat",), seeds, _read_in_every_role)


def _cifti(folder: Path) -> Target:
    from nibabel.cifti2 import BrainModelAxis, Cifti2Image, LabelAxis, ParcelsAxis, ScalarAxis, SeriesAxis

    brain = BrainModelAxis.from_surface(np.arange(20), 20, "CIFTI_STRUCTURE_CORTEX_LEFT")
    brain += BrainModelAxis.from_surface(np.arange(20), 20, "CIFTI_STRUCTURE_CORTEX_RIGHT")
    names = {k: (f"area-{k}", (0.1, 0.2, 0.3, 1.0)) for k in range(5)}
    keys = (np.arange(40) % 5)[None].astype(np.float32)
    parcels = ParcelsAxis.from_brain_models([(f"area-{k}", brain[k * 4 : k * 4 + 4]) for k in range(5)])
    x = np.random.default_rng(2).normal(100, 9, (12, 40)).astype(np.float32)
    dlabel = folder / "atlas.dlabel.nii"
    Cifti2Image(keys, (LabelAxis(["atlas"], [names]), brain)).to_filename(dlabel)
    images = [Cifti2Image(x, (SeriesAxis(0, 0.72, 12), brain)), Cifti2Image(x[:, :5], (SeriesAxis(0, 0.72, 12), parcels))]
    images += [Cifti2Image(np.corrcoef(x[:, :5].T), (parcels, parcels)), Cifti2Image(x[:1], (ScalarAxis(["myelin"]), brain))]
    images.append(Cifti2Image(keys, (LabelAxis(["atlas"], [names]), brain)))
    seeds = [image.to_bytes() for image in images]
    series = folder / "good.dtseries.nii"
    series.write_bytes(seeds[0])

    def read(path: Path) -> None:
        from mfm.io import load_timeseries

        for one in (lambda: _read_in_every_role(path, dlabel), lambda: _read_in_every_role(path)):
            with contextlib.suppress(MfmfitError):
                one()
        load_timeseries(series, parcellation=path)

    return Target((".dtseries.nii", ".ptseries.nii", ".pconn.nii", ".dlabel.nii", ".dscalar.nii"), seeds, read)


def _nifti(folder: Path) -> Target:
    import nibabel

    rng = np.random.default_rng(3)
    labels, x = np.arange(24).reshape(2, 3, 4) % 4, rng.normal(100, 9, (2, 3, 4, 12))
    atlas = folder / "atlas.nii"
    nibabel.Nifti1Image(labels.astype(np.int16), np.eye(4)).to_filename(atlas)
    images = [nibabel.Nifti1Image(x.astype(np.float32), np.eye(4)), nibabel.Nifti2Image(x.astype(np.int16), np.eye(4))]
    images += [nibabel.Nifti1Image(x[..., 0], np.eye(4)), nibabel.Nifti1Image(labels.astype(np.uint8), np.diag([2, 2, 2, 1]))]
    return Target(
        (".nii", ".nii", ".nii.gz"),
        [image.to_bytes() for image in images],
        lambda path: _read_in_every_role(path, atlas),
        lambda content, rng: gzip.compress(content) if rng.random() < 0.3 else content,
    )


def _gifti(folder: Path) -> Target:
    from nibabel.gifti import GiftiDataArray, GiftiImage

    x = _numbers().astype(np.float32)
    encodings = ("GIFTI_ENCODING_ASCII", "GIFTI_ENCODING_B64BIN", "GIFTI_ENCODING_B64GZ")
    arrays = [
        GiftiDataArray(values.astype(np.float32), encoding=encoding, datatype="NIFTI_TYPE_FLOAT32")
        for encoding in encodings
        for values in (x, np.corrcoef(x.T))
    ]
    seeds = [GiftiImage(darrays=[array]).to_bytes() for array in arrays]
    seeds.append(GiftiImage(darrays=[GiftiDataArray(x[k]) for k in range(3)]).to_bytes())
    return Target((".shape.gii", ".func.gii"), seeds, _read_in_every_role)


def _sidecar(folder: Path) -> Target:
    contents = [{"RepetitionTime": 0.72}, {"RepetitionTime": "2", "SliceTiming": [0, 0.1]}, {"VolumeTiming": [0, 2, 4]}, [1, 2]]
    contents += [{"RepetitionTime": 2, "Software Filters": {"Band": "0.01"}, "Censored": 3, "Sources": ["a"], "desc": "36P"}]
    table = folder / "sub-01_bold.csv"
    np.savetxt(table, _numbers(), delimiter=",")

    def read(path: Path) -> None:
        from mfm.io import load_timeseries

        load_timeseries(table, orientation="frames_by_regions", allow_censored=True)

    return Target((".json",), [json.dumps(one).encode() for one in contents], read)


def _saved(write: Callable[[io.BytesIO], None]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


TARGETS: dict[str, Callable[[Path], Target]] = {
    "table": _table,
    "npy": _npy,
    "npz": _npz,
    "mat": _mat,
    "cifti": _cifti,
    "nifti": _nifti,
    "gifti": _gifti,
    "sidecar": _sidecar,
}
