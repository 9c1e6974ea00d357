"""One array out of files that can hold several: npz and mat."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from mfm.errors import InputError
from mfm.io.cifti import READ_ERRORS, unreadable
from mfm.io.tables import existing_file


def read_array(path: str | Path, key: str | None = None, what: str = "input") -> np.ndarray:
    """A matrix from an npz or mat file (MATLAB 5 to 7.2).

    Parameters
    ----------
    path : path
    key : str, optional
        Name of the array; needed where the file holds several matrices.
    what : str
        What the file is, for messages.

    Returns
    -------
    array of float64, (R, C)

    Raises
    ------
    InputError
        If the file cannot be read, there is no such array, several could be meant, or it is no matrix of real numbers.
    """
    path = existing_file(path, what)
    arrays = _read_mat(path) if path.suffix == ".mat" else _read_npz(path)
    matrices = [name for name, array in arrays.items() if _is_matrix(array)]
    if key is None:
        if len(matrices) != 1:
            raise InputError(
                f"{path} holds {'several matrices' if matrices else 'no matrix'}.",
                expected="one, or the name of the one that is meant",
                found=", ".join(f"{name} {np.shape(array)}" for name, array in arrays.items()) or "nothing",
                fix=f"data.timeseries_key={matrices[0]}" if matrices and what == "time series" else None,
            )
        key = matrices[0]
    if key not in matrices:
        found = f"{key!r} of shape {np.shape(arrays[key])}" if key in arrays else f"the names {', '.join(arrays)}"
        raise InputError(f"{path} has no matrix of real numbers named {key!r}.", found=found)
    return np.asarray(arrays[key], dtype=np.float64)


def _is_matrix(array: np.ndarray) -> bool:
    real = np.issubdtype(array.dtype, np.number) and not np.iscomplexobj(array)
    return real and array.ndim == 2 and min(array.shape) > 1


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, AttributeError, TypeError, *READ_ERRORS) as error:
        raise unreadable(path, error) from error


def _read_mat(path: Path) -> dict[str, np.ndarray]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path)
    except NotImplementedError as error:
        raise InputError(
            f"{path} is a MATLAB 7.3 file.", expected="MATLAB 5 to 7.2", fix="in MATLAB: save(file, 'name', '-v7')"
        ) from error
    except (MatReadError, TypeError, *READ_ERRORS) as error:
        raise unreadable(path, error) from error
    return {name: np.asarray(value) for name, value in content.items() if not name.startswith("__")}
