"""What a person should know of data that were accepted."""

from __future__ import annotations

import numpy as np

from mfm.protocol import FCD_WINDOW_S
from mfm.subject import Scan

# An FC whose Spearman correlation with the connectome is below the first is told of, where there are regions enough to say so.
_LEAST_AGREEMENT, _LEAST_REGIONS_TO_COMPARE = 0.1, 20


def note_joined_by_position(named) -> tuple[str, ...]:
    """Return the note that names inputs without region names."""
    without = dict.fromkeys(what for what, names in named if not names)
    if not without:
        return ()
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
