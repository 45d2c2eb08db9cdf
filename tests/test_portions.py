"""Large tasks are analyzed in portions: the same numbers, and nothing as large as the logits."""

import dataclasses

import pandas as pd
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from grokinterp import portions as sizes
from grokinterp.circuits import (
    KeyFrequencies,
    Snapshot,
    ablate,
    ablation_table,
    find_key_frequencies,
    neuron_table,
)
from grokinterp.circuits.components import SITES
from grokinterp.circuits.key_frequencies import character_similarities
from grokinterp.circuits.trigonometric import fraction_logit_variance_explained
from grokinterp.measures import MEASURES, by_frequency_table, by_representation_table
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.portions import Joined, joined, portions
from grokinterp.runs.network import Network
from grokinterp.runs.parts import missing_parts
from grokinterp.runs.split_doubts import doubts_of_split
from grokinterp.tasks import Task, TaskSpec, draw_split
from grokinterp.training import train
from grokinterp.training.step import AutogradStep, ForwardEvaluation
from grokinterp.trajectory import analyze_run
from tests import kinds, planted, tiny
from tests.tolerances import EXACT64, FLOAT32

FOUR_PORTIONS = 24**3 * 8 // 4
"""Bytes of a quarter of the logits of S_4 in float64."""

NETWORKS = {
    "perceptron": MlpSpec(widths=(6,), embedding="separate", d_embed=8),
    "summed": MlpSpec(widths=(30,), embedding="shared", d_embed=8, combination="summed"),
    "transformer": ModelSpec(d_model=8, n_heads=1, d_head=8, d_mlp=6),
    "with a norm": ModelSpec(d_model=8, n_heads=1, d_head=8, d_mlp=6, normalization="LN"),
}
FLOAT32_BEHIND_THE_NEURONS = ("transformer", "with a norm")
"""Networks whose forward pass is made in portions too, in float32."""


def split_at(monkeypatch, n_bytes):
    """Make everything larger in portions of so many bytes."""
    monkeypatch.setattr(sizes, "WHOLE_BYTES", n_bytes)
    monkeypatch.setattr(sizes, "PORTION_BYTES", n_bytes)


def snapshot_of(model, task):
    split = draw_split(Task(task))
    parameters = Network(model, split.task).initial_parameters()
    larger = {name: 2 * value for name, value in parameters.items()}
    return Snapshot.from_parameters(larger, split, model)


def permutations(model=NETWORKS["perceptron"]):
    task = TaskSpec("group", group="symmetric(4)", train_fraction=0.7)
    snapshot = snapshot_of(model, task)
    return snapshot, KeyFrequencies.given_for(snapshot.require_view(), ["standard"])


def numbers_of(snapshot, keys):
    """Every number of a snapshot that is kept anywhere, by what it is called."""
    known, missing = snapshot.split.is_known, snapshot.network.missing
    found = {}
    for measure in MEASURES:
        if measure.applies_to(snapshot.task, keys, split_is_known=known, missing=missing):
            found |= measure.values(snapshot, keys)
    tables = {
        "by_frequency": by_frequency_table(snapshot),
        "by_representation": by_representation_table(snapshot),
        "ablations": ablation_table(snapshot, keys, at=SITES),
        "evidence": find_key_frequencies(snapshot, n_permutations=5).evidence,
    }
    if snapshot.has("neurons"):
        tables["neurons"] = neuron_table(snapshot)
    for name, table in tables.items():
        for column in table.select_dtypes("number"):
            for row, value in enumerate(table[column].astype(float)):
                found[f"{name} {column} {row}"] = value
    return found


def fresh(snapshot, model):
    """The same weights, run again: nothing that was kept before counts."""
    return Snapshot.from_parameters(snapshot.parameters, snapshot.split, model)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_group_in_portions_has_the_numbers_of_the_group_in_one(name, monkeypatch):
    model = NETWORKS[name]
    snapshot, keys = permutations(model)
    whole = numbers_of(snapshot, keys)
    assert not snapshot.is_large and len(snapshot.sum_portions) == 1
    split_at(monkeypatch, FOUR_PORTIONS)
    again = fresh(snapshot, model)
    assert again.is_large and len(again.sum_portions) == 4
    parts = numbers_of(again, keys)
    for key, value in parts.items():
        is_float32 = name in FLOAT32_BEHIND_THE_NEURONS or "fraction_explained" in key
        tolerance = FLOAT32 if is_float32 else EXACT64
        assert value == pytest.approx(whole[key], nan_ok=True, **tolerance), key
    assert parts.keys() == whole.keys()


