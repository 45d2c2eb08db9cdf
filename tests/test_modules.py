"""Any module of PyTorch as a run: what it gives, its parts, and that it is left as it was."""

import copy
import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from grokinterp.circuits import take_snapshot
from grokinterp.circuits.circles import isolate_circle
from grokinterp.circuits.gradients import gradient_symmetricity
from grokinterp.comparison import compare
from grokinterp.errors import CheckpointError, ConfigError, ShapeError
from grokinterp.models.module_spec import Parts
from grokinterp.report import write_report
from grokinterp.runs.run import Run
from grokinterp.tasks import Task, TaskSpec
from grokinterp.trajectory import analyze_run
from tests import own_networks as own
from tests.own_networks import one_hot, seeded

TASK = TaskSpec(p=13)
PAIRS = torch.tensor(Task(TASK).pairs)
A, B = PAIRS.T
SAME_SUMS = {"rtol": 1e-5, "atol": 1e-5}
"""float32; the same sums of some ten terms in another order."""


def run_of(module, inputs="a b", task=TASK, **parts):
    return Run.from_modules({0: module}, task=task, inputs=inputs, parts=Parts(**parts))


def network_of(module, inputs="a b", **parts):
    return run_of(module, inputs, **parts).network()


# --- the same network as a run, as logits, and as a module ---------------------------------


def test_measures_of_a_transformer_are_those_of_its_modules_and_of_its_logits(tiny_run):
    steps = tiny_run.steps[::8]
    whole = analyze_run(tiny_run, every=8).trajectory
    task, train = tiny_run.config.task, tiny_run.split.train
    modules = Run.from_modules(
        {step: tiny_run.model(step) for step in steps},
        task=task,
        train_pairs=train,
        parts=Parts(operands="hook_embed", neurons="blocks.0.mlp.hook_post"),
    )
    logits = Run.from_logits(
        {step: tiny_run.network(step).logits for step in steps}, task=task, train_pairs=train
    )
    of_modules, of_logits = analyze_run(modules).trajectory, analyze_run(logits).trajectory
    assert set(of_logits) < set(of_modules) < set(whole)
    only_whole = set(whole) - set(of_modules)
    assert {name for name in only_whole if not name.startswith("sum_squared_weights_")} == set()
    assert {"gini_W_E", "gini_W_L", "gradient_symmetricity", "circularity"} <= set(of_modules)
    pd.testing.assert_frame_equal(of_modules, whole[[*of_modules]], rtol=1e-5, atol=1e-7)
    pd.testing.assert_frame_equal(of_logits, whole[[*of_logits]], check_exact=True)


def test_parts_of_a_transformer_are_those_that_its_weights_have(tiny_run):
    parts = Parts(
        operands="hook_embed",
        neurons="blocks.0.mlp.hook_post",
        readout="unembed",
        pattern="blocks.0.attn.hook_pattern",
    )
    run = Run.from_modules({400: tiny_run.model()}, task=TASK, parts=parts)
    found, truth = run.network(), tiny_run.network()
    assert found.operands.is_shared and torch.equal(found.operands.a, truth.operands.a)
    torch.testing.assert_close(found.neurons, truth.neurons, **SAME_SUMS)
    torch.testing.assert_close(found.pattern, truth.pattern, **SAME_SUMS)
    torch.testing.assert_close(found.readout.W_L, truth.readout.W_L, rtol=1e-4, atol=1e-5)
    mine, theirs = take_snapshot(run), take_snapshot(tiny_run)
    torch.testing.assert_close(
        isolate_circle(mine, 2).logits, isolate_circle(theirs, 2).logits, **SAME_SUMS
    )
    assert gradient_symmetricity(mine).mean == pytest.approx(
        gradient_symmetricity(theirs).mean, rel=1e-5
    )


# --- where a and b are read -----------------------------------------------------------------


def test_an_embedding_that_is_called_twice_is_one_table():
    module = seeded(own.Summed)
    network = network_of(module, operands="embed", neurons="linear2:input", readout="linear2")
    assert network.operands.is_shared
    assert torch.equal(network.operands.a, module.embed.weight)
    expected = torch.relu(module.linear1(module.embed(A) + module.embed(B)))
    torch.testing.assert_close(network.neurons, expected)
    assert torch.equal(network.readout.W_L, module.linear2.weight.T.double())


def test_tables_of_one_hot_pairs_are_the_two_halves_of_the_first_layer():
    module = seeded(own.OneHot)
    operands = network_of(module, one_hot, operands="net.0").operands
    W, bias = module.net[0].weight.T, module.net[0].bias
    a, b = W[:13], W[13:]
    assert not operands.is_shared
    # Constants of the two tables and the bias are shared out equally.
    constant = (a.mean(0) + b.mean(0) + bias) / 2
    torch.testing.assert_close(operands.a, a - a.mean(0) + constant, **SAME_SUMS)
    torch.testing.assert_close(operands.b, b - b.mean(0) + constant, **SAME_SUMS)


