"""Whether the loops over pairs are compiled by numba on this machine."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os

import torch


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
