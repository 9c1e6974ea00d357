"""Which array of a file with several is meant: matrices by name, those inside structs, cells and stacks among them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from mfm.errors import InputError, InputNote
from mfm.io.formats.arrays import is_matrix

# Names of what lies beside connectomes: it is offered last.
_OTHER_THAN_WEIGHTS = re.compile(r"dist|len|coord|centre|center|xyz|delay|tract_?time|label|area|^fc|_fc$", re.IGNORECASE)
# Of a sparse matrix: more than 5000 rows and columns are no regions.
_MOST_ENTRIES = 5000**2
_LARGEST_DEPTH, _MOST_MATRICES, _MOST_LISTED = 6, 5000, 6


def matrices_by_name(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return every matrix of real numbers that a file holds.

    What lies inside is named by a path: ``data/SC`` is a field of a struct, ``SC/2`` the second cell, or the second matrix of
    a stack N x N x S (or S x N x N), counted from 1.

    Examples
    --------
    >>> import numpy as np
    >>> from mfm.io.formats.containers import matrices_by_name
    >>> list(matrices_by_name({"age": np.ones((1, 1)), "SC": np.ones((4, 4, 2)), "lengths": np.ones((4, 4))}))
    ['SC/1', 'SC/2', 'lengths']
    """
    found: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        for path, matrix in _inside(name, array, 0):
            found[path] = matrix
            if len(found) >= _MOST_MATRICES:
                return found
    return found


def _inside(name: str, array, depth: int) -> Iterator[tuple[str, np.ndarray]]:
    if hasattr(array, "toarray"):
        try:
            array = dense(array)
        except ValueError:
            return  # not one of regions
    if not isinstance(array, np.ndarray) or depth > _LARGEST_DEPTH:
        return
    if is_matrix(array):
        yield name, array
    elif array.dtype.names:
        for k, one in enumerate(array.ravel(order="F")):
            number = f"/{k + 1}" if array.size > 1 else ""
            for field in array.dtype.names:
                yield from _inside(f"{name}{number}/{field}", one[field], depth + 1)
    elif array.dtype == object:
        for k, one in enumerate(array.ravel(order="F")):
            yield from _inside(f"{name}/{k + 1}" if array.size > 1 else name, one, depth + 1)
    elif array.ndim == 3 and array.dtype.kind in "biuf" and (axis := _axis_of_stack(array.shape)) is not None:
        for k in range(array.shape[axis]):
            yield (f"{name}/{k + 1}" if array.shape[axis] > 1 else name), np.take(array, k, axis=axis)


def _axis_of_stack(shape: tuple[int, ...]) -> int | None:
    """Return the axis along which square matrices are stacked; None where no two others are equal."""
    if shape[0] == shape[1] > 1:
        return 2
    return 0 if shape[1] == shape[2] > 1 else None


def dense(matrix) -> np.ndarray:
    """Return a sparse matrix as an array; a ValueError for one that no parcellation has, and no memory holds."""
    if np.prod([float(n) for n in matrix.shape]) > _MOST_ENTRIES:
        raise ValueError(f"a sparse matrix of shape {matrix.shape}: vertices or voxels, not regions")
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)  # indices of a damaged file point beyond the matrix, where scipy would write
    return matrix.toarray()


def choose_matrix(
    arrays: Mapping[str, np.ndarray],
    key: str | None,
    path: Path,
    argument: str | None,
    fits: Callable[[np.ndarray], bool] | None = None,
) -> tuple[str, np.ndarray]:
    """Return the name and the array of the matrix `key`, or of the only one where no key is given.

    Parameters
    ----------
    arrays : mapping of name to array
    key : str, optional
    path : path
        Of the file, for messages.
    argument : str or None
        What the key is called where it is given; None where it cannot be.
    fits : callable, optional
        Whether a matrix can be what is meant. Where one only can, it is taken.

    Raises
    ------
    InputError
        If there is no such matrix, or several and no key; the message lists what there is.

    Warns
    -----
    InputNote
        If there were other arrays that could have been meant.
    """
    found = matrices_by_name(arrays)
    fitting = [name for name, matrix in found.items() if fits is None or fits(matrix)]
    if key is not None:
        if key not in found:
            there = f"the names {', '.join(list(found or arrays)[:12])}"
            there = f"{key!r} of shape {arrays[key].shape}, {there}" if key in arrays else there
            raise InputError(
                f"{path} has no matrix of real numbers named {key!r}.",
                found=there,
                fix=_fix(fitting or list(found), argument),
            )
        return key, found[key]
    candidates = fitting if len(fitting) == 1 else list(found)
    if len(candidates) != 1:
        raise InputError(
            f"{path} holds {'several matrices' if found else 'no matrix'}.",
            expected="one, or the name of the one that is meant" if argument else "one",
            found=_listed(found)
            if found
            else ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing",
            cause=None if found else "vectors, text, or a stack of which no two sides are equal",
            fix=_fix(fitting or list(found), argument) or "save the matrix that is meant by itself",
        )
    name = candidates[0]
    others = [
        f"{other} {array.shape}"
        for other, array in arrays.items()
        if other.split("/")[0] != name.split("/")[0] and array.size > 1 and array.dtype.kind in "biufOV" and array.ndim > 1
        and max(array.shape) < array.size
    ]  # fmt: skip
    if others or name not in arrays:
        more = f"; it also holds {', '.join(others[:_MOST_LISTED])}" if others else ""
        choice = f' (`{argument}="NAME"` takes another)' if argument and others else ""
        warnings.warn(InputNote(f"Of {path} the array {name} {found[name].shape} was taken{more}{choice}."), stacklevel=3)
    return name, found[name]


def _listed(found: Mapping[str, np.ndarray]) -> str:
    """Names and shapes; of cells and stacks the first and the last."""
    groups: dict[str, list[str]] = {}
    for name in found:
        groups.setdefault(re.sub(r"/\d+$", "", name), []).append(name)
    told = [
        f"{names[0]} {found[names[0]].shape}" + (f" to {names[-1]} ({len(names)} matrices)" if len(names) > 1 else "")
        for names in groups.values()
    ]
    return ", ".join(told[:_MOST_LISTED]) + (f", ... ({len(told)} in all)" if len(told) > _MOST_LISTED else "")


def _fix(names: list[str], argument: str | None) -> str | None:
    if not names or argument is None:
        return None
    ranked = sorted(names, key=lambda name: bool(_OTHER_THAN_WEIGHTS.search(name)))
    # One of each cell array or stack is example enough.
    kinds = {re.sub(r"/\d+$", "", name): name for name in reversed(ranked)}
    return ", or ".join(f'`{argument}="{name}"`' for name in list(reversed(kinds.values()))[:3])
