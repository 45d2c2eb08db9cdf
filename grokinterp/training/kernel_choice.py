"""Whether the loops over pairs are compiled by numba on this machine."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


@functools.cache
def has_numba() -> bool:
    """Whether numba is installed (the extra ``fast``) and not switched off.

    ``NUMBA_DISABLE_JIT=1``, numba's own switch, turns it off here too.
    """
    is_off = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
    return not is_off and importlib.util.find_spec("numba") is not None


@functools.cache
def openmp() -> ctypes.CDLL | None:
    """GNU OpenMP, the runtime of torch's own loops on Linux, or None where it is another."""
    if os.name != "posix":
        return None
    process = ctypes.CDLL(None)
    has_team = hasattr(process, "GOMP_parallel") and hasattr(process, "omp_get_thread_num")
    return process if has_team else None


def takes_kernels(device: torch.device, with_numba: bool | None) -> bool:
    """Whether work on this device goes through the compiled kernels.

    Parameters
    ----------
    device
        Where the tensors are.
    with_numba
        False: never. None: where numba is installed and the kernels can run on as many threads
        as torch does.
    """
    if device.type != "cpu" or with_numba is False or not has_numba():
        return False
    return openmp() is not None or torch.get_num_threads() == 1


@functools.cache
def blas(dtype: torch.dtype) -> int | None:
    """The address of the matrix product that torch's own library brings along, or None.

    It takes the arguments of sgemm, or of dgemm in float64, all of them by address. Wheels of torch
    for Linux and macOS have it.
    """
    library = next((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"), None)
    try:
        function = getattr(ctypes.CDLL(str(library)), _PRODUCTS[dtype])
    except (KeyError, OSError, AttributeError):
        return None
    return ctypes.cast(function, ctypes.c_void_p).value if _multiplies(function, dtype) else None


_PRODUCTS = {torch.float32: "sgemm_", torch.float64: "dgemm_"}


def _multiplies(function: Callable[..., Any], dtype: torch.dtype) -> bool:
    """Whether a function found under a name does what the name says."""
    left, right = torch.arange(6, dtype=dtype).view(2, 3), torch.arange(12, dtype=dtype).view(3, 4)
    out, one, zero = (
        torch.empty(2, 4, dtype=dtype),
        torch.ones(1, dtype=dtype),
        torch.zeros(1, dtype=dtype),
    )

    def at(tensor: Tensor) -> ctypes.c_void_p:
        return ctypes.c_void_p(tensor.data_ptr())

    def size(number: int) -> ctypes._CArgObject:
        # With 64 bits a size is right whether the library reads 32 of them or all.
        return ctypes.byref(ctypes.c_int64(number))

    plain, matrices = ctypes.c_char_p(b"N"), (at(right), size(4), at(left), size(3), at(zero))
    function(plain, plain, size(4), size(2), size(3), at(one), *matrices, at(out), size(4))
    return torch.equal(out, left @ right)
