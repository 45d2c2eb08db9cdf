"""Files of other people's code, written here in their layouts, read by the importers."""

import json
import os
import pickle
import re
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from grokinterp.circuits import Snapshot, take_snapshot
from grokinterp.errors import CheckpointError, ConfigError, GrokinterpError, RunFolderError
from grokinterp.models import ModelSpec
from grokinterp.models.pair_tables import pair_logits
from grokinterp.runs import stored_run
from grokinterp.runs.importers import foreign_files
from grokinterp.runs.importers.assembly import _UNKNOWN_SPLIT
from grokinterp.runs.importers.evidence import Reading, find_reading
from grokinterp.runs.importers.inferred_splits import find_split
from grokinterp.runs.importers.parameters import read_network
from grokinterp.runs.loading import load_run
from grokinterp.runs.run import Run
from grokinterp.tasks import Task, TaskSpec, draw_split
from grokinterp.trajectory import analyze_run
from tests import foreign, planted, tiny
from tests.tolerances import CHAINED64, FLOAT32

P, FREQUENCIES = 31, [3, 7, 15]


def adding_network():
    """Weights of a network that adds modulo 31, which an importer can tell."""
    return planted.pizza_parameters(P, FREQUENCIES)


def logits64(parameters, spec):
    """Logits on all pairs, in float64 as the published formulas are evaluated here."""
    order = parameters["unembed.W_U"].shape[1]
    exact = {name: value.double() for name, value in parameters.items()}
    return pair_logits(exact, spec, torch.tensor(all_pairs(order))).numpy()


def logits_of(run, step=None):
    return logits64(run.parameters(step), run.spec)


def all_pairs(p):
    return [(a, b) for a in range(p) for b in range(p)]


# --- layouts ----------------------------------------------------------------------------


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("square", [True, False])
def test_transposed_weights_give_the_logits_of_the_published_formulas(n_layers, square):
    sizes = {"d_model": 8, "n_heads": 2, "d_head": 4 if square else 3, "d_mlp": 12}
    state = foreign.transposed_state(p=5, n_layers=n_layers, **sizes)
    network = read_network(state)
    expected = foreign.published_logits(state, [(a, b, 5) for a, b in all_pairs(5)])
    found = logits64(network.parameters, network.spec)
    assert found == pytest.approx(expected[:, :5], **CHAINED64)
    assert (network.spec.n_heads, network.spec.d_head) == (2, sizes["d_head"])
    assert network.extra_output.numpy() == pytest.approx(state["unembed.W_U"][:, 5:].numpy())
    assert network.ignored == tuple(f"blocks.{i}.attn.mask" for i in range(n_layers))


def test_a_square_W_O_that_is_not_transposed_would_be_noticed():
    state = foreign.transposed_state(p=5)
    turned = {**state, "blocks.0.attn.W_O": state["blocks.0.attn.W_O"].T.contiguous()}
    tokens = [(a, b, 5) for a, b in all_pairs(5)]
    right, wrong = (foreign.published_logits(s, tokens) for s in (state, turned))
    assert np.abs(right - wrong).max() > 0.1


@pytest.mark.parametrize("rate", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("n_ctx", "n_layers"), [(2, 1), (2, 2), (3, 2)])
def test_networks_of_zhong_et_al_give_the_logits_of_the_published_formulas(rate, n_ctx, n_layers):
    state = foreign.transposed_state(p=5, n_ctx=n_ctx, n_layers=n_layers)
    kind = {"attention_rate": rate, "attention_dir": "bidirectional"}
    network = read_network(state, **kind)
    tokens = [(a, b, 5)[:n_ctx] for a, b in all_pairs(5)]
    expected = foreign.published_logits(state, tokens, is_causal=False, rate=rate)
    found = logits64(network.parameters, network.spec)
    assert found == pytest.approx(expected[:, :5], **CHAINED64)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_a_hooked_transformers_state_dict_is_read_as_it_is(prefix):
    parameters = adding_network()
    state = {prefix + name: value.double() for name, value in parameters.items()}
    state[prefix + "blocks.0.attn.mask"] = torch.ones(3, 3, dtype=torch.bool)
    state[prefix + "blocks.0.attn.IGNORE"] = torch.tensor(-torch.inf)
    content = foreign_files_state(state)
    network = read_network(content)
    assert network.parameters.keys() == parameters.keys()
    for name, value in parameters.items():
        assert torch.equal(network.parameters[name], value)
    assert set(network.ignored) == {"blocks.0.attn.mask", "blocks.0.attn.IGNORE"}


def foreign_files_state(content):
    from grokinterp.runs.importers.parameters import find_state_dict

    state = find_state_dict(content)
    assert state is not None
    return state


