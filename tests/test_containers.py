"""How other people pack weights: containers, steps, prefixes, curves and configs of their own."""

import argparse
import dataclasses
import enum
import json
import pathlib
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import grokinterp as gi
from grokinterp.errors import CheckpointError, GrokinterpError
from grokinterp.runs.importers.foreign_files import read_foreign_file
from grokinterp.runs.importers.inert import plain_fields
from grokinterp.runs.importers.logs import logs_of
from grokinterp.runs.importers.step_names import settings_in_name, step_in_name
from grokinterp.runs.importers.sweeps import runs_in
from grokinterp.runs.loading import load_run
from grokinterp.runs.module_files import modules_from_files
from tests import foreign, planted

P = 11


def adding(scale=1.0):
    """A network that adds modulo 11, in TransformerLens's layout; scaled, it still does."""
    return {name: scale * value for name, value in planted.pizza_parameters(P, [1, 2, 4]).items()}


def saved(folder, content, name="run.pt"):
    folder.mkdir(exist_ok=True)
    torch.save(content, folder / name)
    return folder / name


def marked(step):
    """A network whose step can be told from its weights."""
    return adding(1 + step / 1000)


def is_of(run, step):
    """Whether the run has the weights of that step at it."""
    return torch.equal(run.parameters(step)["embed.W_E"], marked(step)["embed.W_E"])


# --- curves -----------------------------------------------------------------------------------


def nanda(epochs, **more):
    states = [foreign.in_published_orientation(marked(epoch)) for epoch in epochs]
    return {"state_dicts": states, "epochs": list(epochs), **more}


def test_a_log_as_long_as_the_epochs_stands_at_those_epochs(tmp_path):
    losses = {"train_losses": [3.0, 2.0, 1.0], "test_losses": [9.0, 8.0, 7.0]}
    run = load_run(saved(tmp_path, nanda([100, 200, 300], **losses)))
    assert run.steps == (101, 201, 301)
    assert run.curves["step"].tolist() == [100, 200, 300]
    assert run.curves["train_loss"].tolist() == [3.0, 2.0, 1.0]
    assert run.curves["test_loss"].tolist() == [9.0, 8.0, 7.0]
    every = {"train_losses": [float(e) for e in range(301)], "test_losses": [1.0] * 301}
    run = load_run(saved(tmp_path, nanda([100, 200, 300], **every)))
    assert run.curves["step"].tolist() == list(range(301))


def test_a_demos_log_as_long_as_its_checkpoints_stands_at_theirs(tmp_path):
    content = {"checkpoints": [marked(99), marked(199)], "checkpoint_epochs": [99, 199]}
    content |= {"model": adding(), "train_losses": [3.0, 2.0], "test_losses": [9.0, 8.0]}
    run = load_run(saved(tmp_path, content))
    assert run.steps == (100, 200)
    # The training loss is taken before the update of its epoch, the test loss after it.
    curves = run.curves.set_index("step")
    assert curves["train_loss"].dropna().to_dict() == {99: 3.0, 199: 2.0}
    assert curves["test_loss"].dropna().to_dict() == {100: 9.0, 200: 8.0}


@pytest.mark.parametrize(
    ("n", "epochs", "last", "at"),
    [
        (40, [], 4000, None),
        (4000, [], 4000, range(4000)),
        (3999, [], 4000, range(3999)),
        (40, [], None, range(40)),
        (41, range(0, 4000, 100), None, None),
        (3901, range(0, 4000, 100), None, range(3901)),
        (4000, range(0, 4000, 100), None, range(4000)),
        (8000, range(0, 4000, 100), None, None),
        (40, range(0, 4000, 100), None, range(0, 4000, 100)),
    ],
)
def test_a_log_stands_where_the_file_says_or_is_left_out(n, epochs, last, at):
    logs = logs_of({"train_losses": [1.0] * n}, epochs=tuple(epochs), last=last)
    assert list(logs.train) == list(at or [])
    assert bool(logs.account) == (at is None)


