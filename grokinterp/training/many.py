"""Many runs in one call: networks of one shape are trained together, in one batched step."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from os import PathLike
from pathlib import Path

import torch
from tqdm import tqdm

from grokinterp.errors import ConfigError, FailedRunsError, GrokinterpError, RunFolderError
from grokinterp.fields import checked
from grokinterp.runs.atomic import is_there, make_folder
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.run import Run
from grokinterp.runs.store import RunFolder
from grokinterp.runs.stored_run import load_run
from grokinterp.training import batched_ways
from grokinterp.training.batch import Batch, BatchedWay
from grokinterp.training.callbacks import Callback, Callbacks
from grokinterp.training.loop import (
    check_machine,
    check_parent,
    check_precision,
    check_size,
    threads,
)
from grokinterp.training.optimizer import check_algorithm


def train_many(
    configs: Sequence[TrainConfig],
    folder: str | Path,
    *,
    n_threads: int | None = None,
    device: str = "cpu",
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
) -> list[Run]:
    """Train many runs, those of one shape together, each into a run folder of its own.

    The run of a config lives in ``folder/<config.hash()>/`` and is an ordinary one. A finished
    run is read, one that was stopped goes on, equal configs are trained once, and the runs that
    others start from (``config.parent``) are trained first. Runs may differ in anything. Those
    whose networks have the same shape share a batch: seeds, split, labels, optimizer, pressures,
    number of steps, tests and checkpoints are each member's own.

    Parameters
    ----------
    configs
        What to train.
    folder
        Where the run folders are; made if it does not exist.
    n_threads
        Batches that are worked on at the same time, each by one thread of the CPU (None: as
        many as torch has). The numbers do not depend on it.
    device
        Where the batches are computed, such as ``cpu`` or ``cuda``.
    progress
        Show a progress bar on standard error.
    callbacks
        As in :func:`train`, called for the tests and checkpoints of every run; ``event.config``
        says whose they are. Never two at a time, from whichever thread trains the run.

    Returns
    -------
    list[Run]
        The finished runs in the order of `configs`. A training loss that is not finite ends a
        run early: ``run.diverged_at`` says where.

    Raises
    ------
    FailedRunsError
        If some runs could not be finished, for example because another process writes into
        their folder, or a callback raised at one of their steps. It has the reason of each. The
        others are trained to their end first.
    ConfigError
        If `n_threads` or `device` is not to be had here, or a callback cannot be called.

    Notes
    -----
    The bits of a run depend neither on the other members nor on how many there are, and
    a run that was stopped goes on to the same bits in any batch.

    On the CPU each network has the step, and the bits, that :func:`train` gives it with one
    thread, unless it has the exact fast step and numba is not installed: then the tables of
    several are made in one call. On a device all networks without dropout are batched whose
    shape, loss and number of training examples are the same. A batched step differs by rounding
    from that of :func:`train`, which shows late in a run. A run that one of the two has begun
    and the other finishes warns, and ``environment.json`` has both.

    Examples
    --------
    >>> import grokinterp as gi
    >>> from dataclasses import replace
    >>> base = replace(gi.PRESETS["quick"], n_steps=5)
    >>> seeds = [replace(base, model=replace(base.model, init_seed=seed)) for seed in range(3)]
    >>> runs = gi.train_many(seeds, "ckpts/seeds", progress=False)
    >>> [run.config.model.init_seed for run in runs], runs[0].steps[-1]
    ([0, 1, 2], 5)
    """
    _check_arguments(configs, folder)
    check_machine(n_threads, device)
    told = Callbacks(callbacks)
    folder = Path(folder)
    make_folder(folder, "Choose another folder.")
    wanted = {config.hash(): config for one in configs for config in (*one.ancestors, one)}
    with _Progress(progress) as shown:
        work = _Work(folder, device, n_threads or torch.get_num_threads(), shown, told)
        open_ones = [config for config in wanted.values() if work.is_open(config)]
        shown.begin(open_ones)
        for depth in sorted({len(config.ancestors) for config in open_ones}):
            work.finish([config for config in open_ones if len(config.ancestors) == depth])
    if work.failures:
        raise _failed(work.failures, len(wanted))
    return [load_run(folder / config.hash()) for config in configs]


class _Work:
    """Trains groups of runs into one folder, and remembers which could not be trained."""

    def __init__(
        self, folder: Path, device: str, n_threads: int, shown: _Progress, callbacks: Callbacks
    ) -> None:
        self._folder, self._device, self._shown = folder, device, shown
        self._callbacks = callbacks
        self._n_threads = n_threads
        self.failures: dict[str, GrokinterpError] = {}
        self._is_stopped = threading.Event()

    def is_open(self, config: TrainConfig) -> bool:
        """Whether a run is still to be trained; a finished one is not written to."""
        there = RunFolder(self._folder / config.hash())
        try:
            is_ours = is_there(there.config_file) and there.read_config() == config
            return not (is_ours and there.is_finished(config))
        except GrokinterpError:
            # Whoever opens it to train says what is wrong.
            return True

    def finish(self, configs: Iterable[TrainConfig]) -> None:
        """Train runs that do not start from each other, one kind of batch after another."""
        groups: dict[BatchedWay, list[TrainConfig]] = {}
        for config in configs:
            try:
                groups.setdefault(self._way_of(config), []).append(config)
            except GrokinterpError as error:
                self._fail(config, error)
        for way, members in groups.items():
            self._finish_together(way, members)

    def _way_of(self, config: TrainConfig) -> BatchedWay:
        check_size(config)
        check_precision(config, self._device)
        check_algorithm(config.optimizer)
        return batched_ways.batched_way(config, self._device)

    def _finish_together(self, way: BatchedWay, configs: list[TrainConfig]) -> None:
        # Long runs first, so that none is left over when the others are done.
        waiting = deque(sorted(configs, key=lambda config: -config.n_steps))
        has_threads = batched_ways.is_cpu(self._device)
        n_batches = min(self._n_threads, len(configs)) if has_threads else 1
        n_slots = min(way.most_at_a_time, -(-len(configs) // n_batches))

        def work() -> None:
            if has_threads:
                # For this thread; nobody sets it back before all are done, since MKL has one
                # number for the whole process.
                torch.set_num_threads(1)
            batch = Batch(
                way, n_slots, self._folder, self._device, self._parent_of, self._callbacks
            )
            self._work_off(batch, waiting)

        with threads(1 if has_threads else None):
            _side_by_side([work] * n_batches, self._is_stopped)

    def _work_off(self, batch: Batch, waiting: deque[TrainConfig]) -> None:
        try:
            while not self._is_stopped.is_set():
                while batch.has_room and waiting:
                    self._enter(batch, waiting)
                if not batch.n_members:
                    return
                ended, failed = batch.advance()
                self._shown.advance(batch.n_members)
                for training in ended:
                    self._shown.end(training.config, training.n_updates)
                for training, error in failed:
                    self._fail(training.config, error, training.n_updates)
        finally:
            batch.close()

    def _enter(self, batch: Batch, waiting: deque[TrainConfig]) -> None:
        try:
            config = waiting.popleft()
        except IndexError:
            # Another thread was faster.
            return
        try:
            step = batch.enter(config)
        except GrokinterpError as error:
            self._fail(config, error)
            return
        if step is None:
            # Another process has finished it since.
            self._shown.end(config, 0)
        else:
            self._shown.advance(step)

    def _parent_of(self, config: TrainConfig) -> Run | None:
        if config.parent is None:
            return None
        name = config.parent.hash()
        if name in self.failures:
            raise RunFolderError(
                f"the run {name} that it starts from failed: {self.failures[name]}"
            )
        parent = load_run(self._folder / name)
        check_parent(config, parent)
        return parent

    def _fail(self, config: TrainConfig, error: GrokinterpError, n_updates: int = 0) -> None:
        self.failures[config.hash()] = error
        self._shown.end(config, n_updates)


class _Progress:
    """A bar of all steps of all runs."""

    def __init__(self, is_shown: bool) -> None:
        self._bar = tqdm(
            disable=not is_shown, unit="step", dynamic_ncols=True, mininterval=0.5, total=0
        )
        self._lock = threading.Lock()
        self._n_runs, self._n_ended = 0, 0

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def begin(self, configs: Sequence[TrainConfig]) -> None:
        """Say how much there is to do."""
        self._n_runs = len(configs)
        self._bar.reset(sum(config.n_steps for config in configs))
        self._say()

    def advance(self, n_steps: int) -> None:
        """Count steps of runs."""
        with self._lock:
            self._bar.update(n_steps)

    def end(self, config: TrainConfig, n_updates: int) -> None:
        """Count a run that is finished or has failed, of which so many steps were counted."""
        with self._lock:
            self._n_ended += 1
            self._bar.total -= config.n_steps - n_updates
            self._say()

    def _say(self) -> None:
        self._bar.set_description_str(f"{self._n_ended} of {self._n_runs} runs", refresh=False)


def _side_by_side(works: Sequence[Callable[[], None]], is_stopped: threading.Event) -> None:
    """Do all works, each in a thread; whatever ends one of them ends all."""
    if len(works) == 1:
        works[0]()
        return
    with ThreadPoolExecutor(len(works), "train-many") as pool:
        try:
            futures = [pool.submit(work) for work in works]
            for future in as_completed(futures):
                future.result()
        except BaseException:
            # Also Ctrl-C: every thread ends after its step, and gives its folders free.
            is_stopped.set()
            raise


def _failed(failures: dict[str, GrokinterpError], n_runs: int) -> FailedRunsError:
    reasons = "; ".join(f"{name}: {error}" for name, error in failures.items())
    others = ", the others are" if len(failures) < n_runs else ""
    return FailedRunsError(
        f"{len(failures)} of {n_runs} runs could not be finished{others}. The same call tries "
        f"them again. {reasons}",
        failures,
    )


def _check_arguments(configs: Sequence[TrainConfig], folder: str | Path) -> None:
    checked("folder", folder, str | PathLike)
    if isinstance(configs, TrainConfig) or not isinstance(configs, Sequence):
        raise ConfigError(
            "configs is not a list of configs. Pass one, [config], or call train for one run."
        )
    for config in configs:
        checked("configs", config, TrainConfig, "Build each with gi.TrainConfig(...).")
