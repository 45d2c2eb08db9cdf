"""A network as a formula: what was planted comes back, and what was not does not."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

import grokinterp as gi
from grokinterp.circuits import Snapshot
from grokinterp.extraction import exists_from, scores_of
from grokinterp.extraction.tables import closed_forms
from grokinterp.models import MlpSpec
from grokinterp.models.loss import cross_entropy
from grokinterp.report.closed_form import closed_form_section
from grokinterp.report.text import show_percent, show_value
from grokinterp.tasks import Split
from grokinterp.trajectory import formulas_along
from tests import kinds, planted
from tests.tolerances import CHAINED64, EXACT64


def keys(n, frequencies):
    return gi.KeyFrequencies.given(n, frequencies)


def waves(task, numbers):
    """Logits sum of A cos(w_k(i + j - c) + phi) for each (k, A, phi)."""
    n = task.cyclic_view.order

    def function(i, j, c):
        turn = 2 * math.pi * (i + j - c) / n
        return sum(size * torch.cos(k * turn + phase) for k, size, phase in numbers)

    return planted.in_view(task, function)


def memorized(p, size=25.0):
    """A lookup table: logits that are high at the answers of the training pairs alone."""
    parts = planted.split(p)
    logits = torch.zeros(parts.task.n_pairs, parts.task.n_classes, dtype=torch.float64)
    logits[parts.train, torch.tensor(parts.task.labels[parts.train])] = size
    return parts, logits


@pytest.mark.parametrize(
    "p, operation, n", [(13, "addition", 13), (13, "multiplication", 12), (12, "subtraction", 12)]
)
def test_planted_waves_come_back_with_their_amplitudes_and_phases(p, operation, n):
    parts = planted.split(p, operation, train_fraction=0.3)
    numbers = [(1, 7.0, 0.2), (3, 0.5, -2.0), (n // 2, 2.0, 0.0 if n % 2 == 0 else 3.0)]
    snapshot = planted.snapshot(waves(parts.task, numbers), parts)
    form = gi.extract(snapshot, keys(n, [k for k, *_ in numbers]))
    assert form.table.to_numpy() == pytest.approx(np.array(numbers), **CHAINED64)
    assert form.fitted_on == ("test" if operation == "subtraction" else "unmirrored_test")
    assert form.logits().numpy() == pytest.approx(
        snapshot.logits[snapshot.pair_rows].numpy(), **CHAINED64
    )
    assert form.loss == pytest.approx(form.network_loss, **CHAINED64)
    assert form.variance_explained == pytest.approx(1, **EXACT64)
    assert form.agreement.all == 1 and form.accuracy == form.network_accuracy
    # Another frequency holds nothing, and then all answers are equally likely.
    other = gi.extract(snapshot, keys(n, [2]))
    assert other.table.amplitude.tolist() == pytest.approx([0], abs=1e-12)
    assert other.variance_explained == pytest.approx(0, abs=1e-12)
    assert other.loss == pytest.approx(math.log(parts.task.n_classes), **EXACT64)


def test_waves_are_the_least_squares_fit_on_the_held_out_pairs():
    parts = planted.split(7, train_fraction=0.3)
    snapshot = planted.snapshot(planted.noise(49, 7, seed=3), parts)
    form = gi.extract(snapshot, keys(7, [1, 3]))
    assert form.fitted_on == "unmirrored_test"
    is_new = parts.is_test & ~parts.is_mirrored
    a, b = parts.task.pairs[is_new].T
    turn = 2 * math.pi * ((a + b)[:, None] - np.arange(7)).reshape(-1) / 7
    design = np.stack([f(k * turn) for k in (1, 3) for f in (np.cos, np.sin)], axis=1)
    logits = snapshot.logits.numpy()[is_new]
    centered = (logits - logits.mean(axis=1, keepdims=True)).reshape(-1)
    fitted = np.linalg.lstsq(design, centered, rcond=None)[0].reshape(2, 2)
    size, phase = form.table.amplitude, form.table.phase
    ours = np.stack([size * np.cos(phase), -size * np.sin(phase)], axis=1)
    assert ours == pytest.approx(fitted, **CHAINED64)
    everywhere = gi.extract(
        planted.snapshot(snapshot.logits, Split.unknown(parts.task)), keys(7, [1, 3])
    )
    assert everywhere.fitted_on == "all"
    assert not np.allclose(everywhere.table.amplitude, size)


def test_a_lookup_table_has_no_waves_on_held_out_pairs_and_seems_to_have_them_on_all():
    parts, logits = memorized(13)
    held_out = gi.extract(planted.snapshot(logits, parts), keys(13, [2, 5]))
    assert held_out.table.amplitude.tolist() == [0, 0]
    assert held_out.accuracy == pytest.approx(1 / 13)
    # Without a split the trained pairs enter, and the formula is right on every pair.
    anywhere = gi.extract(planted.snapshot(logits, Split.unknown(parts.task)), keys(13, [2, 5]))
    assert anywhere.fitted_on == "all" and anywhere.accuracy == 1
    # Each trained pair has 2 * 25 / 13 of every wave, and the others nothing.
    projected = 2 * 25 / 13 * len(parts.train) / 169
    assert anywhere.table.amplitude.tolist() == pytest.approx([projected] * 2, **EXACT64)
    assert math.isnan(anywhere.test_accuracy)
    assert "what is memorized enters too" in repr(anywhere)
    assert anywhere.variance_explained < 0.2 < anywhere.network_accuracy < 0.6


def test_agreement_is_apart_for_the_pairs_that_the_network_gets_wrong():
    parts = planted.split(13)
    right = planted.cosines(parts.task, {2: 9.0, 3: 9.0})
    broken = right.clone()
    broken[:10] = -right[:10]
    form = gi.extract(planted.snapshot(broken, parts), keys(13, [2, 3]))
    assert form.accuracy == 1 and form.network_accuracy == pytest.approx(159 / 169)
    agreement = form.agreement
    assert agreement.all == pytest.approx(159 / 169) and (agreement.right, agreement.wrong) == (
        1,
        0,
    )
    # A network that is wrong as a wave with a phase is wrong is wrong in the same way.
    shifted = waves(parts.task, [(1, 9.0, -2 * math.pi / 13)])
    form = gi.extract(planted.snapshot(shifted, parts), keys(13, [1]))
    assert form.accuracy == form.network_accuracy == 0
    assert form.agreement.wrong == 1 and math.isnan(form.agreement.right)
    assert "1 of all pairs, 1 where it is wrong" in repr(form)
    constant = gi.extract(planted.snapshot(0 * right, parts), keys(13, [1]))
    assert math.isnan(constant.variance_explained) and "explains" not in repr(constant)


def test_shuffled_phases_are_right_as_often_as_chance():
    snapshot = planted.trigonometric_snapshot(13, [2])
    n_draws = 200
    form = gi.extract(snapshot, keys(13, [2]), n_shuffled=n_draws)
    # One wave is largest at the right answer if its phase is within pi / 13 of 0.
    error = math.sqrt(1 / 13 * 12 / 13 / n_draws)
    assert set(form.shuffled.accuracies) == {0.0, 1.0} and form.accuracy == 1
    assert form.shuffled.mean_accuracy == pytest.approx(1 / 13, abs=5 * error)
    assert form.shuffled.smallest_loss >= form.loss
    again = gi.extract(snapshot, keys(13, [2]), n_shuffled=n_draws, seed=1)
    assert again.shuffled.accuracies != form.shuffled.accuracies
    none = gi.extract(snapshot, keys(13, [2]), n_shuffled=0)
    assert math.isnan(none.shuffled.mean_accuracy) and "shuffled" not in repr(none)


def test_parameters_are_counted_as_they_are_trained():
    snapshot = planted.pizza_snapshot(13, [2, 3])
    form = gi.extract(snapshot, keys(13, [2, 3]))
    untrained = ("b_Q", "b_K", "b_V", "b_O", "b_U")
    trained = [v.numel() for k, v in snapshot.parameters.items() if not k.endswith(untrained)]
    assert form.n_parameters == 6 and form.n_network_parameters == sum(trained)
    assert form.fraction_of_parameters == 6 / sum(trained)
    alone = gi.Run.from_logits({0: snapshot.logits}, task=gi.TaskSpec(p=13))
    form = gi.extract(gi.take_snapshot(alone), keys(13, [2, 3]))
    assert form.n_network_parameters is None and math.isnan(form.fraction_of_parameters)
    assert "parameters       6\n" in f"{form!r}\n"


def test_a_group_that_is_not_cyclic_has_characters_in_the_place_of_waves():
    base = planted.on_group("S4", torch.zeros(24))
    harmonics = base.harmonics
    planted_sizes = torch.zeros(len(harmonics.names), dtype=torch.float64)
    planted_sizes[2], planted_sizes[4] = 1.5, -0.25
    snapshot = planted.on_group("S4", planted_sizes @ harmonics.characters)
    chosen = gi.KeyFrequencies.given_for(snapshot.view, [2, 4])
    form = gi.extract(snapshot, chosen)
    assert form.table.representation.tolist() == [harmonics.names[2], harmonics.names[4]]
    assert form.table.amplitude.tolist() == pytest.approx([1.5, -0.25], **EXACT64)
    assert form.table.dimension.tolist() == [harmonics.dimensions[2], harmonics.dimensions[4]]
    assert form.n_parameters == 4 and form.shuffled.accuracies == ()
    assert form.logits().numpy() == pytest.approx(
        snapshot.logits[snapshot.pair_rows].numpy(), abs=1e-12
    )
    labels = snapshot.labels[snapshot.pair_rows]
    assert form.loss == pytest.approx(cross_entropy(form.logits(), labels), **EXACT64)
    assert gi.extract(snapshot, gi.KeyFrequencies.given_for(snapshot.view, [3])).loss == (
        pytest.approx(math.log(24), **EXACT64)
    )


def test_what_has_no_closed_form_says_why():
    nothing = planted.snapshot(planted.noise(169, 13), planted.split(13, "random_labels"))
    with pytest.raises(gi.ConfigError, match="has no cyclic view"):
        gi.extract(nothing, keys(13, [1]))
    of_s3 = planted.on_group("S3", torch.zeros(6))
    with pytest.raises(gi.ConfigError, match="of a group of order 6, and the snapshot is of"):
        gi.extract(of_s3, keys(6, [1]))


# Level two: perceptrons


def all_keys(n):
    return keys(n, range(1, n // 2 + 1))


def angles(phases):
    """Phases as points on the circle, so that pi and -pi are one."""
    return np.exp(1j * np.asarray(phases))


@pytest.mark.parametrize("p, operation, n", [(13, "addition", 13), (13, "multiplication", 12)])
def test_gromovs_network_comes_back_neuron_by_neuron(p, operation, n):
    n_neurons = 60
    snapshot = planted.gromov_snapshot(p, n_neurons, operation)
    form = gi.extract(snapshot, all_keys(n), level=2)
    phi_1, phi_2, _ = planted.gromov_phases(n_neurons)
    table = form.table
    assert table.neuron.tolist() == list(range(n_neurons))
    assert table.frequency.tolist() == planted.gromov_frequencies(n, n_neurons).tolist()
    for name, phase in (("a", phi_1), ("b", phi_2), ("out", phi_1 + phi_2)):
        assert angles(table[f"phase_{name}"]) == pytest.approx(angles(phase), **CHAINED64)
        assert table[f"amplitude_{name}"].to_numpy() == pytest.approx(1, **CHAINED64)
    wanted = snapshot.logits[snapshot.pair_rows].numpy()
    assert form.logits().numpy() == pytest.approx(wanted, **CHAINED64)
    assert form.accuracy == form.network_accuracy and form.fitted_on is None
    assert form.variance_explained == pytest.approx(1, **CHAINED64)
    assert form.n_parameters == 7 * n_neurons
    if n == 13:
        assert form.accuracy > 0.9 > 0.3 > form.shuffled.largest_accuracy


def test_a_network_with_phases_that_fit_nothing_comes_back_just_as_wrong():
    snapshot = planted.gromov_snapshot(13, 60, is_fitting=False)
    form = gi.extract(snapshot, all_keys(13), level=2)
    assert form.network_accuracy < 0.3 and form.accuracy == form.network_accuracy
    assert form.agreement.wrong == form.agreement.right == 1


def test_a_perceptron_on_summed_embeddings_comes_back():
    parts, spec = planted.split(13), planted.summing_spec()
    weights = planted.summing_parameters(13, (2, 5))
    snapshot = Snapshot.from_parameters(weights, parts, spec)
    form = gi.extract(snapshot, keys(13, [2, 5]), level=2)
    assert form.table.frequency.value_counts().to_dict() == {2: 16, 5: 16}
    assert form.variance_explained == pytest.approx(1, **CHAINED64)
    assert form.accuracy == form.network_accuracy == 1
    # Neurons of other frequencies are left out, and then the rest explains less.
    half = gi.extract(snapshot, keys(13, [2]), level=2)
    assert half.table.frequency.unique().tolist() == [2] and len(half.table) == 16
    assert 0.3 < half.variance_explained < 0.7
    with pytest.raises(gi.ConfigError, match="no neuron of step 0 is of the frequencies 3"):
        gi.extract(snapshot, keys(13, [3]), level=2)


def random_neurons(answers, parts, n_neurons=1500):
    """Random neurons whose readout alone is fitted, to the given answers of the training pairs."""
    p = parts.task.n_tokens
    pairs, rows = torch.tensor(parts.task.pairs), torch.tensor(parts.train)
    first = planted.noise(2 * p, n_neurons, seed=1)
    hidden = (first[pairs[:, 0]] + first[p + pairs[:, 1]]).relu()[rows]
    wanted = 10 * torch.nn.functional.one_hot(answers[rows], p).double() - 10 / p
    gram = hidden @ hidden.T + torch.eye(len(rows))
    readout = hidden.T @ torch.linalg.solve(gram, wanted)
    weights = {"layers.0.W": first, "layers.1.W": readout}
    return Snapshot.from_parameters(weights, parts, MlpSpec(widths=(n_neurons,)))


def test_random_neurons_are_rebuilt_as_a_network_that_they_are_not():
    """Accuracy of a rebuilt network shows nothing; the variance that it explains does."""
    parts = planted.split(23)
    answers = torch.tensor(parts.task.labels)
    snapshot = random_neurons(answers, parts)
    is_test = torch.tensor(parts.is_test)
    assert (
        snapshot.are_correct[~is_test].all() and snapshot.are_correct[is_test].double().mean() < 0.1
    )
    form = gi.extract(snapshot, all_keys(23), level=2, n_shuffled=3)
    assert form.test_accuracy > 0.9 and form.shuffled.largest_accuracy < 0.3
    assert form.variance_explained < 0.3 and form.agreement.wrong < 0.1
    # The waves of its logits on held-out pairs are right on none.
    assert gi.extract(snapshot, all_keys(23)).test_accuracy < 0.1
    said = form._repr_html_()
    assert "what it answers is not what the network computes" in said
    # With answers of no group it learns them as well, and nothing comes back.
    other = random_neurons(
        answers[torch.randperm(529, generator=torch.Generator().manual_seed(0))], parts
    )
    assert gi.extract(other, all_keys(23), level=2, n_shuffled=0).test_accuracy < 0.2


# Level two: polynomials


def network_of_polynomials(parts, coefficients, constant=0.0):
    """A transformer's last layer: 8 neurons of frequencies 1, 2, 5 and rows of one wave each."""
    n = parts.task.cyclic_view.order
    frequency = torch.tensor([1, 2, 5, 1, 2, 5, 1, 2])
    phase = torch.linspace(-2, 2, 8, dtype=torch.float64)
    x = 2 * math.pi * torch.arange(n).double() / n
    waves = {k: torch.stack([(k * x).cos(), (k * x).sin()]) for k in (1, 2, 5)}
    neurons = []
    for number, k in enumerate(frequency.tolist()):
        a, b = waves[k][:, :, None].expand(2, n, n), waves[k][:, None, :].expand(2, n, n)
        terms = [*a, *b, a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1]]
        neurons.append(sum(c * t for c, t in zip(coefficients[:, number], terms, strict=True)))
    neurons = torch.stack(neurons, dim=-1).flatten(0, 1) + constant
    base = planted.snapshot(torch.zeros(n * n, n, dtype=torch.float64), parts, neurons)
    W_out = torch.zeros(8, 6, dtype=torch.float64)
    for number, k in enumerate(frequency.tolist()):
        at = 2 * (1, 2, 5).index(k)
        W_out[number, at : at + 2] = 3 * torch.stack([phase[number].cos(), -phase[number].sin()])
    W_U = torch.cat([waves[k] for k in (1, 2, 5)])
    weights = {"blocks.0.mlp.W_out": W_out, "unembed.W_U": W_U}
    base = planted.with_parameters(base, {**base.parameters, **weights})
    return planted.with_activations(base, logits=neurons @ W_out @ W_U), frequency, phase


