"""A group shows what refinements of several people have in common: random effects over estimates, and how these repeat."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfm.errors import InputError, MissingInputError


@dataclass(frozen=True)
class SharedTerm:
    """A shared term is one coefficient over people.

    Attributes
    ----------
    name : str
    people : int
        In whom it was learned; the others' scans could not tell it.
    mean, error, low, high : float
        Mean over people, of polished coefficients where there are, with its standard error and 95 % interval.
    between_std : float
        Standard deviation of people around it, beyond what their errors explain.
    icc : float
        ICC(1) of the estimates from training and held-out scan; NaN for fewer than three people.
    supported : int
        People whose own verdict was evidence for a residual.
    """

    name: str
    people: int
    mean: float
    error: float
    low: float
    high: float
    between_std: float
    icc: float
    supported: int


def random_effects(values: np.ndarray, errors: np.ndarray) -> tuple[float, float, float]:
    """Estimate a mean, its standard error, and the standard deviation between people (DerSimonian & Laird 1986).

    The error is that of Hartung and Knapp (2001), which does not take the variance between few people for known.

    Examples
    --------
    >>> import numpy as np
    >>> from optim.refine.group import random_effects
    >>> mean, error, between = random_effects(np.array([1.0, 1.1, 0.9]), np.array([0.5, 0.5, 0.5]))
    >>> round(mean, 6), between
    (1.0, 0.0)
    """
    w = errors**-2
    fixed = (w * values).sum() / w.sum()
    excess = (w * (values - fixed) ** 2).sum() - (len(values) - 1)
    between = max(0.0, excess / (w.sum() - (w**2).sum() / w.sum()))
    w = 1 / (errors**2 + between)
    mean = (w * values).sum() / w.sum()
    spread = (w * (values - mean) ** 2).sum() / (len(values) - 1)
    # Never below the error of known variances: few people may agree by chance.
    return float(mean), float(math.sqrt(max(1.0, spread) / w.sum())), math.sqrt(between)


def icc(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the one-way intraclass correlation ICC(1) of two measurements of each person (Shrout & Fleiss 1979).

    Examples
    --------
    >>> import numpy as np
    >>> from optim.refine.group import icc
    >>> icc(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    1.0
    """
    if len(first) < 3:
        return math.nan
    pairs = np.stack([first, second])
    between = 2 * pairs.mean(axis=0).var(ddof=1)
    within = ((first - second) ** 2).mean() / 2
    return float((between - within) / (between + within))


def summarise(folders: Sequence[str | Path]) -> tuple[SharedTerm, ...]:
    """Estimate random effects of every term over refined fits.

    Parameters
    ----------
    folders : sequence of path
        Folders of fits that were refined with the same terms.

    Raises
    ------
    MissingInputError
        If a folder holds no refinement.
    InputError
        For fewer than two people, one twice, or refinements by different settings.
    """
    from scipy.stats import t

    records = [_record(Path(folder)) for folder in folders]
    people = [record["subject"] for record in records]
    if len(records) < 2 or len(set(people)) < len(people):
        raise InputError("A group is two or more people, each once.", found=", ".join(people) or "none")
    ignored = ("seed", "starts", "placebos", "spins", "run", "figures", "maps")
    settings = [{k: v for k, v in record["config"].items() if k not in ignored} for record in records]
    for person, other in zip(people[1:], settings[1:], strict=True):
        differing = sorted(k for k in other if other[k] != settings[0].get(k))
        if differing:
            raise InputError(f"{people[0]} and {person} were refined by other settings.", found=", ".join(differing))
    found = []
    for k, name in enumerate(term["name"] for term in records[0]["terms"]):
        learned = [record for record in records if not record["terms"][k]["refused"]]
        terms = [record["terms"][k] for record in learned]
        value, error, retest = (np.array([term[c] for term in terms], dtype=float) for c in ("value", "value_error", "retest"))
        polished = np.array([term["polished"] for term in terms], dtype=float)
        supported = sum(record["supported"] for record in learned)
        n = len(terms)
        if n < 2:
            nan = math.nan
            found.append(SharedTerm(name, n, nan, nan, nan, nan, nan, nan, supported))
            continue
        mean, of_mean, between = random_effects(np.where(np.isnan(polished), value, polished), error)
        half = float(t.ppf(0.975, n - 1)) * of_mean
        found.append(SharedTerm(name, n, mean, of_mean, mean - half, mean + half, between, icc(value, retest), supported))
    return tuple(found)


def _record(folder: Path) -> dict:
    paths = sorted(folder.glob("*_refine.json"))
    if len(paths) != 1:
        raise MissingInputError(f"{folder} holds no refinement.", expected="a fit's folder after mfmfit refine")
    return json.loads(paths[0].read_text(encoding="utf-8"))
