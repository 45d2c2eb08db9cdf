"""The parts of a transformer: everything that a snapshot can have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.models.last_block import LastBlock
from grokinterp.models.network_parts import NetworkParts, Operands, PartName, Readout
from grokinterp.models.norms import CENTERED
from grokinterp.models.pair_activations import pair_activations
from grokinterp.models.pair_tables import PairActivations, forward_pairs, has_pair_tables
from grokinterp.models.spec import ModelSpec
from grokinterp.models.transformer import (
    ACTIVATIONS,
    input_tokens,
    transformer_logits,
    unembedding,
)
from grokinterp.portions import Joined

_PAIRS_AT_A_TIME = 8192


@dataclass(frozen=True, eq=False)
class TransformerParts(NetworkParts):
    """A transformer's weights and what it computes on all pairs, at the last position.

    Examples
    --------
    >>> from grokinterp.models.initialization import initial_parameters
    >>> spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=16)
    >>> weights = initial_parameters(spec, d_vocab=6, n_ctx=3, d_vocab_out=5)
    >>> pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    >>> parts = TransformerParts.of(weights, spec, pairs, n_tokens=5, n_answers=5)
    >>> parts.logits.shape, parts.operands.a.shape, parts.readout.W_L.shape
    (torch.Size([25, 5]), torch.Size([5, 8]), torch.Size([16, 5]))
    """

    parameters: Mapping[str, Tensor]
    """Weights under their TransformerLens names."""
    spec: ModelSpec
    """Shape of the network."""
    pairs: Int[Tensor, "pair 2"]
    """Tokens a and b of every pair."""
    n_tokens: int
    """Number of tokens that a and b can be; others, such as ``=``, follow them."""
    n_answers: int
    """Number of answers, which are the first outputs; there may be more, such as one for ``=``."""
    activations: PairActivations = field(repr=False)
    """Pattern, neurons and logits of all pairs."""

    @classmethod
    def of(
        cls,
        parameters: Mapping[str, Tensor],
        spec: ModelSpec,
        pairs: Int[Tensor, "pair 2"],
        n_tokens: int,
        n_answers: int,
    ) -> TransformerParts:
        """Run the network once on all pairs."""
        with torch.no_grad():
            found = _forward(parameters, spec, pairs, n_answers)
        if found.logits.shape[1] != n_answers:
            found = replace(found, logits=found.logits[:, :n_answers].contiguous())
        return cls(dict(parameters), spec, pairs, n_tokens, n_answers, found)

    @property
    def in_words(self) -> str:
        """``transformer of 1 layer: d_model 128, 4 heads, d_mlp 512``."""
        return self.spec.in_words

    @property
    def missing(self) -> Mapping[PartName, str]:
        """Reason for each part that is missing."""
        return missing_in_transformer(self.spec)

    @property
    def logits(self) -> Float[Tensor, "pair c"]:
        """Logits of the answers."""
        return self.activations.logits

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Weights under their TransformerLens names."""
        return self.parameters

    @cached_property
    def operands(self) -> Operands:
        """Rows of W_E, for a and b alike unless each has rows of its own."""
        W_E, n = self.parameters["embed.W_E"], self.n_tokens
        if self.spec.operand_embeddings == "separate":
            return Operands(W_E[:n], W_E[n : 2 * n])
        table = W_E[:n]
        return Operands(table, table)

    @property
    def neurons(self) -> Float[Tensor, "pair neuron"]:
        """Activations after the nonlinearity (last block)."""
        self.require("neurons")
        assert self.activations.neurons is not None
        return self.activations.neurons

    @property
    def pattern(self) -> Float[Tensor, "pair head pos"]:
        """Attention from the last position to all positions (last block)."""
        return self.activations.pattern

    @property
    def operand_positions(self) -> tuple[int, int]:
        """Positions of a and of b in the input sequence."""
        return self.spec.operand_positions

    @property
    def tokens(self) -> Int[Tensor, "pair pos"]:
        """Input sequence of every pair."""
        return input_tokens(self.pairs, self.spec, len(self.parameters["embed.W_E"]))

    @cached_property
    def last_block(self) -> LastBlock:
        """Every edge from the last block's residual stream to the logits."""
        return LastBlock.of(self.parameters, self.spec, self.tokens, self.n_answers)

    @property
    def pre_activations(self) -> Float[Tensor, "pair neuron"]:
        """Pre-activations of the last block's neurons; in a gated MLP, those of the gate.

        Computed at every access.
        """
        self.require("pre_activations")
        return self.last_block.pre_activations(self.last_block.resid_mid)

    def pre_activations_of(self, neurons: Int[Tensor, " some"]) -> Float[Tensor, "pair some"]:
        """Pre-activations of some neurons of the last block."""
        self.require("pre_activations")
        return self.last_block.pre_activations(self.last_block.resid_mid, neurons)

    @cached_property
    def readout(self) -> Readout:
        """``W_out @ W_U`` of the last block.

        With a norm before the unembedding, its centering and its weights come between the two,
        and its scale at every pair is frozen.
        """
        self.require("readout")
        W_out = self.parameters[f"blocks.{self.spec.n_layers - 1}.mlp.W_out"].double()
        W_U = unembedding(self.parameters, self.spec)[:, : self.n_answers].double()
        if self.spec.normalization == "none":
            return Readout(W_out @ W_U)
        block = self.last_block
        if self.spec.normalization in CENTERED:
            W_out = W_out - W_out.mean(dim=1, keepdim=True)
        weight = block.weights.get(f"{block.last_norm}w")
        W_out = W_out if weight is None else W_out * weight.double()
        return Readout(W_out @ W_U, block.last_scale())

    def logits_from_operands(
        self, a: Float[Tensor, "row d"], b: Float[Tensor, "row e"], rows: Int[Tensor, " row"]
    ) -> Float[Tensor, "row c"]:
        """Logits with other embeddings of a and b at their positions."""

        def use(name: str, activation: Tensor) -> Tensor:
            if name != "hook_embed":
                return activation
            changed = activation.clone()
            at_a, at_b = self.operand_positions
            changed[:, at_a], changed[:, at_b] = a, b
            return changed

        tokens = self.tokens[rows]
        logits = transformer_logits(self._constants, tokens, self.spec, use, last_only=True)
        return logits[:, -1, : self.n_answers]

    def chosen_logits(
        self,
        a: Float[Tensor, "row d"],
        b: Float[Tensor, "row e"],
        rows: Int[Tensor, " row"],
        classes: Int[Tensor, " row"],
    ) -> Float[Tensor, " row"]:
        """One logit of each pair; by tables where the network has them."""
        if has_pair_tables(self.spec):
            return _one_layer_logits(self._constants, self.spec, torch.stack([a, b], 1), classes)
        return super().chosen_logits(a, b, rows, classes)

    def with_operands(self, operands: Operands) -> TransformerParts:
        """Run the network on all pairs with other rows of W_E.

        Raises
        ------
        ValueError
            If a and b are given different tables, which one embedding cannot hold.
        """
        is_separate = self.spec.operand_embeddings == "separate"
        if not (operands.is_shared or is_separate):
            raise ValueError("this transformer has one embedding for a and b")
        W_E, n = self.parameters["embed.W_E"].clone(), self.n_tokens
        W_E[:n] = operands.a.to(W_E.dtype)
        if is_separate:
            W_E[n : 2 * n] = operands.b.to(W_E.dtype)
        changed = {**self.parameters, "embed.W_E": W_E}
        # Only the input embeddings change: a tied W_U stays as it was.
        spec = replace(self.spec, tied_embeddings=False)
        return TransformerParts.of(changed, spec, self.pairs, self.n_tokens, self.n_answers)

    def logits_from_neurons(
        self, neurons: Float[Tensor, "row neuron"], rows: Int[Tensor, " row"]
    ) -> Float[Tensor, "row c"]:
        """Logits with other activations of the last block's neurons."""
        self.require("way_from_neurons")
        block = self.last_block.of_rows(rows)
        return block.logits(mlp_out=block.mlp_out(neurons))

    def without_cache(self) -> TransformerParts:
        """Return the same parts without the edges of the last block."""
        return replace(self)

    @property
    def _constants(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self.parameters.items()}


