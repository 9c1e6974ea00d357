"""SIMD vectors as values inside numba functions.

Numba's auto-vectoriser gives up on loops as large as a whole-brain time step. Here a vector of `LANES` numbers is a numba
value of its own (`float_vector`, `uint_vector`), whose operators emit LLVM vector instructions: kernels are written as plain
formulas, every lane runs the same instructions (a lane's result depends on no neighbour), and LLVM fits the vectors to the
machine (AVX-512, AVX2, NEON).
"""

from __future__ import annotations

import operator

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import cgutils, types
from numba.core.typing import signature
from numba.extending import intrinsic, models, overload, register_model

#: Numbers in a vector: two registers of the widest kind, independent chains that hide the latency of a multiply-add. Four of
#: AVX2's sixteen registers for each value would be spilled. Each lane computes the same whatever their number.
LANES = 32 if get_host_cpu_features().get("avx512f", False) else 16

# Contraction to fused multiply-add is allowed; reassociation is not, nor is the assumption that no NaN occurs.
_FLOAT_FLAGS = ("contract", "nsz")

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_UINTS = ir.VectorType(ir.IntType(32), LANES)
_ULONGS = ir.VectorType(ir.IntType(64), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)


class _VectorType(types.Type):
    def __init__(self, name: str, llvm_type):
        self.llvm_type = llvm_type
        super().__init__(name)


float_vector = _VectorType(f"float32x{LANES}", _FLOATS)
uint_vector = _VectorType(f"uint32x{LANES}", _UINTS)
mask_vector = _VectorType(f"boolx{LANES}", _BITS)


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, data_model_manager, vector_type):
        super().__init__(data_model_manager, vector_type, vector_type.llvm_type)


def _as_vector(context, builder, value, value_type, vector_type):
    """`value` itself if it is a vector, else a vector of copies of the scalar."""
    if isinstance(value_type, _VectorType):
        return value
    scalar_type = types.float32 if vector_type is float_vector else types.uint32
    scalar = context.cast(builder, value, value_type, scalar_type)
    undefined = ir.Constant(vector_type.llvm_type, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_UINTS, None))


def _binary(operation, operand, emit, result=None):
    """Register `operation` for two vectors of type `operand`, or one and a number."""
    result = result or operand

    @intrinsic
    def implementation(typing_context, a, b):
        def generate(context, builder, sig, args):
            x, y = (_as_vector(context, builder, arg, kind, operand) for arg, kind in zip(args, sig.args, strict=True))
            return emit(builder, x, y)

        return signature(result, a, b), generate

    @overload(operation, inline="always")
    def choose(a, b):
        fits = all(kind is operand or isinstance(kind, types.Number) for kind in (a, b))
        if fits and (a is operand or b is operand):
            return lambda a, b: implementation(a, b)


def _float_instruction(name):
    return lambda builder, x, y: getattr(builder, name)(x, y, flags=_FLOAT_FLAGS)


def _uint_instruction(name):
    return lambda builder, x, y: getattr(builder, name)(x, y)


def _float_comparison(symbol):
    return lambda builder, x, y: builder.fcmp_ordered(symbol, x, y)


for _op, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"), (operator.truediv, "fdiv")):
    _binary(_op, float_vector, _float_instruction(_name))
for _op, _symbol in ((operator.lt, "<"), (operator.gt, ">")):
    _binary(_op, float_vector, _float_comparison(_symbol), mask_vector)
for _op, _name in (
    (operator.add, "add"),
    (operator.sub, "sub"),
    (operator.mul, "mul"),
    (operator.xor, "xor"),
    (operator.and_, "and_"),
    (operator.lshift, "shl"),
    (operator.rshift, "lshr"),
):
    _binary(_op, uint_vector, _uint_instruction(_name))


def _unary(operand, result, emit):
    @intrinsic
    def implementation(typing_context, a):
        if a is not operand:
            return None
        return signature(result, a), lambda context, builder, sig, args: emit(builder, args[0])

    return implementation


def _llvm_function(name):
    def emit(builder, x):
        function_type = ir.FunctionType(_FLOATS, [_FLOATS])
        function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.v{LANES}f32")
        return builder.call(function, [x])

    return emit


