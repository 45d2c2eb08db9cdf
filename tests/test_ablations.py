import dataclasses
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from grokinterp.circuits import (
    KeyFrequencies,
    Snapshot,
    ablate,
    ablate_with_hooks,
    ablation_table,
)
from grokinterp.circuits.components import CIRCUITS, PATHS, SITES, Component
from grokinterp.circuits.interventions import FILLS
from grokinterp.circuits.key_frequencies import neurons_by_frequency
from grokinterp.circuits.memorization import excluded_accuracy, excluded_loss
from grokinterp.circuits.trigonometric import restricted_loss, trigonometric_component
from grokinterp.errors import ConfigError
from grokinterp.models import ModelSpec
from grokinterp.models.hooked_transformer import HookedTransformer
from grokinterp.models.loss import cross_entropy
from tests import planted
from tests.tolerances import CHAINED64, FLOAT32

COLUMNS = [
    "component",
    "intervention",
    "frequencies",
    "loss_all",
    "loss_train",
    "loss_test",
    "accuracy_all",
    "accuracy_train",
    "accuracy_test",
]


@pytest.fixture(scope="module")
def pizza():
    return planted.pizza_snapshot(31, [3, 7, 15])


KEYS = KeyFrequencies(31, (3, 7, 15))
REMAINS_AT_EMBEDDING = {"component": "memorization_circuit", "at": "embedding"}


def noisy_snapshot():
    split = planted.split(13)
    waves = planted.cosines(split.task, {2: 4.0, 6: 3.0})
    return planted.snapshot(waves + planted.noise(169, 13), split)


def test_the_table_has_the_full_network_both_circuits_and_every_key_frequency(pizza):
    table = ablation_table(pizza, KEYS)
    assert list(table.columns) == COLUMNS
    assert table["component"].tolist()[:6] == [
        "full",
        "trigonometric_circuit",
        "memorization_circuit",
        "frequency_3",
        "frequency_7",
        "frequency_15",
    ]
    assert table["frequencies"].tolist()[:6] == ["", "3 7 15", "3 7 15", "3", "7", "15"]
    assert table["intervention"].tolist()[:6] == ["none", *["removed from logits"] * 5]


def test_the_rows_are_the_losses_of_the_two_circuits():
    snapshot = noisy_snapshot()
    keys = KeyFrequencies.given(13, [2, 6])
    table = ablation_table(snapshot, keys)[:5].set_index("component")
    for on in ("all", "train", "test"):
        mask = snapshot.pair_mask(on)
        full = float(snapshot.losses[mask].mean())
        column = table[f"loss_{on}"]
        assert column["full"] == pytest.approx(full, **CHAINED64)
        assert column["trigonometric_circuit"] == pytest.approx(
            excluded_loss(snapshot, keys, on=on), **CHAINED64
        )
        assert column["memorization_circuit"] == pytest.approx(
            restricted_loss(snapshot, keys, on=on), **CHAINED64
        )
        one = KeyFrequencies.given(13, [6])
        assert column["frequency_6"] == pytest.approx(
            excluded_loss(snapshot, one, on=on), **CHAINED64
        )
        accuracies = table[f"accuracy_{on}"]
        assert accuracies["trigonometric_circuit"] == excluded_accuracy(snapshot, keys, on=on)
        assert accuracies["full"] == float(snapshot.are_correct[mask].double().mean())


@pytest.mark.parametrize("at", ["logits", "neurons", "embedding"])
def test_a_planted_network_fails_without_its_frequencies_and_lives_on_them_alone(pizza, at):
    assert pizza.accuracy_all == 1.0
    without = ablate(pizza, KEYS, component="trigonometric_circuit", at=at)
    # What is left of a pizza still carries cos w(a - b) cos w(a + b - c), right now and then.
    assert without.accuracies["all"] < 0.3
    alone = ablate(pizza, KEYS, component="memorization_circuit", at=at)
    assert alone.accuracies["all"] > 0.9
    other = KeyFrequencies.given(31, [5])
    unused = ablate(pizza, other, component="trigonometric_circuit", at=at)
    assert unused.accuracies["all"] == 1.0
    assert alone.intervention == f"removed from {at}"


