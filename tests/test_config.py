"""Configurations: presets, checkpoint schedule, reading back, refusals."""

import dataclasses

import numpy as np
import pytest

from grokinterp.errors import ConfigError
from grokinterp.fields import later_field, settled
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs import PRESETS, OptimizerSpec, PressureSpec, TrainConfig
from grokinterp.tasks import DigitsSpec, PolynomialSpec, TaskSpec
from grokinterp.trajectory import Thresholds
from grokinterp.trajectory.slingshots import SpikeRule


def test_the_canonical_preset_is_the_published_setting():
    config = PRESETS["nanda2023"]
    assert (config.task.p, config.task.train_fraction) == (113, 0.3)
    assert (config.task.split_method, config.task.split_seed) == ("python_shuffle", 0)
    assert (config.model.d_model, config.model.n_heads, config.model.d_mlp) == (128, 4, 512)
    assert (config.model.biases, config.model.init) == ("mlp", "nanda2023_published")
    assert (config.model.outputs, config.model.init_seed) == ("tokens", 0)
    expected = OptimizerSpec(1e-3, 1.0, (0.9, 0.98), 1e-8, 10)
    assert config.optimizer == expected
    assert (config.n_steps, config.loss_dtype, config.weight_dtype) == (25_000, *["float64"] * 2)


def test_the_preset_p113_is_the_default_and_the_canonical_one_with_other_weights():
    canonical, other = PRESETS["nanda2023"], PRESETS["p113"]
    assert other == TrainConfig() and other.model.outputs == "answers"
    same = dataclasses.replace(canonical, model=other.model, weight_dtype="float32")
    assert same == other


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


@pytest.mark.parametrize("rate", [-0.1, 1.1])
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


WRITTEN_BEFORE = {
    "quick": "bbe20288592a",
    "p113": "d6f4b0d42c1f",
    "s5": "4df6a5413a91",
    "perceptron": "8c15ef67e8bb",
    "digits": "1b78d823048e",
}
"""Hashes of presets as folders of finished sweeps carry them."""


@pytest.mark.parametrize("name", WRITTEN_BEFORE)
def test_a_field_that_came_later_leaves_the_hash_of_earlier_configs_alone(name):
    assert PRESETS[name].hash() == WRITTEN_BEFORE[name]


def test_a_later_field_with_another_value_is_in_the_hash():
    @dataclasses.dataclass(frozen=True)
    class Spec:
        p: int = 113
        outputs: str = later_field("answers")

    assert settled(Spec()) == {"p": 113}
    assert settled(Spec(outputs="tokens")) == {"p": 113, "outputs": "tokens"}


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
        (
            lambda: TrainConfig(loss_dtype="float16"),
            "loss_dtype='float16' is not known",
        ),
        (lambda: ModelSpec(d_model=0), "d_model=0 is too small"),
        (lambda: ModelSpec(act_fn="selu"), "act_fn='selu' is not known"),
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


