"""Networks under names that are not the library's: found by shapes, taken if they answer."""

import numpy as np
import pytest
import torch
from torch import nn

import grokinterp as gi
from grokinterp.errors import CheckpointError
from grokinterp.groups import named_group
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.pair_tables import pair_logits
from grokinterp.runs.importers.foreign_files import ForeignPath
from grokinterp.runs.importers.hints import Hints
from grokinterp.runs.importers.judging import judged
from grokinterp.runs.importers.other_names import all_readings, load, unnamed_state_dict
from grokinterp.runs.importers.perceptrons import perceptron_readings
from grokinterp.runs.importers.transformer_names import transformer_readings
from tests import planted

P, KEYS = 13, [2, 5]
SPEC = planted.clock_spec(KEYS)
CLOCK = planted.clock_parameters(P, KEYS)
GRID = torch.cartesian_prod(torch.arange(P), torch.arange(P))
SAME = {"rtol": 1e-4, "atol": 1e-4}
"""The same products in float32, in another order."""
DIM = {"d_model": 12, "n_heads": 3, "d_head": 4, "d_mlp": 20}


def linear(weight):
    """As torch.nn.Linear stores a matrix that has its inputs first here."""
    return weight.T.contiguous()


def heads_last(weight):
    """(head, d_model, d_head) as one matrix (d_model, head * d_head)."""
    return weight.movedim(0, 1).flatten(1)


def flat(w, prefix="blocks.0."):
    """Matrices of a block with their inputs first, by what they are."""
    found = {letter: heads_last(w[f"{prefix}attn.W_{letter.upper()}"]) for letter in "qkv"}
    found["o"] = w[f"{prefix}attn.W_O"].flatten(0, 1)
    return found | {"in": w[f"{prefix}mlp.W_in"], "out": w[f"{prefix}mlp.W_out"]}


def named(names, turn=linear, bias="bias", w=CLOCK):
    """The clock under the names of a dictionary; keys are parts, values names."""
    parts = {"embedding": w["embed.W_E"], "positions": w["pos_embed.W_pos"]}
    parts |= {name: turn(value) for name, value in flat(w).items()}
    q, k, v = (flat(w)[letter] for letter in "qkv")
    n, d = SPEC.n_heads, SPEC.d_head
    cut = [value.unflatten(1, (n, d)) for value in (q, k, v)]
    parts["qkv"] = turn(torch.cat([q, k, v], dim=1))
    parts["qkv by head"] = turn(torch.stack(cut, dim=2).flatten(1))
    parts["qkv by channel"] = turn(torch.stack(cut, dim=3).flatten(1))
    parts["unembedding"] = linear(w["unembed.W_U"])
    state = {name: parts[part] for part, name in names.items()}
    for part, leaf in (("in", "mlp.b_in"), ("out", "mlp.b_out")):
        state[names[part].replace("weight", bias)] = w[f"blocks.0.{leaf}"]
    return state


def keep(weight):
    return weight.contiguous()


