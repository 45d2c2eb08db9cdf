"""Logits of a transformer in whose attention heads or residual stream something was replaced."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.circuits.interventions import (
    Intervention,
    evaluated_rows,
    replaced,
    require_rest,
)
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.errors import ConfigError
from grokinterp.models.transformer import transformer_logits

_SEQUENCES_AT_A_TIME = 4096


def at_heads(
    snapshot: Snapshot, frequencies: tuple[int, ...], intervention: Intervention
) -> Float[Tensor, "row c"]:
    """Logits after an intervention on one attention head, or on all heads of a block.

    Raises
    ------
    ConfigError
        If the network has no such head, or nothing else to replace.
    """
    snapshot.network.require("blocks")
    layer, head = _layer_and_head(snapshot, intervention)
    rows = evaluated_rows(snapshot)

    if layer == snapshot.spec.n_layers - 1:
        # What follows reads only the sum of the heads, and so does every kind of filling.
        block = snapshot.last_block
        everything = block.heads.sum(dim=1)
        component = everything if head is None else block.heads[:, head]
        attn_out = block.attn_out()
        attn_out[rows] += replaced(everything[rows], component[rows], intervention)
        return block.logits(attn_out=attn_out - everything)[rows]

    def change(written: Float[Tensor, "row ... head x"]) -> Float[Tensor, "row ... head x"]:
        mask = torch.zeros(written.shape[-2], 1)
        mask[slice(None) if head is None else head] = 1
        return replaced(written, written * mask, intervention)

    return _with_hook(snapshot, f"blocks.{layer}.attn.hook_z", rows, change)


def _with_hook(
    snapshot: Snapshot, name: str, rows: Int[Tensor, " row"], change: Callable[[Tensor], Tensor]
) -> Float[Tensor, "row c"]:
    tokens = snapshot.tokens[rows]
    kept: list[Tensor] = []

    def keep(at: str, activation: Tensor) -> Tensor:
        if at == name:
            kept.append(activation)
        return activation

    with torch.no_grad():
        parts = tokens.split(_SEQUENCES_AT_A_TIME)
        for part in parts:
            transformer_logits(snapshot.parameters, part, snapshot.spec, keep)
        # Means and resampled values are those over all pairs, not over a part.
        changed = iter(change(torch.cat(kept)).split(_SEQUENCES_AT_A_TIME))

        def put(at: str, activation: Tensor) -> Tensor:
            return next(changed) if at == name else activation

        logits = [
            transformer_logits(snapshot.parameters, part, snapshot.spec, put)[:, -1]
            for part in parts
        ]
    return torch.cat(logits)[:, : snapshot.task.n_classes]


def _layer_and_head(snapshot: Snapshot, intervention: Intervention) -> tuple[int, int | None]:
    spec = snapshot.spec
    component = intervention.component
    layer = spec.n_layers - 1 if component.layer is None else component.layer
    head = component.which if isinstance(component.which, int) else None
    if layer >= spec.n_layers or (head is not None and head >= spec.n_heads):
        raise ConfigError(
            f"{component} does not exist: the network has layers 0 .. "
            f"{spec.n_layers - 1} with heads 0 .. {spec.n_heads - 1}."
        )
    if head is None or spec.n_heads == 1:
        require_rest(intervention)
    return layer, head


def at_paths(
    snapshot: Snapshot, frequencies: tuple[int, ...], intervention: Intervention
) -> Float[Tensor, "row c"]:
    """Logits after a path of the last block's residual stream was given another value.

    Raises
    ------
    ConfigError
        If everything but the path is to be replaced.
    """
    require_rest(intervention)
    rows = evaluated_rows(snapshot)
    block = snapshot.last_block

    def filled(edge: Float[Tensor, "pair d_model"]) -> Float[Tensor, "pair d_model"]:
        edge = edge.clone()
        edge[rows] = replaced(edge[rows], edge[rows], intervention)
        return edge

    if intervention.component.kind == "path_around_attention":
        return block.logits(around_attention=filled(block.resid_pre))[rows]
    if intervention.component.kind == "path_around_mlp":
        return block.logits(around_mlp=filled(block.resid_mid))[rows]
    # The bias of attention belongs to no head and stays.
    heads = block.heads.sum(dim=1)
    changed = block.resid_mid_with(block.attn_out() - heads + filled(heads))
    if intervention.component.kind == "attention_to_mlp":
        return block.logits(mlp_in=changed)[rows]
    return block.logits(around_mlp=changed)[rows]