def test_two_embeddings_side_by_side_are_two_tables_by_name_as_by_what_they_are_joined_in():
    module = seeded(own.Separate, left=6)
    for operands in (("left", "right"), "joined"):
        found = network_of(module, operands=operands).operands
        assert not found.is_shared
        assert torch.equal(found.a, module.left.weight)
        assert torch.equal(found.b, module.right.weight)
    with pytest.raises(ConfigError, match="no vector depends on a alone"):
        network_of(module, operands=("right", "left"))


def test_tables_of_different_widths_cannot_be_compared():
    uneven = run_of(seeded(own.Separate, left=6), operands="joined")
    assert uneven.network().operands.b.shape == (13, 10)
    assert "tables of 6 and 10 columns" in uneven.missing_parts["way_from_operands"]
    assert "gradient_symmetricity" not in analyze_run(uneven).trajectory
    even = run_of(seeded(own.Separate), operands="joined")
    assert "way_from_operands" not in even.missing_parts


def test_positions_are_found_by_what_they_depend_on():
    module = seeded(own.Encoder)

    def backwards(pairs):
        return torch.cat([torch.full_like(pairs[:, :1], 13), pairs], dim=1)

    found = network_of(module, backwards, operands="embed").operands
    assert found.is_shared and torch.equal(found.a, module.embed.weight[:13])
    first = seeded(own.Encoder, batch_first=False)
    assert torch.equal(network_of(first, "a b =", operands="embed").operands.a, found.a)


def test_tokens_that_no_pair_has_are_in_the_tables_too():
    task = TaskSpec("division", p=13)
    module = seeded(own.Summed)
    run = run_of(module, task=task, operands="embed")
    assert torch.equal(run.network().operands.b, module.embed.weight)
    assert run.logits().shape == (13 * 12, 13)


# --- ways back and readout ------------------------------------------------------------------

