"""What a network answers to every pair, a few thousand pairs at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from grokinterp.models.pair_tables import pair_logits
from grokinterp.runs.importers.parameters import Network
from grokinterp.tasks import Task

_PAIRS_AT_A_TIME = 8192


def answer_table(network: Network) -> np.ndarray:
    """Return the (p, p) table of answers: the output with the largest logit."""
    p = network.order
    grid = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    found = [logits.argmax(dim=1) for _, logits in _parts(network, grid)]
    return torch.cat(found).view(p, p).numpy()


def losses_on(network: Network, task: Task) -> np.ndarray:
    """Return the cross-entropy of every pair of a task in nats: (n_pairs,) float64."""
    labels = torch.from_numpy(task.labels.copy())
    losses = []
    for rows, logits in _parts(network, torch.from_numpy(task.pairs.copy())):
        wide = logits.double()
        right = wide.gather(1, labels[rows, None])[:, 0]
        losses.append(wide.logsumexp(dim=1) - right)
    return torch.cat(losses).numpy()


def accuracy_on(table: np.ndarray, task: Task) -> float:
    """Fraction of the pairs of a task that a table of answers is right on."""
    return float((table[task.pairs[:, 0], task.pairs[:, 1]] == task.labels).mean())


def _parts(network: Network, pairs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    with torch.no_grad():
        for rows in torch.arange(len(pairs)).split(_PAIRS_AT_A_TIME):
            yield rows, pair_logits(network.parameters, network.spec, pairs[rows])
