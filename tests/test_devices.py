"""What would fail on a GPU, found without one: mixed devices, and waiting at every step.

Tensors on `meta` have a device and no values, so that reading one raises. An operation on tensors
of two devices is refused here as it is there. The fused optimizers know no `meta` and run on fake
tensors on `cuda`.
"""

import dataclasses

import pandas as pd
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs import OptimizerSpec, PressureSpec
from grokinterp.runs.network import Network
from grokinterp.tasks import Task, draw_split
from grokinterp.training import pair_table_step, train
from grokinterp.training.dropout import Dropout
from grokinterp.training.loop import batches_of
from grokinterp.training.modifiers import modifiers_of
from grokinterp.training.optimizer import build_optimizer
from grokinterp.training.pair_table_step import PairTableEvaluation, PairTableStep
from grokinterp.training.perceptron_step import PerceptronEvaluation, PerceptronStep
from grokinterp.training.step import AutogradStep, ForwardEvaluation
from grokinterp.training.token_sums import TokenSums, most_pairs, starts_of
from grokinterp.training.unread_losses import UnreadLosses
from tests import tiny

LOSSES = [("cross_entropy", "float64"), ("cross_entropy", "float32"), ("mse", "float64")]
LOSSES += [("stable_max", "float64")]
NETWORKS = {
    "one layer": ModelSpec(d_model=16, n_heads=2, d_head=8, d_mlp=24),
    "two layers": ModelSpec(d_model=16, n_heads=2, d_head=8, d_mlp=24, n_layers=2),
    "a norm": ModelSpec(d_model=16, n_heads=2, d_head=8, d_mlp=24, normalization="LN"),
    "perceptron": MlpSpec(widths=(12,)),
}


