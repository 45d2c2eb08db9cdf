# numba and its types need not be there where types are checked.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false, reportCallIssue=false
"""Kernels that numba compiles, run on the threads that torch already has.

Torch's threads busy-wait for the next product, and a second team beside them would share the
processors with them. So a kernel is a C function of one address, which GNU OpenMP,
the runtime behind torch's own loops on Linux, calls on every thread of its team. Elsewhere a
kernel runs on the calling thread.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from grokinterp.training.kernel_choice import openmp

NAME = f"kernels compiled by numba {numba.__version__}"
# Sums may be taken in another order and products joined to them; NaN and infinity keep their
# meaning, because a training that diverges is recognized by them.
_FASTMATH = {"reassoc", "contract", "nsz"}


@numba.njit
def _rank_of_the_only_thread() -> int:
    return 0


_OMP_RANK = types.ExternalFunction("omp_get_thread_num", types.int32())
team_rank: Any = _OMP_RANK if openmp() else _rank_of_the_only_thread
"""Called inside a kernel: which thread of the team this is."""


def team_size() -> int:
    """Threads that a kernel runs on."""
    return torch.get_num_threads() if openmp() else 1


def even_cuts(n_rows: int) -> Tensor:
    """Where the rows of each thread of the team begin and end."""
    return torch.linspace(0, n_rows, team_size() + 1).long()


def compiled(function: Any) -> Any:
    """Compile what kernels call, once per kind of its arguments."""
    # Whoever checks types at run time has wrapped the function; numba needs its bytecode.
    plain = inspect.unwrap(function)
    return _cached(numba.njit, plain, fastmath=_FASTMATH, error_model="numpy")


def kernel(function: Any) -> Any:
    """Compile a function of the address of a job, an array of integers."""
    signature = types.void(types.CPointer(types.int64))
    return _cached(functools.partial(numba.cfunc, signature), inspect.unwrap(function))


def _cached(decorator: Callable[..., Any], plain: Any, **options: Any) -> Any:
    try:
        return decorator(cache=True, **options)(plain)
    except RuntimeError:
        # There is no folder that the machine code could be kept in.
        return decorator(**options)(plain)


@intrinsic
def pointer(typing_context, address):
    """Read an integer as the address of something."""

    def code(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), code


def run_kernel(kernel: Any, job: list[int | Tensor], n_threads: int) -> None:
    """Run a kernel on a team of torch's threads.

    Parameters
    ----------
    kernel
        Made by :func:`kernel`.
    job
        Numbers as they are, tensors as the addresses of their memory.
    n_threads
        Of the team.
    """
    # Only addresses go there; the caller holds the tensors until the kernel is done.
    numbers = [_address(one) if isinstance(one, Tensor) else one for one in job]
    at = (ctypes.c_int64 * len(numbers))(*numbers)
    team = openmp()
    if n_threads == 1 or team is None:
        kernel.ctypes(at)
    else:
        team.GOMP_parallel(kernel.ctypes, at, n_threads, 0)


def _address(tensor: Tensor) -> int:
    if not tensor.is_contiguous():
        raise ValueError(f"a kernel cannot read a tensor of strides {tensor.stride()}")
    return tensor.data_ptr()


def number_type(dtype: torch.dtype) -> Any:
    """The type of a kernel's arrays for tensors of one precision."""
    return np.float32 if dtype == torch.float32 else np.float64
