"""What a person says was done to the data reaches the scans that are compared, whatever way it was said."""

import json
import warnings

import numpy as np
import pytest

from mfm import Observation, load_subject, subject_from_runs
from mfm.errors import InputError, InputNote
from mfm.io import Cleaning, DataFiles, ObservationSettings
from mfm.io.readers.connectomes import transform_connectome
from tests.made_up_inputs import TR_S, connectome, runs, streamlines

BAND = {"high_pass_hz": 0.01, "low_pass_hz": 0.08}
SC = transform_connectome(streamlines())
N = len(streamlines())


def recorded(seed=0, n_frames=400):
    rng = np.random.default_rng(seed)
    return 100 + rng.normal(size=(n_frames, N)) + rng.normal(size=(n_frames, 1))


def load(folder, **files):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        return load_subject(DataFiles(sc=connectome(folder), **files), TR_S)


def test_what_is_told_reaches_every_stage(tmp_path):
    told = ObservationSettings(**BAND, global_signal="regressed", noise_share=0.1)
    subject = load(tmp_path, timeseries=runs(tmp_path), observation=told)
    for scan in (subject.search, subject.validation, subject.test):
        assert scan.observation == Observation(**BAND, global_signal="regressed", noise_share=0.1)


def test_a_filter_that_is_told_is_no_surprise(tmp_path):
    paths = runs(tmp_path)
    for path in paths:
        sidecar = path.replace(".csv", ".json")
        with open(sidecar, "w") as file:
            json.dump({"RepetitionTime": TR_S, "HighpassFilter": 0.01, "LowpassFilter": 0.08}, file)
    assert any("was filtered" in note for note in load(tmp_path, timeseries=paths).notes)
    subject = load(tmp_path, timeseries=paths, observation=ObservationSettings(**BAND))
    assert not any("was filtered" in note for note in subject.notes)


def test_what_cleaning_does_is_known():
    seen = ObservationSettings(noise_share=0.2).observation(Cleaning(**BAND, detrend=True))
    assert seen == Observation(**BAND, filter_order=5, detrend=1, noise_share=0.2)
    assert ObservationSettings(detrend=2).observation(Cleaning(detrend=True)) == Observation(detrend=2)
    both = ObservationSettings(detrend=2, global_signal="regressed").observation(Cleaning(**BAND))
    assert both == Observation(**BAND, filter_order=5, detrend=2, global_signal="regressed")


def test_filters_are_not_applied_twice_in_silence():
    with pytest.raises(InputError, match="filtered before they came here, and are filtered here again"):
        ObservationSettings(**BAND).observation(Cleaning(high_pass_hz=0.008))


def test_each_half_of_a_run_has_its_half_of_the_mask():
    kept = np.random.default_rng(5).random(400) > 0.1
    subject = subject_from_runs("s", [recorded()], SC, TR_S, observation=Observation(kept=tuple(kept.tolist())))
    assert subject.search.observation.kept == tuple(kept[:200].tolist())
    assert subject.test.observation.kept == tuple(kept[200:].tolist())
    lost = recorded()
    lost[~kept] = -1e6  # what stands in frames that were lost is of no account
    other = subject_from_runs("s", [lost], SC, TR_S, observation=Observation(kept=tuple(kept.tolist())))
    assert (other.search.target.fc == subject.search.target.fc).all()
    assert (other.search.target.fcd_cdf == subject.search.target.fcd_cdf).all()


def test_runs_of_different_observations_are_not_pooled():
    series = [recorded(0), recorded(1)]
    seen = [Observation(**BAND), Observation()]
    with pytest.raises(InputError, match="cannot be pooled"):
        subject_from_runs("s", series, SC, TR_S, split="pooled", observation=seen)
    assert subject_from_runs("s", series, SC, TR_S, observation=seen).search.observation == seen[0]


def test_every_run_has_its_observation():
    with pytest.raises(InputError, match="not an observation for each run"):
        subject_from_runs("s", [recorded()], SC, TR_S, observation=[Observation(), Observation()])


@pytest.mark.parametrize("wrong", [{"high_pass_hz": 0.8}, {"high_pass_hz": 0.1, "low_pass_hz": 0.05}, {"noise_share": 1.5}])
def test_what_cannot_be_is_refused(tmp_path, wrong):
    with pytest.raises(InputError):
        load(tmp_path, timeseries=runs(tmp_path), observation=ObservationSettings(**wrong))
