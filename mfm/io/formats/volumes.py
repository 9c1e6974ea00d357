"""Time series of regions from volumes: 4-D NIfTI and an image of labels."""

from __future__ import annotations

import gzip
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfm.errors import ConfigError, InputError, InputNote
from mfm.io.formats.format import Content, Flaw, Format, Peek, RegionFile, Request
from mfm.io.formats.header_time import HeaderTime, header_time
from mfm.io.formats.images import (
    NIFTI_2_BYTES,
    READ_ERRORS,
    is_cifti,
    nifti_version,
    open_image,
    parse_nifti_header,
    truncation,
    unreadable,
)
from mfm.io.formats.input_file import InputFile, existing_file
from mfm.io.formats.parcellation import LEAST_COVERAGE, NOTED_COVERAGE
from mfm.io.formats.system import home_expanded
from mfm.io.formats.text import text_lines


def read_label_table(path: str | Path) -> dict[int, str]:
    """Read names of label values: a tsv or csv with the columns index and name (or label), or lines of ``index name ...``.

    Raises
    ------
    InputError
        If a line has no index and name, or an index stands twice.
    """
    path = existing_file(path, "label table")
    lines = [line for line in text_lines(path) if line.strip() and line[0] != "#"]
    separator = next((mark for mark in "\t,;" if lines and mark in lines[0]), None)
    rows = [[cell.strip().strip('"') for cell in line.split(separator)] for line in lines]
    index, name = 0, 1
    header = [cell.lower() for cell in rows[0]] if rows else []
    if "index" in header:
        index = header.index("index")
        name = next((header.index(column) for column in ("name", "label") if column in header), -1)
        rows = rows[1:]
    table: dict[int, str] = {}
    for row in rows:
        if name < 0 or len(row) <= max(index, name) or not re.fullmatch(r"-?\d+(\.0+)?", row[index]):
            raise InputError(
                f"{path} is not a label table.",
                expected="columns index and name, or lines of: index name",
                found=" ".join(row)[:80] if name >= 0 else f"columns {', '.join(header)}",
            )
        key = int(float(row[index]))
        if key in table:
            raise InputError(f"{path} names the label {key} twice.", found=f"{table[key]}, {row[name]}")
        table[key] = row[name]
    return table


class VolumeFormat(Format):
    """NIfTI: a 4-D image, averaged over the voxels of each label of another image."""

    title = "NIfTI"
    suffixes = (".nii.gz", ".nii")
    roles = frozenset(("timeseries",))

    @property
    def regional_suffixes(self) -> tuple[str, ...]:
        return ()

    def sniff(self, head: bytes) -> bool:
        return nifti_version(head) is not None and not is_cifti(head)

    def peek(self, path: Path) -> Peek:
        opener = gzip.open if path.name.endswith(".gz") else open
        with opener(path, "rb") as handle:
            header = parse_nifti_header(handle.read(NIFTI_2_BYTES))
        if isinstance(header, Flaw):
            return Peek(flaw=header)
        shape = header.get_data_shape()
        if len(shape) != 4 or shape[3] < 2:
            return Peek(flaw=Flaw(f"not a series of volumes, but of shape {shape}", "give the 4-D image"))
        n_bytes = int(header["vox_offset"]) + int(np.prod(shape, dtype=np.int64)) * int(header["bitpix"]) // 8
        time = _header_time(header)
        return Peek((shape[3], 0), "frames_by_regions", time.tr_s, truncation(path, n_bytes), time)

    def read(self, file: InputFile, request: Request) -> Content:
        if request.regions is None:
            raise ConfigError(
                f"{file.path} holds voxels, not regions.",
                expected="an image of labels to average them over",
                fix='`parcellation="LABELS.nii.gz"`',
            )
        return _read_series(file, request.regions)

    def refusal(self, file: InputFile, request: Request, readable: tuple[str, ...]) -> InputError:
        if request.role != "matrix":
            return super().refusal(file, request, readable)
        return InputError(
            f"{file.path} is a NIfTI or CIFTI image.",
            expected="a matrix: csv, tsv, txt, npy, npz, mat, GIFTI or .pconn.nii",
            fix="wb_command -cifti-convert -to-text FILE.nii FILE.txt",
        )


@dataclass(frozen=True, eq=False)
class _LabelImage:
    """An image of labels: the label of every voxel, the labels of the regions in order, and their names."""

    keys: np.ndarray
    affine: np.ndarray
    regions: list[int]
    names: tuple[str, ...] | None

    def name(self, k: int) -> str:
        return self.names[k] if self.names else str(self.regions[k])


