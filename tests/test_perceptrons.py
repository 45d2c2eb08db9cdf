"""Perceptrons explained: their parts, the phases of their neurons, what analyze says of them."""

import dataclasses
import math

import pandas as pd
import pytest
import torch
from torch import nn

from grokinterp.circuits import (
    Snapshot,
    find_algorithm,
    find_key_frequencies,
    neuron_table,
    take_snapshot,
)
from grokinterp.circuits.gradients import gradient_symmetricity
from grokinterp.circuits.neuron_phases import (
    input_phases,
    neuron_phases,
    sum_phases,
    wrap,
)
from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.models import MlpSpec
from grokinterp.models.mlp import first_mlp_parameters
from grokinterp.models.mlp_parts import MlpParts
from grokinterp.models.module_spec import Parts
from grokinterp.models.network_parts import Operands
from grokinterp.report import write_report
from grokinterp.runs import PRESETS, OptimizerSpec, TrainConfig
from grokinterp.runs.loading import load_run
from grokinterp.runs.run import Run
from grokinterp.tasks import Task, TaskSpec, draw_split
from grokinterp.training import train
from grokinterp.trajectory import analyze_run
from tests import planted
from tests.tolerances import EXACT64

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


# Neurons and their phases. Gromov's network has them by construction.


@pytest.fixture(scope="module")
def gromov():
    return planted.gromov_snapshot()


def test_gromovs_solution_is_right_on_every_pair_and_uses_all_frequencies(gromov):
    assert gromov.accuracy_all == 1.0
    found = find_key_frequencies(gromov)
    assert found.frequencies == tuple(range(1, 49)) and found.is_dense
    other = planted.gromov_snapshot(is_fitting=False)
    # Chance is 1 / 97; the phases of the output are all that differs.
    assert other.accuracy_all < 3 / 97
    assert not find_key_frequencies(other).frequencies
    torch.testing.assert_close(other.neurons, gromov.neurons)


@pytest.mark.parametrize("operation", ["addition", "subtraction", "multiplication", "division"])
def test_planted_frequencies_and_phases_come_out_exactly(operation):
    snapshot = planted.gromov_snapshot(operation=operation)
    n = snapshot.require_cyclic_view().order
    phi_1, phi_2, _ = planted.gromov_phases()
    phases = neuron_phases(snapshot)
    assert torch.equal(phases.frequency, planted.gromov_frequencies(n))
    of_a, of_b = input_phases(snapshot, phases.frequency)
    for found, expected in (
        (of_a, phi_1),
        (of_b, phi_2),
        (phases.phase_sum, phi_1 + phi_2),
        (phases.phase_out, phi_1 + phi_2),
        (phases.phase_error, torch.zeros(500)),
    ):
        assert wrap(found - expected).abs().max() < 1e-12
        assert (-math.pi < found).all() and (found <= math.pi).all()
    torch.testing.assert_close(phases.fraction_sum_explained, torch.ones(500).double())
    # (cos x + cos y)^2 holds cos(x + y), and the output cos(w c + psi): amplitudes of one.
    torch.testing.assert_close(phases.weight, torch.ones(500).double())
    assert phases.coherence == pytest.approx(1, **EXACT64)
    assert phases.fraction_one_wave == 1


def test_shuffled_output_phases_have_no_coherence_and_opposite_ones_the_opposite(gromov):
    shuffled = planted.gromov_snapshot(is_fitting=False)
    # Five standard errors of the mean of 500 cosines of random angles.
    assert abs(neuron_phases(shuffled).coherence) < 5 / math.sqrt(2 * 500)
    weights = dict(gromov.parameters)
    weights["layers.1.W"] = -weights["layers.1.W"]
    opposite = Snapshot.from_parameters(weights, gromov.split, gromov.network.spec)
    assert neuron_phases(opposite).coherence == pytest.approx(-1, **EXACT64)
    assert (neuron_phases(opposite).phase_error.abs() > 3.14).all()


