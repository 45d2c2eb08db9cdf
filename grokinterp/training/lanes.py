# numba and its types need not be there where types are checked.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false, reportCallIssue=false
"""Vectors of numbers for kernels.

A compiler does not vectorize a loop over several rows that are read and several that are written,
since it cannot know that they do not overlap. So kernels say what they mean. A vector fills 64
bytes: 16 numbers in float32, 8 in float64. Where a processor has no such registers, the compiler
takes several smaller ones.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

BYTES = 64
"""Of a vector."""

_INDEX = ir.IntType(32)


class Lanes(types.Type):
    """Type of a vector of numbers of one precision."""

    def __init__(self, number: Any) -> None:
        super().__init__(name=f"Lanes({number})")
        self.number = number


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Lanes) -> None:
        number = manager.lookup(kind.number).get_data_type()
        super().__init__(manager, kind, ir.VectorType(number, _count(kind.number)))


def _count(number: Any) -> int:
    return BYTES // (number.bitwidth // 8)


def place_of(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """The address of an entry of an array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


def _spread(builder: Any, number: Any, vector: Any) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, number, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(
        one, undefined, ir.Constant(ir.VectorType(_INDEX, vector.count), None)
    )


@intrinsic
def lanes_of(typing_context, array):
    """How many numbers of an array's kind a vector has."""

    def code(context, builder, signature, arguments):
        return context.get_constant(types.intp, _count(signature.args[0].dtype))

    return types.intp(array), code


@intrinsic
def load(typing_context, array, at):
    """The vector that begins at a place of an array."""

    def code(context, builder, signature, arguments):
        kind = signature.args[0]
        vector = context.get_value_type(signature.return_type)
        address = place_of(context, builder, kind, *arguments)
        aligned = kind.dtype.bitwidth // 8
        return builder.load(builder.bitcast(address, vector.as_pointer()), align=aligned)

    return Lanes(array.dtype)(array, types.intp), code


@intrinsic
def store(typing_context, array, at, lanes):
    """Write a vector to a place of an array."""

    def code(context, builder, signature, arguments):
        array, at, lanes = arguments
        kind = signature.args[0]
        address = place_of(context, builder, kind, array, at)
        aligned = kind.dtype.bitwidth // 8
        builder.store(lanes, builder.bitcast(address, lanes.type.as_pointer()), align=aligned)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


@intrinsic
def load_wide(typing_context, array, at):
    """Eight numbers from a place of an array on, in float64."""

    def code(context, builder, signature, arguments):
        kind = signature.args[0]
        wide = context.get_value_type(signature.return_type)
        narrow = ir.VectorType(context.get_value_type(kind.dtype), wide.count)
        address = place_of(context, builder, kind, *arguments)
        aligned = kind.dtype.bitwidth // 8
        lanes = builder.load(builder.bitcast(address, narrow.as_pointer()), align=aligned)
        return lanes if kind.dtype == types.float64 else builder.fpext(lanes, wide)

    return Lanes(types.float64)(array, types.intp), code


@intrinsic
def store_rounded(typing_context, array, at, lanes):
    """Write eight numbers in float64 to a place of an array, in its precision."""

    def code(context, builder, signature, arguments):
        array, at, lanes = arguments
        kind = signature.args[0]
        narrow = ir.VectorType(context.get_value_type(kind.dtype), lanes.type.count)
        if kind.dtype != types.float64:
            lanes = builder.fptrunc(lanes, narrow)
        address = place_of(context, builder, kind, array, at)
        aligned = kind.dtype.bitwidth // 8
        builder.store(lanes, builder.bitcast(address, narrow.as_pointer()), align=aligned)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


@intrinsic
def spread(typing_context, array, at):
    """A vector whose numbers are all the one at a place of an array."""

    def code(context, builder, signature, arguments):
        number = builder.load(place_of(context, builder, signature.args[0], *arguments))
        return _spread(builder, number, context.get_value_type(signature.return_type))

    return Lanes(array.dtype)(array, types.intp), code


