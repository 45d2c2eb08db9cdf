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
import hashlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from numba import carray, types
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


@numba.njit
def _one() -> int:
    return 1


@numba.njit
def _go_on() -> None:
    return None


def _of_openmp(name: str, returned: Any, otherwise: Any) -> Any:
    return types.ExternalFunction(name, returned()) if openmp() else otherwise


team_rank = _of_openmp("omp_get_thread_num", types.int32, _rank_of_the_only_thread)
"""Called inside a kernel: which thread of the team this is."""
team_members = _of_openmp("omp_get_num_threads", types.int32, _one)
"""Called inside a kernel: how many threads the team has."""
team_meets = _of_openmp("GOMP_barrier", types.void, _go_on)
"""Called inside a kernel: waits for the other threads of the team."""


def team_size() -> int:
    """Threads that a kernel runs on."""
    return torch.get_num_threads() if openmp() else 1


def even_cuts(n_rows: int) -> Tensor:
    """Where the rows of each thread of the team begin and end."""
    return torch.linspace(0, n_rows, team_size() + 1).long()


def compiled(function: Any) -> Any:
    """Compile what kernels call, once per kind of its arguments; only kernels are kept on disk."""
    # Whoever checks types at run time has wrapped the function; numba needs its bytecode.
    plain = inspect.unwrap(function)
    # Nobody calls it from Python, and the wrappers for that take a third of the time to compile.
    return numba.njit(
        fastmath=_FASTMATH, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
    )(plain)


def kernel(function: Any) -> Any:
    """Compile a function of the address of a job, an array of integers.

    The machine code is kept in numba's cache, which knows the function and what it closes over, and
    not what it calls. So it begins with :func:`job_at`, which is given :func:`source_version`.
    """
    signature = types.void(types.CPointer(types.int64))
    plain = inspect.unwrap(function)
    try:
        return numba.cfunc(signature, cache=True)(plain)
    except RuntimeError:
        # There is no folder that the machine code could be kept in.
        return numba.cfunc(signature)(plain)


@functools.cache
def source_version() -> int:
    """A number for the text of all modules that kernels are made of."""
    folder = Path(__file__).parent
    text = b"".join((folder / name).read_bytes() for name in SOURCES)
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")


SOURCES = (
    "blas.py",
    "compiled.py",
    "fused_loss.py",
    "lanes.py",
    "team_kernels.py",
    "team_memory.py",
    "team_pass.py",
    "team_rows.py",
    "team_tables.py",
)
"""Modules of this folder that know numba."""


@compiled
def job_at(address, n_numbers, version):
    """The numbers of a job."""
    return carray(address, n_numbers)


@intrinsic
def pointer(typing_context, address):
    """Read an integer as the address of something."""

    def code(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), code


def run_kernel(kernel: Any, job: Sequence[int | Tensor], n_threads: int) -> None:
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
    numbers = [address(one) if isinstance(one, Tensor) else one for one in job]
    at = (ctypes.c_int64 * len(numbers))(*numbers)
    team = openmp()
    if n_threads == 1 or team is None:
        kernel.ctypes(at)
    else:
        team.GOMP_parallel(kernel.ctypes, at, n_threads, 0)


def address(tensor: Tensor) -> int:
    """Where the numbers of a tensor lie; they have to lie one after another."""
    if not tensor.is_contiguous():
        raise ValueError(f"a kernel cannot read a tensor of strides {tensor.stride()}")
    return tensor.data_ptr()


def number_type(dtype: torch.dtype) -> Any:
    """The type of a kernel's arrays for tensors of one precision."""
    return np.float32 if dtype == torch.float32 else np.float64
