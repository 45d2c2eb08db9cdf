"""Files of Chughtai et al. 2023: their group, the order of its elements, and their split."""

import json

import numpy as np
import pytest
import torch

import grokinterp as gi
from grokinterp.errors import CheckpointError
from grokinterp.groups import named_group
from grokinterp.models import MlpSpec
from tests import planted
from tests.foreign import data_file

FOUR_DIGITS = 1e-4
FOLDERS = {
    "A5_MLP_seed2": "alternating(5)",
    "A5_T_seed2": "alternating(5)",
    "C113_MLP_seed2": "addition",
    "C118_MLP_seed3": "addition",
    "D59_MLP_seed2": "dihedral(59)",
    "D59_T_seed3": "dihedral(59)",
    "S5_MLP_seed2": "symmetric(5)",
    "S5_T_seed2": "symmetric(5)",
}
"""S_6 takes a minute of its own to read."""


def lookup(table, scale=4.0):
    """A perceptron without training that answers any table: a neuron for each pair."""
    n = len(table)
    pairs = [(a, b) for a in range(n) for b in range(n)]
    W, W_U = torch.full((2 * n + 1, n * n), 0.0), torch.zeros(n * n, n)
    for j, (a, b) in enumerate(pairs):
        W[a, j], W[n + b, j], W_U[j, table[a][b]] = 1.0, 1.0, scale
    # Width n + 1: the last column of the first embedding is 1, and stands for a bias of -1.
    W_x = torch.cat([torch.eye(n), torch.ones(n, 1)], dim=1)
    W_y = torch.cat([torch.eye(n), torch.zeros(n, 1)], dim=1)
    first, second = W[:n], W[n : 2 * n]
    bias = torch.full((1, n * n), -1.0)
    W = torch.cat([first, bias, second, torch.zeros(1, n * n)])
    return {"W_x": W_x, "W_y": W_y, "W": W, "W_U": W_U}


def write(folder, table, group, number, **config):
    """A folder in their layout."""
    folder.mkdir(exist_ok=True)
    torch.save(lookup(table), folder / "model.pt")
    fields = {"group": group, "group_parameter": number, "num_epochs": 700, **config}
    (folder / "cfg.json").write_text(json.dumps(fields))
    return folder


def renamed(name, seed=0):
    """The products of a group with its elements in another order."""
    products = named_group(name).products
    place = np.random.default_rng(seed).permutation(len(products))
    table = np.empty_like(products)
    table[np.ix_(place, place)] = place[products]
    return table


def test_a_dihedral_group_has_its_elements_in_our_order(tmp_path):
    folder = write(tmp_path / "D4", named_group("D4").products, "DihedralGroup", 4)
    for path in (folder, folder / "model.pt"):
        run = gi.load_run(path)
        assert run.task.spec == gi.TaskSpec(operation="group", group="D4")
        assert isinstance(run.spec, MlpSpec) and run.steps == (700,)
        assert "in the order of this library" in run.origin and not run.doubts
    assert not run.split.is_known and "not known" in run.origin


def test_a_cyclic_group_is_addition_so_that_frequencies_keep_their_numbers(tmp_path):
    run = gi.load_run(write(tmp_path / "C7", named_group("C7").products, "CyclicGroup", 7))
    assert run.task.spec == gi.TaskSpec(p=7)


def test_elements_in_another_order_are_found_in_the_answers(tmp_path):
    table = renamed("A4")
    run = gi.load_run(write(tmp_path / "A4", table, "AlternatingGroup", 4))
    view = run.task.group_view
    assert view.group.name == "alternating(4)"
    # The tokens of the view multiply as the elements of our group do.
    tokens, products = view.class_tokens, named_group("A4").products
    assert (table[np.ix_(tokens, tokens)] == tokens[products]).all()
    assert "Another isomorphism differs by an automorphism" in run.origin
    generators = named_group("A4").generators
    assert " and ".join(str(tokens[g]) for g in generators) in run.origin