def test_phases_are_weighted_by_the_sizes_of_both_waves(gromov):
    weights = {name: value.clone() for name, value in gromov.parameters.items()}
    weights["layers.1.W"][:100] *= -2
    weights["layers.0.W"][:, 100:200] *= 3
    changed = Snapshot.from_parameters(weights, gromov.split, gromov.network.spec)
    # 100 neurons twice as loud and wrong, 100 with nine times the square, 300 as they were.
    expected = (-200 + 900 + 300) / (200 + 900 + 300)
    assert neuron_phases(changed).coherence == pytest.approx(expected, **EXACT64)


@pytest.mark.parametrize("n", [12, 13])
@pytest.mark.parametrize("place", ["lowest", "middle", "highest"])
def test_the_phase_of_a_wave_of_any_frequency_is_found(n, place):
    k = planted.frequency_at(place, n)
    # The highest frequency of an even n is (-1)^x, whose phase is 0 or pi.
    phase = torch.tensor([math.pi, 0.0] if 2 * k == n else [2.5, -0.3]).double()
    split = planted.split(n)
    sums = torch.tensor(split.task.pairs).sum(dim=1)[:, None].double()
    neurons = 1.5 * torch.cos(2 * math.pi * k * sums / n + phase) + 4
    base = planted.snapshot(torch.zeros(n * n, n), split, torch.cat([neurons] * 4, dim=1))
    frequency, found, share, size = sum_phases(base)
    assert (frequency == k).all()
    assert wrap(found - phase.repeat(4)).abs().max() < 1e-6
    torch.testing.assert_close(share, torch.ones(8).double())
    torch.testing.assert_close(size, torch.full((8,), 1.5).double())


def test_a_neuron_without_a_wave_of_the_sum_has_no_phase():
    split = planted.split(13)
    a, b = torch.tensor(split.task.pairs).T.double()
    wave = 2 * math.pi * 3 / 13
    waves = [torch.cos(wave * x) for x in (a, 0 * a, a - b, a + b)]
    neurons = torch.stack(waves, dim=1)
    snapshot = planted.snapshot(torch.zeros(169, 13), split, neurons.repeat(1, 2))
    phases = neuron_phases(snapshot)
    assert phases.phase_sum.isnan().tolist() == [True, True, True, False] * 2
    assert phases.phase_error.isnan().tolist() == [True, True, True, False] * 2
    assert phases.frequency.tolist() == [3, 0, 3, 3] * 2
    assert -1 <= phases.coherence <= 1 and phases.fraction_one_wave == 0.25
    dead = planted.snapshot(torch.zeros(169, 13), split, torch.ones(169, 8))
    assert math.isnan(neuron_phases(dead).coherence)


def test_a_nonlinearity_that_multiplies_with_a_minus_turns_the_phase_of_the_sum():
    """The curvature of tanh above zero is negative: phi_sum is phi_a + phi_b + pi there."""
    weights = planted.gromov_parameters(31, 60)
    split = planted.split(31)
    phi_1, phi_2, _ = planted.gromov_phases(60)
    for bias, turn in ((1.0, math.pi), (-1.0, 0.0)):
        biased = {f"layers.{i}.b": torch.full((size,), bias) for i, size in ((0, 60), (1, 31))}
        spec = MlpSpec(widths=(60,), act_fn="tanh", biases=True)
        small = {"layers.0.W": weights["layers.0.W"] / 10, "layers.1.W": weights["layers.1.W"]}
        snapshot = Snapshot.from_parameters({**small, **biased}, split, spec)
        phases = neuron_phases(snapshot)
        assert wrap(phases.phase_sum - phi_1 - phi_2 - turn).abs().max() < 1e-3
        of_a, of_b = input_phases(snapshot, phases.frequency)
        assert wrap(of_a + of_b - phi_1 - phi_2).abs().max() < 1e-3


def test_the_table_of_neurons_has_the_phases():
    gromov = planted.gromov_snapshot(31, 60)
    table = neuron_table(gromov)
    phases = neuron_phases(gromov)
    for column in ("phase_sum", "phase_out", "phase_error", "fraction_sum_explained"):
        assert table[column].tolist() == getattr(phases, column).tolist()
    of_a, of_b = input_phases(gromov, phases.frequency)
    assert table["phase_a"].tolist() == of_a.tolist()
    assert table["phase_b"].tolist() == of_b.tolist()
    # A neuron that squares has a fifth of its activation in twice its frequency.
    assert table["fraction_explained"].tolist() == pytest.approx([0.8] * 60)
    assert not table["is_single_frequency"].any()