NETWORKS = {
    "summed": (own.Summed, "a b", {"operands": "embed", "neurons": "linear2:input"}),
    "one-hot": (own.OneHot, one_hot, {"operands": "net.0", "neurons": "net.1"}),
    "separate": (own.Separate, "a b", {"operands": "joined", "neurons": "out:input"}),
    "encoder": (
        own.Encoder,
        "a b =",
        {"operands": "embed", "neurons": "encoder.layers.0.linear2:input"},
    ),
    "lstm": (own.Recurrent, "a b", {"operands": "embed", "neurons": "lstm"}),
    "lightning": (own.LightningStyle, "a b", {"operands": "embed", "neurons": "linear2:input"}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_operands_of_other_pairs_give_the_logits_of_those_pairs(name):
    make, inputs, parts = NETWORKS[name]
    network = network_of(seeded(make), inputs, **parts)
    rows, others = torch.tensor([5, 40, 100]), torch.tensor([160, 7, 33])
    tables = network.operands
    found = network.logits_from_operands(tables.a[A[others]], tables.b[B[others]], rows)
    torch.testing.assert_close(found, network.logits[others], **SAME_SUMS)
    own_again = network.logits_from_operands(tables.a[A[rows]], tables.b[B[rows]], rows)
    torch.testing.assert_close(own_again, network.logits[rows], **SAME_SUMS)
    assert not torch.allclose(found, own_again, atol=1e-2)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_with_respect_to_operands_are_those_of_small_changes(name):
    make, inputs, parts = NETWORKS[name]
    network = network_of(seeded(make).double(), _in_double(inputs), **parts)
    rows, tables = torch.tensor([5, 40]), network.operands
    a, b = tables.a[A[rows]].double().requires_grad_(), tables.b[B[rows]].double()
    direction = torch.linspace(-1, 1, a.shape[1]).double().expand_as(a)
    with torch.enable_grad():
        logits = network.logits_from_operands(a, b, rows)[:, 3]
    (gradient,) = torch.autograd.grad(logits.sum(), [a])
    plus, minus = (
        network.logits_from_operands(a.detach() + s * direction, b, rows)[:, 3]
        for s in (0.01, -0.01)
    )
    slope = (plus - minus) / 0.02
    torch.testing.assert_close(
        (gradient * direction).sum(1).float(), slope.float(), rtol=2e-2, atol=2e-3
    )
    assert not logits.detach().requires_grad and gradient.abs().max() > 1e-3


def _in_double(inputs):
    return (lambda pairs: one_hot(pairs).double()) if callable(inputs) else inputs


@pytest.mark.parametrize("name", ["summed", "one-hot", "lstm", "separate"])
def test_a_linear_readout_is_measured_and_a_norm_stands_in_its_way(name):
    make, inputs, parts = NETWORKS[name]
    module = seeded(make)
    neurons = "act" if name == "separate" else parts["neurons"]
    network = network_of(module, inputs, neurons=neurons)
    zeros = torch.zeros_like(network.neurons[:9])
    at_zero = network.logits_from_neurons(zeros, torch.arange(9))
    if name == "separate":
        assert "to its logits is not linear" in network.missing["readout"]
        assert "readout" not in network_of(module, inputs, neurons="out:input").missing
        return
    last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
    torch.testing.assert_close(network.readout.W_L, last.weight.T.double(), **SAME_SUMS)
    torch.testing.assert_close(at_zero, last.bias.expand(9, -1), **SAME_SUMS)


def test_neurons_of_a_transformer_are_put_back_at_the_last_position_alone():
    module = seeded(own.Encoder, norm_first=True)
    network = network_of(module, "a b =", neurons="encoder.layers.0.linear2:input")
    layer = module.encoder.layers[0]
    W = (module.unembed.weight @ layer.linear2.weight).T[:, :13]
    torch.testing.assert_close(network.readout.W_L, W.double(), **SAME_SUMS)
    after = network_of(seeded(own.Encoder), "a b =", neurons="encoder.layers.0.linear2:input")
    assert "is not linear" in after.missing["readout"]


def test_what_an_activation_receives_is_known_and_what_a_layer_receives_is_no_pre_activation():
    module = seeded(own.OneHot)
    network = network_of(module, one_hot, neurons="net.1")
    torch.testing.assert_close(network.pre_activations.tanh(), network.neurons)
    at_layer = network_of(module, one_hot, neurons="net.2:input")
    assert torch.equal(at_layer.neurons, network.neurons)
    assert "is not the output of an activation" in at_layer.missing["pre_activations"]
    # A layer norm has the shape of an activation and mixes its inputs.
    assert "pre_activations" in network_of(seeded(own.Separate), neurons="norm").missing


def test_neurons_that_pass_several_times_are_those_of_the_last_call():
    module = seeded(own.Summed, activation=nn.ReLU())
    module.linear1 = nn.Sequential(nn.Linear(12, 24), module.activation, nn.Linear(24, 24))
    network = network_of(module, neurons="activation")
    hidden = module.linear1(module.embed(A) + module.embed(B))
    torch.testing.assert_close(network.neurons, torch.relu(hidden))
    torch.testing.assert_close(network.readout.W_L, module.linear2.weight.T.double(), **SAME_SUMS)


class Around(nn.Module):
    """A network whose embedding also passes the norm by that its hidden layer reads."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm = nn.Embedding(13, 12), nn.LayerNorm(12)
        self.hidden, self.out, self.around = nn.Linear(24, 20), nn.Linear(20, 13), nn.Linear(24, 13)

    def forward(self, pairs):
        x = self.embed(pairs)
        return self.out(self.hidden(self.norm(x).flatten(1)).relu()) + self.around(x.flatten(1))


def test_operands_that_tokens_pass_by_have_no_way_back():
    whole = run_of(seeded(Around), operands="embed")
    assert "way_from_operands" not in whole.missing_parts
    part = run_of(seeded(Around), operands="norm")
    assert "also depend on a and b by another path" in part.missing_parts["way_from_operands"]
    assert "gini_W_E" in analyze_run(part).trajectory
    assert "gradient_symmetricity" not in analyze_run(part).trajectory


class InPlace(nn.Module):
    """Writes into its embedding, into what its activation receives, and into what that gives."""

    def __init__(self, after=1.0):
        super().__init__()
        self.embed, self.place = nn.Embedding(13, 12), nn.Parameter(torch.ones(2, 12))
        self.hidden, self.act = nn.Linear(24, 20), nn.ReLU(inplace=True)
        self.out, self.after = nn.Linear(20, 13), after

    def forward(self, pairs):
        x = self.embed(pairs)
        x += self.place
        x = self.act(self.hidden(x.flatten(1)))
        if self.after != 1:
            x *= self.after
        return self.out(x)


def test_what_is_written_into_later_is_read_as_it_passed():
    module = seeded(InPlace)
    received = module.hidden((module.embed(PAIRS) + module.place).flatten(1))
    network = network_of(module, operands="embed", neurons="act")
    assert torch.equal(network.operands.a, module.embed.weight)
    assert "way_from_operands" not in network.missing
    torch.testing.assert_close(network.pre_activations, received)
    torch.testing.assert_close(network.neurons, received.relu())
    # The layer before gives what its activation then overwrites.
    torch.testing.assert_close(network_of(module, neurons="hidden").neurons, received)


def test_a_module_that_writes_into_its_neurons_leaves_those_it_was_handed():
    module = seeded(InPlace, after=3.0)
    network = network_of(module, operands="embed", neurons="act")
    neurons = network.neurons.clone()
    found = network.logits_from_neurons(neurons, torch.arange(169))
    assert torch.equal(neurons, network.neurons)
    torch.testing.assert_close(found, network.logits, **SAME_SUMS)
    # Backward it cannot go: torch refuses what its activation gave and then was overwritten.
    assert "no gradient" in network.missing["way_from_operands"]
    assert "readout" not in network.missing


def test_patterns_by_head_and_averaged_are_read_at_the_last_query():
    module = seeded(own.Attention)
    module.average = False
    pattern = network_of(module, lambda pairs: {"input_ids": pairs}, pattern="attention").pattern
    assert pattern.shape == (169, 2, 2)
    torch.testing.assert_close(pattern.sum(-1), torch.ones(169, 2))
    module.average = True
    averaged = network_of(module, lambda pairs: (pairs,), pattern="attention").pattern
    torch.testing.assert_close(averaged, pattern.mean(1, keepdim=True))
    with pytest.raises(ConfigError, match="negative entries"):
        network_of(seeded(own.Encoder), "a b =", pattern="encoder.layers.0.linear1")


# --- every kind of module -------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_analyzed_with_the_same_call(name, tmp_path):
    make, inputs, parts = NETWORKS[name]
    modules = {step: seeded(make, seed=step) for step in (0, 5)}
    run = Run.from_modules(
        modules, task=TASK, inputs=inputs, parts=Parts(**parts), train_pairs=np.arange(80)
    )
    analysis = analyze_run(run)
    assert not analysis.failures and len(analysis.trajectory) == 2
    assert {"train_loss", "sum_squared_weights", "gini_W_E"} <= set(analysis.trajectory)
    # Gradients for two tables side by side are in coordinates of their own.
    assert ("gradient_symmetricity" in analysis.trajectory) == (name != "separate")
    assert ("gini_W_L" in analysis.trajectory) == ("readout" not in run.missing_parts)
    squares = sum(float(p.detach().double().square().sum()) for p in modules[5].parameters())
    assert analysis.final["sum_squared_weights"] == pytest.approx(squares, rel=1e-6)
    write_report(analysis, tmp_path / "report.html")
    assert make.__name__ in (tmp_path / "report.html").read_text()


def test_outputs_in_objects_tuples_and_for_all_positions_are_read():
    module = seeded(own.Attention)
    run = run_of(module, "a b")
    expected = module(PAIRS).logits[:, -1]
    torch.testing.assert_close(run.logits(), expected)
    encoder = seeded(own.Encoder).eval()
    run = run_of(encoder, "a b =")
    tokens = torch.cat([PAIRS, torch.full((169, 1), 13)], dim=1)
    torch.testing.assert_close(run.logits(), encoder(tokens)[:, -1, :13], **SAME_SUMS)
    assert "Of 14 outputs the first 13 were read." in run.origin
    assert "outputs" not in run_of(seeded(own.Summed)).origin
    pair = seeded(own.Summed)
    pair.linear2 = nn.Sequential(pair.linear2, _Beside())
    torch.testing.assert_close(run_of(pair).logits(), pair(PAIRS)[0])


class _Beside(nn.Module):
    def forward(self, x):
        return x, "state"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_run_as_they_are(dtype):
    module = seeded(own.Summed).to(dtype)
    network = network_of(module, operands="embed", neurons="linear2:input", readout="linear2")
    assert network.logits.dtype == network.neurons.dtype == torch.float32
    assert torch.equal(network.operands.a, module.embed.weight.float())
    assert not set(network.missing) & {"readout", "way_from_operands", "way_from_neurons"}
    assert next(module.parameters()).dtype == dtype
    assert len(run_of(module).checksum()) == 64


imports_inductor = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"
)
"""torch.compile imports a module of torch's own that says so."""


@imports_inductor
def test_a_compiled_network_is_unwrapped_and_its_hooks_are_called():
    module = seeded(own.Summed)
    module.linear1 = torch.compile(module.linear1)
    run = Run.from_modules(
        {0: torch.compile(module)}, task=TASK, inputs="a b", parts=Parts(operands="embed")
    )
    assert run.model(0) is module
    assert torch.equal(run.network().operands.a, module.embed.weight)
    torch.testing.assert_close(run.logits(), _eager(module))
    in_place = seeded(own.Summed)
    in_place.compile()
    assert torch.equal(network_of(in_place, operands="embed").operands.a, in_place.embed.weight)


def _eager(module):
    hidden = module.linear1._orig_mod(module.embed(A) + module.embed(B))
    return module.linear2(torch.relu(hidden))


def test_a_network_within_data_parallel_is_unwrapped():
    module = seeded(own.Summed)
    run = run_of(nn.DataParallel(module), operands="embed")
    assert run.model(0) is module


def test_a_model_of_transformer_lens_is_a_module_like_any_other():
    from tests.test_transformer_lens import own_class

    model = own_class(d_vocab=14, n_ctx=3, d_vocab_out=13)
    run = run_of(model, "a b =", operands="embed", neurons="blocks.0.mlp.hook_post")
    tokens = torch.cat([PAIRS, torch.full((169, 1), 13)], dim=1)
    torch.testing.assert_close(run.logits(), model(tokens)[:, -1].detach(), **SAME_SUMS)
    network = run.network()
    assert network.operands.a.shape == (13, 8) and network.operands.is_shared
    assert not set(network.missing) & {"readout", "way_from_operands", "way_from_neurons"}


@pytest.mark.filterwarnings("ignore:.torch.jit.*is deprecated:DeprecationWarning")
def test_a_traced_network_has_logits_and_says_that_its_parts_cannot_be_reached():
    module = seeded(own.Disturbed).eval()
    traced = torch.jit.trace(module, PAIRS, check_trace=False)
    run = run_of(traced)
    torch.testing.assert_close(run.logits(), run_of(module).logits(), **SAME_SUMS)
    with pytest.raises(ConfigError, match="is within TorchScript, which calls no hooks"):
        run_of(traced, operands="embed")


def test_a_tied_readout_counts_once_whether_it_is_a_parameter_or_a_view_of_one():
    class Tied(own.Summed):
        def __init__(self, is_view):
            super().__init__(d=24)
            rows = self.embed.weight[:12] if is_view else self.embed.weight
            self.linear2 = nn.Linear(24, len(rows))
            self.linear2.weight = nn.Parameter(rows.detach()) if is_view else rows

        def forward(self, pairs):
            return nn.functional.pad(super().forward(pairs), (0, 1))[:, :13]

    for is_view in (True, False):
        weights = network_of(seeded(Tied, is_view=is_view)).weights
        assert set(weights) == {"embed.weight", "linear1.weight", "linear1.bias", "linear2.bias"}
    # Side by side in one memory is not the same numbers.
    module = seeded(own.Summed)
    both = torch.cat([value.detach().flatten() for value in module.linear2.parameters()])
    module.linear2.weight = nn.Parameter(both[:-13].view(13, 24))
    module.linear2.bias = nn.Parameter(both[-13:])
    assert set(network_of(module).weights) == set(module.state_dict())


@pytest.mark.filterwarnings("ignore:.torch.jit.*is deprecated:DeprecationWarning")
def test_a_scripted_network_has_logits_and_says_that_its_parts_cannot_be_reached():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.out = nn.Embedding(13, 8), nn.Linear(16, 13)

        def forward(self, pairs):
            return self.out(self.embed(pairs).flatten(1))

    module = seeded(Plain)
    scripted = torch.jit.script(module)
    torch.testing.assert_close(run_of(scripted).logits(), run_of(module).logits(), **SAME_SUMS)
    with pytest.raises(ConfigError, match="'embed' is within TorchScript, which calls no hooks"):
        run_of(scripted, operands="embed")
    with pytest.raises(ConfigError, match="'embd' is not a submodule .* Similar names: embed"):
        run_of(scripted, operands="embd")


def test_more_pairs_than_run_at_once_come_in_order():
    task = TaskSpec(p=67)
    module = seeded(own.Encoder, p=67, d=8)
    parts = {"operands": "embed", "neurons": "encoder.layers.0.linear2:input"}
    network = run_of(module, "a b =", task=task, **parts).network()
    pairs = torch.tensor(Task(task).pairs)
    last = pairs[-3:]
    tokens = torch.cat([last, torch.full((3, 1), 67)], dim=1)
    module.eval()
    torch.testing.assert_close(network.logits[-3:], module(tokens)[:, -1, :67], **SAME_SUMS)
    assert network.neurons.shape == (67 * 67, 24)
    rows = torch.arange(67 * 67)
    back = network.logits_from_neurons(network.neurons, rows)
    torch.testing.assert_close(back, network.logits, **SAME_SUMS)
    a, b = (network.operands.a[side] for side in pairs.T)
    torch.testing.assert_close(
        network.logits_from_operands(a, b, rows), network.logits, **SAME_SUMS
    )
    swapped = network.logits_from_operands(b, a, rows)
    torch.testing.assert_close(swapped[1], network.logits[67], **SAME_SUMS)


def test_a_run_of_modules_is_compared_with_one_of_the_library(tiny_run, tiny_analysis):
    run = run_of(seeded(own.Summed))
    table = compare([tiny_analysis, run])
    assert table["model.architecture"].tolist() == ["transformer", "module"]


# --- left as they were ----------------------------------------------------------------------


def test_a_module_is_left_as_it_was():
    module = seeded(own.Disturbed).train()
    module.dropout.eval()
    before = copy.deepcopy(module.state_dict())
    flags = [part.training for part in module.modules()]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    fused = torch.backends.mha.get_fastpath_enabled()
    run = run_of(module, operands="embed", neurons="dropout", readout="linear2")
    first = run.logits()
    analyze_run(run)
    assert torch.equal(run.logits(), first)
    after = module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert [part.training for part in module.modules()] == flags
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.mha.get_fastpath_enabled() is fused
    assert all(not p.requires_grad or p.grad is None for p in module.parameters())
    assert not _hooks_on(module)
    # The sibling: called as it is, in training mode, this module changes.
    module(PAIRS)
    assert not torch.equal(module.norm.running_mean, before["norm.running_mean"])


def test_hooks_and_flags_are_put_back_where_the_module_raises():
    module = seeded(own.Summed).train()

    def fails(x):
        raise ValueError("no such activation")

    module.activation = fails
    with pytest.raises(ConfigError, match="step 0: the module raises ValueError: no such act"):
        run_of(module, operands="embed")
    assert module.training and not _hooks_on(module)


def _hooks_on(module):
    return [p for p in module.modules() if p._forward_hooks or p._forward_pre_hooks]


def test_logits_that_depend_on_the_batch_are_refused():
    module = seeded(own.Disturbed)
    module.norm = nn.BatchNorm1d(24, track_running_stats=False)
    with pytest.raises(ConfigError, match="depend on which pairs are in the same batch"):
        run_of(module)
    run_of(seeded(own.Disturbed))


@pytest.mark.parametrize("p", [2, 3, 4])
def test_logits_that_depend_on_the_batch_are_refused_for_few_pairs_too(p):
    class Dropped(own.Summed):
        def forward(self, pairs):
            return nn.functional.dropout(super().forward(pairs), 0.5, self.is_on)

    module = seeded(Dropped, p=p)
    module.is_on = False
    assert run_of(module, task=TaskSpec(p=p)).logits().shape == (p * p, p)
    module.is_on = True
    with pytest.raises(ConfigError, match="depend on which pairs"):
        run_of(module, task=TaskSpec(p=p))


def test_a_module_without_values_is_refused_and_sparse_logits_are_read():
    with pytest.raises(ConfigError, match="without weights: embed.weight is on the device meta"):
        run_of(seeded(own.Summed).to("meta"))
    lazy = own.Summed()
    lazy.linear1 = nn.LazyLinear(24)
    with pytest.raises(ConfigError, match="linear1.weight is lazy and has no shape"):
        run_of(lazy)
    lazy(PAIRS)
    assert run_of(lazy).logits().shape == (169, 13)

    class Sparse(own.Summed):
        def forward(self, pairs):
            return super().forward(pairs).to_sparse()

    sparse = seeded(Sparse)
    assert torch.equal(run_of(sparse).logits(), run_of(seeded(own.Summed)).logits())


def test_checksums_change_with_weights_buffers_and_code():
    module = seeded(own.Disturbed)
    run = run_of(module)
    first = run.checksum()
    assert run.checksum() == first == run_of(copy.deepcopy(module)).checksum()
    module.norm.running_mean += 1
    changed = run.checksum()
    assert changed != first
    module.dropout = nn.Tanh()
    assert run.checksum() != changed


# --- what cannot be -------------------------------------------------------------------------


class _Raising(own.Summed):
    def forward(self, pairs):
        raise RuntimeError("two\nlines")


class _Few(own.Summed):
    def forward(self, pairs):
        return super().forward(pairs)[:-1]


class _Wide(own.Summed):
    def forward(self, pairs):
        return torch.cat([super().forward(pairs)] * 2, dim=1)


class _Text(own.Summed):
    def forward(self, pairs):
        return "logits"


@pytest.mark.parametrize(
    ("modules", "kind", "message"),
    [
        ({}, CheckpointError, "modules is empty"),
        ([seeded(own.Summed)], ConfigError, "Pass {step: module}"),
        ({-1: seeded(own.Summed)}, CheckpointError, "has the step -1"),
        ({1.5: seeded(own.Summed)}, CheckpointError, "has the step 1.5"),
        ({3: own.Summed}, ConfigError, "step 3 has a class, not a module. Call it first."),
        ({3: one_hot}, ConfigError, "step 3 has .*one_hot.*, not a module"),
        ({3: seeded(own.Summed).state_dict()}, ConfigError, "use gi.Run.from_state_dicts"),
        ({3: _Raising()}, ConfigError, "step 3: the module raises RuntimeError: two lines"),
        (
            {3: _Few()},
            ShapeError,
            r"step 3: the module returns the shape \(168, 13\) for 169 pairs",
        ),
        ({3: _Wide()}, ShapeError, "step 3: outputs of the module have 26 columns; .* 13 answers"),
        ({3: _Text()}, ShapeError, "step 3: the module returns str, not logits"),
    ],
)
def test_what_is_no_network_on_the_task_is_refused_in_one_line(
    modules, kind, message, without_type_checks
):
    with pytest.raises(kind, match=message) as refused:
        Run.from_modules(modules, task=TASK, inputs="a b")
    assert "\n" not in str(refused.value)


@imports_inductor
def test_two_steps_are_two_networks():
    module = seeded(own.Summed)
    with pytest.raises(CheckpointError, match="steps 0 and 9 are the same module"):
        Run.from_modules({0: module, 9: torch.compile(module)}, task=TASK, inputs="a b")
    with pytest.raises(CheckpointError, match="steps 0 and 9 share memory"):
        Run.from_modules({0: module, 9: copy.copy(module)}, task=TASK, inputs="a b")
    with pytest.raises(CheckpointError, match="'embed.weight' of shape .*, not .*13, 8"):
        modules = {0: module, 9: seeded(own.Summed, d=8)}
        Run.from_modules(modules, task=TASK, inputs="a b")
    # A table that is not trained may be shared.
    module.embed.weight.requires_grad_(False)
    other = seeded(own.Summed, seed=1)
    other.embed = module.embed
    assert Run.from_modules({0: module, 9: other}, task=TASK, inputs="a b").steps == (0, 9)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"operands": "embd"}, "operands='embd' is not a submodule of Odd. Similar names: embed"),
        ({"neurons": "linear"}, "neurons='linear' .* linear1, linear2|linear2, linear1"),
        ({"neurons": "linear2:outputs"}, "ends in ':outputs'"),
        ({"neurons": ":input"}, "names no submodule"),
        ({"readout": "linear2"}, "named without neurons"),
        ({"neurons": "linear1", "readout": "lineer2"}, "readout='lineer2' is not a submodule"),
        ({"operands": "linear1"}, None),
        ({"operands": "linear2"}, "no vector depends on a alone and another on b alone"),
        ({"operands": "embed:input"}, "receives a tensor of torch.int64, not a tensor of floats"),
        ({"operands": "unused"}, "operands=unused is not called"),
        ({"neurons": "unused"}, "neurons=unused is not called"),
        ({"pattern": "unused"}, "pattern=unused is not called"),
        ({"neurons": "odd"}, r"neurons=odd has the shape \(5, 2\) for 169 pairs"),
        ({"operands": "odd"}, r"shape \(5, 2\) for 169 pairs"),
        ({"pattern": "linear1"}, r"pattern=linear1 has the shape \(64, 24\)"),
        ({"operands": ("embed", "embed", "embed")}, "operands=.* is of the wrong type"),
    ],
)
def test_names_and_shapes_that_cannot_be_parts_are_refused(parts, message, without_type_checks):
    class Odd(own.Summed):
        def __init__(self):
            super().__init__()
            self.unused, self.odd = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, pairs):
            self.odd(torch.ones(5, 2))
            return super().forward(pairs)

    module = seeded(Odd)
    if message is None:
        # Linear on a sum of embeddings: it is of a plus of b, so it can be.
        assert network_of(module, **parts).operands.is_shared
        return
    with pytest.raises(ConfigError, match=message) as refused:
        run_of(module, **parts)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("a=b", "inputs='a=b' is not known"),
        (3, "inputs=3 is not known"),
        (lambda pairs: 1 / 0, "inputs=<lambda> raises ZeroDivisionError: division by zero"),
        (
            lambda pairs: pairs + 5,
            r"the module raises IndexError.* called with int64 of shape \(\d+, 2\)\. Pass the",
        ),
        (lambda pairs: pairs[:100], r"returns the shape \(100, 13\) for 169 pairs"),
    ],
)
def test_inputs_that_fail_are_named_in_one_line(inputs, message, without_type_checks):
    with pytest.raises((ConfigError, ShapeError), match=message) as refused:
        run_of(seeded(own.Summed), inputs)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("inputs", "p", "given"),
    [
        ("a b =", 13, r"tokens 0 to 12 and 13 for =, of shape \(pairs, 3\), the inputs 'a b ='"),
        ("a b", 14, r"tokens 0 to 13 of shape \(pairs, 2\), the inputs 'a b'"),
    ],
)
def test_tokens_that_a_module_does_not_know_are_named(inputs, p, given):
    module = seeded(own.Recurrent)  # 13 tokens, and no =
    message = f"IndexError: .*called with {given}. Pass the inputs and the task"
    with pytest.raises(ConfigError, match=message):
        Run.from_modules({0: module}, task=TaskSpec(p=p), inputs=inputs)
    assert Run.from_modules({0: module}, task=TASK, inputs="a b").steps == (0,)


