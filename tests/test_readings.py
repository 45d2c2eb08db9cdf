"""Which reading of foreign weights is right: found by its answers, or said to be in doubt."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import grokinterp as gi
from grokinterp.errors import CheckpointError
from grokinterp.groups import named_group, nearest_group_table, table_as_group
from grokinterp.models import ModelSpec
from grokinterp.models.initialization import initial_parameters
from grokinterp.models.pair_tables import pair_logits
from grokinterp.runs.importers.answers import Answers
from grokinterp.runs.importers.evidence import find_reading
from grokinterp.runs.importers.hints import Hints
from grokinterp.runs.importers.parameters import read_network
from grokinterp.runs.importers.readings import choices_of, open_readings
from grokinterp.runs.importers.scored_readings import is_chance, score
from grokinterp.runs.importers.stored_config import known_fields
from tests.foreign import in_published_orientation
from tests.solved import state_of, table_of

pytestmark = pytest.mark.long  # Every reading of a file is tried, in each test.

P = 7
SUMS = table_of(lambda a, b: a + b, P)


def read(state, **known):
    return find_reading(open_readings(state, known))


def relabeled(products, seed=0):
    """The same group with its elements in another order."""
    order = np.random.default_rng(seed).permutation(len(products))
    table = np.empty_like(products)
    table[np.ix_(order, order)] = order[products]
    return table


# --- readings ---------------------------------------------------------------------------


OPEN = [
    {},
    {"act_fn": "gelu"},
    {"act_fn": "silu"},
    {"act_fn": "tanh"},
    {"act_fn": "square"},
    {"normalization": "LNPre", "act_fn": "gelu"},
    {"normalization": "RMSPre"},
    {"normalization": "LN"},
    {"normalization": "RMS", "norm_position": "after"},
    {"input_format": "equals_a_b"},
    {"input_format": "equals_a_b", "arrangement": "a o b"},
    {"input_format": "a_b"},
    {"input_format": "a_op_b_equals"},
    {"input_format": "a_op_b_equals", "arrangement": "a = b o"},
    {"use_attn_scale": False},
    {"n_layers": 2, "attention_dir": "bidirectional"},
    {"n_layers": 2, "gated_mlp": True, "act_fn": "silu"},
    {"attn_only": True, "n_layers": 2},
]


@pytest.mark.parametrize(
    "kind", OPEN, ids=lambda kind: " ".join(map(str, kind.values())) or "usual"
)
def test_what_weights_do_not_show_is_found_by_how_the_network_answers(kind):
    # Attention has to tell its scale, and embeddings a norm.
    state = state_of(SUMS, size=2.0, **kind)
    reading = read(state)
    assert reading.accuracy == 1.0 and reading.task.spec.operation == "addition"
    wanted = {**kind, "input_format": kind.get("arrangement", kind.get("input_format"))}
    chosen = choices_of(reading.network)
    for name in ("act_fn", "normalization", "input_format", "use_attn_scale", "attention_dir"):
        if wanted.get(name) is not None:
            assert chosen[name] == wanted[name], name
    assert "the next best reading (" in reading.account


def test_a_reading_of_the_last_checkpoint_reads_the_others_in_the_same_way():
    kind = {"use_attn_scale": False, "arrangement": "a o b", "input_format": "equals_a_b"}
    state = state_of(SUMS, size=2.0, **kind)
    half = {name: value / 2 for name, value in state.items()}
    run = gi.Run.from_state_dicts({0: half, 5: state}, task=gi.TaskSpec(p=P))
    assert gi.take_snapshot(run, 5).accuracy_all == 1.0
    first, last = run.parameters(0), run.parameters(5)
    assert all(torch.equal(first[name], last[name] / 2) for name in last)


def test_readings_that_answer_alike_are_said_to_be_close():
    tanh, gelu = (state_of(SUMS, act_fn=act_fn, size=2.0) for act_fn in ("tanh", "gelu"))
    assert "Too close" not in read(tanh).account
    assert "Too close to tell apart by that: act_fn=gelu_new." in read(gelu).account
    tanh["blocks.0.mlp.W_out"] = 1e-3 * tanh["blocks.0.mlp.W_out"]
    close = find_reading(open_readings(tanh), hints=Hints(task={"operation": "addition"}))
    assert "Too close to tell apart by that: act_fn=" in close.account


def test_of_readings_that_are_all_right_the_steadiest_is_taken():
    """The square of what a ReLU gives answers as well, and more loudly."""
    from grokinterp.runs.importers.fits import Fit, best_first

    relu, square = Fit(1.0, 3e-7, 3e-7, 13.0), Fit(1.0, 1e-12, 1e-12, 3.0)
    assert best_first([square, relu]) == [1, 0]
    # Steady margins of a network that is right and not sure are those of a wrong norm.
    unsure = Fit(1.0, 1.36, 1.36, 400.0)
    assert best_first([unsure, relu]) == [1, 0] and best_first([unsure, square, relu])[0] == 2
    nearly, worse = Fit(0.94, 0.037, 0.037, 3.0), Fit(0.94, 0.041, 0.041, 3.5)
    assert best_first([worse, nearly]) == [1, 0]
    # Half a per cent is no reason to leave what is usual.
    usual, unusual = Fit(0.9, 0.2, 0.2, 2.0), Fit(0.9, 0.199, 0.199, 2.0, price=1.02)
    assert best_first([unusual, usual]) == [1, 0]


# --- stored configs ---------------------------------------------------------------------


def test_a_config_beside_a_plain_state_dict_decides(tmp_path):
    state = state_of(SUMS, act_fn="tanh", size=2.0)
    config = {"act_fn": "tanh", "n_layers": 1, "normalization_type": None, "lr": 1e-3}
    torch.save({"model": state, "config": config}, tmp_path / "net.pt")
    run = gi.load_run(tmp_path / "net.pt")
    assert run.spec.act_fn == "tanh" and not run.doubts
    assert "Ignored" not in run.origin and "lr=0.001" in run.origin
    torch.save({"model": state, "config": {**config, "act_fn": "relu"}}, tmp_path / "net.pt")
    said = "act_fn=relu, but read with act_fn=tanh it is right on 100.0%"
    with pytest.raises(CheckpointError, match=said):
        gi.load_run(tmp_path / "net.pt")
    run = gi.load_run(tmp_path / "net.pt", task=gi.TaskSpec(p=P))
    assert run.spec.act_fn == "relu" and said in run.doubts[0]
    assert run.origin.startswith(run.doubts[0])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"positional_embedding_type": "rotary"}, "positional_embedding_type='rotary'"),
        ({"parallel_attn_mlp": True}, "parallel_attn_mlp=True"),
        ({"act_fn": "solu_ln"}, "act_fn='solu_ln', an activation that no network here has"),
        ({"normalization_type": "BN"}, "normalization_type='BN'"),
        ({"normalization_type": "LN"}, "but the weights have no norm"),
        ({"attention_dir": "sideways"}, "attention_dir='sideways'"),
        ({"n_layers": 3}, "n_layers=3 is stated, but the weights have n_layers=1"),
        ({"d_head": 8, "attn_scale": 3.0}, "attn_scale=3.0, not the square root of d_head=8"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused_with_its_field_and_value(
    tmp_path, config, message
):
    torch.save({"model": state_of(SUMS), "config": config}, tmp_path / "net.pt")
    with pytest.raises(CheckpointError) as error:
        gi.load_run(tmp_path / "net.pt")
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("rate", [5.0, -1.0, float("nan")])
def test_a_stated_value_that_no_network_has_is_refused(rate):
    with pytest.raises(CheckpointError, match="no network has attention_rate="):
        open_readings(state_of(SUMS), {"attention_rate": rate})
    assert open_readings(state_of(SUMS), {"attention_rate": 0.5})[0].spec.attention_rate == 0.5


def test_fields_go_by_many_names_and_what_says_nothing_decides_nothing():
    theirs = {"hidden_act": "gelu_new", "num_hidden_layers": 2, "hidden_size": 16, "eps": 1e-8}
    assert known_fields(theirs) == {"act_fn": "gelu_new", "n_layers": 2, "d_model": 16}
    assert known_fields({"p": 23, "act": "gelu"}) == {"act_fn": "gelu"}
    assert known_fields({"p": 23, "action": "gelu"}) == {}
    lens = {"act_fn": "relu", "normalization_type": "LNPre", "eps": 1e-6, "d_mlp": -1}
    lens |= {"use_attn_scale": False, "attention_dir": "bidirectional", "use_attn_result": True}
    assert known_fields({**lens, "positional_embedding_type": "standard", "final_rms": False}) == {
        "act_fn": "relu",
        "normalization": "LNPre",
        "norm_epsilon": 1e-6,
        "attention_dir": "bidirectional",
        "use_attn_scale": False,
    }


@pytest.mark.parametrize(
    ("name", "act_fn"),
    [
        ("torch.nn.ReLU()", "relu"),
        ("GELU(approximate='none')", "gelu"),
        ("GELU(approximate='tanh')", "gelu_new"),
        ("torch.nn.functional.silu", "silu"),
    ],
)
def test_activations_are_known_as_torch_prints_them(name, act_fn):
    assert known_fields({"activation": name}) == {"act_fn": act_fn}
    with pytest.raises(CheckpointError, match="an activation that no network here has"):
        known_fields({"activation": f"Leaky{name}"})


@pytest.mark.parametrize(
    ("field", "value", "harmless"),
    [
        ("position_embedding_type", "rotary", "absolute"),
        ("rope_theta", 10_000.0, None),
        ("rotary_pct", 0.25, 0.0),
        ("use_parallel_residual", True, False),
        ("alibi", True, False),
    ],
)
def test_what_cannot_be_built_is_refused_under_names_of_hugging_face_too(field, value, harmless):
    with pytest.raises(CheckpointError, match=f"the stored config has {field}="):
        known_fields({field: value})
    assert known_fields({field: harmless}) == {}
    # TransformerLens writes numbers of rotary positions beside any kind.
    lens = {"positional_embedding_type": "standard", "rotary_pct": 0.25}
    assert known_fields(lens) == {}


@pytest.mark.parametrize("no", [False, 0, "False", "no"])
def test_switches_may_be_words(no):
    assert known_fields({"attn_only": no, "use_ln": no}) == {
        "attn_only": False,
        "normalization": "none",
    }
    assert known_fields({"attn_only": "True", "use_ln": 1}) == {
        "attn_only": True,
        "normalization": "LN",
    }
    assert known_fields({"scale_attn_weights": no}) == {"use_attn_scale": False}


# --- operations -------------------------------------------------------------------------


def test_an_operation_is_only_claimed_if_it_explains_the_network():
    xor = read(state_of(table_of(lambda a, b: a ^ b, 8)))
    assert xor.task.spec.operation == "group" and xor.task.spec.group_table is None
    assert xor.task.spec.group == "cyclic(2) x cyclic(2) x cyclic(2)" and xor.accuracy == 1.0
    squares = read(state_of(table_of(lambda a, b: a * a + b * b, P)))
    assert squares.task.spec.operation == "sum_of_squares"
    dihedral = read(state_of(named_group("D4").products))
    assert dihedral.task.spec.group == "dihedral(4)" and "addition" not in dihedral.account[:60]
    # Half of the table of C_2 x C_4 is addition.
    half = read(state_of(named_group("C2xC4").products))
    assert half.task.spec.group == "cyclic(2) x cyclic(4)" and half.accuracy == 1.0


def test_a_table_that_nothing_explains_is_refused_with_the_best_tries():
    table = np.random.default_rng(1).integers(0, P, (P, P))
    with pytest.raises(
        CheckpointError, match=r"no operation modulo 7 and no group \(\w+ \d.*task="
    ):
        read(state_of(table))


def test_groups_are_found_in_any_order_and_isotopes_are_tables():
    table = relabeled(named_group("S3").products, seed=3)
    reading = read(state_of(table))
    assert reading.task.spec.group == "symmetric(3)"
    assert np.array_equal(reading.task.labels.reshape(6, 6), table)
    assert "through an isomorphism that takes the elements 0, 1, 2, ... to" in reading.account
    turned = table_of(lambda a, b: 2 * a + 3 * b + 1, P)
    reading = read(state_of(turned))
    assert reading.task.spec.operation == "table" and reading.task.cyclic_view.order == P
    assert np.array_equal(reading.task.labels.reshape(P, P), turned)


def test_a_few_wrong_answers_are_mended_by_majority_and_many_are_not():
    table = relabeled(named_group("D5").products, seed=1)
    rng = np.random.default_rng(0)
    for n_wrong, is_found in ((4, True), (60, False)):
        damaged = table.copy()
        places = rng.permutation(100)[:n_wrong]
        damaged.reshape(-1)[places] = (damaged.reshape(-1)[places] + 1) % 10
        mended = nearest_group_table(damaged)
        assert (mended is not None and np.array_equal(mended, table)) == is_found
    # Of two rows or columns with the same answers either may be the wrong one.
    for twice, other in ((np.s_[3], np.s_[5]), (np.s_[:, 3], np.s_[:, 5])):
        damaged = table.copy()
        damaged[twice] = damaged[other]
        mended = nearest_group_table(damaged)
        assert table_as_group(mended) is not None and (mended == damaged).mean() == 0.9
    damaged[:, 3] = np.random.default_rng(0).permutation(10)
    assert np.array_equal(nearest_group_table(damaged), table)
    damaged = table.copy()
    damaged[2, 3] = (damaged[2, 3] + 1) % 10
    reading = read(state_of(damaged))
    assert reading.task.spec.group == "dihedral(5)" and reading.accuracy == 0.99


# --- given tasks ------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["products", "opposite"])
def test_a_group_in_another_order_than_the_given_one_is_relabeled(order):
    products = named_group("S3").products
    table = relabeled(products if order == "products" else products.T, seed=5)
    task = gi.TaskSpec("permutation_composition", degree=3)
    run = gi.Run.from_state_dicts({3: state_of(table)}, task=task)
    assert run.task.spec.group == "symmetric(3)" and not run.doubts
    assert gi.take_snapshot(run).accuracy_all == 1.0
    assert "its elements in another order" in run.origin and "automorphism" in run.origin


def test_a_given_task_that_the_network_contradicts_is_in_doubt():
    state = state_of(table_of(lambda a, b: a - b, P))
    run = gi.Run.from_state_dicts({3: state}, task=gi.TaskSpec(p=P))
    assert run.task.spec.operation == "addition"
    assert "contradicts the given task, addition modulo 7" in run.doubts[0]
    assert "subtraction explains 100.0%" in run.doubts[0]
    right = gi.Run.from_state_dicts({3: state}, task=gi.TaskSpec("subtraction", p=P))
    assert not right.doubts


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("positions", "sinusoidal", "positions=sinusoidal is stated, but pos_embed.W_pos is"),
        ("positions", "none", "positions=none is stated, but pos_embed.W_pos is another table"),
        ("outputs", "tokens", "outputs=tokens is stated, but the weights have an output for each"),
        ("tied_embeddings", True, "tied_embeddings is stated, but unembed.W_U is not"),
    ],
)
def test_what_is_stated_against_the_weights_is_refused(field, value, message):
    state = state_of(SUMS)
    state["pos_embed.W_pos"] = state["pos_embed.W_pos"] + 0.25
    with pytest.raises(CheckpointError, match=message):
        open_readings(state, {field: value})
    usual = {"positions": "learned", "outputs": "answers", "tied_embeddings": False}
    assert open_readings(state, usual)


def test_what_is_stated_as_the_weights_have_it_is_read():
    size = {"d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 16}
    spec = ModelSpec(**size, positions="sinusoidal", outputs="tokens", tied_embeddings=True)
    state = initial_parameters(spec, **spec.vocabulary_sizes(P))
    stated = {"positions": "sinusoidal", "outputs": "tokens", "tied_embeddings": True}
    assert open_readings(state, stated)[0].extra_output.shape == (8, 1)


def test_where_a_norm_stands_is_as_stated():
    state = state_of(SUMS)
    after = open_readings(state, {"normalization": "RMSPre", "norm_position": "after"})[0]
    assert (after.spec.normalization, after.spec.norm_position) == ("RMSPre", "after")
    assert read_network(state, **after.kind).spec == after.spec
    assert open_readings(state, {"normalization": "RMSPre"})[0].spec.norm_position == "before"
    named = state_of(SUMS, normalization="LN")
    assert open_readings(named, {"norm_position": "before"})
    with pytest.raises(CheckpointError, match="norm_position=after is stated, but by the names"):
        open_readings(named, {"norm_position": "after"})


def test_two_embeddings_are_read_where_they_are_stated():
    spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=16, operand_embeddings="separate")
    state = initial_parameters(spec, **spec.vocabulary_sizes(P))
    found = open_readings(state, {"operand_embeddings": "separate"})[0]
    assert (found.order, found.spec.operand_embeddings) == (P, "separate")
    assert read_network(state, **found.kind).spec == found.spec
    with pytest.raises(CheckpointError, match=f"{2 * P + 1} input tokens and {P} outputs"):
        open_readings(state)
    with pytest.raises(CheckpointError, match="7 tokens of operands are no two embeddings"):
        open_readings(state_of(SUMS), {"operand_embeddings": "separate"})


def test_what_chance_gains_depends_on_the_pairs_that_count():
    network = open_readings(state_of(SUMS))[0]
    task = gi.Task(gi.TaskSpec(p=P))
    trained = np.arange(P * P).reshape(P, P) < 10
    few, all_pairs = (score(Answers.of(network), network, task, None, t) for t in (trained, None))
    assert (few.n_pairs, all_pairs.n_pairs) == (10, P * P)

    def at(scored, accuracy):
        return replace(scored, best=replace(scored.best, judged=accuracy))

    # 4 standard errors of an accuracy of 0.9 are 0.38 of 10 pairs and 0.17 of 49.
    assert is_chance(at(few, 0.9), at(few, 0.7))
    assert not is_chance(at(all_pairs, 0.9), at(all_pairs, 0.7))


# --- training pairs ---------------------------------------------------------------------


Q = 11
ROWS = np.random.default_rng(0).permutation(Q * Q)[:70]
OTHERS = np.random.default_rng(1).permutation(Q * Q)[:70]


@pytest.fixture(scope="module")
def memorized():
    return state_of(table_of(lambda a, b: a + b, Q), ROWS, act_fn="tanh", size=2.0)


def from_states(state, rows, **more):
    first = {name: 0.1 * value for name, value in state.items()}
    last = {name: value.clone() for name, value in state.items()}
    return gi.Run.from_state_dicts(
        {0: first, 100: state, 2000: last}, task=gi.TaskSpec(p=Q), train_pairs=rows, **more
    )


def test_the_training_pairs_show_the_reading_of_a_network_that_only_memorized(memorized):
    run = from_states(memorized, ROWS)
    assert run.spec.act_fn == "tanh" and not run.doubts
    assert "100.00% of the training pairs" in run.origin
    assert gi.analyze_run(run, deep=False).milestones.memorization_step == 100


def demo(state, rows):
    """In Grokking_Demo's layout."""
    return {"checkpoints": [state], "checkpoint_epochs": [99], "train_indices": torch.tensor(rows)}


