"""The network of a config on its task: shapes, initial weights, inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.initialization import (
    initial_parameters,
    is_trained,
    parameter_shapes,
    tie,
)
from grokinterp.models.mlp import first_mlp_parameters, first_outputs, mlp_outputs
from grokinterp.models.pair_tables import pair_logits
from grokinterp.models.shared_prefix import is_prefix_shared, shared_prefix_logits
from grokinterp.models.transformer import Hook, input_tokens, no_hook, transformer_logits
from grokinterp.tasks import Examples, Task


@runtime_checkable
class Forward(Protocol):
    """Forward pass on inputs that were prepared once."""

    def __call__(
        self, weights: Mapping[str, Tensor], hook: Hook, rows: Tensor | None = None
    ) -> Tensor:
        """Outputs on all these inputs, or on some rows of them."""
        ...


@dataclass(frozen=True, eq=False)
class Network:
    """A transformer or a multilayer perceptron on one task.

    Examples
    --------
    >>> from grokinterp.tasks import TaskSpec
    >>> network = Network(MlpSpec(widths=(16,)), Task(TaskSpec(p=5)))
    >>> network.outputs(network.initial_parameters(), network.inputs[:3]).shape
    torch.Size([3, 5])
    """

    spec: ModelSpec | MlpSpec
    """Shape of the network."""
    task: Examples
    """What it learns."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter, in the order of drawing."""
        if isinstance(self.spec, MlpSpec):
            return self.spec.parameter_shapes(self.task.n_inputs, self.task.n_outputs)
        return parameter_shapes(self.spec, **self._vocabulary_sizes(self.spec))

    def initial_parameters(self) -> dict[str, Tensor]:
        """Draw the initial weights: float32 on the CPU."""
        if isinstance(self.spec, MlpSpec):
            return first_mlp_parameters(self.spec, self.task.n_inputs, self.task.n_outputs)
        return initial_parameters(self.spec, **self._vocabulary_sizes(self.spec))

    def _vocabulary_sizes(self, spec: ModelSpec) -> dict[str, int]:
        n_answers = self.task.n_outputs
        return spec.vocabulary_sizes(getattr(self.task, "n_tokens", n_answers), n_answers)

    def is_trained(self, name: str) -> bool:
        """Whether a parameter is trained."""
        if isinstance(self.spec, MlpSpec):
            return self.spec.is_trained(name)
        return is_trained(name, self.spec)

    @property
    def inputs(self) -> Tensor:
        """Inputs of every example: (n, 2) tokens of pairs, or (n, n_inputs) vectors."""
        return torch.tensor(self.task.pairs if isinstance(self.task, Task) else self.task.inputs)

    @property
    def targets(self) -> Tensor:
        """What every example should give: (n,) classes, or (n, n_outputs) values."""
        task = self.task
        return torch.tensor(task.labels if task.is_classification else task.targets)

    def outputs(self, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """Outputs, one row per example; logits where there are classes."""
        if isinstance(self.spec, MlpSpec):
            return mlp_outputs(parameters, inputs, self.spec)
        return pair_logits(parameters, self.spec, inputs)

    def answers(self, outputs: Tensor) -> Tensor:
        """Columns of the outputs that are answers of the task: the first ones.

        With ``outputs=tokens`` a transformer has one more output for each sign. These are trained,
        so they enter the losses and accuracies of curves.csv.
        """
        return outputs[..., : self.task.n_outputs]

    def after_update(self, parameters: dict[str, Tensor]) -> None:
        """Update weights that are not trained but follow others."""
        if isinstance(self.spec, ModelSpec):
            tie(parameters, self.spec)

    def forward_on(self, parameters: Mapping[str, Tensor], inputs: Tensor) -> Forward:
        """Prepare the forward pass for a batch that stays the same.

        Returns
        -------
        Callable[[parameters, hook, rows], Tensor]
            Outputs on that batch, or on some rows of it; differentiable.
        """
        spec = self.spec
        if isinstance(spec, ModelSpec):
            d_vocab = len(parameters["embed.W_E"])
            tokens = input_tokens(inputs, spec, d_vocab)

            def forward(
                weights: Mapping[str, Tensor], hook: Hook, rows: Tensor | None = None
            ) -> Tensor:
                pairs = inputs if rows is None else inputs[rows]
                if hook is no_hook and is_prefix_shared(spec, d_vocab, pairs):
                    return shared_prefix_logits(weights, pairs, spec)
                some = tokens if rows is None else tokens[rows]
                # Masks of dropout are drawn for all positions.
                last_only = hook is no_hook
                return transformer_logits(weights, some, spec, hook, last_only=last_only)[:, -1]

            return forward
        # The outputs of the initial weights do not change, so they are computed once.
        at_first = first_outputs(parameters, inputs, spec) if spec.is_centered else None
        plain = replace(spec, is_centered=False)

        def perceptron(
            weights: Mapping[str, Tensor], hook: Hook, rows: Tensor | None = None
        ) -> Tensor:
            outputs = mlp_outputs(weights, inputs if rows is None else inputs[rows], plain, hook)
            if at_first is None:
                return outputs
            return outputs - (at_first if rows is None else at_first[rows])

        return perceptron