def test_a_log_that_fits_nothing_is_left_out_with_the_reason(tmp_path):
    content = nanda([100, 200, 300], train_losses=[3.0] * 7, test_losses=[1.0] * 3)
    run = load_run(saved(tmp_path, content))
    assert not run.curves["train_loss"].notna().to_numpy().any()
    assert len(run.curves) == 3
    assert "Left out: 7 train_losses, which do not say their epochs" in run.origin


def test_a_stored_epoch_goes_before_the_length_of_a_log(tmp_path):
    weights = foreign.in_published_orientation(adding())
    content = {"model": weights, "epoch": 3999, "train_losses": [1.0] * 40}
    run = load_run(saved(tmp_path, content))
    assert run.steps == (4000,) and not len(run.curves)
    content = {"model": weights, "epoch": 3999, "train_losses": [1.0] * 4000}
    run = load_run(saved(tmp_path, content))
    assert run.steps == (4000,) and len(run.curves) == 4000


# --- steps ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "step", "alone"),
    [
        ("epoch_0100_acc_0.99", 100, 100),
        ("epoch_0200_acc_0.31", 200, 200),
        ("epoch=99-step=9900", 9900, 9900),
        ("step=9900-epoch=99", 9900, 9900),
        ("model_e1200_loss0.3", 1200, 1200),
        ("ckpt-40", 40, 40),
        ("iter_7_lr_1e-3", 7, 7),
        ("step_100_seed_3", 100, 100),
        ("epoch10of200", 10, 10),
        ("2500", 2500, 2500),
        ("net_1000", 1000, None),
        ("model_0.3", None, None),
        ("model_acc_31", None, None),
        ("model_seed3", None, None),
        ("weight_decay_1", None, None),
        ("model_p113", None, None),
        ("step_0.5", None, None),
        ("step_12345678901234567890", None, None),
    ],
)
def test_the_step_in_a_name_is_the_number_after_its_word(name, step, alone):
    assert step_in_name(Path(f"{name}.pt")) == step
    assert step_in_name(Path(f"{name}.pt"), is_alone=True) == alone


def test_files_named_with_their_accuracy_are_the_steps_of_their_epochs(tmp_path):
    for epoch, accuracy in ((100, "0.99"), (200, "0.31")):
        saved(tmp_path, marked(epoch), f"epoch_0{epoch}_acc_{accuracy}.pt")
    run = load_run(tmp_path)
    assert run.steps == (100, 200) and is_of(run, 100) and is_of(run, 200)


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ({"step": 25000}, 25000),
        ({"global_step": 9900, "epoch": 99}, 9900),
        ({"epoch": 99}, 99),
        ({"step": torch.tensor(12)}, 12),
        ({"step": np.int64(12)}, 12),
        ({"step": 1.5}, 0),
        ({"step": True}, 0),
        ({"step": -1}, 0),
    ],
)
def test_the_step_inside_a_file_is_taken(tmp_path, said, step):
    run = load_run(saved(tmp_path, {"model": adding(), **said}))
    assert run.steps == (step,)
    assert ("unknown step" in run.origin) == (step == 0)


def test_a_step_goes_before_an_epoch_whichever_of_file_and_name_says_it(tmp_path):
    path = saved(tmp_path, {"model": adding(), "epoch": 99}, "step_9900.pt")
    assert load_run(path).steps == (9900,)
    path = saved(tmp_path, {"model": adding(), "global_step": 9900}, "epoch_99.pt")
    assert load_run(path).steps == (9900,)


def test_a_folder_whose_files_know_their_updates_is_not_read_by_its_epochs(tmp_path):
    for epoch in (0, 1):
        step = 100 * (epoch + 1)
        saved(tmp_path, {"state_dict": marked(step), "global_step": step}, f"epoch={epoch}.ckpt")
    saved(tmp_path, {"state_dict": adding(), "global_step": 200}, "last.ckpt")
    run = load_run(tmp_path)
    assert run.steps == (100, 200) and is_of(run, 100) and is_of(run, 200)
    assert "which say their steps" in run.origin and "Ignored: last.ckpt." in run.origin