@pytest.mark.parametrize("order", [range(12), None])
def test_a_given_group_is_found_in_any_order_of_its_elements(tmp_path, order):
    table = named_group("A4").products if order else renamed("A4")
    folder = write(tmp_path / "A4", table, "AlternatingGroup", 4)
    for path in (folder, folder / "model.pt"):
        run = gi.load_run(path, task=gi.TaskSpec(operation="group", group="A4"))
        assert run.task.group_view.group.name == "alternating(4)" and not run.doubts
        assert (run.logits(700).argmax(dim=1).numpy() == run.task.labels).all()
        assert ("its elements in another order" in run.origin) == (order is None)
    wrong = gi.load_run(folder, task=gi.TaskSpec(operation="group", group="D6"))
    assert "contradicts the given task, multiplication in dihedral(6)" in wrong.doubts[0]
    assert "multiplication in alternating(4)" in wrong.doubts[0]


def test_a_config_that_names_another_group_is_refused(tmp_path):
    folder = write(tmp_path / "D6", renamed("A4"), "DihedralGroup", 6)
    with pytest.raises(CheckpointError, match="DihedralGroup with group_parameter=6, which the"):
        gi.load_run(folder)
    folder = write(tmp_path / "D4", named_group("D4").products, "DihedralGroup", 5)
    with pytest.raises(CheckpointError, match=r"dihedral\(5\) has 10 elements, it has 8 operands"):
        gi.load_run(folder)
    folder = write(tmp_path / "M", named_group("D4").products, "MonsterGroup", 1)
    with pytest.raises(CheckpointError, match="'MonsterGroup' .* not known here. Name the task"):
        gi.load_run(folder)
    run = gi.load_run(folder, task=gi.TaskSpec(operation="group", group="D4"))
    assert "The task was given" in run.origin and run.task.spec.group == "dihedral(4)"


def test_losses_of_the_summary_prove_the_split_or_raise_a_doubt(tmp_path):
    folder = write(tmp_path / "D4", named_group("D4").products, "DihedralGroup", 4)
    state = torch.load(folder / "model.pt", weights_only=True)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(3))
    # The network is surer of the pairs that it was trained on: their neurons speak louder.
    state["W_U"][order[:32]] *= 1.5
    torch.save(state, folder / "model.pt")
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**config, "seed": 3, "frac_train": 0.5}))

    def loss(rows):
        a, b = rows // 8, rows % 8
        both = torch.cat([state["W_x"][a], state["W_y"][b]], dim=1)
        logits = torch.relu(both @ state["W"]) @ state["W_U"]
        labels = torch.tensor(named_group("D4").products)[a, b]
        return torch.nn.functional.cross_entropy(logits.double(), labels).item()

    summary = {"train_loss": loss(order[:32]), "test_loss": loss(order[32:])}
    summary["all_loss"] = loss(order)
    (folder / "summary_metrics.json").write_text(json.dumps(summary))
    run = gi.load_run(folder)
    assert run.split.is_known and set(run.split.train) == set(order[:32].tolist())
    assert not run.doubts and f"all_loss {summary['all_loss']:.5g}" in run.origin
    (folder / "cfg.json").write_text(json.dumps({**config, "seed": 4, "frac_train": 0.5}))
    assert not gi.load_run(folder).split.is_known
    (folder / "summary_metrics.json").write_text(json.dumps({**summary, "all_loss": 1.0}))
    assert "summary_metrics.json says 1" in gi.load_run(folder).doubts[0]