def missing_in_transformer(spec: ModelSpec) -> dict[PartName, str]:
    """Return the reason for each part that such a transformer does not have.

    Examples
    --------
    >>> missing_in_transformer(ModelSpec())
    {}
    """
    if not spec.attn_only:
        return {}
    absent: tuple[PartName, ...] = ("neurons", "pre_activations", "readout", "way_from_neurons")
    return dict.fromkeys(absent, "an attention-only transformer has no neurons")


def _forward(
    parameters: Mapping[str, Tensor],
    spec: ModelSpec,
    pairs: Int[Tensor, "pair 2"],
    n_answers: int,
) -> PairActivations:
    if has_pair_tables(spec):
        return pair_activations(parameters, spec, pairs, n_answers)
    # Networks without tables keep all positions of every activation while they run.
    pattern, neurons, logits = (Joined(len(pairs)) for _ in range(3))
    for some in pairs.split(_PAIRS_AT_A_TIME):
        part = forward_pairs(parameters, spec, some)
        pattern.add(part.pattern)
        logits.add(part.logits)
        if part.neurons is not None:
            neurons.add(part.neurons)
    return PairActivations(pattern.rows, None if spec.attn_only else neurons.rows, logits.rows)


def _one_layer_logits(
    weights: Mapping[str, Tensor],
    spec: ModelSpec,
    operands: Float[Tensor, "triple 2 d_model"],
    classes: Int[Tensor, " triple"],
) -> Float[Tensor, " triple"]:
    # The query is that of ``=`` in every triple, only the last position is read, and of the
    # logits only one: W_O W_in and W_out W_U are multiplied before they meet the triples.
    w = {name.rsplit(".", 1)[-1]: value for name, value in weights.items()}
    equals = w["W_E"][-1] + w["W_pos"][2]
    residual = torch.cat([operands + w["W_pos"][:2], equals.expand(len(operands), 1, -1)], dim=1)
    query = torch.einsum("m,hmd->hd", equals, w["W_Q"]) + w["b_Q"]
    key_direction = torch.einsum("hmd,hd->mh", w["W_K"], query) / math.sqrt(spec.d_head)
    # What b_K adds is the same at every position and drops out of the softmax.
    pattern = (residual @ key_direction).softmax(dim=1)
    W_V = w["W_V"].movedim(0, 1).flatten(1)
    values = (residual @ W_V + w["b_V"].flatten()).unflatten(-1, (spec.n_heads, spec.d_head))
    z = (pattern[..., None] * values).sum(dim=1).flatten(1)
    constant = equals + w["b_O"]
    W_O = w["W_O"].flatten(0, 1)
    pre = z @ (W_O @ w["W_in"]) + constant @ w["W_in"] + w["b_in"]
    W_L, W_OU = w["W_out"] @ w["W_U"], W_O @ w["W_U"]
    through_mlp = (ACTIVATIONS[spec.act_fn](pre) * W_L.T[classes]).sum(dim=1)
    around_mlp = (z * W_OU.T[classes]).sum(dim=1)
    offset = (constant + w["b_out"]) @ w["W_U"] + w["b_U"]
    return through_mlp + around_mlp + offset[classes]
