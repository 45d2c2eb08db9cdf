"""The networks of Chughtai et al. 2023 on groups: ``model.pt`` beside ``cfg.json``.

Transformers are state dicts of TransformerLens, with two copies of the embedding, ``x_embed`` and
``y_embed``, beside. Perceptrons have an embedding for each operand and no biases:
``logits = relu([W_x[x], W_y[y]] W) W_U``. The group is that of the config. The elements of cyclic
and dihedral groups are in the order of this library; those of the others are not, so they are
found in the network's own table of answers. The split is ``torch.randperm`` after the seed, which
the losses in ``summary_metrics.json`` confirm.

References
----------
Chughtai et al., "A toy model of universality: reverse engineering how networks learn group
operations", ICML 2023, arXiv:2302.03025, published code and checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grokinterp.errors import CheckpointError, ConfigError, RunFolderError
from grokinterp.fields import shown
from grokinterp.models import MlpSpec
from grokinterp.runs.importers.answers import Answers, accuracy_on
from grokinterp.runs.importers.assembly import LARGEST_STEP, imported_run, listed, quoted
from grokinterp.runs.importers.evidence import Reading, find_reading
from grokinterp.runs.importers.explanations import CLAIMED_FROM
from grokinterp.runs.importers.foreign_files import (
    ForeignPath,
    Importer,
    plain_fields,
    read_foreign_file,
)
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.inferred_splits import find_split
from grokinterp.runs.importers.parameters import Network, read_network
from grokinterp.runs.reading import read_json_table
from grokinterp.runs.record import ImportedRun, WeightsInMemory
from grokinterp.tasks import Split, Task, TaskSpec

_MODEL, _CONFIG, _SUMMARY = "model.pt", "cfg.json", "summary_metrics.json"
_PERCEPTRON = ("W_x", "W_y", "W", "W_U")
_COPIES = ("x_embed", "y_embed")
_GROUPS = {
    "CyclicGroup": "cyclic",
    "DihedralGroup": "dihedral",
    "AlternatingGroup": "alternating",
    "SymmetricGroup": "symmetric",
}
_CLOSE = 1e-3
"""Relative: means of published losses agree to six digits, means over another split do not."""


def objection(source: ForeignPath) -> str:
    """Say why a path is no such network; empty if it is."""
    folder = source.path if source.path.is_dir() else source.path.parent
    if not (folder / _CONFIG).is_file():
        return f"no {_CONFIG} with it"
    file = _file(source)
    if not file.is_file():
        return f"no {_MODEL} in it"
    if "group" not in _table(folder / _CONFIG):
        return f"its {_CONFIG} names no group"
    state = _state(source)
    is_theirs = set(_PERCEPTRON) <= set(state) or {*_COPIES, "embed.W_E"} <= set(state)
    return "" if is_theirs else "neither W_x, W_y, W and W_U nor x_embed and embed.W_E"


def load(source: ForeignPath, hints: Hints = NO_HINTS) -> ImportedRun:
    """Read the network, and find its group, the order of its elements and its split."""
    file = _file(source)
    config, summary = _table(file.with_name(_CONFIG)), _table(file.with_name(_SUMMARY))
    network = _network(_state(source))
    hints.require_model(network.spec)
    is_given = hints.task_on(network.order) is not None
    reading = find_reading([network], hints=hints) if is_given else _of_config(network, config)
    split, how = _split(reading, config, summary)
    loss = float(reading.losses.mean())
    is_known = is_given or split.is_known or hints.train_pairs is not None
    unproven = () if is_known else _doubt_of_config(reading, loss)
    epochs = config.get("num_epochs")
    is_step = isinstance(epochs, int) and not isinstance(epochs, bool) and 0 < epochs < LARGEST_STEP
    step = epochs if isinstance(epochs, int) and is_step else 0
    when = f"step {step:,}, as its {_CONFIG} says" if step else "an unknown step, shown as 0"
    return imported_run(
        source,
        WeightsInMemory({step: network.parameters}),
        network.spec,
        split,
        origin=[
            f"imported from {_shown_path(source)} (chughtai2023): the weights at {when}.",
            *network.notes,
            f"{reading.account} Its loss over all pairs is {loss:.5g} nats{_said_loss(summary)}.",
            how,
            quoted(plain_fields(config)),
            listed(network.ignored),
        ],
        doubts=(*reading.doubts, *_doubts(loss, summary), *unproven),
    )


@dataclass(frozen=True, eq=False)
class _Found:
    """A task, how often the network is right on it, and how it was found."""

    task: Task
    accuracy: float
    account: str


def _file(source: ForeignPath) -> Path:
    return source.path / _MODEL if source.path.is_dir() else source.path


def _shown_path(source: ForeignPath) -> str:
    path = source.path
    return f"the folder {path.name}" if path.is_dir() else f"{path.parent.name}/{path.name}"


def _state(source: ForeignPath) -> Mapping[str, Any]:
    content = read_foreign_file(_file(source)) if source.path.is_dir() else source.content
    return content if isinstance(content, Mapping) else {}


def _table(path: Path) -> Mapping[str, Any]:
    """A JSON table; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        return read_json_table(path)
    except (OSError, ValueError, RunFolderError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Fetch it again.") from None


def _network(state: Mapping[str, Any]) -> Network:
    if set(_PERCEPTRON) <= set(state):
        return _perceptron(state)
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    rest = {name: value for name, value in tensors.items() if name not in _COPIES}
    n_answers = rest["unembed.W_U"].shape[-1] if "unembed.W_U" in rest else None
    network = read_network(rest, n_answers=n_answers)
    for name in _COPIES:
        copy = tensors.get(name, torch.empty(0))
        if not torch.equal(copy.cpu().float(), network.parameters["embed.W_E"]):
            raise CheckpointError(
                f"its {name} differs from embed.W_E, of which the published files hold a copy. "
                "Remove it if the network does not read it."
            )
    note = "x_embed and y_embed are copies of embed.W_E."
    return Network(**{**vars(network), "notes": (note,)})


def _perceptron(state: Mapping[str, Any]) -> Network:
    kept: dict[str, Tensor] = {}
    for name in _PERCEPTRON:
        value = state[name]
        if not isinstance(value, Tensor) or value.ndim != 2 or not value.is_floating_point():
            raise CheckpointError(f"its {name} is no matrix of numbers. Fetch the file again.")
        if not torch.isfinite(value).all():
            raise CheckpointError(
                f"weights that are not finite in {name}. The run diverged; take an earlier "
                "checkpoint."
            )
        kept[name] = value.detach().to("cpu", torch.float32).contiguous()
    W_x, W_y, W, W_U = kept.values()
    spec = MlpSpec(widths=(W.shape[1],), embedding="separate", d_embed=W_x.shape[1])
    named = {"embed.W_A": W_x, "embed.W_B": W_y, "layers.0.W": W, "layers.1.W": W_U}
    shapes = spec.parameter_shapes(2 * len(W_x), len(W_x))
    found = {name: tuple(value.shape) for name, value in named.items()}
    if found != shapes:
        sizes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in kept.items())
        raise CheckpointError(f"its matrices do not fit together: {sizes}. Fetch the file again.")
    note = "The network is relu([W_x[a], W_y[b]] W) W_U."
    ignored = tuple(sorted(str(name) for name in set(state) - set(_PERCEPTRON)))
    return Network(named, spec, len(W_x), None, ignored, notes=(note,))


