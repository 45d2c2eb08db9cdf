"""Checkpoints measured in several processes: how many, what they are given, what comes back."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grokinterp.errors import ConfigError
from grokinterp.fields import checked, shown

log = logging.getLogger(__name__)

MOST_JOBS = 256
MIN_NUMBERS = 2.5e8
"""Logits of all checkpoints that are new from which on processes are worth their start, some five
seconds: about as many as one thread measures in 20 seconds."""
PROCESS_BYTES = 600 * 2**20
"""What a process takes before it measures anything: torch and pandas, and the buffers."""
ARRAYS_AT_A_TIME = 3
"""Activations of all pairs count this many times: copies of some of them live for a moment."""
_AHEAD = 2
"""Checkpoints per process that are read before their turn."""


@dataclass(frozen=True)
class Work:
    """What there is to do, for the choice of the number of processes."""

    n_checkpoints: int
    """Checkpoints with something new to measure, at most."""
    n_logits: int
    """Logits of one checkpoint on all pairs."""
    n_bytes: int
    """Bytes of the activations of one checkpoint on all pairs."""


def check_jobs(n_jobs: Any) -> int | None:
    """Refuse a number of processes that cannot be meant.

    Raises
    ------
    ConfigError
        If it is no whole number from 1 to 256, and not None.
    """
    checked("n_jobs", n_jobs, int | None)
    if n_jobs is not None and not 1 <= n_jobs <= MOST_JOBS:
        raise ConfigError(f"n_jobs={shown(n_jobs)} is not allowed. Use 1 to {MOST_JOBS}.")
    return n_jobs


def choose_jobs(work: Work, n_threads: int, n_bytes: int | None) -> int:
    """Return how many processes to measure in: as many as have work, a thread and memory.

    One where there is little to do, within another process, and where the free memory is not
    known.

    Parameters
    ----------
    n_threads
        Threads that this process may use.
    n_bytes
        Free memory; None if it is not known.

    Examples
    --------
    >>> of_p_113 = Work(258, 113**3, 4 * 113**2 * (113 + 512))
    >>> choose_jobs(of_p_113, 2, 8 * 2**30), choose_jobs(of_p_113, 2, 2**30)
    (2, 1)
    """
    is_within = multiprocessing.parent_process() is not None
    if n_bytes is None or is_within or work.n_checkpoints * work.n_logits < MIN_NUMBERS:
        return 1
    of_each = PROCESS_BYTES + ARRAYS_AT_A_TIME * work.n_bytes
    return max(min(n_threads, work.n_checkpoints, n_bytes // of_each, MOST_JOBS), 1)


def free_memory() -> int | None:
    """Bytes that processes could take without swapping; None where nobody says."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        found.append(1024 * int(kibibytes))
        limits = Path("/sys/fs/cgroup")
        limit = (limits / "memory.max").read_text(encoding="ascii").strip()
        if limit.isdigit():
            used = (limits / "memory.current").read_text(encoding="ascii")
            found.append(max(int(limit) - int(used), 0))
    except (OSError, StopIteration, ValueError):
        pass
    if not found and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        # macOS does not say what is free; half of all is on a machine that is in use.
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return min(found, default=None)


@contextmanager
def open_processes(n_jobs: int) -> Iterator[Any]:
    """Start processes of one thread each; after an error, and after Ctrl-C, they are killed.

    They are new interpreters and no forks: a fork of a process whose torch has threads can wait
    forever.
    """
    from joblib.externals.loky import ProcessPoolExecutor

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    pool = ProcessPoolExecutor(n_jobs, initializer=_begin, env=dict.fromkeys(names, "1"))
    try:
        with _ctrl_c_held_back():
            # The first task starts all processes.
            pool.submit(int)
        yield pool
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise
    pool.shutdown(wait=True)


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Let Ctrl-C wait for a moment; processes that are started meanwhile never see it.

    It reaches every process of a terminal, and the one that started the others stops them. They
    inherit what is blocked here, so also one that is still importing prints no traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield  # Windows: they ignore it once they have begun.
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    # Before the import, which takes seconds.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)


def in_order(
    pool: Any,
    n_jobs: int,
    function: Callable[..., Any],
    tasks: Iterator[tuple[Any, ...] | Any],
    keep: Callable[[Any], Any],
) -> Iterator[Any]:
    """Results of the tasks in their order, some of which are under way meanwhile.

    Parameters
    ----------
    tasks
        Arguments of the function; anything but a tuple is a result already.
    keep
        Is given what is finished when this ends early, so that it is not lost.
    """
    waiting: deque[Any] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(function, *task) if isinstance(task, tuple) else task)
            if len(waiting) > _AHEAD * n_jobs:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        for future in waiting:
            if hasattr(future, "result") and future.done() and not future.exception():
                keep(future.result())


def _result(future: Any) -> Any:
    return future.result() if hasattr(future, "result") else future


def packed(values: Any) -> bytes:
    """Bytes to send to another process, functions of notebooks and lambdas too.

    Raises
    ------
    NotSent
        If something in `values` cannot be pickled.
    """
    from joblib.externals.loky.backend.reduction import dumps

    try:
        return bytes(dumps(values))
    except Exception as error:  # any class may raise anything when it is pickled
        raise NotSent(f"{type(error).__name__}: {error}".splitlines()[0]) from None


class NotSent(Exception):
    """Something cannot be sent to another process."""