def test_planted_polynomials_come_back_from_the_held_out_pairs():
    parts = planted.split(13, train_fraction=0.3)
    planted_numbers = planted.noise(8, 8, seed=4)
    snapshot, frequency, phase = network_of_polynomials(parts, planted_numbers)
    form = gi.extract(snapshot, keys(13, [1, 2, 5]), level=2)
    table = form.table
    assert table.frequency.tolist() == frequency.tolist() and form.n_parameters == 80
    assert table.filter(regex="^(cos|sin)").to_numpy().T == pytest.approx(
        3 * planted_numbers.numpy(), **CHAINED64
    )
    assert angles(table.phase_out) == pytest.approx(angles(phase), **CHAINED64)
    assert form.logits().numpy() == pytest.approx(snapshot.logits.numpy(), **CHAINED64)
    assert form.fitted_on == "unmirrored_test"
    with pytest.raises(gi.ConfigError, match="no neuron of step 0 is of the frequencies 3, 4"):
        gi.extract(snapshot, keys(13, [3, 4]), level=2)
    # What neurons do on training pairs alone, and their constants, are none of its business.
    other, _, _ = network_of_polynomials(parts, planted_numbers, constant=2.0)
    neurons = other.neurons.clone()
    neurons[parts.train] += 0.1
    other = gi.extract(
        planted.with_activations(other, neurons=neurons), form.key_frequencies, level=2
    )
    assert other.table.to_numpy(float) == pytest.approx(table.to_numpy(float), **CHAINED64)
    neurons[parts.test] += planted.noise(len(parts.test), 8, scale=0.1)
    other = gi.extract(
        planted.with_activations(snapshot, neurons=neurons), form.key_frequencies, level=2
    )
    assert other.table.to_numpy(float) != pytest.approx(table.to_numpy(float), rel=1e-3)


