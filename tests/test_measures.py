import dataclasses
import math
import re

import pytest
import torch

from grokinterp.circuits import KeyFrequencies, Snapshot
from grokinterp.circuits.gradients import gradient_symmetricity
from grokinterp.circuits.trigonometric import held_out_component, restricted_logits
from grokinterp.errors import ConfigError
from grokinterp.measures import MEASURES, as_measure, by_frequency_table, measure as declare
from grokinterp.measures.needs import NEEDS, check_needs
from grokinterp.measures.strength import (
    circuit_logits,
    fraction_logit_power_memorization,
    held_out_restricted,
)
from grokinterp.models import ModelSpec
from grokinterp.models.initialization import initial_parameters
from grokinterp.models.loss import are_correct
from grokinterp.models.transformer import transformer_logits
from grokinterp.spectra import cyclic_harmonics
from grokinterp.tasks import Task, TaskSpec
from tests import planted
from tests.tolerances import CHAINED64, EXACT64, FLOAT32

BY_NAME = {measure.name: measure for measure in MEASURES}
COLUMNS = """
    train_loss test_loss train_accuracy test_accuracy loss_all accuracy_all
    test_accuracy_mirrored test_accuracy_unmirrored
    restricted_loss_all restricted_loss_train restricted_loss_test
    excluded_loss_all excluded_loss_train excluded_accuracy_train
    held_out_restricted_loss held_out_restricted_accuracy
    trigonometric_logit_train memorization_logit_train
    trigonometric_logit_test memorization_logit_test fraction_logit_power_memorization
    sum_squared_weights sum_squared_weights_W_E sum_squared_weights_W_pos
    sum_squared_weights_W_Q sum_squared_weights_W_K sum_squared_weights_W_V
    sum_squared_weights_W_O sum_squared_weights_W_in sum_squared_weights_W_out
    sum_squared_weights_W_U gini_W_E gini_W_L fraction_logit_variance_explained
    fraction_logit_variance_explained_pizza fraction_single_frequency_neurons phase_coherence
    fraction_one_wave_neurons
    gradient_symmetricity gradient_symmetricity_standard_error distance_irrelevance
    circularity effective_rank_W_E
""".split()
SPEC = ModelSpec(d_model=16, n_heads=2, d_head=8, d_mlp=24)


def measured(snapshot, keys):
    row = {}
    for one in MEASURES:
        if one.applies_to(snapshot.task, keys):
            row |= one.values(snapshot, keys)
    return row


def random_snapshot(p, operation="addition", spec=SPEC, scale=1.0, **split_changes):
    split = planted.split(p, operation, **split_changes)
    parameters = initial_parameters(spec, d_vocab=p + 1, n_ctx=3, d_vocab_out=p)
    parameters = {name: scale * value for name, value in parameters.items()}
    return Snapshot.from_parameters(parameters, split, spec)