def test_a_bridges_state_dict_comes_back_to_the_parameters_that_made_it():
    from grokinterp.models.hooked_transformer import HookedTransformer
    from grokinterp.models.transformer_lens import to_transformer_lens

    spec = ModelSpec(n_layers=2, d_model=12, n_heads=3, d_head=5, d_mlp=7, init_seed=3)
    model = HookedTransformer(spec, **spec.vocabulary_sizes(5))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(1)
            )
    twin = to_transformer_lens(model)
    if type(twin).__name__ != "TransformerBridge":
        pytest.skip("TransformerLens 3 has no bridge")
    network = read_network(twin.state_dict(), n_heads=3)
    assert (network.spec.n_heads, network.spec.d_head) == (3, 5)
    for name, value in model.named_parameters():
        assert torch.equal(network.parameters[name], value.detach()), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks.0.ln1.w": torch.ones(12)}, "has no blocks.0.ln2.w"),
        ({"blocks.0.attn.q_norm.w": torch.ones(12)}, "q_norm.w belongs to a part that"),
        ({"pos_embed.W_pos": torch.zeros(5, 12)}, r"W_pos has shape \(5, 12\), 5 positions"),
        ({"unembed.W_U": torch.zeros(12, 40)}, "32 input tokens and 40 outputs do not belong"),
        ({"blocks.0.mlp.W_in": torch.full((12, 48), torch.nan)}, "not finite in blocks.0.mlp.W_in"),
        ({"blocks.0.mlp.W_out": torch.zeros(47, 12)}, r"W_out has shape \(47, 12\)"),
        ({"blocks.0.mlp.W_in": torch.zeros(12, 48, dtype=torch.int64)}, "is torch.int64"),
        ({"embed.W_E": torch.zeros(1, 12).expand(10**8, 12)}, "no weight of a small transformer"),
        ({"embed.W_E": torch.zeros(32)}, r"shape \(32,\), no weight of a small transformer"),
        ({"embed.W_E": torch.zeros(32, 12).to_sparse()}, "no weight of a small transformer"),
        ({"embed.W_E": torch.zeros(50257, 12)}, "50257 input tokens"),
        ({"blocks.99.mlp.W_in": torch.zeros(12, 48)}, "has 100 blocks; at most 16"),
        ({"blocks.0.attn.W_V": None}, "has no blocks.0.attn.W_V"),
    ],
)
def test_a_state_dict_of_another_network_is_refused_by_name(change, message):
    state = {k: v for k, v in {**adding_network(), **change}.items() if v is not None}
    with pytest.raises(CheckpointError, match=message):
        read_network(state)


# --- what is inferred -------------------------------------------------------------------


def multiplying_network():
    """A network that adds discrete logarithms modulo 30: it multiplies modulo 31, zeros apart."""
    adding, logarithms = (
        planted.pizza_parameters(30, [1, 7, 11]),
        [pow(3, e, 31) for e in range(30)],
    )
    W_E, W_U = torch.zeros(32, 12), torch.zeros(12, 31)
    W_E[logarithms], W_E[31] = adding["embed.W_E"][:30], adding["embed.W_E"][30]
    W_U[:, logarithms] = adding["unembed.W_U"]
    return {**adding, "embed.W_E": W_E, "unembed.W_U": W_U, "unembed.b_U": torch.zeros(31)}


@pytest.mark.parametrize(
    ("build", "operation"),
    [(adding_network, "addition"), (multiplying_network, "multiplication")],
)
def test_the_operation_is_the_one_that_the_network_is_right_on(build, operation):
    reading = find_reading([read_network(build())])
    assert reading.task.spec.operation == operation
    # A zero factor is right at most by chance, and at even order a pizza misses opposite pairs.
    assert reading.accuracy > 0.9
    assert f"The operation is {operation}: right on {reading.accuracy:.2%}" in reading.account


def test_a_network_that_does_none_of_the_operations_is_refused_with_what_was_tried():
    parameters = adding_network()
    negated, squared = (torch.tensor([f(c) % P for c in range(P)]) for f in (int.__neg__, _square))
    W_U = parameters["unembed.W_U"]
    parameters["unembed.W_U"] = W_U[:, squared]
    with pytest.raises(CheckpointError, match=r"fit no operation modulo 31 and no group \(\w+ \d"):
        find_reading([read_network(parameters)])
    # -(a + b) is none of the operations either, but a group's table with its answers renamed.
    parameters["unembed.W_U"] = W_U[:, negated]
    reading = find_reading([read_network(parameters)])
    assert reading.task.spec.operation == "table" and "table of cyclic(31)" in reading.account
    a, b = np.indices((P, P))
    assert np.array_equal(reading.task.labels.reshape(P, P), -(a + b) % P)


def _square(c):
    return c * c


def test_an_activation_that_answers_as_well_does_not_displace_the_usual_one():
    networks = [read_network(adding_network(), act_fn=act_fn) for act_fn in ("relu", "gelu")]
    assert find_reading(networks).network.spec.act_fn == "relu"
    # The order matters only where they answer alike: here ReLU answers better.
    assert find_reading(networks[::-1]).network.spec.act_fn == "relu"
    assert "chosen by how well they answer: act_fn=relu" in find_reading(networks).account


def test_an_operation_that_is_only_said_comes_with_its_accuracy():
    network = read_network(foreign.transposed_state(p=13))
    with pytest.raises(CheckpointError, match=r"Name the task: task=gi\.TaskSpec"):
        find_reading([network])
    reading = find_reading([network], said="subtraction")
    assert reading.task.spec.operation == "subtraction"
    assert f"only {reading.accuracy:.2%} of all pairs are right" in reading.account


def reading_of(losses, p):
    network = read_network(foreign.transposed_state(p=p))
    return Reading(network, Task(TaskSpec(p=p)), 1.0, losses, "")


def planted_losses(p, seed, fraction, factor):
    """Heavy-tailed losses, lower by a factor on the pairs of one split."""
    split = draw_split(Task(TaskSpec(p=p, split_seed=seed, train_fraction=fraction)))
    losses = np.exp(2 * np.random.default_rng(0).standard_normal(p * p) - 8)
    losses[split.train] /= factor
    return losses, split


