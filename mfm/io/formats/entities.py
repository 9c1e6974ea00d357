"""File names as BIDS derivatives spell them: entities in any order, then a suffix and an extension."""

from __future__ import annotations

from dataclasses import dataclass

from mfm.io.formats.registry import suffixes

#: Entities that BIDS, its derivatives and the tools that write them put into names. Other words with a hyphen are words.
ENTITIES = frozenset(
    "sub ses task acq ce rec dir run echo part recording space cohort res den atlas seg label hemi surf stat desc hash tpl "
    "mode from to".split()
)
#: What tells two runs of one session apart, in the order in which a run is named.
RUN_ENTITIES = ("task", "acq", "dir", "run")
#: What tells versions of one scan apart: how it was reconstructed, and what was made of it.
VERSION_ENTITIES = ("rec", "echo", "part", "space", "res", "den", "desc", "surf", "stat", "atlas", "seg")


@dataclass(frozen=True)
class FileName:
    """What a file's name says.

    Parameters
    ----------
    entities : frozenset of (key, value)
    words : tuple of str
        What is neither entity nor extension, in order; its last word is the suffix where the name ends in one.
    suffix : str
        Last word of the name; empty where the name ends with an entity.
    extension : str
        With its leading dot, and both parts of a double one; empty where it is none that this software reads.
    """

    entities: frozenset[tuple[str, str]]
    words: tuple[str, ...]
    suffix: str
    extension: str

    def get(self, key: str) -> str | None:
        """Value of an entity; None where the name has none."""
        return min((value for own, value in self.entities if own == key), default=None)

    @property
    def atlas(self) -> str | None:
        """The parcellation: ``atlas-`` in new names, ``seg-`` in old ones."""
        return self.get("atlas") or self.get("seg")

    @property
    def run(self) -> str:
        """Which run of a session it is, as ``task-rest_dir-LR_run-1``; empty where the name does not say."""
        return "_".join(f"{key}-{value}" for key in RUN_ENTITIES if (value := self.get(key)) is not None)


def split_extension(name: str) -> tuple[str, str]:
    """Split a name into stem and extension; a double extension is one, and one of no input format is none."""
    lower = name.lower()
    for extension in (*suffixes(), ".json"):
        if lower.endswith(extension) and len(name) > len(extension):
            return name[: -len(extension)], extension
    return name, ""


def parse_name(name: str) -> FileName:
    """Read a file name; the order of its entities does not matter.

    Examples
    --------
    >>> from mfm.io.formats.entities import parse_name
    >>> one = parse_name("sub-01_task-rest_space-fsLR_atlas-Glasser_den-91k_timeseries.ptseries.nii")
    >>> one == parse_name("sub-01_task-rest_space-fsLR_den-91k_atlas-Glasser_timeseries.ptseries.nii")
    True
    >>> one.get("sub"), one.run, one.suffix, one.extension
    ('01', 'task-rest', 'timeseries', '.ptseries.nii')
    """
    stem, extension = split_extension(name)
    parts = [part for part in stem.split("_") if part]
    entities, words = [], []
    for part in parts:
        key, hyphen, value = part.partition("-")
        if hyphen and value and key in ENTITIES:
            entities.append((key, value))
        else:
            words.append(part)
    suffix = words[-1] if words and parts[-1] == words[-1] else ""
    return FileName(frozenset(entities), tuple(words), suffix, extension)