def test_phases_that_need_a_missing_part_are_absent():
    gromov = planted.gromov_snapshot(13, 12)

    class WithoutReadout(type(gromov.network)):
        missing = {"readout": "the last layer is not linear", "pre_activations": "unknown"}

    fields = {f.name: getattr(gromov.network, f.name) for f in dataclasses.fields(gromov.network)}
    snapshot = dataclasses.replace(gromov, network=WithoutReadout(**fields))
    table = neuron_table(snapshot)
    assert {"phase_sum", "fraction_sum_explained"} <= set(table)
    assert not {"phase_a", "phase_b", "phase_out", "phase_error"} & set(table)
    with pytest.raises(ConfigError, match="the last layer is not linear"):
        neuron_phases(snapshot)


def test_permutations_have_no_phases():
    task = draw_split(Task(TaskSpec("permutation_composition", degree=3, train_fraction=0.6)))
    spec = MlpSpec(widths=(9,), act_fn="square")
    snapshot = Snapshot.from_parameters(first_mlp_parameters(spec, 12, 6), task, spec)
    assert not any(column.startswith("phase") for column in neuron_table(snapshot))
    with pytest.raises(ConfigError, match="representations and no frequencies"):
        neuron_phases(snapshot)


# Clock and pizza.


def verdict_of(parameters, spec, p=59):
    snapshot = Snapshot.from_parameters(parameters, planted.split(p), spec)
    assert snapshot.accuracy_all == 1
    return find_algorithm(snapshot, find_key_frequencies(snapshot))


def test_a_perceptron_that_sums_its_embeddings_is_a_pizza():
    found = verdict_of(planted.summing_parameters(59, (9, 17)), planted.summing_spec())
    assert found.verdict == "pizza"
    assert found.gradient_symmetricity.mean == pytest.approx(1, abs=1e-6)


def test_a_perceptron_that_multiplies_its_embeddings_is_a_clock():
    weights = planted.multiplying_parameters(59, (9, 17))
    found = verdict_of(weights, planted.multiplying_spec())
    assert found.verdict == "clock"
    assert abs(found.gradient_symmetricity.mean) < 0.1
    # The very same logits from two tables: nothing says how the one lies beside the other.
    separate = {**weights, "embed.W_A": weights["embed.W_E"], "embed.W_B": weights["embed.W_E"]}
    del separate["embed.W_E"]
    other = verdict_of(separate, planted.multiplying_spec(embedding="separate"))
    assert (other.verdict, other.gradient_symmetricity) == ("none", None)
    assert "in different coordinates" in other.reason
    assert f"distance irrelevance is {found.distance_irrelevance:.3f}" in other.reason
    assert "gradient symmetricity is" not in other.reason
    assert other.variance_explained_by_circle == found.variance_explained_by_circle
    assert other.to_dict()["verdict"] == "none" and "gradient_symmetricity" not in other.to_dict()


def test_the_same_logits_read_from_one_hot_vectors_have_equal_gradients_and_are_no_clock():
    """The embeddings of tokens are then rows of the first matrix, and they are summed."""
    weights = planted.multiplying_parameters(59, (9, 17))
    table = weights["embed.W_E"]
    halves = [table @ half for half in weights["layers.0.W"].split(4)]
    flat = {"layers.0.W": torch.cat(halves), "layers.1.W": weights["layers.1.W"]}
    found = verdict_of(flat, MlpSpec(widths=(16,), act_fn="square"))
    assert found.verdict == "mixed"
    assert found.gradient_symmetricity.mean == pytest.approx(1, abs=1e-6)
    assert found.distance_irrelevance > 0.9


