"""Names of cortical regions, in the spellings that tools give them, and their joins."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mfm.brain.connectome import check_labels
from mfm.errors import InputError, InputNote

_DK = tuple(
    "bankssts caudalanteriorcingulate caudalmiddlefrontal cuneus entorhinal fusiform inferiorparietal inferiortemporal "
    "isthmuscingulate lateraloccipital lateralorbitofrontal lingual medialorbitofrontal middletemporal parahippocampal "
    "paracentral parsopercularis parsorbitalis parstriangularis pericalcarine postcentral posteriorcingulate precentral "
    "precuneus rostralanteriorcingulate rostralmiddlefrontal superiorfrontal superiorparietal superiortemporal supramarginal "
    "frontalpole temporalpole transversetemporal insula".split()
)
_SUBCORTEX = "thalamus caudate putamen pallidum hippocampus amygdala accumbens".split()
# FreeSurfer's own table has the corpus callosum between caudalmiddlefrontal and cuneus.
_DK_CALLOSUM = (*_DK[:3], "corpuscallosum", *_DK[3:])

# Rows of the Desikan-Killiany atlas as tools export it, left hemisphere first; named, so that the odd rows drop out by name.
DESIKAN_VARIANTS: dict[str, tuple[str, ...]] = {
    "DK68": tuple(f"{side}-{name}" for side in ("lh", "rh") for name in _DK),
    "DK70": tuple(f"{side}-{name}" for side in ("lh", "rh") for name in _DK_CALLOSUM),
    "DK70-unknown": tuple(f"{side}-{name}" for side in ("lh", "rh") for name in ("unknown", *_DK)),
    "DK71": ("unknown", *(f"{side}-{name}" for side in ("lh", "rh") for name in _DK_CALLOSUM)),
    "DK72": tuple(f"{side}-{name}" for side in ("lh", "rh") for name in ("unknown", *_DK_CALLOSUM)),
    "DK82": (
        *(f"lh-{name}" for name in _DK),
        *(f"{side}-{name}" for side in ("left", "right") for name in _SUBCORTEX),
        *(f"rh-{name}" for name in _DK),
    ),
}
_WHAT = {
    "DK70": "a row for the corpus callosum in each hemisphere",
    "DK70-unknown": "a row for 'unknown' at the start of each hemisphere",
    "DK71": "one row for 'unknown' and one for the corpus callosum in each hemisphere (ENIGMA's values on fsaverage5)",
    "DK72": "rows for 'unknown' and the corpus callosum in each hemisphere (HCP and CBIG extraction)",
    "DK82": "14 subcortical rows between the hemispheres",
}

SIDES = {"lh": "L", "l": "L", "left": "L", "rh": "R", "r": "R", "right": "R"}
_NETWORKS = {
    "7": frozenset("vis sommot dorsattn salventattn limbic cont default".split()),
    "17": frozenset(
        "viscent visperi sommota sommotb dorsattna dorsattnb salventattna salventattnb limbic limbica limbicb "
        "conta contb contc defaulta defaultb defaultc temppar".split()
    ),
}
_SCHAEFER = re.compile(r"(?:^|_)(?:(7|17)networks?_)?(lh|rh)_([a-z]+)_((?:[a-z0-9]+_)*\d+)$")
_SCHAEFER_SIZES = frozenset(range(100, 1001, 100))
_WALL = frozenset(
    {"unknown", "unassigned", "corpuscallosum", "medialwall", "background", "backgroundfreesurferdefinedmedialwall"}
)
_BELOW = re.compile(
    r"thal(amus)?$|thalamus|hypothal|subthal|caudate|putamen|pallid|^hippo|amygd|accumb|ventraldc|cerebell|brainstem|ventricle|"
    r"^[lr](accumb|amyg|caud|hippo|pal|put|thal|latvent)$"
)


@dataclass(frozen=True)
class _Region:
    key: str  # one spelling for all tools
    side: str = ""
    family: str = ""  # "DK", "7", "17"; "7|17" where the name does not tell; "" for other atlases
    is_cortex: bool = True


def _parse(label: str) -> _Region:
    plain = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    if match := _SCHAEFER.search(plain):
        family, side, network, rest = match.groups()
        kinds = [kind for kind, words in _NETWORKS.items() if network in words and family in (None, kind)]
        if kinds:
            # Releases differ in whether the 17-network limbic parcels are called Limbic or LimbicA and LimbicB.
            network = "limbic" if network.startswith("limbic") else network
            return _Region(f"{side}_{network}_{rest}", SIDES[side], "|".join(kinds))
    parts = [part for part in plain.split("_") if part not in ("ctx", "aparc", "cortex")]
    side = ""
    if parts and parts[0] in SIDES:
        side = SIDES[parts.pop(0)]
    elif parts and parts[-1] in SIDES:
        side = SIDES[parts.pop()]
    name = "".join(parts)
    if side and name in _DK:
        return _Region(f"{side}_{name}", side, "DK")
    if name in _WALL or not plain:  # CIFTI label tables call the background "???"
        return _Region(f"{side}_{name or 'unknown'}", side, is_cortex=False)
    if _BELOW.search(name) and "parahippo" not in name:
        return _Region(f"{side}_{name}", side, is_cortex=False)
    return _Region(label, side)


@dataclass(frozen=True)
class Atlas:
    """Regions of a parcellation: their names in order, and what the names tell.

    Names of the Desikan-Killiany atlas (``lh-bankssts``, ``ctx-lh-bankssts``, ``L_bankssts``, ``bankssts_L``, ...) and of
    Schaefer's parcels (``7Networks_LH_Vis_1``, ``LH_Vis_1``, ``ctx-lh-17Networks_LH_VisCent_ExStr_1``, ...) are recognised;
    those of other atlases are taken as they are.

    Parameters
    ----------
    labels : sequence of str
        Names of the regions, each once.
    hemispheres : sequence of {"L", "R", ""}, optional
        Default: as the names say; "" where they do not.
    name : str, optional
        Default: ``DK68``, ``Schaefer100-7n``, ... where the names are those of a whole atlas, with ``+14`` for 14 rows
        more; else ``unnamed``.

    Raises
    ------
    InputError
        If names occur twice (also in two spellings), mix 7- and 17-network parcels, or do not fit the hemispheres.

    Examples
    --------
    >>> import mfm
    >>> mfm.Atlas(["L_insula", "R_insula", "Left-Thalamus"]).cortical
    (True, True, False)
    >>> mfm.Atlas.desikan("DK82").name, mfm.Atlas.desikan("DK68").labels[-1]
    ('DK68+14', 'rh-insula')
    """

    labels: tuple[str, ...]
    hemispheres: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self):
        labels = check_labels(self.labels, len(self.labels), "the atlas")
        object.__setattr__(self, "labels", labels)
        sides = tuple(self.hemispheres) or tuple(region.side for region in self._regions)
        if len(sides) != len(self.labels) or not set(sides) <= {"L", "R", ""}:
            raise InputError(
                "Hemispheres do not fit the region names.",
                expected=f"{len(self.labels)} of 'L', 'R' or ''",
                found=f"{len(sides)} of {sorted(set(sides))}",
            )
        object.__setattr__(self, "hemispheres", sides)
        families = self._families
        if {"7", "17"} <= families:
            raise InputError(
                "Region names of Schaefer's 7- and 17-network versions are mixed.",
                found=f"{self._example('7')} and {self._example('17')}",
                cause="two label files were joined: the parcels are the same or similar, but their order and names differ",
                fix="take all names from one version",
            )
        repeated = [key for key, count in Counter(self.keys).items() if count > 1 and key != "_unknown"]
        if families and repeated:
            raise InputError(
                "Two spellings name one region.",
                found=", ".join(label for label, key in zip(self.labels, self.keys, strict=True) if key == repeated[0]),
                cause="two label files were joined",
            )
        object.__setattr__(self, "name", self.name or self._recognised_name())

    @classmethod
    def desikan(cls, variant: str = "DK68") -> Atlas:
        """The Desikan-Killiany atlas in the rows that a tool exports: DK68, DK70, DK70-unknown, DK71, DK72 or DK82."""
        if variant not in DESIKAN_VARIANTS:
            raise InputError(f"Unknown list of regions {variant!r}.", expected=" | ".join(DESIKAN_VARIANTS))
        return cls(DESIKAN_VARIANTS[variant])

    @cached_property
    def _regions(self) -> tuple[_Region, ...]:
        return tuple(_parse(label) for label in self.labels)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """One spelling for all tools, to join by."""
        return tuple(region.key for region in self._regions)

    @cached_property
    def cortical(self) -> tuple[bool, ...]:
        """Whether each row can be cortex: False where its name, or a whole cortical atlas beside it, says that it is not."""
        whole = self._is_whole
        return tuple(region.is_cortex and (bool(region.family) or not whole) for region in self._regions)

    @property
    def n_regions(self) -> int:
        return len(self.labels)

    @property
    def networks(self) -> str:
        """``"7"`` or ``"17"`` for Schaefer's parcels, ``""`` for others."""
        return next((family for family in ("7", "17") if family in self._families), "")

    @cached_property
    def _families(self) -> set[str]:
        return {region.family for region in self._regions} - {""}

    @property
    def _is_whole(self) -> bool:
        n_named = sum(bool(region.family) for region in self._regions)
        return n_named in (_SCHAEFER_SIZES if self.networks else {len(DESIKAN_VARIANTS["DK68"])})

    def _example(self, family: str) -> str:
        return next(label for label, region in zip(self.labels, self._regions, strict=True) if region.family == family)

    def _recognised_name(self) -> str:
        if not self._is_whole:
            return "unnamed"
        n_named = sum(bool(region.family) for region in self._regions)
        name = f"Schaefer{n_named}-{self.networks}n" if self.networks else f"DK{n_named}"
        return name + (f"+{self.n_regions - n_named}" if self.n_regions > n_named else "")

    def __repr__(self) -> str:
        sides = Counter(self.hemispheres)
        return f"Atlas({self.name}: {self.n_regions} regions, {sides['L']} left, {sides['R']} right)"


