"""The timing of a simulated scan."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm import Connectome, FICParameters, Protocol, simulate
from mfm.errors import InputError
from mfm.protocol import check_timing, coarse_hemodynamic_dt, nearest_dt

TRS = (0.72, 0.735, 0.8, 0.645, 1.4, 2.0, 2.2, 3.0)


@pytest.mark.parametrize(("tr_s", "frames"), [*zip(TRS, (83, 82, 75, 93, 43, 30, 27, 20), strict=True)])
def test_windows_last_a_minute(tr_s, frames):
    assert Protocol(tr_s, 300, dt_s=0.005).window_frames == frames


def test_hcp_counts():
    protocol = Protocol(0.72, 1200)
    assert (protocol.dt_s, protocol.hemodynamic_dt_s) == (0.006, 0.006)
    assert (protocol.steps_per_tr, protocol.steps_per_hemodynamic_step) == (120, 1)
    assert (protocol.warm_up_steps, protocol.burn_in_steps, protocol.n_steps) == (5000, 24000, 173000)
    assert protocol.scan_s == pytest.approx(864)


@pytest.mark.parametrize("tr_s", TRS)
def test_5_ms_fit_every_usual_tr(tr_s):
    protocol = Protocol(tr_s, 300, dt_s=0.005)
    assert protocol.steps_per_tr == Fraction(str(tr_s)) / Fraction("0.005")


@pytest.mark.parametrize("tr_s", TRS)
def test_6_ms_fit_two_of_them(tr_s):
    if tr_s in (0.72, 3.0):
        assert Protocol(tr_s, 300, dt_s=0.006).steps_per_tr == round(tr_s / 0.006)
    else:
        with pytest.raises(InputError, match="not a whole number of integration steps"):
            Protocol(tr_s, 300, dt_s=0.006)


@pytest.mark.parametrize("tr_s", TRS)
@pytest.mark.parametrize("n_frames", [1, 124, 300, 478, 490, 1200])
@pytest.mark.parametrize("dt_s", [0.005, 0.0005])
def test_every_frame_is_one_tr(tr_s, n_frames, dt_s):
    protocol = Protocol(tr_s, n_frames, dt_s)
    recorded = protocol.n_steps - protocol.warm_up_steps - protocol.burn_in_steps
    assert recorded == n_frames * protocol.steps_per_tr
    assert recorded * dt_s == pytest.approx(protocol.scan_s)


@pytest.mark.parametrize(
    ("warm_up_s", "burn_in_s", "hemo_dt_s", "warm_up_steps", "burn_in_steps"),
    [
        (0, 0, None, 0, 0),
        (30, 144, 0.03, 5000, 24000),
        (0.006, 0.006, None, 1, 1),
        (0.0061, 0.0061, None, 2, 2),
        (0.001, 0.001, 0.03, 1, 5),
        (0.031, 0.031, 0.03, 6, 10),
        (72, 72, 0.024, 12000, 12000),
    ],
)
def test_durations_are_rounded_up_to_whole_steps(warm_up_s, burn_in_s, hemo_dt_s, warm_up_steps, burn_in_steps):
    protocol = Protocol(0.72, 10, 0.006, burn_in_s, warm_up_s, hemo_dt_s)
    assert (protocol.warm_up_steps, protocol.burn_in_steps) == (warm_up_steps, burn_in_steps)
    assert protocol.n_steps == warm_up_steps + burn_in_steps + 1200


def test_simulated_frames_are_the_recorded_ones():
    p = FICParameters([3.0, 3.0], [2.5, 2.5], [0.005, 0.005], [1.0])
    protocol = Protocol(0.72, 3, burn_in_s=0, warm_up_s=0)
    assert simulate(p, Connectome([[0, 0.02], [0.02, 0]]), protocol, backend="reference").bold.shape == (1, 1, 3, 2)


def test_is_a_frozen_value():
    assert Protocol(0.72, 1200) == Protocol(tr_s=0.72, n_frames=1200, dt_s=0.006, burn_in_s=144.0, warm_up_s=30.0)
    with pytest.raises(FrozenInstanceError):
        Protocol(0.72, 1200).dt_s = 0.003


@pytest.mark.parametrize("kind", [np.float64, np.float32, Fraction, lambda value: Fraction(str(value))])
def test_numbers_of_other_libraries_become_plain(kind):
    protocol = Protocol(kind(0.75), np.int64(1200), kind(0.0078125), kind(144.0), np.int32(30), kind(0.015625))
    assert protocol == Protocol(0.75, 1200, 0.0078125, 144.0, 30.0, 0.015625)
    assert {type(getattr(protocol, name)) for name in ("tr_s", "dt_s", "burn_in_s", "warm_up_s", "hemo_dt_s")} == {float}
    assert type(protocol.n_frames) is int
    assert (type(protocol.n_steps), protocol.steps_per_tr) == (int, 96)


def test_whole_seconds_become_floats():
    assert [type(x) for x in (Protocol(2, 300, dt_s=0.005).tr_s, Protocol(2, 300, 1, 10, 10).dt_s)] == [float, float]


@pytest.mark.parametrize("name", ["tr_s", "dt_s", "hemo_dt_s", "burn_in_s", "warm_up_s"])
@pytest.mark.parametrize("value", [-0.72, math.nan, math.inf, "0.72", [0.72], True, 0.72j])
def test_refuses_what_is_no_duration(name, value):
    with pytest.raises(
        InputError, match=rf"(?s){name} must be a positive duration in seconds.*found: {re.escape(repr(value))}"
    ):
        Protocol(**{"tr_s": 0.72, "n_frames": 1200, name: value})


@pytest.mark.parametrize("name", ["tr_s", "dt_s", "hemo_dt_s"])
def test_refuses_steps_of_no_length(name):
    with pytest.raises(InputError, match=rf"(?s){name} must be a positive duration.*found: 0"):
        Protocol(**{"tr_s": 0.72, "n_frames": 1200, name: 0})


@pytest.mark.parametrize("name", ["tr_s", "dt_s", "burn_in_s", "warm_up_s"])
def test_only_the_hemodynamic_step_may_be_left_open(name):
    with pytest.raises(InputError, match=rf"(?s){name} must be a positive duration.*found: None"):
        Protocol(**{"tr_s": 0.72, "n_frames": 1200, name: None})


@pytest.mark.parametrize("n_frames", [0, -1200, 1200.0, np.float64(1200), np.int64(0), True, "1200", None])
def test_refuses_what_is_no_number_of_frames(n_frames):
    with pytest.raises(InputError, match=rf"(?s)n_frames must be a positive whole number.*found: {re.escape(repr(n_frames))}"):
        Protocol(0.72, n_frames)


@pytest.mark.parametrize(("tr_s", "n_frames"), [(0.72, 1200), (2, 1), (np.float32(0.8), np.int64(300)), (20.0, 10)])
def test_timing_of_a_scan(tr_s, n_frames):
    assert check_timing(tr_s, n_frames) is None


@pytest.mark.parametrize("tr_s", [0, -0.72, math.nan, math.inf, -math.inf, None, "0.72", True, [0.72]])
def test_timing_refuses_what_is_no_tr(tr_s):
    with pytest.raises(InputError, match=rf"(?s)tr_s must be a positive duration.*found: {re.escape(repr(tr_s))}"):
        check_timing(tr_s)


@pytest.mark.parametrize("n_frames", [0, -1, 1200.0, None, "1200"])
def test_timing_refuses_what_is_no_number_of_frames(n_frames):
    with pytest.raises(InputError, match=r"n_frames must be a positive whole number"):
        check_timing(0.72, n_frames)


def test_timing_tells_milliseconds():
    with pytest.raises(InputError, match=r"(?s)milliseconds.*fix: tr_s = 0\.72$"):
        check_timing(720)


@pytest.mark.parametrize(("tr_ms", "tr_s"), [(720, "0.72"), (2200.0, "2.2")])
def test_milliseconds_are_told(tr_ms, tr_s):
    with pytest.raises(
        InputError, match=rf"(?s)implausible.*expected: seconds.*tr_s = {tr_ms:g}.*milliseconds.*fix: tr_s = {tr_s}$"
    ):
        Protocol(tr_ms, 300)


@pytest.mark.parametrize(
    ("tr_s", "dt_s", "found", "nearest"),
    [
        (0.8, 0.006, "0.8 / 0.006 = 133.333333", "dt_s = 0.00601503759398496 (133 steps per TR)"),
        (0.735, 0.006, "0.735 / 0.006 = 122.500000", "dt_s = 0.00602459016393443 (122 steps per TR)"),
        (2.2, 0.006, "2.2 / 0.006 = 366.666667", "dt_s = 0.00599455040871935 (367 steps per TR)"),
        (0.72, 0.5, "0.72 / 0.5 = 1.440000", "dt_s = 0.72 (1 steps per TR)"),
        (0.72, 6, "0.72 / 6 = 0.120000", "dt_s = 0.72 (1 steps per TR)"),
    ],
)
def test_a_step_that_does_not_fit_names_the_nearest(tr_s, dt_s, found, nearest):
    with pytest.raises(InputError, match=r"an integer to 1e-6") as error:
        Protocol(tr_s, 300, dt_s)
    assert f"found: {found}" in str(error.value)
    assert f"fix: {nearest} is the nearest valid step" in str(error.value)


@pytest.mark.parametrize("tr_s", TRS)
@pytest.mark.parametrize("dt_s", [0.006, 0.007, 0.0013, 0.011])
def test_the_proposed_step_is_valid(tr_s, dt_s):
    try:
        Protocol(tr_s, 300, dt_s)
    except InputError as error:
        proposed = float(re.search(r"dt_s = (\S+) \(", str(error)).group(1))
        assert Protocol(tr_s, 300, proposed).dt_s == pytest.approx(nearest_dt(tr_s, dt_s), rel=1e-8)


@settings(max_examples=50, deadline=None)
@given(tr_s=st.floats(0.05, 20), dt_s=st.floats(1e-6, 30), hemo_ratio=st.floats(0.1, 2))
def test_every_proposal_is_valid(tr_s, dt_s, hemo_ratio):
    try:
        Protocol(tr_s, 300, dt_s)
    except InputError as error:
        dt_s = float(re.search(r"dt_s = (\S+) \(", str(error)).group(1))
        assert Protocol(tr_s, 300, dt_s).steps_per_tr == max(1, round(tr_s / Protocol(tr_s, 300, dt_s).dt_s))
    if tr_s / dt_s > 1e5:
        return
    try:
        Protocol(tr_s, 300, dt_s, hemo_dt_s=tr_s * hemo_ratio)
    except InputError as error:
        proposed = float(re.search(r"fix: hemo_dt_s = (\S+)$", str(error)).group(1))
        assert Protocol(tr_s, 300, dt_s, hemo_dt_s=proposed).hemodynamic_dt_s == proposed


@pytest.mark.parametrize(
    ("hemo_dt_s", "proposed"),
    [(0.05, "0.048"), (0.007, "0.006"), (0.001, "0.006"), (0.028, "0.03"), (1.44, "0.72"), (0.042, "0.036")],
)
def test_a_hemodynamic_step_that_does_not_fit_names_the_nearest(hemo_dt_s, proposed):
    with pytest.raises(InputError, match=r"(?s)does not fit between.*expected: a multiple of dt_s that divides tr_s") as error:
        Protocol(0.72, 1200, hemo_dt_s=hemo_dt_s)
    assert f"found: hemo_dt_s = {hemo_dt_s:g}, dt_s = 0.006, tr_s = 0.72" in str(error.value)
    assert str(error.value).endswith(f"fix: hemo_dt_s = {proposed}")
    assert Protocol(0.72, 1200, hemo_dt_s=float(proposed)).hemodynamic_dt_s == float(proposed)


@settings(max_examples=50, deadline=None)
@given(tr_s=st.floats(0.2, 4), dt_s=st.floats(1e-4, 0.05))
def test_nearest_dt_divides_the_tr(tr_s, dt_s):
    nearest = nearest_dt(tr_s, dt_s)
    steps = Protocol(tr_s, 1, nearest).steps_per_tr
    assert nearest == tr_s / steps
    assert abs(steps - tr_s / dt_s) <= 0.5 + 1e-9


@pytest.mark.parametrize(("tr_s", "dt_s", "nearest"), [(0.72, 0.006, 0.006), (0.8, 0.006, 0.8 / 133), (0.72, 5.0, 0.72)])
def test_nearest_dt(tr_s, dt_s, nearest):
    assert nearest_dt(tr_s, dt_s) == pytest.approx(nearest, rel=1e-14)


@pytest.mark.parametrize(
    ("tr_s", "dt_s", "coarse"),
    [
        (0.72, 0.006, 0.03),
        (3.0, 0.006, 0.03),
        (0.72, 0.0005, 0.03),
        (0.72, 0.005, 0.03),
        (0.8, 0.005, 0.025),
        (0.645, 0.005, 0.015),
        (0.735, 0.005, 0.015),
        (2.2, 0.005, 0.025),
        (0.762, 0.006, 0.006),
        (0.72, 0.04, 0.04),
    ],
)
def test_coarse_hemodynamic_dt(tr_s, dt_s, coarse):
    assert coarse_hemodynamic_dt(tr_s, dt_s) == pytest.approx(coarse, rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(steps=st.integers(1, 600), tr_s=st.sampled_from(TRS), limit_s=st.floats(0.001, 0.2))
def test_coarse_hemodynamic_dt_is_the_largest_that_fits(steps, tr_s, limit_s):
    dt_s = tr_s / steps
    coarse = coarse_hemodynamic_dt(tr_s, dt_s, limit_s)
    largest = 1
    for k in range(2, steps + 1):
        if steps % k == 0 and k * dt_s <= limit_s * (1 + 1e-9):
            largest = k
    assert coarse == pytest.approx(largest * dt_s, rel=1e-12)
    assert Protocol(tr_s, 1, dt_s, hemo_dt_s=coarse).steps_per_hemodynamic_step == largest


@pytest.mark.parametrize(("tr_s", "dt_s"), [(0.8, 0.006), (0.72, 0.05), (0.72, 0.73)])
def test_coarse_hemodynamic_dt_refuses_steps_that_do_not_fit(tr_s, dt_s):
    with pytest.raises(InputError, match=r"(?s)not a whole number of integration steps.*is the nearest valid step"):
        coarse_hemodynamic_dt(tr_s, dt_s)


@pytest.mark.parametrize(("tr_s", "dt_s", "name"), [(-0.72, 0.006, "tr_s"), (0.72, 0, "dt_s"), (0.72, -0.006, "dt_s")])
def test_coarse_hemodynamic_dt_refuses_what_is_no_duration(tr_s, dt_s, name):
    with pytest.raises(InputError, match=f"{name} must be a positive duration"):
        coarse_hemodynamic_dt(tr_s, dt_s)


def test_refuses_an_unknown_scheme():
    with pytest.raises(InputError, match=r"scheme.*\n.*euler \| exponential"):
        Protocol(0.72, 10, scheme="heun")
