"""What a network answers to pairs, and how sure it is of the right answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from grokinterp.models.pair_tables import pair_logits
from grokinterp.runs.importers.parameters import Network
from grokinterp.tasks import Task


@dataclass(frozen=True, eq=False)
class Answers:
    """Logits of one reading on some pairs of tokens."""

    network: Network
    pairs: np.ndarray
    """(n, 2) a and b."""
    logits: Tensor
    """(n, answers) float32."""
    normalizers: np.ndarray
    """(n,) float64: logarithm of the sum of exponentials over all outputs the file has."""

    @classmethod
    def of(cls, network: Network, pairs: np.ndarray | None = None) -> Answers:
        """Run a network on pairs; None: on all p * p of them, a-major."""
        p = network.order
        if pairs is None:
            pairs = np.stack(np.divmod(np.arange(p * p), p), axis=1)
        grid = torch.tensor(pairs)
        with torch.no_grad():
            whole = _all_logits(network, grid)
            parts = [part.double().logsumexp(dim=1) for part in whole.split(8192)]
        extra = network.extra_output
        n_answers = whole.shape[1] - (0 if extra is None else extra.shape[1])
        return cls(network, pairs, whole[:, :n_answers], torch.cat(parts).numpy())

    @property
    def answers(self) -> np.ndarray:
        """(n,) the answer to each pair."""
        return self.logits.argmax(dim=1).numpy()

    @property
    def table(self) -> np.ndarray:
        """(p, p) the answers, if all pairs were run."""
        return self.answers.reshape(self.network.order, -1)

    def losses(self, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Cross-entropy of some of the pairs, in nats, float64, over all outputs the file has."""
        right = self.logits[torch.tensor(rows), torch.tensor(labels)].double().numpy()
        return self.normalizers[rows] - right

    def losses_of(self, task: Task) -> np.ndarray:
        """Cross-entropy of every pair of a task, if all pairs were run."""
        return self.losses(rows_in_grid(task), task.labels)


def rows_in_grid(task: Task) -> np.ndarray:
    """Row ``a * p + b`` of every pair of a task."""
    return task.pairs[:, 0] * task.n_tokens + task.pairs[:, 1]


def accuracy_on(table: np.ndarray, task: Task) -> float:
    """Fraction of the pairs of a task that a (p, p) table of answers is right on."""
    return float((table[task.pairs[:, 0], task.pairs[:, 1]] == task.labels).mean())


def _all_logits(network: Network, grid: Tensor) -> Tensor:
    """Logits with those of the tokens of signs, which counted in logged losses."""
    extra, weights = network.extra_output, network.parameters
    if extra is not None:
        W_U = torch.cat([weights["unembed.W_U"], extra], dim=1)
        b_U = torch.cat([weights["unembed.b_U"], torch.zeros(extra.shape[1])])
        weights = {**weights, "unembed.W_U": W_U, "unembed.b_U": b_U}
    return pair_logits(weights, network.spec, grid)