def test_polynomials_that_treat_a_and_b_alike_take_five_numbers():
    parts = planted.split(13, train_fraction=0.3)
    numbers = planted.noise(8, 8, seed=4)
    numbers[2:4], numbers[6] = numbers[:2], numbers[5]
    snapshot, _, _ = network_of_polynomials(parts, numbers)
    form = gi.extract(snapshot, keys(13, [1, 2, 5]), level=2)
    found = form.table[["cos", "sin", "cos_cos", "cos_sin", "sin_sin"]].to_numpy().T
    assert found == pytest.approx(3 * numbers[[0, 1, 4, 5, 7]].numpy(), **CHAINED64)
    assert form.n_parameters == 56 and form.variance_explained == pytest.approx(1, **EXACT64)
    # One neuron that does not is enough, if it is large: in a wave or in a product of two.
    for term in (2, 6):
        other = numbers.clone()
        other[term, 0] += 3
        form = gi.extract(network_of_polynomials(parts, other)[0], keys(13, [1, 2, 5]), level=2)
        assert form.n_parameters == 80 and form.variance_explained == pytest.approx(1, **EXACT64)


def test_the_highest_frequency_of_an_even_order_has_no_sine():
    parts = planted.split(12, "subtraction", train_fraction=0.3)
    highest = planted.snapshot(waves(parts.task, [(6, 4.0, 0.0)]), parts)
    assert gi.extract(highest, keys(12, [6])).variance_explained == pytest.approx(1, **EXACT64)
    # A neuron (-1)^i and a readout (-1)^c: a row of waves and one of zeros.
    i, j = torch.cartesian_prod(torch.arange(12), torch.arange(12)).T
    neurons = torch.zeros(144, 8, dtype=torch.float64)
    neurons[torch.tensor(parts.task.cyclic_view.pair_rows), 0] = (1 - 2 * ((i + j) % 2)).double()
    base = planted.snapshot(torch.zeros(144, 12, dtype=torch.float64), parts, neurons)
    W_out, W_U = torch.zeros(8, 6).double(), torch.zeros(6, 12).double()
    W_out[0, 0], W_U[0] = 2, 1 - 2 * (torch.arange(12) % 2)
    weights = {"blocks.0.mlp.W_out": W_out, "unembed.W_U": W_U}
    base = planted.with_parameters(base, {**base.parameters, **weights})
    snapshot = planted.with_activations(base, logits=neurons @ W_out @ W_U)
    form = gi.extract(snapshot, keys(12, [6]), level=2)
    assert form.table[["neuron", "cos_cos", "cos_sin"]].to_numpy(float).tolist() == [
        [0, pytest.approx(2), 0]
    ]
    assert form.variance_explained == pytest.approx(1, **EXACT64)