@pytest.mark.parametrize("seed", [0, 1, 4])
@pytest.mark.parametrize("has_log", [True, False])
def test_a_planted_split_is_found_by_its_losses(seed, has_log):
    losses, split = planted_losses(59, seed, 0.3, 10)
    log = {"train": losses[split.train].mean(), "test": losses[split.test].mean()}
    log |= {"train_tolerance": 0.02, "test_tolerance": 0.02}
    found, how = find_split(reading_of(losses, 59), log=log if has_log else None)
    assert found.is_known and f"seed {seed}" in how
    assert np.array_equal(np.sort(found.train), np.sort(split.train))


def test_losses_that_tell_no_pairs_apart_leave_the_split_unknown():
    losses, _ = planted_losses(59, 0, 0.3, 1.0)
    found, how = find_split(reading_of(losses, 59))
    assert not found.is_known and "could be distinguished from chance" in how


def test_a_log_that_no_split_reproduces_leaves_the_split_unknown():
    losses, split = planted_losses(59, 0, 0.35, 10)  # a fraction that is not tried
    log = {"train": losses[split.train].mean(), "test": losses[split.test].mean()}
    log |= {"train_tolerance": 0.02, "test_tolerance": 0.02}
    found, how = find_split(reading_of(losses, 59), log=log)
    assert not found.is_known and "reproduces the logged losses" in how


def test_a_log_that_several_splits_reproduce_is_not_said_to_be_reproduced_by_none():
    losses = 1 + 0.01 * np.random.default_rng(0).random(59 * 59)
    first = draw_split(Task(TaskSpec(p=59, split_seed=0, train_fraction=0.3)))
    losses[first.train] += 1  # so that the first split is none of those
    log = {"train": losses.mean(), "train_tolerance": 0.05}
    found, how = find_split(reading_of(losses, 59), log=log)
    assert not found.is_known
    assert re.search(r"\d+ of the 100 published splits tried reproduce the logged losses", how)
    assert "None of" not in how
    # Where pairs are given, the sentence is no longer true and goes.
    assert _UNKNOWN_SPLIT.sub("", f"Before. {how} After.") == "Before. After."


@pytest.mark.parametrize(
    ("log", "fact"),
    [(None, "is no better than chance"), ({"train": 9.0}, "does not reproduce the")],
)
def test_one_split_that_is_tried_in_vain_is_one(log, fact):
    losses, _ = planted_losses(59, 0, 0.3, 1.0)
    log = log and {**log, "train_tolerance": 0.02}
    found, how = find_split(reading_of(losses, 59), seeds=(7,), fractions=(0.3,), log=log)
    assert not found.is_known and how.startswith(f"The one published split tried {fact}")
    assert _UNKNOWN_SPLIT.sub("", f"Before. {how} After.") == "Before. After."


# --- nanda2023 --------------------------------------------------------------------------


def nanda_content(**more):
    return {"model": foreign.in_published_orientation(adding_network()), **more}


def test_a_file_of_nanda_et_al_is_read_with_its_curves_one_step_before_its_weights(tmp_path):
    train, test = [4.0, 4.0, 3.0, 2.0], [5.0, 6.0]
    content = nanda_content(train_losses=train, test_losses=test, optimizer={"state": {}})
    torch.save(content, tmp_path / "run.pth")
    run = load_run(tmp_path / "run.pth")
    assert run.steps == (4,) and run.last_step == 4
    assert run.curves["step"].tolist() == [0, 1, 2, 3]
    assert run.curves["train_loss"].tolist() == train
    assert run.curves["test_loss"].tolist()[::2] == test
    assert run.curves["test_loss"].isna().tolist() == [False, True, False, True]
    tokens = [(a, b, P) for a, b in all_pairs(P)]
    expected = foreign.published_logits(content["model"], tokens)[:, :P]
    assert logits_of(run) == pytest.approx(expected, **CHAINED64)
    for word in ("transposed", "One output more", "right on 100.00%", "Ignored: optimizer."):
        assert word in run.origin
    assert run.folder is None and run.is_imported


def test_a_logged_loss_that_is_not_finite_is_a_divergence_and_a_gap_is_none(tmp_path):
    losses = [4.0, float("nan"), float("nan")]
    torch.save(nanda_content(train_losses=losses, test_losses=[5.0]), tmp_path / "run.pth")
    run = load_run(tmp_path / "run.pth")
    assert run.diverged_at == 1
    torch.save(nanda_content(train_losses=[], test_losses=[5.0, 5.0]), tmp_path / "run.pth")
    assert load_run(tmp_path / "run.pth").diverged_at is None


def test_a_list_of_state_dicts_stands_after_the_updates_of_its_epochs(tmp_path):
    first = foreign.transposed_state(p=P, d_model=12, n_heads=2, d_head=6, d_mlp=48)
    states = [first, nanda_content()["model"]]
    content = {"state_dicts": states, "epochs": [0, 100], "config": {"p": P, "weight_decay": 9.0}}
    torch.save(content, tmp_path / "full_run_data.pth")
    run = load_run(tmp_path / "full_run_data.pth")
    assert run.steps == (1, 101)
    assert (
        "weight_decay=9.0" in run.origin and "relied on only where this text says so" in run.origin
    )
    assert run.config.to_dict()["optimizer"] is None
    tokens = [(a, b, P) for a, b in all_pairs(P)]
    expected = foreign.published_logits(first, tokens)[:, :P]
    assert logits_of(run, 1) == pytest.approx(expected, **CHAINED64)


