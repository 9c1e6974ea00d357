"""Where a region is, as its name tells: its partner in the other hemisphere, and its place between sensory and association."""

from __future__ import annotations

import re

from mfm.brain.atlas import SIDES, region_key


def key_without_side(name: str) -> str:
    """What a region is called in both hemispheres.

    Examples
    --------
    >>> from mfm.brain.region_places import key_without_side
    >>> key_without_side("ctx-lh-insula") == key_without_side("R_insula")
    True
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    parts = [part for part in plain.split("_") if part not in (*SIDES, "ctx", "aparc", "cortex")]
    return "_".join(parts)


_SENSORY = frozenset(
    "pericalcarine cuneus lingual lateraloccipital postcentral precentral paracentral transversetemporal".split()
)
_ASSOCIATION = frozenset(
    "temporalpole frontalpole rostralanteriorcingulate medialorbitofrontal lateralorbitofrontal parsorbitalis middletemporal "
    "rostralmiddlefrontal".split()
)


def hierarchy_of(name: str) -> int:
    """-1 for regions of sensory and motor cortex, +1 for those of association cortex, as names tell; 0 for all others.

    Examples
    --------
    >>> from mfm.brain.region_places import hierarchy_of
    >>> hierarchy_of("lh-cuneus"), hierarchy_of("7Networks_LH_Default_PFC_1"), hierarchy_of("lh-insula")
    (-1, 1, 0)
    """
    key = region_key(name).split("_")
    words = set(key[1:])
    if words & _SENSORY or any(word.startswith(("vis", "sommot")) for word in words):
        return -1
    return 1 if words & _ASSOCIATION or any(word.startswith("default") for word in words) else 0
