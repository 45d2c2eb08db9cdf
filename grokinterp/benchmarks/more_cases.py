"""Cases of the benchmark beside the one-layer network: perceptrons, many seeds, devices."""

from __future__ import annotations

import csv
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from grokinterp.benchmarks.cases import setting_of, timed
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs.config import PRESETS, TrainConfig
from grokinterp.runs.network import Network
from grokinterp.tasks import TaskSpec, draw_split, task_of
from grokinterp.training import train, train_many
from grokinterp.training.loop import batches_of
from grokinterp.training.perceptron_step import PerceptronStep
from grokinterp.training.step import AutogradStep


def perceptron_step(preset: str, n_threads: int, n_steps: int, way: str) -> dict[str, Any]:
    """Time losses and gradients of a preset's perceptron, ``exact`` or by ``autograd``.

    Returns
    -------
    dict
        ``name`` of the step and ``seconds`` of each.
    """
    torch.set_num_threads(n_threads)
    config = PRESETS[preset]
    network = Network(config.model, task_of(config.task))
    batch = batches_of(network, draw_split(network.task), "cpu")["train"]
    parameters = {
        name: value.requires_grad_(network.is_trained(name))
        for name, value in network.initial_parameters().items()
    }
    of_loss = (config.loss_dtype, config.loss)
    assert isinstance(config.model, MlpSpec)
    step = (
        PerceptronStep(parameters, config.model, *batch, *of_loss)
        if way == "exact"
        else AutogradStep(parameters, network, *batch, *of_loss)
    )
    return {"name": step.name, "seconds": timed(step.loss_and_gradients, n_steps)}


def many_seeds(
    p: int, d_model: int, n_members: int, n_steps: int, together: bool
) -> dict[str, Any]:
    """Time whole runs on one thread, in one call of ``train_many`` or one after another.

    Returns
    -------
    dict
        ``seconds`` per network and step, files included.
    """
    configs = _seeds(p, d_model, n_members, n_steps)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        # What is compiled or loaded at the first step is not counted.
        train(dataclasses.replace(configs[0], n_steps=2), Path(folder) / "first", progress=False)
        start = time.perf_counter()
        if together:
            train_many(configs, Path(folder) / "many", n_threads=1, progress=False)
        else:
            for config in configs:
                train(config, Path(folder) / config.hash(), n_threads=1, progress=False)
        seconds = time.perf_counter() - start
    return {"seconds": seconds / (n_members * n_steps)}


def device_runs(p: int, d_mlp: int, device: str, n_steps: int, n_members: int) -> dict[str, Any]:
    """Train on a device, one network or many at once, and time the second half of the steps.

    Returns
    -------
    dict
        ``name`` of the step, ``seconds`` per network and step, ``device`` in words.
    """
    config = dataclasses.replace(
        setting_of(p, d_mlp), n_steps=n_steps, test_every=100, checkpoint_every=n_steps // 2
    )
    assert isinstance(config.model, ModelSpec)
    model = config.model
    configs = [
        dataclasses.replace(config, model=dataclasses.replace(model, init_seed=seed))
        for seed in range(n_members)
    ]
    with tempfile.TemporaryDirectory() as folder:
        if n_members == 1:
            path = Path(folder) / "run"
            run = train(config, path, device=device, progress=False)
        else:
            path = Path(folder) / configs[0].hash()
            run = train_many(configs, folder, device=device, progress=False)[0]
        with (path / "timing.csv").open() as file:
            at = {int(row["step"]): float(row["seconds"]) for row in csv.DictReader(file)}
        name = run.environment["training_step"]
    seconds = (at[n_steps] - at[n_steps // 2]) / (n_steps - n_steps // 2)
    is_cuda = torch.device(device).type == "cuda"
    words = torch.cuda.get_device_name(device) if is_cuda else device
    # Each member's clock has its share of a step.
    return {"name": name, "seconds": seconds, "device": words}


def _seeds(p: int, d_model: int, n_members: int, n_steps: int) -> list[TrainConfig]:
    """Networks of 4 d_model neurons that differ in their initial weights."""
    base = setting_of(p, 4 * d_model)
    assert isinstance(base.model, ModelSpec) and isinstance(base.task, TaskSpec)
    model = dataclasses.replace(base.model, d_model=d_model, d_head=d_model // 4)
    task = dataclasses.replace(base.task, train_fraction=0.4)
    return [
        dataclasses.replace(
            base,
            task=task,
            model=dataclasses.replace(model, init_seed=seed),
            n_steps=n_steps,
            checkpoint_every=n_steps,
        )
        for seed in range(n_members)
    ]