GPT2 = {
    "embedding": "transformer.wte.weight",
    "positions": "transformer.wpe.weight",
    "qkv": "transformer.h.0.attn.c_attn.weight",
    "o": "transformer.h.0.attn.c_proj.weight",
    "in": "transformer.h.0.mlp.c_fc.weight",
    "out": "transformer.h.0.mlp.c_proj.weight",
    "unembedding": "lm_head.weight",
}
LLAMA = {
    "embedding": "tok_embeddings.weight",
    "positions": "pos_embeddings.weight",
    **{letter: f"layers.0.attention.w{letter}.weight" for letter in "qkvo"},
    "in": "layers.0.feed_forward.w1.weight",
    "out": "layers.0.feed_forward.w2.weight",
    "unembedding": "output.weight",
}
HUGGING_FACE = {
    "embedding": "model.embed_tokens.weight",
    "positions": "model.embed_positions.weight",
    **{letter: f"model.layers.0.self_attn.{letter}_proj.weight" for letter in "qkv"},
    "o": "model.layers.0.self_attn.out_proj.weight",
    "in": "model.layers.0.fc1.weight",
    "out": "model.layers.0.fc2.weight",
    "unembedding": "model.head.weight",
}
NEOX = {**GPT2, "qkv by head": "transformer.h.0.attention.query_key_value.weight"}
NEOX["o"] = "transformer.h.0.attention.dense.weight"
NEOX.pop("qkv")
VIT = {**GPT2, "qkv by channel": "transformer.h.0.attn.qkv.weight"}
VIT["o"] = "transformer.h.0.attn.proj.weight"
VIT.pop("qkv")
ONE_BLOCK = {
    "embedding": "token_embedding.weight",
    "positions": "position_embedding.weight",
    **{letter: f"attn.to_{letter}.weight" for letter in "qkv"},
    "o": "attn.to_out.0.weight",
    "in": "mlp.0.weight",
    "out": "mlp.2.weight",
    "unembedding": "fc_out.weight",
}
RAW = {
    "embedding": "tok_emb",
    "positions": "pos_emb",
    **{letter: f"blocks.0.attn.w_{letter}.weight" for letter in "qkvo"},
    "in": "blocks.0.ff.w_in.weight",
    "out": "blocks.0.ff.w_out.weight",
    "unembedding": "w_u",
}
WAYS = {
    "GPT-2, Conv1D": lambda: named(GPT2, keep),
    "nanoGPT": lambda: named(GPT2),
    "LLaMA": lambda: named(LLAMA),
    "OPT": lambda: named(HUGGING_FACE),
    "GPT-NeoX, by head": lambda: named(NEOX),
    "ViT, by channel": lambda: named(VIT),
    "without a number": lambda: named(ONE_BLOCK),
    "matrices of one's own": lambda: named(RAW, keep),
    "wrapped": lambda: {f"module.net.{n}": v for n, v in named(LLAMA).items()},
    "with masks": lambda: {**named(GPT2, keep), "transformer.h.0.attn.mask": torch.ones(3, 3)},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_network_is_found_under_other_names(way, tmp_path):
    path = tmp_path / "step_300.pt"
    torch.save(WAYS[way](), path)
    run = gi.load_run(path)
    assert run.steps == (300,) and run.task.spec == gi.TaskSpec(p=P)
    assert run.spec.act_fn == SPEC.act_fn
    logits = pair_logits(CLOCK, SPEC, GRID)
    torch.testing.assert_close(run.logits(300), logits, **SAME)
    assert "(other_names)" in run.origin and "right on 100.00%" in run.origin
    assert not run.split.is_known


def test_the_names_of_a_folder_are_read_alike_and_another_shape_is_refused(tmp_path):
    for step, factor in ((100, 0.9), (200, 1.0)):
        w = {name: factor * value for name, value in CLOCK.items()}
        torch.save(named(LLAMA, w=w), tmp_path / f"model_{step}.pt")
    run = gi.load_run(tmp_path)
    assert run.steps == (100, 200)
    torch.testing.assert_close(run.parameters(100)["embed.W_E"], 0.9 * CLOCK["embed.W_E"])
    other = named(LLAMA)
    del other["output.weight"]
    torch.save(other, tmp_path / "model_100.pt")
    with pytest.raises(CheckpointError, match=r"model_100.pt: output.weight is missing"):
        gi.load_run(tmp_path).parameters(100)


def test_a_folder_is_said_to_have_the_steps_of_its_names_or_to_have_none(tmp_path):
    for step in (10, 20):
        torch.save(named(LLAMA), tmp_path / f"step_{step}_net.pt")
    run = gi.load_run(tmp_path)
    assert run.steps == (10, 20) and "2 files, whose names say the step" in run.origin
    torch.save(named(LLAMA), tmp_path / "step_20_other.pt")
    with pytest.raises(CheckpointError, match=r"other_names \(two of its files have the same step"):
        gi.load_run(tmp_path)
    for file in tmp_path.iterdir():
        file.rename(tmp_path / f"{file.stem.translate(str.maketrans('', '', '0123456789_'))}.pt")
    with pytest.raises(CheckpointError, match=r"other_names \(no names that say a step"):
        gi.load_run(tmp_path)


EARLY, LATE = (named(LLAMA, w={n: f * v for n, v in CLOCK.items()}) for f in (0.9, 1.0))
CONTAINERS = {
    "a list, by place": (lambda: [EARLY, LATE], (0, 1)),
    "a list beside steps": (lambda: {"checkpoints": [LATE, EARLY], "steps": [700, 50]}, (50, 700)),
    "a list beside epochs": (lambda: {"state_dicts": [EARLY, LATE], "epochs": [0, 99]}, (1, 100)),
    "a table by step": (lambda: {"step_3": EARLY, "step_40": LATE}, (3, 40)),
    "a list with a step each": (
        lambda: [{"model": LATE, "step": 8}, {"model": EARLY, "step": 2}],
        (2, 8),
    ),
}


@pytest.mark.parametrize("way", CONTAINERS)
def test_several_state_dicts_of_a_file_are_read_under_other_names(way, tmp_path):
    content, steps = CONTAINERS[way]
    torch.save(content(), tmp_path / "all.pt")
    run = gi.load_run(tmp_path / "all.pt")
    assert run.steps == steps and "(other_names): 2 checkpoints" in run.origin
    assert ("they are places" in run.origin) == (way == "a list, by place")
    for step, factor in zip(steps, (0.9, 1.0), strict=True):
        found = run.parameters(step)["embed.W_E"]
        torch.testing.assert_close(found, factor * CLOCK["embed.W_E"])


def test_several_state_dicts_that_are_no_run_are_refused_under_other_names(tmp_path):
    path = tmp_path / "all.pt"
    for content, said in (
        ({"checkpoints": [EARLY, LATE], "steps": [1, 2, 3]}, "2 checkpoints and 3 steps"),
        ([LATE, LATE], "share memory"),
        ([{k: v for k, v in EARLY.items() if k != "output.weight"}, LATE], "output.weight is miss"),
    ):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=said):
            gi.load_run(path)


