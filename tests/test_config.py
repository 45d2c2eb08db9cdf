"""Configurations: presets, checkpoint schedule, reading back, refusals."""

import dataclasses

import pytest

from grokinterp.errors import ConfigError
from grokinterp.models import ModelSpec
from grokinterp.runs import PRESETS, OptimizerSpec, TrainConfig


def test_the_canonical_preset_is_the_published_setting():
    config = PRESETS["nanda2023"]
    assert (config.task.p, config.task.train_fraction) == (113, 0.3)
    assert (config.task.split_method, config.task.split_seed) == ("python_shuffle", 0)
    assert (config.model.d_model, config.model.n_heads, config.model.d_mlp) == (128, 4, 512)
    assert (config.model.biases, config.model.init) == ("mlp", "nanda2023")
    expected = OptimizerSpec(1e-3, 1.0, (0.9, 0.98), 1e-8, 10)
    assert config.optimizer == expected
    assert (config.n_steps, config.loss_dtype) == (25_000, "float64")


def test_the_demo_preset_differs_where_the_notebook_does():
    config = PRESETS["tl_demo"]
    assert (config.task.split_method, config.task.split_seed) == ("torch_randperm", 598)
    assert (config.model.init, config.model.init_seed, config.model.biases) == (
        "tl_demo",
        999,
        "none",
    )
    assert config.optimizer.warmup_steps == 0


def test_the_preset_of_permutations_has_the_published_settings():
    config = PRESETS["s5"]
    assert (config.task.operation, config.task.degree) == ("permutation_composition", 5)
    assert (config.task.p, config.task.train_fraction) == (120, 0.6)
    # Chughtai et al. take the network of the Grokking_Demo notebook, its biases frozen.
    demo = dataclasses.replace(PRESETS["tl_demo"].model, init_seed=config.model.init_seed)
    assert config.model == demo
    optimizer = config.optimizer
    assert (optimizer.learning_rate, optimizer.weight_decay) == (1e-3, 1.0)
    assert (optimizer.betas, optimizer.warmup_steps) == ((0.9, 0.98), 0)
    assert config.n_steps == 50_000


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_config_reads_back_as_itself(name):
    config = PRESETS[name]
    assert TrainConfig.from_dict(config.to_dict()) == config
    assert TrainConfig.from_dict(config.to_dict()).hash() == config.hash()


def test_a_config_of_before_there_were_kinds_of_attention_still_reads():
    values = PRESETS["nanda2023"].to_dict()
    for name in ("input_format", "attention_dir", "attention_rate"):
        del values["model"][name]
    assert TrainConfig.from_dict(values) == PRESETS["nanda2023"]


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), float("inf")])
def test_an_attention_rate_outside_the_unit_interval_is_refused(rate):
    with pytest.raises(ConfigError, match=rf"attention_rate={rate} is outside \[0, 1\]"):
        ModelSpec(attention_rate=rate)


@pytest.mark.parametrize("field", ["input_format", "attention_dir"])
def test_an_unknown_kind_of_input_or_attention_is_refused(field, without_type_checks):
    with pytest.raises(ConfigError, match=f"{field}='c' is not known. Choose one of"):
        ModelSpec(**{field: "c"})


def test_the_hash_tells_configs_apart():
    config = PRESETS["quick"]
    assert dataclasses.replace(config, n_steps=7).hash() != config.hash()


def test_checkpoints_are_dense_early_then_regular_with_first_and_last():
    config = dataclasses.replace(PRESETS["nanda2023"], n_steps=330, checkpoint_every=100)
    assert config.checkpoint_steps() == [0, 1, 2, 4, 8, 16, 32, 64, 100, 200, 300, 330]


@pytest.mark.parametrize("n_steps", [1, 2, 5])
def test_a_run_shorter_than_the_spacing_keeps_its_first_and_last_step(n_steps):
    steps = dataclasses.replace(PRESETS["quick"], n_steps=n_steps).checkpoint_steps()
    assert steps[0] == 0 and steps[-1] == n_steps
    assert steps == sorted(set(steps))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: OptimizerSpec(weight_decay=-1.0), "weight_decay=-1.0 is not allowed"),
        (lambda: OptimizerSpec(weight_decay=float("nan")), "weight_decay=nan is not allowed"),
        (lambda: OptimizerSpec(weight_decay=float("inf")), "weight_decay=inf is not allowed"),
        (lambda: OptimizerSpec(learning_rate=0.0), "learning_rate=0.0 is not allowed"),
        (lambda: OptimizerSpec(betas=(0.9, 1.0)), "betas="),
        (lambda: OptimizerSpec(warmup_steps=-1), "warmup_steps=-1 is not allowed"),
        (lambda: TrainConfig(n_steps=0), "n_steps=0 is not allowed"),
        (lambda: TrainConfig(test_every=0), "test_every=0 is not allowed"),
        (lambda: TrainConfig(loss_dtype="float16"), "loss_dtype=float16 is not allowed"),
        (lambda: ModelSpec(d_model=0), "d_model=0 is too small"),
        (lambda: ModelSpec(act_fn="tanh"), "act_fn='tanh' is not known"),
        (lambda: TrainConfig.from_dict({"n_step": 3}), "unknown field 'n_step'"),
        (lambda: TrainConfig.from_dict({"task": 3}), "task is int, not a table"),
        (lambda: TrainConfig.from_dict({"n_steps": "many"}), "wrong type"),
    ],
)
@pytest.mark.usefixtures("without_type_checks")
def test_a_setting_that_means_nothing_is_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


@pytest.mark.parametrize("depth", [60, 3000])
def test_parents_nested_without_end_are_refused_in_one_line(depth):
    table = TrainConfig().to_dict()
    for _ in range(depth):
        table = {**table, "parent": table}
    with pytest.raises(ConfigError, match="parent is nested more than 50 deep"):
        TrainConfig.from_dict(table)


def test_a_whole_number_that_no_float_can_hold_is_refused():
    table = TrainConfig().to_dict()
    table["optimizer"]["learning_rate"] = 10**400
    with pytest.raises(ConfigError, match="learning_rate=1000"):
        TrainConfig.from_dict(table)
