"""Maps from tables and CIFTI files, brought to one order of regions."""

from __future__ import annotations

import numpy as np
import pytest
from cifti_files import VERTICES, all_vertices, cortex, write, write_dlabel, write_dtseries
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.cifti2 import ParcelsAxis, ScalarAxis

import mfm
from mfm import RegionalMaps, load_maps
from mfm.brain.atlas import DESIKAN_VARIANTS
from mfm.errors import ConfigError, InputError, InputNote, MissingInputError
from mfm.io import read_map

DK68 = DESIKAN_VARIANTS["DK68"]
NAMES = ("a", "b", "c", "d")
VALUES = np.array([1.0, 4.0, 2.0, 3.5])


def table(path, columns, rows=None, header=None, delimiter="\t"):
    lines = [] if header is None else [delimiter.join((["region"] if rows else []) + list(header))]
    for k, values in enumerate(zip(*columns, strict=True)):
        lines.append(delimiter.join(([rows[k]] if rows else []) + [f"{value:.17g}" for value in values]))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_dscalar(path, values, axis, names=("MyelinMap",)):
    return write(path, np.atleast_2d(np.asarray(values, dtype=np.float32)), ScalarAxis(list(names)), axis)


def write_pscalar(path, values, labels, names=("MyelinMap",)):
    axis = ParcelsAxis.from_brain_models([(label, all_vertices()[[k]]) for k, label in enumerate(labels)])
    return write(path, np.atleast_2d(values), ScalarAxis(list(names)), axis)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(68)), st.sampled_from([",", "\t"]), st.sampled_from(["{}", "ctx-{}"]), st.integers(0, 10**6))
def test_named_maps_do_not_depend_on_the_order_of_rows(tmp_path_factory, order, delimiter, spelling, seed):
    values = np.random.default_rng(seed).normal(size=68)
    path = tmp_path_factory.mktemp("map") / ("map.csv" if delimiter == "," else "map.tsv")
    table(path, [values[list(order)]], [spelling.format(DK68[k]) for k in order], ["myelin"], delimiter)
    np.testing.assert_array_equal(read_map(path, 68, DK68), values)


def test_any_number_of_maps_from_one_table(tmp_path):
    path = table(tmp_path / "maps.tsv", [VALUES, VALUES**2, -VALUES], NAMES, ["myelin", "gradient", "thickness"])
    maps = load_maps({"thickness": path, "myelin": path}, regions=NAMES[::-1])
    assert (maps.names, maps.labels) == (("thickness", "myelin"), NAMES[::-1])
    np.testing.assert_array_equal(maps.values, [-VALUES[::-1], VALUES[::-1]])


def test_the_first_map_with_names_gives_the_order(tmp_path):
    plain = table(tmp_path / "plain.csv", [VALUES])
    named = table(tmp_path / "named.tsv", [VALUES], NAMES)
    maps = load_maps({"one": plain, "two": named})
    assert maps.labels == NAMES
    assert load_maps({"one": plain}).labels is None


def test_a_table_without_that_map_lists_what_it_has(tmp_path):
    path = table(tmp_path / "maps.tsv", [VALUES, VALUES**2], NAMES, ["T1wT2w", "gradient"])
    with pytest.raises(
        InputError, match=r"(?s)maps\.tsv is not a map.*one called 'myelin'.*found: 2 columns: T1wT2w, gradient"
    ):
        load_maps({"myelin": path})


@pytest.mark.parametrize(("n_values", "message"), [
    (70, r"rows 4, 39.*rows 1, 36.*fix: leave those rows out"), (72, "rows 1, 5, 37, 41"), (82, "rows 35 to 48"),
    (71, "ENIGMA.*rows 1, 5, 40"), (69, "maps of another parcellation"),
])  # fmt: skip
def test_rows_without_names_are_explained(tmp_path, n_values, message):
    path = table(tmp_path / "map.csv", [np.arange(float(n_values))])
    with pytest.raises(
        InputError, match=rf"(?s)map\.csv has another number.*expected: 68 values.*found: {n_values}.*{message}"
    ):
        read_map(path, 68, DK68)


def test_rows_that_are_no_cortex_are_left_out(tmp_path):
    names = DESIKAN_VARIANTS["DK72"]
    path = table(tmp_path / "map.tsv", [np.arange(72.0)], names, ["myelin"])
    with pytest.warns(InputNote, match=r"4 rows of the map .*map\.tsv that are no cortex were left out: lh-unknown, lh-corpus"):
        values = read_map(path, 68, DK68)
    assert values.tolist() == [names.index(name) for name in DK68]


def test_maps_of_the_other_schaefer_version_are_refused(tmp_path):
    seven = [f"7Networks_LH_Vis_{k}" for k in range(4)]
    path = table(tmp_path / "map.tsv", [VALUES], seven, ["myelin"])
    with pytest.raises(InputError, match=r"(?s)map .*map\.tsv are Schaefer's 7-network parcels.*17-network version"):
        read_map(path, 4, [f"17Networks_LH_VisCent_ExStr_{k}" for k in range(4)])


@pytest.mark.parametrize("text", ["n/a", "nan", "inf"])
def test_regions_without_a_value_are_told(tmp_path, text):
    (tmp_path / "map.csv").write_text(f"1\n{text}\n3\n")
    with pytest.raises(InputError, match=r"(?s)map 'myelin' is not finite in regions 2 \(counted from 1\)"):
        load_maps({"myelin": tmp_path / "map.csv"})