def order_by_name(names: Sequence[str], wanted: Sequence[str], what: str) -> list[int]:
    """Positions in `names` of the regions `wanted`, whatever the spelling of either.

    Rows that are no cortex are left out where `wanted` has none of them, with an `InputNote` that lists them.

    Parameters
    ----------
    names : sequence of str
        Regions of the input, in its order.
    wanted : sequence of str
        Regions in the order that they are brought to.
    what : str
        The input, for messages.

    Returns
    -------
    list of int

    Raises
    ------
    InputError
        If the two are not the same regions, or one names 7-network and the other 17-network parcels.

    Examples
    --------
    >>> from mfm.brain.atlas import order_by_name
    >>> order_by_name(["L_insula", "R_insula"], ["rh-insula", "lh-insula"], "the map")
    [1, 0]
    """
    names, wanted = tuple(names), tuple(wanted)
    if names == wanted:
        return list(range(len(names)))
    if len(set(names)) < len(names) or len(set(wanted)) < len(wanted):
        raise _other_regions(names, wanted, what)
    given, asked = Atlas(names), Atlas(wanted)
    if given.networks and asked.networks and given.networks != asked.networks:
        raise InputError(
            f"The regions of {what} are Schaefer's {given.networks}-network parcels, those of the other inputs are of the "
            f"{asked.networks}-network version.",
            expected=f"names such as {wanted[0]}",
            found=f"names such as {names[0]}",
            cause="one input was made with another label file; the same row is another parcel in it",
            fix="extract all inputs with one label file: a join by position would mix up regions",
        )
    position = {key: k for k, key in enumerate(given.keys)}
    if any(key not in position for key in asked.keys):
        raise _other_regions(names, wanted, what)
    extra = [k for k, key in enumerate(given.keys) if key not in set(asked.keys)]
    if any(given.cortical[k] for k in extra):
        raise _other_regions(names, wanted, what)
    if extra:
        listed = ", ".join(names[k] for k in extra[:6]) + (", ..." if len(extra) > 6 else "")
        warnings.warn(InputNote(f"{len(extra)} rows of {what} that are no cortex were left out: {listed}."), stacklevel=3)
    return [position[key] for key in asked.keys]