def test_planted_transformers_are_rebuilt_and_only_the_one_with_uniform_attention_alike():
    pizza = gi.extract(planted.pizza_snapshot(13, [2, 5]), keys(13, [2, 5]), level=2)
    assert pizza.accuracy == 1 and pizza.formula.is_symmetric and pizza.variance_explained > 0.7
    clock = gi.extract(planted.clock_snapshot(13, [2, 5]), keys(13, [2, 5]), level=2)
    assert clock.accuracy == 1 and not clock.formula.is_symmetric
    assert clock.variance_explained > 0.8 and clock.shuffled.largest_accuracy < 0.5


def test_what_has_no_neurons_to_rebuild_says_why():
    alone = gi.take_snapshot(kinds.logits_alone())
    with pytest.raises(gi.ConfigError, match="shows no neurons"):
        gi.extract(alone, keys(13, kinds.KEYS), level=2)
    with pytest.raises(gi.ConfigError, match="has representations and no frequencies"):
        on_s3 = planted.on_group("S3", torch.zeros(6))
        gi.extract(on_s3, gi.KeyFrequencies.given_for(on_s3.view, [1]), level=2)
    normed = next(name for name in kinds.KINDS if "norm" in name)
    with pytest.raises(gi.ConfigError, match="a norm between the neurons and the logits"):
        gi.extract(gi.take_snapshot(kinds.KINDS[normed]()), all_keys(13), level=2)


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_every_kind_of_network_has_the_levels_that_its_parts_allow(kind):
    snapshot = gi.take_snapshot(kinds.KINDS[kind]())
    levels = [form.level for form in closed_forms(snapshot, all_keys(13))]
    has_neurons = snapshot.has("neurons", "readout") and "norm" not in kind
    assert levels == ([1, 2] if has_neurons else [1])
    if has_neurons:
        form = gi.extract(snapshot, all_keys(13), level=2)
        has_waves = {"amplitude_a", "phase_b"} <= set(form.table)
        assert has_waves == kind.startswith("perceptron") and math.isfinite(form.loss)


