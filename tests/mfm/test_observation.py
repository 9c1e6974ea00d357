"""What an observation does to series: the tools' own filters, and the same function for both sides."""

import numpy as np
import pytest
import scipy.signal
import torch
from nilearn.signal import clean

import mfm
from mfm.errors import InputError
from mfm.observation import Observation

TR_S, T, N = 0.72, 400, 5


def series(seed=0, shape=(T, N)):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).cumsum(axis=-2) * 0.2 + rng.normal(size=shape) + 50


def mask(seed=1, share=0.25):
    return tuple((np.repeat(np.random.default_rng(seed).random(T // 8), 8) > share).tolist())


def test_nothing_is_nothing():
    bold = torch.from_numpy(series())
    assert Observation().is_identity
    assert torch.equal(Observation().apply(bold, TR_S), bold)
    assert Observation(kept=(True,) * T) == Observation()
    assert repr(Observation()) == "Observation(nothing was done)"


@pytest.mark.parametrize("band", [(0.01, 0.08), (0.01, None), (None, 0.1)])
@pytest.mark.parametrize("order", [1, 2, 5])
def test_band_pass_is_scipys(band, order):
    bold = series()
    kind, cut = ("bandpass", band) if all(band) else ("highpass", band[0]) if band[0] else ("lowpass", band[1])
    sos = scipy.signal.butter(order, cut, kind, fs=1 / TR_S, output="sos")
    centred = bold - bold.mean(axis=0)
    both = Observation(high_pass_hz=band[0], low_pass_hz=band[1], filter_order=order)
    expected = scipy.signal.sosfiltfilt(sos, centred, axis=0, padlen=3 * (2 * len(sos) + 1))
    assert np.abs(both.apply(bold, TR_S).numpy() - expected).max() < 1e-9
    forwards = Observation(high_pass_hz=band[0], low_pass_hz=band[1], filter_order=order, zero_phase=False)
    assert np.abs(forwards.apply(bold, TR_S).numpy() - scipy.signal.sosfilt(sos, centred, axis=0)).max() < 1e-9


def test_band_pass_is_nilearns_away_from_the_ends():
    # nilearn pads the ends otherwise; 60 frames from them (4 periods of the upper cut-off) the two agree.
    bold = series()
    theirs = clean(bold, detrend=False, standardize=False, filter="butterworth", low_pass=0.08, high_pass=0.01, t_r=TR_S)
    ours = Observation(high_pass_hz=0.01, low_pass_hz=0.08, filter_order=5).apply(bold, TR_S).numpy()
    inner = slice(120, -120)
    assert np.abs((ours - theirs)[inner]).max() < 0.05 * theirs.std()


def test_cosines_take_out_what_lies_below():
    t = (np.arange(T) + 0.5) * TR_S
    observation = Observation(high_pass_hz=0.02, filter="cosine")
    slow, fast = np.cos(np.pi * 3 * t / (T * TR_S)), np.cos(np.pi * 40 * t / (T * TR_S))  # 0.005 and 0.07 Hz: of the basis
    seen = observation.apply(np.stack([slow, fast], axis=1), TR_S).numpy()
    assert np.abs(seen[:, 0]).max() < 1e-12
    assert np.abs(seen[:, 1] - fast).max() < 1e-12


def test_the_running_line_leaves_no_line():
    t = np.arange(T) * TR_S
    seen = Observation(high_pass_hz=0.01, filter="gaussian").apply(
        np.stack([3 + 2 * t, np.sin(2 * np.pi * 0.08 * t)], axis=1), TR_S
    )
    assert seen[:, 0].abs().max() < 1e-8
    assert (seen[100:-100, 1] - torch.from_numpy(np.sin(2 * np.pi * 0.08 * t))[100:-100]).abs().max() < 0.02


@pytest.mark.parametrize("degree", [1, 2])
def test_detrending_leaves_no_polynomial_in_what_was_kept(degree):
    kept = np.array(mask())
    seen = Observation(detrend=degree, kept=tuple(kept)).apply(series(), TR_S).numpy()
    t = np.linspace(-1, 1, T)[kept]
    for power in range(degree + 1):
        assert np.abs((seen[kept].T * t**power).sum(axis=1)).max() < 1e-8


def test_without_the_global_signal_nothing_follows_it():
    observation = Observation(global_signal="regressed", kept=mask())
    kept = observation.frames_kept(T)
    seen = observation.apply(series(), TR_S)[kept]
    signal = torch.from_numpy(series())[kept].mean(dim=1)
    signal = signal - signal.mean()
    assert (seen.T @ signal).abs().max() < 1e-8 * seen.norm(dim=0).max() * signal.norm()
    # FC is that of the covariance C - C 1 1' C / (1' C 1).
    C = torch.from_numpy(np.cov(series()[kept].T))
    left = C - torch.outer(C.sum(dim=1), C.sum(dim=1)) / C.sum()
    std = left.diagonal().sqrt()
    assert torch.allclose(mfm.functional_connectivity(seen), left / std[:, None] / std, atol=1e-10)


def test_what_was_lost_does_not_matter_where_it_is_filled_in():
    observation = Observation(high_pass_hz=0.01, low_pass_hz=0.1, kept=mask(), censored="interpolated")
    bold, spoiled = series(), series()
    spoiled[~observation.frames_kept(T)] += 1000
    centred = [torch.from_numpy(x) for x in (bold, spoiled)]
    a, b = (observation.apply(x, TR_S) for x in centred)
    assert (a - b).abs().max() < 1e-8


def test_measurement_noise_has_its_share_and_its_seed():
    # The share of 2000 frames: its standard error is about sqrt(2 / 2000) = 3 %.
    bold = torch.from_numpy(series(shape=(2000, N)))
    observation = Observation(noise_share=0.3)
    noisy = observation.apply(bold, TR_S, seed=3)
    share = (noisy - bold).var(dim=0) / ((noisy - bold).var(dim=0) + bold.var(dim=0))
    assert ((share - 0.3).abs() < 0.04).all()
    assert torch.equal(noisy, observation.apply(bold, TR_S, seed=3))
    assert not torch.equal(noisy, observation.apply(bold, TR_S, seed=4))
    assert torch.equal(bold, observation.apply(bold, TR_S))  # a recording has its own


def test_a_series_does_not_depend_on_its_neighbours():
    observation = Observation(high_pass_hz=0.01, low_pass_hz=0.08, global_signal="regressed")
    runs = torch.from_numpy(series(shape=(3, T, N))).float()
    assert torch.equal(observation.apply(runs, TR_S)[1], observation.apply(runs[1:2], TR_S)[0])


def test_it_says_what_was_done():
    observation = Observation(
        high_pass_hz=0.01,
        low_pass_hz=0.08,
        global_signal="regressed",
        dropped_frames=4,
        kept=mask(),
        noise_share=0.25,
        detrend=1,
    )
    words = "; ".join(observation.in_words())
    for part in ("25 %", "first 4 frames", "of 400 frames deleted", "linear trend", "0.01 to 0.08 Hz", "global signal"):
        assert part in words
    assert observation.as_record()["in_words"] == observation.in_words()
    assert sum(observation.as_record()["kept"]) == sum(mask())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"high_pass_hz": 0.08, "low_pass_hz": 0.01}, r"(?s)band of the filter is empty.*exchanged.*high_pass_hz=0.01"),
        ({"high_pass_hz": -1.0}, "high_pass_hz is not a frequency"),
        ({"low_pass_hz": "0.1"}, "low_pass_hz is not a frequency"),
        ({"filter": "brick"}, r"(?s)filter is unknown.*butterworth"),
        ({"filter": "cosine", "low_pass_hz": 0.1}, r"(?s)passes no band.*filter=\"butterworth\""),
        ({"filter_order": 0}, "filter_order must be a whole number from 1"),
        ({"noise_share": 1.0}, "noise_share is not a share"),
        ({"global_signal": "yes"}, "global_signal is unknown"),
        ({"kept": (True, False, False)}, "Fewer than two frames"),
    ],
)
def test_refuses(settings, message):
    with pytest.raises(InputError, match=message):
        Observation(**settings)


def test_refuses_what_does_not_fit_the_scan():
    with pytest.raises(InputError, match=r"(?s)low_pass_hz lies beyond what the TR can tell.*below 0.25 Hz.*found: 0.3 Hz"):
        Observation(low_pass_hz=0.3).apply(series(), 2.0)
    with pytest.raises(InputError, match=r"(?s)mask of kept frames.*400 entries.*found: 3"):
        Observation(kept=(True, True, False)).apply(series(), TR_S)