def _other_regions(names: tuple[str, ...], wanted: tuple[str, ...], what: str) -> InputError:
    missing, extra = differing(names, wanted)
    twice = sorted({name for name in (*names, *wanted) if max(names.count(name), wanted.count(name)) > 1})
    few = 0 < len(missing) + len(extra) <= max(3, len(wanted) // 5)
    return InputError(
        f"The regions of {what} are not those of the other inputs.",
        expected=f"the {len(wanted)} names {', '.join(wanted[:3])}, ...",
        found=f"{len(names)} names {', '.join(names[:3])}, ...; missing: {some_names(missing)}; "
        f"more than expected: {some_names(extra)}" + (f"; twice: {some_names(twice)}" if twice else ""),
        cause=("regions that one extraction left out, having no voxels or streamlines; " if few else "")
        + "another parcellation or another naming of its regions",
    )


def differing(names: Sequence[str], wanted: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names in `wanted` that `names` lack, and names that `wanted` lacks and that can be cortex; whatever the spelling.

    Examples
    --------
    >>> from mfm.brain.atlas import differing
    >>> differing(["L_insula", "L_cuneus", "Left-Thalamus"], ["lh-insula", "rh-insula"])
    (('rh-insula',), ('L_cuneus',))
    """
    parsed, asked = [_parse(name) for name in names], [_parse(name) for name in wanted]
    has, wants = {one.key for one in parsed}, {one.key for one in asked}
    missing = tuple(name for name, one in zip(wanted, asked, strict=True) if one.key not in has)
    extra = tuple(name for name, one in zip(names, parsed, strict=True) if one.key not in wants and one.is_cortex)
    return missing, extra


def some_names(names: Sequence[str], most: int = 6) -> str:
    """The first names, how many there are where they are more, and "none"."""
    return ", ".join(names[:most]) + (f", ... ({len(names)})" if len(names) > most else "") or "none"


def region_key(name: str) -> str:
    """One spelling of a region's name for all tools, to join by."""
    return _parse(name).key


def same_name(one: str, other: str) -> bool:
    """Whether two names are spellings of one region."""
    return one == other or region_key(one) == region_key(other)


def shared_regions(first: Sequence[str], others: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The regions of `first` that all `others` have, where those that some lack are no cortex; else `first` as it is.

    Time series of a cortical parcellation go with a connectome that also holds subcortical regions; where all inputs hold
    them, they stay.

    Examples
    --------
    >>> from mfm.brain.atlas import shared_regions
    >>> shared_regions(["L_insula", "Left-Thalamus"], [["lh-insula"]])
    ('L_insula',)
    """
    first = tuple(first)
    if len(set(first)) < len(first) or any(len(set(names)) < len(names) for names in others):
        return first
    atlas = Atlas(first)
    lacking = set()
    for names in others:
        lacking |= set(atlas.keys) - set(Atlas(tuple(names)).keys)
    if any(cortical for key, cortical in zip(atlas.keys, atlas.cortical, strict=True) if key in lacking):
        return first
    return tuple(label for label, key in zip(first, atlas.keys, strict=True) if key not in lacking)


def explain_count(found: int, expected: int | None) -> tuple[str, str] | None:
    """Likely cause, and what to do, where an input without names has another number of rows than the 68 cortical regions.

    Parameters
    ----------
    found, expected : int
        Rows that an input has, and should have (None: not known).

    Returns
    -------
    (cause, fix) or None
        None where neither the Desikan-Killiany exports nor MRtrix explain it. `fix` ends in names of region lists.

    Examples
    --------
    >>> from mfm.brain.atlas import explain_count
    >>> cause, fix = explain_count(72, 68)
    >>> "rows 1, 5, 37, 41" in cause, fix
    (True, 'DK72')
    """
    if expected not in (None, 68):
        return None
    variants = [name for name, labels in DESIKAN_VARIANTS.items() if len(labels) == found != 68]
    if not variants:
        return None
    causes = []
    for variant in variants:
        atlas = Atlas(DESIKAN_VARIANTS[variant])
        odd = [k + 1 for k, cortical in enumerate(atlas.cortical) if not cortical]
        rows = f"rows {odd[0]} to {odd[-1]}" if odd[-1] - odd[0] == len(odd) - 1 else f"rows {', '.join(map(str, odd))}"
        causes.append(f"{_WHAT[variant]} ({variant}: {rows}, counted from 1)")
    return "the Desikan-Killiany atlas with " + ", or with ".join(causes), " or ".join(variants)