def test_a_perceptron_of_two_layers_has_polynomials_of_its_last_neurons():
    spec = MlpSpec(widths=(24, 16))
    shapes = spec.parameter_shapes(n_inputs=26, n_outputs=13)
    weights = {
        name: planted.noise(*shape, seed=i) for i, (name, shape) in enumerate(shapes.items())
    }
    snapshot = Snapshot.from_parameters(weights, planted.split(13), spec)
    form = gi.extract(snapshot, all_keys(13), level=2)
    assert len(form.table) == 16 and form.n_parameters == 160


# Along a run


def test_the_curve_has_a_row_for_every_checkpoint_and_level_and_says_when_a_formula_exists():
    spec, random = planted.clock_spec([2]), planted.random_parameters(planted.clock_spec([2]), 13)
    right = planted.clock_parameters(13, [2])
    mixed = {name: 0.97 * random[name] + 0.03 * right[name] for name in right}
    states = {0: random, 10: mixed, 20: right, 30: {k: 1.1 * v for k, v in right.items()}}
    parts = planted.split(13)
    run = gi.Run.from_state_dicts(
        states, task=gi.TaskSpec(p=13), train_pairs=parts.train, model=spec
    )
    curve = gi.extraction_curve(run, n_shuffled=2)
    assert curve[curve.level == 1].step.tolist() == [0, 10, 20, 30]
    assert exists_from(curve, 1) == exists_from(curve, 2) == 20
    assert exists_from(curve[curve.step < 20], 1) is None
    # It must last to the end.
    again = curve.assign(variance_explained=curve.step.map({0: 0.9, 10: 0.4, 20: 0.6, 30: 0.6}))
    assert exists_from(again, 1) == 20
    # Every row is what extraction of that checkpoint gives.
    found = gi.find_key_frequencies(gi.take_snapshot(run))
    for level in (1, 2):
        row = curve[(curve.level == level) & (curve.step == 20)].iloc[0]
        form = gi.extract(gi.take_snapshot(run, 20), found, level=level, n_shuffled=2)
        assert row.to_dict() == pytest.approx({"step": 20, **scores_of(form)}, nan_ok=True)
    figure = gi.figures.plot_extraction_curve(curve)
    drawn = {(trace.name, trace.yaxis): list(trace.y) for trace in figure.data}
    assert len(drawn) == 8 and "(nats)" in figure.layout.yaxis3.title.text
    for level, name in ((1, "logits (level 1)"), (2, "neurons (level 2)")):
        of_level = curve[curve.level == level]
        assert drawn[name, "y"] == of_level.variance_explained.tolist()
        assert drawn[name, "y2"] == of_level.accuracy.tolist()
    with pytest.raises(gi.ConfigError, match="no column 'level'"):
        gi.figures.plot_extraction_curve(curve[["step"]])
    thin = gi.extraction_curve(run, found, levels=[1], every=3, n_shuffled=0)
    assert thin.step.tolist() == [0, 30] and thin.shuffled_accuracy.isna().all()