def _of_config(network: Network, config: Mapping[str, Any]) -> Reading:
    """The task of the config, its elements in our order or in that of the network's answers."""
    answers = Answers.of(network)
    found = _task_of(answers.table, config)
    losses = answers.losses_of(found.task)
    return Reading(network, found.task, found.accuracy, losses, found.account)


def _task_of(answers: np.ndarray, config: Mapping[str, Any]) -> _Found:
    word, number = _GROUPS.get(str(config["group"])), config.get("group_parameter")
    if word is None or not isinstance(number, int):
        raise CheckpointError(
            f"its {_CONFIG} has group={shown(config['group'])} with group_parameter="
            f"{shown(number)}, which is not known here. Name the task: gi.load_run(path, "
            "task=gi.TaskSpec(operation='group', group=...))."
        )
    try:
        return _of_group(answers, word, number)
    except ConfigError as error:
        raise CheckpointError(
            f"its {_CONFIG} has group={config['group']} with group_parameter={number}, which the "
            f"network does not do: {error}"
        ) from None


def _of_group(answers: np.ndarray, word: str, number: int) -> _Found:
    name = f"{word}({number})"
    fields: dict[str, Any] = {"operation": "group", "group": name}
    if word == "cyclic":
        fields = {"operation": "addition", "p": number}
    natural = Task(TaskSpec(**fields))
    if natural.n_tokens != len(answers):
        raise ConfigError(f"{name} has {natural.n_tokens} elements, it has {len(answers)} operands")
    accuracy = accuracy_on(answers, natural)
    if accuracy > 0.5:
        words = "residues" if word == "cyclic" else "elements"
        account = (
            f"The operation is that of its {_CONFIG}: {_right(natural, accuracy)}; the {words}"
        )
        return _Found(natural, accuracy, f"{account} are in the order of this library.")
    task = Task(TaskSpec(operation="group", group=name, group_table=answers))
    assert task.group_view is not None and task.group_view.group is not None
    accuracy = accuracy_on(answers, task)
    generators = task.group_view.group.generators
    tokens = [int(task.group_view.class_tokens[g]) for g in generators]
    elements, tokens = (" and ".join(map(str, numbers)) for numbers in (generators, tokens))
    return _Found(
        task,
        accuracy,
        f"The operation is that of its {_CONFIG}: {_right(task, accuracy)}. The elements are in an "
        f"order of their own, found as an isomorphism of the network's table of answers: elements "
        f"{elements} of {name} here, which generate it, are tokens {tokens} of the file. Another "
        "isomorphism differs by an automorphism, which may rename representations.",
    )


