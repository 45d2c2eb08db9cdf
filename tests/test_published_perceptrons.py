"""Perceptrons that other people trained, each a module of ten lines.

Those of Chughtai et al. 2023 (arXiv:2302.03025) on five groups, and the linear models of Zhong
et al. 2023 (arXiv:2306.17844) modulo 59.
"""

import json
import re

import pytest
import torch
from torch import nn

from grokinterp.circuits import (
    KeyFrequencies,
    excluded_loss,
    find_algorithm,
    find_key_frequencies,
    restricted_loss,
    take_snapshot,
)
from grokinterp.circuits.logit_formulas import logit_variance_explained
from grokinterp.models.module_spec import Parts
from grokinterp.runs.run import Run
from grokinterp.tasks import TaskSpec
from tests.foreign import data_file

SIX_DIGITS = 1e-6
"""Published losses are means in float64 of logits in float32."""
MEASURED = 1e-4
"""Relative and absolute: logits in float32, changed by one neuron at a time."""
CYCLIC = ("C113_MLP_seed2", "C118_MLP_seed3")
OTHER_GROUPS = ("D59_MLP_seed2", "A5_MLP_seed2", "S5_MLP_seed2")
SIMILAR = 5e-7
"""Absolute: published similarities are means of 118^3 products in float32."""
OURS = {
    "D59_MLP_seed2": {"sign", "freq_6", "freq_10", "freq_18", "freq_19", "freq_26"},
    "A5_MLP_seed2": {"standard", "3d_a", "3d_b"},
    "S5_MLP_seed2": {"sign", "standard"},
}


class OneLayer(nn.Module):
    """relu([W_x[x], W_y[y]] W) W_U, without biases."""

    def __init__(self, W_x, W_y, W, W_U):
        super().__init__()
        self.x, self.y = nn.Embedding.from_pretrained(W_x), nn.Embedding.from_pretrained(W_y)
        self.hidden, self.relu = nn.Linear(*W.shape, bias=False), nn.ReLU()
        self.unembed = nn.Linear(*W_U.shape, bias=False)
        self.hidden.weight.data, self.unembed.weight.data = W.T.contiguous(), W_U.T.contiguous()

    def forward(self, pairs):
        both = torch.cat([self.x(pairs[:, 0]), self.y(pairs[:, 1])], dim=1)
        return self.unembed(self.relu(self.hidden(both)))


class Concatenated(nn.Module):
    """Zhong et al.'s type D: one shared embedding, side by side."""

    width = 128

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(59, self.width)
        self.l1, self.unembed = nn.Linear(256, 256), nn.Linear(256, 59, bias=False)

    def forward(self, pairs):
        return self.unembed(torch.relu(self.l1(self.embed(pairs).flatten(1))))


class Summed(Concatenated):
    """Their type B: the embeddings summed, and a linear layer more behind the neurons."""

    width = 256

    def __init__(self):
        super().__init__()
        self.l2 = nn.Linear(256, 256)

    def forward(self, pairs):
        return self.unembed(self.l2(torch.relu(self.l1(self.embed(pairs).sum(dim=1)))))


def weights_in(name):
    return torch.load(data_file(name), weights_only=True, map_location="cpu")


def published(name):
    """Weights, published numbers, and the frequencies that were published as key."""
    numbers = json.loads(data_file(f"groups/{name}/summary_metrics.json").read_text())
    words = data_file(f"groups/{name}/key_reps.txt").read_text().split()
    state = weights_in(f"groups/{name}/model.pt")
    # A cyclic group's sign has the highest frequency.
    frequencies = {w: int(w[5:]) for w in words if w.startswith("freq_")}
    frequencies["sign"] = len(state["W_x"]) // 2
    return state, numbers, {frequencies[w] for w in words if w in frequencies}


def run_of(module, task, **parts):
    return Run.from_modules({250_000: module}, task=task, inputs="a b", parts=Parts(**parts))


@pytest.fixture(scope="module", params=CYCLIC)
def cyclic(request):
    state, numbers, keys = published(request.param)
    parts = dict(operands=("x", "y"), neurons="relu", readout="unembed")
    run = run_of(OneLayer(**state), TaskSpec(p=len(state["W_x"])), **parts)
    return take_snapshot(run), state, numbers, keys


