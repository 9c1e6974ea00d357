"""Names of regions: recognition, joins, and the traps in them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm import Atlas
from mfm.brain.atlas import DESIKAN_VARIANTS, explain_count, order_by_name, shared_regions
from mfm.errors import InputError, InputNote

DK68 = DESIKAN_VARIANTS["DK68"]

# One spelling of each tool, from FreeSurfer's.
SPELLINGS = [
    lambda side, name: f"{side}-{name}",
    lambda side, name: f"ctx-{side}-{name}",
    lambda side, name: f"ctx_{side}_{name}",
    lambda side, name: f"{side[0].upper()}_{name}",
    lambda side, name: f"{side}_{name}",
    lambda side, name: f"{name}_{side[0].upper()}",
    lambda side, name: f"{name}-{side}",
    lambda side, name: f"{'Left' if side == 'lh' else 'Right'}-{name}",
    lambda side, name: f"{side.upper()}.{name.capitalize()}",
]


def spelled(labels, spelling):
    return [spelling(*label.split("-", 1)) for label in labels]


def schaefer(networks, n_regions=100):
    """Names built as Schaefer's, as many as a whole atlas has; the parcels themselves are made up."""
    words = {"7": ["Vis", "Cont_Par"], "17": ["VisCent_ExStr", "ContA_IPS"]}[networks]
    return [
        f"{networks}Networks_{side}_{word}_{k + 1}" for side in ("LH", "RH") for word in words for k in range(n_regions // 4)
    ]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_desikan_is_recognised_in_every_spelling(spelling):
    atlas = Atlas(spelled(DK68, spelling))
    assert (atlas.name, atlas.n_regions, set(atlas.cortical)) == ("DK68", 68, {True})
    assert atlas.hemispheres == ("L",) * 34 + ("R",) * 34
    assert atlas.keys == Atlas.desikan().keys


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(68)), st.sampled_from(SPELLINGS), st.sampled_from(SPELLINGS))
def test_joins_find_every_region_whatever_the_order_and_spelling(order, one, other):
    names = [spelled(DK68, one)[k] for k in order]
    found = order_by_name(names, spelled(DK68, other), "the map")
    assert [order[k] for k in found] == list(range(68))


@pytest.mark.parametrize(
    ("variant", "n_rows", "odd"),
    [
        ("DK68", 68, []),
        ("DK70", 70, [3, 38]),
        ("DK70-unknown", 70, [0, 35]),
        ("DK71", 71, [0, 4, 39]),
        ("DK72", 72, [0, 4, 36, 40]),
        ("DK82", 82, [*range(34, 48)]),
    ],
)
def test_variants_of_desikan(variant, n_rows, odd):
    atlas = Atlas.desikan(variant)
    assert atlas.n_regions == n_rows
    assert np.flatnonzero(~np.array(atlas.cortical)).tolist() == odd
    assert np.array(atlas.labels)[np.array(atlas.cortical)].tolist() == list(DK68)
    assert atlas.name == ("DK68" if n_rows == 68 else f"DK68+{n_rows - 68}")


def test_the_order_is_that_of_the_published_maps(shared):
    regions = (shared / "data/dk68/regions.txt").read_text().split()
    assert order_by_name(regions, DK68, "the maps") == list(range(68))


def test_an_unknown_variant_lists_those_there_are():
    with pytest.raises(InputError, match=r"(?s)Unknown list of regions 'DK84'.*expected: DK68 \| DK70"):
        Atlas.desikan("DK84")


@pytest.mark.parametrize("variant", ["DK70", "DK71", "DK72", "DK82"])
def test_rows_that_are_no_cortex_drop_out_with_a_note(variant):
    names = DESIKAN_VARIANTS[variant]
    with pytest.warns(
        InputNote, match=rf"{len(names) - 68} rows of the connectome that are no cortex were left out: "
    ) as notes:
        order = order_by_name(names, DK68, "the connectome")
    assert [names[k] for k in order] == list(DK68)
    assert len(notes) == 1


def test_rows_that_could_be_cortex_do_not_drop_out():
    with pytest.raises(InputError, match=r"(?s)regions of the map are not those.*missing: none"):
        order_by_name([*DK68[:20], "lh-newgyrus"], DK68[:20], "the map")


def test_of_a_whole_atlas_everything_else_is_no_cortex():
    names = [*schaefer("7"), "LH-Pu", "RH-Anterior", "Cerebellar_Region1"]
    atlas = Atlas(names)
    assert atlas.name == "Schaefer100-7n+3"
    assert atlas.cortical[-3:] == (False, False, False)
    assert all(atlas.cortical[:-3])
    with pytest.warns(InputNote, match="3 rows of the map .*LH-Pu, RH-Anterior, Cerebellar_Region1"):
        assert order_by_name(names, schaefer("7"), "the map") == list(range(100))
    assert Atlas(names[1:]).cortical[-3:-1] == (True, True)


@pytest.mark.parametrize("networks", ["7", "17"])
@pytest.mark.parametrize(
    "change",
    [
        lambda name: name,
        lambda name: "ctx-" + ("lh-" if "_LH_" in name else "rh-") + name,
        lambda name: name.split("_", 1)[1],
        lambda name: name.replace("Networks", "networks"),
    ],
)
def test_schaefer_is_recognised_with_and_without_prefix(networks, change):
    names = schaefer(networks)
    atlas = Atlas([change(name) for name in names])
    assert (atlas.name, atlas.networks) == (f"Schaefer100-{networks}n", networks)
    assert atlas.hemispheres == ("L",) * 50 + ("R",) * 50
    assert order_by_name(atlas.labels, names[::-1], "the map") == list(range(99, -1, -1))


