"""What an error says to type is typed: the error goes away, and what is read then is right."""

from __future__ import annotations

import re
import shlex
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import scipy.io

from mfm import load_subject
from mfm.errors import InputNote, MfmfitError
from mfm.io.readers.connectomes import transform_connectome
from optim.cli.messages import as_settings
from optim.cli.settings import compose
from tests.made_up_inputs import NAMES, N, connectome, recording, runs, streamlines, table

WITHOUT = [k for k in range(N) if k != 3]
ALL = list(range(N))


def read(overrides):
    config = compose(["acquisition.tr_s=0.72", *overrides])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        return load_subject(config.data, config.acquisition.tr_s, config.acquisition.n_frames, config.atlas.labels)


def advice(error: MfmfitError) -> list[list[str]]:
    """The alternatives of an error's fix, each as what is typed on the command line."""
    fix = str(error).partition("  fix: ")[2]
    return [shlex.split(as_settings(f"`{code}`")) for code in re.findall(r"`([^`]+)`", fix)]


@dataclass
class Broken:
    """Overrides that end in an error; which regions, and which connectome, its advice ends in (None: none that is typed)."""

    overrides: list[str]
    kept: list[int] | None
    counts: np.ndarray
    transform: str = "log"
    fill: dict[str, str] | None = None
    other: str = ""


def inputs(sc, series, *more):
    return [f"data.sc={sc}", f"data.timeseries=[{','.join(series)}]", *more]


def nan_region(folder):
    counts = streamlines()
    counts[3] = counts[:, 3] = np.nan
    return Broken(inputs(connectome(folder, counts), runs(folder)), WITHOUT, streamlines())


def nan_region_without_names(folder):
    counts = streamlines()
    counts[3] = counts[:, 3] = np.nan
    return Broken(inputs(connectome(folder, counts, named=False), runs(folder, named=False)), WITHOUT, streamlines())


def series_lack_a_region(folder):
    return Broken(inputs(connectome(folder), runs(folder, WITHOUT)), WITHOUT, streamlines())


def connectome_lacks_a_region(folder):
    counts, names = streamlines()[np.ix_(WITHOUT, WITHOUT)], [NAMES[k] for k in WITHOUT]
    return Broken(inputs(connectome(folder, counts, names=names), runs(folder)), WITHOUT, streamlines())


def each_lacks_another(folder):
    counts, names = streamlines()[np.ix_(WITHOUT, WITHOUT)], [NAMES[k] for k in WITHOUT]
    kept = [k for k in ALL if k != 8]
    both = [k for k in WITHOUT if k != 8]
    return Broken(inputs(connectome(folder, counts, names=names), runs(folder, kept)), both, streamlines())


def series_lack_a_region_without_names(folder):
    fill = {"NUMBER": "4", "FILE": table(folder / "names.txt", [[]])}
    (folder / "names.txt").write_text("\n".join(NAMES) + "\n")
    return Broken(
        inputs(connectome(folder, named=False), runs(folder, WITHOUT, named=False)), WITHOUT, streamlines(), fill=fill
    )


def series_without_names_lack_a_region_of_a_named_connectome(folder):
    return Broken(
        inputs(connectome(folder), runs(folder, WITHOUT, named=False)), WITHOUT, streamlines(), fill={"NAME": NAMES[3]}
    )


def unassigned_streamlines(folder):
    counts = np.pad(streamlines(), ((1, 0), (1, 0)), constant_values=5 * streamlines().sum(axis=0).max())
    return Broken(inputs(connectome(folder, counts, named=False), runs(folder)), ALL, streamlines())


def an_empty_first_row(folder):
    counts = np.pad(streamlines(), ((1, 0), (1, 0)))
    return Broken(inputs(connectome(folder, counts, named=False), runs(folder, named=False)), ALL, streamlines())


def drop_of_a_region(folder):
    return Broken(inputs(connectome(folder), runs(folder), "data.sc_file.drop_unassigned=true"), ALL, streamlines())


def transposed(folder):
    paths = [table(folder / f"t{k}.csv", recording(k).T) for k in (1, 2)]
    sc = connectome(folder, named=False)
    return Broken(inputs(sc, paths, "data.orientation=frames_by_regions"), ALL, streamlines())


def logged(folder):
    counts = np.log(streamlines() + np.eye(N)) + 0.3 * (1 - np.eye(N))
    return Broken(inputs(connectome(folder, counts), runs(folder)), ALL, counts, "none")


def logged_and_scaled_to_one(folder):
    counts = np.log(streamlines() + np.eye(N)) + 0.3 * (1 - np.eye(N))
    return Broken(
        inputs(connectome(folder, counts / counts.max()), runs(folder)),
        ALL,
        counts / counts.max(),
        "none",
        None,
        "log1p_relative",
    )


def heavy(n=N):
    rng = np.random.default_rng(1)
    counts = np.triu(np.ceil(rng.lognormal(4, 2, (n, n))) + 1, 1)
    return counts + counts.T


def divided_by_the_largest(folder):
    counts = heavy() / heavy().max()
    return Broken(inputs(connectome(folder, counts), runs(folder)), ALL, counts, "log1p_relative")


def rows_sum_to_one(folder):
    counts = heavy() / heavy().sum(axis=1, keepdims=True)
    return Broken(inputs(connectome(folder, counts), runs(folder)), ALL, counts, "log1p_relative")