def test_a_transformer_s_copies_of_the_embedding_must_be_copies(tmp_path):
    w = planted.clock_parameters(13, [2, 5])
    state = {**w, "x_embed": w["embed.W_E"].clone(), "y_embed": w["embed.W_E"].clone()}
    torch.save(state, tmp_path / "model.pt")
    config = {"group": "CyclicGroup", "group_parameter": 13, "num_epochs": 5}
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    run = gi.load_run(tmp_path)
    assert run.task.spec == gi.TaskSpec(p=13) and "copies of embed.W_E" in run.origin
    state["y_embed"] = 2 * state["y_embed"]
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="y_embed differs from embed.W_E"):
        gi.load_run(tmp_path)


def test_what_is_given_of_the_network_is_that_of_the_files_or_refused(tmp_path):
    folder = write(tmp_path / "D4", named_group("D4").products, "DihedralGroup", 4)
    given = gi.load_run(folder, model=gi.MlpSpec(embedding="separate"))
    assert given.spec == gi.load_run(folder).spec
    with pytest.raises(CheckpointError, match="model.act_fn='gelu' is given, .* has act_fn='relu'"):
        gi.load_run(folder, model=gi.MlpSpec(embedding="separate", act_fn="gelu"))
    with pytest.raises(CheckpointError, match="has no such field"):
        gi.load_run(folder, model=gi.ModelSpec())


def test_a_copy_that_is_no_tensor_is_refused(tmp_path):
    w = planted.clock_parameters(13, [2, 5])
    torch.save({**w, "x_embed": 3, "y_embed": w["embed.W_E"].clone()}, tmp_path / "model.pt")
    config = {"group": "CyclicGroup", "group_parameter": 13, "num_epochs": 5}
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="x_embed differs from embed.W_E"):
        gi.load_run(tmp_path)


@pytest.mark.parametrize("scale", [0.01, 30.0])
def test_a_group_that_is_only_stated_is_doubted_if_the_network_is_sure_of_other_answers(
    tmp_path, scale
):
    products = named_group("D4").products
    table = products.copy()
    table[:, :3] = (table[:, :3] + 1) % 8
    folder = write(tmp_path / "D4", products, "DihedralGroup", 4)
    assert not gi.load_run(folder).doubts
    torch.save(lookup(table, scale), folder / "model.pt")
    doubts = gi.load_run(folder).doubts
    assert len(doubts) == (scale > 1)
    assert all(
        "says multiplication in dihedral(4), but only 62.5% of all pairs" in d for d in doubts
    )
    known = gi.load_run(
        folder, train_pairs=np.flatnonzero(table.reshape(-1) == products.reshape(-1))
    )
    assert not known.doubts


def test_matrices_that_do_not_fit_are_refused(tmp_path):
    folder = write(tmp_path / "D4", named_group("D4").products, "DihedralGroup", 4)
    state = torch.load(folder / "model.pt", weights_only=True)
    torch.save({**state, "W_U": state["W_U"][:, :7]}, folder / "model.pt")
    with pytest.raises(CheckpointError, match=r"do not fit together: W_x \(8, 9\), .*W_U"):
        gi.load_run(folder)
    torch.save({**state, "W_U": state["W_U"] * torch.nan}, folder / "model.pt")
    with pytest.raises(CheckpointError, match="not finite in W_U"):
        gi.load_run(folder)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_published_network_has_its_group_its_losses_and_its_split(name):
    folder = data_file(f"groups/{name}")
    numbers = json.loads((folder / "summary_metrics.json").read_text())
    config = json.loads((folder / "cfg.json").read_text())
    run = gi.load_run(folder)
    spec = run.task.spec
    assert FOLDERS[name] in (spec.group, spec.operation)
    assert run.steps == (config["num_epochs"],) and not run.doubts
    logits, labels = run.logits().double(), torch.tensor(run.task.labels)
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    sides = {"all": slice(None), "train": run.split.train, "test": run.split.test}
    for side, rows in sides.items():
        assert losses[rows].mean() == pytest.approx(numbers[f"{side}_loss"], rel=FOUR_DIGITS), side
    assert (logits.argmax(1) == labels).all() and spec.split_seed == config["seed"]
