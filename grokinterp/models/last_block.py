r"""The last block at the position that is read: every edge from the residual stream to logits.

With :math:`r` the residual stream that the block reads and :math:`h_j` what head j writes,

.. math::
    m &= r + \sum_j h_j + b_O \\
    \mathrm{logits} &= (m + \mathrm{act}(m W_{in} + b_{in})\, W_{out} + b_{out})\, W_U + b_U .

Each term of the two sums is an edge that can be given another value on its own: the way around
attention (:math:`r`), each head, what the MLP reads, what it writes, and the way around the MLP
(the first :math:`m`). Ablations and replacements of attention patterns, heads, neurons and
residual paths are all changes of these terms, at any depth of the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.models import ModelSpec
from grokinterp.models.transformer import ACTIVATIONS, transformer_logits

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
    act_fn: str
    """Name of the neurons' activation."""
    resid_pre: Float[Tensor, "pair d_model"]
    """Residual stream that the block reads at the last position."""
    pattern: Float[Tensor, "pair head pos"]
    """Attention of the last position to every position."""
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
        names = [name for name in parameters if name.startswith((prefix, "unembed."))]
        weights = {name.rsplit(".", 1)[-1]: parameters[name] for name in names}
        weights |= {name: weights[name][..., :n_answers] for name in ("W_U", "b_U")}
        return cls(weights, spec.act_fn, **{name: torch.cat(x) for name, x in kept.items()})

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
        return self.resid_pre + self.attn_out()

    def pre_activations(
        self, mlp_in: Float[Tensor, "pair d_model"]
    ) -> Float[Tensor, "pair neuron"]:
        """What the neurons that read `mlp_in` receive before their nonlinearity."""
        return mlp_in @ self.weights["W_in"] + self.weights["b_in"]

    def neurons(self, mlp_in: Float[Tensor, "pair d_model"]) -> Float[Tensor, "pair neuron"]:
        """Activations of the neurons that read `mlp_in`."""
        return ACTIVATIONS[self.act_fn](self.pre_activations(mlp_in))

    def mlp_out(
        self, neurons: Float[Tensor, "pair neuron"] | None = None
    ) -> Float[Tensor, "pair d_model"]:
        """What the MLP writes, with its own activations or others."""
        if neurons is None:
            return self.mlp(self.resid_mid)
        return neurons @ self.weights["W_out"] + self.weights["b_out"]

    def mlp(self, mlp_in: Float[Tensor, "pair d_model"]) -> Float[Tensor, "pair d_model"]:
        """What an MLP that reads `mlp_in` writes, a few thousand pairs at a time."""
        parts = mlp_in.split(_SEQUENCES_AT_A_TIME)
        return torch.cat([self.mlp_out(self.neurons(part)) for part in parts])

    def logits(
        self,
        *,
        around_attention: Float[Tensor, "pair d_model"] | None = None,
        attn_out: Float[Tensor, "pair d_model"] | None = None,
        mlp_in: Float[Tensor, "pair d_model"] | None = None,
        mlp_out: Float[Tensor, "pair d_model"] | None = None,
        around_mlp: Float[Tensor, "pair d_model"] | None = None,
    ) -> Float[Tensor, "pair c"]:
        """Logits with some of the edges given other values; those after them follow.

        Parameters
        ----------
        around_attention
            In the place of the residual stream that passes attention by.
        attn_out
            In the place of what attention writes.
        mlp_in
            What the MLP alone reads.
        mlp_out
            What the MLP writes.
        around_mlp
            What passes the MLP by on its way to the logits.
        """
        w = self.weights
        resid_pre = self.resid_pre if around_attention is None else around_attention
        resid_mid = resid_pre + (self.attn_out() if attn_out is None else attn_out)
        if mlp_out is None:
            mlp_out = self.mlp(resid_mid if mlp_in is None else mlp_in)
        resid_post = (resid_mid if around_mlp is None else around_mlp) + mlp_out
        return resid_post @ w["W_U"] + w["b_U"]