def test_a_step_that_is_stored_goes_before_the_name_under_other_names(tmp_path):
    state = {f"net.{name}": value for name, value in LATE.items()}
    content = {
        "state_dict": state,
        "epoch": 3,
        "optimizer_states": [],
        "hyper_parameters": {"a": 1},
    }
    torch.save({**content, "global_step": 900}, tmp_path / "last.ckpt")
    run = gi.load_run(tmp_path / "last.ckpt")
    assert run.steps == (900,) and "as its global_step says" in run.origin
    assert "a=1" in run.origin and "optimizer_states" in run.origin
    torch.save(content, tmp_path / "step_70.ckpt")
    assert gi.load_run(tmp_path / "step_70.ckpt").steps == (70,)


def test_a_network_that_answers_nothing_is_refused_whatever_its_names(tmp_path):
    generator = torch.Generator().manual_seed(0)
    state = {n: torch.randn(v.shape, generator=generator) for n, v in named(GPT2, keep).items()}
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(CheckpointError) as error:
        gi.load_run(tmp_path / "model.pt")
    text = str(error.value)
    assert "names are not known (transformer.wte.weight, transformer.wpe.weight, " in text
    assert "too few for a trained network" in text and "--module" in text
    # Names that fit are not enough: queries and values exchanged give another network.
    swapped = dict(LLAMA, q=LLAMA["v"], v=LLAMA["q"])
    torch.save(named(swapped), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="too few for a trained network"):
        gi.load_run(tmp_path / "model.pt")


@pytest.mark.parametrize("scale", [True, False])
def test_a_stored_scale_of_attention_is_that_of_the_reading_or_refused(tmp_path, scale):
    content = {"model": named(LLAMA), "config": {"scale_attn_weights": scale}}
    torch.save(content, tmp_path / "model.pt")
    if scale:
        assert gi.load_run(tmp_path / "model.pt").task.spec == gi.TaskSpec(p=P)
        return
    with pytest.raises(CheckpointError, match="not divided by the square root of d_head"):
        gi.load_run(tmp_path / "model.pt")


