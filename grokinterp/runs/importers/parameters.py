"""State dicts of three layouts, brought to TransformerLens names, shapes and orientation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from grokinterp.errors import CheckpointError, ConfigError, ShapeError, one_line
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.initialization import parameter_shapes
from grokinterp.models.transformer import vocabulary_sizes
from grokinterp.runs.importers.arrangements import ARRANGEMENTS, rearrange, usual_arrangement
from grokinterp.runs.importers.layouts import layout_of, unbridged, untransposed
from grokinterp.runs.importers.state_dict_names import (
    BUFFERS,
    ROOMS,
    WRAPPERS,
    kind_by_names,
    without_prefix_of,
)

MAX_ORDER = 512
"""Largest p: all p * p pairs are run at once."""
_FIRST_NAMES = ("embed.W_E", "embed.weight")
"""A name of each layout, by which its prefix is found."""


@dataclass(frozen=True, eq=False)
class Network:
    """Weights under the library's names, and the spec that their shapes show."""

    parameters: dict[str, Tensor]
    """float32 on the CPU; outputs are the p answers."""
    spec: ModelSpec | MlpSpec
    """Of a transformer, or of a perceptron."""
    order: int
    """p: operands, and answers."""
    extra_output: Tensor | None
    """(d_model, k) columns of W_U that were cut, if there were p + k outputs."""
    ignored: tuple[str, ...]
    """Names that are no parameters of such a network."""
    kind: Mapping[str, Any] = field(default_factory=dict)
    """How it was read: arguments of :func:`read_network` that read the other checkpoints of the
    same network in the same way."""
    against: Mapping[str, Any] = field(default_factory=dict)
    """Fields that a stored config or the user states, and that this reading departs from."""
    notes: tuple[str, ...] = ()
    """How names and orientations were taken, a sentence each, where they are not the library's."""
    reread: Callable[[Mapping[str, Tensor]], Network] | None = field(default=None, repr=False)
    """Reads another state dict of the same names in the same way; None where the names are
    TransformerLens's, which :func:`read_network` reads."""

    @property
    def transformer(self) -> ModelSpec:
        """The spec of a transformer.

        Raises
        ------
        CheckpointError
            If it is a perceptron.
        """
        if isinstance(self.spec, ModelSpec):
            return self.spec
        raise CheckpointError(f"the file holds a {self.spec.in_words}, and no transformer.")


def find_state_dict(content: Any) -> Mapping[str, Tensor] | None:
    """Return the state dict that a file holds, bare or under ``model`` or ``state_dict``."""
    if not isinstance(content, Mapping):
        return None
    for candidate in (content, *(content.get(name) for name in WRAPPERS)):
        if isinstance(candidate, Mapping):
            state = without_prefix_of(candidate, _FIRST_NAMES)
            if any(name in state for name in _FIRST_NAMES):
                return {k: v for k, v in state.items() if isinstance(v, Tensor) and _is_dense(v)}
    return None


def _is_dense(value: Tensor) -> bool:
    return value.layout == torch.strided and not value.is_meta


def read_network(
    state: Mapping[str, Tensor],
    *,
    n_heads: int | None = None,
    n_answers: int | None = None,
    arrangement: str | None = None,
    use_attn_scale: bool = True,
    **kind: Any,
) -> Network:
    """Bring a state dict of any of the three layouts to the library's names and shapes.

    Parameters
    ----------
    state
        Names to tensors.
    n_heads
        Heads per block, which a bridge's weights do not show; passed over for the others.
    n_answers
        Answers of its task; None: as many as operands.
    arrangement
        Key of :data:`ARRANGEMENTS`; None: ``a b``, ``a b =`` or ``a o b =`` by the number of
        positions.
    use_attn_scale
        False: scores of attention were not divided by the square root of d_head. They are here,
        so the queries are multiplied by it.
    kind
        Fields of the spec that no shape shows, such as ``act_fn`` or ``attention_rate``.

    Raises
    ------
    CheckpointError
        If it is no such network, or a weight is not finite.
    """
    layout = layout_of(state)
    if not layout:
        raise CheckpointError(
            "the state dict has no embed.W_E and blocks.0.attn.W_O, nor the names of a bridge. "
            "Rename its parameters as TransformerLens calls them; see docs/importing.md."
        )
    named = unbridged(state, n_heads or 1) if layout == "bridge" else dict(state)
    if layout == "transposed":
        named = {name: untransposed(name, value, named) for name, value in named.items()}
    named_kind = kind_by_names(named)
    kept, ignored = _known_names(named, named_kind)
    arrangement = arrangement or usual_arrangement(kept["pos_embed.W_pos"])
    how = {**kind, "n_heads": n_heads, "n_answers": n_answers}
    how |= {"arrangement": arrangement, "use_attn_scale": use_attn_scale}
    spec = _spec_of(kept, {**named_kind, **kind, "input_format": ARRANGEMENTS[arrangement]})
    n_operands = len(kept["embed.W_E"]) - len(spec.signs)
    order = n_operands // spec.n_operand_tables
    if n_operands % spec.n_operand_tables:
        raise CheckpointError(
            f"{n_operands} tokens of operands are no two embeddings of the same length. Read it "
            "with operand_embeddings=shared."
        )
    extra = _cut_outputs(kept, order, n_answers or order, len(spec.signs))
    try:
        sizes = {**spec.vocabulary_sizes(order), "d_vocab_out": n_answers or order}
        shapes = parameter_shapes(spec, **sizes)
        for name in shapes.keys() - kept.keys():
            if name.rsplit(".", 1)[-1].startswith("b_"):
                kept[name] = torch.zeros(shapes[name])
        vocabulary_sizes(kept, spec)
    except (ConfigError, ShapeError) as error:
        raise CheckpointError(f"the state dict does not fit together: {error}") from None
    for name, value in kept.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(
                f"weights that are not finite in {name}. The run diverged; take an earlier "
                "checkpoint."
            )
    rearrange(kept, spec, arrangement, use_attn_scale=use_attn_scale)
    return Network(kept, spec, order, extra, ignored, how)