def test_no_maps_and_missing_files(tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)No map is named.*RegionalMaps\.none"):
        load_maps({})
    with pytest.raises(MissingInputError, match="map file is not there"):
        load_maps({"myelin": tmp_path / "nowhere.csv"})


# z-scores


def test_zscores_are_recorded(tmp_path):
    path = table(tmp_path / "maps.tsv", [VALUES, VALUES**2], NAMES, ["myelin", "gradient"])
    maps = load_maps({"myelin": path, "gradient": path}, zscore=True)
    np.testing.assert_allclose(maps.values.mean(axis=1), 0, atol=1e-15)
    np.testing.assert_allclose(maps.values.std(axis=1), 1)
    np.testing.assert_allclose(maps.values[0], (VALUES - VALUES.mean()) / VALUES.std())
    assert maps.steps[0] == f"myelin z-scored (mean {VALUES.mean():g}, SD {VALUES.std():.6g})"
    assert load_maps({"myelin": path}).steps == ()


def test_no_maps_have_no_zscores():
    assert RegionalMaps.none(4).zscored().values.shape == (0, 4)


# CIFTI


@pytest.fixture(scope="module")
def dlabel(tmp_path_factory):
    """Ten regions on all 64 984 vertices, background among them."""
    keys = np.random.default_rng(0).integers(0, 11, 2 * VERTICES)
    return write_dlabel(tmp_path_factory.mktemp("atlas") / "atlas.dlabel.nii", keys, [f"R{k}" for k in range(10)]), keys


def of_the_vertices(axis, keys, values):
    """Means over regions, vertex by vertex."""
    total, count = np.zeros(10), np.zeros(10)
    for name, vertex, value in zip(axis.name, axis.vertex, values, strict=True):
        key = keys[vertex + (VERTICES if "RIGHT" in name else 0)]
        if key > 0:
            total[key - 1] += value
            count[key - 1] += 1
    return total / count


@pytest.mark.parametrize("axis", [cortex, all_vertices])
def test_dense_maps_are_averaged_by_vertex(tmp_path, dlabel, axis):
    path, keys = dlabel
    values = np.random.default_rng(1).normal(size=len(axis())).astype(np.float32)
    write_dscalar(tmp_path / "100307.MyelinMap_BC_MSMAll.32k_fs_LR.dscalar.nii", values, axis())
    maps = load_maps({"myelin": tmp_path / "100307.MyelinMap_BC_MSMAll.32k_fs_LR.dscalar.nii"}, parcellation=path)
    np.testing.assert_allclose(maps.values[0], of_the_vertices(axis(), keys, values), rtol=1e-9, atol=1e-12)
    assert maps.labels == tuple(f"R{k}" for k in range(10))


def test_one_of_several_dense_maps_is_chosen_by_name(tmp_path, dlabel):
    values = np.random.default_rng(1).normal(size=(2, 2 * VERTICES))
    path = write_dscalar(tmp_path / "maps.dscalar.nii", values, all_vertices(), ("myelin", "thickness"))
    chosen = load_maps({"thickness": path}, parcellation=dlabel[0])
    np.testing.assert_allclose(chosen.values[0], of_the_vertices(all_vertices(), dlabel[1], values[1]), rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match=r"(?s)holds 2 maps, none of which is called 'gradient'.*found: myelin, thickness"):
        load_maps({"gradient": path}, parcellation=dlabel[0])


def test_dense_maps_need_a_parcellation(tmp_path):
    path = write_dscalar(tmp_path / "map.dscalar.nii", np.zeros(2 * VERTICES), all_vertices())
    with pytest.raises(ConfigError, match=r"(?s)holds grayordinates, not regions.*fix: `parcellation=\"ATLAS\.dlabel\.nii\"`"):
        load_maps({"myelin": path})


def test_a_time_series_is_no_map(tmp_path, dlabel):
    path = write_dtseries(tmp_path / "run.dtseries.nii", np.zeros((3, len(cortex())), np.float32), cortex())
    with pytest.raises(InputError, match=r"(?s)is not a map.*expected: a \.dscalar\.nii.*found: Series x BrainModel"):
        load_maps({"myelin": path}, parcellation=dlabel[0])


@pytest.mark.parametrize("n_regions", [4, 68])
def test_parcellated_maps_are_joined_by_name(tmp_path, n_regions):
    labels = [f"L_{name}" for name in "abcd"] if n_regions == 4 else [f"{n[0].upper()}_{n[3:]}" for n in DK68]
    values = np.random.default_rng(2).normal(size=n_regions)
    path = write_pscalar(tmp_path / "map.pscalar.nii", values, labels)
    wanted = labels[::-1] if n_regions == 4 else DK68[::-1]
    np.testing.assert_allclose(read_map(path, n_regions, wanted), values[::-1], rtol=1e-6)
    assert load_maps({"myelin": path}).labels == tuple(labels)


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_truncated_images_are_refused(tmp_path, dlabel, share):
    path = write_dscalar(tmp_path / "map.dscalar.nii", np.zeros(2 * VERTICES), all_vertices())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"map\.dscalar\.nii"):
        load_maps({"myelin": path}, parcellation=dlabel[0])


# Real files


def test_every_published_map_is_read(shared):
    for atlas, n_regions in (("dk68", 68), ("schaefer100-17n", 100), ("schaefer100-7n", 100)):
        paths = [*(shared / "data" / atlas).glob("*.csv")]
        assert len(paths) >= 2
        maps = load_maps({path.stem: path for path in paths})
        assert (len(maps.names), maps.n_regions) == (len(paths), n_regions)
        assert mfm.RegionalMaps.zscored(maps).n_regions == n_regions
