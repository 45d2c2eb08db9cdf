"""Cases of the benchmark: each measures one thing and returns numbers that JSON can hold.

They are run one per process (:mod:`grokinterp.benchmarks.processes`), so that peaks of memory
and warm caches of one do not enter another.
"""

from __future__ import annotations

import dataclasses
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grokinterp.circuits import KeyFrequencies, Snapshot, find_key_frequencies
from grokinterp.circuits.key_frequencies import N_PERMUTATIONS
from grokinterp.measures import MEASURES, by_frequency_table
from grokinterp.models import ModelSpec
from grokinterp.runs.config import PRESETS, TrainConfig
from grokinterp.runs.network import Network
from grokinterp.tasks import TaskSpec, draw_split, task_of
from grokinterp.training import train
from grokinterp.training.course import first_weights
from grokinterp.training.loop import batches_of
from grokinterp.training.optimizer import build_optimizer
from grokinterp.training.pair_table_step import (
    PAIRS_AT_A_TIME,
    PairTableEvaluation,
    PairTableStep,
)
from grokinterp.training.step import AutogradStep, Evaluation, ForwardEvaluation, TrainingStep

Seconds = list[float]


def setting_of(p: int, d_mlp: int, preset: str = "tl_demo") -> TrainConfig:
    """A transformer and its split, such as those of the Grokking_Demo notebook, at p and width."""
    base = PRESETS[preset]
    assert isinstance(base.model, ModelSpec) and isinstance(base.task, TaskSpec)
    return dataclasses.replace(
        base,
        task=dataclasses.replace(base.task, p=p),
        model=dataclasses.replace(base.model, d_mlp=d_mlp),
    )


def training_step(
    p: int, d_mlp: int, n_threads: int, n_steps: int, way: str = "fast", preset: str = "tl_demo"
) -> dict[str, Any]:
    """Time updates of the library: ``fast``, ``torch`` (without numba) or ``autograd``.

    Weights have the precision of the preset.

    Returns
    -------
    dict
        ``name`` of the step, and ``seconds`` of each update: ``train`` alone, and
        ``train_and_test`` with the test loss at every step, as the notebook does it.
    """
    torch.set_num_threads(n_threads)
    config = setting_of(p, d_mlp, preset)
    network = Network(config.model, task_of(config.task))
    batches = batches_of(network, draw_split(network.task), "cpu")
    parameters = {
        name: value.requires_grad_(network.is_trained(name))
        for name, value in first_weights(config, network, None).items()
    }
    optimizer = build_optimizer(config.optimizer, parameters)
    step, test = _ways(way, parameters, network, batches)

    def update(with_test: bool) -> None:
        step.loss_and_gradients()
        optimizer.step()
        if with_test:
            test.loss_and_accuracy()

    seconds = {
        "train": timed(lambda: update(False), n_steps),
        "train_and_test": timed(lambda: update(True), max(n_steps // 2, 1)),
    }
    return {"name": step.name, "seconds": seconds}


def _ways(
    way: str,
    parameters: dict[str, Tensor],
    network: Network,
    batches: dict[str, tuple[Tensor, Tensor]],
) -> tuple[TrainingStep, Evaluation]:
    if way == "autograd":
        return (
            AutogradStep(parameters, network, *batches["train"], "float64"),
            ForwardEvaluation(parameters, network, *batches["test"], "float64"),
        )
    spec, with_numba = network.spec, None if way == "fast" else False
    assert isinstance(spec, ModelSpec)
    return (
        PairTableStep(parameters, spec, *batches["train"], "float64", with_numba=with_numba),
        PairTableEvaluation(parameters, spec, *batches["test"], "float64", with_numba=with_numba),
    )


def standard_measures(p: int, d_mlp: int, n_threads: int, n_rounds: int) -> dict[str, Any]:
    """Time the snapshot, all standard measures and the rows of by_frequency.csv of one checkpoint.

    Returns
    -------
    dict
        ``seconds`` and ``cpu_seconds`` of each round, ``peak_mib`` of the process.
    """
    torch.set_num_threads(n_threads)
    config = setting_of(p, d_mlp)
    split = draw_split(task_of(config.task))
    parameters = Network(config.model, split.task).initial_parameters()
    keys = KeyFrequencies.given(p, frequencies_of(p))
    assert isinstance(config.model, ModelSpec)
    model = config.model

    def measure() -> None:
        snapshot = Snapshot.from_parameters(parameters, split, model, step=0)
        for one in MEASURES:
            if one.applies_to(snapshot.task, keys):
                one.values(snapshot, keys)
        by_frequency_table(snapshot)

    start = time.process_time()
    seconds = timed(measure, n_rounds)
    cpu = (time.process_time() - start) / (n_rounds + 1)
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak_mib()}


def training_memory(p: int, d_mlp: int, n_threads: int) -> dict[str, Any]:
    """Train for some steps, with tests and checkpoints, and report the peak of memory."""
    config = dataclasses.replace(setting_of(p, d_mlp), n_steps=20, checkpoint_every=10)
    with tempfile.TemporaryDirectory() as folder:
        train(config, Path(folder) / "run", n_threads=n_threads, progress=False)
    return {"peak_mib": peak_mib()}


def analysis_memory(p: int, d_mlp: int, n_threads: int, deep: bool) -> dict[str, Any]:
    """Train for some steps, analyze, write the report, and report the peak of memory."""
    from grokinterp.report import write_report
    from grokinterp.trajectory import analyze_run

    torch.set_num_threads(n_threads)
    config = dataclasses.replace(setting_of(p, d_mlp), n_steps=20, checkpoint_every=20)
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, Path(folder) / "run", n_threads=n_threads, progress=False)
        start = time.perf_counter()
        # Without key frequencies the largest tables would have nothing in them.
        analysis = analyze_run(run, key_frequencies=frequencies_of(p), deep=deep)
        write_report(analysis, Path(folder) / "report.html")
        seconds = time.perf_counter() - start
    return {"peak_mib": peak_mib(), "seconds": seconds}


