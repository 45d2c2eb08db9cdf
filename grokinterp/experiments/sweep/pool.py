"""Who does the work of a sweep: this process, processes beside it, or a dask cluster."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from grokinterp.errors import ConfigError
from grokinterp.experiments.sweep.bundles import Bundle
from grokinterp.experiments.sweep.run_task import (
    RunResult,
    RunTask,
    finish_run_in_worker,
    finish_runs,
    finish_runs_in_worker,
)
from grokinterp.fields import checked, shown

Backend = Literal["loky", "dask"]
Pool = Callable[[Sequence[Bundle]], Iterator[RunResult]]
"""From bundles of tasks, the longest first, to the results of all as they come in."""

MOST_JOBS = 4096

SCHEDULER_SECONDS = 5
"""How long a dask scheduler and its first worker may take to answer."""


@contextmanager
def open_pool(backend: Backend, n_jobs: int | None, scheduler: str | None) -> Iterator[Pool]:
    """Prepare workers for the runs of a sweep.

    Parameters
    ----------
    backend
        ``loky``: processes on this machine, through joblib. ``dask``: the workers of a
        cluster.
    n_jobs
        Processes; None for one per processor. One: everything happens in this process. With
        dask the cluster has as many as it has.
    scheduler
        Address of the cluster's scheduler, such as ``tcp://10.0.0.1:8786``. Its workers must
        see the store under the same path, have grokinterp installed, and one thread each.

    Raises
    ------
    ConfigError
        If the backend is not known or does not go with the rest, or the scheduler does not
        answer.
    """
    check_workers(backend, n_jobs, scheduler)
    if backend == "dask":
        assert scheduler is not None
        with _client(scheduler) as client:
            yield lambda bundles: _finish_with_dask(client, bundles)
        return
    from joblib import cpu_count
    from joblib.externals.loky import get_reusable_executor

    n_processes = n_jobs or cpu_count()
    try:
        yield lambda bundles: _finish_with_loky(bundles, n_processes)
    except BaseException:
        # Also after Ctrl-C: nobody waits for the runs that are being trained.
        if n_processes > 1:
            get_reusable_executor(n_processes).shutdown(wait=True, kill_workers=True)
        raise


def check_workers(backend: str, n_jobs: int | None, scheduler: str | None) -> None:
    """Refuse a choice of workers that cannot be meant, before anything is started.

    Raises
    ------
    ConfigError
        If a value is not allowed or two do not go together.
    """
    if backend not in ("loky", "dask"):
        raise ConfigError(f"backend={backend!r} is not known. Choose loky or dask.")
    checked("jobs", n_jobs, int | None)
    if n_jobs is not None and not 1 <= n_jobs <= MOST_JOBS:
        raise ConfigError(f"jobs={shown(n_jobs)} is not allowed. Use 1 to {MOST_JOBS}.")
    if scheduler is not None and backend != "dask":
        raise ConfigError(f"scheduler={scheduler} does not go with {backend}. Use --backend dask.")
    if scheduler is None and backend == "dask":
        raise ConfigError(
            "backend=dask needs a scheduler. Start one (dask scheduler) with workers, and name "
            "it: --scheduler tcp://HOST:8786."
        )


def _finish_with_loky(bundles: Sequence[Bundle], n_jobs: int) -> Iterator[RunResult]:
    if n_jobs == 1:
        for bundle in bundles:
            yield from finish_runs(bundle)
        return
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    pending = {task.config.hash(): task for bundle in bundles for task in bundle}
    while pending:
        left = [[task for task in one if task.config.hash() in pending] for one in bundles]
        try:
            for results in _in_parallel([tuple(one) for one in left if one], n_jobs):
                for result in results:
                    del pending[result.task.config.hash()]
                    yield result
        except TerminatedWorkerError:
            # Whoever kills its process takes the others with it; alone it takes only itself.
            for task in _under_way(list(pending.values()), n_jobs):
                del pending[task.config.hash()]
                yield _finish_alone(task)


def _in_parallel(bundles: list[Bundle], n_jobs: int) -> Iterator[list[RunResult]]:
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", inner_max_num_threads=1):
        # One bundle at a time: joblib would send short ones together, which return together.
        parallel = Parallel(
            n_jobs=n_jobs,
            return_as="generator_unordered",
            batch_size=1,  # pyright: ignore[reportArgumentType]
        )
    works = [
        delayed(finish_run_in_worker)(bundle[0])
        if len(bundle) == 1
        else delayed(finish_runs_in_worker)(bundle)
        for bundle in bundles
    ]
    results: Any = parallel(works)
    for found in results:
        yield found if isinstance(found, list) else [found]


def _finish_alone(task: RunTask) -> RunResult:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        # With n_jobs=1 joblib would not start a process.
        return next(iter(_in_parallel([(task,)], 2)))[0]
    except TerminatedWorkerError:
        reason = "its process was killed (out of memory?). The same command tries it again."
        return RunResult(task, {}, reason)


def _under_way(pending: list[RunTask], n_jobs: int) -> list[RunTask]:
    """Runs that may have been in hand when the processes died, at least one."""
    begun = [task for task in pending if task.folder.exists()]
    return (begun or pending)[: 2 * n_jobs]


@contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ConfigError(
            "backend=dask needs the package distributed. Install it: pip install grokinterp[dask]."
        ) from None
    # Its own account of a scheduler that does not answer is several tracebacks long.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        _check_answers(scheduler)
        client = Client(scheduler, timeout=SCHEDULER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        reason = said.splitlines()[0].rstrip(".")
        raise ConfigError(
            f"the scheduler {scheduler} cannot be reached: {reason}. Check that it runs and that "
            "the address has its port, such as tcp://HOST:8786."
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=SCHEDULER_SECONDS)
        except TimeoutError:
            raise ConfigError(
                f"the scheduler {scheduler} has no workers. Start some: "
                f"dask worker {scheduler} --nworkers 2 --nthreads 1."
            ) from None
        yield client


def _check_answers(scheduler: str) -> None:
    """Knock at the scheduler's port: a client that finds nobody there is long in giving up."""
    from distributed.comm.addressing import get_address_host_port

    socket.create_connection(get_address_host_port(scheduler), SCHEDULER_SECONDS).close()


def _finish_with_dask(client: Any, bundles: Sequence[Bundle]) -> Iterator[RunResult]:
    # Not joblib's dask backend: where a worker is killed (distributed's KilledWorker) its
    # generators wait for ever, since only results reach its callback, and errors do not.
    from distributed import as_completed

    futures = {
        client.submit(
            finish_runs,
            bundle,
            key=f"run-{bundle[0].config.hash()}",
            pure=False,
            priority=-i,
        ): bundle
        for i, bundle in enumerate(bundles)
    }
    try:
        for future in as_completed(list(futures), loop=client.loop):
            error = future.exception()
            if error is None:
                yield from future.result()
                continue
            reason = f"its dask worker failed: {type(error).__name__}."
            for task in futures[future]:
                yield RunResult(task, {}, reason)
    finally:
        client.cancel(list(futures))