def test_the_epsilon_of_a_norm_that_is_not_there_decides_nothing(tmp_path):
    config = {"layer_norm_epsilon": 1e-3}
    torch.save({"model": named(LLAMA), "config": config}, tmp_path / "model.pt")
    run = gi.load_run(tmp_path / "model.pt")
    assert (run.task.spec, run.transformer.normalization) == (gi.TaskSpec(p=P), "none")
    config["normalization"] = "LayerNorm"
    torch.save({"model": named(LLAMA), "config": config}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="its stored config has normalization='LN', but"):
        gi.load_run(tmp_path / "model.pt")


def test_what_is_found_and_what_is_not_is_said(tmp_path):
    state = named(LLAMA)
    state["layers.0.attention.gate_of_heads.weight"] = torch.ones(3, 3)
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="of no known part: layers.0.attention.gate_of"):
        gi.load_run(tmp_path / "model.pt")
    state = {**named(LLAMA), "layers.0.attention.rotary.inv_freq": torch.ones(3)}
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="rotary positions"):
        gi.load_run(tmp_path / "model.pt")


# --- every part, against torch's own layers ------------------------------------------------


class Encoder(nn.Module):
    """Embedding, positions and layers of torch, read at the last position."""

    def __init__(self, *, norm_first, activation="relu", n_layers=2, scale=1.0):
        super().__init__()
        torch.manual_seed(3)
        self.embed, self.pos_embed = nn.Embedding(6, 12), nn.Embedding(3, 12)
        layer = nn.TransformerEncoderLayer(
            12, 3, 20, 0.0, activation, batch_first=True, norm_first=norm_first
        )
        final = nn.LayerNorm(12) if norm_first else None
        self.encoder = nn.TransformerEncoder(
            layer, n_layers, norm=final, enable_nested_tensor=False
        )
        self.fc, self.scale = nn.Linear(12, 5), scale
        with torch.no_grad():
            for value in self.parameters():
                value.copy_(torch.randn(value.shape) * 0.6)

    def forward(self, tokens):
        stream = self.embed(tokens) * self.scale + self.pos_embed.weight
        return self.fc(self.encoder(stream)[:, -1])


@pytest.mark.parametrize(
    ("fields", "spec"),
    [
        ({"norm_first": False}, {"norm_position": "after"}),
        ({"norm_first": True}, {"norm_position": "before"}),
        ({"norm_first": True, "activation": "gelu"}, {"act_fn": "gelu"}),
        ({"norm_first": False, "scale": 12**0.5}, {"norm_position": "after"}),
    ],
)
def test_one_reading_is_that_of_torch_s_encoder(fields, spec):
    module = Encoder(**fields).eval()
    pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    tokens = torch.cat([pairs, torch.full((25, 1), 5)], dim=1)
    expected = module(tokens).detach()
    readings, why = transformer_readings(module.state_dict())
    assert not why
    off = [
        (pair_logits(one.parameters, one.spec, pairs) - expected).abs().max() for one in readings
    ]
    right = readings[int(torch.stack(off).argmin())]
    assert min(off) < 1e-4 and sorted(off)[1] > 1e-2
    wanted = {"n_heads": 3, "normalization": "LN", "attention_dir": "bidirectional", **spec}
    assert {name: getattr(right.spec, name) for name in wanted} == wanted


def test_one_reading_is_that_of_a_gated_network_with_rms_norms():
    spec = ModelSpec(**DIM, normalization="RMS", gated_mlp=True, act_fn="silu", n_layers=2)
    w = planted.random_parameters(spec, 5)
    for name in w:
        w[name] = torch.zeros_like(w[name]) if ".b_" in name else w[name]
    state = {"model.embed_tokens.weight": w["embed.W_E"], "model.wpe.weight": w["pos_embed.W_pos"]}
    for i in (0, 1):
        theirs, ours = f"model.layers.{i}.", f"blocks.{i}."
        parts = flat(w, ours)
        for letter in "qkvo":
            state[f"{theirs}attention.w{letter}.weight"] = linear(parts[letter])
        state[f"{theirs}feed_forward.w1.weight"] = linear(w[f"{ours}mlp.W_gate"])
        state[f"{theirs}feed_forward.w3.weight"] = linear(parts["in"])
        state[f"{theirs}feed_forward.w2.weight"] = linear(parts["out"])
        state[f"{theirs}attention_norm.weight"] = w[f"{ours}ln1.w"]
        state[f"{theirs}ffn_norm.weight"] = w[f"{ours}ln2.w"]
    state |= {"model.norm.weight": w["ln_final.w"], "lm_head.weight": linear(w["unembed.W_U"])}
    readings, why = transformer_readings(state)
    assert not why
    pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    expected = pair_logits(w, spec, pairs)
    off = [
        float((pair_logits(one.parameters, one.spec, pairs) - expected).abs().max())
        for one in readings
    ]
    assert min(off) < 1e-4
    right = readings[off.index(min(off))].spec
    assert (right.normalization, right.gated_mlp, right.act_fn) == ("RMS", True, "silu")
    state["model.layers.0.feed_forward.w1.bias"] = torch.ones(20)
    assert transformer_readings(state)[1]


