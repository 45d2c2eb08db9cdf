"""Mean cross-entropy in nats, in a stated precision, with its gradient at hand."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

DTYPES = {"float64": torch.float64, "float32": torch.float32}


def cross_entropy(
    logits: Float[Tensor, "pair c"], labels: Int[Tensor, " pair"], loss_dtype: str
) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats, with the log-softmax computed in `loss_dtype`.

    In float32 the result cannot say anything below about 1e-7, because ``1 - p`` of the
    correct answer underflows; float64 is the default everywhere.

    Examples
    --------
    >>> cross_entropy(torch.zeros(1, 4), torch.tensor([2]), "float64").item()  # log 4
    1.3862943611198906
    """
    return F.cross_entropy(logits.to(DTYPES[loss_dtype]), labels)


def accuracy(logits: Float[Tensor, "pair c"], labels: Int[Tensor, " pair"]) -> float:
    """Fraction of pairs whose largest logit is that of the label.

    Examples
    --------
    >>> accuracy(torch.eye(4), torch.tensor([0, 1, 2, 0]))
    0.75
    """
    return (logits.argmax(-1) == labels).double().mean().item()


class LossBuffers:
    """Cross-entropy of a fixed batch and its gradient, with memory that is used again.

    The arithmetic is that of :func:`cross_entropy` under autograd: log-softmax in the loss
    precision, gradient (softmax - one-hot) / n in the loss precision, then rounded to the
    precision of the logits.
    """

    def __init__(self, labels: Int[Tensor, " pair"], n_classes: int, loss_dtype: str) -> None:
        self._labels = labels[:, None]
        shape, dtype, device = (len(labels), n_classes), DTYPES[loss_dtype], labels.device
        self._logits = torch.empty(shape, dtype=dtype, device=device)
        self._log_softmax = torch.empty(shape, dtype=dtype, device=device)
        self._minus_one = torch.full((len(labels), 1), -1.0, dtype=dtype, device=device)

    def loss_and_gradient(
        self, logits: Float[Tensor, "pair c"], gradient: Float[Tensor, "pair c"]
    ) -> Tensor:
        """Return the loss of `logits` and write its gradient into `gradient`."""
        self._logits.copy_(logits)
        torch.log_softmax(self._logits, -1, out=self._log_softmax)
        loss = -self._log_softmax.gather(1, self._labels).mean()
        softmax = self._log_softmax.exp_()
        softmax.scatter_add_(1, self._labels, self._minus_one)
        gradient.copy_(softmax.div_(len(logits)))
        return loss