@intrinsic
def all_are(typing_context, number):
    """A vector whose numbers are all this one."""

    def code(context, builder, signature, arguments):
        return _spread(builder, arguments[0], context.get_value_type(signature.return_type))

    return Lanes(types.float64)(types.float64), code


@intrinsic
def no_lanes(typing_context, array):
    """A vector of zeros of an array's kind."""

    def code(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return Lanes(array.dtype)(array), code


@intrinsic
def fused(typing_context, x, y, total):
    """The vector x * y + total, in one operation where the processor has it."""

    def code(context, builder, signature, arguments):
        kind = arguments[0].type
        name = f"llvm.fmuladd.v{kind.count}f{signature.return_type.number.bitwidth}"
        form = ir.FunctionType(kind, [kind, kind, kind])
        return builder.call(builder.module.declare_intrinsic(name, (), form), arguments)

    return x(x, y, total), code


@intrinsic
def plus(typing_context, x, y):
    """The sum of two vectors."""

    def code(context, builder, signature, arguments):
        return builder.fadd(*arguments)

    return x(x, y), code


@intrinsic
def minus(typing_context, x, y):
    """The difference of two vectors."""

    def code(context, builder, signature, arguments):
        return builder.fsub(*arguments)

    return x(x, y), code


@intrinsic
def times(typing_context, x, y):
    """The products of the numbers of two vectors."""

    def code(context, builder, signature, arguments):
        return builder.fmul(*arguments)

    return x(x, y), code


@intrinsic
def larger(typing_context, x, y):
    """The larger numbers of two vectors; NaN in the first stays NaN."""

    def code(context, builder, signature, arguments):
        x, y = arguments
        return builder.select(builder.fcmp_ordered("<", x, y), y, x)

    return x(x, y), code


@intrinsic
def where_above(typing_context, sign, bound, lanes):
    """Zero where the first vector is at most the second, and the third elsewhere and at NaN."""

    def code(context, builder, signature, arguments):
        sign, bound, lanes = arguments
        is_off = builder.fcmp_ordered("<=", sign, bound)
        return builder.select(is_off, ir.Constant(lanes.type, None), lanes)

    return lanes(sign, bound, lanes), code


@intrinsic
def power_of_two(typing_context, whole):
    """Two to the power of the whole numbers that were added to 1.5 * 2**52."""

    def code(context, builder, signature, arguments):
        kind = ir.VectorType(ir.IntType(64), arguments[0].type.count)
        bits = builder.bitcast(arguments[0], kind)
        bias, shift = (ir.Constant(kind, [n] * kind.count) for n in (1023, 52))
        return builder.bitcast(builder.shl(builder.add(bits, bias), shift), arguments[0].type)

    return whole(whole), code


def _folded(builder: Any, lanes: Any, join: Any) -> Any:
    """Join the halves of a vector until one number is left."""
    count = lanes.type.count
    while count > 1:
        count //= 2
        undefined = ir.Constant(lanes.type, ir.Undefined)
        masks = (
            ir.Constant(ir.VectorType(_INDEX, count), [start + one for one in range(count)])
            for start in (0, count)
        )
        lanes = join(*(builder.shuffle_vector(lanes, undefined, mask) for mask in masks))
    return builder.extract_element(lanes, ir.Constant(_INDEX, 0))


@intrinsic
def total_of(typing_context, lanes):
    """The sum of the numbers of a vector."""

    def code(context, builder, signature, arguments):
        return _folded(builder, arguments[0], builder.fadd)

    return lanes.number(lanes), code


@intrinsic
def largest_of(typing_context, lanes):
    """The largest number of a vector."""

    def code(context, builder, signature, arguments):
        def larger(x, y):
            return builder.select(builder.fcmp_ordered("<", x, y), y, x)

        return _folded(builder, arguments[0], larger)

    return lanes.number(lanes), code