def test_a_checkpoint_without_a_neuron_of_the_frequencies_has_no_row_of_level_two():
    parts = planted.split(13)
    weights = {k: planted.summing_parameters(13, pair) for k, pair in ((0, (1, 3)), (1, (2, 5)))}
    run = gi.Run.from_state_dicts(
        weights, task=gi.TaskSpec(p=13), train_pairs=parts.train, model=planted.summing_spec()
    )
    curve = gi.extraction_curve(run, keys(13, [2, 5]), n_shuffled=0)
    assert list(zip(curve.step, curve.level, strict=True)) == [(0, 1), (1, 1), (1, 2)]
    with pytest.raises(gi.ConfigError, match="no neuron of step 1 is of the frequencies 1, 3"):
        gi.extraction_curve(run, keys(13, [1, 3]))


# In an analysis


@pytest.mark.long
def test_an_analysis_has_the_closed_forms_of_its_last_checkpoint_on_disk_and_in_its_report(
    tmp_path,
):
    run = kinds.clock()
    analysis = gi.analyze_run(run, every=9, cache_folder=tmp_path)
    last = gi.take_snapshot(run)
    forms = [gi.extract(last, analysis.key_frequencies, level=level) for level in (1, 2)]
    for found in (analysis, gi.analyze_run(run, every=9, cache_folder=tmp_path)):
        pd.testing.assert_frame_equal(
            found.closed_form, pd.DataFrame([scores_of(form) for form in forms]), check_dtype=False
        )
        terms = found.closed_form_terms
        for form in forms:
            of_level = terms.loc[terms.level == form.level, list(form.table)]
            assert of_level.to_numpy(float) == pytest.approx(form.table.to_numpy(float))
        assert str(terms.frequency.dtype) == str(terms.neuron.dtype) == "Int64"
    gi.write_tables(analysis, tmp_path / "out")
    on_disk = pd.read_csv(tmp_path / "out" / "closed_form.csv")
    assert on_disk.loss.tolist() == [form.loss for form in forms]
    assert len(pd.read_csv(tmp_path / "out" / "closed_form_terms.csv")) == len(terms)
    said = "".join(closed_form_section(analysis).blocks)
    assert len(pd.read_csv(tmp_path / "out" / "closed_form_curve.csv")) == 2 * len(
        analysis.trajectory
    )
    for form in forms:
        assert show_value(form.loss) in said and show_percent(form.variance_explained) in said
    assert show_value(float(forms[0].table.amplitude[0])) in said and "not rebuilt" not in said