def test_a_folder_of_their_trainer_knows_its_split_and_reads_files_one_at_a_time(tmp_path):
    first = foreign.transposed_state(p=P, d_model=12, n_heads=2, d_head=6, d_mlp=48)
    pairs = [(a, b, P) for a, b in all_pairs(P)]
    train, test = pairs[::3], [pair for i, pair in enumerate(pairs) if i % 3]
    torch.save({"model": first, "train_data": train, "test_data": test}, tmp_path / "init.pth")
    torch.save(nanda_content(epoch=100, train_loss=1.0), tmp_path / "100.pth")
    torch.save(nanda_content(epoch=300, train_losses=[2.0] * 300), tmp_path / "final.pth")
    run = load_run(tmp_path)
    assert run.steps == (0, 101, 300) and run.folder == tmp_path
    assert run.split.is_known
    assert set(run.split.train.tolist()) == set(range(0, P * P, 3))
    assert np.array_equal(logits_of(run, 300), logits_of(run, 101))
    (tmp_path / "100.pth").write_bytes((tmp_path / "100.pth").read_bytes()[:-500])
    with pytest.raises(CheckpointError, match=r"100\.pth"):
        run.parameters(101)
    assert set(analyze_run(run).failures) == {"100.pth"}


@pytest.mark.parametrize("pairs", [[(0, 0, P), (0, 0, P)], [(0, P, P)], ["ab"], [3]])
def test_stored_pairs_that_are_none_of_the_tasks_are_refused(tmp_path, pairs):
    torch.save(nanda_content(train_data=pairs), tmp_path / "run.pth")
    if isinstance(pairs[0], tuple):
        given = load_run(tmp_path / "run.pth", train_pairs=[*range(300)])
        assert given.split.train.tolist() == [*range(300)]
        assert "Its train_data are no pairs of the task." in given.origin
    with pytest.raises(CheckpointError, match="its train_data are not different pairs"):
        load_run(tmp_path / "run.pth")


@pytest.mark.parametrize("epochs", [None, [0], [5, 5], [-1, 3], [0.5, 1], [float("nan"), 1.0]])
def test_state_dicts_whose_epochs_are_no_steps_are_refused(tmp_path, epochs):
    states = [nanda_content()["model"]] * 2
    torch.save({"state_dicts": states, "epochs": epochs}, tmp_path / "run.pth")
    with pytest.raises(CheckpointError, match="so their steps are not known"):
        load_run(tmp_path / "run.pth")


def test_a_test_log_that_cannot_be_put_at_steps_is_passed_over_and_listed(tmp_path):
    torch.save(nanda_content(train_losses=[2.0] * 7, test_losses=[3.0] * 2), tmp_path / "run.pth")
    run = load_run(tmp_path / "run.pth")
    assert run.curves["test_loss"].isna().all() and "Ignored: " in run.origin
    assert "test_losses" in run.origin


# --- zhong2023 --------------------------------------------------------------------------


def zhong_files(folder, **changes):
    state = foreign.transposed_state(p=11, n_ctx=2)
    config = {"funcs": "lambda x: (x[0]+x[1])%11", "C": 11, "act_fn": "ReLU", "epoch": 200}
    config |= {"attn_coeff": 0.25, "attention_dir": "casual", "diff_vocab": 0, "eqn_sign": 0}
    torch.save(state, folder / "model_abc.pt")
    (folder / "config_abc.json").write_text(json.dumps({**config, **changes}))
    return state


