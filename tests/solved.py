"""Networks without training that answer any table, whatever activation, norm or order they have.

Weights are random but for the readout, which is solved for: with as many dimensions as pairs the
vectors that are read at the last position are independent, so that any answers can be had. Read
in another way, the same weights answer at chance.
"""

import math

import numpy as np
import torch

from grokinterp.models import ModelSpec
from grokinterp.models.initialization import parameter_shapes
from grokinterp.models.transformer import input_tokens, transformer_logits


def table_of(function, p):
    a, b = np.indices((p, p))
    return np.asarray(function(a, b)) % p


def state_of(table, rows=None, *, arrangement=None, use_attn_scale=True, seed=0, size=1.0, **kind):
    """State dict of a network that answers a table, on some rows of its pairs or on all.

    On the other pairs it answers whatever comes of the minimal readout, that is at chance.
    """
    table = np.asarray(table)
    p = len(table)
    width = p * p + 8
    spec = ModelSpec(
        **{"d_model": width, "n_heads": 4, "d_head": 8, "d_mlp": 2 * width, "biases": "all", **kind}
    )
    sizes = spec.vocabulary_sizes(p)
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in parameter_shapes(spec, **sizes).items():
        drawn = torch.randn(*shape, generator=generator)
        fan = {"W_O": 32, "W_out": 2 * width}.get(name.rsplit(".", 1)[-1], width)
        # What is the same for all pairs is small, so that the vectors that are read differ.
        is_small = name.rsplit(".", 1)[-1].startswith("b") or name == "pos_embed.W_pos"
        state[name] = drawn * (0.3 if is_small else size / math.sqrt(fan))
        if name.endswith(".w"):
            state[name] = 1 + 0.3 * drawn
    state["embed.W_E"] = state["embed.W_E"] * math.sqrt(width) / size
    state["embed.W_E"][p:] *= 0.3
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    read = {}

    def keep(name, activation):
        read[name] = activation
        return activation

    transformer_logits(state, input_tokens(pairs, spec, sizes["d_vocab"]), spec, keep)
    vectors = read["unembed.hook_in"][:, -1].double()
    wanted = torch.nn.functional.one_hot(torch.tensor(table.reshape(-1)), p).double()
    rows = torch.arange(p * p) if rows is None else torch.as_tensor(rows)
    W_U = torch.linalg.lstsq(vectors[rows], 12 * wanted[rows], driver="gelsd").solution
    state |= {"unembed.W_U": W_U.float(), "unembed.b_U": torch.zeros(p)}
    return _in_the_file(state, spec, arrangement, use_attn_scale)


def _in_the_file(state, spec, arrangement, use_attn_scale):
    """Undo what the importer will do."""
    if arrangement == "a o b":
        state["pos_embed.W_pos"] = state["pos_embed.W_pos"][[1, 0, 2]]
    if arrangement == "a = b o":
        state["embed.W_E"] = torch.cat([state["embed.W_E"][:-2], state["embed.W_E"][[-1, -2]]])
    if not use_attn_scale:
        for name in list(state):
            if name.endswith(("attn.W_Q", "attn.b_Q")):
                state[name] = state[name] / math.sqrt(spec.d_head)
    return state