def keys_of(snapshot):
    n = snapshot.view.order if snapshot.view else snapshot.task.n_classes
    return KeyFrequencies.given(n, {1, n // 2})


def test_the_catalogue_has_the_columns_of_the_table_in_their_order():
    others = {"representations", "subgroups"}
    modular = [measure for measure in MEASURES if not others & set(measure.needs)]
    assert [column for measure in modular for column in measure.columns] == COLUMNS
    only = {c for measure in MEASURES for c in measure.columns} - set(COLUMNS)
    assert only == {"fraction_single_representation_neurons", "fraction_coset_neurons"}


def test_every_measure_has_a_source_and_says_what_it_is():
    for measure in MEASURES:
        assert len(measure.source) > 5
        assert measure.description.endswith(".")
        assert measure.version >= 1


@pytest.mark.parametrize("p", [2, 3, 12, 13])
def test_a_random_network_has_every_number(p):
    snapshot = random_snapshot(p)
    row = measured(snapshot, keys_of(snapshot))
    # Of these groups one has a subgroup besides itself and the trivial one.
    assert ("fraction_coset_neurons" in row) == (p == 12)
    assert [column for column in row if column != "fraction_coset_neurons"] == COLUMNS
    may_be_empty = {"test_accuracy_mirrored", "test_accuracy_unmirrored"}
    assert all(math.isfinite(row[column]) for column in COLUMNS if column not in may_be_empty)


@pytest.mark.parametrize(
    ("operation", "p", "absent"),
    [
        ("subtraction", 13, {"test_accuracy_mirrored", "test_accuracy_unmirrored"}),
        ("division", 13, {"test_accuracy_mirrored", "test_accuracy_unmirrored"}),
        ("multiplication", 13, set()),
        (
            "multiplication",
            12,
            {
                column
                for column in COLUMNS
                if column.startswith(
                    (
                        "restricted",
                        "held_out",
                        "excluded",
                        "gini",
                        "trigonometric_l",
                        "memorization_l",
                    )
                )
            }
            | {
                "fraction_logit_power_memorization",
                "fraction_logit_variance_explained",
                "fraction_logit_variance_explained_pizza",
                "fraction_single_frequency_neurons",
                "phase_coherence",
                "fraction_one_wave_neurons",
                "distance_irrelevance",
                "circularity",
            },
        ),
    ],
)
def test_what_has_no_meaning_is_absent(operation, p, absent):
    snapshot = random_snapshot(p, operation)
    row = measured(snapshot, keys_of(snapshot))
    assert set(COLUMNS) - set(row) == absent
    assert not any(math.isnan(value) for value in row.values())


def test_without_key_frequencies_their_columns_are_absent():
    snapshot = random_snapshot(5)
    row = measured(snapshot, KeyFrequencies(5, (), reason="not grokked"))
    assert {"restricted_loss_all", "excluded_loss_train", "excluded_accuracy_train"}.isdisjoint(row)
    assert "gini_W_E" in row


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e8, 1e30])
@pytest.mark.parametrize("operation", ["addition", "multiplication"])
def test_absurd_weights_give_numbers_or_nan_but_no_exception(scale, operation):
    snapshot = random_snapshot(5, operation, scale=scale)
    row = measured(snapshot, keys_of(snapshot))
    assert not any(math.isinf(value) for value in row.values())
    by_frequency_table(snapshot)
    if scale == 0:
        assert row["loss_all"] == pytest.approx(math.log(5), **EXACT64)
        assert row["excluded_loss_all"] == pytest.approx(math.log(row_classes(snapshot)), **EXACT64)
        assert math.isnan(row["gradient_symmetricity"])
        assert math.isnan(row["distance_irrelevance"])
        assert math.isnan(row["fraction_logit_variance_explained"])
        assert math.isnan(row["gini_W_E"])
        assert row["fraction_single_frequency_neurons"] == 0


def row_classes(snapshot):
    return snapshot.logits.shape[1]


def test_huge_logits_give_no_exception():
    snapshot = planted.snapshot(1e30 * planted.noise(25, 5).float(), planted.split(5))
    row = measured(snapshot, keys_of(snapshot))
    assert 1e28 < row["loss_all"] < 1e32
    assert 0 <= row["fraction_logit_variance_explained"] <= 1


def test_permuting_the_neurons_leaves_every_measure_unchanged():
    snapshot = random_snapshot(13)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    parameters = dict(snapshot.parameters)
    for name, dim in (("W_in", 1), ("b_in", 0), ("W_out", 0)):
        key = f"blocks.0.mlp.{name}"
        parameters[key] = parameters[key].index_select(dim, order)
    permuted = Snapshot.from_parameters(parameters, snapshot.split, SPEC)
    keys = keys_of(snapshot)
    assert measured(permuted, keys) == pytest.approx(measured(snapshot, keys), rel=1e-4, abs=1e-5)
    before, after = by_frequency_table(snapshot), by_frequency_table(permuted)
    assert after.to_numpy() == pytest.approx(before.to_numpy(), rel=1e-3, abs=1e-4)
    parameters["blocks.0.mlp.W_out"] = snapshot.parameters["blocks.0.mlp.W_out"]
    broken = Snapshot.from_parameters(parameters, snapshot.split, SPEC)
    assert measured(broken, keys) != pytest.approx(measured(snapshot, keys), rel=1e-4, abs=1e-5)