@pytest.mark.parametrize(
    ("combination", "more", "less"),
    [("summed", "pizza_product", "clock"), ("concatenated", "clock", "pizza_product")],
)
def test_trained_embeddings_add_where_they_are_summed_and_multiply_side_by_side(
    combination, more, less, tmp_path
):
    config = TrainConfig(
        task=TaskSpec(p=23, train_fraction=0.75),
        model=MlpSpec(widths=(64,), embedding="shared", d_embed=32, combination=combination),
        optimizer=OptimizerSpec(learning_rate=1e-2),
        n_steps=800,
        checkpoint_every=800,
    )
    snapshot = take_snapshot(train(config, tmp_path / "run", progress=False))
    found = find_algorithm(snapshot, find_key_frequencies(snapshot))
    circles = found.variance_explained_by_circle.values()
    assert sum(circle[more] - circle[less] for circle in circles) > 0.1 * len(circles)
    assert (found.verdict == "clock") == (combination == "concatenated")
    assert neuron_phases(snapshot).coherence > 0.9


# The preset, from its training to its report.


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    run = train(PRESETS["perceptron"], tmp_path_factory.mktemp("preset") / "run", progress=False)
    return analyze_run(run)


def test_a_dense_set_of_key_frequencies_is_an_ordinary_result(preset):
    keys = preset.key_frequencies
    assert keys.frequencies == tuple(range(1, 12)) and keys.is_dense
    last = preset.trajectory.iloc[-1]
    assert last["restricted_loss_all"] == pytest.approx(last["loss_all"], rel=0.01)
    assert last["excluded_loss_all"] == pytest.approx(math.log(23), rel=0.01)
    assert last["held_out_restricted_accuracy"] == 1
    assert last["phase_coherence"] > 0.98 > 0.2 > abs(preset.trajectory["phase_coherence"][0])
    assert last["gradient_symmetricity"] == pytest.approx(1, abs=1e-6)
    assert 0.5 < last["fraction_one_wave_neurons"] < 1
    assert preset.trajectory["fraction_one_wave_neurons"][0] < 0.05
    assert not last.isna().any()
    assert "sum_squared_weights_W_E" not in preset.trajectory


def test_every_stage_but_attention_of_a_perceptrons_circuit_is_there(preset):
    assert list(preset.circuit["stage"].unique()) == [
        "network",
        "embedding",
        "neurons",
        "neuron_logit_map",
        "logits",
    ]
    losses = preset.circuit.loc[preset.circuit["unit"] == "nats"].set_index("quantity")["value"]
    whole = losses["loss, nothing replaced"]
    assert losses["loss, neurons projected on these directions"] == pytest.approx(whole, rel=0.01)
    assert losses["loss, neurons projected on what is orthogonal to them"] > whole + 0.5


def test_parts_of_a_perceptron_are_taken_out_at_logits_neurons_and_embedding(preset):
    table = preset.ablations.set_index(["component", "intervention"])["accuracy_all"]
    full = table["full", "none"]
    for place in ("logits", "neurons", "embedding"):
        without = [row for row in table.index if row[1].startswith(f"removed from {place}")]
        assert without, place
        assert table["trigonometric_circuit", f"removed from {place}"] < full == 1
    assert "mlp" in table.index.get_level_values(0)
    assert not any("head" in name or "path" in name for name, _ in table.index)


def test_the_report_of_a_perceptron_has_every_part_or_the_reason(preset, tmp_path):
    page = write_report(preset, tmp_path / "report.html").read_text(encoding="utf-8")
    for name in ("embedding-spectrum", "key-frequencies", "neurons", "neuron-phases", "gini"):
        assert f'id="figure-{name}"' in page, name
    assert "Verdict: <strong>mixed</strong>" in page
    assert "has a fifth of its variance at frequency 2k" in page


def test_curves_hold_the_trained_loss_and_measures_the_cross_entropy(preset):
    curves, last = preset.run.curves, preset.trajectory.iloc[-1]
    snapshot = take_snapshot(preset.run)
    one_hot = torch.nn.functional.one_hot(snapshot.labels, 23)
    rows = snapshot.pair_mask("train")
    squared = (snapshot.logits - one_hot).double().square()[rows].mean()
    assert curves["train_loss"].iloc[-1] == pytest.approx(float(squared), rel=1e-4)
    assert last["train_loss"] == pytest.approx(float(snapshot.losses[rows].mean()))
    assert last["train_loss"] > 1 > curves["train_loss"].iloc[-1]


