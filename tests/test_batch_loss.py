"""Cross-entropy and its gradient in one pass, by torch and by numba's kernel."""

import math

import pytest
import torch

from grokinterp.training.kernel_choice import has_numba
from grokinterp.training.loss import LOSSES, batch_loss, cross_entropy

WAYS = {"torch": False, "numba": None}


@pytest.fixture(params=WAYS)
def loss_of(request):
    """Build the loss of a batch in each way that this machine has."""
    if request.param == "numba" and not has_numba():
        pytest.skip("numba is not installed (the extra fast), or switched off")

    def build(name, labels, n_classes, loss_dtype="float64", **named):
        chosen = {"with_numba": WAYS[request.param], **named}
        return batch_loss(name, labels, n_classes, loss_dtype, **chosen)

    return build


def examples(scale, n_pairs=37, n_classes=11, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    logits = scale * torch.randn(n_pairs, n_classes, generator=generator, dtype=dtype)
    return logits, torch.randint(n_classes, (n_pairs,), generator=generator)


def by_autograd(name, logits, labels, loss_dtype="float64"):
    leaf = logits.clone().requires_grad_()
    loss = LOSSES[name](leaf, labels, loss_dtype)
    return loss.detach(), torch.autograd.grad(loss, leaf)[0]


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 30.0, 400.0, 1e5])
def test_loss_and_gradient_are_those_of_autograd_at_every_size_of_logits(scale, loss_of):
    logits, labels = examples(scale)
    expected, gradient = by_autograd("cross_entropy", logits, labels)
    found = torch.full_like(logits, torch.nan)
    part = loss_of("cross_entropy", labels, logits.shape[1])
    loss = part.loss_and_gradient(logits, found)
    torch.testing.assert_close(loss, expected, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(found, gradient, rtol=1e-13, atol=1e-17)
    torch.testing.assert_close(part.loss(logits), expected, rtol=1e-14, atol=1e-15)


def test_a_loss_far_below_float32_keeps_its_digits(loss_of):
    logits, labels = torch.zeros(4, 5), torch.arange(4)
    logits[torch.arange(4), labels] = 27.0
    expected = math.log1p(4 * math.exp(-27.0))
    gradient = torch.empty_like(logits)
    loss = loss_of("cross_entropy", labels, 5).loss_and_gradient(logits, gradient)
    assert loss.item() == pytest.approx(expected, abs=1e-15)
    assert expected < 1e-11
    assert gradient[0, 1].item() == pytest.approx(math.exp(-27.0) / 4, rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("column", [0, 7])
def test_what_is_not_finite_shows_in_the_loss(bad, column, loss_of):
    logits, labels = examples(1.0)
    logits[5, column] = bad
    gradient = torch.empty_like(logits)
    loss = loss_of("cross_entropy", labels, 11).loss_and_gradient(logits, gradient)
    assert not math.isfinite(loss.item())
    assert math.isnan(cross_entropy(logits, labels, "float64").item())


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("loss_dtype", ["float64", "float32"])
def test_the_shares_of_the_parts_add_up_to_the_mean(name, loss_dtype, loss_of):
    logits, labels = examples(2.0, dtype=torch.float32)
    expected, gradient = by_autograd(name, logits, labels, loss_dtype)
    found, total = torch.empty_like(logits), 0.0
    for rows in (slice(0, 12), slice(12, 37)):
        part = loss_of(name, labels[rows], 11, loss_dtype, n_examples=37)
        total += part.loss_and_gradient(logits[rows], found[rows]).item()
    assert total == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(found, gradient, rtol=1e-5, atol=1e-8)