# --- perceptrons ---------------------------------------------------------------------------


def perceptrons():
    """A planted perceptron that adds, as modules of others would store it."""
    w = {n: v.float() for n, v in planted.summing_parameters(P, (2, 5)).items()}
    E, W_in, W_out = w.values()
    yield (
        "shared",
        {"embed.weight": E, "fc1.weight": linear(W_in), "fc2.weight": linear(W_out)},
    )
    both = torch.cat([W_in, W_in])
    yield (
        "separate",
        {"W_x": E, "W_y": E, "W": both, "W_U": W_out},
    )
    rows = E @ W_in
    yield (
        "none",
        {"net.0.weight": linear(torch.cat([rows, rows])), "net.2.weight": linear(W_out)},
    )
    yield "none", {"l1.weight": linear(rows), "l2.weight": linear(W_out)}


def test_a_perceptron_is_found_by_its_shapes(tmp_path):
    spec = planted.summing_spec()
    w = {n: v.float() for n, v in planted.summing_parameters(P, (2, 5)).items()}
    expected = pair_logits(w, spec, GRID)
    for embedding, state in perceptrons():
        torch.save({"model_state_dict": state}, tmp_path / "epoch_40.pt")
        run = gi.load_run(tmp_path / "epoch_40.pt")
        assert isinstance(run.spec, MlpSpec) and run.spec.embedding == embedding
        assert run.spec.act_fn == "relu" and run.steps == (40,)
        torch.testing.assert_close(run.logits(40), expected, **SAME)
        assert run.config.to_dict()["model"]["init"] is None
        assert "next best reading (act_fn=" in run.origin
    state["l1.weight"] = state["l1.weight"].flip(0)
    torch.save(state, tmp_path / "epoch_40.pt")
    with pytest.raises(CheckpointError, match=r"names are not known \(l1.weight, l2.weight\)"):
        gi.load_run(tmp_path / "epoch_40.pt")


def lookup(table):
    """A perceptron with a neuron for every pair, which answers any table."""
    p = len(table)
    rows = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    l1 = torch.nn.functional.one_hot(rows + torch.tensor([0, p]), 2 * p).sum(1).float()
    l2 = torch.nn.functional.one_hot(torch.tensor(table).reshape(-1), p).T.float()
    return {"l1.weight": l1, "l1.bias": -torch.ones(p * p), "l2.weight": 9 * l2}


def test_a_task_that_is_given_is_one_of_those_that_names_are_judged_by(tmp_path):
    table = torch.randint(5, (5, 5), generator=torch.Generator().manual_seed(0)).tolist()
    path = tmp_path / "net.pt"
    torch.save(lookup(table), path)
    with pytest.raises(CheckpointError, match="too few for a trained network"):
        gi.load_run(path)
    run = gi.load_run(path, task=gi.TaskSpec(operation="table", labels=table))
    assert gi.take_snapshot(run).accuracy_all == 1.0 and not run.doubts
    other = torch.tensor(table).roll(1, 0).tolist()
    with pytest.raises(CheckpointError, match="of the pairs of the given task, a table of 5 x 5"):
        gi.load_run(path, task=gi.TaskSpec(operation="table", labels=other))