@pytest.mark.long
def test_an_analysis_finds_the_very_checkpoint_from_which_the_formula_describes_the_network(
    tmp_path, monkeypatch
):
    # Random weights turn into a circuit over 24 checkpoints. Few are looked at, and bisection
    # finds the first all the same.
    spec, right = planted.summing_spec(), planted.summing_parameters(13, (2, 5))
    random = {k: planted.noise(*v.shape, seed=i) for i, (k, v) in enumerate(right.items())}
    states = {
        step: {k: (1 - step / 23) * random[k] + step / 23 * v for k, v in right.items()}
        for step in range(24)
    }

    def analyzed():
        return gi.analyze_run(run, [restricted], key_frequencies=[2, 5], cache_folder=tmp_path)

    run = gi.Run.from_state_dicts(
        states, task=gi.TaskSpec(p=13), train_pairs=planted.split(13).train, model=spec
    )
    restricted = next(measure for measure in gi.MEASURES if measure.name == "restricted_loss")
    monkeypatch.setattr(formulas_along, "MOST_CHECKPOINTS", 4)
    every = gi.extraction_curve(run, keys(13, [2, 5]), n_shuffled=2)
    truth = exists_from(every, 1)
    analysis = analyzed()
    curve = analysis.closed_form_curve
    looked_at = sorted(set(curve.step))
    assert 0 < truth < 23 and exists_from(curve, 1) == truth, (truth, looked_at)
    assert looked_at[0] == 0 and looked_at[-1] == 23 and len(looked_at) <= 4 + 3 + 3
    assert exists_from(curve, 2) == exists_from(every, 2)
    assert {truth - 1, truth} <= set(looked_at)
    pd.testing.assert_frame_equal(curve, every[every.step.isin(looked_at)].reset_index(drop=True))
    said = "".join(closed_form_section(analysis).blocks)
    assert f"more than half of the variance of the logits from step {truth} on" in said
    # A second analysis remembers them: nothing is extracted along the run again.
    monkeypatch.setattr(formulas_along, "extraction_curve_at", None)
    pd.testing.assert_frame_equal(analyzed().closed_form_curve, curve)


def test_a_report_says_why_there_is_no_formula_or_no_neuron_in_it():
    alone = gi.analyze_run(kinds.logits_alone(), every=9)
    assert alone.closed_form.level.tolist() == [1]
    said = "".join(closed_form_section(alone).blocks)
    assert "The neurons were not rebuilt. Reason: a network known only by its logits" in said
    shallow = gi.analyze_run(kinds.logits_alone(), every=9, deep=False)
    assert shallow.closed_form.empty and shallow.closed_form_terms.empty
    untrained = gi.analyze_run(kinds.KINDS["perceptron"](), every=9)
    said = "".join(closed_form_section(untrained).blocks)
    assert "No formula was extracted. Reason: accuracy on" in said
