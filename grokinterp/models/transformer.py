"""The transformer's forward pass, written once, as a function of its parameters.

The hooked model runs this very function and passes its hooks in; training's general path
and the analysis of deeper networks run it without hooks, and so never need TransformerLens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from grokinterp.errors import ConfigError, ShapeError
from grokinterp.models.initialization import parameter_shapes
from grokinterp.models.norms import normalized
from grokinterp.models.spec import ModelSpec

Hook = Callable[[str, Tensor], Tensor]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
    "tanh": torch.tanh,
    "square": torch.square,
}

HOOKS_BEHIND_FLAGS: dict[str, tuple[str, ...]] = {
    "use_attn_result": ("hook_result",),
    "use_split_qkv_input": ("hook_q_input", "hook_k_input", "hook_v_input"),
    "use_attn_in": ("hook_attn_in",),
    "use_hook_mlp_in": ("hook_mlp_in",),
}
"""TransformerLens's flags and the activations that each of them forms."""


def no_hook(name: str, activation: Tensor) -> Tensor:
    """Let every activation pass unchanged."""
    return activation


def transformer_logits(
    parameters: Mapping[str, Tensor],
    tokens: Int[Tensor, "batch pos"],
    spec: ModelSpec,
    hook: Hook = no_hook,
    *,
    flags: Collection[str] = (),
    last_only: bool = False,
) -> Float[Tensor, "batch pos_or_1 d_vocab_out"]:
    """Logits at every position of a transformer.

    Parameters
    ----------
    parameters
        Weights under their TransformerLens names.
    tokens
        Input sequences.
    spec
        Widths, depth, activation, norms and kind of attention.
    hook
        Called with the TransformerLens name of each activation; what it returns is used in
        the activation's place. It may write into the tensor that it is given.
    flags
        Keys of :data:`HOOKS_BEHIND_FLAGS`: activations as large as ``n_heads`` residual
        streams, which the logits do not need apart and only a hook can want.
    last_only
        Give the logits of the last position alone. From the queries of the last block on, that
        position alone is computed, and hooks see it alone.

    Examples
    --------
    >>> from grokinterp.models.initialization import initial_parameters
    >>> spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=16)
    >>> parameters = initial_parameters(spec, d_vocab=6, n_ctx=3, d_vocab_out=5)
    >>> transformer_logits(parameters, torch.tensor([[1, 2, 5]]), spec).shape
    torch.Size([1, 3, 5])
    """
    return ForwardPass(parameters, spec, hook, frozenset(flags), last_only).logits(tokens)


