"""The repetition time: defaults and numbers without units tell nothing, what is said beats them, sidecars are inherited."""

import json
import warnings

import nibabel as nib
import numpy as np
import pytest
from cifti_files import write_ptseries
from hypothesis import given
from hypothesis import strategies as st

from mfm import load_subject
from mfm.errors import ConfigError, InputError, InputNote
from mfm.io import DataFiles, inspect_folder, load_timeseries
from mfm.io.formats.bids import Sidecar, read_sidecar
from mfm.io.formats.header_time import HeaderTime, header_time

N, T = 20, 200


def bold(seed=1):
    rng = np.random.default_rng(seed)
    return 100 + rng.normal(size=(T, N)) + 0.8 * rng.normal(size=(T, 1))


@pytest.fixture
def labels(tmp_path):
    keys = np.zeros((6, 6, 6), np.int16)
    keys.ravel()[: 5 * N] = np.repeat(np.arange(1, N + 1), 5)
    nib.save(nib.Nifti1Image(keys, np.eye(4)), tmp_path / "labels.nii.gz")
    return str(tmp_path / "labels.nii.gz")


def volume(path, step=None, unit="unknown", seed=1):
    """A scan; without a step as nibabel writes it where nobody told a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.zeros((6, 6, 6, T), np.float32)
    data.reshape(-1, T)[: 5 * N] = np.repeat(bold(seed).T, 5, axis=0)
    image = nib.Nifti1Image(data, np.eye(4))
    if step is not None:
        image.header.set_zooms((1, 1, 1, step))
        image.header.set_xyzt_units("mm", unit)
    nib.save(image, path)
    return str(path)


def read(path, labels, tr_s=None):
    """The TR that is read, and what is noted."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        series = load_timeseries(path, parcellation=labels, tr_s=tr_s)
    return series.tr_s, " ".join(series.notes)


@pytest.mark.parametrize(
    ("step", "unit", "tr_s"),
    [
        (None, "", None),
        (1, "unknown", None),
        (1, "sec", None),
        (2, "unknown", None),
        (720, "unknown", None),
        (2, "hz", None),
        (0, "sec", None),
        (2, "sec", 2.0),
        (720, "msec", 0.72),
        (1000, "msec", 1.0),
        (720_000, "usec", 0.72),
        (1.001, "sec", 1.001),
    ],
)
def test_what_headers_tell(tmp_path, labels, step, unit, tr_s):
    path = volume(tmp_path / "run.nii.gz", step, unit)
    assert read(path, labels) == (tr_s, "")
    row = volume(tmp_path / "study/sub-01/func/sub-01_task-rest_space-MNI_desc-denoised_bold.nii.gz", step, unit)
    found = inspect_folder(tmp_path / "study")
    assert [one.tr_s for one in found.rows] == [tr_s], row
    assert any(finding.text.startswith("TR not known") for finding in found.findings) == (tr_s is None)


@pytest.mark.parametrize(
    ("step", "unit", "said", "note"),
    [
        (
            None,
            "",
            0.72,
            "tells no TR (1 without a unit, which is written by software that does not know it); 0.72 s were said",
        ),
        (1, "sec", 2.0, "tells no TR (1 s, which is also written by software that does not know it); 2 s were said"),
        (2, "unknown", 0.72, "tells no TR (2 without a unit); 0.72 s were said"),
        (1, "sec", 1.0, ""),
        (2, "unknown", 2.0, ""),
        (2000, "unknown", 2.0, ""),
        (720, "sec", 0.72, "its unit is wrong"),
        (0.72, "msec", 0.72, "its unit is wrong"),
    ],
)
def test_what_is_said_beats_a_default(tmp_path, labels, step, unit, said, note):
    tr_s, notes = read(volume(tmp_path / "run.nii.gz", step, unit), labels, said)
    assert tr_s == said
    assert note in notes if note else not notes


@pytest.mark.parametrize(
    ("step", "unit", "said", "message"),
    [
        (2, "sec", 0.72, r"(?s)not that of.*0\.72 s, as `tr_s` says.*found: 2 s in the header"),
        (1000, "msec", 0.72, r"(?s)not that of.*found: 1 s in the header"),
        (720, "sec", None, r"(?s)implausible.*found: 720.*milliseconds were written.*`tr_s=0\.72`"),
        (0.72, "msec", None, r"(?s)implausible.*seconds were written, and milliseconds named.*`tr_s=0\.72`"),
        (720, "sec", 2.0, r"(?s)implausible.*milliseconds were written"),
    ],
)
def test_a_real_time_is_contradicted_loudly(tmp_path, labels, step, unit, said, message):
    with pytest.raises(InputError, match=message):
        read(volume(tmp_path / "run.nii.gz", step, unit), labels, said)