def test_a_folder_whose_names_say_nothing_has_the_steps_inside_its_files(tmp_path):
    for name, step in (("best", 30), ("last", 40)):
        saved(tmp_path, {"model": marked(step), "step": step}, f"{name}.pt")
    run = load_run(tmp_path)
    assert run.steps == (30, 40) and is_of(run, 30)


def test_two_runs_whose_files_say_the_same_step_are_not_one(tmp_path):
    saved(tmp_path, {"model": marked(30), "step": 30}, "ada.pt")
    saved(tmp_path, {"model": marked(30), "step": 30}, "best.pt")
    run = load_run(tmp_path)  # the same weights twice are those of one run
    assert run.steps == (30,) and "1 file, which says its step" in run.origin
    saved(tmp_path, {"model": marked(31), "step": 30}, "best.pt")
    with pytest.raises(
        CheckpointError, match=r"ada.pt and best.pt both say step 30, and hold other"
    ):
        load_run(tmp_path)


@pytest.mark.parametrize("act_fn", ["gelu", None])
def test_a_config_in_a_folder_of_steps_decides(tmp_path, act_fn):
    for step in (10, 20):
        saved(tmp_path, marked(step), f"step_{step}.pt")
    if act_fn is not None:
        (tmp_path / "config.json").write_text(json.dumps({"act_fn": act_fn}))
    run = load_run(tmp_path)
    assert run.steps == (10, 20) and run.transformer.act_fn == (act_fn or "relu")
    (tmp_path / "config.json").write_text(json.dumps({"positional_embedding_type": "rotary"}))
    with pytest.raises(CheckpointError, match="positional_embedding_type='rotary'"):
        load_run(tmp_path)


# --- sweeps -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "setting"),
    [
        (["model_seed0", "model_seed1", "model_seed2"], r"seed \(0, 1, 2\)"),
        (["wd0.1", "wd1.0"], r"wd \(0\.1, 1\.0\)"),
        (["net_lr_1e-3", "net_lr_1e-2"], r"lr \(1e-2, 1e-3\)"),
        (["train_frac_0.3", "train_frac_0.5"], r"train_frac \(0\.3, 0\.5\)"),
        (["model_p59", "model_p113"], r"p \(113, 59\)"),
    ],
)
def test_a_folder_that_is_a_sweep_is_no_run(tmp_path, names, setting):
    for name in names:
        saved(tmp_path, adding(), f"{name}.pt")
    with pytest.raises(CheckpointError, match=rf"not the steps of one: .*{setting}\. Compare"):
        load_run(tmp_path)
    assert [path.stem for path in runs_in(tmp_path)] == sorted(names)


def test_steps_of_one_seed_are_one_run_and_those_of_two_are_not(tmp_path):
    for step in (10, 20):
        saved(tmp_path, marked(step), f"seed3_step{step}.pt")
    assert load_run(tmp_path).steps == (10, 20)
    assert runs_in(tmp_path) == ()
    saved(tmp_path, marked(30), "seed4_step30.pt")
    with pytest.raises(CheckpointError, match=r"2 runs.* seed \(3, 4\)\. Put the files"):
        load_run(tmp_path)
    with pytest.raises(CheckpointError, match=r"2 runs"):
        modules_from_files(nn.Linear(2, 2), [tmp_path])


def test_numbers_of_settings_are_read_as_written():
    assert settings_in_name(Path("wd0.1_seed_3_step_100.pt")) == {"wd": "0.1", "seed": "3"}
    assert settings_in_name(Path("epoch_0100_acc_0.99.pt")) == {}