def test_a_published_network_has_the_published_loss_and_norm(cyclic):
    snapshot, state, numbers, _ = cyclic
    assert snapshot.accuracy_all == numbers["test_acc"] == 1
    loss = torch.nn.functional.cross_entropy(snapshot.logits.double(), snapshot.labels)
    assert loss.item() == pytest.approx(numbers["all_loss"], rel=SIX_DIGITS)
    squares = sum(w.double().square().sum().item() for w in snapshot.network.weights.values())
    assert squares == pytest.approx(numbers["sum_of_squared_weights"], rel=SIX_DIGITS)
    # Its tables have coordinates of their own, so what is exchanged is no network of sums.
    exchanged = OneLayer(**{**state, "W_x": state["W_y"], "W_y": state["W_x"]})
    assert take_snapshot(run_of(exchanged, snapshot.task.spec)).accuracy_all < 0.05


def test_parts_of_a_published_network_are_its_weights(cyclic):
    snapshot, state, _, _ = cyclic
    operands = snapshot.network.operands
    assert torch.equal(operands.a, state["W_x"]) and torch.equal(operands.b, state["W_y"])
    assert not operands.is_shared and "same_coordinates" in snapshot.network.missing
    assert torch.equal(snapshot.W_L, state["W_U"].double())
    both = torch.cat([state["W_x"][[3]], state["W_y"][[5]]], dim=1)
    row = 3 * len(state["W_x"]) + 5
    torch.testing.assert_close(snapshot.neurons[[row]], torch.relu(both @ state["W"]))


def test_key_frequencies_of_a_published_network_are_among_those_published(cyclic):
    snapshot, _, numbers, keys = cyclic
    by_rule = find_key_frequencies(snapshot)
    found = set(by_rule.frequencies)
    assert found < keys and len(found) >= 5
    names = {f"freq_{k}" if 2 * k < snapshot.view.order else "sign" for k in keys}
    assert set(by_rule.published_representations) == names
    # Published: the sum of squared similarities to one character each; here a fit by all.
    explained = logit_variance_explained(snapshot, sorted(keys), "clock")
    assert explained == pytest.approx(numbers["percent_logits_explained"], abs=5e-5)
    assert logit_variance_explained(snapshot, sorted(keys), "pizza_product") < 0.8
    assert logit_variance_explained(snapshot, sorted(keys - found), "clock") < 0.05


@pytest.mark.parametrize("name", OTHER_GROUPS)
def test_the_table_of_a_group_without_an_operation_is_followed_by_its_answers(name):
    state, numbers, _ = published(name)
    n, module = len(state["W_x"]), OneLayer(**state)
    a, b = torch.arange(n).repeat_interleave(n), torch.arange(n).repeat(n)
    table = module(torch.stack([a, b], 1)).argmax(1).view(n, n).numpy()
    parts = dict(operands=("x", "y"), neurons="relu", readout="unembed")
    right, other = (
        take_snapshot(run_of(module, TaskSpec(operation="table", labels=labels), **parts))
        for labels in (table, table.T.copy())
    )
    loss = torch.nn.functional.cross_entropy(right.logits.double(), right.labels)
    assert loss.item() == pytest.approx(numbers["all_loss"], rel=SIX_DIGITS)
    assert right.accuracy_all == 1 and torch.equal(right.W_L, state["W_U"].double())
    # None of these groups is commutative: in the other order fewer products are right.
    assert other.accuracy_all < 0.3


@pytest.fixture(scope="module", params=OTHER_GROUPS)
def on_group(request):
    """Snapshot, its keys, published numbers, and published names of the key representations."""
    state, numbers, _ = published(request.param)
    n, module = len(state["W_x"]), OneLayer(**state)
    a, b = torch.arange(n).repeat_interleave(n), torch.arange(n).repeat(n)
    table = module(torch.stack([a, b], 1)).argmax(1).view(n, n).numpy()
    parts = dict(operands=("x", "y"), neurons="relu", readout="unembed")
    snapshot = take_snapshot(run_of(module, TaskSpec("group", group_table=table), **parts))
    words = data_file(f"groups/{request.param}/key_reps.txt").read_text().split()
    # Names carry the group as a prefix: a5_3d_a.
    keys = {re.sub("^[as][56]_", "", word): word for word in words}
    return snapshot, find_key_frequencies(snapshot, n_permutations=100), numbers, keys