@pytest.mark.parametrize("n_wrong", [1, 14])
def test_a_group_whose_elements_are_renamed_is_found_with_some_wrong_answers(tmp_path, n_wrong):
    products = named_group("Q8").products
    order = np.random.default_rng(0).permutation(8)
    table = np.empty_like(products)
    table[np.ix_(order, order)] = order[products]
    table.reshape(-1)[4 : 4 + 4 * n_wrong : 4] += 1
    path = tmp_path / "net.pt"
    torch.save(lookup((table % 8).tolist()), path)
    if n_wrong == 14:
        with pytest.raises(CheckpointError, match="too few for a trained network"):
            gi.load_run(path)
        return
    run = gi.load_run(path)
    assert run.task.spec.group == "quaternion"
    assert gi.take_snapshot(run).accuracy_all == pytest.approx(63 / 64)


@pytest.mark.parametrize("name", ["scale", "head.logit_scale", "best_loss", "n_scaled"])
def test_a_factor_that_is_left_out_is_in_doubt_and_a_metric_is_not(tmp_path, name):
    path = tmp_path / "net.pt"
    state = lookup([[(a + b) % 5 for b in range(5)] for a in range(5)])
    torch.save({**state, name: torch.tensor(3.0)}, path)
    run = gi.load_run(path)
    assert f"Ignored: {name}." in run.origin
    is_factor = name.endswith("scale")
    assert [name in doubt and "left out" in doubt for doubt in run.doubts] == [True] * is_factor


def test_what_is_given_of_a_network_under_other_names_is_not_passed_over(tmp_path):
    path = tmp_path / "net.pt"
    torch.save(lookup([[(a + b) % 5 for b in range(5)] for a in range(5)]), path)
    assert gi.load_run(path).spec.act_fn == "relu"
    for act_fn in ("relu", "silu"):
        assert gi.load_run(path, model=MlpSpec(act_fn=act_fn)).spec.act_fn == act_fn
    with pytest.raises(CheckpointError, match="n_heads=2 is given, but .* has no such field"):
        gi.load_run(path, model=ModelSpec(n_heads=2))
    with pytest.raises(CheckpointError, match="'shared' is given, but .* with embedding=none"):
        gi.load_run(path, model=MlpSpec(embedding="shared", d_embed=3))


def test_shapes_decide_between_one_hot_vectors_and_embeddings():
    def words(**shapes):
        state = {name: torch.ones(shape) for name, shape in shapes.items()}
        return {(r.spec.embedding, r.spec.combination, r.order) for r in perceptron_readings(state)}

    one_hot = {"0.weight": (32, 14), "2.weight": (7, 32)}
    assert words(**one_hot) == {("none", "concatenated", 7)}
    # With inputs first the same shapes are those of 32 operands.
    ways = words(**{"0.weight": (32, 7), "2.weight": (7, 32)})
    assert ways == {("none", "summed", 7), ("none", "summed", 32)}
    shared = {"embed.weight": (7, 16), "fc1.weight": (32, 16), "fc2.weight": (7, 32)}
    assert words(**shared) == {("shared", "summed", 7)}
    assert words(**{**shared, "fc1.weight": (32, 32)}) == {("shared", "concatenated", 7)}
    two = {"emb_a.weight": (7, 16), "emb_b.weight": (7, 16), "fc1.weight": (32, 32)}
    assert words(**two, **{"out.weight": (7, 32)}) == {("separate", "concatenated", 7)}
    # A vector that is no bias, or layers that do not follow each other, leave nothing.
    assert not words(**one_hot, **{"bn.weight": (32,)})
    assert not words(**{**one_hot, "2.weight": (7, 31)})
    assert not words(**{**one_hot, "0.weight": (32, 15)})


