"""What the flags of a command say about other people's files: only flags that were typed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from grokinterp.errors import ConfigError
from grokinterp.models.mlp_spec import Combination, MlpEmbedding
from grokinterp.models.spec import (
    AttentionDirection,
    InputFormat,
    Normalization,
    NormPosition,
    Outputs,
    Positions,
)
from grokinterp.tasks import TaskSpec

if TYPE_CHECKING:
    from grokinterp.runs.importers.hints import Hints

Activation = Literal["relu", "gelu", "gelu_new", "silu", "tanh", "square", "linear_quadratic"]


@dataclass(frozen=True)
class GivenModel:
    """What weights do not show of a network; whatever is not typed is read from the file."""

    n_heads: int = 4
    """Heads per block, which joint matrices of all heads do not show."""
    act_fn: Activation = "relu"
    """Activation of the neurons."""
    input_format: InputFormat = "a_b_equals"
    """Input sequence of a transformer."""
    attention_dir: AttentionDirection = "causal"
    """Whether positions attend to those after them."""
    attention_rate: float = 1.0
    """Attention rate of Zhong et al., 0 to 1."""
    normalization: Normalization = "none"
    """Norm of the residual stream; LNPre and RMSPre have no weights."""
    norm_position: NormPosition = "before"
    """Where the norm stands."""
    norm_epsilon: float = 1e-5
    """Added before the square root of a norm."""
    positions: Positions = "learned"
    """Position embeddings."""
    outputs: Outputs = "answers"
    """Whether every input token has an output, or every answer."""
    embedding: MlpEmbedding = "none"
    """Embedding of a perceptron."""
    combination: Combination = "concatenated"
    """How a perceptron joins a and b."""
    curvature: float = 1.0
    """epsilon of linear_quadratic."""


def typed(arguments: Iterable[str], group: str) -> list[str]:
    """Fields of a group of flags that were typed, such as ``p`` of ``--task.p=23``.

    Examples
    --------
    >>> typed(["file.pt", "--task.group-table=t.csv", "--task.p", "23"], "task")
    ['group_table', 'p']
    """
    start = f"--{group}."
    words = (word for word in arguments if word.startswith(start))
    return [word.removeprefix(start).partition("=")[0].replace("-", "_") for word in words]


def hints_of(
    task: TaskSpec, model: GivenModel, train_pairs: Path | None, arguments: list[str]
) -> Hints:
    """Collect what was typed about files that are not modules of the user's own.

    Raises
    ------
    ConfigError
        If flags say how the pairs were split, or a file of pairs cannot be read.
    """
    from grokinterp.runs.importers.hints import TASK_FIELDS, Hints

    names = typed(arguments, "task")
    for name in names:
        if name not in TASK_FIELDS:
            raise ConfigError(
                f"--task.{name.replace('_', '-')} says how pairs are drawn, and the split of a "
                "file is not drawn again. Give its training pairs with --train-pairs FILE."
            )
    pairs = None
    if train_pairs is not None:
        from grokinterp.runs.module_files import read_pairs

        pairs = read_pairs(train_pairs)
    return Hints(
        {name: getattr(task, name) for name in names},
        {name: getattr(model, name) for name in typed(arguments, "model")},
        pairs,
    )
