"""The training loop: from a config to a run folder, exactly resumable at any moment."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from grokinterp.errors import ConfigError, first_sentence
from grokinterp.fields import checked, shown
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.portions import fits
from grokinterp.runs.atomic import is_there
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.network import Network
from grokinterp.runs.run import Run
from grokinterp.runs.stopping import early_stop
from grokinterp.runs.store import RunFolder
from grokinterp.runs.stored_run import load_run
from grokinterp.tasks import Split, task_of
from grokinterp.training.callbacks import Callback, Callbacks, live_figure
from grokinterp.training.captured import PlainMotion, capture_name, motion_of
from grokinterp.training.course import Course, Training, first_weights, weight_dtype
from grokinterp.training.loss import widest
from grokinterp.training.optimizer import check_algorithm
from grokinterp.training.pace import Pace
from grokinterp.training.recorder import Recorder, open_recorder
from grokinterp.training.step import TrainingStep
from grokinterp.training.ways import ways_of

log = logging.getLogger(__name__)
MOST_PARAMETERS = 10**9
"""Of one network: 4 GB, and three times that with the optimizer's moments."""
MOST_THREADS = 1024


def train(
    config: TrainConfig,
    folder: str | Path,
    *,
    n_threads: int | None = None,
    device: str = "cpu",
    progress: bool = True,
    parent: Run | None = None,
    callbacks: Sequence[Callback] = (),
    live: bool = False,
) -> Run:
    """Train a network into a run folder, or resume where an earlier call stopped.

    On all training examples in every update, or on minibatches (``config.batch_size``). The
    curves hold the losses at the weights after `step` updates. An empty folder starts; the
    same config continues and gives the same bits as a run that was never interrupted; a finished
    run is returned as it is; a larger ``n_steps`` extends it.

    Parameters
    ----------
    config
        Everything that determines the numbers.
    folder
        Run folder; made if it does not exist.
    n_threads
        Threads of torch during training (None: as torch is set). Another number gives
        another rounding, and with it, late in a run, visibly other numbers.
    device
        Where the batch is computed, such as ``cpu`` or ``cuda``.
    progress
        Show a progress bar on standard error.
    parent
        The finished run whose last weights this one starts from, for a config that names one
        (``config.parent``).
    callbacks
        Functions that are called with a :class:`~grokinterp.TrainingEvent` when training
        begins, after every test and checkpoint, and when it ends, for the steps that this call
        trains. They change no number of the run.
    live
        Show a figure in the notebook that is updated while the network is trained, in place of
        the progress bar. Elsewhere, and without the extra ``[notebook]``, the bar stays.

    Returns
    -------
    Run
        The finished run. A training loss that is not finite ends it early:
        ``run.diverged_at`` says where.

    Raises
    ------
    RunFolderError
        If the folder holds something else, is being written, or cannot be written.
    ConfigError
        If `n_threads` or `device` is not to be had here, `parent` is not the run that the config
        names, or a callback cannot be called.
    CallbackError
        If a callback raises. The folder then has everything up to its last checkpoint, and the
        same call resumes it to the same bits.

    Examples
    --------
    >>> import grokinterp as gi
    >>> from dataclasses import replace
    >>> run = gi.train(replace(gi.PRESETS["quick"], n_steps=20), "ckpts/short")
    >>> run.steps[-1]
    20
    """
    _check_arguments(config, folder, n_threads, device, parent)
    checked("live", live, bool)
    told = Callbacks(callbacks)
    check_parent(config, parent)
    check_size(config)
    run_folder = RunFolder(Path(folder))
    # A finished run is not written to, so it may lie in a folder that is read-only.
    if is_there(run_folder.config_file) and run_folder.read_config() == config:
        if run_folder.is_finished(config):
            return load_run(folder)
    with threads(n_threads), open_recorder(Path(folder), config) as recorder:
        if not run_folder.is_finished(config):
            figure = live_figure() if live else None
            if figure is not None:
                told, progress = Callbacks([*callbacks, figure]), False
            _run_loop(*_started(config, recorder, device, parent), recorder, progress, told)
    return load_run(folder)