def test_the_advice_for_a_wrong_unit_helps(tmp_path, labels):
    for step, unit in ((720, "sec"), (0.72, "msec")):
        assert read(volume(tmp_path / "run.nii.gz", step, unit), labels, 0.72)[0] == 0.72


@pytest.mark.parametrize(
    ("step", "advice"),
    [(None, "`tr_s=SECONDS`, as the scan's protocol says; `tr_s=1` only if"), (2, "`tr_s=2` if"), (720, "`tr_s=0.72` if")],
)
def test_a_subject_without_a_known_tr_is_told_what_headers_hold(tmp_path, labels, step, advice):
    counts = np.round(np.exp(np.random.default_rng(0).normal(5, 1, (N, N))))
    np.savetxt(tmp_path / "sc.csv", np.triu(counts, 1) + np.triu(counts, 1).T, delimiter=",")
    runs = [volume(tmp_path / f"v{k}.nii.gz", step, seed=k) for k in (1, 2)]
    files = DataFiles(sc=str(tmp_path / "sc.csv"), timeseries=runs, parcellation=labels)
    with pytest.raises(ConfigError, match=r"not given(.|\n)*found: a header with .* without a unit") as told:
        load_subject(files)
    assert advice in str(told.value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        assert load_subject(files, 0.72).search.tr_s == 0.72


@pytest.mark.parametrize(
    ("name", "step", "tr_s"), [("run", 1.0, None), ("run", 0.8, 0.8), ("rfMRI_REST1_7T_PA_Atlas", 1.0, 1.0)]
)
def test_steps_of_cifti(tmp_path, name, step, tr_s):
    path = write_ptseries(tmp_path / f"{name}.ptseries.nii", bold(), [f"lh-r{k}" for k in range(N)], step)
    assert load_timeseries(path).tr_s == tr_s
    if tr_s is None:
        with pytest.warns(InputNote, match=r"tells no TR \(1 s, which is also written"):
            assert load_timeseries(path, tr_s=0.72).tr_s == 0.72


@given(st.floats(0.05, 19), st.sampled_from([("sec", 1.0), ("msec", 1e3), ("usec", 1e6)]))
def test_units_are_converted(tr_s, unit):
    name, per_second = unit
    told = header_time(float(np.float32(tr_s * per_second)), name)
    assert told.tr_s is None if told.hint else told.tr_s == pytest.approx(tr_s, rel=1e-5)


@given(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from(["unknown", "hz", "ppm", ""]))
def test_without_a_unit_nothing_is_told(step, unit):
    assert header_time(step, unit).tr_s is None


def test_no_time_at_all():
    assert header_time(float("nan"), "sec") == header_time(-1, "sec") == HeaderTime()


STEM = "sub-01_ses-a_task-rest_run-1"


def dataset(tmp_path, described, **sidecars):
    """A study with sidecars at levels of folders: dataset, subject, session, beside."""
    levels = {"dataset": "", "subject": "sub-01", "session": "sub-01/ses-a", "func": "sub-01/ses-a/func"}
    (tmp_path / levels["func"]).mkdir(parents=True)
    if described:
        (tmp_path / "dataset_description.json").write_text("{}")
    for at, content in sidecars.items():
        level, _, name = at.partition("__")
        path = tmp_path / levels[level] / f"{name.replace('__', '_').replace('X', '-')}.json"
        path.write_text(json.dumps(content))
    path = tmp_path / levels["func"] / f"{STEM}_bold.tsv"
    np.savetxt(path, bold(), delimiter="\t", header="\t".join(f"lh-r{k}" for k in range(N)), comments="")
    return path


def tr(seconds):
    return {"RepetitionTime": seconds}


@pytest.mark.parametrize("described", [True, False])
@pytest.mark.parametrize(
    ("sidecars", "tr_s"),
    [
        ({"dataset__taskXrest_bold": tr(0.72)}, 0.72),
        ({"dataset__bold": tr(0.72)}, 0.72),
        ({"subject__subX01_taskXrest_bold": tr(0.8)}, 0.8),
        ({"session__subX01_sesXa_taskXrest_bold": tr(0.9)}, 0.9),
        ({"dataset__taskXrest_bold": tr(0.72), "subject__subX01_taskXrest_bold": tr(0.8)}, 0.8),
        ({"subject__taskXrest_bold": tr(0.8), "func__taskXrest_bold": tr(2.0)}, 2.0),
        ({"dataset__taskXrest_bold": tr(0.72), "dataset__bold": tr(3.0)}, 0.72),
        ({"dataset__taskXrest_bold": tr(0.72), "subject__subX01_taskXrest_bold": {"EchoTime": 0.03}}, 0.72),
        ({"dataset__taskXmotor_bold": tr(0.72)}, None),
        ({"dataset__taskXrest_events": tr(0.72)}, None),
        ({"subject__subX02_taskXrest_bold": tr(0.72)}, None),
    ],
)
def test_sidecars_are_inherited_and_the_nearest_wins(tmp_path, described, sidecars, tr_s):
    assert load_timeseries(dataset(tmp_path, described, **sidecars)).tr_s == tr_s


def test_sidecars_are_inherited_by_relative_paths(tmp_path, monkeypatch):
    path = dataset(tmp_path, True, dataset__taskXrest_bold=tr(0.72))
    monkeypatch.chdir(path.parent)
    assert load_timeseries(path.name).tr_s == 0.72


def test_two_sidecars_of_one_level_must_agree(tmp_path):
    path = dataset(tmp_path, True, dataset__taskXrest_bold=tr(0.72), dataset__runX1_bold=tr(2.0))
    with pytest.raises(InputError, match=r"(?s)Two sidecars describe.*run-1_bold\.json: 2\.0, task-rest_bold\.json: 0\.72"):
        load_timeseries(path)
    path.with_name(f"{STEM}_bold.json").write_text(json.dumps(tr(0.72)))
    assert load_timeseries(path).tr_s == 0.72


def test_a_sidecar_beats_a_default_header_without_a_word(tmp_path, labels):
    path = volume(tmp_path / "sub-01_task-rest_bold.nii.gz")
    (tmp_path / "sub-01_task-rest_bold.json").write_text(json.dumps(tr(0.72)))
    assert read(path, labels) == (0.72, "")


def test_times_of_volumes(tmp_path):
    path = dataset(tmp_path, True, dataset__taskXrest_bold={"VolumeTiming": [round(0.8 * k, 3) for k in range(T)]})
    assert load_timeseries(path).tr_s == 0.8


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, 2, 4, 10, 12], r"(?s)no one repetition time.*steps from 2 to 6 s"),
        ([0, 2, 1], "no list of times"),
        ("2 s", "no list of times"),
        ([0], "no list of times"),
        ([0, None], "no list of times"),
    ],
)
def test_irregular_times_of_volumes_are_refused_and_told(tmp_path, times, message):
    path = dataset(tmp_path, True, dataset__taskXrest_bold={"VolumeTiming": times})
    with pytest.raises(InputError, match=message):
        load_timeseries(path)
    texts = [finding.text for finding in inspect_folder(tmp_path).findings]
    assert any("VolumeTiming" in text or "repetition time" in text for text in texts)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_any_content_of_a_sidecar_is_a_tr_or_an_error(value):
    for key in ("RepetitionTime", "VolumeTiming"):
        try:
            told = Sidecar({key: value}, ("x.json",)).tr_s
        except InputError:
            continue
        assert told is None or told > 0


def test_no_file_of_json_beside_is_no_sidecar(tmp_path):
    assert read_sidecar(tmp_path / "run.csv") == Sidecar()


@pytest.mark.filterwarnings("ignore::mfm.errors.InputNote")
def test_a_run_longer_than_runs_is_told(tmp_path):
    counts = np.round(np.exp(np.random.default_rng(0).normal(5, 1, (N, N))))
    np.savetxt(tmp_path / "sc.csv", np.triu(counts, 1) + np.triu(counts, 1).T, delimiter=",")
    for k in (1, 2):
        np.savetxt(tmp_path / f"r{k}.csv", np.concatenate([bold(10 * k + j) for j in range(10)]), delimiter=",")
    files = DataFiles(sc=str(tmp_path / "sc.csv"), timeseries=[str(tmp_path / f"r{k}.csv") for k in (1, 2)])
    assert any("lasts 100 minutes" in note for note in load_subject(files, 3.0).notes)
    assert not any("minutes, where" in note for note in load_subject(files, 0.72).notes)
