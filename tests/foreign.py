"""Files that other people's code would write, and the published ones where they are at hand.

The forward pass here is written from the published formulas, in the published orientation of
the weights, and knows nothing of the library.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

DATA = Path(os.environ.get("GROKINTERP_DATA", Path(__file__).resolve().parents[2] / "shared/data"))


def data_file(name):
    """A published checkpoint; the test is skipped where it is not at hand."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not in {DATA}; set GROKINTERP_DATA to the folder that holds it")
    return path


def transposed_state(
    *, p, n_ctx=3, n_layers=1, d_model=8, n_heads=2, d_head=4, d_mlp=12, n_out=None, seed=0
):
    """Random weights in the orientation of Nanda et al. 2023 and Zhong et al. 2023."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return 0.6 * torch.randn(*shape, generator=generator)

    d_vocab = p + 1 if n_ctx == 3 else p
    state = {"embed.W_E": random(d_model, d_vocab), "pos_embed.W_pos": random(n_ctx, d_model)}
    for layer in range(n_layers):
        attn, mlp = f"blocks.{layer}.attn.", f"blocks.{layer}.mlp."
        for letter in "KQV":
            state[f"{attn}W_{letter}"] = random(n_heads, d_head, d_model)
        state[f"{attn}W_O"] = random(d_model, n_heads * d_head)
        state[f"{attn}mask"] = torch.tril(torch.ones(n_ctx, n_ctx))
        state[f"{mlp}W_in"], state[f"{mlp}b_in"] = random(d_mlp, d_model), random(d_mlp)
        state[f"{mlp}W_out"], state[f"{mlp}b_out"] = random(d_model, d_mlp), random(d_model)
    return state | {"unembed.W_U": random(d_model, n_out or d_vocab)}


def published_logits(state, tokens, *, is_causal=True, rate=1.0):
    """Logits at the last position: one sequence and one head at a time, in float64."""
    w = {name: value.double().numpy() for name, value in state.items()}
    n_layers = 1 + max(int(name.split(".")[1]) for name in w if name.startswith("blocks."))
    result = []
    for sequence in tokens:
        x = w["embed.W_E"][:, list(sequence)].T + w["pos_embed.W_pos"]
        for layer in range(n_layers):
            attn, mlp = f"blocks.{layer}.attn.", f"blocks.{layer}.mlp."
            heads = []
            for K, Q, V in zip(*(w[f"{attn}W_{letter}"] for letter in "KQV"), strict=True):
                keys, queries, values = x @ K.T, x @ Q.T, x @ V.T
                scores = queries @ keys.T / np.sqrt(len(K))
                if is_causal:
                    scores = np.where(np.tril(np.ones_like(scores)) == 1, scores, -1e10)
                weights = np.exp(scores - scores.max(axis=1, keepdims=True))
                pattern = rate * weights / weights.sum(axis=1, keepdims=True) + (1 - rate)
                heads.append(pattern @ values)
            x = x + np.concatenate(heads, axis=1) @ w[f"{attn}W_O"].T
            hidden = np.maximum(x @ w[f"{mlp}W_in"].T + w[f"{mlp}b_in"], 0)
            x = x + hidden @ w[f"{mlp}W_out"].T + w[f"{mlp}b_out"]
        result.append(x[-1] @ w["unembed.W_U"])
    return np.stack(result)


def in_published_orientation(parameters, *, extra_output=True):
    """Parameters of the library as Nanda et al.'s code would have stored them."""
    state = {}
    for name, value in parameters.items():
        leaf = name.rsplit(".", 1)[-1]
        if leaf in ("W_Q", "W_K", "W_V"):
            state[name] = value.permute(0, 2, 1).contiguous()
        elif leaf == "W_O":
            state[name] = value.reshape(-1, value.shape[-1]).T.contiguous()
        elif leaf in ("W_E", "W_in", "W_out"):
            state[name] = value.T.contiguous()
        elif leaf in ("W_pos", "W_U", "b_in", "b_out"):
            state[name] = value
    if extra_output:
        W_U = state["unembed.W_U"]
        state["unembed.W_U"] = torch.cat([W_U, torch.full_like(W_U[:, :1], -0.01)], dim=1)
    return state
