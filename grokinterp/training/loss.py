"""Mean losses in a stated precision, with their gradients at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor
from torch.nn import functional as F

from grokinterp.training.kernel_choice import takes_kernels

DTYPES = {"float64": torch.float64, "float32": torch.float32}


def cross_entropy(
    logits: Float[Tensor, "pair c"], labels: Int[Tensor, " pair"], loss_dtype: str
) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats, with the log-softmax computed in `loss_dtype`.

    In float32 the result cannot say anything below about 1e-7, because ``1 - p`` of the
    correct answer underflows; float64 is the default everywhere. On a device that has no
    float64 the sum over the other answers is taken instead, which needs none.

    Examples
    --------
    >>> cross_entropy(torch.zeros(1, 4), torch.tensor([2]), "float64").item()  # log 4
    1.3862943611198906
    """
    if not _has(logits.device, loss_dtype):
        return _by_other_answers(logits, labels)
    return F.cross_entropy(logits.to(DTYPES[loss_dtype]), labels)


def _has(device: torch.device, loss_dtype: str) -> bool:
    """Whether a device computes in a precision."""
    return loss_dtype == "float32" or widest(device) is torch.float64


def _by_other_answers(
    logits: Float[Tensor, "pair c"], labels: Int[Tensor, " pair"]
) -> Float[Tensor, ""]:
    r"""Mean cross-entropy as :math:`\log(1 + \sum_{c \ne y} e^{l_c - l_y})`, without float64."""
    logits = logits.float()
    leads = logits - logits.gather(1, labels[:, None])
    others = leads.scatter(1, labels[:, None], -torch.inf)
    # The largest exponent is taken out where it is positive, or a wrong answer overflows.
    largest = others.detach().amax(1).clamp(min=0)
    rest = (others - largest[:, None]).exp().sum(1)
    return (largest + (rest + torch.expm1(-largest)).log1p()).mean()


def _dtype_on(device: torch.device, loss_dtype: str) -> torch.dtype:
    return DTYPES[loss_dtype] if _has(device, loss_dtype) else torch.float32


def mean_squared_error(
    outputs: Float[Tensor, "example c"], targets: Num[Tensor, "example ..."], loss_dtype: str
) -> Float[Tensor, ""]:
    """Mean of the squared errors over examples and outputs; classes become one-hot vectors.

    Examples
    --------
    >>> mean_squared_error(torch.zeros(1, 4), torch.tensor([2]), "float64").item()
    0.25
    """
    outputs = outputs.to(_dtype_on(outputs.device, loss_dtype))
    if targets.ndim == 1:
        targets = F.one_hot(targets, outputs.shape[1])
    return F.mse_loss(outputs, targets.to(outputs.dtype))


def stable_max_cross_entropy(
    logits: Float[Tensor, "pair c"], labels: Int[Tensor, " pair"], loss_dtype: str
) -> Float[Tensor, ""]:
    r"""Mean cross-entropy in nats of StableMax, a softmax that grows linearly.

    :math:`-\log(s(l_y) / \sum_c s(l_c))` with s(x) = x + 1 for x >= 0 and 1 / (1 - x) below.

    Examples
    --------
    >>> stable_max_cross_entropy(torch.zeros(1, 4), torch.tensor([2]), "float64").item()  # log 4
    1.3862943611198906

    References
    ----------
    Prieto et al., "Grokking at the edge of numerical stability", arXiv:2501.04697.
    """
    logits = logits.to(_dtype_on(logits.device, loss_dtype))
    # Where the other branch is taken the denominator must not pass through zero.
    is_negative = logits < 0
    scores = torch.where(is_negative, 1 / (1 - logits.clamp(max=0)), logits + 1)
    return (scores.sum(-1).log() - scores.gather(1, labels[:, None])[:, 0].log()).mean()


LossFunction = Callable[[Tensor, Tensor, str], Tensor]
LOSSES: dict[str, LossFunction] = {
    "cross_entropy": cross_entropy,
    "mse": mean_squared_error,
    "stable_max": stable_max_cross_entropy,
}
"""By the names of ``TrainConfig.loss``: mean loss of outputs against classes or values."""


def accuracy(logits: Float[Tensor, "pair c"], labels: Int[Tensor, " pair"]) -> Float[Tensor, ""]:
    """Fraction of pairs whose largest logit is that of the label, where the logits are.

    Examples
    --------
    >>> accuracy(torch.eye(4), torch.tensor([0, 1, 2, 0])).item()
    0.75
    """
    return (logits.argmax(-1) == labels).to(widest(logits.device)).mean()


