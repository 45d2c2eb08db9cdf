"""Muon for hidden matrices, AdamW for everything else, as one optimizer of torch.

Torch's Muon takes matrices. Those of attention have a dimension for the heads, so they are seen
as one matrix: W_Q, W_K and W_V as (d_model, n_heads * d_head), what all heads read side by side;
W_O as (n_heads * d_head, d_model).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from grokinterp.runs.optimizer import OptimizerSpec

Group = dict[str, Any]


class MuonWithAdamW(torch.optim.Optimizer):
    r"""Two optimizers that share a learning rate, and look like one.

    For a hidden matrix with gradient :math:`g` and average :math:`B`:

    .. math:: B \leftarrow \mu B + (1 - \mu) g, \qquad
              W \leftarrow (1 - \eta \lambda) W
              - 0.2 \, \eta \sqrt{\max(m, n)} \; \mathrm{NS}(\mu B + (1 - \mu) g).

    NS is the Newton-Schulz iteration, which brings all singular values near 1; torch computes it
    in bfloat16, whatever the weights are. The factor for an (m, n) matrix gives the update the
    root mean square of an update of AdamW (Liu et al. 2025), so one learning rate and one weight
    decay serve both.

    Parameters
    ----------
    spec
        Learning rate, momentum and steps of Muon, betas and epsilon of AdamW.
    parameters
        All weights of the network by name.
    hidden, others
        Groups of torch: weights that Muon updates, and those that AdamW does.

    Notes
    -----
    State is kept per weight, in the weight's own shape: ``momentum_buffer``, or AdamW's moments.

    References
    ----------
    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
    kellerjordan.github.io/posts/muon. Liu et al., "Muon is scalable for LLM training",
    arXiv:2502.16982. On grokking: Tveit et al., "Muon optimizer accelerates grokking",
    arXiv:2504.16041.
    """

    def __init__(
        self,
        spec: OptimizerSpec,
        parameters: Mapping[str, Tensor],
        hidden: list[Group],
        others: list[Group],
    ) -> None:
        names = {value: name for name, value in parameters.items()}
        self._matrices = {
            value: _Matrix(names[value], value) for group in hidden for value in group["params"]
        }
        of_matrices = [
            {**group, "params": [self._matrices[value].matrix for value in group["params"]]}
            for group in hidden
        ]
        self._muon = torch.optim.Muon(
            of_matrices,
            lr=spec.learning_rate,
            momentum=spec.muon_momentum,
            nesterov=spec.muon_nesterov,
            ns_steps=spec.muon_ns_steps,
            adjust_lr_fn="match_rms_adamw",
        )
        self._adamw = torch.optim.AdamW(
            [dict(group) for group in others],
            lr=spec.learning_rate,
            betas=spec.betas,
            eps=spec.eps,
            fused=True,
        )
        super().__init__([*hidden, *others], {"lr": spec.learning_rate})
        # What is put back here when a run resumes is what AdamW reads.
        self._adamw.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move all weights by one update."""
        inner = [*self._muon.param_groups, *self._adamw.param_groups]
        for own, of_inner in zip(self.param_groups, inner, strict=True):
            of_inner["lr"] = own["lr"]
        for value, seen in self._matrices.items():
            moments = self._muon.state[seen.matrix]
            if value in self.state:
                moments["momentum_buffer"] = seen.of(self.state[value]["momentum_buffer"])
            seen.take(value)
        self._muon.step()
        self._adamw.step()
        for value, seen in self._matrices.items():
            moments = self._muon.state[seen.matrix]
            value.copy_(seen.back(seen.matrix))
            if moments:
                self.state[value]["momentum_buffer"] = seen.back(moments["momentum_buffer"])


class _Matrix:
    """A weight as one matrix, whatever dimensions it has."""

    def __init__(self, name: str, value: Tensor) -> None:
        self._heads = value.shape[0] if value.ndim == 3 else None
        self._is_output = name.endswith("W_O")
        self.matrix = self.of(value.detach())

    def of(self, tensor: Tensor) -> Tensor:
        """Return a tensor in the shape of the weight as a matrix, in its memory where it can."""
        if self._heads is None:
            return tensor
        return tensor.flatten(0, 1) if self._is_output else tensor.transpose(0, 1).flatten(1)

    def back(self, matrix: Tensor) -> Tensor:
        """Return a matrix in the shape of the weight, in the same memory."""
        if self._heads is None:
            return matrix
        if self._is_output:
            return matrix.unflatten(0, (self._heads, -1))
        return matrix.unflatten(1, (self._heads, -1)).transpose(0, 1)

    def take(self, value: Tensor) -> None:
        """Read weight and gradient."""
        self.matrix.copy_(self.of(value))
        self.matrix.grad = None if value.grad is None else self.of(value.grad)