def networks_of(
    steps: Sequence[int], states: Sequence[Mapping[str, Tensor]], **kind: Any
) -> dict[int, Network]:
    """Read the state dicts of a file, one per step.

    Raises
    ------
    CheckpointError
        If one cannot be read, or has another shape than the last; with its step.
    """
    networks = {}
    for step, state in zip(steps, states, strict=True):
        try:
            networks[step] = read_network(state, **kind)
        except CheckpointError as error:
            raise CheckpointError(f"step {step}: {error}") from None
    last = networks[steps[-1]]
    for step, network in networks.items():
        if (network.spec, network.order) != (last.spec, last.order):
            raise CheckpointError(
                f"step {step}: it holds a network of another shape than step {steps[-1]}. Save "
                "the checkpoints of one network."
            )
    return networks


def _known_names(
    named: Mapping[str, Tensor], kind: Mapping[str, Any]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Tell parameters from buffers, and refuse parts that the transformer here has not."""
    kept, ignored = {}, []
    names = parameter_shapes(ModelSpec(**kind), 2, 3, 2)
    for name, value in named.items():
        if name in names:
            is_weight = value.is_floating_point() and value.ndim == len(names[name])
            if not is_weight or not _is_dense(value) or not 0 < value.numel() <= 10**8:
                raise CheckpointError(
                    f"{one_line(name, 60)} is {value.dtype} of shape {tuple(value.shape)}, no "
                    "weight of a small transformer."
                )
            kept[name] = value.detach().to("cpu", torch.float32).contiguous()
        elif name.startswith(ROOMS) and not name.endswith(BUFFERS):
            raise CheckpointError(
                f"parameter {one_line(name, 60)} belongs to a part that the transformer here has "
                "not (such as layer norm). Describe the network to gi.Run.from_state_dicts: "
                "model=gi.ModelSpec(normalization=..., ...)."
            )
        else:
            ignored.append(name)
    for name in names:
        if name not in kept and not name.rsplit(".", 1)[-1].startswith("b_"):
            raise CheckpointError(f"the state dict has no {name}. It must hold all weights.")
    return kept, tuple(ignored)


def _spec_of(kept: Mapping[str, Tensor], kind: Mapping[str, Any]) -> ModelSpec:
    W_Q, W_in = kept["blocks.0.attn.W_Q"], kept.get("blocks.0.mlp.W_in")
    try:
        return ModelSpec(
            d_model=kept["pos_embed.W_pos"].shape[1],
            n_heads=W_Q.shape[0],
            d_head=W_Q.shape[2],
            d_mlp=W_in.shape[1] if W_in is not None else ModelSpec.d_mlp,
            **kind,
        )
    except ConfigError as error:
        raise CheckpointError(f"the state dict does not fit together: {error}") from None


def _cut_outputs(
    kept: dict[str, Tensor], order: int, n_answers: int, n_signs: int
) -> Tensor | None:
    """Leave the answers: published codes also give logits to the tokens of signs."""
    W_U, b_U = kept["unembed.W_U"], kept.get("unembed.b_U")
    n_outputs, n_rows = W_U.shape[-1], len(kept["embed.W_E"])
    n_allowed = {n_answers, n_answers + 1, n_answers + n_signs}
    # With two embeddings published code has an output for every token.
    n_allowed |= {n_rows} if n_rows >= 2 * order else set()
    if not 2 <= order <= MAX_ORDER or n_outputs not in n_allowed:
        whose = "p answers" if n_answers == order else f"{n_answers} answers"
        raise CheckpointError(
            f"{len(kept['embed.W_E'])} input tokens and {n_outputs} outputs do not belong to an "
            f"operation on p elements with {whose} and p from 2 to {MAX_ORDER}."
        )
    if n_outputs == n_answers:
        return None
    kept["unembed.W_U"] = W_U[:, :n_answers].contiguous()
    if b_U is not None:
        kept["unembed.b_U"] = b_U[:n_answers].contiguous()
    return W_U[:, n_answers:]
