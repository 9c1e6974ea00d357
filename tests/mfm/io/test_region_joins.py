"""A subject whose inputs name their regions in the ways of different tools."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mfm
from mfm import fc_gradient, load_connectome, load_subject
from mfm.brain.atlas import DESIKAN_VARIANTS
from mfm.errors import ConfigError, InputError, InputNote
from mfm.io import DataFiles, MatrixOptions, StageFiles
from mfm.io.readers.connectomes import transform_connectome

DK68, DK82 = DESIKAN_VARIANTS["DK68"], DESIKAN_VARIANTS["DK82"]
TR_S = 2.0
CORTEX = [DK82.index(name) for name in DK68]
RNG = np.random.default_rng(0)
COUNTS = np.triu(np.ceil(10 ** RNG.uniform(0.5, 4, (82, 82))), 1)
COUNTS = COUNTS + COUNTS.T
RUNS = RNG.normal(size=(2, 130, 82)) + RNG.normal(size=(2, 130, 1))
MYELIN, GRADIENT = RNG.normal(size=(2, 82))


def spelled(names):
    """FreeSurfer's names as ENIGMA writes them."""
    return [f"{name[0].upper()}_{name[3:]}" if name in DK68 else name for name in names]


def write(path, values, columns=None, rows=None):
    lines = [] if columns is None else ["\t".join(([""] if rows else []) + list(columns))]
    lines += [
        "\t".join(([rows[k]] if rows else []) + [f"{v:.17g}" for v in row]) for k, row in enumerate(np.atleast_2d(values))
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def files(folder, sc, runs, maps=None, **changes):
    """Files of inputs, each ``(rows of the 82, names or None)``."""
    rows, names = sc
    paths = {"sc": write(folder / "sc.tsv", COUNTS[np.ix_(rows, rows)], names)}
    rows, names = runs
    paths["timeseries"] = [write(folder / f"run-{k}.tsv", RUNS[k][:, rows], names) for k in range(2)]
    if maps is not None:
        rows, names = maps
        paths["maps"] = {
            name: write(folder / f"{name}.tsv", values[rows][:, None], None, names)
            for name, values in (("myelin", MYELIN), ("thickness", GRADIENT))
        }
    return replace(DataFiles(**paths), **changes)


def expected(rows, labels):
    sc = transform_connectome(COUNTS[np.ix_(rows, rows)])
    maps = mfm.RegionalMaps([MYELIN[rows], GRADIENT[rows]], ("myelin", "thickness"), labels)
    return mfm.subject_from_runs("sub-01", RUNS[:, :, rows], sc, TR_S, maps, labels)


def assert_same(subject, other):
    for stage in ("search", "validation", "test"):
        one, two = getattr(subject, stage), getattr(other, stage)
        np.testing.assert_array_equal(one.sc.weights, two.sc.weights)
        np.testing.assert_allclose(one.target.fc, two.target.fc, atol=1e-12)
        np.testing.assert_allclose(one.target.fcd_cdf, two.target.fcd_cdf, atol=1e-9)
    np.testing.assert_array_equal(subject.maps.values, other.maps.values)
    assert subject.labels == other.labels


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(orders=st.tuples(*[st.permutations(range(68))] * 3), first=st.sampled_from(["sc", "labels"]))
def test_permuted_and_differently_spelled_inputs_give_the_identical_subject(tmp_path, orders, first):
    sc, runs, maps = ([CORTEX[k] for k in order] for order in orders)
    data = files(
        tmp_path,
        (sc, [DK82[k] for k in sc]),
        (runs, spelled(DK82[k] for k in runs)),
        (maps, [f"ctx-{DK82[k]}" for k in maps]),
    )
    subject = load_subject(data, TR_S, labels="DK68" if first == "labels" else None)
    rows = CORTEX if first == "labels" else sc
    assert_same(subject, expected(rows, tuple(DK82[k] for k in rows)))


def test_rows_below_the_cortex_drop_out_where_others_have_none(tmp_path):
    data = files(tmp_path, (range(82), DK82), (CORTEX, spelled(DK68)), (CORTEX, DK68))
    with pytest.warns(InputNote, match=r"14 rows of the connectome .*sc\.tsv that are no cortex were left out: left-thalamus"):
        subject = load_subject(data, TR_S)
    assert_same(subject, expected(CORTEX, DK68))
    assert any("14 rows of the connectome" in note for note in subject.notes)
    assert "connectome: 14 rows that are no cortex left out" in repr(subject)


def test_rows_below_the_cortex_stay_where_all_inputs_have_them(tmp_path):
    data = files(tmp_path, (range(82), DK82), (range(82), DK82), (range(82), DK82))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        subject = load_subject(data, TR_S)
    assert_same(subject, expected(list(range(82)), DK82))


def test_labels_choose_the_regions(tmp_path):
    data = files(tmp_path, (range(82), DK82), (range(82), DK82), (range(82), DK82))
    with pytest.warns(InputNote, match="14 rows of the"):
        subject = load_subject(data, TR_S, labels="DK68")
    assert_same(subject, expected(CORTEX, DK68))


def test_a_built_in_list_names_the_rows_of_a_connectome(tmp_path):
    data = files(tmp_path, (range(82), None), (CORTEX, spelled(DK68)), (CORTEX, DK68), sc_file=MatrixOptions(labels="DK82"))
    with pytest.warns(InputNote, match="14 rows of the connectome"):
        subject = load_subject(data, TR_S)
    assert_same(subject, expected(CORTEX, DK68))


@pytest.mark.parametrize(("sc", "runs", "message"), [
    (range(82), CORTEX, r"connectome is of the Desikan.*14 subcortical rows.*rows 35 to 48.*"
     r"fix: `sc_file=MatrixOptions\(labels=\"DK82\"\)`"),
    (CORTEX, range(82), r"time series are of the Desikan.*rows 35 to 48.*fix: leave those regions out"),
    (range(70), range(60), r"another parcellation, or an index column"),
])  # fmt: skip
@pytest.mark.parametrize("named", [True, False])
def test_rows_without_names_are_explained(tmp_path, sc, runs, message, named):
    data = files(tmp_path, (sc, None), (runs, spelled(DK82[k] for k in runs) if named else None))
    if named and len(runs) == 82:  # their names tell which columns may go, but not which rows the connectome has
        message = r"expected: 82 rows.*other inputs are of the Desikan.*fix: name its rows.*"
        message += r"`sc_file=MatrixOptions\(labels=\"DK68\"\)`"
    else:
        message = rf"do not have the connectome's regions.*{message}"
    with pytest.raises(InputError, match=rf"(?s){message}"):
        load_subject(data, TR_S)


@pytest.mark.parametrize("named_by", ["labels", "connectome", "option"])
def test_columns_below_the_cortex_drop_out_where_the_connectome_has_none(tmp_path, named_by):
    options = {"sc_file": MatrixOptions(labels="DK68")} if named_by == "option" else {}
    sc = (CORTEX, DK68 if named_by == "connectome" else None)
    data = files(tmp_path, sc, (range(82), spelled(DK82)), (CORTEX, DK68), **options)
    with pytest.warns(InputNote, match=r"14 rows of the time series .* that are no cortex were left out"):
        subject = load_subject(data, TR_S, labels="DK68" if named_by == "labels" else None)
    assert_same(subject, expected(CORTEX, DK68))


def test_the_row_of_unassigned_streamlines(tmp_path):
    data = files(tmp_path, ([81, *CORTEX], None), (CORTEX, spelled(DK68)), (CORTEX, DK68))
    counts = COUNTS[np.ix_([81, *CORTEX], [81, *CORTEX])]
    counts[0, 1:] = counts[1:, 0] = COUNTS.max() * 5
    write(tmp_path / "sc.tsv", counts)
    with pytest.raises(InputError, match=r"(?s)-keep_unassigned.*`sc_file=MatrixOptions\(drop_unassigned=True\)`"):
        load_subject(data, TR_S)
    subject = load_subject(replace(data, sc_file=MatrixOptions(drop_unassigned=True)), TR_S)
    np.testing.assert_array_equal(subject.search.sc.weights, expected(CORTEX, None).search.sc.weights)


def schaefer(networks, n_regions=10):
    word = {"7": "Vis", "17": "VisCent_ExStr"}[networks]
    return [f"{networks}Networks_LH_{word}_{k + 1}" for k in range(n_regions)]


def test_schaefer_versions_are_not_mixed(tmp_path):
    data = files(tmp_path, (range(10), schaefer("17")), (range(10), schaefer("7")))
    with pytest.raises(InputError, match=r"(?s)time series .* are Schaefer's 7-network parcels.*17-network version"):
        load_subject(data, TR_S)


def test_scale_and_transform_are_recorded(tmp_path):
    data = files(tmp_path, (CORTEX, DK68), (CORTEX, DK68), sc_scale_mean=0.01, sc_transform="log1p")
    sc = load_subject(data, TR_S).search.sc
    assert sc.steps == ("log1p of all entries", "scaled to a mean of 0.01")
    np.testing.assert_allclose(sc.weights, np.log1p(COUNTS[np.ix_(CORTEX, CORTEX)]) * (0.01 / sc_mean()), rtol=1e-12)


def sc_mean():
    return np.log1p(COUNTS[np.ix_(CORTEX, CORTEX)]).mean()


# One connectome for many


def test_a_cohort_shares_one_connectome(tmp_path):
    data = files(tmp_path, (CORTEX, DK68), (CORTEX, spelled(DK68)), (CORTEX, DK68))
    sc = load_connectome(data.sc, regions=DK68)
    subjects = [load_subject(replace(data, subject=f"sub-{k}", sc=None), TR_S, sc=sc) for k in range(3)]
    for subject in subjects:
        assert subject.search.sc is subject.validation.sc is subject.test.sc is sc
    assert_same(subjects[0], load_subject(data, TR_S))


def test_a_shared_connectome_may_get_names_without_a_copy(tmp_path):
    data = files(tmp_path, (CORTEX, None), (CORTEX, spelled(DK68)))
    sc = load_connectome(data.sc)
    subject = load_subject(data, TR_S, sc=sc)
    assert subject.search.sc.labels == tuple(spelled(DK68))
    assert np.shares_memory(subject.search.sc.weights, sc.weights)


def test_a_shared_connectome_is_joined_by_name(tmp_path):
    data = files(tmp_path, (CORTEX[::-1], DK68[::-1]), (CORTEX, DK68))
    subject = load_subject(data, TR_S, labels="DK68", sc=load_connectome(data.sc))
    np.testing.assert_array_equal(subject.search.sc.weights, expected(CORTEX, DK68).search.sc.weights)
    assert subject.search.sc.steps[-1] == "regions ordered by name"


@pytest.mark.filterwarnings("ignore:.*that are no cortex")
def test_a_shared_connectome_of_other_regions_is_refused(tmp_path):
    data = files(tmp_path, (range(82), DK82), (CORTEX, DK68))
    with pytest.raises(
        InputError, match=r"(?s)another number of regions.*expected: 68.*found: 82.*before.*scaled.*regions=NAMES"
    ):
        load_subject(data, TR_S, sc=load_connectome(data.sc))


# The gradient of a group's FC


def fc_file(folder, rows, names):
    fc = np.corrcoef(np.concatenate(RUNS)[:, rows].T)
    return write(folder / "group_fc.tsv", fc, names), fc


@pytest.mark.parametrize("named", [True, False])
def test_the_gradient_is_computed_from_a_groups_fc(tmp_path, named):
    order = CORTEX[::-1] if named else CORTEX
    path, _ = fc_file(tmp_path, order, spelled(DK82[k] for k in order) if named else None)
    data = files(tmp_path, (CORTEX, DK68), (CORTEX, DK68), (CORTEX, DK68), gradient_fc=path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        subject = load_subject(data, TR_S)
        expected_map = fc_gradient(np.corrcoef(np.concatenate(RUNS)[:, CORTEX].T), MYELIN[CORTEX])
    assert subject.maps.names == ("myelin", "thickness", "gradient")
    np.testing.assert_allclose(subject.maps.values[2], expected_map, atol=1e-8)
    assert subject.maps.steps[0].startswith("gradient: first diffusion component of the FC ")
    assert subject.maps.steps[0].endswith("group_fc.tsv, its sign against myelin")
    assert [source.role for source in subject.sources].count("gradient FC") == 1


def test_maps_are_zscored_on_request(tmp_path):
    data = files(tmp_path, (CORTEX, DK68), (CORTEX, DK68), (CORTEX, DK68), maps_zscore=True)
    maps = load_subject(data, TR_S).maps
    np.testing.assert_allclose(maps.values.std(axis=1), 1)
    assert maps.steps[0].startswith("myelin z-scored")


def test_a_gradient_is_given_or_computed(tmp_path):
    path, _ = fc_file(tmp_path, CORTEX, None)
    data = DataFiles(sc="sc.csv", timeseries=["run.csv"], maps={"gradient": path}, gradient_fc=path)
    with pytest.raises(ConfigError, match=r"(?s)'gradient' is given, and asked to be computed.*`gradient_fc`"):
        load_subject(data, TR_S)


def test_the_published_group_with_a_computed_gradient(shared):
    data = shared / "data/dk68"
    stage = StageFiles(str(data / "group-train/FC.csv"), str(data / "group-train/FCD_CDF.csv"))
    group = load_subject(
        DataFiles(
            sc=str(data / "group-train/SC.csv"), sc_transform="log1p", search=stage,
            maps={"myelin": str(data / "myelin.csv")}, gradient_fc=str(data / "group-train/FC.csv"),
        ), 0.72, 1200, labels=data / "regions.txt",
    )  # fmt: skip
    published = np.loadtxt(data / "rsfc_gradient.csv")
    assert np.corrcoef(group.maps.values[1], published)[0, 1] > 0.85
    assert np.corrcoef(group.maps.values[1], group.maps.values[0])[0, 1] < -0.5
