"""Elementary functions and the noise generator as Triton device functions, in float32.

`exp` to `phi_slope` are those of `mfm.compute.elementary`, for the equations of models; the noise is that of
`mfm.compute.vector_math`, so that one seed is one noise on every backend. Where the GPU has an instruction of its own (2^x,
log2, 1/x, square root) that is used.
"""

from __future__ import annotations

import math

import triton
import triton.language as tl

# Triton's interpreter knows no machine instructions; functions are made for it, or for a GPU, when they are defined.
_NATIVE = tl.constexpr(not triton.knobs.runtime.interpret)

_LOG2_E, _LN_2 = tl.constexpr(math.log2(math.e)), tl.constexpr(math.log(2))
_TWO_LN2 = tl.constexpr(2 * math.log(2))
_PI = tl.constexpr(math.pi)

_PHILOX_A, _PHILOX_B = tl.constexpr(0xD2511F53), tl.constexpr(0xCD9E8D57)
_WIDE_A, _WIDE_B = (
    tl.constexpr(f"{{ .reg .b64 both; mul.wide.u32 both, $2, {factor.value}; mov.b64 {{$0, $1}}, both; }}")
    for factor in (_PHILOX_A, _PHILOX_B)
)
_WEYL_A, _WEYL_B = tl.constexpr(0x9E3779B9), tl.constexpr(0xBB67AE85)


@triton.jit
def reciprocal(x):
    """1 / x to one unit in the last place."""
    if _NATIVE:
        return tl.inline_asm_elementwise("rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)
    else:
        return 1.0 / x


@triton.jit
def exp2(x):
    """2^x to two units in the last place."""
    if _NATIVE:
        return tl.inline_asm_elementwise("ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)
    else:
        return tl.exp2(x)


@triton.jit
def log2(x):
    """log2 x to 2^-22; NaN for x < 0."""
    if _NATIVE:
        return tl.inline_asm_elementwise("lg2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)
    else:
        return tl.log2(x)


@triton.jit
def sqrt(x):
    """The square root of x >= 0 to two units in the last place."""
    if _NATIVE:
        return tl.inline_asm_elementwise("sqrt.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)
    else:
        return tl.sqrt(x)


@triton.jit
def exp(x):
    """e^x, to 2e-7 (1 + |x|) of itself."""
    return exp2(x * _LOG2_E)


@triton.jit
def log(x):
    """The natural logarithm of x > 0, to 2e-7 of the larger of itself and 1."""
    return log2(x) * _LN_2


@triton.jit
def tanh(x):
    """The hyperbolic tangent to 1e-6 of itself; its Taylor series where the difference would cancel."""
    square = x * x
    series = x - x * square * (1 / 3 - square * (2 / 15 - square * (17 / 315 - square * (62 / 2835))))
    return tl.where(tl.abs(x) < 0.25, series, 1.0 - 2.0 * reciprocal(exp2(x * (2 * _LOG2_E)) + 1.0))


@triton.jit
def phi(x, d: tl.constexpr):
    """x / (1 - exp(-d x)) to 2e-6; its Taylor series where the quotient would cancel."""
    square = x * x
    series = x * 0.5 + 1 / d + square * (d / 12 - square * (d * d * d / 720))
    return tl.where(tl.abs(x) < 0.25 / d, series, x * reciprocal(1.0 - exp2(x * (-_LOG2_E * d))))


@triton.jit
def phi_slope(x, d: tl.constexpr):
    """Derivative of phi(x; d) with respect to x to 1e-5; its Taylor series where the quotients would cancel.

    With q = 1 / (1 - exp(-y)) and y = d x it is q (1 - y (q - 1)), finite for every y. The exponential and the reciprocal are
    written as in `phi`: where a model takes both of one x, they are computed once.
    """
    y = x * d
    square = y * y
    series = y * (1 / 6 - square * (1 / 180 - square * (1 / 5040))) + 0.5
    q = reciprocal(1.0 - exp2(x * (-_LOG2_E * d)))
    return tl.where(tl.abs(y) < 0.5, series, q * (1.0 - y * (q - 1.0)))


@triton.jit
def _product(a, FACTOR: tl.constexpr, WIDE: tl.constexpr):
    """Low and high words of a product of 32-bit numbers.

    Said in machine language, as one instruction: left to itself LLVM makes two of it, or not, by what stands around it.
    """
    if _NATIVE:
        return tl.inline_asm_elementwise(WIDE, "=r,=r,r", [a], dtype=(tl.uint32, tl.uint32), is_pure=True, pack=1)
    else:
        both = a.to(tl.uint64) * FACTOR
        return both.to(tl.uint32), (both >> 32).to(tl.uint32)


@triton.jit
def philox(c0, c1, c2, k0, k1):
    """Philox4x32-10 (Salmon et al. 2011) of the counter (c0, c1, c2, 0): four random words."""
    c3 = tl.zeros_like(c0)
    for _ in tl.static_range(10):
        a_low, a_high = _product(c0, _PHILOX_A, _WIDE_A)
        b_low, b_high = _product(c2, _PHILOX_B, _WIDE_B)
        c0 = b_high ^ c1 ^ k0
        c2 = a_high ^ c3 ^ k1
        c1 = b_low
        c3 = a_low
        k0 = k0 + _WEYL_A
        k1 = k1 + _WEYL_B
    return c0, c1, c2, c3


@triton.jit
def gaussian_pair(w0, w1):
    """Two independent standard normals from two random words, by Box and Muller (1958); |z| < 5.9.

    radius = sqrt(-2 ln u) with u = (w0 >> 8) 2^-24 + 2^-25; angle = pi w1 (signed) 2^-31, reduced to a quarter circle in
    integers. The GPU's log2 errs by at most 2^-22 near u = 1: z errs by less than 2e-7 / radius there (4e-4 at the very
    centre, with probability 1e-7), 1e-6 elsewhere.
    """
    u = (w0 >> 8).to(tl.int32).to(tl.float32) * (2.0**-24) + 2.0**-25
    radius = sqrt(tl.abs(log2(u)) * _TWO_LN2)
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