def input_tokens(
    pairs: Int[Tensor, "pair 2"], spec: ModelSpec, d_vocab: int
) -> Int[Tensor, "pair pos"]:
    """Input sequences of pairs, as ``spec.input_format`` says.

    The signs are the last tokens: ``=``, then that of the operation. With separate embeddings
    the tokens of b follow those of a.

    Examples
    --------
    >>> input_tokens(torch.tensor([[1, 2]]), ModelSpec(), d_vocab=6)
    tensor([[1, 2, 5]])
    >>> input_tokens(torch.tensor([[1, 2]]), ModelSpec(input_format="a_op_b_equals"), d_vocab=7)
    tensor([[1, 6, 2, 5]])
    >>> separate = ModelSpec(operand_embeddings="separate")
    >>> input_tokens(torch.tensor([[1, 2]]), separate, d_vocab=11)
    tensor([[ 1,  7, 10]])
    """
    n_operands = d_vocab - len(spec.signs)
    if spec.operand_embeddings == "separate":
        pairs = pairs + torch.tensor([0, n_operands // 2], device=pairs.device)
    if spec.input_format == "a_b":
        return pairs
    a, b = pairs[:, 0], pairs[:, 1]
    columns = {sign: torch.full_like(a, n_operands + i) for i, sign in enumerate(spec.signs)}
    columns |= {"a": a, "b": b}
    return torch.stack([columns[name] for name in spec.sequence], dim=1)


def unembedding(
    parameters: Mapping[str, Tensor], spec: ModelSpec
) -> Float[Tensor, "d_model d_vocab_out"]:
    """``W_U``, which for tied embeddings is ``W_E`` transposed; differentiable.

    Examples
    --------
    >>> spec = ModelSpec(tied_embeddings=True)
    >>> W_E, b_U = torch.eye(4), torch.zeros(3)
    >>> unembedding({"embed.W_E": W_E, "unembed.b_U": b_U}, spec).shape
    torch.Size([4, 3])
    """
    if spec.tied_embeddings:
        return parameters["embed.W_E"][: len(parameters["unembed.b_U"])].T
    return parameters["unembed.W_U"]


def vocabulary_sizes(parameters: Mapping[str, Tensor], spec: ModelSpec) -> dict[str, int]:
    """Sizes that a spec leaves open, once every name and shape has been checked against it.

    Returns
    -------
    dict[str, int]
        ``d_vocab``, ``n_ctx`` and ``d_vocab_out``.

    Raises
    ------
    ConfigError
        If a name is missing or is not one of this network's, or a tied W_U differs from W_E.
    ShapeError
        If a parameter does not have the shape that `spec` gives it.
    """
    names = parameter_shapes(spec, 1, 1, 1).keys()
    for name in [*names, *parameters]:
        if (name in names) != (name in parameters):
            fact = "unknown" if name in parameters else "missing"
            raise ConfigError(
                f"parameter {name} is {fact} for {_kind(spec)}. Pass exactly the "
                f"{len(names)} names of such a transformer, zeros for biases that it lacks."
            )
    sizes = {
        "d_vocab": len(parameters["embed.W_E"]),
        "n_ctx": len(parameters["pos_embed.W_pos"]),
        "d_vocab_out": parameters["unembed.W_U"].shape[-1],
    }
    for name, shape in parameter_shapes(spec, **sizes).items():
        if parameters[name].shape != shape:
            raise ShapeError(
                f"parameter {name} has shape {tuple(parameters[name].shape)}; expected {shape}. "
                "Check n_heads, d_head, d_model and d_mlp of the spec."
            )
    if spec.tied_embeddings:
        W_U, tied = parameters["unembed.W_U"], unembedding(parameters, spec)
        if W_U.shape != tied.shape or not torch.equal(W_U, tied):
            raise ConfigError(
                "tied_embeddings=True, but parameter unembed.W_U is not embed.W_E transposed. Use "
                "tied_embeddings=False."
            )
    return sizes


def _kind(spec: ModelSpec) -> str:
    """The fields that names of parameters depend on, if they are not the default."""
    fields = ("normalization", "norm_position", "gated_mlp", "attn_only")
    usual = ModelSpec()
    words = [f"{name}={getattr(spec, name)}" for name in fields]
    unusual = [
        word
        for name, word in zip(fields, words, strict=True)
        if getattr(spec, name) != getattr(usual, name)
    ]
    return ", ".join([f"n_layers={spec.n_layers}", *unusual])


@dataclass(frozen=True)
class ForwardPass:
    """One pass through a transformer; :func:`transformer_logits` has its arguments."""

    parameters: Mapping[str, Tensor]
    spec: ModelSpec
    hook: Hook
    flags: frozenset[str]
    last_only: bool

    def logits(self, tokens: Tensor) -> Tensor:
        """Logits of sequences of tokens."""
        embedded = self.hook("hook_embed", self.parameters["embed.W_E"][tokens])
        positions = self.parameters["pos_embed.W_pos"][: tokens.shape[1]]
        # Repeated rather than expanded: a hook may write into one sequence alone.
        positions = positions.repeat(len(tokens), 1, 1)
        return self.read(self.through_blocks(embedded + self.hook("hook_pos_embed", positions)))

    def through_blocks(self, residual: Tensor) -> Tensor:
        """The residual stream after all blocks."""
        for layer in range(self.spec.n_layers):
            is_cut = self.last_only and layer == self.spec.n_layers - 1
            residual = self._block(f"blocks.{layer}.", residual, is_cut)
        return residual

    def read(self, residual: Tensor) -> Tensor:
        """The logits that are read off the residual stream."""
        if self.spec.has_final_norm:
            residual = self.normalize("ln_final.", residual)
        residual = self.hook("unembed.hook_in", residual)
        W_U = unembedding(self.parameters, self.spec)
        logits = residual @ W_U + self.parameters["unembed.b_U"]
        return self.hook("unembed.hook_out", logits)

    def _block(self, prefix: str, residual: Tensor, is_cut: bool) -> Tensor:
        """Add a block to the stream; `is_cut`: to that of the last position, which is returned."""
        resid_pre = self.hook(prefix + "hook_resid_pre", residual)
        q_input, k_input, v_input = self._attention_inputs(prefix, resid_pre)
        if is_cut:
            q_input, resid_pre = self.cut(q_input), self.cut(resid_pre)
        attn_out = self._attention(prefix + "attn.", q_input, k_input, v_input)
        attn_out = self.hook(prefix + "hook_attn_out", attn_out)
        resid_mid = self._after(prefix + "ln1.", resid_pre + attn_out)
        if self.spec.attn_only:
            return self.hook(prefix + "hook_resid_post", resid_mid)
        resid_mid = mlp_in = self.hook(prefix + "hook_resid_mid", resid_mid)
        if "use_hook_mlp_in" in self.flags:
            mlp_in = self.hook(prefix + "hook_mlp_in", resid_mid.clone())
        mlp_out = self._mlp(prefix + "mlp.", self._before(prefix + "ln2.", mlp_in))
        mlp_out = self.hook(prefix + "hook_mlp_out", mlp_out)
        resid_post = self._after(prefix + "ln2.", resid_mid + mlp_out)
        return self.hook(prefix + "hook_resid_post", resid_post)

    def cut(self, residual: Tensor) -> Tensor:
        """The last position of each sequence."""
        return residual[:, -1:]

    def normalize(self, norm: str, x: Tensor) -> Tensor:
        """The stream through one of the norms."""
        return normalized(self.parameters, norm, x, self.spec, self.hook)

    def _before(self, norm: str, x: Tensor) -> Tensor:
        """What attention or an MLP reads."""
        return self.normalize(norm, x) if self.spec.has_final_norm else x

    def _after(self, norm: str, x: Tensor) -> Tensor:
        """The stream after an addition."""
        return self.normalize(norm, x) if self.spec.norm_position == "after" else x

    def _attention_inputs(self, prefix: str, resid_pre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def per_head(name: str) -> Tensor:
            repeated = resid_pre.unsqueeze(2).repeat(1, 1, self.spec.n_heads, 1)
            return self.hook(prefix + name, repeated)

        ln1 = prefix + "ln1."
        if "use_split_qkv_input" in self.flags:
            inputs = [per_head(name) for name in ("hook_q_input", "hook_k_input", "hook_v_input")]
            q_input, k_input, v_input = (self._before(ln1, x) for x in inputs)
            return q_input, k_input, v_input
        shared = per_head("hook_attn_in") if "use_attn_in" in self.flags else resid_pre
        shared = self._before(ln1, shared)
        return shared, shared, shared

    def _attention(self, prefix: str, q_input: Tensor, k_input: Tensor, v_input: Tensor) -> Tensor:
        q = self._project(prefix, "Q", q_input)
        k = self._project(prefix, "K", k_input)
        v = self._project(prefix, "V", v_input)
        z = self.attend(prefix, q, k, v)
        return self._sum_of_heads(prefix, self.hook(prefix + "hook_z", z))

    def attend(self, prefix: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """What the heads of the queries, the last positions, read of all positions."""
        scores = einsum(
            q, k, "batch query head d_head, batch key head d_head -> batch head query key"
        )
        n_queries, n_keys = scores.shape[-2:]
        is_hidden = torch.zeros(n_queries, n_keys, dtype=torch.bool, device=scores.device)
        if self.spec.attention_dir == "causal":
            # Queries are the last positions.
            is_hidden = (~is_hidden).triu(1 + n_keys - n_queries)
        scores = (scores / math.sqrt(self.spec.d_head)).masked_fill(is_hidden, -torch.inf)
        pattern = self.hook(prefix + "hook_attn_scores", scores).softmax(dim=-1)
        # A hook that forbids a query every key leaves NaN; as in TransformerLens it then
        # attends to nothing.
        pattern = pattern.nan_to_num(nan=0.0)
        if self.spec.attention_rate != 1:
            rate = self.spec.attention_rate
            pattern = (rate * pattern + (1 - rate)).masked_fill(is_hidden, 0.0)
        pattern = self.hook(prefix + "hook_pattern", pattern)
        return einsum(
            pattern, v, "batch head query key, batch key head d_head -> batch query head d_head"
        )

    def _project(self, prefix: str, letter: str, x: Tensor) -> Tensor:
        weight = self.parameters[prefix + "W_" + letter]
        rows = "batch pos d_model" if x.ndim == 3 else "batch pos head d_model"
        projected = einsum(x, weight, f"{rows}, head d_model d_head -> batch pos head d_head")
        bias = self.parameters[prefix + "b_" + letter]
        return self.hook(prefix + "hook_" + letter.lower(), projected + bias)

    def _sum_of_heads(self, prefix: str, z: Tensor) -> Tensor:
        weight, bias = self.parameters[prefix + "W_O"], self.parameters[prefix + "b_O"]
        axes = "batch pos head d_head, head d_head d_model"
        if "use_attn_result" in self.flags:
            result = einsum(z, weight, axes + " -> batch pos head d_model")
            return self.hook(prefix + "hook_result", result).sum(dim=2) + bias
        return einsum(z, weight, axes + " -> batch pos d_model") + bias

    def _mlp(self, prefix: str, x: Tensor) -> Tensor:
        act = ACTIVATIONS[self.spec.act_fn]
        W_in, b_in = self.parameters[prefix + "W_in"], self.parameters[prefix + "b_in"]
        if self.spec.gated_mlp:
            gate = self.hook(prefix + "hook_pre", x @ self.parameters[prefix + "W_gate"])
            linear = self.hook(prefix + "hook_pre_linear", x @ W_in)
            post = act(gate) * linear + b_in
        else:
            post = act(self.hook(prefix + "hook_pre", x @ W_in + b_in))
        post = self.hook(prefix + "hook_post", post)
        return post @ self.parameters[prefix + "W_out"] + self.parameters[prefix + "b_out"]