def _started(
    config: TrainConfig, recorder: Recorder, device: str, parent: Run | None
) -> tuple[TrainingStep, Training]:
    """Build the initial weights, or those where the recorder's run stopped, and their step."""
    network = Network(config.model, recorder.split.task)
    initial = first_weights(config, network, parent)
    parameters = {
        name: value.to(device, copy=True).requires_grad_(network.is_trained(name))
        for name, value in initial.items()
    }
    batches = batches_of(network, recorder.split, device, weight_dtype(config))
    step, evaluation = ways_of(config, network, parameters, batches)
    step.name = capture_name(step.name, config, device)
    log.info("training step: %s", step.name)
    n_outputs = len(batches["train"][0]) * network.task.n_outputs
    if config.batch_size is None and not fits(8 * n_outputs):
        words = "%s outputs in every step: training is slow; minibatches (batch_size) are faster"
        log.info(words, f"{n_outputs:,}")
    return step, Training.start(network, parameters, step, evaluation, recorder)


def _run_loop(
    step: TrainingStep,
    training: Training,
    recorder: Recorder,
    progress: bool,
    callbacks: Callbacks,
) -> None:
    start = time.monotonic()
    motion = motion_of(step, training, recorder)
    course = Course(training, recorder, lambda: time.monotonic() - start, callbacks)
    try:
        course.begin()
        _move_to_end(motion, training, course, progress)
    except BaseException as error:
        course.interrupted(error)
        raise


def _move_to_end(motion: PlainMotion, training: Training, course: Course, progress: bool) -> None:
    pace = Pace()
    bar = tqdm(
        total=training.config.n_steps,
        initial=training.n_updates,
        disable=not progress,
        unit="step",
        dynamic_ncols=True,
        mininterval=0.5,
    )
    with bar:
        while True:
            is_last = course.is_over(motion.loss())
            if training.n_updates % 50 == 0 or is_last:
                words = f"train {course.train_loss:.3g} test {course.test_loss:.3g}"
                bar.set_postfix_str(words + _slowdown(pace), refresh=False)
            if is_last:
                return
            motion.update()
            bar.update()
            pace.step_ended(time.monotonic())


def _slowdown(pace: Pace) -> str:
    """What the progress bar says where other programs slow the run down."""
    if not pace.is_slowed_down:
        return ""
    threads = torch.get_num_threads()
    remedy = "" if threads == 1 else f"; {threads} threads wait for each other, 1 would not"
    return f" (busy machine, {pace.slowdown:.0f} times slower{remedy})"


def batches_of(
    network: Network, split: Split, device: str, dtype: torch.dtype = torch.float32
) -> dict[str, tuple[Tensor, Tensor]]:
    """Inputs and targets of both sides of a split, as tensors; `dtype` is that of vectors."""
    inputs, targets = network.inputs, network.targets
    # Tokens are whole numbers and stay so.
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
    sides = {"train": split.train, "test": split.test}
    return {
        name: (inputs[rows].to(device), targets[rows].to(device)) for name, rows in sides.items()
    }


def check_parent(config: TrainConfig, parent: Run | None) -> None:
    """Refuse a parent that is not the finished run that the config names.

    Raises
    ------
    ConfigError
        With what is wrong.
    """
    if config.parent is None and parent is None:
        return
    if parent is None or config.parent is None or parent.config != config.parent:
        raise ConfigError(
            f"parent is {'not given' if parent is None else 'a run of another config'}. Pass "
            "train(..., parent=run) with a run of exactly config.parent, or leave both out."
        )
    if parent.diverged_at is not None:
        raise ConfigError(
            f"parent diverged at step {parent.diverged_at}, so its last weights are not those of "
            "its config. Choose a parent whose training loss stays finite."
        )
    last, has_weights = parent.last_step, parent.steps[-1:] == (parent.last_step,)
    is_over = last == config.parent.n_steps or early_stop(config.parent, parent.curves)[1] == last
    if not (has_weights and is_over):
        raise ConfigError(
            f"parent is not finished: it has {last} of {config.parent.n_steps} steps. "
            "Train it first."
        )
    shapes = Network(config.model, task_of(config.task)).shapes
    theirs = Network(config.parent.model, task_of(config.parent.task)).shapes
    if shapes != theirs:
        name = next(n for n in {**shapes, **theirs} if shapes.get(n) != theirs.get(n))
        raise ConfigError(
            f"parent has another network: {name} is {theirs.get(name, 'absent')} there, "
            f"{shapes.get(name, 'absent')} here. Choose a parent of the same shape."
        )
    _check_fixed_weights(config.model, config.parent.model)


