"""Time series of regions from volumes: 4-D NIfTI and an image of labels."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

from mfm.errors import InputError, InputNote
from mfm.io.formats.cifti import LEAST_COVERAGE, NOTED_COVERAGE, READ_ERRORS, open_image, unreadable
from mfm.io.formats.tables import existing_file


def read_label_table(path: str | Path) -> dict[int, str]:
    """Names of label values: a tsv or csv with the columns index and name (or label), or lines of ``index name ...``.

    Raises
    ------
    InputError
        If a line has no index and name, or an index stands twice.
    """
    path = existing_file(path, "label table")
    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip() and line[0] != "#"]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a UTF-8 text file.", found=str(error)) from error
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


def read_volume_series(
    path: Path, labels_path: str | Path, table_path: str | Path | None
) -> tuple[np.ndarray, tuple[str, ...] | None, float | None]:
    """Mean of a 4-D image over the voxels of each label, through nilearn's NiftiLabelsMasker.

    Returns
    -------
    values : array, (T, N)
        Regions in the order of their labels; NaN for one with data (finite, not constant) in less than half of its voxels.
    names : tuple of str, or None without a label table
    tr_s : float or None
        From the header.

    Raises
    ------
    InputError
        If an image cannot be read, is not of the right dimensions, or the label table lacks a label of the image.

    Warns
    -----
    InputNote
        If the labels had to be resampled, or regions lost voxels.
    """
    import nibabel
    from nilearn.image import resample_to_img
    from nilearn.maskers import NiftiLabelsMasker

    image, labels = open_image(path, "time series"), open_image(labels_path, "parcellation")
    if image.ndim != 4 or image.shape[3] < 2:
        raise InputError(f"{path} is not a time series.", expected="a 4-D image", found=f"shape {image.shape}")
    tr_s = _header_tr(image)
    try:
        keys = np.asarray(labels.dataobj)
        data = image.get_fdata(dtype=np.float32)
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    keys = keys[..., 0] if keys.ndim == 4 and keys.shape[3] == 1 else keys
    if keys.ndim != 3 or not np.isfinite(keys).all() or (keys != np.round(keys)).any() or keys.min() < 0:
        raise InputError(
            f"{labels_path} is not an image of labels.",
            expected="a 3-D image of whole numbers, 0 for the background",
            found=f"shape {keys.shape}, values from {np.nanmin(keys):g} to {np.nanmax(keys):g}",
            cause="a probabilistic atlas, or one that was interpolated linearly",
        )
    regions = [int(key) for key in np.unique(keys) if key != 0]
    names = _names(regions, table_path, labels_path)
    atlas = nibabel.Nifti1Image(keys.astype(np.int32), labels.affine)
    if keys.shape != data.shape[:3] or not np.allclose(labels.affine, image.affine, atol=1e-3):
        warnings.warn(InputNote(f"{labels_path} has another voxel grid than {path} and was resampled to it."), stacklevel=2)
        atlas = resample_to_img(atlas, image, interpolation="nearest", force_resample=True, copy_header=True)
    resampled = np.asarray(atlas.dataobj).astype(np.int64)
    has_data = np.isfinite(data).all(axis=3) & (data.max(axis=3) > data.min(axis=3))
    if not ((resampled > 0) & has_data).any():
        raise InputError(
            f"{path} has no data where {labels_path} has regions.",
            cause="the two are in different spaces (native and MNI)",
            fix="give the scan and the labels in one space",
        )
    masker = NiftiLabelsMasker(
        atlas, mask_img=nibabel.Nifti1Image(has_data.astype(np.int8), image.affine), strategy="mean", reports=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels without voxels, which are told below
        signals = masker.fit_transform(image)
    found = [int(float(masker.region_ids_[k])) for k in range(signals.shape[1])]
    values = np.full((data.shape[3], len(regions)), np.nan)
    values[:, [regions.index(key) for key in found]] = signals
    size, count = (np.bincount(part.ravel(), minlength=max(regions) + 1)[regions] for part in (resampled, resampled * has_data))
    coverage = np.divide(count, size, out=np.zeros(len(regions)), where=size > 0)
    low = [f"{names[k] if names else regions[k]} {coverage[k]:.0%}" for k in np.flatnonzero(coverage < NOTED_COVERAGE)]
    if low:
        note = f"{path} covers few voxels of {', '.join(low[:6])}; below {LEAST_COVERAGE:.0%} a region has no data."
        warnings.warn(InputNote(note), stacklevel=2)
    values[:, coverage < LEAST_COVERAGE] = np.nan
    return values, names, tr_s


def table_beside(labels_path: str | Path) -> Path | None:
    """The tsv of the same name as an image of labels, as BIDS has it; None where there is none."""
    path = Path(labels_path).expanduser()
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


def _header_tr(image) -> float | None:
    """The repetition time in the header, seconds; None where it says nothing."""
    step, unit = float(image.header.get_zooms()[3]), image.header.get_xyzt_units()[1]
    if not np.isfinite(step) or step <= 0:
        return None
    return step * {"msec": 1e-3, "usec": 1e-6}.get(unit, 1.0)
