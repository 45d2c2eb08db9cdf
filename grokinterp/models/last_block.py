r"""The last block at the position that is read: every edge from the residual stream to logits.

With :math:`r` the residual stream that the block reads and :math:`h_j` what head j writes,

.. math::
    m &= r + \sum_j h_j + b_O \\
    \mathrm{logits} &= (m + \mathrm{act}(m W_{in} + b_{in})\, W_{out} + b_{out})\, W_U + b_U .

Each term of the two sums is an edge whose value can be replaced on its own: the skip connection of
attention (:math:`r`), each head, what the MLP reads, what it writes, and the skip connection of the
MLP (the first :math:`m`). Ablations and replacements of attention patterns, heads, neurons and
residual paths are all changes of these terms, at any depth of the network.

Norms are applied where the network has them, to the changed values: before what attention, the MLP
and the unembedding read, or after each of the two sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.models import ModelSpec
from grokinterp.models.norms import normalized
from grokinterp.models.transformer import (
    ACTIVATIONS,
    Hook,
    no_hook,
    transformer_logits,
    unembedding,
)

_SEQUENCES_AT_A_TIME = 4096


@dataclass(frozen=True, eq=False)
class LastBlock:
    """What the last block reads and writes at the last position, one row per pair.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> block = snapshot.last_block
    >>> without_mlp = block.logits(mlp_out=0 * block.mlp_out())
    >>> without_mlp.shape
    torch.Size([169, 13])
    """

    weights: Mapping[str, Tensor]
    """The block's weights and the unembedding, by short name."""
    spec: ModelSpec
    """Shape of the network."""
    resid_pre: Float[Tensor, "pair d_model"]
    """Residual stream that the block reads at the last position."""
    pattern: Float[Tensor, "pair head pos"]
    """Attention from the last position to every position."""
    values: Float[Tensor, "pair pos head d_head"]
    """Values of every position."""

    @classmethod
    def of(
        cls,
        parameters: Mapping[str, Tensor],
        spec: ModelSpec,
        tokens: Int[Tensor, "pair pos"],
        n_answers: int,
    ) -> LastBlock:
        """Run a network of any depth on token sequences and keep its last block.

        Logits are those of the answers, the first `n_answers` outputs.
        """
        prefix = f"blocks.{spec.n_layers - 1}."
        kept: dict[str, list[Tensor]] = {"resid_pre": [], "pattern": [], "values": []}

        def keep(name: str, activation: Tensor) -> Tensor:
            if name == prefix + "hook_resid_pre":
                kept["resid_pre"].append(activation[:, -1].clone())
            elif name == prefix + "attn.hook_pattern":
                kept["pattern"].append(activation[:, :, -1].clone())
            elif name == prefix + "attn.hook_v":
                kept["values"].append(activation)
            return activation

        with torch.no_grad():
            for part in tokens.split(_SEQUENCES_AT_A_TIME):
                transformer_logits(parameters, part, spec, keep)
        weights = {
            name.removeprefix(prefix).removeprefix("attn.").removeprefix("mlp."): value
            for name, value in parameters.items()
            if name.startswith((prefix, "ln_final."))
        }
        W_U = unembedding(parameters, spec)[:, :n_answers]
        weights |= {"W_U": W_U, "b_U": parameters["unembed.b_U"][:n_answers]}
        return cls(weights, spec, **{name: torch.cat(x) for name, x in kept.items()})

    def of_rows(self, rows: Int[Tensor, " row"]) -> LastBlock:
        """Return the block on some of its pairs."""
        return replace(
            self,
            resid_pre=self.resid_pre[rows],
            pattern=self.pattern[rows],
            values=self.values[rows],
        )

    @cached_property
    def heads(self) -> Float[Tensor, "pair head d_model"]:
        """What each head writes."""
        return self.heads_with(self.pattern)

    def heads_with(
        self, pattern: Float[Tensor, "pair head pos"]
    ) -> Float[Tensor, "pair head d_model"]:
        """What each head would write with another attention pattern."""
        z = einsum(pattern, self.values, "pair head pos, pair pos head d_head -> pair head d_head")
        return einsum(
            z, self.weights["W_O"], "pair head d_head, head d_head d_model -> pair head d_model"
        )

    def attn_out(
        self, heads: Float[Tensor, "pair head d_model"] | None = None
    ) -> Float[Tensor, "pair d_model"]:
        """What attention writes: the sum of its heads and the bias."""
        heads = self.heads if heads is None else heads
        return heads.sum(dim=1) + self.weights["b_O"]

    @cached_property
    def resid_mid(self) -> Float[Tensor, "pair d_model"]:
        """Residual stream between attention and MLP."""
        return self.resid_mid_with(self.attn_out())

    def resid_mid_with(
        self,
        attn_out: Float[Tensor, "pair d_model"],
        around_attention: Float[Tensor, "pair d_model"] | None = None,
    ) -> Float[Tensor, "pair d_model"]:
        """Residual stream between attention and MLP if attention wrote something else."""
        resid_pre = self.resid_pre if around_attention is None else around_attention
        total = resid_pre + attn_out
        return self._norm("ln1.", total) if self.spec.norm_position == "after" else total

    def pre_activations(
        self, resid: Float[Tensor, "pair d_model"], neurons: Any = slice(None)
    ) -> Float[Tensor, "pair neuron"]:
        """Pre-activations of some neurons; in a gated MLP, those of the gate."""
        gate = "W_gate" if self.spec.gated_mlp else "W_in"
        pre = self._mlp_reads(resid) @ self.weights[gate][:, neurons]
        return pre if self.spec.gated_mlp else pre + self.weights["b_in"][neurons]

    def neurons(self, resid: Float[Tensor, "pair d_model"]) -> Float[Tensor, "pair neuron"]:
        """Activations of the neurons if the MLP reads the residual stream `resid`."""
        post = ACTIVATIONS[self.spec.act_fn](self.pre_activations(resid))
        if not self.spec.gated_mlp:
            return post
        return post * (self._mlp_reads(resid) @ self.weights["W_in"]) + self.weights["b_in"]

    def _mlp_reads(self, resid: Float[Tensor, "pair d_model"]) -> Float[Tensor, "pair d_model"]:
        return self._norm("ln2.", resid) if self.spec.has_final_norm else resid

    def _norm(
        self, name: str, x: Float[Tensor, "pair d_model"], hook: Hook = no_hook
    ) -> Float[Tensor, "pair d_model"]:
        return normalized(self.weights, name, x, self.spec, hook)

    def mlp_out(
        self, neurons: Float[Tensor, "pair neuron"] | None = None
    ) -> Float[Tensor, "pair d_model"]:
        """What the MLP writes, with its own activations or others."""
        if neurons is None:
            return self.mlp(self.resid_mid)
        return neurons @ self.weights["W_out"] + self.weights["b_out"]

    def mlp(self, resid: Float[Tensor, "pair d_model"]) -> Float[Tensor, "pair d_model"]:
        """What an MLP that reads `resid` writes, a few thousand pairs at a time; 0 without one."""
        if self.spec.attn_only:
            return torch.zeros_like(resid)
        parts = resid.split(_SEQUENCES_AT_A_TIME)
        return torch.cat([self.mlp_out(self.neurons(part)) for part in parts])

    @property
    def last_norm(self) -> str | None:
        """Norm between the MLP's output and the unembedding; None if there is none."""
        if self.spec.has_final_norm:
            return "ln_final."
        is_after = self.spec.norm_position == "after" and not self.spec.attn_only
        return "ln2." if is_after else None

    def last_scale(self) -> Float[Tensor, " pair"]:
        """Divisor of that norm for each pair, float64."""
        assert self.last_norm is not None
        kept: list[Tensor] = []

        def keep(name: str, value: Tensor) -> Tensor:
            if name.endswith("hook_scale"):
                kept.append(value)
            return value

        self._norm(self.last_norm, (self.resid_mid + self.mlp_out()).double(), keep)
        return kept[0][:, 0]

    def logits(
        self,
        *,
        around_attention: Float[Tensor, "pair d_model"] | None = None,
        attn_out: Float[Tensor, "pair d_model"] | None = None,
        mlp_in: Float[Tensor, "pair d_model"] | None = None,
        mlp_out: Float[Tensor, "pair d_model"] | None = None,
        around_mlp: Float[Tensor, "pair d_model"] | None = None,
    ) -> Float[Tensor, "pair c"]:
        """Logits with other values of some edges; later edges are recomputed.

        Parameters
        ----------
        around_attention
            In place of the residual stream that bypasses attention.
        attn_out
            In place of what attention writes.
        mlp_in
            Residual stream that the MLP alone reads.
        mlp_out
            What the MLP writes.
        around_mlp
            What bypasses the MLP on its way to the logits.
        """
        attn_out = self.attn_out() if attn_out is None else attn_out
        resid_mid = self.resid_mid_with(attn_out, around_attention)
        if mlp_out is None:
            mlp_out = self.mlp(resid_mid if mlp_in is None else mlp_in)
        resid_post = (resid_mid if around_mlp is None else around_mlp) + mlp_out
        if self.last_norm is not None:
            resid_post = self._norm(self.last_norm, resid_post)
        return resid_post @ self.weights["W_U"] + self.weights["b_U"]