@pytest.mark.parametrize("kind", ["module, all parts", "logits alone", "perceptron"])
def test_frequencies_in_portions_are_those_in_one(kind, monkeypatch):
    run = kinds.KINDS[kind]()
    keys = KeyFrequencies.given(13, kinds.KEYS)

    def analyzed():
        snapshot = Snapshot.of(run.network(1), run.split, step=1)
        return snapshot.is_large, numbers_of(snapshot, keys)

    was_large, whole = analyzed()
    split_at(monkeypatch, 8 * 13**3 // 3)
    is_large, parts = analyzed()
    assert is_large and not was_large
    tolerance = EXACT64 if kind == "logits alone" else FLOAT32
    assert parts == pytest.approx(whole, nan_ok=True, **tolerance)


def test_a_run_is_analyzed_in_portions_from_its_checkpoints_to_its_tables(monkeypatch):
    run = kinds.KINDS["perceptron"]()
    whole = analyze_run(run, key_frequencies=kinds.KEYS)
    split_at(monkeypatch, 8 * 13**3 // 3)
    parts = analyze_run(run, key_frequencies=kinds.KEYS)
    for name in ("trajectory", "by_frequency", "ablations", "circuit", "neurons"):
        of_whole, of_parts = getattr(whole, name), getattr(parts, name)
        assert len(of_whole) > 1
        pd.testing.assert_frame_equal(of_whole, of_parts, rtol=2e-5, atol=2e-6)


def test_of_very_many_logits_components_are_removed_by_their_mean_alone(monkeypatch):
    snapshot, keys = permutations()
    everything = ablation_table(snapshot, keys, at=SITES)
    monkeypatch.setattr("grokinterp.circuits.ablations.MOST_LOGITS", 24**3 - 1)
    fewer = ablation_table(snapshot, keys, at=SITES)
    words = ("kept", "zero", "resample")
    is_kept = [not any(word in what for word in words) for what in everything["intervention"]]
    pd.testing.assert_frame_equal(fewer, everything[is_kept].reset_index(drop=True))
    assert 5 < len(fewer) < len(everything) / 2
    monkeypatch.setattr("grokinterp.circuits.ablations.MOST_LOGITS", 24**3)
    assert len(ablation_table(snapshot, keys, at=SITES)) == len(everything)


class LargestArray(TorchDispatchMode):
    """Bytes of the largest array that any operation makes; views of what there is do not count."""

    def __init__(self):
        super().__init__()
        self.n_bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        flat = [*args, *(kwargs or {}).values()]
        entered = {x.untyped_storage().data_ptr() for x in flat if isinstance(x, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, list | tuple) else [result]:
            if isinstance(made, torch.Tensor):
                storage = made.untyped_storage()
                if storage.data_ptr() not in entered:
                    self.n_bytes = max(self.n_bytes, storage.nbytes())
        return result


@pytest.mark.parametrize("is_in_portions", [True, False])
def test_training_pairs_are_questioned_without_a_copy_of_the_logits(is_in_portions, monkeypatch):
    snapshot, _ = permutations()
    logits = snapshot.logits
    if is_in_portions:
        split_at(monkeypatch, FOUR_PORTIONS // 2)
    with LargestArray() as made:
        doubts_of_split(snapshot.split, [5], lambda step: logits)
    assert (made.n_bytes < logits.untyped_storage().nbytes()) == is_in_portions


@pytest.mark.parametrize("is_in_portions", [True, False])
def test_nothing_as_large_as_the_logits_is_made(is_in_portions, monkeypatch):
    snapshot, keys = permutations()
    n_bytes = snapshot.logits.untyped_storage().nbytes()
    assert n_bytes == 24**3 * 4
    if is_in_portions:
        split_at(monkeypatch, FOUR_PORTIONS)
        monkeypatch.setattr("grokinterp.circuits.key_frequencies.MOST_PERMUTED_LOGITS", 24**3 - 1)
    with LargestArray() as made:
        keys = dataclasses.replace(keys, evidence=find_key_frequencies(snapshot).evidence)
        for measure in MEASURES:
            if measure.applies_to(snapshot.task, keys):
                if not set(measure.needs) & set(missing_parts(NETWORKS["perceptron"])):
                    measure.values(snapshot, keys)
        by_representation_table(snapshot)
        ablation_table(snapshot, keys, at=SITES)
    assert (made.n_bytes < n_bytes) == is_in_portions
    if not is_in_portions:
        assert made.n_bytes == 2 * n_bytes


@pytest.mark.parametrize(
    ("component", "is_large"), [("mlp", False), ("representation_standard", True)]
)
def test_removing_whole_neurons_takes_no_second_copy_of_them(component, is_large, monkeypatch):
    snapshot, _ = permutations(MlpSpec(widths=(40,), embedding="separate", d_embed=8))
    n_bytes = 8 * snapshot.neurons.numel()
    split_at(monkeypatch, FOUR_PORTIONS)
    with LargestArray() as made:
        ablate(snapshot, component=component, at="neurons", fill="resample")
    # The blocks of a representation are held for all pairs.
    assert (made.n_bytes >= n_bytes) == is_large


def test_portions_are_consecutive_and_as_few_as_fit(monkeypatch):
    split_at(monkeypatch, 100)
    assert portions(10, 10) == [slice(0, 10)]
    assert portions(11, 10) == [slice(0, 10), slice(10, 11)]
    assert portions(2, 1000) == [slice(0, 1), slice(1, 2)], "a row is never split"
    assert portions(0, 8) == [slice(0, 0)] and portions(3, 0) == [slice(0, 3)]
    # What is just too large to be whole is made in portions that are smaller still.
    monkeypatch.setattr(sizes, "PORTION_BYTES", 40)
    assert portions(10, 10) == [slice(0, 10)]
    assert portions(11, 10) == [slice(0, 4), slice(4, 8), slice(8, 11)]


def test_joined_parts_are_written_where_they_belong():
    rows = torch.arange(12.0).view(6, 2)
    assert torch.equal(joined(rows.split(4), 6), rows)
    # All rows at once are not copied.
    assert joined([rows], 6) is rows
    too_few = Joined(6)
    too_few.add(rows[:4])
    with pytest.raises(AssertionError):
        _ = too_few.rows


def test_answers_in_another_order_than_the_group_are_the_groups(monkeypatch):
    """Columns are gathered by class where tokens are renamed."""
    snapshot, keys = permutations()
    renaming = torch.randperm(24, generator=torch.Generator().manual_seed(3))
    table = torch.empty(24, 24, dtype=torch.long)
    products = snapshot.products
    table[renaming[:, None], renaming[None, :]] = renaming[products]
    task = TaskSpec("group", group="symmetric(4)", group_table=table.numpy(), train_fraction=0.7)
    split = draw_split(Task(task))
    moved = torch.empty(24, 24, 24)
    moved[renaming[:, None, None], renaming[None, :, None], renaming] = snapshot.logits.view(
        24, 24, 24
    )
    other = planted.snapshot(moved.flatten(0, 1), split)
    split_at(monkeypatch, FOUR_PORTIONS)
    assert character_similarities(other).square().sum().item() == pytest.approx(
        character_similarities(snapshot).square().sum().item(), **EXACT64
    )
    given = KeyFrequencies.given_for(other.require_view(), ["standard"])
    assert fraction_logit_variance_explained(other, given) == pytest.approx(
        fraction_logit_variance_explained(snapshot, keys), **EXACT64
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "stable_max"])
def test_a_batch_in_portions_has_the_loss_and_gradients_of_the_batch_in_one(loss, monkeypatch):
    task = Task(TaskSpec("group", group="symmetric(4)"))
    network = Network(NETWORKS["perceptron"], task)

    def stepped():
        parameters = {name: v.requires_grad_() for name, v in network.initial_parameters().items()}
        given = (parameters, network, network.inputs, network.targets, "float64", loss)
        step, evaluation = AutogradStep(*given), ForwardEvaluation(*given)
        found = [step.loss_and_gradients(), step.accuracy(), *evaluation.loss_and_accuracy()]
        found = [value.item() for value in found]
        return len(step._parts), found, {name: v.grad for name, v in parameters.items()}

    n_whole, whole, gradients = stepped()
    split_at(monkeypatch, FOUR_PORTIONS)
    n_parts, parts, of_parts = stepped()
    assert (n_whole, n_parts) == (1, 4)
    assert parts == pytest.approx(whole, rel=1e-6) and parts[0] == parts[2] != 0
    for name, gradient in gradients.items():
        torch.testing.assert_close(of_parts[name], gradient, rtol=1e-4, atol=1e-7)
        assert gradient.abs().max() > 1e-4


def test_a_training_on_many_outputs_says_that_it_is_slow(monkeypatch, tmp_path, caplog):
    config = tiny.config(n_steps=1)
    with caplog.at_level("INFO"):
        train(config, tmp_path / "small", progress=False)
        assert "outputs in every step" not in caplog.text
        split_at(monkeypatch, 8000)
        train(config, tmp_path / "large", progress=False)
    assert "outputs in every step" in caplog.text