class OneDevice(TorchDispatchMode):
    """Refuses an operation on tensors of several devices; numbers may come from anywhere."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        devices = {t.device.type for t in tensors if t.ndim}
        assert len(devices) < 2, f"{func} is given tensors on {devices}"
        return func(*args, **kwargs)


def on_meta(spec):
    network = Network(spec, Task(tiny.config().task))
    parameters = {
        name: torch.empty_like(value, device="meta").requires_grad_()
        for name, value in network.initial_parameters().items()
    }
    return network, parameters, batches_of(network, draw_split(network.task), "meta")


def test_what_is_looked_for_is_found():
    """A mixture and a number that is read are errors."""
    there, here = torch.zeros(3, device="meta"), torch.zeros(3)
    with OneDevice():
        assert (there + torch.tensor(1.0)).device.type == "meta"
        with pytest.raises(AssertionError, match="is given tensors on"):
            there + here
        with pytest.raises(AssertionError, match="is given tensors on"):
            here[there.long()]
        with pytest.raises(RuntimeError, match="meta"):
            there.sum().item()


@pytest.mark.parametrize(("loss", "loss_dtype"), LOSSES)
@pytest.mark.parametrize("kind", NETWORKS)
def test_steps_and_tests_stay_on_their_device_and_read_nothing(kind, loss, loss_dtype):
    spec = NETWORKS[kind]
    network, parameters, batches = on_meta(spec)
    of_loss = (loss_dtype, loss)
    with OneDevice():
        steps = [AutogradStep(parameters, network, *batches["train"], *of_loss)]
        dropout = Dropout(0.1, seed=0)
        steps.append(AutogradStep(parameters, network, *batches["train"], *of_loss, dropout))
        tests = [ForwardEvaluation(parameters, network, *batches["test"], *of_loss)]
        if kind == "one layer":
            steps.append(PairTableStep(parameters, spec, *batches["train"], *of_loss))
            tests.append(PairTableEvaluation(parameters, spec, *batches["test"], *of_loss))
        if kind == "perceptron":
            steps.append(PerceptronStep(parameters, spec, *batches["train"], *of_loss))
            tests.append(PerceptronEvaluation(parameters, spec, *batches["test"], *of_loss))
        for step in steps:
            values = [step.loss_and_gradients(3), step.accuracy()]
            assert {value.device.type for value in values} == {"meta"}
            assert {p.grad.device.type for p in parameters.values()} == {"meta"}
        for test in tests:
            assert {value.device.type for value in test.loss_and_accuracy()} == {"meta"}


@pytest.mark.parametrize(
    "pressures",
    [
        PressureSpec(l1=1e-3),
        PressureSpec(gradient_noise=1e-3),
        PressureSpec(grokfast="ema"),
        PressureSpec(grokfast="ma", grokfast_window=2),
        PressureSpec(perp_grad=True),
        PressureSpec(clamp_norm=True),
    ],
    ids=repr,
)
def test_what_changes_a_step_stays_on_its_device_and_reads_nothing(pressures):
    parameters = on_meta(NETWORKS["one layer"])[1]
    optimizer = OptimizerSpec(decay_towards="init", weight_decay=1.0)
    config = tiny.config(pressures=pressures, optimizer=optimizer)
    # The initial norm is read, once for a run.
    initial = {name: torch.zeros_like(value, device="cpu") for name, value in parameters.items()}
    pieces = modifiers_of(config, initial)
    for piece in pieces:
        if hasattr(piece, "initial"):
            piece.initial = {name: value.detach() for name, value in parameters.items()}
    assert len(pieces) == 2
    with OneDevice():
        for _ in range(3):
            for value in parameters.values():
                value.grad = torch.empty_like(value)
            for piece in pieces:
                piece.change_gradients(parameters, 0, 1e-3)
                piece.after_update(parameters)
    assert {value.grad.device.type for value in parameters.values()} == {"meta"}


# A fused SGD has no fake kernel in torch.
@pytest.mark.parametrize("algorithm", ["adamw", "adam"])
def test_an_optimizer_moves_weights_where_they_are(algorithm):
    spec = OptimizerSpec(algorithm=algorithm)
    with FakeTensorMode(), torch.no_grad():
        weight = torch.empty(4, 3, device="cuda", requires_grad=True)
        optimizer = build_optimizer(spec, {"W": weight})
        weight.grad = torch.empty(4, 3, device="cuda")
        optimizer.step()
        moments = [value for value in optimizer.state[weight].values() if value is not None]
        assert moments and {value.device.type for value in moments} == {"cuda"}


# --- devices without float64 --------------------------------------------------------------


def sure(margin, n=6, c=5):
    """Logits whose right answer leads by about a margin, and by less than nothing once."""
    logits = torch.randn(n, c, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(n) % c
    logits[torch.arange(n), labels] += margin
    logits[0, labels[0]] -= 3 * margin
    return logits, labels


@pytest.mark.parametrize("margin", [0.0, 8.0, 30.0, 80.0])
def test_without_float64_the_cross_entropy_is_that_of_float64(monkeypatch, margin):
    from grokinterp.training import loss as losses

    logits, labels = sure(margin)

    def of_pairs(logits):
        pairs = zip(logits.split(1), labels.split(1), strict=True)
        rows = [losses.cross_entropy(one, label, "float64") for one, label in pairs]
        gradients = torch.autograd.grad(torch.stack(rows).sum(), logits)[0]
        return torch.stack(rows).detach().double(), gradients.double()

    monkeypatch.setattr(losses, "widest", lambda device: torch.float32)
    found, gradients = of_pairs(logits.clone().requires_grad_())
    assert isinstance(losses.batch_loss("cross_entropy", labels, 5, "float64"), losses.AutogradLoss)
    monkeypatch.undo()
    # float64 itself is not exact where 1 - p underflows: the losses are summed over the others.
    right = logits[torch.arange(6), labels].double()[:, None]
    others = (logits.double() - right).scatter(1, labels[:, None], -torch.inf)
    exact = torch.nn.functional.softplus(others.logsumexp(1), threshold=200)
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=0)
    assert (found > 0).all()
    _, of_float64 = of_pairs(logits.double().requires_grad_())
    torch.testing.assert_close(gradients, of_float64, rtol=1e-5, atol=1e-14)
    of_float32 = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    assert bool((of_float32[1:] == 0).all()) == (margin >= 30)


# --- losses that are read together --------------------------------------------------------


def waiting(monkeypatch, most=1000):
    """Treat the CPU as a device that one has to wait for, and count how often one does."""
    from grokinterp.training import unread_losses

    n_reads = []
    read = UnreadLosses.read

    def counted(self):
        n_reads.append(len(self._losses))
        return read(self)

    def init(self, device):
        self._waits, self._losses = True, []

    monkeypatch.setattr(unread_losses, "MOST_UNREAD", most)
    monkeypatch.setattr(UnreadLosses, "__init__", init)
    monkeypatch.setattr(UnreadLosses, "read", counted)
    return n_reads


def trained(config, folder):
    run = train(config, folder, progress=False)
    weights = {step: run.parameters(step) for step in run.steps}
    return run, run.curves, weights


def assert_same_bits(one, other):
    pd.testing.assert_frame_equal(one[1], other[1], check_exact=True)
    assert one[2].keys() == other[2].keys()
    for step, weights in one[2].items():
        assert all(torch.equal(value, other[2][step][name]) for name, value in weights.items())


def test_losses_that_are_read_together_are_those_that_are_read_at_once(tmp_path, monkeypatch):
    config = tiny.config(n_steps=120, test_every=50, checkpoint_every=60)
    at_once = trained(config, tmp_path / "at once")
    n_reads = waiting(monkeypatch)
    together = trained(config, tmp_path / "together")
    assert_same_bits(together, at_once)
    wanted = {*range(0, 120, 50), *config.checkpoint_steps(), 120}
    assert len(n_reads) == len(wanted) < 120 and sum(n_reads) == 121


@pytest.mark.parametrize("most", [7, 1000])
def test_a_run_that_diverges_unnoticed_ends_where_it_diverged(tmp_path, monkeypatch, most):
    """Also if the losses after it are finite again, as those of a step that skips are."""
    compute = PairTableStep.loss_and_gradients

    def broken(self, n_updates=0):
        loss = compute(self, n_updates)
        return loss * torch.nan if n_updates == 137 else loss

    monkeypatch.setattr(PairTableStep, "loss_and_gradients", broken)
    config = tiny.config(n_steps=200, test_every=200, checkpoint_every=200)
    assert not {*range(130, 145)} & {*config.checkpoint_steps()}
    at_once = trained(config, tmp_path / "at once")
    n_reads = waiting(monkeypatch, most)
    together = trained(config, tmp_path / "together")
    assert together[0].diverged_at == at_once[0].diverged_at == 137
    assert_same_bits(together, at_once)
    assert all(n <= most for n in n_reads) and max(n_reads) > 1


def test_a_run_whose_losses_are_read_together_resumes_to_the_same_bits(tmp_path, monkeypatch):
    config = tiny.config(n_steps=90, test_every=40, checkpoint_every=30)
    whole = trained(config, tmp_path / "whole")
    waiting(monkeypatch)
    trained(dataclasses.replace(config, n_steps=60), tmp_path / "parts")
    parts = trained(config, tmp_path / "parts")
    # The first part was tested at its own last step too.
    rows = parts[1].copy()
    rows.loc[60, ["test_loss", "train_accuracy", "test_accuracy"]] = float("nan")
    assert_same_bits((None, rows, parts[2]), whole)


def test_sums_by_token_are_bags_where_additions_have_no_order(monkeypatch):
    tokens, rows = torch.tensor([2, 0, 2, 1]), torch.randn(4, 3, 2)
    expected, found = torch.ones(4, 3, 2), torch.ones(4, 3, 2)
    TokenSums(tokens, 4).add(expected, rows)
    in_bags = TokenSums(tokens.to("meta"), 4)
    assert in_bags._has_bags and not TokenSums(tokens, 4)._has_bags
    # The bags themselves, with the CPU in the device's place.
    in_bags._order, in_bags._starts = torch.argsort(tokens, stable=True), starts_of(tokens, 4)
    with OneDevice():
        in_bags.add(found, rows)
    torch.testing.assert_close(found, expected)
    with pytest.raises(AssertionError):
        in_bags._order = torch.tensor([0, 1, 2, 3])
        in_bags.add(found, rows)
        torch.testing.assert_close(found, 2 * expected - 1)


def test_a_device_works_off_its_pairs_in_few_operations():
    cut = pair_table_step.PAIRS_AT_A_TIME
    assert most_pairs(torch.device("cpu"), cut) == cut < most_pairs(torch.device("meta"), cut)