def test_both_names_of_limbic_parcels_are_one():
    old, new = ["17Networks_LH_Limbic_OFC_1", "17Networks_LH_ContA_IPS_1"], ["LH_ContA_IPS_1", "LH_LimbicB_OFC_1"]
    assert order_by_name(old, new, "the map") == [1, 0]


@pytest.mark.parametrize("prefix", [True, False])
def test_orders_of_7_and_17_networks_are_told_apart(prefix):
    seven, seventeen = schaefer("7"), schaefer("17")
    if not prefix:
        seven = [name.split("_", 1)[1] for name in seven]
    with pytest.raises(
        InputError,
        match=r"(?s)regions of the FC are Schaefer's 7-network parcels.*of the 17-network version.*"
        r"found: names such as .*LH_Vis_1.*another parcel.*fix: extract all inputs with one label file",
    ):
        order_by_name(seven, seventeen, "the FC")


def test_one_list_of_both_versions_is_refused():
    with pytest.raises(
        InputError, match=r"(?s)7- and 17-network versions are mixed.*found: 7Net.* and 17Net.*fix: take all names"
    ):
        Atlas(schaefer("7")[:50] + schaefer("17")[50:])


def test_two_spellings_of_one_region_are_refused():
    with pytest.raises(InputError, match=r"(?s)Two spellings name one region.*found: lh-insula, L_insula"):
        Atlas(["lh-insula", "rh-insula", "L_insula"])


def test_a_name_given_twice_is_refused():
    with pytest.raises(InputError, match=r"(?s)not unique.*found: b"):
        Atlas(["a", "b", "b"])
    with pytest.raises(InputError, match="not those of the other inputs"):
        order_by_name(["a", "a"], ["a", "b"], "the map")


def test_hemispheres_may_be_given_and_must_fit():
    assert Atlas(["one", "two"], ("L", "R")).hemispheres == ("L", "R")
    with pytest.raises(InputError, match=r"(?s)Hemispheres do not fit.*expected: 2 of 'L', 'R' or ''.*found: 1"):
        Atlas(["one", "two"], ("left",))


@pytest.mark.parametrize("label", ["L_V1_ROI", "Frontal_Sup_2_L", "region-001", "L", "7", "schaefer100-7n-000"])
def test_names_of_other_atlases_are_taken_as_they_are(label):
    atlas = Atlas([label, "another"])
    assert (atlas.name, atlas.cortical, atlas.keys[0]) == ("unnamed", (True, True), label)


@pytest.mark.parametrize(
    "label",
    [
        "Left-Thalamus-Proper",
        "Lthal",
        "Brain-Stem",
        "Hippocampus_L",
        "???",
        "lh-unknown",
        "Raccumb",
        "L_medial_wall",
        "Background+FreeSurfer_Defined_Medial_Wall",
        "Left-Cerebellum-Cortex",
    ],
)
def test_names_that_say_they_are_no_cortex(label):
    assert Atlas([label, "lh-insula"]).cortical == (False, True)


def test_other_names_must_be_the_same():
    assert order_by_name(["a", "B"], ["B", "a"], "the map") == [1, 0]
    with pytest.raises(InputError, match=r"(?s)not those of the other inputs.*missing: b"):
        order_by_name(["a", "B"], ["b", "a"], "the map")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 14), st.randoms(use_true_random=False))
def test_shared_regions_are_the_cortex_where_some_have_no_more(n_below, random):
    names = list(DESIKAN_VARIANTS["DK82"])
    random.shuffle(names)
    below = [name for name in names if name not in DK68]
    other = spelled(DK68, SPELLINGS[3]) + below[:n_below]
    wanted = shared_regions(names, [other])
    assert wanted == tuple(name for name in names if name in DK68 or name in below[:n_below])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        assert [names[k] for k in order_by_name(names, wanted, "x")] == list(wanted)


def test_shared_regions_stay_where_cortex_is_missing_or_nothing_is():
    assert shared_regions(DK68, [DK68[:-1]]) == DK68
    assert shared_regions(DESIKAN_VARIANTS["DK82"], [DESIKAN_VARIANTS["DK82"][::-1]]) == DESIKAN_VARIANTS["DK82"]
    assert shared_regions(["a", "a"], [["b"]]) == ("a", "a")


@pytest.mark.parametrize(
    ("found", "rows", "fix"),
    [
        (70, "rows 4, 39, counted from 1), or with a row for 'unknown'.*rows 1, 36", "DK70 or DK70-unknown"),
        (71, "ENIGMA.*rows 1, 5, 40", "DK71"),
        (72, "rows 1, 5, 37, 41", "DK72"),
        (82, "rows 35 to 48", "DK82"),
    ],
)
def test_counts_of_rows_are_explained(found, rows, fix):
    cause, variants = explain_count(found, 68)
    assert variants == fix
    assert all(part in cause for part in rows.split(".*"))


@pytest.mark.parametrize(("found", "expected"), [(68, 68), (69, 68), (100, 68), (82, 100)])
def test_other_counts_are_not_explained(found, expected):
    assert explain_count(found, expected) is None


def test_repr_tells_the_atlas():
    assert repr(Atlas.desikan("DK72")) == "Atlas(DK68+4: 72 regions, 36 left, 36 right)"