def test_adding_a_constant_to_the_logits_of_a_pair_leaves_every_loss_unchanged():
    split = planted.split(13)
    logits = planted.noise(169, 13)
    before = planted.snapshot(logits, split)
    after = planted.snapshot(logits + planted.noise(169, 1, seed=1, scale=9.0), split)
    keys = keys_of(before)
    first, second = measured(before, keys), measured(after, keys)
    for column in COLUMNS:
        if "loss" in column or "accuracy" in column or "variance" in column:
            assert second[column] == pytest.approx(first[column], **CHAINED64)
    assert second["distance_irrelevance"] != pytest.approx(first["distance_irrelevance"], rel=1e-3)


def test_squared_weights_count_every_parameter_and_scale_with_the_square():
    snapshot = random_snapshot(13)
    snapshot.parameters["blocks.0.mlp.b_in"].fill_(2.0)
    measure = BY_NAME["sum_squared_weights"]
    keys = keys_of(snapshot)
    by_matrix = BY_NAME["sum_squared_weights_by_matrix"]
    row = measure.values(snapshot, keys) | by_matrix.values(snapshot, keys)
    expected = sum(float((v.double() ** 2).sum()) for v in snapshot.parameters.values())
    assert row["sum_squared_weights"] == pytest.approx(expected, **EXACT64)
    matrices = sum(row[column] for column in by_matrix.columns)
    assert row["sum_squared_weights"] - matrices == pytest.approx(24 * 4.0, **CHAINED64)
    tripled = {name: 3 * value for name, value in snapshot.parameters.items()}
    larger = planted.with_parameters(snapshot, tripled)
    scaled = measure.values(larger, keys) | by_matrix.values(larger, keys)
    for column, value in row.items():
        assert scaled[column] == pytest.approx(9 * value, **FLOAT32)


def test_squared_weights_are_the_same_bits_in_whatever_order_the_parameters_come():
    snapshot = random_snapshot(13)
    measure = BY_NAME["sum_squared_weights"]
    names, found = list(snapshot.parameters), set()
    for shift in range(len(names)):
        shuffled = {n: snapshot.parameters[n] for n in names[shift:] + names[:shift]}
        again = planted.with_parameters(snapshot, shuffled)
        found.add(measure.values(again, keys_of(snapshot))["sum_squared_weights"])
    assert len(found) == 1


def test_matrices_of_all_blocks_count_under_one_name():
    deep = dataclasses.replace(SPEC, n_layers=2)
    snapshot = random_snapshot(5, spec=deep)
    row = BY_NAME["sum_squared_weights_by_matrix"].values(snapshot, keys_of(snapshot))
    expected = sum(
        float((snapshot.parameters[f"blocks.{i}.mlp.W_in"].double() ** 2).sum()) for i in (0, 1)
    )
    assert row["sum_squared_weights_W_in"] == pytest.approx(expected, **EXACT64)


def test_accuracy_splits_by_whether_the_mirror_image_is_trained():
    # Answers every trained pair and, by commutativity alone, their mirror images.
    split = planted.split(13, train_fraction=0.6)
    known = torch.tensor(split.is_train | split.is_mirrored)
    labels = torch.tensor(split.task.labels)
    logits = torch.nn.functional.one_hot(torch.where(known, labels, (labels + 1) % 13)).double()
    snapshot = planted.snapshot(logits, split)
    row = measured(snapshot, keys_of(snapshot))
    assert (row["test_accuracy_mirrored"], row["test_accuracy_unmirrored"]) == (1.0, 0.0)
    assert 0.3 < row["test_accuracy"] < 0.8


def test_an_accuracy_over_no_pairs_is_nan():
    split = planted.split(13, split_unit="unordered_pairs")
    snapshot = planted.snapshot(planted.noise(169, 13), split)
    row = BY_NAME["test_accuracy_by_mirror"].values(snapshot, keys_of(snapshot))
    assert math.isnan(row["test_accuracy_mirrored"])
    assert 0 <= row["test_accuracy_unmirrored"] <= 1


