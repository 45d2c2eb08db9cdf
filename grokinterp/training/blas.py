# numba and its types need not be there where types are checked.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false, reportCallIssue=false
"""Products of matrices inside kernels, by the BLAS that torch brings along."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from grokinterp.training.compiled import compiled
from grokinterp.training.lanes import place_of


@compiled
def product(blas, turns, sizes, left, right, out):
    """Write the product of two matrices to a third, or add it to what is there.

    `blas` is the address of sgemm or dgemm (:func:`~grokinterp.training.kernel_choice.blas`). A
    matrix is an array, the place where it begins, and how far its rows are apart. `turns` says
    whether the first and the second lie there transposed, and whether to add (0 or 1 each); `sizes`
    are rows, columns and terms of a sum.
    """
    # The library refuses matrices without an entry.
    if sizes[0] > 0 and sizes[1] > 0:
        _product(
            blas,
            turns[0],
            turns[1],
            sizes[0],
            sizes[1],
            sizes[2],
            left[0],
            left[1],
            left[2],
            right[0],
            right[1],
            right[2],
            turns[2],
            out[0],
            out[1],
            out[2],
        )


@intrinsic
def _product(
    typing_context,
    blas,
    turn_a,
    turn_b,
    n_rows,
    n_columns,
    n_terms,
    a,
    at_a,
    stride_a,
    b,
    at_b,
    stride_b,
    keep,
    c,
    at_c,
    stride_c,
):
    n = types.intp
    signature = types.void(blas, n, n, n, n, n, a, n, n, b, n, n, n, c, n, n)

    def code(context, builder, signature, arguments):
        blas, turn_a, turn_b, m, n, k, a, at_a, lda, b, at_b, ldb, keep, c, at_c, ldc = arguments
        number = context.get_value_type(signature.args[6].dtype)

        def kept(value):
            return cgutils.alloca_once_value(builder, value)

        def letter(turn):
            is_turned = builder.icmp_signed("!=", turn, turn.type(0))
            return kept(builder.select(is_turned, *(ir.IntType(8)(ord(one)) for one in "TN")))

        a, b, c = (
            place_of(context, builder, signature.args[index], array, at)
            for index, array, at in ((6, a, at_a), (9, b, at_b), (13, c, at_c))
        )
        # BLAS goes down columns: the rows of a product are the columns of the product of the
        # transposed matrices. Its sizes may have 32 or 64 bits; 64 are read as either.
        handed = [letter(turn_b), letter(turn_a), *(kept(size) for size in (n, m, k))]
        handed += [kept(ir.Constant(number, 1.0)), b, kept(ldb), a, kept(lda)]
        handed += [kept(builder.sitofp(keep, number)), c, kept(ldc)]
        form = ir.FunctionType(ir.VoidType(), [value.type for value in handed])
        builder.call(builder.inttoptr(blas, form.as_pointer()), handed)
        return context.get_dummy_value()

    return signature, code