def _label_image(regions: RegionFile) -> _LabelImage:
    labels = open_image(regions.path, "parcellation")
    try:
        keys = np.asarray(labels.dataobj)
    except READ_ERRORS as error:
        raise unreadable(Path(regions.path), error) from error
    keys = keys[..., 0] if keys.ndim == 4 and keys.shape[3] == 1 else keys
    if keys.ndim != 3 or not np.isfinite(keys).all() or (keys != np.round(keys)).any() or keys.min() < 0:
        raise InputError(
            f"{regions.path} is not an image of labels.",
            expected="a 3-D image of whole numbers, 0 for the background",
            found=f"shape {keys.shape}, values from {np.nanmin(keys):g} to {np.nanmax(keys):g}",
            cause="a probabilistic atlas, or one that was interpolated linearly",
        )
    found = [int(key) for key in np.unique(keys) if key != 0]
    return _LabelImage(keys, labels.affine, found, _names(found, regions.table, regions.path))


def _read_series(file: InputFile, regions: RegionFile) -> Content:
    """Average a 4-D image over the voxels of each label, through nilearn's NiftiLabelsMasker.

    Regions come in the order of their labels; one with data (finite, not constant) in less than half of its voxels is NaN.
    """
    path = file.path
    image, labels = open_image(path, file.what), regions.read_once(_label_image)
    if image.ndim != 4 or image.shape[3] < 2:
        raise InputError(f"{path} is not a time series.", expected="a 4-D image", found=f"shape {image.shape}")
    try:
        data = image.get_fdata(dtype=np.float32)
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    atlas = _on_the_grid_of(image, labels, path, regions.path)
    region = np.asarray(atlas.dataobj).astype(np.int64)
    has_data = np.isfinite(data).all(axis=3) & (data.max(axis=3) > data.min(axis=3))
    if not ((region > 0) & has_data).any():
        raise InputError(
            f"{path} has no data where {regions.path} has regions.",
            cause="the two are in different spaces (native and MNI)",
            fix="give the scan and the labels in one space",
        )
    values = _means(image, atlas, has_data, labels.regions)
    every = labels.regions
    size, count = (np.bincount(part.ravel(), minlength=max(every) + 1)[every] for part in (region, region * has_data))
    coverage = np.divide(count, size, out=np.zeros(len(every)), where=size > 0)
    low = [f"{labels.name(k)} {coverage[k]:.0%}" for k in np.flatnonzero(coverage < NOTED_COVERAGE).tolist()]
    if low:
        note = f"{path} covers few voxels of {', '.join(low[:6])}; below {LEAST_COVERAGE:.0%} a region has no data."
        warnings.warn(InputNote(note), stacklevel=2)
    values[:, coverage < LEAST_COVERAGE] = np.nan
    time = _header_time(image.header)
    return Content(path, {"": values}, None, labels.names, "frames_by_regions", time.tr_s, untold=time)


def _on_the_grid_of(image, labels: _LabelImage, path: Path, labels_path: str | Path):
    """Return the labels as an image on the voxel grid of `image`, with a note where they had to be resampled."""
    import nibabel
    from nilearn.image import resample_to_img

    atlas = nibabel.Nifti1Image(labels.keys.astype(np.int32), labels.affine)
    if labels.keys.shape == image.shape[:3] and np.allclose(labels.affine, image.affine, atol=1e-3):
        return atlas
    warnings.warn(InputNote(f"{labels_path} has another voxel grid than {path} and was resampled to it."), stacklevel=3)
    return resample_to_img(atlas, image, interpolation="nearest", force_resample=True, copy_header=True)


def _means(image, atlas, has_data: np.ndarray, regions: list[int]) -> np.ndarray:
    """Mean of (T, N) over the voxels with data of each region; NaN where a region has no voxel."""
    import nibabel
    from nilearn.maskers import NiftiLabelsMasker

    masker = NiftiLabelsMasker(
        atlas, mask_img=nibabel.Nifti1Image(has_data.astype(np.int8), image.affine), strategy="mean", reports=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels without voxels, which the caller tells
        signals = masker.fit_transform(image)
    found = [int(float(masker.region_ids_[k])) for k in range(signals.shape[1])]
    values = np.full((image.shape[3], len(regions)), np.nan)
    values[:, [regions.index(key) for key in found]] = signals
    return values


def table_beside(labels_path: str | Path) -> Path | None:
    """Return the tsv of the same name as an image of labels, as BIDS has it; None where there is none."""
    path = home_expanded(labels_path)
    table = path.with_name(path.name.partition(".")[0] + ".tsv")
    return table if table.exists() else None


def _names(regions: list[int], table_path: str | Path | None, labels_path: str | Path) -> tuple[str, ...] | None:
    if table_path is None:
        return None
    table = read_label_table(table_path)
    missing = [key for key in regions if key not in table]
    if missing:
        raise InputError(
            f"The label table {table_path} does not fit {labels_path}.",
            expected=f"a name for each of its {len(regions)} labels",
            found=f"none for {', '.join(map(str, missing[:8]))}",
            cause="a table of another parcellation",
        )
    return tuple(table[key] for key in regions)


def _header_time(header) -> HeaderTime:
    return header_time(float(header.get_zooms()[3]), header.get_xyzt_units()[1])