def test_an_embedding_without_waves_leaves_a_network_that_knows_nothing(pizza):
    # Only the constant is left, which the planted embedding does not have.
    without = ablate(pizza, KEYS, component="trigonometric_circuit", at="embedding")
    assert without.losses["all"] == pytest.approx(math.log(31), rel=1e-5)


def test_removing_nothing_from_the_embedding_changes_nothing(pizza):
    every = KeyFrequencies.given(31, range(1, 16))
    kept = ablate(pizza, every, **REMAINS_AT_EMBEDDING)
    assert kept.losses["all"] == pytest.approx(float(pizza.losses.mean()), rel=1e-4)
    unused = KeyFrequencies.given(31, [5])
    without = ablate(pizza, unused, component="trigonometric_circuit", at="embedding")
    assert without.losses["all"] == pytest.approx(float(pizza.losses.mean()), rel=1e-4)


def test_the_constant_of_the_embedding_belongs_to_neither_circuit():
    parameters = planted.pizza_parameters(31, [3, 7, 15])
    parameters["embed.W_E"][:31, :6] += 0.2
    snapshot = Snapshot.from_parameters(
        parameters, planted.split(31), planted.pizza_spec([3, 7, 15])
    )
    every = KeyFrequencies.given(31, range(1, 16))
    kept = ablate(snapshot, every, **REMAINS_AT_EMBEDDING)
    assert kept.losses["all"] == pytest.approx(float(snapshot.losses.mean()), rel=1e-4)
    centered = ablate(planted.pizza_snapshot(31, [3, 7, 15]), every, **REMAINS_AT_EMBEDDING)
    assert centered.losses["all"] != pytest.approx(kept.losses["all"], rel=1e-2)


def test_neurons_of_one_frequency_are_removed_with_their_effect_on_the_logits():
    # One planted frequency: neurons are functions of waves of it and of its multiples, so at
    # p = 3, where all multiples are the same frequency, removing it removes everything.
    snapshot = planted.pizza_snapshot(3, [1])
    keys = KeyFrequencies.given(3, [1])
    without = ablate(snapshot, keys, component="trigonometric_circuit", at="neurons")
    constant = snapshot.neurons.double().mean(dim=0) @ snapshot.W_L
    expected = cross_entropy(constant.expand(9, 3), snapshot.labels)
    assert without.losses["all"] == pytest.approx(expected, rel=1e-5)
    assert expected != pytest.approx(float(snapshot.losses.mean()), rel=0.1)
    alone = ablate(snapshot, keys, component="memorization_circuit", at="neurons")
    assert alone.losses["all"] == pytest.approx(float(snapshot.losses.mean()), rel=1e-4)


def test_every_place_stands_in_one_table_and_no_row_twice(pizza):
    table = ablation_table(pizza, KEYS, at=SITES)
    rows = list(zip(table["component"], table["intervention"], strict=True))
    assert len(rows) == len(set(rows))
    assert np.isfinite(table[["loss_all", "loss_train", "loss_test"]].to_numpy()).all()
    for component, intervention in [
        ("trigonometric_circuit", "removed from embedding"),
        ("memorization_circuit", "removed from neurons (resample)"),
        ("trigonometric_circuit", "kept in logits (zero)"),
        ("frequency_7", "kept in neurons"),
        ("neurons_of_15", "removed from neurons (zero)"),
        ("unexplained_neurons", "removed from neurons"),
        ("mlp", "removed from neurons (resample)"),
        ("head_1", "removed from attention (zero)"),
        ("head_0", "kept in attention"),
        ("attention", "removed from attention"),
        ("path_around_attention", "removed from residual stream (zero)"),
        ("path_around_mlp", "removed from residual stream"),
    ]:
        assert (component, intervention) in rows


def test_of_a_dense_set_single_frequencies_are_removed_from_the_logits_alone(pizza):
    def singles(keys):
        table = ablation_table(pizza, keys, at=["logits", "neurons", "embedding"])
        waves = table[table["component"].str.startswith("frequency_")]
        assert {"trigonometric_circuit", "mlp"} <= set(table["component"])
        assert (table["component"] == "neurons_of_7").any()
        return {what.split()[-1] for what in waves["intervention"]}

    assert singles(dataclasses.replace(KEYS, is_dense=True)) == {"logits"}
    assert singles(KEYS) == {"logits", "neurons", "embedding"}


