"""Whether hemispheres look exchanged, or rows of one input are in another order of hemispheres than those of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfm.brain.atlas import Atlas
from mfm.brain.region_places import key_without_side
from mfm.subject import Scan, SubjectData

_LEAST_REGIONS = 20
# FC follows the connectome better in another order of rows by at least this Spearman correlation. Over 25 recordings and
# groups (Desikan-Killiany, Schaefer, AAL) the best of the orders below was better by 0.02 at most.
_BETTER = 0.06
# Connectomes are denser within hemispheres than between them: in the same data the mean weight is 1.2 to 5 times that between
# them, and 0.9 to 1.05 times for other halves of the rows.
_LEAST_RATIO, _CLEARLY = 1.1, 1.25
# FC of homotopic pairs exceeds that of others by 0.8 to 1.8 of their standard deviation, that of other pairs by less than 0.2.
_LEAST_HOMOTOPIC, _HOMOTOPIC = 0.3, 0.8


def notes_on_hemispheres(subject: SubjectData, named: Sequence[tuple[str, tuple[str, ...] | None]]) -> tuple[str, ...]:
    """Return notes on the order of hemispheres. What is mirrored in all inputs alike, or nearly symmetric, cannot be seen."""
    sides = np.array(Atlas(subject.labels).hemispheres)
    notes = [*_right_first(sides, named)]
    if subject.n_regions >= _LEAST_REGIONS:
        notes += _another_order(subject.search)
        if (sides != "").mean() > 0.9 and {"L", "R"} <= set(sides):
            notes += _names_against_weights(subject.search, sides)
            notes += _names_against_fc(subject.search, subject.labels, sides)
    return tuple(notes)


def _right_first(sides: np.ndarray, named: Sequence[tuple[str, tuple[str, ...] | None]]) -> list[str]:
    half = len(sides) // 2
    without = list(dict.fromkeys(what for what, names in named if not names))
    if not without or half < 2 or not ((sides[:half] == "R").all() and (sides[half:] != "R").all()):
        return []
    return [
        f"The names begin with the right hemisphere, and {', '.join(without)} without names were taken in that order; most "
        "tools write the left one first, and hemispheres would be exchanged."
    ]


def _orders(n: int) -> dict[str, np.ndarray]:
    """Orders of rows in which tools differ, by what they mean."""
    half, rows = n // 2, np.arange(n)
    return {
        "with its halves exchanged (the other hemisphere first)": np.r_[half:n, 0:half],
        "with left and right in turn, where the other has one hemisphere after the other": rows.reshape(2, half).T.ravel(),
        "with one hemisphere after the other, where the other has left and right in turn": rows.reshape(half, 2).T.ravel(),
        "from the last row to the first": rows[::-1],
        "with the second half from the last row to the first": np.r_[0:half, n - 1 : half - 1 : -1],
    }


def _another_order(scan: Scan) -> list[str]:
    from scipy.stats import rankdata

    n = scan.sc.n_regions
    if n % 2:
        return []
    above = np.triu_indices(n, 1)
    weights, fc = scan.sc.weights + scan.sc.weights.T, rankdata(scan.target.fc.numpy()[above])

    def agreement(order: np.ndarray) -> float:
        return float(np.corrcoef(rankdata(weights[np.ix_(order, order)][above]), fc)[0, 1])

    now = agreement(np.arange(n))
    found = {what: agreement(order) for what, order in _orders(n).items()}
    # Of orders that do about as well, the one that is met most often: they are listed so.
    what = next(one for one in found if found[one] > max(found.values()) - _BETTER / 2)
    if not found[what] > max(now + _BETTER, 0.1):
        return []
    return [
        f"FC follows the connectome better if one of them is read {what}: Spearman r = {found[what]:.2f} in place of {now:.2f} "
        "over pairs of regions. Hemispheres may be exchanged or in another order: give files with region names, or name the "
        'rows of those without (`sc_file=MatrixOptions(labels="FILE")`, `labels="FILE"`).'
    ]


def _names_against_weights(scan: Scan, sides: np.ndarray) -> list[str]:
    n, weights = scan.sc.n_regions, scan.sc.weights

    def ratio(left: np.ndarray) -> float:
        same = left[:, None] == left[None, :]
        np.fill_diagonal(same, False)
        across = left[:, None] != left[None, :]
        return float(weights[same].mean() / max(weights[across].mean(), 1e-300))

    by_name = ratio(sides == "L")
    others = {"in halves": ratio(np.arange(n) < n // 2), "in turn": ratio(np.arange(n) % 2 == 0)}
    how = max(others, key=lambda one: others[one])
    if by_name >= _LEAST_RATIO or others[how] < _CLEARLY * by_name:
        return []
    return [
        "The connectome's names say left and right where its weights do not: they are "
        f"{by_name:.2f} times as strong within the named hemispheres as between them, and {others[how]:.2f} times where rows "
        f"are taken {how}. Its names may belong to another order of rows."
    ]


def _names_against_fc(scan: Scan, labels: tuple[str, ...], sides: np.ndarray) -> list[str]:
    n, fc = scan.sc.n_regions, scan.target.fc.numpy()
    keys = [key_without_side(name) for name in labels]
    right = {key: k for k, key in enumerate(keys) if sides[k] == "R"}
    pairs = [(k, right[key]) for k, key in enumerate(keys) if sides[k] == "L" and key in right]
    if len(pairs) < _LEAST_REGIONS // 2:
        return []
    above = fc[np.triu_indices(n, 1)]

    def excess(left, right) -> float:
        return float((fc[left, right].mean() - above.mean()) / max(above.std(), 1e-300))

    half = n // 2
    by_name = excess(*np.array(pairs).T)
    others = {
        "that are half of the rows apart": excess(np.arange(half), np.arange(half) + half),
        "that follow each other": excess(np.arange(0, 2 * half, 2), np.arange(1, 2 * half, 2)),
    }
    how = max(others, key=lambda one: others[one])
    if by_name >= _LEAST_HOMOTOPIC or others[how] < _HOMOTOPIC:
        return []
    return [
        f"FC of regions that are called the same in both hemispheres is not above that of others ({by_name:+.1f} standard "
        f"deviations), but that of rows {how} is ({others[how]:+.1f}): the names may belong to another order of regions."
    ]