def widest(device: torch.device) -> torch.dtype:
    """Return the most precise type that a device computes in: float32 on Apple's GPUs.

    Examples
    --------
    >>> widest(torch.device("cpu")), widest(torch.device("mps"))
    (torch.float64, torch.float32)
    """
    return torch.float32 if device.type == "mps" else torch.float64


@runtime_checkable
class BatchLoss(Protocol):
    """The share that a fixed batch has in a mean loss, and its gradient."""

    def loss(self, logits: Tensor) -> Tensor:
        """Return the share at these logits."""
        ...

    def loss_and_gradient(self, logits: Tensor, gradient: Tensor) -> Tensor:
        """Return the share at these logits and write its gradient into `gradient`."""
        ...


def batch_loss(
    name: str,
    labels: Int[Tensor, " pair"],
    n_classes: int,
    loss_dtype: str,
    *,
    n_examples: int | None = None,
    with_numba: bool | None = None,
) -> BatchLoss:
    """Return the loss of a fixed batch: cross-entropy by hand, the others through autograd.

    Where the device has no float64 and the loss asks for it, cross-entropy goes through autograd.

    Parameters
    ----------
    name, loss_dtype
        As in ``TrainConfig``.
    labels, n_classes
        Of the batch.
    n_examples
        That the mean is over, if the batch is a part of them.
    with_numba
        False: without numba even if it is installed. None: with it if it is.
    """
    n_examples = n_examples or len(labels)
    if name != "cross_entropy" or not _has(labels.device, loss_dtype):
        return AutogradLoss(LOSSES[name], labels, loss_dtype, n_examples)
    if loss_dtype == "float64" and takes_kernels(labels.device, with_numba):
        # Only now: numba need not be there, and takes its time to import.
        from grokinterp.training.fused_loss import FusedCrossEntropy

        return FusedCrossEntropy(labels, n_classes, n_examples)
    return LossBuffers(labels, n_classes, loss_dtype, n_examples)


class AutogradLoss:
    """Any loss of a fixed batch, and its gradient through autograd."""

    def __init__(
        self, function: LossFunction, targets: Tensor, loss_dtype: str, n_examples: int
    ) -> None:
        self._function, self._targets, self._loss_dtype = function, targets, loss_dtype
        self._share = len(targets) / n_examples

    def loss(self, logits: Float[Tensor, "pair c"]) -> Tensor:
        """Return the share of this batch in the mean."""
        return self._share * self._function(logits, self._targets, self._loss_dtype)

    def loss_and_gradient(
        self, logits: Float[Tensor, "pair c"], gradient: Float[Tensor, "pair c"]
    ) -> Tensor:
        """Return the share of this batch in the mean and write its gradient."""
        with torch.enable_grad():
            leaf = logits.detach().clone().requires_grad_()
            loss = self.loss(leaf)
        gradient.copy_(torch.autograd.grad(loss, leaf)[0])
        return loss.detach()


class LossBuffers:
    """Cross-entropy of a fixed batch and its gradient, with memory that is used again.

    The arithmetic is that of :func:`cross_entropy` under autograd: log-softmax in the loss
    precision, gradient (softmax - one-hot) / n in the loss precision, then rounded to the
    precision of the logits. Slingshots come from what float32 makes of it, so a shorter way to
    the same numbers would not do.
    """

    def __init__(
        self, labels: Int[Tensor, " pair"], n_classes: int, loss_dtype: str, n_examples: int
    ) -> None:
        self._labels, self._n_examples, self._loss_dtype = labels[:, None], n_examples, loss_dtype
        shape, dtype, device = (len(labels), n_classes), DTYPES[loss_dtype], labels.device
        self._logits = torch.empty(shape, dtype=dtype, device=device)
        self._log_softmax = torch.empty(shape, dtype=dtype, device=device)
        self._minus_one = torch.full((len(labels), 1), -1.0, dtype=dtype, device=device)

    def loss(self, logits: Float[Tensor, "pair c"]) -> Tensor:
        """Return the share of this batch in the mean."""
        share = len(logits) / self._n_examples
        return share * cross_entropy(logits, self._labels[:, 0], self._loss_dtype)

    def loss_and_gradient(
        self, logits: Float[Tensor, "pair c"], gradient: Float[Tensor, "pair c"]
    ) -> Tensor:
        """Return the share of this batch in the mean and write its gradient."""
        self._logits.copy_(logits)
        torch.log_softmax(self._logits, -1, out=self._log_softmax)
        loss = -self._log_softmax.gather(1, self._labels).sum() / self._n_examples
        softmax = self._log_softmax.exp_()
        softmax.scatter_add_(1, self._labels, self._minus_one)
        gradient.copy_(softmax.div_(self._n_examples))
        return loss
