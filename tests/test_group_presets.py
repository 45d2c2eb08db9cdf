"""The presets `dihedral` and `alternating`: other groups that grok within a minute."""

import dataclasses

import pytest

from grokinterp.circuits import find_key_frequencies, take_snapshot
from grokinterp.runs.config import PRESETS, TrainConfig
from grokinterp.training import train
from grokinterp.trajectory import milestones_of

GROUPS = {"dihedral": ("dihedral(29)", 58), "alternating": ("alternating(5)", 60)}


def with_seeds(name, seed, **changes):
    """The preset with another split and other initial weights."""
    config = PRESETS[name]
    task = dataclasses.replace(config.task, split_seed=seed)
    model = dataclasses.replace(config.model, init_seed=seed)
    return dataclasses.replace(config, task=task, model=model, **changes)


@pytest.mark.parametrize("name", GROUPS)
def test_a_preset_is_of_its_group_and_its_first_steps_learn(name, tmp_path):
    config = dataclasses.replace(PRESETS[name], n_steps=40)
    group, order = GROUPS[name]
    assert config.task.group == group
    assert TrainConfig.from_dict(config.to_dict()) == config
    run = train(config, tmp_path / "run", progress=False)
    assert run.task.group_view.order == run.task.n_classes == order
    assert run.task.group_view.in_words == group and not run.task.operation.is_commutative
    losses = run.curves["train_loss"]
    assert losses.iloc[-1] < 0.8 * losses.iloc[0]
    # Forty steps memorize nothing yet.
    assert run.curves["test_accuracy"].iloc[-1] < 0.1
    assert find_key_frequencies(take_snapshot(run)).frequencies == ()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", GROUPS)
def test_a_preset_groks_with_three_seeds(name, seed, tmp_path):
    run = train(with_seeds(name, seed), tmp_path / "run", progress=False)
    found = milestones_of(run)
    assert found.outcome_kind == "grokked"
    assert found.grokking_step > 5 * found.memorization_step
    keys = find_key_frequencies(take_snapshot(run))
    assert keys.names and "trivial" not in keys.names