def test_a_hidden_layer_without_activation_is_multiplied_into_the_readout():
    generator = torch.Generator().manual_seed(0)
    l1, l2, u = (nn.Linear(*shape).double() for shape in ((16, 32), (32, 24), (24, 7)))
    embed = torch.randn(7, 16, generator=generator)
    state = {"embed.weight": embed, "unembed.weight": u.weight, "unembed.bias": u.bias}
    state |= {"l1.weight": l1.weight, "l1.bias": l1.bias}
    state |= {"l2.weight": l2.weight, "l2.bias": l2.bias}
    state = {name: value.detach() for name, value in state.items()}
    pairs = torch.cartesian_prod(torch.arange(7), torch.arange(7))
    hidden = torch.relu(l1(embed.double()[pairs].sum(1)))
    linear_, active = u(l2(hidden)), u(torch.relu(l2(hidden)))
    folded, whole = (
        next(r for r in perceptron_readings(state, ["relu"]) if len(r.spec.widths) == n)
        for n in (1, 2)
    )
    for reading, expected in ((folded, linear_), (whole, active)):
        found = pair_logits(reading.parameters, reading.spec, pairs)
        torch.testing.assert_close(found, expected.detach().float(), **SAME)
    assert "No activation follows l2.weight" in folded.notes[1] and len(whole.notes) == 1


def test_a_margin_is_not_moved_by_the_scale_of_the_logits():
    readings, _ = transformer_readings(named(LLAMA))
    ours = [one for one in readings if one.spec.act_fn in ("relu", "tanh")]
    best = judged(ours)[0]
    assert best.accuracy == 1 and best.operation == "addition"
    state = named(LLAMA)
    state["output.weight"] = 40 * state["output.weight"]
    louder = judged(transformer_readings(state)[0])[0]
    assert louder.margin == pytest.approx(judged(readings)[0].margin, rel=1e-4)
    assert louder.network.spec == judged(readings)[0].network.spec


def test_a_table_of_anything_but_tensors_is_no_state_dict():
    assert unnamed_state_dict({"fc1.weight": torch.ones(2, 2), "lr": 0.1}) is None
    assert unnamed_state_dict({"a": torch.ones(2, 2)}) is None
    assert unnamed_state_dict({"model": named(GPT2)}).keys() == named(GPT2).keys()
    assert unnamed_state_dict(CLOCK) is None
    with pytest.raises(CheckpointError, match="neither a perceptron nor a transformer known here"):
        all_readings({"conv.weight": torch.ones(3, 4), "conv2.weight": torch.ones(9, 9)})


def test_a_perceptron_can_be_described_or_found_in_state_dicts_in_memory():
    spec, task = planted.summing_spec(), gi.TaskSpec(p=P)
    w = {n: v.float() for n, v in planted.summing_parameters(P, (2, 5)).items()}
    half = {n: 0.5 * v for n, v in w.items()}
    own = gi.Run.from_state_dicts({0: half, 9: w}, task=task, model=spec)
    _, theirs = next(perceptrons())
    halves = {n: 0.5 * v for n, v in theirs.items()}
    for run in (
        own,
        gi.Run.from_state_dicts({0: halves, 9: theirs}, task=task, model=spec),
        gi.Run.from_state_dicts({0: halves, 9: theirs}, task=task),
    ):
        assert run.spec.act_fn == "relu" and run.steps == (0, 9)
        for step in run.steps:
            torch.testing.assert_close(run.logits(step), own.logits(step), **SAME)
    wide = MlpSpec(widths=(33,), embedding="shared", d_embed=4, combination="summed")
    with pytest.raises(CheckpointError, match=r"step 9: its shapes \(.*the given model"):
        gi.Run.from_state_dicts({9: theirs}, task=task, model=wide)


# --- what the user says -----------------------------------------------------------------


def test_a_given_activation_is_that_of_a_network_under_other_names(tmp_path):
    torch.save(named(LLAMA), tmp_path / "step_5.pt")
    assert gi.load_run(tmp_path / "step_5.pt").spec.act_fn == "relu"
    for act_fn in ("gelu", "square"):
        run = gi.load_run(tmp_path / "step_5.pt", model=ModelSpec(act_fn=act_fn))
        assert run.spec.act_fn == act_fn and run.spec.n_heads == SPEC.n_heads
        expected = pair_logits(CLOCK, run.spec, GRID)
        torch.testing.assert_close(run.logits(5), expected, **SAME)
    with pytest.raises(CheckpointError, match=r"n_heads=3 is given, .* with n_heads=1 or 2 or 5, "):
        gi.load_run(tmp_path / "step_5.pt", model=ModelSpec(n_heads=3))
    with pytest.raises(
        CheckpointError, match="architecture='mlp' is given, .* no such field, a transformer"
    ):
        gi.load_run(tmp_path / "step_5.pt", model=MlpSpec())