def test_the_command_compares_the_runs_of_a_sweep(tmp_path, monkeypatch):
    from grokinterp.commands import analyze

    asked = []
    monkeypatch.setattr(analyze, "_analyze_all", lambda _, paths, *__: asked.extend(paths))
    monkeypatch.setattr(analyze, "_job", lambda _, path, *__: asked.append(path))
    monkeypatch.setattr(analyze, "_explain", lambda *_: None)
    files = [saved(tmp_path / "sweep", adding(), f"model_seed{seed}.pt") for seed in (0, 1)]
    for step in (10, 20):
        saved(tmp_path / "steps", marked(step), f"model_step{step}.pt")
    analyze.main([str(tmp_path / "sweep")])
    assert asked == files
    asked.clear()
    analyze.main([str(tmp_path / "steps")])
    assert asked == [tmp_path / "steps"]


# --- prefixes ---------------------------------------------------------------------------------

PREFIXES = [
    *("module.", "_orig_mod.", "model.", "net.", "network.", "transformer."),
    *("module._orig_mod.", "_orig_mod.module.", "model._orig_mod.", "model.net.module."),
]


@pytest.mark.parametrize("prefix", [*PREFIXES, "backbone."])
def test_prefixes_of_wrappers_are_stripped_whatever_stands_beside(tmp_path, prefix):
    state = {prefix + name: value for name, value in adding().items()}
    state |= {"train_acc.correct": torch.tensor(3), "blocks.0.attn.mask": torch.ones(3, 3)}
    run = load_run(saved(tmp_path, {"state_dict": state}))
    assert torch.equal(run.parameters()["unembed.W_U"], adding()["unembed.W_U"])
    assert "Ignored: blocks.0.attn.mask, train_acc.correct." in run.origin


def test_of_two_networks_in_one_file_that_of_the_wrapper_is_read(tmp_path):
    state = {f"model.{name}": value for name, value in adding().items()}
    state |= {f"ema_model.{name}": 2 * value for name, value in adding().items()}
    run = load_run(saved(tmp_path, state))
    assert torch.equal(run.parameters()["unembed.W_U"], adding()["unembed.W_U"])
    assert "Ignored: ema_model.blocks.0.attn.W_K" in run.origin
    two = {f"{name}.{key}": v for name in ("online", "target") for key, v in adding().items()}
    with pytest.raises(CheckpointError, match="of no known part: target.embed.W_E"):
        load_run(saved(tmp_path, two))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_module_of_ones_own_takes_its_weights_from_under_prefixes(tmp_path, prefix):
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    state = {prefix + name: value + 1 for name, value in module.state_dict().items()}
    metrics = {"train_acc.correct": torch.tensor(3), "train_acc.total": torch.tensor(4)}
    path = saved(tmp_path, {"state_dict": {**state, **metrics}, "global_step": 7})
    loaded = modules_from_files(module, [path])
    assert list(loaded) == [7]
    assert torch.equal(loaded[7].state_dict()["1.weight"], module.state_dict()["1.weight"] + 1)
    path = saved(tmp_path, {**state, f"{prefix}2.weight": torch.zeros(2, 2)})
    with pytest.raises(CheckpointError, match=r"unexpected 2\.weight"):
        modules_from_files(module, [path])


# --- containers -------------------------------------------------------------------------------

SEVERAL = {
    "by step": lambda a, b: {10: a, 20: b},
    "by name": lambda a, b: {"step_10": a, "step_20": b},
    "under a key": lambda a, b: {"checkpoints": {20: b, 10: a}, "lr": 1},
    "beside steps": lambda a, b: {"checkpoints": [a, b], "steps": [10, 20]},
    "unordered": lambda a, b: {"checkpoints": [b, a], "steps": [20, 10]},
    "with a step each": lambda a, b: [{"model": a, "step": 10}, {"model": b, "step": 20}],
    "epochs": lambda a, b: {"state_dicts": [a, b], "epochs": [9, 19]},
}


@pytest.mark.parametrize("pack", SEVERAL)
@pytest.mark.parametrize("layout", ["transformer_lens", "nanda2023"])
def test_several_state_dicts_of_a_file_are_read_at_their_steps(tmp_path, pack, layout):
    turned = foreign.in_published_orientation if layout == "nanda2023" else dict
    run = load_run(saved(tmp_path, SEVERAL[pack](turned(marked(10)), turned(marked(20)))))
    assert f"({layout})" in run.origin and run.steps == (10, 20)
    assert is_of(run, 10) and is_of(run, 20)


