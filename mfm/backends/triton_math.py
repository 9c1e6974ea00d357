"""Elementary functions and the noise generator as Triton device functions, in float32.

The same definitions as `mfm.backends.vector_math`, so that one seed is one noise on every backend; where the GPU has an
instruction of its own (2^x, log2, 1/x, square root) that is used. `NATIVE` is off in Triton's interpreter, which knows no
machine instructions.
"""

from __future__ import annotations

import math

import triton
import triton.language as tl

_LOG2_E = tl.constexpr(math.log2(math.e))
_TWO_LN2 = tl.constexpr(2 * math.log(2))
_PI = tl.constexpr(math.pi)

_PHILOX_A, _PHILOX_B = tl.constexpr(0xD2511F53), tl.constexpr(0xCD9E8D57)
_WEYL_A, _WEYL_B = tl.constexpr(0x9E3779B9), tl.constexpr(0xBB67AE85)


@triton.jit
def reciprocal(x, NATIVE: tl.constexpr):
    """1 / x to one unit in the last place."""
    if NATIVE:
        return tl.inline_asm_elementwise("rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)
    else:
        return 1.0 / x


@triton.jit
def exp2(x, NATIVE: tl.constexpr):
    """2^x to two units in the last place."""
    if NATIVE:
        return tl.inline_asm_elementwise("ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)
    else:
        return tl.exp2(x)


@triton.jit
def log2(x, NATIVE: tl.constexpr):
    """log2 x to 2^-22; NaN for x < 0."""
    if NATIVE:
        return tl.inline_asm_elementwise("lg2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)
    else:
        return tl.log2(x)


@triton.jit
def square_root(x, NATIVE: tl.constexpr):
    """The square root of x >= 0 to two units in the last place."""
    if NATIVE:
        return tl.inline_asm_elementwise("sqrt.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)
    else:
        return tl.sqrt(x)


@triton.jit
def transfer_function(x, d: tl.constexpr, NATIVE: tl.constexpr):
    """phi(x; d) = x / (1 - exp(-d x)) to 2e-6; its Taylor series where the quotient would cancel."""
    y = x * d
    square = y * y
    series = (y * 0.5 + 1.0 + square * (1 / 12 - square * (1 / 720))) * (1 / d)
    quotient = x * reciprocal(1.0 - exp2(y * -_LOG2_E, NATIVE), NATIVE)
    return tl.where(tl.abs(y) < 0.25, series, quotient)


@triton.jit
def transfer_function_and_slope(x, d: tl.constexpr, NATIVE: tl.constexpr):
    """phi(x; d) to 2e-6 and phi'(x; d) to 1e-5; Taylor series where the quotients would cancel."""
    y = x * d
    square = y * y
    series = (y * 0.5 + 1.0 + square * (1 / 12 - square * (1 / 720))) * (1 / d)
    slope_series = y * (1 / 6 - square * (1 / 180 - square * (1 / 5040))) + 0.5
    near, nearer = tl.abs(y) < 0.5, tl.abs(y) < 0.25
    y = tl.where(y < -40.0, -40.0, y)
    e = exp2(y * -_LOG2_E, NATIVE)
    inverse = reciprocal(1.0 - e, NATIVE)
    slope = (1.0 - e * (y + 1.0)) * inverse * inverse
    return tl.where(nearer, series, x * inverse), tl.where(near, slope_series, slope)


@triton.jit
def philox(c0, c1, c2, k0, k1):
    """Philox4x32-10 (Salmon et al. 2011) of the counter (c0, c1, c2, 0): four random words."""
    c3 = tl.zeros_like(c0)
    for _ in tl.static_range(10):
        # One instruction makes both halves of a 64-bit product.
        a = c0.to(tl.uint64) * _PHILOX_A
        b = c2.to(tl.uint64) * _PHILOX_B
        c0 = (b >> 32).to(tl.uint32) ^ c1 ^ k0
        c2 = (a >> 32).to(tl.uint32) ^ c3 ^ k1
        c1 = b.to(tl.uint32)
        c3 = a.to(tl.uint32)
        k0 = k0 + _WEYL_A
        k1 = k1 + _WEYL_B
    return c0, c1, c2, c3


@triton.jit
def gaussian_pair(w0, w1, NATIVE: tl.constexpr):
    """Two independent standard normals from two random words, by Box and Muller (1958); |z| < 5.9.

    radius = sqrt(-2 ln u) with u = (w0 >> 8) 2^-24 + 2^-25; angle = pi w1 (signed) 2^-31, reduced to a quarter circle in
    integers. The GPU's log2 errs by at most 2^-22 near u = 1: z errs by less than 2e-7 / radius there (4e-4 at the very
    centre, with probability 1e-7), 1e-6 elsewhere.
    """
    u = (w0 >> 8).to(tl.int32).to(tl.float32) * (2.0**-24) + 2.0**-25
    radius = square_root(tl.abs(log2(u, NATIVE)) * _TWO_LN2, NATIVE)
    quarter = w1 + 0x20000000
    t = (w1 - (quarter & 0xC0000000)).to(tl.int32, bitcast=True).to(tl.float32) * (2.0**-31)
    t2 = t * t
    # Taylor series of sin(pi t) and cos(pi t) for |t| <= 1/4.
    sine = t * (t2 * (t2 * (t2 * (t2 * 0.08214589 - 0.59926453) + 2.55016404) - 5.16771278) + _PI)
    cosine = t2 * (t2 * (t2 * (t2 * 0.23533063 - 1.33526277) + 4.05871213) - 4.93480220) + 1.0
    # Turn by quarter circles: odd quarters swap the two, and the sign follows from the quarter's second bit.
    odd = (quarter & 0x40000000) != 0
    y = tl.where(odd, cosine, sine).to(tl.uint32, bitcast=True) ^ (quarter & 0x80000000)
    x = tl.where(odd, sine, cosine).to(tl.uint32, bitcast=True) ^ ((quarter + 0x40000000) & 0x80000000)
    return radius * x.to(tl.float32, bitcast=True), radius * y.to(tl.float32, bitcast=True)
