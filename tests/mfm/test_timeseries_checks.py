"""Frames and regions that are no signal are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from mfm.errors import InputError
from mfm.timeseries_checks import check_timeseries, spans

NAMES = ("lh-a", "lh-b", "lh-c", "rh-a")


def values():
    return np.random.default_rng(0).normal(size=(200, 4))


def test_a_signal_passes():
    check_timeseries(values(), NAMES, "run", 40)
    check_timeseries(values(), None, "run")


@pytest.mark.parametrize(("frames", "message"), [
    ([7], r"1 of 200 frames without: 8 \(counted from 1\).*censored for motion.*before censoring"),
    ([20, 21, 22, 90], r"4 of 200 frames without: 21 to 23, 91 .*censored"),
    ([0, 1, 2], r"frames without: 1 to 3 .*before steady state.*cut those frames off"),
    ([198, 199], r"frames without: 199 to 200 .*cut those frames off"),
])  # fmt: skip
def test_frames_without_numbers_are_no_regions(frames, message):
    run = values()
    run[frames] = np.nan
    with pytest.raises(InputError, match=f"(?s)Frames of the run are not finite.*{message}") as error:
        check_timeseries(run, NAMES, "the run")
    assert "exclude_regions" not in str(error.value)


def test_a_region_without_numbers_beside_frames_without():
    run = values()
    run[:, 1] = np.nan
    with pytest.raises(InputError, match=r'(?s)Regions of run are not finite.*1 of 4: lh-b.*`exclude_regions=\["lh-b"\]`'):
        check_timeseries(run, NAMES, "run")
    run[5] = np.nan
    with pytest.raises(InputError, match="Frames of run"):
        check_timeseries(run, NAMES, "run")


def test_a_region_with_gaps_says_in_which_frames():
    run = values()
    run[10:13, 1] = np.nan
    with pytest.raises(InputError, match=r"(?s)1 of 4: lh-b\n.*no data in some frames: 11 to 13\n"):
        check_timeseries(run, NAMES, "run")


def test_without_names_the_number_is_typed():
    run = values()
    run[:, 2] = 5
    with pytest.raises(InputError, match=r'(?s)constant.*region 3\n.*`exclude_regions=\["3"\]`'):
        check_timeseries(run, None, "run")


@pytest.mark.parametrize("bad", [np.nan, 3.0])
def test_nothing_at_all_is_not_left_out(bad):
    with pytest.raises(InputError, match=r"(?s)4 of 4.*extract the time series again") as error:
        check_timeseries(np.full((200, 4), bad), NAMES, "run")
    assert "exclude_regions" not in str(error.value)


@pytest.mark.parametrize(("first", "n"), [(0, 40), (60, 40), (160, 40), (30, 100)])
def test_a_region_that_is_blank_for_a_window_is_told(first, n):
    run = values()
    run[first : first + n, 3] = 0
    check_timeseries(run, NAMES, "run")
    message = rf"(?s)whole window.*1 of 4: rh-a; the first has the value 0 in frames {first + 1} to {first + n}\n"
    with pytest.raises(InputError, match=message):
        check_timeseries(run, NAMES, "run", 40)
    check_timeseries(run, NAMES, "run", n + 1)


def test_a_run_that_is_blank_for_a_window_keeps_its_regions():
    run = values()
    run[50:120] = 0
    with pytest.raises(InputError, match=r"(?s)whole window.*4 of 4.*give a run without the blank part"):
        check_timeseries(run, NAMES, "run", 40)


def test_spans():
    assert spans([]) == ""
    assert spans([3]) == "4"
    assert spans(range(0, 20, 2)) == "1, 3, 5, 7, 9, 11, ..."
