"""Elementary functions and the noise generator of the compiled backend against float64 and the published test vectors."""

import numpy as np
import pytest
import torch
from fic_equations import transfer_slope
from numba import njit

from mfm.compute import vector_math
from mfm.compute.vectors import LANES, load, square_root, store
from mfm.simulation.cpu import standard_normals


def apply(function, *arrays):
    """A vector function on arrays whose length is a multiple of LANES."""

    @njit
    def loop(x, out):
        for k in range(0, len(x), LANES):
            store(out, k, function(load(x, k)))

    out = np.empty_like(arrays[0])
    loop(arrays[0], out)
    return out


def grid(low, high, n=320 * LANES):
    return np.linspace(low, high, n).astype(np.float32)


def test_exp():
    x = grid(-87, 87)
    assert np.abs(apply(vector_math.exp, x) / np.exp(x.astype(np.float64)) - 1).max() < 2e-7


def test_log():
    x = np.exp(grid(-80, 80).astype(np.float64)).astype(np.float32)
    assert np.abs(apply(vector_math.log, x) - np.log(x.astype(np.float64))).max() < 1e-5
    near_one = grid(0.7, 1.4)
    assert np.abs(apply(vector_math.log, near_one) - np.log(near_one.astype(np.float64))).max() < 2e-7


def test_tanh():
    for x in (grid(-20, 20), grid(-0.7, 0.7), grid(-1e-4, 1e-4)):
        x = x[x != 0][: len(x) // LANES // 2 * LANES]
        assert np.abs(apply(vector_math.tanh, x) / np.tanh(x.astype(np.float64)) - 1).max() < 2e-7
    far = np.full(LANES, 1e30, np.float32)
    assert (apply(vector_math.tanh, far) == 1).all()
    assert (apply(vector_math.tanh, -far) == -1).all()
    assert np.isnan(apply(vector_math.tanh, far * np.float32(np.nan))).all()


def test_square_root_and_negation():
    x = grid(1e-6, 50)
    assert np.abs(apply(square_root, x) / np.sqrt(x.astype(np.float64)) - 1).max() < 6e-8

    @njit
    def negated(x):
        return -x

    assert np.array_equal(apply(negated, x), -x)


def test_nan_and_the_forbidden_stay_nan():
    x = np.full(LANES, np.nan, np.float32)
    assert np.isnan(apply(vector_math.exp, x)).all()
    assert np.isnan(apply(vector_math.log, x)).all()
    assert np.isnan(apply(vector_math.log, np.full(LANES, -0.5, np.float32))).all()


@pytest.mark.parametrize("d", [0.16, 0.087])
def test_transfer_function(d):
    constant = np.float32(d)

    @njit
    def transfer(x):
        return vector_math.transfer_function(x, constant)

    x = grid(-200, 401)
    exact = x.astype(np.float64) / -np.expm1(-np.float64(constant) * x.astype(np.float64))
    assert np.abs(apply(transfer, x) / exact - 1).max() < 2e-6
    assert apply(transfer, np.zeros(LANES, np.float32)) == pytest.approx(1 / constant)


def test_transfer_slope():
    constant = np.float32(0.087)

    @njit
    def slope(x):
        return vector_math.transfer_slope(x, constant)

    x = grid(-200, 401)
    exact = transfer_slope(torch.from_numpy(x).double(), 0.087).numpy()
    assert np.abs(apply(slope, x) - exact).max() < 2e-6


def philox_python(counter, key):
    """Philox4x32-10 as published (Salmon et al. 2011), on Python integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        low, high = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(high >> 32) ^ c[1] ^ k[0], high & 0xFFFFFFFF, (low >> 32) ^ c[3] ^ k[1], low & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, expected):
    @njit
    def words(inputs, out):
        state = vector_math.philox(
            load(inputs, 0), load(inputs, LANES), load(inputs, 2 * LANES), load(inputs, 3 * LANES),
            load(inputs, 4 * LANES), load(inputs, 5 * LANES),
        )  # fmt: skip
        for k in range(4):
            store(out, k * LANES, state[k])

    out = np.empty(4 * LANES, np.uint32)
    words(np.repeat(np.array([*counter, *key], np.uint32), LANES), out)
    assert tuple(out.reshape(4, LANES)[:, 5]) == expected
    assert tuple(philox_python(counter, key)) == expected


def test_normals_follow_their_definition():
    key, realisation, first_step, n_regions = 0x1234567890ABCDEF, 3, 70, 5
    found = standard_normals(
        np.array([key], np.uint64), np.array([realisation], np.uint32), first_step, n_steps=4, n_regions=n_regions, n_states=2
    )
    for step in range(4):
        for pair in range(3):
            words = philox_python((first_step + step, pair, realisation, 0), (key & 0xFFFFFFFF, key >> 32))
            for k, (w0, w1) in enumerate((words[:2], words[2:])):
                region = 2 * pair + k
                if region >= n_regions:
                    continue
                radius = np.sqrt(-2 * np.log((w0 >> 8) * 2.0**-24 + 2.0**-25))
                angle = np.pi * (w1 - 2**32 * (w1 >= 2**31)) * 2.0**-31
                expected = radius * np.cos(angle), radius * np.sin(angle)
                assert found[step, 0, region] == pytest.approx(expected, abs=2e-6)


def test_normals_are_normal():
    z = standard_normals(np.arange(64, dtype=np.uint64), np.zeros(64, np.uint32), 0, 200, 40, 2).astype(np.float64).ravel()
    n = len(z)
    # Standard errors of the first four moments of n normals: 1, sqrt(2), sqrt(6), sqrt(24) over sqrt(n).
    for value, expected, error in (
        (z.mean(), 0, 1),
        (z.var(), 1, 2**0.5),
        ((z**3).mean(), 0, 15**0.5),
        ((z**4).mean(), 3, 96**0.5),
    ):
        assert abs(value - expected) < 4.5 * error / n**0.5


def test_normals_are_uncorrelated_over_steps_regions_lanes_and_kind():
    z = standard_normals(np.arange(64, dtype=np.uint64), np.arange(64, dtype=np.uint32), 0, 128, 20, 2).astype(np.float64)
    for a, b in ((z[1:], z[:-1]), (z[:, 1:], z[:, :-1]), (z[:, :, 1:], z[:, :, :-1]), (z[..., 0], z[..., 1])):
        assert abs((a * b).mean()) < 4.5 / a.size**0.5