def test_a_model_of_zhong_et_al_has_the_attention_rate_of_its_config(tmp_path):
    state = zhong_files(tmp_path)
    run = load_run(tmp_path / "model_abc.pt")
    expected = foreign.published_logits(state, all_pairs(11), is_causal=False, rate=0.25)
    assert logits_of(run) == pytest.approx(expected, **CHAINED64)
    assert run.steps == (200,) and run.spec.attention_rate == 0.25
    # Random weights add nothing: the operation is what the config says, and that is said.
    assert "said to be addition" in run.origin and "attention_dir='casual'" in run.origin
    assert not run.split.is_known


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"diff_vocab": True}, "11 tokens of operands are no two embeddings of the same length"),
        ({"attn_coeff": 1.5}, "attn_coeff=1.5; expected a number in"),
        ({"attn_coeff": None}, "attn_coeff=None; expected a number in"),
        ({"act_fn": "Tanh"}, "act_fn='tanh'; only relu and gelu"),
        ({"funcs": "__import__('os').abort()"}, "the answers fit no operation modulo 11"),
    ],
)
def test_a_config_that_no_transformer_here_can_follow_is_refused(tmp_path, changes, message):
    zhong_files(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_run(tmp_path / "model_abc.pt")


@pytest.mark.parametrize("epoch", [200, None])
def test_a_config_without_an_epoch_is_not_said_to_have_one(tmp_path, epoch):
    zhong_files(tmp_path, epoch=epoch)
    run = load_run(tmp_path / "model_abc.pt")
    assert run.steps == (epoch or 0,)
    assert ("as its config says" in run.origin) == (epoch is not None)
    assert ("an unknown step, shown as 0" in run.origin) == (epoch is None)


def test_what_is_given_of_a_model_of_zhong_et_al_counts_or_is_refused(tmp_path):
    zhong_files(tmp_path)
    path = tmp_path / "model_abc.pt"
    given = load_run(path, model=ModelSpec(input_format="a_b", attention_rate=0.5))
    assert given.spec.attention_rate == 0.5
    assert "Its config also says: attention rate 0.25, activation relu." in given.origin
    assert "Given in its place: attention_rate=0.5." in given.origin
    assert "in its place" not in load_run(path).origin
    with pytest.raises(
        CheckpointError, match=r"model.normalization='LNPre' is given, but .*'none'"
    ):
        load_run(path, model=ModelSpec(input_format="a_b", normalization="LNPre"))


def test_a_given_rate_under_which_the_network_answers_worse_is_doubted(tmp_path):
    path = foreign.data_file("model_l8k1hzciux.pt")
    given = {rate: ModelSpec(input_format="a_b", attention_rate=rate) for rate in (1.0, 0.5)}
    assert not load_run(path, model=given[1.0]).doubts
    (doubt,) = load_run(path, model=given[0.5]).doubts
    assert "given that the network has attention_rate=0.5, but read with attention_rate=1" in doubt
    assert "right on 100.0% of the pairs instead of 80.4%" in doubt
    # A network that answers nothing answers no better as its config says.
    zhong_files(tmp_path)
    doubts = load_run(tmp_path / "model_abc.pt", model=given[0.5]).doubts
    assert not any("given value" in doubt for doubt in doubts)


def test_without_its_config_a_two_token_network_has_no_importer(tmp_path):
    zhong_files(tmp_path)
    (tmp_path / "config_abc.json").unlink()
    with pytest.raises(CheckpointError, match="which alone has the attention rate"):
        load_run(tmp_path / "model_abc.pt")


# --- grokking_demo ----------------------------------------------------------------------


def demo_content(**more):
    first = {name: 0.9 * value for name, value in adding_network().items()}
    content = {"model": adding_network(), "checkpoints": [first, adding_network()]}
    content |= {"checkpoint_epochs": [0, 2], "train_losses": [3.0, 2.0, 1.0]}
    content |= {"test_losses": [30.0, 20.0, 10.0]}
    content |= {
        "train_indices": torch.arange(0, P * P, 2),
        "test_indices": torch.arange(1, P * P, 2),
    }
    return content | more


def save_with_a_foreign_config(content, path, module="transformer_lens.HookedTransformerConfig"):
    """Pickle a config of a class that exists only while it is written."""
    config_class = type("HookedTransformerConfig", (), {"__module__": module})
    config = config_class()
    config.__dict__ |= {"n_ctx": 3, "act_fn": "relu", "seed": 999, "attn_scale": np.sqrt(32)}
    config.__dict__ |= {"device": torch.device("cpu"), "dtype": torch.float32, "extra": [1, 2]}
    parts = module.split(".")
    names = [".".join(parts[: i + 1]) for i in range(len(parts))]
    before = {name: sys.modules.get(name) for name in names}
    try:
        for name in names:
            sys.modules[name] = types.ModuleType(name)
        sys.modules[module].HookedTransformerConfig = config_class
        torch.save({**content, "config": config}, path)
    finally:
        for name, value in before.items():
            sys.modules.pop(name)
            if value is not None:
                sys.modules[name] = value


def test_given_pairs_take_the_place_of_stored_rows_that_are_none(tmp_path):
    torch.save(demo_content(train_indices=torch.tensor([0, 0])), tmp_path / "grok.pth")
    with pytest.raises(CheckpointError, match="its train_indices are not different rows"):
        load_run(tmp_path / "grok.pth")
    given = load_run(tmp_path / "grok.pth", train_pairs=[*range(300)])
    assert given.split.train.tolist() == [*range(300)]
    assert "Its train_indices are no rows of the task." in given.origin


def test_the_demos_dictionary_is_read_with_its_config_and_without_transformer_lens(tmp_path):
    path = tmp_path / "grokking_demo.pth"
    save_with_a_foreign_config(demo_content(), path)
    run = load_run(path)
    assert run.steps == (1, 3)
    assert run.curves["step"].tolist() == [0, 1, 2, 3]
    assert run.curves["train_loss"].tolist()[:3] == [3.0, 2.0, 1.0]
    assert run.curves["test_loss"].tolist()[1:] == [30.0, 20.0, 10.0]
    assert run.diverged_at is None
    assert np.array_equal(run.split.train, np.arange(0, P * P, 2))
    assert torch.equal(
        run.parameters(3)["blocks.0.attn.W_O"], adding_network()["blocks.0.attn.W_O"]
    )
    assert "seed=999" in run.origin and "attn_scale=5.65" in run.origin
    script = f"import grokinterp as gi; gi.analyze_run(gi.load_run({str(path)!r}), deep=False)"
    code = f"{script}\nimport sys; sys.exit('transformer_lens' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_checkpoints_without_their_epochs_are_refused(tmp_path):
    torch.save(demo_content(checkpoint_epochs=[0]), tmp_path / "demo.pth")
    with pytest.raises(CheckpointError, match="2 checkpoints and 1 checkpoint_epochs"):
        load_run(tmp_path / "demo.pth")


# --- transformer_lens and state_dicts ---------------------------------------------------


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_single_state_dict_is_read_bare_or_wrapped(tmp_path, wrapper, suffix):
    import safetensors.torch

    path = tmp_path / f"net_step_1200{suffix}"
    if suffix == ".safetensors":
        if wrapper:
            return
        safetensors.torch.save_file(adding_network(), path)
    else:
        torch.save({wrapper: adding_network(), "lr": 1} if wrapper else adding_network(), path)
    run = load_run(path)
    assert run.steps == (1200,) and not run.split.is_known
    assert ("Ignored: lr." in run.origin) == bool(wrapper)
    assert np.array_equal(logits_of(run), logits64(adding_network(), run.spec))


@pytest.mark.parametrize("n_heads", [2, 4, 8])
def test_a_bridges_file_is_read_with_the_fewest_heads_that_answer_well(tmp_path, n_heads):
    from grokinterp.models.transformer_lens import to_transformer_lens
    from grokinterp.training import train

    model = ModelSpec(d_model=32, n_heads=n_heads, d_head=32 // n_heads, d_mlp=64)
    run = train(tiny.config(model=model), tmp_path / "run", progress=False)
    twin = to_transformer_lens(run.parameters(), run.spec)
    if type(twin).__name__ != "TransformerBridge":
        pytest.skip("TransformerLens 3 has no bridge")
    torch.save(twin.state_dict(), tmp_path / "bridge.pt")
    imported = load_run(tmp_path / "bridge.pt")
    assert f"chosen by how well they answer: n_heads={n_heads}, d_head=" in imported.origin
    with torch.no_grad():
        expected = twin(torch.tensor(run.task.tokens))[:, -1]
    pairs = torch.tensor(run.task.pairs)
    found = pair_logits(imported.parameters(), imported.spec, pairs).numpy()
    # Logits of up to 30 are sums that cancel: the rounding is that of the largest.
    assert found == pytest.approx(
        expected.numpy(), rel=2e-5, abs=2e-5 * float(expected.abs().max())
    )


def test_a_number_in_the_name_of_a_single_file_is_a_step_only_after_a_word_that_says_so(tmp_path):
    for name, step in (("model_p113", 0), ("ckpt-40", 40), ("Epoch7", 7), ("25", 25), ("v2", 0)):
        torch.save(adding_network(), tmp_path / f"{name}.pt")
        assert load_run(tmp_path / f"{name}.pt").steps == (step,)


def test_two_files_of_one_step_are_not_guessed_between(tmp_path):
    for name in ("a_10", "b_10"):
        torch.save(adding_network(), tmp_path / f"{name}.pt")
    with pytest.raises(CheckpointError, match="two of its files end in the same step"):
        load_run(tmp_path)


def test_a_folder_of_state_dicts_has_its_steps_in_its_names(tmp_path):
    first = {name: 0.9 * value for name, value in adding_network().items()}
    torch.save(first, tmp_path / "model_step_0.pt")
    torch.save({"state_dict": adding_network()}, tmp_path / "model_step_00250.pt")
    torch.save([1], tmp_path / "notes.pt")
    run = load_run(tmp_path)
    assert run.steps == (0, 250)
    assert torch.equal(run.parameters(0)["embed.W_E"], first["embed.W_E"])
    assert run.checksum(0) != run.checksum(250)
    assert "Ignored: notes.pt." in run.origin
    smaller = planted.pizza_parameters(P, [3, 7])
    torch.save(smaller, tmp_path / "model_step_7.pt")
    with pytest.raises(CheckpointError, match=r"model_step_7\.pt: it has d_model=8, not 12"):
        load_run(tmp_path).parameters(7)


def test_a_run_of_state_dicts_measures_what_the_original_run_does(tiny_run):
    states = {step: tiny_run.parameters(step) for step in tiny_run.steps[-2:]}
    spec = TaskSpec(p=13)
    run = Run.from_state_dicts(states, task=spec, train_pairs=tiny_run.split.train)
    assert run.steps == tiny_run.steps[-2:] and run.split.is_known
    theirs = analyze_run(tiny_run).trajectory.set_index("step").loc[list(run.steps)]
    ours = analyze_run(run).trajectory.set_index("step")
    assert ours.columns.tolist() == theirs.columns.tolist()
    assert ours.to_numpy() == pytest.approx(theirs.to_numpy(), nan_ok=True, **FLOAT32)
    pairs = torch.tensor(tiny_run.task.pairs[tiny_run.split.train])
    again = Run.from_state_dicts(states, task=spec, train_pairs=pairs)
    assert np.array_equal(again.split.train, tiny_run.split.train)


def test_state_dicts_that_were_not_cloned_are_refused(tiny_run):
    model = tiny_run.model()
    with pytest.raises(CheckpointError, match=r"steps 0 and 40 share memory.* value\.clone\(\)"):
        Run.from_state_dicts({0: model.state_dict(), 40: model.state_dict()}, task=TaskSpec(p=13))
    cloned = {
        step: {name: value.clone() for name, value in model.state_dict().items()}
        for step in (0, 40)
    }
    assert Run.from_state_dicts(cloned, task=TaskSpec(p=13)).steps == (0, 40)


def test_the_steps_that_are_found_do_not_depend_on_which_checkpoints_are_measured(tiny_run):
    """And they are those of the recorded curves, to the spacing of the checkpoints."""
    states = {step: tiny_run.parameters(step) for step in tiny_run.steps}
    task, rows = TaskSpec(p=13), tiny_run.split.train
    run = Run.from_state_dicts(states, task=task, train_pairs=rows)
    every, few = analyze_run(run), analyze_run(run, every=4, measures=[largest_logit])
    own = analyze_run(tiny_run)
    for name in ("memorization_step", "grokking_step", "outcome_kind"):
        assert getattr(every.milestones, name) == getattr(few.milestones, name)
    found, recorded = every.milestones.memorization_step, own.milestones.memorization_step
    assert recorded <= found <= recorded + 40
    assert every.phases.memorization == few.phases.memorization


def largest_logit(snapshot, key_frequencies):
    return snapshot.logits.max()


def test_a_split_or_a_mask_in_the_place_of_rows_is_answered_with_the_rows():
    states, task = {0: planted.pizza_parameters(13, [2])}, TaskSpec(p=13)
    split = draw_split(Task(task))
    mask = np.isin(np.arange(169), split.train)
    for wrong, message in (
        (split, r"a split\. Pass its rows, split\.train"),
        (mask, "truth values"),
    ):
        with pytest.raises(ConfigError, match=message):
            Run.from_state_dicts(states, task=task, train_pairs=wrong)
    rows = Run.from_state_dicts(states, task=task, train_pairs=mask.nonzero()[0]).split.train
    assert sorted(rows) == sorted(split.train)


@pytest.mark.parametrize("train_pairs", [[0, 0], [169], [-1], [[0, 13]], [0.5], []])
def test_train_pairs_that_are_none_of_the_tasks_are_refused(train_pairs):
    with pytest.raises(ConfigError, match="are not different pairs of the task"):
        Run.from_state_dicts(
            {0: planted.pizza_parameters(13, [2])}, task=TaskSpec(p=13), train_pairs=train_pairs
        )


def test_state_dicts_of_another_size_than_the_task_are_refused():
    with pytest.raises(CheckpointError, match="step 5: the network has 31 answers, the task 13"):
        Run.from_state_dicts({5: adding_network()}, task=TaskSpec(p=13))
    with pytest.raises(CheckpointError, match="Pass {step: state_dict}"):
        Run.from_state_dicts({}, task=TaskSpec(p=13))


def test_a_run_of_state_dicts_follows_the_model_it_is_given():
    spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=12, input_format="a_b")
    state = foreign.transposed_state(p=7, n_ctx=2)
    import dataclasses

    for rate in (1.0, 0.5):
        model = dataclasses.replace(spec, attention_rate=rate, attention_dir="bidirectional")
        run = Run.from_state_dicts({3: state}, task=TaskSpec(p=7), model=model)
        expected = foreign.published_logits(state, all_pairs(7), is_causal=False, rate=rate)
        assert logits_of(run) == pytest.approx(expected, **CHAINED64)


# --- an unknown split -------------------------------------------------------------------


@pytest.fixture(scope="module")
def analysis_without_split():
    run = Run.from_state_dicts({40: adding_network()}, task=TaskSpec(p=P))
    return analyze_run(run)


def test_what_needs_the_split_is_absent_with_its_reason(analysis_without_split):
    analysis = analysis_without_split
    columns = [*analysis.trajectory, *analysis.by_frequency, *analysis.ablations]
    assert not [c for c in columns if c.endswith(("_train", "_test")) or "train_" in c]
    assert not [c for c in analysis.trajectory if c.startswith("test_")]
    for column in ("loss_all", "restricted_loss_all", "excluded_loss_all", "gini_W_E"):
        assert np.isfinite(analysis.trajectory[column]).all()
    assert analysis.key_frequencies.frequencies == tuple(FREQUENCIES)
    reasons = analysis.reasons
    assert "not known which pairs" in reasons["split"]
    assert reasons["final.train_loss"] == reasons["final.excluded_loss_train"] == reasons["split"]
    assert analysis.milestones.outcome_kind is None and reasons["outcome_kind"]
    assert analysis.summary["config"]["task"]["train_fraction"] is None
    json.dumps(analysis.summary, allow_nan=False)


def test_averages_over_an_unknown_side_are_no_numbers():
    run = Run.from_state_dicts({40: adding_network()}, task=TaskSpec(p=P))
    snapshot = take_snapshot(run)
    for side in ("train", "test"):
        assert not snapshot.pair_mask(side).any()
    assert snapshot.pair_mask("all").all()


def test_the_report_says_what_is_not_known(analysis_without_split):
    from grokinterp.report import render_report

    page = render_report(analysis_without_split)
    assert "from pairs that are not known" in page
    assert "The network was trained elsewhere" in page
    assert "30% of the pairs" not in page


# --- safety and refusals ----------------------------------------------------------------


class Trap:
    """Runs a command when it is unpickled the careless way."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("write", [torch.save, lambda value, f: f.write_bytes(pickle.dumps(value))])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, write):
    write({"model": adding_network(), "config": Trap(tmp_path / "sprung")}, tmp_path / "run.pth")
    with pytest.raises(CheckpointError, match="would run code from the file. Save the weights"):
        load_run(tmp_path / "run.pth")
    assert not (tmp_path / "sprung").exists()


def test_a_pickled_model_is_refused_with_what_to_do(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(CheckpointError, match=r"class torch\.nn\.modules\.linear\.Linear"):
        load_run(tmp_path / "whole.pt")


@pytest.mark.parametrize("name", ["run.pth", "run.safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"hello"])
def test_a_damaged_file_is_named_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GrokinterpError, match=name) as caught:
        load_run(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_file_of_absurd_size_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(foreign_files, "MAX_BYTES", 100)
    torch.save(adding_network(), tmp_path / "big.pt")
    with pytest.raises(CheckpointError, match="Split it into one state dict per file"):
        load_run(tmp_path / "big.pt")


def test_a_path_that_nobody_recognizes_lists_who_was_asked(tmp_path):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError) as caught:
        load_run(tmp_path / "other.pt")
    message = str(caught.value)
    assert message.startswith(f"no importer recognizes {tmp_path / 'other.pt'}. Tried grokinterp (")
    for name in ("zhong2023", "grokking_demo", "nanda2023", "transformer_lens", "state_dicts"):
        assert f"{name} (" in message
    assert message.endswith(
        "Pass --format NAME, for a network of your own --module package.module:build, or see "
        "docs/importing.md."
    )


def test_a_named_format_is_taken_at_its_word(tmp_path):
    torch.save(adding_network(), tmp_path / "net.pt")
    assert load_run(tmp_path / "net.pt", "transformer_lens").steps == (0,)
    with pytest.raises(CheckpointError, match=r"is not of the format nanda2023 \(its weights are"):
        load_run(tmp_path / "net.pt", "nanda2023")
    with pytest.raises(ConfigError, match="format='nanda' is not known. Choose one of grokinterp"):
        load_run(tmp_path / "net.pt", "nanda")
    with pytest.raises(RunFolderError, match="does not exist"):
        load_run(tmp_path / "absent.pt")


def test_a_folder_with_a_foreign_config_json_is_not_taken_for_ours(tmp_path):
    torch.save(adding_network(), tmp_path / "step_3.pt")
    (tmp_path / "config.json").write_text('{"lr": 1}')
    assert load_run(tmp_path).steps == (3,)
    (tmp_path / "step_3.pt").unlink()
    with pytest.raises(RunFolderError, match="no format_version"):
        load_run(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(RunFolderError, match="is empty. Train a run into it first"):
        load_run(tmp_path)


def test_our_own_folders_load_as_before(tiny_run):
    for loaded in (load_run(tiny_run.folder), stored_run.load_run(tiny_run.folder)):
        assert loaded.steps == tiny_run.steps and not loaded.is_imported
    assert load_run(str(tiny_run.folder), "grokinterp").config == tiny_run.config


def test_the_command_explains_a_single_file_beside_where_it_is_called(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    torch.save(nanda_content(), tmp_path / "elsewhere" / "sums.pth")
    command = [sys.executable, "-m", "grokinterp.analyze", "elsewhere/sums.pth", "--quiet"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "origin            imported from sums.pth (nanda2023)" in result.stdout
    written = {file.name for file in (tmp_path / "sums_analysis").iterdir()}
    assert {"report.html", "summary.json", "measures.csv", "ablations.csv"} <= written
    assert [file.name for file in (tmp_path / "elsewhere").iterdir()] == ["sums.pth"]
    result = subprocess.run(
        [*command, "--format", "zhong2023"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "not of the format zhong2023 (not named model_<runid>.pt)" in result.stderr


# --- the published files ----------------------------------------------------------------


@pytest.fixture(scope="module")
def low_precision():
    return load_run(foreign.data_file("nanda_low_precision.pth"))


def test_the_published_low_precision_network_has_its_published_numbers(low_precision):
    """Evaluated once with the published code; four digits were kept."""
    analysis = analyze_run(low_precision, deep=False)
    final = analysis.final
    assert analysis.key_frequencies.frequencies == (3, 6, 23, 39)
    assert not analysis.key_frequencies.is_dense
    # The published figures with half of their last digit.
    assert final["sum_squared_weights"] == pytest.approx(1136, abs=0.5)
    assert final["gini_W_E"] == pytest.approx(0.584, abs=5e-4)
    assert final["gini_W_L"] == pytest.approx(0.604, abs=5e-4)
    assert final["restricted_loss_all"] == pytest.approx(3.643e-3, abs=5e-7)
    assert final["loss_all"] == pytest.approx(2.888e-3, abs=5e-7)
    assert final["fraction_single_frequency_neurons"] == 405 / 512


def test_its_losses_on_the_published_seed_are_the_published_ones(low_precision):
    split = draw_split(Task(TaskSpec(split_seed=0)))
    snapshot = Snapshot.from_parameters(low_precision.parameters(), split, low_precision.spec)
    for side, value in (("train", 2.042e-3), ("test", 3.250e-3)):
        loss = float(snapshot.losses[snapshot.pair_mask(side)].mean())
        assert loss == pytest.approx(value, abs=5e-7)


def test_its_own_log_says_that_it_was_trained_on_another_seed(low_precision):
    """The logged losses rise by 2.5 % a step at the end: the next one is 3.0456e-4."""
    curves, snapshot = low_precision.curves, take_snapshot(low_precision)
    before, last = curves["train_loss"].iloc[-2:]
    assert low_precision.config.task.split_seed == 1
    train = float(snapshot.losses[snapshot.pair_mask("train")].mean())
    assert train == pytest.approx(last * last / before, rel=1e-3)
    assert (low_precision.last_step, len(curves)) == (50_000, 50_000)


@pytest.mark.parametrize(
    ("runid", "rate", "irrelevance", "symmetricity"),
    [("p99zdpze5l", 0.0, 0.17, 0.994), ("l8k1hzciux", 1.0, 0.85, 0.346)],
)
def test_the_published_pizza_and_clock_have_their_published_measures(
    runid, rate, irrelevance, symmetricity
):
    from grokinterp.circuits.gradients import gradient_symmetricity
    from grokinterp.measures.symmetry import distance_irrelevance

    foreign.data_file(f"config_{runid}.json")
    run = load_run(foreign.data_file(f"model_{runid}.pt"))
    assert run.spec.attention_rate == rate
    snapshot = take_snapshot(run)
    assert snapshot.accuracy_all == 1.0
    from grokinterp.circuits import find_key_frequencies

    row = distance_irrelevance.values(snapshot, find_key_frequencies(snapshot))
    assert row["distance_irrelevance"] == pytest.approx(irrelevance, abs=0.01)
    found = gradient_symmetricity(snapshot, n_triples=None)
    assert found.mean == pytest.approx(symmetricity, abs=0.002)


def test_the_clock_fails_under_the_pizzas_attention_rate():
    state = torch.load(foreign.data_file("model_l8k1hzciux.pt"), map_location="cpu")
    other = read_network(state, attention_rate=0.0, attention_dir="bidirectional")
    with pytest.raises(CheckpointError, match=r"fit no operation .* \(addition 58.3%"):
        find_reading([other])