def _right(task: Task, accuracy: float) -> str:
    return f"{task.spec.in_words}, right on {accuracy:.2%} of all pairs"


def _split(
    reading: Reading, config: Mapping[str, Any], summary: Mapping[str, Any]
) -> tuple[Split, str]:
    """The split that their code draws, if the losses of the summary, or ranks, confirm it."""
    seed, fraction = config.get("seed"), config.get("frac_train")
    is_seed = isinstance(seed, int) and 0 <= seed < 2**32
    if not isinstance(seed, int) or not is_seed or not isinstance(fraction, float):
        return Split.unknown(reading.task), "Which pairs were trained on is not known."
    if not 0 < fraction < 1:
        return Split.unknown(reading.task), "Which pairs were trained on is not known."
    log: dict[str, float] = {}
    for side in ("train", "test"):
        loss = _number(summary.get(f"{side}_loss"))
        if loss is not None:
            log |= {side: loss, f"{side}_tolerance": _CLOSE}
    return find_split(
        reading, method="torch_randperm", seeds=(seed,), fractions=(fraction,), log=log or None
    )


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) and value > 0 else None


def _said_loss(summary: Mapping[str, Any]) -> str:
    names = ("all_loss", "train_loss", "test_loss")
    said = {name: _number(summary.get(name)) for name in names}
    words = ", ".join(f"{name} {value:.5g}" for name, value in said.items() if value is not None)
    return f" ({_SUMMARY} says {words})" if words else ""


def _doubt_of_config(reading: Reading, loss: float) -> tuple[str, ...]:
    """Doubt the group of the config where the network is sure of other answers."""
    is_guessing = loss < 1.1 * math.log(reading.task.n_classes)
    if reading.accuracy >= CLAIMED_FROM or is_guessing:
        return ()
    return (
        f"Its {_CONFIG} says {reading.task.spec.in_words}, but only {reading.accuracy:.1%} of all "
        "pairs are right and the training pairs are not known: name the task if it is another one.",
    )


def _doubts(loss: float, summary: Mapping[str, Any]) -> tuple[str, ...]:
    said = _number(summary.get("all_loss"))
    if said is None or abs(loss - said) <= _CLOSE * said:
        return ()
    return (
        f"Its loss over all pairs is {loss:.5g} nats, but {_SUMMARY} says {said:.5g}: the network "
        "or the order of its elements may be read wrongly.",
    )


IMPORTER = Importer("chughtai2023", objection, load)
