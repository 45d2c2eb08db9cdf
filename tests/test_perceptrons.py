"""Perceptrons explained: their parts, the phases of their neurons, what analyze says of them."""

import dataclasses

import pytest
import torch

from grokinterp.circuits import Snapshot
from grokinterp.circuits.gradients import gradient_symmetricity
from grokinterp.errors import ConfigError
from grokinterp.models import MlpSpec
from grokinterp.models.mlp import first_mlp_parameters
from grokinterp.models.mlp_parts import MlpParts
from grokinterp.models.network_parts import Operands
from tests import planted

P = 7
FORMS = [
    dict(embedding="none"),
    dict(embedding="none", combination="summed"),
    dict(embedding="shared", d_embed=5),
    dict(embedding="shared", d_embed=5, combination="summed"),
    dict(embedding="separate", d_embed=5),
    dict(embedding="separate", d_embed=5, combination="summed"),
]
DETAILS = [
    dict(widths=(9,), act_fn="square", init="mean_field", init_scale=0.7),
    dict(widths=(6, 8), act_fn="tanh", biases=True, init="torch_linear", output_scale=3.0),
    dict(widths=(8,), act_fn="gelu", init="mean_field", is_centered=True, biases=True),
    dict(widths=(8,), act_fn="silu", is_centered=True, output_scale=0.5),
]


def weights_of(spec, seed=0):
    """Weights that are not the initial ones, so that a centered network is not zero."""
    first = first_mlp_parameters(spec, 2 * P, P)
    return {
        name: value.double() + planted.noise(*value.shape, seed=seed + index) / 3
        for index, (name, value) in enumerate(first.items())
    }


def snapshot_of(form, details):
    spec = MlpSpec(**form, **details)
    return Snapshot.from_parameters(weights_of(spec), planted.split(P), spec)


@pytest.fixture(params=FORMS, ids=lambda form: " ".join(map(str, form.values())))
def form(request):
    return request.param


@pytest.mark.parametrize("details", DETAILS)
def test_both_ways_back_end_in_the_logits(form, details):
    snapshot = snapshot_of(form, details)
    network, rows = snapshot.network, torch.arange(P * P)
    a, b = (
        table[tokens]
        for table, tokens in zip(
            (network.operands.a, network.operands.b), snapshot.arrangement.pairs.T, strict=True
        )
    )
    some = torch.tensor([3, 0, 40])
    torch.testing.assert_close(network.logits_from_operands(a, b, rows), snapshot.logits)
    torch.testing.assert_close(
        network.logits_from_operands(a[some], b[some], some), snapshot.logits[some]
    )
    torch.testing.assert_close(network.logits_from_neurons(network.neurons, rows), snapshot.logits)
    same = network.with_operands(network.operands)
    torch.testing.assert_close(same.logits, snapshot.logits)
    chosen = network.chosen_logits(a[some], b[some], some, torch.tensor([1, 6, 2]))
    torch.testing.assert_close(chosen, snapshot.logits[some, torch.tensor([1, 6, 2])])


@pytest.mark.parametrize("details", DETAILS)
def test_the_readout_is_what_a_change_of_the_neurons_does(form, details):
    snapshot = snapshot_of(form, details)
    change = planted.noise(P * P, snapshot.neurons.shape[1])
    rows = torch.arange(P * P)
    changed = snapshot.network.logits_from_neurons(snapshot.neurons + change, rows)
    torch.testing.assert_close(changed - snapshot.logits, change @ snapshot.W_L)
    # What is left is affine in nothing: of a network without biases and center it is zero.
    rest = snapshot.logits - snapshot.neurons @ snapshot.W_L
    is_linear = not (snapshot.network.spec.biases or snapshot.network.spec.is_centered)
    assert bool(rest.abs().max() < 1e-12) == is_linear


@pytest.mark.parametrize("details", DETAILS)
def test_neurons_are_the_activation_of_what_they_receive(form, details):
    snapshot = snapshot_of(form, details)
    act = {"square": torch.square, "tanh": torch.tanh}.get(
        details["act_fn"], getattr(torch.nn.functional, details["act_fn"], None)
    )
    torch.testing.assert_close(act(snapshot.network.pre_activations), snapshot.neurons)
    some = torch.tensor([4, 1])
    torch.testing.assert_close(
        snapshot.network.pre_activations_of(some), snapshot.network.pre_activations[:, some]
    )
    assert not snapshot.network.without_cache().__dict__.keys() & {"pre_activations", "operands"}


@pytest.mark.parametrize("details", DETAILS)
def test_gradients_for_the_operands_are_finite_differences(form, details):
    network = snapshot_of(form, details).network
    rows, classes = torch.tensor([5, 33]), torch.tensor([2, 6])
    pairs = network.pairs[rows]
    a = network.operands.a[pairs[:, 0]].clone().requires_grad_()
    b = network.operands.b[pairs[:, 1]].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda first, second: network.chosen_logits(first, second, rows, classes), (a, b)
    )


def test_other_tables_run_the_network_of_these_tables(form):
    snapshot = snapshot_of(form, DETAILS[2])
    network = snapshot.network
    a = planted.noise(*network.operands.a.shape, seed=7)
    b = a if network.operands.is_shared else planted.noise(*network.operands.b.shape, seed=8)
    changed = network.with_operands(Operands(a, b))
    pairs, rows = network.pairs, torch.arange(P * P)
    expected = network.logits_from_operands(a[pairs[:, 0]], b[pairs[:, 1]], rows)
    torch.testing.assert_close(changed.logits, expected)
    assert (changed.logits - snapshot.logits).abs().max() > 1e-3
    torch.testing.assert_close(changed.operands.b, b)
    if network.operands.is_shared:
        with pytest.raises(ValueError, match="one table"):
            network.with_operands(Operands(a, 2 * a))


def test_a_table_that_both_tokens_share_is_one_table(form):
    network = snapshot_of(form, DETAILS[0]).network
    is_shared = form["embedding"] == "shared" or (
        form["embedding"] == "none" and form.get("combination") == "summed"
    )
    assert network.operands.is_shared == is_shared
    assert len(network.operands.a) == len(network.operands.b) == P


def test_two_gradients_are_compared_only_in_the_same_coordinates(form):
    snapshot = snapshot_of(form, DETAILS[1])
    is_summed = form["embedding"] == "none" or form.get("combination") == "summed"
    if form["embedding"] == "separate" and not is_summed:
        with pytest.raises(ConfigError, match="in different coordinates"):
            gradient_symmetricity(snapshot)
        return
    mean = gradient_symmetricity(snapshot, n_triples=200).mean
    # What is summed is one vector, whose gradient both have.
    assert (mean == pytest.approx(1, abs=1e-6)) == is_summed


def test_what_a_perceptron_has_not_has_one_reason():
    network = snapshot_of(FORMS[0], DETAILS[0]).network
    assert set(network.missing) == {"pattern", "blocks"}
    with pytest.raises(ConfigError, match="a multilayer perceptron has no attention"):
        _ = network.pattern
    assert isinstance(network, MlpParts) and dataclasses.is_dataclass(network)
