"""The loss of a network of any kind as a function of one vector of its trained weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from grokinterp.circuits import Snapshot
from grokinterp.circuits.task_pairs import On
from grokinterp.errors import ConfigError
from grokinterp.models.mlp_parts import MlpParts
from grokinterp.models.module_forward import undisturbed
from grokinterp.models.module_parts import ModuleParts
from grokinterp.models.transformer import no_hook
from grokinterp.models.transformer_parts import TransformerParts
from grokinterp.runs.network import Network

Logits = Callable[[Mapping[str, Tensor], Tensor], Tensor]
"""From weights by name, and the rows of some pairs, to their logits."""


@dataclass(frozen=True, eq=False)
class NetworkLoss:
    """Mean cross-entropy in nats over some pairs, for each of several vectors of weights.

    Examples
    --------
    >>> loss = network_loss(snapshot, "train")
    >>> loss(loss.center.expand(2, -1)).round(decimals=3)
    tensor([..., ...], dtype=torch.float64)
    """

    names: tuple[str, ...]
    """Trained weights in the order of the vector."""
    shapes: tuple[tuple[int, ...], ...]
    fixed: Mapping[str, Tensor]
    """Weights that are not trained, which stay as they are."""
    center: Float[Tensor, " d"]
    """The network's own weights as a vector."""
    logits: Logits
    labels: Int[Tensor, " pair"]
    """Answer of every pair of the task."""
    rows: Int[Tensor, " example"]
    """Pairs that the loss is the mean over."""
    during: Callable[[], AbstractContextManager[None]] = nullcontext
    """What holds while it is computed."""

    def __call__(
        self,
        weights: Float[Tensor, "chain d"],
        batches: Int[Tensor, "chain batch"] | None = None,
    ) -> Float[Tensor, " chain"]:
        """Loss of each row of weights, over all pairs or over a batch for each.

        float64 from logits in the precision of the weights: n beta times a difference of losses
        is what counts.
        """
        rows = [self.rows] * len(weights) if batches is None else list(batches)
        # Chain by chain: batched by torch.func.vmap, a transformer is ten times as slow on a CPU.
        with self.during():
            pairs = zip(weights, rows, strict=True)
            return torch.stack([self._loss(w, of_chain) for w, of_chain in pairs])

    def by_name(self, weights: Float[Tensor, " d"]) -> dict[str, Tensor]:
        """Return one vector as weights by name."""
        sizes = [torch.Size(shape).numel() for shape in self.shapes]
        parts = zip(self.names, weights.split(sizes), self.shapes, strict=True)
        return {**self.fixed, **{name: part.view(shape) for name, part, shape in parts}}

    def _loss(self, weights: Float[Tensor, " d"], rows: Int[Tensor, " row"]) -> Tensor:
        logits = self.logits(self.by_name(weights), rows)
        return F.cross_entropy(logits.double(), self.labels[rows])


def network_loss(snapshot: Snapshot, on: On) -> NetworkLoss:
    """Make the loss of a snapshot's network over some pairs.

    Raises
    ------
    ConfigError
        If the network's weights are not known, or there are no such pairs.
    """
    rows = snapshot.pair_mask(on).nonzero()[:, 0]
    if not len(rows):
        known = "the split is not known" if not snapshot.split.is_known else "there are none"
        raise ConfigError(f"there is no loss over {on} pairs: {known}. Use on='all'.")
    network = snapshot.network
    network.require("weights")
    during: Callable[[], AbstractContextManager[None]] = nullcontext
    if isinstance(network, ModuleParts):
        trained, fixed, logits = _of_module(network)
        module = network.forward.module
        during = lambda: undisturbed(module, needs_gradient=True)  # noqa: E731
    else:
        trained, fixed, logits = _of_own(snapshot)
    if not trained:
        raise ConfigError("the network has no trained weights to move.")
    return NetworkLoss(
        names=tuple(trained),
        shapes=tuple(tuple(value.shape) for value in trained.values()),
        fixed=fixed,
        center=torch.cat([value.detach().flatten() for value in trained.values()]),
        logits=logits,
        labels=snapshot.labels,
        rows=rows,
        during=during,
    )


_Parts = tuple[dict[str, Tensor], dict[str, Tensor], Logits]
"""Trained weights, the others, and the way to logits."""


def _of_own(snapshot: Snapshot) -> _Parts:
    """Those of a network that this library runs."""
    parts = snapshot.network
    if not isinstance(parts, (MlpParts, TransformerParts)):
        raise ConfigError(f"{parts.in_words} cannot be run with other weights.")
    network = Network(parts.spec, snapshot.task)
    trained = {n: value for n, value in parts.weights.items() if network.is_trained(n)}
    fixed = {n: value for n, value in parts.weights.items() if n not in trained}
    pairs = torch.from_numpy(snapshot.task.pairs.copy())
    forward = network.forward_on(parts.weights, pairs)

    def logits(weights: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        return network.answers(forward(weights, no_hook, rows))

    return trained, fixed, logits


def _of_module(network: ModuleParts) -> _Parts:
    """Those of a module of anyone's; what takes no gradient stays as it is."""
    if network.changed is not None:
        raise ConfigError("the embeddings were changed. Take the snapshot of the module itself.")
    forward = network.forward
    named: dict[str, Tensor] = dict(forward.module.named_parameters())
    trained = {n: p for n, p in named.items() if p.requires_grad and p.is_floating_point()}
    # A module whose weights were frozen after training has been trained all the same.
    trained = trained or {n: p for n, p in named.items() if p.is_floating_point()}
    if len({value.dtype for value in trained.values()}) > 1:
        raise ConfigError("the module mixes precisions. Convert it first: module.float().")

    def logits(weights: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        return forward.logits_with(weights, forward.pairs[rows])

    return trained, {}, logits