def mean_counts(folder):
    counts = heavy() / 3 + 0.0
    return Broken(inputs(connectome(folder, counts), runs(folder)), ALL, counts, "log1p")


def binary(folder):
    counts = (streamlines() > 100).astype(float)
    return Broken(inputs(connectome(folder, counts), runs(folder)), ALL, counts, "none")


def several_arrays(folder):
    scipy.io.savemat(folder / "x.mat", {"distance": streamlines() + 30, "counts": streamlines(), "age": 31})
    return Broken(inputs(folder / "x.mat", runs(folder)), ALL, streamlines())


def a_stack_of_subjects(folder):
    stack = np.stack([streamlines(), streamlines() * 2], axis=-1)
    scipy.io.savemat(folder / "x.mat", {"SC_subjects": stack, "distance": streamlines() + 30})
    return Broken(inputs(folder / "x.mat", runs(folder)), ALL, streamlines())


def a_struct_with_several(folder):
    scipy.io.savemat(folder / "x.mat", {"data": {"lengths": streamlines() + 30, "SC": streamlines()}})
    return Broken(inputs(folder / "x.mat", runs(folder)), ALL, streamlines())


def a_wrong_key(folder):
    np.savez(folder / "x.npz", counts=streamlines(), names=np.array(NAMES))
    return Broken(inputs(folder / "x.npz", runs(folder), "data.sc_file.key=SC"), ALL, streamlines())


def a_map_with_a_gap(folder):
    values = np.linspace(1, 2, N)
    values[3] = np.nan
    path = folder / "myelin.csv"
    pd.DataFrame({"region": NAMES, "myelin": values}).to_csv(path, index=False)
    return Broken(inputs(connectome(folder), runs(folder), f"data.maps={{myelin: {path}}}"), WITHOUT, streamlines())


def a_region_that_is_blank_for_a_while(folder):
    def blank(k, values):
        if k == 1:
            values[100:190, 3] = 0
        return values

    return Broken(inputs(connectome(folder), runs(folder, change=blank)), WITHOUT, streamlines())


def a_region_without_signal(folder):
    def blank(_, values):
        values[:, 3] = np.nan
        return values

    return Broken(inputs(connectome(folder), runs(folder, change=blank)), WITHOUT, streamlines())


def labels_of_another_parcellation(folder):
    sc, series = connectome(folder, named=False), runs(folder, named=False)
    return Broken(inputs(sc, series, "atlas.labels=DK68"), ALL, streamlines())


BROKEN = [
    nan_region, nan_region_without_names, series_lack_a_region, connectome_lacks_a_region, each_lacks_another,
    series_lack_a_region_without_names, series_without_names_lack_a_region_of_a_named_connectome, unassigned_streamlines,
    an_empty_first_row, drop_of_a_region, transposed, logged, logged_and_scaled_to_one, divided_by_the_largest, rows_sum_to_one,
    mean_counts, binary, several_arrays, a_stack_of_subjects, a_struct_with_several, a_wrong_key, a_map_with_a_gap,
    a_region_that_is_blank_for_a_while, a_region_without_signal, labels_of_another_parcellation,
]  # fmt: skip


@pytest.mark.parametrize("make", BROKEN, ids=lambda make: make.__name__)
def test_what_an_error_says_to_type_gives_the_right_subject(tmp_path, make):
    broken = make(tmp_path)
    with pytest.raises(MfmfitError) as caught:
        read(broken.overrides)
    assert caught.value.exit_code in (2, 65)
    typed = advice(caught.value)
    assert typed, caught.value
    right = 0
    for settings in typed:
        for word, value in (broken.fill or {}).items():
            settings = [one.replace(word, value) for one in settings]
        if any(word in one for one in settings for word in ("NUMBER", "NAME", "FILE")):
            continue  # what only the person knows
        names = {one.partition("=")[0] for one in settings}
        try:
            subject = read([one for one in broken.overrides if one.partition("=")[0] not in names] + settings)
        except MfmfitError:
            # A name tells which region is missing: the next error says so, and its advice is the right one.
            if "data.sc_file.labels" not in settings[0]:
                raise
            continue
        others = ("lengths", "distance", "SC_subjects/2")
        if any(word in settings[0] for word in others) or settings[0] == f"data.sc_transform={broken.other}":
            continue  # another reading, as asked
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputNote)
            expected = transform_connectome(broken.counts[np.ix_(broken.kept, broken.kept)], broken.transform)
        np.testing.assert_allclose(subject.search.sc.weights, expected.weights, rtol=1e-12)
        fc = np.corrcoef(recording(1)[:, broken.kept].T)
        np.testing.assert_allclose(subject.search.target.fc.numpy(), fc, atol=1e-9)
        right += 1
    assert right > 0, caught.value


@pytest.mark.parametrize(
    "make",
    [series_lack_a_region, series_lack_a_region_without_names, connectome_lacks_a_region],
    ids=lambda make: make.__name__,
)
def test_no_row_is_shifted_by_advice_without_evidence(tmp_path, make):
    with pytest.raises(MfmfitError) as caught:
        read(make(tmp_path).overrides)
    assert "drop_unassigned" not in str(caught.value)


def test_a_missing_region_is_named(tmp_path):
    with pytest.raises(MfmfitError, match=r"(?s)missing: lh-area03.*`exclude_regions=\[\"lh-area03\"\]`"):
        read(series_lack_a_region(tmp_path).overrides)