@pytest.mark.parametrize(
    ("content", "step", "said"),
    [
        ([adding()], 0, "the weights at an unknown step, shown as 0."),
        ({"state_dicts": [adding()], "epochs": [99]}, 100, "at step 100, as its epochs say."),
        ({"models": [adding()], "steps": [99]}, 99, "at step 99, as its steps say."),
        ({"model": adding(), "step": 99}, 99, "at step 99, as its step says."),
    ],
)
def test_a_list_of_one_has_the_step_that_its_file_says_or_none(tmp_path, content, step, said):
    run = gi.load_run(saved(tmp_path, content))
    assert run.steps == (step,) and said in run.origin


@pytest.mark.parametrize(
    ("epochs", "message"),
    [([9, 9], "whose epochs are no different steps"), ([9], "the file has 2 state_dicts and 1 ep")],
)
def test_epochs_that_do_not_count_the_state_dicts_are_refused(tmp_path, epochs, message):
    content = {"state_dicts": [adding(), adding(2.0)], "epochs": epochs}
    with pytest.raises(CheckpointError, match=message):
        gi.load_run(saved(tmp_path, content))


def test_a_list_that_says_no_steps_is_read_by_place_and_said(tmp_path):
    run = load_run(saved(tmp_path, [marked(0), marked(1)]))
    assert run.steps == (0, 1) and "does not say the steps of its list" in run.origin
    with pytest.raises(CheckpointError, match="2 checkpoints and 3 steps, so their steps are not"):
        load_run(saved(tmp_path, {"checkpoints": [adding(), adding()], "steps": [1, 2, 3]}))
    with pytest.raises(CheckpointError, match="two keys of its state dicts say the same step"):
        load_run(saved(tmp_path, {"step_1": adding(), "iter_1": adding()}))


@pytest.mark.parametrize("pack", SEVERAL)
@pytest.mark.parametrize("layout", ["transformer_lens", "nanda2023"])
def test_state_dicts_of_a_file_that_share_memory_are_refused(tmp_path, pack, layout):
    one = foreign.in_published_orientation(adding()) if layout == "nanda2023" else adding()
    with pytest.raises(CheckpointError, match=r"steps 10 and 20 share memory.*value\.clone\(\)"):
        load_run(saved(tmp_path, SEVERAL[pack](one, dict(one))))


def test_a_demo_whose_last_weights_stand_alone_too_is_no_sharing(tmp_path):
    content = {"checkpoints": [marked(0), marked(1)], "checkpoint_epochs": [0, 1]}
    run = load_run(saved(tmp_path, {**content, "model": content["checkpoints"][-1]}))
    assert run.steps == (1, 2)
    content["checkpoints"] = [content["checkpoints"][0]] * 2
    with pytest.raises(CheckpointError, match="steps 1 and 2 share memory"):
        load_run(saved(tmp_path, content))


def lightning(step, **more):
    return {
        "state_dict": {f"model.{name}": value for name, value in marked(step).items()},
        "epoch": step // 100,
        "global_step": step,
        "pytorch-lightning_version": "2.4.0",
        "optimizer_states": [{"state": {}, "param_groups": []}],
        "hyper_parameters": {"lr": 0.001, "act_fn": "relu"},
        **more,
    }


def test_a_lightning_checkpoint_is_read_with_its_settings(tmp_path):
    run = load_run(saved(tmp_path, lightning(9900), "last.ckpt"))
    assert run.steps == (9900,) and is_of(run, 9900)
    assert "lr=0.001" in run.origin
    assert "Ignored: epoch, optimizer_states, pytorch-lightning_version." in run.origin
    for step in (100, 200):
        saved(tmp_path / "lightning", lightning(step), f"epoch={step // 100}-step={step}.ckpt")
    run = load_run(tmp_path / "lightning")
    assert run.steps == (100, 200) and is_of(run, 100) and "lr=0.001" in run.origin