def test_what_is_memorized_has_coherence_and_no_neurons_of_one_wave(preset, tmp_path):
    config = TrainConfig(
        task=TaskSpec(p=31, train_fraction=0.2),
        model=MlpSpec(widths=(128,)),
        optimizer=OptimizerSpec(learning_rate=1e-2, weight_decay=0.0),
        n_steps=200,
        checkpoint_every=200,
    )
    snapshot = take_snapshot(train(config, tmp_path / "run", progress=False))
    rows = snapshot.pair_mask("train")
    assert snapshot.are_correct[rows].all() and snapshot.are_correct[~rows].double().mean() < 0.1
    phases = neuron_phases(snapshot)
    assert phases.coherence > 0.8 and phases.fraction_one_wave < 0.05
    assert preset.trajectory["fraction_one_wave_neurons"].iloc[-1] > 0.5


def test_a_second_analysis_reads_the_same_neurons_from_the_cache(preset):
    again = analyze_run(load_run(preset.run.folder))
    pd.testing.assert_frame_equal(again.neurons, preset.neurons)


@pytest.mark.parametrize("name", ["layers.0.W", "layers.1.W"])
def test_weights_that_are_not_finite_are_refused_by_name(name):
    weights = planted.gromov_parameters(13, 12)
    weights[name] = weights[name] * math.nan
    with pytest.raises(CheckpointError, match=f"non-finite weights in {name}"):
        Snapshot.from_parameters(weights, planted.split(13), planted.gromov_spec(12))


def test_a_neuron_of_one_pair_has_the_lowest_of_its_frequencies():
    # All frequencies explain the same of it, so rounding would choose.
    pairs = torch.tensor(Task(TaskSpec(p=13)).pairs)
    first = torch.zeros(26, len(pairs) + 1)
    rows = torch.arange(len(pairs))
    first[pairs[:, 0], rows] = first[13 + pairs[:, 1], rows] = 1
    first[:13, -1] = torch.cos(2 * math.pi * 3 * torch.arange(13) / 13)
    bias = torch.full((len(rows) + 1,), -1.5)
    bias[-1] = 2
    weights = {"layers.0.W": first, "layers.0.b": bias}
    weights |= {"layers.1.W": planted.noise(len(rows) + 1, 13), "layers.1.b": torch.zeros(13)}
    weights = {name: value.double() for name, value in weights.items()}
    spec = MlpSpec(widths=(len(rows) + 1,), biases=True)
    snapshot = Snapshot.from_parameters(weights, planted.split(13), spec)
    found = neuron_phases(snapshot).frequency
    assert snapshot.neurons[:, :-1].count_nonzero(dim=0).tolist() == [1] * len(rows)
    assert set(found[:-1].tolist()) == {1} and int(found[-1]) == 3


class TwoTables(nn.Module):
    """A perceptron of someone's own with a table for each token."""

    def __init__(self, is_summed: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.of_a, self.of_b = nn.Embedding(13, 6), nn.Embedding(13, 6)
        self.hidden, self.act = nn.Linear(6 if is_summed else 12, 16), nn.Tanh()
        self.unembed, self.is_summed = nn.Linear(16, 13), is_summed

    def forward(self, pairs):
        a, b = self.of_a(pairs[:, 0]), self.of_b(pairs[:, 1])
        read = a + b if self.is_summed else torch.cat([a, b], dim=1)
        return self.unembed(self.act(self.hidden(read)))


@pytest.mark.parametrize("is_summed", [True, False])
def test_gradients_of_a_module_with_two_tables_are_compared_only_where_it_sums_them(is_summed):
    run = Run.from_modules(
        {0: TwoTables(is_summed)},
        task=TaskSpec(p=13),
        inputs="a b",
        parts=Parts(operands=("of_a", "of_b"), neurons="act"),
    )
    snapshot = take_snapshot(run)
    assert snapshot.has("operands", "way_from_operands")
    if is_summed:
        assert gradient_symmetricity(snapshot, n_triples=50).mean == pytest.approx(1, abs=1e-5)
    else:
        with pytest.raises(
            ConfigError, match="embeddings that are not summed, so it is not known whether"
        ):
            gradient_symmetricity(snapshot)
