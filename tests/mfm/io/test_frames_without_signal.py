"""Frames that are no signal: what is told of them, and that what the message says to type helps."""

import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm import load_subject
from mfm.errors import ConfigError, InputError, InputNote
from mfm.io import Cleaning, DataFiles, load_timeseries

N, T, TR_S = 20, 400, 0.72
NAMES = [f"{side}-area{k:02d}" for side in ("lh", "rh") for k in range(N // 2)]


def bold(seed=1, n_frames=T, n_regions=N):
    """Series as of a scanner: smooth in time, correlated between regions, around 100."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n_frames + 50, n_regions)) + 0.8 * rng.normal(size=(n_frames + 50, 1))
    x = np.zeros_like(noise)
    for k in range(1, len(x)):
        x[k] = 0.7 * x[k - 1] + noise[k]
    return 100 + x[50:]


def changed(change, seed=1):
    x = bold(seed)
    change(x)
    return x


def save(path, values):
    np.savetxt(path, values, fmt="%.6g", delimiter=",", header=",".join(NAMES[: values.shape[1]]), comments="")
    return str(path)


def _zero_end(x):
    x[-20:] = 0


def _zero_start(x):
    x[:5] = 0


def _both_ends(x):
    x[:3] = x[-7:] = 0


def _held(x):
    x[-30:] = x[-31]


def _one_value(x):
    x[390:] = 100


def _steady(x):
    x[:4] *= np.array([3, 1.6, 1.2, 1.05])[:, None]


def _dip(x):
    x[-10:] *= 0.05


def _spike(x):
    x[7] += 1e5


def _spike_of_a_region(x):
    x[12, 3] += 1e5


def _huge(x):
    x[2] *= 1e15


def _missing(x):
    x[:6] = np.nan


BAD = {
    _zero_end: ("381 to 400", "zero in all regions", "`drop_last_frames=20`"),
    _zero_start: ("1 to 5", "zero in all regions", "`drop_frames=5`"),
    _both_ends: ("1 to 3, 394 to 400", "zero in all regions", "`drop_frames=3, drop_last_frames=7`"),
    _held: ("370 to 400", "alike from frame to frame", "`drop_last_frames=31`"),
    _one_value: ("391 to 400", "one value in all regions", "`drop_last_frames=10`"),
    _steady: (r"1 to \d", "far out over regions", r"`drop_frames=\d`"),
    _dip: ("391 to 400", "far out over regions", "`drop_last_frames=10`"),
    _spike: ("8", "far out over regions", "`drop_frames=8`"),
    _spike_of_a_region: ("13", "far out over regions", "`drop_frames=13`"),
    _huge: ("3", "far out over regions", "`drop_frames=3`"),
    _missing: ("1 to 6", "no numbers", "`drop_frames=6`"),
}


def advised(error) -> dict:
    """The first arguments between backquotes in the advice."""
    code = re.search(r"fix:.*?`([^`]*drop_[^`]*)`", str(error), re.S)[1]
    return eval(f"dict({code})")


@pytest.mark.parametrize("change", BAD, ids=lambda change: change.__name__)
def test_frames_without_signal_are_refused_and_the_advice_helps(tmp_path, change):
    path = save(tmp_path / "run.csv", changed(change))
    frames, why, fix = BAD[change]
    with pytest.raises(InputError, match=rf"(?s)Frames of .*run\.csv.*frames? {frames}: {why}.*fix: {fix}") as told:
        load_timeseries(path)
    kept = load_timeseries(path, **advised(told.value))
    original = changed(change)
    first, last = (advised(told.value).get(name, 0) for name in ("drop_frames", "drop_last_frames"))
    np.testing.assert_allclose(kept.values, original[first : T - last], rtol=1e-5)
    assert kept.left_out == (first + last,)
    assert kept.notes == ()


@pytest.mark.parametrize("change", [_zero_end, _steady, _spike], ids=lambda change: change.__name__)
def test_advice_for_one_of_two_runs_names_its_place(tmp_path, change):
    files = DataFiles(
        sc=save_sc(tmp_path), timeseries=[save(tmp_path / "a.csv", bold(2)), save(tmp_path / "b.csv", changed(change))]
    )
    with pytest.raises(InputError, match=r"fix: `drop_(last_)?frames=\[0,\d+\]`") as told:
        load_subject(files, TR_S)
    subject = load_subject(with_frames(files, advised(told.value)), TR_S, n_frames=T)
    assert subject.search.n_frames == T
    assert T - 21 < subject.validation.n_frames < T


def save_sc(tmp_path):
    counts = np.round(np.exp(np.random.default_rng(0).normal(5, 1, (N, N))))
    counts = np.triu(counts, 1) + np.triu(counts, 1).T
    return save(tmp_path / "sc.csv", counts)


def with_frames(files, frames):
    from dataclasses import replace

    return replace(files, **frames)


def test_both_runs_with_bad_frames_are_told_one_after_the_other(tmp_path):
    paths = [save(tmp_path / f"{name}.csv", changed(_zero_start, seed)) for seed, name in enumerate("ab")]
    files = DataFiles(sc=save_sc(tmp_path), timeseries=paths)
    with pytest.raises(InputError, match=r"`drop_frames=\[5,0\]`") as told:
        load_subject(files, TR_S)
    files = with_frames(files, advised(told.value))
    with pytest.raises(InputError, match=r"`drop_frames=5`") as told:
        load_subject(files, TR_S)
    assert load_subject(with_frames(files, advised(told.value)), TR_S).search.n_frames == T - 5


def test_runs_in_one_file_are_judged_and_cut_one_by_one(tmp_path):
    path = save(tmp_path / "all.csv", np.concatenate([bold(2), changed(_zero_start)]))
    with pytest.raises(InputError, match=r"(?s)frames 401 to 405.*`drop_frames=\[0,5\]`") as told:
        load_timeseries(path, run_frames=(T, T))
    series = load_timeseries(path, run_frames=(T, T), **advised(told.value))
    assert (series.run_frames, series.left_out) == ((T, T - 5), (0, 5))


def test_frames_in_the_middle_may_be_accepted(tmp_path):
    def change(x):
        x[200:210] = 0

    path = save(tmp_path / "run.csv", changed(change))
    with pytest.raises(InputError, match=r"(?s)201 to 210.*`allow_censored=True`.*`drop_last_frames=200` keeps the longest"):
        load_timeseries(path)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        series = load_timeseries(path, allow_censored=True)
    assert any("frames 201 to 210: zero in all regions" in note for note in series.notes)
    assert load_timeseries(path, drop_last_frames=200).n_frames == 200


@pytest.mark.parametrize(("value", "length", "kept"), [(0, 100, "drop_last_frames=250"), (np.nan, 5, "drop_frames=155")])
def test_what_leaves_windows_without_fc_is_not_advised(tmp_path, value, length, kept):
    x = bold()
    x[150 : 150 + length] = value
    with pytest.raises(InputError, match=f"repair those frames, or give another run; `{kept}` keeps the longest") as told:
        load_timeseries(save(tmp_path / "run.csv", x))
    assert "allow_censored" not in str(told.value)


def test_the_join_of_two_runs_is_noted_and_the_advice_helps(tmp_path):
    path = save(tmp_path / "run.csv", np.concatenate([bold(1), 50 + bold(2)]))
    with pytest.warns(InputNote, match=r"mean FC of .* is 0\.99.*`run_frames=\[T1,T2\]`"):
        load_timeseries(path)
    assert load_timeseries(path, run_frames=(T, T)).notes == ()


def test_frames_far_out_that_do_not_decide_fc_are_noted(tmp_path):
    x = bold(n_frames=1200)
    x[600] += 12.5 * np.sign(np.sin(np.arange(N)))
    with pytest.warns(InputNote, match=r"run\.csv lie far out: frame 601"):
        assert load_timeseries(save(tmp_path / "run.csv", x)).n_frames == 1200


def test_a_run_joined_to_itself(tmp_path):
    path = save(tmp_path / "run.csv", np.concatenate([bold(), bold()]))
    with pytest.raises(InputError, match=r"(?s)frames 401 to 800.*copies of frames 1 to 400.*drop_last_frames=400"):
        load_timeseries(path)
    assert load_timeseries(path, drop_last_frames=400).n_frames == T


def test_a_mean_fc_that_no_recording_has_is_noted_and_the_advice_helps(tmp_path):
    path = save(tmp_path / "run.csv", bold() + np.linspace(0, 100, T)[:, None])
    with pytest.warns(InputNote, match=r"mean FC of .*run\.csv is 0\.99.*`cleaning=Cleaning\(detrend=True\)`"):
        load_timeseries(path)
    assert load_timeseries(path, cleaning=Cleaning(detrend=True)).notes == ()


def test_fc_files_of_a_mean_that_no_recording_has_are_noted(tmp_path):
    fc = np.corrcoef((bold() + np.linspace(0, 100, T)[:, None]).T)
    np.savetxt(tmp_path / "fc.csv", fc, delimiter=",")
    np.savetxt(tmp_path / "cdf.csv", np.linspace(0, 1, 100))
    from mfm.io import StageFiles

    stage = StageFiles(str(tmp_path / "fc.csv"), str(tmp_path / "cdf.csv"))
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        subject = load_subject(DataFiles(sc=save_sc(tmp_path), search=stage), TR_S, n_frames=1200)
    assert any("mean FC of" in note and "fc.csv is 0.99" in note for note in subject.notes)


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("4", "no number of frames"),
        (-1, "no number of frames"),
        ([1.5], "no number of frames"),
        (True, "no number of frames"),
        ([1, 2, 3], "does not fit the runs"),
        (T - 1, "Nothing is left"),
    ],
)
def test_wrong_numbers_of_frames(tmp_path, drop, message):
    path = save(tmp_path / "run.csv", bold())
    with pytest.raises(ConfigError, match=message):
        load_timeseries(path, drop_frames=drop)


def test_confounds_are_cut_with_the_frames(tmp_path):
    path = save(tmp_path / "run.csv", changed(_zero_start))
    confounds = np.random.default_rng(3).normal(size=(T, 2))
    np.savetxt(tmp_path / "c.tsv", confounds, delimiter="\t", header="a\tb", comments="")
    cleaning = Cleaning(confounds=[str(tmp_path / "c.tsv")])
    cut = load_timeseries(path, drop_frames=5, cleaning=cleaning)
    np.savetxt(tmp_path / "c5.tsv", confounds[5:], delimiter="\t", header="a\tb", comments="")
    short = load_timeseries(
        save(tmp_path / "short.csv", changed(_zero_start)[5:]), cleaning=Cleaning(confounds=[str(tmp_path / "c5.tsv")])
    )
    np.testing.assert_allclose(cut.values, short.values, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 40), st.integers(100, 500), st.floats(0, 2), st.integers(-6, 6))
def test_series_of_any_unit_and_correlation_raise_no_alarm(tmp_path_factory, seed, n_regions, n_frames, shared, unit):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_frames + 50, n_regions)) + shared * rng.normal(size=(n_frames + 50, 1))
    for k in range(1, len(x)):
        x[k] += 0.8 * x[k - 1]
    path = tmp_path_factory.mktemp("run") / "run.npy"
    np.save(path, (1000 + x[50:]) * 10.0**unit)
    assert load_timeseries(path, orientation="frames_by_regions").notes == ()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.sampled_from(["zero", "held", "value"]), st.booleans(), st.integers(0, 1000))
def test_filled_ends_of_any_length_are_found(tmp_path_factory, length, kind, at_end, seed):
    x = bold(seed, 200)
    x = x if at_end else x[::-1]
    x[-length:] = {"zero": 0, "held": x[-length - 1], "value": 100}[kind]
    x = x if at_end else x[::-1]
    path = tmp_path_factory.mktemp("run") / "run.npy"
    np.save(path, x)
    with pytest.raises(InputError, match="are no signal") as told:
        load_timeseries(path, orientation="frames_by_regions")
    name, other = ("drop_last_frames", "drop_frames") if at_end else ("drop_frames", "drop_last_frames")
    found = advised(told.value)
    assert found.get(name, 0) in (length, length + 1)
    assert other not in found
    assert load_timeseries(path, orientation="frames_by_regions", **found).notes == ()


def test_recordings_raise_no_alarm(shared):
    runs = sorted(shared.glob("data/*/sub-*/*timeseries.tsv"))
    assert len(runs) == 20
    for path in runs:
        assert load_timeseries(path, orientation="frames_by_regions").notes == ()
