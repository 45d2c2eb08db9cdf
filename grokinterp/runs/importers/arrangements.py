"""Orders in which tokens may stand, and what each takes to be read as the library's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from grokinterp.errors import CheckpointError
from grokinterp.models import ModelSpec

ARRANGEMENTS = {
    "a b": "a_b",
    "a b =": "a_b_equals",
    "= a b": "equals_a_b",
    "a o b": "equals_a_b",
    "a o b =": "a_op_b_equals",
    "a = b o": "a_op_b_equals",
}
"""Orders in which tokens may stand, and the ``input_format`` that each is read as. ``a o b``
has its sign in the middle: to the last position, which sees all, a sign in front is the same once
the rows of ``W_pos`` have changed places. In ``a = b o`` the tokens of the signs are swapped."""


def usual_arrangement(W_pos: Tensor) -> str:
    """Key of :data:`ARRANGEMENTS` that networks with that many positions usually have.

    Raises
    ------
    CheckpointError
        If there are fewer than 2 positions or more than 4.
    """
    usual = {2: "a b", 3: "a b =", 4: "a o b ="}
    if len(W_pos) not in usual:
        raise CheckpointError(
            f"W_pos has shape {tuple(W_pos.shape)}, {len(W_pos)} positions; expected 3 (a b =), "
            "2 (a b) or 4 (a o b =)."
        )
    return usual[len(W_pos)]


def rearrange(
    kept: dict[str, Tensor], spec: ModelSpec, arrangement: str, *, use_attn_scale: bool
) -> None:
    """Bring the order of tokens and the scale of attention to the library's, in place."""
    if arrangement == "a o b":
        kept["pos_embed.W_pos"] = kept["pos_embed.W_pos"][[1, 0, 2]]
    if arrangement == "a = b o":
        W_E = kept["embed.W_E"]
        kept["embed.W_E"] = torch.cat([W_E[:-2], W_E[[-1, -2]]])
    if not use_attn_scale:
        for layer in range(spec.n_layers):
            for name in (f"blocks.{layer}.attn.W_Q", f"blocks.{layer}.attn.b_Q"):
                kept[name] = kept[name] * math.sqrt(spec.d_head)