def test_an_attention_that_is_asked_for_no_weights_has_no_pattern():
    path = "encoder.layers.0.self_attn"
    with pytest.raises(
        ConfigError, match=f"pattern={path} returns no attention weights: .* as in nn.T"
    ):
        run_of(seeded(own.Encoder), "a b =", pattern=path)
    asked = seeded(own.Encoder)
    attention = asked.encoder.layers[0].self_attn
    plain = attention.forward
    attention.forward = lambda *x, **named: plain(*x, **{**named, "need_weights": True})
    pattern = network_of(asked, "a b =", pattern=path).pattern
    torch.testing.assert_close(pattern.sum(-1), torch.ones(len(pattern), 1))


def test_a_readout_with_something_behind_it_is_refused():
    class Scaled(own.Summed):
        def forward(self, pairs):
            return 3 * super().forward(pairs)

    with pytest.raises(ConfigError, match="something follows it"):
        run_of(seeded(Scaled), neurons="linear2:input", readout="linear2")
    measured = network_of(seeded(Scaled), neurons="linear2:input").readout.W_L
    expected = 3 * seeded(Scaled).linear2.weight.T.double()
    torch.testing.assert_close(measured, expected, **SAME_SUMS)


def test_ways_back_that_do_not_lead_to_the_logits_are_absent_with_the_reason():
    class Aside(own.Summed):
        def forward(self, pairs):
            self.aside(self.embed.weight[pairs[:, 0]])
            with torch.no_grad():
                return super().forward(pairs)

    module = seeded(Aside)
    module.aside = nn.Linear(12, 5)
    missing = run_of(module, operands="embed", neurons="aside").missing_parts
    assert "changing aside does not change the logits" in missing["way_from_neurons"]
    assert "readout" in missing and "neurons" not in missing
    assert "no gradient with respect to its operands" in missing["way_from_operands"]
    analysis = analyze_run(run_of(module, operands="embed", neurons="aside"))
    assert "gradient_symmetricity" not in analysis.trajectory
    assert "gini_W_E" in analysis.trajectory


