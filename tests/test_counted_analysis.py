"""What the measures of a checkpoint cost, counted: forward passes and readings of the logits."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from grokinterp.circuits import KeyFrequencies, Snapshot
from grokinterp.circuits.memorization import (
    excluded_accuracy,
    excluded_losses_by_frequency,
    excluded_pair_losses,
)
from grokinterp.circuits.neuron_losses import _MOST_PIECES, _groups, losses_without_each
from grokinterp.circuits.trigonometric import trigonometric_component
from grokinterp.measures import MEASURES, by_frequency_table
from grokinterp.models import ModelSpec
from grokinterp.models.loss import are_correct, pair_losses
from grokinterp.models.pair_activations import pair_activations
from grokinterp.models.pair_tables import forward_tables, pair_tables
from grokinterp.spectra import cyclic_harmonics, permuted_power_quantile
from grokinterp.spectra.permuted_power import in_fewer_directions
from tests import planted
from tests.tolerances import EXACT64, FLOAT32

P = 31
SPEC = ModelSpec(d_model=16, n_heads=2, d_head=8, d_mlp=24)
KEYS = KeyFrequencies.given(P, [1, 4])


def snapshot_of(operation="addition", p=P):
    parameters = planted.random_parameters(SPEC, p)
    return Snapshot.from_parameters(parameters, planted.split(p, operation), SPEC)


class Work(TorchDispatchMode):
    """Multiply-adds of products, exponentials, and logits that were gathered."""

    def __init__(self):
        super().__init__()
        self.products = self.exponentials = self.gathered = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm", "addmm"):
            first = args[1] if name == "addmm" else args[0]
            self.products += out.numel() * first.shape[-1]
        if name in ("exp", "exp_"):
            self.exponentials += out.numel()
        if name == "index_select":
            self.gathered += out.numel()
        return out


def test_all_measures_of_a_checkpoint_read_the_logits_four_times():
    snapshot = snapshot_of()
    n_logits = snapshot.logits.numel()
    with Work() as work:
        for measure in MEASURES:
            if measure.applies_to(snapshot.task, KEYS):
                measure.values(snapshot, KEYS)
        by_frequency_table(snapshot)
    # Once for whatever is shared, and once without the key frequencies for losses and for
    # answers, and once without each frequency.
    assert work.gathered == 4 * n_logits
    # The logits for each but the answers, and components of the few keys and of n//2 frequencies.
    assert 3 * n_logits < work.exponentials < 3.8 * n_logits
    # Another loss is no other reading.
    with Work() as again:
        MEASURES[0].values(snapshot, KEYS)
        MEASURES[1].values(snapshot, KEYS)
    assert again.gathered == again.exponentials == 0


def test_a_forward_pass_multiplies_pairs_by_one_matrix():
    parameters = planted.random_parameters(SPEC, P)
    pairs = torch.cartesian_prod(torch.arange(P), torch.arange(P))
    with Work() as work:
        pair_activations(parameters, SPEC, pairs, P)
    of_pairs = P**2 * SPEC.d_mlp * P
    with Work() as before:
        forward_tables(pair_tables(parameters, SPEC), SPEC, pairs)
    assert of_pairs < work.products < 1.2 * of_pairs < before.products


@pytest.mark.parametrize("n_outputs", [P, P + 1])
def test_gathered_rows_compute_what_the_tables_do(n_outputs):
    from grokinterp.models.initialization import initial_parameters

    drawn = initial_parameters(SPEC, d_vocab=P + 1, n_ctx=3, d_vocab_out=n_outputs)
    weights = {name: value.double() + 0.01 for name, value in drawn.items()}
    pairs = torch.cartesian_prod(torch.arange(P), torch.arange(P)).repeat(3, 1)
    found = pair_activations(weights, SPEC, pairs, P)
    expected = forward_tables(pair_tables(weights, SPEC), SPEC, pairs)
    for part in ("pattern", "neurons"):
        torch.testing.assert_close(getattr(found, part), getattr(expected, part))
    torch.testing.assert_close(found.logits, expected.logits[:, :P])


@pytest.mark.parametrize("operation", ["addition", "multiplication"])
def test_losses_and_answers_are_those_of_each_pair(operation):
    snapshot = snapshot_of(operation)
    torch.testing.assert_close(
        snapshot.losses, pair_losses(snapshot.logits, snapshot.labels), rtol=1e-12, atol=1e-12
    )
    assert torch.equal(snapshot.are_correct, are_correct(snapshot.logits, snapshot.labels))
    # Where all logits are equal the first class counts, with the circuit taken out as well.
    constant = planted.with_activations(snapshot, logits=torch.zeros_like(snapshot.logits))
    assert torch.equal(constant.are_correct, snapshot.labels == 0)
    of_view = snapshot.labels[snapshot.pair_rows] == 0
    keys = KeyFrequencies.given(snapshot.require_view().order, [1, 4])
    expected = float(of_view.double().mean())
    assert excluded_accuracy(constant, keys, on="all") == pytest.approx(expected, **EXACT64)


def test_a_logit_that_is_not_finite_spoils_its_own_pair_alone():
    snapshot = snapshot_of()
    logits = snapshot.logits.clone()
    logits[5, 3] = torch.nan
    broken = planted.with_activations(snapshot, logits=logits)
    assert broken.losses.isnan().nonzero().flatten().tolist() == [5]
    assert torch.equal(broken.are_correct, are_correct(logits, snapshot.labels))


def test_losses_without_each_frequency_are_those_of_each_pair():
    snapshot = snapshot_of(p=12)
    found = excluded_losses_by_frequency(snapshot)
    for k in range(1, 7):
        losses = excluded_pair_losses(snapshot, trigonometric_component(snapshot, [k])[None])
        for on, expected in found.items():
            mean = losses[snapshot.mask_by_sum(on)].mean()
            assert float(expected[k - 1]) == pytest.approx(float(mean), **EXACT64)


@pytest.mark.parametrize("n", [2, 3, 12, 13])
@pytest.mark.parametrize("rank", [None, 3])
def test_the_drawn_power_is_that_of_the_means_of_the_same_groups(n, rank):
    values = planted.noise(n * n, n)
    if rank is not None:
        values = values[:, :rank] @ planted.noise(min(rank, n), n, seed=1)
    harmonics = cyclic_harmonics(n)
    generator, largest = torch.Generator().manual_seed(4), []
    for _ in range(11):
        rows = torch.randperm(n * n, generator=generator).view(n, n)
        largest.append(harmonics.power((values - values.mean(dim=0)).double()[rows].mean(dim=1)))
    expected = float(torch.stack(largest).amax(dim=1).quantile(0.7))
    found = permuted_power_quantile(values, harmonics, quantile=0.7, n_permutations=11, seed=4)
    assert found == pytest.approx(expected, rel=1e-5)
    assert found != pytest.approx(1.001 * expected, rel=1e-5)


def test_directions_that_some_rows_use_are_not_left_out():
    rows = (planted.noise(900, 2) @ planted.noise(2, 30, seed=1)).float()
    assert in_fewer_directions(rows).shape == (900, 2)
    # A row that the sample does not hold points elsewhere.
    alone = rows.clone()
    alone[1] += planted.noise(30, seed=2).float()
    assert in_fewer_directions(alone) is alone
    slightly = rows + 1e-6 * planted.noise(900, 30, seed=3).float()
    assert in_fewer_directions(slightly).shape == (900, 2)


@pytest.mark.parametrize("size", [0.001, 1.0, 4.0, 60.0])
def test_losses_without_each_neuron_are_those_of_the_changed_logits(size):
    """From changes that a few powers describe to those that are cut into many pieces."""
    parameters = planted.random_parameters(SPEC, 11)
    parameters["blocks.0.mlp.W_out"] *= size
    snapshot = Snapshot.from_parameters(parameters, planted.split(11), SPEC)
    fills = torch.stack([torch.zeros(24), snapshot.neurons.mean(dim=0)])
    losses, accuracies = losses_without_each(snapshot, fills)
    n_pieces = {None if g.terms is None else len(g.terms) for g in _groups(snapshot, fills)}
    assert (n_pieces == {1}) == (size < 1.0) and (None in n_pieces) == (size == 60.0)
    assert all(n is None or n <= _MOST_PIECES for n in n_pieces)
    for fill, values in enumerate(fills):
        for neuron in range(24):
            change = (values[neuron] - snapshot.neurons[:, neuron, None]).double()
            logits = snapshot.logits.double() + change * snapshot.W_L[neuron]
            expected = pair_losses(logits, snapshot.labels).mean()
            assert float(losses[fill, neuron]) == pytest.approx(float(expected), **FLOAT32)
            right = float(are_correct(logits, snapshot.labels).double().mean())
            assert float(accuracies[fill, neuron]) == pytest.approx(right, abs=1e-9)