def test_a_perceptron_in_a_file_is_read_as_it_is_described(tmp_path):
    for i, (embedding, state) in enumerate(perceptrons()):
        folder = tmp_path / f"net {i}"
        folder.mkdir()
        for step, factor in ((10, 0.5), (40, 1.0)):
            torch.save({n: factor * v for n, v in state.items()}, folder / f"step_{step}.pt")
        run = gi.load_run(folder, model=MlpSpec(act_fn="gelu"), task=gi.TaskSpec(p=P))
        assert (run.spec.act_fn, run.spec.embedding) == ("gelu", embedding)
        assert run.steps == (10, 40) and run.parameters(10).keys() == run.parameters(40).keys()
        assert gi.load_run(folder, task=gi.TaskSpec(p=P)).spec.act_fn == "relu"


def test_a_given_task_is_judged_under_other_names_too(tmp_path):
    torch.save(named(LLAMA), tmp_path / "step_5.pt")
    right = gi.load_run(tmp_path / "step_5.pt", task=gi.TaskSpec(p=P))
    assert "The task was given" in right.origin and not right.doubts
    # Only what is typed counts on the command line, and the modulus is that of the network.
    unsized = Hints(task={"operation": "subtraction"})
    assert "addition explains" in load(ForeignPath(tmp_path / "step_5.pt"), unsized).doubts[0]
    wrong = gi.load_run(tmp_path / "step_5.pt", task=gi.TaskSpec(operation="subtraction", p=P))
    assert "addition explains 100.0%" in wrong.doubts[0]
    generator = torch.Generator().manual_seed(0)
    state = {n: torch.randn(v.shape, generator=generator) for n, v in named(LLAMA).items()}
    torch.save(state, tmp_path / "step_5.pt")
    with pytest.raises(CheckpointError, match="of the given task, addition modulo 13"):
        gi.load_run(tmp_path / "step_5.pt", task=gi.TaskSpec(p=P))


def test_a_network_that_only_memorized_is_read_where_its_pairs_are_given(tmp_path):
    """The readout is solved for, so that 20 pairs are right and the others at chance."""
    embed = torch.randn(P, 32, generator=torch.Generator().manual_seed(0))
    rows = torch.randperm(P * P, generator=torch.Generator().manual_seed(1))[:20]
    hidden = torch.tanh(embed[GRID].sum(1))
    labels = nn.functional.one_hot(GRID.sum(1) % P, P).float()
    out = torch.linalg.lstsq(hidden[rows], 9 * labels[rows], driver="gelsd").solution
    state = {"embed.weight": embed, "l1.weight": torch.eye(32), "l2.weight": linear(out)}
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="names are not known"):
        gi.load_run(tmp_path / "net.pt")
    run = gi.load_run(tmp_path / "net.pt", train_pairs=rows)
    assert run.spec.act_fn == "tanh" and not run.doubts
    assert "100.00% of the training pairs" in run.origin


def test_a_config_stored_beside_other_names_decides_or_is_refused(tmp_path):
    path = tmp_path / "net.pt"
    state = named(GPT2, keep)
    torch.save({"model": state, "config": {"n_head": SPEC.n_heads, "act": "gelu", "lr": 1}}, path)
    assert gi.load_run(path).spec.act_fn == "gelu"
    # What the user says goes before it.
    relu = gi.load_run(path, model=ModelSpec(act_fn="relu", n_heads=SPEC.n_heads))
    assert relu.spec.act_fn == "relu"
    torch.save({"model": state, "config": {"n_head": 7}}, path)
    with pytest.raises(CheckpointError, match="its stored config has n_heads=7, but names"):
        gi.load_run(path)
    torch.save({"model": state, "config": {"positional_embedding_type": "rotary"}}, path)
    with pytest.raises(CheckpointError, match="positional_embedding_type='rotary'"):
        gi.load_run(path)