@pytest.mark.parametrize("p", [13, 59])
def test_a_planted_network_has_the_sparsity_that_was_planted(p):
    frequencies = [2, p // 4, p // 2]
    snapshot = planted.pizza_snapshot(p, frequencies)
    row = measured(snapshot, KeyFrequencies.given(p, frequencies))
    # Six equal components of p; and as many equal singular values.
    assert row["gini_W_E"] == pytest.approx(1 - 6 / p, rel=1e-5)
    assert row["gini_W_L"] == pytest.approx(1 - 6 / p, rel=1e-5)
    assert row["effective_rank_W_E"] == pytest.approx(6, rel=1e-5)
    assert row["fraction_single_frequency_neurons"] == 1.0
    assert row["accuracy_all"] == 1.0


def test_the_embedding_of_the_equals_sign_is_not_a_residue():
    snapshot = planted.pizza_snapshot(13, [2, 5])
    snapshot.parameters["embed.W_E"][13] = 100.0
    row = measured(snapshot, KeyFrequencies.given(13, [2, 5]))
    assert row["effective_rank_W_E"] == pytest.approx(4, rel=1e-5)
    assert row["gini_W_E"] == pytest.approx(1 - 4 / 13, rel=1e-5)


@pytest.mark.parametrize("p", [12, 13])
def test_dead_and_mixed_neurons_are_not_of_one_frequency(p):
    split = planted.split(p)
    i, j = torch.meshgrid(torch.arange(p).double(), torch.arange(p).double(), indexing="ij")
    highest = torch.cos(2 * math.pi * (p // 2) * i / p).flatten()
    mixed = highest + torch.cos(2 * math.pi * j / p).flatten()
    neurons = torch.stack([highest, mixed, 0 * highest, 0 * highest + 1.5], dim=1)
    snapshot = planted.snapshot(planted.noise(p * p, p), split, neurons)
    row = BY_NAME["fraction_single_frequency_neurons"].values(snapshot, keys_of(snapshot))
    assert row == {"fraction_single_frequency_neurons": 0.25}
    table = by_frequency_table(snapshot)
    assert table["n_neurons"].tolist() == [0] * (p // 2 - 1) + [1]


# Which algorithm


def test_distance_irrelevance_is_one_without_distance_and_zero_with_nothing_else():
    p, measure = 13, BY_NAME["distance_irrelevance"]
    split = planted.split(p)
    labels = torch.tensor(split.task.labels)
    i, j = torch.tensor(split.task.pairs).T
    expected = {"i": 1.0, "i+j": 1.0, "i-j": 0.0}
    of = {"i": i % p, "i+j": (i + j) % p, "i-j": (i - j) % p}
    for name, value in expected.items():
        profile = planted.noise(p, seed=3)
        logits = planted.noise(p * p, p)
        logits[torch.arange(p * p), labels] = profile[of[name]]
        snapshot = planted.snapshot(logits, split)
        found = measure.values(snapshot, keys_of(snapshot))["distance_irrelevance"]
        assert found == pytest.approx(value, **CHAINED64)


def test_distance_irrelevance_is_the_published_formula():
    p = 7
    split = planted.split(p)
    logits = planted.noise(p * p, p)
    snapshot = planted.snapshot(logits, split)
    correct = logits.view(p, p, p)
    table = [[float(correct[a, b, (a + b) % p]) for b in range(p)] for a in range(p)]

    def std(values):
        mean = sum(values) / len(values)
        return math.sqrt(sum((x - mean) ** 2 for x in values) / len(values))

    by_distance = [std([table[i][(i + d) % p] for i in range(p)]) for d in range(p)]
    expected = sum(by_distance) / p / std([x for row in table for x in row])
    row = BY_NAME["distance_irrelevance"].values(snapshot, keys_of(snapshot))
    assert row["distance_irrelevance"] == pytest.approx(expected, **CHAINED64)


def test_a_pizza_is_gradient_symmetric_and_its_logits_depend_on_the_distance():
    snapshot = planted.pizza_snapshot(31, [3, 7, 15])
    row = measured(snapshot, KeyFrequencies.given(31, [3, 7, 15]))
    # Uniform attention reads only the sum of the two embeddings.
    assert row["gradient_symmetricity"] == pytest.approx(1.0, **FLOAT32)
    assert row["distance_irrelevance"] < 0.2


@pytest.mark.parametrize(
    "kind",
    [{"n_layers": n_layers, "act_fn": act_fn} for n_layers in (1, 2) for act_fn in ("relu", "gelu")]
    + [{"input_format": "a_b", "attention_rate": rate} for rate in (1.0, 0.4)]
    + [{"attention_rate": 0.4}, {"attention_dir": "bidirectional"}],
)
def test_gradient_symmetricity_is_the_mean_cosine_of_the_models_own_gradients(kind):
    p = 5
    spec = ModelSpec(
        **{"n_layers": 1, "d_model": 10, "n_heads": 2, "d_head": 4, "d_mlp": 12, **kind}
    )
    sizes = spec.vocabulary_sizes(p)
    shapes = initial_parameters(spec, **sizes)
    parameters = {
        name: planted.noise(*value.shape, seed=index, scale=0.5).float()
        for index, (name, value) in enumerate(shapes.items())
    }
    snapshot = Snapshot.from_parameters(parameters, planted.split(p), spec)
    cosines = []
    for row in range(p * p):
        for c in range(p):
            tokens = torch.tensor(snapshot.task.tokens[row, : sizes["n_ctx"]])
            embedded = parameters["embed.W_E"][tokens].double()
            embedded = embedded.requires_grad_()
            logits = transformer_logits(
                {name: value.double() for name, value in parameters.items()},
                tokens[None],
                spec,
                lambda name, x, e=embedded: e[None] if name == "hook_embed" else x,
            )
            (gradient,) = torch.autograd.grad(logits[0, -1, c], embedded)
            a, b = gradient[0], gradient[1]
            cosines.append(float(a @ b / (a.norm() * b.norm())))
    found = gradient_symmetricity(snapshot, n_triples=None)
    expected = sum(cosines) / len(cosines)
    assert found.mean == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert (found.n_triples, found.standard_error) == (125, 0.0)
    assert abs(expected) < 0.98  # constant attention makes it more symmetric, never wholly so here
    sample = gradient_symmetricity(snapshot, n_triples=2000, seed=5)
    assert abs(sample.mean - expected) < 5 * sample.standard_error
    assert 0 < sample.standard_error < 0.03


def test_the_triples_are_drawn_from_their_own_seed():
    snapshot = random_snapshot(7)
    state = torch.random.get_rng_state()
    first = gradient_symmetricity(snapshot)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert gradient_symmetricity(snapshot) == first
    assert gradient_symmetricity(snapshot, seed=1).mean != first.mean
    with torch.no_grad():
        assert gradient_symmetricity(snapshot).mean == first.mean


# One row for every frequency


@pytest.mark.parametrize(
    ("p", "operation"), [(12, "addition"), (13, "subtraction"), (13, "division")]
)
def test_by_frequency_has_a_row_for_every_frequency(p, operation):
    split = planted.split(p, operation)
    n = split.task.cyclic_view.order
    snapshot = planted.snapshot(planted.cosines(split.task, {2: 3.0, n // 2: 1.0}), split)
    table = by_frequency_table(snapshot)
    assert list(table.columns) == [
        "step",
        "frequency",
        "embedding_norm",
        "n_neurons",
        "logit_power_share",
        "logit_coefficient",
        "excluded_loss_all",
        "excluded_loss_train",
    ]
    assert table["frequency"].tolist() == list(range(1, n // 2 + 1))
    expected = [3.0 if k == 2 else 1.0 if k == n // 2 else 0.0 for k in table["frequency"]]
    assert table["logit_coefficient"].to_numpy() == pytest.approx(expected, **CHAINED64)
    assert table["logit_power_share"].sum() == pytest.approx(1, **EXACT64)
    # Removing a frequency that is not there changes nothing.
    in_view = snapshot.rows_by_sum.flatten()
    assert table["excluded_loss_all"][0] == pytest.approx(
        float(snapshot.losses[in_view].mean()), **CHAINED64
    )
    assert table["excluded_loss_all"][1] > 2 * table["excluded_loss_all"][0]


def test_embedding_norms_by_frequency_follow_the_embedding():
    snapshot = planted.pizza_snapshot(31, [3, 7])
    norms = by_frequency_table(snapshot)["embedding_norm"]
    # A cosine and a sine of amplitude one each.
    expected = [math.sqrt(31) if k in (3, 7) else 0.0 for k in range(1, 16)]
    assert norms.to_numpy() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_the_weights_of_multiplication_are_read_along_its_powers():
    snapshot = random_snapshot(13, "multiplication")
    tokens = torch.tensor(snapshot.view.class_tokens)
    wave = torch.cos(2 * math.pi * 5 * torch.arange(12) / 12)
    for name, dim in (("embed.W_E", 0), ("unembed.W_U", 1)):
        planted_rows = torch.zeros_like(snapshot.parameters[name])
        planted_rows.movedim(dim, 0)[tokens] = wave[:, None]
        snapshot.parameters[name].copy_(planted_rows)
    norms = by_frequency_table(snapshot)["embedding_norm"]
    assert norms.to_numpy() == pytest.approx([0, 0, 0, 0, math.sqrt(16 * 6), 0], abs=1e-5)
    row = measured(snapshot, keys_of(snapshot))
    assert row["gini_W_E"] == pytest.approx(1 - 1 / 12, rel=1e-5)
    assert row["gini_W_L"] == pytest.approx(1 - 1 / 12, rel=1e-5)


def test_by_frequency_is_empty_without_a_view():
    snapshot = random_snapshot(12, "multiplication")
    assert by_frequency_table(snapshot).empty


# Measures of one's own


def largest_logit(snapshot, key_frequencies):
    return snapshot.logits.max()


def test_a_bare_function_becomes_a_measure_that_is_never_cached():
    measure = as_measure(largest_logit)
    snapshot = random_snapshot(5)
    keys = keys_of(snapshot)
    assert measure.applies_to(snapshot.task, keys)
    assert not measure.is_cached
    assert measure.values(snapshot, keys) == {"largest_logit": float(snapshot.logits.max())}
    assert as_measure(MEASURES[0]) is MEASURES[0]


def test_a_bare_function_can_return_several_numbers():
    def spread(snapshot, key_frequencies):
        return {"low": snapshot.logits.min(), "high": math.inf}

    snapshot = random_snapshot(5)
    row = as_measure(spread).values(snapshot, keys_of(snapshot))
    assert list(row) == ["low", "high"]
    assert math.isnan(row["high"])


def test_what_has_no_name_is_refused():
    with pytest.raises(ConfigError, match="is no measure"):
        as_measure(lambda snapshot, key_frequencies: 0.0)


def test_the_two_circuits_contributions_add_up_to_the_networks_correct_logit():
    snapshot = planted.pizza_snapshot(13, [2, 5])
    keys = KeyFrequencies.given(13, [2])
    values = circuit_logits.values(snapshot, keys)
    for on in ("train", "test"):
        logits = snapshot.logits[snapshot.pair_mask(on)].double()
        labels = snapshot.labels[snapshot.pair_mask(on)]
        network = float((logits.gather(1, labels[:, None])[:, 0] - logits.mean(dim=1)).mean())
        both = values[f"trigonometric_logit_{on}"] + values[f"memorization_logit_{on}"]
        assert both == pytest.approx(network, **CHAINED64)


def test_planted_cosines_contribute_their_amplitudes():
    parts = planted.split(13)
    lookup = torch.zeros(169, 13, dtype=torch.float64)
    trained = torch.tensor(parts.train)
    lookup[trained, torch.tensor(parts.task.labels)[trained]] = 13.0
    waves = planted.cosines(parts.task, {2: 4.0, 5: 3.0})
    snapshot = planted.snapshot(waves, parts)
    keys = KeyFrequencies.given(13, [2, 5])
    values = circuit_logits.values(snapshot, keys)
    assert values["trigonometric_logit_test"] == pytest.approx(7.0, **CHAINED64)
    assert values["memorization_logit_test"] == pytest.approx(0.0, abs=1e-9)
    # A table of the training pairs, 13 at the answer, which is 12 above the mean of the classes,
    # is seen on no test pair and so counts as memorization to the last digit.
    both = planted.snapshot(waves + lookup, parts)
    values = circuit_logits.values(both, keys)
    for on in ("train", "test"):
        assert values[f"trigonometric_logit_{on}"] == pytest.approx(7.0, **CHAINED64)
    assert values["memorization_logit_train"] == pytest.approx(12.0, **CHAINED64)
    assert values["memorization_logit_test"] == pytest.approx(0.0, abs=1e-9)
    assert held_out_restricted.values(snapshot, keys)["held_out_restricted_accuracy"] == 1.0
    wrong = KeyFrequencies.given(13, [3])
    found = held_out_restricted.values(snapshot, wrong)
    assert found["held_out_restricted_loss"] == pytest.approx(math.log(13), **CHAINED64)
    share = fraction_logit_power_memorization.values(snapshot, KeyFrequencies.given(13, [2]))
    assert share["fraction_logit_power_memorization"] == pytest.approx(9 / 25, **CHAINED64)


def test_a_network_that_only_memorizes_has_a_restricted_loss_and_no_held_out_circuit():
    parts = planted.split(13, train_fraction=0.6)
    lookup = torch.zeros(169, 13, dtype=torch.float64)
    trained = torch.tensor(parts.train)
    lookup[trained, torch.tensor(parts.task.labels)[trained]] = 25.0
    snapshot = planted.snapshot(lookup, parts)
    keys = KeyFrequencies.given(13, [2, 5])
    projected = are_correct(restricted_logits(snapshot, keys), snapshot.class_tokens)
    assert projected.double().mean() > 0.8
    held_out = held_out_restricted.values(snapshot, keys)
    assert held_out["held_out_restricted_loss"] == pytest.approx(math.log(13), **CHAINED64)
    assert held_out["held_out_restricted_accuracy"] < 0.2


def test_what_mirrored_pairs_know_counts_as_memorization():
    # Right on every pair whose mirror image is trained, and on no other test pair.
    parts = planted.split(23, train_fraction=0.3)
    is_known = torch.tensor(parts.is_train | parts.is_mirrored)
    logits = torch.zeros(529, 23, dtype=torch.float64)
    labels = torch.tensor(parts.task.labels)
    logits[is_known, labels[is_known]] = 20.0
    snapshot = planted.snapshot(logits, parts)
    held_out = held_out_restricted.values(snapshot, KeyFrequencies.given(23, [2, 5]))
    assert held_out["held_out_restricted_loss"] == pytest.approx(math.log(23), **CHAINED64)


@pytest.mark.parametrize("operation", ["addition", "subtraction", "division"])
def test_the_held_out_circuit_leaves_out_mirrored_pairs_of_commutative_operations_only(operation):
    """Waves of frequency 2 on test pairs with a trained mirror image, of 5 on the others."""
    parts = planted.split(23, operation, train_fraction=0.4)
    task = parts.task
    trained = {(a, b) for a, b in task.pairs[parts.train].tolist()}
    mirror_is_trained = torch.tensor([a != b and (b, a) in trained for a, b in task.pairs.tolist()])
    waves = [planted.cosines(task, {k: 10.0}) for k in (2, 5)]
    snapshot = planted.snapshot(torch.where(mirror_is_trained[:, None], *waves), parts)
    keys = KeyFrequencies.given(task.cyclic_view.order, [2, 5])
    found = held_out_component(snapshot, keys)
    used = torch.tensor(parts.is_test)
    if operation == "addition":
        used &= ~mirror_is_trained
    # The definition, answer by answer.
    tokens = snapshot.class_tokens
    means = torch.stack(
        [snapshot.logits[used & (snapshot.labels == token)].mean(dim=0) for token in tokens]
    )
    chosen = cyclic_harmonics(len(tokens)).waves(torch.tensor([2, 5]))
    expected = chosen.T @ (chosen @ means) + means.mean(dim=0)
    assert found.numpy() == pytest.approx(expected.numpy(), **CHAINED64)
    power = cyclic_harmonics(len(tokens)).power(found)
    if operation == "addition":
        assert power[1] < 1e-9 * power[4]
    else:
        assert power[1] > 0.05 * power[4]


def test_an_answer_without_a_test_pair_leaves_the_held_out_circuit_unknown():
    parts = planted.split(3, train_fraction=0.85)
    snapshot = planted.snapshot(planted.noise(9, 3), parts)
    assert not snapshot.mask_by_sum("test").any(dim=1).all()
    keys = KeyFrequencies.given(3, [1])
    values = held_out_restricted.values(snapshot, keys) | circuit_logits.values(snapshot, keys)
    assert math.isnan(values["held_out_restricted_loss"])
    assert math.isnan(values["trigonometric_logit_train"])


def number(snapshot, key_frequencies):
    """Return a number."""
    return 1.0


def test_a_need_is_a_word_of_the_vocabulary():
    assert declare(source="a test", needs=tuple(NEEDS))(number).needs == tuple(NEEDS)
    with pytest.raises(ConfigError, match="needs='clock' is not known. Choose some of split, freq"):
        check_needs(("group", "clock"))
    with pytest.raises(ConfigError, match=r"Write a tuple: needs=\('split',\)"):
        check_needs("split")
    with pytest.raises(ConfigError, match="split_columns='lost' of number is none of its columns"):
        declare(source="a test", split_columns=("lost",))(number)


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        ("needs_cyclic_view", True, "needs=('frequencies',)"),
        ("needs_group_view", True, "needs=('group',)"),
        ("needs_permutations", True, "needs=('representations',)"),
        ("needs_key_frequencies", True, "needs=('key_frequencies',)"),
        ("needs_commutative_operation", True, "needs=('commutative_operation',)"),
        ("needs_split", True, "needs=('split',)"),
        ("needs_split", ("number",), "split_columns=("),
    ],
)
def test_a_flag_of_earlier_versions_is_refused_with_its_new_spelling(old, value, new):
    with pytest.raises(ConfigError, match=re.escape(f"is now written {new}")):
        declare(source="a test", **{old: value})
    with pytest.raises(ConfigError, match=r"measure\(\) takes no sauce="):
        declare(source="a test", sauce="hot")


@pytest.mark.parametrize(
    ("need", "missing", "present", "reason"),
    [
        ("frequencies", "sum_of_squares", "division", "is no sum in a cyclic group"),
        ("group", "sum_of_squares", "permutation_composition", "is no product in a group"),
        (
            "representations",
            "addition",
            "permutation_composition",
            "in place of representations",
        ),
        ("commutative_operation", "subtraction", "addition", "subtraction does not commute"),
        ("frequencies", "permutation_composition", "addition", "representations and no freq"),
    ],
)
def test_what_a_task_lacks_is_one_reason_and_what_it_has_is_none(need, missing, present, reason):
    one = declare(source="a test", needs=(need,))(number)
    lacking, having = (
        Task(TaskSpec(name, 13, degree=3 if name == "permutation_composition" else None))
        for name in (missing, present)
    )
    keys = KeyFrequencies(13, ())
    assert reason in one.why_not(lacking, keys) and not one.applies_to(lacking, keys)
    assert one.why_not(having, keys) is None and one.applies_to(having, keys)


def test_keys_and_split_are_missing_with_their_reason_too():
    task = Task(TaskSpec(p=13))
    of_keys = declare(source="a test", needs=("key_frequencies",))(number)
    none = KeyFrequencies(13, (), reason="accuracy is low")
    assert of_keys.why_not(task, none) == "there are no key frequencies: accuracy is low"
    assert of_keys.why_not(task, KeyFrequencies(13, (2,))) is None
    of_split = declare(source="a test", split_columns=("number",))(number)
    assert of_split.needs == ("split",)
    assert "not known which pairs" in of_split.why_not(task, none, split_is_known=False)
    assert of_split.why_not(task, none) is None
    some = declare(source="a test", columns=("one", "two"), split_columns=("two",))(number)
    assert some.applies_to(task, none, split_is_known=False)
    assert some.columns_where(False) == ("one",)
