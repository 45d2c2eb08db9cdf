"""A network as a formula: what was planted comes back, and what was not does not."""

import math

import numpy as np
import pytest
import torch

import grokinterp as gi
from grokinterp.models.loss import cross_entropy
from grokinterp.tasks import Split
from tests import planted
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
    assert (anywhere.table.amplitude > 1).all() and math.isnan(anywhere.test_accuracy)
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


def test_shuffled_phases_are_right_as_often_as_chance():
    snapshot = planted.trigonometric_snapshot(13, [2])
    n_draws = 400
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