def test_key_representations_by_both_rules_are_those_of_the_publication(on_group, request):
    snapshot, keys, _, published_keys = on_group
    assert set(keys.published_representations) == set(published_keys)
    assert set(keys.names) == OURS[request.node.callspec.params["on_group"]] <= set(published_keys)
    shares = keys.evidence.set_index("representation")["logit_power_share"]
    assert shares[list(keys.names)].sum() > 0.99
    # What only their rule takes holds a hundredth of the power in D_59, and nothing else exists.
    left = set(published_keys) - set(keys.names)
    assert all(shares[name] < 0.002 for name in left)
    by_rule = find_key_frequencies(snapshot, rule="character_similarity", n_permutations=2)
    assert set(by_rule.names) == set(published_keys)


def test_published_similarities_are_ours_but_for_matrices_that_are_no_representation(on_group):
    _, keys, numbers, published_keys = on_group
    found = keys.evidence.set_index("representation")["character_similarity"]
    others = {n[6:-21] for n in numbers if n.endswith("_rep_trace_similarity")}
    assert set(published_keys.values()) <= others and len(others) == len(found)
    for word in others:
        name = re.sub("^[as][56]_", "", word)
        theirs = numbers[f"logit_{word}_rep_trace_similarity"]
        if name in ("3d_a", "3d_b"):  # turned by 62 degrees where a cycle of five turns by 72
            assert theirs < found[name] < 1.05 * theirs
            continue
        assert found[name] == pytest.approx(theirs, abs=SIMILAR)
    if "3d_a" in found:
        assert numbers["logit_a5_3d_b_rep_trace_similarity"] > 1.2 * found["3d_a"]


def test_a_published_network_loses_what_the_publication_says_without_its_representations(on_group):
    snapshot, keys, numbers, published_keys = on_group
    for name, word in published_keys.items():
        one = KeyFrequencies.given_for(snapshot.view, [name])
        kept = restricted_loss(snapshot, one, on="all")
        # Theirs are means over training pairs that are not published.
        assert kept == pytest.approx(numbers[f"logit_restricted_loss_{word}_rep"], rel=0.12)
    everything = KeyFrequencies.given_for(snapshot.view, list(published_keys))
    removed = excluded_loss(snapshot, everything, on="all")
    assert removed == pytest.approx(numbers["total_logit_excluded_loss"], rel=0.1)
    assert restricted_loss(snapshot, everything, on="all") < 2e-6
    unused = set(snapshot.harmonics.names[1:]) - set(published_keys)
    other = KeyFrequencies.given_for(snapshot.view, sorted(unused))
    full = float(snapshot.losses.mean())
    assert excluded_loss(snapshot, other, on="all") == pytest.approx(full, rel=0.3)


@pytest.mark.parametrize(
    ("make", "name", "neurons", "symmetricity", "verdicts"),
    [
        (Concatenated, "7r4zst7evs", "unembed:input", 0, {"clock"}),
        (Summed, "amw6ox6bzn", "l2:input", 1, {"pizza", "mixed"}),
    ],
)
def test_a_linear_model_has_its_parts_by_the_names_of_its_authors(
    make, name, neurons, symmetricity, verdicts
):
    module = make()
    module.load_state_dict(weights_in(f"linear/model_{name}.pt"))
    run = run_of(module, TaskSpec(p=59), operands="embed", neurons=neurons)
    snapshot = take_snapshot(run)
    assert snapshot.accuracy_all == 1
    operands = snapshot.network.operands
    assert operands.is_shared and torch.equal(operands.a, module.embed.weight)
    W_L = module.unembed.weight.T.double()
    W_L = module.l2.weight.T.double() @ W_L if make is Summed else W_L
    torch.testing.assert_close(snapshot.W_L, W_L, rtol=MEASURED, atol=MEASURED)
    algorithm = find_algorithm(snapshot, find_key_frequencies(snapshot))
    assert algorithm.verdict in verdicts
    # What is summed has one gradient for both.
    assert algorithm.gradient_symmetricity is not None
    assert algorithm.gradient_symmetricity.mean == pytest.approx(symmetricity, abs=0.03)
