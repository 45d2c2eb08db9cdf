"""Memory that an analysis has freed and its process still holds."""

from __future__ import annotations

import ctypes
import os


def return_free_memory() -> None:
    """Give freed memory back to the system, where the allocator is glibc's.

    Activations of all pairs are made a part at a time. glibc keeps the parts' memory for later,
    some 400 MiB at p = 251, and larger arrays cannot be made of it.
    """
    if os.name == "posix":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
