"""A transformer with TransformerLens's names, hooks and cache, for 3.x and 4.x alike.

TransformerLens 4 dropped its class ``HookedTransformer`` and kept the parts it was made of:
``HookedRootModule``, ``HookPoint`` and ``ActivationCache``. The class here stands on those
and has the same parameters, hook names and caches. The arithmetic is
:func:`grokinterp.models.transformer.transformer_logits`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens import ActivationCache, FactoredMatrix
from transformer_lens.hook_points import HookPoint

from grokinterp.errors import ConfigError, ShapeError
from grokinterp.models.hooked_config import HookedConfig, firing, require_flag, switched
from grokinterp.models.initialization import initial_parameters, is_trained
from grokinterp.models.norms import normalized
from grokinterp.models.spec import ModelSpec
from grokinterp.models.transformer import transformer_logits, vocabulary_sizes

try:
    from transformer_lens import HookedRootModule
except ImportError:  # where releases before 3.0 keep it
    from transformer_lens.hook_points import HookedRootModule


class Attention(nn.Module):
    """The heads of one block."""

    W_Q: Tensor
    W_K: Tensor
    W_V: Tensor
    W_O: Tensor

    def __init__(self) -> None:
        super().__init__()
        _add_hook_points(self, "q", "k", "v", "attn_scores", "pattern", "z", "result")

    @property
    def QK(self) -> FactoredMatrix:
        """``W_Q @ W_K^T`` of every head, from destination to source."""
        return FactoredMatrix(self.W_Q, self.W_K.transpose(-2, -1))

    @property
    def OV(self) -> FactoredMatrix:
        """``W_V @ W_O`` of every head."""
        return FactoredMatrix(self.W_V, self.W_O)


class Norm(nn.Module):
    """A norm of the residual stream; it also takes vectors of a cache."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        _add_hook_points(self, "scale", "normalized")

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Normalize vectors along the last axis."""
        parameters = dict(self.named_parameters())
        return normalized(parameters, "", x, self.spec, self._fire)

    def _fire(self, name: str, activation: Tensor) -> Tensor:
        return self.get_submodule(name)(activation)


class Block(nn.Module):
    """Attention, then the MLP if there is one."""

    hook_out_is_single_residual_stream = True  # what ``cache.logit_lens`` of 4.x asks for

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        has_norm = spec.normalization != "none"
        if has_norm:
            self.ln1 = Norm(spec)
        self.attn = Attention()
        _add_hook_points(self, "resid_pre", "attn_in", "q_input", "k_input", "v_input")
        _add_hook_points(self, "attn_out", "mlp_in", "mlp_out", "resid_post")
        if spec.attn_only:
            return
        if has_norm:
            self.ln2 = Norm(spec)
        self.mlp = nn.Module()
        _add_hook_points(self.mlp, "pre", *(["pre_linear"] if spec.gated_mlp else []), "post")
        _add_hook_points(self, "resid_mid")


class Unembed(nn.Module):
    """From the residual stream to logits."""

    W_U: Tensor
    b_U: Tensor

    def __init__(self) -> None:
        super().__init__()
        _add_hook_points(self, "in", "out")

    def forward(self, residual: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch c"]:
        """Logits of a residual stream, also of one from a cache."""
        hook_in, hook_out = self.get_submodule("hook_in"), self.get_submodule("hook_out")
        return hook_out(hook_in(residual) @ self.W_U + self.b_U)


def _single(path: str) -> Any:
    return property(attrgetter(path), doc=f"``{path}``.")


def _stacked(path: str) -> Any:
    find = attrgetter(path)

    def stack(model: HookedTransformer) -> Tensor:
        return torch.stack([find(block) for block in model.blocks])

    return property(stack, doc=f"``{path}`` of every block, with a leading layer axis.")


class HookedTransformer(HookedRootModule):
    """A transformer with hooks on all of its activations.

    Names, shapes and hook names are TransformerLens's: ``model.blocks[0].attn.W_Q`` and
    ``model.W_Q``, ``run_with_cache``, ``run_with_hooks``, ``add_hook``, ``hooks``. The hooks
    that TransformerLens keeps behind flags need the same flags: ``set_use_attn_result``,
    ``set_use_split_qkv_input``, ``set_use_attn_in``, ``set_use_hook_mlp_in``. Where norms
    stand after the additions, ``hook_resid_mid`` and ``hook_resid_post`` are their outputs,
    so the added parts do not sum to these. A tied ``W_U`` shares its memory
    with ``W_E``.

    Parameters
    ----------
    spec
        Widths, depth, activation, and how the initial weights are drawn. Biases that
        ``spec.biases`` leaves untrained have ``requires_grad=False``.
    d_vocab
        Input tokens: p + 1 with an equals sign; ``spec.vocabulary_sizes(p)`` has all three.
    n_ctx
        Positions.
    d_vocab_out
        Answers.

    Examples
    --------
    >>> spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=16)
    >>> model = HookedTransformer(spec, d_vocab=6, n_ctx=3, d_vocab_out=5)
    >>> logits, cache = model.run_with_cache(torch.tensor([[1, 2, 5]]))
    >>> cache["pattern", 0].shape
    torch.Size([1, 2, 3, 3])
    """

    def __init__(self, spec: ModelSpec, *, d_vocab: int, n_ctx: int, d_vocab_out: int) -> None:
        super().__init__()
        self.spec = spec
        self.flags: frozenset[str] = frozenset()
        self.embed = nn.Module()
        self.pos_embed = nn.Module()
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.n_layers))
        if spec.has_final_norm:
            self.ln_final = Norm(spec)
        self.unembed = Unembed()
        _add_hook_points(self, "embed", "pos_embed")
        parameters = initial_parameters(spec, d_vocab=d_vocab, n_ctx=n_ctx, d_vocab_out=d_vocab_out)
        for name, value in parameters.items():
            path, leaf = name.rsplit(".", 1)
            parameter = nn.Parameter(value, requires_grad=is_trained(name, spec))
            self.get_submodule(path).register_parameter(leaf, parameter)
        self._tie()
        self.setup()

    @classmethod
    def from_parameters(
        cls, spec: ModelSpec, parameters: Mapping[str, Tensor]
    ) -> HookedTransformer:
        """Build a model of copies of `parameters`, on their device and in their precision.

        Raises
        ------
        ConfigError
            If a name is missing, or is not one of this network's.
        ShapeError
            If a parameter does not have the shape that `spec` gives it.
        """
        model = cls(spec, **vocabulary_sizes(parameters, spec))
        model.to(parameters["embed.W_E"])
        model.load_state_dict(parameters)
        return model

    def _tie(self) -> None:
        """Let a tied ``W_U`` share the memory of ``W_E``, so that it follows every change."""
        if self.spec.tied_embeddings:
            tied = self.W_E.detach()[: len(self.b_U)].T
            self.unembed.W_U = nn.Parameter(tied, requires_grad=False)

    def _apply(self, *args: Any, **kwargs: Any) -> HookedTransformer:
        """Tie again after a change of device or precision has made new tensors."""
        super()._apply(*args, **kwargs)
        self._tie()
        return self

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load parameters; the mask buffers of TransformerLens's own class are passed over."""
        kept = {k: v for k, v in state_dict.items() if not k.endswith((".mask", ".IGNORE"))}
        return super().load_state_dict(kept, *args, **kwargs)

    def forward(self, tokens: Int[Tensor, "*batch pos"]) -> Float[Tensor, "batch pos c"]:
        """Logits at every position; one sequence is taken as a batch of one."""
        # Tied or vmapped tensors must stay apart, so duplicates are not dropped.
        parameters = dict(self.named_parameters(remove_duplicate=False))
        tokens = torch.atleast_2d(tokens).to(parameters["embed.W_E"].device)
        return transformer_logits(parameters, tokens, self.spec, self._fire, flags=self.flags)

    def _fire(self, name: str, activation: Tensor) -> Tensor:
        return self.hook_dict[name](activation)

    def run_with_cache(
        self,
        tokens: Int[Tensor, "*batch pos"],
        *,
        return_cache_object: bool = True,
        remove_batch_dim: bool = False,
        **options: Any,
    ) -> tuple[Tensor, ActivationCache | dict[str, Tensor]]:
        """Logits and activations, as in TransformerLens.

        Parameters
        ----------
        tokens
            Input sequences.
        return_cache_object
            An :class:`ActivationCache`; a plain dictionary otherwise.
        remove_batch_dim
            Drop the batch axis of the cached activations; for one sequence.
        options
            ``names_filter``, ``device``, ``pos_slice`` and the others of
            ``HookedRootModule.run_with_cache``.
        """
        if remove_batch_dim and len(torch.atleast_2d(tokens)) != 1:
            raise ShapeError(
                f"tokens hold {len(tokens)} sequences. remove_batch_dim needs exactly one."
            )
        logits, cache = super().run_with_cache(
            torch.atleast_2d(tokens), remove_batch_dim=remove_batch_dim, **options
        )
        if return_cache_object:
            cache = ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)
        return logits, cache

    def get_caching_hooks(
        self, names_filter: Any = None, *args: Any, **kwargs: Any
    ) -> tuple[dict, list, list]:
        """Hooks that fill a dictionary; hook points behind flags that are off are left out."""
        return super().get_caching_hooks(firing(names_filter, self.flags), *args, **kwargs)

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Sequence[tuple] = (),
        bwd_hooks: Sequence[tuple] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Iterator[HookedTransformer]:
        """Add hooks for the time of a ``with`` block, as in TransformerLens.

        Raises
        ------
        ConfigError
            If a hook point named here is behind a flag that is off, so would never fire.
        """
        for name, _ in [*fwd_hooks, *bwd_hooks]:
            if isinstance(name, str):
                require_flag(name, self.flags)
        with super().hooks(list(fwd_hooks), list(bwd_hooks), reset_hooks_end, clear_contexts):
            yield self

    def check_hooks_to_add(
        self, hook_point: Any, hook_point_name: str, hook: Any, **options: Any
    ) -> None:
        """Refuse a hook that would never fire."""
        require_flag(hook_point_name, self.flags)

    def set_use_attn_result(self, value: bool) -> None:
        """Form ``attn.hook_result``, what each head writes [batch, pos, head, d_model]."""
        self.flags = switched(self.flags, "use_attn_result", value)

    def set_use_split_qkv_input(self, value: bool) -> None:
        """Form ``hook_q_input``, ``hook_k_input``, ``hook_v_input``, one stream per head."""
        self.flags = switched(self.flags, "use_split_qkv_input", value)

    def set_use_attn_in(self, value: bool) -> None:
        """Form ``hook_attn_in``, the residual stream that each head reads."""
        self.flags = switched(self.flags, "use_attn_in", value)

    def set_use_hook_mlp_in(self, value: bool) -> None:
        """Form ``hook_mlp_in``, the residual stream that only the MLP reads.

        Raises
        ------
        ConfigError
            If there is no MLP.
        """
        if value and self.spec.attn_only:
            raise ConfigError(
                "use_hook_mlp_in=True needs an MLP, and attn_only=True has none. Hook "
                "hook_resid_post instead."
            )
        self.flags = switched(self.flags, "use_hook_mlp_in", value)

    @property
    def cfg(self) -> HookedConfig:
        """What TransformerLens calls the model's config; fixed, and true at any time."""
        device, dtype = self.W_E.device, self.W_E.dtype
        sizes = {"d_vocab": len(self.W_E), "n_ctx": len(self.W_pos), "d_vocab_out": len(self.b_U)}
        return HookedConfig.describe(self.spec, self.flags, device=device, dtype=dtype, **sizes)

    W_Q, W_K, W_V, W_O = (_stacked(f"attn.W_{letter}") for letter in "QKVO")
    b_Q, b_K, b_V, b_O = (_stacked(f"attn.b_{letter}") for letter in "QKVO")
    W_in, b_in, W_gate = _stacked("mlp.W_in"), _stacked("mlp.b_in"), _stacked("mlp.W_gate")
    W_out, b_out = _stacked("mlp.W_out"), _stacked("mlp.b_out")
    W_E, W_pos = _single("embed.W_E"), _single("pos_embed.W_pos")
    W_U, b_U = _single("unembed.W_U"), _single("unembed.b_U")

    @property
    def W_E_pos(self) -> Float[Tensor, "row d_model"]:
        """Embeddings of the tokens, then those of the positions."""
        return torch.cat([self.W_E, self.W_pos])

    @property
    def QK(self) -> FactoredMatrix:
        """``W_Q @ W_K^T`` of every layer and head."""
        return FactoredMatrix(self.W_Q, self.W_K.transpose(-2, -1))

    @property
    def OV(self) -> FactoredMatrix:
        """``W_V @ W_O`` of every layer and head."""
        return FactoredMatrix(self.W_V, self.W_O)

    def all_head_labels(self) -> list[str]:
        """``L0H0``, ``L0H1``, ..., in the order in which a cache stacks heads."""
        layers, heads = range(self.spec.n_layers), range(self.spec.n_heads)
        return [f"L{layer}H{head}" for layer in layers for head in heads]

    def accumulated_bias(
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> Float[Tensor, " d_model"]:
        """Sum of the biases written into the residual stream before `layer`.

        With `mlp_input`, before the MLP of `layer`; without `include_mlp_biases`, only those
        of attention. :class:`ActivationCache` asks for it.
        """
        total = self.b_O[: layer + mlp_input].sum(dim=0)
        has_others = include_mlp_biases and not self.spec.attn_only
        return total + self.b_out[:layer].sum(dim=0) if has_others else total

    def tokens_to_residual_directions(self, tokens: int | Tensor) -> Float[Tensor, "... d_model"]:
        """Columns of ``W_U`` that answers are read along; one token gives one vector."""
        if isinstance(tokens, int) or tokens.numel() == 1:
            return self.W_U[:, int(tokens)]
        return self.W_U[:, tokens].movedim(0, -1)


def _add_hook_points(module: nn.Module, *names: str) -> None:
    for name in names:
        module.add_module(f"hook_{name}", HookPoint())