def _check_fixed_weights(spec: ModelSpec | MlpSpec, of_parent: ModelSpec | MlpSpec) -> None:
    """Refuse a parent that has trained weights which the new network keeps fixed.

    Raises
    ------
    ConfigError
        With the field.
    """
    if not (isinstance(spec, ModelSpec) and isinstance(of_parent, ModelSpec)):
        return
    is_other = {
        "positions": spec.positions not in ("learned", of_parent.positions),
        "tied_embeddings": spec.tied_embeddings and not of_parent.tied_embeddings,
    }
    for name in (name for name, is_so in is_other.items() if is_so):
        raise ConfigError(
            f"parent has another network: {name} is {getattr(of_parent, name)} there, "
            f"{getattr(spec, name)} here, which fixes weights that it has trained. Choose a "
            f"parent with the same {name}."
        )


def check_size(config: TrainConfig) -> None:
    """Refuse a network that is too large to hold, before anything is made for it."""
    shapes = Network(config.model, task_of(config.task)).shapes
    n_numbers = sum(math.prod(shape) for shape in shapes.values())
    if n_numbers > MOST_PARAMETERS:
        raise ConfigError(
            f"the network has {n_numbers:,} parameters, more than {MOST_PARAMETERS:,}. Choose a "
            "smaller model."
        )


def _check_arguments(
    config: TrainConfig,
    folder: str | Path,
    n_threads: int | None,
    device: str,
    parent: Run | None,
) -> None:
    remedy = 'Take a preset, gi.PRESETS["quick"], or build gi.TrainConfig(...).'
    checked("config", config, TrainConfig, remedy)
    checked("folder", folder, str | PathLike)
    checked("parent", parent, Run | None, "Load it: gi.load_run(folder).")
    check_precision(config, device)
    check_algorithm(config.optimizer)
    check_machine(n_threads, device)


def check_precision(config: TrainConfig, device: str) -> None:
    """Refuse weights in a precision that a device does not have.

    Raises
    ------
    ConfigError
        With the device.
    """
    if config.weight_dtype == "float64" and device.partition(":")[0] == "mps":
        raise ConfigError(
            f"device={device} has no float64, which weight_dtype=float64 asks for. Use "
            "weight_dtype=float32, or cpu."
        )


def check_machine(n_threads: int | None, device: str) -> None:
    """Refuse threads or a device that are not to be had here.

    Raises
    ------
    ConfigError
        With the value.
    """
    checked("n_threads", n_threads, int | None)
    checked("device", device, str)
    if n_threads is not None and not 1 <= n_threads <= MOST_THREADS:
        raise ConfigError(f"n_threads={shown(n_threads)} is not allowed. Use 1 to {MOST_THREADS}.")
    try:
        torch.zeros(1, dtype=widest(torch.device(device)), device=device).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        # Torch lists every kind of device or backend that it was ever built for.
        reason = f": {first_sentence(error)}"
        reason = "" if reason.startswith(": Expected one of") else reason
        if reason.startswith(": Could not run"):
            reason = ": this installation of torch does not support it"
        raise ConfigError(f"device={shown(device)} cannot be used{reason}. Use cpu.") from None


@contextmanager
def threads(n_threads: int | None) -> Iterator[None]:
    """Let torch compute with so many threads, and with as many as before afterwards."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n_threads or before)
        yield
    finally:
        torch.set_num_threads(before)
