"""Nuisance regression and filters."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cifti_files import LEFT, surface, write_dlabel, write_dtseries
from nilearn import signal
from scipy.signal import butter, sosfiltfilt

from mfm.errors import ConfigError, InputError, InputNote
from mfm.io import Cleaning, load_timeseries

T = 200
RNG = np.random.default_rng(0)
NAMES = ("lh-a", "lh-b", "rh-c")
SIGNAL = RNG.normal(size=(T, 3))
MOTION = RNG.normal(size=(T, 6)).cumsum(axis=0)
AXES = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]


def save_table(path, columns, values):
    cells = [["n/a" if np.isnan(value) else repr(float(value)) for value in row] for row in values]
    path.write_text("\n".join("\t".join(row) for row in [columns, *cells]) + "\n")
    return path


@pytest.fixture
def run(tmp_path):
    """A series with motion in it, and the confounds of fMRIPrep beside it."""
    columns, values = list(AXES), [MOTION]
    for suffix, more in (
        ("_derivative1", np.vstack([np.full(6, np.nan), np.diff(MOTION, axis=0)])),
        ("_power2", MOTION**2),
        ("_derivative1_power2", np.vstack([np.full(6, np.nan), np.diff(MOTION, axis=0) ** 2])),
    ):
        columns += [axis + suffix for axis in AXES]
        values.append(more)
    columns += ["white_matter", "csf", "global_signal"]
    values.append(np.random.default_rng(1).normal(size=(T, 3)))
    name = "sub-01_task-rest_run-1_desc-confounds_timeseries"
    save_table(tmp_path / f"{name}.tsv", columns, np.hstack(values))
    (tmp_path / f"{name}.json").write_text(json.dumps({}))
    save_table(tmp_path / "sub-01_task-rest_run-2_desc-confounds_timeseries.tsv", ["csf"], np.zeros((T, 1)))
    path = tmp_path / "sub-01_task-rest_run-1_space-fsLR_den-91k_bold.tsv"
    return save_table(path, NAMES, SIGNAL + MOTION[:, :3])


def cleaned(path, **how):
    return load_timeseries(path, tr_s=0.8, cleaning=Cleaning(**how))


def regressed(values, confounds):
    """Residuals of ordinary least squares with an intercept."""
    design = np.column_stack([np.ones(len(values)), confounds])
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def test_by_default_nothing_is_done(run):
    np.testing.assert_array_equal(cleaned(run).values, load_timeseries(run).values)
    assert not Cleaning().active


def test_confounds_are_regressed_out(run, tmp_path):
    table = save_table(tmp_path / "mine.tsv", AXES, MOTION)
    series = cleaned(run, confounds=[str(table)])
    expected = regressed(load_timeseries(run).values, MOTION)
    centred = series.values - series.values.mean(axis=0)
    np.testing.assert_allclose(centred, expected, atol=1e-8)
    assert [source.role for source in series.sources] == ["timeseries", "confounds"]
    some = cleaned(run, confounds=[str(table)], columns=["trans_y"])
    np.testing.assert_allclose(
        some.values - some.values.mean(axis=0), regressed(load_timeseries(run).values, MOTION[:, [1]]), atol=1e-8
    )


@pytest.fixture
def bold(run):
    """The same series under a name of fMRIPrep."""
    series = load_timeseries(run)
    path = run.with_name("sub-01_task-rest_run-1_space-fsLR_den-91k_bold.dtseries.nii")
    write_dtseries(path, series.values, surface(LEFT, range(3)), step=0.8)
    write_dlabel(run.with_name("a.dlabel.nii"), [1, 2, 3], NAMES, surface(LEFT, range(3)))
    return {"path": path, "parcellation": run.with_name("a.dlabel.nii")}


def test_confounds_of_fmriprep_are_found_by_name(bold):
    series = load_timeseries(**bold, cleaning=Cleaning(strategy=["motion", "wm_csf"], motion="basic", detrend=True))
    table = np.genfromtxt(bold["path"].parent / "sub-01_task-rest_run-1_desc-confounds_timeseries.tsv", names=True)
    confounds = np.stack([table[name] for name in [*AXES, "white_matter", "csf"]], 1)
    trend = np.arange(T)[:, None]
    values, confounds = (regressed(part, trend) for part in (load_timeseries(**bold).values, confounds))
    np.testing.assert_allclose(series.values, regressed(values, confounds), atol=1e-5)
    assert series.sources[-1].path.endswith("run-1_desc-confounds_timeseries.tsv")


def test_the_global_signal_of_fmriprep_is_told(bold):
    with pytest.warns(InputNote, match="global signal was regressed out"):
        load_timeseries(**bold, cleaning=Cleaning(strategy=["global_signal"]))


def test_what_fmriprep_did_not_write_is_told(bold):
    with pytest.raises(InputError, match=r"(?s)do not give what the strategy asks for.*found: no column of high_pass"):
        load_timeseries(**bold, cleaning=Cleaning(strategy=["high_pass"]))
    with pytest.raises(InputError, match=r"(?s)do not give what the strategy asks for.*found: .*compcor"):
        load_timeseries(**bold, cleaning=Cleaning(strategy=["compcor"]))
    for file in bold["path"].parent.glob("*confounds*"):
        file.unlink()
    with pytest.raises(InputError, match=r"(?s)no confounds of fMRIPrep beside.*same subject.*`cleaning=Cleaning\(confounds="):
        load_timeseries(**bold, cleaning=Cleaning(strategy=["motion"]))


@pytest.mark.parametrize("frames", [[0], [0, 1], [7]])
def test_frames_before_the_steady_state_are_dropped(bold, frames):
    table = bold["path"].parent / "sub-01_task-rest_run-1_desc-confounds_timeseries.tsv"
    lines = table.read_text().splitlines()
    for k in frames:
        lines = [f"{line}\t{float(row == k + 1)}" for row, line in enumerate(lines)]
        lines[0] = lines[0].rpartition("\t")[0] + f"\tnon_steady_state_outlier{k:02d}"
    table.write_text("\n".join(lines) + "\n")
    cleaning = Cleaning(strategy=["wm_csf"])
    if frames == [7]:
        with pytest.raises(InputError, match=r"(?s)leave out frames in the middle of the run.*found: 199 of 200"):
            load_timeseries(**bold, cleaning=cleaning)
        return
    with pytest.warns(InputNote, match=f"the first {len(frames)} frames, marked as not in steady state, were dropped"):
        series = load_timeseries(**bold, cleaning=cleaning)
    assert (series.n_frames, series.run_frames) == (T - len(frames), (T - len(frames),))


def test_a_filter_knows_the_repetition_time(run):
    series = cleaned(run, low_pass_hz=0.1, high_pass_hz=0.01)
    values = load_timeseries(run).values
    sos = butter(5, [0.01, 0.1], "bandpass", fs=1 / 0.8, output="sos")
    own = sosfiltfilt(sos, values - values.mean(axis=0), axis=0)
    r = [np.corrcoef(series.values[20:-20, k], own[20:-20, k])[0, 1] for k in range(3)]
    assert min(r) > 0.99
    with pytest.raises(ConfigError, match=r"(?s)filter needs the repetition time.*`tr_s=0\.72`"):
        load_timeseries(run, cleaning=Cleaning(low_pass_hz=0.1))
    with pytest.raises(InputError, match=r"(?s)above what the scan can hold.*below 0\.625 Hz at TR 0\.8 s.*found: 0\.7 Hz"):
        cleaned(run, low_pass_hz=0.7)


def test_runs_that_a_file_joins_are_cleaned_apart(run):
    series = load_timeseries(run, tr_s=0.8, run_frames=(80, 120), cleaning=Cleaning(high_pass_hz=0.01, detrend=True))
    values = load_timeseries(run).values
    for part, own in zip((values[:80], values[80:]), series.runs, strict=True):
        how = {"detrend": True, "standardize": None, "high_pass": 0.01, "t_r": 0.8}
        np.testing.assert_allclose(own, signal.clean(part, **how), atol=1e-10)


def test_regions_without_data_do_not_touch_others(run):
    lines = run.read_text().splitlines()
    run.write_text("\n".join([lines[0] + "\trh-d", *(line + "\tn/a" for line in lines[1:])]) + "\n")
    how = {"detrend": True, "low_pass_hz": 0.1, "standardize": True}
    series = load_timeseries(run, tr_s=0.8, cleaning=Cleaning(**how), allow_missing_regions=True)
    run.write_text("\n".join(lines) + "\n")
    np.testing.assert_allclose(series.values[:, :3], cleaned(run, **how).values, atol=1e-10)
    assert np.isnan(series.values[:, 3]).all()


def test_first_missing_derivatives_are_filled_and_others_told(run, tmp_path):
    values = MOTION.copy()
    values[0, 0] = np.nan
    filled = MOTION.copy()
    filled[0, 0] = filled[1, 0]
    one, other = save_table(tmp_path / "a.tsv", AXES, values), save_table(tmp_path / "b.tsv", AXES, filled)
    np.testing.assert_array_equal(cleaned(run, confounds=[str(one)]).values, cleaned(run, confounds=[str(other)]).values)
    values[5, 2] = np.nan
    save_table(tmp_path / "a.tsv", AXES, values)
    with pytest.raises(InputError, match=r"(?s)missing in some frames.*found: trans_z"):
        cleaned(run, confounds=[str(one)])


@pytest.mark.parametrize(
    ("columns", "n_frames", "settings", "message"),
    [
        (AXES, 150, {}, r"(?s)are not those of.*expected: 200 rows.*found: 150.*another run"),
        (AXES, T, {"columns": ["trans_x", "gsr"]}, r"(?s)lack columns.*expected: trans_x, gsr"),
        (None, T, {}, r"have no header"),
    ],
)
def test_confounds_that_do_not_fit_are_told(run, tmp_path, columns, n_frames, settings, message):
    table = save_table(tmp_path / "a.tsv", columns or ["1.5"] * 6, MOTION[:n_frames])
    with pytest.raises(InputError, match=message):
        cleaned(run, confounds=[str(table)], **settings)


def test_global_signal_regression_is_told(run, tmp_path):
    table = save_table(tmp_path / "a.tsv", ["global_signal"], SIGNAL.mean(axis=1)[:, None])
    with pytest.warns(InputNote, match="global signal was regressed out"):
        series = cleaned(run, confounds=[str(table)])
    assert "global signal" in series.notes[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": ["motion", "scrub"]}, r"(?s)unknown entry.*motion \| high_pass.*'scrub'.*scrubbing deletes frames"),
        ({"strategy": ["moton"]}, "unknown entry"),
        ({"motion": "all"}, r"(?s)`motion` has an unknown value.*basic \| power2"),
        ({"strategy": ["motion"], "confounds": ["a.tsv"]}, "both a strategy and tables"),
        ({"columns": ["csf"]}, "are of no table"),
        ({"low_pass_hz": -0.1}, "low_pass_hz` must be positive"),
        ({"low_pass_hz": 0.01, "high_pass_hz": 0.1}, r"(?s)band that cleaning leaves is empty.*0\.1 is not below"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ConfigError, match=message):
        Cleaning(**settings)


def test_one_table_of_confounds_per_series():
    cleaning = Cleaning(confounds=["a.tsv", "b.tsv"])
    assert [cleaning.for_file(k, 2).confounds for k in range(2)] == [["a.tsv"], ["b.tsv"]]
    with pytest.raises(ConfigError, match=r"(?s)not as many.*expected: 3 tables.*found: 2"):
        cleaning.for_file(0, 3)