def test_a_step_with_logits_that_are_not_finite_is_left_out_and_named():
    broken, fine = seeded(own.Summed), seeded(own.Summed, seed=1)
    with torch.no_grad():
        broken.linear2.bias[3] = torch.nan
    parts = Parts(operands="embed", neurons="linear2:input")
    run = Run.from_modules({0: fine, 7: broken}, task=TASK, inputs="a b", parts=parts)
    assert list(analyze_run(run).failures) == ["step 7"]
    with pytest.raises(CheckpointError, match="step 7 has logits that are not finite"):
        run.network(7)
    alone = Run.from_modules({7: broken}, task=TASK, inputs="a b", parts=parts)
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints .* step 7"):
        analyze_run(alone)


def test_parts_are_found_at_every_step_or_the_step_is_left_out():
    class Sometimes(own.Summed):
        bends = False

        def forward(self, pairs):
            if self.bends:
                self.embed(pairs[:, 0] * pairs[:, 1] % 13)
                return self.linear2(self.linear1(self.embed(pairs[:, 1])))
            return super().forward(pairs)

    odd = seeded(Sometimes, seed=1)
    odd.bends = True
    run = Run.from_modules(
        {0: odd, 4: seeded(Sometimes)}, task=TASK, inputs="a b", parts=Parts(operands="embed")
    )
    analysis = analyze_run(run)
    assert list(analysis.failures) == ["step 0"]
    assert "no vector depends on a alone" in analysis.failures["step 0"]


def test_what_was_not_named_is_missing_with_one_reason_and_says_how():
    run = run_of(seeded(own.Summed))
    reason = "no submodule was named for the neurons of Summed: gi.Parts(neurons=...)"
    assert {run.missing_parts[part] for part in ("neurons", "readout", "way_from_neurons")} == {
        reason
    }
    assert "weights" not in run.missing_parts
    assert run.spec.in_words == "Summed of 793 parameters"
    assert set(run.parameters()) == set(run.model().state_dict())
    assert run.config.to_dict()["model"]["architecture"] == "module"


def test_a_run_of_modules_says_what_it_is(tmp_path):
    run = run_of(seeded(own.Summed), operands="embed")
    assert "network      Summed of 793 parameters" in repr(run)
    assert "made of 1 module: Summed of 793 parameters. Input: a b." in run.origin
    assert "Parts by name: operands embed." in run.origin
    assert run.folder is None and dataclasses.is_dataclass(run.spec)