def nanda(state, rows):
    """In the layout of Nanda et al., whose pairs have p beside them."""
    biases = {name: value for name, value in state.items() if ".b_" in name}
    state = {**in_published_orientation(state), **biases}
    return {"model": state, "epoch": 99, "train_data": [(r // Q, r % Q, Q) for r in rows.tolist()]}


@pytest.mark.parametrize("layout", [demo, nanda])
def test_training_pairs_of_a_file_show_the_reading_of_what_only_memorized(
    tmp_path, memorized, layout
):
    torch.save(layout(memorized, ROWS), tmp_path / "net.pth")
    run = gi.load_run(tmp_path / "net.pth")
    assert run.spec.act_fn == "tanh" and run.steps == (100,) and not run.doubts
    assert "100.00% of the training pairs" in run.origin
    assert sorted(run.split.train.tolist()) == sorted(ROWS.tolist())
    # Pairs that the user gives are asked in place of those in the file.
    torch.save(layout(memorized, OTHERS), tmp_path / "net.pth")
    assert gi.load_run(tmp_path / "net.pth", train_pairs=ROWS).spec.act_fn == "tanh"


def test_a_given_task_that_the_network_does_not_do_is_in_doubt_without_its_pairs(memorized):
    task = gi.TaskSpec(p=Q)
    (doubt,) = gi.Run.from_state_dicts({9: memorized}, task=task).doubts
    assert "The task was given, addition modulo 11, and the network is right on" in doubt
    assert "Give its training pairs" in doubt
    assert not gi.Run.from_state_dicts({9: memorized}, task=task, train_pairs=ROWS).doubts
    # A network that guesses contradicts nothing.
    guessing = {**memorized, "unembed.W_U": 0 * memorized["unembed.W_U"]}
    assert not gi.Run.from_state_dicts({9: guessing}, task=task).doubts


def test_a_reading_that_the_training_pairs_contradict_is_said_first(memorized):
    wrong = ModelSpec(d_model=Q * Q + 8, n_heads=4, d_head=8, d_mlp=2 * (Q * Q + 8), act_fn="relu")
    run = from_states(memorized, ROWS, model=wrong)
    assert "the reading is probably wrong" in run.doubts[0]
    assert "act_fn=relu, but read with act_fn=tanh" in run.doubts[1]
    assert run.origin.startswith(run.doubts[0]) and "probably wrong" in " ".join(repr(run).split())
    analysis = gi.analyze_run(run, deep=False)
    assert analysis.milestones.outcome_kind is None and analysis.algorithm.verdict == "none"
    assert analysis.outcome.startswith("No outcome: no verdict is built on a reading")
    assert analysis.key_frequencies.frequencies == () and analysis.why("key_frequencies")
    assert analysis.summary["doubts"] == list(run.doubts)
    for name in ("memorization_step", "phases.cleanup", "algorithm", "circuits", "outcome_kind"):
        assert "probably wrong" in analysis.reasons[name], name
    json.dumps(analysis.summary, allow_nan=False)


def test_a_description_that_the_training_pairs_contradict_is_said():
    state = state_of(table_of(lambda a, b: a + b, Q), ROWS, normalization="LNPre", size=2.0)
    size = {"d_model": Q * Q + 8, "n_heads": 4, "d_head": 8, "d_mlp": 2 * (Q * Q + 8)}

    def doubts(state, **described):
        run = gi.Run.from_state_dicts(
            {9: state},
            task=gi.TaskSpec(p=Q),
            train_pairs=ROWS,
            model=ModelSpec(**size, **described),
        )
        return run.doubts

    assert any("normalization=none, but read with" in doubt for doubt in doubts(state))
    assert not doubts(state, normalization="LNPre")
    # Of a network that has learned nothing, some reading is right on a few pairs more.
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        noise = {n: 0.02 * torch.randn(v.shape, generator=generator) for n, v in state.items()}
        assert not doubts(noise)


def test_a_split_that_is_not_the_networks_is_said(memorized):
    run = from_states(memorized, OTHERS)
    assert len(run.doubts) == 1 and "training pairs" in run.doubts[0]
    assert gi.analyze_run(run, deep=False).milestones.outcome_kind is None


@pytest.mark.parametrize("rows", ["right", "wrong"])
def test_a_split_is_told_by_the_ranks_of_the_losses(rows):
    """Accuracies are alike on both sides of a wrong split, and above nine in ten."""
    task = gi.Task(gi.TaskSpec(p=Q))
    rng = np.random.default_rng(2)
    logits = 0.1 * rng.standard_normal((Q * Q, Q))
    logits[np.arange(Q * Q), task.labels] += np.where(np.isin(np.arange(Q * Q), ROWS), 8, 4)
    missed = np.setdiff1d(np.arange(Q * Q), ROWS)[:5]
    logits[missed, task.labels[missed]] -= 8
    given = ROWS if rows == "right" else OTHERS
    run = gi.Run.from_logits({7: logits}, task=task.spec, train_pairs=given)
    said = [d for d in run.doubts if "not surer of the training pairs than of the others" in d]
    assert len(said) == len(run.doubts) == (rows == "wrong")


def test_a_network_that_has_learned_nothing_or_everything_tells_no_pairs_apart():
    task = gi.Task(gi.TaskSpec(p=Q))
    noise = 0.01 * np.random.default_rng(3).standard_normal((Q * Q, Q))
    solved = noise + 9 * np.eye(Q)[task.labels]
    run = gi.Run.from_logits({0: noise, 9: solved}, task=task.spec, train_pairs=ROWS)
    assert not run.doubts


def test_a_network_that_has_learned_everything_is_asked_if_it_is_surer_of_the_others():
    """All its answers are right, and the losses of what it was trained on are lower."""
    task = gi.Task(gi.TaskSpec(p=Q))
    logits = 0.01 * np.random.default_rng(3).standard_normal((Q * Q, Q))
    logits += np.where(np.isin(np.arange(Q * Q), ROWS), 9, 8.5)[:, None] * np.eye(Q)[task.labels]
    said = {
        name: gi.Run.from_logits({9: logits}, task=task.spec, train_pairs=rows).doubts
        for name, rows in {"right": ROWS, "wrong": np.setdiff1d(np.arange(Q * Q), ROWS)}.items()
    }
    assert said["right"] == ()
    assert len(said["wrong"]) == 1 and "not surer of the training pairs" in said["wrong"][0]


def test_a_doubt_says_what_is_wrong_with_the_training_pairs():
    task = gi.Task(gi.TaskSpec(p=Q))
    rng = np.random.default_rng(4)
    wrong = (task.labels + 1) % Q
    is_right = np.isin(np.arange(Q * Q), ROWS) & (rng.random(Q * Q) < 0.7)
    logits = 30 * np.eye(Q)[np.where(is_right, task.labels, wrong)]
    logits += 0.1 * rng.standard_normal(logits.shape)
    (doubt,) = gi.Run.from_logits({9: logits}, task=task.spec, train_pairs=ROWS).doubts
    assert doubt.startswith("The training pairs have a loss above that of a guess, so the reading")
    others = np.setdiff1d(np.arange(Q * Q), ROWS)
    (doubt,) = gi.Run.from_logits({9: logits}, task=task.spec, train_pairs=others).doubts
    assert doubt.startswith("The training pairs are not answered better than others")


def test_a_file_without_a_step_is_doubted_as_one_with_a_step(tmp_path):
    products, rows = relabeled(named_group("D4").products), ROWS[ROWS < 64]
    torch.save(state_of(products, rows), tmp_path / "net.pt")
    natural = gi.TaskSpec(operation="group", group="D4")
    run = gi.load_run(tmp_path / "net.pt", task=natural, train_pairs=rows)
    assert run.steps == (0,) and "so the reading is probably wrong" in run.doubts[0]
    own = gi.TaskSpec(operation="group", group_table=products)
    assert not gi.load_run(tmp_path / "net.pt", task=own, train_pairs=rows).doubts
    # Large initial weights, from which a network learned, are no reason.
    task = gi.Task(gi.TaskSpec(p=Q))
    logits = 30 * np.random.default_rng(4).standard_normal((Q * Q, Q))
    solved = 9 * np.eye(Q)[task.labels]
    by_step = {0: logits, 9: solved}
    assert not gi.Run.from_logits(by_step, task=task.spec, train_pairs=ROWS).doubts


@pytest.mark.parametrize(
    ("n", "words"),
    [(1, r"at step 1: .* rank\. "), (2, r"any of 2 checkpoints: .* at least\. ")],
)
def test_losses_that_are_higher_on_the_training_pairs_are_said_to_be_higher(n, words):
    task = gi.Task(gi.TaskSpec(p=Q))
    logits = 0.01 * np.random.default_rng(3).standard_normal((Q * Q, Q))
    logits += np.where(np.isin(np.arange(Q * Q), ROWS), 9, 8.5)[:, None] * np.eye(Q)[task.labels]
    others = np.setdiff1d(np.arange(Q * Q), ROWS)
    by_step = {step: logits.copy() for step in range(1, n + 1)}
    (doubt,) = gi.Run.from_logits(by_step, task=task.spec, train_pairs=others).doubts
    assert re.search(r"their losses are higher by \d", doubt) and re.search(words, doubt)


# --- end to end -------------------------------------------------------------------------


def test_the_command_and_the_report_begin_with_the_doubt(tmp_path, capsys):
    from grokinterp.commands.analyze import main

    state = state_of(SUMS, act_fn="tanh", size=2.0)
    content = {"checkpoints": [state], "checkpoint_epochs": [99], "config": {"act_fn": "square"}}
    torch.save(content, tmp_path / "net.pt")
    main([str(tmp_path / "net.pt"), "--out", str(tmp_path / "out"), "--no-deep", "--quiet"])
    said = capsys.readouterr().out
    first = said.splitlines()[0]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert first.split(maxsplit=1) == ["doubt", summary["doubts"][0]]
    assert any("act_fn=square, but read with act_fn=tanh" in doubt for doubt in summary["doubts"])
    assert "No outcome: no verdict is built on a reading that is in doubt." in said
    # Every verdict that is missing leads back to it, and none repeats it.
    assert said.count("read with act_fn=tanh") == 1
    assert summary["doubts"] and summary["outcome_kind"] is None
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index("<strong>Doubt.</strong>") < page.index("No outcome")


# --- nothing is misread silently --------------------------------------------------------


KINDS = ("group", "isotope", "operation", "noise")
GROUPS = {4: ["C2xC2", "C4"], 6: ["S3", "C6"], 8: ["Q8", "D4", "C2xC4", "C2^3"]}


def _table(kind, p, seed):
    """Table of a group in any order, of an operation, or of nothing at all."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.integers(0, p, (p, p))
    if kind == "operation":
        x, y, z = rng.integers(0, p, 3)
        return table_of(lambda a, b: x * a + y * b + z * a * b, p)
    names = GROUPS.get(p, [f"C{p}"])
    products = named_group(names[seed % len(names)]).products
    if kind == "group":
        return relabeled(products, seed=seed)
    rows, columns, answers = (rng.permutation(p) for _ in range(3))
    return answers[products[rows[:, None], columns]]


def _damaged(state, what, number):
    """A state dict of which a tensor was lost, renamed, turned or moved; or none."""
    name = sorted(state)[number % len(state)]
    state = dict(state)
    if what in ("lost", "renamed"):
        value = state.pop(name)
        if what == "renamed":
            state[name + "_old"] = value
    if what == "turned":
        state[name] = state[name].transpose(-1, -2) if state[name].ndim > 1 else state[name]
    if what == "moved":
        state[name] = state[name].roll(1, dims=0)
    return state


@settings(max_examples=settings().max_examples // 3)
@given(
    kind=st.sampled_from(KINDS),
    p=st.integers(2, 8),
    seed=st.integers(0, 99),
    what=st.sampled_from(["none", "lost", "renamed", "turned", "moved"]),
    number=st.integers(0, 30),
    act_fn=st.sampled_from(["relu", "gelu", "tanh", "square"]),
    sequence=st.sampled_from(["a_b_equals", "equals_a_b", "a_b"]),
)
def test_a_network_that_is_read_as_a_task_is_that_task(
    kind, p, seed, what, number, act_fn, sequence
):
    table = _table(kind, p, seed)
    whole = state_of(table, act_fn=act_fn, input_format=sequence, size=1.5)
    try:
        reading = read(_damaged(whole, what, number))
    except CheckpointError:
        return
    task, network = reading.task, reading.network
    pairs = torch.tensor(task.pairs)
    answers = pair_logits(network.parameters, network.spec, pairs).argmax(dim=1).numpy()
    assert reading.accuracy == (answers == task.labels).mean()
    if reading.accuracy > 0.99:
        assert np.array_equal(answers, task.labels)
    if what == "none":
        # Not of a damaged network alone: of the network that it was made from.
        assert (table[task.pairs[:, 0], task.pairs[:, 1]] == task.labels).mean() >= 0.9
