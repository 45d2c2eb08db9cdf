"""Cards of configs: what would be trained, or was, and the Python that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokinterp.cards.markup import Card
from grokinterp.reprs import listed

if TYPE_CHECKING:
    from grokinterp.runs.config import ImportedConfig, TrainConfig


def train_config_card(config: TrainConfig) -> Card:
    """Task, network, optimizer and length of a training, and its Python."""
    optimizer, task = config.optimizer, config.task
    batch = "all training examples" if config.batch_size is None else f"{config.batch_size:,}"
    decay = f", weight decay {optimizer.weight_decay:g}" if optimizer.weight_decay else ""
    return Card(
        title=f"TrainConfig: {task.in_words}",
        rows={
            "task": _trained_share(config),
            "network": config.model.in_words,
            "optimizer": f"{optimizer.algorithm}, learning rate {optimizer.learning_rate:g}{decay}",
            "loss": config.loss.replace("_", " "),
            "steps": f"{config.n_steps:,}, each on {batch}",
            "checkpoints": f"{len(config.checkpoint_steps()):,}",
            "starts from": None
            if config.parent is None
            else f"the last weights of the run of {config.parent.hash()}",
            "hash": config.hash(),
        },
        code=repr(config),
        calls={'gi.train(config, "ckpts/")': "trains it"},
    )


def _trained_share(config: TrainConfig) -> str:
    task = config.task
    fraction = getattr(task, "train_fraction", None)
    if fraction is None:
        return f"{task.in_words}, {getattr(task, 'n_train', '?')} examples to train on"
    unit = str(getattr(task, "split_unit", "pairs")).replace("_", " ")
    return f"{task.in_words}, trained on {100 * fraction:.4g}% of the {unit}"


def imported_config_card(config: ImportedConfig) -> Card:
    """Task and network of a run from elsewhere, and what nobody knows of it."""
    return Card(
        title=f"ImportedConfig: {config.task.in_words}",
        rows={
            "network": config.model.in_words,
            "not known": listed(["optimizer", "number of steps", *config.unknown]),
        },
        calls={"gi.analyze_run(run)": "explains the run that it belongs to"},
    )
