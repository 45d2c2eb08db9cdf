r"""Multilayer perceptrons with an output scale, as functions of their parameters.

With h_0 the input and :math:`h_{l+1} = \mathrm{act}(h_l W_l + b_l)`, the output is
:math:`\alpha (h_L W_L + b_L)`. A pair of tokens enters as two one-hot vectors, so the first
product is a sum of two rows of a table, or through embeddings, concatenated or summed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import torch
from jaxtyping import Float, Num
from torch import Tensor
from torch.nn import functional as F

from grokinterp.models.mlp_spec import MlpSpec
from grokinterp.models.transformer import Hook, no_hook


def first_mlp_parameters(spec: MlpSpec, n_inputs: int, n_outputs: int) -> dict[str, Tensor]:
    """Draw the initial weights: float32 on the CPU, from a generator of their own.

    Examples
    --------
    >>> first_mlp_parameters(MlpSpec(widths=(8,)), 4, 3)["layers.1.W"].shape
    torch.Size([8, 3])
    """
    generator = torch.Generator().manual_seed(spec.init_seed)
    parameters = {}
    fan_in = n_inputs
    for name, shape in spec.parameter_shapes(n_inputs, n_outputs).items():
        fan_in = shape[0] if name.endswith(".W") else fan_in
        value = torch.empty(shape)
        if not spec.is_trained(name):
            parameters[name] = value.fill_(1.0)
            continue
        if name in spec.embedding_names:
            std = spec.d_embed**-0.5 if spec.init == "normal" else 1.0
            value.normal_(0.0, std, generator=generator)
        elif spec.init == "torch_linear":
            value.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)
        elif name.endswith(".b"):
            value.zero_()
        else:
            std = 1.0 if spec.init == "mean_field" else fan_in**-0.5
            value.normal_(0.0, std, generator=generator)
        parameters[name] = value * spec.init_scale
    return parameters


def mlp_outputs(
    parameters: Mapping[str, Tensor],
    inputs: Num[Tensor, "example n_inputs"],
    spec: MlpSpec,
    hook: Hook = no_hook,
) -> Float[Tensor, "example n_outputs"]:
    """Outputs of a multilayer perceptron.

    Parameters
    ----------
    parameters
        Weights under the names of :meth:`MlpSpec.parameter_shapes`.
    inputs
        Vectors, or pairs of tokens (whole numbers), which stand for two one-hot vectors or for
        two rows of embeddings.
    spec
        Widths, activation and scales.
    hook
        Called with ``layers.l.hook_pre`` and ``layers.l.hook_post`` and the activations of each
        hidden layer before and after its nonlinearity; what it returns is used in their place.

    Examples
    --------
    >>> spec = MlpSpec(widths=(8,))
    >>> parameters = first_mlp_parameters(spec, n_inputs=10, n_outputs=5)
    >>> mlp_outputs(parameters, torch.tensor([[1, 4], [0, 0]]), spec).shape
    torch.Size([2, 5])
    """
    outputs = _outputs(parameters, inputs, spec, hook)
    return outputs - first_outputs(parameters, inputs, spec) if spec.is_centered else outputs


def first_outputs(
    parameters: Mapping[str, Tensor], inputs: Num[Tensor, "example n_inputs"], spec: MlpSpec
) -> Float[Tensor, "example n_outputs"]:
    """Outputs of the weights that `spec` begins with, of the shapes of `parameters`."""
    n_inputs = n_inputs_of(parameters, spec)
    n_outputs = parameters[f"layers.{len(spec.widths)}.W"].shape[1]
    like = parameters["layers.0.W"]
    initial = {
        name: value.to(like.device, like.dtype)
        for name, value in _initial_parameters(spec, n_inputs, n_outputs).items()
    }
    with torch.no_grad():
        return _outputs(initial, inputs, spec, no_hook)


@lru_cache(maxsize=4)
def _initial_parameters(spec: MlpSpec, n_inputs: int, n_outputs: int) -> dict[str, Tensor]:
    return first_mlp_parameters(spec, n_inputs, n_outputs)


def n_inputs_of(parameters: Mapping[str, Tensor], spec: MlpSpec) -> int:
    """Entries of a vector that these weights take; of a pair of tokens twice their number."""
    first = parameters[(*spec.embedding_names, "layers.0.W")[0]]
    return 2 * len(first) if spec.needs_tokens else len(first)


def outputs_of_operands(
    parameters: Mapping[str, Tensor],
    a: Float[Tensor, "example d"],
    b: Float[Tensor, "example d"],
    spec: MlpSpec,
    hook: Hook = no_hook,
) -> Float[Tensor, "example n_outputs"]:
    """Outputs for given embeddings of a and b; not centered.

    An embedding is a row of ``layers.0.W`` for one-hot vectors, a row of a table otherwise.
    """
    is_mean_field = spec.init == "mean_field"
    if not spec.is_embedded:
        return _behind(parameters, (a + b) * (0.5**0.5 if is_mean_field else 1.0), spec, hook)
    weight = parameters["layers.0.W"]
    joined = a + b if spec.combination == "summed" else torch.cat([a, b], dim=1)
    scale = (2 * spec.d_embed) ** -0.5 if is_mean_field else 1.0
    return _behind(parameters, (joined @ weight) * scale, spec, hook)


def outputs_of_neurons(
    parameters: Mapping[str, Tensor], neurons: Float[Tensor, "example neuron"], spec: MlpSpec
) -> Float[Tensor, "example n_outputs"]:
    """Outputs for activations of the last hidden layer; not centered."""
    last = len(spec.widths)
    return spec.output_scale * _layer(parameters, neurons, spec, last)


def _outputs(parameters: Mapping[str, Tensor], inputs: Tensor, spec: MlpSpec, hook: Hook) -> Tensor:
    if inputs.is_floating_point():
        return _behind(parameters, inputs @ parameters["layers.0.W"], spec, hook)
    a, b = inputs[:, 0], inputs[:, 1]
    if spec.is_embedded:
        first, *others = (parameters[name] for name in spec.embedding_names)
        second = others[0] if others else first
    else:
        first = second = parameters["layers.0.W"]
        if spec.combination == "concatenated":
            b = b + len(first) // 2
    return outputs_of_operands(parameters, first[a], second[b], spec, hook)


def _behind(parameters: Mapping[str, Tensor], pre: Tensor, spec: MlpSpec, hook: Hook) -> Tensor:
    """Outputs for pre-activations of the first layer, without its bias."""
    if spec.biases:
        pre = pre + parameters["layers.0.b"]
    hidden = _hidden(pre, spec, 0, hook)
    for layer in range(1, len(spec.widths)):
        hidden = _hidden(_layer(parameters, hidden, spec, layer), spec, layer, hook)
    return outputs_of_neurons(parameters, hidden, spec)


def _hidden(pre: Tensor, spec: MlpSpec, layer: int, hook: Hook) -> Tensor:
    pre = hook(f"layers.{layer}.hook_pre", pre)
    return hook(f"layers.{layer}.hook_post", activate(pre, spec))


def _layer(
    parameters: Mapping[str, Tensor], hidden: Tensor, spec: MlpSpec, layer: int
) -> Float[Tensor, "example n"]:
    """Pre-activations of a layer after the first."""
    weight = parameters[f"layers.{layer}.W"]
    hidden = hidden @ weight
    if spec.init == "mean_field":
        is_last = layer == len(spec.widths)
        hidden = hidden / (len(weight) if is_last else len(weight) ** 0.5)
    return hidden + parameters[f"layers.{layer}.b"] if spec.biases else hidden


def activate(pre: Tensor, spec: MlpSpec) -> Tensor:
    """Activations of a hidden layer, element by element."""
    if spec.act_fn == "linear_quadratic":
        return pre + (spec.curvature / 2) * pre.square()
    return _ACTIVATIONS[spec.act_fn](pre)


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": lambda pre: F.gelu(pre, approximate="tanh"),
    "silu": F.silu,
    "tanh": torch.tanh,
    "square": torch.square,
}
