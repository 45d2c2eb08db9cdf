"""The training loop: from a config to a run folder, exactly resumable at any moment."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from grokinterp.errors import ConfigError
from grokinterp.models.initialization import initial_parameters, is_trained
from grokinterp.models.pair_tables import pair_logits
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.run import Run
from grokinterp.runs.store import RunFolder, load_run
from grokinterp.tasks import Split
from grokinterp.training.loss import accuracy, cross_entropy
from grokinterp.training.pair_table_step import PairTableStep, allows_pair_table_step
from grokinterp.training.recorder import Recorder, open_recorder
from grokinterp.training.step import AutogradStep, TrainingStep

log = logging.getLogger(__name__)


def train(
    config: TrainConfig,
    folder: str | Path,
    *,
    n_threads: int | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> Run:
    """Train a network into a run folder, or go on where an earlier call stopped.

    Full-batch AdamW. The curves hold the losses at the weights after `step` updates. An
    empty folder starts; the same config continues and gives the same bits as a run that was
    never interrupted; a finished run is returned as it is; a larger ``n_steps`` extends it.

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
        If `n_threads` or `device` is not to be had here.

    Examples
    --------
    >>> import grokinterp as gi
    >>> run = gi.train(gi.PRESETS["quick"], "ckpts/quick")  # doctest: +SKIP
    """
    _check_machine(n_threads, device)
    run_folder = RunFolder(Path(folder))
    # A finished run is not written to, so it may lie in a folder that is read-only.
    if run_folder.config_file.exists() and run_folder.read_config() == config:
        if run_folder.is_finished(config):
            return load_run(folder)
    with _threads(n_threads), open_recorder(Path(folder), config) as recorder:
        if not run_folder.is_finished(config):
            _run_loop(_Training.start(config, recorder, device), recorder, progress)
    return load_run(folder)


@dataclass
class _Training:
    """Weights, optimizer and batches in motion."""

    config: TrainConfig
    parameters: dict[str, Tensor]
    trained: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    step: TrainingStep
    batches: dict[str, tuple[Tensor, Tensor]]
    n_updates: int

    @classmethod
    def start(cls, config: TrainConfig, recorder: Recorder, device: str) -> _Training:
        """Build the first weights, or those where the recorder's run stopped."""
        task = recorder.split.task
        parameters = initial_parameters(
            config.model, **config.model.vocabulary_sizes(task.n_classes)
        )
        parameters = {
            name: value.to(device).requires_grad_(is_trained(name, config.model))
            for name, value in parameters.items()
        }
        trained = {name: value for name, value in parameters.items() if value.requires_grad}
        optimizer = torch.optim.AdamW(
            trained.values(),
            lr=config.optimizer.learning_rate,
            betas=config.optimizer.betas,
            eps=config.optimizer.eps,
            weight_decay=config.optimizer.weight_decay,
            fused=True,
        )
        batches = batches_of(recorder.split, device)
        step_kind = PairTableStep if allows_pair_table_step(config.model) else AutogradStep
        step = step_kind(parameters, config.model, *batches["train"], config.loss_dtype)
        log.info("training step: %s", step.name)
        recorder.note_environment(step.name, device)
        n_updates = recorder.restore(parameters, trained, optimizer)
        return cls(config, parameters, trained, optimizer, step, batches, n_updates)

    def test(self) -> tuple[float, float]:
        """Loss in nats and accuracy on the test pairs."""
        pairs, labels = self.batches["test"]
        with torch.no_grad():
            logits = pair_logits(self.parameters, self.config.model, pairs)
            loss = cross_entropy(logits, labels, self.config.loss_dtype).item()
        return loss, accuracy(logits, labels)

    def update(self) -> None:
        """Apply one optimizer update with the warmed-up learning rate."""
        spec = self.config.optimizer
        warm = min(self.n_updates / spec.warmup_steps, 1.0) if spec.warmup_steps else 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = spec.learning_rate * warm
        self.optimizer.step()
        self.n_updates += 1


def _run_loop(training: _Training, recorder: Recorder, progress: bool) -> None:
    config = training.config
    keep = set(config.checkpoint_steps())
    bar = tqdm(
        total=config.n_steps,
        initial=training.n_updates,
        disable=not progress,
        unit="step",
        dynamic_ncols=True,
        mininterval=0.5,
    )
    test_loss, start = math.nan, time.monotonic()
    with bar:
        while True:
            step = training.n_updates
            train_loss = training.step.loss_and_gradients()
            is_last = step == config.n_steps
            is_fine = math.isfinite(train_loss)
            if step > recorder.resumed_step:
                row: list[Any] = [step, train_loss, None, None, None]
                if is_fine and (step % config.test_every == 0 or is_last):
                    test_loss, test_accuracy = training.test()
                    row[2:] = test_loss, training.step.accuracy(), test_accuracy
                recorder.add_row(tuple(row))
            if not is_fine:
                recorder.finish_diverged(time.monotonic() - start)
                return
            if step in keep:
                recorder.save(training, time.monotonic() - start)
            if step % 50 == 0 or is_last:
                bar.set_postfix_str(f"train {train_loss:.3g} test {test_loss:.3g}", refresh=False)
            if is_last:
                return
            training.update()
            bar.update()


def batches_of(split: Split, device: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Pairs and labels of both sides of a split, as tensors."""
    pairs, labels = torch.tensor(split.task.pairs), torch.tensor(split.task.labels)
    sides = {"train": split.train, "test": split.test}
    return {name: (pairs[rows].to(device), labels[rows].to(device)) for name, rows in sides.items()}


def _check_machine(n_threads: int | None, device: str) -> None:
    if n_threads is not None and n_threads < 1:
        raise ConfigError(f"n_threads={n_threads} is not allowed. Use 1 or more.")
    try:
        torch.zeros(1, dtype=torch.float64, device=device).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(f"device={device!r} cannot be used: {reason}. Use cpu.") from None


@contextmanager
def _threads(n_threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n_threads or before)
        yield
    finally:
        torch.set_num_threads(before)