def test_without_key_frequencies_only_the_full_network_is_left():
    snapshot = noisy_snapshot()
    table = ablation_table(snapshot, KeyFrequencies(13, (), reason="none"))
    assert table["component"].tolist() == ["full"]
    split = planted.split(12, "multiplication")
    other = planted.snapshot(planted.noise(144, 12), split)
    table = ablation_table(other, KeyFrequencies(12, ()))
    assert table["loss_all"][0] == pytest.approx(float(other.losses.mean()), **CHAINED64)


def test_multiplication_is_judged_on_the_pairs_of_its_view():
    split = planted.split(13, "multiplication")
    logits = planted.cosines(split.task, {5: 20.0})
    snapshot = planted.snapshot(logits, split)
    full = ablation_table(snapshot, KeyFrequencies.given(12, [5])).iloc[0]
    in_view = torch.tensor(split.task.labels) != 0
    assert full["accuracy_all"] == 1.0
    assert full["loss_all"] == pytest.approx(float(snapshot.losses[in_view].mean()), **CHAINED64)
    assert snapshot.accuracy_all == 1.0  # a zero answer is the first class of constant logits


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"component": "circuit"}, "component='circuit' is not known"),
        ({"component": "trigonometric_circuit", "at": "heads"}, "at='heads' is no place"),
        ({"component": "head_0", "at": "logits"}, "Choose one of heads"),
        ({"component": "head_2"}, "head_2 does not exist: the network has layers 0 .. 0"),
        ({"component": "layer_1_head_0"}, "layer_1_head_0 does not exist"),
        ({"component": "neuron_48"}, "neuron 48 is not one of 0 .. 47"),
        ({"component": "frequency_16"}, "frequency 16 is not one of 1 .. 15"),
        ({"component": "neurons_of_0"}, "frequency 0 is not one of 1 .. 15"),
        ({"component": "mlp", "keep": True}, "leaves nothing else to replace"),
        ({"component": "path_around_mlp", "keep": True}, "leaves nothing else to replace"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_choices(pizza, wrong, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        ablate(pizza, KEYS, **wrong)


def test_a_circuit_needs_key_frequencies_and_a_task_that_has_some(pizza):
    with pytest.raises(ConfigError, match="there are none. Pass those of find_key_frequencies"):
        ablate(pizza, component="trigonometric_circuit")
    split = planted.split(12, "multiplication")
    snapshot = planted.snapshot(planted.noise(144, 12), split)
    with pytest.raises(ConfigError, match="multiplication modulo 12 has no cyclic view"):
        ablate(snapshot, KeyFrequencies(12, (1,)), component="trigonometric_circuit")


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("at", ["logits", "neurons", "embedding"])
def test_to_keep_one_circuit_is_to_remove_the_other(pizza, at, fill):
    kept = ablate(pizza, KEYS, component="trigonometric_circuit", at=at, keep=True, fill=fill)
    gone = ablate(pizza, KEYS, component="memorization_circuit", at=at, fill=fill)
    assert kept.losses["all"] == pytest.approx(gone.losses["all"], rel=1e-4)


def test_waves_have_no_mean_so_zero_and_mean_are_one_thing_for_them_and_not_for_the_rest():
    snapshot = noisy_snapshot()
    keys = KeyFrequencies.given(13, [2, 6])
    zero, mean = (
        [
            ablate(snapshot, keys, component=component, fill=fill).losses["all"]
            for component in ("trigonometric_circuit", "memorization_circuit")
        ]
        for fill in ("zero", "mean")
    )
    assert zero[0] == pytest.approx(mean[0], **CHAINED64)
    assert zero[1] != pytest.approx(mean[1], rel=1e-3)


def test_resampling_gives_every_pair_the_waves_of_another_and_keeps_their_set():
    snapshot = noisy_snapshot()
    keys = KeyFrequencies.given(13, [2, 6])
    found = ablate(snapshot, keys, component="trigonometric_circuit", fill="resample", seed=3)
    order = torch.randperm(169, generator=torch.Generator().manual_seed(3))
    waves = trigonometric_component(snapshot, [2, 6])[snapshot.labels]
    expected = cross_entropy(snapshot.logits - waves + waves[order], snapshot.labels)
    assert found.losses["all"] == pytest.approx(expected, **CHAINED64)
    other = ablate(snapshot, keys, component="trigonometric_circuit", fill="resample", seed=4)
    assert other.losses["all"] != pytest.approx(expected, rel=1e-3)


def random_snapshot(n_layers=1, act_fn="relu"):
    spec = ModelSpec(n_layers, d_model=16, n_heads=3, d_head=5, d_mlp=24, act_fn=act_fn)
    split = planted.split(11)
    return Snapshot.from_parameters(planted.random_parameters(spec, 11), split, spec)


def of_head(head, fill):
    def hook(z, hook):
        z = z.clone()
        z[:, :, head] = 0 if fill == "zero" else z[:, :, head].mean(dim=0)
        return z

    return hook


@pytest.mark.parametrize("fill", ["zero", "mean"])
@pytest.mark.parametrize(
    ("n_layers", "component", "point"),
    [
        (1, "head_1", "blocks.0.attn.hook_z"),
        (2, "head_1", "blocks.1.attn.hook_z"),
        (2, "layer_0_head_1", "blocks.0.attn.hook_z"),
    ],
)
def test_a_head_without_its_output_is_what_hooks_say(n_layers, component, point, fill):
    snapshot = random_snapshot(n_layers)
    found = ablate(snapshot, component=component, fill=fill)
    hooked = ablate_with_hooks(snapshot, [(point, of_head(1, fill))])
    assert found.losses == pytest.approx(hooked.losses, **FLOAT32)
    other = ablate_with_hooks(snapshot, [(point, of_head(2, fill))])
    assert found.losses != pytest.approx(other.losses, rel=1e-3)
    assert hooked.intervention == f"hooks at {point}"


def test_a_head_kept_alone_is_what_hooks_on_all_others_say():
    snapshot = random_snapshot()
    found = ablate(snapshot, component="head_1", keep=True)
    point = "blocks.0.attn.hook_z"
    hooked = ablate_with_hooks(snapshot, [(point, of_head(0, "mean")), (point, of_head(2, "mean"))])
    assert found.losses == pytest.approx(hooked.losses, **FLOAT32)


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_neurons_without_their_activation_are_what_hooks_say(fill):
    snapshot = random_snapshot()

    def of_neurons(chosen):
        def hook(post, hook):
            post = post.clone()
            post[..., chosen] = 0 if fill == "zero" else post[..., chosen].mean(dim=0)
            return post

        return hook

    for component, chosen in (("neuron_7", [7]), ("mlp", slice(None))):
        found = ablate(snapshot, component=component, fill=fill)
        hooked = ablate_with_hooks(snapshot, [("blocks.0.mlp.hook_post", of_neurons(chosen))])
        assert found.losses == pytest.approx(hooked.losses, **FLOAT32)


def test_residual_paths_are_the_edges_of_the_block():
    snapshot = random_snapshot()
    model = HookedTransformer.from_parameters(snapshot.spec, snapshot.parameters)
    with torch.no_grad():
        _, cache = model.run_with_cache(torch.tensor(snapshot.task.tokens))
        last = {name: cache[name][:, -1] for name in cache if cache[name].ndim == 3}
        block = model.blocks[0]
        resid_pre, attn_out = last["blocks.0.hook_resid_pre"], last["blocks.0.hook_attn_out"]
        mlp_out, bias = last["blocks.0.hook_mlp_out"], block.attn.b_O

        def read(mlp_in):
            return (mlp_in @ block.mlp.W_in + block.mlp.b_in).relu() @ block.mlp.W_out + (
                block.mlp.b_out
            )

        resid_mid = resid_pre + attn_out
        mean_heads = (attn_out - bias).mean(dim=0)
        expected = {
            ("path_around_attention", "zero"): attn_out + read(attn_out),
            ("path_around_mlp", "zero"): mlp_out,
            ("path_around_mlp", "mean"): resid_mid.mean(dim=0) + mlp_out,
            ("attention_to_mlp", "zero"): resid_mid + read(resid_pre + bias),
            ("attention_to_mlp", "mean"): resid_mid + read(resid_pre + bias + mean_heads),
            ("attention_to_logits", "zero"): resid_pre + bias + mlp_out,
        }
        for (component, fill), resid_post in expected.items():
            logits = model.unembed(resid_post)
            found = ablate(snapshot, component=component, fill=fill)
            assert found.losses["all"] == pytest.approx(
                cross_entropy(logits, snapshot.labels), **FLOAT32
            ), (component, fill)


def test_neurons_are_clustered_by_the_frequency_that_was_planted(pizza):
    assert neurons_by_frequency(pizza)[[2, 6, 14]].tolist() == [16, 16, 16]
    without = ablate(pizza, component="neurons_of_7", fill="zero")
    logits = pizza.logits - pizza.neurons[:, 16:32] @ pizza.W_L[16:32].float()
    assert without.losses["all"] == pytest.approx(cross_entropy(logits, pizza.labels), **FLOAT32)
    nobody = ablate(pizza, component="unexplained_neurons", fill="zero")
    assert nobody.losses["all"] == pytest.approx(float(pizza.losses.mean()), **FLOAT32)
    alone = ablate(pizza, component="neurons_of_7", keep=True, fill="zero")
    logits = (
        pizza.logits
        - pizza.written_by_neurons
        + (pizza.neurons[:, 16:32].double() @ pizza.W_L[16:32])
    )
    assert alone.losses["all"] == pytest.approx(cross_entropy(logits, pizza.labels), **FLOAT32)


def components():
    """Every kind of component, with numbers, names and layers where it has them."""
    numbers = st.integers(0, 10**6)
    names = st.sampled_from(["sign", "standard", "2d", "standard_sign", "5d_a", "x0"])
    layers = st.none() | st.integers(0, 99)
    alone = ("unexplained_neurons", "mlp", *CIRCUITS, *PATHS)
    return st.one_of(
        st.builds(Component, st.sampled_from(alone)),
        st.builds(Component, st.sampled_from(["frequency", "neuron"]), numbers),
        st.builds(Component, st.just("representation"), names),
        st.builds(Component, st.just("neurons_of"), numbers | names),
        st.builds(Component, st.just("head"), numbers, layers),
        st.builds(Component, st.just("attention"), st.none(), layers),
    )


@given(component=components())
def test_the_name_of_a_component_reads_as_that_component(component):
    assert Component.parse(str(component)) == component
    assert component.sites[0] == component.site(None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("frequency_9", Component("frequency", 9)),
        ("representation_standard_sign", Component("representation", "standard_sign")),
        ("neuron_17", Component("neuron", 17)),
        ("neurons_of_9", Component("neurons_of", 9)),
        ("neurons_of_2d", Component("neurons_of", "2d")),
        ("head_2", Component("head", 2)),
        ("layer_0_head_2", Component("head", 2, layer=0)),
        ("layer_1_attention", Component("attention", layer=1)),
        ("path_around_mlp", Component("path_around_mlp")),
    ],
)
def test_public_names_of_components_stay(name, expected):
    assert Component.parse(name) == expected
    assert str(expected) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "circuit",
        "frequency",
        "frequency_",
        "frequency_sign",
        "frequency_-1",
        "representation_9",
        "neuron_a",
        "neurons_of_",
        "mlp_1",
        "head",
        "head_1_2",
        "layer_0_mlp",
        "layer_0_frequency_9",
        "layer_head_1",
        "layer_0_layer_1_head_2",
        "Head_2",
        "head_2 ",
        "full",
    ],
)
def test_other_names_are_no_component(name):
    with pytest.raises(ConfigError, match=re.escape(f"component={name!r} is not known. Choose")):
        Component.parse(name)


@pytest.mark.parametrize(
    ("name", "sites"),
    [
        ("trigonometric_circuit", ("logits", "neurons", "embedding")),
        ("representation_sign", ("logits", "neurons", "embedding")),
        ("neurons_of_9", ("neurons",)),
        ("layer_0_attention", ("heads",)),
        ("attention_to_mlp", ("paths",)),
    ],
)
def test_every_component_has_its_places(name, sites):
    assert Component.parse(name).sites == sites