WRONG_TYPES = [
    (lambda: TaskSpec(p="113"), "p='113' is of the wrong type. It takes a whole number."),
    (lambda: TaskSpec(p=13.0), "p=13.0 is of the wrong type. It takes a whole number."),
    (lambda: TaskSpec(p=True), "p=True is of the wrong type. It takes a whole number."),
    (lambda: TaskSpec(p=None), "p=None is of the wrong type. It takes a whole number."),
    (lambda: TaskSpec(train_fraction="0.3"), "train_fraction='0.3' is of the wrong type. It takes"),
    (lambda: TaskSpec(operation=["addition"]), "operation=['addition'] is not known. Choose one"),
    (lambda: DigitsSpec(n_train=2e2), "n_train=200.0 is of the wrong type"),
    (lambda: PolynomialSpec(dimension=None), "dimension=None is of the wrong type"),
    (lambda: ModelSpec(d_mlp=True), "d_mlp=True is of the wrong type"),
    (lambda: ModelSpec(attention_rate=float("nan")), "attention_rate=nan is not allowed. It takes"),
    (lambda: MlpSpec(widths=256), "widths=256 is of the wrong type. It takes a list of whole"),
    (lambda: MlpSpec(widths=(2.5,)), "widths=(2.5,) is of the wrong type"),
    (lambda: MlpSpec(biases=1), "biases=1 is of the wrong type. It takes True or False."),
    (lambda: OptimizerSpec(betas=(0.9,)), "betas=(0.9,) is of the wrong type. It takes two finite"),
    (lambda: OptimizerSpec(learning_rate=10**400), "learning_rate=1000"),
    (lambda: OptimizerSpec(learning_rate=float("inf")), "learning_rate=inf is not allowed"),
    (lambda: PressureSpec(perp_grad="yes"), "perp_grad='yes' is of the wrong type"),
    (lambda: TrainConfig(task="addition"), "task='addition' is of the wrong type. It takes a Task"),
    (lambda: TrainConfig(parent={}), "parent={} is of the wrong type. It takes a TrainConfig, or"),
    (lambda: TrainConfig(n_steps=10**6, checkpoint_every="x"), "checkpoint_every='x'"),
    (lambda: Thresholds(grokking=95.0), "grokking=95.0 is not allowed. It is an accuracy"),
    (lambda: Thresholds(patience="long"), "patience='long' is of the wrong type"),
    (lambda: SpikeRule(rise_steps=0.5), "rise_steps=0.5 is of the wrong type"),
    (lambda: dataclasses.replace(PRESETS["quick"], n_steps=1e3), "n_steps=1000.0 is of the wrong"),
]


@pytest.mark.parametrize(("build", "message"), WRONG_TYPES)
@pytest.mark.usefixtures("without_type_checks")
def test_a_value_of_the_wrong_type_is_refused_where_it_is_written(build, message):
    with pytest.raises(ConfigError) as caught:
        build()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("without_type_checks")
def test_numbers_of_numpy_become_those_of_python_and_lists_tuples():
    task = TaskSpec(p=np.int64(13), train_fraction=np.float32(0.5))
    assert (type(task.p), type(task.train_fraction)) == (int, float)
    model = MlpSpec(widths=[np.int32(8), 16], biases=np.bool_(True))
    assert model.widths == (8, 16) and type(model.widths[0]) is int and model.biases is True
    optimizer = OptimizerSpec(weight_decay=1, betas=[0, 0.5])
    assert (type(optimizer.weight_decay), optimizer.betas) == (float, (0.0, 0.5))
    # One setting has one name, however it was written.
    same = TrainConfig(optimizer=OptimizerSpec(weight_decay=1))
    assert same.hash() == TrainConfig(optimizer=OptimizerSpec(weight_decay=1.0)).hash()


@pytest.mark.parametrize("field", ["p", "n_steps", "widths"])
@pytest.mark.usefixtures("without_type_checks")
def test_a_value_of_any_length_gets_a_short_line(field):
    value = "x" * 10**6
    with pytest.raises(ConfigError) as caught:
        {"p": TaskSpec, "n_steps": TrainConfig, "widths": MlpSpec}[field](**{field: value})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TaskSpec(p=10**9), "p=1000000000 is too large"),
        (lambda: ModelSpec(d_model=10**9), "d_model=1000000000 is too large"),
        (lambda: ModelSpec(n_layers=1000), "n_layers=1000 is too large"),
        (lambda: PolynomialSpec(n_train=10**9), "n_train=1000000000 points in 100 dimensions"),
        (lambda: TrainConfig(n_steps=10**12), "keeps more than 1,000,000 checkpoints"),
        (lambda: MlpSpec(widths=(1,) * 1000), "is not allowed. Name at least one"),
    ],
)
def test_a_size_that_no_machine_holds_is_refused_before_memory_is_asked_for(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
