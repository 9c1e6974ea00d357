"""What a person should know of data that were accepted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfm.io.subject.hemispheres import notes_on_hemispheres
from mfm.io.subject.map_signs import notes_on_maps
from mfm.protocol import FCD_WINDOW_S
from mfm.subject import STAGES, Scan, SubjectData

# An FC whose Spearman correlation with the connectome is below the first is told of, where there are regions enough to say so.
_LEAST_AGREEMENT, _LEAST_REGIONS_TO_COMPARE = 0.1, 20
# Series that differ by rounding only.
_SAME = 1 - 1e-6


def notes_on_subject(
    subject: SubjectData, named: Sequence[tuple[str, tuple[str, ...] | None]], labels: str | None
) -> tuple[str, ...]:
    """Return what the inputs of a subject show together: how they were joined, and what looks mistaken.

    Parameters
    ----------
    subject : SubjectData
    named : sequence of (input, names or None)
        The names that each input gives its regions.
    labels : str, optional
        The file or list of names that was given.
    """
    found = [
        *note_joined_by_position(named, labels),
        *note_unlike_connectome(subject.search),
        *note_short_scan(subject.search),
        *note_same_regions(subject),
        *notes_on_hemispheres(subject, named),
        *notes_on_maps(subject, any(names for _, names in named) or labels is not None),
    ]
    return tuple(dict.fromkeys(found))


def note_joined_by_position(named: Sequence[tuple[str, tuple[str, ...] | None]], labels: str | None = None) -> tuple[str, ...]:
    """Return the note that names inputs without region names."""
    without = dict.fromkeys(what for what, names in named if not names)
    if not without:
        return ()
    if labels is not None:
        return (f"Without region names, and so taken in the order of {labels}: {', '.join(without)}.",)
    if all(names is None for _, names in named):
        return ("No input names its regions: all are taken to be in one order.",)
    source = next(what for what, names in named if names)
    return (f"Without region names, and so taken in the order of the {source}: {', '.join(without)}.",)


def note_unlike_connectome(scan: Scan) -> tuple[str, ...]:
    """Return the note that tells of an FC that does not follow the connectome, as rows in different orders make it.

    Over pairs of regions the two have Spearman correlations of 0.15 to 0.5 in recordings of people and groups, of 0.04 to 0.06
    where one is in Schaefer's order of 7 networks and the other in that of 17, and of less than 0.1 in most random orders.
    """
    if scan.sc.n_regions < _LEAST_REGIONS_TO_COMPARE:
        return ()
    from scipy.stats import spearmanr

    above = np.triu_indices(scan.sc.n_regions, 1)
    r = float(spearmanr((scan.sc.weights + scan.sc.weights.T)[above], scan.target.fc.numpy()[above]).statistic)
    if not r < _LEAST_AGREEMENT:
        return ()
    return (
        f"FC hardly follows the connectome (Spearman r = {r:.2f} over pairs of regions; recordings have 0.15 to 0.5): are "
        "their regions in one order? Give files with region names, or name the rows of those without "
        '(`sc_file=MatrixOptions(labels="FILE")`, `labels="FILE"`).',
    )


def note_short_scan(scan: Scan) -> tuple[str, ...]:
    """Return the note that tells of a scan in which most windows overlap."""
    seconds = scan.n_frames * scan.tr_s
    if seconds >= 5 * FCD_WINDOW_S:
        return ()
    return (f"Search data of {seconds:.0f} s, shorter than 5 minutes: the FCD of so few windows says little.",)


def note_same_regions(subject: SubjectData) -> tuple[str, ...]:
    """Return the note that names regions with one and the same series, as where a region was extracted twice."""
    pairs: dict[tuple[int, int], str] = {}
    for stage in STAGES:
        scan: Scan = getattr(subject, stage)
        for a, b in np.argwhere(np.triu(np.abs(scan.target.fc.numpy()) > _SAME, 1)).tolist():
            pairs.setdefault((a, b), scan.source or stage)
    if not pairs:
        return ()
    names = subject.labels
    told = "; ".join(f"{names[a]} and {names[b]} ({where})" for (a, b), where in list(pairs.items())[:4])
    more = f"; ... ({len(pairs)} pairs)" if len(pairs) > 4 else ""
    second = names[next(iter(pairs))[1]]
    return (
        f"Regions with the same time series: {told}{more}. One was written twice, or one region stands for two; their FC of 1 "
        f'is no finding. `exclude_regions=["{second}"]` leaves one of them out.',
    )
