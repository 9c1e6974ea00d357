"""Elementary functions and the noise generator on SIMD vectors (see `mfm.compute.vectors`), in float32.

Polynomials follow the classic Cephes single-precision coefficients; each function states its largest relative error, which
``tests/mfm/compute/test_vector_math.py`` measures.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from mfm.compute.vectors import (
    absolute,
    arithmetic_shift,
    bits_of,
    float_from_bits,
    is_nonzero,
    multiply_high,
    nearest_integer,
    square_root,
    to_float,
    to_integer,
    where,
)

_f = np.float32
_u = np.uint32
_LOG2_E = _f(math.log2(math.e))
# ln 2 in two parts, so that n * ln 2 is subtracted without rounding.
_LN2_HIGH, _LN2_LOW = _f(0.693359375), _f(-2.12194440e-4)
_MANTISSA_BITS = _u(23)
_MANTISSA_MASK = _u(0x007FFFFF)
_SQRT_HALF_BITS = _u(0x3F3504F3)


@njit(error_model="numpy")
def exp(x):
    """e^x to 2e-7 for |x| <= 87, clamped beyond; NaN stays NaN."""
    x = where(x < _f(-87.0), _f(-87.0), x)
    x = where(x > _f(87.0), _f(87.0), x)
    n = nearest_integer(x * _LOG2_E)
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = r * _f(1.9875691500e-4) + _f(1.3981999507e-3)
    p = p * r + _f(8.3334519073e-3)
    p = p * r + _f(4.1665795894e-2)
    p = p * r + _f(1.6666665459e-1)
    p = p * r + _f(5.0000001201e-1)
    p = p * (r * r) + r + _f(1.0)
    return p * float_from_bits((to_integer(n) + _u(127)) << _MANTISSA_BITS)


@njit(error_model="numpy")
def log(x):
    """ln x to 2e-7 (absolute near 1) for positive normal x; NaN for x <= 0 and NaN."""
    shifted = bits_of(x) - _SQRT_HALF_BITS
    exponent = to_float(arithmetic_shift(shifted, _MANTISSA_BITS))
    f = float_from_bits((shifted & _MANTISSA_MASK) + _SQRT_HALF_BITS) - _f(1.0)
    p = f * _f(7.0376836292e-2) + _f(-1.1514610310e-1)
    p = p * f + _f(1.1676998740e-1)
    p = p * f + _f(-1.2420140846e-1)
    p = p * f + _f(1.4249322787e-1)
    p = p * f + _f(-1.6668057665e-1)
    p = p * f + _f(2.0000714765e-1)
    p = p * f + _f(-2.4999993993e-1)
    p = p * f + _f(3.3333331174e-1)
    square = f * f
    y = p * f * square + exponent * _LN2_LOW - square * _f(0.5)
    return where(x > _f(0.0), f + y + exponent * _LN2_HIGH, _f(np.nan))


@njit(error_model="numpy")
def tanh(x):
    """tanh x to 2e-7; an odd polynomial where the quotient would cancel. NaN stays NaN."""
    square = x * x
    p = square * _f(-5.70498872745e-3) + _f(2.06390887954e-2)
    p = p * square + _f(-5.37397155531e-2)
    p = p * square + _f(1.33314422036e-1)
    p = p * square + _f(-3.33332819422e-1)
    far = _f(1.0) - _f(2.0) / (exp(absolute(x) * _f(2.0)) + _f(1.0))
    return where(absolute(x) < _f(0.625), p * square * x + x, where(x < _f(0.0), _f(0.0) - far, far))


@njit(error_model="numpy")
def transfer_function(x, d):
    """phi(x; d) = x / (1 - exp(-d x)) to 1e-6; its Taylor series where the quotient would cancel."""
    y = x * d
    square = y * y
    series = (y * _f(0.5) + _f(1.0) + square * (_f(1 / 12) - square * _f(1 / 720))) * (_f(1.0) / d)
    return where(absolute(y) < _f(0.25), series, x / (_f(1.0) - exp(y * _f(-1.0))))


@njit(error_model="numpy")
def transfer_slope(x, d):
    """phi'(x; d) to 1e-5 (`mfm.compute.elementary.phi_slope`); its Taylor series where the quotient would cancel."""
    y = x * d
    square = y * y
    series = y * (_f(1 / 6) - square * (_f(1 / 180) - square * _f(1 / 5040))) + _f(0.5)
    y = where(y < _f(-40.0), _f(-40.0), y)
    e = exp(y * _f(-1.0))
    inverse = _f(1.0) / (_f(1.0) - e)
    return where(absolute(y) < _f(0.5), series, (_f(1.0) - e * (y + _f(1.0))) * inverse * inverse)


@njit(error_model="numpy")
def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10 (Salmon et al. 2011): four random words from a 128-bit counter and a 64-bit key."""
    for _ in range(10):
        n0 = multiply_high(c2, _u(0xCD9E8D57)) ^ c1 ^ k0
        n2 = multiply_high(c0, _u(0xD2511F53)) ^ c3 ^ k1
        c1 = c2 * _u(0xCD9E8D57)
        c3 = c0 * _u(0xD2511F53)
        c0 = n0
        c2 = n2
        k0 = k0 + _u(0x9E3779B9)
        k1 = k1 + _u(0xBB67AE85)
    return c0, c1, c2, c3


@njit(error_model="numpy")
def gaussian_pair(w0, w1):
    """Two independent standard normals from two random words, by Box and Muller (1958); |z| < 5.9.

    radius = sqrt(-2 ln u) with u = (w0 >> 8) 2^-24 + 2^-25; angle = pi s with s = w1 (signed) 2^-31.
    """
    u = to_float(w0 >> _u(8)) * _f(2.0**-24) + _f(2.0**-25)
    radius = square_root(absolute(log(u)) * _f(2.0))
    s = to_float(w1) * _f(2.0**-31)
    quarter = nearest_integer(s * _f(2.0))
    t = s - quarter * _f(0.5)
    t2 = t * t
    # Taylor series of sin(pi t) and cos(pi t) for |t| <= 1/4.
    sine = t * (t2 * (t2 * (t2 * (t2 * _f(0.08214589) - _f(0.59926453)) + _f(2.55016404)) - _f(5.16771278)) + _f(math.pi))
    cosine = t2 * (t2 * (t2 * (t2 * _f(0.23533063) - _f(1.33526277)) + _f(4.05871213)) - _f(4.93480220)) + _f(1.0)
    # Turn by quarter circles: odd quarters swap the two, and the sign follows from the quarter's second bit.
    turns = to_integer(quarter)
    odd = is_nonzero(turns & _u(1))
    sign_sine = (turns & _u(2)) << _u(30)
    sign_cosine = ((turns + _u(1)) & _u(2)) << _u(30)
    y = float_from_bits(bits_of(where(odd, cosine, sine)) ^ sign_sine)
    x = float_from_bits(bits_of(where(odd, sine, cosine)) ^ sign_cosine)
    return radius * x, radius * y
