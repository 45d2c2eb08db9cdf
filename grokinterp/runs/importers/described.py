"""State dicts of a network whose spec is given, so that nothing has to be inferred."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from grokinterp.errors import CheckpointError, ConfigError, one_line
from grokinterp.models import ModelSpec
from grokinterp.models.initialization import initial_parameters, is_bias, parameter_shapes
from grokinterp.models.transformer import vocabulary_sizes
from grokinterp.runs.importers.layouts import layout_of
from grokinterp.runs.importers.parameters import Network
from grokinterp.runs.importers.state_dict_names import BUFFERS, ROOMS
from grokinterp.tasks import Task

_FOUND_OUT = (
    "n_layers",
    "d_model",
    "n_heads",
    "d_head",
    "d_mlp",
    "attention_dir",
    "attention_rate",
    "biases",
    "init",
    "init_scale",
    "init_seed",
)
"""Fields that need no description, whatever their value."""


def needs_description(spec: ModelSpec) -> bool:
    """Whether a network has something that shapes do not show, such as a norm without weights.

    Examples
    --------
    >>> needs_description(ModelSpec(d_model=64)), needs_description(ModelSpec(act_fn="silu"))
    (False, True)
    """
    plain = ModelSpec(**{name: getattr(spec, name) for name in _FOUND_OUT})
    formats = ("a_b_equals", "a_b")
    return not any(
        spec == ModelSpec(**{**vars(plain), "act_fn": act_fn, "input_format": sequence})
        for act_fn in ("relu", "gelu")
        for sequence in formats
    )


def read_described(state: Mapping[str, Tensor], spec: ModelSpec, task: Task) -> Network:
    """Take the parameters of a described transformer out of a state dict.

    Parameters
    ----------
    state
        Under TransformerLens's names; buffers are ignored, and absent biases are zero.
    spec
        The network.
    task
        What it learned.

    Raises
    ------
    CheckpointError
        If a parameter is absent, has another shape, or belongs to a part that `spec` lacks.
    """
    if layout_of(state) != "transformer_lens":
        raise CheckpointError(
            "the state dict of a network with norms, gates or other formats needs "
            "TransformerLens's names. Pass gi.from_transformer_lens(model).state_dict()."
        )
    try:
        shapes = parameter_shapes(spec, **spec.vocabulary_sizes(task.n_tokens, task.n_classes))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    _refuse_other_parts(state, shapes)
    implied = _implied(state, spec, task)
    state = {**implied, **state}
    kept = {name: _read(state, name, shape) for name, shape in shapes.items()}
    _refuse_other_positions(kept, implied, spec)
    try:
        vocabulary_sizes(kept, spec)
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    ignored = tuple(name for name in state if name not in shapes)
    return Network(kept, spec, task.n_tokens, None, ignored)


def _implied(state: Mapping[str, Tensor], spec: ModelSpec, task: Task) -> dict[str, Tensor]:
    """Parameters that need not be written, since the description says what they are."""
    implied = {}
    sizes = spec.vocabulary_sizes(task.n_tokens, task.n_classes)
    if spec.positions != "learned":
        implied["pos_embed.W_pos"] = initial_parameters(spec, **sizes)["pos_embed.W_pos"]
    if spec.tied_embeddings and "embed.W_E" in state:
        implied["unembed.W_U"] = state["embed.W_E"][: sizes["d_vocab_out"]].T
    return implied


def _read(state: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    value = state.get(name)
    if value is None:
        if is_bias(name):
            return torch.zeros(shape)
        raise CheckpointError(f"the state dict has no {name}. It must hold all weights.")
    if tuple(value.shape) != shape:
        raise CheckpointError(
            f"{name} has shape {tuple(value.shape)}; the given model and task imply "
            f"{shape}. Check the task's p, and outputs, input_format and widths of the model."
        )
    if not torch.isfinite(value).all():
        raise CheckpointError(
            f"weights that are not finite in {name}. The run diverged; take an earlier checkpoint."
        )
    return value.detach().to("cpu", torch.float32).contiguous()


def _refuse_other_positions(
    kept: Mapping[str, Tensor], implied: Mapping[str, Tensor], spec: ModelSpec
) -> None:
    name = "pos_embed.W_pos"
    if name in implied and not torch.allclose(kept[name], implied[name], atol=1e-4):
        raise CheckpointError(
            f"positions={spec.positions}, but {name} is another table. Use positions=learned."
        )


def _refuse_other_parts(state: Mapping[str, Tensor], shapes: Mapping[str, object]) -> None:
    for name in state:
        if name not in shapes and name.startswith(ROOMS) and not name.endswith(BUFFERS):
            raise CheckpointError(
                f"parameter {one_line(name, 60)} belongs to a part that the given model lacks. "
                "Describe the network as it is: model=gi.ModelSpec(normalization=..., ...)."
            )