nearest_integer = _unary(float_vector, float_vector, _llvm_function("rint"))
square_root = _unary(float_vector, float_vector, _llvm_function("sqrt"))
absolute = _unary(float_vector, float_vector, _llvm_function("fabs"))
negative = _unary(float_vector, float_vector, lambda builder, x: builder.fneg(x, flags=_FLOAT_FLAGS))
bits_of = _unary(float_vector, uint_vector, lambda builder, x: builder.bitcast(x, _UINTS))
float_from_bits = _unary(uint_vector, float_vector, lambda builder, x: builder.bitcast(x, _FLOATS))
to_integer = _unary(float_vector, uint_vector, lambda builder, x: builder.fptosi(x, _UINTS))
#: Numerical value of the bits read as a signed integer.
to_float = _unary(uint_vector, float_vector, lambda builder, x: builder.sitofp(x, _FLOATS))
is_nonzero = _unary(uint_vector, mask_vector, lambda builder, x: builder.icmp_unsigned("!=", x, ir.Constant(_UINTS, None)))


@overload(operator.neg, inline="always")
def _negated(a):
    if a is float_vector:
        return lambda a: negative(a)


@intrinsic
def arithmetic_shift(typing_context, a, places):
    """Shift right, keeping the sign."""

    def generate(context, builder, sig, args):
        return builder.ashr(args[0], _as_vector(context, builder, args[1], sig.args[1], uint_vector))

    return signature(uint_vector, a, places), generate


@intrinsic
def multiply_high(typing_context, a, factor):
    """Upper 32 bits of the 64-bit product."""

    def generate(context, builder, sig, args):
        x = builder.zext(args[0], _ULONGS)
        y = builder.zext(_as_vector(context, builder, args[1], sig.args[1], uint_vector), _ULONGS)
        product = builder.lshr(builder.mul(x, y), ir.Constant(_ULONGS, [32] * LANES))
        return builder.trunc(product, _UINTS)

    return signature(uint_vector, a, factor), generate


@intrinsic
def where(typing_context, mask, a, b):
    """`a` where the mask is set, else `b`."""

    def generate(context, builder, sig, args):
        x, y = (_as_vector(context, builder, args[k], sig.args[k], float_vector) for k in (1, 2))
        return builder.select(args[0], x, y)

    return signature(float_vector, mask, a, b), generate


@intrinsic
def floats(typing_context, x):
    """A vector of copies of the number `x`."""
    return signature(float_vector, x), lambda context, builder, sig, args: _as_vector(
        context, builder, args[0], sig.args[0], float_vector
    )


@intrinsic
def uints(typing_context, x):
    """A vector of copies of the unsigned integer `x`."""
    return signature(uint_vector, x), lambda context, builder, sig, args: _as_vector(
        context, builder, args[0], sig.args[0], uint_vector
    )


def _address(context, builder, array_type, array, offset, offset_type, vector_type):
    is_pointer = isinstance(array_type, types.CPointer)
    data = array if is_pointer else context.make_array(array_type)(context, builder, array).data
    element = builder.gep(data, [context.cast(builder, offset, offset_type, types.intp)])
    return builder.bitcast(element, vector_type.llvm_type.as_pointer())


@intrinsic
def pointer(typing_context, array):
    """The address of a contiguous array, which `load` and `store` take in its place; the array must outlive it.

    Functions that are handed arrays count who holds them, at every call; addresses are not counted.
    """

    def generate(context, builder, sig, args):
        return context.make_array(sig.args[0])(context, builder, args[0]).data

    return signature(types.CPointer(array.dtype), array), generate


@intrinsic
def load(typing_context, array, offset):
    """The vector at `offset` elements into a contiguous one-dimensional float32 or uint32 array. No bounds check."""
    vector_type = float_vector if array.dtype == types.float32 else uint_vector

    def generate(context, builder, sig, args):
        address = _address(context, builder, sig.args[0], args[0], args[1], sig.args[1], vector_type)
        return builder.load(address, align=4)

    return signature(vector_type, array, offset), generate


@intrinsic
def store(typing_context, array, offset, vector):
    """Write `vector` at `offset` elements into a contiguous one-dimensional array. No bounds check."""

    def generate(context, builder, sig, args):
        address = _address(context, builder, sig.args[0], args[0], args[1], sig.args[1], sig.args[2])
        builder.store(args[2], address, align=4)
        return context.get_dummy_value()

    return signature(types.none, array, offset, vector), generate