def key_frequencies(p: int, d_mlp: int, n_threads: int, n_rounds: int = 1) -> dict[str, Any]:
    """Time the search for the key frequencies of one checkpoint, null distribution included.

    Returns
    -------
    dict
        ``seconds`` of each round.
    """
    torch.set_num_threads(n_threads)
    config = setting_of(p, d_mlp)
    split = draw_split(task_of(config.task))
    parameters = Network(config.model, split.task).initial_parameters()
    assert isinstance(config.model, ModelSpec)
    model = config.model

    def find() -> None:
        snapshot = Snapshot.from_parameters(parameters, split, model, step=0)
        find_key_frequencies(snapshot, n_permutations=N_PERMUTATIONS)

    return {"seconds": timed(find, n_rounds)}


def products(p: int, d_mlp: int, n_threads: int, n_rounds: int) -> dict[str, Any]:
    """Time the three products that no step can avoid, in parts as a step has them.

    Returns
    -------
    dict
        ``seconds`` of the three products of neurons and classes together, ``gflops`` of a
        square product, and ``limit_seconds`` that the three would take at that speed.
    """
    torch.set_num_threads(n_threads)
    n_pairs, side = int(0.3 * p * p), 2048
    neurons, W_L, logits = (
        torch.randn(n_pairs, d_mlp),
        torch.randn(d_mlp, p),
        torch.randn(n_pairs, p),
    )
    total, n_parts = torch.zeros(d_mlp, p), math.ceil(n_pairs / PAIRS_AT_A_TIME)
    sides = (neurons.tensor_split(n_parts), logits.tensor_split(n_parts))
    parts = [(left, right, torch.empty_like(right)) for left, right in zip(*sides, strict=True)]
    gradient = torch.empty(len(parts[0][0]), d_mlp)
    square = torch.randn(side, side)

    def three() -> None:
        for of_neurons, of_logits, out in parts:
            torch.mm(of_neurons, W_L, out=out)
            torch.mm(of_logits, W_L.T, out=gradient[: len(out)])
            total.addmm_(of_neurons.T, of_logits)

    seconds = timed(three, n_rounds)
    of_square = min(timed(lambda: torch.mm(square, square), max(n_rounds // 4, 1)))
    speed = 2 * side**3 / of_square
    limit = 3 * 2 * n_pairs * d_mlp * p / speed
    return {"seconds": seconds, "gflops": speed / 1e9, "limit_seconds": limit}


def frequencies_of(p: int) -> tuple[int, ...]:
    """Up to four frequencies that are taken for the key ones, for measures to have work."""
    return tuple(range(1, min(5, p // 2 + 1)))


def timed(function: Callable[[], object], n_rounds: int) -> Seconds:
    """Seconds of each of `n_rounds` calls, after one that is not counted."""
    function()
    seconds = []
    for _ in range(n_rounds):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return seconds


def peak_mib() -> float:
    """Most memory that this process has had, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1024 if sys.platform != "darwin" else most / 2**20