def test_averages_of_weights_and_optimizers_beside_are_said(tmp_path):
    content = {"model": adding(), "ema": adding(2), "optimizer": {"state": {}}}
    run = load_run(saved(tmp_path, content))
    assert torch.equal(run.parameters()["unembed.W_U"], adding()["unembed.W_U"])
    assert "Averages of weights beside them were not read: ema. Ignored: optimizer." in run.origin


def hub_folder(folder, *, shards=1, config=None):
    folder.mkdir()
    names = sorted(adding())
    parts = [names[i::shards] for i in range(shards)]
    files = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    if shards == 1:
        files = ["model.safetensors"]
    for file, part in zip(files, parts, strict=True):
        state = {name: adding()[name].contiguous() for name in part}
        safetensors.torch.save_file(state, folder / file)
    if shards > 1:
        where = {name: f for f, part in zip(files, parts, strict=True) for name in part}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("shards", [1, 3])
def test_a_folder_of_the_hugging_face_hub_is_read_with_its_config(tmp_path, shards):
    config = {"model_type": "adder", "act_fn": "relu", "format_version": 3}
    run = load_run(hub_folder(tmp_path / "hub", shards=shards, config=config))
    assert "model_type='adder'" in run.origin
    for name, value in adding().items():
        assert torch.equal(run.parameters()[name], value), name


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/etc/passwd",
        "",
        "absent.safetensors",
        "a\0.safetensors",
        f"{'a' * 9999}.safetensors",
    ],
)
def test_an_index_that_names_other_files_is_refused(tmp_path, name):
    folder = hub_folder(tmp_path / "hub", shards=2)
    safetensors.torch.save_file(adding(), tmp_path / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": name}}))
    with pytest.raises(GrokinterpError, match=r"no file beside it|cannot read") as caught:
        load_run(folder)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_numpy_are_read(tmp_path, save):
    arrays = {name: value.numpy() for name, value in adding().items()}
    save(tmp_path / "weights.npz", step=np.int64(25000), **arrays)
    run = load_run(tmp_path / "weights.npz")
    assert run.steps == (25000,)
    assert torch.equal(run.parameters()["unembed.W_U"], adding()["unembed.W_U"])


def test_a_path_that_nobody_recognizes_says_what_it_holds(tmp_path):
    content = {"model": {"fc1.weight": torch.ones(2, 2), "fc1.bias": torch.ones(2)}}
    with pytest.raises(CheckpointError, match=r"names are not known \(fc1\.weight, fc1\.bias\)"):
        load_run(saved(tmp_path, content))
    with pytest.raises(CheckpointError, match="no state dict: a dictionary with the keys epoch"):
        load_run(saved(tmp_path, {"epoch": 3, "lr": 1.0}))


# --- configs of somebody's own class ------------------------------------------------------------


@dataclasses.dataclass
class Config:
    p: int = 23
    act_fn: str = "gelu"
    device: torch.device = torch.device("cpu")
    folder: Path = Path("runs/a")
    inner: object = None


class Slots:
    __slots__ = ("act_fn",)

    def __init__(self):
        self.act_fn = "gelu"


class Attributes(dict):
    """As those of many projects: keys are attributes too."""

    __getattr__ = dict.__getitem__


CONFIGS = {
    "dataclass": lambda: Config(),
    "within one": lambda: Config(act_fn="gelu", inner=Config(p=31)),
    "argparse": lambda: argparse.Namespace(p=23, act_fn="gelu"),
    "SimpleNamespace": lambda: types.SimpleNamespace(p=23, act_fn="gelu"),
    "slots": lambda: Slots(),
    "dict": lambda: Attributes(p=23, act_fn="gelu"),
    "within a dict": lambda: {"train": {"cfg": Config()}},
}


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("kind", CONFIGS)
def test_an_object_that_only_holds_fields_is_read_as_a_table_of_them(tmp_path, kind, is_zip):
    content = {"model": adding(), "config": CONFIGS[kind]()}
    torch.save(content, tmp_path / "run.pt", _use_new_zipfile_serialization=is_zip)
    run = load_run(tmp_path / "run.pt")
    assert "act_fn='gelu'" in run.origin and run.transformer.act_fn == "gelu"
    assert torch.equal(run.parameters()["unembed.W_U"], adding()["unembed.W_U"])


def test_fields_of_a_config_are_plain_values(tmp_path):
    path = saved(tmp_path, {"config": Config(inner=Config(p=31))})
    found = plain_fields(read_foreign_file(path)["config"])
    assert found == {
        **{"p": 23, "act_fn": "gelu", "folder": "runs/a"},
        **{"inner.p": 31, "inner.act_fn": "gelu", "inner.folder": "runs/a", "inner": None},
    }


def a_function(x):
    return x


class Reduced:
    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


class Sets:
    """Its state is not a table of fields, so its class has a __setstate__."""

    def __getstate__(self):
        return ["rm", "-rf"]

    def __setstate__(self, state):
        raise AssertionError


class Kind(enum.Enum):
    relu = "relu"


CALLS = {
    "a function with arguments": lambda: Reduced(a_function, (1,)),
    "a function without": lambda: Reduced(a_function, ()),
    "a class that is called": lambda: Reduced(Config, (1,)),
    "a function as a value": lambda: Config(inner=a_function),
    "a class as a value": lambda: Config(inner=Config),
    "a class as a key": lambda: {Config: 1},
    "a function in a set": lambda: {a_function},
    "a function of torch": lambda: Config(inner=torch.relu),
    "a method": lambda: Config(inner="".join),
    "arguments of __new__": lambda: Reduced(sys.intern, ("a",)),
    "__setstate__": lambda: Sets(),
    "an enum": lambda: Kind.relu,
    "a path as a builtin": lambda: Reduced(eval, ("1",)),
    "getattr": lambda: Reduced(getattr, (Config(), "p")),
    "a namespace with arguments": lambda: Reduced(types.SimpleNamespace, ({"a": 1},)),
}


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("kind", CALLS)
def test_whatever_would_call_something_is_refused(tmp_path, kind, is_zip):
    content = {"model": adding(), "config": CALLS[kind]()}
    torch.save(content, tmp_path / "run.pt", _use_new_zipfile_serialization=is_zip)
    with pytest.raises(CheckpointError, match="would run code from the file"):
        load_run(tmp_path / "run.pt")


def test_nothing_of_a_class_is_imported_or_run_where_its_fields_are_read(tmp_path, monkeypatch):
    module = types.ModuleType("somebody_elses")
    Theirs = type("Theirs", (), {"__module__": "somebody_elses"})
    monkeypatch.setattr(module, "Theirs", Theirs, raising=False)
    monkeypatch.setitem(sys.modules, "somebody_elses", module)
    theirs = Theirs()
    vars(theirs)["act_fn"] = "gelu"
    path = saved(tmp_path, {"model": adding(), "config": theirs})
    monkeypatch.setattr(Theirs, "__setstate__", pytest.fail, raising=False)
    monkeypatch.setattr(Theirs, "__new__", pytest.fail)
    assert load_run(path).transformer.act_fn == "gelu"
    monkeypatch.delitem(sys.modules, "somebody_elses")
    assert load_run(path).transformer.act_fn == "gelu"


def test_paths_in_a_config_are_text_of_any_system(tmp_path):
    path = saved(tmp_path, {"config": {"here": pathlib.PurePosixPath("/a/b/c")}})
    assert plain_fields(read_foreign_file(path)["config"]) == {"here": "/a/b/c"}


def test_runs_can_be_compared_as_the_refusal_says(tmp_path):
    paths = [saved(tmp_path, adding(1 + seed), f"model_seed{seed}.pt") for seed in (0, 1)]
    assert len(gi.compare(paths)) == 2
